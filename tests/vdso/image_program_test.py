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

# {the ELF header's e_machine: (where it runs, elsewhere the command that runs
# it, cases)}
RUNNERS = {
    3: ("x86_64", "qemu-i386-static", 7),
    62: ("x86_64", None, 5),
    183: (None, "qemu-aarch64-static", 5),
    243: (None, "qemu-riscv64-static", 5),
}
CASE = re.compile(r"^CASE (\S+) (PASSED|FAILED) ?(.*)$", re.MULTILINE)
_SECONDS = 60


def report(name, passed, details):
  print("CASE %s %s %s" % (name, "PASSED" if passed else "FAILED", details))
  return passed


def is_run_here(path):
  """A kernel may be without its 32-bit half."""
  try:
    subprocess.run([os.path.abspath(path)], check=False, timeout=_SECONDS,
                   stdout=subprocess.DEVNULL)
  except OSError:
    return False
  return True


def run(path):
  """Runs a program; each of its cases is one of ours."""
  name = os.path.basename(path)
  with open(path, "rb") as file:
    machine = int.from_bytes(file.read(20)[18:], "little")
  machine, emulator, expected = RUNNERS[machine]
  runner = []
  if not (os.uname().machine == machine and is_run_here(path)):
    if not emulator or not shutil.which(emulator):
      print("CASE %s SKIPPED %s" % (name, emulator or "this is no " + machine))
      return True
    runner = [emulator]
  result = subprocess.run(runner + [os.path.abspath(path)], check=False,
                          stdout=subprocess.PIPE, timeout=_SECONDS)
  cases = CASE.findall(result.stdout.decode())
  for case, outcome, figures in cases:
    report("%s.%s" % (name, case), outcome == "PASSED", figures)
  return report(name, result.returncode == 0 and len(cases) == expected and
                all(outcome == "PASSED" for _, outcome, _ in cases),
                "%d cases, exit status %d" % (len(cases), result.returncode))


def main(paths):
  if not paths:
    print("SKIPPED: no compiler and linker for any image")
    return 0
  return 0 if all([run(path) for path in paths]) else 1


if __name__ == "__main__":
  sys.exit(main(sys.argv[1:]))
