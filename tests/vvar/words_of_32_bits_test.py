#!/usr/bin/env python3
"""Runs words_of_32_bits.cc, compiled for 32 bits: its cases, or why it cannot.

    tests/vvar/words_of_32_bits_test.py [root of a tree]
"""

import pathlib
import subprocess
import sys

sys.path[1:1] = [str(pathlib.Path(__file__).resolve().parents[1] / folder)
                 for folder in ("house", "support")]
import house  # pylint: disable=wrong-import-position
import programs  # pylint: disable=wrong-import-position


def main():
  try:
    path = programs.program("tests/vvar/words_of_32_bits.cc", 32)
  except house.Skip as skip:
    print("CASE words_of_32_bits SKIPPED %s" % skip)
    return 0
  return subprocess.run([path], check=False).returncode


if __name__ == "__main__":
  sys.exit(main())
