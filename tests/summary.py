#!/usr/bin/env python3
"""Counts the test cases of one `bazel test` run.

    bazel test --build_event_json_file=events.json //...
    tests/summary.py events.json

Prints the skipped and the failed cases with their reasons, and as its last line

    N passed, N failed, N skipped

Exits with 1 when a case failed or none passed. Bazel's own summary counts
targets, and calls a skipped case passed.

A GoogleTest target reports its cases itself. Any other test is one case, unless
it prints lines of this kind:

    SKIPPED: reason
    FAILED: reason
    CASE name PASSED|FAILED|SKIPPED reason
"""

import collections
import json
import os
import re
import sys
import urllib.parse
import xml.etree.ElementTree

PASSED, FAILED, SKIPPED = "PASSED", "FAILED", "SKIPPED"

Case = collections.namedtuple("Case", "name outcome reason", defaults=[""])

CASE_LINE = re.compile(
    r"^CASE (\S+) (PASSED|FAILED|SKIPPED)\b[ \t]*(.*)$", re.MULTILINE)
WHOLE_LINE = re.compile(r"^(SKIPPED|FAILED): *(.*)$", re.MULTILINE)


def cases_in_gtest_xml(text):
  """Returns the cases of GoogleTest's report; none if it is not one.

  For a test that leaves no report Bazel writes one of its own: its cases have
  no class.
  """
  try:
    root = xml.etree.ElementTree.fromstring(text)
  except xml.etree.ElementTree.ParseError:
    return []
  cases = []
  for element in root.iter("testcase"):
    if "classname" not in element.attrib:
      return []
    name = "%s.%s" % (element.get("classname"), element.get("name"))
    failure, skipped = element.find("failure"), element.find("skipped")
    if failure is not None:
      cases.append(Case(name, FAILED, failure.get("message", "")))
    elif skipped is not None:
      # The first line is the place in the source.
      place, _, reason = skipped.get("message", "").partition("\n")
      cases.append(Case(name, SKIPPED, reason or place))
    elif element.get("status") == "notrun":
      cases.append(Case(name, SKIPPED, "disabled in the source"))
    else:
      cases.append(Case(name, PASSED))
  return cases


def cases_in_log(text):
  """Returns the cases that a script's output speaks of."""
  cases = [Case(*match) for match in CASE_LINE.findall(text)]
  return cases or [Case("", *match) for match in WHOLE_LINE.findall(text)[:1]]


def read_output(result, name):
  """Returns the text of an output file of a test, "" if it left none."""
  for output in result.get("testActionOutput", []):
    if output["name"] == name:
      path = urllib.parse.unquote(urllib.parse.urlparse(output["uri"]).path)
      if os.path.exists(path):
        with open(path, encoding="utf-8", errors="replace") as file:
          return file.read()
  return ""


def cases_of_result(result):
  """Returns the cases of one run of one test target (or of one shard)."""
  status = result["status"]
  cases = (cases_in_gtest_xml(read_output(result, "test.xml")) or
           cases_in_log(read_output(result, "test.log")))
  if status in ("PASSED", "FLAKY"):
    return cases or [Case("", PASSED)]
  if not any(case.outcome == FAILED for case in cases):
    # A crash, a timeout, a sanitizer's report after the last case.
    cases.append(Case("", FAILED, "%s, see its log" % status))
  return cases


def cases_of_run(events):
  """Returns all cases of a run; their names begin with the target's label."""
  results = {}
  unbuilt = []
  finished = {"name": "UNFINISHED"}
  for event in events:
    identity = event["id"]
    if "testResult" in identity and "testResult" in event:
      key = identity["testResult"]
      # A later attempt replaces the earlier one.
      results[key["label"], key["run"], key["shard"]] = event["testResult"]
    elif "targetCompleted" in identity:
      if not event.get("completed", {}).get("success"):
        unbuilt.append(identity["targetCompleted"]["label"])
    elif "buildFinished" in identity:
      finished = event["finished"]["exitCode"]

  cases = []
  for (label, _, _), result in sorted(results.items()):
    for case in cases_of_result(result):
      cases.append(case._replace(name=("%s %s" % (label, case.name)).strip()))
  cases += [Case(label, FAILED, "did not build") for label in sorted(unbuilt)]
  if (finished["name"] not in ("SUCCESS", "NO_TESTS_FOUND") and
      not any(case.outcome == FAILED for case in cases)):
    cases.append(Case("bazel", FAILED, finished["name"]))
  return cases


def one_line(text, limit=200):
  text = " ".join(text.split())
  return text if len(text) <= limit else text[:limit - 3] + "..."


def main(arguments):
  if len(arguments) != 2:
    sys.exit("usage: summary.py <file of --build_event_json_file>")
  with open(arguments[1], encoding="utf-8") as file:
    cases = cases_of_run([json.loads(line) for line in file])
  for outcome in SKIPPED, FAILED:
    for case in cases:
      if case.outcome == outcome:
        print("%-7s %s: %s" % (outcome, case.name, one_line(case.reason)))
  count = collections.Counter(case.outcome for case in cases)
  print("%d passed, %d failed, %d skipped" %
        (count[PASSED], count[FAILED], count[SKIPPED]))
  return 0 if count[PASSED] and not count[FAILED] else 1


if __name__ == "__main__":
  sys.exit(main(sys.argv))
