#!/usr/bin/env python3
"""Holds one run of run.sh against the bars of the design.

    bench/report.py OUT

Reads what run.sh left in the folder OUT, prints one table and, as its last
line,

    N bars met, N missed

and writes OUT/report.md and the data of plots.gp. A missed bar is a result:
exits with 1 only when something was not measured, with 2 for bad input.
"""

import collections
import os
import statistics
import sys

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))
# pylint: disable=wrong-import-position
import bars
import figures
import runs
import tails

BENCHMARK_COMMAND = (
    "`%s --benchmark_min_time=0.001 --benchmark_repetitions=%s "
    "--benchmark_enable_random_interleaving=true`")


def print_table(rows):
  form = "%-48s %10s %15s %10s  %-8s %s"
  print((form % ("", "median", "95 %", "quietest", "bar", "")).rstrip())
  for row in rows:
    *cells, remark = bars.cells(row)
    print(form % tuple(cells) + (remark and ": " + remark))


def table(rows):
  """Returns rows of words, the header first, as lines of Markdown."""
  header, *body = [[cell.replace("|", "\\|") for cell in row] for row in rows]
  return ["| " + " | ".join(header) + " |", "|" + "---|" * len(header),
          *("| " + " | ".join(row) + " |" for row in body), ""]


def plot(name, caption):
  return ["![%s](%s.svg)" % (caption, name), ""]


def noise_of(run):
  """Says how far the machine was from quiet."""
  for name in bars.LIBC, bars.BESIDE_NONE:
    if name in run.figures:
      each = run.figures[name]
      yield ("the median of %s is %.1f %% above its quietest batch; its "
             "repetitions are spread by %.1f %%" % (
                 name, (statistics.median(each.ns) / min(each.shortest) - 1) *
                 100, runs.spread(each.ns) * 100))


def command_of(run, name):
  each = next(iter(run.figures.values()))
  return ["Command: " + BENCHMARK_COMMAND % ("bench/" + name, len(each.ns)), ""]


# --- The parts ---------------------------------------------------------------


def bars_part(run, rows):
  yield "# vvar: the benchmarks of one run"
  yield ""
  yield from ("- " + line for line in run.about)
  yield from ("- Noise: " + line for line in noise_of(run))
  yield ""
  yield "## The bars of the design"
  yield ""
  yield from table([["", "median", "95 %", "quietest", "bar", "", "how"],
                    *(bars.cells(row) for row in rows)])
  yield ("Ratios are of two rows of one program, whose repetitions alternate "
         "at random. The interval holds the true median, for this machine at "
         "this hour; `quietest` is of the shortest batches of all.")
  yield ""


def cost_part(run):
  yield "## What one read costs, back to back"
  yield ""
  yield from plot("ns_per_read", "ns of one read, by kind")
  libc = run.figures.get(bars.LIBC)
  rows = [["", "ns", "95 %", "shortest", "clock_gettime is", "spread"]]
  for label, name, _ in figures.PLOTTED:
    if name in run.figures:
      each = run.figures[name]
      rows.append([
          label, "%.2f" % statistics.median(each.ns),
          "%.2f..%.2f" % runs.median_interval(each.ns),
          "%.2f" % min(each.shortest),
          "%.3fx" % runs.ratio_interval(libc.ns, each.ns)[1] if libc else "",
          "%.1f %%" % (runs.spread(each.ns) * 100)])
  yield from table(rows)
  yield ("Abseil is Debian's, whose clock scales the counter by itself "
         "(unordered); its other setting, `clock_gettime` each time, is chosen "
         "as Abseil is compiled. Not packaged by Debian: folly, tscns, quanta.")
  yield ""
  yield from command_of(run, "reader_bench")


def tail_part(run):
  yield "## The slow ones"
  yield ""
  if not run.tails:
    yield "Not measured here: needs two CPUs."
    yield ""
    return
  yield from plot("tail", "share of reads that took longer, by latency")
  yield ("Each read by itself, between two ordered counter reads, which are in "
         "the figures (`counter` is nothing but these). ns; the counter's step "
         "shows.")
  yield ""
  yield from table(tails.percentile_table(run.tails))
  yield ("`vdso` and `counter` read nothing that our writers write: what "
         "differs between their rows is the machine's doing, and as much of a "
         "difference between others says nothing. The last column, the median "
         "of all rounds' own, is what the bars are of.")
  yield ""
  vdso, beside = (run.tails[key].of_rounds("p99.99") for key in (
      ("vdso", "none"), ("vdso", "1 kHz")))
  if vdso and beside:
    low, ratio, high = runs.ratio_interval(beside, vdso)
    yield ("- p99.99 of the kernel's vDSO beside 1 kHz / beside none, which is "
           "noise: %.3fx (%.3f..%.3f)." % (ratio, low, high))
  for tail in run.tails.values():
    if tail.unanswered:
      yield "- Of %d reads of %s beside %s, %d did not return in 64 tries." % (
          tail.reads, tail.reader, tail.writer, tail.unanswered)
  yield ""
  yield ("Retries are counted by the readers' own loops, in another build of "
         "them, beside the same writers. What was slow and had not retried was "
         "held up by the machine.")
  yield ""
  yield from table(tails.retry_table(run.tails))
  yield ("Command: `bench/tail_bench --reads=%d`, in %d rounds" % (
      run.tails["vvar", "none"].reads,
      len(run.tails["vvar", "none"].of_rounds("p50"))))
  yield ""


def scale_part(run):
  yield "## More readers, more timelines"
  yield ""
  yield from plot("scaling", "ns of a read by readers, of a tick by timelines")
  for labels, what in (figures.SCALES, "readers"), (figures.TICKS, "timelines"):
    counted = {label: dict(figures.numbers(run, prefix))
               for label, prefix in labels}
    all_counts = sorted(set().union(*counted.values()))
    yield from table([
        ["ns, by " + what, *map(str, all_counts)],
        *([label, *("%.2f" % ns[n] if n in ns else "" for n in all_counts)]
          for label, ns in counted.items())])
  yield ("Per read of one reader, each on a CPU of its own, of one page. "
         "`std::shared_mutex` is what a lock costs that readers write to. A "
         "tick advances and publishes every timeline of a page.")
  yield ""
  yield from command_of(run, "contention_bench")
  yield from command_of(run, "writer_bench")


def instruction_part(run):
  yield "## Instructions and cache lines of a read"
  yield ""
  if not run.costs:
    yield "Not counted here: x86-64 only."
    yield ""
    return
  yield from table([
      ["", "instructions", "lines of code", "of the page", "of the stack",
       "others"],
      *([each.name, *("%d" % count for count in each[1:])]
        for each in run.costs)])
  yield ("Deterministic: each instruction of one call that reads and returns, "
         "stepped; the counters' rows are what the call is. The page is "
         "vvar's, the lock's, or the kernel's. A read on the previous line "
         "looks at the current one's date, too: a third line of the page. How "
         "many lines the stack's and the code's bytes are on depends on where "
         "the loader puts them.")
  yield ""
  yield "Command: `bench/instruction_trace`"
  yield ""


def context_part(run):
  work = run.figures.get(figures.WORK)
  if work is None:
    return
  yield "## What a read adds to a program"
  yield ""
  yield from plot("context", "ns added to a turn of dependent work")
  yield ("Each turn works for %.1f ns, in one chain of multiplications, on the "
         "time it read and on what the turn before made. ns added to a turn, "
         "next to ns back to back:" % statistics.median(work.ns))
  yield ""
  alone = {label: name for label, name, _ in figures.PLOTTED}
  rows = [["", "added", "back to back"]]
  for label, name, _ in figures.CONTEXTS:
    if name in run.figures and alone[label] in run.figures:
      rows.append([label] + ["%.2f" % ns for ns in (
          statistics.median(run.figures[name].ns) - statistics.median(work.ns),
          statistics.median(run.figures[alone[label]].ns))])
  yield from table(rows)
  yield from command_of(run, "context_bench")


def offset_part(run):
  yield "## Offset to the kernel's clock"
  yield ""
  yield from plot("offset", "offset to the kernel's clock, over time")
  yield "Commands: `vvar serve`, `vvar watch`, `bench/offset_trace`"
  yield ""


def image_part(run):
  """The functions of the vDSO image next to the kernel's."""
  names = sorted(name[len("BM_Image_"):] for name in run.figures
                 if name.startswith("BM_Image_"))
  if not names:
    return
  yield "## The vDSO image"
  yield ""
  rows = [["ns by pointer", "image", "kernel's vDSO", "system call"]]
  for name in names:
    row = [name]
    for prefix in "BM_Image_", "BM_Baseline_Vdso_", "BM_Baseline_Syscall_":
      each = run.figures.get(prefix + name)
      row.append("%.2f" % statistics.median(each.ns) if each else "")
    rows.append(row)
  yield from table(rows)
  yield "Command: `bench/image_bench`, as above, with fewer repetitions"
  yield ""


def program_part(run):
  if not run.programs:
    return
  yield "## Unmodified programs"
  yield ""
  yield from ("    " + line for line in run.programs)
  yield ""
  yield "Command: `bazel run --config=bench //bench:program_bench`"
  yield ""


def write_report(run, rows, path):
  parts = [bars_part(run, rows), cost_part(run), tail_part(run),
           scale_part(run), context_part(run), instruction_part(run),
           offset_part(run), image_part(run), program_part(run)]
  with open(path, "w") as file:
    for part in parts:
      for line in part:
        file.write(line + "\n")
    for name, error in run.errors.items():
      file.write("- %s: %s\n" % (name, error))


def main(out):
  try:
    run = figures.read_run(out)
  except (OSError, runs.BadInput) as error:
    print("report.py: %s" % error, file=sys.stderr)
    return 2
  rows = figures.rows_of(run)
  figures.write_data(run, out)
  write_report(run, rows, os.path.join(out, "report.md"))
  print_table(rows)
  for line in noise_of(run):
    print("Noise: " + line)
  for name, error in run.errors.items():
    print("%s: %s" % (name, error))
  counts = collections.Counter(map(bars.verdict, rows))
  unknown = counts[bars.UNKNOWN]
  print("%d bars met, %d missed%s" % (
      counts[bars.PASS], counts[bars.FAIL],
      ", %d not measured" % unknown if unknown else ""))
  return 1 if unknown else 0


if __name__ == "__main__":
  if len(sys.argv) != 2:
    sys.exit(__doc__)
  sys.exit(main(sys.argv[1]))
