#!/usr/bin/env python3
"""The steps of the protocol have names, the same in code, docs and models."""

import re

import house

LABEL = re.compile(r"\[[RW]:\w+\]")
HOMES = ("vvar/seqcount.h", "vvar/slot.h", "vvar/reader.h", "vvar/writer.h")
READ = ["[R:begin]", "[R:count]", "[R:line]", "[R:end]"]
WRITE = ["[W:open]", "[W:line]", "[W:close]"]

# Each step's docstring is this function's. (The counter's is in the contract of
# vvar/clocksource.h.)
FUNCTION_OF = {"[R:begin]": "ReadBegin", "[R:end]": "ReadEnd",
               "[R:line]": "LoadLine", "[W:open]": "WriteOpen",
               "[W:line]": "StoreLine", "[W:close]": "WriteClose"}

BY_NUMBER = re.compile(
    r"\bsteps?\s+(#?\d|(one|two|three|four|five|six)\b(?! of))", re.IGNORECASE)


def labels_in_code():
  return {label for path in HOMES for label in LABEL.findall(house.read(path))}


@house.case
def code_has_every_step(look):
  found = labels_in_code()
  for label in look.at(READ + WRITE, "labels"):
    if label not in found:
      look.problem(", ".join(HOMES), "no " + label)


@house.case
def steps_name_their_function(look):
  """[R:begin] is how ReadBegin()'s docstring begins, and so on."""
  text = "\n".join(house.read(path) for path in HOMES)
  for label, function in look.at(FUNCTION_OF.items(), "functions"):
    docstring = re.search(r"/// %s [^\n]*\n(?:///[^\n]*\n)*template <[^\n]*\n"
                          r"[^\n(]*\b(\w+)\(" % re.escape(label), text)
    if docstring is None or docstring[1] != function:
      look.problem(label, "no docstring of %s() begins with it" % function)


@house.case
def steps_are_taken_in_order(look):
  """The marked lines of ReadLine() and of the writer's functions."""
  for path, order in (("vvar/reader.h", READ), ("vvar/writer.h", WRITE)):
    taken = re.findall(r";\s*// (\[[RW]:\w+\])", house.read(path))
    for i, label in enumerate(look.at(taken, "steps")):
      if label != order[i % len(order)]:
        look.problem(path, "%s, expected %s" % (label, order[i % len(order)]))
    if not taken or len(taken) % len(order) != 0:
      look.problem(path, "steps " + " ".join(taken))


@house.case
def models_take_every_step(look):
  model = house.read("models/dated_latch.pml")
  for label in look.at(READ + WRITE, "labels"):
    if label not in model:
      look.problem("models/dated_latch.pml", "no " + label)


@house.case
def labels_elsewhere_exist(look):
  """In documents, models, tests and other code."""
  known = labels_in_code()
  for path in house.documents() + house.sources() + house.files("tests"):
    for line, text in house.numbered(house.read(path)):
      for label in look.at(LABEL.findall(text), "labels"):
        if label not in known:
          look.problem("%s:%d" % (path, line), "no step is called " + label)


@house.case
def no_step_by_number(look):
  for path in look.at(house.documents() + house.sources()):
    for line, text in house.numbered(house.prose(path)):
      if BY_NUMBER.search(text):
        look.problem("%s:%d" % (path, line), "by number: " + text.strip())


house.run()
