#!/usr/bin/env python3
"""Says which lines and branches of some files were reached, from llvm-cov's
exports of some programs, and lists those that were not.

    tests/fuzz/coverage.py FILE... -- EXPORT...

An EXPORT is two files: EXPORT.lcov has the lines, EXPORT.json the branches.
Templates count once: a line or branch that any instantiation of any program
reached is reached. Fails for a file of which nothing is known.
"""

import collections
import json
import sys


def add_lines(lcov, files):
  """Adds up {file: {line: count}}."""
  for record in lcov.splitlines():
    kind, _, rest = record.partition(":")
    if kind == "SF":
      current = files[rest]
    elif kind == "DA":
      line, count = (int(field) for field in rest.split(",")[:2])
      current[line] += count


def add_branches(export, files):
  """Adds up {file: {(line, column, side): count}}."""
  for unit in export["data"]:
    for function in unit["functions"]:
      for branch in function.get("branches", []):
        line, column, _, _, taken, not_taken, file_id = branch[:7]
        counts = files[function["filenames"][file_id]]
        counts[line, column, "true"] += taken
        counts[line, column, "false"] += not_taken


def of_file(files, name):
  """Returns the counts of the one file that ends so: paths are a sandbox's."""
  found = [path for path in files if ("/" + path).endswith("/" + name)]
  merged = collections.Counter()
  for path in found:
    merged.update(files[path])
  return merged


def report(name, lines, branches):
  print("%-24s %4d of %4d lines, %4d of %4d branches" % (
      name, sum(map(bool, lines.values())), len(lines),
      sum(map(bool, branches.values())), len(branches)))
  for line in sorted(line for line, count in lines.items() if not count):
    print("  not reached: %s:%d" % (name, line))
  for line, column, side in sorted(
      key for key, count in branches.items() if not count):
    print("  never %s: %s:%d:%d" % (side, name, line, column))


def main(arguments):
  split = arguments.index("--")
  names, exports = arguments[:split], arguments[split + 1:]
  lines = collections.defaultdict(collections.Counter)
  branches = collections.defaultdict(collections.Counter)
  for export in exports:
    with open(export + ".lcov", encoding="utf-8") as lcov:
      add_lines(lcov.read(), lines)
    with open(export + ".json", encoding="utf-8") as text:
      add_branches(json.load(text), branches)
  unknown = [name for name in names if not of_file(lines, name)]
  for name in names:
    if name not in unknown:
      report(name, of_file(lines, name), of_file(branches, name))
  for name in unknown:
    print("FAILED: nothing is known of " + name)
  return 1 if unknown else 0


if __name__ == "__main__":
  sys.exit(main(sys.argv[1:]))
