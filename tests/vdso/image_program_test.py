#!/usr/bin/env python3
"""Runs image_program.cc as each compiler made it: here, or in user-mode QEMU,
where the counter is an emulated one and system calls are this kernel's.

    tests/vdso/image_program_test.py PROGRAM...
    tests/vdso/image_program_test.py
"""

import os
import re
import shutil
import subprocess
import sys

# {the ELF header's e_machine: (name, command that runs it)}
RUNNERS = {
    62: ("x86_64", []),
    183: ("aarch64", ["qemu-aarch64-static"]),
    243: ("riscv64", ["qemu-riscv64-static"]),
}
CASE = re.compile(r"^CASE (\S+) (PASSED|FAILED) ?(.*)$", re.MULTILINE)
CASES = 5
_SECONDS = 60


def report(name, passed, details):
  print("CASE %s %s %s" % (name, "PASSED" if passed else "FAILED", details))
  return passed


def run(path):
  """Runs a program; each of its cases is one of ours."""
  name = os.path.basename(path)
  with open(path, "rb") as file:
    machine = int.from_bytes(file.read(20)[18:], "little")
  isa, runner = RUNNERS[machine]
  if runner and not shutil.which(runner[0]):
    print("CASE %s SKIPPED %s is not installed" % (name, runner[0]))
    return True
  if not runner and os.uname().machine != isa:
    print("CASE %s SKIPPED this is no %s" % (name, isa))
    return True
  result = subprocess.run(runner + [os.path.abspath(path)], check=False,
                          stdout=subprocess.PIPE, timeout=_SECONDS)
  cases = CASE.findall(result.stdout.decode())
  for case, outcome, figures in cases:
    report("%s.%s" % (name, case), outcome == "PASSED", figures)
  return report(name, result.returncode == 0 and len(cases) == CASES and
                all(outcome == "PASSED" for _, outcome, _ in cases),
                "%d cases, exit status %d" % (len(cases), result.returncode))


def main(paths):
  if not paths:
    print("SKIPPED: no compiler and linker for any image")
    return 0
  return 0 if all([run(path) for path in paths]) else 1


if __name__ == "__main__":
  sys.exit(main(sys.argv[1:]))
