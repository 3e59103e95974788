"""Every order in which one read, a writer and the counter can happen.

Three threads: a writer that publishes, a reader that makes one try of a read,
and a counter that ticks. Their events happen one after the other on one memory
(multi-copy atomicity), in any order that keeps each thread's own
(program.order).
What a load finds is handed to the real reader, what the counter says to the
real writer (replay.cc): they decide which path is taken, what is accepted, and
what time it is.

Only the words that matter are followed: seq, cycle_start and one more word of
the line at a time. A read mixes two lines if and only if one of its words is of
another line than its cycle_start, so one word at a time is enough; and words
with the same neighbours in both threads' orders are interchangeable, so one of
each such class is.
"""

import collections

# One relevant event. `word` is "seq", "counter", or (slot or side, offset);
# `publication` and `look` are the writer's; `before` are indices.
Node = collections.namedtuple("Node", "kind word publication look before text")

Slots = collections.namedtuple("Slots", "seq first size end")
SLOTS = Slots(0, 64, 256, 576)  # In a timeline: seq, the slots, their end.
CYCLE_START = 0


def word_of(event, timeline):
  """Returns "seq", (slot, offset), or None for what is not followed."""
  if event.address is None:
    return None
  offset = event.address - timeline
  if offset == SLOTS.seq:
    return "seq"
  if SLOTS.first <= offset < SLOTS.end:
    return divmod(offset - SLOTS.first, SLOTS.size)
  return None


def reduce(events, before, timeline, wanted):
  """Returns the events whose word `wanted` takes, as [(event, word, before)],
  with an order among themselves only."""
  kept = {}
  for n, event in enumerate(events):
    word = ("counter" if event.kind == "counter" else
            word_of(event, timeline) if event.kind in ("load", "store")
            else None)
    if word is not None and wanted(event, word):
      kept[n] = (event, word, frozenset(
          i for i, m in enumerate(kept) if m in before[n]))
  return list(kept.values())


Violation = collections.namedtuple("Violation", "promise detail trace")


class Verdict(collections.namedtuple("Verdict", "states accepted violation")):

  def plus(self, other):
    return Verdict(self.states + other.states, self.accepted + other.accepted,
                   self.violation or other.violation)


class Writer:
  """The writer's events: of publications one after the other."""

  def __init__(self, events, before, timeline, datings, offsets):
    """`datings` are how often each publication is dated: its looks at the
    counter are two for each, and a last one. `offsets` are followed."""
    kept = reduce(events, before, timeline, lambda event, word:
                  word == "counter" or event.kind == "store" and (
                      word == "seq" or word[1] in offsets))
    self.looks = [2 * n + 1 for n in datings]
    self.nodes = []
    publication, look, dated = 0, -1, {}
    for event, word, earlier in kept:
      if word == "counter":
        look += 1
        if look == self.looks[publication]:
          publication, look = publication + 1, 0
        if look % 2 == 0:
          dated[publication] = (len(self.nodes), look)
      elif word != "seq":
        # Its value is computed from the look that dated it.
        earlier |= {dated[publication][0]}
      self.nodes.append(Node(event.kind, word, publication,
                             look if word == "counter" else
                             dated[publication][1], earlier, event.text))
    if publication != len(datings) - 1 or look != self.looks[-1] - 1:
      raise RuntimeError("looks at the counter: %d of publication %d" %
                         (look + 1, publication))

  def key(self):
    return tuple(n[:5] for n in self.nodes), tuple(self.looks)


class Reader:
  """One try of a read, on one path through the code."""

  def __init__(self, kind, events, before, timeline, seq, words):
    """`words` are (side, offset) of the payload that is followed."""
    current = seq >> 1 & 1

    def side(word):
      return word if isinstance(word, str) else (
          "current" if word[0] == current else "previous", word[1])

    def wanted(event, word):
      del event
      return isinstance(word, str) or word[1] == CYCLE_START or (
          side(word) in words)

    self.kind = kind
    self.nodes = [Node(event.kind, side(word), None, None, earlier, event.text)
                  for event, word, earlier in
                  reduce(events, before, timeline, wanted)]
    # Every load, for the replay: (word, size, number among the nodes).
    self.loads = []
    numbers = iter(range(len(self.nodes)))
    for event in events:
      word = "counter" if event.kind == "counter" else word_of(event, timeline)
      if word is None or event.kind == "fence":
        continue
      number = next(numbers) if wanted(event, word) else None
      if word != "counter":
        self.loads.append((side(word), event.size, number))
    seqs = [n for n, node in enumerate(self.nodes) if node.word == "seq"]
    if len(seqs) != 2:
      raise RuntimeError("%s: %d loads of seq" % (kind, len(seqs)))
    self.begin, self.end = seqs
    counters = [n for n, node in enumerate(self.nodes)
                if node.word == "counter"]
    self.counter = counters[0] if counters else None

  def key(self):
    return (self.kind, tuple(n[:5] for n in self.nodes),
            tuple(load[:2] for load in self.loads))


class Search:
  """A breadth-first search, so that a counterexample is a shortest one."""

  TICK = 1000  # Cycles, so that slopes show within one tick.

  def __init__(self, replay, writer, reader, window, ordered):
    """`window`: by how many ticks a load may pass an unordered counter."""
    self._replay, self._writer, self._reader = replay, writer, reader
    self._window, self._ordered = window, ordered
    self._lead = 3 if window else 2
    self._last_tick = self._lead * (len(writer.looks) + 1)
    replay.start(self._lead * self.TICK)
    self._base = replay.publish(0, (0,) * 3).state
    self._memory_of = {}
    self.accepted = 0
    # If the orders do not say on which side of the counter a load of seq is.
    self._mark_begin = self._mark_end = False
    if reader.counter is not None:
      self._mark_begin = reader.begin not in reader.nodes[reader.counter].before
      self._mark_end = reader.counter not in reader.nodes[reader.end].before

  def run(self):
    """Returns a Verdict."""
    looks = tuple((None,) * n for n in self._writer.looks)
    nothing = (None,) * len(self._reader.nodes)
    first = (0, looks, 0, nothing, self._lead - 1, None, None)
    came_from = {first: None}
    queue = collections.deque([first])
    done = (1 << len(self._reader.nodes)) - 1
    while queue:
      state = queue.popleft()
      if state[2] == done:
        promise = self._judge(state)
        if promise:
          return Verdict(len(came_from), self.accepted,
                         Violation(*promise, self._trace(came_from, state)))
        continue
      for following in self._moves(state):
        if following not in came_from:
          came_from[following] = state
          queue.append(following)
    return Verdict(len(came_from), self.accepted, None)

  # A state: which of the writer's events happened, its looks at the counter,
  # which of the reader's did, what they found, the counter, and the counter at
  # the reader's two loads of seq, where it matters. The counter ticks when
  # somebody looks: nobody can tell when else it did.

  def _moves(self, state):
    """Yields what may happen next. What makes no difference to anybody else
    happens at once, and nothing else: a look that only checks the time (later
    it would pass less easily), a store of a word that the reader will not load
    any more, a load of a word that the writer will not store any more."""
    moves = []
    for n in self._enabled(self._writer.nodes, state[0]):
      node = self._writer.nodes[n]
      if node.kind == "counter":
        if node.look >= self._writer.looks[node.publication] - 2:
          return self._after_look(state, n, [state[4]])
        moves.append((self._after_look, n, self._instants(state[1], state[4])))
      elif not self._will_load(node.word, state):
        return self._after_store(state, n)
      else:
        moves.append((self._after_store, n))
    for n in self._enabled(self._reader.nodes, state[2]):
      node = self._reader.nodes[n]
      if node.kind == "counter":
        moves.append((self._after_count, n))
      elif node.word == "seq":
        moves.append((self._after_seq, n))
      elif state[3][self._reader.begin] is not None:
        # Else its address is not known yet.
        if not self._will_store(self._found_at(node, state), state[0]):
          return self._after_load(state, n)
        moves.append((self._after_load, n))
    return [after for move, *arguments in moves
            for after in move(state, *arguments)]

  @staticmethod
  def _enabled(nodes, done):
    return [n for n, node in enumerate(nodes)
            if not done >> n & 1 and _all_in(node.before, done)]

  def _found_at(self, node, state):
    slot = state[3][self._reader.begin] >> 1 & 1 ^ (node.word[0] == "previous")
    return slot, node.word[1]

  def _will_load(self, word, state):
    if word == "seq" or state[3][self._reader.begin] is None:
      return True
    return any(isinstance(node.word, tuple) and not state[2] >> n & 1 and
               self._found_at(node, state) == word
               for n, node in enumerate(self._reader.nodes))

  def _will_store(self, word, wrote):
    return any(node.word == word and not wrote >> n & 1
               for n, node in enumerate(self._writer.nodes))

  def _after_store(self, state, n):
    return [(state[0] | 1 << n, *state[1:])]

  def _after_look(self, state, n, instants):
    wrote, looks, read, found, _, at_begin, at_end = state
    return [(wrote | 1 << n, after, read, found, then, at_begin, at_end)
            for then in instants
            for after in [self._look(looks, self._writer.nodes[n], then)]
            if after]

  def _after_load(self, state, n):
    wrote, looks, read, found, *rest = state
    value = self._memory(wrote)[self._found_at(self._reader.nodes[n], state)]
    return [(wrote, looks, read | 1 << n, _with(found, n, value), *rest)]

  def _after_count(self, state, n):
    wrote, looks, read, found, now, at_begin, at_end = state
    return [(wrote, looks, read | 1 << n, _with(found, n, then), then, at_begin,
             at_end)
            for then in self._instants(looks, now)
            if at_end is None or not self._window or
            then <= at_end + self._window]

  def _after_seq(self, state, n):
    wrote, looks, read, found, now, at_begin, at_end = state
    reader = self._reader
    value = _with(found, n, self._memory(wrote)["seq"])
    first = n == reader.begin
    if not (self._mark_begin if first else self._mark_end):
      return [(wrote, looks, read | 1 << n, value, now, at_begin, at_end)]
    early = found[reader.counter] if first and not self._ordered else None
    return [(wrote, looks, read | 1 << n, value, then,
             *((then, at_end) if first else (at_begin, then)))
            for then in self._instants(looks, now)
            if early is None or then <= early + self._window]

  def _instants(self, looks, now):
    """When somebody may look: until what is under way would be late."""
    for then in range(now, self._last_tick + 1):
      if then > now and not self._in_time(looks, then):
        return
      yield then

  def _look(self, looks, node, value):
    """Returns the looks with one more; None if the writer goes another way."""
    mine = _with(looks[node.publication], node.look, value)
    if not self._possible(_with(looks, node.publication, mine),
                          node.publication):
      return None
    # What a look said is forgotten as soon as it makes no difference.
    last = len(mine) - 1
    if node.look == last and mine[last - 2] is not None:
      mine = _with(mine, last, mine[last - 2])
    elif node.look == last - 1 and None not in mine[:last]:
      mine = _with(mine, last - 1, mine[last - 2])
    elif 0 < node.look < last and node.look % 2 == 0 and (
        mine[node.look - 1] is not None):
      mine = _with(mine, node.look - 1, value)
    return _with(looks, node.publication, mine)

  def _memory(self, wrote):
    """Returns what each word holds: seq's value, or whose line it is of."""
    if wrote not in self._memory_of:
      # Two lines are there: the first in slot 1, the second in slot 0.
      memory = collections.defaultdict(lambda: None, seq=4)
      for offset in {node.word[1] for node in self._writer.nodes
                     if isinstance(node.word, tuple)}:
        memory[1, offset], memory[0, offset] = "first", "second"
      seq = 4
      for n, node in enumerate(self._writer.nodes):
        if node.kind != "store":
          continue
        if node.word == "seq":
          seq += 1
        if wrote >> n & 1:
          memory[node.word] = (seq if node.word == "seq" else
                               (node.publication, node.look))
      self._memory_of[wrote] = memory
    return self._memory_of[wrote]

  # --- What the real writer makes of its looks --------------------------------

  def _before(self, looks, publication):
    """Returns the state in which a publication begins; None if it is open."""
    state = self._base
    for p in range(publication):
      if None in looks[p]:
        return None
      state = self._publish(state, looks[p]).state
    return state

  def _publish(self, state, values):
    return self._replay.publish(state, tuple(v * self.TICK for v in values))

  def _possible(self, looks, publication):
    """Whether the writer goes this path, and is in time, as far as is known."""
    mine = looks[publication]
    known = mine[:mine.index(None)] if None in mine else mine
    state = self._before(looks, publication)
    if state is None or not known:
      return True
    result = self._publish(state, known + known[-1:] * (16 - len(known)))
    if result.status == "too early":
      return False
    if len(known) > 1 and result.used != len(mine):
      return False
    return len(known) < len(mine) or result.status == "published"

  def _in_time(self, looks, now):
    """Whether what is being published can still be in time at `now`."""
    for p, mine in enumerate(looks):
      if mine[0] is not None and mine[-1] is None and None not in mine[:-1]:
        state = self._before(looks, p)
        return state is None or self._publish(
            state, mine[:-1] + (now,)).status == "published"
    return True

  def _newest(self, looks, now):
    """Returns the state after all that has been dated; None if what is under
    way cannot come in time any more."""
    state = self._base
    for mine in looks:
      if mine[0] is None:
        break
      filled = tuple(now if value is None else value for value in mine)
      result = self._publish(state, filled)
      if result.status != "published" or result.used != len(mine):
        return None
      state = result.state
    return state

  # --- What the real reader makes of its loads --------------------------------

  def _line(self, looks, version):
    """Returns the state whose newest line a word is of."""
    if version in ("first", "second"):
      return 0 if version == "first" else self._base
    publication, look = version
    state = self._before(looks, publication)
    dated = looks[publication][:look + 1]
    return self._publish(state, dated + dated[-1:] * (16 - len(dated))).state

  def _judge(self, state):
    """Returns (promise, detail) if one was broken."""
    _, looks, _, found, now, at_begin, at_end = state
    newest = self._newest(looks, now)
    if newest is None:
      return None
    reader = self._reader
    cycles = 0 if reader.counter is None else found[reader.counter]
    seqs = iter((found[reader.begin], found[reader.end]))
    latest, finds = {}, []
    for word, _, number in reader.loads:
      if number is not None and word != "seq":
        latest[word[0]] = found[number]
    for word, size, number in reader.loads:
      if word == "seq":
        finds.append((SLOTS.seq, next(seqs)))
        continue
      side, offset = word
      version = found[number] if number is not None else latest[side]
      slot = found[reader.begin] >> 1 & 1 ^ (side == "previous")
      finds.append((SLOTS.first + slot * SLOTS.size + offset,
                    self._replay.word(self._line(looks, version), offset,
                                      size)))
    outcome, answer = self._replay.read(reader.kind, tuple(finds),
                                        cycles * self.TICK)
    if outcome == "another path" or outcome == "refused":
      return None
    if outcome == "no time":
      return "an accepted read is a time", "the reader gave a status"
    self.accepted += 1
    return (self._mixed(found) or
            self._outside(cycles, at_begin, at_end) or
            self._inexact(newest, answer, cycles, at_begin, at_end))

  def _mixed(self, found):
    sides = collections.defaultdict(set)
    for n, node in enumerate(self._reader.nodes):
      if isinstance(node.word, tuple):
        sides[node.word[0]].add(found[n])
    if self._reader.kind == "copy_lines":
      if found[self._reader.begin] & 1:
        sides.pop("previous", None)
    elif "previous" in sides:
      sides.pop("current")  # Looked at, and passed over.
    for side, versions in sides.items():
      if len(versions) > 1:
        return ("an accepted read is of one line",
                "the words of the %s slot are of %d lines" %
                (side, len(versions)))
    return None

  def _outside(self, cycles, at_begin, at_end):
    if self._reader.counter is None or not self._ordered:
      return None
    if at_begin is not None and cycles < at_begin:
      return ("the counter is read inside the call",
              "counter %d, but the call began at %d" % (cycles, at_begin))
    if at_end is not None and cycles > at_end + self._window:
      return ("the counter is read inside the call",
              "counter %d, but the call ended at %d" % (cycles, at_end))
    return None

  def _inexact(self, newest, answer, cycles, at_begin, at_end):
    if self._reader.counter is None or self._reader.kind == "copy_lines":
      return None
    instants = [cycles]
    if not self._ordered:
      first = cycles if at_begin is None else min(cycles, at_begin)
      last = cycles if at_end is None else max(cycles, at_end)
      instants = range(max(0, first - self._window), last + self._window + 1)
    expected = [self._replay.expected(newest, t * self.TICK) for t in instants]
    if answer in expected:
      return None
    return ("an accepted read is exact at its counter value",
            "%d ns at counter %d, the timeline has %d ns" %
            (answer, cycles, expected[0]))

  # --- For people -------------------------------------------------------------

  def _trace(self, came_from, state):
    states = []
    while state is not None:
      states.append(state)
      state = came_from[state]
    lines = []
    for a, b in zip(states[::-1], states[-2::-1]):
      if a[4] != b[4]:
        lines.append("counter %-10s %d" % ("", b[4]))
      lines.append(self._step(a, b))
    return lines

  def _step(self, a, b):
    if a[0] != b[0]:
      n = (a[0] ^ b[0]).bit_length() - 1
      node = self._writer.nodes[n]
      if node.kind == "counter":
        what = "looks at the counter: %d" % b[4]
        step = "date" if node.look % 2 == 0 else "ahead?"
        if node.look == self._writer.looks[node.publication] - 1:
          step = "timely?"
      elif node.word == "seq":
        value = self._memory(b[0])["seq"]
        step = "[W:open]" if value & 1 else "[W:close]"
        what = "seq = %d" % value
      else:
        step = "[W:line]"
        what = "slot %d, word +%d of publication %d" % (
            *node.word, node.publication + 3)
      return "writer  %-10s %-40s %s" % (step, what, node.text)
    n = (a[2] ^ b[2]).bit_length() - 1
    node, value = self._reader.nodes[n], b[3][n]
    if node.word == "counter":
      step, what = "[R:count]", "%d" % value
    elif node.word == "seq":
      step = "[R:begin]" if n == self._reader.begin else "[R:end]"
      what = "seq is %d" % value
    else:
      step = "[R:line]"
      line = {"first": 1, "second": 2}.get(value) or value[0] + 3
      what = "%s slot, word +%d: of publication %d" % (*node.word, line)
    return "reader  %-10s %-40s %s" % (step, what, node.text)


def _all_in(numbers, mask):
  return all(mask >> n & 1 for n in numbers)


def _with(values, index, value):
  return values[:index] + (value,) + values[index + 1:]
