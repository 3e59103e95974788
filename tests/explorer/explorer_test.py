#!/usr/bin/env python3
"""Explores what compilers made of the reader and the writer.

    tests/explorer/explorer_test.py [root of a tree [build, kind or twin]...]

Without names: every build, and that the twins below are found out.
VVAR_THOROUGH=1 explores every kind of read, and each twin on all of its builds.

For each architecture and compiler: runs the functions of explored.cc under an
emulator to get their accesses to the page, barriers and looks at the counter;
and searches every order in which the architecture lets a read, the writer and
the counter happen. See README.md.
"""

import collections
import os
import pathlib
import shutil
import sys
import tempfile
import traceback

import isa
import program
import replay
import search

HERE = pathlib.Path(__file__).resolve().parents[2]
LEAD_NS = 4_000
LINE = 4_000  # Where the line before those explored begins.

# {path: (seq, counter)} of a read before them: the current line; the previous
# one; the current one before its start, while the other slot is being written.
PATHS = {"current": (4, 5_000), "previous": (4, 2_000), "held": (5, 2_000)}
# {kind of read: does it take every path?}
KINDS = {"now": True, "now_timespec": True, "interval": True, "snapshot": True,
         "copy_lines": False, "now_coarse": False, "now_unordered": True}
# The others differ from these in how many words they load.
QUICK = ("now", "now_coarse")
# {name: the writer's looks at the counter, by publication}
WRITERS = {
    "one publication": ([4_000] * 3,),
    "one dated anew": ([4_000, 9_000, 9_000, 9_000, 9_000],),
    "two publications": ([4_000] * 3, [8_000] * 3),
}
THOROUGH = os.environ.get("VVAR_THOROUGH") == "1"


class Tree:
  """A tree, and what was made of it."""

  def __init__(self, root, folder):
    self.root, self.folder = root, folder
    self.verdicts = {}
    self._explorers = {}
    folder.mkdir(exist_ok=True)
    self.replay = replay.Replay(root, folder)

  def explorer(self, build):
    if build not in self._explorers:
      self._explorers[build] = Explorer(self, build)
    return self._explorers[build]


class Explorer:
  """One build of a tree."""

  def __init__(self, tree, build):
    self._replay = tree.replay
    self._verdicts = tree.verdicts
    built = program.Program(build, tree.root, tree.folder)
    self._isa = built.isa
    self._reads, self._writers = {}, {}
    for name, looks in WRITERS.items():
      with built.machine() as stub:
        run = program.Run(built, stub, LEAD_NS)
        run.publish([0, 0, 0])
        if not self._reads:
          # Reads leave no trace on the page.
          self._reads = {(kind, path): run.read(kind, *PATHS[path]).events
                         for kind in KINDS for path in paths_of(kind)}
          run.read("now", *PATHS["current"])
        self._writers[name] = run.publish(*looks).events
    self._timeline = run.timeline - run.page
    self._check_decoded()

  def _check_decoded(self):
    """What was decoded is what the source accesses, word by word."""
    self._replay.start(LEAD_NS)
    base = self._replay.publish(0, (0, 0, 0)).state
    for (kind, path), events in self._reads.items():
      seq, cycles = PATHS[path]
      self._compare(events, self._replay.accesses(kind, base, seq, [cycles]),
                    "%s.%s" % (kind, path))
    for name, events in self._writers.items():
      state, expected = base, []
      for looks in WRITERS[name]:
        expected += self._replay.accesses(None, state, 0, looks)
        state = self._replay.publish(state, tuple(looks)).state
      self._compare(events, expected, name)

  def _compare(self, events, expected, what):
    decoded = [(event.address - self._timeline, event.size) for event in events
               if event.address is not None]
    decoded, expected = map(collections.Counter, (decoded, expected))
    if decoded != expected or not expected:
      raise RuntimeError(
          "%s: the code accesses (offset, size) %s, which the source does not; "
          "the source %s, which the code does not" %
          (what, dict(decoded - expected), dict(expected - decoded)))

  def explore(self, kind, path, writer_name):
    """Returns the Verdict over every class of words."""
    events, w_events = self._reads[kind, path], self._writers[writer_name]
    before = program.order(self._isa, events)
    w_before = program.order(self._isa, w_events)
    seq, _ = PATHS[path]
    datings = [(len(looks) - 1) // 2 for looks in WRITERS[writer_name]]
    ordered = kind != "now_unordered"
    window = self._isa.window if ordered else 1
    total = search.Verdict(0, 0, None)
    for words in classes(kind, events, before, w_events, w_before,
                         self._timeline, seq):
      offsets = {search.CYCLE_START} | {offset for _, offset in words}
      writer = search.Writer(w_events, w_before, self._timeline, datings,
                             offsets)
      reader = search.Reader(kind, events, before, self._timeline, seq, words)
      key = (writer.key(), reader.key(), window, ordered)
      if key not in self._verdicts:
        self._verdicts[key] = search.Search(
            self._replay, writer, reader, window, ordered).run()
      total = total.plus(self._verdicts[key])
      if total.violation:
        break
    return total


def paths_of(kind):
  return PATHS if KINDS[kind] else ("current",)


def classes(kind, events, before, w_events, w_before, timeline, seq):
  """Yields one {(side, offset)} for each class of words of the line: those
  whose neighbours in both threads are the same."""
  def anchor(event):
    word = search.word_of(event, timeline)
    return event.kind in ("counter", "fence") or word == "seq" or (
        word is not None and word[1] == search.CYCLE_START)

  def neighbours(n, events_, before_):
    earlier = frozenset(i for i in before_[n] if anchor(events_[i]))
    later = frozenset(i for i in range(n + 1, len(events_))
                      if anchor(events_[i]) and n in before_[i])
    return earlier, later

  found = {}
  for n, event in enumerate(events):
    word = search.word_of(event, timeline)
    if word is None or word == "seq" or word[1] == search.CYCLE_START:
      continue
    side = "current" if word[0] == (seq >> 1 & 1) else "previous"
    stores = frozenset(
        neighbours(i, w_events, w_before) for i, e in enumerate(w_events)
        if e.kind == "store" and (search.word_of(e, timeline) or "  ")[1] ==
        word[1])
    found.setdefault((side, neighbours(n, events, before), stores),
                     {(side, word[1])})
  if kind != "copy_lines" and any(key[0] == "previous" for key in found):
    # The current line was looked at, and passed over.
    return [words for key, words in found.items() if key[0] == "previous"]
  return found.values()


# An edit that must be found out: of one header, on these builds; one of them is
# enough for the quick run.
Twin = collections.namedtuple("Twin", "name path old new builds")
ARM, RISCV, X86 = "aarch64-gcc-isb", "riscv64-clang-time", "x86_64-gcc-rdtscp"
TWINS = (
    Twin("no_release_fence", "vvar/seqcount.h", "  Memory::FenceRelease();\n",
         "", (ARM, RISCV)),
    Twin("no_acquire_fence", "vvar/seqcount.h", "  Memory::FenceAcquire();\n",
         "", (RISCV, ARM)),
    Twin("counter_before_begin", "vvar/reader.h",
         """\
      const SeqToken seq = ReadBegin<Memory>(timeline_->seq);  // [R:begin]
      const uint64_t cycles = ReadCounter<kOrder>(seq);        // [R:count]
""", """\
      const uint64_t cycles = ReadCounter<kOrder>(0);
      const SeqToken seq = ReadBegin<Memory>(timeline_->seq);
""", (X86, ARM, RISCV)),
    Twin("previous_slot_on_any_end", "vvar/latch.h",
         "side == LatchSide::kPrevious && end == begin;",
         "side == LatchSide::kPrevious;", (X86, ARM, RISCV)),
    Twin("opened_before_the_line_began", "vvar/writer.h",
         "    if (!timekeeper.LineHasBegun(now)) return "
         "PublishStatus::kTooEarly;\n", "", (X86, ARM, RISCV)),
    Twin("no_margin", "vvar/timekeeper.h",
         "return planner_.rules.lead_cycles / 2;", "return 0;", (X86,)),
)


def copy_with(edit, root, folder):
  """Copies what is explored, with one edit."""
  copy = folder / edit.name
  for part in ("vvar", "clocks", "tests/explorer", "tests/support"):
    shutil.copytree(root / part, copy / part)
  text = (copy / edit.path).read_text(encoding="utf-8")
  if text.count(edit.old) != 1:
    raise RuntimeError("%s has %d times: %s" %
                       (edit.path, text.count(edit.old), edit.old))
  (copy / edit.path).write_text(text.replace(edit.old, edit.new),
                                encoding="utf-8")
  return copy


def explore_twin(twin, build, tree):
  """Returns the promise that was seen broken; None if none was."""
  for writer in WRITERS:
    for path in PATHS:
      verdict = tree.explorer(build).explore("now", path, writer)
      if verdict.violation:
        promise, detail, trace = verdict.violation
        print("  %s on %s: %s: %s" % (twin.name, build, promise, detail))
        for line in trace:
          print("    " + line)
        return promise
  return None


def report(name, verdict):
  if verdict.violation:
    print("  %s: %s" % verdict.violation[:2])
    for line in verdict.violation.trace:
      print("    " + line)
    print("CASE %s FAILED %s: %s" % (name, *verdict.violation[:2]))
    return False
  if verdict.accepted == 0:
    print("CASE %s FAILED no read accepted in %d states" %
          (name, verdict.states))
    return False
  print("CASE %s PASSED %d states, %d accepted reads" %
        (name, verdict.states, verdict.accepted))
  return True


def cases(names):
  """Yields (build, kind, path). A name of a build or kind leaves out others."""
  builds = [name for name in names if name in program.BUILDS]
  kinds = [name for name in names if name in KINDS]
  if names and not builds and not kinds:
    return
  for build in builds or program.BUILDS:
    quick = QUICK + (("copy_lines",) if build == ARM else ())
    for kind in kinds or (KINDS if THOROUGH else quick):
      for path in paths_of(kind):
        yield build, kind, path


def twins(names):
  for twin in TWINS:
    if not names or twin.name in names:
      for build in twin.builds if THOROUGH or names else twin.builds[:1]:
        yield twin, build


def run_case(name, function):
  """Runs a case; returns whether it failed."""
  try:
    return not function()
  except program.Missing as missing:
    print("CASE %s SKIPPED %s" % (name, missing))
    return False
  except (RuntimeError, isa.Undecodable) as error:
    traceback.print_exc(file=sys.stdout)
    print("CASE %s FAILED %s" % (name, error))
    return True


def main(arguments):
  root = pathlib.Path(arguments[0] if arguments else HERE).resolve()
  names = arguments[1:]
  failed = False
  with tempfile.TemporaryDirectory() as name:
    folder = pathlib.Path(name)
    trees = {}

    def tree(edit):
      key = edit and edit.name
      if key not in trees:
        path = copy_with(edit, root, folder) if edit else root
        trees[key] = Tree(path, folder / ("build of %s" % key))
      return trees[key]

    def explore(build, kind, path):
      total = search.Verdict(0, 0, None)
      for writer in WRITERS:
        total = total.plus(tree(None).explorer(build).explore(kind, path,
                                                              writer))
        if total.violation:
          break
      return report("%s.%s.%s" % (build, kind, path), total)

    def find(twin, build):
      promise = explore_twin(twin, build, tree(twin))
      print("CASE %s.%s %s" % (
          twin.name, build,
          "PASSED found: not so that %s" % promise if promise else
          "FAILED not found"))
      return promise is not None

    unknown = set(names) - {*program.BUILDS, *KINDS,
                            *(twin.name for twin in TWINS)}
    if unknown:
      sys.exit("no such build, kind or twin: %s" % " ".join(unknown))
    for case in cases(names):
      failed |= run_case(".".join(case), lambda: explore(*case))
    for twin, build in twins(names):
      failed |= run_case("%s.%s" % (twin.name, build),
                         lambda: find(twin, build))
  return failed


if __name__ == "__main__":
  sys.exit(main(sys.argv[1:]))
