// SPDX-License-Identifier: MIT
//
// The clock of a process: that it starts and stops, is shared and falls back,
// also where the counter is taken away and across fork(); that of a page of
// another's; then the std::chrono types. The tests that fork come first: no
// thread of the process's clock is there yet.
#include "hosted/clock.h"

#include <gtest/gtest.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <filesystem>
#include <iterator>
#include <memory>
#include <ratio>
#include <string>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "fallback/chain.h"
#include "fallback/syscall.h"
#include "hosted/counter.h"
#include "hosted/page_keeper.h"
#include "hosted/reference.h"
#include "hosted/time_namespace.h"
#include "hosted/updater.h"
#include "tests/hosted/child_process.h"
#include "vvar/page.h"
#include "vvar/reader.h"

namespace vvar::hosted {
namespace {

using fallback::ChainReading;
using fallback::Leg;

// Far above the clock's error, also on a busy machine.
constexpr int64_t kSlackNs = 1000;

int64_t KernelNs(ClockId id) {
  fallback::KernelTimespec time = {};
  EXPECT_EQ(fallback::ClockGettime(static_cast<int32_t>(id), &time), 0);
  return time.tv_sec * 1'000'000'000 + time.tv_nsec;
}

// Whether a reading of a clock is the kernel's, within kSlackNs.
template <class Read>
bool IsTheKernels(ClockId id, Read read) {
  const int64_t earliest = KernelNs(id);
  const auto ns = static_cast<int64_t>(read(id));
  const int64_t latest = KernelNs(id);
  return earliest - kSlackNs <= ns && ns <= latest + kSlackNs;
}

ptrdiff_t ThreadsOfThisProcess() {
  return std::distance(std::filesystem::directory_iterator("/proc/self/task"),
                       {});
}

constexpr ClockId kPreciseClocks[] = {ClockId::kRealtime, ClockId::kMonotonic,
                                      ClockId::kMonotonicRaw,
                                      ClockId::kBoottime, ClockId::kTai};

std::atomic<int> taken_elsewhere = 0;

class ClockTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const absl::Status counter = FindCounter().status();
    if (!counter.ok()) GTEST_SKIP() << counter;
  }
};

// Trap: T108
// Trap: T92
TEST_F(ClockTest, ReportsItsMode) {
  const InProcessClock fast;
  ASSERT_TRUE(fast.status().ok()) << fast.status();
  const ChainReading from_page = fast.chain().Now(VVAR_CLOCK_MONOTONIC);
  EXPECT_EQ(from_page.leg, Leg::kPage);
  EXPECT_EQ(from_page.page_status, ReadStatus::kOk);

  const InProcessClock slow({.tick = absl::ZeroDuration()});
  EXPECT_TRUE(absl::IsInvalidArgument(slow.status())) << slow.status();
  const ChainReading from_system = slow.chain().Now(VVAR_CLOCK_MONOTONIC);
  EXPECT_NE(from_system.leg, Leg::kPage);
  EXPECT_EQ(from_system.page_status, ReadStatus::kNotReady);

  // The cost class is a choice of the caller, by name: an ordered read does not
  // become an unordered one in an upgrade.
  EXPECT_FALSE((std::is_same_v<steady_clock, unordered_steady_clock>));
}

TEST_F(ClockTest, EveryClockIsTheKernels) {
  const InProcessClock clock;
  ASSERT_TRUE(clock.status().ok()) << clock.status();
  for (int i = 0; i < 20'000; ++i) {
    const ClockId id = kPreciseClocks[i % 5];
    ASSERT_TRUE(IsTheKernels(id, [&](ClockId c) { return clock.Now(c); }))
        << static_cast<int>(id);
    ASSERT_TRUE(IsTheKernels(id, [&](ClockId c) {
      return clock.NowUnordered(c);
    })) << static_cast<int>(id);
  }
}

TEST_F(ClockTest, ClockThatNoPageHasIsTheSystems) {
  const InProcessClock clock;
  const auto cpu = static_cast<ClockId>(CLOCK_PROCESS_CPUTIME_ID);
  const int64_t before = KernelNs(cpu);
  const auto ns = static_cast<int64_t>(clock.Now(cpu));
  EXPECT_LE(before, ns);
  EXPECT_LE(ns, KernelNs(cpu));
}

TEST_F(ClockTest, FallsBackWhereAPageCannotBeKept) {
  const InProcessClock clock({.max_age = absl::ZeroDuration()});
  ASSERT_FALSE(clock.status().ok());
  for (const ClockId id : kPreciseClocks) {
    EXPECT_TRUE(IsTheKernels(id, [&](ClockId c) { return clock.Now(c); }));
    EXPECT_TRUE(
        IsTheKernels(id, [&](ClockId c) { return clock.NowUnordered(c); }));
    EXPECT_FALSE(clock.reader().Now(id).ok());
  }
}

TEST_F(ClockTest, FallsBackWhereNoThreadOrFileIsToBeHad) {
  ChildProcess child([] {
    const rlimit none = {0, 0};
    setrlimit(RLIMIT_NOFILE, &none);
    const InProcessClock clock;
    if (clock.status().ok()) return 1;
    return IsTheKernels(ClockId::kMonotonic,
                        [&](ClockId c) { return clock.Now(c); })
               ? 0
               : 2;
  });
  EXPECT_EQ(child.Wait(), 0);
}

TEST_F(ClockTest, StopsItsThreadWhenItIsDestroyed) {
  const ptrdiff_t before = ThreadsOfThisProcess();
  for (int i = 0; i < 10; ++i) {
    const InProcessClock clock;
    ASSERT_TRUE(clock.status().ok()) << clock.status();
    EXPECT_EQ(ThreadsOfThisProcess(), before + 1);
  }
  EXPECT_TRUE(WaitUntil([&] { return ThreadsOfThisProcess() == before; }));
}

// A signal that the program blocks everywhere, so as to wait for it in one
// place, must not find a thread that the program does not know of.
TEST_F(ClockTest, ItsThreadTakesNoSignals) {
  const InProcessClock clock;
  ASSERT_TRUE(clock.status().ok()) << clock.status();
  sigset_t sigusr1;
  sigemptyset(&sigusr1);
  sigaddset(&sigusr1, SIGUSR1);
  sigset_t old;
  ASSERT_EQ(pthread_sigmask(SIG_BLOCK, &sigusr1, &old), 0);
  // By default it would end the process.
  struct sigaction action = {};
  action.sa_handler = [](int) { ++taken_elsewhere; };
  struct sigaction old_action = {};
  ASSERT_EQ(sigaction(SIGUSR1, &action, &old_action), 0);
  kill(getpid(), SIGUSR1);
  // It has had its chance once it has ticked.
  const uint32_t before = clock.reader().Publications();
  EXPECT_TRUE(
      WaitUntil([&] { return clock.reader().Publications() > before + 3; }));
  const timespec at_once = {};
  EXPECT_EQ(sigtimedwait(&sigusr1, nullptr, &at_once), SIGUSR1);
  EXPECT_EQ(taken_elsewhere.load(), 0) << "the clock's thread took it";
  sigaction(SIGUSR1, &old_action, nullptr);
  pthread_sigmask(SIG_SETMASK, &old, nullptr);
}

TEST_F(ClockTest, SeveralLiveSideBySide) {
  std::vector<std::unique_ptr<InProcessClock>> clocks;
  for (int i = 0; i < 4; ++i) {
    clocks.push_back(std::make_unique<InProcessClock>());
  }
  for (int i = 0; i < 4; ++i) {
    for (const auto& clock : clocks) {
      ASSERT_TRUE(clock->status().ok()) << clock->status();
      EXPECT_TRUE(IsTheKernels(ClockId::kMonotonic,
                               [&](ClockId c) { return clock->Now(c); }));
    }
    clocks.pop_back();
  }
}

TEST_F(ClockTest, IsKeptByItsThread) {
  const InProcessClock clock;
  ASSERT_TRUE(clock.status().ok()) << clock.status();
  const uint32_t before = clock.reader().Publications();
  EXPECT_TRUE(
      WaitUntil([&] { return clock.reader().Publications() > before + 20; }));
}

// Trap: T111
TEST_F(ClockTest, ConstReaderIsSharedByThreads) {
  const InProcessClock clock;
  ASSERT_TRUE(clock.status().ok()) << clock.status();
  constexpr int kThreads = 4;
  constexpr int kReads = 100'000;
  // Readings are handed on: whoever sees a time and then reads, reads no
  // earlier one.
  std::atomic<uint64_t> latest = 0;
  std::atomic<uint64_t> backwards = 0;
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([&clock, &latest, &backwards] {
      for (int n = 0; n < kReads; ++n) {
        const uint64_t seen = latest.load();
        const uint64_t ns = clock.Now(ClockId::kMonotonic);
        if (ns < seen) ++backwards;
        uint64_t expected = latest.load();
        while (expected < ns && !latest.compare_exchange_weak(expected, ns)) {
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(backwards.load(), 0u);
}

std::atomic<const InProcessClock*> clock_of_handler = nullptr;
std::atomic<int> handled = 0;
std::atomic<int> wrong_in_handler = 0;

TEST_F(ClockTest, IsReadInSignalHandlers) {
  const InProcessClock clock;
  ASSERT_TRUE(clock.status().ok()) << clock.status();
  clock_of_handler = &clock;
  struct sigaction action = {};
  action.sa_handler = [](int) {
    const InProcessClock& read = *clock_of_handler.load();
    const uint64_t first = read.Now(ClockId::kMonotonic);
    if (read.Now(ClockId::kMonotonic) < first) ++wrong_in_handler;
    ++handled;
  };
  struct sigaction old = {};
  ASSERT_EQ(sigaction(SIGUSR1, &action, &old), 0);
  const pthread_t self = pthread_self();
  std::atomic<bool> done = false;
  std::thread sender([&] {
    while (!done.load()) {
      pthread_kill(self, SIGUSR1);
      sched_yield();
    }
  });
  uint64_t last = 0;
  uint64_t backwards = 0;
  EXPECT_TRUE(WaitUntil([&] {
    const uint64_t ns = clock.Now(ClockId::kMonotonic);
    backwards += ns < last;
    last = ns;
    return handled.load() > 1000;
  }));
  done = true;
  sender.join();
  sigaction(SIGUSR1, &old, nullptr);
  EXPECT_EQ(backwards, 0u);
  EXPECT_EQ(wrong_in_handler.load(), 0);
}

// A process without the counter gets the kernel's time, and lives: there even
// the kernel's own vDSO is a fault.
TEST_F(ClockTest, FallsBackToTheKernelWhereTheCounterIsRefused) {
  ChildProcess supported(
      [] { return prctl(PR_SET_TSC, PR_TSC_SIGSEGV) == 0 ? 0 : 1; });
  if (supported.Wait() != 0) {
    GTEST_SKIP() << "no PR_SET_TSC on this architecture or kernel";
  }
  ChildProcess child([] {
    prctl(PR_SET_TSC, PR_TSC_SIGSEGV);
    const InProcessClock clock;
    if (!absl::IsFailedPrecondition(clock.status())) return 1;
    for (const ClockId id : kPreciseClocks) {
      if (!IsTheKernels(id, [&](ClockId c) { return clock.Now(c); })) return 2;
      if (!IsTheKernels(id, [&](ClockId c) { return clock.NowUnordered(c); })) {
        return 3;
      }
    }
    const ChainReading reading = clock.chain().Now(VVAR_CLOCK_MONOTONIC);
    if (reading.leg != Leg::kSyscall) return 4;
    if (reading.page_status != ReadStatus::kUnreadableCounter) return 6;
    if (clock.Interval(ClockId::kRealtime).status !=
        ReadStatus::kUnreadableCounter) {
      return 9;
    }
    const AttachedClock attached("/nonexistent/page");
    if (!absl::IsFailedPrecondition(attached.status())) return 7;
    if (!IsTheKernels(ClockId::kMonotonic,
                      [&](ClockId c) { return attached.Now(c); })) {
      return 8;
    }
    return reading.ok() ? 0 : 5;
  });
  EXPECT_EQ(child.Wait(), 0) << "139: it died of a fault";
}

// A page as another process would keep it, and its name.
class KeptPage {
 public:
  explicit KeptPage(const UpdaterOptions& options = {}) {
    const auto counter = FindCounter();
    const auto own = TimeNamespaceOffsets();
    if (!counter.ok() || !own.ok()) return;
    auto keeper = PageKeeper::Start(
        *counter, std::make_unique<KernelReference>(counter->clock, *own),
        options);
    if (keeper.ok()) keeper_ = *std::move(keeper);
  }
  bool is_kept() const { return keeper_ != nullptr; }
  std::string name() const {
    return absl::StrCat("/proc/self/fd/", keeper_->page().fd());
  }
  void Abandon() { keeper_.reset(); }

 private:
  std::unique_ptr<PageKeeper> keeper_;
};

TEST_F(ClockTest, AttachedIsThePages) {
  const KeptPage page;
  ASSERT_TRUE(page.is_kept());
  const AttachedClock clock(page.name());
  ASSERT_TRUE(clock.status().ok()) << clock.status();
  EXPECT_EQ(clock.chain().Now(VVAR_CLOCK_MONOTONIC).leg, Leg::kPage);
  EXPECT_TRUE(clock.Interval(ClockId::kRealtime).ok());
  for (int i = 0; i < 1'000; ++i) {
    const ClockId id = kPreciseClocks[i % 5];
    ASSERT_TRUE(IsTheKernels(id, [&](ClockId c) { return clock.Now(c); }));
    ASSERT_TRUE(
        IsTheKernels(id, [&](ClockId c) { return clock.NowUnordered(c); }));
  }
}

TEST_F(ClockTest, AttachedFallsBackWhereThereIsNoPage) {
  const AttachedClock clock("/nonexistent/page");
  EXPECT_TRUE(absl::IsNotFound(clock.status())) << clock.status();
  EXPECT_FALSE(clock.reader().attached());
  const ChainReading reading = clock.chain().Now(VVAR_CLOCK_MONOTONIC);
  EXPECT_NE(reading.leg, Leg::kPage);
  EXPECT_EQ(reading.page_status, ReadStatus::kNotReady);
  for (const ClockId id : kPreciseClocks) {
    EXPECT_TRUE(IsTheKernels(id, [&](ClockId c) { return clock.Now(c); }));
  }
}

TEST_F(ClockTest, AttachedFallsBackWhenThePageIsAbandoned) {
  KeptPage page({.max_age = absl::Milliseconds(10)});
  ASSERT_TRUE(page.is_kept());
  const AttachedClock clock(page.name());
  ASSERT_TRUE(clock.status().ok()) << clock.status();
  page.Abandon();
  EXPECT_TRUE(WaitUntil([&] {
    return clock.chain().Now(VVAR_CLOCK_MONOTONIC).page_status ==
           ReadStatus::kStale;
  }));
  EXPECT_TRUE(clock.status().ok()) << "a new writer may come";
  EXPECT_TRUE(IsTheKernels(ClockId::kRealtime,
                           [&](ClockId c) { return clock.Now(c); }));
}

TEST_F(ClockTest, ForkedChildReadsOn) {
  const InProcessClock clock;
  ASSERT_TRUE(clock.status().ok()) << clock.status();
  ChildProcess child([&] {
    // The parent keeps the page: it is shared.
    const uint32_t before = clock.reader().Publications();
    for (;;) {
      const ChainReading reading = clock.chain().Now(VVAR_CLOCK_MONOTONIC);
      if (reading.leg != Leg::kPage || !reading.ok()) return 1;
      if (clock.reader().Publications() > before + 10) return 0;
    }
  });
  EXPECT_EQ(child.Wait(), 0);
}

// As happens when a child returns from main() or unwinds its stack.
TEST_F(ClockTest, ForkedChildThatDestroysItsCopyLeavesTheParents) {
  auto clock = std::make_unique<InProcessClock>();
  ASSERT_TRUE(clock->status().ok()) << clock->status();
  ChildProcess child([&] {
    alarm(2);  // Ends what would wait for ever.
    clock.reset();
    return 0;
  });
  EXPECT_EQ(child.Wait(), 0);
  // Twice as many as may have been on their way.
  for (int i = 0; i < 2; ++i) {
    const uint32_t before = clock->reader().Publications();
    EXPECT_TRUE(WaitUntil([&] {
      return clock->reader().Publications() > before + 10 ||
             !clock->reader().Now(ClockId::kMonotonic).ok();
    }));
    EXPECT_TRUE(clock->reader().Now(ClockId::kMonotonic).ok())
        << "the parent's page is not kept any more";
  }
}

// From here on the process's own clock runs.

// Trap: T117
TEST_F(ClockTest, FirstUseFromManyThreads) {
  constexpr int kThreads = 8;
  const ptrdiff_t before = ThreadsOfThisProcess();
  std::atomic<int> ready = 0;
  std::atomic<int> wrong = 0;
  const InProcessClock* clocks[kThreads] = {};
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([&, i] {
      ++ready;
      while (ready.load() != kThreads) sched_yield();
      const auto time = steady_clock::now();
      if (steady_clock::now() < time) ++wrong;
      clocks[i] = &ProcessClock();
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong.load(), 0);
  EXPECT_TRUE(std::all_of(clocks, clocks + kThreads,
                          [&](auto* clock) { return clock == clocks[0]; }));
  EXPECT_TRUE(WaitUntil([&] { return ThreadsOfThisProcess() == before + 1; }))
      << "one clock, one thread";
  EXPECT_TRUE(clocks[0]->status().ok()) << clocks[0]->status();
}

template <class Clock>
class ChronoClockTest : public ::testing::Test {};
using ChronoClocks =
    ::testing::Types<steady_clock, unordered_steady_clock, system_clock>;
TYPED_TEST_SUITE(ChronoClockTest, ChronoClocks);

TYPED_TEST(ChronoClockTest, IsAClockToTheStandardLibrary) {
  static_assert(std::chrono::is_clock_v<TypeParam>);
  static_assert(
      std::is_same_v<typename TypeParam::duration, std::chrono::nanoseconds>);
  static_assert(
      std::is_same_v<typename TypeParam::time_point::clock, TypeParam>);
  static_assert(std::is_same_v<typename TypeParam::period, std::nano>);
  static_assert(noexcept(TypeParam::now()));
  static_assert(TypeParam::is_steady ==
                !std::is_same_v<TypeParam, system_clock>);
  using std::chrono::floor;
  using std::chrono::hours;
  using std::chrono::seconds;
  const typename TypeParam::time_point now = TypeParam::now();
  EXPECT_EQ((now + hours(1)) - now, seconds(3600));
  EXPECT_LE(floor<seconds>(now), now);
  EXPECT_LT(now - hours(1), TypeParam::now());
}

TYPED_TEST(ChronoClockTest, IsTheKernelsClock) {
  const ClockId id =
      TypeParam::is_steady ? ClockId::kMonotonic : ClockId::kRealtime;
  for (int i = 0; i < 10'000; ++i) {
    ASSERT_TRUE(IsTheKernels(id, [](ClockId) {
      return TypeParam::now().time_since_epoch().count();
    }));
  }
}

TYPED_TEST(ChronoClockTest, SteadyOnesNeverDecrease) {
  if (!TypeParam::is_steady) return;
  typename TypeParam::time_point last = TypeParam::now();
  uint64_t decreases = 0;
  for (int i = 0; i < 1'000'000; ++i) {
    const typename TypeParam::time_point now = TypeParam::now();
    decreases += now < last;
    last = now;
  }
  EXPECT_EQ(decreases, 0u);
}

TEST(SteadyClockTest, CountsFromWhereTheStandardLibrarysDoes) {
  // On a machine that never slept MONOTONIC is BOOTTIME, and often enough
  // REALTIME is TAI: so by name, too.
  using clock_internal::ChronoClock;
  static_assert(
      std::is_base_of_v<ChronoClock<ClockId::kMonotonic, true>, steady_clock>);
  static_assert(std::is_base_of_v<ChronoClock<ClockId::kMonotonic, false>,
                                  unordered_steady_clock>);
  static_assert(
      std::is_base_of_v<ChronoClock<ClockId::kRealtime, true>, system_clock>);
  const auto earliest = std::chrono::steady_clock::now().time_since_epoch();
  const auto now = steady_clock::now().time_since_epoch();
  const auto latest = std::chrono::steady_clock::now().time_since_epoch();
  EXPECT_GE(now, earliest - std::chrono::nanoseconds(kSlackNs));
  EXPECT_LE(now, latest + std::chrono::nanoseconds(kSlackNs));
}

TEST(SystemClockTest, ConvertsToAndFromSystemTime) {
  using std::chrono::sys_days;
  using std::chrono::time_point;
  using std::chrono::year;
  constexpr sys_days kLeapDay = year(2024) / 2 / 29;
  const auto ours = system_clock::from_sys(kLeapDay);
  EXPECT_EQ(ours.time_since_epoch(), kLeapDay.time_since_epoch());
  EXPECT_EQ(system_clock::to_sys(ours), kLeapDay);
  constexpr sys_days kBefore1970 = year(1969) / 12 / 31;
  EXPECT_EQ(system_clock::to_sys(system_clock::from_sys(kBefore1970)),
            kBefore1970);
  // Every resolution.
  const system_clock::time_point now = system_clock::now();
  const auto sys = system_clock::to_sys(now);
  static_assert(
      std::is_same_v<decltype(sys),
                     const std::chrono::sys_time<std::chrono::nanoseconds>>);
  EXPECT_EQ(system_clock::from_sys(sys), now);
}

#if defined(__cpp_lib_chrono) && __cpp_lib_chrono >= 201907L
TEST(SystemClockTest, IsCastByTheStandardLibrary) {
  const system_clock::time_point now = system_clock::now();
  const auto sys = std::chrono::clock_cast<std::chrono::system_clock>(now);
  EXPECT_EQ(sys.time_since_epoch(), now.time_since_epoch());
  EXPECT_EQ(std::chrono::clock_cast<system_clock>(sys), now);
}
#else
TEST(SystemClockTest, IsCastByTheStandardLibrary) {
  GTEST_SKIP() << "this standard library has no std::chrono::clock_cast";
}
#endif

}  // namespace
}  // namespace vvar::hosted
