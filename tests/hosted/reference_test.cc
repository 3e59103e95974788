// SPDX-License-Identifier: MIT
//
// Brackets, and the kernel as a reference: what it reads lies between what the
// kernel says just before and after, clock by clock.
#include "hosted/reference.h"

#include <gtest/gtest.h>
#include <stdint.h>
#include <sys/timex.h>
#include <time.h>

#include <vector>

#include "absl/status/statusor.h"
#include "clocks/native.h"
#include "hosted/counter.h"
#include "vvar/page.h"

namespace vvar::hosted {
namespace {

TEST(BracketTest, MidpointLiesBetweenItsEndsAlsoAcrossTheCountersWrap) {
  struct Row {
    const char* name;
    uint64_t before;
    uint64_t after;
    uint64_t width;
    uint64_t midpoint;
  };
  const Row kRows[] = {
      {"Nothing", 7, 7, 0, 7},
      {"Even", 100, 200, 100, 150},
      {"OddIsRoundedDown", 100, 203, 103, 151},
      {"HighBit", uint64_t{1} << 63, (uint64_t{1} << 63) + 10, 10,
       (uint64_t{1} << 63) + 5},
      {"Wrap", UINT64_MAX - 9, 10, 20, 0},
  };
  for (const Row& row : kRows) {
    const Bracket bracket = {row.before, row.after, 0};
    EXPECT_EQ(bracket.width(), row.width) << row.name;
    EXPECT_EQ(bracket.midpoint(), row.midpoint) << row.name;
  }
}

// Brackets of given widths, one after another.
class ListedReference : public Reference {
 public:
  explicit ListedReference(std::vector<uint64_t> widths)
      : widths_(std::move(widths)) {}
  Bracket Read(ClockId) override {
    const size_t i = reads_++;
    return {1000 * i, 1000 * i + widths_.at(i), static_cast<int64_t>(i)};
  }
  ReferenceQuality Quality() override { return {}; }
  size_t reads() const { return reads_; }

 private:
  std::vector<uint64_t> widths_;
  size_t reads_ = 0;
};

TEST(ReferenceTest, ReadNarrowestTakesTheLeastDisturbedOfItsTries) {
  struct Row {
    const char* name;
    std::vector<uint64_t> widths;
    int tries;
    int64_t taken;
  };
  const Row kRows[] = {
      {"One", {70}, 1, 0},
      {"First", {50, 60, 70, 80}, 4, 0},
      {"Last", {80, 70, 60, 50}, 4, 3},
      {"Middle", {80, 50, 60, 70}, 4, 1},
      {"FirstOfEqualOnes", {60, 60, 60, 60}, 4, 0},
  };
  for (const Row& row : kRows) {
    ListedReference reference(row.widths);
    EXPECT_EQ(reference.ReadNarrowest(ClockId::kMonotonic, row.tries).ns,
              row.taken)
        << row.name;
    EXPECT_EQ(reference.reads(), row.widths.size()) << row.name;
  }
}

class KernelReferenceTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const absl::StatusOr<CounterInfo<NativeClock>> counter = FindCounter();
    if (!counter.ok()) GTEST_SKIP() << counter.status();
    clock_ = counter->clock;
  }
  NativeClock clock_;
};

TEST_F(KernelReferenceTest, ReadsTheClockItIsAskedFor) {
  KernelReference reference(clock_);
  const auto kernel_ns = [](ClockId id) {
    timespec time;
    EXPECT_EQ(clock_gettime(static_cast<clockid_t>(id), &time), 0);
    return int64_t{time.tv_sec} * 1'000'000'000 + int64_t{time.tv_nsec};
  };
  for (const ClockId id : {ClockId::kRealtime, ClockId::kMonotonic,
                           ClockId::kMonotonicRaw, ClockId::kBoottime}) {
    for (int i = 0; i < 1000; ++i) {
      const uint64_t before = clock_.Read();
      const int64_t earliest = kernel_ns(id);
      const Bracket bracket = reference.Read(id);
      const int64_t latest = kernel_ns(id);
      const uint64_t after = clock_.Read();
      ASSERT_LE(earliest, bracket.ns) << "clock " << static_cast<int>(id);
      ASSERT_LE(bracket.ns, latest) << "clock " << static_cast<int>(id);
      ASSERT_LE(before, bracket.before);
      ASSERT_LE(bracket.before, bracket.after);
      ASSERT_LE(bracket.after, after);
    }
  }
}

// As in a time namespace of these offsets, for a page that knows none.
TEST_F(KernelReferenceTest, OwnOffsetsAreTakenOff) {
  constexpr int64_t kSecNs = 1'000'000'000;
  KernelReference own(clock_, {{1'000'000, 999'999'999}, {-5, 1}});
  const struct {
    ClockId id;
    int64_t offset_ns;
  } kRows[] = {
      {ClockId::kRealtime, 0},
      {ClockId::kMonotonic, 1'000'001 * kSecNs - 1},
      {ClockId::kMonotonicRaw, 1'000'001 * kSecNs - 1},
      {ClockId::kBoottime, -5 * kSecNs + 1},
  };
  KernelReference kernel(clock_);
  for (const auto& row : kRows) {
    const int64_t earliest = kernel.Read(row.id).ns;
    const int64_t ns = own.Read(row.id).ns + row.offset_ns;
    const int64_t latest = kernel.Read(row.id).ns;
    EXPECT_LE(earliest, ns) << "clock " << static_cast<int>(row.id);
    EXPECT_LE(ns, latest) << "clock " << static_cast<int>(row.id);
  }
}

TEST_F(KernelReferenceTest, QualityIsWhatAdjtimexSays) {
  timex state = {};
  const int result = adjtimex(&state);
  if (result < 0) GTEST_SKIP() << "adjtimex is refused here";
  const ReferenceQuality quality = KernelReference(clock_).Quality();
  EXPECT_EQ(quality.synchronised, (state.status & STA_UNSYNC) == 0);
  EXPECT_EQ(quality.tai_offset_sec, state.tai);
  // maxerror grows by itself, by half a microsecond a millisecond.
  EXPECT_GE(quality.max_error_ns, static_cast<uint64_t>(state.maxerror) * 1000);
  EXPECT_LE(quality.max_error_ns, 20'000'000'000u);
  EXPECT_NEAR(quality.frequency_ppb,
              static_cast<double>(state.freq) / 65.536 +
                  (static_cast<double>(state.tick) - 10000) * 1e5,
              1);
}

}  // namespace
}  // namespace vvar::hosted
