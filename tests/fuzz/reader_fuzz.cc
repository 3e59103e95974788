// SPDX-License-Identifier: MIT
//
// Every kind of read of a hostile timeline that may change before any load, on
// counters of several widths and any course. A read ends, stays inside, loads
// each word once a try, and refuses a try only for a reason; what it answers is
// what the words it loaded say, worked out once more in wide integers.
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <algorithm>
#include <span>
#include <vector>

#include "tests/fuzz/fuzz_memory.h"
#include "tests/fuzz/fuzz_target.h"
#include "tests/support/oracle.h"
#include "tests/support/test_page.h"
#include "vvar/conversion.h"
#include "vvar/history.h"
#include "vvar/offset.h"
#include "vvar/page.h"
#include "vvar/reader.h"

namespace vvar::fuzz {
namespace {

using support::ClockRow;
using support::kClockRows;
using support::kManualCounterId;
using support::Wide;

// Of an input: what the counter shows, the timeline, the offsets, the changes.
constexpr size_t kCounts = 4;
constexpr size_t kHeadBytes =
    1 + kCounts * 8 + sizeof(vvar_timeline) + sizeof(vvar_offsets);

constexpr uint64_t kMaxNsec = 999'999'999;

// The line that a try chose, and what ought to become of the try.
struct Choice {
  const vvar_slot* slot;
  bool accepted;
  uint64_t delta;  // From its start to the counter value, signed.
};

// The words of one try, by their address.
class Try {
 public:
  Try(const FuzzedPage& page, const vvar_timeline& timeline, size_t n)
      : timeline_(timeline), loads_(page.LoadsOfTry(n)) {
    if (n < page.counted.size()) cycles_ = page.counted[n];
  }

  // The nth load of a word, from 0; the last one there is, if fewer.
  template <class Word>
  Word Loaded(const Word& word, size_t nth = 0) const {
    const LoadedWord* found = nullptr;
    for (const LoadedWord& load : loads_) {
      if (load.word != &word) continue;
      found = &load;
      if (nth-- == 0) break;
    }
    FUZZ_CHECK(found != nullptr);
    return static_cast<Word>(found->value);
  }
  template <class Word>
  Word Last(const Word& word) const {
    return Loaded(word, loads_.size());
  }
  bool Has(const void* word) const {
    return std::any_of(
        loads_.begin(), loads_.end(),
        [&](const LoadedWord& load) { return load.word == word; });
  }
  uint64_t cycles() const { return cycles_; }
  SeqToken begin() const { return Loaded(timeline_.seq); }
  SeqToken end() const { return Last(timeline_.seq); }
  const vvar_slot& Current() const { return timeline_.slot[begin() / 2 % 2]; }
  const vvar_slot& Idle() const { return timeline_.slot[1 - begin() / 2 % 2]; }
  bool SeqStayed() const { return end() == begin(); }
  bool CurrentStayed() const { return end() / 2 == begin() / 2; }

  // seq at begin and end; a date when the line is chosen and when it is loaded;
  // likewise whose counter it is. All else once.
  void ExpectLoadedOnce() const {
    uint8_t loaded[sizeof(vvar_timeline) / 2] = {};
    for (const LoadedWord& load : loads_) {
      const size_t offset = reinterpret_cast<uintptr_t>(load.word) -
                            reinterpret_cast<uintptr_t>(&timeline_);
      if (offset < sizeof(vvar_timeline)) ++loaded[offset / 2];
    }
    for (size_t i = 0; i < sizeof loaded; ++i) {
      const size_t in_slot =
          (i * 2 - offsetof(vvar_timeline, slot)) % sizeof(vvar_slot);
      const bool twice = i == 0 ||
                         in_slot == offsetof(vvar_slot, cycle_start) ||
                         in_slot == offsetof(vvar_slot, counter_id);
      FUZZ_CHECK(loaded[i] <= (twice ? 2 : 1));
    }
  }

 private:
  const vvar_timeline& timeline_;
  std::span<const LoadedWord> loads_;
  uint64_t cycles_ = 0;
};

uint64_t Signed(uint64_t now, uint64_t start, uint32_t bits) {
  const uint64_t ticks = support::Ticks(now, start, bits);
  const bool back = ticks >> (bits - 1) != 0;
  return back && bits != 64 ? ticks - (uint64_t{1} << bits) : ticks;
}
bool IsNegative(uint64_t delta) { return delta >> 63 != 0; }

// The line that is valid at the counter value.
Choice Choose(const Try& words, uint32_t bits) {
  const vvar_slot& current = words.Current();
  const uint64_t start = words.Loaded(current.cycle_start);
  const uint64_t delta = Signed(words.cycles(), start, bits);
  if (IsNegative(delta) && words.begin() % 2 == 0 &&
      words.Loaded(current.counter_id) == kManualCounterId) {
    const vvar_slot& idle = words.Idle();
    const uint64_t idle_start = words.Loaded(idle.cycle_start);
    return {&idle,
            words.SeqStayed() && words.Last(idle.cycle_start) == idle_start,
            Signed(words.cycles(), idle_start, bits)};
  }
  return {&current,
          words.CurrentStayed() && words.Last(current.cycle_start) == start,
          delta};
}

// What the words of a line say at `delta`, or why nothing. Moves delta where
// the line is held at its start.
ReadStatus StatusOf(const Try& words, const vvar_slot& slot, uint32_t mult,
                    uint64_t& delta) {
  const uint32_t id = words.Last(slot.counter_id);
  const uint64_t max = words.Last(slot.max_cycles);
  if (id == kManualCounterId && delta <= max) return ReadStatus::kOk;
  if (mult == 0) return ReadStatus::kNotReady;
  if (id == VVAR_COUNTER_NONE) return ReadStatus::kNoCounter;
  if (id != kManualCounterId) return ReadStatus::kWrongCounter;
  if (!IsNegative(delta) || uint64_t{0} - delta > max) {
    return ReadStatus::kStale;
  }
  delta = 0;
  return ReadStatus::kOk;
}

uint32_t MultOf(const Try& words, const vvar_slot& slot, uint32_t index) {
  if (index == VVAR_BASE_REALTIME) return words.Last(slot.realtime_mult);
  if (index == VVAR_BASE_MONOTONIC_RAW) return words.Last(slot.raw_mult);
  return words.Last(slot.mult);
}

// delta cycles in ns, and whether that is promised to be exact: elsewhere it is
// defined, and nothing else.
struct Span {
  bool exact;
  uint64_t ns;
};
Span SpanOf(uint64_t delta, uint32_t mult, uint32_t shift,
            uint64_t nsec_shifted) {
  const Wide sum = Wide(delta) * Wide(mult) + Wide(nsec_shifted);
  return {delta >= kShortCycles || sum < Wide(1) << 64,
          static_cast<uint64_t>(sum >> (shift % 64))};
}
Span ClockAt(const Try& words, const vvar_slot& slot, uint32_t index,
             uint64_t delta) {
  const vvar_base& base = slot.base[index];
  return SpanOf(delta, MultOf(words, slot, index), words.Last(slot.shift),
                words.Last(base.nsec_shifted));
}

// The nth offset that a read took of the page, in ns; {0, 0} of others.
Timespec OffsetOf(const Try& words, const vvar_offsets* offsets, ClockId id,
                  size_t nth = 0) {
  const OffsetKind kind = OffsetKindOf(id);
  if (offsets == nullptr || kind == OffsetKind::kNone) return {0, 0};
  const vvar_offset& offset =
      kind == OffsetKind::kMonotonic ? offsets->monotonic : offsets->boottime;
  return {words.Loaded(offset.sec, nth),
          static_cast<uint32_t>(
              std::min<uint64_t>(words.Loaded(offset.nsec, nth), kMaxNsec))};
}

template <uint32_t kBits, class Offsets>
class Fuzzer {
 public:
  using AnyReader = Reader<FuzzClock<kBits>, FuzzMemory, Offsets>;

  Fuzzer(FuzzedPage& page, const vvar_timeline* timeline, Offsets offsets,
         const vvar_offsets* offset_page)
      : page_(page),
        timeline_(*timeline),
        reader_(timeline, {}, offsets),
        offsets_(offset_page) {}

  void ReadEverything() {
    for (const ClockRow& clock : kClockRows) {
      ReadClock(clock, [&] { return reader_.Now(clock.id); });
      ReadClock(clock, [&] { return reader_.NowTimespec(clock.id); });
      ReadClock(clock, [&] { return reader_.NowUnordered(clock.id); });
      ReadClock(clock, [&] { return reader_.NowTimespecUnordered(clock.id); });
      if (clock.coarse) {
        ReadClock(clock, [&] { return reader_.NowCoarse(clock.id); });
        FUZZ_CHECK(reader_.Interval(clock.id).status ==
                   ReadStatus::kUnknownClock);
      } else {
        ReadInterval(clock);
      }
    }
    ReadAge();
    ReadSnapshot();
    CopyLines();
    page_.Rewind();
    FUZZ_CHECK(reader_.Now(ClockId{9}).status == ReadStatus::kUnknownClock);
    FUZZ_CHECK(page_.loads.empty());
  }

 private:
  Try LastTry() const { return Try(page_, timeline_, page_.tries.size() - 1); }

  // Calls `read` on the page as it was; checks each try against
  // judge(const Try&), which returns whether it ought to be accepted. Returns
  // what `read` says.
  template <class Read, class Judge>
  auto Watch(Read read, Judge judge) {
    page_.Rewind();
    const auto reading = read();
    const size_t tries = page_.tries.size();
    FUZZ_CHECK(tries >= 1 && tries <= AnyReader::kMaxTries);
    bool accepted = false;
    for (size_t n = 0; n < tries; ++n) {
      const Try words(page_, timeline_, n);
      words.ExpectLoadedOnce();
      FUZZ_CHECK(!accepted);
      accepted = judge(words);
    }
    FUZZ_CHECK(accepted || tries == AnyReader::kMaxTries);
    ended_busy_ = !accepted;
    return reading;
  }
  static bool IsAccepted(const Try& words) {
    return Choose(words, kBits).accepted;
  }

  template <class Read>
  void ReadClock(const ClockRow& clock, Read read) {
    if (clock.coarse) {
      const auto reading =
          Watch(read, [](const Try& words) { return words.CurrentStayed(); });
      FUZZ_CHECK(page_.counted.empty());
      CheckCoarse(clock, reading);
    } else {
      CheckPrecise(clock, Watch(read, IsAccepted));
    }
  }

  // Returns the line, with delta as the read ought to use it; or none, when
  // there is no time.
  Choice CheckStatus(ReadStatus status, uint32_t index) {
    if (ended_busy_) {
      FUZZ_CHECK(status == ReadStatus::kBusy);
      return {};
    }
    const Try words = LastTry();
    Choice choice = Choose(words, kBits);
    const uint32_t mult = MultOf(words, *choice.slot, index);
    FUZZ_CHECK(status == StatusOf(words, *choice.slot, mult, choice.delta));
    if (status != ReadStatus::kOk) choice.slot = nullptr;
    return choice;
  }

  void CheckTime(const NsReading& reading, uint64_t sec, uint64_t ns,
                 Timespec offset) {
    FUZZ_CHECK(reading.ns == sec * kNsPerSec + ns +
                                 static_cast<uint64_t>(offset.sec) * kNsPerSec +
                                 offset.nsec);
  }
  void CheckTime(const TimespecReading& reading, uint64_t sec, uint64_t ns,
                 Timespec offset) {
    sec += ns / kNsPerSec + static_cast<uint64_t>(offset.sec);
    const uint64_t nsec = ns % kNsPerSec + offset.nsec;
    FUZZ_CHECK(static_cast<uint64_t>(reading.sec) == sec + nsec / kNsPerSec);
    FUZZ_CHECK(reading.nsec == nsec % kNsPerSec);
  }
  static void CheckNormal(const NsReading&) {}
  static void CheckNormal(const TimespecReading& reading) {
    FUZZ_CHECK(reading.nsec < kNsPerSec);
  }

  template <class Reading>
  void CheckPrecise(const ClockRow& clock, const Reading& reading) {
    const Choice choice = CheckStatus(reading.status, clock.index);
    if (choice.slot == nullptr) return;
    CheckNormal(reading);
    const Try words = LastTry();
    const Span span = ClockAt(words, *choice.slot, clock.index, choice.delta);
    if (!span.exact) return;
    CheckTime(
        reading,
        static_cast<uint64_t>(words.Last(choice.slot->base[clock.index].sec)),
        span.ns, OffsetOf(words, offsets_, clock.id));
  }

  template <class Reading>
  void CheckCoarse(const ClockRow& clock, const Reading& reading) {
    if (ended_busy_) {
      FUZZ_CHECK(reading.status == ReadStatus::kBusy);
      return;
    }
    const Try words = LastTry();
    const vvar_coarse& coarse = words.Current().coarse[clock.index];
    const bool published = words.Loaded(coarse.status) != VVAR_STATUS_NONE;
    FUZZ_CHECK(reading.status ==
               (published ? ReadStatus::kOk : ReadStatus::kNotReady));
    if (!published) return;
    const Timespec offset = OffsetOf(words, offsets_, clock.id);
    if constexpr (requires { reading.nsec; }) {
      CheckNormal(reading);
      CheckTime(reading, static_cast<uint64_t>(words.Loaded(coarse.sec)),
                std::min<uint64_t>(words.Loaded(coarse.nsec), kMaxNsec),
                offset);
    } else {
      CheckTime(reading, 0, words.Loaded(coarse.ns), offset);
    }
  }

  // Half of the width: what the page says, and its growth over the age.
  void CheckError(const Try& words, const Choice& choice, uint64_t error_ns) {
    const vvar_slot& slot = *choice.slot;
    const uint32_t mult = words.Last(slot.mult);
    const Span age = SpanOf(choice.delta, mult, words.Last(slot.shift), 0);
    if (!age.exact || error_ns == UINT64_MAX) return;
    const uint32_t ppb = words.Last(slot.error_growth_ppb);
    const uint64_t least = words.Last(slot.error_ns);
    FUZZ_CHECK(error_ns >= least);
    FUZZ_CHECK(support::Covers(error_ns - least, age.ns, ppb));
    // Not too much: 5 %, or a second's growth, and 2 ns.
    const Wide growth = Wide(age.ns) * Wide(ppb) / Wide(kNsPerSec);
    FUZZ_CHECK(Wide(error_ns - least) <=
               growth + growth / Wide(20) + Wide(uint64_t{ppb} + 3));
  }

  void ReadInterval(const ClockRow& clock) {
    const IntervalReading reading =
        Watch([&] { return reader_.Interval(clock.id); }, IsAccepted);
    const Choice choice = CheckStatus(reading.status, clock.index);
    if (choice.slot == nullptr) {
      FUZZ_CHECK(reading.clock_status == ClockStatus::kNone);
      return;
    }
    const Try words = LastTry();
    FUZZ_CHECK(static_cast<uint32_t>(reading.clock_status) ==
               words.Last(choice.slot->status));
    FUZZ_CHECK(reading.earliest_ns <= reading.latest_ns);
    const Span span = ClockAt(words, *choice.slot, clock.index, choice.delta);
    if (!span.exact) return;
    const uint64_t now_ns =
        static_cast<uint64_t>(words.Last(choice.slot->base[clock.index].sec)) *
            kNsPerSec +
        span.ns + TimespecToNs(OffsetOf(words, offsets_, clock.id));
    FUZZ_CHECK(reading.earliest_ns <= now_ns && now_ns <= reading.latest_ns);
    const uint64_t below = now_ns - reading.earliest_ns;
    const uint64_t above = reading.latest_ns - now_ns;
    const bool open_below = reading.earliest_ns == 0;
    const bool open_above = reading.latest_ns == UINT64_MAX;
    if (!open_below && !open_above) FUZZ_CHECK(above == below + 1);
    // AgeNs() is by this clock's own slope.
    if (clock.index != VVAR_BASE_MONOTONIC) return;
    if (!open_below) CheckError(words, choice, below);
    if (!open_above) CheckError(words, choice, above - 1);
  }

  void ReadAge() {
    const AgeReading reading = Watch([&] { return reader_.Age(); }, IsAccepted);
    if (ended_busy_) {
      FUZZ_CHECK(reading.status == ReadStatus::kBusy);
      return;
    }
    const Try words = LastTry();
    Choice choice = Choose(words, kBits);
    const uint32_t mult = words.Last(choice.slot->mult);
    FUZZ_CHECK(reading.status ==
               StatusOf(words, *choice.slot, mult, choice.delta));
    if (reading.status != ReadStatus::kOk &&
        reading.status != ReadStatus::kStale) {
      FUZZ_CHECK(reading.age_ns == 0);
      return;
    }
    const Span age =
        SpanOf(choice.delta, mult, words.Last(choice.slot->shift), 0);
    if (IsNegative(choice.delta)) {
      FUZZ_CHECK(reading.age_ns == UINT64_MAX);
    } else if (age.exact) {
      FUZZ_CHECK(reading.age_ns == age.ns);
    }
  }

  void ReadSnapshot() {
    SnapshotReading snapshot;
    memset(&snapshot, 0x5a, sizeof snapshot);
    const SnapshotReading untouched = snapshot;
    const ReadStatus status =
        Watch([&] { return reader_.Snapshot(&snapshot); }, IsAccepted);
    // The line's slope says whether it was published: MONOTONIC's.
    const Choice choice = CheckStatus(status, VVAR_BASE_MONOTONIC);
    if (choice.slot == nullptr) {
      FUZZ_CHECK(memcmp(&snapshot, &untouched, sizeof snapshot) == 0);
      return;
    }
    const Try words = LastTry();
    const vvar_slot& slot = *choice.slot;
    FUZZ_CHECK(snapshot.cycles ==
               ((words.Last(slot.cycle_start) + choice.delta) &
                (UINT64_MAX >> (64 - kBits))));
    const uint64_t ns[] = {snapshot.realtime_ns, snapshot.monotonic_ns,
                           snapshot.monotonic_raw_ns, snapshot.boottime_ns,
                           snapshot.tai_ns};
    for (const ClockRow& clock : kClockRows) {
      if (clock.coarse) continue;
      const Span span = ClockAt(words, slot, clock.index, choice.delta);
      if (!span.exact) continue;
      const size_t nth = clock.id == ClockId::kMonotonicRaw ? 1 : 0;
      CheckTime(NsReading{ns[clock.index], status},
                static_cast<uint64_t>(words.Last(slot.base[clock.index].sec)),
                span.ns, OffsetOf(words, offsets_, clock.id, nth));
    }
    CheckSnapshotRest(words, slot, snapshot, status);
    CheckError(words, choice, snapshot.error_ns);
  }
  void CheckSnapshotRest(const Try& words, const vvar_slot& slot,
                         const SnapshotReading& snapshot, ReadStatus status) {
    const auto coarse = [&](uint32_t index, uint64_t ns, Timespec offset) {
      CheckTime(
          NsReading{ns, status},
          static_cast<uint64_t>(words.Last(slot.coarse[index].sec)),
          std::min<uint64_t>(words.Last(slot.coarse[index].nsec), kMaxNsec),
          offset);
    };
    coarse(VVAR_COARSE_REALTIME, snapshot.realtime_coarse_ns, {0, 0});
    coarse(VVAR_COARSE_MONOTONIC, snapshot.monotonic_coarse_ns,
           OffsetOf(words, offsets_, ClockId::kMonotonicCoarse, 2));
    FUZZ_CHECK(snapshot.tai_offset_sec == words.Last(slot.tai_offset_sec));
    FUZZ_CHECK(static_cast<uint32_t>(snapshot.clock_status) ==
               words.Last(slot.status));
    FUZZ_CHECK(snapshot.leap_state == words.Last(slot.leap_state));
  }

  static bool PairIsAccepted(const Try& words) {
    const bool dated = words.Loaded(words.Current().cycle_start) ==
                       words.Last(words.Current().cycle_start);
    const bool idle_dated = words.Loaded(words.Idle().cycle_start) ==
                            words.Last(words.Idle().cycle_start);
    if (words.begin() % 2 == 1) return dated && words.CurrentStayed();
    return dated && idle_dated && words.SeqStayed();
  }

  void CopyLines() {
    typename AnyReader::Pair pair;
    const ReadStatus status =
        Watch([&] { return reader_.CopyLines(&pair); }, PairIsAccepted);
    if (ended_busy_) FUZZ_CHECK(status == ReadStatus::kBusy);
    if (status == ReadStatus::kOk) {
      const Try words = LastTry();
      FUZZ_CHECK(pair.has_previous == (words.begin() % 2 == 0));
      FUZZ_CHECK(pair.publications == words.begin() / 2);
      FUZZ_CHECK(pair.cycles == words.cycles());
      CheckLine(words, words.Current(), pair);
      if (pair.has_previous) CheckLine(words, words.Idle(), pair.previous);
    }
    page_.Rewind();
    History<FuzzClock<kBits>, 4> history;
    if (history.Capture(reader_) != ReadStatus::kOk) {
      FUZZ_CHECK(history.size() == 0);
      return;
    }
    FUZZ_CHECK(history.size() >= 1 && history.size() <= 2);
    if (status == ReadStatus::kOk) CheckHistory(history, pair);
    // Whatever it holds, another page may come.
    (void)history.Capture(reader_);
    CheckConversions(history);
  }
  void CheckLine(const Try& words, const vvar_slot& slot, const Line& line) {
    FUZZ_CHECK(line.cycle_start == words.Last(slot.cycle_start));
    FUZZ_CHECK(line.scale.shift == words.Last(slot.shift));
    FUZZ_CHECK(line.max_cycles == words.Last(slot.max_cycles));
    FUZZ_CHECK(line.counter_id == words.Last(slot.counter_id));
    for (uint32_t i = 0; i < VVAR_BASES; ++i) {
      FUZZ_CHECK(line.ScaleOf(i).mult == MultOf(words, slot, i));
    }
    for (const Timespec& coarse : line.coarse) {
      FUZZ_CHECK(coarse.nsec < kNsPerSec);
    }
    // What no namespace moves.
    for (const uint32_t i : {VVAR_BASE_REALTIME, VVAR_BASE_TAI}) {
      FUZZ_CHECK(line.base[i].sec == words.Last(slot.base[i].sec));
      FUZZ_CHECK(line.base[i].nsec_shifted ==
                 words.Last(slot.base[i].nsec_shifted));
    }
  }

  // A stamp that converts exactly is on one of the two lines.
  template <class AnyHistory, class Pair>
  void CheckHistory(const AnyHistory& history, const Pair& pair) {
    const Line& previous = pair.has_previous ? pair.previous : pair;
    for (const uint64_t cycles : {pair.cycles, pair.cycle_start,
                                  previous.cycle_start, pair.cycle_start - 1}) {
      for (const ClockRow& clock : kClockRows) {
        const NsConversion converted = history.NsAt(clock.id, cycles);
        if (converted.status != ConversionStatus::kExact) continue;
        FUZZ_CHECK(converted.error_ns == 0);
        const bool fits = OnLine(pair, clock.index, cycles, converted.ns) ||
                          OnLine(previous, clock.index, cycles, converted.ns);
        FUZZ_CHECK(fits);
      }
    }
  }
  static bool OnLine(const Line& line, uint32_t index, uint64_t cycles,
                     uint64_t ns) {
    const uint64_t delta = Signed(cycles, line.cycle_start, kBits);
    const Timebase base = line.base[index];
    const Span span = SpanOf(delta, line.ScaleOf(index).mult, line.scale.shift,
                             base.nsec_shifted);
    return !span.exact ||
           ns == static_cast<uint64_t>(base.sec) * kNsPerSec + span.ns;
  }
  // Defined whatever is held; many at once are what they are one by one.
  template <class AnyHistory>
  void CheckConversions(const AnyHistory& history) {
    const uint64_t stamps[] = {0, 1, UINT64_MAX, page_.Count(UINT64_MAX),
                               uint64_t{1} << (kBits - 1)};
    for (const ClockRow& clock : kClockRows) {
      uint64_t ns[std::size(stamps)];
      const BatchConversion worst =
          history.NsAt(clock.id, stamps, ns, std::size(stamps));
      for (size_t i = 0; i < std::size(stamps); ++i) {
        const NsConversion one = history.NsAt(clock.id, stamps[i]);
        FUZZ_CHECK(one.ns == ns[i]);
        FUZZ_CHECK(one.status <= worst.status);
        FUZZ_CHECK(one.error_ns <= worst.error_ns);
        (void)history.CyclesAt(clock.id, stamps[i]);
        SnapshotReading snapshot;
        (void)history.SnapshotAt(stamps[i], &snapshot);
      }
    }
  }

  FuzzedPage& page_;
  const vvar_timeline& timeline_;
  AnyReader reader_;
  const vvar_offsets* offsets_;
  bool ended_busy_ = false;
};

// The widths of counters, each without and with a page of offsets.
template <uint32_t kBits>
void Fuzz(FuzzedPage& page, const vvar_timeline* timeline,
          const vvar_offsets* offsets, bool moved) {
  if (moved) {
    Fuzzer<kBits, OffsetPage<FuzzMemory>>(
        page, timeline, OffsetPage<FuzzMemory>(offsets), offsets)
        .ReadEverything();
  } else {
    Fuzzer<kBits, NoOffsets>(page, timeline, {}, nullptr).ReadEverything();
  }
}

Bytes Input(uint8_t kind, const std::vector<uint64_t>& counts,
            const vvar_timeline& timeline, const vvar_offsets& offsets,
            const std::vector<Change>& changes) {
  Bytes input = {kind};
  for (size_t i = 0; i < kCounts; ++i) Append(input, counts[i % counts.size()]);
  Append(input, timeline);
  Append(input, offsets);
  for (const Change& change : changes) {
    Append(input, change.before_load);
    Append(input, change.offset);
    Append(input, change.value);
  }
  return input;
}

}  // namespace

std::vector<Bytes> Seeds() {
  std::vector<Bytes> seeds = {{}};
  vvar_offsets offsets = {};
  FormatOffsets(offsets, {{1'000, 999'999'999}, {-5, 3}});
  support::TestPage<> test;
  test.Warm();
  const vvar_timeline golden = test.timeline();
  const uint64_t start = test.line().cycle_start;
  const auto add = [&](const vvar_timeline& timeline,
                       const std::vector<Change>& changes = {}) {
    const auto kind = static_cast<uint8_t>(seeds.size());
    seeds.push_back(Input(kind, {start, start - 1, start + 500, start - 5'000},
                          timeline, offsets, changes));
    seeds.push_back(Input(kind, {start - 500}, timeline, offsets, changes));
  };
  for (int kind = 0; kind < 8; ++kind) add(golden);
  vvar_timeline timeline;
  for (const int fill : {0x00, 0xff, 0x01}) {
    memset(&timeline, fill, sizeof timeline);
    for (int kind = 0; kind < 4; ++kind) add(timeline);
  }
  for (const uint32_t seq :
       {1u, 3u, (1u << 31) - 2, (1u << 31) - 1, UINT32_MAX - 1, UINT32_MAX}) {
    timeline = golden;
    timeline.seq = seq;
    add(timeline);
  }
  for (const uint8_t shift : Bytes{0, 31, 32, 63, 64, 255}) {
    timeline = golden;
    timeline.slot[0].shift = timeline.slot[1].shift = shift;
    add(timeline);
  }
  for (const uint32_t id : {VVAR_COUNTER_NONE, VVAR_COUNTER_X86_TSC}) {
    timeline = golden;
    timeline.slot[0].counter_id = timeline.slot[1].counter_id = id;
    add(timeline);
  }
  for (uint16_t load = 0; load < 40; load += 3) {
    // seq, and both lines' dates.
    add(golden, {{load, 0, golden.seq + 1u + load % 2}});
    add(golden, {{load, 64, start + load}, {load, 320, start - 700}});
  }
  std::vector<Change> busy;
  for (uint16_t load = 0; load < 900; load += 5) {
    busy.push_back({load, 0, golden.seq + 2u * load});
  }
  add(golden, busy);
  return seeds;
}

}  // namespace vvar::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  using namespace vvar::fuzz;
  if (size < kHeadBytes) return 0;
  const uint8_t kind = bytes[0];
  std::vector<uint64_t> counts(kCounts);
  memcpy(counts.data(), bytes + 1, kCounts * 8);
  const uint8_t* at = bytes + 1 + kCounts * 8;
  ExactCopy timeline(at, sizeof(vvar_timeline), sizeof(vvar_timeline));
  at += sizeof(vvar_timeline);
  ExactCopy offsets(at, sizeof(vvar_offsets), sizeof(vvar_offsets));
  at += sizeof(vvar_offsets);
  FuzzedPage page({{timeline.data(), sizeof(vvar_timeline)},
                   {offsets.data(), sizeof(vvar_offsets)}});
  page.SetCounts(counts);
  page.SetChanges(at, static_cast<size_t>(bytes + size - at));
  constexpr decltype(&Fuzz<64>) kWidths[] = {Fuzz<64>, Fuzz<56>, Fuzz<32>,
                                             Fuzz<2>};
  kWidths[kind % 4](page, reinterpret_cast<vvar_timeline*>(timeline.data()),
                    reinterpret_cast<vvar_offsets*>(offsets.data()),
                    kind / 4 % 2 == 1);
  return 0;
}
