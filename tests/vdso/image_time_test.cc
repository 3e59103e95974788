// SPDX-License-Identifier: MIT
//
// What programs take for granted of a system's clocks, of the image on a live
// page: how far the coarse ones may lag, the order across threads, sleeps. By
// brackets and publications, not by durations. Could miss an error smaller than
// what the page may be away from the system's clock.
#include <gtest/gtest.h>
#include <poll.h>
#include <stdint.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "fallback/syscall.h"
#include "hosted/mapped_image.h"
#include "tests/hosted/child_process.h"
#include "tests/support/hand_over.h"
#include "tests/vdso/live_image.h"
#include "tests/vdso/test_image.h"
#include "vvar/seqcount.h"

namespace vvar::vdso {
namespace {

using fallback::KernelOldTimespec;
using fallback::KernelTimespec;
using support::Stream;
using support::TakeTurns;
using support::Tally;

constexpr int64_t kNsPerSec = 1'000'000'000;

class ImageTest : public LiveImageTest {
 protected:
  uint32_t Seq() const { return PageMemory::Load(bytes_->timeline[0].seq); }

  /// Waits until an update has been planned and published from now on: the
  /// second to come, as the next may be under way.
  bool AwaitUpdate() const {
    const uint32_t from = Seq() & ~1u;
    return hosted::WaitUntil([&] { return Seq() - from >= 4; });
  }
};

TEST_F(ImageTest, CoarseClocksLagByAnUpdateAtMost) {
  for (const int32_t id : kCoarse) {
    const int32_t precise =
        id == CLOCK_REALTIME_COARSE ? CLOCK_REALTIME : CLOCK_MONOTONIC;
    for (int i = 0; i < 100; ++i) {
      const int64_t before = KernelNs(precise);
      ASSERT_TRUE(AwaitUpdate());
      const int64_t now = ImageNs(id);
      const int64_t after = KernelNs(precise);
      ASSERT_LE(before, now + ErrorNs()) << id;
      ASSERT_LE(now, after + ErrorNs()) << id;
    }
  }
}

// Right after a second has begun, where a lag shows.
TEST_F(ImageTest, TimeLagsByAnUpdateAtMost) {
  const int64_t second = KernelNs(CLOCK_REALTIME) / kNsPerSec;
  int64_t before = 0;
  ASSERT_TRUE(hosted::WaitUntil([&] {
    before = KernelNs(CLOCK_REALTIME) - ErrorNs();
    return before / kNsPerSec != second;
  }));
  ASSERT_TRUE(AwaitUpdate());
  const int64_t now = image_functions_.time(nullptr);
  const int64_t after = KernelNs(CLOCK_REALTIME);
  EXPECT_LE(before / kNsPerSec, now);
  EXPECT_LE(now, (after + ErrorNs()) / kNsPerSec);
}

// Precise ones as the system has them; a coarse one's is the page's own tick.
TEST_F(ImageTest, ResolutionsOfPreciseClocksAreTheKernels) {
  for (const int32_t id : kPrecise) {
    KernelTimespec system = {};
    KernelOldTimespec image = {};
    ASSERT_EQ(fallback::ClockGetres(id, &system), 0);
    ASSERT_EQ(image_functions_.clock_getres(id, &image), 0);
    if (Ns(system) != 1) GTEST_SKIP() << "a kernel without fine timers";
    EXPECT_EQ(Ns(image), 1) << id;
  }
}

TEST_F(ImageTest, AReadThatFollowsAnotherThreadsIsNotBefore) {
  if (support::UsableCpus().size() < 2) GTEST_SKIP() << "needs two CPUs";
  for (const int32_t id : {CLOCK_MONOTONIC, CLOCK_MONOTONIC_COARSE}) {
    const auto read = [&] {
      KernelOldTimespec now = {};
      (void)image_functions_.clock_gettime(id, &now);
      return static_cast<uint64_t>(Ns(now));
    };
    constexpr uint64_t kHandOvers = 100'000;
    for (const Tally& tally :
         {Stream(id == CLOCK_MONOTONIC ? kHandOvers : 20, read),
          TakeTurns(kHandOvers, read)}) {
      tally.Print(id == CLOCK_MONOTONIC ? "precise" : "coarse");
      EXPECT_GT(tally.hand_overs, 0u);
      EXPECT_EQ(tally.violations, 0u) << id;
    }
  }
}

/// Sleeps in some way for a while from `now`, or until `now` and a while.
struct Sleep {
  const char* name;
  int32_t id;
  void (*run)(int32_t id, int64_t now, int64_t ns);
};
timespec TimespecOf(int64_t ns) { return {ns / kNsPerSec, ns % kNsPerSec}; }

void SleepFor(int32_t id, int64_t /*now*/, int64_t ns) {
  const timespec span = TimespecOf(ns);
  EXPECT_EQ(clock_nanosleep(id, 0, &span, nullptr), 0);
}
void SleepUntil(int32_t id, int64_t now, int64_t ns) {
  const timespec end = TimespecOf(now + ns);
  EXPECT_EQ(clock_nanosleep(id, TIMER_ABSTIME, &end, nullptr), 0);
}
void AwaitTimer(int32_t id, int64_t now, int64_t ns) {
  const int fd = timerfd_create(id, 0);
  const itimerspec timer = {{}, TimespecOf(now + ns)};
  EXPECT_EQ(timerfd_settime(fd, TFD_TIMER_ABSTIME, &timer, nullptr), 0);
  pollfd ready = {fd, POLLIN, 0};
  EXPECT_EQ(poll(&ready, 1, -1), 1);
  close(fd);
}
constexpr Sleep kSleeps[] = {
    {"for, MONOTONIC", CLOCK_MONOTONIC, SleepFor},
    {"for, REALTIME", CLOCK_REALTIME, SleepFor},
    {"until, MONOTONIC", CLOCK_MONOTONIC, SleepUntil},
    {"until, REALTIME", CLOCK_REALTIME, SleepUntil},
    {"until, BOOTTIME", CLOCK_BOOTTIME, SleepUntil},
    {"until, TAI", CLOCK_TAI, SleepUntil},
    {"timer, MONOTONIC", CLOCK_MONOTONIC, AwaitTimer},
    {"timer, REALTIME", CLOCK_REALTIME, AwaitTimer},
};

// The kernel's sleeps, measured by the image's clocks.
TEST_F(ImageTest, NoSleepEndsBeforeTheImageSaysSo) {
  for (const Sleep& sleep : kSleeps) {
    for (const int64_t ns : {0, 1, 1'000, 100'000}) {
      const int64_t before = ImageNs(sleep.id);
      sleep.run(sleep.id, before, ns);
      const int64_t after = ImageNs(sleep.id);
      EXPECT_LE(before + ns, after + ErrorNs()) << sleep.name << " " << ns;
    }
  }
}

}  // namespace
}  // namespace vvar::vdso
