// SPDX-License-Identifier: MIT
#include "paravirt/hyperv_tsc.h"

#include <gtest/gtest.h>
#include <stdint.h>

#include "tests/support/manual_clock.h"

namespace vvar {
namespace {

using support::ManualClock;
using support::ManualCounter;

using Clock = ManualClock<>;
using Reader = HypervTscReader<Clock>;

TEST(HypervTscTest, RoundTripThroughAPage) {
  alignas(4096) static hv_reference_tsc_page page = {};
  HypervTscWriter<> writer(&page);
  ManualCounter counter;
  const Reader reader(&page, Clock(&counter));
  EXPECT_EQ(reader.Now().status, ForeignStatus::kWithdrawn);
  HypervTscLine line = {0, static_cast<uint64_t>(-500)};
  ASSERT_TRUE(HypervScaleFromHz(3'000'000'000, &line.scale));
  writer.Publish(line);
  counter.value = 3'000'000'001;
  EXPECT_EQ(reader.Now().status, ForeignStatus::kOk);
  EXPECT_EQ(reader.Now().count, 10'000'000u - 500);
}

}  // namespace
}  // namespace vvar
