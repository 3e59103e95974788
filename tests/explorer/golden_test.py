#!/usr/bin/env python3
"""The barriers and counter reads that compilers are to make of a read and of a
publication, in turn, and no other.

    tests/explorer/golden_test.py [root of a tree [build]...]

What is executed is compared, not what lies in the file one below the other.
"""

import pathlib
import re
import sys
import tempfile

import program

HERE = pathlib.Path(__file__).resolve().parents[2]
LEAD_NS = 4_000

# A barrier or a counter read: none but those of the sequence may be executed.
BARRIER = re.compile(
    r"[lms]fence|lock |xchg .*\[|rdtscp?$|"
    r"dmb|dsb|isb|ldar|ldapr|stlr|mrs .*cntv|cas|swp|ldx|stx|"
    r"fence|csrrs .*time|amo|lr\.|sc\.")

# A sequence: `seq` and `line` are accesses to those words by plain
# instructions, with what the pattern after the colon says of them; others are
# patterns of instructions. Those joined by " & " follow each other at once.
_X86_STORES = ("seq: mov .*\\[.*\\], ?\\w+", "line: mov")
_ARM_CONTROL = "eor (w\\d+), (w\\d+), \\2 & cbnz \\1 & "
_ARM_COUNT = ("mrs (x\\d+), {} & eor (x\\d+), \\{}, \\{} & "
              "add \\{}, sp, \\{} & ldr xzr, \\[\\{}\\]")


def arm_count(name, first):
  """The counter, and a load whose address depends on it."""
  return _ARM_COUNT.format(name, first, first, first + 1, first + 1, first + 1)


# How the compilers spell C++'s fences on RISC-V.
_RELEASE = {"gcc": "fence iorw,(ow|iorw)", "clang": "fence rw,w"}
_ACQUIRE = {"gcc": "fence i?orw,iorw|fence ir,iorw", "clang": "fence r,rw"}
_SEQ_STORE = {"gcc": "(amoswap|c?\\.?sw)", "clang": "(c\\.)?sw"}


# Trap: T47
# Trap: T48
def sequences(build):
  """Returns the reader's and the writer's."""
  name, family, way = build.split("-")
  if name == "x86_64":
    count = ["rdtscp"] if way == "rdtscp" else ["lfence & rdtsc"]
    return (["seq: mov", *count, "line: mov", "seq: mov"],
            [*count, "seq: mov", "line: mov", "rdtsc", "seq: mov",
             "mfence & lfence & rdtsc"])
  if name == "aarch64":
    count = ([_ARM_CONTROL + "isb & " + arm_count("cntvct_el0", 3)]
             if way == "isb" else [arm_count("cntvctss_el0", 1)])
    return (["seq: ldap?r", *count, "line: ldr", "dmb ishld", "seq: ldr"],
            ["isb & mrs .*", "b\\..*|tbn?z.*|cbn?z.*", "seq: stlr", "dmb ish",
             "line: str", "mrs .*", "seq: stlr", "dsb ish & isb & mrs .*"])
  acquire, release, store = (each[family] for each in (
      _ACQUIRE, _RELEASE, _SEQ_STORE))
  return (["seq: (c\\.)?lw", acquire, "fence r,i & csrrs .* & fence i,r",
           "line: (c\\.)?ld", acquire, "seq: (c\\.)?lw"],
          ["fence r,i & csrrs .* & fence i,w", release, "seq: " + store,
           release, "line: ", "csrrs .*", release, "seq: " + store,
           "fence w,i & csrrs .*"])


def matches(pattern, executed, at, timeline):
  """Returns how many instructions from `at` on the pattern takes, 0 if none."""
  kind, colon, rest = pattern.partition(": ")
  if colon and kind in ("seq", "line"):
    text, where = executed[at]
    offset = None if where is None else where - timeline
    right = offset == 0 if kind == "seq" else (
        offset is not None and 64 <= offset < 576)
    return int(right and bool(re.match(rest, text)))
  parts = pattern.count(" & ") + 1
  text = " & ".join(each[0] for each in executed[at:at + parts])
  # Branches are followed by where they go.
  text = re.sub(r"(cbn?z \w+), \S+( <[^>]*>)?", r"\1", text)
  return parts if re.fullmatch(pattern, text) else 0


def compare(executed, sequence, timeline):
  """Returns what is wrong, None if nothing is."""
  used = set()
  at = 0
  for pattern in sequence:
    while at < len(executed) and not matches(pattern, executed, at, timeline):
      at += 1
    if at == len(executed):
      return "no `%s`" % pattern
    taken = matches(pattern, executed, at, timeline)
    used |= set(range(at, at + taken))
    at += taken
  for i, (text, where) in enumerate(executed):
    if BARRIER.match(text) and i not in used and not (
        where is not None and where - timeline >= 64):
      return "also `%s`" % text
  return None


def traces(build, root, folder):
  built = program.Program(build, root, folder)
  with built.machine() as stub:
    run = program.Run(built, stub, LEAD_NS)
    run.publish([0, 0, 0])
    timeline = run.timeline - run.page
    yield "reader", run.read("now", 4, 5_000).executed, timeline
    yield "writer", run.publish([4_000] * 3).executed, timeline


def main(arguments):
  root = pathlib.Path(arguments[0] if arguments else HERE).resolve()
  failed = False
  with tempfile.TemporaryDirectory() as folder:
    for build in arguments[1:] or program.BUILDS:
      try:
        both = zip(traces(build, root, pathlib.Path(folder)), sequences(build))
        for (side, executed, timeline), sequence in both:
          problem = compare(executed, sequence, timeline)
          if problem:
            failed = True
            for text, where in executed:
              if where is not None or BARRIER.match(text):
                print("    %-40s %s" % (text, "" if where is None else
                                        "+%d" % (where - timeline)))
          print("CASE %s.%s %s" % (
              build, side, "FAILED %s of %s" % (problem, "; ".join(sequence))
              if problem else "PASSED %s" % "; ".join(sequence)))
      except program.Missing as missing:
        print("CASE %s SKIPPED %s" % (build, missing))
      except RuntimeError as error:
        print("CASE %s FAILED %s" % (build, error))
        failed = True
  return failed


if __name__ == "__main__":
  sys.exit(main(sys.argv[1:]))
