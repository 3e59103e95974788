// SPDX-License-Identifier: MIT
//
// The lines that a timeline had lately, kept by a reader: so that a stamp is
// converted with the line it was taken on, and a deadline with the line it
// falls on. Freestanding core; the embedder owns it, nothing is allocated. It
// takes its lines from a Reader and never touches a page.
#ifndef VVAR_HISTORY_H_
#define VVAR_HISTORY_H_

#include <stddef.h>
#include <stdint.h>

#include "vvar/clock_table.h"
#include "vvar/clocksource.h"
#include "vvar/conversion.h"
#include "vvar/page.h"
#include "vvar/reading.h"
#include "vvar/scale.h"
#include "vvar/timebase.h"

namespace vvar {

/// The newest lines of one timeline: what Capture() found, at most kCapacity.
///
/// Each line has an exact span: up to the line that followed it, if that one
/// was captured too; otherwise as far as the counter had come when the line was
/// last captured as the current one. A stamp in there converts to what was
/// published for it, whatever was published since. Two lines are on a page: who
/// captures at least once for each publication has no gap, and who captures
/// after the last stamp was taken finds all of them exact, as long as the
/// oldest is held.
///
/// Elsewhere a value is extrapolated from the nearest span. error_ns is what
/// the writer vouches for, error_growth_ppb of that line over the distance; in
/// a gap it is that over the distance and the gap, plus by how much the line
/// misses the one at the other end. It bounds the distance to the published
/// time if the lines that are missing kept to that rate, but for what moved the
/// clock one way, such as a step or a slew. Before the oldest line nobody can
/// know of a step.
///
/// A publication that came late changed what readers saw when it became
/// visible; here it counts from its start.
///
/// Range: a stamp is less than half the counter's range from the newest line's
/// start. Context: any; the owner synchronises Capture() with the rest.
template <ClockSource Clock, uint32_t kCapacity = 64>
class History {
  static_assert(kCapacity >= 2 && (kCapacity & (kCapacity - 1)) == 0,
                "a power of two, to hold a page's two lines at least");

 public:
  /// Takes what is new on the reader's page. Error: unless kOk, only what was
  /// held stays, as it was. Lines that do not continue those held (another
  /// page, a counter that was set back, a pause of half the counter's range)
  /// replace them.
  template <class AnyReader>
  [[nodiscard]] ReadStatus Capture(const AnyReader& reader) {
    typename AnyReader::Pair pair;
    const ReadStatus status = reader.CopyLines(&pair);
    if (status != ReadStatus::kOk) return status;
    if (!IsUsable(pair)) return ReadStatus::kNotReady;
    if (!IsNewest(pair)) {
      if (!Continues(pair)) Forget();
      if (pair.has_previous && IsUsable(pair.previous)) {
        Push(pair.previous, pair.publications - 1);
      }
      Push(pair, pair.publications);
    }
    KnownLine& newest = Newest();
    const int64_t age = Delta(pair.cycles, newest.line.cycle_start);
    // Not back again where another CPU's counter is a little behind.
    if (age > static_cast<int64_t>(newest.exact_cycles)) {
      newest.exact_cycles = static_cast<uint64_t>(age);
    }
    return status;
  }

  /// Holds no line any more.
  void Forget() { size_ = 0; }
  /// How many lines are held.
  uint32_t size() const { return size_; }

  /// Returns the time at counter value `cycles`. Range: not the coarse clocks.
  /// Error: error_ns, and truncation, < 1 ns.
  [[nodiscard]] NsConversion NsAt(ClockId id, uint64_t cycles) const {
    const ClockRow row = kClocks.RowOf(id);
    const ConversionStatus refusal = RefusalOf(row);
    if (refusal != ConversionStatus::kExact) return {0, 0, refusal};
    return ConvertAt(Locate(cycles), row.index, cycles, kBits);
  }

  /// Converts `count` stamps, in any order, each as NsAt() above. Returns the
  /// largest error and the worst status. kChunk stamps that lie in the exact
  /// span of one line go through ConvertChunk(), others one by one.
  /// Range: the arrays do not overlap.
  BatchConversion NsAt(ClockId id, const uint64_t* cycles, uint64_t* ns,
                       size_t count) const {
    const ClockRow row = kClocks.RowOf(id);
    BatchConversion worst = {0, RefusalOf(row)};
    if (worst.status != ConversionStatus::kExact) {
      for (size_t i = 0; i < count; ++i) ns[i] = 0;
      return worst;
    }
    for (; count >= kChunk; count -= kChunk, cycles += kChunk, ns += kChunk) {
      const Place first = Locate(cycles[0]);
      if (first.status != ConversionStatus::kExact ||
          !ConvertChunk(*first.on, row.index, kMask, cycles, ns)) {
        ConvertEach(row.index, cycles, ns, kChunk, worst);
      }
    }
    ConvertEach(row.index, cycles, ns, count, worst);
    return worst;
  }

  /// The same for what has data() and size(), such as a std::span: for as many
  /// as both have.
  template <class Stamps, class Times>
  BatchConversion NsAt(ClockId id, const Stamps& cycles, Times&& ns) const {
    const size_t count = cycles.size() < ns.size() ? cycles.size() : ns.size();
    return NsAt(id, cycles.data(), ns.data(), count);
  }

  /// Fills in every clock at counter value `cycles`, such as a device stamped:
  /// where exact, as Reader::Snapshot() would have there. Returns the largest
  /// of the conversions' errors; out->error_ns bounds the true time instead.
  /// Error: `*out` is untouched when nothing was captured.
  [[nodiscard]] BatchConversion SnapshotAt(uint64_t cycles,
                                           SnapshotReading* out) const {
    BatchConversion worst = {0, ConversionStatus::kNothingCaptured};
    if (size_ == 0) return worst;
    worst.status = ConversionStatus::kExact;
    const Place place = Locate(cycles);
    const Line& line = place.on->line;
    const auto ns_of = [&](uint32_t index) {
      const NsConversion each = ConvertAt(place, index, cycles, kBits);
      worst.Add(each);
      return each.ns;
    };
    out->cycles = cycles & kMask;
    out->realtime_ns = ns_of(VVAR_BASE_REALTIME);
    out->monotonic_ns = ns_of(VVAR_BASE_MONOTONIC);
    out->monotonic_raw_ns = ns_of(VVAR_BASE_MONOTONIC_RAW);
    out->boottime_ns = ns_of(VVAR_BASE_BOOTTIME);
    out->tai_ns = ns_of(VVAR_BASE_TAI);
    out->realtime_coarse_ns = TimespecToNs(line.coarse[VVAR_COARSE_REALTIME]);
    out->monotonic_coarse_ns = TimespecToNs(line.coarse[VVAR_COARSE_MONOTONIC]);
    const int64_t age = Delta(cycles, line.cycle_start);
    out->error_ns =
        ErrorNsAfter(line.error_ns, DurationNs(Magnitude(age), line.scale),
                     line.error_growth_ppb);
    out->tai_offset_sec = line.tai_offset_sec;
    out->clock_status = line.status;
    out->leap_state = line.leap.state;
    return worst;
  }

  /// Returns the least counter value at which a clock shows `ns` or later: of a
  /// deadline, where to arm a timer. Never early, late by less than a cycle.
  ///
  /// kProjected: it moves if a line with another slope begins before: convert
  /// again after a publication. kBeyondMax: the same, more so; beyond half the
  /// counter's range the value is the farthest there is, and early. kTooOld:
  /// the clock was there before all that is held; the value is the oldest
  /// line's start. kGap: by the line before the gap.
  /// Range: no clock that can be stepped (REALTIME, TAI): kUnknownClock. `ns`
  /// within 2^63 of the clock.
  [[nodiscard]] CyclesConversion CyclesAt(ClockId id, uint64_t ns) const {
    const ClockRow row = kClocks.RowOf(id);
    const ConversionStatus refusal =
        CanStep(row.index) ? ConversionStatus::kUnknownClock : RefusalOf(row);
    if (refusal != ConversionStatus::kExact) return {0, refusal};
    uint32_t begun = 0;  // How many lines begin before the deadline.
    for (uint32_t above = size_; begun < above;) {
      const uint32_t middle = begun + (above - begun) / 2;
      const Line& line = At(middle).line;
      const uint64_t start_ns =
          NsOnLine(line, row.index, line.cycle_start, kBits);
      if (static_cast<int64_t>(ns - start_ns) > 0) {
        begun = middle + 1;
      } else {
        above = middle;
      }
    }
    if (begun == 0) return {At(0).line.cycle_start, ConversionStatus::kTooOld};
    return CyclesOn(begun - 1, CyclesUntil(At(begun - 1).line, row.index, ns));
  }

 private:
  static constexpr uint32_t kBits = Clock::kCounterBits;
  static constexpr uint64_t kMask = UINT64_MAX >> (64 - kBits);
  static constexpr uint32_t kPublicationMask = UINT32_MAX >> 1;

  static int64_t Delta(uint64_t cycles, uint64_t start) {
    return SignedDelta(cycles, start, kBits);
  }
  static bool IsUsable(const Line& line) {
    return line.scale.mult != 0 && line.realtime_mult != 0 &&
           line.raw_mult != 0 && line.counter_id == Clock::kCounterId;
  }
  ConversionStatus RefusalOf(ClockRow row) const {
    if (row.kind != RowKind::kPrecise) return ConversionStatus::kUnknownClock;
    return size_ == 0 ? ConversionStatus::kNothingCaptured
                      : ConversionStatus::kExact;
  }

  // --- The ring --------------------------------------------------------------

  /// Entries by age, 0 the oldest. Range: i < size().
  const KnownLine& At(uint32_t i) const {
    return line_[(end_ - size_ + i) % kCapacity];
  }
  KnownLine& Newest() { return line_[(end_ - 1) % kCapacity]; }
  const KnownLine& Newest() const { return line_[(end_ - 1) % kCapacity]; }

  /// How many publications after the newest line's, modulo 2^31.
  uint32_t PublicationsAfter(uint32_t publication) const {
    return (publication - Newest().publication) & kPublicationMask;
  }
  template <class Pair>
  bool IsNewest(const Pair& pair) const {
    return size_ != 0 && PublicationsAfter(pair.publications) == 0 &&
           pair.cycle_start == Newest().line.cycle_start;
  }

  /// Whether a page's current line can come after the newest one. By counter
  /// values alone that cannot be told after half the counter's range, so
  /// MONOTONIC is asked how long it has been.
  template <class Pair>
  bool Continues(const Pair& pair) const {
    if (size_ == 0) return true;
    const uint32_t ahead = PublicationsAfter(pair.publications);
    if (ahead == 0 || ahead > kPublicationMask / 2) return false;
    const Line& line = Newest().line;
    const uint64_t elapsed_ns =
        NsOnLine(pair, VVAR_BASE_MONOTONIC, pair.cycle_start, kBits) -
        NsOnLine(line, VVAR_BASE_MONOTONIC, line.cycle_start, kBits);
    return Delta(pair.cycle_start, line.cycle_start) > 0 &&
           NsToCycles(elapsed_ns, line.scale) <= kMask / 2;
  }

  /// Adds a line that begins after the newest; ignores others. Lines that are
  /// half the counter's range old are dropped: see Locate().
  void Push(const Line& line, uint32_t publication) {
    if (size_ != 0) {
      KnownLine& before = Newest();
      const int64_t span = Delta(line.cycle_start, before.line.cycle_start);
      if (span <= 0) return;
      // Also where it was seen later than this one begins, which came late.
      const uint64_t until = static_cast<uint64_t>(span) - 1;
      if (PublicationsAfter(publication) == 1 || before.exact_cycles > until) {
        before.exact_cycles = until;
      }
    }
    ++end_;
    if (size_ < kCapacity) ++size_;
    KnownLine& entry = Newest();
    CopyLine(line, entry.line);
    entry.publication = publication & kPublicationMask;
    entry.exact_cycles = 0;
    while (size_ > 1 && Delta(line.cycle_start, At(0).line.cycle_start) <= 0) {
      --size_;
    }
  }

  // --- Counter to time -------------------------------------------------------

  /// How many lines begin at or before `cycles`. The newest is asked first: if
  /// it has not begun, every start is within half the counter's range.
  uint32_t BegunBy(uint64_t cycles) const {
    if (Delta(cycles, Newest().line.cycle_start) >= 0) return size_;
    uint32_t begun = 0;
    for (uint32_t above = size_ - 1; begun < above;) {
      const uint32_t middle = begun + (above - begun) / 2;
      if (Delta(cycles, At(middle).line.cycle_start) >= 0) {
        begun = middle + 1;
      } else {
        above = middle;
      }
    }
    return begun;
  }

  /// Range: size() > 0.
  Place Locate(uint64_t cycles) const {
    using enum ConversionStatus;
    const uint32_t begun = BegunBy(cycles);
    if (begun == 0) {
      const KnownLine& oldest = At(0);
      return {&oldest, kTooOld, (oldest.line.cycle_start - cycles) & kMask};
    }
    const KnownLine& entry = At(begun - 1);
    const uint64_t delta = (cycles - entry.line.cycle_start) & kMask;
    if (delta <= entry.exact_cycles) return {&entry, kExact};
    const uint64_t beyond = delta - entry.exact_cycles;
    if (begun == size_) {
      return {&entry, delta <= entry.line.max_cycles ? kProjected : kBeyondMax,
              beyond};
    }
    const KnownLine& next = At(begun);
    const uint64_t left = (next.line.cycle_start - cycles) & kMask;
    const uint64_t gap = beyond + left;
    if (beyond <= left) {
      return {&entry, kGap, beyond + gap, &next, next.line.cycle_start};
    }
    return {&next, kGap, left + gap, &entry,
            entry.line.cycle_start + entry.exact_cycles};
  }

  /// Stamps come in runs: each is first looked for where the last one was.
  void ConvertEach(uint32_t index, const uint64_t* cycles, uint64_t* ns,
                   size_t count, BatchConversion& worst) const {
    const KnownLine* last = &Newest();
    for (size_t i = 0; i < count; ++i) {
      const uint64_t start = last->line.cycle_start;
      if (((cycles[i] - start) & kMask) <= last->exact_cycles) {
        ns[i] = NsOnLine(last->line, index, cycles[i], kBits);
        continue;
      }
      const Place place = Locate(cycles[i]);
      const NsConversion each = ConvertAt(place, index, cycles[i], kBits);
      ns[i] = each.ns;
      worst.Add(each);
      last = place.on;
    }
  }

  // --- Time to counter -------------------------------------------------------

  /// The counter value `cycles` after the start of the nth line, no later than
  /// the next one's start: the deadline is not before that.
  CyclesConversion CyclesOn(uint32_t n, uint64_t cycles) const {
    using enum ConversionStatus;
    const KnownLine& entry = At(n);
    const uint64_t start = entry.line.cycle_start;
    if (n + 1 < size_) {
      const uint64_t next = At(n + 1).line.cycle_start;
      const uint64_t span = (next - start) & kMask;
      const bool exact =
          entry.exact_cycles == span - 1 || cycles <= entry.exact_cycles;
      return {cycles < span ? (start + cycles) & kMask : next,
              exact ? kExact : kGap};
    }
    const uint64_t farthest = kMask / 2;
    if (cycles > farthest) return {(start + farthest) & kMask, kBeyondMax};
    return {(start + cycles) & kMask, cycles <= entry.exact_cycles ? kExact
                                      : cycles <= entry.line.max_cycles
                                          ? kProjected
                                          : kBeyondMax};
  }

  uint32_t size_ = 0;
  uint32_t end_ = 0;  ///< Where the next line goes, modulo kCapacity.
  KnownLine line_[kCapacity];
};

}  // namespace vvar

#endif  // VVAR_HISTORY_H_
