// SPDX-License-Identifier: MIT
//
// What a hosted writer follows: a clock that is read between two readings of
// the counter. The kernel's clock is one; tests script theirs. User space,
// writer side only: floating point and virtual calls are fine here.
#ifndef VVAR_HOSTED_REFERENCE_H_
#define VVAR_HOSTED_REFERENCE_H_

#include <stdint.h>
#include <sys/timex.h>
#include <time.h>

#include "clocks/native.h"
#include "vvar/offset.h"
#include "vvar/page.h"
#include "vvar/timebase.h"

namespace vvar::hosted {

/// One reading of a reference clock and the counter around it.
struct Bracket {
  uint64_t before;
  uint64_t after;
  int64_t ns;

  /// What the reading cannot tell apart. Units: cycles.
  uint64_t width() const { return after - before; }
  /// The counter value it is taken to belong to: neither end, which would bias
  /// every sample by half the cost of a reading.
  uint64_t midpoint() const { return before + (after - before) / 2; }
};

/// An error bound that says nothing: the kernel's own for a clock that nobody
/// disciplines.
/// Source: Linux include/linux/timex.h, NTP_PHASE_LIMIT: 16 s.
inline constexpr uint64_t kUnknownErrorNs = 16'000'000'000;

/// What a reference says of itself.
struct ReferenceQuality {
  bool synchronised;      ///< Whether the error bound is vouched for.
  double frequency_ppb;   ///< Of its MONOTONIC against its MONOTONIC_RAW.
  uint64_t max_error_ns;  ///< Of its REALTIME against UTC.
  int32_t tai_offset_sec;
  uint32_t leap_state =
      VVAR_LEAP_NONE;  ///< NONE to DONE: at its next midnight.
};

/// A source of time for Discipline. Context: one thread.
class Reference {
 public:
  virtual ~Reference() = default;
  /// Reads REALTIME, MONOTONIC, MONOTONIC_RAW or BOOTTIME once.
  virtual Bracket Read(ClockId clock) = 0;
  /// Asks whoever knows: a system call or a socket, but waits for nobody.
  virtual ReferenceQuality Quality() = 0;

  /// Returns the narrowest of `tries` brackets: the one least disturbed.
  Bracket ReadNarrowest(ClockId clock, int tries) {
    Bracket best = Read(clock);
    for (int i = 1; i < tries; ++i) {
      const Bracket next = Read(clock);
      if (next.width() < best.width()) best = next;
    }
    return best;
  }
};

/// The kernel's own clocks, through the C library.
class KernelReference : public Reference {
 public:
  /// `own`: what the clocks of this process are ahead by of those that are
  /// wanted. For a page between processes, which speaks in the initial time
  /// namespace: what TimeNamespaceOffsets() says.
  explicit KernelReference(NativeClock clock, const ClockOffsets& own = {})
      : clock_(clock), own_(own) {}

  Bracket Read(ClockId clock) override {
    timespec time;
    const uint64_t before = clock_.Read();
    clock_gettime(static_cast<clockid_t>(clock), &time);
    const uint64_t after = clock_.Read();
    const uint64_t ns =
        TimespecToNs({time.tv_sec, static_cast<uint32_t>(time.tv_nsec)});
    return {before, after,
            static_cast<int64_t>(ns - TimespecToNs(own_.Of(clock)))};
  }

  ReferenceQuality Quality() override {
    timex state = {};
    const int result = adjtimex(&state);
    if (result < 0) return {false, 0.0, kUnknownErrorNs, 0};
    // Source: adjtimex(2): freq in 2^-16 ppm; tick in us per 1/USER_HZ s, with
    // USER_HZ 100, so one unit is 100 ppm; maxerror in us.
    const double frequency_ppb = static_cast<double>(state.freq) * 1000 / 65536;
    const double tick_ppb = static_cast<double>(state.tick - 10000) * 100'000;
    // TIME_ERROR, 5, hides it: a leap second is then seen when it is made.
    const uint32_t leap_state =
        result <= TIME_WAIT ? static_cast<uint32_t>(result) : VVAR_LEAP_NONE;
    return {(state.status & STA_UNSYNC) == 0, frequency_ppb + tick_ppb,
            static_cast<uint64_t>(state.maxerror) * 1000, state.tai,
            leap_state};
  }

 private:
  static_assert(TIME_OK == VVAR_LEAP_NONE && TIME_INS == VVAR_LEAP_INSERT &&
                TIME_DEL == VVAR_LEAP_DELETE &&
                TIME_OOP == VVAR_LEAP_INSERTED && TIME_WAIT == VVAR_LEAP_DONE);
  NativeClock clock_;
  ClockOffsets own_;
};

}  // namespace vvar::hosted

#endif  // VVAR_HOSTED_REFERENCE_H_
