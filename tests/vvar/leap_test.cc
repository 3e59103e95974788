// SPDX-License-Identifier: MIT
//
// Leap seconds and smears, on the counter: what every clock shows at the last
// value before a date and at the first one after it.
#include "vvar/leap.h"

#include <gtest/gtest.h>
#include <stdint.h>
#include <stdio.h>

#include <string>
#include <vector>

#include "tests/support/oracle.h"
#include "tests/support/timeline.h"
#include "vvar/timekeeper.h"

namespace vvar {
namespace {

using support::Exact;
using support::ExactNs;
using support::Magnitude;
using support::Timeline;
using support::Wide;

constexpr int64_t kSec = 1'000'000'000;
constexpr uint32_t kId = VVAR_COUNTER_PRIVATE | 1;
// 2016-12-31 ended with a leap second.
constexpr int64_t kMidnight = 1'483'228'800;

struct ConfigRow {
  const char* name;
  TimekeeperConfig config;
};
const ConfigRow kConfigs[] = {
    {"1 GHz", {kId, 64, 1'000'000'000, 500'000, 1'000'000, 4 * kSec}},
    {"2.6 GHz", {kId, 64, 2'596'152'000, 1'000, 4'000'000, 10 * kSec}},
    {"24 MHz, 56 bits", {kId, 56, 24'000'000, 10'000, 4'000'000, 60 * kSec}},
    {"10 MHz", {kId, 64, 10'000'000, 10'000, 10'000'000, 60 * kSec}},
    {"1 MHz, 40 bits", {kId, 40, 1'000'000, 100'000, 500'000'000, 60 * kSec}},
    {"14 MHz, 32 bits", {kId, 32, 14'318'180, 100'000, 10'000'000, 10 * kSec}},
};

// REALTIME begins `before_ns` ahead of midnight, at TAI - 36.
StartTimes Before(int64_t before_ns) {
  return {NsToTimespec(kMidnight * kSec - before_ns),
          {100, 250'000'000},
          {101, 0},
          {5000, 500'000'000},
          36};
}

// What every clock shows beside a twin without a leap second.
struct Moved {
  int64_t realtime_ns;
  int32_t tai_offset_sec;
  uint32_t state;
};
void ExpectMoved(const Timeline& timeline, const Timeline& twin,
                 uint64_t cycles, const Moved& moved) {
  const Line& line = timeline.LineAt(cycles);
  EXPECT_TRUE(timeline.At(VVAR_BASE_REALTIME, cycles) -
                  twin.At(VVAR_BASE_REALTIME, cycles) ==
              ExactNs(moved.realtime_ns, timeline.shift()))
      << "at " << cycles;
  for (const uint32_t base : {VVAR_BASE_MONOTONIC, VVAR_BASE_MONOTONIC_RAW,
                              VVAR_BASE_BOOTTIME, VVAR_BASE_TAI}) {
    EXPECT_TRUE(timeline.At(base, cycles) == twin.At(base, cycles))
        << "base " << base << " at " << cycles;
  }
  EXPECT_EQ(line.tai_offset_sec, moved.tai_offset_sec) << "at " << cycles;
  EXPECT_EQ(line.leap.state, moved.state) << "at " << cycles;
}

// A line of a table, and what every clock shows there.
struct TableRow {
  const char* name;
  int64_t elapsed_ns;
  int64_t since_midnight_ns;  // REALTIME.
  int32_t tai_offset_sec;
  uint32_t state;
};
// A cycle is a nanosecond, and REALTIME starts `before_ns` ahead of midnight.
void ExpectTable(const LeapPlan& plan, int64_t before_ns,
                 const std::vector<TableRow>& rows) {
  Timeline timeline(kConfigs[0].config, Before(before_ns));
  ASSERT_TRUE(timeline->ScheduleLeap(plan));
  timeline.TickUntil(5 * kSec);
  printf("REALTIME, TAI, MONOTONIC in s since midnight, or since 100 s\n");
  for (const TableRow& row : rows) {
    SCOPED_TRACE(row.name);
    const auto at = static_cast<uint64_t>(row.elapsed_ns);
    const int64_t real = timeline.NsSince(kMidnight, VVAR_BASE_REALTIME, at);
    const int64_t tai = timeline.NsSince(kMidnight, VVAR_BASE_TAI, at);
    const int64_t mono = timeline.NsSince(100, VVAR_BASE_MONOTONIC, at);
    printf("%14.9f %14.9f %14.9f  state %u  %s\n",
           static_cast<double>(real) / 1e9, static_cast<double>(tai) / 1e9,
           static_cast<double>(mono) / 1e9, row.state, row.name);
    EXPECT_EQ(real, row.since_midnight_ns);
    EXPECT_EQ(tai, row.elapsed_ns - before_ns + 36 * kSec);
    EXPECT_EQ(mono, row.elapsed_ns + kSec / 4);
    EXPECT_EQ(timeline.LineAt(at).tai_offset_sec, row.tai_offset_sec);
    EXPECT_EQ(timeline.LineAt(at).leap, (LeapPlan{row.state, 0, kMidnight}));
  }
}

TEST(LeapTest, TableOfAnInsertedSecond) {
  ExpectTable(
      InsertLeapSecond(kMidnight), 2 * kSec,
      {
          {"23:59:58", kSec / 2, -3 * kSec / 2, 36, VVAR_LEAP_INSERT},
          {"23:59:59", kSec, -kSec, 36, VVAR_LEAP_INSERT},
          {"its last nanosecond", 2 * kSec - 1, -1, 36, VVAR_LEAP_INSERT},
          {"23:59:60, that is 59 again", 2 * kSec, -kSec, 37,
           VVAR_LEAP_INSERTED},
          {"half of it", 5 * kSec / 2, -kSec / 2, 37, VVAR_LEAP_INSERTED},
          {"its last nanosecond", 3 * kSec - 1, -1, 37, VVAR_LEAP_INSERTED},
          {"00:00:00", 3 * kSec, 0, 37, VVAR_LEAP_DONE},
          {"00:00:01", 4 * kSec, kSec, 37, VVAR_LEAP_DONE},
      });
}

TEST(LeapTest, TableOfADeletedSecond) {
  ExpectTable(DeleteLeapSecond(kMidnight), 3 * kSec,
              {
                  {"23:59:58", kSec, -2 * kSec, 36, VVAR_LEAP_DELETE},
                  {"its last nanosecond", 2 * kSec - 1, -kSec - 1, 36,
                   VVAR_LEAP_DELETE},
                  {"00:00:00, no 23:59:59", 2 * kSec, 0, 35, VVAR_LEAP_DONE},
                  {"00:00:01", 3 * kSec, kSec, 35, VVAR_LEAP_DONE},
              });
}

// On any counter the step is at the first value that shows the date.
TEST(LeapTest, StepsAtTheFirstCounterValueOfTheDate) {
  for (const ConfigRow& row : kConfigs) {
    for (const bool insert : {true, false}) {
      for (const int64_t ppb : {0, 49'000'000, -50'000'000}) {
        SCOPED_TRACE(std::string(row.name) + (insert ? ", in" : ", out") +
                     std::to_string(ppb));
        Timeline timeline(row.config, Before(2'700'000'001), 1000);
        Timeline twin(row.config, Before(2'700'000'001), 1000);
        timeline->SetFrequency(ppb);
        twin->SetFrequency(ppb);
        ASSERT_TRUE(timeline->ScheduleLeap(insert
                                               ? InsertLeapSecond(kMidnight)
                                               : DeleteLeapSecond(kMidnight)));
        timeline.TickUntil(timeline.CyclesOf(5 * kSec));
        twin.TickUntil(timeline.now());
        const Wide due =
            Exact(Timespec{kMidnight - (insert ? 0 : 1), 0}, twin.shift());
        uint64_t at = timeline.CyclesOf(kSec);
        for (uint64_t step = uint64_t{1} << 40; step != 0; step /= 2) {
          if (twin.At(VVAR_BASE_REALTIME, at + step) < due) at += step;
        }
        const uint32_t pending = insert ? VVAR_LEAP_INSERT : VVAR_LEAP_DELETE;
        ExpectMoved(timeline, twin, at, {0, 36, pending});
        ExpectMoved(timeline, twin, at + 1,
                    insert ? Moved{-kSec, 37, VVAR_LEAP_INSERTED}
                           : Moved{kSec, 35, VVAR_LEAP_DONE});
      }
    }
  }
}

TEST(LeapTest, LateUpdateAppliesItLateAndTheSame) {
  for (const bool insert : {true, false}) {
    for (const int64_t late_ns : {int64_t{10'000'000}, kSec / 2, 3 * kSec}) {
      SCOPED_TRACE(late_ns);
      const TimekeeperConfig& config = kConfigs[0].config;
      Timeline timeline(config, Before(2 * kSec));
      Timeline twin(config, Before(2 * kSec));
      ASSERT_TRUE(timeline->ScheduleLeap(insert ? InsertLeapSecond(kMidnight)
                                                : DeleteLeapSecond(kMidnight)));
      const int64_t due_ns = insert ? 2 * kSec : kSec;
      for (Timeline* each : {&timeline, &twin}) {
        each->TickUntil(500'000'000);
        each->RunAndUpdate(static_cast<uint64_t>(due_ns + late_ns) -
                           each->now());
      }
      const bool within = insert && late_ns < kSec - 1'000'000;
      ExpectMoved(timeline, twin, timeline.line().cycle_start,
                  insert ? Moved{-kSec, 37,
                                 within ? VVAR_LEAP_INSERTED : VVAR_LEAP_DONE}
                         : Moved{kSec, 35, VVAR_LEAP_DONE});
      timeline.TickUntil(10 * kSec);
      EXPECT_EQ(timeline.line().leap.state, VVAR_LEAP_DONE);
    }
  }
}

// An owner without a tick updates at next_deadline() only.
TEST(LeapTest, TicklessOwnerIsCalledInTime) {
  TimekeeperConfig config = kConfigs[0].config;
  config.interval_ns = 1000 * kSec;
  config.max_age_ns = 4000 * kSec;
  const int64_t before_ns = 10'000 * kSec + 123;
  Timeline timeline(config, Before(before_ns));
  ASSERT_TRUE(timeline->ScheduleLeap(InsertLeapSecond(kMidnight)));
  timeline.RunAndUpdate(1'000'000);
  int updates = 0;
  while (timeline.now() < static_cast<uint64_t>(before_ns + 5 * kSec)) {
    const uint64_t due =
        std::max(timeline->next_deadline(), timeline.line().cycle_start);
    timeline.RunAndUpdate(due - timeline.now());
    ++updates;
  }
  EXPECT_LE(updates, 9);
  const auto midnight = static_cast<uint64_t>(before_ns);
  EXPECT_EQ(timeline.NsSince(kMidnight, VVAR_BASE_REALTIME, midnight - 1), -1);
  EXPECT_EQ(timeline.NsSince(kMidnight, VVAR_BASE_REALTIME, midnight), -kSec);
  EXPECT_EQ(timeline.LineAt(midnight).leap.state, VVAR_LEAP_INSERTED);
  EXPECT_EQ(timeline.LineAt(midnight + kSec).leap.state, VVAR_LEAP_DONE);
}

TEST(LeapTest, CoarseNeverStandsAbovePreciseAcrossIt) {
  for (const bool insert : {true, false}) {
    Timeline timeline(kConfigs[0].config, Before(2'000'300'000));
    ASSERT_TRUE(timeline->ScheduleLeap(insert ? InsertLeapSecond(kMidnight)
                                              : DeleteLeapSecond(kMidnight)));
    timeline.TickUntil(4 * kSec);
    // A line's coarse clocks are seen from its publication on, when the line
    // before may still be the valid one, to that of the next.
    for (size_t i = 1; i < timeline.lines().size(); ++i) {
      const Line& line = timeline.lines()[i];
      const Wide coarse =
          Exact(line.coarse[VVAR_COARSE_REALTIME], timeline.shift());
      ASSERT_TRUE(coarse <=
                  Exact(line.base[VVAR_BASE_REALTIME], timeline.shift()));
      ASSERT_TRUE(coarse <=
                  timeline.At(VVAR_BASE_REALTIME, timeline.Published(i)));
    }
  }
}

TEST(LeapTest, ScheduleRefusesWhatIsNoPlanAhead) {
  Timeline timeline(kConfigs[0].config, Before(2 * kSec));
  const struct {
    const char* name;
    LeapPlan plan;
  } kRows[] = {
      {"none", kNoLeap},
      {"inserted", {VVAR_LEAP_INSERTED, 0, kMidnight}},
      {"done", {VVAR_LEAP_DONE, 0, kMidnight}},
      {"smearing", {VVAR_LEAP_SMEARING_INSERT, 86'400, kMidnight}},
      {"no state", {77, 0, kMidnight}},
      {"this second", InsertLeapSecond(kMidnight - 2)},
      {"yesterday", InsertLeapSecond(kMidnight - 86'400)},
      {"deleted now", DeleteLeapSecond(kMidnight - 1)},
      {"smear begun", SmearInsertedSecond(kMidnight - 2, 100)},
      {"the beginning of time", InsertLeapSecond(INT64_MIN)},
  };
  for (const auto& row : kRows) {
    SCOPED_TRACE(row.name);
    EXPECT_FALSE(timeline->ScheduleLeap(row.plan));
    timeline.RunAndUpdate(1'000'000);
    EXPECT_EQ(timeline.line().leap, kNoLeap);
  }
  EXPECT_TRUE(timeline->ScheduleLeap(InsertLeapSecond(INT64_MAX)));
  timeline.TickUntil(4 * kSec);
  EXPECT_EQ(timeline.line().leap.state, VVAR_LEAP_INSERT);
}

// A kernel says TIME_INS and TIME_OOP for as long as somebody asks.
TEST(LeapTest, TheSameSecondIsNotInsertedTwice) {
  Timeline timeline(kConfigs[0].config, Before(2 * kSec));
  while (timeline.now() < 5 * kSec) {
    (void)timeline->ScheduleLeap(InsertLeapSecond(kMidnight));
    timeline.RunAndUpdate(1'000'000);
  }
  EXPECT_EQ(timeline.NsSince(kMidnight, VVAR_BASE_REALTIME, 5 * kSec),
            2 * kSec);
  EXPECT_EQ(timeline.line().tai_offset_sec, 37);
  EXPECT_EQ(timeline.line().leap.state, VVAR_LEAP_DONE);
}

TEST(LeapTest, CancelledLeapDoesNotHappen) {
  Timeline timeline(kConfigs[0].config, Before(2 * kSec));
  ASSERT_TRUE(timeline->ScheduleLeap(InsertLeapSecond(kMidnight)));
  timeline.TickUntil(kSec);
  timeline->CancelLeap();
  timeline.TickUntil(5 * kSec);
  EXPECT_EQ(timeline.NsSince(kMidnight, VVAR_BASE_REALTIME, 5 * kSec),
            3 * kSec);
  EXPECT_EQ(timeline.line().tai_offset_sec, 36);
  EXPECT_EQ(timeline.line().leap, kNoLeap);
}

TEST(LeapTest, OneUnderWayIsNotCancelled) {
  Timeline timeline(kConfigs[0].config, Before(2 * kSec));
  ASSERT_TRUE(timeline->ScheduleLeap(InsertLeapSecond(kMidnight)));
  timeline.TickUntil(2'500'000'000);
  timeline->CancelLeap();
  timeline.TickUntil(5 * kSec);
  EXPECT_EQ(timeline.line().leap.state, VVAR_LEAP_DONE);
  timeline->CancelLeap();
  timeline.RunAndUpdate(1'000'000);
  EXPECT_EQ(timeline.line().leap, kNoLeap);
}

TEST(LeapTest, StepPastTheDateCancelsItAndOneBackDoesNot) {
  Timeline timeline(kConfigs[0].config, Before(2 * kSec));
  ASSERT_TRUE(timeline->ScheduleLeap(InsertLeapSecond(kMidnight)));
  timeline.TickUntil(500'000'000);
  timeline->StepRealtime(-kSec / 2);
  timeline.TickUntil(kSec);
  EXPECT_EQ(timeline.line().leap.state, VVAR_LEAP_INSERT);
  timeline->StepRealtime(3 * kSec);
  timeline.TickUntil(4 * kSec);
  EXPECT_EQ(timeline.line().leap, kNoLeap);
  EXPECT_EQ(timeline.line().tai_offset_sec, 36);
}

// The heir of a dead writer finds the plan on the page.
TEST(LeapTest, PlanOutlivesItsWriter) {
  Timeline timeline(kConfigs[0].config, Before(2 * kSec));
  ASSERT_TRUE(timeline->ScheduleLeap(InsertLeapSecond(kMidnight)));
  timeline.TickUntil(kSec);
  Timekeeper heir(kConfigs[0].config);
  ASSERT_TRUE(heir.Continue(timeline.line()));
  for (uint64_t now = timeline.now(); now < 4 * kSec; now += 1'000'000) {
    if (!heir.LineHasBegun(now)) continue;
    (void)heir.Plan(now);
    heir.Commit();
  }
  EXPECT_EQ(heir.line().leap, (LeapPlan{VVAR_LEAP_DONE, 0, kMidnight}));
  EXPECT_EQ(heir.line().tai_offset_sec, 37);
}

TEST(LeapTest, HostilePlansAreDefined) {
  for (const int64_t date : {INT64_MIN, int64_t{-1}, INT64_MAX}) {
    for (uint32_t state = 0; state < 11; ++state) {
      for (const int32_t tai_offset_sec : {36, INT32_MIN, INT32_MAX}) {
        const uint32_t smear_sec = tai_offset_sec == 36 ? 0 : UINT32_MAX;
        Timeline timeline(kConfigs[0].config, Before(2 * kSec));
        Line line = timeline.line();
        line.leap = {state, smear_sec, date};
        line.tai_offset_sec = tai_offset_sec;
        Timekeeper heir(kConfigs[0].config);
        ASSERT_TRUE(heir.Continue(line));
        Wide last = Wide(0);
        for (uint64_t now = 0; now < 10'000'000; now += 1'000'000) {
          if (!heir.LineHasBegun(now)) continue;
          (void)heir.Plan(now);
          heir.Commit();
          const Wide monotonic =
              Exact(heir.line().base[VVAR_BASE_MONOTONIC], timeline.shift());
          ASSERT_TRUE(last < monotonic);
          last = monotonic;
        }
      }
    }
  }
}

// A smear under way beside clocks that have nothing to do with each other.
TEST(LeapTest, HostileSmearsAreDefined) {
  const Timeline timeline(kConfigs[0].config, Before(2 * kSec));
  for (const uint32_t state :
       {VVAR_LEAP_SMEARING_INSERT, VVAR_LEAP_SMEARING_DELETE}) {
    for (const uint32_t smear_sec : {0u, 1u, UINT32_MAX}) {
      for (const int64_t sec : {INT64_MIN / 2, int64_t{0}, INT64_MAX / 2}) {
        Line line = timeline.line();
        line.leap = {state, smear_sec, INT64_MAX / 2};
        line.base[VVAR_BASE_REALTIME].sec = 0;
        line.base[VVAR_BASE_TAI].sec = sec;
        Timekeeper heir(kConfigs[0].config);
        ASSERT_TRUE(heir.Continue(line));
        const Line& next = heir.Plan(0);
        EXPECT_NE(next.realtime_mult, 0u);
        EXPECT_EQ(next.scale.mult, heir.nominal().mult);
      }
    }
  }
}

struct SmearRow {
  const char* name;
  bool insert;
  uint32_t smear_sec;
  TimekeeperConfig config;
};
const SmearRow kSmears[] = {
    {"noon to noon, in",
     true,
     86'400,
     {kId, 64, 2'596'152'000, 1'000'000, kSec, 4 * kSec}},
    {"noon to noon, out",
     false,
     86'400,
     {kId, 64, 1'000'000'000, 1'000'000, kSec, 4 * kSec}},
    {"24 MHz", true, 86'400, {kId, 56, 24'000'000, 10'000, kSec, 60 * kSec}},
    {"10 MHz", false, 86'400, {kId, 64, 10'000'000, 10'000, kSec, 60 * kSec}},
    {"1000 s, 4 ms tick",
     true,
     1000,
     {kId, 64, 2'596'152'000, 1'000'000, 4'000'000, 4 * kSec}},
    {"20 s, as fast as can be",
     true,
     20,
     {kId, 64, 1'000'000'000, 500'000, 1'000'000, 4 * kSec}},
};

TEST(LeapTest, SmearIsLinearAndReachesItsEndWithinANanosecond) {
  for (const SmearRow& row : kSmears) {
    SCOPED_TRACE(row.name);
    const int64_t smear_ns = row.smear_sec * kSec;
    const StartTimes start = Before(smear_ns / 2 + 3'333'333'333);
    const int64_t start_sec = kMidnight - row.smear_sec / 2;
    Timeline timeline(row.config, start);
    Timeline twin(row.config, start);
    timeline->SetFrequency(123'456);
    twin->SetFrequency(123'456);
    ASSERT_TRUE(timeline->ScheduleLeap(
        row.insert ? SmearInsertedSecond(start_sec, row.smear_sec)
                   : SmearDeletedSecond(start_sec, row.smear_sec)));
    const uint32_t shift = timeline.shift();
    const Wide ns = ExactNs(1, shift);
    const Wide second = ExactNs(row.insert ? -kSec : kSec, shift);
    const Wide begin = Exact(Timespec{start_sec, 0}, shift);
    const Wide end =
        Exact(Timespec{start_sec + int64_t{row.smear_sec}, 0}, shift);
    Wide worst = Wide(0);
    size_t checked = 0;
    const uint64_t until =
        timeline.CyclesOf(static_cast<uint64_t>(smear_ns + 12 * kSec));
    while (timeline.now() < until) {
      timeline.TickUntil(timeline.now() + 1);
      twin.TickUntil(timeline.now());
      const Line& line = timeline.line();
      const uint64_t at = line.cycle_start;
      const Wide plain = twin.At(VVAR_BASE_REALTIME, at);
      const Wide smeared = Exact(line.base[VVAR_BASE_REALTIME], shift);
      Wide expected = plain;
      if (smeared >= end) {
        expected = plain + second;
        EXPECT_EQ(line.leap.state, VVAR_LEAP_DONE);
      } else if (smeared >= begin) {
        EXPECT_EQ(line.leap.state, row.insert ? VVAR_LEAP_SMEARING_INSERT
                                              : VVAR_LEAP_SMEARING_DELETE);
        // In unsmeared time the smear takes smear_sec -+ 1.
        const long double part = static_cast<long double>(smeared - begin) /
                                 static_cast<long double>(end - begin);
        expected = plain + Wide(static_cast<long double>(second) * part);
      }
      // Never silent.
      if (smeared < begin) {
        ASSERT_EQ(line.leap.state,
                  row.insert ? VVAR_LEAP_SMEAR_INSERT : VVAR_LEAP_SMEAR_DELETE);
      }
      const Wide off = Magnitude(smeared - expected);
      if (worst < off) worst = off;
      for (const uint32_t base : {VVAR_BASE_MONOTONIC, VVAR_BASE_MONOTONIC_RAW,
                                  VVAR_BASE_BOOTTIME, VVAR_BASE_TAI}) {
        ASSERT_TRUE(Exact(line.base[base], shift) == twin.At(base, at)) << base;
      }
      ++checked;
    }
    EXPECT_EQ(timeline.line().leap.state, VVAR_LEAP_DONE);
    EXPECT_EQ(timeline.line().tai_offset_sec, row.insert ? 37 : 35);
    const Wide left = Magnitude(
        Exact(timeline.line().base[VVAR_BASE_REALTIME], shift) -
        twin.At(VVAR_BASE_REALTIME, timeline.line().cycle_start) - second);
    printf("%-24s %zu lines, at most %.3f ns from linear, at the end %.3f ns\n",
           row.name, checked,
           static_cast<double>(worst) / static_cast<double>(ns),
           static_cast<double>(left) / static_cast<double>(ns));
    // A rate is whole ppb, and a mult, for an interval.
    EXPECT_TRUE(worst <= ns * Wide(3));
    EXPECT_TRUE(left < ns);
    EXPECT_EQ(timeline->realtime_slew_remaining_ns(), 0);
  }
}

TEST(LeapTest, SmearBeginsAtTheFirstCounterValueOfItsDate) {
  const StartTimes start = Before(50'000'000'500);
  Timeline timeline(kConfigs[0].config, start);
  ASSERT_TRUE(timeline->ScheduleLeap(SmearInsertedSecond(kMidnight - 49, 98)));
  timeline.TickUntil(2 * kSec);
  const uint64_t at = kSec + 500;
  EXPECT_EQ(timeline.LineAt(at - 1).leap.state, VVAR_LEAP_SMEAR_INSERT);
  EXPECT_EQ(timeline.LineAt(at).cycle_start, at);
  EXPECT_EQ(timeline.LineAt(at).leap.state, VVAR_LEAP_SMEARING_INSERT);
  EXPECT_LT(timeline.LineAt(at).realtime_mult, timeline.LineAt(at).scale.mult);
}

TEST(LeapTest, SmearOutlivesItsWriter) {
  Timeline timeline(kConfigs[0].config, Before(5 * kSec));
  ASSERT_TRUE(timeline->ScheduleLeap(SmearInsertedSecond(kMidnight - 4, 100)));
  timeline.TickUntil(50 * kSec);
  const int64_t left_ns = timeline->realtime_slew_remaining_ns();
  EXPECT_LT(left_ns, -400'000'000);
  EXPECT_GT(left_ns, -600'000'000);
  Timekeeper heir(kConfigs[0].config);
  ASSERT_TRUE(heir.Continue(timeline.line()));
  EXPECT_EQ(heir.realtime_slew_remaining_ns(), left_ns);
  for (uint64_t now = timeline.now(); now < 105 * kSec; now += 1'000'000) {
    if (!heir.LineHasBegun(now)) continue;
    (void)heir.Plan(now);
    heir.Commit();
  }
  EXPECT_EQ(heir.line().leap.state, VVAR_LEAP_DONE);
  EXPECT_EQ(heir.realtime_slew_remaining_ns(), 0);
}

}  // namespace
}  // namespace vvar
