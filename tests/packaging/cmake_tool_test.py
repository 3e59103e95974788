#!/usr/bin/env python3
"""`vvar` as CMake builds and installs it is the one that Bazel builds.

    VVAR=<Bazel's> X86_64_IMAGE=<Bazel's> I386_IMAGE=<Bazel's>
    tests/packaging/cmake_tool_test.py [root of a tree]
"""

import os
import pathlib
import platform
import re
import subprocess

import packages
from packages import house, run

# Of the build types, the one that compiles fastest.
OPTIONS = ("-DVVAR_BUILD_TOOLS=ON", "-DCMAKE_BUILD_TYPE=None")
# vvar_preload is built by Bazel alone.
NOT_OF_VVAR = {"vvar_preload.cc"}


def tool():
  return packages.installed(*OPTIONS) / "bin/vvar"


@house.case
def sources_are_those_of_bazel(look):
  wanted = set(re.findall(r'"(\w+\.cc)"', house.read("tools/BUILD")))
  script = house.read("packaging/tools.cmake")
  got = set()
  for words in look.at(re.findall(r"set\(VVAR_TOOL_SOURCES\w* ([^)]*)\)",
                                  script), "lists"):
    got |= set(words.split())
  if got != wanted - NOT_OF_VVAR:
    look.problem("packaging/tools.cmake", "differs from tools/BUILD by %s" %
                 sorted(got ^ (wanted - NOT_OF_VVAR)))


@house.case
def images_are_those_of_bazel(look):
  """To the byte: the same flags, in two languages."""
  if platform.machine() != "x86_64":
    raise house.Skip("no image for " + platform.machine())
  tool()
  for name in look.at(("x86_64", "i386"), "images"):
    ours = packages.build_folder(*OPTIONS) / (name + "_image")
    wanted = pathlib.Path(os.environ[name.upper() + "_IMAGE"])
    if ours.read_bytes() != wanted.read_bytes():
      look.problem(name, "another image than Bazel's")


@house.case
def program_works(look):
  for words in look.at((["--version"], ["--help"], ["help", "exec"]), "answers"):
    if run(tool(), *words) != run(packages.vvar(), *words):
      look.problem("vvar", "says something else of " + " ".join(words))
  run(tool(), "now")
  # 9: no right to trace, 125: no such image on this machine.
  done = subprocess.run([tool(), "exec", "--", "true"], check=False,
                        capture_output=True, text=True)
  expected = (0, 9) if platform.machine() == "x86_64" else (125,)
  if done.returncode not in expected:
    look.problem("vvar exec", "%d: %s" % (done.returncode, done.stderr))


@house.case
def all_of_it_is_installed(look):
  prefix = packages.installed(*OPTIONS)
  for path, source in look.at((
      ("share/man/man1/vvar.1", "packaging/vvar.1"),
      ("share/bash-completion/completions/vvar", "packaging/vvar.bash"),
      ("lib/systemd/system/vvar@.service", "packaging/vvar@.service"),
      ("share/doc/vvar/LICENSE", "LICENSE"))):
    if (prefix / path).read_text(encoding="utf-8") != house.read(source):
      look.problem(path, "is not " + source)


@house.case
def unit_starts_what_is_installed(look):
  build = packages.configure("elsewhere", house.ROOT, *OPTIONS,
                             "-DCMAKE_INSTALL_PREFIX=/opt/vvar")
  for text in look.at([(build / "vvar@.service").read_text()], "units"):
    if "\nExecStart=/opt/vvar/bin/vvar serve" not in text:
      look.problem("vvar@.service", text)


@house.case
def a_missing_image_is_told(look):
  if platform.machine() != "x86_64":
    raise house.Skip("no image for " + platform.machine())
  said = run("cmake", "-S", house.ROOT, "-B", packages.folder("no_image"),
             *OPTIONS, "-DVVAR_IMAGE_LINKER=")
  for words in look.at(("built without its image", "no ld.bfd"), "words"):
    if words not in " ".join(said.split()):
      look.problem("cmake", said)


house.run()
