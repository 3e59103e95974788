// SPDX-License-Identifier: MIT
//
// Time across a change of counter: a machine that moves to another host, a page
// whose owner changes to another clocksource, a machine that slept. MONOTONIC
// goes on to the stated bound; readers follow or refuse, as documented.
#include <gtest/gtest.h>
#include <stdint.h>

#include <string>
#include <vector>

#include "tests/support/oracle.h"
#include "tests/support/simulator.h"
#include "tests/support/test_page.h"
#include "vvar/header.h"
#include "vvar/reader.h"
#include "vvar/scale.h"
#include "vvar/timekeeper.h"
#include "vvar/writer.h"

namespace vvar {
namespace {

using support::CounterScript;
using support::Exact;
using support::kPartBits;
using support::kSimulatedCounterId;
using support::NsToParts;
using support::SimulatedClock;
using support::SimulatedMachine;
using support::Wide;

constexpr int64_t kMs = 1'000'000;
constexpr int64_t kSec = 1'000'000'000;
constexpr uint32_t kOtherCounterId = kSimulatedCounterId + 1;

constexpr StartTimes kTimes = {{1'700'000'000, 123'456'789},
                               {1'000, 999'999'999},
                               {1'001, 1},
                               {5'000, 0},
                               37};

// What is read of a page at once; each clock in ns.
struct Reads {
  uint64_t ns[VVAR_BASES] = {};
  ReadStatus status = ReadStatus::kOk;
};

// A machine with a page on its counter.
template <uint32_t kBits, uint32_t kId = kSimulatedCounterId>
class Host {
 public:
  using Clock = SimulatedClock<kBits, kId>;
  using Reader = vvar::Reader<Clock>;

  explicit Host(const CounterScript& counter)
      : machine(counter, {0}, 1),
        config(ConfigOf(counter)),
        timekeeper(config),
        writer(&page.timeline[0], Clock(&machine, 0)) {
    FormatPage(page, support::PageConfigOf(config));
  }
  static TimekeeperConfig ConfigOf(const CounterScript& counter) {
    return {.counter_id = kId,
            .counter_bits = kBits,
            .counter_hz = counter.hz,
            .lead_ns = 20'000,
            .interval_ns = 10 * kMs,
            .max_age_ns = 50 * kSec};
  }

  void Start() {
    timekeeper.Start(Value(), kTimes);
    writer.PublishLine(timekeeper.line());
    Pass(kMs);
  }
  uint64_t Value() {
    return machine.Value(machine.SeenBy(0)) & (UINT64_MAX >> (64 - kBits));
  }
  void Pass(int64_t ns) {
    machine.AdvanceCycles(machine.CyclesOf(static_cast<uint64_t>(ns)));
  }
  void Publish() {
    ASSERT_EQ(writer.Publish(timekeeper), PublishStatus::kPublished);
  }
  Reader MakeReader() { return Reader(&page.timeline[0], Clock(&machine, 0)); }
  Reads ReadAll() {
    Reads reads;
    for (uint32_t i = 0; i < VVAR_BASES; ++i) {
      const NsReading reading = MakeReader().Now(support::kClockRows[i].id);
      if (!reading.ok()) reads.status = reading.status;
      reads.ns[i] = reading.ns;
    }
    return reads;
  }
  // A second of steering, so that lines have fractions and slopes.
  void Live() {
    for (int i = 0; i < 100; ++i) {
      timekeeper.SetFrequency((i * 7'919) % 400'000 - 200'000);
      Publish();
      Pass(10 * kMs + i);
    }
  }
  // The exact time of every clock where the current line begins.
  std::vector<Wide> Bases() const {
    const Line& line = timekeeper.line();
    std::vector<Wide> bases;
    for (const Timebase& base : line.base) {
      bases.push_back(Exact(base, line.scale.shift)
                      << (kPartBits - line.scale.shift));
    }
    return bases;
  }

  SimulatedMachine machine;
  TimekeeperConfig config;
  alignas(4096) vvar_page page = {};
  Timekeeper timekeeper;
  Writer<Clock> writer;
};

int64_t GapOf(const Gap& gap, uint32_t index) {
  return index == VVAR_BASE_BOOTTIME        ? gap.boottime_ns
         : index == VVAR_BASE_MONOTONIC     ? gap.monotonic_ns
         : index == VVAR_BASE_MONOTONIC_RAW ? gap.monotonic_raw_ns
                                            : gap.realtime_ns;
}

// T(L', at) = T(held) + gap, less below one part of L'. `held` is exact; `line`
// is what the timekeeper went on from, `late_cycles` after `at`.
template <class To>
void ExpectGoesOn(const std::vector<Wide>& held, const Line& line,
                  const Gap& gap, const To& host, uint64_t late_cycles = 0) {
  const uint32_t to_parts = kPartBits - line.scale.shift;
  const uint64_t lead =
      NsToCycles(host.config.lead_ns, ScaleFromHz(host.config.counter_hz));
  const std::vector<Wide> bases = host.Bases();
  for (uint32_t i = 0; i < VVAR_BASES; ++i) {
    SCOPED_TRACE(support::kClockRows[i].name);
    const Wide elapsed = (Wide(late_cycles + lead) * Wide(line.ScaleOf(i).mult))
                         << to_parts;
    const Wide lost = held[i] + NsToParts(GapOf(gap, i)) - (bases[i] - elapsed);
    EXPECT_GE(lost, Wide(0)) << support::Hex(lost);
    EXPECT_LT(lost, Wide(1) << to_parts) << support::Hex(lost);
  }
}

// A guest leaves a host of 2.6 GHz for one of `kBits` bits and another origin.
template <uint32_t kBits>
void Migrate(const CounterScript& to, const Gap& gap) {
  Host<64> source({.hz = 2'600'000'000, .first_value = 0x123456789abc});
  source.Start();
  source.Live();
  const Reads before = source.ReadAll();
  ASSERT_EQ(before.status, ReadStatus::kOk);
  source.timekeeper.Hold();
  source.Publish();
  EXPECT_EQ(source.ReadAll().status, ReadStatus::kNoCounter);
  source.Pass(kSec);
  EXPECT_EQ(source.ReadAll().status, ReadStatus::kNoCounter);

  // What crosses is the line, as the page has it.
  Line line = {};
  source.writer.LoadCurrentLine(&line);
  const std::vector<Wide> held = source.Bases();
  Host<kBits> destination(to);
  destination.Pass(7 * kSec);
  ASSERT_TRUE(destination.timekeeper.Import(line));
  EXPECT_TRUE(destination.timekeeper.held());
  const Line imported = destination.timekeeper.line();
  destination.timekeeper.Resume(destination.Value(), gap);
  destination.Publish();
  ExpectGoesOn(held, imported, gap, destination);
  const Line& on = destination.timekeeper.line();
  EXPECT_EQ(on.was_set_count, line.was_set_count + 1);
  EXPECT_EQ(on.tai_offset_sec, line.tai_offset_sec);
  EXPECT_GE(on.error_ns, line.error_ns);

  destination.Pass(kMs);
  const Reads after = destination.ReadAll();
  ASSERT_EQ(after.status, ReadStatus::kOk);
  for (const uint32_t i :
       {VVAR_BASE_MONOTONIC, VVAR_BASE_MONOTONIC_RAW, VVAR_BASE_BOOTTIME}) {
    EXPECT_GE(after.ns[i], before.ns[i] + static_cast<uint64_t>(GapOf(gap, i)));
    // Nor does it run away: a lead on both sides, and what passed here.
    EXPECT_LE(after.ns[i],
              before.ns[i] + static_cast<uint64_t>(GapOf(gap, i) + 2 * kMs));
  }
  // And it goes on there as if nothing had been.
  destination.Live();
  EXPECT_EQ(destination.ReadAll().status, ReadStatus::kOk);
}

// Trap: T69
TEST(ExportImportTest, MonotonicNeverGoesBack) {
  const struct {
    const char* name;
    Gap gap;
  } kPolicies[] = {
      {"frozen: MONOTONIC does not count it", {3 * kSec, 0, 0, 3 * kSec}},
      {"jumps: every clock counts it",
       {3 * kSec, 3 * kSec, 3 * kSec, 3 * kSec}},
      {"no time at all", {0, 0, 0, 0}},
      {"REALTIME of the other host is behind", {-40 * kSec, 5, 5, 7}},
  };
  for (const auto& policy : kPolicies) {
    SCOPED_TRACE(policy.name);
    {
      SCOPED_TRACE("to 24 MHz, 56 bits");
      Migrate<56>({.hz = 24'000'000}, policy.gap);
    }
    {
      SCOPED_TRACE("to 10 MHz, 64 bits, about to wrap");
      Migrate<64>({.hz = 10'000'000, .first_value = UINT64_MAX - 70'000'000},
                  policy.gap);
    }
    {
      SCOPED_TRACE("to 14 MHz, 32 bits, about to wrap");
      Migrate<32>({.hz = 14'318'180, .first_value = 0xffff'ffff - 100'300'000},
                  policy.gap);
    }
    {
      SCOPED_TRACE("to 1 GHz, 32 bits");
      Migrate<32>({.hz = 1'000'000'000, .first_value = 0x8000'0000},
                  policy.gap);
    }
    {
      SCOPED_TRACE("to 16 GHz, 64 bits");
      Migrate<64>({.hz = 16'000'000'000}, policy.gap);
    }
  }
}

TEST(ExportImportTest, FractionsSurviveAWayThereAndBackToTheCoarserCounter) {
  Host<64> fine({.hz = 16'000'000'000});
  fine.Start();
  fine.Live();
  fine.timekeeper.Hold();
  fine.Publish();
  const std::vector<Wide> held = fine.Bases();
  Timekeeper coarse(Host<64>::ConfigOf({.hz = 1'000'000}));
  ASSERT_TRUE(coarse.Import(fine.timekeeper.line()));
  Timekeeper again(fine.config);
  ASSERT_TRUE(again.Import(coarse.line()));
  for (uint32_t i = 0; i < VVAR_BASES; ++i) {
    SCOPED_TRACE(support::kClockRows[i].name);
    const Wide back = Exact(again.line().base[i], again.line().scale.shift)
                      << (kPartBits - again.line().scale.shift);
    EXPECT_LE(back, held[i]);
    EXPECT_LT(held[i] - back, Wide(1)
                                  << (kPartBits - coarse.line().scale.shift));
    EXPECT_EQ(support::FloorNs(back, kPartBits),
              support::FloorNs(held[i], kPartBits));
  }
}

TEST(ExportImportTest, TakesOnlyAHeldLine) {
  Host<64> host({.hz = 24'000'000});
  host.Start();
  Timekeeper other(host.config);
  EXPECT_FALSE(other.Import(host.timekeeper.line())) << "it runs";
  host.timekeeper.Hold();
  host.Publish();
  Line line = host.timekeeper.line();
  EXPECT_TRUE(other.Import(line));
  line.scale.shift = kMaxShift + 1;
  EXPECT_FALSE(other.Import(line)) << "shift";
  line = host.timekeeper.line();
  line.base[VVAR_BASE_TAI].nsec_shifted = kNsPerSec << line.scale.shift;
  EXPECT_FALSE(other.Import(line)) << "not normalised";
}

// The owner changes from one clocksource to another at one instant.
template <uint32_t kFromBits, uint32_t kToBits>
void Switch(const CounterScript& from, const CounterScript& to) {
  Host<kFromBits> host(from);
  host.Start();
  host.Live();
  const uint64_t at = host.Value();
  const Line line = host.timekeeper.line();
  std::vector<Wide> expected;
  for (uint32_t i = 0; i < VVAR_BASES; ++i) {
    expected.push_back(support::ExactAt(line, i, at, kFromBits)
                       << (kPartBits - line.scale.shift));
  }
  const Reads before = host.ReadAll();
  host.timekeeper.HoldAt(at);
  EXPECT_EQ(host.Bases(), expected);

  Host<kToBits> on(to);
  on.timekeeper = host.timekeeper;
  on.timekeeper.SetCounter(on.config);
  const Line switched = on.timekeeper.line();
  on.timekeeper.Resume(on.Value(), {0, 0, 0, 0});
  on.Publish();
  ExpectGoesOn(expected, switched, {0, 0, 0, 0}, on);
  on.machine.AdvanceTo(on.machine.position() + on.machine.CyclesOf(30'000));
  const Reads after = on.ReadAll();
  ASSERT_EQ(after.status, ReadStatus::kOk);
  for (uint32_t i = 0; i < VVAR_BASES; ++i) {
    SCOPED_TRACE(support::kClockRows[i].name);
    EXPECT_GE(after.ns[i], before.ns[i]);
    EXPECT_LE(after.ns[i], before.ns[i] + 100'000);
  }
}

// Trap: T69
TEST(TimekeeperTest, SourceSwitchIsContinuous) {
  const CounterScript tsc = {.hz = 2'600'000'000, .first_value = 1};
  const CounterScript arm = {.hz = 24'000'000, .first_value = 0x4321};
  const CounterScript hpet = {.hz = 14'318'180, .first_value = 0xfffffff0};
  const CounterScript acpi = {.hz = 10'000'000, .first_value = 77};
  Switch<64, 56>(tsc, arm);
  Switch<56, 64>(arm, tsc);
  Switch<64, 32>(tsc, hpet);
  Switch<32, 64>(hpet, tsc);
  Switch<64, 64>(tsc, acpi);
  Switch<64, 64>(acpi, tsc);
}

TEST(TimekeeperTest, AHoldBeforeTheLineBeginsIsAtItsStart) {
  Host<64> host({.hz = 1'000'000'000});
  host.Start();
  host.Live();
  host.Publish();
  const std::vector<Wide> start = host.Bases();
  ASSERT_FALSE(host.timekeeper.LineHasBegun(host.Value()));
  host.timekeeper.HoldAt(host.Value());
  EXPECT_EQ(host.Bases(), start);
}

// Trap: T73
TEST(TimekeeperTest, ResumeRebasesEveryClock) {
  const int64_t slept = 5'000 * kSec;
  const struct {
    const char* name;
    bool runs;
    bool jumps;
  } kRows[] = {
      {"the counter stops", false, false},
      {"the counter goes on", true, false},
      {"the counter begins again", false, true},
  };
  for (const auto& row : kRows) {
    SCOPED_TRACE(row.name);
    Host<64> host({.hz = 24'000'000});
    host.Start();
    host.Live();
    host.timekeeper.Hold();
    host.Publish();
    const std::vector<Wide> held = host.Bases();
    const Line line = host.timekeeper.line();
    if (row.runs) host.Pass(slept);
    if (row.jumps) host.machine.JumpTo(3);
    // The time from before the sleep is not to be had: nobody knows it yet.
    EXPECT_EQ(host.ReadAll().status, ReadStatus::kNoCounter);

    const Gap gap = {slept, 0, 0, slept};
    host.timekeeper.Resume(host.Value(), gap);
    host.Publish();
    ExpectGoesOn(held, line, gap, host);
    // Until the new line begins, the held one is the previous one.
    EXPECT_EQ(host.ReadAll().status, ReadStatus::kNoCounter);
    host.Pass(kMs);
    const Reads reads = host.ReadAll();
    EXPECT_EQ(reads.status, ReadStatus::kOk);
    for (uint32_t i = 0; i < VVAR_BASES; ++i) {
      SCOPED_TRACE(support::kClockRows[i].name);
      const uint64_t awake =
          support::FloorNs(held[i] + NsToParts(GapOf(gap, i)), kPartBits);
      EXPECT_GE(reads.ns[i], awake);
      EXPECT_LE(reads.ns[i], awake + 2 * kMs);
    }
    host.Live();
    EXPECT_EQ(host.ReadAll().status, ReadStatus::kOk);
  }
}

// Whoever wakes up reads the counter first, and publishes when it gets to it.
TEST(TimekeeperTest, ResumeCountsWhatPassedSinceItsCounterValue) {
  const Gap gap = {3 * kSec, 0, 0, 3 * kSec};
  for (const int64_t late_ns : {int64_t{1'000}, kMs, 700 * kSec}) {
    SCOPED_TRACE(late_ns);
    Host<64> host({.hz = 24'000'000});
    host.Start();
    host.timekeeper.Hold();
    host.Publish();
    const std::vector<Wide> held = host.Bases();
    const Line line = host.timekeeper.line();
    const uint64_t at = host.Value();
    host.timekeeper.Resume(at, gap);
    host.Pass(late_ns);
    host.Publish();
    ExpectGoesOn(held, line, gap, host, host.Value() - at);
  }
}

TEST(TimekeeperTest, AResumeEndsOneHoldOnly) {
  Host<64> host({.hz = 24'000'000});
  host.Start();
  host.timekeeper.Hold();
  host.Publish();
  host.timekeeper.Resume(host.Value(), {kSec, 0, 0, kSec});
  host.Publish();
  ASSERT_FALSE(host.timekeeper.held());
  host.Pass(kMs);
  host.timekeeper.Hold();
  host.Publish();
  const std::vector<Wide> held = host.Bases();
  host.Pass(kMs);
  host.Publish();
  EXPECT_TRUE(host.timekeeper.held());
  EXPECT_EQ(host.Bases(), held);
}

// Nobody published that the machine sleeps, so the page still has the old line
// when it wakes up, on a counter that says something else. Until the new line
// begins, the old one must not answer.
//
// Trap: T73
TEST(TimekeeperTest, AnUnannouncedSleepEndsTheOldLineAtOnce) {
  Host<64> host({.hz = 24'000'000});
  host.Start();
  host.Live();
  const uint64_t at = host.Value();
  const Reads before = host.ReadAll();
  host.machine.JumpTo(at + 24'000'000);
  host.timekeeper.HoldAt(at);
  host.timekeeper.Resume(host.Value(), {kSec, 0, 0, kSec});
  host.Publish();
  EXPECT_EQ(host.ReadAll().status, ReadStatus::kNoCounter);
  host.Pass(kMs);
  const Reads after = host.ReadAll();
  ASSERT_EQ(after.status, ReadStatus::kOk);
  EXPECT_GE(after.ns[VVAR_BASE_MONOTONIC], before.ns[VVAR_BASE_MONOTONIC]);
  EXPECT_LE(after.ns[VVAR_BASE_MONOTONIC],
            before.ns[VVAR_BASE_MONOTONIC] + 2 * kMs);
}

// Whoever worked a gap out got it wrong: the steady clocks do not pay for it.
TEST(TimekeeperTest, NegativeGapMovesNoSteadyClockBack) {
  Host<64> host({.hz = 24'000'000});
  host.Start();
  host.Live();
  host.timekeeper.Hold();
  host.Publish();
  const std::vector<Wide> held = host.Bases();
  host.timekeeper.Resume(host.Value(), {-kSec, -1, INT64_MIN, -kSec});
  host.Publish();
  const std::vector<Wide> after = host.Bases();
  for (const uint32_t i :
       {VVAR_BASE_MONOTONIC, VVAR_BASE_MONOTONIC_RAW, VVAR_BASE_BOOTTIME}) {
    EXPECT_GT(after[i], held[i]);
    EXPECT_LT(after[i], held[i] + NsToParts(kMs));
  }
  EXPECT_LT(after[VVAR_BASE_REALTIME], held[VVAR_BASE_REALTIME]);
}

TEST(ChangeCounterTest, ReadersOfTheSameCounterFollow) {
  Host<64> host({.hz = 2'600'000'000});
  host.Start();
  host.Live();
  const auto reader = host.MakeReader();
  const NsReading before = reader.Now(ClockId::kMonotonic);
  const uint32_t marker = host.page.header.disruption_marker;
  host.timekeeper.Hold();
  host.Publish();
  const Line held = host.timekeeper.line();

  // The host has another TSC: the same counter at another rate and position.
  host.machine.SwitchCounter({.hz = 24'000'000, .first_value = 99});
  host.config = Host<64>::ConfigOf({.hz = 24'000'000});
  ChangeCounter(host.page, kSimulatedCounterId, 64, 24'000'000);
  EXPECT_NE(host.page.header.disruption_marker, marker);
  EXPECT_EQ(host.page.header.counter_hz, 24'000'000u);
  EXPECT_EQ(reader.Now(ClockId::kMonotonic).status, ReadStatus::kNoCounter);
  EXPECT_TRUE(reader.NowCoarse(ClockId::kMonotonicCoarse).ok());
  Timekeeper next(host.config);
  ASSERT_TRUE(next.Import(held));
  next.Resume(host.Value(), {0, 0, 0, 0});
  ASSERT_EQ(host.writer.Publish(next), PublishStatus::kPublished);
  host.Pass(kMs);
  const NsReading after = reader.Now(ClockId::kMonotonic);
  ASSERT_EQ(after.status, ReadStatus::kOk);
  EXPECT_GE(after.ns, before.ns);
  EXPECT_LE(after.ns, before.ns + 2 * kMs);
  Host<64>::Reader attached;
  EXPECT_EQ(Host<64>::Reader::Attach(&host.page, sizeof host.page, 0,
                                     reader.clock(), &attached),
            PageStatus::kOk);
}

// Trap: T62
TEST(ChangeCounterTest, ReadersOfAnotherCounterRefuse) {
  Host<64> source({.hz = 2'600'000'000});
  source.Start();
  source.Live();
  const auto reader = source.MakeReader();
  const uint32_t marker = source.page.header.disruption_marker;
  source.timekeeper.Hold();
  source.Publish();
  const Line held = source.timekeeper.line();

  // The same page, on a machine whose counter is another one.
  using Other = Host<32, kOtherCounterId>;
  const CounterScript script = {.hz = 14'318'180, .first_value = 0xffff'0000};
  SimulatedMachine machine(script, {0}, 2);
  const Other::Clock clock(&machine, 0);
  ChangeCounter(source.page, kOtherCounterId, 32, script.hz);
  EXPECT_EQ(source.page.header.disruption_marker, marker + 1);
  Timekeeper next(Other::ConfigOf(script));
  ASSERT_TRUE(next.Import(held));
  next.Resume(machine.Value(machine.position()), {0, 0, 0, 0});
  Writer<Other::Clock> writer(&source.page.timeline[0], clock);
  ASSERT_EQ(writer.Publish(next), PublishStatus::kPublished);
  const auto expect_refused = [&] {
    // Wherever its own counter stands.
    for (const uint64_t value : {uint64_t{0}, uint64_t{0xffff'0400},
                                 uint64_t{0x10000'0000}, UINT64_MAX}) {
      source.machine.JumpTo(value);
      const ReadStatus status = reader.Now(ClockId::kMonotonic).status;
      EXPECT_TRUE(status == ReadStatus::kWrongCounter ||
                  status == ReadStatus::kNoCounter)
          << static_cast<uint32_t>(status);
      EXPECT_FALSE(reader.Interval(ClockId::kRealtime).ok());
    }
  };
  expect_refused();
  machine.AdvanceCycles(machine.CyclesOf(kMs));
  ASSERT_EQ(writer.Publish(next), PublishStatus::kPublished);
  expect_refused();
  EXPECT_EQ(reader.Now(ClockId::kMonotonic).status, ReadStatus::kWrongCounter);
  EXPECT_TRUE(reader.NowCoarse(ClockId::kRealtimeCoarse).ok());
  Host<64>::Reader refused;
  EXPECT_EQ(Host<64>::Reader::Attach(&source.page, sizeof source.page, 0,
                                     reader.clock(), &refused),
            PageStatus::kWrongCounter);

  Other::Reader follower;
  ASSERT_EQ(Other::Reader::Attach(&source.page, sizeof source.page, 0, clock,
                                  &follower),
            PageStatus::kOk);
  EXPECT_TRUE(follower.Now(ClockId::kMonotonic).ok());
}

}  // namespace
}  // namespace vvar
