"""replay.cc from Python, with what it said remembered."""

import collections
import ctypes
import functools

import program

Published = collections.namedtuple("Published", "state status used")

_STATUS = ("published", "too early", "late")
_OUTCOME = ("accepted", "refused", "another path", "no time")
# By first letter, as replay.cc takes them.
_LETTERS = {"now": b"n", "now_unordered": b"u", "now_coarse": b"c",
            "now_timespec": b"t", "interval": b"i", "snapshot": b"s",
            "copy_lines": b"pair"}


class Replay:
  """The writer and the reader of the tree at `root`, on this machine."""

  def __init__(self, root, folder):
    path = str(folder / "replay.so")
    program.run("g++", "-std=c++20", "-O1", "-shared", "-fPIC", "-I", str(root),
                str(root / "tests/explorer/replay.cc"), "-o", path)
    self._library = ctypes.CDLL(path)
    self._library.replay_line_start.restype = ctypes.c_uint64
    self._library.replay_word.restype = ctypes.c_uint64
    self._library.replay_expected.restype = ctypes.c_uint64

  def start(self, lead_ns):
    self._library.replay_start(ctypes.c_uint64(program.HZ),
                               ctypes.c_uint64(lead_ns))
    self.publish = functools.lru_cache(None)(self._publish)
    self.word = functools.lru_cache(None)(self._word)
    self.expected = functools.lru_cache(None)(self._expected)
    self.read = functools.lru_cache(None)(self._read)

  def _publish(self, state, looks):
    status, used = ctypes.c_uint32(), ctypes.c_uint32()
    values = (ctypes.c_uint64 * len(looks))(*looks)
    after = self._library.replay_publish(
        state, values, len(looks), ctypes.byref(status), ctypes.byref(used))
    return Published(after, _STATUS[status.value], used.value)

  def _word(self, state, offset, size):
    return self._library.replay_word(state, offset, size)

  def _expected(self, state, cycles):
    return self._library.replay_expected(state, ctypes.c_uint64(cycles))

  def _read(self, kind, finds, cycles):
    """One try whose loads find these (offset, value) pairs. Returns the outcome
    and the answer."""
    offsets = (ctypes.c_uint32 * len(finds))(*(find[0] for find in finds))
    values = (ctypes.c_uint64 * len(finds))(*(find[1] for find in finds))
    answer = ctypes.c_uint64()
    outcome = self._library.replay_read(
        _LETTERS[kind], offsets, values, len(finds), ctypes.c_uint64(cycles),
        ctypes.byref(answer))
    return _OUTCOME[outcome], answer.value

  def accesses(self, kind, state, seq, looks):
    """Returns the (offset, size) of each access to the timeline that the source
    makes; of a publication if `kind` is None."""
    found = (ctypes.c_uint32 * 512)()
    values = (ctypes.c_uint64 * len(looks))(*looks)
    count = self._library.replay_accesses(
        kind and _LETTERS[kind], state, seq, values, len(looks), found)
    return [(found[2 * i], found[2 * i + 1]) for i in range(count)]
