"""How each kind of check is run on a tree, and what its answer means."""

import collections
import functools
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import types
import unittest.mock

import house

# passed, failed (that is what a mutant needs), skipped (cannot be tried here),
# or broken: says nothing of the mutant, such as a test that does not compile.
Answer = collections.namedtuple("Answer", "outcome line")

SECONDS = 60  # Of the processor, for each command of a mutant.
# Takes half of g++'s time for these programs, most of which is compiling.
_CXX = ["clang++-19", "-std=c++20"]


def shorten(text, limit=110):
  text = " ".join(text.split())
  return text if len(text) <= limit else text[:limit - 3] + "..."


def run(command, **options):
  """Returns the exit code and the output of a command; the code is None when
  it took too long. Waiting counts little: others may use this machine."""
  late = "took longer than %d s" % SECONDS
  # A GoogleTest that was told of a report would write it in the place of ours.
  options.setdefault("env", {name: value for name, value in os.environ.items()
                             if name != "XML_OUTPUT_FILE"})
  try:
    result = subprocess.run(["prlimit", "--cpu=%d" % SECONDS, *command],
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                            text=True, check=False, errors="replace",
                            timeout=20 * SECONDS, **options)
  except subprocess.TimeoutExpired:
    return None, late
  if result.returncode == -signal.SIGXCPU:
    return None, late
  return result.returncode, result.stdout


@functools.lru_cache
def precompiled_headers():
  """Returns (folder, options that include there what every test includes)."""
  folder = tempfile.TemporaryDirectory()
  header = os.path.join(folder.name, "headers.h")
  with open(header, "w", encoding="utf-8") as file:
    file.writelines("#include <%s>\n" % name for name in (
        "gtest/gtest.h", "algorithm", "functional", "map", "string", "thread",
        "vector"))
  run([*_CXX, "-w", "-x", "c++-header", header, "-o", header + ".pch"])
  return folder, ["-include-pch", header + ".pch"]


@functools.lru_cache
def abseil_options():
  packages = ["absl_cleanup", "absl_status", "absl_statusor", "absl_strings",
              "absl_time"]
  return run(["pkg-config", "--cflags", "--libs", *packages])[1].split()


@functools.lru_cache
def freestanding_macros():
  """Returns the names of tests/build/freestanding.bzl, which is Python but for
  what Bazel supplies."""
  text = re.sub(r"^load\(.*$", "", house.read("tests/build/freestanding.bzl"),
                flags=re.MULTILINE)
  names = {"struct": types.SimpleNamespace, "CcInfo": None, "COMPILERS": {},
           "attr": unittest.mock.Mock(), "rule": unittest.mock.Mock()}
  exec(text, names)  # pylint: disable=exec-used
  for target in names["TARGETS"].values():
    include = run([target.gcc.command, "-print-file-name=include"])[1].strip()
    names["COMPILERS"][target.gcc.command] = types.SimpleNamespace(
        builtin_include=include)
  return names


class Tree:
  """A copy of the source tree to break, and a folder for what is built."""

  def __init__(self):
    self._folder = tempfile.TemporaryDirectory()
    self.root = os.path.join(self._folder.name, "tree")
    # Whether to compile the one test that a check names, not its whole file.
    self.one_test = False
    self.built = os.path.join(self._folder.name, "built")
    os.mkdir(self.built)
    house.copy_tree(self.root)

  def path(self, *names):
    return os.path.join(self.root, *names)

  def write(self, path, text):
    with open(self.path(path), "w", encoding="utf-8") as file:
      file.write(text)
    # A program of before says nothing of the tree of now.
    shutil.rmtree(self.built)
    os.mkdir(self.built)

  def answer(self, check):
    """Runs a check, named as mutants.py says."""
    kind, *arguments = check.split()
    return _KINDS[kind](self, *arguments)


def _first_error(output):
  lines = [line for line in output.split("\n") if "error" in line]
  return shorten((lines or [output])[0])


# --- gtest --------------------------------------------------------------------


def _only(name, source):
  """Returns a test's source without its other tests, whose lines are blank:
  they take most of the time to compile."""
  return re.sub(
      r"^TEST(?:_F)?\((\w+),\s*(\w+)\) \{\n.*?^\}\n",
      lambda test: (test[0] if "%s.%s" % test.groups() == name else
                    "\n" * test[0].count("\n")),
      source, flags=re.MULTILINE | re.DOTALL)


def _gtest(tree, target, name, *flags):
  program, error = _build_gtest(tree, target, name, flags)
  if error:
    return error
  code, output = run([program, "--gtest_filter=" + name, "--gtest_color=no"],
                     cwd=tree.built)
  if code is None:
    return Answer("broken", output)
  if re.search(r"^\[  FAILED  \] %s\b" % re.escape(name), output, re.MULTILINE):
    failure = re.search(r"([\w.]+:\d+): Failure\n(.*(?:\n.*){0,3})", output)
    return Answer("failed", shorten("%s: %s" % failure.groups() if failure
                                    else output))
  if "[ RUN      ] " + name not in output:
    return Answer("broken", "there is no test " + name)
  if code != 0:
    found = re.search(r".*runtime error: .*", output)
    return Answer("failed", shorten(found[0].replace(tree.root + "/", ""))
                  if found else "it dies of signal %d" % -code)
  if "[  SKIPPED ] " + name in output:
    return Answer("skipped", name + " cannot run here")
  return Answer("passed", "")


def _build_gtest(tree, target, name, flags):
  """Returns the program of a test, or None and why there is none."""
  if not shutil.which(_CXX[0]):
    return None, Answer("skipped", _CXX[0] + " is not installed")
  if not os.path.exists("/usr/include/gtest/gtest.h"):
    return None, Answer("skipped", "libgtest-dev is not installed")
  folder, file = target.split(":")
  program = os.path.join(tree.built, "-".join([file, *flags]))
  if os.path.exists(program):
    return program, None
  source = os.path.join(tree.built, file + ".cc")
  whole = house.read("tests/%s/%s.cc" % (folder, file))
  with open(source, "w", encoding="utf-8") as test:
    test.write(_only(name, whole) if tree.one_test else whole)
  libraries = ["-lgtest", "-lgtest_main", "-ldl"]
  if folder == "hosted":
    libraries += abseil_options()
  # They hold for one set of flags only.
  options = flags or precompiled_headers()[1]
  code, output = run([*_CXX, "-w", *options, "-iquote", tree.root, source, "-o",
                      program, *libraries])
  if code != 0:
    return None, Answer("broken", "does not compile: " + _first_error(output))
  return program, None


# --- Compilers ----------------------------------------------------------------


def _compile(tree, header, *message):
  """A static_assert whose text, or whose condition, has `message` in it."""
  flags = [word for word in message if word.startswith("-")]
  expected = " ".join(word for word in message if word not in flags)
  code, output = run(
      [*_CXX, *flags, "-w", "-fsyntax-only", "-fno-caret-diagnostics",
       "-iquote", tree.root, "-x", "c++", tree.path(header)])
  if code == 0:
    return Answer("passed", "")
  for line in output.split("\n"):
    if "static assertion" in line and expected in line:
      return Answer("failed", shorten(line.replace(tree.root + "/", "")))
  return Answer("broken", "does not compile: " + _first_error(output))


def _object(tree, cell):
  """The object of the freestanding matrix needs nobody."""
  compiler = freestanding_macros()["_compiler_flags"](*cell.split("-"))
  if not shutil.which(compiler.command):
    return Answer("skipped", compiler.command + " is not installed")
  path = os.path.join(tree.built, cell + ".o")
  code, output = run([compiler.command, *compiler.flags, "-iquote", tree.root,
                      "-c", tree.path("tests/vvar/freestanding.cc"), "-o",
                      path])
  if code != 0:
    return Answer("broken", "does not compile: " + _first_error(output))
  code, output = run([tree.path("tests/build/freestanding_object_test.sh"),
                      "check", path])
  return Answer("passed" if code == 0 else "failed",
                shorten(output.replace(path, cell)))


# --- Scripts of CASE lines ----------------------------------------------------


def _script(path, tree, arguments, case=None):
  """What a script says of one of its cases, or of all that it was asked for."""
  if not os.path.exists(tree.path(path)):
    return Answer("skipped", "pending: there is no %s yet" % path)
  code, output = run([sys.executable, "-B", tree.path(path), tree.root,
                      *arguments])
  if code is None:
    return Answer("broken", output)
  found = [match for match in re.findall(
      r"^CASE (\S+) (PASSED|FAILED|SKIPPED) ?(.*)$", output, re.MULTILINE)
           if case in (None, match[0])]
  # The worst of them; in the alphabet, too.
  name, outcome, reason = min(found, key=lambda match: match[1],
                              default=("", "broken", "no such case"))
  return Answer(outcome.lower(), shorten(
      ("" if case else name + " ") + reason.replace(tree.root + "/", "")))


def _house(tree, script, case):
  # Of the objects' cases, one target's.
  arguments = case.split(".")[1:] if script == "objects_test" else []
  return _script("tests/house/%s.py" % script, tree, arguments, case)


def _explorer(tree, build, kind):
  return _script("tests/explorer/explorer_test.py", tree, [build, kind])


def _golden(tree, build):
  return _script("tests/explorer/golden_test.py", tree, [build])


def _i386(tree, case):
  return _script("tests/vvar/words_of_32_bits_test.py", tree, [], case)


_KINDS = {"gtest": _gtest, "compile": _compile, "object": _object,
          "house": _house, "explorer": _explorer, "golden": _golden,
          "i386": _i386}
KINDS = tuple(_KINDS)
