"""What the house checks share: the source tree, C++ without its comments, and
how a check reports.

A check is a script of cases, one for each promise. A case looks at things and
notes problems; its docstring is the promise:

    @house.case
    def no_pragma_once(look):
      '''Headers have include guards.'''
      for path in look.at(house.files("vvar", suffixes=(".h",))):
        for line, text in house.numbered(house.code(path)):
          if "#pragma once" in text:
            look.problem("%s:%d" % (path, line), "use a guard")

    house.run()

A case that has looked at nothing has failed: it would pass for ever after its
folder was renamed. Every check may be run by hand, also on another tree:

    tests/house/labels_test.py [root of a tree]
"""

import collections
import pathlib
import re
import shutil
import sys
import traceback

# The tree itself, not Bazel's links to the files that some target names: a
# check must also see the file that no target mentions.
ROOT = (pathlib.Path(sys.argv[1]).resolve() if len(sys.argv) > 1 else
        pathlib.Path(__file__).resolve().parents[2])

FREESTANDING = ("vvar", "clocks", "fallback", "paravirt")
HOSTED = ("hosted", "tools", "bench", "examples")
CPP = (".h", ".cc", ".c")

# What a number of each unit is called, and nothing else is.
UNIT_NAMES = {
    "ns": r"(.*_)?(ns|nsec)",
    "ns << shift": r"nsec_shifted",
    "ns << shift, per cycle": r"(raw_|realtime_)?mult",
    "s": r"(.*_)?sec",
    "min": r".*_minutes\w*",
    "cycles": r"cycle_start|(.*_)?cycles",
    "Hz": r".*_hz",
    "ppb": r".*_ppb",
    "bits": r".*_bits|shift",
    "bytes": r"size|.*_(offset|stride)",
}

# Folders of the plan (README.md) that need not be there yet, or lack some kind
# of file: examples/ has no headers.
_MAY_BE_MISSING = {"paravirt", "vdso", "embed", "models", "examples"}
# Not source: git's, Bazel's, Python's and the benchmarks' own.
_SKIPPED = re.compile(r"\.git|bazel-.*|__pycache__|out")

_TOKEN = re.compile(
    r'''//[^\n]* | /\*.*?\*/              # a comment
    | R"(\w*)\(.*?\)\1" | "(?:\\.|[^"\\\n])*" | '(?:\\.|[^'\\\n])'
    | \b\d[\w']*                          # so that 1'000 begins no character
    ''', re.DOTALL | re.VERBOSE)

_cases = []


class Skip(Exception):
  """Raised by a case that cannot be tried here; says why."""


class Look:
  """What one case looked at, and what it found."""

  def __init__(self):
    self.count = 0
    self.what = "things"
    self.problems = []

  def at(self, things, what="files"):
    """Passes `things` on, and counts them."""
    self.what = what
    for thing in things:
      self.count += 1
      yield thing

  def problem(self, where, text):
    self.problems.append("%s: %s" % (where, text))


def case(function):
  """Makes a function of one Look a case."""
  _cases.append(function)
  return function


def run():
  """Runs every case, prints a line for each, exits with 1 if one failed."""
  failed = False
  for function in _cases:
    look = Look()
    try:
      function(look)
      if look.count == 0:
        look.problem(function.__name__, "found nothing to look at in %s" % ROOT)
    except Skip as skip:
      print("CASE %s SKIPPED %s" % (function.__name__, skip))
      continue
    except FileNotFoundError as error:
      look.problem(error.filename, "missing")
    except Exception as error:  # A check that breaks down has failed.
      traceback.print_exc(file=sys.stdout)
      look.problem(type(error).__name__, " ".join(str(error).split()))
    for problem in look.problems:
      print("  " + problem)
    if look.problems:
      failed = True
      more = len(look.problems) - 1
      print("CASE %s FAILED %s%s" % (function.__name__, look.problems[0],
                                     " (and %d more)" % more if more else ""))
    else:
      print("CASE %s PASSED looked at %d %s" %
            (function.__name__, look.count, look.what))
  sys.exit(1 if failed or not _cases else 0)


def files(*folders, suffixes=CPP):
  """Returns the paths, from the root, of the files in and under `folders`.

  A folder without any is an error, unless it is only planned.
  """
  found = []
  for folder in folders:
    paths = [path.relative_to(ROOT) for path in (ROOT / folder).rglob("*")
             if path.suffix in suffixes and path.is_file()]
    paths = [str(path) for path in paths
             if not any(_SKIPPED.fullmatch(part) for part in path.parts)]
    if not paths and folder not in _MAY_BE_MISSING:
      raise FileNotFoundError(2, "no such files",
                              "%s/*{%s}" % (folder, ",".join(suffixes)))
    found += sorted(paths)
  return found


def copy_tree(destination):
  """Copies the sources, for a check that breaks them."""
  shutil.copytree(ROOT, destination, ignore=lambda _, names: [
      name for name in names if _SKIPPED.fullmatch(name)])


def sources():
  return files(*FREESTANDING + HOSTED)


def documents():
  """Returns what is written for people, and the models."""
  return (files("docs", suffixes=(".md",)) +
          files("models", suffixes=(".md", ".pml") + CPP) +
          [path for path in ("README.md", "CONVENTIONS.md", "CHANGELOG.md",
                             "bench/README.md", "examples/README.md")
           if (ROOT / path).is_file()])


def prose(path):
  """Returns a document, or the comments of a source or a model."""
  return read(path) if path.endswith(".md") else comments(path)


def read(path):
  return (ROOT / path).read_text(encoding="utf-8")


def code(path, strings=True):
  """Returns a C or C++ file with its comments blank, lines as they were; also
  without what is in its strings, if `strings` is false."""

  def blank(match):
    token = match.group()
    if token[0] == "/" or (not strings and token[0] in "\"'R"):
      return re.sub(r"[^\n]", " ", token)
    return token

  return _TOKEN.sub(blank, read(path))


def comments(path):
  """Returns a C or C++ file with everything but its comments blank."""
  text, bare = read(path), code(path)
  return "".join(a if a == "\n" or b == " " != a else " "
                 for a, b in zip(text, bare))


def numbered(text):
  """Returns the lines of a text as (number, line)."""
  return enumerate(text.split("\n"), 1)


Table = collections.namedtuple("Table", "line header rows")


def tables(path):
  """Returns the tables of a Markdown file: where, column names, and rows of
  (line, cells)."""
  found = []
  rows = None
  for line, text in numbered(read(path)):
    if not text.startswith("|"):
      rows = None
      continue
    # "\|" is no border.
    cells = [cell.strip().replace("\\|", "|")
             for cell in re.split(r"(?<!\\)\|", text)[1:-1]]
    if rows is None:
      rows = []
      found.append(Table(line, cells, rows))
    elif not all(re.fullmatch(r":?-+:?", cell) for cell in cells):
      rows.append((line, cells))
  return found


def table(path, *header):
  """Returns the rows of the table whose first columns are called so."""
  for each in tables(path):
    if tuple(each.header[:len(header)]) == header:
      return each.rows
  raise FileNotFoundError(2, "no such table", "%s: a table | %s |" %
                          (path, " | ".join(header)))
