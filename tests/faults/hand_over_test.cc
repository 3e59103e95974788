// SPDX-License-Identifier: MIT
//
// F8: two threads hand times over while a third publishes lines whose slopes
// differ by 1000 ppm, and is held up between sampling the counter and opening
// the page. No time goes back. A writer that publishes what began before, as
// every other update of time does, is noticed.
//
// What this could miss: a step back below the time of a hand-over, and what
// only another machine shows: see causality_test.cc.
#include "tests/support/hand_over.h"

#include <gtest/gtest.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <thread>

#include "clocks/native.h"
#include "tests/support/test_page.h"
#include "vvar/clocksource.h"
#include "vvar/reader.h"
#include "vvar/scale.h"
#include "vvar/seqcount.h"
#include "vvar/timebase.h"
#include "vvar/timekeeper.h"
#include "vvar/writer.h"

namespace vvar::faults {
namespace {

using support::Stream;
using support::TakeTurns;
using support::Tally;

constexpr int64_t kPpb = 500'000;

// Waits before [W:open] for as long as it is told to, once.
struct HeldUpMemory : PageMemory {
  static inline thread_local const SeqToken* seq = nullptr;
  static inline thread_local uint64_t cycles = 0;

  static void StoreRelease(uint32_t& word, uint32_t value) {
    if (&word == seq && (value & 1) != 0) Wait();
    PageMemory::StoreRelease(word, value);
  }
  static void Wait() {
    const NativeClock clock;
    const uint64_t begin = clock.ReadUnordered();
    while (clock.ReadUnordered() - begin < cycles) {
    }
    cycles = 0;
  }
};

class HandOverTest : public testing::Test {
 protected:
  using TestReader = Reader<NativeClock>;

  void SetUp() override {
    if (support::UsableCpus().size() < 2) GTEST_SKIP() << "needs two CPUs";
    info_ = QueryCounter(NativeClock());
    if (!info_.constant_rate) GTEST_SKIP() << "counter without constant rate";
    config_.counter_id = NativeClock::kCounterId;
    config_.counter_bits = NativeClock::kCounterBits;
    config_.counter_hz = info_.hz != 0 ? info_.hz : 1'000'000'000;
    config_.lead_ns = 1'000'000;
    config_.max_age_ns = 60'000'000'000;
  }

  static uint64_t HandOvers() {
    return getenv("VVAR_THOROUGH") != nullptr ? 100'000'000 : 1'000'000;
  }
  uint64_t CyclesOf(uint64_t ns) const {
    return NsToCycles(ns, ScaleFromHz(config_.counter_hz));
  }

  // Hands times over beside a writer; `publish` is called all the time.
  template <class Publish>
  Tally HandOver(uint64_t hand_overs, Timekeeper& timekeeper, Publish publish) {
    page_ = {};
    timekeeper.Start(info_.clock.Read(0) - CyclesOf(1'000'000),
                     support::kTestTimes);
    Writer<NativeClock>(&page_.timeline[0], info_.clock)
        .PublishLine(timekeeper.line());
    std::atomic<bool> stop{false};
    std::thread writer([&] {
      HeldUpMemory::seq = &page_.timeline[0].seq;
      while (!stop) publish();
    });
    const TestReader reader(&page_.timeline[0], info_.clock);
    const auto read = [&] {
      const NsReading reading = reader.Now(ClockId::kMonotonic);
      if (!reading.ok()) ++refused_;
      // A thread hands over to itself, too.
      thread_local uint64_t last_ns = 0;
      if (reading.ns < last_ns) NoteStepBack(last_ns - reading.ns);
      last_ns = reading.ns;
      return reading.ns;
    };
    // In turns takes several times as long.
    const Tally turns = TakeTurns(hand_overs / 10, read);
    const Tally streamed = Stream(hand_overs - hand_overs / 10, read);
    stop = true;
    writer.join();
    streamed.Print("streamed (ns)");
    turns.Print("in turns (ns)");
    printf("%.0f steps back of a thread's own, worst %.0f\n",
           static_cast<double>(steps_back_.load()),
           static_cast<double>(worst_back_.load()));
    return {streamed.hand_overs + turns.hand_overs,
            streamed.violations + turns.violations + steps_back_,
            std::max({streamed.worst, turns.worst, worst_back_.load()})};
  }
  void NoteStepBack(uint64_t ns) {
    ++steps_back_;
    uint64_t worst = worst_back_;
    while (ns > worst && !worst_back_.compare_exchange_weak(worst, ns)) {
    }
  }

  // Faster, slower, with steps that move REALTIME only.
  void Steer(Timekeeper& timekeeper) {
    ++round_;
    timekeeper.SetFrequency(round_ % 2 == 0 ? kPpb : -kPpb);
    timekeeper.StepRealtime(round_ % 3 == 0 ? -1'000'000'000 : 500'000'000);
  }

  vvar_page page_ = {};
  CounterInfo<NativeClock> info_ = {};
  TimekeeperConfig config_ = support::kTestConfig;
  std::atomic<uint64_t> refused_{0};
  std::atomic<uint64_t> steps_back_{0};
  std::atomic<uint64_t> worst_back_{0};
  uint64_t round_ = 0;
};

// Trap: T21
TEST_F(HandOverTest, NoTimeGoesBackWhileSlopesChangeAndTheWriterIsHeldUp) {
  Writer<NativeClock, HeldUpMemory> writer(&page_.timeline[0], info_.clock);
  Timekeeper timekeeper(config_);
  const uint64_t hold_up = CyclesOf(1'000'000);
  const Tally tally = HandOver(HandOvers(), timekeeper, [&] {
    if (!timekeeper.LineHasBegun(info_.clock.Read(0))) {
      usleep(100);  // Its pace; the readers want the CPUs.
      return;
    }
    Steer(timekeeper);
    if (round_ % 4 == 0) HeldUpMemory::cycles = hold_up;
    (void)writer.Publish(timekeeper);
  });
  const vvar_writer_stats& stats = page_.timeline[0].stats;
  printf("%.0f publications, %u dated anew, %u late\n",
         static_cast<double>(round_), stats.redated_lines,
         stats.late_publications);
  EXPECT_EQ(refused_.load(), 0u);
  EXPECT_GT(round_, 20u);
  EXPECT_GE(stats.redated_lines, round_ / 8) << "it was not held up";
  // If the machine stops the writer after its last look at the date, for half a
  // lead, that is a late publication; and may do so much harm, in ns.
  const uint64_t late_ns =
      CyclesToNs(stats.max_lateness_cycles, timekeeper.nominal(), 0);
  if (stats.late_publications == 0) {
    EXPECT_EQ(tally.violations, 0u);
  }
  EXPECT_LE(tally.worst, late_ns / 1'000 + (tally.violations == 0 ? 0 : 1));
}

// Trap: T21
TEST_F(HandOverTest, AWriterThatPublishesWhatHasBegunIsNoticed) {
  TimekeeperConfig config = config_;
  config.lead_ns = 0;
  Timekeeper timekeeper(config);
  Writer<NativeClock, HeldUpMemory> writer(&page_.timeline[0], info_.clock);
  const uint64_t hold_up = CyclesOf(1'000'000);
  // How often it is seen is up to the scheduler: as long as it takes.
  Tally tally;
  for (int round = 0; round < 200 && tally.violations == 0; ++round) {
    tally = HandOver(200'000, timekeeper, [&] {
      Steer(timekeeper);
      const Line& line = timekeeper.Plan(info_.clock.ReadBeforeStores());
      HeldUpMemory::cycles = hold_up;
      writer.PublishLine(line);
      timekeeper.Commit();
    });
  }
  EXPECT_GT(tally.violations, 0u);
}

}  // namespace
}  // namespace vvar::faults
