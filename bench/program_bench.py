#!/usr/bin/env python3
"""What clock_gettime() costs an unmodified program, in each way to run one:

    bazel run --config=bench //bench:program_bench [-- --rounds=N]

Every round runs the program once in each way, in random order; the figures are
medians over the rounds, of the median batch of each run (clock_calls.c). The
last line is `N bars met, N missed`. A missed bar is a result: exits with 1 only
when something could not be run.
"""

import argparse
import collections
import os
import random
import statistics
import subprocess
import sys
import tempfile

KERNEL = "kernel's vDSO"
NONE = "no vDSO"

# words: what stands before the program; attach: what is run, before its process
# id, while it waits, or []. The bars: of (ns of the way / ns of KERNEL) and of
# (ns of NONE / ns of the way); None: it has no bar there.
Way = collections.namedtuple(
    "Way", "name words attach most_of_kernel least_of_none")


def ways(vvar, preload, without_vdso, page):
  preloaded = ["env", "VVAR_PAGE=" + page, "LD_PRELOAD=" + preload]
  return [
      Way(KERNEL, [], [], None, None),
      Way("vvar exec", [vvar, "exec", "--"], [], 1.1, 8),
      Way("vvar attach", [], [vvar, "attach", "--page=" + page, "--pid"],
          1.1, 8),
      Way("LD_PRELOAD", preloaded, [], 1.1, 8),
      # As where the host's vDSO is of no use: every call is a system call.
      Way(NONE, [without_vdso], [], None, None),
  ]


def ns_of(way, program):
  process = subprocess.Popen([*way.words, program], stdin=subprocess.PIPE,
                             stdout=subprocess.PIPE, text=True)
  pid = process.stdout.readline().strip()
  if pid and way.attach:
    subprocess.run([*way.attach, pid], stdout=subprocess.DEVNULL, check=True)
  out, _ = process.communicate("\n", timeout=60)
  if process.returncode != 0:
    sys.exit("program_bench: %s: exit status %d" %
             (way.name, process.returncode))
  return float(out)


def measure(all_ways, program, rounds):
  """Returns {name: ns of each round}."""
  figures = {way.name: [] for way in all_ways}
  for _ in range(rounds):
    for way in random.sample(all_ways, len(all_ways)):
      figures[way.name].append(ns_of(way, program))
  return figures


def cell(ratio, bar, is_met):
  if bar is None:
    return "%8.2f x" % ratio, []
  word = "pass" if is_met else "FAIL"
  return "%8.2f x  (%g: %s)" % (ratio, bar, word), [is_met]


def report(all_ways, figures):
  median = {name: statistics.median(ns) for name, ns in figures.items()}
  verdicts = []
  print("%-16s%10s%10s   %-26s%s" % ("ns per call", "median", "quietest",
                                     "of the kernel's vDSO", "faster than none"))
  for way in all_ways:
    ns = median[way.name]
    above, faster = ns / median[KERNEL], median[NONE] / ns
    above_cell, above_bars = cell(above, way.most_of_kernel,
                                  above <= (way.most_of_kernel or 0))
    faster_cell, faster_bars = cell(faster, way.least_of_none,
                                    faster >= (way.least_of_none or 0))
    verdicts += above_bars + faster_bars
    print("%-16s%10.2f%10.2f   %-26s%s" % (
        way.name, ns, min(figures[way.name]), above_cell, faster_cell))
  print("%d bars met, %d missed" % (sum(verdicts),
                                    len(verdicts) - sum(verdicts)))


def main():
  parser = argparse.ArgumentParser()
  parser.add_argument("vvar")
  parser.add_argument("preload")
  parser.add_argument("without_vdso")
  parser.add_argument("program")
  parser.add_argument("--rounds", type=int, default=21)
  words = parser.parse_args()
  with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
    page = os.path.join(folder, "page")
    server = subprocess.Popen([words.vvar, "serve", "--page=" + page],
                              stdout=subprocess.PIPE)
    server.stdout.readline()  # Now there is one.
    try:
      all_ways = ways(words.vvar, os.path.abspath(words.preload),
                      words.without_vdso, page)
      report(all_ways, measure(all_ways, words.program, words.rounds))
    finally:
      server.kill()
      server.communicate()


if __name__ == "__main__":
  main()
