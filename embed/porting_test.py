#!/usr/bin/env python3
"""Follows docs/porting.md to the letter: runs its commands one block after the
other, in one shell and an empty folder. A case for each block.

    embed/porting_test.py [root of a tree]
"""

import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = (pathlib.Path(sys.argv[1]).resolve() if len(sys.argv) > 1 else
        pathlib.Path(__file__).resolve().parents[1])
DOCUMENT = "docs/porting.md"
NEEDED = ("riscv64-linux-gnu-g++", "ld.lld-19", "qemu-system-riscv64")
# The first (and only) one of a step.
BLOCK = re.compile(r"^## (\d+)\. .*\n(?:(?!## ).*\n)*?```sh\n([^`]*)```",
                   re.MULTILINE)
MARK = "-- block %s is done"


def main():
  for command in NEEDED:
    if not shutil.which(command):
      print("SKIPPED: %s is not installed" % command)
      return 0
  blocks = BLOCK.findall((ROOT / DOCUMENT).read_text(encoding="utf-8"))
  script = "".join("%s\necho '%s'\n" % (block, MARK % number)
                   for number, block in blocks)
  with tempfile.TemporaryDirectory() as folder:
    result = subprocess.run(
        ["bash", "-e", "-c", script], cwd=folder, check=False,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True,
        env={"PATH": "/usr/bin:/bin", "VVAR": str(ROOT)})
  # A kernel's cases are its own, not this test's.
  print(re.sub("^CASE", "  case", result.stdout, flags=re.MULTILINE))
  for number, block in blocks:
    done = MARK % number in result.stdout
    print("CASE step_%s %s %d lines" %
          (number, "PASSED" if done else "FAILED", block.count("\n")))
  return 0 if blocks and result.returncode == 0 else 1


if __name__ == "__main__":
  sys.exit(main())
