// SPDX-License-Identifier: MIT
//
// From one format of clock page to another, and to and from vvar's own lines,
// each with its error. Pure, constexpr, freestanding; no page. Values are
// rounded toward the past, rates to the nearest; each refuses what its format
// cannot hold. Writer side: it divides.
#ifndef VVAR_PARAVIRT_CONVERSION_H_
#define VVAR_PARAVIRT_CONVERSION_H_

#include <stdint.h>

#include "paravirt/frac_time.h"
#include "paravirt/hyperv_tsc.h"
#include "paravirt/pvclock.h"
#include "vvar/page.h"
#include "vvar/scale.h"
#include "vvar/timebase.h"
#include "vvar/wide.h"

namespace vvar {

/// How far a converted line is from the one it came from, either way: a value
/// where it begins, and what that grows by.
struct LineError {
  uint64_t error_ns;
  uint64_t growth_frac;  ///< 2^-64 ns a ns.

  /// Returns the error `age_ns` after the line's beginning; saturates.
  constexpr uint64_t NsAfter(uint64_t age_ns) const {
    return AddErrors(error_ns, AddErrors(MultiplyHigh(age_ns, growth_frac), 1));
  }
  /// Returns the growth, rounded up: what vvar's lines call error_growth_ppb.
  constexpr uint32_t GrowthPpb() const {
    return static_cast<uint32_t>(MultiplyHigh(growth_frac, kNsPerSec) + 1);
  }
  /// Returns at what age the error comes to `limit_ns`, and the line is to be
  /// published anew. Saturates at UINT64_MAX.
  constexpr uint64_t AgeNsUntil(uint64_t limit_ns) const {
    if (limit_ns <= error_ns + 1) return 0;
    if (growth_frac == 0) return UINT64_MAX;
    const Uint128 age_ns =
        QuotientWide({limit_ns - error_ns - 1, 0}, growth_frac);
    return age_ns.high != 0 ? UINT64_MAX : age_ns.low;
  }
};

/// The error of two conversions in a row.
constexpr LineError AddErrors(LineError a, LineError b) {
  return {AddErrors(a.error_ns, b.error_ns),
          AddErrors(a.growth_frac, b.growth_frac)};
}

/// One clock of a vvar line.
struct ClockLine {
  uint64_t cycle_start;
  Scale scale;
  Timebase base;

  /// Returns the clock's time at `cycles`, in ns modulo 2^64. Error: < 1 ns.
  constexpr uint64_t NsAt(uint64_t cycles) const {
    const auto delta = static_cast<int64_t>(cycles - cycle_start);
    return NsAfter(base, scale, delta < 0 ? 0 : static_cast<uint64_t>(delta));
  }
};

/// The clock whose base is line.base[index].
constexpr ClockLine ClockLineOf(const Line& line, uint32_t index) {
  return {line.cycle_start, line.ScaleOf(index), line.base[index]};
}

namespace conversion_internal {

/// Returns part / whole of a second, rounded up by less than 2^-64 s: so that
/// rounding down to that unit gives `part` back. Range: part < whole.
constexpr uint64_t FracOf(uint64_t part, uint64_t whole) {
  // Bound: (whole - 1) * 2^64 + whole - 1, divided, is below 2^64.
  return QuotientWide({part, whole - 1}, whole).low;
}

/// Returns a signed count of 1/hz s, modulo 2^64, as a time.
constexpr FracTime CountToFrac(uint64_t count, uint64_t hz) {
  // As NsToTimespec(): ~count = -count - 1 cannot overflow.
  const bool negative = static_cast<int64_t>(count) < 0;
  const uint64_t size = negative ? ~count : count;
  const uint64_t sec = DivideU64(size, hz);
  const uint64_t rest = size - sec * hz;
  return negative ? FracTime{~sec, FracOf(hz - 1 - rest, hz)}
                  : FracTime{sec, FracOf(rest, hz)};
}

/// Returns the whole counts of 1/hz s in `time`, modulo 2^64: the floor.
constexpr uint64_t FracToCount(FracTime time, uint64_t hz) {
  return time.sec * hz + MultiplyHigh(time.frac_sec, hz);
}

/// A period, unless there is none that fits.
struct FoundPeriod {
  FracPeriod period;
  bool fits;
};

/// Returns mult * 2^exponent / hz seconds, with 64 significant bits.
/// Error: truncation, below 2^-63 of it. Range: mult != 0, hz > 1.
constexpr FoundPeriod PeriodOf(uint64_t mult, int32_t exponent, uint64_t hz) {
  const auto spare = static_cast<int32_t>(64 - BitLength({0, mult}));
  const uint64_t top = ShiftLeft(mult, static_cast<uint32_t>(spare));
  auto bits = static_cast<int32_t>(BitLength({0, hz}));
  // Bound: top < 2^64 and hz >= 2^(bits - 1), so the second one fits.
  Uint128 frac =
      QuotientWide(ShiftLeftWide({0, top}, static_cast<uint32_t>(bits)), hz);
  if (frac.high != 0) {
    --bits;
    frac =
        QuotientWide(ShiftLeftWide({0, top}, static_cast<uint32_t>(bits)), hz);
  }
  const int32_t shift = bits + spare - exponent - 64;
  const bool fits = shift >= 0 && shift <= static_cast<int32_t>(kMaxFracShift);
  return {{frac.low, fits ? static_cast<uint32_t>(shift) : 0}, fits};
}

/// A number as a mult of stated length: mult * 2^exponent.
struct Rounded {
  uint64_t mult;
  int32_t exponent;
};

/// Returns `value` rounded to `bits` significant bits, to the nearest.
/// Range: value != 0, bits <= 32.
constexpr Rounded RoundTo(Uint128 value, uint32_t bits) {
  const uint32_t length = BitLength(value);
  if (length <= bits) {
    return {ShiftLeft(value.low, bits - length),
            static_cast<int32_t>(length) - static_cast<int32_t>(bits)};
  }
  const uint32_t dropped = length - bits;
  const uint64_t mult = (ShiftRightWide(value, dropped - 1).low + 1) >> 1;
  // All ones rounded up have one bit more.
  const uint32_t carry = static_cast<uint32_t>(ShiftRight(mult, bits));
  return {mult >> carry, static_cast<int32_t>(dropped + carry)};
}

/// The growth of what is wrong by half a step of a mult of `bits` bits.
constexpr uint64_t HalfStepOf(uint32_t bits) {
  return uint64_t{1} << (64 - bits);
}

/// The growth of what is wrong by a step of Hyper-V's scale.
constexpr uint64_t StepOfScale(uint64_t scale) {
  const Uint128 step = QuotientWide({1, 0}, scale);
  return step.high != 0 ? UINT64_MAX : step.low + 1;
}

/// What the truncation of 64 significant bits grows by.
inline constexpr uint64_t kPeriodGrowth = 2;

/// Returns a line's time at `at`. Before the line begins it is extended back:
/// foreign lines begin at once.
constexpr FracTime TimeAt(const ClockLine& from, uint64_t at) {
  const uint32_t shift = from.scale.shift;
  const uint64_t age = at - from.cycle_start;
  const Timebase now =
      static_cast<int64_t>(age) < 0
          ? Subtract(from.base, CyclesToDuration(0 - age, from.scale), shift)
          : Add(from.base, CyclesToDuration(age, from.scale), shift);
  return {static_cast<uint64_t>(now.sec),
          FracOf(now.nsec_shifted, ShiftLeft(kNsPerSec, shift))};
}

}  // namespace conversion_internal

// Each of the following returns whether the other format can hold the line: if
// not, `*to` and `*error` are undefined. (Results in place: returned by value,
// compilers would call memcpy and memset for them.)

/// Begins a line anew at counter value `at`. Error: < 2^-64 s.
[[nodiscard]] constexpr bool ToFrac(const FracLine& from, uint64_t at,
                                    FracLine* to, LineError* error) {
  *to = {at, from.At(at), from.period};
  *error = {0, 0};
  return from.period.frac_sec != 0;
}

/// Converts one clock of a vvar line; the new line begins at `at`, which may be
/// before the other one does: that is extended back. Error: what the period is
/// rounded by, and NsAt()'s truncation. Range: 64-bit counters.
[[nodiscard]] constexpr bool ToFrac(const ClockLine& from, uint64_t at,
                                    FracLine* to, LineError* error) {
  using namespace conversion_internal;
  if (from.scale.mult == 0 || from.scale.shift > kMaxShift) return false;
  const FoundPeriod found = PeriodOf(
      from.scale.mult, -static_cast<int32_t>(from.scale.shift), kNsPerSec);
  to->counter_value = at;
  to->time = TimeAt(from, at);
  to->period = found.period;
  *error = {1, kPeriodGrowth};
  return found.fits;
}

/// Converts a record's line; the new one begins at `at`. It tells no kind of
/// time but that since the record's zero. Error: NsAt() truncates twice.
[[nodiscard]] constexpr bool ToFrac(const PvclockLine& from, uint64_t at,
                                    FracLine* to, LineError* error) {
  using namespace conversion_internal;
  if (from.rate.mul == 0) return false;
  const FoundPeriod found =
      PeriodOf(from.rate.mul, from.rate.shift - 32, kNsPerSec);
  to->counter_value = at;
  to->time = CountToFrac(from.NsAt(at), kNsPerSec);
  to->period = found.period;
  *error = {2, kPeriodGrowth};
  return found.fits;
}

/// Converts a page's line; the new one begins at `at`. Error: TicksAt()
/// truncates, where the new line begins and where it is read.
[[nodiscard]] constexpr bool ToFrac(const HypervTscLine& from, uint64_t at,
                                    FracLine* to, LineError* error) {
  using namespace conversion_internal;
  if (from.scale == 0) return false;
  const FoundPeriod found = PeriodOf(from.scale, -64, kHypervHz);
  to->counter_value = at;
  to->time = CountToFrac(from.TicksAt(at), kHypervHz);
  to->period = found.period;
  *error = {kNsPerHypervTick, kPeriodGrowth};
  return found.fits;
}

/// Converts any line to one clock of a vvar line that begins at `at`.
/// Error: besides the first conversion's, half a step of mult, 0.47 ppb, and
/// truncation. Refuses counters above kMaxHz, or below 1 Hz.
template <class From>
[[nodiscard]] constexpr bool ToClockLine(const From& from, uint64_t at,
                                         ClockLine* to, LineError* error) {
  using namespace conversion_internal;
  FracLine wide;
  if (!ToFrac(from, at, &wide, error)) return false;
  const Rounded rate =
      RoundTo(MultiplyWide(wide.period.frac_sec, kNsPerSec), 31);
  const int32_t shift =
      static_cast<int32_t>(64 + wide.period.shift) - rate.exponent;
  if (shift < 0 || shift > static_cast<int32_t>(kMaxShift)) return false;
  const Scale scale = {static_cast<uint32_t>(rate.mult),
                       static_cast<uint32_t>(shift)};
  // Bound: below 10^9 << kMaxShift.
  const uint64_t nsec_shifted =
      MultiplyHigh(wide.time.frac_sec, ShiftLeft(kNsPerSec, scale.shift));
  *to = {at, scale, {static_cast<int64_t>(wide.time.sec), nsec_shifted}};
  *error = AddErrors(*error, {2, HalfStepOf(31)});
  return true;
}

/// Converts any line to a record's that begins at `at`, with these flags.
/// Error: besides the first conversion's, half a step of mul, 0.24 ppb, and
/// truncation.
template <class From>
[[nodiscard]] constexpr bool ToPvclock(const From& from, uint64_t at,
                                       uint8_t flags, PvclockLine* to,
                                       LineError* error) {
  using namespace conversion_internal;
  FracLine wide;
  if (!ToFrac(from, at, &wide, error)) return false;
  const Rounded rate =
      RoundTo(MultiplyWide(wide.period.frac_sec, kNsPerSec), 32);
  const int32_t shift =
      rate.exponent - static_cast<int32_t>(32 + wide.period.shift);
  if (shift < -kMaxPvclockShift || shift > kMaxPvclockShift) return false;
  *to = {at,
         FracToCount(wide.time, kNsPerSec),
         {static_cast<uint32_t>(rate.mult), shift},
         flags};
  *error = AddErrors(*error, {3, HalfStepOf(32)});
  return true;
}

/// Converts any line to Hyper-V's, which shows at `at` what it does, rounded
/// toward the past. Refuses counters of 10 MHz or slower.
/// Error: besides the first conversion's, two ticks and a step of the scale.
template <class From>
[[nodiscard]] constexpr bool ToHyperv(const From& from, uint64_t at,
                                      HypervTscLine* to, LineError* error) {
  using namespace conversion_internal;
  FracLine wide;
  if (!ToFrac(from, at, &wide, error)) return false;
  const Uint128 scale = ShiftRightWide(
      MultiplyWide(wide.period.frac_sec, kHypervHz), wide.period.shift);
  // All ones: 10 MHz, were its period not truncated.
  if (scale.high != 0 || scale.low == 0 || scale.low == UINT64_MAX) {
    return false;
  }
  *to = HypervLineThrough(scale.low, at, FracToCount(wide.time, kHypervHz));
  *error = AddErrors(*error, {2 * kNsPerHypervTick, StepOfScale(scale.low)});
  return true;
}

/// Converts a record's line, by the published formula: the scale is mul's. Take
/// HypervScaleFromHz() where the frequency is known. Refuses also what is not
/// marked stable: this page is for all CPUs.
[[nodiscard]] constexpr bool ToHyperv(const PvclockLine& from, uint64_t at,
                                      HypervTscLine* to, LineError* error) {
  using namespace conversion_internal;
  if (!from.IsStable()) return false;
  // Bound: 32 + 63 bits.
  const Uint128 scale =
      QuotientWide(ShiftLeftWide({0, from.rate.mul},
                                 static_cast<uint32_t>(32 + from.rate.shift)),
                   kNsPerHypervTick);
  if (scale.high != 0 || scale.low == 0) return false;
  // Signed: the time may be below zero.
  const FracTime now = CountToFrac(from.NsAt(at), kNsPerSec);
  *to = HypervLineThrough(scale.low, at, FracToCount(now, kHypervHz));
  *error = {2 * kNsPerHypervTick + 2, StepOfScale(scale.low)};
  return true;
}

}  // namespace vvar

#endif  // VVAR_PARAVIRT_CONVERSION_H_
