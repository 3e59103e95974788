// SPDX-License-Identifier: MIT
//
// Cause and effect on two CPUs: one thread reads its clock and hands the time
// over; the other takes it, then reads its own. An ordered read that is earlier
// than the time handed over breaks causality. Unordered reads and the bare
// counter, which promise nothing, are counted beside it.
//
// What this could miss: it samples orders that this machine happens to show in
// a few seconds, on its own memory model (TSO on x86). It proves a violation,
// never its absence. It has found bare RDTSC out on every machine so far; and
// under qemu-user it finds QEMU out, whose counters are the host's bare RDTSC.
#include <gtest/gtest.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <atomic>

#include "clocks/native.h"
#include "tests/support/hand_over.h"
#include "tests/support/test_page.h"
#include "vvar/clocksource.h"
#include "vvar/reader.h"
#include "vvar/timekeeper.h"
#include "vvar/writer.h"

namespace vvar {
namespace {

using support::kTestConfig;
using support::kTestTimes;
using support::Stream;
using support::TakeTurns;
using support::Tally;
using support::UsableCpus;

class CausalityStressTest : public testing::Test {
 protected:
  void SetUp() override {
    if (UsableCpus().size() < 2) GTEST_SKIP() << "needs two CPUs";
    info_ = QueryCounter(NativeClock());
    if (!info_.constant_rate) GTEST_SKIP() << "counter without constant rate";
    TimekeeperConfig config = kTestConfig;
    config.counter_id = NativeClock::kCounterId;
    config.counter_bits = NativeClock::kCounterBits;
    config.counter_hz = info_.hz != 0 ? info_.hz : 1'000'000'000;
    config.max_age_ns = 24 * 3'600'000'000'000;
    Writer<NativeClock> writer(&page_.timeline[0], info_.clock);
    Timekeeper timekeeper(config);
    // Begun some time ago, on every CPU.
    timekeeper.Start(info_.clock.Read(0) - 1'000'000, kTestTimes);
    writer.PublishLine(timekeeper.line());
  }

  Reader<NativeClock> MakeReader(NativeClock clock) const {
    return Reader<NativeClock>(&page_.timeline[0], clock);
  }
  // In all, of each kind of read.
  static uint64_t HandOvers() {
    return getenv("VVAR_THOROUGH") != nullptr ? 50'000'000 : 2'000'000;
  }

  vvar_page page_ = {};
  CounterInfo<NativeClock> info_ = {};
};

// Trap: T49
// Trap: T50
TEST_F(CausalityStressTest, OrderedReadsNeverPrecedeTheirCause) {
  // By the read that is right on every CPU, and by the cheapest that this one
  // has: on x86, LFENCE; RDTSC and RDTSCP.
  const struct {
    const char* name;
    NativeClock clock;
  } kRows[] = {{"default", NativeClock()}, {"of this CPU", info_.clock}};
  for (const auto& row : kRows) {
    SCOPED_TRACE(row.name);
    const Reader<NativeClock> reader = MakeReader(row.clock);
    std::atomic<uint64_t> refused{0};
    const auto read = [&] {
      const NsReading reading = reader.Now(ClockId::kMonotonic);
      if (!reading.ok()) ++refused;
      return reading.ns;
    };
    const uint64_t hand_overs = HandOvers() / 4;
    for (const Tally& tally :
         {Stream(hand_overs, read), TakeTurns(hand_overs, read)}) {
      tally.Print(row.name);
      EXPECT_GE(tally.hand_overs, hand_overs);
      EXPECT_EQ(tally.violations, 0u) << "worst " << tally.worst << " ns";
    }
    EXPECT_EQ(refused.load(), 0u);
  }
}

// Not asserted: these show what an ordered read is for.
TEST_F(CausalityStressTest, UnorderedReadsAreShownBeside) {
  const Reader<NativeClock> reader = MakeReader(info_.clock);
  const auto unordered = [&] {
    return reader.NowUnordered(ClockId::kMonotonic).ns;
  };
  const auto bare = [&] { return info_.clock.ReadUnordered(); };
  const uint64_t hand_overs = HandOvers() / 8;
  const struct {
    const char* name;
    Tally tally;
  } kRows[] = {
      {"unordered read (ns), streamed", Stream(hand_overs, unordered)},
      {"unordered read (ns), in turns", TakeTurns(hand_overs, unordered)},
      {"bare counter (cycles), streamed", Stream(hand_overs, bare)},
      {"bare counter (cycles), in turns", TakeTurns(hand_overs, bare)},
  };
  for (const auto& row : kRows) {
    row.tally.Print(row.name);
    EXPECT_GE(row.tally.hand_overs, hand_overs);
  }
}

}  // namespace
}  // namespace vvar
