#!/usr/bin/env python3
"""Each benchmark runs, once; what the report asks for is among them; what it
writes can be drawn. Says nothing about any time.

    smoke_test.py PROGRAM...
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import traceback

sys.path[:0] = ["tests/bench", "bench"]
import figures
import instructions
import synthetic
import tails

# Why one may not be measured: what the machine lacks, or that this build, which
# does not optimise, is too slow for the lead of its writers.
EXCUSES = ("needs two CPUs", "no vDSO", "lead_ns is too short")
DEADLINE_S = 240  # Gives up only.


class Skip(Exception):
  pass


def run(*words):
  done = subprocess.run(words, capture_output=True, text=True, check=False,
                        timeout=DEADLINE_S)
  if done.returncode != 0:
    raise AssertionError("exit status %d: %s" % (done.returncode, done.stderr))
  return done.stdout


def one_batch_of_each(program, folder, names):
  """Adds the names of its benchmarks to names."""
  path = os.path.join(folder, "out.json")
  run(program, "--benchmark_min_time=0", "--benchmark_out=" + path,
      "--benchmark_out_format=json")
  with open(path, encoding="utf-8") as file:
    all_runs = json.load(file)["benchmarks"]
  assert all_runs, "no benchmarks"
  for each in all_runs:
    names.add(each["run_name"])
    message = each.get("error_message", "")
    assert not each.get("error_occurred") or \
        any(excuse in message for excuse in EXCUSES), (each["name"], message)


def tail(program, folder):
  if os.cpu_count() < 2 or len(os.sched_getaffinity(0)) < 2:
    raise Skip("needs two CPUs")
  path = os.path.join(folder, "tail.json")
  with open(path, "w", encoding="utf-8") as file:
    file.write(run(program, "--reads=4000", "--counted_reads=4000",
                   "--rounds=2"))
  rows = tails.load(path)
  assert rows["vvar", "stopped"].unanswered == 0, "waits for a stopped writer"
  stuck = rows["seqlock", "stopped"]
  assert stuck.unanswered == stuck.reads > 0, "the seqlock returned"
  made_up = [(row["reader"], row["writer"]) for row in synthetic.tail_rows()]
  assert list(rows) == made_up, "synthetic.py has other rows: %s" % list(rows)
  assert len(list(tails.percentile_table(rows))) == len(rows) + 1
  assert len(list(tails.retry_table(rows))) > 1


def steps(program, folder):
  path = os.path.join(folder, "steps.json")
  with open(path, "w", encoding="utf-8") as file:
    file.write(run(program))
  costs = {each.name: each for each in instructions.costs(path)}
  if not costs:
    raise Skip("this machine does not single-step itself")
  for name, lines in (("vvar ordered", 2), ("vvar unordered", 2),
                      ("vvar ordered, previous line", 3),
                      ("counter, ordered", 0)):
    assert costs[name].page == lines, costs[name]
  assert costs["vvar ordered"].instructions > \
      costs["counter, ordered"].instructions > 0


def report_asks_for_what_is_there(names):
  missing = set(figures.needed()) - names
  assert not missing, "no such benchmarks: %s" % sorted(missing)


def plots(folder):
  if shutil.which("gnuplot") is None:
    raise Skip("gnuplot is not installed")
  out = os.path.join(folder, "out")
  os.mkdir(out)
  synthetic.write_out(out, figures.needed())
  run("python3", "bench/report.py", out)
  done = subprocess.run(["gnuplot", "-c", "bench/plots.gp", out, "a machine"],
                        capture_output=True, text=True, check=True)
  assert not done.stderr, done.stderr
  for name in "ns_per_read", "context", "tail", "scaling", "offset":
    for suffix in "svg", "png":
      path = os.path.join(out, "%s.%s" % (name, suffix))
      assert os.path.getsize(path) > 1000, path


def main(programs):
  failed = False
  names = set()
  special = {"tail_bench": tail, "instruction_trace": steps}
  with tempfile.TemporaryDirectory() as folder:
    cases = []
    for program in programs:
      name = os.path.basename(program)
      if name in special:
        cases.append((name, lambda f=special[name], p=program: f(p, folder)))
      else:
        cases.append((name, lambda p=program: one_batch_of_each(
            p, folder, names)))
    cases += [("report_asks_for_what_is_there",
               lambda: report_asks_for_what_is_there(names)),
              ("plots", lambda: plots(folder))]
    for name, case in cases:
      try:
        case()
        print("CASE %s PASSED" % name)
      except Skip as skip:
        print("CASE %s SKIPPED %s" % (name, skip))
      except Exception as error:  # pylint: disable=broad-except
        failed = True
        traceback.print_exc(file=sys.stdout)
        print("CASE %s FAILED %s" % (name, " ".join(str(error).split())))
  return 1 if failed else 0


if __name__ == "__main__":
  sys.exit(main(sys.argv[1:]))
