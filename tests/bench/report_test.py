#!/usr/bin/env python3
"""Tests bench/report.py on a made-up run that meets every bar, and on what goes
wrong with it."""

import os
import subprocess
import sys
import tempfile
import unittest

sys.path[:0] = ["tests/bench", "bench"]
import bars
import figures
import synthetic

BARS = 28


class ReportTest(unittest.TestCase):

  def setUp(self):
    directory = tempfile.TemporaryDirectory()
    self.addCleanup(directory.cleanup)
    self.out = directory.name
    synthetic.write_out(self.out, figures.needed())

  def path(self, name):
    return os.path.join(self.out, name)

  def report(self, status=0):
    done = subprocess.run(["python3", "bench/report.py", self.out],
                          capture_output=True, text=True, check=False)
    self.assertEqual(done.returncode, status, done.stdout + done.stderr)
    self.assertNotIn("Traceback", done.stderr)
    return done

  def markdown(self):
    with open(self.path("report.md"), encoding="utf-8") as file:
      return file.read()

  def set_ns(self, name, all_ns, shortest=None):
    """Replaces the figures of one benchmark."""
    runs = [synthetic.run_of(name, ns, shortest) for ns in all_ns]
    document = figures.json.loads(
        figures.text_of(self.path("reader_bench.json")))
    document["benchmarks"] = [run for run in document["benchmarks"]
                              if run["run_name"] != name] + runs
    for program in figures.BENCHMARKS:
      with open(self.path(program + ".json"), "w", encoding="utf-8") as file:
        figures.json.dump(document, file)

  def test_every_bar_is_met_and_in_both_tables(self):
    lines = self.report().stdout.splitlines()
    self.assertEqual(lines[-1], "%d bars met, 0 missed" % BARS)
    markdown = self.markdown()
    for what, _, _, bar in bars.RATIOS:
      self.assertTrue(any(line.startswith(what) and bar in line
                          for line in lines), what)
      self.assertIn("| %s |" % what, markdown)

  def test_a_bar_that_quiet_batches_meet_is_missed_and_says_so(self):
    self.set_ns("BM_Writer_Publish", [105] * 5, shortest=95)
    out = self.report().stdout
    self.assertIn("%d bars met, 1 missed" % (BARS - 1), out)
    self.assertRegex(out, "advance.*105 ns.*FAIL: met by the quietest batches")

  def test_a_bar_that_is_missed_at_any_time_says_so(self):
    self.set_ns("BM_Writer_Publish", [105] * 5)
    self.assertRegex(self.report().stdout,
                     "advance.*FAIL: missed in quiet moments, too")

  def test_what_was_not_measured_is_no_pass(self):
    self.set_ns("BM_Writer_Publish", [])
    self.assertRegex(self.report(status=1).stdout,
                     "advance.*not measured[^$]*, 1 not measured")

  def test_a_repetition_that_failed_does_not_cost_the_others(self):
    name = "BM_Writer_Publish"
    self.set_ns(name, [95] * 5)
    path = self.path("writer_bench.json")
    document = figures.json.loads(figures.text_of(path))
    failed = {"run_name": name, "error_occurred": True, "error_message": "late"}
    for failures, text, status in (
        (2, "advance.*95 ns.* pass", 0), (6, "advance.*not measured", 1)):
      with self.subTest(failures=failures):
        changed = dict(document, benchmarks=document["benchmarks"] +
                       [failed] * failures)
        for program in figures.BENCHMARKS:
          with open(self.path(program + ".json"), "w",
                    encoding="utf-8") as file:
            figures.json.dump(changed, file)
        out = self.report(status).stdout
        self.assertRegex(out, text)
        self.assertIn("%s: %d of %d repetitions: late" % (
            name, failures, failures + 5), out)

  def test_slow_reads_beside_a_writer_are_missed(self):
    rows = synthetic.tail_rows()
    for row in rows:
      if (row["reader"], row["writer"]) == ("vvar", "1 kHz"):
        row["rounds"] = [[40, 40, 50, 50, 90]] * 9
    synthetic.write_tails(self.path("tail_bench.json"), rows)
    self.assertRegex(self.report().stdout,
                     r"p99.99 of reads beside 1 kHz.* 1.800x.*FAIL")

  def test_reads_that_did_not_return_are_never(self):
    self.report()
    self.assertRegex(self.markdown(),
                     r"\| seqlock \| stopped \|.*\| never \|.*\| 100 % \|")
    with open(self.path("tail_seqlock.dat"), encoding="utf-8") as file:
      self.assertTrue(file.read().rstrip().endswith("1e9 1"))

  def test_percentiles_are_those_of_all_reads(self):
    self.report()
    # One of 20 000 took 100 cycles of a ns, 100 took 50, the others 40.
    self.assertRegex(
        self.markdown(),
        r"\| vvar \| none \| 2e\+04 \| 40 \| 40 \| 40 \| 50 \| 50 \| 100 "
        r"\| 100 ")

  def test_one_cpu_has_no_tails(self):
    os.remove(self.path("tail_bench.json"))
    self.report()
    self.assertIn("needs two CPUs", self.markdown())

  def test_bad_input_is_named(self):
    with open(self.path("writer_bench.json"), "w", encoding="utf-8") as file:
      file.write("{")
    self.assertIn("writer_bench.json", self.report(status=2).stderr)
    os.remove(self.path("writer_bench.json"))
    self.assertIn("writer_bench.json", self.report(status=2).stderr)


if __name__ == "__main__":
  unittest.main()
