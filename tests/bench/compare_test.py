#!/usr/bin/env python3
"""Tests bench/compare.py on made-up runs: what is a difference, what is noise,
and what it says of input that is none."""

import json
import os
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, "tests/bench")
import synthetic

NAME = "BM_Reader_Now_Ordered"


class CompareTest(unittest.TestCase):

  def setUp(self):
    directory = tempfile.TemporaryDirectory()
    self.addCleanup(directory.cleanup)
    self.directory = directory.name

  def path(self, name):
    return os.path.join(self.directory, name)

  def write(self, name, content):
    with open(self.path(name), "w", encoding="utf-8") as file:
      file.write(content)
    return self.path(name)

  def run_of(self, name, ns, noise, count=51, seed=1):
    path = self.path(name)
    synthetic.write_runs(
        path, {NAME: synthetic.repetitions(ns, noise, count, seed)})
    return path

  def compare(self, *words):
    return subprocess.run(["python3", "bench/compare.py", *words],
                          capture_output=True, text=True, check=False)

  def verdict(self, old, new):
    """Returns the verdict of one benchmark, and checks that --fail agrees."""
    done = self.compare("--fail", old, new)
    line = next(line for line in done.stdout.splitlines()
                if line.startswith(NAME))
    word = line.split("%")[-1].strip()
    self.assertEqual(done.returncode, 1 if word == "slower" else 0, done.stdout)
    self.assertEqual(self.compare(old, new).returncode, 0)
    return word

  def test_a_run_does_not_differ_from_itself(self):
    run = self.run_of("a.json", 20, 0.02)
    self.assertEqual(self.verdict(run, run), "no difference")

  def test_two_runs_alike_do_not_differ(self):
    for seed in range(2, 12):
      with self.subTest(seed=seed):
        self.assertEqual(
            self.verdict(self.run_of("a.json", 20, 0.02),
                         self.run_of("b.json", 20, 0.02, seed=seed)),
            "no difference")

  def test_a_tenth_is_seen_through_little_noise(self):
    old = self.run_of("a.json", 20, 0.02)
    new = self.run_of("b.json", 22, 0.02, seed=2)
    self.assertEqual(self.verdict(old, new), "slower")
    self.assertEqual(self.verdict(new, old), "faster")

  def test_a_tenth_is_not_seen_through_much_noise(self):
    for count in 21, 51, 501:  # However narrow the interval.
      with self.subTest(count=count):
        self.assertEqual(
            self.verdict(self.run_of("a.json", 20, 0.3, count),
                         self.run_of("b.json", 22, 0.3, count, seed=2)),
            "no difference")

  def test_three_repetitions_say_little(self):
    self.assertEqual(self.verdict(self.run_of("a.json", 20, 0.1, count=3),
                                  self.run_of("b.json", 22, 0.1, count=3,
                                              seed=2)), "no difference")

  def test_the_ratio_and_its_interval_are_printed(self):
    old, new = self.run_of("a.json", 20, 0), self.run_of("b.json", 30, 0)
    self.assertIn("1.500 (1.500 to 1.500)", self.compare(old, new).stdout)

  def test_what_only_one_run_has_is_named(self):
    old, new = self.path("a.json"), self.path("b.json")
    synthetic.write_runs(old, {NAME: [1, 1, 1], "BM_Gone": [1]})
    synthetic.write_runs(new, {NAME: [1, 1, 1]}, errors=["BM_Gone"])
    out = self.compare(old, new).stdout
    self.assertIn("BM_Gone: only in %s: 1 of 1 repetitions: "
                  "no such thing here" % old, out)

  def assert_refused(self, path, *words):
    done = self.compare(path, path)
    self.assertEqual(done.returncode, 2, done.stdout)
    for word in (path, "expected", *words):
      self.assertIn(word, done.stderr)
    self.assertNotIn("Traceback", done.stderr)

  def test_bad_input_is_named(self):
    self.assert_refused(self.path("missing.json"))
    self.assert_refused(self.write("a.json", "{"))
    self.assert_refused(self.write("a.json", "[]"), "benchmarks")
    self.assert_refused(self.write("a.json", '{"benchmarks": []}'))
    self.assert_refused(self.write("a.json", '{"benchmarks": [7]}'), "run_name")
    for value in "fast", None, -1, 0, True, float("nan"), float("inf"):
      with self.subTest(value=value):
        self.assert_refused(
            self.write("a.json", json.dumps(
                {"benchmarks": [synthetic.run_of(NAME, value, 1)]})),
            "median_ns of " + NAME, repr(value))


if __name__ == "__main__":
  unittest.main()
