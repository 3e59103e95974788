#!/usr/bin/env python3
"""What it costs to include a header, and what one read of it becomes.

    bench/header_cost.py [--repetitions=N]

Compiles a file that includes one header, and nothing else, with each compiler
there is: preprocessed lines, and the CPU time of `-O2 -c` as a ratio to that of
<atomic> and of <chrono>, medians of N interleaved runs (default 5; 0: not
measured). Then functions of one read each: the bytes in place of the read, and
all that the object has, of which a program needs the rest once. What is called
elsewhere (libc, Abseil, libstdc++) is not counted. No Bazel: the packages of
third_party/setup.sh."""

import argparse
import os
import pathlib
import random
import re
import shutil
import statistics
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[1]
COMPILERS = {"gcc": "g++", "clang": "clang++-19"}
FLAGS = ["-std=c++20", "-O2", "-I", str(ROOT)]

NOTHING, ATOMIC, CHRONO = "(nothing)", "<atomic>", "<chrono>"
HEADERS = [
    NOTHING, ATOMIC, CHRONO, '"absl/time/time.h"', '"absl/status/statusor.h"',
    '"vvar/seqcount.h"', '"clocks/native.h"', '"vvar/reader.h"',
    '"vvar/writer.h"', '"vvar/history.h"', '"fallback/chain.h"',
    '"hosted/shared_page.h"', '"hosted/clock.h"', '"hosted/absl_time.h"',
]

# A read, its header, and a function of it.
READER = "const vvar::Reader<vvar::NativeClock>& reader"
MONOTONIC = "vvar::ClockId::kMonotonic"
READS = [
    ("Reader::Now", "vvar/reader.h", "vvar::NsReading F(%s) "
     "{ return reader.Now(%s); }" % (READER, MONOTONIC)),
    ("Reader::NowUnordered", "vvar/reader.h", "vvar::NsReading F(%s) "
     "{ return reader.NowUnordered(%s); }" % (READER, MONOTONIC)),
    ("Reader::NowTimespec", "vvar/reader.h", "vvar::TimespecReading F(%s) "
     "{ return reader.NowTimespec(%s); }" % (READER, MONOTONIC)),
    ("Reader::NowCoarse", "vvar/reader.h", "vvar::NsReading F(%s) "
     "{ return reader.NowCoarse(%sCoarse); }" % (READER, MONOTONIC)),
    ("Reader::Interval", "vvar/reader.h", "vvar::IntervalReading F(%s) "
     "{ return reader.Interval(%s); }" % (READER, MONOTONIC)),
    ("Reader::Now, clock unknown", "vvar/reader.h", "vvar::NsReading F(%s, "
     "vvar::ClockId id) { return reader.Now(id); }" % READER),
    ("Chain::NowNs", "fallback/chain.h", "uint64_t F("
     "const vvar::fallback::Chain<>& chain) { return chain.NowNs(%s); }" %
     MONOTONIC),
    ("hosted::steady_clock::now", "hosted/clock.h",
     "auto F() { return vvar::hosted::steady_clock::now(); }"),
    ("std::chrono::steady_clock::now", "chrono",
     "auto F() { return std::chrono::steady_clock::now(); }"),
]


def include(header):
  return "" if header == NOTHING else "#include %s\n" % header


class Sources:
  """Files of a folder, one for each text."""

  def __init__(self, folder):
    self.folder = folder
    self.paths = {}

  def path(self, text):
    if text not in self.paths:
      self.paths[text] = os.path.join(self.folder, "%d.cc" % len(self.paths))
      with open(self.paths[text], "w", encoding="utf-8") as file:
        file.write(text)
    return self.paths[text]


def output_of(*command):
  done = subprocess.run(command, capture_output=True, text=True, check=False)
  if done.returncode != 0:
    sys.exit("header_cost: %s\n%s" % (" ".join(command), done.stderr))
  return done.stdout


def preprocessed_lines(compiler, path):
  """Without the empty ones and the preprocessor's own marks."""
  text = output_of(compiler, *FLAGS, "-E", "-P", path)
  return sum(1 for line in text.split("\n") if line.strip())


def cpu_seconds(compiler, path):
  """Of the compiler and what it starts: less of the neighbours than a wall
  clock sees."""
  before = os.times()
  output_of(compiler, *FLAGS, "-c", path, "-o", os.devnull)
  after = os.times()
  return (after.children_user + after.children_system -
          before.children_user - before.children_system)


def code_bytes(compiler, path, folder):
  """Returns the size of the function F, with the part of it that is moved out
  of the way, and that of all sections of code."""
  unit = os.path.join(folder, "unit.o")
  output_of(compiler, *FLAGS, "-c", path, "-o", unit)
  own = re.findall(r"^\w+ (\w+) [tT] F\(.*\)", output_of(
      "nm", "--print-size", "--demangle", unit), re.MULTILINE)
  sections = re.findall(r"^\.text\S*\s+(\d+)", output_of("size", "-A", unit),
                        re.MULTILINE)
  return sum(int(size, 16) for size in own), sum(map(int, sections))


def compile_times(compilers, sources, repetitions):
  """Returns {(compiler, header): median}, of runs in random order."""
  runs = [(name, header) for name in compilers for header in HEADERS]
  seconds = {run: [] for run in runs}
  for _ in range(repetitions):
    random.shuffle(runs)
    for name, header in runs:
      path = sources.path(include(header))
      seconds[name, header].append(cpu_seconds(compilers[name], path))
  return {run: statistics.median(each) for run, each in seconds.items() if each}


def print_headers(compilers, sources, repetitions):
  times = compile_times(compilers, sources, repetitions)
  columns = "".join("%9s lines  x<atomic>  x<chrono>" % name
                    for name in compilers)
  print("%-26s%s" % ("include", columns))
  for header in HEADERS:
    row = "%-26s" % header
    for name, compiler in compilers.items():
      row += "%15d" % preprocessed_lines(compiler,
                                         sources.path(include(header)))
      for base in ATOMIC, CHRONO:
        row += ("%11.2f" % (times[name, header] / times[name, base])
                if times else "%11s" % "-")
    print(row)


def print_reads(compilers, sources, folder):
  print("\n%-32s%s" % ("bytes of code, -O2", "".join(
      "%12s in place     all" % name for name in compilers)))
  for read, header, function in READS:
    text = "#include <%s>\n#include <clocks/native.h>\n%s\n" % (header,
                                                               function)
    print("%-32s%s" % (read, "".join(
        "%21d%8d" % code_bytes(compiler, sources.path(text), folder)
        for compiler in compilers.values())))


def main():
  parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
  parser.add_argument("--repetitions", type=int, default=5)
  repetitions = parser.parse_args().repetitions
  if repetitions < 0:
    parser.error("--repetitions=%d; expected 0 or more" % repetitions)
  compilers = {name: command for name, command in COMPILERS.items()
               if shutil.which(command)}
  if not compilers:
    sys.exit("header_cost: none of %s is here" % ", ".join(COMPILERS.values()))
  with tempfile.TemporaryDirectory() as folder:
    sources = Sources(folder)
    print_headers(compilers, sources, repetitions)
    print_reads(compilers, sources, folder)


if __name__ == "__main__":
  main()
