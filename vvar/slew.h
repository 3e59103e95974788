// SPDX-License-Identifier: MIT
//
// An offset that is worked off by a change of slope: how much of it a line has
// got done, and which slope the next one takes. Pure, constexpr, freestanding;
// the timekeeper's arithmetic, without its state.
#ifndef VVAR_SLEW_H_
#define VVAR_SLEW_H_

#include <stdint.h>

#include "vvar/scale.h"
#include "vvar/timebase.h"

namespace vvar {

/// Steering that a frequency and each slew may add: it keeps every mult inside
/// 32 bits and above 0, so MONOTONIC never steps back.
inline constexpr int64_t kMaxSteeringPpb = 50'000'000;

/// How fast an offset may be worked off.
struct SlewPace {
  int64_t max_rate_ppb;  ///< Range: [0, kMaxSteeringPpb].
  /// When it has to be done, by the slewed clock itself; one that is past, such
  /// as kAtOnce, says: as soon as the rate allows.
  Timespec end;

  /// For `end`: past by any clock.
  static constexpr Timespec kAtOnce = {INT64_MIN, 0};
};

/// Returns `ns` in the resolution of `shift`.
constexpr Timebase NsToTimebase(int64_t ns, uint32_t shift) {
  return TimespecToTimebase(NsToTimespec(ns), shift);
}

/// Returns a difference of two times, in ns. Error: < 1 ns, towards zero.
/// Range: saturates at +-2^62.
constexpr int64_t DifferenceNs(Timebase difference, uint32_t shift) {
  constexpr int64_t kLimit = int64_t{1} << 62;
  constexpr int64_t kLimitSec = kLimit / kPpb;
  if (difference.sec == 0) {
    return static_cast<int64_t>(ShiftRight(difference.nsec_shifted, shift));
  }
  if (difference.sec >= kLimitSec) return kLimit;
  if (difference.sec < -kLimitSec) return -kLimit;
  if (difference.sec < 0) {
    return -DifferenceNs(Subtract({0, 0}, difference, shift), shift);
  }
  return static_cast<int64_t>(
      TimespecToNs(TimebaseToTimespec(difference, shift)));
}

/// Returns the rate, in ppb, that works `remaining_ns` off in `time_ns`, or the
/// fastest allowed. Range: time_ns > 0. Error: 1 ppb, towards zero.
constexpr int64_t SlewRatePpb(int64_t remaining_ns, uint64_t time_ns,
                              int64_t max_rate_ppb) {
  const bool back = remaining_ns < 0;
  uint64_t amount = Magnitude(remaining_ns);
  const auto max_rate = static_cast<uint64_t>(max_rate_ppb);
  // Bound: 1.8 * 10^10 * 10^9 < 2^64, and 8 turns do for 2^63. What remains of
  // both is large enough to be exact to 1 ppb.
  while (amount > 18 * kNsPerSec) {
    amount >>= 4;
    time_ns >>= 4;
  }
  const uint64_t rate =
      time_ns == 0 ? max_rate : DivideU64(amount * kNsPerSec, time_ns);
  const auto capped = static_cast<int64_t>(rate < max_rate ? rate : max_rate);
  return back ? -capped : capped;
}

/// Returns in what time `remaining` is to be worked off, by a clock that shows
/// `at`: what is left until pace.end, but at least an interval between updates.
///
/// With r what remains, the slewed clock comes to pace.end after
/// (pace.end - at) - r of the time it would show without the slew.
constexpr uint64_t SlewTimeNs(Timebase remaining, Timebase at, uint32_t shift,
                              const SlewPace& pace, uint64_t interval_ns) {
  if (!Precedes(TimebaseToTimespec(at, shift), pace.end)) return interval_ns;
  const Timebase end = TimespecToTimebase(pace.end, shift);
  const int64_t left_ns =
      DifferenceNs(Subtract(Subtract(end, at, shift), remaining, shift), shift);
  return left_ns > 0 && static_cast<uint64_t>(left_ns) > interval_ns
             ? static_cast<uint64_t>(left_ns)
             : interval_ns;
}

/// Returns what to add to `mult` so that `offset_ns` is worked off in
/// `time_ns`.
constexpr int64_t SlewMult(uint32_t mult, int64_t offset_ns, uint64_t time_ns,
                           int64_t max_rate_ppb) {
  const int64_t rate_ppb = SlewRatePpb(offset_ns, time_ns, max_rate_ppb);
  return int64_t{MultByPpb(mult, rate_ppb)} - int64_t{mult};
}

/// Returns `remaining` less what a line got done in `cycles` whose slope had
/// `slew_mult` added, exactly.
constexpr Timebase SlewAfter(Timebase remaining, int64_t slew_mult,
                             uint64_t cycles, uint32_t shift) {
  const bool back = slew_mult < 0;
  const auto magnitude = static_cast<uint32_t>(Magnitude(slew_mult));
  const Timebase done = CyclesToDuration(cycles, {magnitude, shift});
  return back ? Add(remaining, done, shift) : Subtract(remaining, done, shift);
}

}  // namespace vvar

#endif  // VVAR_SLEW_H_
