#!/usr/bin/env python3
"""F10: one page, golden to the byte, read by the library and by a decoder in C,
compiled for 64 and for 32 bits, and by one in Python. All say the same; and
writers of either width write these bytes."""

import pathlib
import struct
import subprocess
import sys

sys.path[1:1] = [str(pathlib.Path(__file__).resolve().parents[1] / folder)
                 for folder in ("house", "support")]
import house  # pylint: disable=wrong-import-position
import programs  # pylint: disable=wrong-import-position

GOLDEN = "tests/faults/golden_page.txt"
LIBRARY = "tests/faults/page_program.cc"
DECODER = "tests/faults/decode_page.c"
WIDTHS = (64, 32)

# docs/abi.md, once more: the words of a slot that time is made of.
SLOT = struct.Struct("<QQIIHHI" + "qQ" * 5 + "IIQ" + "QqII" * 2)
TIMELINE_AT, SLOT_AT, SLOT_SIZE = 256, 64, 256
CLOCKS = {0: 0, 1: 1, 4: 2, 7: 3, 11: 4}  # Of base[].
COARSE = {5: 0, 6: 1}
NS = 10**9


def run(path, *arguments, page=None):
  return subprocess.run([path, *map(str, arguments)], input=page,
                        capture_output=True, check=True).stdout


def golden():
  """Returns the bytes: a line for each word of eight that is not zero."""
  page = bytearray(4096)
  for line in house.read(GOLDEN).split("\n"):
    if line and not line.startswith("#"):
      offset, word = line.split()
      page[int(offset):int(offset) + 8] = bytes.fromhex(word)
  return bytes(page)


class Slot:
  """A slot, by its bytes."""

  def __init__(self, page, seq, index):
    at = TIMELINE_AT + SLOT_AT + (seq >> 1 & 1 ^ index) * SLOT_SIZE
    words = SLOT.unpack_from(page, at)
    (self.start, self.max_cycles, self.mult, self.realtime_mult, self.shift,
     self.status, self.counter_id) = words[:7]
    self.bases = [words[7 + 2 * i:9 + 2 * i] for i in range(5)]
    self.raw_mult = words[17]
    self.coarse = [words[20 + 4 * i:24 + 4 * i] for i in range(2)]

  def age(self, counter):
    return (counter - self.start + 2**63) % 2**64 - 2**63

  def time(self, base, counter):
    if abs(self.age(counter)) > self.max_cycles:
      return "status 2"
    sec, nsec_shifted = self.bases[base]
    mult = {0: self.realtime_mult, 2: self.raw_mult}.get(base, self.mult)
    ns = (nsec_shifted + max(self.age(counter), 0) * mult) >> self.shift
    return "%d.%09d" % (sec + ns // NS, ns % NS)


def decode(page, counters):
  """Returns what the programs print."""
  seq, = struct.unpack_from("<I", page, TIMELINE_AT)
  current, previous = Slot(page, seq, 0), Slot(page, seq, 1)
  lines = []
  for counter in counters:
    valid = previous if current.age(counter) < 0 else current
    for clock in sorted([*CLOCKS, *COARSE]):
      if clock in CLOCKS:
        text = valid.time(CLOCKS[clock], counter)
      else:
        _, sec, nsec, _ = current.coarse[COARSE[clock]]
        text = "%d.%09d" % (sec, nsec)
      lines.append("%d %d %s\n" % (counter, clock, text))
  return "".join(lines)


def counters(page):
  """Returns counter values on both lines, before both, and after their end."""
  seq, = struct.unpack_from("<I", page, TIMELINE_AT)
  found = []
  for slot in (Slot(page, seq, 0), Slot(page, seq, 1)):
    end = slot.max_cycles
    found += [slot.start + delta for delta in
              (-2**40, -end - 1, -end, -12345, -1, 0, 1, 2, 999, 123456789,
               10**9, end - 1, end, end + 1, 2**40)]
  return [counter % 2**64 for counter in found]


def width_case(name, function):
  for width in WIDTHS:
    def one(look, width=width):
      function(look, width)
    one.__name__ = "%s_%d" % (name, width)
    one.__doc__ = function.__doc__
    house.case(one)


def writer_writes_the_golden_page(look, width):
  """Byte by byte."""
  written = run(programs.program(LIBRARY, width), "write")
  for at, (expected, found) in look.at(
      enumerate(zip(golden(), written, strict=True)), "bytes"):
    if expected != found:
      look.problem(GOLDEN, "byte %d is %02x, written %02x" %
                   (at, expected, found))


def library_reads_what_python_reads(look, width):
  check_decoder(look, LIBRARY, width, "read")


def c_reads_what_python_reads(look, width):
  check_decoder(look, DECODER, width)


def check_decoder(look, source, width, *arguments):
  page = golden()
  at = counters(page)
  path = programs.program(source, width)
  printed = run(path, *arguments, *at, page=page).decode()
  expected = decode(page, at).split("\n")
  for line, other in look.at(zip(expected, printed.split("\n"), strict=True),
                             "readings"):
    if line != other:
      look.problem(source, "says '%s', Python '%s'" % (other, line))
  if not any("status" in line for line in expected):
    look.problem(GOLDEN, "no counter value is stale")


def refuses_what_is_no_page(look, width):
  """Another magic, endianness, major; not another minor."""
  path = programs.program(LIBRARY, width)
  for name, offset, word, answer in look.at((
      ("magic", 0, 0x52415657, "refused: 2\n"),
      ("endian tag", 4, 0x04030201, "refused: 3\n"),
      ("newer major", 8, 3, "refused: 4\n"),
      ("older major", 8, 1, "refused: 4\n"),
      ("larger than the file", 16, 16384, "refused: 1\n"),
      ("far larger", 16, 2**32 - 1, "refused: 1\n"),
      ("timelines outside", 56, 4096, "refused: 5\n"),
      ("other counter", 20, 1, "refused: 6\n"),
      ("newer minor", 12, 99, None)), "pages"):
    page = bytearray(golden())
    struct.pack_into("<I", page, offset, word)
    said = run(path, "read", 0, page=bytes(page)).decode()
    if said != (answer if answer else decode(bytes(page), [0])):
      look.problem(name, "said " + said)


# Trap: T77 (bytes decoded in three languages)
width_case("writer_writes_the_golden_page", writer_writes_the_golden_page)
width_case("library_reads_what_python_reads", library_reads_what_python_reads)
width_case("c_reads_what_python_reads", c_reads_what_python_reads)
width_case("refuses_what_is_no_page", refuses_what_is_no_page)

house.run()
