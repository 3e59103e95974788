#!/usr/bin/env python3
"""What the documents tell people to type is true: their programs compile and
run, fragments compile where they belong, README.md's commands do what they say,
and each `vvar` command anywhere has a command and flags that there are.

    tests/docs/documents_test.py README.md VVAR

Prints `CASE name PASSED|FAILED|SKIPPED reason` for each case."""

import collections
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import traceback

sys.path.insert(1, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import refused_counter  # pylint: disable=wrong-import-position

ROOT = pathlib.Path(os.path.realpath(sys.argv[1])).parent
VVAR = os.path.realpath(sys.argv[2])
DEADLINE_S = 120  # Gives up only.

GXX = ["g++", "-std=c++20", "-O1", "-Wall", "-Wextra", "-Wshadow",
       "-Wconversion", "-Werror", "-I", str(ROOT)]
ABSL = ["absl_status", "absl_statusor", "absl_str_format", "absl_strings",
        "absl_time"]

Block = collections.namedtuple("Block", "path number language text")

# What a program prints, by document and position among its blocks.
EXPECTED = {
    ("README.md", 1): r"\d+ ns, from the (page\n\d+ to \d+|system)\n",
}
# What stands around a fragment, by document and position among its blocks.
CONTEXT = {
    ("docs/paravirt.md", 1): ("""
        #include "clocks/x86_tsc.h"
        #include "paravirt/pvclock.h"
        #include "paravirt/vmclock.h"
        using namespace vvar;
        void Fragment(const pvclock_vcpu_time_info* record, const void* bytes,
                      size_t size) {""", "}"),
    ("docs/paravirt.md", 2): ("""
        #include "clocks/x86_tsc.h"
        #include "paravirt/conversion.h"
        #include "paravirt/pvclock.h"
        #include "vvar/timekeeper.h"
        using namespace vvar;
        void Fragment(const Timekeeper& timekeeper, uint64_t guest_tsc,
                      pvclock_vcpu_time_info* const* records, size_t vcpus,
                      PvclockLine last, const X86Tsc& guest_clock) {""", "}"),
}


def documents():
  return ["README.md", "bench/README.md", "examples/README.md",
          *sorted("docs/" + path.name for path in (ROOT / "docs").glob("*.md"))]


def read(path):
  return (ROOT / path).read_text(encoding="utf-8")


def blocks(*paths):
  """Returns the fenced blocks of documents."""
  return [Block(path, number, language, text) for path in paths
          for number, (language, text) in enumerate(re.findall(
              r"^```(\w*)\n(.*?)^```$", read(path), re.MULTILINE | re.DOTALL),
                                                    1)]


def is_program(text):
  return re.search(r"^int main\(", text, re.MULTILINE) is not None


def execute(*command, **options):
  done = subprocess.run(command, capture_output=True, text=True, check=False,
                        timeout=DEADLINE_S, stdin=subprocess.DEVNULL, **options)
  assert done.returncode == 0, "%s: %d %s" % (command[0], done.returncode,
                                              done.stderr)
  return done.stdout


def compile_text(text, folder, *flags):
  source = os.path.join(folder, "block.cc")
  with open(source, "w", encoding="utf-8") as file:
    file.write(text)
  return execute(*GXX, source, *flags)


def runs(block):
  """A program: compiled as it stands, run, and it says what is expected; also
  where there can be no page, because the counter is refused."""
  libraries = execute("pkg-config", "--libs", *ABSL).split()
  with tempfile.TemporaryDirectory() as folder:
    program = os.path.join(folder, "program")
    compile_text(block.text, folder, "-o", program, *libraries)
    outputs = [execute(program)]
    if refused_counter.can_be_refused():
      outputs.append(execute(program, env=refused_counter.environment(folder)))
  for output in outputs:
    assert re.fullmatch(EXPECTED.get((block.path, block.number),
                                     r"(?s:.*\S.*)"), output), output


def compiles(block):
  """A fragment: compiled in its context; it may leave values unused."""
  assert (block.path, block.number) in CONTEXT, \
      "a fragment without a context in this test"
  before, after = CONTEXT[block.path, block.number]
  with tempfile.TemporaryDirectory() as folder:
    compile_text(before + "\n" + block.text + after, folder, "-fsyntax-only",
                 "-Wno-unused-variable", "-Wno-unused-but-set-variable",
                 "-Wno-unused-but-set-parameter")


def readme_commands_run():
  """The blocks that run `vvar`, as a script: the program is the one of this
  test, the page one of its own, and it watches for a second."""
  shell = [block.text for block in blocks("README.md")
           if block.language in ("", "sh") and
           re.search(r"^vvar ", block.text, re.MULTILINE)]
  assert shell, "README.md has no commands"
  with tempfile.TemporaryDirectory() as folder:
    script = "".join(shell).replace("--page=demo", "--page=%s/demo" % folder)
    script = re.sub(r"--seconds=\d+", "--seconds=1", script)
    assert folder in script and "--seconds=1" in script, script
    # How the program comes about is Bazel's part.
    script = re.sub(r"^bazel build .* && alias vvar=.*$", "", script,
                    flags=re.MULTILINE)
    assert "bazel" not in script, script
    # A reader types the next command when the server has said that it serves.
    script = re.sub(r"^(vvar serve .*) &$",
                    r'exec 3< <(exec \1); server=$!; read -r line <&3; '
                    r'echo "$line"', script, flags=re.MULTILINE)
    script = script.replace("exec vvar", "exec " + VVAR)
    output = execute(
        "bash", "-euc", "vvar() { %s \"$@\"; }\nserver=\n"
        "trap 'kill $server' EXIT\n%s" % (VVAR, script))
  for word in folder + "/demo", "monotonic", "vdso":
    assert word in output, (word, output)


def readme_scripts_are_there():
  """The commands of README.md that are files of this tree."""
  found = [word for block in blocks("README.md") for word in
           re.findall(r"^([\w.]+/[\w./]+)", block.text, re.MULTILINE)]
  assert found, "README.md names no scripts"
  for word in found:
    assert os.access(ROOT / word, os.X_OK), "%s is no program" % word
    if word.endswith(".sh"):
      execute("bash", "-n", str(ROOT / word))


def readme_paths_exist():
  folders = "|".join(path.name for path in ROOT.iterdir() if path.is_dir())
  paths = set(re.findall(r"`((?:%s)/[\w./*-]*)`" % folders, read("README.md")))
  missing = sorted(path for path in paths
                   if "*" not in path and not (ROOT / path).exists())
  assert paths and not missing, "missing: %s" % missing


def vvar_commands_have_their_flags():
  """Whatever a document says of `vvar`: the command and its flags are in its
  own help."""
  usage = execute(VVAR, "--help")
  commands = set(re.findall(r"^  (\w+) ", usage.split("\nflags\n")[0],
                            re.MULTILINE))
  usage += "".join(execute(VVAR, "help", command)
                   for command in ("exec", "attach"))
  known = set(re.findall(r"--(\w+)", usage)) | {"help"}
  assert {"serve", "now"} <= commands and "page" in known, usage
  count = 0
  for path in documents():
    typed = re.findall(r"(?:^ {4}|`)vvar ([a-z-][^`\n#]*)", read(path),
                       re.MULTILINE)
    for block in blocks(path):
      typed += re.findall(r"^vvar (.*)", block.text, re.MULTILINE)
    for words in typed:
      command, *rest = words.split(" -- ")[0].split()
      count += 1
      assert command in commands | {"--help", "help"}, \
          "%s: vvar %s" % (path, words)
      for flag in re.findall(r"--(\w+)", " ".join(rest)):
        assert flag in known, "%s: vvar %s: no --%s" % (path, words, flag)
  assert count > 10, "found %d commands" % count


def cases():
  """Yields (name, function, arguments)."""
  for block in blocks(*documents()):
    name = "%s.%d" % (block.path, block.number)
    if block.language in ("cpp", "c++"):
      yield ((name + "_runs", runs, block) if is_program(block.text) else
             (name + "_compiles", compiles, block))
  for function in (readme_commands_run, readme_scripts_are_there,
                   readme_paths_exist, vvar_commands_have_their_flags):
    yield function.__name__, function


def main():
  failed = False
  for name, function, *arguments in cases():
    try:
      function(*arguments)
      print("CASE %s PASSED" % name)
    except Exception as error:  # A case that breaks down has failed.
      traceback.print_exc(file=sys.stdout)
      print("CASE %s FAILED %s" % (name, " ".join(str(error).split())[:600]))
      failed = True
  return failed


if __name__ == "__main__":
  sys.exit(main())
