#!/usr/bin/env python3
"""Runs c_api_test.c and example.c on every machine that has a counter here and
a libc: C by the C compiler, as strictly as it can, and vvar_c.cc by the C++ one.

    embed/c_api/c_api_test.py [root of a tree]
"""

import datetime
import os
import pathlib
import re
import sys
import tempfile

_ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[1:1] = [str(_ROOT / "tests/house"), str(_ROOT / "embed/matrix")]
import house  # pylint: disable=wrong-import-position
import machines  # pylint: disable=wrong-import-position

C = ["-std=c11", "-O2", "-Wall", "-Wextra", "-Wconversion", "-Werror",
     "-pedantic"]
# Freestanding and without exceptions, as in a kernel.
CPP = ["-std=c++20", "-O2", "-Wall", "-Wextra", "-Wconversion", "-Werror",
       "-ffreestanding", "-nostdinc++", "-fno-exceptions", "-fno-rtti",
       "-fno-threadsafe-statics"]
# Headers of both widths: see tests/support/programs.py.
FLAGS = {"i386": ["-m32", "-idirafter", "/usr/include/x86_64-linux-gnu"],
         "aarch64": ["-mno-outline-atomics"]}
# Not armv7: QEMU 7.2's user mode has no CNTVCT there. Its object is compiled by
# vvar_c_freestanding_test.
NAMES = ["x86_64", "i386", "aarch64", "riscv64"]


def program(name, source, folder):
  """Returns the command of a C source, linked with vvar_c.cc by the linker of
  C: what of C++ it would need is an error."""
  machine = machines.MACHINES[name]
  flags = FLAGS.get(name, []) + ["-I", str(house.ROOT)]
  path = os.path.join(folder, name + "." + source)
  unit = os.path.join(folder, name + ".o")
  if not os.path.exists(unit):
    machines.run(machine.prefix + "g++", *CPP, *flags, "-c",
                 str(house.ROOT / "embed/c_api/vvar_c.cc"), "-o", unit)
  machines.run(machine.prefix + "gcc", *C, *flags, "-static",
               str(house.ROOT / "embed/c_api" / source), unit, "-o", path)
  return [*machine.emulator, path]


def output_of(name, source, folder):
  """Returns what a program prints."""
  return machines.start(program(name, source, folder)).stdout


def calls(look, name, folder):
  """Every case of c_api_test.c."""
  output = output_of(name, "c_api_test.c", folder)
  look.what = "checks"
  for case, outcome, rest in re.findall(r"^CASE (\w+) (\w+) (.*)$", output,
                                        re.MULTILINE):
    if outcome == "PASSED":
      look.count += int(rest.split()[0])
    else:
      look.problem("embed/c_api/c_api_test.c", "%s %s %s" %
                   (case, outcome, rest))
  if output.count(" PASSED ") < 20:
    look.problem("embed/c_api/c_api_test.c",
                 "%d cases passed" % output.count(" PASSED "))


def example(look, name, folder):
  """It prints real times, within 10 s of those here."""
  output = output_of(name, "example.c", folder)
  times = dict(re.findall(r"^(\w+) +(\d+)\.\d{9}$", output, re.MULTILINE))
  now = datetime.datetime.now().timestamp()
  for clock, offset in look.at([("REALTIME", 0), ("TAI", 37)], "clocks"):
    if abs(int(times.get(clock, 0)) - offset - now) > 10:
      look.problem("embed/c_api/example.c", "%s: %s" % (clock, output))
  if "MONOTONIC" not in times:
    look.problem("embed/c_api/example.c", output)


def define_case(title, function, *arguments):
  def one(look):
    function(look, *arguments)
  one.__name__ = title
  house.case(one)


with tempfile.TemporaryDirectory() as temporary:
  for each in NAMES:
    define_case("calls." + each, calls, each, temporary)
    define_case("example." + each, example, each, temporary)
  house.run()
