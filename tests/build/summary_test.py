#!/usr/bin/env python3
"""Tests tests/summary.py on small events and reports of each kind."""

import os
import sys
import tempfile
import unittest

sys.path.insert(0, "tests")
import summary

GTEST_XML = """<?xml version="1.0" encoding="UTF-8"?>
<testsuites><testsuite name="LatchTest">
  <testcase name="Reads" status="run" result="completed" classname="LatchTest"/>
  <testcase name="Writes" status="run" classname="LatchTest">
    <failure message="latch_test.cc:7&#x0A;Expected: 1" type=""/>
  </testcase>
  <testcase name="Kvm" status="run" result="skipped" classname="LatchTest">
    <skipped message="latch_test.cc:9&#x0A;no /dev/kvm"/>
  </testcase>
  <testcase name="DISABLED_Later" status="notrun" classname="LatchTest"/>
</testsuite></testsuites>"""

# What Bazel writes for a test that leaves no report.
BAZEL_XML = """<?xml version="1.0" encoding="UTF-8"?>
<testsuites><testsuite name="a"><testcase name="a" status="run"/></testsuite>
</testsuites>"""


def finished(name):
  return {"id": {"buildFinished": {}},
          "finished": {"exitCode": {"name": name}}}


class SummaryTest(unittest.TestCase):

  def setUp(self):
    directory = tempfile.TemporaryDirectory()
    self.addCleanup(directory.cleanup)
    self.directory = directory.name

  def result(self, status, xml=BAZEL_XML, log="", label="//a:b", attempt=1):
    """Returns the event of a test that left these two files."""
    outputs = []
    for name, text in (("test.xml", xml), ("test.log", log)):
      path = os.path.join(
          tempfile.mkdtemp(dir=self.directory), "a space " + name)
      with open(path, "w", encoding="utf-8") as file:
        file.write(text)
      uri = "file://" + path.replace(" ", "%20")
      outputs.append({"name": name, "uri": uri})
    key = {"label": label, "run": 1, "shard": 1, "attempt": attempt}
    return {"id": {"testResult": key},
            "testResult": {"status": status, "testActionOutput": outputs}}

  def cases(self, *events, exit_code="SUCCESS"):
    run = summary.cases_of_run(list(events) + [finished(exit_code)])
    return [tuple(case) for case in run]

  def test_gtest_reports_each_case(self):
    self.assertEqual(
        self.cases(self.result("FAILED", xml=GTEST_XML)),
        [("//a:b LatchTest.Reads", "PASSED", ""),
         ("//a:b LatchTest.Writes", "FAILED", "latch_test.cc:7\nExpected: 1"),
         ("//a:b LatchTest.Kvm", "SKIPPED", "no /dev/kvm"),
         ("//a:b LatchTest.DISABLED_Later", "SKIPPED",
          "disabled in the source")])

  def test_script_is_one_case(self):
    self.assertEqual(self.cases(self.result("PASSED", log="hello\n")),
                     [("//a:b", "PASSED", "")])

  def test_script_is_skipped_with_its_reason(self):
    self.assertEqual(self.cases(self.result("PASSED", log="SKIPPED: no qemu\n")),
                     [("//a:b", "SKIPPED", "no qemu")])

  def test_script_fails_with_its_reason(self):
    self.assertEqual(self.cases(self.result("FAILED", log="x\nFAILED: it\n")),
                     [("//a:b", "FAILED", "it")])

  def test_script_reports_several_cases(self):
    log = "CASE one PASSED\nCASE two SKIPPED no strace\nCASE three FAILED\n"
    self.assertEqual(
        self.cases(self.result("FAILED", log=log)),
        [("//a:b one", "PASSED", ""),
         ("//a:b two", "SKIPPED", "no strace"),
         ("//a:b three", "FAILED", "")])

  def test_failure_that_no_case_owns_is_counted(self):
    for log in "", "SKIPPED: no qemu\n", "CASE one PASSED\n":
      with self.subTest(log=log):
        last = self.cases(self.result("TIMEOUT", log=log))[-1]
        self.assertEqual(last, ("//a:b", "FAILED", "TIMEOUT, see its log"))

  def test_last_attempt_counts(self):
    self.assertEqual(
        self.cases(self.result("FAILED"), self.result("PASSED", attempt=2)),
        [("//a:b", "PASSED", "")])

  def test_target_that_does_not_build_has_failed(self):
    unbuilt = {"id": {"targetCompleted": {"label": "//a:c"}}, "completed": {}}
    self.assertEqual(
        self.cases(self.result("PASSED"), unbuilt, exit_code="BUILD_FAILURE"),
        [("//a:b", "PASSED", ""), ("//a:c", "FAILED", "did not build")])

  def test_error_of_bazel_itself_has_failed(self):
    self.assertEqual(
        self.cases(self.result("PASSED"), exit_code="PARSING_FAILURE"),
        [("//a:b", "PASSED", ""), ("bazel", "FAILED", "PARSING_FAILURE")])

  def test_run_without_end_has_failed(self):
    self.assertEqual([tuple(case) for case in summary.cases_of_run([])],
                     [("bazel", "FAILED", "UNFINISHED")])


if __name__ == "__main__":
  unittest.main()
