// SPDX-License-Identifier: MIT
//
// The image of this machine, mapped into the test, and a page for it whose
// clocks nobody could take for the system's. Tests of tests/vdso only.
#ifndef VVAR_TESTS_VDSO_TEST_IMAGE_H_
#define VVAR_TESTS_VDSO_TEST_IMAGE_H_

#include <limits.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "clocks/native.h"
#include "fallback/syscall.h"
#include "hosted/mapped_image.h"
#include "hosted/shared_page.h"
#include "vdso/embedded_image.h"
#include "vvar/header.h"
#include "vvar/offset.h"
#include "vvar/page.h"
#include "vvar/timekeeper.h"
#include "vvar/writer.h"

namespace vvar::vdso {

/// Tests cannot go on without.
template <class Value>
Value Got(absl::StatusOr<Value> value) {
  if (value.ok()) return *std::move(value);
  fprintf(stderr, "%s\n", value.status().ToString().c_str());
  abort();
}

inline hosted::MappedImage MapImage(int page_fd,
                                    const ClockOffsets& offsets = {}) {
  const std::string_view image = EmbeddedImage();
  return Got(
      hosted::MappedImage::Map(image.data(), image.size(), page_fd, offsets));
}

inline constexpr int32_t kPrecise[] = {0, 1, 4, 7, 11};
inline constexpr int32_t kCoarse[] = {5, 6};

/// The page's clocks, and those that only the kernel knows.
inline std::vector<int32_t> EveryKindOfId() {
  std::vector<int32_t> ids = {-1, INT_MIN, INT_MAX, INT_MIN + 1, -2, -6, -8};
  for (int32_t id = 0; id <= 31; ++id) ids.push_back(id);
  return ids;
}

template <typename Int>
int64_t Ns(const fallback::KernelTimespecOf<Int>& time) {
  return int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec;
}

/// A page on this machine's counter, published by the test alone. All of its
/// clocks begin in the year 2096, where no clock of the system is.
class FarPage {
 public:
  static constexpr int64_t kStartSec = 4'000'000'000;
  static bool IsFar(int64_t sec) { return sec > kStartSec - 1'000'000; }

  /// Its lines answer for 2^`age_bits` cycles.
  explicit FarPage(uint32_t features = VVAR_FEATURE_USER_COUNTER,
                   uint32_t age_bits = 38)
      : page_(Got(hosted::WritablePage::CreateAnonymous(
            {NativeClock::kCounterId, NativeClock::kCounterBits, kHz, 1,
             features, 1, 1, 1'000'000}))),
        timekeeper_({NativeClock::kCounterId, NativeClock::kCounterBits, kHz,
                     /*lead_ns=*/1'000, /*interval_ns=*/1'000'000,
                     /*max_age_ns=*/uint64_t{1} << age_bits}),
        writer_(&page_.bytes().timeline[0], NativeClock()) {
    constexpr Timespec kStart = {kStartSec, 0};
    timekeeper_.Start(NativeClock().Read(),
                      {kStart, kStart, kStart, kStart, 37});
    writer_.PublishLine(timekeeper_.line());
  }

  PublishStatus Publish() { return writer_.Publish(timekeeper_); }
  Timekeeper& timekeeper() { return timekeeper_; }
  vvar_page& bytes() { return page_.bytes(); }
  int fd() const { return page_.fd(); }

 private:
  static constexpr uint64_t kHz = 1'000'000'000;  // Near enough.
  hosted::WritablePage page_;
  Timekeeper timekeeper_;
  Writer<NativeClock> writer_;
};

}  // namespace vvar::vdso

#endif  // VVAR_TESTS_VDSO_TEST_IMAGE_H_
