#!/usr/bin/env python3
"""Every machine gives the answers of this one: the programs here, compiled and
run for each machine by each compiler, and compared line by line.

    embed/matrix/matrix_test.py [root of a tree]
"""

import concurrent.futures
import os
import pathlib
import re
import signal
import sys
import tempfile

sys.path.insert(1, str(pathlib.Path(__file__).resolve().parents[2] /
                       "tests/house"))
import house  # pylint: disable=wrong-import-position
import machines  # pylint: disable=wrong-import-position

# vvar's own pages; and foreign ones, whose bytes are the same everywhere.
PROGRAMS = ("answers", "foreign_pages")
REFERENCE = ("x86_64", "gcc")
ROWS = [(program, name, family) for program in PROGRAMS for name in machines.MACHINES
        for family in ("gcc", "clang")]

LINE = re.compile(r"(?P<what>\w+) bits \d+ no \d+ answers (?P<answers>\d+) "
                  r"times (?P<times>\d+) digest [0-9a-f]{16}")
# The page's status for its own bytes, and for those of the other endianness.
FOREIGN = ["own endianness status 0", "other endianness status 3"]


def source_of(row):
  return "embed/matrix/%s.cc" % row[0]


class Builds:
  """The programs, compiled side by side ahead of the cases that run them."""

  def __init__(self, folder):
    pool = concurrent.futures.ThreadPoolExecutor(os.cpu_count())
    self._builds = {
        row: pool.submit(machines.bare_program, row[1], row[2],
                         source_of(row), os.path.join(folder, ".".join(row)))
        for row in ROWS}
    self._answers = {}

  def command(self, row):
    return self._builds[row].result()

  def answers(self, row):
    """Returns what a program prints, as lines."""
    if row not in self._answers:
      result = machines.start(self.command(row))
      if result.returncode != 0:
        raise RuntimeError("exit code %d, %s" % (result.returncode,
                                                 result.stderr))
      self._answers[row] = result.stdout.splitlines()
    return self._answers[row]


def corpus_is_worth_it(look, builds):
  """Of each kind of pages there are answers, times among them; and a page of
  the other endianness is refused."""
  lines = [line for program in reversed(PROGRAMS)
           for line in builds.answers((program, *REFERENCE))]
  look.what = "answers"
  times = {}
  for line in lines[:-len(FOREIGN)]:
    match = LINE.fullmatch(line)
    if match is None:
      look.problem("matrix", "an odd line: " + line)
      continue
    look.count += int(match["answers"])
    times.setdefault(match["what"], []).append(int(match["times"]))
  if sorted(times) != ["attach", "hostile", "hyperv", "pvclock", "vmclock",
                       "writer"]:
    look.problem("matrix", "answers of %s" % ", ".join(times))
  for what, counts in times.items():
    if min(counts) < 100:
      look.problem("matrix", "%s: a line with %d times" % (what, min(counts)))
  if lines[-len(FOREIGN):] != FOREIGN:
    look.problem("matrix", "; ".join(lines[-len(FOREIGN):]))


def answers_are_the_same(look, builds, row):
  expected = builds.answers((row[0], *REFERENCE))
  found = builds.answers(row)
  look.what = "answers"
  different = []
  for line, other in zip(expected, found):
    match = LINE.fullmatch(other)
    look.count += int(match["answers"]) if match else 1
    if line != other:
      different.append("%s: expected %s" % (other, line))
  if different:
    look.problem("%d lines differ" % len(different), "; ".join(different[:2]))
  if len(expected) != len(found):
    look.problem(source_of(row), "%d lines, expected %d" % (len(found), len(expected)))
  # The pages were mapped read-only while they were read: a store is fatal.
  result = machines.start(builds.command(row), stdin="w")
  if result.returncode != -signal.SIGSEGV:
    look.problem(source_of(row), "storing to a page gives %d" % result.returncode)


def define_case(name, function, *arguments):
  def one(look):
    function(look, *arguments)
  one.__name__ = name
  house.case(one)


with tempfile.TemporaryDirectory() as temporary:
  programs = Builds(temporary)
  define_case("corpus_is_worth_it", corpus_is_worth_it, programs)
  for each in ROWS:
    define_case(".".join(each), answers_are_the_same, programs,
                each)
  house.run()
