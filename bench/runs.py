"""Runs of Google Benchmark that bench/measure.h has timed: their JSON, and what
may be said of two medians.

Every repetition is a figure of its own: the median of its batches. Intervals
are of order statistics, which ask nothing of how figures are distributed.
"""

import collections
import json
import math
import statistics


class BadInput(Exception):
  """Names the file, the value and what was expected."""


# ns: a figure per repetition. shortest: the shortest batch of each.
Figures = collections.namedtuple("Figures", "ns shortest")


def _number(run, key, path, name):
  value = run.get(key)
  if isinstance(value, bool) or not isinstance(value, (int, float)) or \
      not math.isfinite(value) or value <= 0:
    raise BadInput("%s: %s of %s is %r, expected a positive number" %
                   (path, key, name, value))
  return value


def load(path):
  """Returns ({name: Figures}, {name: what went wrong}). What fails in a few of
  its repetitions, as on a busy machine, has the figures of the others."""
  try:
    with open(path) as file:
      document = json.load(file)
  except (OSError, ValueError) as error:
    raise BadInput("%s: %s, expected a file of --benchmark_out" %
                   (path, error)) from error
  runs = document.get("benchmarks") if isinstance(document, dict) else None
  if not isinstance(runs, list):
    raise BadInput("%s: no list \"benchmarks\", expected a file of "
                   "--benchmark_out" % path)
  figures = {}
  errors = collections.defaultdict(list)
  for place, run in enumerate(runs):
    name = run.get("run_name") if isinstance(run, dict) else None
    if not isinstance(name, str):
      raise BadInput("%s: run_name of benchmark %d is %r, expected its name" %
                     (path, place, name))
    if run.get("error_occurred"):
      errors[name].append(str(run.get("error_message")))
    elif run.get("run_type") == "iteration":
      each = figures.setdefault(name, Figures([], []))
      each.ns.append(_number(run, "median_ns", path, name))
      each.shortest.append(_number(run, "min_ns", path, name))
  failures = {}
  for name, messages in errors.items():
    good = len(figures[name].ns) if name in figures else 0
    failures[name] = "%d of %d repetitions: %s" % (
        len(messages), len(messages) + good, messages[0])
    if len(messages) > good:
      figures.pop(name, None)
  return figures, failures


def median_interval(figures):
  """Returns what holds the median of all possible figures with a probability of
  97.5 %, or the whole range where that is of too few. Two of these together
  hold with 95 %."""
  ordered = sorted(figures)
  half_width = 2.2414 * math.sqrt(len(ordered)) / 2
  below = math.floor(len(ordered) / 2 - half_width)
  below = max(below, 0)
  return ordered[below], ordered[-1 - below]


def ratio_interval(over, under):
  """Returns (low, ratio of the medians, high), of two lists of figures."""
  over_low, over_high = median_interval(over)
  under_low, under_high = median_interval(under)
  return (over_low / under_high,
          statistics.median(over) / statistics.median(under),
          over_high / under_low)


def spread(figures):
  """Returns how far figures are from their median, as a share of it: the median
  of that (MAD), scaled to a normal distribution's standard deviation."""
  middle = statistics.median(figures)
  return 1.4826 * statistics.median(abs(each - middle) for each in figures) / \
      middle
