"""The bars of the design, and what holds a run of run.sh against them."""

import collections
import math
import statistics

import runs

LIBC = "BM_Baseline_ClockGettime_Libc"
ORDERED = "BM_Reader_Now_Ordered"
UNORDERED = "BM_Reader_Now_Unordered"
BESIDE_NONE = "BM_Reader_Now_BesideNone"
BATCH = "BM_History_NsAt_Batch"

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
# What, the benchmark, the bar. Units: ns.
COSTS = [
    ("advance + publish", "BM_Writer_Publish", "<= 100"),
    ("publish, line computed", "BM_Writer_PublishLine", "<= 20"),
    ("counter -> time, a stamp of a batch", BATCH, "<= 0.7"),
]
AVX512_COSTS = [("the same, compiled for AVX-512", BATCH, "<= 0.15")]

SERVER = "server at a 1 ms tick, of a core"
# Of bars that were missed before: why.
KNOWN = {SERVER: "mostly what a wake costs; a longer --tick divides it"}

# `median` has the verdict; the interval holds the true one with 95 %;
# `quietest` is of the shortest batches, for comparison. None: there is none.
Row = collections.namedtuple("Row", "what unit median low high quietest bar")

PASS, FAIL, UNKNOWN = "pass", "FAIL", "not measured"


def row_of(what, unit, value, bar):
  """A row of a figure that is no median of several."""
  return Row(what, unit, value, None, None, None, bar)


def _format(row):
  return "%.3f" if row.unit == "x" else "%.4g"


def _meets(figure, bar):
  relation, limit = bar.split()
  return figure <= float(limit) if relation == "<=" else figure >= float(limit)


def verdict(row):
  if row.median is None or math.isnan(row.median):
    return UNKNOWN
  # As printed: that is what the verdict is about.
  return PASS if _meets(float(_format(row) % row.median), row.bar) else FAIL


def remark(row):
  """Says of a missed bar how it was missed."""
  if verdict(row) != FAIL:
    return ""
  if row.quietest is not None and _meets(row.quietest, row.bar):
    return "met by the quietest batches: neighbours, or the hypervisor"
  if row.low is not None and (_meets(row.low, row.bar) or
                              _meets(row.high, row.bar)):
    return "the interval contains the bar"
  if row.quietest is not None:
    return "missed in quiet moments, too"
  return KNOWN.get(row.what, "")


def cells(row):
  """Returns the words of a row: what, median, interval, quietest, bar, verdict,
  remark."""
  form = _format(row)

  def word(figure):
    return "" if figure is None or math.isnan(figure) else form % figure
  interval = "%s..%s" % (word(row.low), word(row.high)) if row.low else ""
  return [row.what, word(row.median) + row.unit, interval,
          word(row.quietest) + (row.unit if row.quietest else ""), row.bar,
          verdict(row), remark(row)]


# --- Rows --------------------------------------------------------------------


def ratio_rows(figures):
  for what, over, under, bar in RATIOS:
    if over not in figures or under not in figures:
      yield row_of(what, "x", math.nan, bar)
      continue
    low, ratio, high = runs.ratio_interval(figures[over].ns, figures[under].ns)
    quietest = min(figures[over].shortest) / min(figures[under].shortest)
    yield Row(what, "x", ratio, low, high, quietest, bar)


def cost_rows(figures, costs):
  for what, name, bar in costs:
    if name not in figures:
      yield row_of(what, " ns", math.nan, bar)
      continue
    low, high = runs.median_interval(figures[name].ns)
    yield Row(what, " ns", statistics.median(figures[name].ns), low, high,
              min(figures[name].shortest), bar)


def tail_rows(tails):
  """Of p99.99 the median of all rounds: one bad moment is one round's."""
  none = tails["vvar", "none"].of_rounds("p99.99")
  at_1_khz = tails["vvar", "1 kHz"].of_rounds("p99.99")
  stopped = tails["vvar", "stopped"]
  low, ratio, high = runs.ratio_interval(at_1_khz, none)
  yield Row("p99.99 of reads beside 1 kHz / beside none", "x", ratio, low, high,
            None, "<= 1.2")
  low, ratio, high = runs.ratio_interval(stopped.of_rounds("p99.99"), none)
  yield Row("p99.99 beside a stopped writer / beside none", "x", ratio, low,
            high, None, "<= 1.2")
  yield row_of("reads that a stopped writer kept from returning", "",
               stopped.unanswered, "<= 0")
  # A percentile is not of retries if fewer reads than it leaves out did so.
  counted = tails["vvar", "1 kHz"].retries(0)
  yield row_of("reads that retried, at 1 kHz", " %",
               100 * counted.retried / counted.reads, "<= 0.01")
  yield row_of("retries a publication, at 100 kHz", "",
               tails["vvar", "100 kHz"].retries(0).per_publication, "<= 2")


def line_rows(costs):
  """Of instructions.Cost: what the page's layout promises."""
  for each in costs:
    if each.name in ("vvar ordered", "vvar unordered"):
      yield row_of("lines of the page, %s read" % each.name.split()[1], "",
                   each.page, "<= 2")


def page_rows(watched):
  """Rows of what `vvar watch` saw: the worst of the precise clocks."""
  precise = [clock for clock in watched["clocks"]
             if not clock["id"].endswith("_coarse")]
  for what, field, bar in [("p99", "offset_p99_ns", "<= 30"),
                           ("max", "offset_max_ns", "<= 100")]:
    worst = max(precise, key=lambda clock: clock[field])
    yield row_of("shared page, |offset| %s (%s)" % (what, worst["id"]), " ns",
                 worst[field], bar)
  yield row_of("shared page, backward steps", "",
               sum(clock["backward_steps"] for clock in watched["clocks"]),
               "<= 0")


def server_rows(cpu_ns, wall_s, memory_kib):
  """Rows of what the kernel says the server took: see run.sh."""
  yield row_of(SERVER, " %", cpu_ns / wall_s / 1e7, "<= 1.5")
  yield row_of("server, resident at most", " MiB", memory_kib / 1024, "<= 12")


def in_process_rows(trace):
  magnitudes = {clock: sorted(abs(offset) for _, offset in samples)
                for clock, samples in trace.items()}
  for what, share, bar in ("p99", 0.99, "<= 30"), ("max", 1, "<= 100"):
    value, clock = max((each[math.ceil(share * len(each)) - 1], clock)
                       for clock, each in magnitudes.items())
    yield row_of("in-process, |offset| %s (%s)" % (what, clock), " ns", value,
                 bar)


def slew_rows(largest_ns):
  yield row_of("500 ppm slew of a simulated kernel, |offset| max", " ns",
               max(largest_ns, default=math.nan), "<= 5000")
