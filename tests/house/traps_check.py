#!/usr/bin/env python3
"""Which of the defects in traps.txt a test is for. Prints those that none is
for; fails only if a mark is wrong or there is none."""

import collections
import re

import house

TRAPS = "tests/house/traps.txt"
TESTS = house.CPP + (".py", ".sh", ".bzl", ".S", ".pml")

MARK = re.compile(r"\bTraps?: (T\d+\b(?:(?:,| and) T\d+\b)*)")
# The test that a mark stands above.
TEST = re.compile(r"TEST(?:_F|_P)?\((\w+),\s*(\w+)\)|def (\w+)\(")


def catalogue():
  """Returns {id: (area, what goes wrong)}."""
  return {match[1]: (match[2], match[3]) for match in re.finditer(
      r"^(T\d+) ([A-Z]) (.+)$", house.read(TRAPS), re.MULTILINE)}


def marks():
  """Yields (path, line, id, test) of each mark in a test's comment."""
  for path in house.files("tests", "models", suffixes=TESTS):
    text = house.read(path)
    for mark in MARK.finditer(text):
      begin = text.rfind("\n", 0, mark.start()) + 1
      if not re.match(r"\s*(//|/\*|\*|#)", text[begin:]):
        continue
      test = TEST.search(text, mark.end())
      name = ".".join(filter(None, test.groups())) if test else path
      for trap in re.findall(r"T\d+", mark[1]):
        yield path, text.count("\n", 0, begin) + 1, trap, name


@house.case
def catalogue_is_complete(look):
  """T01 to the last, in order."""
  for i, trap in enumerate(look.at(catalogue(), "traps"), 1):
    if trap != "T%02d" % i:
      look.problem(TRAPS, "%s, expected T%02d" % (trap, i))


# Trap: T122 (which of these are closed is counted, and printed)
@house.case
def marks_name_known_traps(look):
  known = catalogue()
  tests = collections.defaultdict(list)
  for path, line, trap, name in look.at(marks(), "marks"):
    if trap not in known:
      look.problem("%s:%d" % (path, line), "no %s in %s" % (trap, TRAPS))
    elif name not in tests[trap]:
      tests[trap].append(name)
  print("  not closed by a named test:")
  for trap, (area, what) in known.items():
    if trap not in tests:
      print("  %-4s %s  %s" % (trap, area, what))
  print("  closed:")
  for trap in sorted(tests, key=list(known).index):
    print("  %-4s %s" % (trap, ", ".join(tests[trap])))
  print("  %d of %d traps are closed by a named test" %
        (len(tests), len(known)))


house.run()
