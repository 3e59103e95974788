#!/usr/bin/env python3
"""Runs every model of this folder through spin and holds it to what it says.

    models/model_test.py [--write] [name...]

A good model is searched completely, without an error, and every statement of it
is reached but those that it lists under "Never:". A bad one fails, with the
obligation that it names (REQUIRED), and in the steps that its comment tells:
the shortest ones. README.md's table has every model, with its verdict and the
number of states. --write brings both up to date. VVAR_THOROUGH=1 searches good
models with their larger bounds.

Prints a line for each model: CASE name PASSED|FAILED|SKIPPED ...
"""

import concurrent.futures
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

FOLDER = pathlib.Path(__file__).resolve().parent
README = FOLDER / "README.md"
THOROUGH = os.environ.get("VVAR_THOROUGH") == "1"
JOBS = 2  # Others work on this machine, too.

HEADINGS = ("Requirement:", "The plausible idea:", "What happens:",
            "Key point:", "The fix:")
TRACE = re.compile(r"(?<= \* What happens:\n)(.*?)(?= \* Key point:)", re.DOTALL)
UNREACHED = re.compile(r"^\t(\S+):(\d+), state \d+, \"(.*)\"$", re.MULTILINE)
# What pan lists as unreached in a model without errors; ends have no statement.
EXPECTED_UNREACHED = re.compile(r"-end-|printf\('violated |assert\(0\)")
ROW = re.compile(r"^\| `((?:good|bad)_\w+)` \| ([^|]*?) *\| ([^|]*?) *\|(.*)$",
                 re.MULTILINE)


class Failure(Exception):
  """What is wrong with a model."""


def run(command, cwd, timeout=1200):
  return subprocess.run(command, cwd=cwd, timeout=timeout, check=False,
                        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                        text=True).stdout


def search(model, folder, options, flags):
  """Returns what pan says of a model."""
  said = run(["spin", *options, "-a", str(model)], folder)
  if "Error" in said or not (folder / "pan.c").is_file():
    raise Failure("spin: " + said.strip())
  said = run(["gcc", "-w", "-DSAFETY", "-DMEMLIM=6000", *flags, "-o", "pan",
              "pan.c"], folder)
  if not (folder / "pan").is_file():
    raise Failure("gcc: " + said.strip())
  return run(["./pan", "-w20", "-m1000000"], folder)


def states_in(said):
  match = re.search(r"^\s*(\d+) states, stored", said, re.MULTILINE)
  if match is None:
    raise Failure("pan: " + said.strip())
  return int(match[1])


def comment_of(text):
  """Returns the opening comment, without its margin."""
  return re.sub(r"^ \* ?", "", text[:text.index("*/")], flags=re.MULTILINE)


def trace_of(model, folder, defines):
  """Returns the steps of the trail that pan left, a line for each."""
  said = run(["spin", *defines, "-t", "-k", model.name + ".trail", str(model)],
             folder)
  lines = [line for line in said.split("spin: ")[0].splitlines()
           if line.strip()]
  # Processes are told apart by their margins.
  margins = sorted({len(line) - len(line.lstrip()) for line in lines
                    if line.split()[0] == "writer"})
  steps = []
  for line in lines:
    if len(margins) > 1 and line.split()[0] == "writer":
      line = line.replace("writer  ", "writer %d" % (1 + margins.index(
          len(line) - len(line.lstrip()))), 1)
    steps.append(line.strip())
  return steps


def check_good(model, folder, write):
  """Returns the states of a complete search without an error."""
  del write
  comment = comment_of(model.read_text(encoding="utf-8"))
  never = re.search(r"^Never:(?: nothing\.)?\n((?:  .*\n)*)", comment,
                    re.MULTILINE)
  if never is None or "Shows: " not in comment:
    raise Failure("its comment lacks \"Shows:\" or \"Never:\"")
  # -o3: or else some statements that are not reached go unnoticed.
  bounds = ["-DTHOROUGH"] if THOROUGH else []
  said = search(model, folder, ["-o3"] + bounds, ["-O1"])
  if (folder / (model.name + ".trail")).is_file():
    steps = trace_of(model, folder, bounds)
    raise Failure("\n  ".join(steps[-1:] + steps))
  if "errors: 0" not in said:
    raise Failure(said.strip())
  for flaw in "Search not completed", "max search depth", "out of memory":
    if flaw in said:
      raise Failure("no complete search: " + flaw)
  never = [line.strip() for line in never[1].splitlines()]
  unreached = [(where, line, text) for where, line, text
               in UNREACHED.findall(said) if not EXPECTED_UNREACHED.match(text)]
  for where, line, text in unreached:
    if not any(situation in text for situation in never):
      raise Failure("never reached: %s:%s %s" % (where, line, text))
  for situation in never:
    if not any(situation in text for _, _, text in unreached):
      raise Failure("\"%s\" is reached" % situation)
  return states_in(said)


def check_bad(model, folder, write):
  """Returns the states searched until the shortest way to the error."""
  text = model.read_text(encoding="utf-8")
  places = [text.find(" * " + heading) for heading in HEADINGS]
  if -1 in places or places != sorted(places):
    raise Failure("its comment wants the headings " + " ".join(HEADINGS))
  required = re.search(r"^#define REQUIRED (\w+)$", text, re.MULTILINE)
  if required is None or "Requirement: %s." % required[1] not in text:
    raise Failure("Requirement: and REQUIRED do not name one obligation")
  # Most of these are found sooner than a compiler optimises.
  said = search(model, folder, [], ["-DBFS"])
  if "assertion violated" not in said:
    raise Failure("no error in %d states" % states_in(said))
  steps = trace_of(model, folder, [])
  if not steps or steps[-1] != "violated " + required[1]:
    raise Failure("fails otherwise: " + " / ".join(steps[-1:]))
  trace = "".join(" *   %s\n" % step for step in steps) + " *\n"
  if TRACE.search(text)[1] != trace:
    if not write:
      raise Failure("its steps are others now; --write writes them:\n" + trace)
    model.write_text(TRACE.sub(lambda _: trace, text), encoding="utf-8")
  return states_in(said)


def check(model, write):
  """Returns (outcome, text, states) of a model."""
  one = check_good if model.name.startswith("good_") else check_bad
  try:
    with tempfile.TemporaryDirectory() as folder:
      states = one(model, pathlib.Path(folder), write)
  except (Failure, subprocess.TimeoutExpired) as failure:
    return "FAILED", str(failure), None
  return "PASSED", "%d states" % states, states


def rows():
  """Returns {model: (verdict, states)} of the table."""
  return {match[1]: (match[2], match[3])
          for match in ROW.finditer(README.read_text(encoding="utf-8"))}


def row_of(model, states):
  """Returns the verdict and the states that a model's row should have."""
  required = re.search(r"^#define REQUIRED (\w+)$",
                       model.read_text(encoding="utf-8"), re.MULTILINE)
  verdict = ("holds" if model.name.startswith("good_") else
             "violates " + required[1])
  return verdict, "{:,}".format(states)


def check_table(models, states):
  """Returns what is wrong with README.md's table. Its states are those of a
  normal run."""
  there = rows()
  names = {path.stem for path in FOLDER.glob("*_*.pml")
           if path.name.startswith(("good_", "bad_"))}
  problems = ["%s has no row" % name for name in sorted(names - set(there))]
  problems += ["%s is no file" % name for name in sorted(set(there) - names)]
  for path in sorted(FOLDER.glob("*.pml")) + [README]:
    problems += ["%s: there is no %s" % (path.name, name) for name in re.findall(
        r"\b(?:good|bad)_[a-z_]+[a-z]", path.read_text(encoding="utf-8"))
                 if name not in names]
  for model in models:
    if states.get(model) is None or model.stem not in there:
      continue
    verdict, count = row_of(model, states[model])
    if THOROUGH:
      count = there[model.stem][1]
    if there[model.stem] != (verdict, count):
      problems.append("%s: %s in %s states, not %s in %s" % (
          model.stem, verdict, count, *there[model.stem]))
  return problems


def write_table(models, states):
  text = README.read_text(encoding="utf-8")
  for model in models:
    if states.get(model) is not None:
      verdict, count = row_of(model, states[model])
      text = re.sub(r"^(\| `%s` \|)[^|]*\|[^|]*\|" % model.stem,
                    r"\1 %s | %s |" % (verdict, count), text,
                    flags=re.MULTILINE)
  README.write_text(text, encoding="utf-8")


def main(arguments):
  write = "--write" in arguments
  names = [name for name in arguments if name != "--write"]
  models = [path for path in sorted(FOLDER.glob("*.pml"))
            if path.name.startswith(("good_", "bad_")) and
            (not names or path.stem in names)]
  for tool in "spin", "gcc":
    if shutil.which(tool) is None:
      print("CASE models SKIPPED no %s on this machine" % tool)
      return 0
  if not {"good", "bad"} <= {path.name.split("_")[0] for path in models}:
    if not names or not models:
      print("CASE models FAILED no good and bad models in %s" % FOLDER)
      return 1
  states = {}
  failed = False
  with concurrent.futures.ThreadPoolExecutor(JOBS) as pool:
    outcomes = pool.map(lambda model: check(model, write), models)
    for model, (outcome, text, states[model]) in zip(models, outcomes):
      print("CASE %s %s %s" % (model.stem, outcome, text), flush=True)
      failed |= outcome == "FAILED"
  if write:
    write_table(models, states)
  problems = check_table(models, states)
  for problem in problems:
    print("  " + problem)
  print("CASE table_of_models %s %d rows" % (
      "FAILED" if problems else "PASSED", len(rows())))
  return 1 if failed or problems else 0


if __name__ == "__main__":
  sys.exit(main(sys.argv[1:]))
