// SPDX-License-Identifier: MIT
//
// The writer's state machine: its contracts are equations between two lines,
// checked exactly, in units of ns >> shift, on every update of every test.
#include "vvar/timekeeper.h"

#include <gtest/gtest.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <algorithm>
#include <new>
#include <vector>

#include "tests/support/oracle.h"

namespace vvar {
namespace {

using support::EdgyRandom;
using support::Exact;
using support::ExactAt;
using support::ExactNs;
using support::FieldsOf;
using support::FloorNs;
using support::Hex;
using support::IsFloorOf;
using support::Magnitude;
using support::Wide;

constexpr uint64_t kSec = 1'000'000'000;
constexpr uint32_t kId = VVAR_COUNTER_PRIVATE | 1;

struct ConfigRow {
  const char* name;
  TimekeeperConfig config;
};
const ConfigRow kConfigs[] = {
    {"TSC, 2.6 GHz", {kId, 64, 2'600'000'000, 1'000, 1'000'000, 10 * kSec}},
    {"TSC, 1 GHz", {kId, 64, 1'000'000'000, 1'000, 4'000'000, 10 * kSec}},
    {"fast, 16 GHz", {kId, 64, 16'000'000'000, 500, 1'000'000, 10 * kSec}},
    {"Arm, 24 MHz, 56 bits",
     {kId, 56, 24'000'000, 10'000, 4'000'000, 60 * kSec}},
    {"RISC-V, 10 MHz", {kId, 64, 10'000'000, 10'000, 10'000'000, 60 * kSec}},
    {"40 bits, 1 MHz", {kId, 40, 1'000'000, 100'000, 10'000'000, 60 * kSec}},
    {"32 bits, 14 MHz", {kId, 32, 14'318'180, 100'000, 10'000'000, 10 * kSec}},
    {"32 bits, 1 GHz", {kId, 32, 1'000'000'000, 1'000, 1'000'000, kSec / 2}},
};

constexpr StartTimes kTimes = {{1'700'000'000, 123'456'789},
                               {1000, 999'999'999},
                               {1001, 1},
                               {5000, 0},
                               37};

// A timekeeper, the counter it lives on, and what the next update has to do.
class Keeper {
 public:
  explicit Keeper(const TimekeeperConfig& config, uint64_t start = 0)
      : config_(config),
        timekeeper_(config),
        mask_(UINT64_MAX >> (64 - config.counter_bits)),
        now_(start & mask_) {
    timekeeper_.Start(now_, kTimes);
    tai_offset_sec_ = kTimes.tai_offset_sec;
  }

  Timekeeper& operator*() { return timekeeper_; }
  Timekeeper* operator->() { return &timekeeper_; }
  const Line& line() const { return timekeeper_.line(); }
  uint32_t bits() const { return config_.counter_bits; }
  uint32_t shift() const { return timekeeper_.nominal().shift; }
  uint64_t now() const { return now_; }
  uint64_t lead_cycles() const {
    return NsToCycles(config_.lead_ns, timekeeper_.nominal());
  }
  uint64_t CyclesOf(uint64_t ns) const {
    return NsToCycles(ns, timekeeper_.nominal());
  }
  /// The exact time of a clock, on the current line.
  Wide At(uint32_t base, uint64_t now) const {
    return ExactAt(line(), base, now, bits());
  }
  Wide Now(uint32_t base) const { return At(base, now_); }

  void Step(int64_t ns) {
    timekeeper_.StepRealtime(ns);
    step_ns_ += ns;
  }
  void SetTai(int32_t sec) {
    timekeeper_.SetTaiOffset(sec);
    tai_offset_sec_ = sec;
  }

  /// Lets the counter run on to `cycles` after it was, or after the line began.
  void Run(uint64_t cycles) {
    now_ = (now_ + cycles) & mask_;
    if (!timekeeper_.LineHasBegun(now_)) now_ = line().cycle_start;
  }
  /// Updates, and checks every equation of the class's docstring.
  void Update() {
    const Line before = line();
    const Line planned = timekeeper_.Plan(now_);
    ASSERT_EQ(FieldsOf(before), FieldsOf(line())) << "Plan() changes nothing";
    timekeeper_.Commit();
    ASSERT_EQ(FieldsOf(planned), FieldsOf(line()));
    Check(before, line());
    step_ns_ = 0;
  }
  void RunAndUpdate(uint64_t cycles) {
    Run(cycles);
    Update();
  }

 private:
  void Check(const Line& before, const Line& after) const {
    const uint64_t start = (now_ + lead_cycles()) & mask_;
    ASSERT_EQ(after.cycle_start, start);
    ASSERT_EQ(after.counter_id, config_.counter_id);
    ASSERT_EQ(after.scale.shift, shift());
    ASSERT_GT(after.scale.mult, 0u);
    ASSERT_GT(after.raw_mult, 0u);
    for (uint32_t i = 0; i < VVAR_BASES; ++i) {
      ASSERT_LT(after.base[i].nsec_shifted, kSec << shift()) << "base " << i;
      Wide expected = ExactAt(before, i, start, bits());
      if (i == VVAR_BASE_TAI) {
        expected = Exact(after.base[VVAR_BASE_REALTIME], shift()) +
                   Exact(Timespec{tai_offset_sec_, 0}, shift());
      }
      if (i == VVAR_BASE_REALTIME)
        expected = expected + ExactNs(step_ns_, shift());
      ASSERT_TRUE(Exact(after.base[i], shift()) == expected)
          << "base " << i << " is off by "
          << Hex(Exact(after.base[i], shift()) - expected);
    }
    ASSERT_EQ(after.tai_offset_sec, tai_offset_sec_);
    CheckCoarse(before, after);
    const bool was_set =
        step_ns_ != 0 || tai_offset_sec_ != before.tai_offset_sec;
    ASSERT_EQ(after.was_set_count, before.was_set_count + (was_set ? 1 : 0));
  }

  void CheckCoarse(const Line& before, const Line& after) const {
    const Wide monotonic = ExactAt(before, VVAR_BASE_MONOTONIC, now_, bits());
    ASSERT_TRUE(
        IsFloorOf(after.coarse[VVAR_COARSE_MONOTONIC], monotonic, shift()));
    // The lower one of REALTIME now, and REALTIME as it will be.
    const Wide realtime = ExactAt(before, VVAR_BASE_REALTIME, now_, bits());
    const Wide stepped = Exact(after.base[VVAR_BASE_REALTIME], shift());
    ASSERT_TRUE(IsFloorOf(after.coarse[VVAR_COARSE_REALTIME],
                          stepped < realtime ? stepped : realtime, shift()));
  }

  TimekeeperConfig config_;
  Timekeeper timekeeper_;
  uint64_t mask_;
  uint64_t now_;
  int64_t step_ns_ = 0;
  int32_t tai_offset_sec_ = 0;
};

// How far the disciplined clock moved beyond one that runs at `mult` from
// (cycles, exact) on, at the start of the current line.
Wide GainOver(const Keeper& keeper, uint32_t mult, uint64_t from, Wide exact) {
  const uint64_t start = keeper.line().cycle_start;
  return keeper.At(VVAR_BASE_MONOTONIC, start) - exact -
         Wide(support::Ticks(start, from, keeper.bits())) * Wide(mult);
}

TEST(TimekeeperTest, StartsAtTheGivenTimesWithoutLead) {
  for (const ConfigRow& row : kConfigs) {
    SCOPED_TRACE(row.name);
    Keeper keeper(row.config, 12'345);
    const Line& line = keeper.line();
    const uint32_t shift = keeper.shift();
    EXPECT_EQ(line.cycle_start, 12'345u);
    EXPECT_EQ(line.counter_id, kId);
    EXPECT_EQ(line.scale.mult, keeper->nominal().mult);
    EXPECT_EQ(line.raw_mult, keeper->nominal().mult);
    EXPECT_EQ(line.status, ClockStatus::kUnsynchronised);
    EXPECT_EQ(line.was_set_count, 0u);
    EXPECT_EQ(line.realtime_mult, line.scale.mult);
    EXPECT_EQ(line.leap, kNoLeap);
    EXPECT_TRUE(Exact(line.base[VVAR_BASE_REALTIME], shift) ==
                Exact(kTimes.realtime, shift));
    EXPECT_TRUE(Exact(line.base[VVAR_BASE_MONOTONIC], shift) ==
                Exact(kTimes.monotonic, shift));
    EXPECT_TRUE(Exact(line.base[VVAR_BASE_MONOTONIC_RAW], shift) ==
                Exact(kTimes.monotonic_raw, shift));
    EXPECT_TRUE(Exact(line.base[VVAR_BASE_BOOTTIME], shift) ==
                Exact(kTimes.boottime, shift));
    EXPECT_EQ(line.base[VVAR_BASE_TAI].sec, kTimes.realtime.sec + 37);
    EXPECT_EQ(line.coarse[VVAR_COARSE_REALTIME], kTimes.realtime);
    EXPECT_EQ(line.coarse[VVAR_COARSE_MONOTONIC], kTimes.monotonic);
    EXPECT_EQ(line.tai_offset_sec, 37);
    EXPECT_TRUE(keeper->LineHasBegun(12'345));
    EXPECT_FALSE(keeper->LineHasBegun(12'344));
  }
}

// The words of a timekeeper's life on top of memory full of `poison`.
std::vector<uint64_t> LifeOn(unsigned char poison) {
  alignas(Timekeeper) unsigned char memory[sizeof(Timekeeper)];
  memset(memory, poison, sizeof memory);
  // So that the compiler may not take the bytes for indeterminate.
  asm volatile("" ::"r"(memory) : "memory");
  auto* timekeeper = new (memory) Timekeeper(kConfigs[0].config);
  timekeeper->Start(77, kTimes);
  const auto started = FieldsOf(timekeeper->line());
  std::vector<uint64_t> words(started.begin(), started.end());
  for (uint64_t now = 1'000'000; now < 4'000'000; now += 1'000'000) {
    const auto planned = FieldsOf(timekeeper->Plan(now));
    words.insert(words.end(), planned.begin(), planned.end());
    timekeeper->Commit();
    words.push_back(static_cast<uint64_t>(timekeeper->slew_remaining_ns()));
    words.push_back(timekeeper->next_deadline());
  }
  return words;
}

// Trap: T64
TEST(TimekeeperTest, EveryFieldHasAValueBeforeFirstAdvance) {
  EXPECT_EQ(LifeOn(0x00), LifeOn(0xa5));
  EXPECT_EQ(LifeOn(0x00), LifeOn(0xff));
}

// Trap: T64 (a constant expression that reads what has no value does not
// compile; nor does one with undefined behaviour)
constexpr uint64_t ConstantLife() {
  Timekeeper timekeeper({kId, 56, 24'000'000, 10'000, 4'000'000, 10 * kSec});
  timekeeper.SetErrorBound(1000, 100);
  timekeeper.Start(5, kTimes);
  timekeeper.SetFrequency(-12'345);
  timekeeper.SetRawFrequency(77);
  timekeeper.Slew(-1'000'000, 500'000);
  timekeeper.StepRealtime(-1'000'000'000'000);
  timekeeper.SetTaiOffset(38);
  timekeeper.SetStatus(ClockStatus::kSynchronised);
  uint64_t now = 5;
  for (int i = 0; i < 20; ++i) {
    now += 100'000;
    (void)timekeeper.Plan(now);
    timekeeper.Commit();
  }
  Timekeeper heir({kId, 56, 24'000'000, 10'000, 4'000'000, 10 * kSec});
  if (!heir.Continue(timekeeper.line())) return 0;
  return heir.Plan(now + 100'000).was_set_count + heir.next_deadline() % 2;
}
static_assert(ConstantLife() != 0);

// Trap: T37 (a subtract loop would turn 10^9 times here: constant evaluation
// gives up long before that)
constexpr int64_t SecondsAfterDecades(int64_t step_ns) {
  Timekeeper timekeeper({kId, 64, 1'000'000'000, 1000, 1'000'000, 10 * kSec});
  timekeeper.Start(0, {{0, 0}, {0, 0}, {0, 0}, {0, 0}, 0});
  timekeeper.StepRealtime(step_ns);
  (void)timekeeper.Plan(uint64_t{1} << 60);  // 36 years idle, too.
  timekeeper.Commit();
  return timekeeper.line().base[VVAR_BASE_REALTIME].sec;
}
static_assert(SecondsAfterDecades(1'700'000'000'000'000'000) == 2'852'921'504);
static_assert(SecondsAfterDecades(-1'700'000'000'000'000'000) == -547'078'496);

// Trap: T37
TEST(TimekeeperTest, NormalisesAtSetTime) {
  const struct {
    const char* name;
    int64_t step_ns;
  } kRows[] = {
      {"a nanosecond", 1},
      {"a nanosecond back", -1},
      {"a second less one", 999'999'999},
      {"a second back plus one", -999'999'999},
      {"a second back", -1'000'000'000},
      {"a decade", 315'569'520'000'000'001},
      {"a decade back", -315'569'520'000'000'001},
      {"five decades back", -1'577'847'600'999'999'999},
      {"all that fits", INT64_MAX},
      {"all that fits, back", INT64_MIN},
  };
  for (const ConfigRow& config : kConfigs) {
    for (const auto& row : kRows) {
      SCOPED_TRACE(std::string(config.name) + ", " + row.name);
      Keeper keeper(config.config);
      keeper.Step(row.step_ns);
      keeper.RunAndUpdate(keeper.CyclesOf(1'000'000));
      keeper.RunAndUpdate(keeper.CyclesOf(1'000'000));
    }
  }
}

// Trap: T46
TEST(TimekeeperTest, NegativeRemainderBorrowsASecond) {
  Keeper keeper(kConfigs[1].config);
  // To within a step of a full second, in the line's own resolution.
  keeper.RunAndUpdate(123'456'789);
  const Timespec at = TimebaseToTimespec(keeper.line().base[VVAR_BASE_REALTIME],
                                         keeper.shift());
  keeper.Step(-static_cast<int64_t>(at.nsec) - 1 - 2'000);
  keeper.RunAndUpdate(1000);
  EXPECT_EQ(keeper.line().base[VVAR_BASE_REALTIME].sec, at.sec - 1);
  EXPECT_GT(keeper.line().base[VVAR_BASE_REALTIME].nsec_shifted,
            (kSec - 10'000) << keeper.shift());
}

TEST(TimekeeperTest, IsContinuousWhereTheLinesMeet) {
  for (const ConfigRow& row : kConfigs) {
    SCOPED_TRACE(row.name);
    Keeper keeper(row.config, UINT64_MAX - 5);
    EdgyRandom random(1);
    for (int i = 0; i < 1000; ++i) {
      keeper->SetFrequency(random.EdgySigned(26) % (Timekeeper::kMaxPpb + 1));
      keeper->SetRawFrequency(random.EdgySigned(26));
      keeper.RunAndUpdate(random.Below(keeper.CyclesOf(20'000'000) + 1));
      if (HasFatalFailure()) return;
    }
  }
}

TEST(TimekeeperTest, ALateUpdateExtendsTheLine) {
  for (const ConfigRow& row : kConfigs) {
    SCOPED_TRACE(row.name);
    const uint32_t bits = row.config.counter_bits;
    // As late as the counter's width allows, and not beyond a century.
    const uint64_t widest = (uint64_t{1} << (bits - 1)) - 1;
    Keeper keeper(row.config);
    const uint64_t century = keeper->nominal().shift < 28
                                 ? uint64_t{1} << 50
                                 : 3'000'000'000 * row.config.counter_hz;
    const uint64_t latest = std::min(widest, century);
    for (const uint64_t age : {uint64_t{0}, uint64_t{1}, latest / 2, latest}) {
      keeper.Run(0);
      keeper->SetFrequency(12'345'678);
      keeper.RunAndUpdate(age);
      if (HasFatalFailure()) return;
    }
  }
}

// Trap: T34
TEST(TimekeeperTest, ManyUpdatesEqualOne) {
  for (const ConfigRow& row : kConfigs) {
    for (const int64_t ppb : {0, 1, -123'457, 49'999'999, -50'000'000}) {
      SCOPED_TRACE(std::string(row.name) + " at ppb " + std::to_string(ppb));
      Timekeeper timekeeper(row.config);
      timekeeper.SetFrequency(ppb);
      timekeeper.SetRawFrequency(-ppb / 3);
      const uint64_t mask = UINT64_MAX >> (64 - row.config.counter_bits);
      EdgyRandom random(34);
      uint64_t now = random.Any() & mask;
      timekeeper.Start(now, kTimes);
      const Line first = timekeeper.line();
      // Years at 10 ms a turn on average, without any wrap lost.
      uint64_t ticks = 0;
      const uint64_t step = row.config.counter_hz / 50;
      const uint64_t lead =
          NsToCycles(row.config.lead_ns, timekeeper.nominal());
      for (int i = 0; i < 20'000; ++i) {
        const uint64_t age =
            lead + random.Below(random.OneIn(100) ? 50 * step : step);
        ticks += age;
        now = (now + age) & mask;
        ASSERT_TRUE(timekeeper.LineHasBegun(now));
        (void)timekeeper.Plan(now);
        timekeeper.Commit();
      }
      for (uint32_t i = 0; i < VVAR_BASES; ++i) {
        const uint32_t mult = first.ScaleOf(i).mult;
        const Wide expected = Exact(first.base[i], first.scale.shift) +
                              Wide(ticks + lead) * Wide(mult);
        EXPECT_TRUE(Exact(timekeeper.line().base[i], first.scale.shift) ==
                    expected)
            << "clock " << i;
      }
    }
  }
}

// Trap: T34
TEST(TimekeeperTest, ManyUpdatesEqualOneOverSimulatedYears) {
  Timekeeper many(kConfigs[0].config);
  Timekeeper one(kConfigs[0].config);
  many.Start(0, kTimes);
  one.Start(0, kTimes);
  EdgyRandom random(35);
  uint64_t now = 0;
  for (int i = 0; i < 50'000; ++i) {
    now +=
        2'600 + random.Below(2'600'000'000ull * 7200);  // An hour, on average.
    (void)many.Plan(now);
    many.Commit();
  }
  (void)one.Plan(now);
  one.Commit();
  EXPECT_GT(now, 5ull * 365 * 86'400 * 2'600'000'000);
  for (uint32_t i = 0; i < VVAR_BASES; ++i) {
    EXPECT_EQ(many.line().base[i], one.line().base[i]) << "clock " << i;
  }
}

// Trap: T35
TEST(TimekeeperTest, ReaderAndWriterUseTheSameRounding) {
  for (const ConfigRow& row : kConfigs) {
    SCOPED_TRACE(row.name);
    Keeper keeper(row.config);
    EdgyRandom random(36);
    for (int i = 0; i < 3000; ++i) {
      keeper->SetFrequency(random.EdgySigned(24));
      keeper.Run(keeper.lead_cycles() +
                 random.Below(keeper.CyclesOf(5'000'000) + 1));
      const Line before = keeper.line();
      keeper.Update();
      const Line& after = keeper.line();
      for (uint32_t base = 0; base < VVAR_BASES; ++base) {
        // What a reader of the old line gets at the switch is what a reader of
        // the new one gets, to the nanosecond.
        const uint64_t age = support::Ticks(after.cycle_start,
                                            before.cycle_start, keeper.bits());
        ASSERT_EQ(NsAfter(before.base[base], before.ScaleOf(base), age),
                  NsAfter(after.base[base], after.ScaleOf(base), 0))
            << "base " << base;
      }
      // And the writer's coarse value is what a reader gets at its `now`.
      const uint64_t age =
          support::Ticks(keeper.now(), before.cycle_start, keeper.bits());
      ASSERT_EQ(TimespecToNs(after.coarse[VVAR_COARSE_MONOTONIC]),
                NsAfter(before.base[VVAR_BASE_MONOTONIC], before.scale, age));
    }
  }
}

// Trap: T65
TEST(TimekeeperTest, FrequencyChangeBetweenTicksKeepsCoarse) {
  for (const ConfigRow& row : kConfigs) {
    SCOPED_TRACE(row.name);
    Keeper keeper(row.config);
    EdgyRandom random(65);
    for (int i = 0; i < 2000; ++i) {
      const Timespec before = keeper.line().coarse[VVAR_COARSE_MONOTONIC];
      const Timespec before_real = keeper.line().coarse[VVAR_COARSE_REALTIME];
      keeper->SetFrequency(i % 2 == 0 ? 50'000'000 : -50'000'000);
      // As soon as the line has begun: not one tick in between.
      keeper.RunAndUpdate(0);
      const Line& line = keeper.line();
      ASSERT_FALSE(Precedes(line.coarse[VVAR_COARSE_MONOTONIC], before));
      ASSERT_FALSE(Precedes(line.coarse[VVAR_COARSE_REALTIME], before_real));
      // Coarse stays below what a precise read gives from now on.
      ASSERT_TRUE(Exact(line.coarse[VVAR_COARSE_MONOTONIC], keeper.shift()) <=
                  Exact(line.base[VVAR_BASE_MONOTONIC], keeper.shift()));
    }
  }
}

// Trap: T66
TEST(TimekeeperTest, EveryStepBumpsTheWasSetCount) {
  const struct {
    const char* name;
    void (*set)(Timekeeper&);
    uint32_t bumps;
  } kRows[] = {
      {"nothing", [](Timekeeper&) {}, 0},
      {"step", [](Timekeeper& t) { t.StepRealtime(1); }, 1},
      {"step back", [](Timekeeper& t) { t.StepRealtime(-1); }, 1},
      {"two steps at once",
       [](Timekeeper& t) {
         t.StepRealtime(5);
         t.StepRealtime(6);
       },
       1},
      {"a step and its opposite",
       [](Timekeeper& t) {
         t.StepRealtime(5);
         t.StepRealtime(-5);
       },
       0},
      {"TAI offset", [](Timekeeper& t) { t.SetTaiOffset(38); }, 1},
      {"the same TAI offset", [](Timekeeper& t) { t.SetTaiOffset(37); }, 0},
      {"slew", [](Timekeeper& t) { t.Slew(1'000'000, 500'000); }, 0},
      {"frequency", [](Timekeeper& t) { t.SetFrequency(100'000); }, 0},
      {"error", [](Timekeeper& t) { t.SetErrorBound(5, 5); }, 0},
      {"status", [](Timekeeper& t) { t.SetStatus(ClockStatus::kNone); }, 0},
  };
  for (const auto& row : kRows) {
    Timekeeper timekeeper(kConfigs[0].config);
    timekeeper.Start(0, kTimes);
    row.set(timekeeper);
    (void)timekeeper.Plan(1'000'000);
    EXPECT_EQ(timekeeper.line().was_set_count, 0u) << "not before Commit()";
    timekeeper.Commit();
    EXPECT_EQ(timekeeper.line().was_set_count, row.bumps) << row.name;
    (void)timekeeper.Plan(2'000'000);
    timekeeper.Commit();
    EXPECT_EQ(timekeeper.line().was_set_count, row.bumps)
        << row.name << ", and not again at the next update";
  }
}

// What Slew() promises of its result: 1 ns, and a step of mult * interval.
Wide SlewTolerance(const Keeper& keeper, uint64_t interval_ns) {
  return ExactNs(2, keeper.shift()) + Wide(keeper.CyclesOf(interval_ns) + 1);
}

TEST(TimekeeperTest, SlewThatFitsIsDoneByTheNextUpdate) {
  for (const ConfigRow& row : kConfigs) {
    const auto interval_ns = static_cast<int64_t>(row.config.interval_ns);
    // Of what an interval can do at 500 ppm.
    for (const int64_t offset_ns : {interval_ns / 2001, -interval_ns / 2001,
                                    int64_t{100}, int64_t{-100}}) {
      SCOPED_TRACE(std::string(row.name) + ", " + std::to_string(offset_ns));
      Keeper keeper(row.config);
      keeper->SetFrequency(-1'234'567);
      keeper.RunAndUpdate(keeper.CyclesOf(row.config.interval_ns));
      const uint32_t mult = keeper.line().scale.mult;
      const uint64_t interval =
          NsToCycles(row.config.interval_ns, keeper.line().scale);
      keeper->Slew(offset_ns, 500'000);
      EXPECT_EQ(keeper->slew_remaining_ns(), offset_ns);
      keeper.RunAndUpdate(interval);
      const uint64_t from = keeper.line().cycle_start;
      const Wide exact = keeper.At(VVAR_BASE_MONOTONIC, from);
      EXPECT_EQ(keeper->slew_remaining_ns(), offset_ns);
      EXPECT_NE(keeper.line().scale.mult, mult);
      keeper.RunAndUpdate(interval);
      EXPECT_LE(std::abs(keeper->slew_remaining_ns()),
                2 + static_cast<int64_t>(interval_ns / 1'000'000'000));
      const Wide gain = GainOver(keeper, mult, from, exact);
      EXPECT_TRUE(Magnitude(gain - ExactNs(offset_ns, keeper.shift())) <=
                  SlewTolerance(keeper, row.config.interval_ns))
          << Hex(gain);
      // And then it rests.
      for (int i = 0; i < 5; ++i) keeper.RunAndUpdate(interval);
      EXPECT_LE(std::abs(keeper->slew_remaining_ns()), 1);
    }
  }
}

TEST(TimekeeperTest, LateUpdateSlewsBack) {
  for (const ConfigRow& row : kConfigs) {
    for (const int64_t sign : {1, -1}) {
      SCOPED_TRACE(row.name);
      Keeper keeper(row.config);
      const uint64_t interval = keeper.CyclesOf(row.config.interval_ns);
      const int64_t offset_ns =
          sign * static_cast<int64_t>(row.config.interval_ns) / 2100;
      keeper.RunAndUpdate(interval);
      const uint32_t mult = keeper.line().scale.mult;
      keeper->Slew(offset_ns, 500'000);
      keeper.RunAndUpdate(interval);
      const uint64_t from = keeper.line().cycle_start;
      const Wide exact = keeper.At(VVAR_BASE_MONOTONIC, from);
      // Four intervals instead of one: three times the offset too far.
      keeper.RunAndUpdate(4 * interval);
      EXPECT_NEAR(static_cast<double>(keeper->slew_remaining_ns()),
                  static_cast<double>(-3 * offset_ns),
                  10 + std::abs(static_cast<double>(offset_ns)) * 0.01);
      for (int i = 0; i < 20; ++i) {
        keeper.RunAndUpdate(interval);
        if (HasFatalFailure()) return;
      }
      EXPECT_LE(std::abs(keeper->slew_remaining_ns()), 1);
      const Wide gain = GainOver(keeper, mult, from, exact);
      EXPECT_TRUE(Magnitude(gain - ExactNs(offset_ns, keeper.shift())) <=
                  SlewTolerance(keeper, 4 * row.config.interval_ns))
          << Hex(gain);
    }
  }
}

TEST(TimekeeperTest, SlewObservesItsRateLimit) {
  for (const ConfigRow& row : kConfigs) {
    for (const int64_t sign : {1, -1}) {
      SCOPED_TRACE(row.name);
      Keeper keeper(row.config);
      keeper->SetFrequency(777'777);
      const uint64_t interval = keeper.CyclesOf(row.config.interval_ns);
      keeper.RunAndUpdate(interval);
      const uint32_t mult = keeper.line().scale.mult;
      // 100 intervals' worth.
      const int64_t offset_ns =
          sign * static_cast<int64_t>(row.config.interval_ns) / 20;
      keeper->Slew(offset_ns, 500'000);
      keeper.RunAndUpdate(interval);
      const uint64_t from = keeper.line().cycle_start;
      const Wide exact = keeper.At(VVAR_BASE_MONOTONIC, from);
      uint64_t updates = 0;
      while (keeper->slew_remaining_ns() != 0 && updates < 300) {
        const auto slope = static_cast<int64_t>(keeper.line().scale.mult);
        ASSERT_LE(std::abs(slope - int64_t{mult}) * 1'000'000'000,
                  int64_t{mult} * 500'000 + 1'000'000'000);
        ASSERT_EQ(slope < int64_t{mult}, keeper->slew_remaining_ns() < 0);
        keeper.RunAndUpdate(interval);
        ASSERT_FALSE(HasFatalFailure());
        ++updates;
      }
      EXPECT_NEAR(static_cast<double>(updates), 100, 4);
      const Wide gain = GainOver(keeper, mult, from, exact);
      EXPECT_TRUE(Magnitude(gain - ExactNs(offset_ns, keeper.shift())) <=
                  SlewTolerance(keeper, row.config.interval_ns))
          << Hex(gain);
    }
  }
}

TEST(TimekeeperTest, SlewKeepsItsTargetAtRandomIntervals) {
  for (const ConfigRow& row : kConfigs) {
    SCOPED_TRACE(row.name);
    EdgyRandom random(66);
    Keeper keeper(row.config);
    const uint64_t interval = keeper.CyclesOf(row.config.interval_ns);
    keeper.RunAndUpdate(interval);
    const uint32_t mult = keeper.line().scale.mult;
    keeper->Slew(54'321, 500'000);
    keeper.RunAndUpdate(interval);
    const uint64_t from = keeper.line().cycle_start;
    const Wide exact = keeper.At(VVAR_BASE_MONOTONIC, from);
    for (int i = 0; i < 2000; ++i) {
      keeper.RunAndUpdate(random.Below(2 * interval));
      if (HasFatalFailure()) return;
    }
    for (int i = 0; i < 20; ++i) keeper.RunAndUpdate(interval);
    const Wide gain = GainOver(keeper, mult, from, exact);
    // Each change of direction may leave a nanosecond behind.
    EXPECT_TRUE(Magnitude(gain - ExactNs(54'321, keeper.shift())) <=
                ExactNs(2000, keeper.shift()))
        << Hex(gain);
    EXPECT_LE(std::abs(keeper->slew_remaining_ns()), 1);
  }
}

TEST(TimekeeperTest, SlewReplacesTheOneUnderWay) {
  // An owner that measures its offset at each update, as a discipline does,
  // asks each time for what is still missing *now*. What the line has done of
  // the former slew before that must not be counted against the new one.
  for (const ConfigRow& row : kConfigs) {
    SCOPED_TRACE(row.name);
    Keeper keeper(row.config);
    const uint64_t interval = keeper.CyclesOf(row.config.interval_ns);
    const auto tenth_ns = static_cast<int64_t>(row.config.interval_ns / 20'000);
    keeper.RunAndUpdate(interval);
    const uint32_t mult = keeper.line().scale.mult;
    keeper->Slew(100 * tenth_ns, 500'000);  // 10 intervals' worth.
    keeper.RunAndUpdate(interval);
    // In the middle of it, half an interval into its line:
    keeper.Run(interval / 2);
    const uint64_t from = keeper.now();
    const Wide exact = keeper.At(VVAR_BASE_MONOTONIC, from);
    keeper->Slew(5 * tenth_ns, 500'000);  // This much more, from here on.
    keeper.Update();
    for (int i = 0; i < 20; ++i) keeper.RunAndUpdate(interval);
    EXPECT_LE(std::abs(keeper->slew_remaining_ns()), 1);
    const Wide gain = GainOver(keeper, mult, from, exact);
    const Wide wanted = ExactNs(5 * tenth_ns, keeper.shift());
    EXPECT_TRUE(Magnitude(gain - wanted) <=
                SlewTolerance(keeper, 4 * row.config.interval_ns))
        << "moved by " << Hex(gain) << " instead of " << Hex(wanted);
  }
}

TEST(TimekeeperTest, SlewOfZeroStopsTheOneUnderWay) {
  Keeper keeper(kConfigs[1].config);
  const uint64_t interval = keeper.CyclesOf(4'000'000);
  keeper->Slew(1'000'000'000, 500'000);
  keeper.RunAndUpdate(interval);
  EXPECT_GT(keeper.line().scale.mult, keeper->nominal().mult);
  // At the line's very start, where nothing has been done yet.
  keeper->Slew(0, 500'000);
  keeper.RunAndUpdate(0);
  for (int i = 0; i < 5; ++i) keeper.RunAndUpdate(interval);
  EXPECT_LE(std::abs(keeper->slew_remaining_ns()), 1);
  EXPECT_EQ(keeper.line().scale.mult, keeper->nominal().mult);
}

TEST(TimekeeperTest, SlewRateIsClamped) {
  const struct {
    const char* name;
    int64_t max_rate_ppb;
    int64_t allowed_ppb;
  } kRows[] = {
      {"beyond the limit", 50'000'001, 50'000'000},
      {"INT64_MAX", INT64_MAX, 50'000'000},
      {"1", 1, 1},
      {"0 asks for no movement", 0, 0},
      {"a negative rate asks for none either", -1, 0},
      {"INT64_MIN", INT64_MIN, 0},
  };
  for (const auto& row : kRows) {
    for (const int64_t offset_ns : {999'999'999, -999'999'999}) {
      SCOPED_TRACE(row.name);
      Keeper keeper(kConfigs[1].config);
      keeper->Slew(offset_ns, row.max_rate_ppb);
      keeper.RunAndUpdate(4'000'000);
      const auto nominal = static_cast<int64_t>(keeper->nominal().mult);
      const int64_t change = int64_t{keeper.line().scale.mult} - nominal;
      EXPECT_TRUE(Wide(std::abs(change)) * Wide(kSec) <=
                  Wide(nominal) * Wide(row.allowed_ppb) + Wide(kSec))
          << "mult changed by " << change;
    }
  }
}

TEST(TimekeeperTest, SlewReachesItsTargetAtLongIntervals) {
  // A tickless owner that updates once in 100 s.
  for (const int64_t offset_ns : {int64_t{999'999'999}, int64_t{1'500'000'000},
                                  int64_t{-3'000'000'000}}) {
    SCOPED_TRACE(offset_ns);
    Keeper keeper({kId, 64, kSec, 1000, 100 * kSec, 1000 * kSec});
    keeper->Slew(offset_ns, Timekeeper::kMaxPpb);
    for (int i = 0; i < 10; ++i) keeper.RunAndUpdate(100 * kSec);
    EXPECT_LE(std::abs(keeper->slew_remaining_ns()), 200);
  }
}

TEST(TimekeeperTest, ExtremeSlewsAreDefined) {
  // Overflow watched by UBSan.
  for (const int64_t first : {INT64_MAX, INT64_MIN}) {
    for (const int64_t second : {INT64_MAX, INT64_MIN, int64_t{0}}) {
      Keeper keeper(kConfigs[1].config);
      keeper->Slew(first, 500'000);
      keeper.RunAndUpdate(4'000'000);
      keeper.RunAndUpdate(4'000'000);
      keeper->Slew(second, 500'000);
      for (int i = 0; i < 3; ++i) keeper.RunAndUpdate(4'000'000);
      const int64_t change =
          int64_t{keeper.line().scale.mult} - int64_t{keeper->nominal().mult};
      EXPECT_LE(std::abs(change), keeper->nominal().mult / 2000 + 1);
    }
  }
}

// Trap: T67
TEST(TimekeeperTest, SlewBoundsHoldForBothClocks) {
  EdgyRandom random(67);
  for (const ConfigRow& row : kConfigs) {
    SCOPED_TRACE(row.name);
    Keeper keeper(row.config);
    const uint64_t interval = keeper.CyclesOf(row.config.interval_ns);
    for (int i = 0; i < 500; ++i) {
      const int64_t frequency_ppb = random.EdgySigned(25);
      const int64_t rate_ppb = 1 + static_cast<int64_t>(random.Edgy(25));
      keeper->SetFrequency(frequency_ppb);
      keeper->Slew(random.EdgySigned(35), rate_ppb);
      keeper.RunAndUpdate(random.Below(2 * interval));
      if (HasFatalFailure()) return;
      const Line& line = keeper.line();
      const uint64_t later =
          (line.cycle_start + interval) & (UINT64_MAX >> (64 - keeper.bits()));
      // REALTIME and MONOTONIC go alike, inside frequency +- rate.
      const Wide monotonic = keeper.At(VVAR_BASE_MONOTONIC, later) -
                             keeper.At(VVAR_BASE_MONOTONIC, line.cycle_start);
      const Wide realtime = keeper.At(VVAR_BASE_REALTIME, later) -
                            keeper.At(VVAR_BASE_REALTIME, line.cycle_start);
      ASSERT_TRUE(monotonic == realtime);
      const Wide nominal = Wide(interval) * Wide(keeper->nominal().mult);
      const Wide base = nominal * (Wide(kSec) + Wide(frequency_ppb));
      const Wide bound = base * Wide(rate_ppb) +
                         Wide(2) * Wide(interval) * Wide(kSec) * Wide(kSec);
      ASSERT_TRUE(Magnitude(monotonic * Wide(kSec) * Wide(kSec) -
                            base * Wide(kSec)) <= bound)
          << frequency_ppb << " " << rate_ppb;
    }
  }
}

TEST(TimekeeperTest, StepMovesRealtimeAndTaiOnlyAndExactlyThere) {
  for (const ConfigRow& row : kConfigs) {
    for (const int64_t step_ns :
         {int64_t{1}, int64_t{-1}, int64_t{3'600'000'000'000},
          int64_t{-1'000'000'001}}) {
      SCOPED_TRACE(row.name);
      Keeper stepped(row.config);
      Keeper plain(row.config);
      stepped.Step(step_ns);
      for (Keeper* keeper : {&stepped, &plain}) {
        keeper->RunAndUpdate(keeper->CyclesOf(3'000'000));
      }
      const uint64_t start = plain.line().cycle_start;
      for (uint32_t base = 0; base < VVAR_BASES; ++base) {
        const bool moves = base == VVAR_BASE_REALTIME || base == VVAR_BASE_TAI;
        EXPECT_TRUE(stepped.At(base, start) - plain.At(base, start) ==
                    ExactNs(moves ? step_ns : 0, plain.shift()))
            << "base " << base;
      }
      EXPECT_EQ(stepped.line().scale.mult, plain.line().scale.mult);
    }
  }
}

TEST(TimekeeperTest, StepsBeforeOneUpdateAddUp) {
  Keeper keeper(kConfigs[0].config);
  keeper.Step(5'000'000'000);
  keeper.Step(-7);
  keeper.Step(20);
  keeper.RunAndUpdate(1'000'000);  // Keeper checks the sum,
  keeper.RunAndUpdate(1'000'000);  // and that it is not applied again.
}

TEST(TimekeeperTest, CoarseNeverStandsAbovePreciseAcrossAStep) {
  for (const ConfigRow& row : kConfigs) {
    for (const int64_t step_ns : {1'000'000'000, -1'000'000'000, -50, 50}) {
      SCOPED_TRACE(row.name);
      Keeper keeper(row.config);
      keeper.Run(keeper.CyclesOf(5'000'000));
      const Line before = keeper.line();
      keeper.Step(step_ns);
      keeper.Update();
      const Wide coarse =
          Exact(keeper.line().coarse[VVAR_COARSE_REALTIME], keeper.shift());
      // Between now and the switch the old line answers, then the new one.
      EXPECT_TRUE(coarse <= ExactAt(before, VVAR_BASE_REALTIME, keeper.now(),
                                    keeper.bits()));
      EXPECT_TRUE(coarse <= Exact(keeper.line().base[VVAR_BASE_REALTIME],
                                  keeper.shift()));
    }
  }
}

TEST(TimekeeperTest, TaiIsRealtimePlusOffset) {
  Keeper keeper(kConfigs[0].config);
  for (const int32_t offset : {0, 10, 37, -5, INT32_MAX, INT32_MIN}) {
    keeper.SetTai(offset);
    keeper.RunAndUpdate(1'000'000);  // Keeper checks it.
    EXPECT_EQ(keeper.line().base[VVAR_BASE_TAI].sec -
                  keeper.line().base[VVAR_BASE_REALTIME].sec,
              offset);
  }
}

// Trap: T119
TEST(TimekeeperTest, FarSecondsAreDefined) {
  // The page holds any int64; UBSan watches what is made of it.
  for (const int64_t sec : {INT64_MAX, INT64_MIN}) {
    Timekeeper timekeeper(kConfigs[1].config);
    timekeeper.Start(
        0, {{sec, 999'999'999}, {0, 0}, {0, 0}, {0, 0}, sec < 0 ? -1 : 1});
    timekeeper.StepRealtime(sec < 0 ? -1'000'000'000 : 1'000'000'000);
    (void)timekeeper.Plan(2'000'000'000);
    timekeeper.Commit();
    EXPECT_LT(timekeeper.line().base[VVAR_BASE_REALTIME].nsec_shifted,
              kSec << timekeeper.nominal().shift);
  }
}

TEST(TimekeeperTest, ErrorBoundStartsWhereItWasSetAndGrows) {
  for (const ConfigRow& row : kConfigs) {
    SCOPED_TRACE(row.name);
    Keeper keeper(row.config);
    keeper->SetErrorBound(5'000, 20'000);
    keeper.RunAndUpdate(keeper.CyclesOf(2'000'000));
    EXPECT_EQ(keeper.line().error_growth_ppb, 20'000u);
    EXPECT_GE(keeper.line().error_ns, 5'000u);
    EXPECT_LE(keeper.line().error_ns, 5'000 + row.config.lead_ns / 40'000 + 3);
    for (int i = 0; i < 100; ++i) {
      const uint64_t before_ns = keeper.line().error_ns;
      const uint64_t from = keeper.line().cycle_start;
      keeper.RunAndUpdate(keeper.CyclesOf(2'000'000));
      const uint64_t ticks =
          support::Ticks(keeper.line().cycle_start, from, keeper.bits());
      // Grown by at least ppb of the time that passed.
      const uint64_t passed_ns = CyclesToNs(ticks, keeper->nominal(), 0);
      ASSERT_TRUE(support::Covers(keeper.line().error_ns - before_ns, passed_ns,
                                  20'000))
          << i;
    }
    // Set anew, it is the new one: also a smaller one.
    keeper->SetErrorBound(100, 1);
    keeper.RunAndUpdate(keeper.CyclesOf(2'000'000));
    EXPECT_LE(keeper.line().error_ns, 103u);
    EXPECT_EQ(keeper.line().error_growth_ppb, 1u);
  }
}

TEST(TimekeeperTest, ErrorBoundIsNotWidenedByTheNumberOfUpdates) {
  // An hour of 250 updates a second, at 100 ppb: 360 us are due. Rounding up at
  // each update may cost something, but not more than the growth itself.
  Keeper keeper(kConfigs[1].config);
  keeper->SetErrorBound(1'000, 100);
  for (int i = 0; i < 3600 * 250; ++i) {
    keeper.Run(4'000'000);
    (void)keeper->Plan(keeper.now());
    keeper->Commit();
  }
  EXPECT_GE(keeper.line().error_ns, 1'000u + 360'000);
  EXPECT_LE(keeper.line().error_ns, 1'000u + 2 * 360'000);
}

TEST(TimekeeperTest, ErrorBoundSaturates) {
  Keeper keeper(kConfigs[1].config);
  keeper->SetErrorBound(UINT64_MAX - 3, 1'000'000);
  keeper.RunAndUpdate(1'000'000);
  EXPECT_GE(keeper.line().error_ns, UINT64_MAX - 3);
  for (int i = 0; i < 3; ++i) keeper.RunAndUpdate(100'000'000);
  EXPECT_EQ(keeper.line().error_ns, UINT64_MAX);
}

TEST(TimekeeperTest, SettingsBeforeStartHoldFromTheFirstLine) {
  Timekeeper timekeeper(kConfigs[1].config);
  timekeeper.SetFrequency(1'000'000);
  timekeeper.SetRawFrequency(-1'000'000);
  timekeeper.SetStatus(ClockStatus::kSynchronised);
  timekeeper.SetErrorBound(250, 77);
  timekeeper.Start(0, kTimes);
  const Line& line = timekeeper.line();
  const uint32_t nominal = timekeeper.nominal().mult;
  EXPECT_NEAR(line.scale.mult, nominal + nominal / 1000.0, 1);
  EXPECT_NEAR(line.raw_mult, nominal - nominal / 1000.0, 1);
  EXPECT_EQ(line.status, ClockStatus::kSynchronised);
  EXPECT_EQ(line.error_ns, 250u);
  EXPECT_EQ(line.error_growth_ppb, 77u);
}

TEST(TimekeeperTest, FrequencyIsClamped) {
  for (const int64_t ppb :
       {int64_t{50'000'000}, int64_t{50'000'001}, int64_t{INT64_MAX}}) {
    Keeper keeper(kConfigs[1].config);
    keeper->SetFrequency(ppb);
    keeper->SetRawFrequency(ppb);
    keeper.RunAndUpdate(1'000'000);
    EXPECT_EQ(keeper.line().scale.mult, MultByPpb(1u << 30, 50'000'000));
    EXPECT_EQ(keeper.line().raw_mult, MultByPpb(1u << 30, 50'000'000));
  }
  Keeper keeper(kConfigs[1].config);
  keeper->SetFrequency(INT64_MIN);
  keeper->SetRawFrequency(-50'000'001);
  keeper.RunAndUpdate(1'000'000);
  EXPECT_EQ(keeper.line().scale.mult, MultByPpb(1u << 30, -50'000'000));
  EXPECT_EQ(keeper.line().raw_mult, MultByPpb(1u << 30, -50'000'000));
}

TEST(TimekeeperTest, PlanningAgainForgetsTheFormerPlan) {
  EdgyRandom random(9);
  for (const ConfigRow& row : kConfigs) {
    SCOPED_TRACE(row.name);
    Timekeeper twice(row.config);
    Timekeeper once(row.config);
    uint64_t now = 0;
    const uint64_t interval =
        NsToCycles(row.config.interval_ns, once.nominal());
    const uint64_t mask = UINT64_MAX >> (64 - row.config.counter_bits);
    for (Timekeeper* timekeeper : {&twice, &once}) timekeeper->Start(0, kTimes);
    for (int i = 0; i < 300; ++i) {
      const int64_t slew_ns = random.EdgySigned(20);
      const int64_t step_ns = random.OneIn(3) ? random.EdgySigned(40) : 0;
      for (Timekeeper* timekeeper : {&twice, &once}) {
        timekeeper->Slew(slew_ns, 400'000);
        timekeeper->StepRealtime(step_ns);
        timekeeper->SetErrorBound(static_cast<uint64_t>(i), 5);
      }
      now = (now + interval) & mask;
      (void)twice.Plan(now);
      now = (now + random.Below(interval)) & mask;
      (void)twice.Plan(now);
      (void)once.Plan(now);
      twice.Commit();
      once.Commit();
      ASSERT_EQ(FieldsOf(twice.line()), FieldsOf(once.line()));
      ASSERT_EQ(twice.slew_remaining_ns(), once.slew_remaining_ns());
    }
  }
}

TEST(TimekeeperTest, ContinueRefusesWhatItCannotContinue) {
  Timekeeper former(kConfigs[3].config);  // 56 bits.
  former.Start(1000, kTimes);
  const Line good = former.line();
  const struct {
    const char* name;
    void (*spoil)(Line&);
  } kRows[] = {
      {"not published", [](Line& l) { l.scale.mult = 0; }},
      {"no raw slope", [](Line& l) { l.raw_mult = 0; }},
      {"coarser resolution", [](Line& l) { --l.scale.shift; }},
      {"finer resolution", [](Line& l) { ++l.scale.shift; }},
      {"hostile shift", [](Line& l) { l.scale.shift = 255; }},
      {"other counter", [](Line& l) { l.counter_id = VVAR_COUNTER_X86_TSC; }},
      {"withdrawn counter", [](Line& l) { l.counter_id = VVAR_COUNTER_NONE; }},
      {"start beyond the counter's width",
       [](Line& l) { l.cycle_start |= uint64_t{1} << 56; }},
      {"REALTIME not normalised",
       [](Line& l) { l.base[0].nsec_shifted = kSec << l.scale.shift; }},
      {"BOOTTIME not normalised",
       [](Line& l) { l.base[3].nsec_shifted = UINT64_MAX; }},
      {"TAI not normalised",
       [](Line& l) { l.base[4].nsec_shifted = UINT64_MAX; }},
  };
  for (const auto& row : kRows) {
    Line spoilt = good;
    row.spoil(spoilt);
    Timekeeper heir(kConfigs[3].config);
    heir.Start(5, kTimes);
    const auto before = FieldsOf(heir.line());
    EXPECT_FALSE(heir.Continue(spoilt)) << row.name;
    EXPECT_EQ(FieldsOf(heir.line()), before) << row.name;
  }
  Timekeeper heir(kConfigs[3].config);
  EXPECT_TRUE(heir.Continue(good));
}

TEST(TimekeeperTest, ContinueGoesOnWithoutAJump) {
  EdgyRandom random(10);
  for (const ConfigRow& row : kConfigs) {
    SCOPED_TRACE(row.name);
    Keeper keeper(row.config, random.Any());
    for (int i = 0; i < 50; ++i) {
      keeper->SetFrequency(random.EdgySigned(24));
      keeper->Slew(random.EdgySigned(30), 500'000);
      if (random.OneIn(3)) keeper.Step(random.EdgySigned(40));
      keeper.SetTai(static_cast<int32_t>(random.EdgySigned(10)));
      keeper.RunAndUpdate(keeper.CyclesOf(2'000'000));
      const Line last = keeper.line();
      Timekeeper heir(row.config);
      ASSERT_TRUE(heir.Continue(last));
      ASSERT_EQ(FieldsOf(heir.line()), FieldsOf(last));
      ASSERT_EQ(heir.slew_remaining_ns(), 0);
      // The heir's first update meets the dead writer's line, slew and all.
      keeper.Run(keeper.CyclesOf(1'000'000));
      const Line& next = heir.Plan(keeper.now());
      for (uint32_t base = 0; base < VVAR_BASES; ++base) {
        ASSERT_TRUE(Exact(next.base[base], keeper.shift()) ==
                    ExactAt(last, base, next.cycle_start, keeper.bits()))
            << "base " << base;
      }
      ASSERT_EQ(next.was_set_count, last.was_set_count);
      ASSERT_EQ(next.tai_offset_sec, last.tai_offset_sec);
    }
  }
}

TEST(TimekeeperTest, ContinueKeepsTheErrorGrowing) {
  // "Until it is set again the bound grows by itself": whose it was does not
  // matter.
  Timekeeper former(kConfigs[1].config);
  former.SetErrorBound(1'000'000, 100'000);
  former.Start(0, kTimes);
  Timekeeper heir(kConfigs[1].config);
  ASSERT_TRUE(heir.Continue(former.line()));
  (void)heir.Plan(kSec);
  heir.Commit();
  EXPECT_GE(heir.line().error_ns, 1'100'000u);
  EXPECT_EQ(heir.line().error_growth_ppb, 100'000u);
  (void)heir.Plan(2 * kSec);
  heir.Commit();
  EXPECT_GE(heir.line().error_ns, 1'200'000u);
}

TEST(TimekeeperTest, CountersMayWrapAndStartAnywhere) {
  for (const ConfigRow& row : kConfigs) {
    const uint64_t mask = UINT64_MAX >> (64 - row.config.counter_bits);
    for (const uint64_t start : {uint64_t{0}, uint64_t{1} << 31, mask / 2,
                                 mask / 2 + 1, mask - 1, mask}) {
      SCOPED_TRACE(row.name);
      Keeper keeper(row.config, start);
      // A quarter round at once, unless that takes more than 36 years.
      const uint64_t far =
          std::min(mask / 4, keeper.CyclesOf(uint64_t{1} << 60));
      // At once: where `start` is just before the wrap, the line begins after.
      keeper.RunAndUpdate(0);
      for (int i = 0; i < 50; ++i) {
        keeper.RunAndUpdate(i == 25 ? far : keeper.CyclesOf(1'000'000));
        if (HasFatalFailure()) return;
        ASSERT_EQ(keeper.line().cycle_start & ~mask, 0u);
      }
    }
  }
}

TEST(TimekeeperTest, MaxCyclesIsTheAgeLimitOrWhatTheCounterCanTell) {
  for (const ConfigRow& row : kConfigs) {
    SCOPED_TRACE(row.name);
    Keeper keeper(row.config);
    const uint64_t age = keeper.CyclesOf(row.config.max_age_ns);
    const uint64_t forward = uint64_t{1} << (row.config.counter_bits - 1);
    EXPECT_EQ(keeper.line().max_cycles, std::min(age, forward / 2));
  }
  // Where the age limit is the longer one: half of what lies ahead, so that an
  // update in time is never taken for a counter that went back.
  TimekeeperConfig narrow = {kId, 32, kSec, 1'000, 1'000'000, 60 * kSec};
  EXPECT_EQ(Keeper(narrow).line().max_cycles, uint64_t{1} << 30);
  narrow.counter_bits = 2;
  narrow.lead_ns = 0;
  EXPECT_EQ(Keeper(narrow).line().max_cycles, 1u);
  // And an age limit beyond all bounds is bounded.
  TimekeeperConfig config = kConfigs[1].config;
  config.max_age_ns = UINT64_MAX;
  EXPECT_LE(Keeper(config).line().max_cycles, uint64_t{1} << 62);
  config.counter_hz = 1;
  EXPECT_LE(CyclesToNs(Keeper(config).line().max_cycles, ScaleFromHz(1), 0),
            uint64_t{1} << 62);
}

TEST(TimekeeperTest, NextDeadlineLeavesAQuarterOfTheSpan) {
  for (const ConfigRow& row : kConfigs) {
    SCOPED_TRACE(row.name);
    const uint64_t mask = UINT64_MAX >> (64 - row.config.counter_bits);
    Keeper keeper(row.config, mask - 10);
    for (int i = 0; i < 20; ++i) {
      const Line& line = keeper.line();
      const uint64_t deadline = keeper->next_deadline();
      const uint64_t age =
          support::Ticks(deadline, line.cycle_start, keeper.bits());
      ASSERT_LE(age, line.max_cycles - line.max_cycles / 4);
      ASSERT_GE(age, line.max_cycles / 4 * 3);
      ASSERT_EQ(deadline & ~mask, 0u);
      // An owner that keeps to it never lets a reader find the line stale.
      keeper.RunAndUpdate(
          support::Ticks(deadline, keeper.now(), keeper.bits()));
      if (HasFatalFailure()) return;
    }
  }
}

// 30 000 random operations for each configuration: after each update every
// equation holds (Keeper checks them), no clock but a stepped REALTIME or TAI
// goes back, and coarse stays below precise.
TEST(TimekeeperTest, NoClockGoesBackUnderAnySequenceOfOperations) {
  for (const ConfigRow& row : kConfigs) {
    SCOPED_TRACE(row.name);
    EdgyRandom random(0x7ea);
    Keeper keeper(row.config, random.Any());
    const uint64_t interval = keeper.CyclesOf(row.config.interval_ns);
    Wide last[VVAR_BASES] = {};
    Timespec last_coarse = {};
    for (int i = 0; i < 30'000; ++i) {
      bool stepped = false;
      switch (random.Below(8)) {
        case 0:
          keeper->SetFrequency(random.EdgySigned(27));
          break;
        case 1:
          keeper->SetRawFrequency(random.EdgySigned(27));
          break;
        case 2:
          keeper->Slew(random.EdgySigned(60),
                       1 + static_cast<int64_t>(random.Edgy(27)));
          break;
        case 3:
          keeper.Step(random.EdgySigned(55));
          stepped = true;
          break;
        case 4:
          keeper.SetTai(static_cast<int32_t>(random.EdgySigned(16)));
          stepped = true;
          break;
        case 5:
          keeper->SetErrorBound(random.Edgy(),
                                static_cast<uint32_t>(random.Edgy(32)));
          keeper->SetStatus(static_cast<ClockStatus>(random.Below(5)));
          break;
        case 6:
          // A plan that is thrown away, as by a writer that was held up.
          (void)keeper->Plan(keeper.now());
          break;
        default:
          break;
      }
      keeper.Run(random.Below(random.OneIn(50) ? 100 * interval : interval));
      // Just before the update,
      for (uint32_t base = 0; base < VVAR_BASES; ++base) {
        const Wide value = keeper.Now(base);
        ASSERT_TRUE(value >= last[base]) << "base " << base;
        last[base] = value;
      }
      keeper.Update();
      if (HasFatalFailure()) return;
      // and at the start of the new line.
      const Line& line = keeper.line();
      for (uint32_t base = 0; base < VVAR_BASES; ++base) {
        const Wide value = keeper.At(base, line.cycle_start);
        const bool may_step =
            stepped && (base == VVAR_BASE_REALTIME || base == VVAR_BASE_TAI);
        ASSERT_TRUE(value >= last[base] || may_step) << "base " << base;
        last[base] = value;
      }
      const Timespec coarse = line.coarse[VVAR_COARSE_MONOTONIC];
      ASSERT_FALSE(Precedes(coarse, last_coarse));
      last_coarse = coarse;
      ASSERT_TRUE(Exact(coarse, keeper.shift()) <= last[VVAR_BASE_MONOTONIC]);
      ASSERT_TRUE(Exact(line.coarse[VVAR_COARSE_REALTIME], keeper.shift()) <=
                  last[VVAR_BASE_REALTIME]);
    }
  }
}

}  // namespace
}  // namespace vvar
