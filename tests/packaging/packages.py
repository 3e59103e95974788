"""What the tests of packages share: commands that must succeed, vvar as CMake
installs it, and what its help names. The binary is that of $VVAR."""

import collections
import functools
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "house"))
import house  # pylint: disable=wrong-import-position

# Gives up only; no case depends on how long anything takes.
DEADLINE_S = 800


def need(*commands):
  for command in commands:
    if not shutil.which(command):
      raise house.Skip("%s is not installed" % command)


def run(*command, env=(), **kwargs):
  """Returns what a command prints; raises what it said if it fails."""
  done = subprocess.run([str(word) for word in command], check=False, text=True,
                        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                        stderr=subprocess.STDOUT, timeout=DEADLINE_S,
                        env={**os.environ, **dict(env)}, **kwargs)
  if done.returncode != 0:
    raise RuntimeError("%s: exit %d: %s" % (" ".join(map(str, command)),
                                            done.returncode, done.stdout))
  return done.stdout


@functools.lru_cache
def _folder():
  return tempfile.TemporaryDirectory()


def folder(name):
  """Returns a path in a folder that goes when the test ends."""
  return pathlib.Path(_folder().name, name)


def configure(name, source, *options):
  """Returns the build folder of a CMake project."""
  need("cmake", "make")
  build = folder(name)
  run("cmake", "-G", "Unix Makefiles", "-S", source, "-B", build, *options)
  return build


def build_folder(*options):
  return folder("vvar" + "".join(options))


@functools.lru_cache
def installed(*options):
  """Returns a prefix with vvar in it. It was meant for another place."""
  build = configure(build_folder(*options).name, house.ROOT,
                    "-DCMAKE_INSTALL_PREFIX=/usr", *options)
  run("cmake", "--build", build, "-j2")
  prefix = folder("prefix" + "".join(options))
  run("cmake", "--install", build, "--prefix", prefix)
  return prefix


def files_under(path):
  return {str(each.relative_to(path)) for each in path.rglob("*")
          if each.is_file()}


def version():
  """Returns vvar's, from its one home."""
  return re.search(r'^module\([^)]*\n    version = "([\d.]+)"',
                   house.read("MODULE.bazel"), re.MULTILINE)[1]


def vvar():
  """Returns the path of the binary to be tested."""
  return pathlib.Path(os.environ["VVAR"]).resolve()


Help = collections.namedtuple("Help", "commands flags exit_codes")
_FLAG = re.compile(r"(?<![\w-])(--[a-z_]+|-[a-z])(?![\w-])")


@functools.lru_cache
def help_of_vvar():
  """Returns what `vvar --help`, and the help it refers to, names."""
  text = run(vvar(), "--help")
  commands = set(re.findall(r"^  ([a-z]+) ", text.split("\nflags\n")[0],
                            re.MULTILINE))
  more = [run(vvar(), "help", name) for name in
          re.findall(r"`vvar help (\w+)`", text)]
  codes = text.split("\nexit codes\n")[1].split("\ntry it\n")[0]
  return Help(commands, set(_FLAG.findall(text + "".join(more))),
              set(map(int, re.findall(r"(?:^| ) (\d+)  ?[a-z]", codes,
                                      re.MULTILINE))))
