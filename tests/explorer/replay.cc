// SPDX-License-Identifier: MIT
//
// The real writer and reader, driven from outside: explorer_test.py says what
// each look at the counter gives and what each load finds; these functions say
// what the code makes of it. A shared library for ctypes, of the machine that
// runs the tests.
#include <stddef.h>
#include <stdint.h>

#include <vector>

#include "tests/support/manual_clock.h"
#include "tests/support/oracle.h"
#include "vvar/page.h"
#include "vvar/reader.h"
#include "vvar/timekeeper.h"
#include "vvar/writer.h"

namespace {

using vvar::ClockId;
using vvar::Line;
using vvar::ReadStatus;
using vvar::Timekeeper;
using vvar::support::kManualCounterId;

// A timeline after some publications.
struct State {
  Timekeeper timekeeper;
  vvar_timeline timeline;
  std::vector<Line> lines;
};
std::vector<State> states;

// A counter whose looks are given, whatever kind they are.
struct Looks {
  const uint64_t* values;
  uint32_t count;
  uint32_t used;
};
Looks looks;

struct GivenClock {
  static constexpr uint32_t kCounterId = kManualCounterId;
  static constexpr uint32_t kCounterBits = 64;
  static uint64_t Take() {
    const uint32_t i = looks.used++;
    return looks.values[i < looks.count ? i : looks.count - 1];
  }
  uint64_t Read(uint32_t /*after*/ = 0) const { return Take(); }
  uint64_t ReadUnordered() const { return Take(); }
  uint64_t ReadBeforeStores() const { return Take(); }
  uint64_t ReadAfterStores() const { return Take(); }
  void Relax() const {}
};

// What loads find: for each offset in the timeline, values in turn.
struct Find {
  uint32_t offset;
  uint32_t used;
  uint64_t value;
};
struct Finds {
  const vvar_timeline* timeline;
  std::vector<Find> all;
  bool strayed;  // A load that was not foreseen: the code took another path.
  uint32_t begins;
};
Finds finds;

struct GivenMemory {
  template <class Word>
  static Word Load(const Word& word) {
    const auto offset =
        static_cast<uint32_t>(reinterpret_cast<const char*>(&word) -
                              reinterpret_cast<const char*>(finds.timeline));
    for (Find& find : finds.all) {
      if (find.offset != offset || find.used != 0) continue;
      find.used = 1;
      return static_cast<Word>(find.value);
    }
    finds.strayed = true;
    return 0;
  }
  static uint32_t LoadAcquire(const uint32_t& word) {
    // The second try is none of ours.
    return ++finds.begins == 1 ? Load(word) : 0;
  }
  static void FenceAcquire() {}
};

// Notes which words of the timeline are accessed, in turn.
struct Access {
  uint32_t offset;
  uint32_t size;
};
struct Notes {
  const vvar_timeline* timeline;
  std::vector<Access> accesses;
};
Notes notes;

struct NotingMemory : vvar::PageMemory {
  template <class Word>
  static void Note(const Word& word) {
    notes.accesses.push_back(
        {static_cast<uint32_t>(reinterpret_cast<const char*>(&word) -
                               reinterpret_cast<const char*>(notes.timeline)),
         sizeof(Word)});
  }
  template <class Word>
  static Word Load(const Word& word) {
    Note(word);
    return PageMemory::Load(word);
  }
  template <class Word>
  static void Store(Word& word, Word value) {
    Note(word);
    PageMemory::Store(word, value);
  }
  static uint32_t LoadAcquire(const uint32_t& word) { return Load(word); }
  static void StoreRelease(uint32_t& word, uint32_t value) {
    Store(word, value);
  }
};

template <class Memory>
ReadStatus Read(const char* kind,
                const vvar::Reader<GivenClock, Memory>& reader,
                uint64_t* answer) {
  const auto keep = [&](const auto& reading, uint64_t ns) {
    *answer = ns;
    return reading.status;
  };
  switch (kind[0]) {
    case 'n': {  // now
      const auto now = reader.Now(ClockId::kMonotonic);
      return keep(now, now.ns);
    }
    case 'u': {  // now_unordered
      const auto now = reader.NowUnordered(ClockId::kMonotonic);
      return keep(now, now.ns);
    }
    case 'c': {  // now_coarse
      const auto now = reader.NowCoarse(ClockId::kMonotonicCoarse);
      return keep(now, now.ns);
    }
    case 't': {  // now_timespec
      const auto now = reader.NowTimespec(ClockId::kMonotonic);
      return keep(now, vvar::TimespecToNs({now.sec, now.nsec}));
    }
    case 'i': {  // interval: its middle
      const auto now = reader.Interval(ClockId::kMonotonic);
      return keep(now, now.earliest_ns + (now.latest_ns - now.earliest_ns) / 2);
    }
    case 's': {  // snapshot
      vvar::SnapshotReading now = {};
      const ReadStatus status = reader.Snapshot(&now);
      *answer = now.monotonic_ns;
      return status;
    }
    default: {  // pair
      typename vvar::Reader<GivenClock, Memory>::Pair pair = {};
      const ReadStatus status = reader.CopyLines(&pair);
      *answer = pair.has_previous;
      return status;
    }
  }
}

}  // namespace

extern "C" {

// Begins anew: time starts at counter value 0. Returns the state.
uint32_t replay_start(uint64_t hz, uint64_t lead_ns) {
  states.clear();
  states.push_back({Timekeeper({.counter_id = kManualCounterId,
                                .counter_bits = 64,
                                .counter_hz = hz,
                                .lead_ns = lead_ns,
                                .interval_ns = 1'000'000,
                                .max_age_ns = 1'000'000'000}),
                    {},
                    {}});
  State& state = states.back();
  state.timekeeper.Start(0, {{1'000, 1}, {100, 2}, {100, 3}, {200, 4}, 37});
  vvar::Writer<GivenClock>(&state.timeline, {})
      .PublishLine(state.timekeeper.line());
  state.lines = {state.timekeeper.line()};
  return 0;
}

// Publishes the next line, of another slope; the writer's looks at the counter
// give `values` in turn. Returns the new state; *status is PublishStatus and
// *used how many looks there were.
uint32_t replay_publish(uint32_t from, const uint64_t* values, uint32_t count,
                        uint32_t* status, uint32_t* used) {
  states.push_back(State(states[from]));
  State& state = states.back();
  state.timekeeper.SetFrequency(state.lines.size() % 2 == 0 ? 90'000'000
                                                            : -90'000'000);
  looks = {values, count, 0};
  *status = static_cast<uint32_t>(
      vvar::Writer<GivenClock>(&state.timeline, {}).Publish(state.timekeeper));
  *used = looks.used;
  if (*status != static_cast<uint32_t>(vvar::PublishStatus::kTooEarly)) {
    state.lines.push_back(state.timekeeper.line());
  }
  return static_cast<uint32_t>(states.size() - 1);
}

// Returns where the newest line begins.
uint64_t replay_line_start(uint32_t state) {
  return states[state].lines.back().cycle_start;
}

// Returns a word of the newest line's slot.
uint64_t replay_word(uint32_t state, uint32_t offset, uint32_t size) {
  const vvar_timeline& timeline = states[state].timeline;
  const char* at = reinterpret_cast<const char*>(
                       &timeline.slot[vvar::CurrentSlot(timeline.seq)]) +
                   offset;
  uint64_t value = 0;
  for (uint32_t i = 0; i < size; ++i) {
    value |= uint64_t{static_cast<unsigned char>(at[i])} << (8 * i);
  }
  return value;
}

// Returns what MONOTONIC shows at a counter value, by the 128-bit oracle: on
// the last line that begins there or before.
uint64_t replay_expected(uint32_t state, uint64_t cycles) {
  const Line* valid = nullptr;
  for (const Line& line : states[state].lines) {
    if (valid == nullptr || line.cycle_start <= cycles) valid = &line;
  }
  return vvar::support::FloorNs(
      vvar::support::ExactAt(*valid, VVAR_BASE_MONOTONIC, cycles, 64),
      valid->scale.shift);
}

// One try of a read whose loads find `values` at `offsets` of the timeline.
// Returns 0: accepted; 1: refused, another try follows; 2: the code made other
// loads than these; 3: accepted, but no time.
uint32_t replay_read(const char* kind, const uint32_t* offsets,
                     const uint64_t* values, uint32_t count, uint64_t cycles,
                     uint64_t* answer) {
  static const vvar_timeline timeline = {};
  finds = {&timeline, {}, false, 0};
  for (uint32_t i = 0; i < count; ++i) {
    finds.all.push_back({offsets[i], 0, values[i]});
  }
  looks = {&cycles, 1, 0};
  const ReadStatus status = Read<GivenMemory>(kind, {&timeline, {}}, answer);
  for (const Find& find : finds.all) {
    if (find.used == 0) return 2;
  }
  if (finds.begins > 1) return 1;
  if (finds.strayed) return 2;
  return status == ReadStatus::kOk ? 0 : 3;
}

// Says which words the source accesses, as {offset, size}, in turn: a read at
// `cycles` that finds `seq`, or a publication if `kind` is null. Returns how
// many there are, 256 at most.
uint32_t replay_accesses(const char* kind, uint32_t state, uint32_t seq,
                         const uint64_t* cycles, uint32_t count,
                         Access* accesses) {
  State copy = states[state];
  notes = {&copy.timeline, {}};
  looks = {cycles, count, 0};
  if (kind == nullptr) {
    (void)vvar::Writer<GivenClock, NotingMemory>(&copy.timeline, {})
        .Publish(copy.timekeeper);
  } else {
    copy.timeline.seq = seq;
    uint64_t answer;
    (void)Read<NotingMemory>(kind, {&copy.timeline, {}}, &answer);
  }
  const auto found = static_cast<uint32_t>(
      notes.accesses.size() < 256 ? notes.accesses.size() : 256);
  for (uint32_t i = 0; i < found; ++i) accesses[i] = notes.accesses[i];
  return found;
}

}  // extern "C"
