// SPDX-License-Identifier: MIT
//
// Every way into the clock of a process, for clock_static_init_test.sh to look
// at the object: none of them may cost a program anything before main().
#include <stdint.h>

#include "absl/time/time.h"
#include "hosted/absl_time.h"
#include "hosted/clock.h"

namespace vvar::hosted {

int64_t UseSteady() { return steady_clock::now().time_since_epoch().count(); }
int64_t UseUnordered() {
  return unordered_steady_clock::now().time_since_epoch().count();
}
int64_t UseSystem() {
  return system_clock::to_sys(system_clock::now()).time_since_epoch().count();
}
absl::Time UseAbseil() { return Now(); }
uint64_t UseOwn() {
  const InProcessClock clock;
  return clock.status().ok() ? clock.Now(ClockId::kMonotonic) : 0;
}

}  // namespace vvar::hosted
