// SPDX-License-Identifier: MIT
//
// Unsigned numbers of 128 bits, for products and quotients that 64 bits do not
// hold: what foreign clock pages are made of and converted by. Pure, constexpr
// and freestanding; no compiler's own 128-bit type, and no libcalls. Whatever
// a hostile page holds, every function is defined in its stated range.
#ifndef VVAR_WIDE_H_
#define VVAR_WIDE_H_

#include <stdint.h>

#include "vvar/scale.h"

namespace vvar {

/// high * 2^64 + low.
struct Uint128 {
  uint64_t high;  ///< Units of 2^64.
  uint64_t low;   ///< Units of 1.

  friend constexpr bool operator==(const Uint128&, const Uint128&) = default;
};

/// Returns a < b.
constexpr bool IsLess(Uint128 a, Uint128 b) {
  return a.high != b.high ? a.high < b.high : a.low < b.low;
}

/// Returns a + b modulo 2^128.
constexpr Uint128 AddWide(Uint128 a, Uint128 b) {
  const uint64_t low = a.low + b.low;
  return {a.high + b.high + (low < a.low ? 1 : 0), low};
}

/// Returns a - b modulo 2^128.
constexpr Uint128 SubtractWide(Uint128 a, Uint128 b) {
  return {a.high - b.high - (a.low < b.low ? 1 : 0), a.low - b.low};
}

/// Returns a * b. Bound: (2^64 - 1)^2 < 2^128.
constexpr Uint128 MultiplyWide(uint64_t a, uint64_t b) {
  return {MultiplyHigh(a, b), a * b};
}

/// Returns floor(value / 2^bits). Range: bits < 128.
constexpr Uint128 ShiftRightWide(Uint128 value, uint32_t bits) {
  if (bits >= 64) return {0, ShiftRight(value.high, bits - 64)};
  if (bits == 0) return value;
  return {ShiftRight(value.high, bits),
          ShiftRight(value.low, bits) | ShiftLeft(value.high, 64 - bits)};
}

/// Returns value * 2^bits modulo 2^128. Range: bits < 128.
constexpr Uint128 ShiftLeftWide(Uint128 value, uint32_t bits) {
  if (bits >= 64) return {ShiftLeft(value.low, bits - 64), 0};
  if (bits == 0) return value;
  return {ShiftLeft(value.high, bits) | ShiftRight(value.low, 64 - bits),
          ShiftLeft(value.low, bits)};
}

/// Returns how many bits `value` has: 0 for 0, 128 at most.
/// Progress: one step a bit. Writer side only.
constexpr uint32_t BitLength(Uint128 value) {
  uint32_t bits = value.high != 0 ? 64 : 0;
  for (uint64_t rest = bits != 0 ? value.high : value.low; rest != 0;
       rest >>= 1) {
    ++bits;
  }
  return bits;
}

/// Returns floor(n / d). Range: d != 0.
/// Progress: 128 steps. Writer side only.
constexpr Uint128 QuotientWide(Uint128 n, uint64_t d) {
  Uint128 quotient = {0, 0};
  uint64_t rest = 0;
  for (int bit = 127; bit >= 0; --bit) {
    // Bound: rest < d, so 2 * rest + 1 may have 65 bits; the one that is lost
    // says that d goes in, and the difference is right modulo 2^64.
    const bool carries = rest >> 63 != 0;
    rest = rest << 1 | n.high >> 63;
    n = ShiftLeftWide(n, 1);
    quotient = ShiftLeftWide(quotient, 1);
    if (carries || rest >= d) {
      rest -= d;
      quotient.low |= 1;
    }
  }
  return quotient;
}

}  // namespace vvar

#endif  // VVAR_WIDE_H_
