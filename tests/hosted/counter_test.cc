// SPDX-License-Identifier: MIT
//
// Whether a process may read its counter: found out without dying of it, and
// without a trace left in the process.
#include "hosted/counter.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <stdint.h>
#include <sys/prctl.h>

#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "tests/hosted/child_process.h"

namespace vvar::hosted {
namespace {

using ::testing::HasSubstr;

// Takes the counter away from this thread, as an administrator's policy, a
// sandbox or a debugger may. Only x86 has the call.
bool RefuseCounter() { return prctl(PR_SET_TSC, PR_TSC_SIGSEGV) == 0; }

bool CounterCanBeRefused() {
  return ChildProcess([] { return RefuseCounter() ? 0 : 1; }).Wait() == 0;
}

bool Same(const struct sigaction& a, const struct sigaction& b) {
  for (int signal = 1; signal < NSIG; ++signal) {
    if (sigismember(&a.sa_mask, signal) != sigismember(&b.sa_mask, signal)) {
      return false;
    }
  }
  return a.sa_handler == b.sa_handler && a.sa_flags == b.sa_flags;
}

void OwnHandler(int) {}

TEST(FindCounterTest, DescribesTheCounterOrSaysWhyNot) {
  const absl::StatusOr<CounterInfo<NativeClock>> counter = FindCounter();
  if (!counter.ok()) {
    EXPECT_TRUE(absl::IsFailedPrecondition(counter.status()));
    EXPECT_THAT(std::string(counter.status().message()), HasSubstr("expected"));
    GTEST_SKIP() << counter.status();
  }
  EXPECT_TRUE(counter->constant_rate);
  EXPECT_EQ(counter->hz != 0, counter->hz_source != HzSource::kUnknown);
  const uint64_t before = counter->clock.Read();
  EXPECT_GE(counter->clock.Read(), before);
}

TEST(FindCounterTest, ProbeLeavesTheHandlersOfOthers) {
  struct sigaction mine = {};
  mine.sa_handler = &OwnHandler;
  mine.sa_flags = SA_NODEFER;
  sigaddset(&mine.sa_mask, SIGUSR1);
  struct sigaction old_segv = {};
  struct sigaction old_ill = {};
  ASSERT_EQ(sigaction(SIGSEGV, &mine, &old_segv), 0);
  ASSERT_EQ(sigaction(SIGILL, &mine, &old_ill), 0);
  struct sigaction expected_segv = {};
  struct sigaction expected_ill = {};
  sigaction(SIGSEGV, nullptr, &expected_segv);
  sigaction(SIGILL, nullptr, &expected_ill);
  SignalOfCounterRead();
  struct sigaction segv = {};
  struct sigaction ill = {};
  sigaction(SIGSEGV, &old_segv, &segv);
  sigaction(SIGILL, &old_ill, &ill);
  EXPECT_TRUE(Same(segv, expected_segv));
  EXPECT_TRUE(Same(ill, expected_ill));
}

TEST(FindCounterTest, ManyThreadsMayProbeAtOnce) {
  const int expected = SignalOfCounterRead();
  std::vector<std::thread> threads;
  SharedWithChildren<std::atomic<int>> different;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      for (int n = 0; n < 1000; ++n) {
        if (SignalOfCounterRead() != expected) ++*different;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(different->load(), 0);
}

class RefusedCounterTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!CounterCanBeRefused()) {
      GTEST_SKIP() << "no PR_SET_TSC on this architecture or kernel";
    }
  }
  // Whether FindCounter() refuses, names the signal and says what to do.
  static int Report() {
    const absl::Status status = FindCounter().status();
    if (!absl::IsFailedPrecondition(status)) return 1;
    const std::string message(status.message());
    if (message.find("signal 11") == std::string::npos) return 2;
    if (message.find("PR_SET_TSC") == std::string::npos) return 3;
    return 0;
  }
};

TEST_F(RefusedCounterTest, IsAStatus) {
  ChildProcess child([] {
    if (!RefuseCounter()) return 10;
    return Report();
  });
  EXPECT_EQ(child.Wait(), 0);
}

TEST_F(RefusedCounterTest, IsAStatusAgainAndAgain) {
  ChildProcess child([] {
    if (!RefuseCounter()) return 10;
    for (int i = 0; i < 100; ++i) {
      if (const int wrong = Report(); wrong != 0) return wrong;
    }
    return 0;
  });
  EXPECT_EQ(child.Wait(), 0);
}

// Programs with a signal-handling thread block every signal in the others; a
// fault whose signal is blocked kills, whatever its handler.
TEST_F(RefusedCounterTest, IsAStatusWhereAllSignalsAreBlocked) {
  ChildProcess child([] {
    if (!RefuseCounter()) return 10;
    sigset_t all;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, nullptr);
    if (const int wrong = Report(); wrong != 0) return wrong;
    sigset_t after;
    sigprocmask(SIG_SETMASK, nullptr, &after);
    return sigismember(&after, SIGSEGV) == 1 ? 0 : 4;
  });
  EXPECT_EQ(child.Wait(), 0) << "139: it died of the probe";
}

TEST_F(RefusedCounterTest, ProbeLeavesTheSignalMask) {
  ChildProcess child([] {
    if (!RefuseCounter()) return 10;
    if (const int wrong = Report(); wrong != 0) return wrong;
    sigset_t after;
    sigprocmask(SIG_SETMASK, nullptr, &after);
    return sigismember(&after, SIGSEGV) == 0 ? 0 : 4;
  });
  EXPECT_EQ(child.Wait(), 0);
}

TEST(KernelClocksourceTest, IsOneWord) {
  const std::string name = KernelClocksource();
  if (name.empty()) GTEST_SKIP() << "no clocksource in /sys";
  EXPECT_EQ(name.find_first_of(" \n"), std::string::npos) << name;
}

}  // namespace
}  // namespace vvar::hosted
