#!/usr/bin/env python3
"""The dependency rule: every #include obeys the table in CONVENTIONS.md, and
BUILD files say the same."""

import collections
import fnmatch
import re

import house

CHECKED = house.FREESTANDING + house.HOSTED + ("vdso", "embed")
# What a compiler without a C library has.
FREESTANDING_HEADERS = {"stdint.h", "stddef.h"}

INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^">]+)[">]')

Row = collections.namedtuple("Row", "line layer files includes outside")
Include = collections.namedtuple("Include", "file line bracket path")


def expand(cell):
  """Returns the patterns of a cell: `a/{b,c}.h` is `a/b.h` and `a/c.h`."""
  patterns = []
  for word in re.findall(r"`([^`]+)`", cell):
    braces = re.fullmatch(r"(.*)\{(.*)\}(.*)", word)
    patterns += ([braces[1] + each + braces[3] for each in braces[2].split(",")]
                 if braces else [word])
  return patterns


def rule():
  rows = house.table("CONVENTIONS.md", "layer", "files", "may include")
  return [Row(line, int(layer), expand(files), includes, outside)
          for line, (layer, files, includes, outside) in rows]


def row_of(path, rows):
  """Returns the row of a file: one that names it goes before a pattern."""
  for names_it in (True, False):
    for row in rows:
      for pattern in row.files:
        if path == pattern if names_it else fnmatch.fnmatch(path, pattern):
          return row
  return None


def includes(*folders):
  found = []
  for path in house.files(*folders):
    for line, text in house.numbered(house.code(path)):
      match = INCLUDE.match(text)
      if match:
        found.append(Include(path, line, match[1], match[2]))
  return found


def is_own(path):
  return (house.ROOT / path).is_file()


@house.case
def every_file_has_a_row(look):
  """Each file is in a layer, and each row of the table is about some file."""
  rows = rule()
  for path in look.at(house.files(*CHECKED)):
    if row_of(path, rows) is None:
      look.problem(path, "no row in CONVENTIONS.md")
  for row in rows:
    for pattern in row.files:
      if "*" not in pattern and not is_own(pattern):
        look.problem("CONVENTIONS.md:%d" % row.line, pattern + " is no file")


@house.case
def includes_obey_the_table(look):
  rows = rule()
  for each in look.at(includes(*CHECKED), "includes"):
    row, where = row_of(each.file, rows), "%s:%d" % (each.file, each.line)
    if row is None:
      continue  # every_file_has_a_row has said so.
    if not is_own(each.path):
      if "anything" not in row.outside and each.path not in expand(row.outside):
        look.problem(where, "<%s> is not for this layer" % each.path)
      continue
    if each.bracket == "<":
      look.problem(where, "<%s>: own headers in quotes" % each.path)
    other = row_of(each.path, rows)
    allowed = expand(row.includes)
    if "own folder" in row.includes:
      allowed.append(each.file.split("/")[0] + "/*")
    below = ("below" in row.includes and other is not None and
             other.layer < row.layer)
    if not below and not any(fnmatch.fnmatch(each.path, p) for p in allowed):
      look.problem(where, "may not include " + each.path)


@house.case
def the_table_descends(look):
  """A row that names headers names those of lower layers only."""
  rows = rule()
  for row in look.at(rows, "rows"):
    for path in expand(row.includes):
      for other in rows:
        if path in other.files and other.layer >= row.layer and \
            not row.outside.startswith("anything"):
          look.problem("CONVENTIONS.md:%d" % row.line,
                       "%s is not below layer %d" % (path, row.layer))


@house.case
def includes_have_no_cycle(look):
  graph = collections.defaultdict(list)
  for each in look.at(includes(*CHECKED), "includes"):
    graph[each.file].append(each.path)
  done = set()

  def visit(path, above):
    if path in above:
      look.problem(path, "includes itself: " + " -> ".join(above + [path]))
    elif path not in done:
      for other in graph.get(path, []):
        visit(other, above + [path])
      done.add(path)

  for path in list(graph):
    visit(path, [])


@house.case
def freestanding_headers_need_no_library(look):
  """Whatever the table says: the core includes <stdint.h>, <stddef.h> and its
  own headers."""
  for each in look.at(includes(*house.FREESTANDING), "includes"):
    if not is_own(each.path) and each.path not in FREESTANDING_HEADERS:
      look.problem("%s:%d" % (each.file, each.line), "<%s>" % each.path)


@house.case
def build_files_say_the_same(look):
  """The deps of a header's target are the headers it includes."""
  target = re.compile(r'vvar_header\(\n(.*?)\n\)', re.DOTALL)
  for folder in ("vvar", "clocks", "fallback", "paravirt", "hosted"):
    headers = set(house.files(folder, suffixes=(".h",)))
    included = includes(folder)
    for match in target.finditer(house.read(folder + "/BUILD")):
      header = "%s/%s" % (folder, re.search(r'hdr = "(.*)"', match[1])[1])
      headers.discard(header)
      labels = re.findall(r'"(?://(\w+))?:(\w+)"', match[1])
      deps = {"%s/%s.h" % (package or folder, name) for package, name in labels}
      used = {each.path for each in included
              if each.file == header and is_own(each.path)}
      for path in look.at(sorted(used | deps), "dependencies"):
        if path not in deps:
          look.problem(folder + "/BUILD", "%s lacks %s" % (header, path))
        elif path not in used:
          look.problem(folder + "/BUILD",
                       "%s does not include %s" % (header, path))
    for header in sorted(headers):
      look.problem(folder + "/BUILD", "no target for " + header)


house.run()
