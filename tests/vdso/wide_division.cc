// SPDX-License-Identifier: MIT
//
// What compilers call to divide words of 64 bits on machines of 32, as every
// kernel for one has it. (vvar/ and clocks/ do without.)
#include <stdint.h>

namespace {

/// Range: divisor != 0.
uint64_t Divide(uint64_t dividend, uint64_t divisor, uint64_t* remainder) {
  uint64_t quotient = 0;
  uint64_t rest = 0;
  for (int bit = 63; bit >= 0; --bit) {
    // Bound: rest < divisor, and what its top bit loses makes it the larger.
    const bool carries = rest >> 63 != 0;
    rest = rest << 1 | (dividend >> bit & 1);
    if (carries || rest >= divisor) {
      rest -= divisor;
      quotient |= uint64_t{1} << bit;
    }
  }
  *remainder = rest;
  return quotient;
}

uint64_t Magnitude(int64_t value) {
  const auto bits = static_cast<uint64_t>(value);
  return value < 0 ? 0 - bits : bits;
}

}  // namespace

extern "C" {

uint64_t __udivdi3(uint64_t dividend, uint64_t divisor) {
  uint64_t remainder;
  return Divide(dividend, divisor, &remainder);
}
uint64_t __umoddi3(uint64_t dividend, uint64_t divisor) {
  uint64_t remainder;
  Divide(dividend, divisor, &remainder);
  return remainder;
}
int64_t __divdi3(int64_t dividend, int64_t divisor) {
  uint64_t remainder;
  const uint64_t quotient =
      Divide(Magnitude(dividend), Magnitude(divisor), &remainder);
  return static_cast<int64_t>((dividend < 0) != (divisor < 0) ? 0 - quotient
                                                              : quotient);
}
int64_t __moddi3(int64_t dividend, int64_t divisor) {
  uint64_t remainder;
  Divide(Magnitude(dividend), Magnitude(divisor), &remainder);
  return static_cast<int64_t>(dividend < 0 ? 0 - remainder : remainder);
}

}  // extern "C"
