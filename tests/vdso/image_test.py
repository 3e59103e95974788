#!/usr/bin/env python3
"""Each image passes vdso/check_image.py; damaged ones, and what is no image, do
not; two builds of one are the same bytes.

    tests/vdso/image_test.py IMAGE ANOTHER_BUILD_OF_IT...
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


def checked(data):
  """Returns whether these bytes pass, and the report."""
  with tempfile.NamedTemporaryFile() as file:
    file.write(data)
    file.flush()
    with contextlib.redirect_stdout(io.StringIO()) as output:
      good = check_image.check(file.name)
  return good, output.getvalue()


# Traps: T96, T97, T98
def damages(data):
  """Yields (what was done to an image, its bytes then, what is said of it)."""
  image = check_image.Image(data)
  headers, = struct.unpack_from("<Q", data, 32)

  def patched(offset, layout, *values):
    copy = bytearray(data)
    struct.pack_into("<" + layout, copy, offset, *values)
    return bytes(copy)

  def retagged(name, tag):
    """With another kind of entry where this one is."""
    segment, = image.of(check_image.PT_DYNAMIC)
    for i in range(segment.offset, segment.offset + segment.filesz, 16):
      if struct.unpack_from("<Q", data, i)[0] == DT[name]:
        return patched(i, "Q", tag)
    raise AssertionError("no DT_" + name)

  hash_table = image.dynamic[DT["HASH"]]
  gnu_table = image.dynamic[DT["GNU_HASH"]]
  symbol = image.dynamic[DT["SYMTAB"]] + 24  # The first one that is one.
  versions = image.dynamic[DT["VERSYM"]]
  strings = image.dynamic[DT["STRTAB"]]
  frame, = image.of(check_image.PT_GNU_EH_FRAME)
  frame_header = headers + 56 * image.segments.index(frame)
  note, = image.of(check_image.PT_NOTE)
  build_id = data.index(struct.pack("<III", 4, 20, 3), note.offset) + 8
  yield "empty", b"", "0 bytes, no ELF file"
  yield "cut_off_in_its_tables", data[:300], "ends at 300, inside a table"
  yield "an_executable", patched(16, "H", 2), "e_type 2"
  yield "of_32_bits", patched(4, "B", 1), "not ELF64"
  yield "of_another_machine", patched(18, "H", 21), "e_machine 21"
  yield "writable", patched(headers + 4, "I", 7), "flags [7]"
  yield "not_executable", patched(headers + 4, "I", 4), "flags [4]"
  yield ("with_zeroes_after_its_file", patched(headers + 40, "Q", 8000),
         "of 8000 bytes")
  yield "too_large", patched(headers + 32, "QQ", 9000, 9000), "at most two pages"
  yield ("with_a_second_segment", patched(frame_header, "I", 1),
         "one segment, read")
  yield "with_relocations", retagged("SONAME", DT["RELA"]), "DT_RELA"
  yield "without_dt_hash", retagged("HASH", 0x60000000), "no DT_HASH"
  yield ("without_gnu_hash", retagged("GNU_HASH", 0x60000000),
         "DT_HASH and DT_GNU_HASH")
  yield ("with_a_wrong_bucket", patched(hash_table + 8, "I", 0),
         "not in DT_HASH")
  yield ("with_an_empty_filter", patched(gnu_table + 16, "Q", 0),
         "not in DT_GNU_HASH")
  yield ("with_an_undefined_function", patched(symbol + 6, "H", 0),
         "no undefined symbol")
  yield ("with_an_object_for_a_function", patched(symbol + 4, "B", 0x11),
         "no function of 5 bytes")
  yield ("with_a_short_function", patched(symbol + 16, "Q", 4),
         "no function of 5 bytes")
  yield ("with_a_weak_function_that_is_strong",
         patched(symbol + 4, "B", data[symbol + 4] ^ 0x30), "binding")
  yield ("with_an_unversioned_function", patched(versions + 2, "H", 1),
         "version linux-vdso.so.1, expected")
  yield ("with_another_name", patched(strings + 9, "B", ord("x")),
         "the system's names")
  yield ("without_unwind_information", patched(frame.offset + 8, "I", 0),
         "not in .eh_frame")
  distance = data.index(struct.pack("<Q", 2**64 - 8192))
  yield ("with_its_page_elsewhere", patched(distance, "Q", 2**64 - 16384),
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
  first, again = paths[:2]
  passed &= report("two_builds_are_the_same", images[first] == images[again],
                   "%d bytes" % len(images[first]))
  for what, data, said in damages(images[first]):
    good, output = checked(data)
    bad = [line.strip() for line in output.split("\n") if "BAD" in line]
    passed &= report("rejects_one_%s" % what,
                     not good and any(said in line for line in bad),
                     "; ".join(bad) or "not rejected")
  return 0 if passed else 1


if __name__ == "__main__":
  sys.exit(main(sys.argv[1:]))
