// SPDX-License-Identifier: MIT
//
// absl::Time from the process's clock: absl::Now() at the price of a read.
#ifndef VVAR_HOSTED_ABSL_TIME_H_
#define VVAR_HOSTED_ABSL_TIME_H_

#include <stdint.h>

#include "absl/time/time.h"
#include "hosted/clock.h"

namespace vvar::hosted {

/// Returns REALTIME. Ordering: as clock_gettime(). Starts ProcessClock().
inline absl::Time Now() {
  return absl::FromUnixNanos(
      static_cast<int64_t>(ProcessClock().Now(ClockId::kRealtime)));
}

/// Returns REALTIME in ns, as absl::GetCurrentTimeNanos() does.
inline int64_t GetCurrentTimeNanos() {
  return static_cast<int64_t>(ProcessClock().Now(ClockId::kRealtime));
}

}  // namespace vvar::hosted

#endif  // VVAR_HOSTED_ABSL_TIME_H_
