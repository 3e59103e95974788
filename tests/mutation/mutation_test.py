#!/usr/bin/env python3
"""Mutation test of the headers: each mutant (mutants.py) is applied to a copy
of the tree, alone, and the check that is named for it must fail there, after it
passed on the tree as it is. That shows of the suite what coverage cannot.

    tests/mutation/mutation_test.py [root [--all | --write | mutant...]]

Without arguments a fast part is run, all of it with VVAR_THOROUGH=1; that every
mutant can be applied, and that docs/mutants.md lists it, is held always.
--write writes that document.
"""

import concurrent.futures
import os
import pathlib
import re
import sys
import threading

sys.path[1:1] = [str(pathlib.Path(__file__).resolve().parents[1] / "house")]
import house  # pylint: disable=wrong-import-position
import checks  # pylint: disable=wrong-import-position
import mutants_of_paravirt  # pylint: disable=wrong-import-position
import mutants_of_ports  # pylint: disable=wrong-import-position
import mutants_of_protocol  # pylint: disable=wrong-import-position
import mutants_of_time  # pylint: disable=wrong-import-position

MUTANTS = (mutants_of_protocol.MUTANTS + mutants_of_time.MUTANTS +
           mutants_of_ports.MUTANTS + mutants_of_paravirt.MUTANTS)
DOCUMENT = "docs/mutants.md"

# Whose checks take a second.
FAST = ("compile vvar/", "gtest vvar:seqcount_test SeqcountTest.",
        "gtest vvar:latch_test LatchTest.AcceptanceMatrixIsExhaustive")
# Headers without a line that could be wrong: names and types only.
WITHOUT_MUTANTS = {"clocks/native.h", "vvar/clocksource.h", "vvar/reading.h"}
FEWEST = 80
WORKERS = 2

_thread = threading.local()


def tree():
  """Returns this thread's copy of the source tree."""
  if not hasattr(_thread, "tree"):
    _thread.tree = checks.Tree()
  return _thread.tree


# --- The list -----------------------------------------------------------------


def problems_of(mutant):
  """Yields what is wrong with a row of the list."""
  if not re.fullmatch(r"[a-z0-9]+(_[a-z0-9]+)+", mutant.name):
    yield "its name is not snake_case"
  known = set(re.findall(r"^(T\d+) ", house.read("tests/house/traps.txt"),
                         re.MULTILINE))
  for trap in mutant.traps.split():
    if trap not in known:
      yield "nobody knows " + trap
  count = house.read(mutant.path).count(mutant.old)
  if count != 1:
    yield "its old text is in %s %d times" % (mutant.path, count)
  if mutant.old == mutant.new:
    yield "it changes nothing"
  if not mutant.why:
    yield "it does not say why"
  kind, *words = mutant.check.split()
  if kind not in checks.KINDS or not words:
    yield "it has no check"
  elif kind == "gtest":
    source = house.read("tests/%s.cc" % words[0].replace(":", "/"))
    if not re.search(r"^TEST(_[FP])?\(%s\)" % words[1].replace(".", ", "),
                     source, re.MULTILINE):
      yield "there is no %s in %s" % (words[1], words[0])


@house.case
def every_mutant_applies(look):
  """To the headers as they are, and its check exists."""
  names = set()
  for mutant in look.at(MUTANTS, "mutants"):
    for problem in problems_of(mutant):
      look.problem(mutant.name, problem)
    if mutant.name in names:
      look.problem(mutant.name, "there are two of this name")
    names.add(mutant.name)
  if len(MUTANTS) < FEWEST:
    look.problem("the list", "less than %d mutants" % FEWEST)


@house.case
def every_header_of_the_core_has_mutants(look):
  mutated = {mutant.path for mutant in MUTANTS}
  for path in look.at(house.files("vvar", "clocks", "fallback", "paravirt",
                                  suffixes=(".h",)), "headers"):
    if (path not in mutated) != (path in WITHOUT_MUTANTS):
      look.problem(path, "has mutants, or has not, against WITHOUT_MUTANTS")


# --- The document -------------------------------------------------------------


def check_in_words(check):
  kind, *words = check.split()
  if kind == "gtest":
    flags = ["`%s`" % flag for flag in words[2:]]
    return " ".join(["`%s`" % words[1], *flags])
  if kind == "compile":
    flags = ["`%s`" % word for word in words if word.startswith("-")]
    return " ".join(["a `static_assert` of `%s`" % words[0], *flags])
  if kind == "object":
    return "`freestanding_test_%s`" % words[0].replace("-", "_")
  if kind == "house":
    return "`tests/house/%s.py`: %s" % tuple(words)
  if kind == "i386":
    return "`tests/vvar/words_of_32_bits_test.py`: %s" % words[0]
  return "`tests/explorer/%s_test.py`: %s" % (kind, " ".join(words))


def document():
  """Returns the text of DOCUMENT."""
  lines = ["""\
# Mutants

Single edits of the headers, each of which some check of the suite must reject:
`tests/mutation/mutation_test.py` applies them one at a time and runs the check
named here. The list is `tests/mutation/mutants*.py`; this document is made
from it by `tests/mutation/mutation_test.py . --write`. %d mutants of %d files.

Traps are the rows of `tests/house/traps.txt`.
""" % (len(MUTANTS), len({mutant.path for mutant in MUTANTS}))]
  paths = list(dict.fromkeys(mutant.path for mutant in MUTANTS))
  for path in paths:
    lines += ["## `%s`" % path, "",
              "| mutant | trap | what comes of it | caught by |",
              "|---|---|---|---|"]
    lines += ["| %s | %s | %s | %s |" % (
        mutant.name, mutant.traps, mutant.why.replace("|", "\\|"),
        check_in_words(mutant.check))
              for mutant in MUTANTS if mutant.path == path]
    lines.append("")
  return "\n".join(lines)


@house.case
def document_lists_every_mutant(look):
  for line in look.at(document().split("\n"), "lines"):
    if line not in house.read(DOCUMENT).split("\n"):
      look.problem(DOCUMENT, "has no line '%s': run --write" % line)
  if house.read(DOCUMENT) != document():
    look.problem(DOCUMENT, "is not what --write makes of the list")


# --- The run ------------------------------------------------------------------


def answers_of_unmutated_tree(names):
  tree().one_test = False
  return {name: tree().answer(name) for name in names}


def answer_of(mutant):
  whole = house.read(mutant.path)
  tree().one_test = True
  tree().write(mutant.path, whole.replace(mutant.old, mutant.new))
  try:
    return tree().answer(mutant.check)
  finally:
    tree().write(mutant.path, whole)


def verdict(mutant, before, after):
  """Returns the outcome of a mutant, and why in words."""
  words = check_in_words(mutant.check).replace("`", "")
  if before.outcome == "skipped":
    return "SKIPPED", before.line
  if before.outcome != "passed":
    return "FAILED", "%s without it: %s %s" % (words, before.outcome,
                                               before.line)
  if after.outcome == "failed":
    return "PASSED", "caught by %s: %s" % (words, after.line)
  return "FAILED", "%s: %s %s" % (words, after.outcome, after.line)


def run_mutants(chosen):
  """Runs the mutants, prints a case for each. Returns whether all was well."""
  groups = {}
  for mutant in chosen:
    groups.setdefault(" ".join(mutant.check.split()[:2]), {})[mutant.check] = 0
  checks.precompiled_headers()  # Once, and for all threads.
  before = {}
  count = {"PASSED": 0, "FAILED": 0, "SKIPPED": 0}
  with concurrent.futures.ThreadPoolExecutor(WORKERS) as pool:
    for answers in pool.map(answers_of_unmutated_tree, groups.values()):
      before.update(answers)
    triable = [mutant for mutant in chosen
               if before[mutant.check].outcome == "passed"]
    after = dict(zip((mutant.name for mutant in triable),
                     (pool.submit(answer_of, mutant) for mutant in triable)))
    for mutant in chosen:
      answer = after[mutant.name].result() if mutant.name in after else None
      outcome, why = verdict(mutant, before[mutant.check], answer)
      count[outcome] += 1
      print("CASE %s %s %s" % (mutant.name, outcome, why), flush=True)
  print("%d of %d mutants caught, %d could not be tried here" %
        (count["PASSED"], len(chosen), count["SKIPPED"]))
  return count["FAILED"] == 0 and count["PASSED"] > 0


def chosen_by(arguments):
  """Returns the mutants to run, and says which those are."""
  if not arguments and "VVAR_THOROUGH" not in os.environ:
    fast = [mutant for mutant in MUTANTS if mutant.check.startswith(FAST)]
    print("%d mutants of %d: those with a fast check; VVAR_THOROUGH=1 runs all"
          % (len(fast), len(MUTANTS)))
    return fast
  if not arguments or arguments == ["--all"]:
    return MUTANTS
  return [mutant for mutant in MUTANTS
          if any(name in mutant.name for name in arguments)]


def main(arguments):
  if arguments == ["--write"]:
    (house.ROOT / DOCUMENT).write_text(document(), encoding="utf-8")
    return
  well = run_mutants(chosen_by(arguments))
  try:
    house.run()
  except SystemExit as end:
    sys.exit(end.code or (0 if well else 1))


if __name__ == "__main__":
  main(sys.argv[2:])
