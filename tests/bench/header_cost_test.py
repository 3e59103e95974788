#!/usr/bin/env python3
"""What bench/header_cost.py finds, but for times: a freestanding header is far
smaller than the standard library's smallest here, and a read stays small.

    tests/bench/header_cost_test.py [root of a tree]
"""

import functools
import pathlib
import re
import subprocess
import sys

sys.path.insert(1, str(pathlib.Path(__file__).resolve().parents[1] / "house"))
import house  # pylint: disable=wrong-import-position

FREESTANDING = tuple('"%s/' % folder for folder in house.FREESTANDING)
# In place of one read. What g++ 12.2 and clang 19.1 make today is below by a
# quarter: a compiler may differ, a second loop or a division may not come in.
MAX_BYTES = {"Reader::Now": 660, "Reader::NowUnordered": 660,
             "Reader::NowTimespec": 800, "Reader::NowCoarse": 130,
             "Reader::Interval": 1100}


@functools.lru_cache
def tables():
  """Returns {header: lines by compiler} and {read: bytes by compiler}."""
  done = subprocess.run([house.ROOT / "bench/header_cost.py",
                         "--repetitions=0"], capture_output=True, text=True,
                        check=False)
  if done.returncode != 0:
    raise RuntimeError(done.stderr)
  headers, reads = done.stdout.split("\n\n")
  compilers = len(re.findall(r"\blines\b", headers))
  lines = {name: list(map(int, rest.split()[::3])) for name, rest in
           re.findall(r'^("\S+"|<\w+>) +(\d.*)$', headers, re.MULTILINE)}
  code = {name: list(map(int, rest.split()[::2])) for name, rest in
          re.findall(r"^(\S.*?)  +(\d[\d ]*)$", reads, re.MULTILINE)}
  for row in (*lines.values(), *code.values()):
    if len(row) != compilers:
      raise RuntimeError("a row without %d compilers:\n%s" %
                         (compilers, done.stdout))
  return lines, code


@house.case
def freestanding_headers_are_small(look):
  """None has a tenth of the lines of <atomic>, or of <chrono>."""
  lines, _ = tables()
  limits = [min(pair) // 10 for pair in zip(lines["<atomic>"],
                                            lines["<chrono>"])]
  rows = [name for name in lines if name.startswith(FREESTANDING)]
  for name in look.at(rows, "headers"):
    if any(each >= limit for each, limit in zip(lines[name], limits)):
      look.problem(name, "%s lines, is to have %s" % (lines[name], limits))


@house.case
def reads_are_small(look):
  _, code = tables()
  for name in look.at(MAX_BYTES, "reads"):
    if not 0 < max(code[name]) <= MAX_BYTES[name]:
      look.problem(name, "%s bytes, may have %d" % (code[name],
                                                   MAX_BYTES[name]))


house.run()
