"""Programs of the tests, compiled for 64 and for 32 bits, to be run here."""

import functools
import os
import pathlib
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "house"))
import house  # pylint: disable=wrong-import-position

_COMPILERS = {
    ".cc": ("g++", "-std=c++20", "-O2"),
    ".c": ("gcc", "-std=c11", "-pedantic-errors", "-O2"),
}
# Of both widths; gcc-multilib would have a link to them, and cannot be had
# beside cross compilers (third_party/setup.sh).
_ASM_HEADERS = ("-idirafter", "/usr/include/x86_64-linux-gnu")


@functools.lru_cache
def _folder():
  return tempfile.TemporaryDirectory()


@functools.lru_cache
def program(source, width):
  """Returns the compiled program, or raises why there is none."""
  name = "%s.%d" % (os.path.basename(source), width)
  path = os.path.join(_folder().name, name)
  command = [*_COMPILERS[os.path.splitext(source)[1]], "-Wall", "-Wextra",
             "-Werror", "-m%d" % width, *_ASM_HEADERS, "-I", str(house.ROOT),
             "-o", path, str(house.ROOT / source)]
  result = subprocess.run(command, capture_output=True, text=True, check=False)
  if result.returncode != 0 and width == 32 and not _has_32_bits():
    raise house.Skip("no 32-bit programs here: third_party/setup.sh tests")
  if result.returncode != 0:
    raise RuntimeError(result.stderr)
  return path


@functools.lru_cache
def _has_32_bits():
  path = os.path.join(_folder().name, "probe")
  result = subprocess.run(
      ["g++", "-m32", "-x", "c++", "-", "-o", path],
      input="#include <vector>\nint main() { return 0; }\n",
      capture_output=True, text=True, check=False)
  return result.returncode == 0 and subprocess.run(
      [path], check=False).returncode == 0
