// SPDX-License-Identifier: MIT
//
// Each clock id is tried in a child first, then under a filter that kills who
// enters the kernel, and only then timed.
#include "tools/clock_facts.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <functional>
#include <string>
#include <vector>

#include "fallback/syscall.h"
#include "tools/diagnosis.h"

namespace vvar::tools {
namespace {

struct SystemClock {
  int32_t id;
  const char* name;
};
constexpr SystemClock kSystemClocks[] = {
    {0, "REALTIME"},         {1, "MONOTONIC"},     {2, "PROCESS_CPUTIME"},
    {3, "THREAD_CPUTIME"},   {4, "MONOTONIC_RAW"}, {5, "REALTIME_COARSE"},
    {6, "MONOTONIC_COARSE"}, {7, "BOOTTIME"},      {8, "REALTIME_ALARM"},
    {9, "BOOTTIME_ALARM"},   {11, "TAI"},          {16, "AUX0"},
};

/// A child's exit status where it could not have the filter it was to have.
constexpr int kNoFilter = 255;

/// Lets the calling process make no system call but exit. (Strict mode would
/// not do: it also takes the TSC away.)
bool AllowOnlyExit() {
  sock_filter filter[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_exit_group, 1, 0),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  const sock_fprog program = {sizeof(filter) / sizeof(filter[0]), filter};
  return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
         prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

int ReadByLibc(int32_t id) {
  timespec time;
  return clock_gettime(id, &time) == 0 ? 0 : errno;
}

/// Finds out for certain: a child that may make no system call reads the clock,
/// and says so if it lives.
Answer Observe(int32_t id, std::string* error) {
  const Trial plain = Try([id] { return ReadByLibc(id); });
  if (plain.fate == SyscallFate::kKills) return Answer::kKills;
  if (plain.fate == SyscallFate::kFails) {
    *error = strerror(plain.error);
    return Answer::kError;
  }
  const Trial alone = Try([id] {
    if (!AllowOnlyExit()) return kNoFilter;
    return ReadByLibc(id);
  });
  if (alone.fate == SyscallFate::kKills) return Answer::kBySyscall;
  return alone.fate == SyscallFate::kWorks ? Answer::kWithoutSyscall
                                           : Answer::kUnknown;
}

/// Times what may be read.
template <class Stopwatch>
void Time(Stopwatch stopwatch_ns, SyscallFate by_syscall, ClockFacts* clock) {
  timespec resolution = {};
  clock_getres(clock->id, &resolution);
  clock->resolution_ns =
      int64_t{resolution.tv_sec} * 1'000'000'000 + resolution.tv_nsec;
  clock->libc_ns = CostNs(
      [clock] {
        timespec time;
        clock_gettime(clock->id, &time);
      },
      stopwatch_ns);
  if (by_syscall != SyscallFate::kWorks) return;
  clock->syscall_ns = CostNs(
      [clock] {
        fallback::KernelTimespec time;
        (void)fallback::ClockGettime(clock->id, &time);
      },
      stopwatch_ns);
}

}  // namespace

Trial Try(const std::function<int()>& call) {
  const pid_t child = fork();
  if (child == 0) _exit(call());
  int status = 0;
  if (child < 0 || waitpid(child, &status, 0) != child) {
    return {SyscallFate::kUnknown, 0};
  }
  if (WIFSIGNALED(status)) return {SyscallFate::kKills, 0};
  const int error = WEXITSTATUS(status);
  return {error == 0 ? SyscallFate::kWorks : SyscallFate::kFails, error};
}

Trial TryClockSyscall() {
  return Try([] {
    fallback::KernelTimespec time;
    return -fallback::ClockGettime(CLOCK_MONOTONIC, &time);
  });
}

std::vector<ClockFacts> FindClocks(SyscallFate by_syscall) {
  std::vector<ClockFacts> clocks;
  for (const SystemClock& clock : kSystemClocks) {
    clocks.push_back({clock.id, clock.name, Answer::kUnknown});
    clocks.back().answer = Observe(clock.id, &clocks.back().error);
  }
  const bool has_libc = clocks[1].answer == Answer::kWithoutSyscall;
  for (ClockFacts& clock : clocks) {
    if (clock.answer == Answer::kError || clock.answer == Answer::kKills) {
      continue;
    }
    if (by_syscall == SyscallFate::kWorks) {
      Time(SyscallStopwatchNs, by_syscall, &clock);
    } else if (has_libc) {
      Time(LibcStopwatchNs, by_syscall, &clock);
    }
  }
  return clocks;
}

}  // namespace vvar::tools
