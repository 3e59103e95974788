// SPDX-License-Identifier: MIT
//
// One line of time and its value at a counter reading: pure, constexpr and
// freestanding. The reader and the writer call the same functions, so they
// round alike. No atomics, no page access, no loops.
#ifndef VVAR_TIMEBASE_H_
#define VVAR_TIMEBASE_H_

#include <stdint.h>

#include "vvar/page.h"
#include "vvar/scale.h"

namespace vvar {

/// A time as POSIX has it. Range: nsec in [0, 10^9); sec may be negative.
struct Timespec {
  int64_t sec;
  uint32_t nsec;

  friend constexpr bool operator==(const Timespec&, const Timespec&) = default;
};

/// Returns what the nsec of a hostile page counts for: itself or, where it is
/// none, the largest there is.
constexpr uint32_t NsecOf(uint32_t word) {
  constexpr auto kMaxNsec = static_cast<uint32_t>(kNsPerSec) - 1;
  return word < kMaxNsec ? word : kMaxNsec;
}

/// A time, or a length of time, in the line's own resolution.
/// Range: nsec_shifted in [0, 10^9 << shift).
struct Timebase {
  int64_t sec;
  uint64_t nsec_shifted;

  friend constexpr bool operator==(const Timebase&, const Timebase&) = default;
};

/// Returns sec * 10^9 + nsec modulo 2^64: times before 1970 come as two's
/// complement, times after 2554 wrap.
constexpr uint64_t TimespecToNs(Timespec time) {
  return static_cast<uint64_t>(time.sec) * kNsPerSec + time.nsec;
}

/// Returns the time that TimespecToNs() maps to `ns` taken as signed.
constexpr Timespec NsToTimespec(int64_t ns) {
  if (ns >= 0) {
    const uint64_t sec = NsToWholeSec(static_cast<uint64_t>(ns));
    return {static_cast<int64_t>(sec),
            static_cast<uint32_t>(static_cast<uint64_t>(ns) - sec * kNsPerSec)};
  }
  // ~ns = -ns - 1 cannot overflow; floor(-x / d) == -floor((x - 1) / d) - 1.
  const uint64_t below = static_cast<uint64_t>(~ns);
  const uint64_t sec = NsToWholeSec(below);
  return {-static_cast<int64_t>(sec) - 1,
          static_cast<uint32_t>(kNsPerSec - 1 - (below - sec * kNsPerSec))};
}

/// Returns now - start for a counter of `bits` bits, as the sign of the masked
/// difference: a counter that wrapped went forward, one that is a little behind
/// is negative.
/// Range: 2 <= bits <= 64; |now - start| < 2^(bits - 1).
constexpr int64_t SignedDelta(uint64_t now, uint64_t start, uint32_t bits) {
  const uint32_t unused = 64 - bits;
  return static_cast<int64_t>((now - start) << unused) >> unused;
}

/// Returns the time `cycles` after `base`, in ns, modulo 2^64.
/// Error: truncation, < 1 ns.
constexpr uint64_t NsAfter(Timebase base, Scale scale, uint64_t cycles) {
  return static_cast<uint64_t>(base.sec) * kNsPerSec +
         CyclesToNs(cycles, scale, base.nsec_shifted);
}

/// Returns the time `cycles` before `base`: floor, like NsAfter().
constexpr uint64_t NsBefore(Timebase base, Scale scale, uint64_t cycles) {
  const ShiftedNs back = CyclesToShiftedNs(cycles, scale, 0);
  // What is left of base's ns, less what is left of back's: above -1.
  const uint64_t rest =
      base.nsec_shifted < back.remainder_shifted
          ? UINT64_MAX
          : ShiftRight(base.nsec_shifted - back.remainder_shifted,
                       scale.shift & 63);
  return static_cast<uint64_t>(base.sec) * kNsPerSec + rest - back.ns;
}

/// Returns the time `cycles` after `base`: floor, like NsAfter().
constexpr Timespec TimespecAfter(Timebase base, Scale scale, uint64_t cycles) {
  uint64_t sec = static_cast<uint64_t>(base.sec);
  uint64_t ns = CyclesToNs(cycles, scale, base.nsec_shifted);
  if (ns >= kNsPerSec) [[unlikely]] {
    const uint64_t carry = NsToWholeSec(ns);
    sec += carry;
    ns -= carry * kNsPerSec;
  }
  return {static_cast<int64_t>(sec), static_cast<uint32_t>(ns)};
}

/// Returns how long `cycles` last on a line of slope `scale`, exactly.
/// Range: below 2^64 ns.
constexpr Timebase CyclesToDuration(uint64_t cycles, Scale scale) {
  const ShiftedNs total = CyclesToShiftedNs(cycles, scale, 0);
  const uint64_t sec = total.ns < kNsPerSec ? 0 : NsToWholeSec(total.ns);
  // Bound: (10^9 - 1) << kMaxShift plus a remainder below 1 << kMaxShift.
  return {static_cast<int64_t>(sec),
          ShiftLeft(total.ns - sec * kNsPerSec, scale.shift) |
              total.remainder_shifted};
}

/// Returns time + duration, exactly, both in the resolution of `shift`.
constexpr Timebase Add(Timebase time, Timebase duration, uint32_t shift) {
  const uint64_t second = ShiftLeft(kNsPerSec, shift);
  // Modulo 2^64: seconds from a hostile page may overflow.
  uint64_t sec =
      static_cast<uint64_t>(time.sec) + static_cast<uint64_t>(duration.sec);
  // Bound: the sum of two may pass 2^64, so compare before adding.
  if (time.nsec_shifted >= second - duration.nsec_shifted) {
    time.nsec_shifted -= second - duration.nsec_shifted;
    ++sec;
  } else {
    time.nsec_shifted += duration.nsec_shifted;
  }
  return {static_cast<int64_t>(sec), time.nsec_shifted};
}

/// Returns time - other, exactly, both in the resolution of `shift`.
constexpr Timebase Subtract(Timebase time, Timebase other, uint32_t shift) {
  // Modulo 2^64, as Add().
  uint64_t sec =
      static_cast<uint64_t>(time.sec) - static_cast<uint64_t>(other.sec);
  if (time.nsec_shifted < other.nsec_shifted) {
    time.nsec_shifted += ShiftLeft(kNsPerSec, shift);
    --sec;
  }
  return {static_cast<int64_t>(sec), time.nsec_shifted - other.nsec_shifted};
}

/// Returns `time` in the resolution of `shift`. Range: shift <= kMaxShift.
constexpr Timebase TimespecToTimebase(Timespec time, uint32_t shift) {
  return {time.sec, ShiftLeft(time.nsec, shift)};
}

/// Returns `base` without its fraction of a nanosecond.
constexpr Timespec TimebaseToTimespec(Timebase base, uint32_t shift) {
  return {base.sec,
          static_cast<uint32_t>(ShiftRight(base.nsec_shifted, shift & 63))};
}

/// Returns `base` in the resolution of another line. Error: truncation, below
/// 2^-to_shift ns; whole nanoseconds stay the same.
constexpr Timebase Rescale(Timebase base, uint32_t shift, uint32_t to_shift) {
  // Bound: below 10^9 << kMaxShift either way.
  return {base.sec, to_shift >= shift
                        ? ShiftLeft(base.nsec_shifted, to_shift - shift)
                        : ShiftRight(base.nsec_shifted, shift - to_shift)};
}

/// Returns after how many cycles, on a line that is at `base`, it shows `sec`
/// or more for the first time; 0 if it does already.
/// Range: saturates at kCyclesLimit.
constexpr uint64_t CyclesUntilSec(Timebase base, Scale scale, int64_t sec) {
  if (base.sec >= sec) return 0;
  const uint64_t whole_sec =
      static_cast<uint64_t>(sec) - static_cast<uint64_t>(base.sec);
  // Bound: 2^32 s is below 2^62 ns.
  if (whole_sec > UINT32_MAX) return kCyclesLimit;
  return CyclesUntilNs(whole_sec * kNsPerSec, scale, base.nsec_shifted);
}

/// Returns whether `a` is earlier than `b`.
constexpr bool Precedes(Timespec a, Timespec b) {
  return a.sec != b.sec ? a.sec < b.sec : a.nsec < b.nsec;
}

/// Returns at least ns * ppb / 10^9: the growth of an error bound.
/// Error: too much by < 5 % and 2 ns (beyond 4.29 s: by up to one second's
/// growth and 2 ns). Range: every input; saturates.
constexpr uint64_t ErrorGrowthNs(uint64_t ns, uint32_t ppb) {
  // Bound: 2^32 * 2^32 never overflows. 2^-30 + 2^-33 > 10^-9, without a
  // division; each shift drops less than one.
  if (ns <= UINT32_MAX) [[likely]] {
    const uint64_t product = ns * ppb;
    return (product >> 30) + (product >> 33) + 2;
  }
  const uint64_t sec = NsToWholeSec(ns) + 1;
  return sec > UINT32_MAX / 2 ? UINT64_MAX : sec * ppb + 2;
}

/// Returns the sum of two error bounds; saturates.
constexpr uint64_t AddErrors(uint64_t a_ns, uint64_t b_ns) {
  return a_ns > UINT64_MAX - b_ns ? UINT64_MAX : a_ns + b_ns;
}

/// Returns the error bound of a time `age_ns` after it was `error_ns`.
/// Range: every input; saturates.
constexpr uint64_t ErrorNsAfter(uint64_t error_ns, uint64_t age_ns,
                                uint32_t growth_ppb) {
  return AddErrors(error_ns, ErrorGrowthNs(age_ns, growth_ppb));
}

/// What a line says of leap seconds: see VVAR_LEAP_* and vvar/leap.h.
struct LeapPlan {
  uint32_t state;      ///< VVAR_LEAP_*.
  uint32_t smear_sec;  ///< How long a smear takes; else 0.
  int64_t date_sec;    ///< REALTIME.

  friend constexpr bool operator==(const LeapPlan&, const LeapPlan&) = default;
};

/// None is announced, and none was made.
inline constexpr LeapPlan kNoLeap = {VVAR_LEAP_NONE, 0, 0};

/// One line of time: what one publication says of every clock.
struct Line {
  uint64_t cycle_start;
  uint64_t max_cycles;
  Scale scale;             ///< Disciplined slope: MONOTONIC, BOOTTIME, TAI.
  uint32_t realtime_mult;  ///< REALTIME's slope, same shift.
  uint32_t raw_mult;       ///< Undisciplined, same shift: MONOTONIC_RAW.
  uint32_t counter_id;
  ClockStatus status;
  Timebase base[VVAR_BASES];
  uint64_t error_ns;
  uint32_t error_growth_ppb;
  Timespec coarse[VVAR_COARSES];
  int32_t tai_offset_sec;
  uint32_t was_set_count;
  LeapPlan leap;

  /// Slope of base[index].
  constexpr Scale ScaleOf(uint32_t index) const {
    return {index == VVAR_BASE_REALTIME        ? realtime_mult
            : index == VVAR_BASE_MONOTONIC_RAW ? raw_mult
                                               : scale.mult,
            scale.shift};
  }
  /// Whether the counter has been withdrawn, and the line stands still.
  constexpr bool IsHeld() const { return counter_id == VVAR_COUNTER_NONE; }
  /// What REALTIME still has to be slewed by, at cycle_start: it is going where
  /// TAI tells.
  constexpr Timebase RealtimeRemaining() const {
    return Subtract(
        Subtract(base[VVAR_BASE_TAI], base[VVAR_BASE_REALTIME], scale.shift),
        {tai_offset_sec, 0}, scale.shift);
  }
  /// Value of base[index] at `cycles` >= cycle_start, exactly.
  constexpr Timebase At(uint32_t index, uint64_t cycles,
                        uint32_t counter_bits) const {
    const auto delta = SignedDelta(cycles, cycle_start, counter_bits);
    return Add(base[index],
               CyclesToDuration(static_cast<uint64_t>(delta), ScaleOf(index)),
               scale.shift);
  }
};

/// Copies a line field by field: an assignment may become a call of memcpy.
constexpr void CopyLine(const Line& from, Line& to) {
  to.cycle_start = from.cycle_start;
  to.max_cycles = from.max_cycles;
  to.scale = from.scale;
  to.realtime_mult = from.realtime_mult;
  to.raw_mult = from.raw_mult;
  to.counter_id = from.counter_id;
  to.status = from.status;
  for (uint32_t i = 0; i < VVAR_BASES; ++i) to.base[i] = from.base[i];
  to.error_ns = from.error_ns;
  to.error_growth_ppb = from.error_growth_ppb;
  for (uint32_t i = 0; i < VVAR_COARSES; ++i) to.coarse[i] = from.coarse[i];
  to.tai_offset_sec = from.tai_offset_sec;
  to.was_set_count = from.was_set_count;
  to.leap = from.leap;
}

}  // namespace vvar

#endif  // VVAR_TIMEBASE_H_
