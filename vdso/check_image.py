#!/usr/bin/env python3
"""Checks that a file is a vDSO image as vdso/ makes them, for a process that
maps it and a C library that looks it up.

    vdso/check_image.py IMAGE...

Prints a line for each property; exits with 1 if one does not hold.
"""

import collections
import struct
import sys

_LARGEST = 8192
_PAGE = 4096

# {e_machine: (name, class, SONAME, version node, exported functions, weak
# aliases)}. The rows of other systems' documents, not read from the sources
# that are checked.
_I386 = ("clock_getres", "clock_getres_time64", "clock_gettime",
         "clock_gettime64", "getcpu", "gettimeofday", "time")
_X86_64 = ("clock_getres", "clock_gettime", "getcpu", "gettimeofday", "time")
MACHINES = {
    3: ("i386", 32, "linux-gate.so.1", "LINUX_2.6",
        ["__vdso_" + name for name in _I386], []),
    62: ("x86-64", 64, "linux-vdso.so.1", "LINUX_2.6",
         ["__vdso_" + name for name in _X86_64], list(_X86_64)),
    183: ("AArch64", 64, "linux-vdso.so.1", "LINUX_2.6.39",
          ["__kernel_clock_getres", "__kernel_clock_gettime",
           "__kernel_gettimeofday"], []),
    243: ("RISC-V", 64, "linux-vdso.so.1", "LINUX_4.15",
          ["__vdso_clock_getres", "__vdso_clock_gettime", "__vdso_getcpu",
           "__vdso_gettimeofday"], []),
}

PT_LOAD, PT_DYNAMIC, PT_NOTE, PT_TLS = 1, 2, 4, 7
PT_GNU_EH_FRAME, PT_GNU_STACK = 0x6474e550, 0x6474e551
DT = {"NEEDED": 1, "HASH": 4, "STRTAB": 5, "SYMTAB": 6, "RELA": 7, "INIT": 12,
      "FINI": 13, "SONAME": 14, "REL": 17, "TEXTREL": 22, "JMPREL": 23,
      "INIT_ARRAY": 25, "FINI_ARRAY": 26, "GNU_HASH": 0x6ffffef5,
      "VERSYM": 0x6ffffff0, "VERDEF": 0x6ffffffc, "VERNEED": 0x6ffffffe}
_NEVER = ("NEEDED", "RELA", "REL", "TEXTREL", "JMPREL", "INIT", "FINI",
          "INIT_ARRAY", "FINI_ARRAY", "VERNEED")
STB_WEAK, STT_FUNC = 2, 2

Segment = collections.namedtuple(
    "Segment", "type flags offset vaddr paddr filesz memsz align")
Symbol = collections.namedtuple("Symbol", "name info other shndx value size")

# How struct unpacks a class's tables, and the fields of those that are in
# another order in each; where the file header has the offsets of two of them,
# and their entries' sizes and numbers.
Class = collections.namedtuple(
    "Class", "word segments segment_count sections section_count "
    "segment segment_fields symbol symbol_fields section")
CLASSES = {
    32: Class("I", 28, 42, 32, 46,
              "IIIIIIII", "type offset vaddr paddr filesz memsz flags align",
              "IIIBBH", "name value size info other shndx", "IIIIIIIIII"),
    64: Class("Q", 32, 54, 40, 58,
              "IIQQQQQQ", "type flags offset vaddr paddr filesz memsz align",
              "IBBHQQ", "name info other shndx value size", "IIQQQQIIQQ"),
}


class NotAnImage(Exception):
  """Says what the file is instead."""


class Image:
  """The tables of a little-endian shared object."""

  def __init__(self, data):
    self.data = data
    if data[:4] != b"\x7fELF":
      raise NotAnImage("%d bytes, no ELF file" % len(data))
    if data[5:6] != b"\x01":
      raise NotAnImage("not little-endian")
    self.type, self.machine = self.at(16, "HH")
    if self.type != 3:
      raise NotAnImage("e_type %d, expected 3 (a shared object)" % self.type)
    if self.machine not in MACHINES:
      raise NotAnImage("e_machine %d, expected one of %s" %
                       (self.machine, sorted(MACHINES)))
    bits = MACHINES[self.machine][1]
    if data[4] * 32 != bits:
      raise NotAnImage("e_ident says class %d, expected %d: ELF%d" %
                       (data[4], bits // 32, bits))
    self.bits = bits
    self.form = form = CLASSES[bits]
    self.word_bytes = bits // 8
    self.headers, = self.at(form.segments, form.word)
    self.header_bytes, count = self.at(form.segment_count, "HH")
    self.segments = [
        Segment(**self.fields(self.headers + i * self.header_bytes,
                              form.segment, form.segment_fields))
        for i in range(count)]
    self.dynamic = self._dynamic()
    for needed in ("SYMTAB", "STRTAB", "HASH"):
      if DT[needed] not in self.dynamic:
        raise NotAnImage("no DT_" + needed)
    self.symbols = self._symbols()

  def at(self, offset, layout):
    try:
      return struct.unpack_from("<" + layout, self.data, offset)
    except struct.error:
      raise NotAnImage("ends at %d, inside a table" % len(self.data)) from None

  def fields(self, offset, layout, names):
    return dict(zip(names.split(), self.at(offset, layout)))

  def of(self, kind):
    return [each for each in self.segments if each.type == kind]

  def text(self, offset):
    return self.data[offset:self.data.index(b"\0", offset)].decode()

  def _dynamic(self):
    entries = {}
    for segment in self.of(PT_DYNAMIC):
      for i in range(0, segment.filesz, 2 * self.word_bytes):
        tag, value = self.at(segment.offset + i, 2 * self.form.word)
        if tag == 0:
          break
        entries[tag] = value
    return entries

  def string(self, offset):
    return self.text(self.dynamic[DT["STRTAB"]] + offset)

  def _symbols(self):
    _, count = self.at(self.dynamic[DT["HASH"]], "II")
    symbols = []
    for i in range(count):
      symbol = self.symbol(self.dynamic[DT["SYMTAB"]], i)
      symbols.append(symbol._replace(name=self.string(symbol.name)))
    return symbols

  def symbol(self, table, index):
    """An entry of a table of symbols, its name an offset."""
    size = struct.calcsize("<" + self.form.symbol)
    return Symbol(**self.fields(table + size * index, self.form.symbol,
                                self.form.symbol_fields))

  def version_of(self, index):
    """The name of the version that a symbol has."""
    wanted, = self.at(self.dynamic[DT["VERSYM"]] + 2 * index, "H")
    at = self.dynamic[DT["VERDEF"]]
    while True:
      _, _, number, _, _, first, following = self.at(at, "HHHHIII")
      if number == wanted & 0x7fff:
        return self.string(self.at(at + first, "I")[0])
      if following == 0:
        return None
      at += following

  def in_sysv_hash(self, name):
    """The symbol's index as DT_HASH tells it; 0 if it does not."""
    value = 0
    for byte in name.encode():
      value = (value << 4) + byte
      value = (value ^ (value >> 24 & 0xf0)) & 0x0fffffff
    table = self.dynamic[DT["HASH"]]
    buckets, chains = self.at(table, "II")
    index, = self.at(table + 8 + 4 * (value % buckets), "I")
    for _ in range(chains):
      if index == 0 or self.symbols[index].name == name:
        break
      index, = self.at(table + 8 + 4 * (buckets + index), "I")
    return index

  def in_gnu_hash(self, name):
    """The same, as DT_GNU_HASH tells it."""
    if DT["GNU_HASH"] not in self.dynamic:
      return 0
    value = 5381
    for byte in name.encode():
      value = (value * 33 + byte) & 0xffffffff
    table = self.dynamic[DT["GNU_HASH"]]
    buckets, first, words, shift = self.at(table, "IIII")
    bits = self.bits
    word, = self.at(table + 16 + self.word_bytes * (value // bits % words),
                    self.form.word)
    if not word >> value % bits & word >> (value >> shift) % bits & 1:
      return 0
    at = table + 16 + self.word_bytes * words
    index, = self.at(at + 4 * (value % buckets), "I")
    while index >= first:
      chain, = self.at(at + 4 * (buckets + index - first), "I")
      if chain | 1 == value | 1 and self.symbols[index].name == name:
        return index
      if chain & 1:
        break
      index += 1
    return 0

  def unwound(self):
    """The address ranges that .eh_frame describes, by .eh_frame_hdr's table."""
    ranges = []
    for segment in self.of(PT_GNU_EH_FRAME):
      header = segment.offset
      # Version 1; a pcrel sdata4 pointer; a udata4 count; datarel sdata4 rows.
      if self.at(header, "BBBB") != (1, 0x1b, 0x03, 0x3b):
        raise NotAnImage(".eh_frame_hdr of another encoding")
      count, = self.at(header + 8, "I")
      for i in range(count):
        start, entry = self.at(header + 12 + 8 * i, "ii")
        # An FDE: length, CIE, start, bytes; of 4 bytes each (pcrel sdata4).
        _, _, _, size = self.at(header + entry, "IIiI")
        ranges.append((header + start, header + start + size))
    return ranges


def checks(data):
  """Yields (property, whether it holds, details)."""
  image = Image(data)
  machine, _, expected_soname, version, names, weak = MACHINES[image.machine]
  yield "machine", True, machine
  loads = image.of(PT_LOAD)
  yield ("one segment, read and execute",
         [each.flags for each in loads] == [5],
         "flags %s" % [each.flags for each in loads])
  load = loads[0] if loads else Segment(*[0] * 8)
  yield ("mapped from its first byte, file as memory",
         load.offset == load.vaddr == 0 and load.filesz == load.memsz,
         "offset %d, address %d, %d of %d bytes" %
         (load.offset, load.vaddr, load.filesz, load.memsz))
  yield ("at most two pages", 0 < load.memsz <= _LARGEST,
         "%d bytes" % load.memsz)
  inside = all(each.offset == each.vaddr and
               each.offset + each.filesz <= load.filesz
               for each in image.segments if each.type != PT_GNU_STACK)
  yield "all segments inside it", inside, "%d segments" % len(image.segments)
  yield "no thread-local data", not image.of(PT_TLS), ""
  never = [name for name in _NEVER if DT[name] in image.dynamic]
  yield ("no relocations, no needs, no initialisers", not never,
         " ".join("DT_" + name for name in never))
  soname = image.string(image.dynamic.get(DT["SONAME"], 0))
  yield "SONAME", soname == expected_soname, soname
  yield ("DT_HASH and DT_GNU_HASH",
         DT["HASH"] in image.dynamic and DT["GNU_HASH"] in image.dynamic, "")
  undefined = [each.name for each in image.symbols[1:] if each.shndx == 0]
  yield "no undefined symbol", not undefined, " ".join(undefined)
  yield from check_functions(image, version, names, weak)
  notes = b"".join(data[each.offset:each.offset + each.filesz]
                   for each in image.of(PT_NOTE))
  # Name of 4 bytes, 20 of description, NT_GNU_BUILD_ID.
  build_id = notes.partition(struct.pack("<III4s", 4, 20, 3, b"GNU\0"))[2][:20]
  yield "a build id", len(build_id) == 20, build_id.hex()
  yield from check_pages(image)


def check_functions(image, version, names, weak):
  """Exports, their versions, their hashes, their unwind information."""
  exported = {each.name: (i, each) for i, each in enumerate(image.symbols)
              if each.name and each.shndx not in (0, 0xfff1)}
  yield ("the system's names and no other",
         sorted(exported) == sorted(names + weak), " ".join(sorted(exported)))
  unwound = image.unwound()
  for name in names + weak:
    if name not in exported:
      continue
    index, symbol = exported[name]
    problems = []
    if symbol.info & 15 != STT_FUNC or symbol.size < 5:
      problems.append("no function of 5 bytes or more")
    if (symbol.info >> 4 == STB_WEAK) != (name in weak):
      problems.append("binding %d" % (symbol.info >> 4))
    if image.version_of(index) != version:
      problems.append("version %s, expected %s" %
                      (image.version_of(index), version))
    if image.in_sysv_hash(name) != index:
      problems.append("not in DT_HASH")
    if image.in_gnu_hash(name) != index:
      problems.append("not in DT_GNU_HASH")
    if not any(start <= symbol.value and symbol.value + symbol.size <= end
               for start, end in unwound):
      problems.append("not in .eh_frame")
    yield (name, not problems,
           "; ".join(problems) or "%d bytes, %s" % (symbol.size, version))


def check_pages(image):
  """The pages it reads are where a loader maps them."""
  form = image.form
  offset, = image.at(form.sections, form.word)
  size, count = image.at(form.section_count, "HH")
  sections = [image.at(offset + i * size, form.section) for i in range(count)]
  found = {}
  for section in sections:
    if section[1] != 2:  # SHT_SYMTAB
      continue
    strings = sections[section[6]][4]
    for i in range(section[5] // section[9]):
      symbol = image.symbol(section[4], i)
      found[image.text(strings + symbol.name)] = symbol.value
  for name, pages in (("vvar_image_page", 2), ("vvar_image_offsets", 1)):
    value = found.get(name)
    yield ("%s %d before it" % (name, pages * _PAGE),
           value == 2**image.bits - pages * _PAGE,
           "at %s" % (hex(value) if value is not None else "no address"))


def check(path):
  """Prints the report on one file; returns whether it is an image."""
  good = True
  print(path)
  try:
    with open(path, "rb") as file:
      data = file.read()
    for name, holds, details in checks(data):
      print("  %-4s %-44s %s" % ("ok" if holds else "BAD", name, details))
      good &= holds
  except (NotAnImage, OSError) as problem:
    print("  BAD  not an image: %s" % problem)
    return False
  return good


def main(arguments):
  if len(arguments) < 2:
    sys.exit("usage: check_image.py IMAGE...")
  results = [check(path) for path in arguments[1:]]
  return 0 if all(results) else 1


if __name__ == "__main__":
  sys.exit(main(sys.argv))
