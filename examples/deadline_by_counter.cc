// SPDX-License-Identifier: MIT
//
// A deadline turned into a counter value once; the loop that waits for it then
// compares counter values only: no page, no arithmetic. Such a value is a
// projection: if the clock's rate changes meanwhile, it is a little off. So the
// clock has the last word.
#include <stdint.h>
#include <stdio.h>

#include "absl/strings/str_format.h"
#include "clocks/native.h"
#include "hosted/clock.h"
#include "vvar/conversion.h"
#include "vvar/history.h"
#include "vvar/page.h"
#include "vvar/timebase.h"

namespace {

using vvar::ClockId;

class DeadlineSpinner {
 public:
  explicit DeadlineSpinner(const vvar::hosted::InProcessClock& clock)
      : clock_(clock) {}

  /// Spins until MONOTONIC shows `deadline_ns`; returns how often it looked.
  uint64_t SpinUntil(uint64_t deadline_ns) {
    uint64_t looks = 0;
    // By difference, as all of vvar's ns are modulo 2^64.
    while (static_cast<int64_t>(clock_.Now(ClockId::kMonotonic) - deadline_ns) <
           0) {
      ++looks;
      // Without a page there is nothing to convert with: the clock is polled.
      if (!clock_.status().ok()) continue;
      if (lines_.Capture(clock_.reader()) != vvar::ReadStatus::kOk) continue;
      const vvar::CyclesConversion deadline =
          lines_.CyclesAt(ClockId::kMonotonic, deadline_ns);
      if (deadline.status > vvar::ConversionStatus::kBeyondMax) continue;
      while (IsAhead(deadline.cycles)) ++looks;
    }
    return looks;
  }

 private:
  /// Counters wrap, some at 56 bits: never compare them by `<`.
  bool IsAhead(uint64_t cycles) const {
    const vvar::NativeClock& counter = clock_.reader().clock();
    return vvar::SignedDelta(cycles, counter.ReadUnordered(),
                             vvar::NativeClock::kCounterBits) > 0;
  }

  const vvar::hosted::InProcessClock& clock_;
  vvar::History<vvar::NativeClock> lines_;
};

}  // namespace

int main() {
  const vvar::hosted::InProcessClock clock;
  if (!clock.status().ok()) {
    absl::FPrintF(stderr, "no page, so the system's clock: %s\n",
                  clock.status().ToString());
  }
  DeadlineSpinner spinner(clock);
  for (const uint64_t wait_ns : {20'000u, 200'000u, 2'000'000u}) {
    const uint64_t deadline_ns = clock.Now(ClockId::kMonotonic) + wait_ns;
    const uint64_t looks = spinner.SpinUntil(deadline_ns);
    const uint64_t late_ns = clock.Now(ClockId::kMonotonic) - deadline_ns;
    absl::PrintF("deadline in %7d ns: %6d looks, over by %d ns\n", wait_ns,
                 looks, late_ns);
  }
}
