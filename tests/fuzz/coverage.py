#!/usr/bin/env python3
"""Says which lines and branches of some files were reached, from two exports of
llvm-cov, and lists those that were not.

    tests/fuzz/coverage.py lines.lcov branches.json FILE...

Templates count once: a line or branch that any instantiation reached is
reached. Fails for a file of which nothing is known.
"""

import collections
import json
import sys


def lines_of(lcov):
  """Returns {file: {line: count}}."""
  files, current = collections.defaultdict(dict), None
  for record in lcov.splitlines():
    kind, _, rest = record.partition(":")
    if kind == "SF":
      current = files[rest]
    elif kind == "DA":
      line, count = (int(field) for field in rest.split(",")[:2])
      current[line] = max(current.get(line, 0), count)
  return files


def branches_of(export):
  """Returns {file: {(line, column, side): count}}."""
  files = collections.defaultdict(collections.Counter)
  for unit in export["data"]:
    for function in unit["functions"]:
      for branch in function.get("branches", []):
        line, column, _, _, taken, not_taken, file_id = branch[:7]
        counts = files[function["filenames"][file_id]]
        counts[line, column, "true"] += taken
        counts[line, column, "false"] += not_taken
  return files


def of_file(files, name):
  merged = {}
  for path, counts in files.items():
    if path == name or path.endswith("/" + name):
      for key, count in counts.items():
        merged[key] = merged.get(key, 0) + count
  return merged


def main(lcov_path, json_path, names):
  with open(lcov_path, encoding="utf-8") as lcov:
    all_lines = lines_of(lcov.read())
  with open(json_path, encoding="utf-8") as export:
    all_branches = branches_of(json.load(export))
  missing = []
  for name in names:
    lines, branches = of_file(all_lines, name), of_file(all_branches, name)
    if not lines:
      missing.append(name)
      continue
    print("%-24s %4d of %4d lines, %4d of %4d branches" % (
        name, sum(map(bool, lines.values())), len(lines),
        sum(map(bool, branches.values())), len(branches)))
    for line in sorted(line for line, count in lines.items() if not count):
      print("  not reached: %s:%d" % (name, line))
    for line, column, side in sorted(
        key for key, count in branches.items() if not count):
      print("  not taken:   %s:%d:%d %s" % (name, line, column, side))
  for name in missing:
    print("FAILED: nothing is known of " + name)
  return 1 if missing else 0


if __name__ == "__main__":
  sys.exit(main(sys.argv[1], sys.argv[2], sys.argv[3:]))
