"""What run.sh left, and the data of plots.gp that is made of it."""

import collections
import csv
import json
import os
import re
import statistics

import bars
import instructions
import runs
import tails as tail_module

# Of Google Benchmark, besides the one for AVX-512.
BENCHMARKS = ("reader_bench", "contention_bench", "context_bench",
              "writer_bench", "conversion_bench")
OPTIONAL = ("image_bench",)  # x86-64 only

# A bar's label, the benchmark, its colour in plots.gp. From the top.
COUNTER, VVAR, OTHERS = 0, 1, 2
PLOTTED = [
    ("counter alone, ordered", "BM_Counter_Read_Ordered", COUNTER),
    ("vvar ordered", bars.ORDERED, VVAR),
    ("vvar timespec", "BM_Reader_Timespec_Ordered", VVAR),
    ("vvar interval", "BM_Reader_Interval_Ordered", VVAR),
    ("vvar snapshot, all clocks", "BM_Reader_Snapshot_Ordered", VVAR),
    ("vvar InProcessClock", "BM_Hosted_InProcessClock_Now", VVAR),
    ("vvar steady_clock", "BM_Hosted_SteadyClock", VVAR),
    ("plain seqlock, ordered", "BM_Seqlock_Load", OTHERS),
    ("plain latch, ordered", "BM_PlainLatch_Load", OTHERS),
    ("vDSO by pointer", "BM_Baseline_ClockGettime_Vdso", OTHERS),
    ("clock_gettime", bars.LIBC, OTHERS),
    ("std::chrono::steady_clock", "BM_Baseline_Chrono_Steady", OTHERS),
    ("std::chrono::system_clock", "BM_Baseline_Chrono_System", OTHERS),
    ("system call", "BM_Baseline_ClockGettime_Syscall", OTHERS),
    ("counter alone, unordered", "BM_Counter_Read_Unordered", COUNTER),
    ("vvar unordered", bars.UNORDERED, VVAR),
    ("absl::GetCurrentTimeNanos",
     "BM_Baseline_Absl_GetCurrentTimeNanos", OTHERS),
    ("absl::Now", "BM_Baseline_Absl_Now", OTHERS),
    ("vvar coarse", "BM_Reader_NowCoarse", VVAR),
    ("clock_gettime, coarse", "BM_Baseline_ClockGettime_Coarse", OTHERS),
]
WORK = "BM_Context_Work"
CONTEXTS = [
    ("counter alone, ordered", "BM_Context_Counter_Ordered", COUNTER),
    ("vvar ordered", "BM_Context_Reader_Ordered", VVAR),
    ("plain seqlock, ordered", "BM_Context_Seqlock", OTHERS),
    ("clock_gettime", "BM_Context_ClockGettime", OTHERS),
    ("counter alone, unordered", "BM_Context_Counter_Unordered", COUNTER),
    ("vvar unordered", "BM_Context_Reader_Unordered", VVAR),
    ("absl::GetCurrentTimeNanos",
     "BM_Context_Absl_GetCurrentTimeNanos", OTHERS),
    ("vvar coarse", "BM_Context_Reader_Coarse", VVAR),
]
# A line of the plot: its label, the benchmark, whose names end with a number.
SCALES = [
    ("vvar ordered", "BM_Reader_Now_Readers/readers:"),
    ("vvar unordered", "BM_Reader_NowUnordered_Readers/readers:"),
    ("clock_gettime", "BM_Baseline_ClockGettime_Readers/readers:"),
    ("std::shared_mutex", "BM_Baseline_SharedMutex_Readers/readers:"),
]
TICKS = [("a tick", "BM_Writer_PublishTick/timelines:")]

BINS = 200  # of an offset plot

Run = collections.namedtuple(
    "Run", "figures avx512 errors tails costs watched server traces slew "
    "programs about")


def needed():
  """Returns the names of the benchmarks that a report is made of."""
  names = [name for _, over, under, _ in bars.RATIOS for name in (over, under)]
  names += [name for _, name, _ in bars.COSTS + bars.AVX512_COSTS]
  names += [name for _, name, _ in PLOTTED + CONTEXTS]
  names += [WORK, *(prefix + "1" for _, prefix in SCALES + TICKS)]
  return sorted(set(names))


# --- What run.sh left --------------------------------------------------------


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


def text_of(path):
  """Returns a file, "" if it is not there: its part was skipped here."""
  if not os.path.exists(path):
    return ""
  with open(path) as file:
    return file.read()


def read_run(out):
  def path(name):
    return os.path.join(out, name)

  figures, errors = {}, {}
  for name in [*BENCHMARKS, *(name for name in OPTIONAL
                              if os.path.exists(path(name + ".json")))]:
    more, failed = runs.load(path(name + ".json"))
    figures.update(more)
    errors.update(failed)
  avx512 = path("conversion_bench_avx512.json")
  tail, steps = path("tail_bench.json"), path("instruction_trace.json")
  return Run(
      figures, runs.load(avx512)[0] if os.path.exists(avx512) else None, errors,
      tail_module.load(tail) if os.path.exists(tail) else {},
      instructions.costs(steps) if os.path.exists(steps) else [],
      json.loads(text_of(path("watch.json"))),
      list(map(float, text_of(path("server.txt")).split())),
      {place: read_trace(path("offset_%s.csv" % place))
       for place in ("shared_page", "in_process")},
      [float(ns) for ns in re.findall(r"^unannounced slew .* largest (\S+) ns$",
                                      text_of(path("slew.log")), re.MULTILINE)],
      text_of(path("program.txt")).splitlines(),
      text_of(path("about.txt")).splitlines())


def rows_of(run):
  rows = [*bars.ratio_rows(run.figures),
          *bars.cost_rows(run.figures, bars.COSTS)]
  if run.avx512 is not None:
    rows += bars.cost_rows(run.avx512, bars.AVX512_COSTS)
  if run.tails:
    rows += bars.tail_rows(run.tails)
  return [*rows, *bars.line_rows(run.costs), *bars.server_rows(*run.server),
          *bars.page_rows(run.watched),
          *bars.in_process_rows(run.traces["in_process"]),
          *bars.slew_rows(run.slew)]


# --- Data of the plots -------------------------------------------------------


def write_bars(run, labels, path, less=0):
  with open(path, "w") as file:
    for place, (label, name, colour) in enumerate(labels):
      if name in run.figures:
        ns = statistics.median(run.figures[name].ns)
        file.write('%d "%s" %.3f %d\n' % (-place, label, max(ns - less, 0),
                                          colour))


def numbers(run, prefix):
  """Returns [(n, median ns)] of the benchmarks that are called prefix + n."""
  return sorted((int(name[len(prefix):]), statistics.median(each.ns))
                for name, each in run.figures.items()
                if name.startswith(prefix))


def write_lines(run, labels, path):
  blocks = ('"%s"\n' % label + "".join(
      "%d %.3f\n" % point for point in numbers(run, prefix))
            for label, prefix in labels)
  with open(path, "w") as file:
    file.write("\n\n".join(blocks))


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


def write_data(run, out):
  write_bars(run, PLOTTED, os.path.join(out, "ns_per_read.dat"))
  work = run.figures.get(WORK)
  if work:
    write_bars(run, CONTEXTS, os.path.join(out, "context.dat"),
               statistics.median(work.ns))
  write_lines(run, SCALES, os.path.join(out, "readers.dat"))
  write_lines(run, TICKS, os.path.join(out, "timelines.dat"))
  tail_module.write_plots(run.tails, lambda name: os.path.join(out, name))
  for place, trace in run.traces.items():
    for clock, samples in trace.items():
      write_bins(samples,
                 os.path.join(out, "offset_%s_%s.dat" % (place, clock)))
