// SPDX-License-Identifier: MIT
//
// A REALTIME that is moved and runs at a rate of its own: what the reference
// says, and what a page shows that follows it, over simulated time.
#include "hosted/own_realtime.h"

#include <gtest/gtest.h>
#include <stdint.h>

#include <cmath>
#include <memory>

#include "hosted/discipline.h"
#include "hosted/realtime_steering.h"
#include "hosted/reference.h"
#include "tests/support/scripted_reference.h"
#include "vvar/page.h"
#include "vvar/timebase.h"
#include "vvar/timekeeper.h"

namespace vvar::hosted {
namespace {

using support::ScriptedMachine;
using support::ScriptedReference;

constexpr int64_t kNsPerHour = 3'600'000'000'000;
constexpr double kTickNs = 1e6;

// A page's time, kept by a reference of its own on a scripted machine.
class OwnTime {
 public:
  OwnTime(int64_t offset_ns, int64_t rate_ppb)
      : machine_(new ScriptedReference(ScriptedMachine())),
        own_(std::unique_ptr<Reference>(machine_), offset_ns, rate_ppb),
        discipline_(own_, /*calibration_ns=*/12'000'000,
                    static_cast<uint64_t>(kTickNs), {.rate_ppb = rate_ppb}),
        timekeeper_({VVAR_COUNTER_PRIVATE, 64, 2'596'152'000, 500'000,
                     static_cast<uint64_t>(kTickNs), 2'000'000'000}) {
    discipline_.Start(timekeeper_, machine_->Counter());
  }

  void Tick() {
    machine_->AdvanceNs(kTickNs);
    discipline_.Steer(timekeeper_);
    (void)timekeeper_.Plan(machine_->Counter());
    timekeeper_.Commit();
  }
  // What a reader of the line finds at its start.
  uint64_t Ns(uint32_t base) const {
    return NsAfter(line().base[base], line().ScaleOf(base), 0);
  }
  // REALTIME, less MONOTONIC, less the same of the machine. Units: ns.
  double AheadNs() const {
    const auto of_machine =
        static_cast<int64_t>(machine_->NsAfter(ClockId::kRealtime, 0) -
                             machine_->NsAfter(ClockId::kMonotonic, 0));
    return static_cast<double>(static_cast<int64_t>(Ns(VVAR_BASE_REALTIME) -
                                                    Ns(VVAR_BASE_MONOTONIC))) -
           static_cast<double>(of_machine);
  }
  const Line& line() const { return timekeeper_.line(); }
  ScriptedReference& machine() { return *machine_; }
  OwnRealtime& own() { return own_; }
  const Discipline& discipline() const { return discipline_; }

 private:
  ScriptedReference* machine_;  // Of own_.
  OwnRealtime own_;
  Discipline discipline_;
  Timekeeper timekeeper_;
};

TEST(OwnRealtimeTest, OffsetMovesRealtimeAlone) {
  for (const int64_t offset_ns : {kNsPerHour, -kNsPerHour, int64_t{1'500}}) {
    OwnTime time(offset_ns, 0);
    for (int i = 0; i < 10; ++i) time.Tick();
    EXPECT_NEAR(time.AheadNs(), static_cast<double>(offset_ns), 200);
    EXPECT_LE(std::abs(time.discipline().health().last_offset_ns), 100);
    EXPECT_EQ(time.discipline().health().realtime_steps, 0u);
    const Bracket mine = time.own().Read(ClockId::kBoottime);
    const Bracket its = time.machine().Read(ClockId::kBoottime);
    EXPECT_LE(its.ns - mine.ns, 1000);
  }
}

TEST(OwnRealtimeTest, RateHoldsWithoutAStepWhateverItIs) {
  for (const int64_t rate_ppb : {int64_t{50'000'000}, int64_t{-50'000'000},
                                 int64_t{500'000}, int64_t{-1'000'000}}) {
    SCOPED_TRACE(rate_ppb);
    OwnTime time(0, rate_ppb);
    const double rate = static_cast<double>(rate_ppb) * 1e-9;
    // Until what is left over from one interval to the next has settled.
    for (int i = 0; i < 20; ++i) time.Tick();
    const double ahead_ns = time.AheadNs();
    const uint64_t from_ns = time.Ns(VVAR_BASE_MONOTONIC);
    for (int i = 0; i < 2000; ++i) {
      time.Tick();
      EXPECT_NEAR(static_cast<double>(time.line().realtime_mult) /
                      static_cast<double>(time.line().scale.mult),
                  1 + rate, std::abs(rate) * 0.01);
    }
    const auto elapsed_ns =
        static_cast<double>(time.Ns(VVAR_BASE_MONOTONIC) - from_ns);
    EXPECT_NEAR(time.AheadNs() - ahead_ns, rate * elapsed_ns, 1000);
    EXPECT_EQ(time.discipline().health().realtime_steps, 0u);
    EXPECT_LE(time.discipline().health().max_offset_ns, 100);
  }
}

// A writer that loses its processor between the readings, or amid one of them.
TEST(OwnRealtimeTest, HeldUpAmidAReadingItsBracketSaysSo) {
  constexpr double kRate = 0.05;
  for (const double rate : {kRate, -kRate}) {
    for (int after_readings = 0; after_readings < 4; ++after_readings) {
      auto* const machine = new ScriptedReference();
      const long double start_ns = machine->NsAfter(ClockId::kMonotonic, 0);
      OwnRealtime own{std::unique_ptr<Reference>(machine), 0,
                      std::llround(rate * 1e9)};
      machine->AdvanceNs(7e8);
      machine->Interrupt({after_readings, 1, /*cycles=*/10'000'000});
      // Where its midpoint is: the machine's line, at the rate from the start.
      const Bracket read = own.Read(ClockId::kRealtime);
      const auto past_cycles =
          static_cast<long double>(machine->Counter() - read.midpoint());
      const long double past_ns = past_cycles * machine->MonotonicNsPerCycle();
      const long double ahead_ns =
          (machine->NsAfter(ClockId::kMonotonic, 0) - past_ns - start_ns) *
          static_cast<long double>(rate);
      const auto error_ns = static_cast<double>(
          static_cast<long double>(read.ns) - ahead_ns + past_ns -
          machine->NsAfter(ClockId::kRealtime, 0));
      const double half_ns = static_cast<double>(read.width()) / 2 *
                             static_cast<double>(machine->RawNsPerCycle());
      SCOPED_TRACE(after_readings);
      EXPECT_LE(std::abs(error_ns), half_ns + 20) << rate;
      if (after_readings == 3) {
        EXPECT_LE(std::abs(error_ns), 20) << rate;
        EXPECT_LE(read.width(), 400u);
      }
    }
  }
}

TEST(OwnRealtimeTest, StepOfTheReferenceIsFollowedWithinATick) {
  for (const int64_t step_ns : {kNsPerHour, -kNsPerHour}) {
    for (const int64_t rate_ppb : {0, 40'000'000}) {
      OwnTime time(kNsPerHour, rate_ppb);
      for (int i = 0; i < 50; ++i) time.Tick();
      time.machine().StepRealtime(step_ns);
      time.Tick();
      time.Tick();
      EXPECT_EQ(time.discipline().health().realtime_steps, 1u);
      // Ahead by the same as before, but for the ticks' own progress.
      EXPECT_NEAR(time.AheadNs(), static_cast<double>(kNsPerHour),
                  rate_ppb == 0 ? 200 : 0.04 * 80 * kTickNs);
    }
  }
}

TEST(OwnRealtimeTest, LeapSecondsOfAnothersMidnightAreNotAnnounced) {
  OwnTime time(kNsPerHour, 0);
  time.machine().SetLeapState(VVAR_LEAP_INSERT);
  EXPECT_EQ(time.machine().Quality().leap_state, VVAR_LEAP_INSERT);
  EXPECT_EQ(time.own().Quality().leap_state, VVAR_LEAP_NONE);
}

}  // namespace
}  // namespace vvar::hosted
