// SPDX-License-Identifier: MIT
//
// Cycles to nanoseconds: choosing mult and shift, the one overflow-prone
// multiplication, and the few divisions the writer needs. Pure, constexpr and
// freestanding: no atomics, no libcalls on any ISA (so no `/` on 64-bit values
// where pointers are 32 bits). Whatever mult, shift and delta a hostile page
// holds, every function here is defined; it is exact inside its stated range.
#ifndef VVAR_SCALE_H_
#define VVAR_SCALE_H_

#include <stddef.h>
#include <stdint.h>

namespace vvar {

/// What nsec counts up to.
inline constexpr uint64_t kNsPerSec = 1'000'000'000;
/// What a rate in ppb is a part of.
inline constexpr int64_t kPpb = 1'000'000'000;

/// Slope of a line: ns = (cycles * mult) >> shift.
///
/// A nominal mult lies in [2^30, 2^31) for every counter up to 16 GHz, so that
/// one step of mult is <= 0.94 ppb; steering may move it by +-10 %.
struct Scale {
  uint32_t mult;
  uint32_t shift;
};

/// Largest shift. Bound: 10^9 << 34 < 2^64, so nsec_shifted always fits.
inline constexpr uint32_t kMaxShift = 34;
static_assert(kNsPerSec <= UINT64_MAX >> kMaxShift);

/// Below this many cycles one 64-bit product is enough.
/// Bound: 2^28 * (2^32 - 1) + (10^9 << 34) < 2^64.
inline constexpr uint64_t kShortCycles = uint64_t{1} << 28;
static_assert((kShortCycles - 1) * UINT32_MAX <
              UINT64_MAX - (kNsPerSec << kMaxShift));

/// The lowest counter frequency that has a Scale.
inline constexpr uint64_t kMinHz = 1;
/// The highest: above it mult would fall below 2^30.
inline constexpr uint64_t kMaxHz = 16'000'000'000;

/// Returns n / d. Writer side only.
/// Range: d != 0. Progress: 64 steps where pointers have 32 bits.
constexpr uint64_t DivideU64(uint64_t n, uint64_t d) {
  if constexpr (sizeof(void*) == 8) {
    return n / d;
  } else {
    uint64_t quotient = 0;
    uint64_t rest = 0;
    for (int bit = 63; bit >= 0; --bit) {
      // Bound: rest <= n >> (bit + 1) < 2^63.
      rest = (rest << 1) | ((n >> bit) & 1);
      quotient <<= 1;
      if (rest >= d) {
        rest -= d;
        quotient |= 1;
      }
    }
    return quotient;
  }
}

/// Returns value >> bits. Range: bits < 64.
/// In code that they take for cold, compilers for 32-bit machines call libgcc
/// for `>>`, instead of a few instructions; not for this.
constexpr uint64_t ShiftRight(uint64_t value, uint32_t bits) {
  if constexpr (sizeof(void*) == 8) {
    return value >> bits;
  } else {
    const auto high = static_cast<uint32_t>(value >> 32);
    const auto low = static_cast<uint32_t>(value);
    if (bits >= 32) return high >> (bits - 32);
    return uint64_t{high >> bits} << 32 |
           (low >> bits | (high << 1 << (31 - bits)));
  }
}

/// Returns value << bits, likewise. Range: bits < 64.
constexpr uint64_t ShiftLeft(uint64_t value, uint32_t bits) {
  if constexpr (sizeof(void*) == 8) {
    return value << bits;
  } else {
    const auto high = static_cast<uint32_t>(value >> 32);
    const auto low = static_cast<uint32_t>(value);
    if (bits >= 32) return uint64_t{low << (bits - 32)} << 32;
    return uint64_t{high << bits | (low >> 1 >> (31 - bits))} << 32 |
           uint32_t{low << bits};
  }
}

/// Returns |value|, which is 2^63 at most.
constexpr uint64_t Magnitude(int64_t value) {
  const auto bits = static_cast<uint64_t>(value);
  return value < 0 ? uint64_t{0} - bits : bits;
}

/// Returns the upper 64 bits of a * b.
constexpr uint64_t MultiplyHigh(uint64_t a, uint64_t b) {
  const uint64_t a_low = a & UINT32_MAX;
  const uint64_t a_high = a >> 32;
  const uint64_t b_low = b & UINT32_MAX;
  const uint64_t b_high = b >> 32;
  // Bound: (2^32 - 1)^2 + 2 * (2^32 - 1) == 2^64 - 1: no sum here overflows.
  const uint64_t middle = a_high * b_low + ((a_low * b_low) >> 32);
  const uint64_t cross = a_low * b_high + (middle & UINT32_MAX);
  return a_high * b_high + (middle >> 32) + (cross >> 32);
}

/// Returns floor(ns / 10^9) for every u64, without a division.
/// 10^9 = 2^9 * 1953125, and 9903520314283042200 = ceil(2^84 / 1953125) is too
/// large by less than 1953125 / 2^84. Bound: 2^55 * 1953125 < 2^84, so the
/// product of that excess with ns >> 9 never reaches the next integer.
constexpr uint64_t NsToWholeSec(uint64_t ns) {
  return MultiplyHigh(ns >> 9, 9'903'520'314'283'042'200u) >> 20;
}

/// Returns the Scale of a counter that runs at `hz`: the largest shift for
/// which mult stays below 2^31, mult rounded to the nearest.
/// Range: kMinHz <= hz <= kMaxHz. Error: the slope is off by <= 0.47 ppb.
constexpr Scale ScaleFromHz(uint64_t hz) {
  uint32_t shift = kMaxShift;
  // Bound: (10^9 << 34) + 8 * 10^9 < 2^64.
  uint64_t mult = DivideU64((kNsPerSec << shift) + hz / 2, hz);
  while (mult >= uint64_t{1} << 31) {
    --shift;
    mult = DivideU64((kNsPerSec << shift) + hz / 2, hz);
  }
  return {static_cast<uint32_t>(mult), shift};
}

/// Returns mult * (1 + ppb / 10^9), rounded to the nearest.
/// Range: |ppb| <= 10^8, mult < 2^31.2 (so the result fits u32).
/// Error: half a step of mult, <= 0.47 ppb of a nominal one.
constexpr uint32_t MultByPpb(uint32_t mult, int64_t ppb) {
  // Bound: 2^32 * 1.1 * 10^9 + 5 * 10^8 < 2^64.
  const uint64_t factor = static_cast<uint64_t>(kPpb + ppb);
  return static_cast<uint32_t>(NsToWholeSec(mult * factor + kPpb / 2));
}

/// An amount of time as floor(ns) and what is left of the last nanosecond.
struct ShiftedNs {
  uint64_t ns;
  uint64_t remainder_shifted;  ///< [0, 1 << shift)
};

/// Returns cycles * mult + nsec_shifted, exactly, in 96 bits, split at shift.
/// Range: exact while the result is below 2^64 ns; defined for every input.
constexpr ShiftedNs CyclesToShiftedNs(uint64_t cycles, Scale scale,
                                      uint64_t nsec_shifted) {
  const uint32_t shift = scale.shift & 63;
  const uint64_t product_low = (cycles & UINT32_MAX) * scale.mult;
  const uint64_t product_high = (cycles >> 32) * scale.mult;
  // Bound: (2^32 - 1)^2 + (2^32 - 2) + (2^32 - 1) + 1 == 2^64 - 1: `high`
  // cannot overflow; the value is high * 2^32 + low.
  uint64_t low = (product_low & UINT32_MAX) + (nsec_shifted & UINT32_MAX);
  const uint64_t high =
      product_high + (product_low >> 32) + (nsec_shifted >> 32) + (low >> 32);
  low &= UINT32_MAX;
  if (shift >= 32) {
    const uint64_t mask = (uint64_t{1} << (shift - 32)) - 1;
    return {high >> (shift - 32), ((high & mask) << 32) | low};
  }
  // Bound: high << (32 - shift) drops bits only when the result has > 64.
  return {(high << (32 - shift)) | (low >> shift),
          low & ((uint64_t{1} << shift) - 1)};
}

/// Returns floor((cycles * mult + nsec_shifted) >> shift): the same rounding
/// for the reader and the writer.
/// Units: cycles, ns << shift; result in ns.
/// Range: exact while the result is below 2^64 ns and nsec_shifted below
/// 10^9 << kMaxShift; defined for every input.
/// Error: truncation, < 1 ns.
constexpr uint64_t CyclesToNs(uint64_t cycles, Scale scale,
                              uint64_t nsec_shifted) {
  if (cycles < kShortCycles) [[likely]] {
    // Bound: kShortCycles; a hostile page makes it wrap, which is defined.
    return (cycles * scale.mult + nsec_shifted) >> (scale.shift & 63);
  }
  return CyclesToShiftedNs(cycles, scale, nsec_shifted).ns;
}

/// What conversions to cycles saturate at.
inline constexpr uint64_t kCyclesLimit = uint64_t{1} << 62;

/// Returns floor((high * 2^64 + low) / d).
/// Range: d != 0. Saturates at kCyclesLimit. Progress: four divisions.
constexpr uint64_t DivideWide(uint64_t high, uint64_t low, uint32_t d) {
  const uint64_t digits[4] = {high >> 32, high & UINT32_MAX, low >> 32,
                              low & UINT32_MAX};
  uint64_t quotient = 0;
  uint64_t rest = 0;
  // Long division, the highest digit first. Bound: each rest < d < 2^32, so
  // rest << 32 | digit fits, and a step is below 2^32; a quotient that takes
  // another digit is below 2^30 before, and below kCyclesLimit after.
  for (const uint64_t digit : digits) {
    const uint64_t part = (rest << 32) | digit;
    const uint64_t step = DivideU64(part, d);
    if (quotient > UINT32_MAX >> 2) return kCyclesLimit;
    quotient = (quotient << 32) | step;
    rest = part - step * d;
  }
  return quotient;
}

/// Returns floor(ns * 2^shift / mult): how many cycles last at most `ns`.
/// Range: mult != 0. Saturates at kCyclesLimit.
constexpr uint64_t NsToCycles(uint64_t ns, Scale scale) {
  const uint32_t shift = scale.shift & 63;
  const uint64_t high = shift == 0 ? 0 : ShiftRight(ns, 64 - shift);
  return DivideWide(high, ShiftLeft(ns, shift), scale.mult);
}

/// Returns the least number of cycles for which CyclesToNs(cycles, scale,
/// nsec_shifted) has reached `ns`: the inverse of CyclesToNs(), exactly.
/// Range: every input; saturates at kCyclesLimit, also where mult is 0.
constexpr uint64_t CyclesUntilNs(uint64_t ns, Scale scale,
                                 uint64_t nsec_shifted) {
  const uint32_t shift = scale.shift & 63;
  uint64_t high = shift == 0 ? 0 : ShiftRight(ns, 64 - shift);
  uint64_t low = ShiftLeft(ns, shift);
  if (high == 0 && low <= nsec_shifted) return 0;
  if (scale.mult == 0) return kCyclesLimit;
  // For n > 0: ceil(n / d) == floor((n - 1) / d) + 1, n = ns << shift less
  // nsec_shifted. Bound: n - 1 >= 0, so `high` covers the borrow.
  high -= low <= nsec_shifted ? 1 : 0;
  low -= nsec_shifted + 1;
  const uint64_t before = DivideWide(high, low, scale.mult);
  return before < kCyclesLimit ? before + 1 : kCyclesLimit;
}

}  // namespace vvar

#endif  // VVAR_SCALE_H_
