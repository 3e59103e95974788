#!/usr/bin/env python3
"""Somebody's project (consumer/) takes vvar in each way that README.md tells of,
is built and run.

    tests/packaging/consumer_test.py [root of a tree]
"""

import ast
import re

import packages
from packages import house, run

CONSUMER = house.ROOT / "tests/packaging/consumer"
# What consumer/ installs, and all that may be installed with it.
PROGRAMS = {"bin/own_page", "bin/in_process"}
CORE = ("vvar", "clocks", "fallback", "paravirt")


def check_programs(look, folder):
  for name in look.at(("own_page", "in_process"), "programs"):
    run(folder / name)


def build_consumer(name, *options):
  build = packages.configure(name, CONSUMER, *options)
  run("cmake", "--build", build)
  return build


@house.case
def find_package(look):
  """An installed vvar, wherever it was meant to be installed."""
  build = build_consumer(
      "found", "-DCMAKE_PREFIX_PATH=%s" % packages.installed())
  check_programs(look, build)


@house.case
def fetch_content(look):
  """A source tree, which adds nothing to what its user builds and installs."""
  build = build_consumer(
      "fetched", "-DVVAR_IS_FETCHED=ON",
      "-DFETCHCONTENT_SOURCE_DIR_VVAR=%s" % house.ROOT)
  check_programs(look, build)
  prefix = packages.folder("fetched_prefix")
  run("cmake", "--install", build, "--prefix", prefix)
  extra = packages.files_under(prefix) ^ PROGRAMS
  if extra:
    look.problem("installed", sorted(extra))


@house.case
def pkg_config(look):
  packages.need("pkg-config", "g++")
  path = {"PKG_CONFIG_PATH": packages.installed() / "share/pkgconfig"}
  build = packages.folder("pkg_config")
  build.mkdir()
  for name, module in (("own_page", "vvar"), ("in_process", "vvar-hosted")):
    flags = run("pkg-config", "--cflags", "--libs", module, env=path)
    run("g++", "-std=c++20", CONSUMER / (name + ".cc"), *flags.split(),
        "-o", build / name)
    if run("pkg-config", "--modversion", module,
           env=path).strip() != packages.version():
      look.problem(module + ".pc", "not version " + packages.version())
  check_programs(look, build)


@house.case
def include_path(look):
  """The freestanding headers, in a clone or installed, need a -I and no more."""
  packages.need("g++")
  for root in look.at((house.ROOT, packages.installed() / "include/vvar"),
                      "folders"):
    program = packages.folder("included")
    run("g++", "-std=c++20", "-I", root, CONSUMER / "own_page.cc", "-o", program)
    run(program)


@house.case
def installed_headers_are_complete(look):
  """What an installed header includes is installed, and all of the core is."""
  root = packages.installed() / "include/vvar"
  files = packages.files_under(root)
  for path in sorted(files):
    text = (root / path).read_text(encoding="utf-8")
    for name in look.at(re.findall(r'#include "(.*)"', text), "includes"):
      if (house.ROOT / name).exists() and name not in files:
        look.problem(path, name + " is not installed")
  for path in house.files(*CORE, "hosted", suffixes=(".h",)):
    if path not in files:
      look.problem(path, "is not installed")


@house.case
def without_abseil(look):
  """There is vvar::core, and who asks for more is told."""
  prefix = packages.installed("-DCMAKE_DISABLE_FIND_PACKAGE_absl=ON")
  strangers = [path for path in look.at(packages.files_under(prefix))
               if "osted" in path or "absl" in path]
  if strangers:
    look.problem("installed", sorted(strangers))
  try:
    build_consumer("bare", "-DCMAKE_PREFIX_PATH=%s" % prefix)
    look.problem("find_package", "found hosted")
  except RuntimeError as error:
    if "hosted: vvar was installed without Abseil" not in str(error):
      look.problem("find_package", error)


@house.case
def bazel_workspace(look):
  packages.need("bazel")
  output = packages.folder("bazel")
  # --batch: no server is left behind. The links would be made in the tree.
  bazel = ("bazel", "--batch", "--output_user_root=%s" % output)
  flags = ("--symlink_prefix=/", "--nosandbox_debug")
  try:
    run(*bazel, "build", *flags, "//...", cwd=CONSUMER)
    check_programs(look, next(output.glob("*/execroot/consumer/bazel-out/*/bin")))
  finally:
    # Bazel makes folders that may not be written.
    run("chmod", "-R", "u+w", output)


def calls_of(path):
  """Returns {(function, name): its arguments} of a MODULE.bazel, in which a
  call is a Python call too."""
  tree = ast.parse(house.read(path))
  calls = {}
  for node in ast.walk(tree):
    if isinstance(node, ast.Call):
      values = {each.arg: ast.literal_eval(each.value) for each in node.keywords}
      name = values.get("name") or values.get("module_name")
      calls[getattr(node.func, "id", ""), name] = values
  return calls


@house.case
def bazel_module(look):
  """Not run: no Bazel here has modules. What is written down agrees."""
  own = calls_of("MODULE.bazel")
  user = calls_of("tests/packaging/consumer/MODULE.bazel")
  override = user["local_path_override", "vvar"]
  if (CONSUMER / override["path"]).resolve() != house.ROOT:
    look.problem("local_path_override", override)
  for name in look.at(("vvar", "rules_cc"), "modules"):
    wanted = own.get(("module", name)) or own["bazel_dep", name]
    if user["bazel_dep", name]["version"] != wanted["version"]:
      look.problem("consumer/MODULE.bazel", "%s is not %s" %
                   (name, wanted["version"]))


@house.case
def one_version(look):
  """MODULE.bazel's is the changelog's newest, and the CMake package's."""
  headings = re.findall(r"^## (\S+)", house.read("CHANGELOG.md"), re.MULTILINE)
  if headings[:1] != [packages.version()]:
    look.problem("CHANGELOG.md", "begins with %s" % headings[:1])
  config = (packages.installed() /
            "share/cmake/vvar/vvarConfigVersion.cmake").read_text()
  for text in look.at([config]):
    if 'set(PACKAGE_VERSION "%s")' % packages.version() not in text:
      look.problem("vvarConfigVersion.cmake", "not " + packages.version())


house.run()
