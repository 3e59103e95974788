#!/usr/bin/env python3
"""The table of tests/faults/README.md: every row of the plan, tests that exist,
and no test of that folder left out."""

import re

import house

FOLDER = "tests/faults"
TABLE = FOLDER + "/README.md"
ROWS = ["F%d" % i for i in range(1, 13)]
COLUMNS = ("row", "criterion", "tests", "runs", "cannot show")

TEST = re.compile(r"TEST(?:_F|_P)?\((\w+),\s*(\w+)\)")
NAME = re.compile(r"`([\w.]+)`")


def tests_in(*folders):
  """Returns the names of the tests of C++."""
  return {"%s.%s" % test for path in house.files(*folders)
          for test in TEST.findall(house.read(path))}


def targets():
  """Returns the names of what BUILD files call tests, as far as they say."""
  return {name for path in (house.ROOT / "tests").rglob("BUILD")
          for name in re.findall(r'"(\w+_test)_?"', path.read_text())}


def rows():
  return house.table(TABLE, *COLUMNS)


@house.case
def every_fault_has_its_row(look):
  """F1 to F12, in order, each with a criterion, tests and what they miss."""
  found = []
  for line, cells in look.at(rows(), "rows"):
    found.append(cells[0])
    for column, cell in zip(COLUMNS, cells, strict=True):
      if not cell:
        look.problem("%s:%d" % (TABLE, line), "nothing under " + column)
    if not NAME.search(cells[2]):
      look.problem("%s:%d" % (TABLE, line), "names no test")
  if found != ROWS:
    look.problem(TABLE, "has %s, expected F1 to F12" % " ".join(found))


@house.case
def tests_in_the_fault_table_exist(look):
  known = tests_in("tests") | targets()
  for line, cells in rows():
    for name in look.at(NAME.findall(cells[2]), "names"):
      if name not in known:
        look.problem("%s:%d" % (TABLE, line), "no test " + name)


@house.case
def every_fault_test_has_a_row(look):
  """Of tests/faults: whoever adds one says what it is for."""
  named = {name for _, cells in rows() for name in NAME.findall(cells[2])}
  for name in look.at(sorted(tests_in(FOLDER)), "tests"):
    if name not in named:
      look.problem(TABLE, "does not name " + name)


house.run()
