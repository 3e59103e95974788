// SPDX-License-Identifier: MIT
//
// What a vvar line says in VMClock's terms, and the other way round: real time
// with its status, error bound and leap second. Pure, constexpr, freestanding;
// no page. The rate and the time are conversion.h's.
#ifndef VVAR_PARAVIRT_VMCLOCK_LINE_H_
#define VVAR_PARAVIRT_VMCLOCK_LINE_H_

#include <stdint.h>

#include "paravirt/conversion.h"
#include "paravirt/frac_time.h"
#include "paravirt/vmclock_abi.h"
#include "vvar/abi.h"
#include "vvar/page.h"
#include "vvar/scale.h"
#include "vvar/timebase.h"
#include "vvar/wide.h"

namespace vvar {

/// Returns what a vvar line of this status is to a guest.
constexpr VmclockClockStatus VmclockStatusOf(ClockStatus status) {
  switch (status) {
    case ClockStatus::kSynchronised:
      return VmclockClockStatus::kSynchronised;
    case ClockStatus::kFreeRunning:
      return VmclockClockStatus::kFreeRunning;
    case ClockStatus::kUnreliable:
      return VmclockClockStatus::kUnreliable;
    default:
      return VmclockClockStatus::kUnknown;
  }
}

/// Returns what a guest's own lines say of a time of this status.
constexpr ClockStatus ClockStatusOf(VmclockClockStatus status) {
  switch (status) {
    case VmclockClockStatus::kSynchronised:
      return ClockStatus::kSynchronised;
    case VmclockClockStatus::kFreeRunning:
      return ClockStatus::kFreeRunning;
    case VmclockClockStatus::kUnreliable:
      return ClockStatus::kUnreliable;
    default:
      return ClockStatus::kUnsynchronised;
  }
}

/// Returns the leap second that UTC is about to have, or has. A smear is none:
/// TAI knows nothing of it, and neither does the page.
constexpr VmclockLeap VmclockLeapOf(uint32_t leap_state) {
  return leap_state == VVAR_LEAP_INSERT     ? VmclockLeap::kPreInsert
         : leap_state == VVAR_LEAP_DELETE   ? VmclockLeap::kPreDelete
         : leap_state == VVAR_LEAP_INSERTED ? VmclockLeap::kInserted
                                            : VmclockLeap::kNone;
}

/// Converts a vvar line to what a guest may be told: TAI from `at` on, with the
/// offset to UTC. Its error bound is there only if somebody vouches for it, and
/// covers the conversion. The marker and the generation, 0 here, are the
/// caller's, and so is kVmclockTimeMonotonic (VmclockWriter::PublishAfter()).
/// Returns whether the rate fits; if not, `*to` is undefined.
/// Range: 64-bit counters.
[[nodiscard]] constexpr bool ToVmclock(const Line& from, uint64_t at,
                                       VmclockLine* to) {
  const ClockLine tai = ClockLineOf(from, VVAR_BASE_TAI);
  LineError error;
  if (!ToFrac(tai, at, &to->line, &error)) return false;
  const bool bounded = from.status == ClockStatus::kSynchronised ||
                       from.status == ClockStatus::kFreeRunning;
  const uint64_t age_ns = tai.NsAt(at) - tai.NsAt(from.cycle_start);
  // Bound: 64 + 33 bits; the quotient is below 2^64 * 4.3, so it saturates.
  const Uint128 growth = QuotientWide(
      MultiplyWide(to->line.period.frac_sec,
                   uint64_t{from.error_growth_ppb} + error.GrowthPpb()),
      kNsPerSec);
  to->period_esterror = 0;
  to->period_maxerror = !bounded           ? 0
                        : growth.high != 0 ? UINT64_MAX
                                           : growth.low + 1;
  to->time_esterror_ns = 0;
  to->time_maxerror_ns =
      bounded ? AddErrors(
                    ErrorNsAfter(from.error_ns, age_ns, from.error_growth_ppb),
                    error.NsAfter(0))
              : 0;
  to->disruption_marker = 0;
  to->generation = 0;
  to->flags = kVmclockTaiOffsetValid;
  if (bounded) {
    to->flags |= kVmclockTimeMaxerrorValid | kVmclockPeriodMaxerrorValid;
  }
  to->tai_offset_sec = from.tai_offset_sec;
  to->time_type = VmclockTimeType::kTai;
  to->clock_status = VmclockStatusOf(from.status);
  to->leap = VmclockLeapOf(from.leap.state);
  return true;
}

/// Returns the error bound of a page's time at `cycles`, as Timekeeper's
/// SetErrorBound() takes it; UINT64_MAX where the page has none.
constexpr LineError BoundOf(const VmclockLine& from, uint64_t cycles) {
  const uint64_t error_ns = from.MaxErrorNsAt(cycles);
  const uint64_t period = from.line.period.frac_sec;
  if (error_ns == UINT64_MAX || period == 0) return {UINT64_MAX, UINT64_MAX};
  const Uint128 growth = QuotientWide({from.period_maxerror, 0}, period);
  return {error_ns, growth.high != 0 || growth.low == UINT64_MAX
                        ? UINT64_MAX
                        : growth.low + 1};
}

}  // namespace vvar

#endif  // VVAR_PARAVIRT_VMCLOCK_LINE_H_
