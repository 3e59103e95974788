#!/usr/bin/env python3
"""Each danger lives in one file, files and functions stay small, and nothing is
a grab bag."""

import re

import house

# Lines. A core header is to have 300 at most; a few are slightly above.
HEADER_TARGET = 300
HEADER_LIMIT = 400
# Lines of code, without comments, that each of these pulls in, itself included.
CORE_ENTRIES = ["vvar/history.h", "vvar/reader.h", "vvar/writer.h"]
CORE_LIMIT = 1800
FUNCTION_LIMIT = 40
RETRY_LOOP_LIMIT = 20

ORDERING = re.compile(
    r"__atomic_|__ATOMIC_|__sync_|atomic_thread_fence|memory_order|std::atomic|"
    r"\b_Atomic\b|(?<!asm )\bvolatile\b")
ORDERING_HOME = {"vvar/seqcount.h"}

ASM = re.compile(r"\basm\b|__asm")
ASM_HOMES = {"clocks/arm_cntvct.h", "clocks/cpu_id.h", "clocks/riscv_time.h",
             "clocks/x86_tsc.h", "fallback/syscall.h"}

ARCHITECTURE = re.compile(
    r"__(x86_64|i[3-6]86|amd64|aarch64|arm|ARM|thumb|riscv|powerpc|ppc|s390|"
    r"loongarch|mips|sparc|ILP32|LP64)\w*|_M_(X64|IX86|ARM)")
ARCHITECTURE_HOMES = {"clocks/cpu_id.h", "clocks/native.h",
                      "fallback/syscall.h"}

FLOAT = re.compile(
    r"\b(float|double)\b|\b\d[\d']*(\.\d|\.(?!\w)|e[+-]?\d)|(?<![\w.])\.\d")

# Who starts a read of a sequence counter, and in how many places.
READ_BEGIN_CALLERS = {
    "bench/comparisons.h": 1,  # PlainLatch::TryLoad(): what vvar is not.
    "hosted/kernel_vvar_reference.h": 1,  # TryRead(): the kernel's own page.
    "paravirt/foreign_page.h": 1,  # ReadForeign(): one copy, somebody else's.
    "vvar/reader.h": 1,    # ReadLine(): the dated latch.
    "vvar/seqcount.h": 1,  # Seqlock<T>::TryLoad(): the plain seqlock.
    "tools/dump.cc": 1,    # The page's words, of both slots at once.
}

GRAB_BAGS = {"util", "utils", "common", "helper", "helpers", "misc", "manager",
             "impl"}

# A word of the page, as the core writes it, and what may be done with one.
PAGE_WORD = re.compile(
    r"\b(slot(\[[^]]*\])?|header|stats|offsets?)\.\w+|timeline_->(seq\b|stats\.)")
PAGE_ACCESS = re.compile(
    r"(Memory::(Load|Store|LoadAcquire|StoreRelease)|"
    r"(ReadBegin|ReadEnd|WriteOpen|WriteClose|LoadOffset|StoreOffset)<Memory>)$")

FUNCTION = re.compile(
    r"\)\s*(const|noexcept|override|->\s*[\w:<>]+|\s)*"
    r"(:\s*\w+[({][^;]*?[)}]\s*)?\{")


def outside(homes, pattern, look, what):
  """Notes every match outside its homes, and a home that needs none."""
  unused = set(homes)
  for path in look.at(house.files(*house.FREESTANDING + house.HOSTED)):
    for line, text in house.numbered(house.code(path, strings=False)):
      if not pattern.search(text):
        continue
      unused.discard(path)
      if path not in homes:
        look.problem("%s:%d" % (path, line), "%s: %s" % (what, text.strip()))
  for path in sorted(unused):
    look.problem(path, "a home without a tenant: has it moved?")


def closing(text, at):
  """Returns where the bracket that opens at `at` closes."""
  opens, closes = text[at], {"{": "}", "(": ")"}[text[at]]
  depth = 0
  for i in range(at, len(text)):
    depth += (text[i] == opens) - (text[i] == closes)
    if depth == 0:
      return i
  return len(text) - 1


@house.case
def ordering_only_in_seqcount(look):
  """In freestanding code. Hosted code may have its std::atomic flags."""
  for path in look.at(house.files(*house.FREESTANDING)):
    if path in ORDERING_HOME:
      continue
    for line, text in house.numbered(house.code(path, strings=False)):
      if ORDERING.search(text):
        look.problem("%s:%d" % (path, line), "ordering: " + text.strip())


# Trap: T24 (no word of a live page is read or written plainly)
@house.case
def page_words_only_through_memory(look):
  """Each word of a live page is the operand of Memory or of a protocol step."""
  for path in ("vvar/header.h", "vvar/offset.h", "vvar/slot.h",
               "vvar/reader.h", "vvar/writer.h"):
    code = house.code(path, strings=False)
    for match in look.at(PAGE_WORD.finditer(code), "accesses"):
      depth, at = 0, match.start()
      while at > 0 and (depth < 1 or code[at] != "("):
        at -= 1
        depth += (code[at] == "(") - (code[at] == ")")
        if code[at] in ";{}":
          break
      line = code.count("\n", 0, match.start()) + 1
      if not PAGE_ACCESS.search(code[:at]):
        look.problem("%s:%d" % (path, line), "plain access to " + match.group())


@house.case
def asm_only_in_clocks_and_syscall(look):
  outside(ASM_HOMES, ASM, look, "asm")


# Trap: T28 (a load of the line that the compiler moves across the counter)
@house.case
def ordered_counter_reads_clobber_memory(look):
  """The asm of a counter read that has a place among loads or stores has it for
  the compiler, too."""
  for path in sorted(ASM_HOMES - {"fallback/syscall.h"}):
    code = house.code(path)
    for name in re.finditer(r"\bRead(BeforeStores|AfterStores)?\(.*\{", code):
      body = code[name.start():closing(code, name.end() - 1)]
      for asm in re.finditer(r"\basm volatile(\()", body):
        operands = body[asm.start():closing(body, asm.start(1))]
        for _ in look.at([operands], "asm statements"):
          if '"memory"' not in operands:
            line = code.count("\n", 0, name.start() + asm.start()) + 1
            look.problem("%s:%d" % (path, line), "no clobber of memory")
          if "rdtscp" in operands and '"ecx"' not in operands:
            look.problem(path, "rdtscp writes ecx, too")


@house.case
def architecture_if_only_in_two_files(look):
  outside(ARCHITECTURE_HOMES, ARCHITECTURE, look, "architecture")


# Trap: T43 (floating point in the time path; objects_test looks at the code)
@house.case
def no_floating_point(look):
  for path in look.at(house.files(*house.FREESTANDING)):
    for line, text in house.numbered(house.code(path, strings=False)):
      if FLOAT.search(text):
        look.problem("%s:%d" % (path, line), "float: " + text.strip())


@house.case
def one_retry_loop(look):
  """Whoever calls ReadBegin() is known, and calls it once."""
  call = re.compile(r"\bReadBegin<\w+>\(")
  found = {}
  for path in look.at(house.files(*house.FREESTANDING + house.HOSTED)):
    calls = len(call.findall(house.code(path)))
    if calls:
      found[path] = calls
  for path in sorted(set(found) | set(READ_BEGIN_CALLERS)):
    if found.get(path, 0) != READ_BEGIN_CALLERS.get(path, 0):
      look.problem(path, "%d calls of ReadBegin(), expected %d" %
                   (found.get(path, 0), READ_BEGIN_CALLERS.get(path, 0)))


@house.case
def retry_loop_fits_a_glance(look):
  """[R:begin] is in one loop of reader.h, and ReadLine() is short."""
  text = house.read("vvar/reader.h")
  for match in look.at(re.finditer(r"ReadStatus ReadLine\(", text), "loops"):
    end = closing(text, text.index("{", match.end()))
    body = text[match.start():end + 1]
    lines = body.count("\n") + 1
    if lines > RETRY_LOOP_LIMIT:
      look.problem("vvar/reader.h", "ReadLine() has %d lines" % lines)
    if body.count("[R:begin]") != 1 or text.count("[R:begin]") != 1:
      look.problem("vvar/reader.h", "[R:begin] is not in ReadLine(), once")
  if look.count > 1:
    look.problem("vvar/reader.h", "ReadLine() is there twice")


@house.case
def core_stays_small(look):
  for path in look.at(house.files("vvar", suffixes=(".h",)), "headers"):
    lines = house.read(path).count("\n")
    if lines > HEADER_TARGET:
      print("  %s has %d lines, is to have %d" % (path, lines, HEADER_TARGET))
    if lines > HEADER_LIMIT:
      look.problem(path, "%d lines, at most %d" % (lines, HEADER_LIMIT))


def pulled_in(path, seen):
  """Adds to `seen` what a file includes, itself included."""
  if path not in seen:
    seen.add(path)
    for name in re.findall(r'#include "([^"]+)"', house.read(path)):
      pulled_in(name, seen)
  return seen


@house.case
def core_pulls_in_little(look):
  for entry in look.at(CORE_ENTRIES, "headers"):
    paths = pulled_in(entry, set())
    lines = sum(1 for path in paths for line in house.code(path).split("\n")
                if line.strip())
    print("  %s: %d lines of code in %d headers, may have %d" %
          (entry, lines, len(paths), CORE_LIMIT))
    if lines > CORE_LIMIT:
      look.problem(entry, "%d lines of code, at most %d" % (lines, CORE_LIMIT))


def functions(path):
  """Yields (line, lines) of each function of a file; not of a lambda's or a
  statement's block inside of one."""
  code = house.code(path, strings=False)
  at = 0
  while True:
    match = FUNCTION.search(code, at)
    if match is None:
      return
    end = closing(code, match.end() - 1)
    yield (code.count("\n", 0, match.start()) + 1,
           code.count("\n", match.start(), end) + 1)
    at = end


@house.case
def functions_fit_a_screen(look):
  for path in house.files("vvar", "clocks", "fallback", "paravirt"):
    for line, lines in look.at(functions(path), "functions"):
      if lines > FUNCTION_LIMIT:
        look.problem("%s:%d" % (path, line), "a function of %d lines" % lines)


@house.case
def no_grab_bags(look):
  """No file and no folder is named after what it could hold."""
  suffixes = house.CPP + (".py", ".sh", ".md", ".bzl", ".S", ".lds")
  for path in look.at(house.files(".", suffixes=suffixes)):
    if path.startswith("third_party/"):  # Named by those it stands in for.
      continue
    for part in path.split("/"):
      if GRAB_BAGS & set(re.split(r"[._-]", part.lower())):
        look.problem(path, "a name that says nothing")


house.run()
