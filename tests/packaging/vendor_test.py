#!/usr/bin/env python3
"""packaging/vendor.sh copies the freestanding core, says of what, and treads on
nobody's files. (That the copy compiles: vendored_core_test.)

    tests/packaging/vendor_test.py [root of a tree]
"""

import re

import packages
from packages import house, run

SCRIPT = house.ROOT / "packaging/vendor.sh"
CORE = ("vvar", "clocks", "fallback", "paravirt")
OWN = {"LICENSE.vvar", "README.vvar", "vvar.sha256"}


def vendored(name):
  copy = packages.folder(name)
  run(SCRIPT, copy)
  return copy


def refusal(copy):
  """Returns what the script said when it was to refuse, or None."""
  try:
    run(SCRIPT, copy)
  except RuntimeError as error:
    return str(error)
  return None


@house.case
def copies_the_core_and_only_it(look):
  copy = vendored("whole")
  wanted = set(house.files(*CORE, suffixes=(".h",)))
  for path in look.at(sorted(wanted)):
    if (copy / path).read_text(encoding="utf-8") != house.read(path):
      look.problem(path, "is not as it was")
  if packages.files_under(copy) != wanted | OWN:
    look.problem("copy", sorted(packages.files_under(copy) ^ (wanted | OWN)))


@house.case
def includes_stay_inside(look):
  copy = vendored("inside")
  for path in sorted(packages.files_under(copy) - OWN):
    text = (copy / path).read_text(encoding="utf-8")
    for name in look.at(re.findall(r'#include "(.*)"', text), "includes"):
      if not (copy / name).is_file():
        look.problem(path, name + " is not in the copy")


@house.case
def says_what_it_is_of(look):
  copy = vendored("origin")
  origin = (copy / "README.vvar").read_text()
  commit = "unknown"
  if (house.ROOT / ".git").exists():
    commit = run("git", "-C", house.ROOT, "rev-parse", "HEAD").strip()
  for words in look.at(("vvar %s," % packages.version(), "commit: " + commit),
                       "statements"):
    if words not in origin:
      look.problem("README.vvar", "does not say " + words)
  run("sha256sum", "--check", "--strict", "vvar.sha256", cwd=copy)


@house.case
def a_new_copy_replaces_the_old_one(look):
  """And leaves alone what is not of it."""
  copy = vendored("again")
  own, gone = copy / "clocks/own_counter.h", copy / "vvar/gone.h"
  own.write_text("// mine\n")
  gone.write_text("// of an earlier version\n")
  with open(copy / "vvar.sha256", "a", encoding="utf-8") as sums:
    sums.write(run("sha256sum", "vvar/gone.h", cwd=copy))
  run(SCRIPT, copy)
  for path, stays in look.at(((own, True), (gone, False),
                              (copy / "vvar/abi.h", True))):
    if path.exists() != stays:
      look.problem(path.name, "is%s there" % ("" if path.exists() else " not"))


@house.case
def refuses_to_lose_changes(look):
  changed = vendored("changed")
  (changed / "vvar/abi.h").write_text("// mine\n")
  foreign = packages.folder("foreign")
  (foreign / "vvar").mkdir(parents=True)
  (foreign / "vvar/abi.h").write_text("// mine\n")
  for copy in look.at((changed, foreign), "copies"):
    said = refusal(copy)
    if said is None or "vvar/abi.h" not in said:
      look.problem(copy.name, said)
    if (copy / "vvar/abi.h").read_text() != "// mine\n":
      look.problem(copy.name, "is overwritten")
  if "another folder" not in str(refusal(house.ROOT)):
    look.problem("the tree itself", "is no copy")


house.run()
