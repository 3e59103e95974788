// SPDX-License-Identifier: MIT
//
// Offsets that are worked off by a change of slope: the arithmetic against the
// oracle, then slews of every clock and of REALTIME alone on whole timelines.
#include "vvar/slew.h"

#include <gtest/gtest.h>
#include <stdint.h>

#include <string>

#include "tests/support/oracle.h"
#include "tests/support/timeline.h"
#include "vvar/timekeeper.h"

namespace vvar {
namespace {

using support::EdgyRandom;
using support::Exact;
using support::ExactNs;
using support::Magnitude;
using support::Timeline;
using support::Wide;

constexpr int64_t kSec = 1'000'000'000;
constexpr uint32_t kId = VVAR_COUNTER_PRIVATE | 1;
constexpr StartTimes kTimes = {
    {1'700'000'000, 1}, {1000, 999'999'999}, {1001, 1}, {5000, 0}, 37};

struct ConfigRow {
  const char* name;
  TimekeeperConfig config;
};
const ConfigRow kConfigs[] = {
    {"2.6 GHz", {kId, 64, 2'596'152'000, 1'000, 4'000'000, 10 * kSec}},
    {"24 MHz, 56 bits", {kId, 56, 24'000'000, 10'000, 4'000'000, 60 * kSec}},
    {"10 MHz", {kId, 64, 10'000'000, 10'000, 10'000'000, 60 * kSec}},
    {"14 MHz, 32 bits", {kId, 32, 14'318'180, 100'000, 10'000'000, 10 * kSec}},
};

TEST(SlewTest, DifferenceIsTruncatedTowardsZeroAndSaturates) {
  constexpr int64_t kLimit = int64_t{1} << 62;
  EdgyRandom random(1);
  for (int i = 0; i < 100'000; ++i) {
    const auto shift = static_cast<uint32_t>(random.Below(kMaxShift + 1));
    const Timebase difference = {
        random.EdgySigned(random.OneIn(2) ? 40 : 20),
        random.Any() % (static_cast<uint64_t>(kSec) << shift)};
    const Wide exact = Exact(difference, shift);
    const Wide whole = exact < Wide(0) ? Wide(0) - ((Wide(0) - exact) >> shift)
                                       : exact >> shift;
    const Wide expected = whole > Wide(kLimit)    ? Wide(kLimit)
                          : whole < Wide(-kLimit) ? Wide(-kLimit)
                                                  : whole;
    const Wide got = Wide(DifferenceNs(difference, shift));
    // Saturation comes up to a second early.
    ASSERT_TRUE(got == expected || (Magnitude(whole) > Wide(kLimit - kSec) &&
                                    Magnitude(got) == Wide(kLimit) &&
                                    (got < Wide(0)) == (whole < Wide(0))))
        << difference.sec << " s, " << difference.nsec_shifted << " >> "
        << shift;
  }
}

TEST(SlewTest, RateIsTheQuotientOrTheLimit) {
  EdgyRandom random(2);
  for (int i = 0; i < 100'000; ++i) {
    const int64_t offset_ns = random.EdgySigned(62);
    const uint64_t time_ns = random.Edgy(62) + 1;
    const auto limit = static_cast<int64_t>(random.Below(50'000'001));
    const int64_t rate = SlewRatePpb(offset_ns, time_ns, limit);
    ASSERT_LE(Magnitude(Wide(rate)), Wide(limit));
    ASSERT_TRUE(rate == 0 || (rate < 0) == (offset_ns < 0));
    const Wide exact = Magnitude(Wide(offset_ns)) * Wide(kSec) / Wide(time_ns);
    const Wide got = Magnitude(Wide(rate));
    if (offset_ns <= 18 * kSec && offset_ns >= -18 * kSec) {
      ASSERT_TRUE(got == (exact < Wide(limit) ? exact : Wide(limit)));
    } else if (got < Wide(limit)) {
      ASSERT_TRUE(Magnitude(got - exact) <= exact / Wide(300) + Wide(1))
          << offset_ns << " ns in " << time_ns << " ns: " << rate;
    }
  }
}

TEST(SlewTest, WhatALineGotDoneIsExact) {
  EdgyRandom random(3);
  for (int i = 0; i < 100'000; ++i) {
    const auto shift = static_cast<uint32_t>(random.Below(kMaxShift + 1));
    const Timebase remaining = {
        random.EdgySigned(30),
        random.Any() % (static_cast<uint64_t>(kSec) << shift)};
    const int64_t mult = random.EdgySigned(28);
    const uint64_t cycles = random.Edgy(30 + shift);
    const Timebase after = SlewAfter(remaining, mult, cycles, shift);
    ASSERT_TRUE(Exact(after, shift) ==
                Exact(remaining, shift) - Wide(mult) * Wide(cycles));
    ASSERT_LT(after.nsec_shifted, static_cast<uint64_t>(kSec) << shift);
  }
}

TEST(SlewTest, UntilADateItIsEvenAndDoneByThen) {
  for (const ConfigRow& row : kConfigs) {
    for (const int64_t offset_ns : {int64_t{5'000'000}, int64_t{-5'000'000}}) {
      SCOPED_TRACE(std::string(row.name) + std::to_string(offset_ns));
      Timeline timeline(row.config, kTimes);
      Timeline twin(row.config, kTimes);
      timeline.RunAndUpdate(timeline.CyclesOf(1'000'000));
      twin.RunAndUpdate(twin.CyclesOf(1'000'000));
      const Timespec end = {1011, 0};
      timeline->SlewUntil(offset_ns, 1'000'000, end);
      const uint32_t shift = timeline.shift();
      const uint64_t from = timeline.now();
      Wide worst = Wide(0);
      while (timeline.NsSince(end.sec, VVAR_BASE_MONOTONIC, timeline.now()) <
             50'000'000) {
        timeline.TickUntil(timeline.now() + 1);
        twin.TickUntil(timeline.now());
        const uint64_t at = timeline.line().cycle_start;
        const Wide gain = timeline.At(VVAR_BASE_MONOTONIC, at) -
                          twin.At(VVAR_BASE_MONOTONIC, at);
        const int64_t left_ns =
            -timeline.NsSince(end.sec, VVAR_BASE_MONOTONIC, at);
        const int64_t all_ns =
            -timeline.NsSince(end.sec, VVAR_BASE_MONOTONIC, from);
        const int64_t done_ns =
            left_ns < 0
                ? offset_ns
                : offset_ns - offset_ns / 1000 * left_ns / (all_ns / 1000);
        const Wide off = Magnitude(gain - ExactNs(done_ns, shift));
        if (worst < off) worst = off;
        if (left_ns <= 0) {
          // One usual update after the date at the latest.
          ASSERT_TRUE(Magnitude(gain - ExactNs(offset_ns, shift)) <=
                      ExactNs(left_ns > -12'000'000 ? 20'000 : 2, shift));
        }
      }
      EXPECT_TRUE(worst < ExactNs(20'000, shift));
      EXPECT_EQ(timeline->slew_remaining_ns(), 0);
    }
  }
}

TEST(SlewTest, TooSlowARateIsDoneLater) {
  Timeline timeline(kConfigs[0].config, kTimes);
  timeline.RunAndUpdate(timeline.CyclesOf(1'000'000));
  timeline->SlewUntil(10'000'000, 1'000'000, {1002, 0});
  timeline.TickUntil(timeline.CyclesOf(2 * kSec));
  EXPECT_GT(timeline->slew_remaining_ns(), 7'900'000);
  timeline.TickUntil(timeline.CyclesOf(11 * kSec));
  EXPECT_EQ(timeline->slew_remaining_ns(), 0);
}

// REALTIME alone: the policy of an owner who does not step.
TEST(SlewTest, OfRealtimeLeavesTheOtherClocksAlone) {
  for (const ConfigRow& row : kConfigs) {
    for (const int64_t offset_ns : {int64_t{1}, int64_t{-1}, int64_t{777'777},
                                    int64_t{-777'777}, int64_t{20'000'000}}) {
      SCOPED_TRACE(std::string(row.name) + ", " + std::to_string(offset_ns));
      Timeline timeline(row.config, kTimes);
      Timeline twin(row.config, kTimes);
      timeline->SetErrorBound(1000, 0);
      timeline->SlewRealtime(offset_ns, 1'000'000);
      const uint32_t shift = timeline.shift();
      Wide last = Wide(0);
      for (int i = 0; i < 20'000 &&
                      (i < 10 || timeline->realtime_slew_remaining_ns() != 0);
           ++i) {
        timeline.TickUntil(timeline.now() + 1);
        twin.TickUntil(timeline.now());
        const Line& line = timeline.line();
        const uint64_t at = line.cycle_start;
        for (const uint32_t base :
             {VVAR_BASE_MONOTONIC, VVAR_BASE_MONOTONIC_RAW,
              VVAR_BASE_BOOTTIME}) {
          ASSERT_TRUE(Exact(line.base[base], shift) == twin.At(base, at));
        }
        // TAI is where REALTIME is going.
        ASSERT_TRUE(Exact(line.base[VVAR_BASE_TAI], shift) ==
                    twin.At(VVAR_BASE_TAI, at) + ExactNs(offset_ns, shift));
        const Wide real = Exact(line.base[VVAR_BASE_REALTIME], shift);
        const Wide left =
            twin.At(VVAR_BASE_REALTIME, at) + ExactNs(offset_ns, shift) - real;
        ASSERT_TRUE(
            Magnitude(left - ExactNs(timeline->realtime_slew_remaining_ns(),
                                     shift)) < ExactNs(1, shift));
        ASSERT_TRUE(last < real) << "a slew never steps back";
        // The bound holds what is left.
        ASSERT_TRUE(ExactNs(static_cast<int64_t>(line.error_ns), shift) >=
                    Magnitude(left));
        last = real;
      }
      EXPECT_EQ(timeline->realtime_slew_remaining_ns(), 0);
      EXPECT_EQ(timeline.line().realtime_mult, timeline.line().scale.mult);
      EXPECT_LT(timeline.line().error_ns, 1'100u + 20'000u);
    }
  }
}

TEST(SlewTest, OfRealtimeAddsUpAndKeepsItsRate) {
  Timeline timeline(kConfigs[0].config, kTimes);
  timeline->SlewRealtime(3'000'000, 500'000);
  timeline->SlewRealtime(-1'000'000, 500'000);
  timeline.RunAndUpdate(timeline.CyclesOf(4'000'000));
  EXPECT_EQ(timeline->realtime_slew_remaining_ns(), 2'000'000);
  EXPECT_EQ(timeline.line().was_set_count, 1u);
  EXPECT_NEAR(timeline.line().realtime_mult,
              timeline.line().scale.mult * 1.0005, 2);
  timeline.TickUntil(timeline.CyclesOf(kSec));
  EXPECT_NEAR(static_cast<double>(timeline->realtime_slew_remaining_ns()),
              1'500'000, 5'000);
  timeline->SlewRealtime(500'000, 500'000);
  timeline.TickUntil(timeline.CyclesOf(kSec) + timeline.CyclesOf(4'000'000));
  EXPECT_NEAR(static_cast<double>(timeline->realtime_slew_remaining_ns()),
              2'000'000, 10'000);
}

TEST(SlewTest, OfRealtimeOutlivesItsWriter) {
  Timeline timeline(kConfigs[0].config, kTimes);
  timeline->SlewRealtime(-3'000'000, 500'000);
  timeline.TickUntil(timeline.CyclesOf(kSec));
  Timekeeper heir(kConfigs[0].config);
  ASSERT_TRUE(heir.Continue(timeline.line()));
  EXPECT_EQ(heir.realtime_slew_remaining_ns(),
            timeline->realtime_slew_remaining_ns());
  (void)heir.Plan(timeline.now() + timeline.CyclesOf(4'000'000));
  heir.Commit();
  EXPECT_LT(heir.line().realtime_mult, heir.line().scale.mult);
}

}  // namespace
}  // namespace vvar
