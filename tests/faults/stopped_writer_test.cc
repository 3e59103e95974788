// SPDX-License-Identifier: MIT
//
// F3: a writer process that stops (SIGSTOP) inside an update, beside a
// real-time reader on the writer's own CPU and one that runs when nobody else
// does. Reads go on until the line's age limit, say stale from then on, and are
// right again once the writer goes on.
//
// What this could miss: instructions between two stores; F1 stops at those.
#include <gtest/gtest.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <new>

#include "clocks/native.h"
#include "tests/faults/mapped_page.h"
#include "tests/hosted/child_process.h"
#include "tests/support/counted_memory.h"
#include "tests/support/test_page.h"
#include "vvar/clocksource.h"
#include "vvar/reader.h"
#include "vvar/seqcount.h"
#include "vvar/timekeeper.h"
#include "vvar/writer.h"

namespace vvar::faults {
namespace {

using hosted::ChildProcess;
using hosted::SharedWithChildren;
using hosted::WaitUntil;
using support::CountedMemory;

// Stops its process before a store.
struct StoppingMemory : PageMemory {
  static inline uint32_t stores = 0;
  static inline uint32_t stop_before = 0;

  template <class Word, class Value>
  static void Store(Word& word, Value value) {
    MayStop();
    PageMemory::Store(word, value);
  }
  static void StoreRelease(uint32_t& word, uint32_t value) {
    MayStop();
    PageMemory::StoreRelease(word, value);
  }

 private:
  static void MayStop() {
    if (++stores == stop_before) raise(SIGSTOP);
  }
};

// What one reader process saw, in order: times, then stale, then times again.
struct Seen {
  std::atomic<uint64_t> ok_beside_stopped;
  std::atomic<uint64_t> stale;
  std::atomic<uint64_t> ok_again;
  uint32_t publications_when_ok_again;
  uint64_t refused;  // Another status, or one out of that order.
  uint64_t back;
  uint64_t most_tries;  // Beside the stopped writer.
};

struct Shared {
  std::atomic<int> waiting;   // Readers that are.
  std::atomic<bool> stopped;  // The writer is.
  std::atomic<bool> go_on;    // It has been told to.
  Seen seen[2];
};

constexpr uint64_t kMaxAgeNs = 300'000'000;

class StoppedWriterTest : public testing::Test {
 protected:
  using TestReader = Reader<NativeClock, CountedMemory>;

  void SetUp() override {
    ASSERT_TRUE(page_.ok());
    info_ = QueryCounter(NativeClock());
    if (!info_.constant_rate) GTEST_SKIP() << "counter without constant rate";
    config_.counter_id = NativeClock::kCounterId;
    config_.counter_bits = NativeClock::kCounterBits;
    config_.counter_hz = info_.hz != 0 ? info_.hz : 1'000'000'000;
    config_.lead_ns = 1'000'000;
    config_.max_age_ns = kMaxAgeNs;
  }

  // Publishes; stops before its store number `stop_before`, once; publishes on.
  int Write(uint32_t stop_before) {
    Writer<NativeClock, StoppingMemory> writer(&page_.writable().timeline[0],
                                               info_.clock);
    Timekeeper timekeeper(config_);
    timekeeper.Start(info_.clock.Read(0), support::kTestTimes);
    writer.PublishLine(timekeeper.line());
    while (writer.Publish(timekeeper) == PublishStatus::kTooEarly) {
    }
    while (!timekeeper.LineHasBegun(info_.clock.Read(0))) {
    }
    StoppingMemory::stores = 0;
    StoppingMemory::stop_before = stop_before;
    for (;;) {
      (void)writer.Publish(timekeeper);
      usleep(1'000);  // The pace of a writer that shares its CPU.
    }
  }

  int Read(Seen& seen) {
    const TestReader reader(&page_.read_only().timeline[0], info_.clock);
    uint64_t last_ns = 0;
    ++shared_->waiting;
    while (!shared_->stopped) usleep(100);
    while (seen.ok_again < 1'000) {
      CountedMemory::tries = 0;
      const NsReading reading = reader.Now(ClockId::kMonotonic);
      if (seen.stale == 0) {
        seen.most_tries = std::max(seen.most_tries, CountedMemory::tries);
      }
      if (reading.status == ReadStatus::kStale) {
        ++seen.stale;
        usleep(500);  // A real-time reader alone would keep the writer out.
        continue;
      }
      if (!reading.ok() || (seen.stale != 0 && !shared_->go_on)) {
        ++seen.refused;
        continue;
      }
      seen.back += reading.ns < last_ns;
      last_ns = reading.ns;
      if (seen.stale == 0) {
        ++seen.ok_beside_stopped;
      } else if (++seen.ok_again == 1) {
        seen.publications_when_ok_again = reader.Publications();
      }
    }
    return 0;
  }

  // The last thing that a reader process does before it reads.
  static int Become(int policy, int priority) {
    sched_param param = {};
    param.sched_priority = priority;
    return sched_setscheduler(0, policy, &param);
  }
  static void PinTo(int cpu) {
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    sched_setaffinity(0, sizeof one, &one);
  }

  void StopAndGoOn(int policy, uint32_t stop_before);

  const MappedPage page_;
  const SharedWithChildren<Shared> shared_;
  CounterInfo<NativeClock> info_ = {};
  TimekeeperConfig config_ = support::kTestConfig;
};

void StoppedWriterTest::StopAndGoOn(int policy, uint32_t stop_before) {
  const int cpu = sched_getcpu();
  page_.writable() = {};
  new (&*shared_) Shared();
  ChildProcess beside([&] {
    PinTo(cpu);
    if (Become(policy, policy == SCHED_FIFO ? 10 : 0) != 0) return 1;
    return Read(shared_->seen[0]);
  });
  ChildProcess idle([&] {
    if (Become(SCHED_IDLE, 0) != 0) return 2;
    return Read(shared_->seen[1]);
  });
  ASSERT_TRUE(WaitUntil([&] { return shared_->waiting == 2; }));
  ChildProcess writer([&] {
    PinTo(cpu);
    return Write(stop_before);
  });
  ASSERT_TRUE(writer.AwaitStop());
  const vvar_timeline& timeline = page_.read_only().timeline[0];
  const uint32_t stopped_at = timeline.seq >> 1;
  ASSERT_EQ(timeline.seq % 2, stop_before == 1 ? 0u : 1u);
  shared_->stopped = true;
  EXPECT_TRUE(WaitUntil([&] {
    return shared_->seen[0].stale > 50 && shared_->seen[1].stale > 50;
  })) << "a reader hangs, or does not notice";
  EXPECT_EQ(timeline.seq >> 1, stopped_at);
  shared_->go_on = true;
  writer.Send(SIGCONT);
  EXPECT_EQ(beside.Wait(), 0);
  EXPECT_EQ(idle.Wait(), 0);
  for (const Seen& seen : shared_->seen) {
    EXPECT_EQ(seen.refused, 0u);
    EXPECT_EQ(seen.back, 0u);
    EXPECT_EQ(seen.most_tries, 1u) << "nothing was published meanwhile";
  }
  EXPECT_GT(shared_->seen[0].ok_beside_stopped.load(), 0u);
  // By the update that was stopped or, where that had looked at its date for
  // the last time, by the one after; and one for the reader's own pace.
  EXPECT_LE(shared_->seen[0].publications_when_ok_again - stopped_at, 3u);
  printf(
      "stopped before store %u: %.0f reads ok on its CPU, %.0f idle; ok again "
      "after %u publications\n",
      stop_before,
      static_cast<double>(shared_->seen[0].ok_beside_stopped.load()),
      static_cast<double>(shared_->seen[1].ok_beside_stopped.load()),
      shared_->seen[0].publications_when_ok_again - stopped_at);
}

// Before the open, after it, in the middle of the line, before the close.
constexpr uint32_t kStops[] = {1, 2, 18, 35};

// Trap: T16
TEST_F(StoppedWriterTest, ReadersReadOnUntilTheLineIsTooOld) {
  for (const uint32_t stop_before : kStops) {
    SCOPED_TRACE(stop_before);
    ASSERT_NO_FATAL_FAILURE(StopAndGoOn(SCHED_OTHER, stop_before));
  }
}

// Trap: T17
TEST_F(StoppedWriterTest, RealTimeReadersOnItsCpuDoNotWaitForIt) {
  ChildProcess permitted([] { return Become(SCHED_FIFO, 10) == 0 ? 0 : 1; });
  if (permitted.Wait() != 0) GTEST_SKIP() << "SCHED_FIFO is not permitted";
  for (const uint32_t stop_before : kStops) {
    SCOPED_TRACE(stop_before);
    ASSERT_NO_FATAL_FAILURE(StopAndGoOn(SCHED_FIFO, stop_before));
  }
}

}  // namespace
}  // namespace vvar::faults
