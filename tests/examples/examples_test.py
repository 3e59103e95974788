#!/usr/bin/env python3
"""Runs the programs of examples/ and holds what they print against what is true
of it. No case depends on how long anything takes.

    tests/examples/examples_test.py VVAR EXAMPLE...

Prints `CASE name PASSED|FAILED|SKIPPED reason` for each case."""

import calendar
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import time
import traceback

sys.path.insert(1, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import refused_counter  # pylint: disable=wrong-import-position

VVAR = sys.argv[1]
EXAMPLES = {os.path.basename(path): os.path.abspath(path)
            for path in sys.argv[2:]}
DEADLINE_S = 60  # Gives up only.
S, MS, US = 10**9, 10**6, 10**3
CASES = []


def case(function):
  CASES.append(function)
  return function


class Skip(Exception):
  """Raised by a case that cannot be tried here; says why."""


def run(name, *words, status=0):
  """Returns what an example prints, and what on stderr."""
  done = subprocess.run([EXAMPLES[name], *words], capture_output=True,
                        text=True, timeout=DEADLINE_S, check=False)
  if done.returncode != status and "counter: " in done.stderr:
    raise Skip(done.stderr.strip())  # It says that no page can be had here.
  assert done.returncode == status, (done.returncode, done.stderr)
  return done.stdout, done.stderr


def matches(pattern, text, count):
  """Returns the groups of each line; every line is to match."""
  lines = text.splitlines()
  found = [re.fullmatch(pattern, line) for line in lines]
  assert len(lines) == count and all(found), text
  return [match.groups() for match in found]


class Served:
  """A page that `vvar serve` keeps, in a folder of its own."""

  def __enter__(self):
    self.folder = tempfile.TemporaryDirectory()
    self.path = os.path.join(self.folder.name, "page")
    self.process = subprocess.Popen(
        [VVAR, "serve", "--page=" + self.path], stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True)
    first = self.process.stdout.readline()
    if not first.startswith("page"):
      raise Skip("vvar serve: " + first.strip())
    return self

  def __exit__(self, *_):
    self.process.send_signal(signal.SIGTERM)
    self.process.communicate(timeout=DEADLINE_S)
    self.folder.cleanup()


def check_log(text, before_ns, after_ns, leg):
  """Five lines, their stamps in order and between two of this process."""
  stamps = [before_ns - US]
  for date, nsec, by, _ in matches(
      r"(\S+T\S+)\.(\d{9})Z (\w+) +(\w.*)", text, 5):
    sec = calendar.timegm(time.strptime(date, "%Y-%m-%dT%H:%M:%S"))
    stamps.append(sec * S + int(nsec))
    assert by == leg, text
  stamps.append(after_ns + US)
  assert stamps == sorted(stamps), (stamps, text)


@case
def logger_timestamps_are_the_pages():
  with Served() as page:
    before_ns = time.time_ns()
    text, errors = run("logger_timestamps", page.path)
    check_log(text, before_ns, time.time_ns(), "page")
  assert not errors, errors


@case
def logger_timestamps_are_the_systems_without_a_page():
  before_ns = time.time_ns()
  text, errors = run("logger_timestamps", "/nonexistent/page")
  check_log(text, before_ns, time.time_ns(), "system")
  assert "/nonexistent/page" in errors, errors


@case
def request_latency_counts_every_request():
  text, _ = run("request_latency")
  *buckets, summary = text.splitlines()
  buckets = [tuple(map(int, re.findall(r"\d+", line))) for line in buckets]
  total, p50, p90, p99, most = map(int, re.match(
      r"(\d+) requests, p50 (\d+), p90 (\d+), p99 (\d+), max (\d+) ns",
      summary).groups())
  assert sum(count for _, _, count in buckets) == total, text
  assert all(high < low for (_, high, _), (low, _, _)
             in zip(buckets, buckets[1:])), text
  assert buckets[0][0] <= p50 <= p90 <= p99 <= most <= buckets[-1][1], text
  # One in a hundred does twenty times the work.
  assert p99 > p50, text
  # No read went back: that would be a latency of some centuries.
  assert most < DEADLINE_S * S, text


@case
def commit_wait_orders_transactions():
  before_ns = time.time_ns()
  text, _ = run("commit_wait", "500")
  first, second = (int(ns) for (ns,) in matches(
      r"\w+ transaction: (\d+)", text, 2))
  # Each timestamp is the latest that it may be: after the time there and then,
  # and by the bound at least; and each was waited for.
  assert before_ns + 500 * US <= first + US, text
  assert first + 500 * US < second < time.time_ns(), text


@case
def commit_wait_refuses_a_clock_that_nobody_vouches_for():
  try:
    text, errors = run("commit_wait", status=1)
  except AssertionError:  # The kernel's clock is synchronised here.
    text, _ = run("commit_wait")
    first, second = matches(r"\w+ transaction: (\d+)", text, 2)
    assert int(first[0]) < int(second[0]), text
  else:
    assert "nobody vouches" in errors and not text, (text, errors)


@case
def deadline_by_counter_is_never_early():
  text, _ = run("deadline_by_counter")
  for wait_ns, looks, over_ns in matches(
      r"deadline in +(\d+) ns: +(\d+) looks, over by (\d+) ns", text, 3):
    # An early one would be over by nearly 2^64.
    assert int(over_ns) < DEADLINE_S * S, text
    assert int(looks) > 0 or int(over_ns) > 0, (wait_ns, text)


@case
def coarse_cache_fetches_once_per_lifetime():
  text, _ = run("coarse_cache")
  rows = [(int(lookups), int(ns)) for lookups, ns in matches(
      r"lookup +(\d+): answer as fetched at (\d+) ns", text, 4)]
  assert rows[0][0] == 0, text
  for (lookups, ns), (more, later_ns) in zip(rows, rows[1:]):
    assert more > lookups + 1, text  # Hits between the fetches.
    assert later_ns - ns >= 20 * MS, text


@case
def signal_handler_stamps_in_order():
  text, _ = run("signal_handler_stamp")
  *samples, _ = text.splitlines()
  stamps = [int(ns) for (ns,) in matches(
      r"sample at +(\d+) ns", "\n".join(samples), 10)]
  assert stamps[0] == 0 and sorted(set(stamps)) == stamps, text
  assert stamps[-1] < DEADLINE_S * S, text


@case
def two_processes_read_on_when_the_writer_dies():
  with tempfile.TemporaryDirectory() as folder:
    before_ns = time.monotonic_ns()
    text, _ = run("two_processes", os.path.join(folder, "page"))
    assert not os.listdir(folder), os.listdir(folder)
  rows = matches(r"the writer (lives|is dead): +(\d+)\.(\d{9}) by the (\w+)",
                 text, text.count("\n"))
  assert rows[0][0] == "lives" and rows[0][3] == "page", text
  assert {row[0] for row in rows[1:]} == {"is dead"}, text
  assert [row[3] for row in rows].index("system") == len(rows) - 1, text
  times = [int(sec) * S + int(nsec) for _, sec, nsec, _ in rows]
  # Of the page and of the system: one timeline, within the page's error.
  bounds = [before_ns - US, *times, time.monotonic_ns() + US]
  assert bounds == sorted(bounds), (bounds, text)


@case
def two_processes_names_the_page_it_cannot_make():
  _, errors = run("two_processes", "/nonexistent/page", status=1)
  assert "writer: NOT_FOUND" in errors and "/nonexistent/page" in errors, errors


@case
def ptp_timeline_differs_by_what_its_reference_does():
  before_ns = time.time_ns()
  text, errors = run("ptp_timeline", "/nonexistent/ptp")
  assert "/nonexistent/ptp" in errors, errors
  domain, system, error = map(int, re.fullmatch(
      r"domain (\d+) ns\nsystem (\d+) ns \+- (\d+) ns\n", text).groups())
  assert before_ns - US <= system <= time.time_ns() + US, text
  # At one counter value, so whatever happened between the reads; two pages'
  # errors are left.
  assert abs(domain - system - 37 * S) < MS, text
  assert error == 0, text


@case
def ptp_timeline_follows_a_device():
  if not os.path.exists("/dev/ptp0"):
    raise Skip("no /dev/ptp0")
  text, errors = run("ptp_timeline")
  assert "domain" in text and not errors, (text, errors)


@case
def chrono_drop_in_paces_by_either_clock():
  text, _ = run("chrono_drop_in")
  rows = matches(r"(\w+)::\w+::steady_clock +5 turns in (\d+) us, "
                 r"(\d+) early", text, 2)
  assert [row[0] for row in rows] == ["std", "vvar"], text
  for _, elapsed_us, early in rows:
    assert int(elapsed_us) >= 5 * 2 * 1000 and early == "0", text


@case
def all_say_why_where_the_counter_is_refused():
  """Those that can do without a page do; the others give up. Not the one that
  asks libc's clock, which reads the counter itself."""
  if not refused_counter.can_be_refused():
    raise Skip("no PR_SET_TSC on this architecture or kernel")
  needing_a_page = {"commit_wait", "ptp_timeline", "two_processes"}
  with tempfile.TemporaryDirectory() as folder:
    env = refused_counter.environment(folder)
    for name in sorted(set(EXAMPLES) - {"chrono_drop_in"}):
      done = subprocess.run(
          [EXAMPLES[name]], capture_output=True, text=True, check=False,
          timeout=DEADLINE_S, env=env)
      assert done.returncode == (name in needing_a_page), (name, done)
      assert "reading it raises signal" in done.stderr, (name, done)
      assert bool(done.stdout) != (name in needing_a_page), (name, done)


@case
def examples_are_short_and_in_the_table():
  """README.md has a row for each program, and names none that is not run."""
  folder = pathlib.Path(__file__).resolve().parents[2] / "examples"
  programs = {path.stem: path for path in folder.glob("*.cc")}
  assert set(programs) == set(EXAMPLES), (programs, EXAMPLES)
  rows = re.findall(r"^\| `(\w+)\.cc` \|.*\| `bazel run //examples:\1\b",
                    (folder / "README.md").read_text(), re.MULTILINE)
  assert sorted(rows) == sorted(programs), rows
  for path in programs.values():
    assert path.read_text().count("\n") <= 80, path


def main():
  failed = not CASES
  for function in CASES:
    try:
      function()
      print("CASE %s PASSED" % function.__name__)
    except Skip as skip:
      print("CASE %s SKIPPED %s" % (function.__name__, skip))
    except Exception as error:  # A program that breaks down has failed.
      traceback.print_exc(file=sys.stdout)
      print("CASE %s FAILED %s" % (function.__name__,
                                   " ".join(str(error).split())[:400]))
      failed = True
  return failed


if __name__ == "__main__":
  sys.exit(main())
