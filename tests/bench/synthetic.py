"""Made-up output of the benchmarks, whose figures the tests know."""

import json
import random


def repetitions(ns, noise, count, seed):
  """Returns figures about ns, spread by noise as a share of it."""
  chance = random.Random(seed)
  return [ns * max(chance.gauss(1, noise), 0.1) for _ in range(count)]


def run_of(name, ns, shortest=None):
  """Returns one repetition, as Google Benchmark's JSON has it."""
  return {"name": name, "run_name": name, "run_type": "iteration",
          "median_ns": ns, "min_ns": shortest or ns}


def write_runs(path, figures, errors=()):
  """Writes {name: [ns, ...]} as a file of --benchmark_out."""
  document = {"context": {}, "benchmarks": [
      run_of(name, ns) for name, all_ns in figures.items() for ns in all_ns]}
  document["benchmarks"] += [
      {"name": name, "run_name": name, "run_type": "iteration",
       "error_occurred": True, "error_message": "no such thing here"}
      for name in errors]
  with open(path, "w", encoding="utf-8") as file:
    json.dump(document, file)


# ns of those that a bar is about; all others take 20.
NS = {"BM_Counter_Read_Ordered": 18.4, "BM_Counter_Read_Unordered": 9.5,
      "BM_Reader_Now_Unordered": 9.5, "BM_Reader_Now_UnorderedPrevious": 9.5,
      "BM_Baseline_ClockGettime_Libc": 22.4, "BM_Reader_NowCoarse": 0.7,
      "BM_Baseline_ClockGettime_Coarse": 4.6, "BM_Writer_Publish": 95,
      "BM_Writer_PublishLine": 8, "BM_History_NsAt_Batch": 0.1,
      "BM_Context_Work": 10}


def tail_row(reader, writer, longest=100, unanswered=0):
  """A row of tail_bench: of 20 000 reads 100 take 50 cycles and one longest."""
  reads = 20000
  cycles = [] if unanswered else [[40, reads - 101], [50, 100], [longest, 1]]
  tally = {"reads": reads, "publications": 10, "unanswered": unanswered,
           "retries": 0, "cycles": cycles, "cycles_of_retried": []}
  rounds = [] if unanswered else [[40, 40, 50, 50, 50]] * 9
  return {"reader": reader, "writer": writer, "rounds": rounds, "timed": tally,
          "counted": dict(tally, retries=2, cycles_of_retried=[[50, 2]])}


def write_tails(path, rows):
  with open(path, "w", encoding="utf-8") as file:
    json.dump({"counter_hz": 1_000_000_000, "rows": rows}, file)


def tail_rows():
  writers = ["none", "1 Hz", "250 Hz", "1 kHz", "100 kHz", "stopped"]
  return ([tail_row("vvar", writer) for writer in writers] +
          [tail_row("seqlock", writer, 200, 20000 * (writer == "stopped"))
           for writer in writers] +
          [tail_row(reader, writer) for reader in ("vdso", "counter")
           for writer in ("none", "1 kHz")])


def write_out(folder, names):
  """Writes what run.sh leaves of a run of benchmarks `names` that meets each
  bar."""
  def write(name, text):
    with open("%s/%s" % (folder, name), "w", encoding="utf-8") as file:
      file.write(text)

  for program in ("reader_bench", "contention_bench", "context_bench",
                  "writer_bench", "conversion_bench"):
    write_runs("%s/%s.json" % (folder, program), {
        name: [NS.get(name, 20)] * 5 for name in names})
  write_tails(folder + "/tail_bench.json", tail_rows())
  write("watch.json", json.dumps({"clocks": [
      {"id": "monotonic", "offset_p99_ns": 7, "offset_max_ns": 12,
       "backward_steps": 0}]}))
  write("server.txt", "1e7 1 4096\n")
  samples = "".join("%.3f,%d,30,%d,30\n" % (i / 1000, i % 9, -(i % 9))
                    for i in range(1000))
  for place in "shared_page", "in_process":
    write("offset_%s.csv" % place,
          "seconds,realtime_ns,realtime_width_ns,monotonic_ns,"
          "monotonic_width_ns\n" + samples)
  write("slew.log", "unannounced slew of 500000 ppb: p99 900, largest 2500 ns\n")
  write("about.txt", "Machine: made up\n")
