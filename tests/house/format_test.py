#!/usr/bin/env python3
"""Source is as clang-format has it, one case for each folder; scripts are
strict."""

import re
import shutil
import subprocess

import house

# Debian 12's. Another version formats some lines otherwise.
VERSION = "14"
FOLDERS = ("vvar", "clocks", "fallback", "paravirt", "hosted", "tools", "bench",
           "tests", "vdso", "embed", "examples")


def clang_format():
  command = next(filter(shutil.which, ("clang-format-" + VERSION,
                                       "clang-format")), None)
  if command is None:
    raise house.Skip("clang-format is not installed")
  version = subprocess.run([command, "--version"], capture_output=True,
                           text=True, check=True).stdout
  if not re.search(r"version %s\." % VERSION, version):
    raise house.Skip("expected clang-format %s, found %s" %
                     (VERSION, version.strip()))
  return command


def format_case(folder):
  def one(look):
    paths = house.files(folder)
    command = [clang_format(), "--dry-run", "-Werror", "--style=file"]
    result = subprocess.run(command + list(look.at(paths)), cwd=house.ROOT,
                            stdin=subprocess.DEVNULL,
                            capture_output=True, text=True, check=False)
    found = re.findall(r"^(\S+?):(\d+):\d+: error", result.stderr, re.MULTILINE)
    for path in sorted({path for path, _ in found}):
      lines = [line for each, line in found if each == path]
      look.problem("%s:%s" % (path, lines[0]), "%d places" % len(lines))
    if result.returncode != 0 and not found:
      look.problem(command[0], result.stderr.strip())
  one.__name__ = "format." + folder
  house.case(one)


@house.case
def shell_is_strict(look):
  """Scripts stop at the first error."""
  scripts = house.files("docs", "packaging", "tests", "third_party",
                        suffixes=(".sh",)) + [".ci/run"]
  for path in look.at(scripts, "scripts"):
    if "\nset -euo pipefail\n" not in house.read(path):
      look.problem(path, "no set -euo pipefail")


for name in FOLDERS:
  if (house.ROOT / name).is_dir():
    format_case(name)
house.run()
