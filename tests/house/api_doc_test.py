#!/usr/bin/env python3
"""The API reference is whole: doxygen has no complaint, and what is public in
the public headers is documented. Its own check of that, WARN_IF_UNDOCUMENTED,
passes over concepts and macros, and knows no exceptions: so its XML is read."""

import collections
import functools
import os
import re
import shutil
import subprocess
import tempfile
import xml.etree.ElementTree

import house

SETTINGS = "docs/Doxyfile"
# Debian 12's. Another version reads some declarations otherwise.
VERSION = "1.9.4"

# A data member needs no words of its own if its struct has some, and its name
# ends with a unit or is one of these, which mean the same wherever they are.
UNITS = "|".join(house.UNIT_NAMES.values())
MEANINGS = "|".join((
    r"(.*_)?status",            # Why, or how good: its type's words.
    r"before|after|begin|end",  # Of a range, an interval, a bracket.
    r"(.*_)?cycle_start",       # In the glossary, as are:
    r"(.*_)?scale|base|coarse|counter_id|was_set_count|leap|delta|seq|mask",
    r"realtime|monotonic|monotonic_raw|boottime",  # That clock's.
    r"kCounterId|kCounterBits|kHz",  # ClockSource asks for them,
    r"is_steady",               # and std::chrono for this.
    r"clock_get\w+|gettimeofday|getcpu|openat|mmap|munmap|close",  # Calls.
    r"tv_sec|tv_usec|tv_nsec|tz_\w+|cpu|node",  # Linux's,
    r"e[abcd]x",                # x86's registers.
    r"reserved\d*|pad\d*",      # Bytes that say nothing.
))
SPEAKS = re.compile("%s|%s" % (UNITS, MEANINGS))

# Bytes whose members and constants are documented elsewhere.
BYTES = {
    "vvar/abi.h": "docs/abi.md, which abi_doc_test holds to it",
    "paravirt/vmclock_abi.h": "the specification at its Source",
}

# `words`: its documentation. `owner`: its class's, None outside one.
Symbol = collections.namedtuple("Symbol",
                                "path line kind name words owner node")


@functools.lru_cache
def reference():
  """Runs doxygen; returns its complaints, and its XML."""
  settings = house.read(SETTINGS)
  if shutil.which("doxygen") is None:
    raise house.Skip("doxygen is not installed")
  version = subprocess.run(["doxygen", "--version"], capture_output=True,
                           text=True, check=True).stdout.strip()
  if version.split(" ")[0] != VERSION:
    raise house.Skip("expected doxygen %s, found %s" % (VERSION, version))
  with tempfile.TemporaryDirectory() as folder:
    settings += "\nOUTPUT_DIRECTORY = %s\nGENERATE_XML = YES\n" % folder
    result = subprocess.run(["doxygen", "-"], input=settings, cwd=house.ROOT,
                            capture_output=True, text=True, check=False)
    complaints = [line.replace("%s/" % house.ROOT, "")
                  for line in result.stderr.split("\n") if line]
    if result.returncode != 0:
      complaints.append("doxygen: exit code %d" % result.returncode)
    paths = [os.path.join(folder, "xml", name)
             for name in sorted(os.listdir(os.path.join(folder, "xml")))
             if name.endswith(".xml")]
    return complaints, [compound for path in paths for compound in
                        xml.etree.ElementTree.parse(path).iter("compounddef")]


def words(node):
  return " ".join("".join(part.itertext()) for tag in
                  ("briefdescription", "detaileddescription")
                  for part in node.findall(tag)).strip()


def symbol(node, kind, name, owner):
  place = node.find("location")
  return Symbol(place.get("file"), int(place.get("line", "0")), kind, name,
                words(node), owner, node)


@functools.lru_cache
def symbols():
  """Returns what is public, each once."""
  found = {}
  for compound in reference()[1]:
    kind, name = compound.get("kind"), compound.findtext("compoundname")
    if kind in ("page", "dir") or compound.get("prot") == "private":
      continue
    one, owner = symbol(compound, kind, name, None), None
    if kind != "file":
      found[one.path, one.line, name] = one
    if kind not in ("file", "namespace"):
      owner = one.words
    for member in compound.iter("memberdef"):
      if member.get("prot") == "public":
        full = name + "::" + member.findtext("name") if owner is not None else \
            member.findtext("name")
        one = symbol(member, member.get("kind"), full, owner)
        found[one.path, one.line, full] = one
  return list(found.values())


def goes_without_saying(one):
  """Copying, moving, comparing and destroying do what they do everywhere, and
  std::chrono says what a time_point is; an override has the other's words."""
  name, arguments = one.name.split("::")[-1], one.node.findtext("argsstring")
  return (one.kind == "friend" or one.node.find("reimplements") is not None or
          name[0] == "~" or name in ("operator=", "operator==", "time_point") or
          one.name.split("::")[-2:-1] == [name] and
          re.match(r"\((const )?%s ?&&?\w*\)" % name, arguments))


@house.case
def doxygen_has_no_complaint(look):
  """Its commands are known, its references lead somewhere."""
  complaints, compounds = reference()
  for _ in look.at(compounds, "pages and symbols"):
    pass
  for complaint in complaints:
    look.problem(SETTINGS, complaint)


@house.case
def public_symbols_are_documented(look):
  for one in look.at([one for one in symbols() if one.kind != "variable" or
                      one.owner is None], "symbols"):
    if not (one.words or goes_without_saying(one) or
            (one.kind == "define" and one.path in BYTES)):
      look.problem("%s:%d" % (one.path, one.line),
                   "no words for %s %s" % (one.kind, one.name))


@house.case
def fields_are_documented_or_speak(look):
  """Each has its words, or its struct has, and its name says the rest."""
  fields = [one for one in symbols() if one.kind == "variable" and
            one.owner is not None and one.path not in BYTES]
  for one in look.at(fields, "fields"):
    if not one.words and not (
        one.owner and SPEAKS.fullmatch(one.name.split("::")[-1])):
      look.problem("%s:%d" % (one.path, one.line), "no words for " + one.name)


house.run()
