// SPDX-License-Identifier: MIT
#include "paravirt/vmclock.h"

#include <gtest/gtest.h>
#include <stdint.h>

#include "tests/support/manual_clock.h"

namespace vvar {
namespace {

using support::ManualClock;
using support::ManualCounter;

using Clock = ManualClock<64, VVAR_COUNTER_X86_TSC>;
using Reader = VmclockReader<Clock>;

TEST(VmclockTest, RoundTripThroughAPage) {
  alignas(4096) static uint8_t region[4096] = {};
  VmclockWriter<> writer(reinterpret_cast<vmclock_abi*>(region),
                         VmclockTaiSign::kUtcMinusTai);
  writer.Format(sizeof region);
  ManualCounter counter;
  Reader reader;
  ASSERT_EQ(Reader::Attach(region, sizeof region, Clock(&counter), &reader),
            PageStatus::kOk);
  EXPECT_EQ(reader.Now(VmclockTimeType::kTai).status,
            ForeignStatus::kWithdrawn);
  VmclockLine line = {};
  line.line = {1'000, {1'700'000'037, 0}, FracPeriodFromHz(2'000'000'000)};
  line.flags = kVmclockTaiOffsetValid;
  line.tai_offset_sec = 37;
  line.time_type = VmclockTimeType::kTai;
  line.clock_status = VmclockClockStatus::kSynchronised;
  writer.Publish(VVAR_COUNTER_X86_TSC, line);
  counter.value = 1'000'001'000;
  const VmclockReading tai = reader.Now(VmclockTimeType::kTai);
  ASSERT_EQ(tai.status, ForeignStatus::kOk);
  EXPECT_EQ(tai.time, (Timespec{1'700'000'037, 499'999'999}));
  const VmclockReading utc = reader.Now(VmclockTimeType::kUtc);
  ASSERT_EQ(utc.status, ForeignStatus::kOk);
  EXPECT_EQ(utc.time, (Timespec{1'700'000'000, 499'999'999}));
}

}  // namespace
}  // namespace vvar
