// SPDX-License-Identifier: MIT
//
// F6 and F7: counters that go back, wrap, stand still, differ between sockets,
// or run on with nobody publishing. Whatever they show, a read is on a
// published line, exactly, or refused: never below where the lines begin, never
// beyond what they answer for.
#include <gtest/gtest.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "tests/support/manual_clock.h"
#include "tests/support/oracle.h"
#include "tests/support/test_page.h"
#include "vvar/reader.h"
#include "vvar/timekeeper.h"
#include "vvar/writer.h"

namespace vvar::faults {
namespace {

using support::ClockRow;
using support::ExpectedNs;
using support::ForEachReadOf;
using support::kClockRows;
using support::TestPage;
using support::Ticks;

struct Outcome {
  uint64_t ok = 0;
  uint64_t stale = 0;
  uint64_t clamped = 0;  // Held at the start of a line.
};

// Every read of every precise clock at the counter's value, against what the
// published lines say of it, worked out without the reader.
template <uint32_t kBits>
void ReadAtCounter(TestPage<kBits>& test, Outcome* outcome) {
  const uint64_t now = test.counter.value & test.clock().kMask;
  const auto is_behind = [&](const Line& line) {
    return Ticks(now, line.cycle_start, kBits) >> (kBits - 1) != 0;
  };
  const Line& line = is_behind(test.line()) ? test.previous : test.line();
  const bool behind = is_behind(line);
  const uint64_t distance = behind ? Ticks(line.cycle_start, now, kBits)
                                   : Ticks(now, line.cycle_start, kBits);
  const ReadStatus expected_status =
      distance <= line.max_cycles ? ReadStatus::kOk : ReadStatus::kStale;
  const uint64_t end =
      (line.cycle_start + line.max_cycles) & test.clock().kMask;
  for (const ClockRow& clock : kClockRows) {
    if (clock.coarse) continue;
    const uint64_t expected = ExpectedNs(line, clock, now, kBits);
    const uint64_t least = ExpectedNs(line, clock, line.cycle_start, kBits);
    const uint64_t most = ExpectedNs(line, clock, end, kBits);
    const auto check = [&](const char* read, ReadStatus status, uint64_t ns) {
      ASSERT_EQ(status, expected_status) << read << " " << clock.name;
      outcome->stale += status == ReadStatus::kStale;
      if (status != ReadStatus::kOk) return;
      ASSERT_EQ(ns, expected) << read << " " << clock.name;
      ASSERT_GE(ns, least) << read << " " << clock.name;
      ASSERT_LE(ns, most) << read << " " << clock.name;
      ++outcome->ok;
      outcome->clamped += behind;
    };
    ForEachReadOf(test.MakeReader(), clock, check);
  }
}

enum class Says { kTime, kStartOfALine, kStale };

// A counter value, from where the current line begins.
struct CounterRow {
  const char* name;
  uint64_t delta;
  Says says;
};
constexpr uint64_t Back(uint64_t cycles) { return uint64_t{0} - cycles; }
constexpr uint64_t Power(uint32_t bits) { return uint64_t{1} << bits; }

// By a counter that starts low, wraps inside the lines, or has its top bit set.
template <uint32_t kBits, size_t kRows>
void ExpectRows(const CounterRow (&rows)[kRows], TimekeeperConfig config) {
  config.counter_bits = kBits;
  constexpr uint64_t kMask = UINT64_MAX >> (64 - kBits);
  for (const uint64_t start : {uint64_t{5'000}, kMask - 2'300'000, kMask / 2}) {
    for (const CounterRow& row : rows) {
      SCOPED_TRACE(row.name);
      TestPage<kBits> test(config, start);
      test.Warm();
      ASSERT_EQ(test.Publish(), PublishStatus::kPublished);
      // The line before began 500 000 cycles before this one.
      test.counter.value = (test.line().cycle_start + row.delta) & kMask;
      Outcome outcome;
      ReadAtCounter(test, &outcome);
      if (testing::Test::HasFatalFailure()) return;
      EXPECT_EQ(outcome.ok != 0, row.says != Says::kStale);
      EXPECT_EQ(outcome.clamped != 0, row.says == Says::kStartOfALine);
    }
  }
}

TEST(ScriptedCounterTest, CountersThatGoBackGiveALinesTimeOrNone) {
  const CounterRow kRows[] = {
      {"equal", 0, Says::kTime},
      {"back by 1", Back(1), Says::kTime},
      {"back to where the line before began", Back(500'000), Says::kTime},
      {"back by one more", Back(500'001), Says::kStartOfALine},
      {"another socket's, 1 ms behind", Back(1'000'000), Says::kStartOfALine},
      {"back by 2^31", Back(Power(31)), Says::kStartOfALine},
      {"back by 2^34", Back(Power(34)), Says::kStale},
      {"back by 2^62", Back(Power(62)), Says::kStale},
      {"back by 2^63", Back(Power(63)), Says::kStale},
  };
  ExpectRows<64>(kRows, TestPage<64>::ConfigOfWidth());
}

TEST(ScriptedCounterTest, NarrowCountersGiveALinesTimeOrNoneAcrossTheirWrap) {
  const CounterRow kRows[] = {
      {"equal", 0, Says::kTime},
      {"back by 1", Back(1), Says::kTime},
      {"back by 1 ms", Back(1'000'000), Says::kStartOfALine},
      {"a second round: as if none", Power(56), Says::kTime},
      {"at the age limit", 500'000'000, Says::kTime},
      {"one more", 500'000'001, Says::kStale},
      {"half a round of 32 bits", Power(31), Says::kStale},
      {"one less", Power(31) - 1, Says::kStale},
  };
  TimekeeperConfig config = TestPage<32>::ConfigOfWidth();
  ExpectRows<32>(kRows, config);
  ExpectRows<56>(kRows, config);
}

// F7: nobody publishes, the counter runs on.
TEST(ScriptedCounterTest, IdleForAnyTimeIsExactOrStale) {
  const CounterRow kRows[] = {
      {"max_cycles - 1", 9'999'999'999, Says::kTime},
      {"max_cycles", 10'000'000'000, Says::kTime},
      {"max_cycles + 1", 10'000'000'001, Says::kStale},
      {"2^32", Power(32), Says::kTime},
      {"2^62", Power(62), Says::kStale},
      {"2^63 - 1", Power(63) - 1, Says::kStale},
      {"2^63", Power(63), Says::kStale},
      {"2^64 - 1: the one before", UINT64_MAX, Says::kTime},
  };
  ExpectRows<64>(kRows, TestPage<64>::ConfigOfWidth());
}

TEST(ScriptedCounterTest, IdleForDecadesIsExactOrStale) {
  // The product with mult has 92 bits. (Interval() ends after 68 years.)
  const CounterRow kRows[] = {
      {"2^32", Power(32), Says::kTime},
      {"2^59 + 12345", Power(59) + 12'345, Says::kTime},
      {"max_cycles - 1", Power(60) - 1, Says::kTime},
      {"max_cycles", Power(60), Says::kTime},
      {"max_cycles + 1", Power(60) + 1, Says::kStale},
      {"2^63 - 1", Power(63) - 1, Says::kStale},
      {"2^63", Power(63), Says::kStale},
      {"2^64 - 1: the one before", UINT64_MAX, Says::kTime},
  };
  TimekeeperConfig config = TestPage<64>::ConfigOfWidth();
  config.max_age_ns = Power(60);
  ExpectRows<64>(kRows, config);
}

TEST(ScriptedCounterTest, AStuckCounterStandsStill) {
  TestPage<> test;
  test.Warm();
  ASSERT_EQ(test.Publish(), PublishStatus::kPublished);
  const NsReading first = test.MakeReader().Now(ClockId::kMonotonic);
  Outcome outcome;
  for (int i = 0; i < 100; ++i) {
    test.timekeeper.SetFrequency(i % 2 == 0 ? 40'000'000 : -40'000'000);
    ASSERT_EQ(test.Publish(), PublishStatus::kTooEarly);
    ReadAtCounter(test, &outcome);
    ASSERT_EQ(test.MakeReader().Now(ClockId::kMonotonic).ns, first.ns);
  }
  EXPECT_EQ(outcome.stale, 0u);
}

// Two CPUs whose counters differ, in turn, across many changes of lines; the
// writer is on one of them.
TEST(ScriptedCounterTest, SocketsThatDifferAreEachExactAndNeverGoBack) {
  for (const uint64_t skew : {uint64_t{1}, uint64_t{999}, uint64_t{30'000}}) {
    SCOPED_TRACE(skew);
    TestPage<> test;
    Outcome outcome[2];
    uint64_t last_ns[2] = {};
    for (int i = 0; i < 3'000; ++i) {
      if (i % 50 == 0) {
        test.timekeeper.SetFrequency(i % 100 == 0 ? 50'000'000 : -50'000'000);
        (void)test.Publish();
      }
      const uint64_t now = test.counter.value;
      for (int cpu = 0; cpu < 2; ++cpu) {
        test.counter.value = now - static_cast<uint64_t>(cpu) * skew;
        ReadAtCounter(test, &outcome[cpu]);
        ASSERT_FALSE(HasFatalFailure());
        const NsReading reading = test.MakeReader().Now(ClockId::kMonotonic);
        ASSERT_GE(reading.ns, last_ns[cpu]) << "CPU " << cpu;
        last_ns[cpu] = reading.ns;
      }
      test.counter.value = now + 37;
    }
    EXPECT_EQ(outcome[0].clamped, 0u);
    EXPECT_EQ(outcome[1].stale, 0u);
    printf("skew %.0f: %.0f of %.0f reads held at a line's start\n",
           static_cast<double>(skew), static_cast<double>(outcome[1].clamped),
           static_cast<double>(outcome[1].ok));
    EXPECT_EQ(outcome[1].clamped == outcome[1].ok, skew == 30'000);
  }
}

}  // namespace
}  // namespace vvar::faults
