#!/usr/bin/env python3
"""packaging/vvar.1 says what `vvar --help` says, and is well-formed.

    VVAR=<the binary> tests/packaging/manual_test.py [root of a tree]
"""

import re

import packages
from packages import house, run

PAGE = "packaging/vvar.1"


def items(section):
  """Returns the words of the items of a section of the page."""
  text = house.read(PAGE).split("\n.Sh %s\n" % section)[1].split("\n.Sh ")[0]
  return [line.split() for line in re.findall(r"^\.It (.*)", text, re.MULTILINE)]


@house.case
def manual_has_what_help_names(look):
  """And nothing else."""
  known = packages.help_of_vvar()
  for what, got, wanted in look.at((
      ("commands", {words[1] for words in items("COMMANDS")},
       known.commands | {"help"}),
      ("flags", {"-" + words[1] for words in items("FLAGS")}, known.flags),
      ("exit codes", {int(words[0]) for words in items("EXIT STATUS")},
       known.exit_codes)), "lists"):
    if got != wanted:
      look.problem(PAGE, "%s differ by %s" % (what, sorted(got ^ wanted)))


@house.case
def values_of_flags_are_in_the_manual(look):
  """Those that the completion offers."""
  text = house.read(PAGE).split("\n.Sh FLAGS\n")[1].split("\n.Sh ")[0]
  words = set(re.findall(r"[\w-]+", text))
  values = run("bash", "-c", 'source "$0"; for flag; do _vvar_values "$flag"; done',
               house.ROOT / "packaging/vvar.bash", "--format", "--clock",
               "--reference", "--max_error_from", "--on_step", "--on_leap")
  for value in look.at(values.split(), "values"):
    if re.fullmatch(r"[\w-]+", value) and value not in words:
      look.problem(PAGE, "no " + value)


@house.case
def groff_has_no_warnings(look):
  packages.need("groff")
  for said in look.at([run("groff", "-man", "-mdoc", "-ww", "-z",
                           house.ROOT / PAGE)], "pages"):
    if said:
      look.problem(PAGE, said)


@house.case
def man_shows_the_flags_as_they_are_typed(look):
  packages.need("man", "groff")
  shown = run("man", "--warnings", "-l", house.ROOT / PAGE,
              env={"MANWIDTH": "80", "LC_ALL": "C.UTF-8", "MANPAGER": "cat"})
  if "warning" in shown:
    look.problem(PAGE, shown)
  shown = re.sub(r".\x08", "", shown)
  for flag in look.at(sorted(packages.help_of_vvar().flags), "flags"):
    # With a hyphen that can be copied to a shell.
    if not re.search(r"(?<![\w-])%s\b" % flag, shown):
      look.problem(PAGE, "shows no " + flag)


house.run()
