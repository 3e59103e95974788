// SPDX-License-Identifier: MIT
//
// What the answer ought to be, worked out another way than the code under test
// does: in integers wide enough for everything, without a rounding until the
// end. Uses the compiler's 128-bit integers, or Wide256 where there are none.
#ifndef VVAR_TESTS_SUPPORT_ORACLE_H_
#define VVAR_TESTS_SUPPORT_ORACLE_H_

#include <stddef.h>
#include <stdint.h>

#include <array>
#include <concepts>
#include <random>
#include <string>

#include "vvar/timebase.h"

namespace vvar::support {

/// Two's complement in 256 bits: 32-bit digits, the lowest first. Slow and
/// plain.
class Wide256 {
 public:
  constexpr Wide256() = default;
  template <std::integral Int>
  constexpr Wide256(Int value) {  // NOLINT: as the built-in types convert.
    const auto bits = static_cast<uint64_t>(value);
    bool negative = false;
    if constexpr (std::signed_integral<Int>) negative = value < 0;
    for (uint32_t& digit : digit_) digit = negative ? UINT32_MAX : 0;
    digit_[0] = static_cast<uint32_t>(bits);
    digit_[1] = static_cast<uint32_t>(bits >> 32);
  }
  constexpr explicit operator uint64_t() const {
    return uint64_t{digit_[1]} << 32 | digit_[0];
  }
  constexpr bool negative() const { return digit_[kDigits - 1] >> 31 != 0; }

  friend constexpr Wide256 operator~(Wide256 a) {
    for (uint32_t& digit : a.digit_) digit = ~digit;
    return a;
  }
  friend constexpr Wide256 operator-(const Wide256& a) { return ~a + 1; }
  friend constexpr Wide256 operator+(const Wide256& a, const Wide256& b) {
    Wide256 sum;
    uint64_t carry = 0;
    for (int i = 0; i < kDigits; ++i) {
      carry += uint64_t{a.digit_[i]} + b.digit_[i];
      sum.digit_[i] = static_cast<uint32_t>(carry);
      carry >>= 32;
    }
    return sum;
  }
  friend constexpr Wide256 operator-(const Wide256& a, const Wide256& b) {
    return a + -b;
  }
  friend constexpr Wide256 operator*(const Wide256& a, const Wide256& b) {
    Wide256 product;
    for (int i = 0; i < kDigits; ++i) {
      if (a.digit_[i] == 0) continue;
      uint64_t carry = 0;
      for (int j = 0; i + j < kDigits; ++j) {
        carry += uint64_t{a.digit_[i]} * b.digit_[j] + product.digit_[i + j];
        product.digit_[i + j] = static_cast<uint32_t>(carry);
        carry >>= 32;
      }
    }
    return product;
  }
  friend constexpr Wide256 operator<<(const Wide256& a, uint32_t bits) {
    const auto whole = static_cast<int>(bits / 32);
    const uint32_t part = bits % 32;
    Wide256 result;
    for (int i = whole; i < kDigits; ++i) {
      const uint32_t high = a.digit_[i - whole];
      const uint32_t low = i > whole ? a.digit_[i - whole - 1] : 0;
      const uint64_t both = uint64_t{high} << 32 | low;
      result.digit_[i] = static_cast<uint32_t>(both << part >> 32);
    }
    return result;
  }
  /// Floor, also for negative values.
  friend constexpr Wide256 operator>>(const Wide256& a, uint32_t bits) {
    const uint32_t fill = a.negative() ? UINT32_MAX : 0;
    const auto whole = static_cast<int>(bits / 32);
    const uint32_t part = bits % 32;
    Wide256 result;
    for (int i = 0; i < kDigits; ++i) {
      const int from = i + whole;
      const uint32_t low = from < kDigits ? a.digit_[from] : fill;
      const uint32_t high = from + 1 < kDigits ? a.digit_[from + 1] : fill;
      const uint64_t both = uint64_t{high} << 32 | low;
      result.digit_[i] = static_cast<uint32_t>(both >> part);
    }
    return result;
  }
  friend constexpr bool operator==(const Wide256&, const Wide256&) = default;
  friend constexpr std::strong_ordering operator<=>(const Wide256& a,
                                                    const Wide256& b) {
    if (a.negative() != b.negative()) {
      return a.negative() ? std::strong_ordering::less
                          : std::strong_ordering::greater;
    }
    for (int i = kDigits - 1; i >= 0; --i) {
      if (a.digit_[i] != b.digit_[i]) return a.digit_[i] <=> b.digit_[i];
    }
    return std::strong_ordering::equal;
  }

 private:
  static constexpr int kDigits = 8;
  uint32_t digit_[kDigits] = {};
};

#ifdef __SIZEOF_INT128__
__extension__ using Wide = __int128;
__extension__ using UnsignedWide = unsigned __int128;
#else
using Wide = Wide256;
using UnsignedWide = Wide256;
#endif

/// |value|.
constexpr Wide Magnitude(Wide value) {
  return value < Wide(0) ? Wide(0) - value : value;
}

/// `value` for messages.
inline std::string Hex(Wide value) {
  std::string text = value < Wide(0) ? "-0x" : "0x";
  if (value < Wide(0)) value = Wide(0) - value;
  for (uint32_t digit = 32; digit-- != 0;) {
    const auto nibble = static_cast<uint64_t>(value >> (4 * digit)) & 15;
    text += "0123456789abcdef"[nibble];
  }
  return text;
}

/// `value` as the upper half of a 64-bit product shows it: floor(/ 2^64).
constexpr uint64_t UpperHalf(uint64_t a, uint64_t b) {
  return static_cast<uint64_t>((UnsignedWide(a) * UnsignedWide(b)) >> 64);
}

/// `time` in units of ns / 2^shift.
constexpr Wide Exact(Timebase time, uint32_t shift) {
  return Wide(time.sec) * Wide(1'000'000'000) * (Wide(1) << shift) +
         Wide(time.nsec_shifted);
}
constexpr Wide Exact(Timespec time, uint32_t shift) {
  return (Wide(time.sec) * Wide(1'000'000'000) + Wide(time.nsec)) *
         (Wide(1) << shift);
}
constexpr Wide ExactNs(int64_t ns, uint32_t shift) {
  return Wide(ns) * (Wide(1) << shift);
}

/// How far a counter of `bits` bits ran from `start` to `now`.
constexpr uint64_t Ticks(uint64_t now, uint64_t start, uint32_t bits) {
  const uint64_t difference = now - start;
  return bits == 64 ? difference : difference - (difference >> bits << bits);
}

/// T(line, now) of notation in timekeeper.h: exact, for now >= cycle_start.
constexpr Wide ExactAt(const Line& line, uint32_t base, uint64_t now,
                       uint32_t bits) {
  const uint32_t mult = base == VVAR_BASE_MONOTONIC_RAW ? line.raw_mult
                        : base == VVAR_BASE_REALTIME    ? line.realtime_mult
                                                        : line.scale.mult;
  return Exact(line.base[base], line.scale.shift) +
         Wide(Ticks(now, line.cycle_start, bits)) * Wide(mult);
}

/// Every field of a line, for comparing two.
using LineFields = std::array<uint64_t, 15 + 2 * VVAR_BASES + 2 * VVAR_COARSES>;
inline LineFields FieldsOf(const Line& line) {
  LineFields fields = {
      line.cycle_start,
      line.max_cycles,
      line.scale.mult,
      line.scale.shift,
      line.raw_mult,
      line.counter_id,
      static_cast<uint64_t>(line.status),
      line.error_ns,
      line.error_growth_ppb,
      static_cast<uint64_t>(line.tai_offset_sec),
      line.was_set_count,
      line.realtime_mult,
      line.leap.state,
      line.leap.smear_sec,
      static_cast<uint64_t>(line.leap.date_sec),
  };
  size_t at = 15;
  for (const Timebase& base : line.base) {
    fields[at++] = static_cast<uint64_t>(base.sec);
    fields[at++] = base.nsec_shifted;
  }
  for (const Timespec& coarse : line.coarse) {
    fields[at++] = static_cast<uint64_t>(coarse.sec);
    fields[at++] = coarse.nsec;
  }
  return fields;
}

/// An exact time as whole ns modulo 2^64, rounded down.
constexpr uint64_t FloorNs(Wide exact, uint32_t shift) {
  return static_cast<uint64_t>(exact >> shift);
}

/// Whether `time` is normalised and is an exact time, rounded down.
constexpr bool IsFloorOf(Timespec time, Wide exact, uint32_t shift) {
  return time.nsec < 1'000'000'000 && Exact(time, 0) == Wide(exact >> shift);
}

/// The bound ErrorGrowthNs() must keep: ceil(ns * ppb / 10^9) as an inequality.
constexpr bool Covers(uint64_t growth_ns, uint64_t ns, uint32_t ppb) {
  return Wide(growth_ns) * Wide(1'000'000'000) >= Wide(ns) * Wide(ppb);
}

/// Numbers of every size, more often than not close to a power of two.
class EdgyRandom {
 public:
  explicit EdgyRandom(uint64_t seed) : engine_(seed) {}
  /// A fuzzer's: every choice takes as few of `bytes` as will do, in order; any
  /// are pseudo-random once they are used up.
  EdgyRandom(const uint8_t* bytes, size_t size)
      : engine_(size), bytes_(bytes), left_(size) {}

  uint64_t Any() { return Take(8); }
  /// Uniform below n.
  uint64_t Below(uint64_t n) {
    return Take(n <= 1 << 8 ? 1 : n <= 1 << 16 ? 2 : 8) % n;
  }
  /// Whether there are no bytes, or none any more.
  bool exhausted() const { return left_ == 0; }
  bool OneIn(uint64_t n) { return Below(n) == 0; }
  /// Of 0 to `bits` bits.
  uint64_t Edgy(uint32_t bits = 64) {
    const uint64_t size = Below(uint64_t{bits} + 1);
    if (size == 0) return 0;
    const uint64_t all = UINT64_MAX >> (64 - size);
    switch (Below(4)) {
      case 0:
        return ((all / 2 + 1) ^ Below(4)) & all;
      case 1:
        return (all - Below(4)) & all;
      default:
        return Any() & all;
    }
  }
  int64_t EdgySigned(uint32_t bits = 63) {
    const auto value = static_cast<int64_t>(Edgy(bits));
    return OneIn(2) ? value : -value;
  }

 private:
  uint64_t Take(size_t most) {
    if (left_ == 0) return engine_();
    uint64_t value = 0;
    for (; most != 0 && left_ != 0; --most, --left_) {
      value = value << 8 | *bytes_++;
    }
    return value;
  }

  std::mt19937_64 engine_;
  const uint8_t* bytes_ = nullptr;
  size_t left_ = 0;
};

}  // namespace vvar::support

#endif  // VVAR_TESTS_SUPPORT_ORACLE_H_
