// SPDX-License-Identifier: MIT
//
// Cause and effect on two CPUs: one thread reads its clock and hands the time
// over; the other takes it, then reads its own. An ordered read that is earlier
// than the time handed over breaks causality.
//
// What this could miss: it samples orders that this machine happens to show in
// a few seconds, on its own memory model (TSO on x86). It proves a violation,
// never its absence.
#include <gtest/gtest.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <atomic>
#include <thread>

#include "clocks/native.h"
#include "vvar/header.h"
#include "vvar/reader.h"
#include "vvar/writer.h"

namespace vvar {
namespace {

struct Tally {
  uint64_t hand_overs = 0;
  uint64_t violations = 0;
  uint64_t worst = 0;
};

// One thread hands over its time as fast as it can; the other takes what is
// there and reads its own at once, with no branch on what it took: a CPU that
// may read its counter early gets every chance to.
template <class Read>
Tally HandOver(uint64_t hand_overs, Read read) {
  struct alignas(64) Box {
    std::atomic<uint64_t> value{0};
  };
  Box cause_box;
  std::atomic<bool> stopped = false;
  std::thread cause_thread([&] {
    while (!stopped.load(std::memory_order_relaxed)) {
      cause_box.value.store(read(), std::memory_order_release);
    }
  });
  Tally tally;
  uint64_t last_cause = 0;
  while (tally.hand_overs < hand_overs) {
    const uint64_t cause = cause_box.value.load(std::memory_order_acquire);
    const uint64_t effect = read();
    const bool handed_over = cause != last_cause;
    const uint64_t early = handed_over && effect < cause ? cause - effect : 0;
    tally.hand_overs += handed_over ? 1 : 0;
    tally.violations += early != 0 ? 1 : 0;
    tally.worst = early > tally.worst ? early : tally.worst;
    last_cause = cause;
  }
  stopped.store(true, std::memory_order_relaxed);
  cause_thread.join();
  return tally;
}

class CausalityStressTest : public testing::Test {
 protected:
  void SetUp() override {
    if (std::thread::hardware_concurrency() < 2) {
      GTEST_SKIP() << "needs two CPUs";
    }
    info_ = QueryCounter(NativeClock());
    if (!info_.constant_rate) GTEST_SKIP() << "counter without constant rate";
    FormatPage(page_, {NativeClock::kCounterId, NativeClock::kCounterBits,
                       1'000'000'000, 1, 0, 1, 1, 1});
    Timekeeper timekeeper({NativeClock::kCounterId, NativeClock::kCounterBits,
                           1'000'000'000, 0, 1'000'000,
                           3'600'000'000'000'000});
    Writer<NativeClock> writer(&page_.timeline[0], info_.clock);
    timekeeper.Start(info_.clock.Read() - 1000, {});
    writer.PublishLine(timekeeper.line());
    reader_ = Reader<NativeClock>(&page_.timeline[0], info_.clock);
  }

  static uint64_t HandOvers() {
    return getenv("VVAR_THOROUGH") != nullptr ? 50'000'000 : 2'000'000;
  }

  void Report(const char* what, const Tally& tally) {
    printf("%-26s %10llu hand-overs, %8llu violations, worst %llu ns\n", what,
           static_cast<unsigned long long>(tally.hand_overs),
           static_cast<unsigned long long>(tally.violations),
           static_cast<unsigned long long>(tally.worst));
  }

  alignas(4096) vvar_page page_ = {};
  CounterInfo<NativeClock> info_ = {};
  Reader<NativeClock> reader_;
};

// Trap: T49
TEST_F(CausalityStressTest, OrderedReadsNeverPrecedeTheirCause) {
  const Tally ordered = HandOver(
      HandOvers(), [this] { return reader_.Now(ClockId::kMonotonic).ns; });
  Report("reader, ordered", ordered);
  EXPECT_GT(ordered.hand_overs, 0u);
  EXPECT_EQ(ordered.violations, 0u);
}

// Not asserted: these show what an ordered read is for.
TEST_F(CausalityStressTest, UnorderedReadsAreShownBeside) {
  Report("reader, unordered", HandOver(HandOvers() / 4, [this] {
           return reader_.NowUnordered(ClockId::kMonotonic).ns;
         }));
  const Tally bare = HandOver(
      HandOvers() / 4, [this] { return info_.clock.ReadUnordered(); });
  Report("counter, unordered (cycles)", bare);
  EXPECT_GT(bare.hand_overs, 0u);
}

}  // namespace
}  // namespace vvar
