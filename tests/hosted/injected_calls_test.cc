// SPDX-License-Identifier: MIT
//
// A traced thread: what it is made to call, and that it notices nothing of it.
#include "hosted/injected_calls.h"

#include <errno.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <time.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "hosted/traced_thread.h"
#include "tests/hosted/child_process.h"

namespace vvar::hosted {
namespace {

/// What a child reports.
struct Seen {
  std::atomic<pid_t> pid;
  std::atomic<int> signal_value;
  std::atomic<uint64_t> spins;
};

/// The child waits in read() for what the test writes.
class BlockedChild {
 public:
  BlockedChild() : child_((OpenPipe(), [this] { return Body(); })) {
    close(pipe_[0]);
    WaitUntil([this] { return seen_->pid.load() != 0; });
  }
  ~BlockedChild() { close(pipe_[1]); }

  pid_t pid() const { return seen_->pid.load(); }
  Seen& seen() { return *seen_; }
  ChildProcess& process() { return child_; }
  /// Ends it. Returns its exit status: 0 if every read() returned its byte.
  int Finish() {
    EXPECT_EQ(write(pipe_[1], "x", 1), 1);
    return child_.Wait();
  }

 private:
  void OpenPipe() { EXPECT_EQ(pipe(pipe_), 0); }
  int Body() {
    static Seen* seen;
    seen = &*seen_;
    struct sigaction action = {};
    action.sa_flags = SA_SIGINFO | SA_RESTART;
    action.sa_sigaction = [](int, siginfo_t* info, void*) {
      seen->signal_value.store(info->si_value.sival_int);
    };
    sigaction(SIGUSR1, &action, nullptr);
    seen->pid.store(getpid());
    char byte = 0;
    return read(pipe_[0], &byte, 1) == 1 && byte == 'x' ? 0 : 1;
  }

  int pipe_[2] = {-1, -1};
  SharedWithChildren<Seen> seen_;
  ChildProcess child_;
};

/// Stops a child, or skips the test where nobody may trace.
#define ATTACH_OR_SKIP(thread, pid)                                  \
  absl::StatusOr<TracedThread> thread = TracedThread::Seize(pid, 0); \
  if (absl::IsPermissionDenied(thread.status())) {                   \
    GTEST_SKIP() << thread.status();                                 \
  }                                                                  \
  ASSERT_TRUE(thread.ok()) << thread.status();                       \
  ASSERT_EQ(thread->Interrupt(), absl::OkStatus())

int64_t CallOrDie(const InjectedCalls& calls, long number,
                  const std::array<uint64_t, 6>& arguments) {
  const absl::StatusOr<int64_t> result = calls.Call(number, arguments);
  EXPECT_TRUE(result.ok()) << result.status();
  return result.value_or(INT64_MIN);
}

TEST(InjectedCallsTest, AreMadeByTheOtherProcess) {
  BlockedChild child;
  ATTACH_OR_SKIP(thread, child.pid());
  const absl::StatusOr<InjectedCalls> calls = InjectedCalls::Begin(*thread);
  ASSERT_TRUE(calls.ok()) << calls.status();
  EXPECT_EQ(CallOrDie(*calls, SYS_getpid, {}), child.pid());
  EXPECT_EQ(CallOrDie(*calls, SYS_close, {9999}), -EBADF);
  const auto address = static_cast<uint64_t>(
      CallOrDie(*calls, SYS_mmap,
                {0, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS,
                 static_cast<uint64_t>(-1), 0}));
  uint64_t word = 1;
  EXPECT_EQ(thread->Read(address, &word, sizeof(word)), absl::OkStatus());
  EXPECT_EQ(word, 0u);
  ASSERT_EQ(calls->End(), absl::OkStatus());
  ASSERT_EQ(thread->Detach(), absl::OkStatus());
  EXPECT_EQ(child.Finish(), 0);
}

TEST(InjectedCallsTest, LeaveRegistersAndCodeAsTheyWere) {
  BlockedChild child;
  ATTACH_OR_SKIP(thread, child.pid());
  const user_regs_struct before = thread->Registers().value();
  uint64_t code_before = 0;
  ASSERT_EQ(thread->Read(before.rip, &code_before, 8), absl::OkStatus());
  const absl::StatusOr<InjectedCalls> calls = InjectedCalls::Begin(*thread);
  ASSERT_TRUE(calls.ok()) << calls.status();
  uint64_t code_meanwhile = 0;
  ASSERT_EQ(thread->Read(before.rip, &code_meanwhile, 8), absl::OkStatus());
  EXPECT_EQ(code_meanwhile & 0xffff, 0x050fu);
  CallOrDie(*calls, SYS_getppid, {1, 2, 3, 4, 5, 6});
  ASSERT_EQ(calls->End(), absl::OkStatus());
  const user_regs_struct after = thread->Registers().value();
  EXPECT_EQ(memcmp(&before, &after, sizeof(before)), 0);
  uint64_t code_after = 0;
  ASSERT_EQ(thread->Read(before.rip, &code_after, 8), absl::OkStatus());
  EXPECT_EQ(code_after, code_before);
  ASSERT_EQ(thread->Detach(), absl::OkStatus());
  EXPECT_EQ(child.Finish(), 0);
}

TEST(InjectedCallsTest, KeepSignalsThatComeMeanwhileWhole) {
  BlockedChild child;
  ATTACH_OR_SKIP(thread, child.pid());
  const absl::StatusOr<InjectedCalls> calls = InjectedCalls::Begin(*thread);
  ASSERT_TRUE(calls.ok()) << calls.status();
  sigval value = {};
  value.sival_int = 4711;
  ASSERT_EQ(sigqueue(child.pid(), SIGUSR1, value), 0);
  EXPECT_EQ(CallOrDie(*calls, SYS_getpid, {}), child.pid());
  EXPECT_EQ(child.seen().signal_value.load(), 0);
  ASSERT_EQ(calls->End(), absl::OkStatus());
  ASSERT_EQ(thread->Detach(), absl::OkStatus());
  EXPECT_TRUE(
      WaitUntil([&] { return child.seen().signal_value.load() == 4711; }));
  EXPECT_EQ(child.Finish(), 0);
}

TEST(InjectedCallsTest, PutOffAStopThatComesMeanwhile) {
  BlockedChild child;
  ATTACH_OR_SKIP(thread, child.pid());
  const absl::StatusOr<InjectedCalls> calls = InjectedCalls::Begin(*thread);
  ASSERT_TRUE(calls.ok()) << calls.status();
  child.process().Send(SIGSTOP);
  EXPECT_EQ(CallOrDie(*calls, SYS_getpid, {}), child.pid());
  EXPECT_EQ(CallOrDie(*calls, SYS_getpid, {}), child.pid());
  ASSERT_EQ(calls->End(), absl::OkStatus());
  ASSERT_EQ(thread->Detach(), absl::OkStatus());
  EXPECT_TRUE(child.process().AwaitStop());
  child.process().Send(SIGCONT);
  EXPECT_EQ(child.Finish(), 0);
}

TEST(InjectedCallsTest, WorkInAProcessThatIsStopped) {
  BlockedChild child;
  ASSERT_TRUE(child.process().Stop());
  ATTACH_OR_SKIP(thread, child.pid());
  const absl::StatusOr<InjectedCalls> calls = InjectedCalls::Begin(*thread);
  ASSERT_TRUE(calls.ok()) << calls.status();
  EXPECT_EQ(CallOrDie(*calls, SYS_getpid, {}), child.pid());
  ASSERT_EQ(calls->End(), absl::OkStatus());
  ASSERT_EQ(thread->Detach(), absl::OkStatus());
  child.process().Send(SIGCONT);
  EXPECT_EQ(child.Finish(), 0);
}

TEST(InjectedCallsTest, OfADeadProcessSayThatItIsGone) {
  BlockedChild child;
  ATTACH_OR_SKIP(thread, child.pid());
  const absl::StatusOr<InjectedCalls> calls = InjectedCalls::Begin(*thread);
  ASSERT_TRUE(calls.ok()) << calls.status();
  child.process().Send(SIGKILL);
  const absl::StatusOr<int64_t> result = calls->Call(SYS_getpid, {});
  EXPECT_TRUE(absl::IsNotFound(result.status())) << result.status();
}

TEST(TracedThreadTest, WritesAnyPartOfAnyWord) {
  alignas(8) static char bytes[] = "0123456789abcdefghijklmnop";
  const std::string original = bytes;
  BlockedChild child;
  ATTACH_OR_SKIP(thread, child.pid());
  const auto address = reinterpret_cast<uint64_t>(bytes);
  for (size_t from = 0; from < 9; ++from) {
    for (size_t size = 0; size <= 17; ++size) {
      const std::string text(size, 'X');
      ASSERT_EQ(thread->Write(address + from, text.data(), size),
                absl::OkStatus());
      std::string got(original.size(), 0);
      ASSERT_EQ(thread->Read(address, got.data(), got.size()),
                absl::OkStatus());
      std::string wanted = original;
      wanted.replace(from, size, text);
      EXPECT_EQ(got, wanted) << from << " " << size;
      ASSERT_EQ(thread->Write(address, original.data(), original.size()),
                absl::OkStatus());
    }
  }
  EXPECT_EQ(bytes, original);  // Ours is another process's.
  uint64_t word = 0;
  EXPECT_FALSE(thread->Read(8, &word, 8).ok());
  ASSERT_EQ(thread->Detach(), absl::OkStatus());
  EXPECT_EQ(child.Finish(), 0);
}

TEST(TracedThreadTest, StepsOneInstruction) {
  SharedWithChildren<Seen> seen;
  ChildProcess child([&]() -> int {
    seen->pid.store(getpid());
    for (;;) seen->spins.fetch_add(1);
  });
  ASSERT_TRUE(WaitUntil([&] { return seen->spins.load() > 0; }));
  ATTACH_OR_SKIP(thread, seen->pid.load());
  for (int i = 0; i < 20; ++i) {
    const uint64_t before = thread->Registers()->rip;
    ASSERT_EQ(thread->Step(), absl::OkStatus());
    const uint64_t after = thread->Registers()->rip;
    EXPECT_NE(after, before);
  }
  const uint64_t spins = seen->spins.load();
  ASSERT_EQ(thread->Detach(), absl::OkStatus());
  EXPECT_TRUE(WaitUntil([&] { return seen->spins.load() > spins; }));
}

/// A process that is interrupted by signals of its own, all the while.
int TakeSignals(Seen& seen) {
  struct sigaction action = {};
  action.sa_handler = [](int) {};
  action.sa_flags = SA_RESTART;
  sigaction(SIGUSR1, &action, nullptr);
  sigevent event = {};
  event.sigev_notify = SIGEV_SIGNAL;
  event.sigev_signo = SIGUSR1;
  timer_t timer;
  const itimerspec often = {{0, 20'000}, {0, 20'000}};
  if (timer_create(CLOCK_MONOTONIC, &event, &timer) != 0) return 1;
  if (timer_settime(timer, 0, &often, nullptr) != 0) return 1;
  seen.pid.store(getpid());
  for (;;) {
    syscall(SYS_getppid);
    seen.spins.fetch_add(1);
  }
}

// A signal's stop swallows a request to stop: about 1 in 100 here.
TEST(TracedThreadTest, StopsAThreadThatGetsSignalsAllTheWhile) {
  SharedWithChildren<Seen> seen;
  ChildProcess child([&]() -> int { return TakeSignals(*seen); });
  ASSERT_TRUE(WaitUntil([&] { return seen->spins.load() > 0; }));
  for (int i = 0; i < 1'000; ++i) {
    ATTACH_OR_SKIP(thread, seen->pid.load());
    const uint64_t spins = seen->spins.load();
    ASSERT_EQ(thread->Detach(), absl::OkStatus());
    ASSERT_TRUE(WaitUntil([&] { return seen->spins.load() > spins; }));
  }
}

}  // namespace
}  // namespace vvar::hosted
