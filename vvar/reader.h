// SPDX-License-Identifier: MIT
//
// The lock-free reader: every clock of a page, from one retry loop. Takes its
// counter, its access to memory and its namespace's offsets as policies; never
// writes, waits, allocates, falls back or makes up a time. Freestanding core;
// any context, NMI included. The page is hostile: whatever its bytes, a read
// ends and stays inside it.
#ifndef VVAR_READER_H_
#define VVAR_READER_H_

#include <stddef.h>
#include <stdint.h>

#include "vvar/clock_table.h"
#include "vvar/clocksource.h"
#include "vvar/header.h"
#include "vvar/latch.h"
#include "vvar/offset.h"
#include "vvar/page.h"
#include "vvar/reading.h"
#include "vvar/seqcount.h"
#include "vvar/slot.h"
#include "vvar/timebase.h"

namespace vvar {

namespace reader_internal {

/// What a reader of nothing reads: never published.
inline constexpr vvar_timeline kUnpublished = {};

}  // namespace reader_internal

/// Reads one timeline of a page. Copyable, shared freely by threads; reads do
/// not touch the header.
///
/// Ordered reads give what clock_gettime() gives: a read that happens after
/// another, on whatever CPU, is not earlier. Unordered reads give the exact
/// value of an instant that may lie slightly before or after the call: cheaper,
/// for stamps that are compared with each other only loosely. For both: every
/// accepted read equals the published line at its counter value, moved by what
/// `Offsets` (vvar/offset.h) adds to that clock.
///
/// Progress: wait-free for the caller, bounded by kMaxTries; a retry takes a
/// publication inside the read. Context: any, NMI and signal handlers included.
template <ClockSource Clock, class Memory = PageMemory,
          class Offsets = NoOffsets>
class Reader {
 public:
  /// Of one read; kBusy after the last.
  static constexpr uint32_t kMaxTries = 64;
  /// What CopyLines() fills.
  using Pair = PairView<Memory>;

  /// A reader of nothing: each read says kNotReady, after it has read the
  /// counter as every other. Where that may be a fault, attached() comes first.
  constexpr Reader() = default;
  /// A reader of a timeline that FindTimeline() found. It must stay mapped.
  constexpr Reader(const vvar_timeline* timeline, Clock clock,
                   Offsets offsets = {})
      : timeline_(timeline), clock_(clock), offsets_(offsets) {}

  /// Attaches to timeline `index` of a page. Error: `*reader` is untouched.
  [[nodiscard]] static PageStatus Attach(const void* bytes, size_t size,
                                         uint32_t index, Clock clock,
                                         Reader* reader, Offsets offsets = {}) {
    const vvar_timeline* timeline = nullptr;
    const PageStatus status = FindTimeline<Memory>(
        bytes, size, Clock::kCounterId, Clock::kCounterBits, index, &timeline);
    if (status == PageStatus::kOk) *reader = Reader(timeline, clock, offsets);
    return status;
  }

  /// Returns the time of any clock. Ordering: as clock_gettime().
  /// Error: < 1 ns of truncation against the published line.
  [[nodiscard, gnu::always_inline]] inline NsReading Now(ClockId id) const {
    return ReadClock<NsReading, Order::kOrdered>(id);
  }
  /// The same as a timespec.
  [[nodiscard, gnu::always_inline]] inline TimespecReading NowTimespec(
      ClockId id) const {
    return ReadClock<TimespecReading, Order::kOrdered>(id);
  }

  /// Returns the time of any clock. Ordering: none; see the class.
  /// Error: as Now().
  [[nodiscard, gnu::always_inline]] inline NsReading NowUnordered(
      ClockId id) const {
    return ReadClock<NsReading, Order::kUnordered>(id);
  }
  /// The same as a timespec.
  [[nodiscard, gnu::always_inline]] inline TimespecReading NowTimespecUnordered(
      ClockId id) const {
    return ReadClock<TimespecReading, Order::kUnordered>(id);
  }

  /// Returns a coarse clock, kUnknownClock for any other: the time of the last
  /// publication, without reading a counter. Never above Now(). Does not notice
  /// that its writer died.
  [[nodiscard, gnu::always_inline]] inline NsReading NowCoarse(
      ClockId id) const {
    return ReadClock<NsReading, Order::kNone>(id);
  }
  /// The same as a timespec.
  [[nodiscard, gnu::always_inline]] inline TimespecReading NowCoarseTimespec(
      ClockId id) const {
    return ReadClock<TimespecReading, Order::kNone>(id);
  }

  /// Returns bounds of the true time, which end where u64 does.
  /// Ordering: as clock_gettime().
  [[nodiscard, gnu::always_inline]] inline IntervalReading Interval(
      ClockId id) const {
    const ClockRow row = kClocks.RowOf(id);
    if (row.kind != RowKind::kPrecise) [[unlikely]] {
      return {0, 0, ReadStatus::kUnknownClock, ClockStatus::kNone};
    }
    Bounded line;
    const ReadStatus status = ReadLine<Order::kOrdered>(row.index, line);
    if (status != ReadStatus::kOk) [[unlikely]] {
      return {0, 0, status, ClockStatus::kNone};
    }
    const uint64_t now_ns = Moved(id, line.Ns());
    const uint64_t error_ns = line.ErrorNs();
    // The truncated nanosecond belongs to the interval.
    const uint64_t room_ns = UINT64_MAX - now_ns;
    return {error_ns < now_ns ? now_ns - error_ns : 0,
            error_ns < room_ns ? now_ns + error_ns + 1 : UINT64_MAX, status,
            line.clock_status};
  }

  /// Reads every clock at one counter value. Ordering: as clock_gettime().
  /// Error: `*out` is untouched unless kOk.
  [[nodiscard]] ReadStatus Snapshot(SnapshotReading* out) const {
    Full line;
    const ReadStatus status = ReadLine<Order::kOrdered>(0, line);
    if (status != ReadStatus::kOk) return status;
    out->cycles = (line.cycle_start + line.delta) &
                  (UINT64_MAX >> (64 - Clock::kCounterBits));
    using enum ClockId;
    out->realtime_ns = Moved(kRealtime, line.Ns(VVAR_BASE_REALTIME));
    out->monotonic_ns = Moved(kMonotonic, line.Ns(VVAR_BASE_MONOTONIC));
    out->monotonic_raw_ns =
        Moved(kMonotonicRaw, line.Ns(VVAR_BASE_MONOTONIC_RAW));
    out->boottime_ns = Moved(kBoottime, line.Ns(VVAR_BASE_BOOTTIME));
    out->tai_ns = Moved(kTai, line.Ns(VVAR_BASE_TAI));
    out->realtime_coarse_ns =
        Moved(kRealtimeCoarse, TimespecToNs(line.coarse[VVAR_COARSE_REALTIME]));
    out->monotonic_coarse_ns = Moved(
        kMonotonicCoarse, TimespecToNs(line.coarse[VVAR_COARSE_MONOTONIC]));
    out->error_ns = line.ErrorNs();
    out->tai_offset_sec = line.tai_offset_sec;
    out->clock_status = line.status;
    out->leap_state = line.leap.state;
    return status;
  }

  /// Returns how long ago the line that answers began. Ordering: none.
  [[nodiscard]] AgeReading Age() const {
    Bounded line;
    const ReadStatus status =
        ReadLine<Order::kUnordered>(VVAR_BASE_MONOTONIC, line);
    if (status != ReadStatus::kOk && status != ReadStatus::kStale) {
      return {0, status, ClockStatus::kNone};
    }
    const bool behind = static_cast<int64_t>(line.delta) < 0;
    return {behind ? UINT64_MAX : line.AgeNs(), status, line.clock_status};
  }

  /// Copies the current line and, unless it is being rewritten, the previous
  /// one; either may be stale. A line that is published later begins after
  /// pair->cycles, unless it comes late. Ordering: as clock_gettime().
  /// Error: `*pair` is undefined unless kOk.
  [[nodiscard]] ReadStatus CopyLines(Pair* pair) const {
    const ReadStatus status = ReadLine<Order::kOrdered>(0, *pair);
    if (status != ReadStatus::kOk) return status;
    AddOffsets(*pair, offsets_);
    if (pair->has_previous) AddOffsets(pair->previous, offsets_);
    return status;
  }

  /// Returns the number of publications so far, modulo 2^31.
  [[nodiscard]] uint32_t Publications() const {
    return Memory::Load(timeline_->seq) >> 1;
  }

  /// Whether a clock is interpolated, so that its reads notice a dead writer.
  static constexpr bool NeedsCounter(ClockId id) {
    return kClocks.RowOf(id).kind == RowKind::kPrecise;
  }
  /// Whether this is a reader of something.
  constexpr bool attached() const {
    return timeline_ != &reader_internal::kUnpublished;
  }
  /// The counter it reads: a copy of what it was made with.
  constexpr const Clock& clock() const { return clock_; }

 private:
  enum class Order { kOrdered, kUnordered, kNone };

  using Clocked = ClockView<Memory>;
  using Bounded = BoundedView<Memory>;
  using Full = LineView<Memory>;
  template <class Reading>
  using Coarse = typename CoarseViewOf<Memory, Reading>::Type;

  /// The one retry loop. What must be consistent is inside; arithmetic is not.
  template <Order kOrder, class Line>
  [[gnu::always_inline]] inline ReadStatus ReadLine(uint32_t index,
                                                    Line& line) const {
    for (uint32_t tries = kMaxTries; tries != 0; --tries) {
      const SeqToken seq = ReadBegin<Memory>(timeline_->seq);  // [R:begin]
      const uint64_t cycles = ReadCounter<kOrder>(seq);        // [R:count]
      const LatchSide side =
          LoadLine<kOrder>(seq, cycles, index, line);        // [R:line]
      const SeqToken end = ReadEnd<Memory>(timeline_->seq);  // [R:end]
      if (Accepts(seq, end, side)) [[likely]]
        return StatusOf<kOrder>(line);
      clock_.Relax();
    }
    return ReadStatus::kBusy;
  }

  template <Order kOrder, class Line>
  [[gnu::always_inline]] static inline ReadStatus StatusOf(Line& line) {
    if constexpr (kOrder != Order::kNone) {
      const bool ours = line.counter_id == Clock::kCounterId;
      // One comparison: a negative delta is larger than any span.
      if (ours && line.delta <= line.max_cycles) [[likely]] {
        return ReadStatus::kOk;
      }
      if (line.Published()) {
        if (line.counter_id == VVAR_COUNTER_NONE) return ReadStatus::kNoCounter;
        return ours ? HoldAtStart(line) : ReadStatus::kWrongCounter;
      }
    }
    return line.Published() ? ReadStatus::kOk : ReadStatus::kNotReady;
  }

  /// A counter a little before its line (skew between CPUs) counts as at the
  /// line's start; one before it by more than the line's whole span does not
  /// belong to this page.
  template <class Line>
  static ReadStatus HoldAtStart(Line& line) {
    const uint64_t behind = uint64_t{0} - line.delta;
    if (static_cast<int64_t>(line.delta) > 0 || behind > line.max_cycles) {
      return ReadStatus::kStale;
    }
    line.delta = 0;
    return ReadStatus::kOk;
  }

  template <Order kOrder>
  [[gnu::always_inline]] inline uint64_t ReadCounter(SeqToken after) const {
    if constexpr (kOrder == Order::kOrdered) return clock_.Read(after);
    if constexpr (kOrder == Order::kUnordered) return clock_.ReadUnordered();
    return 0;
  }

  /// Loads the line that is valid at `cycles`: the current one or, when the
  /// counter is before it, the previous one; if that is being rewritten, the
  /// current one, held at its start.
  template <Order kOrder, class Line>
  [[gnu::always_inline]] inline LatchSide LoadLine(SeqToken seq,
                                                   uint64_t cycles,
                                                   uint32_t index,
                                                   Line& line) const {
    const vvar_slot* slot = &timeline_->slot[CurrentSlot(seq)];
    LatchSide side = LatchSide::kCurrent;
    if constexpr (kOrder == Order::kNone) {
      line.Load(*slot, index);
    } else {
      uint64_t start = Memory::Load(slot->cycle_start);
      // Not rare: with a lead of half a tick it is every other read.
      if (Delta(cycles, start) < 0 && PreviousIsReadable(seq) &&
          // A counter that was withdrawn has no say in which line is valid.
          Memory::Load(slot->counter_id) == Clock::kCounterId) {
        side = LatchSide::kPrevious;
        slot = &timeline_->slot[IdleSlot(seq)];
        start = Memory::Load(slot->cycle_start);
      }
      line.Load(*slot, index);
      line.delta = static_cast<uint64_t>(Delta(cycles, start));
      // The line keeps its date, or it is another one: a reader that slept
      // while seq went round, 2^31 publications, would not notice otherwise.
      if (line.cycle_start != start) side = LatchSide::kNeither;
    }
    return side;
  }

  /// Loads both lines: whatever the counter, none of them is refused by it.
  template <Order kOrder>
  [[gnu::always_inline]] inline LatchSide LoadLine(SeqToken seq,
                                                   uint64_t cycles,
                                                   uint32_t index,
                                                   Pair& pair) const {
    const vvar_slot& slot = timeline_->slot[CurrentSlot(seq)];
    const vvar_slot& idle = timeline_->slot[IdleSlot(seq)];
    const uint64_t start = Memory::Load(slot.cycle_start);
    const uint64_t idle_start = Memory::Load(idle.cycle_start);
    pair.publications = seq >> 1;
    pair.has_previous = PreviousIsReadable(seq);
    pair.cycles = cycles;
    pair.delta = 0;
    pair.Load(slot, index);
    pair.previous.Load(idle, index);
    // As above: each line keeps its date, even if seq went round.
    if (pair.cycle_start != start) return LatchSide::kNeither;
    if (!pair.has_previous) return LatchSide::kCurrent;
    return pair.previous.cycle_start == idle_start ? LatchSide::kPrevious
                                                   : LatchSide::kNeither;
  }

  static int64_t Delta(uint64_t cycles, uint64_t start) {
    return SignedDelta(cycles, start, Clock::kCounterBits);
  }

  template <class Reading, Order kOrder>
  [[gnu::always_inline]] inline Reading ReadClock(ClockId id) const {
    const ClockRow row = kClocks.RowOf(id);
    if constexpr (kOrder != Order::kNone) {
      if (row.kind == RowKind::kPrecise) [[likely]] {
        return ReadAs<Reading, kOrder, Clocked>(id, row.index);
      }
    }
    if (row.kind == RowKind::kCoarse) {
      return ReadAs<Reading, Order::kNone, Coarse<Reading>>(id, row.index);
    }
    return WithoutTime<Reading>(ReadStatus::kUnknownClock);
  }

  template <class Reading, Order kOrder, class Line>
  [[gnu::always_inline]] inline Reading ReadAs(ClockId id,
                                               uint32_t index) const {
    Line line;
    const ReadStatus status = ReadLine<kOrder>(index, line);
    if (status != ReadStatus::kOk) [[unlikely]] {
      return WithoutTime<Reading>(status);
    }
    if constexpr (requires(Reading r) { r.ns; }) {
      return {Moved(id, line.Ns()), status};
    } else {
      const Timespec time = Moved(id, line.Time());
      return {time.sec, time.nsec, status};
    }
  }

  /// What the page says of a clock, as this reader's namespace has it.
  template <class Time>
  constexpr Time Moved(ClockId id, Time time) const {
    return AddOffset(time, offsets_.Of(id));
  }

  template <class Reading>
  static constexpr Reading WithoutTime(ReadStatus status) {
    Reading reading = {};
    reading.status = status;
    return reading;
  }

  const vvar_timeline* timeline_ = &reader_internal::kUnpublished;
  [[no_unique_address]] Clock clock_ = {};
  [[no_unique_address]] Offsets offsets_ = {};
};

}  // namespace vvar

#endif  // VVAR_READER_H_
