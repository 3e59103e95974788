// SPDX-License-Identifier: MIT
//
// Somebody's program on the headers of user space: a clock of its own process.
#include <stdint.h>
#include <stdio.h>
#include <time.h>

#include "hosted/clock.h"
#include "vvar/page.h"

namespace {

uint64_t KernelNs() {
  timespec now = {};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000 +
         static_cast<uint64_t>(now.tv_nsec);
}

}  // namespace

int main() {
  const vvar::hosted::InProcessClock clock;
  // The page's line is steered to the kernel's, to within microseconds.
  constexpr uint64_t kApartNs = 1'000'000;
  const uint64_t before = KernelNs();
  const uint64_t ns = clock.Now(vvar::ClockId::kMonotonic);
  const uint64_t after = KernelNs();
  printf("in process: %llu ns, %s\n", static_cast<unsigned long long>(ns),
         clock.status().ok() ? "from the page" : "from the system");
  return ns + kApartNs >= before && ns <= after + kApartNs ? 0 : 1;
}
