// SPDX-License-Identifier: MIT
//
// What a read gives: plain values with their status. Freestanding core; no
// page, no counter. Each fits the registers a function returns in, where it
// can.
#ifndef VVAR_READING_H_
#define VVAR_READING_H_

#include <stdint.h>

#include "vvar/page.h"

namespace vvar {

/// A time in ns since the clock's epoch, modulo 2^64. Holds only if ok().
struct NsReading {
  uint64_t ns;
  ReadStatus status;
  /// False: `status` says why there is no time.
  constexpr bool ok() const { return status == ReadStatus::kOk; }
};

/// A time as POSIX has it. Holds only if ok().
struct TimespecReading {
  int64_t sec;
  uint32_t nsec;
  ReadStatus status;
  /// False: `status` says why there is no time.
  constexpr bool ok() const { return status == ReadStatus::kOk; }
};

/// The true time lies in [earliest_ns, latest_ns], if `clock_status` is
/// kSynchronised and the writer's error bound holds. Valid only if ok().
struct IntervalReading {
  uint64_t earliest_ns;
  uint64_t latest_ns;
  ReadStatus status;
  ClockStatus clock_status;
  /// False: `status` says why there is no time.
  constexpr bool ok() const { return status == ReadStatus::kOk; }
};

/// Every clock at one counter value, in ns modulo 2^64.
struct SnapshotReading {
  uint64_t cycles;
  uint64_t realtime_ns;
  uint64_t monotonic_ns;
  uint64_t monotonic_raw_ns;
  uint64_t boottime_ns;
  uint64_t tai_ns;
  uint64_t realtime_coarse_ns;
  uint64_t monotonic_coarse_ns;
  uint64_t error_ns;    ///< Half the width of Interval() at this counter value.
  uint32_t leap_state;  ///< VVAR_LEAP_*: what UTC's next, or last, one does.
  int32_t tai_offset_sec;
  ClockStatus clock_status;
};

/// How long ago the line that answers began. age_ns holds for kOk and kStale;
/// it is UINT64_MAX where the counter is far behind the line.
struct AgeReading {
  uint64_t age_ns;
  ReadStatus status;
  ClockStatus clock_status;
};

}  // namespace vvar

#endif  // VVAR_READING_H_
