#!/usr/bin/env python3
"""docs/abi.md says what vvar/abi.h says: a C compiler is asked for the offset,
size and type of every row, and a page that C has filled is decoded here by the
document alone."""

import functools
import os
import re
import struct
import subprocess
import tempfile

import house

DOCUMENT = "docs/abi.md"
HEADER = "vvar/abi.h"

HEADING = re.compile(r"### `(vvar_\w+)`, (\d+) bytes")
COLUMNS = ("field", "offset", "size", "type", "unit")
WORDS = {"u16": "H", "u32": "I", "i32": "i", "u64": "Q", "i64": "q"}
C_WORDS = {"u16": "uint16_t", "u32": "uint32_t", "i32": "int32_t", "u64": "uint64_t",
           "i64": "int64_t"}
H_WORDS = {"uint16_t": "u16", "uint32_t": "u32", "int32_t": "i32", "VVAR_U64": "u64",
           "VVAR_S64": "i64"}


class Field:
  """A row of the document."""

  def __init__(self, line, struct_name, cells):
    self.where = "%s:%d" % (DOCUMENT, line)
    self.struct = struct_name
    self.name = cells[0].strip("`")
    self.offset, self.size = int(cells[1]), int(cells[2])
    self.type, self.unit = cells[3], cells[4]
    element, _, count = self.type.rstrip("]").partition("[")
    self.element, self.count = element, int(count) if count else None


@functools.lru_cache
def documented():
  """Returns the document's rows as {struct: (line, size, [Field])}."""
  headings = {}
  for line, text in house.numbered(house.read(DOCUMENT)):
    match = HEADING.fullmatch(text)
    if match:
      headings[line] = (match[1], int(match[2]))
  structs = {}
  for table in house.tables(DOCUMENT):
    if tuple(table.header[:len(COLUMNS)]) == COLUMNS:
      line = max(each for each in headings if each < table.line)
      name, size = headings[line]
      structs[name] = (line, size,
                       [Field(row, name, cells) for row, cells in table.rows])
  return structs


def fields():
  return [field for _, _, each in documented().values() for field in each]


@functools.lru_cache
def declared():
  """Returns the header's fields as {struct: {field: type}}."""
  structs = {}
  code = house.code(HEADER)
  for name, body in re.findall(r"struct (vvar_\w+) \{(.*?)\};", code,
                               re.DOTALL):
    structs[name] = {}
    for text in filter(None, (each.strip() for each in body.split(";"))):
      match = re.fullmatch(r"(?:struct )?(\w+) (\w+)(\[\w+\])?", text)
      if match is None:
        raise ValueError("%s: cannot read '%s'" % (HEADER, text))
      structs[name][match[2]] = H_WORDS.get(match[1], match[1])
  return structs


def run_c(source):
  """Returns what a C11 program that includes the header prints, as bytes."""
  with tempfile.TemporaryDirectory() as folder:
    program = os.path.join(folder, "ask")
    text = ('#include <stddef.h>\n#include <stdio.h>\n#include "%s"\n'
            "int main(void) {\n%s  return 0;\n}\n" % (HEADER, source))
    compiled = subprocess.run(
        ["gcc", "-std=c11", "-pedantic", "-Wall", "-I", str(house.ROOT),
         "-x", "c", "-", "-o", program],
        input=text, text=True, cwd=folder, capture_output=True, check=False)
    if compiled.returncode != 0:
      raise ValueError(compiled.stderr)
    return subprocess.run([program], capture_output=True, check=True).stdout


def type_of(expression):
  """Returns C that gives the document's word for an expression's type; arrays
  end with "[]"."""
  types = dict(C_WORDS, **{name: "struct " + name for name in declared()})
  rows = ["%s: \"%s\", %s*: \"%s[]\"" % (c, word, c, word)
          for word, c in types.items()]
  return "_Generic(%s, %s)" % (expression, ", ".join(rows))


@house.case
def every_field_has_a_row(look):
  """And every row a field."""
  rows = {(field.struct, field.name) for field in fields()}
  names = {(struct_name, name) for struct_name, each in declared().items()
           for name in each}
  for struct_name, name in look.at(sorted(rows | names), "fields"):
    if (struct_name, name) not in rows:
      look.problem(DOCUMENT, "no row for %s.%s" % (struct_name, name))
    if (struct_name, name) not in names:
      look.problem(DOCUMENT, "%s has no %s.%s" % (HEADER, struct_name, name))


# Trap: T77 (the page is declared once; what is said of it elsewhere is checked)
@house.case
def rows_agree_with_the_header(look):
  """Offset, size and type of each field; the size of each struct."""
  known = [field for field in fields()
           if field.name in declared().get(field.struct, {})]
  ask = ""
  for field in known:
    member = "((struct %s*)0)->%s" % (field.struct, field.name)
    ask += ('  printf("%%zu %%zu %%s\\n", offsetof(struct %s, %s), '
            "sizeof(%s), %s);\n" %
            (field.struct, field.name, member, type_of(member)))
  for name in declared():
    ask += '  printf("%%zu\\n", sizeof(struct %s));\n' % name
  answers = run_c(ask).decode().split("\n")
  for field, answer in look.at(zip(known, answers), "fields"):
    offset, size, type_name = answer.split()
    if (str(field.offset), str(field.size)) != (offset, size):
      look.problem(field.where, "%s.%s: offset %d, size %d; the header has "
                   "%s, %s" % (field.struct, field.name, field.offset,
                               field.size, offset, size))
    if field.element + ("[]" if field.count else "") != type_name:
      look.problem(field.where, "%s.%s is %s; the header has %s" %
                   (field.struct, field.name, field.type, type_name))
  for name, size in zip(declared(), answers[len(known):]):
    if name not in documented():
      look.problem(DOCUMENT, "no section on " + name)
    elif str(documented()[name][1]) != size:
      look.problem("%s:%d" % (DOCUMENT, documented()[name][0]),
                   "%s has %s bytes" % (name, size))


@house.case
def constants_agree_with_the_header(look):
  rows = {cells[0].strip("`"): (line, int(cells[1], 0)) for line, cells in
          house.table(DOCUMENT, "name", "value")}
  names = re.findall(r"^#define (VVAR_\w+) [0-9]", house.code(HEADER),
                     re.MULTILINE)
  ask = "".join('  printf("%%lld\\n", (long long)%s);\n' % name
                for name in names)
  values = dict(zip(names, map(int, run_c(ask).split())))
  for name in look.at(sorted(set(rows) | set(names)), "constants"):
    if name not in rows:
      look.problem(DOCUMENT, "no row for " + name)
    elif name not in values:
      look.problem("%s:%d" % (DOCUMENT, rows[name][0]), "no " + name)
    elif rows[name][1] != values[name]:
      look.problem("%s:%d" % (DOCUMENT, rows[name][0]),
                   "%s is %d" % (name, values[name]))


# Trap: T79 (one name, two units)
@house.case
def names_say_their_units(look):
  """A field of a unit is called so, and no other is."""
  for field in look.at(fields(), "fields"):
    for unit, name in house.UNIT_NAMES.items():
      if (field.unit == unit) != bool(re.fullmatch(name, field.name)):
        look.problem(field.where, "%s.%s, unit '%s'" %
                     (field.struct, field.name, field.unit))
    if field.unit and field.unit not in house.UNIT_NAMES:
      look.problem(field.where, "no rule for unit '%s'" % field.unit)


def words_of(struct_name, path, at):
  """Yields (path, offset, word type) of each word of a struct, by the document.
  """
  for field in documented()[struct_name][2]:
    for i in range(field.count or 1):
      name = "%s.%s%s" % (path, field.name, "[%d]" % i if field.count else "")
      offset = at + field.offset + i * (field.size // (field.count or 1))
      if field.element in WORDS:
        yield name, offset, field.element
      else:
        yield from words_of(field.element, name, offset)


@house.case
def page_is_decoded_by_the_document(look):
  """C writes another number to each word; the document finds them all."""
  words = list(words_of("vvar_page", "page", 0))
  numbers = [(i + 1) * 0x9e3779b97f4a7c15 % 2**64 for i in range(len(words))]
  ask = "  static struct vvar_page page;\n"
  for (name, _, word), number in zip(words, numbers):
    ask += "  %s = (%s)0x%xull;\n" % (name, C_WORDS[word], number)
  page = run_c(ask + "  fwrite(&page, sizeof page, 1, stdout);\n")
  covered = 0
  for (name, offset, word), number in look.at(zip(words, numbers), "words"):
    found, = struct.unpack_from("=" + WORDS[word], page, offset)
    bits = struct.calcsize("=" + WORDS[word]) * 8
    covered += bits // 8
    if found % 2**bits != number % 2**bits:
      look.problem(DOCUMENT, "%s is not at %d" % (name, offset))
  if covered != len(page):
    look.problem(DOCUMENT, "%d of %d bytes have a row" % (covered, len(page)))


@house.case
def diagram_agrees_with_the_rows(look):
  """The numbers at the borders of the boxes."""
  offsets = {"end": documented()["vvar_page"][1], "header": 0}
  for name, offset, _ in words_of("vvar_page", "", 0):
    for part in re.finditer(r"(?<=.)(?=[.\[])|$", name[1:]):
      offsets.setdefault(name[1:1 + part.start()], offset)
  border = re.compile(r"(\d+) \+[-=]+\+[ |]*(\S+)")
  for match in look.at(border.finditer(house.read(DOCUMENT)), "borders"):
    if offsets.get(match[2]) != int(match[1]):
      look.problem(DOCUMENT, "the diagram has %s at %s, the rows at %s" %
                   (match[2], match[1], offsets.get(match[2])))


house.run()
