// SPDX-License-Identifier: MIT
//
// absl::Time of the process's clock: the kernel's REALTIME, as Abseil has it.
#include "hosted/absl_time.h"

#include <gtest/gtest.h>
#include <stdint.h>
#include <time.h>

#include "absl/time/time.h"

namespace vvar::hosted {
namespace {

// Far above the clock's error, also on a busy machine.
constexpr absl::Duration kSlack = absl::Microseconds(1);

absl::Time KernelNow() {
  timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  return absl::TimeFromTimespec(now);
}

TEST(AbslTimeTest, NowLiesBetweenTwoReadsOfTheKernel) {
  for (int i = 0; i < 10'000; ++i) {
    const absl::Time earliest = KernelNow();
    const absl::Time now = Now();
    const absl::Time latest = KernelNow();
    ASSERT_GE(now, earliest - kSlack);
    ASSERT_LE(now, latest + kSlack);
  }
}

TEST(AbslTimeTest, GetCurrentTimeNanosIsTheSameClock) {
  for (int i = 0; i < 10'000; ++i) {
    const absl::Time earliest = KernelNow();
    const int64_t ns = GetCurrentTimeNanos();
    const absl::Time latest = KernelNow();
    ASSERT_GE(absl::FromUnixNanos(ns), earliest - kSlack);
    ASSERT_LE(absl::FromUnixNanos(ns), latest + kSlack);
  }
}

}  // namespace
}  // namespace vvar::hosted
