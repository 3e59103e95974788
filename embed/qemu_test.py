#!/usr/bin/env python3
"""Runs an example kernel in QEMU in each way it is to work, and passes on what
its user program tells.

    embed/qemu_test.py <kernel> <image> <image whose readers do not re-check>
    embed/qemu_test.py skip <missing command>
"""

import re
import shutil
import subprocess
import sys
import time

# {kernel: (QEMU's command, {way: arguments}, exit status of success)}. {image}
# is the kernel's file. One way has two CPUs, which race.
_RISCV = ["qemu-system-riscv64", "-M", "virt", "-nographic"]
_NO_FIRMWARE = ["-bios", "none", "-device", "loader,file={image}", "-device",
                "loader,addr=0x80200100,cpu-num=0"]
_ARM = ["qemu-system-aarch64", "-M", "virt", "-cpu", "max", "-nographic",
        "-semihosting"]
_X86_64 = ["qemu-system-x86_64", "-nographic", "-no-reboot"]
_PVH = ["-kernel", "{image}", "-device", "isa-debug-exit,iobase=0xf4,iosize=4"]
KERNELS = {
    "aarch64_kernel": (_ARM, {
        "two_cpus": ["-kernel", "{image}", "-smp", "2"],
        "el2": ["-kernel", "{image}", "-M", "virtualization=on", "-smp", "2"],
        "cortex_a72": ["-kernel", "{image}", "-cpu", "cortex-a72"],
        "icount": ["-kernel", "{image}", "-icount", "shift=3,sleep=off"],
    }, 0),
    "riscv_kernel": (_RISCV, {
        "two_cpus": [*_NO_FIRMWARE, "-device",
                     "loader,addr=0x80200100,cpu-num=1", "-smp", "2"],
        "opensbi": ["-bios", "default", "-kernel", "{image}"],
        "icount": [*_NO_FIRMWARE, "-icount", "shift=3,sleep=off"],
    }, 0),
    "x86_64_kernel": (_X86_64, {
        "two_cpus": [*_PVH, "-cpu", "max", "-smp", "2"],
        "without_rdtscp": [*_PVH, "-cpu", "qemu64"],
        "icount": [*_PVH, "-cpu", "max", "-icount", "shift=3,sleep=off"],
    }, 33),
}
# How many kernel/user_program.cc tells, with one CPU and with two.
_CASES, _CASES_OF_TWO = 8, 10
RACE = "reads_beside_the_writer"
CASE = re.compile(r"^CASE (\S+) (PASSED|FAILED) (.*)$", re.MULTILINE)
# Each takes about a second.
_SECONDS = 120


class Run:
  """What one boot printed, and how it ended."""

  def __init__(self, kernel, way, image):
    command, ways, success = KERNELS[kernel]
    arguments = [each.format(image=image) for each in ways[way]]
    start = time.monotonic()
    # 124: it has not ended.
    result = subprocess.run(
        ["timeout", "-v", str(_SECONDS), *command, *arguments], check=False,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT)
    self.seconds = time.monotonic() - start
    self.output = result.stdout.decode(errors="replace").replace("\r", "")
    self.status = result.returncode
    self.succeeded = self.status == success
    self.cases = CASE.findall(self.output)


def report(name, passed, details):
  print("CASE %s %s %s" % (name, "PASSED" if passed else "FAILED", details))
  return passed


def run_way(kernel, way, image):
  """Runs one boot; each case of its user program is one of ours."""
  run = Run(kernel, way, image)
  passed = True
  for name, outcome, figures in run.cases:
    passed &= report("%s.%s" % (way, name), outcome == "PASSED", figures)
  if not run.succeeded:
    print(run.output)
  expected = _CASES_OF_TWO if "-smp" in KERNELS[kernel][1][way] else _CASES
  return report(way, run.succeeded and len(run.cases) == expected and passed,
                "%d cases of %d, exit status %d, %.1f s" %
                (len(run.cases), expected, run.status, run.seconds))


def run_twice(kernel, image):
  """With a clock that counts instructions, each boot is the same as the last."""
  first, second = Run(kernel, "icount", image), Run(kernel, "icount", image)
  for name, _, figures in first.cases:
    print("  %s: %s" % (name, figures))
  return report("icount.is_deterministic",
                first.succeeded and first.output == second.output != "",
                "%d lines twice" % first.output.count("\n"))


def run_twin(kernel, image):
  """Readers that do not re-check are found out."""
  run = Run(kernel, "two_cpus", image)
  race = [figures for name, outcome, figures in run.cases
          if (name, outcome) == (RACE, "FAILED")]
  return report("two_cpus.the_twin_without_recheck_fails",
                bool(race) and not run.succeeded,
                race[0] if race else run.output)


def main(arguments):
  kernel = arguments[1]
  if kernel == "skip":
    print("SKIPPED: %s is not installed" % arguments[2])
    return 0
  command, ways, _ = KERNELS[kernel]
  if not shutil.which(command[0]):
    print("SKIPPED: %s is not installed" % command[0])
    return 0
  image, twin = arguments[2:]
  passed = [run_way(kernel, way, image) for way in ways]
  passed += [run_twice(kernel, image), run_twin(kernel, twin)]
  return 0 if all(passed) else 1


if __name__ == "__main__":
  sys.exit(main(sys.argv))
