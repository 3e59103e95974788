#!/usr/bin/env python3
"""Comments that CONVENTIONS.md asks for: how a file begins, and the marks at
what orders memory, at claims about hardware and at what is missing."""

import re

import house

# Of the first comment, besides its SPDX line; empty lines do not count.
FIRST_COMMENT_LIMIT = 8

SPDX = ("// SPDX-License-Identifier: MIT", "/* SPDX-License-Identifier: MIT")

ORDERS = re.compile(
    r"\basm volatile\b|__ATOMIC_(ACQUIRE|RELEASE|ACQ_REL|SEQ_CST)|thread_fence|"
    r"Memory::(LoadAcquire|StoreRelease|FenceAcquire|FenceRelease)\(")
ORDERING_MARK = re.compile(r"//+ (?:.*[.)] )?Ordering:")
# The end of a function or a class: what is above belongs to that.
FUNCTION_END = re.compile(r" {0,2}(\S.*)?\};?$")

TODO = re.compile(r"\bTODO\b(?!\([^)\s]+\): \S)")


def first_comment(text):
  """Returns the lines of a file's first comment that hold words."""
  lines = []
  for line in text.split("\n"):
    words = re.sub(r"^(//|/\*| \*/?)", "", line)
    if words == line:
      break
    if words.strip():
      lines.append(words.strip())
  return lines


def guard(path):
  name = re.sub(r"\W", "_", path.upper()) + "_"
  return name if name.startswith("VVAR_") else "VVAR_" + name


def is_marked(comments, code, line):
  """Whether an Ordering: mark is at `line`, or above it and not above the end
  of the function before."""
  for above in range(line, -1, -1):
    if above < line and FUNCTION_END.fullmatch(code[above].rstrip()):
      return False
    if ORDERING_MARK.search(comments[above]):
      return True
  return False


@house.case
def orderings_say_why(look):
  """Each asm, fence, acquire and release has an Ordering: mark in its function
  or in the comment above it."""
  for path in house.files("vvar", "clocks", "paravirt"):
    comments = house.comments(path).split("\n")
    code = house.code(path).split("\n")
    lines = [i for i, text in enumerate(code) if ORDERS.search(text)]
    for i in look.at(lines, "lines"):
      if not is_marked(comments, code, i):
        look.problem("%s:%d" % (path, i + 1), "no Ordering: " + code[i].strip())


@house.case
def counters_name_their_sources(look):
  """Each header of a counter says where its claims are from."""
  for path in look.at(house.files("clocks", suffixes=(".h",)), "headers"):
    if path != "clocks/native.h" and "Source:" not in house.comments(path):
      look.problem(path, "no Source:")


@house.case
def todos_name_an_issue(look):
  for path in look.at(house.files(*house.FREESTANDING + house.HOSTED +
                                  ("tests", "vdso", "embed", "models"))):
    for line, text in house.numbered(house.comments(path)):
      if TODO.search(text):
        look.problem("%s:%d" % (path, line), text.strip())


@house.case
def files_begin_with_licence_and_purpose(look):
  for path in look.at(house.files(*house.FREESTANDING + house.HOSTED +
                                  ("vdso", "embed"))):
    text = house.read(path)
    lines = first_comment(text)
    if not text.startswith(SPDX):
      look.problem(path, "no SPDX line")
    elif not 2 <= len(lines) <= FIRST_COMMENT_LIMIT + 1:
      look.problem(path, "a first comment of %d lines, at most %d" %
                   (len(lines) - 1, FIRST_COMMENT_LIMIT))


@house.case
def headers_have_guards_of_their_path(look):
  for path in look.at(house.files(*house.FREESTANDING + house.HOSTED +
                                  ("tests",), suffixes=(".h",)), "headers"):
    text, name = house.read(path), guard(path)
    comment = "/* %s */" if text.startswith("/*") else "// %s"
    if ("#ifndef %s\n#define %s\n" % (name, name) not in text or
        not text.endswith("#endif  " + comment % name + "\n") and
        not text.endswith("#endif " + comment % name + "\n")):
      look.problem(path, "no guard " + name)


house.run()
