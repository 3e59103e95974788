// SPDX-License-Identifier: MIT
//
// Time in seconds and 2^-64 s, and lines of it: VMClock's units, the widest of
// all formats of foreign pages, which the others are converted through. Pure,
// constexpr and freestanding; no page, no atomics.
#ifndef VVAR_PARAVIRT_FRAC_TIME_H_
#define VVAR_PARAVIRT_FRAC_TIME_H_

#include <stdint.h>

#include "vvar/scale.h"
#include "vvar/timebase.h"
#include "vvar/wide.h"

namespace vvar {

/// A time, or a length of one, in seconds and 2^-64 s. Seconds before the epoch
/// are two's complement.
struct FracTime {
  uint64_t sec;
  uint64_t frac_sec;

  friend constexpr bool operator==(const FracTime&, const FracTime&) = default;
};

/// Returns `time` without what is below a nanosecond.
constexpr Timespec FracToTimespec(FracTime time) {
  // Bound: the upper half of frac * 10^9 is below 10^9.
  return {static_cast<int64_t>(time.sec),
          static_cast<uint32_t>(MultiplyHigh(time.frac_sec, kNsPerSec))};
}

/// Returns `duration` in ns, rounded up; saturates.
constexpr uint64_t FracToNsUp(FracTime duration) {
  constexpr uint64_t kMaxSec = NsToWholeSec(UINT64_MAX) - 1;
  if (duration.sec > kMaxSec) return UINT64_MAX;
  const Uint128 frac_ns = MultiplyWide(duration.frac_sec, kNsPerSec);
  // Bound: (2^64 / 10^9 - 1) * 10^9 and another 10^9.
  return duration.sec * kNsPerSec + frac_ns.high + (frac_ns.low != 0 ? 1 : 0);
}

/// The slope of a line: 2^-(64 + shift) s a cycle.
struct FracPeriod {
  uint64_t frac_sec;
  uint32_t shift;

  friend constexpr bool operator==(const FracPeriod&,
                                   const FracPeriod&) = default;
};

/// Larger ones are of no counter's: above 2^64 Hz.
inline constexpr uint32_t kMaxFracShift = 63;

/// Returns the period of a counter that runs at `hz`, with 64 significant bits.
/// Range: hz > 1. Error: truncation, below 2^-63 of it.
constexpr FracPeriod FracPeriodFromHz(uint64_t hz) {
  // 2^shift < hz, so the quotient is below 2^64; hz <= 2^(shift + 1).
  const uint32_t shift = hz < 2 ? 0 : BitLength({0, hz - 1}) - 1;
  return {hz < 2 ? UINT64_MAX : QuotientWide({ShiftLeft(1, shift), 0}, hz).low,
          shift};
}

/// A line in this format's units: the widest of all, which the others are
/// converted through.
struct FracLine {
  uint64_t counter_value;  ///< Where it begins.
  FracTime time;           ///< There.
  FracPeriod period;       ///< From there on.

  /// Returns the time at `cycles`; one before counter_value counts as at it.
  /// Error: truncation, < 2^-64 s; none against the published formula.
  /// Range: period.shift <= kMaxFracShift.
  constexpr FracTime At(uint64_t cycles) const {
    const Uint128 now =
        AddWide({time.sec, time.frac_sec}, Span(cycles, period.frac_sec));
    return {now.high, now.low};
  }
  /// Returns how long it is from counter_value to `cycles` at a rate in units
  /// of 2^-(64 + shift) s a cycle: the period, or an error of it.
  constexpr Uint128 Span(uint64_t cycles, uint64_t rate) const {
    const auto delta = static_cast<int64_t>(cycles - counter_value);
    if (delta < 0) return {0, 0};
    // Bound: 63 + 64 bits, and shifted after the product.
    return ShiftRightWide(MultiplyWide(static_cast<uint64_t>(delta), rate),
                          period.shift);
  }
  friend constexpr bool operator==(const FracLine&, const FracLine&) = default;
};

/// Returns `line`, moved forward if it is below `floor` at `cycles`: so that
/// what follows a line, or a restore, is never earlier than what was read.
constexpr FracLine NotBefore(FracLine line, uint64_t cycles, FracTime floor) {
  const FracTime now = line.At(cycles);
  const Uint128 missing =
      SubtractWide({floor.sec, floor.frac_sec}, {now.sec, now.frac_sec});
  if (static_cast<int64_t>(missing.high) < 0) return line;
  const Uint128 moved = AddWide({line.time.sec, line.time.frac_sec}, missing);
  line.time = {moved.high, moved.low};
  return line;
}

}  // namespace vvar

#endif  // VVAR_PARAVIRT_FRAC_TIME_H_
