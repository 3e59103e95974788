// SPDX-License-Identifier: MIT
#include "paravirt/pvclock.h"

#include <gtest/gtest.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <string>
#include <vector>

#include "tests/support/manual_clock.h"
#include "tests/support/oracle.h"
#include "tests/support/scripted_memory.h"

namespace vvar {
namespace {

using support::EdgyRandom;
using support::ManualClock;
using support::ManualCounter;
using support::MemoryEvent;
using support::MemoryOp;
using support::MemoryScript;
using support::ScriptedMemory;
using support::UnsignedWide;

using Clock = ManualClock<>;
using Reader = PvclockReader<Clock>;

constexpr PvclockLine kLine = {
    .tsc_timestamp = 1'000'000,
    .system_time_ns = 5'000'000'000,
    .rate = PvclockRateFromHz(2'400'000'000),
    .flags = kPvclockTscStable,
};

// The formula of the format, in wide integers, for a TSC after the record.
uint64_t Expected(const PvclockLine& line, uint64_t tsc) {
  const uint64_t delta = tsc - line.tsc_timestamp;
  UnsignedWide shifted = delta;
  if (line.rate.shift < 0) {
    shifted = delta >> -line.rate.shift;
  } else {
    shifted = shifted << static_cast<uint32_t>(line.rate.shift);
  }
  return line.system_time_ns +
         static_cast<uint64_t>((shifted * UnsignedWide(line.rate.mul)) >> 32);
}

// A record with one line on it.
struct Record {
  explicit Record(const PvclockLine& line = kLine) { Publish(line); }
  void Publish(const PvclockLine& line) {
    pvclock_vcpu_time_info* const all[] = {&record};
    PvclockWriter<>(all, 1).Publish(line);
  }
  Reader MakeReader(PvclockUse use = PvclockUse::kEveryCpu) {
    return Reader(&record, Clock(&counter), use);
  }
  pvclock_vcpu_time_info record = {};
  ManualCounter counter;
};

struct RateRow {
  const char* name;
  uint64_t hz;
  PvclockRate rate;
};
constexpr RateRow kRates[] = {
    {"2.596152 GHz", 2'596'152'000, {3308717899, -1}},
    {"3 GHz", 3'000'000'000, {2863311530, -1}},
    {"2.4 GHz", 2'400'000'000, {3579139413, -1}},
    {"1 GHz", 1'000'000'000, {2147483648, 1}},
    {"24 MHz", 24'000'000, {2796202666, 6}},
    {"10 MHz", 10'000'000, {3355443200, 7}},
};

TEST(PvclockTest, RateIsTheOneThatKvmChooses) {
  for (const RateRow& row : kRates) {
    SCOPED_TRACE(row.name);
    const PvclockRate rate = PvclockRateFromHz(row.hz);
    EXPECT_EQ(rate.mul, row.rate.mul);
    EXPECT_EQ(rate.shift, row.rate.shift);
    // And back, within the 2^-31 of mul.
    const uint64_t hz = PvclockRateToHz(rate);
    EXPECT_GE(hz, row.hz);
    EXPECT_LE(hz - row.hz, (row.hz >> 31) + 1);
  }
}

TEST(PvclockTest, RoundTripThroughAPage) {
  Record page;
  page.counter.value = kLine.tsc_timestamp + 2'400'000'000;
  const ForeignCount now = page.MakeReader().Now();
  ASSERT_EQ(now.status, ForeignStatus::kOk);
  EXPECT_EQ(now.count, Expected(kLine, page.counter.value));
  EXPECT_EQ(now.count, 5'999'999'999u);  // mul is rounded down.
}

}  // namespace
}  // namespace vvar
