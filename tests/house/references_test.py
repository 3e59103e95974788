#!/usr/bin/env python3
"""What a comment or a document names exists: files, links, tests, checks, and
the words of the glossary."""

import re

import house

FILE = re.compile(
    r"(?<![\w/.<>-])((?:vvar|clocks|fallback|hosted|tools|bench|docs|models|"
    r"vdso|embed|examples|paravirt|tests|third_party|packaging)/[\w./-]*\w\."
    r"(?:h|cc|c|md|py|sh|bzl|txt|pml))\b")
LINK = re.compile(r"\]\(([^)#:]+)(?:#[^)]*)?\)")
TEST = re.compile(r"\b([A-Z]\w*Test\.[A-Z]\w+)")
CHECK = re.compile(r"(?<![\w/])(\w+_(?:test|check))\b(?!\.)")

# Named like a check, but Bazel's.
NO_CHECKS = {"layering_check"}


def names(look, paths, pattern, what):
  """Yields (where, path, name) of each name that matches."""
  for path in paths:
    for line, text in house.numbered(house.prose(path)):
      for name in look.at(pattern.findall(text), what):
        yield "%s:%d" % (path, line), path, name


@house.case
def named_files_exist(look):
  paths = house.documents() + house.sources()
  for where, _, name in names(look, paths, FILE, "names"):
    if not (house.ROOT / name).exists():
      look.problem(where, "no " + name)


@house.case
def links_lead_somewhere(look):
  for where, path, name in names(look, house.documents(), LINK, "links"):
    if not (house.ROOT / path).parent.joinpath(name).exists():
      look.problem(where, "a link to no file: " + name)


@house.case
def named_tests_exist(look):
  """LatchTest.KeepsReadingWhileStopped is a TEST somewhere in tests/."""
  tests = {"%s.%s" % test for path in house.files("tests") for test in
           re.findall(r"TEST(?:_F|_P)?\((\w+),\s*(\w+)\)", house.read(path))}
  paths = house.documents() + house.sources()
  for where, _, name in names(look, paths, TEST, "names"):
    if name not in tests:
      look.problem(where, "no test " + name)


@house.case
def named_checks_exist(look):
  """In CONVENTIONS.md, which names one behind each rule, and leaves out none of
  the house's."""
  scripts = {path.split("/")[-1][:-3]: path
             for path in house.files("tests", suffixes=(".py", ".sh"))}
  named = set()
  for where, _, name in names(look, ["CONVENTIONS.md"], CHECK, "names"):
    named.add(name)
    if name not in scripts and name not in NO_CHECKS:
      look.problem(where, "no check " + name)
  for name, path in sorted(scripts.items()):
    if path.startswith("tests/house/") and CHECK.fullmatch(name) and \
        name not in named:
      look.problem("CONVENTIONS.md", "does not say what %s is for" % name)


@house.case
def glossary_terms_are_used(look):
  """A term that neither code nor documents use is no term of ours."""
  everything = "\n".join(
      house.read(path) for path in house.documents() + house.sources()
      if path != "docs/glossary.md").lower()
  for line, cells in look.at(house.table("docs/glossary.md", "term"), "terms"):
    for term in cells[0].rstrip("*").split(", "):
      if not re.search(r"\b%s" % re.escape(term.lower()), everything):
        look.problem("docs/glossary.md:%d" % line, term)


house.run()
