#!/usr/bin/env python3
"""Each image passes vdso/check_image.py; damaged ones, and what is no image, do
not; two builds of one are the same bytes. Twice: of 64 bits and of 32.

    tests/vdso/image_test.py IMAGE ANOTHER_BUILD_OF_IT IMAGE ANOTHER_BUILD...
"""

import contextlib
import io
import os
import struct
import sys
import tempfile

sys.path.insert(0, "vdso")
import check_image  # pylint: disable=wrong-import-position

DT = check_image.DT


def report(name, passed, details):
  print("CASE %s %s %s" % (name, "PASSED" if passed else "FAILED", details))
  return passed


def checked_file(path):
  """Returns whether this file passes, and the report."""
  with contextlib.redirect_stdout(io.StringIO()) as output:
    good = check_image.check(path)
  return good, output.getvalue()


def checked(data):
  with tempfile.NamedTemporaryFile() as file:
    file.write(data)
    file.flush()
    return checked_file(file.name)


# Traps: T96, T97, T98
def damages(data):
  """Yields (what was done to an image, its bytes then, what is said of it)."""
  image = check_image.Image(data)
  word = image.form.word

  def patched(offset, layout, *values):
    copy = bytearray(data)
    struct.pack_into("<" + layout, copy, offset, *values)
    return bytes(copy)

  def in_entry(table, layout, fields, field, value):
    """With a value in a field of a table's entry."""
    at = fields.split().index(field)
    return patched(table + struct.calcsize("<" + layout[:at]), layout[at],
                   value)

  def in_segment(index, field, value):
    form = image.form
    return in_entry(image.headers + index * image.header_bytes, form.segment,
                    form.segment_fields, field, value)

  def in_symbol(field, value):
    """The first one that is one."""
    form = image.form
    return in_entry(image.dynamic[DT["SYMTAB"]] +
                    struct.calcsize("<" + form.symbol),
                    form.symbol, form.symbol_fields, field, value)

  def retagged(name, tag):
    """With another kind of entry where this one is."""
    segment, = image.of(check_image.PT_DYNAMIC)
    for i in range(segment.offset, segment.offset + segment.filesz,
                   2 * image.word_bytes):
      if struct.unpack_from("<" + word, data, i)[0] == DT[name]:
        return patched(i, word, tag)
    raise AssertionError("no DT_" + name)

  hash_table = image.dynamic[DT["HASH"]]
  gnu_table = image.dynamic[DT["GNU_HASH"]]
  versions = image.dynamic[DT["VERSYM"]]
  strings = image.dynamic[DT["STRTAB"]]
  frame, = image.of(check_image.PT_GNU_EH_FRAME)
  load_index = image.segments.index(image.of(check_image.PT_LOAD)[0])
  note, = image.of(check_image.PT_NOTE)
  build_id = data.index(struct.pack("<III", 4, 20, 3), note.offset) + 8
  yield "empty", b"", "0 bytes, no ELF file"
  yield "cut_off_in_its_tables", data[:300], "ends at 300, inside a table"
  yield "an_executable", patched(16, "H", 2), "e_type 2"
  yield "of_another_class", patched(4, "B", 3 - data[4]), "e_ident says class"
  yield "of_another_byte_order", patched(5, "B", 2), "not little-endian"
  yield "of_another_machine", patched(18, "H", 21), "e_machine 21"
  yield "writable", in_segment(load_index, "flags", 7), "flags [7]"
  yield "not_executable", in_segment(load_index, "flags", 4), "flags [4]"
  yield ("with_zeroes_after_its_file", in_segment(load_index, "memsz", 8000),
         "of 8000 bytes")
  yield "too_large", in_segment(load_index, "memsz", 9000), "at most two pages"
  yield ("with_a_second_segment",
         in_segment(image.segments.index(frame), "type", 1),
         "one segment, read")
  yield "with_relocations", retagged("SONAME", DT["RELA"]), "DT_RELA"
  yield "without_dt_hash", retagged("HASH", 0x60000000), "no DT_HASH"
  yield ("without_gnu_hash", retagged("GNU_HASH", 0x60000000),
         "DT_HASH and DT_GNU_HASH")
  yield ("with_a_wrong_bucket", patched(hash_table + 8, "I", 0),
         "not in DT_HASH")
  yield ("with_an_empty_filter", patched(gnu_table + 16, word, 0),
         "not in DT_GNU_HASH")
  yield ("with_an_undefined_function", in_symbol("shndx", 0),
         "no undefined symbol")
  yield ("with_an_object_for_a_function", in_symbol("info", 0x11),
         "no function of 5 bytes")
  yield ("with_a_short_function", in_symbol("size", 4),
         "no function of 5 bytes")
  yield ("with_a_weak_function_that_is_strong",
         in_symbol("info", image.symbols[1].info ^ 0x30), "binding")
  yield ("with_an_unversioned_function", patched(versions + 2, "H", 1),
         ", expected LINUX_")
  yield ("with_another_name", patched(strings + 9, "B", ord("x")),
         "the system's names")
  yield ("without_unwind_information", patched(frame.offset + 8, "I", 0),
         "not in .eh_frame")
  distance = data.index(struct.pack("<" + word, 2**image.bits - 8192),
                        image.of(check_image.PT_LOAD)[0].filesz)
  yield ("with_its_page_elsewhere",
         patched(distance, word, 2**image.bits - 16384),
         "vvar_image_page 8192 before it")
  yield "without_a_build_id", patched(build_id, "I", 9), "a build id"


def main(paths):
  passed = True
  images = {}
  for path in paths:
    with open(path, "rb") as file:
      images[path] = file.read()
    good, output = checked(images[path])
    print(output)
    passed &= report(os.path.basename(path), good,
                     "%d bytes in the file" % len(images[path]))
  for first, again in zip(paths[0:4:2], paths[1:4:2]):
    isa = check_image.MACHINES[check_image.Image(images[first]).machine][0]
    passed &= report("two_builds_for_%s_are_the_same" % isa,
                     images[first] == images[again],
                     "%d bytes" % len(images[first]))
    for what, data, said in damages(images[first]):
      good, output = checked(data)
      bad = [line.strip() for line in output.split("\n") if "BAD" in line]
      passed &= report("rejects_one_for_%s_%s" % (isa, what),
                       not good and any(said in line for line in bad),
                       "; ".join(bad) or "not rejected")
  good, output = checked_file("no-such-file")
  passed &= report("rejects_a_file_that_is_not_there",
                   not good and "No such file" in output, output.strip())
  return 0 if passed else 1


if __name__ == "__main__":
  sys.exit(main(sys.argv[1:]))
