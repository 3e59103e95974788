// SPDX-License-Identifier: MIT
//
// Counter values to times and back, on one line: for stamps that were taken
// earlier, one by one or many at once, and for deadlines. Pure and
// freestanding: no page, no counter, no atomics. Which line a stamp belongs to
// is vvar/history.h's.
#ifndef VVAR_CONVERSION_H_
#define VVAR_CONVERSION_H_

#include <stddef.h>
#include <stdint.h>

#include "vvar/page.h"
#include "vvar/scale.h"
#include "vvar/timebase.h"

namespace vvar {

/// How a converted value stands to what was published. The later in this list,
/// the less it says: of several, the largest holds for all.
enum class ConversionStatus : uint32_t {
  kExact = 0,        ///< What was published, for good. error_ns is 0.
  kProjected,        ///< On the newest line, which may have ended before.
  kGap,              ///< Lines are missing between two that were captured.
  kStepped,          ///< The same, and the clock was stepped in there.
  kBeyondMax,        ///< Further than max_cycles from the newest line's start.
  kTooOld,           ///< Before the oldest line that is still held.
  kUnknownClock,     ///< No value: not a clock of a line, or one that steps.
  kNothingCaptured,  ///< No value: no line yet.
};

/// A time. `ns` holds unless `status` says that there is none; it is within
/// `error_ns` of the published time (vvar/history.h says on what condition).
struct NsConversion {
  uint64_t ns;
  uint64_t error_ns;
  ConversionStatus status;
};

/// The worst of several conversions.
struct BatchConversion {
  uint64_t error_ns;
  ConversionStatus status;

  /// Takes in one more: of each the worse.
  constexpr void Add(const NsConversion& each) {
    if (each.error_ns > error_ns) error_ns = each.error_ns;
    if (each.status > status) status = each.status;
  }
};

/// A counter value.
struct CyclesConversion {
  uint64_t cycles;
  ConversionStatus status;
};

/// Returns what a clock shows at counter value `cycles` on `line`, extended in
/// both directions, in ns modulo 2^64.
/// Range: `cycles` within half the counter's range of the line's start.
/// Error: truncation, < 1 ns.
constexpr uint64_t NsOnLine(const Line& line, uint32_t index, uint64_t cycles,
                            uint32_t counter_bits) {
  const int64_t delta = SignedDelta(cycles, line.cycle_start, counter_bits);
  const Timebase base = line.base[index];
  const Scale scale = line.ScaleOf(index);
  return delta < 0 ? NsBefore(base, scale, Magnitude(delta))
                   : NsAfter(base, scale, Magnitude(delta));
}

/// Returns how many cycles after its start a clock of `line` first shows `ns`
/// or later; 0 if it does there already.
/// Range: `ns` within 2^63 of the start's time; saturates at kCyclesLimit.
constexpr uint64_t CyclesUntil(const Line& line, uint32_t index, uint64_t ns) {
  const Timebase base = line.base[index];
  const uint64_t missing_ns = ns - static_cast<uint64_t>(base.sec) * kNsPerSec;
  if (static_cast<int64_t>(missing_ns) <= 0) return 0;
  return CyclesUntilNs(missing_ns, line.ScaleOf(index), base.nsec_shifted);
}

/// Returns how many ns `cycles` last at `scale`. Saturates.
constexpr uint64_t DurationNs(uint64_t cycles, Scale scale) {
  const bool fits =
      ShiftRight(MultiplyHigh(cycles, scale.mult), scale.shift & 63) == 0;
  return fits ? CyclesToNs(cycles, scale, 0) : UINT64_MAX;
}

/// A line and how far it is known to be what was published.
struct KnownLine {
  Line line;              ///< A reader's copy, so with its offsets.
  uint64_t exact_cycles;  ///< Exact in [0, this] after the line's start.
  uint32_t publication;   ///< Modulo 2^31.
};

/// Where a counter value lies: the line to convert it with and, unless that is
/// exact there, for how long the error grew. In a gap also the line at the
/// other side, and its exact counter value that is nearest.
///
/// In a gap: let what is published there move against the line by v + w, v
/// within the rate vouched for, w one way only. The line misses the other end
/// by M, so w amounts to M and v over the whole gap at most; and a stamp is off
/// by w, and v over its distance. Hence the growth over both.
struct Place {
  const KnownLine* on;  ///< The line to convert with.
  ConversionStatus status;
  uint64_t grown_cycles = 0;
  const KnownLine* across = nullptr;  ///< At the other side of a gap.
  uint64_t across_cycles = 0;
};

/// Returns whether a clock may be set: REALTIME, and with it TAI.
constexpr bool CanStep(uint32_t index) {
  return index == VVAR_BASE_REALTIME || index == VVAR_BASE_TAI;
}

/// Returns what a clock shows at `cycles`, which lie at `place`.
constexpr NsConversion ConvertAt(const Place& place, uint32_t index,
                                 uint64_t cycles, uint32_t counter_bits) {
  const Line& line = place.on->line;
  NsConversion result = {NsOnLine(line, index, cycles, counter_bits), 0,
                         place.status};
  if (place.status == ConversionStatus::kExact) [[likely]]
    return result;
  if (place.across != nullptr) {
    const Line& across = place.across->line;
    result.error_ns = Magnitude(static_cast<int64_t>(
        NsOnLine(line, index, place.across_cycles, counter_bits) -
        NsOnLine(across, index, place.across_cycles, counter_bits)));
    if (CanStep(index) && line.was_set_count != across.was_set_count) {
      result.status = ConversionStatus::kStepped;
    }
  }
  result.error_ns =
      ErrorNsAfter(result.error_ns, DurationNs(place.grown_cycles, line.scale),
                   line.error_growth_ppb);
  return result;
}

/// How many stamps ConvertChunk() converts.
inline constexpr size_t kChunk = 128;

/// Converts kChunk stamps that all lie in [0, last_cycles] after the start of
/// `line`, as NsOnLine() does. Returns false, and leaves anything in `ns`, when
/// one of them does not.
///
/// One product for each, no branch, a fixed number of turns: compilers make
/// vector instructions of it (g++ 12 for the x86-64 baseline: at -O3).
/// Range: the arrays do not overlap.
inline bool ConvertChunk(const KnownLine& known, uint32_t index,
                         uint64_t counter_mask,
                         const uint64_t* __restrict cycles,
                         uint64_t* __restrict ns) {
  const Line& line = known.line;
  const uint64_t last_cycles =
      known.exact_cycles < kShortCycles ? known.exact_cycles : kShortCycles - 1;
  const uint64_t start = line.cycle_start;
  const uint64_t mult = line.ScaleOf(index).mult;
  const uint32_t shift = line.scale.shift & 63;
  const Timebase base = line.base[index];
  const uint64_t nsec_shifted = base.nsec_shifted;
  const uint64_t sec_ns = static_cast<uint64_t>(base.sec) * kNsPerSec;
  uint64_t any_bit = 0;
  for (size_t i = 0; i < kChunk; ++i) {
    const uint64_t delta = (cycles[i] - start) & counter_mask;
    any_bit |= delta;
    // Bound: kShortCycles; a larger delta wraps, and is refused below.
    ns[i] = ((delta * mult + nsec_shifted) >> shift) + sec_ns;
  }
  // No delta is above the union of their bits. If that is not enough, they are
  // looked at again: being above last_cycles shows in the difference's sign.
  if (any_bit <= last_cycles) [[likely]]
    return true;
  if (any_bit >= kShortCycles) return false;
  uint64_t any_above = 0;
  for (size_t i = 0; i < kChunk; ++i) {
    any_above |= last_cycles - ((cycles[i] - start) & counter_mask);
  }
  return any_above < kShortCycles;
}

}  // namespace vvar

#endif  // VVAR_CONVERSION_H_
