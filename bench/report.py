#!/usr/bin/env python3
"""Holds one run of run.sh against the bars of the design.

    bench/report.py OUT

Reads what run.sh left in the folder OUT, prints one table and, as its last
line,

    N bars met, N missed

and writes the data of plots.gp. A missed bar is a result: exits with 1 only
when something was not measured.
"""

import collections
import csv
import json
import math
import os
import statistics
import sys

LIBC = "BM_Baseline_ClockGettime_Libc"
ORDERED = "BM_Reader_Now_Ordered"
UNORDERED = "BM_Reader_Now_Unordered"
BESIDE_NONE = "BM_Reader_Now_BesideNone"

# What, the benchmark above the line, the one below it, the bar.
RATIOS = [
    ("ordered read / bare ordered counter",
     ORDERED, "BM_Counter_Read_Ordered", "<= 1.12"),
    ("the same, on the previous line",
     "BM_Reader_Now_OrderedPrevious", "BM_Counter_Read_Ordered", "<= 1.12"),
    ("clock_gettime / ordered read", LIBC, ORDERED, ">= 1.08"),
    ("unordered read / bare unordered counter",
     UNORDERED, "BM_Counter_Read_Unordered", "<= 1.03"),
    ("the same, on the previous line",
     "BM_Reader_Now_UnorderedPrevious", "BM_Counter_Read_Unordered", "<= 1.03"),
    ("clock_gettime / unordered read", LIBC, UNORDERED, ">= 2.25"),
    ("timespec read / clock_gettime",
     "BM_Reader_Timespec_Ordered", LIBC, "<= 1.01"),
    ("coarse read / clock_gettime(..._COARSE)",
     "BM_Reader_NowCoarse", "BM_Baseline_ClockGettime_Coarse", "<= 0.2"),
    ("interval read / ordered read",
     "BM_Reader_Interval_Ordered", ORDERED, "<= 1.2"),
    ("beside a writer at 1 kHz / beside none",
     "BM_Reader_Now_BesideWriter/kHz:1", BESIDE_NONE, "<= 1.03"),
    ("beside a writer at 100 kHz / beside none",
     "BM_Reader_Now_BesideWriter/kHz:100", BESIDE_NONE, "<= 1.03"),
    ("beside a writer stopped in its update / none",
     "BM_Reader_Now_BesideStoppedWriter", BESIDE_NONE, "<= 1.03"),
]

BATCH = "BM_History_NsAt_Batch"

# What, the benchmark, the bar. Units: ns.
COSTS = [
    ("advance + publish", "BM_Writer_Publish", "<= 100"),
    ("publish, line computed", "BM_Writer_PublishLine", "<= 20"),
    ("counter -> time, a stamp of a batch", BATCH, "<= 0.7"),
]
AVX512_COSTS = [("the same, compiled for AVX-512", BATCH, "<= 0.15")]

# A bar's label, the benchmark, its colour in plots.gp. From the top.
COUNTER, VVAR, OTHERS = 0, 1, 2
PLOTTED = [
    ("counter alone, ordered", "BM_Counter_Read_Ordered", COUNTER),
    ("vvar ordered", ORDERED, VVAR),
    ("vvar timespec", "BM_Reader_Timespec_Ordered", VVAR),
    ("vvar interval", "BM_Reader_Interval_Ordered", VVAR),
    ("vvar snapshot, all clocks", "BM_Reader_Snapshot_Ordered", VVAR),
    ("vvar InProcessClock", "BM_Hosted_InProcessClock_Now", VVAR),
    ("vvar steady_clock", "BM_Hosted_SteadyClock", VVAR),
    ("plain seqlock, ordered", "BM_Seqlock_Load", OTHERS),
    ("vDSO by pointer", "BM_Baseline_ClockGettime_Vdso", OTHERS),
    ("clock_gettime", LIBC, OTHERS),
    ("std::chrono::steady_clock", "BM_Baseline_Chrono_Steady", OTHERS),
    ("system call", "BM_Baseline_ClockGettime_Syscall", OTHERS),
    ("counter alone, unordered", "BM_Counter_Read_Unordered", COUNTER),
    ("vvar unordered", UNORDERED, VVAR),
    ("absl::GetCurrentTimeNanos",
     "BM_Baseline_Absl_GetCurrentTimeNanos", OTHERS),
    ("vvar coarse", "BM_Reader_NowCoarse", VVAR),
    ("clock_gettime, coarse", "BM_Baseline_ClockGettime_Coarse", OTHERS),
]

BINS = 200  # of an offset plot

# Figures of a row: `median` has the verdict, `quietest` is for comparison.
Row = collections.namedtuple("Row", "what unit median quietest bar")


class Times:
  """Time per call of each benchmark, in ns: its batches of all repetitions."""

  def __init__(self, *paths):
    self._medians = collections.defaultdict(list)
    self._minima = collections.defaultdict(list)
    self.errors = {}
    for path in paths:
      with open(path) as file:
        for run in json.load(file)["benchmarks"]:
          name = run["run_name"]
          if run.get("error_occurred"):
            self.errors[name] = run["error_message"]
          elif run["run_type"] == "iteration":
            self._medians[name].append(run["median_ns"])
            self._minima[name].append(run["min_ns"])

  def median(self, name):
    if name in self.errors:
      return math.nan
    return statistics.median(self._medians[name] or [math.nan])

  def quietest(self, name):
    if name in self.errors:
      return math.nan
    return min(self._minima[name], default=math.nan)


def ratio_rows(times):
  for what, over, under, bar in RATIOS:
    yield Row(what, "x", times.median(over) / times.median(under),
              times.quietest(over) / times.quietest(under), bar)


def cost_rows(times, costs):
  for what, name, bar in costs:
    yield Row(what, " ns", times.median(name), times.quietest(name), bar)


def page_rows(watched):
  """Rows of what `vvar watch` saw: the worst of the precise clocks."""
  precise = [clock for clock in watched["clocks"]
             if not clock["id"].endswith("_coarse")]
  for what, field, unit, bar in [
      ("p99", "offset_p99_ns", " ns", "<= 30"),
      ("max", "offset_max_ns", " ns", "<= 100")]:
    worst = max(precise, key=lambda clock: clock[field])
    yield Row("shared page, |offset| %s (%s)" % (what, worst["id"]), unit,
              worst[field], None, bar)
  yield Row("shared page, backward steps", "",
            sum(clock["backward_steps"] for clock in watched["clocks"]), None,
            "<= 0")


def server_rows(path):
  """Rows of what the kernel says the server took: see run.sh."""
  with open(path) as file:
    cpu_ns, wall_s, memory_kib = map(float, file.read().split())
  yield Row("server at a 1 ms tick, of a core", " %", cpu_ns / wall_s / 1e7,
            None, "<= 1.5")
  yield Row("server, resident at most", " MiB", memory_kib / 1024, None,
            "<= 12")


def read_trace(path):
  """Returns {clock: [(seconds, offset_ns)]} of what offset_trace printed."""
  with open(path) as file:
    samples = list(csv.DictReader(file))
  trace = {}
  for clock in "realtime", "monotonic":
    widths = [int(sample[clock + "_width_ns"]) for sample in samples]
    # As `vvar watch`: all brackets of such a sample were interrupted.
    limit = 3 * min(widths) + 50
    trace[clock] = [(float(sample["seconds"]), int(sample[clock + "_ns"]))
                    for sample, width in zip(samples, widths) if width <= limit]
  return trace


def in_process_rows(trace):
  magnitudes = {clock: sorted(abs(offset) for _, offset in samples)
                for clock, samples in trace.items()}
  for what, share, bar in ("p99", 0.99, "<= 30"), ("max", 1, "<= 100"):
    value, clock = max((each[math.ceil(share * len(each)) - 1], clock)
                       for clock, each in magnitudes.items())
    yield Row("in-process, |offset| %s (%s)" % (what, clock), " ns", value,
              None, bar)


def print_table(rows):
  """Prints the table; returns how many bars were met, missed, not measured."""
  counts = collections.Counter()
  print("%-49s %9s %9s  %-8s" % ("", "median", "quietest", "bar"))
  for row in rows:
    relation, limit = row.bar.split()
    form = "%.3f" if row.unit == "x" else "%.4g"
    printed = float(form % row.median)  # what the verdict is about
    if math.isnan(printed):
      verdict = "not measured"
    elif printed <= float(limit) if relation == "<=" else (
        printed >= float(limit)):
      verdict = "pass"
    else:
      verdict = "FAIL"
    counts[verdict] += 1
    figures = ["" if figure is None else form % figure + row.unit
               for figure in (row.median, row.quietest)]
    print("%-49s %9s %9s  %-8s %s" % (row.what, *figures, row.bar, verdict))
  return counts["pass"], counts["FAIL"], counts["not measured"]


def print_noise(times):
  """Says how far the machine was from quiet."""
  for name in LIBC, BESIDE_NONE:
    print("Noise: the median of %s is %.1f %% above its quietest batch." % (
        name, (times.median(name) / times.quietest(name) - 1) * 100))


def write_bars(times, path):
  with open(path, "w") as file:
    for place, (label, name, colour) in enumerate(PLOTTED):
      if not math.isnan(times.median(name)):
        file.write('%d "%s" %.3f %d\n' % (-place, label, times.median(name),
                                          colour))


def write_bins(samples, path):
  """Writes seconds, lowest, median and highest offset of each bin."""
  bins = collections.defaultdict(list)
  length = samples[-1][0] / BINS
  for seconds, offset in samples:
    bins[min(int(seconds / length), BINS - 1)].append(offset)
  with open(path, "w") as file:
    for index, offsets in sorted(bins.items()):
      file.write("%.4f %d %g %d\n" % (
          (index + 0.5) * length, min(offsets), statistics.median(offsets),
          max(offsets)))


def main(out):
  def path(name):
    return os.path.join(out, name)

  times = Times(path("reader_bench.json"), path("contention_bench.json"),
                path("conversion_bench.json"))
  costs = [*ratio_rows(times), *cost_rows(times, COSTS)]
  avx512 = path("conversion_bench_avx512.json")  # where the CPU has it
  if os.path.exists(avx512):
    costs += cost_rows(Times(avx512), AVX512_COSTS)
  traces = {place: read_trace(path("offset_%s.csv" % place))
            for place in ("shared_page", "in_process")}
  with open(path("watch.json")) as file:
    watched = json.load(file)

  write_bars(times, path("ns_per_read.dat"))
  for place, trace in traces.items():
    for clock, samples in trace.items():
      write_bins(samples, path("offset_%s_%s.dat" % (place, clock)))

  met, missed, unknown = print_table([
      *costs, *server_rows(path("server.txt")), *page_rows(watched),
      *in_process_rows(traces["in_process"])])
  print_noise(times)
  for name, error in times.errors.items():
    print("%s: %s" % (name, error))
  print("%d bars met, %d missed%s" % (
      met, missed, ", %d not measured" % unknown if unknown else ""))
  return 1 if unknown else 0


if __name__ == "__main__":
  if len(sys.argv) != 2:
    sys.exit(__doc__)
  sys.exit(main(sys.argv[1]))
