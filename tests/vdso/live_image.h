// SPDX-License-Identifier: MIT
//
// The image on the live page of this process's own clock, beside the system it
// stands for. Tests of tests/vdso only.
#ifndef VVAR_TESTS_VDSO_LIVE_IMAGE_H_
#define VVAR_TESTS_VDSO_LIVE_IMAGE_H_

#include <gtest/gtest.h>
#include <stdint.h>

#include "fallback/syscall.h"
#include "hosted/clock.h"
#include "hosted/mapped_image.h"
#include "tests/vdso/test_image.h"
#include "vvar/page.h"
#include "vvar/reader.h"
#include "vvar/reading.h"

namespace vvar::vdso {

class LiveImageTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!hosted::ProcessClock().status().ok()) {
      GTEST_SKIP() << "no page here: " << hosted::ProcessClock().status();
    }
    // Readers of it follow what its writer does.
    bytes_ = reinterpret_cast<const vvar_page*>(image_.layout().page);
  }

  int64_t ImageNs(int32_t id) const {
    fallback::KernelOldTimespec now = {-1, -1};
    EXPECT_EQ(image_functions_.clock_gettime(id, &now), 0) << id;
    EXPECT_GE(now.tv_nsec, 0);
    EXPECT_LT(now.tv_nsec, 1'000'000'000);
    return Ns(now);
  }

  const hosted::MappedImage image_ = MapImage(hosted::ProcessClock().page_fd());
  const fallback::VdsoFunctions image_functions_ = image_.functions();
  const vvar_page* bytes_ = nullptr;
};

inline int64_t KernelNs(int32_t id) {
  fallback::KernelTimespec now = {-1, -1};
  EXPECT_EQ(fallback::ClockGettime(id, &now), 0) << id;
  return Ns(now);
}

/// What the page may be away from the system's clock: what that may have been
/// steered by since the page's line began, and a measurement that was
/// disturbed. Not the page's Interval(): that is about UTC, 16 s where nobody
/// synchronises the system. Source: Linux kernel/time/ntp.c, MAXFREQ: 500 ppm.
inline int64_t ErrorNs() {
  constexpr int64_t kDisturbedNs = 20'000;
  const AgeReading age = hosted::ProcessClock().reader().Age();
  const bool has_begun =
      age.status == ReadStatus::kOk && age.age_ns < uint64_t{INT64_MAX};
  return kDisturbedNs +
         (has_begun ? static_cast<int64_t>(age.age_ns / 2'000) : 0);
}

}  // namespace vvar::vdso

#endif  // VVAR_TESTS_VDSO_LIVE_IMAGE_H_
