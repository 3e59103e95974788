#!/usr/bin/env python3
"""What the compiler makes of the core: tests/vvar/freestanding.cc is compiled
as a program would (-O2, floating point allowed, so that its absence means
something), and its instructions are read.

    tests/house/objects_test.py [root [target or "hosted"]...]
"""

import collections
import functools
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

import house

SOURCE = "tests/vvar/freestanding.cc"
FLAGS = ["-std=c++20", "-O2", "-ffreestanding", "-fno-exceptions", "-fno-rtti",
         "-fno-stack-protector", "-fno-threadsafe-statics", "-fno-pic",
         "-fno-pie"]

# Functions of SOURCE. What they call belongs to them.
READERS = ("now", "now_unordered", "now_coarse", "now_timespec", "interval",
           "snapshot", "age", "load_payload", "now_in_namespace",
           "now_timespec_in_namespace", "snapshot_in_namespace")
# Those that give their result in registers, where pointers have 64 bits: no
# reason to store anywhere but on the stack.
WITHOUT_STORE = ("now", "now_unordered", "now_coarse", "now_timespec",
                 "now_in_namespace", "now_timespec_in_namespace")

# How instructions look. `rmw` is more than what a compiler makes of an atomic
# read-modify-write: whatever locks or reserves memory.
Isa = collections.namedtuple(
    "Isa", "division float float_register rmw store stack")
X86 = Isa(
    division=r"i?div\b",
    float=r"v?(add|sub|mul|div|sqrt|min|max|cvt\w*|u?comi|round)([sp][sd])?\s.*"
          r"\b[xyz]mm|f(i?ld|i?st|add|i?sub|i?mul|i?div|com|sqrt)",
    float_register=r".*\b([xyz]?mm\d|st\(|st\b)",
    rmw=r"lock\b|xacquire|cmpxchg|xadd|xchg\s.*\[",
    store=r"(?!cmp|test|bt\b|mul|imul|jmp|call|push|nop|prefetch)"
          r"\S+\s+\w+ PTR (?:\w\w:)?\[(\w*)",
    stack={"rsp"})
ARM64 = Isa(
    division=r"[us]div\b",
    float=r"f[a-z]+\b|[su]cvtf\b",
    float_register=r"\S+\s+.*\b[bhsdqv]\d+\b",
    rmw=r"ld[a]?x|st[l]?x|cas|swp|ld(add|clr|set|eor)|st(add|clr|set)",
    store=r"st\w+\s.*\[(\w+)",
    stack={"sp"})
ARM32 = Isa(
    division=r"[us]div\b",
    float=r"v(add|sub|mul|div|cvt|cmp|sqrt)\w*\.f",
    float_register=r"\S+\s+.*\b[sdq]\d+\b",
    rmw=r"ld[a]?rex|st[l]?rex|swp",
    store=None, stack=None)
RISCV = Isa(
    division=r"(div|rem)u?w?\b",
    float=r"f(?!ence)\w+\.[sdwl]",
    float_register=r"f(?!ence)\S+\s|.*\bf[ast]\d+\b",
    rmw=r"amo|lr\.|sc\.",
    store=r"(?:s[bhwd]|amo\S+)\s.*\((\w+)\)",
    stack={"sp"})

Target = collections.namedtuple("Target", "compiler flags objdump isa")
TARGETS = {
    "x86_64": Target("x86_64-linux-gnu-g++", ["-fcf-protection=none"],
                     "x86_64-linux-gnu-objdump", X86),
    "i386": Target("x86_64-linux-gnu-g++", ["-m32"],
                   "x86_64-linux-gnu-objdump", X86._replace(store=None)),
    "aarch64": Target("aarch64-linux-gnu-g++", ["-mno-outline-atomics"],
                      "aarch64-linux-gnu-objdump", ARM64),
    "armv7": Target("arm-linux-gnueabihf-g++", ["-march=armv7ve+fp"],
                    "arm-linux-gnueabihf-objdump", ARM32),
    "riscv64": Target("riscv64-linux-gnu-g++", ["-march=rv64gc"],
                      "riscv64-linux-gnu-objdump", RISCV),
    "riscv32": Target("riscv64-linux-gnu-g++",
                      ["-march=rv32imac_zicsr", "-mabi=ilp32"],
                      "riscv64-linux-gnu-objdump", RISCV._replace(store=None)),
}

# Each read of ArmCntvct by itself: readers and writers mask what they make of
# it, which would hide that it does not.
ARM_READS = """\
#include "clocks/arm_cntvct.h"
constexpr vvar::ArmCntvct kClock, kEcv = vvar::ArmCntvct::WithEcv();
extern "C" {
uint64_t read(uint32_t after) { return kClock.Read(after); }
uint64_t read_with_ecv() { return kEcv.Read(); }
uint64_t read_unordered() { return kClock.ReadUnordered(); }
uint64_t read_before_stores() { return kClock.ReadBeforeStores(); }
uint64_t read_after_stores() { return kClock.ReadAfterStores(); }
}
"""

# Calls that do what no instruction does: __udivdi3, __aeabi_dmul, memcpy, ...
DIVISION_CALL = re.compile(r"div|mod(?!el)")
FLOAT_CALL = re.compile(r"__aeabi_[dfl]2|__aeabi_[df](add|sub|mul|div)|"
                        r"__(add|sub|mul|div|float|fix)\w*[sdt]f")

Object = collections.namedtuple("Object", "functions sections")


def run(*command):
  result = subprocess.run(command, capture_output=True, text=True, check=False)
  if result.returncode != 0:
    raise ValueError("%s: %s" % (command[0], result.stderr))
  return result.stdout


def disassemble(objdump, path):
  """Returns the instructions of each function as {name: [text]}; a relocation
  is written behind its instruction."""
  functions = {}
  body = None
  output = run(objdump, "-dr", "--no-show-raw-insn", *(
      ["-M", "intel"] if "x86" in objdump else []), path)
  for line in output.split("\n"):
    heading = re.fullmatch(r"[0-9a-f]+ <(.*)>:", line)
    instruction = re.match(r"\s*[0-9a-f]+:\s+(.*)", line)
    if heading:
      if not heading[1].startswith((".L", "$")):
        body = functions.setdefault(heading[1], [])
    elif instruction and instruction[1].startswith("R_"):
      body[-1] += " @" + instruction[1].split()[-1]
    elif instruction:
      # Not the comments, such as "// b.any", and no "d58" before a "<now>".
      text = re.split(r"\s(//|#|@|;) ", instruction[1])[0].strip()
      body.append(re.sub(r"\b[0-9a-f]+ <", "<", text))
  return functions


@functools.lru_cache
def compiled(name, source=None):
  """Returns the object of SOURCE, or of a text."""
  target = TARGETS[name]
  if not shutil.which(target.compiler):
    raise house.Skip(target.compiler + " is not installed")
  with tempfile.TemporaryDirectory() as folder:
    path = os.path.join(folder, "core.o")
    text = os.path.join(folder, "text.cc")
    pathlib.Path(text).write_text(source or "", encoding="utf-8")
    run(target.compiler, *FLAGS, *target.flags, "-I", str(house.ROOT),
        "-c", text if source else str(house.ROOT / SOURCE), "-o", path)
    return Object(disassemble(target.objdump, path), sections(target, path))


def sections(target, path):
  """Returns {name: bytes} of an object's sections."""
  rows = re.findall(r"^\s*\d+ (\S+)\s+([0-9a-f]{8})\b",
                    run(target.objdump, "-h", path), re.MULTILINE)
  return {name: int(size, 16) for name, size in rows}


def called(text, functions):
  """Returns the functions that an instruction names."""
  names = re.findall(r"[<@]([\w.$]+)", text)
  return {name for name in names if name in functions}


def reader_functions(functions):
  """Returns READERS and all they call."""
  missing = [name for name in READERS if name not in functions]
  if missing:
    raise ValueError("%s has no %s" % (SOURCE, ", ".join(missing)))
  found, to_do = set(), list(READERS)
  while to_do:
    name = to_do.pop()
    if name not in found:
      found.add(name)
      for text in functions[name]:
        to_do += called(text, functions)
  return sorted(found)


def find(look, functions, names, pattern, calls=None):
  """Notes each instruction of `names` that matches, or calls what matches."""
  for name in names:
    for text in look.at(functions[name], "instructions"):
      target = re.search(r"@([\w.$]+)", text)
      if re.match(pattern, text) or (
          calls and target and target[1] not in functions and
          calls.search(target[1])):
        look.problem(name, text)


# Trap: T38 (a division, or the libcall for one, in the read path)
def no_division_in_reader(look, target):
  functions = compiled(target).functions
  find(look, functions, reader_functions(functions),
       TARGETS[target].isa.division, DIVISION_CALL)


# Trap: T43 (floating point in the time path)
def no_float(look, target):
  """No floating point at all; in readers no register of it, not for a copy
  either: a kernel would have to save it."""
  functions = compiled(target).functions
  isa = TARGETS[target].isa
  find(look, functions, list(functions), isa.float, FLOAT_CALL)
  find(look, functions, reader_functions(functions), isa.float_register)


# Trap: T15 (a read-modify-write of the page, or a load that needs one)
# Trap: T82 (64-bit loads that the compiler makes of a locked exchange)
def no_rmw_in_reader(look, target):
  functions = compiled(target).functions
  find(look, functions, reader_functions(functions), TARGETS[target].isa.rmw)


# Trap: T113 (a word that readers share and write)
def no_store_in_reader(look, target):
  functions = compiled(target).functions
  isa = TARGETS[target].isa
  for name in WITHOUT_STORE:
    for text in look.at(functions[name], "instructions"):
      store = re.match(isa.store, text)
      if store and store[1] not in isa.stack:
        look.problem(name, text)


def arm_counter_is_masked(look, target):
  """Whatever the register has above the 56 bits that are vouched for."""
  functions = compiled(target, ARM_READS).functions
  for name in look.at(functions, "functions"):
    code = "\n".join(functions[name])
    counter = re.search(r"^mrs\s+(x\d+), (?:cntvct|s3_3_c14_c0_6)", code,
                        re.MULTILINE)
    if not counter or not re.search(
        r"^and\s+x0, %s, #0xf{14}\nret" % counter[1], code, re.MULTILINE):
      look.problem(name, code.replace("\n", "; "))


# Trap: T110 (work before main)
def no_static_init(look, target):
  """No constructors, no thread-local and no writable data."""
  sizes = compiled(target).sections
  for name in look.at(sizes, "sections"):
    if re.match(r"\.(init_array|preinit_array|ctors|tbss|tdata)", name) or (
        re.match(r"\.s?(data|bss)(?!\.rel\.ro)", name) and sizes[name] != 0):
      look.problem(name, "%d bytes" % sizes[name])


# Trap: T110 (nothing of the hosted clocks runs before main, either)
def no_static_init_in_hosted(look):
  """But libstdc++'s own streams, which an Abseil header brings along."""
  if not os.path.isdir("/usr/include/absl"):
    raise house.Skip("no /usr/include/absl")
  headers = house.files("hosted", suffixes=(".h",))
  with tempfile.TemporaryDirectory() as folder:
    source, path = os.path.join(folder, "all.cc"), os.path.join(folder, "all.o")
    with open(source, "w", encoding="utf-8") as file:
      file.writelines('#include "%s"\n' % header
                      for header in look.at(headers, "headers"))
    run("g++", "-std=c++20", "-O0", "-I", str(house.ROOT), "-c", source, "-o",
        path)
    functions = disassemble("objdump", path)
  for name in functions:
    if name.startswith(("_GLOBAL__", "_Z41__static_init", "__cxx_global")):
      for text in functions[name]:
        symbol = re.search(r"@(_Z\w+)", text)
        if symbol and not symbol[1].startswith("_ZNSt8ios_base4Init"):
          look.problem(name, text)


def define_case(name, function, *arguments):
  def one(look):
    function(look, *arguments)
  one.__name__ = name
  house.case(one)


def define_cases(names):
  for promise in (no_division_in_reader, no_float, no_rmw_in_reader,
                  no_store_in_reader, no_static_init):
    for name in names:
      if name == "hosted" or (promise is no_store_in_reader and
                              TARGETS[name].isa.store is None):
        continue  # There, results are in memory.
      define_case("%s.%s" % (promise.__name__, name), promise, name)
  if "aarch64" in names:
    define_case("arm_counter_is_masked.aarch64", arm_counter_is_masked,
                "aarch64")
  if "hosted" in names:
    define_case("no_static_init.hosted", no_static_init_in_hosted)


define_cases(sys.argv[2:] or list(TARGETS) + ["hosted"])
house.run()
