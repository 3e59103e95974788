#!/usr/bin/env python3
"""Holds two runs of a benchmark against each other.

    bench/compare.py [--fail] OLD.json NEW.json

The files are of --benchmark_out, such as bench/out/reader_bench.json. For each
benchmark of both: the ratio of the medians, its 95 % interval, and a verdict.
`slower` or `faster` needs both of

- an interval that does not contain 1, and
- a change beyond the noise: the larger spread (scaled MAD) of the repetitions
  of the two runs. Runs of one program differ by that much, because a machine's
  mood lasts longer than a run; an interval knows of one run only.

--fail: exits with 1 if something is slower. Exits with 2 for bad input.
"""

import argparse
import collections
import os
import statistics
import sys

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))
import runs  # pylint: disable=wrong-import-position

Comparison = collections.namedtuple(
    "Comparison", "name old new low ratio high noise verdict")

SAME = "no difference"


def compare(name, old, new):
  """Compares two lists of figures."""
  low, ratio, high = runs.ratio_interval(new, old)
  noise = max(runs.spread(old), runs.spread(new))
  verdict = SAME
  if low > 1 and ratio > 1 + noise:
    verdict = "slower"
  elif high < 1 and ratio < 1 / (1 + noise):
    verdict = "faster"
  return Comparison(name, statistics.median(old), statistics.median(new), low,
                    ratio, high, noise, verdict)


def print_table(comparisons):
  width = max(len(each.name) for each in comparisons)
  print("%-*s %9s %9s  %-24s %7s  %s" % (
      width, "", "old ns", "new ns", "new / old (95 %)", "noise", "verdict"))
  for each in comparisons:
    print("%-*s %9.3f %9.3f  %.3f (%.3f to %.3f)   %6.1f%%  %s" % (
        width, each.name, each.old, each.new, each.ratio, each.low, each.high,
        each.noise * 100, each.verdict))


def main():
  parser = argparse.ArgumentParser(
      description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument("old", metavar="OLD.json")
  parser.add_argument("new", metavar="NEW.json")
  parser.add_argument("--fail", action="store_true")
  words = parser.parse_args()
  try:
    old, _ = runs.load(words.old)
    new, errors = runs.load(words.new)
    both = [name for name in old if name in new]
    if not both:
      raise runs.BadInput("%s: no benchmark that %s has too, expected one" %
                          (words.new, words.old))
  except runs.BadInput as error:
    print("compare.py: %s" % error, file=sys.stderr)
    return 2
  comparisons = [compare(name, old[name].ns, new[name].ns) for name in both]
  print_table(comparisons)
  for name in old.keys() ^ new.keys():
    print("%s: only in %s%s" % (
        name, words.old if name in old else words.new,
        ": " + errors[name] if name in errors else ""))
  counts = collections.Counter(each.verdict for each in comparisons)
  print("%d slower, %d faster, %d without a difference" % (
      counts["slower"], counts["faster"], counts[SAME]))
  return 1 if words.fail and counts["slower"] else 0


if __name__ == "__main__":
  sys.exit(main())
