// SPDX-License-Identifier: MIT
//
// The raw calls against libc's own, errno by errno, and the functions of the
// live vDSO against the raw calls. A filter in a child process tells which
// number a call really uses. Brackets could miss an error smaller than the
// time between two calls.
#include "fallback/syscall.h"

#include <errno.h>
#include <gtest/gtest.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <climits>
#include <cstddef>
#include <functional>
#include <string>
#include <vector>

namespace vvar::fallback {
namespace {

constexpr int32_t kMonotonic = 1;

// -1, the limits, every id there is, and file and CPU clocks of no one.
std::vector<int32_t> EveryKindOfId() {
  std::vector<int32_t> ids = {-1, INT_MIN, INT_MAX, INT_MIN + 1, -2, -6, -8};
  for (int32_t id = 0; id <= 31; ++id) ids.push_back(id);
  return ids;
}

// libc's answer in the raw calls' form.
template <typename... Args>
int32_t LibcCall(int32_t number, Args... args) {
  errno = 0;
  return syscall(number, args...) == 0 ? 0 : -errno;
}

template <typename Int>
int64_t Ns(const KernelTimespecOf<Int>& time) {
  return int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec;
}

int64_t SyscallNs(int32_t id) {
  KernelTimespec now = {-1, -1};
  EXPECT_EQ(ClockGettime(id, &now), 0) << id;
  return Ns(now);
}

VdsoFunctions LiveFunctions() {
  return FindVdsoFunctions(
      VdsoImage::FromMappedByKernel(getauxval(AT_SYSINFO_EHDR)));
}

// --- Numbers ----------------------------------------------------------------

TEST(SyscallTest, NumbersAreTheSystemHeaders) {
#if defined(SYS_clock_gettime64)
  EXPECT_EQ(kSyscalls.clock_gettime, SYS_clock_gettime64);
  EXPECT_EQ(kSyscalls.clock_getres, SYS_clock_getres_time64);
#if defined(SYS_clock_gettime)
  EXPECT_EQ(kSyscalls.clock_gettime_time32, SYS_clock_gettime);
  EXPECT_EQ(kSyscalls.clock_getres_time32, SYS_clock_getres);
#endif
#else
  EXPECT_EQ(kSyscalls.clock_gettime, SYS_clock_gettime);
  EXPECT_EQ(kSyscalls.clock_getres, SYS_clock_getres);
  EXPECT_EQ(kSyscalls.clock_gettime_time32, kNoSyscall);
  EXPECT_EQ(kSyscalls.clock_getres_time32, kNoSyscall);
#endif
#if defined(SYS_gettimeofday)
  EXPECT_EQ(kSyscalls.gettimeofday, SYS_gettimeofday);
#else
  EXPECT_EQ(kSyscalls.gettimeofday, kNoSyscall);
#endif
#if defined(SYS_time)
  EXPECT_EQ(kSyscalls.time, SYS_time);
#else
  EXPECT_EQ(kSyscalls.time, kNoSyscall);
#endif
  EXPECT_EQ(kSyscalls.getcpu, SYS_getcpu);
}

// --- Results ----------------------------------------------------------------

TEST(SyscallTest, EveryIdHasTheErrnoOfLibcsSyscall) {
  for (int32_t id : EveryKindOfId()) {
    KernelTimespec ours = {-1, -1}, libcs = {-1, -1};
    EXPECT_EQ(ClockGettime(id, &ours),
              LibcCall(kSyscalls.clock_gettime, id, &libcs))
        << id;
    EXPECT_EQ(ours.tv_nsec == -1, libcs.tv_nsec == -1) << id;
    EXPECT_EQ(ClockGetres(id, &ours),
              LibcCall(kSyscalls.clock_getres, id, &libcs))
        << id;
    EXPECT_EQ(ClockGetres(id, nullptr),
              LibcCall(kSyscalls.clock_getres, id, nullptr))
        << id;
  }
}

TEST(SyscallTest, EveryIdHasTheErrnoOfLibcsSyscallIn32Bits) {
  if (kSyscalls.clock_gettime_time32 == kNoSyscall) {
    GTEST_SKIP() << "this ISA has no call with 32-bit time";
  }
  for (int32_t id : EveryKindOfId()) {
    KernelTimespec32 ours = {-1, -1}, libcs = {-1, -1};
    EXPECT_EQ(ClockGettimeTime32(id, &ours),
              LibcCall(kSyscalls.clock_gettime_time32, id, &libcs))
        << id;
    EXPECT_EQ(ClockGetresTime32(id, &ours),
              LibcCall(kSyscalls.clock_getres_time32, id, &libcs))
        << id;
    if (ClockGetresTime32(id, &ours) == 0) {
      EXPECT_EQ(Ns(ours), Ns(libcs)) << id;
    }
  }
}

TEST(SyscallTest, BadPointerIsAnErrorNotACrash) {
  auto* nowhere = reinterpret_cast<KernelTimespec*>(uintptr_t{8});
  EXPECT_EQ(ClockGettime(kMonotonic, nowhere), -EFAULT);
  EXPECT_EQ(ClockGettime(kMonotonic, nullptr), -EFAULT);
  EXPECT_EQ(GetCpu(reinterpret_cast<uint32_t*>(uintptr_t{8}), nullptr),
            -EFAULT);
}

TEST(SyscallTest, LeavesErrnoAlone) {
  KernelTimespec now;
  KernelTimespec32 now32;
  errno = 12345;
  EXPECT_LT(ClockGettime(-1, &now), 0);
  EXPECT_LT(ClockGetres(INT_MAX, &now), 0);
  EXPECT_LT(ClockGettimeTime32(INT_MAX, &now32), 0);
  EXPECT_EQ(errno, 12345);
}

TEST(SyscallTest, ClockGettimeIsBetweenTwoOfLibcs) {
  for (int32_t id : {CLOCK_MONOTONIC, CLOCK_MONOTONIC_RAW, CLOCK_BOOTTIME,
                     CLOCK_PROCESS_CPUTIME_ID, CLOCK_THREAD_CPUTIME_ID}) {
    for (int i = 0; i < 1000; ++i) {
      timespec before, after;
      KernelTimespec now;
      ASSERT_EQ(clock_gettime(id, &before), 0);
      ASSERT_EQ(ClockGettime(id, &now), 0);
      ASSERT_EQ(clock_gettime(id, &after), 0);
      ASSERT_LE(before.tv_sec * int64_t{1'000'000'000} + before.tv_nsec,
                Ns(now))
          << id;
      ASSERT_GE(after.tv_sec * int64_t{1'000'000'000} + after.tv_nsec, Ns(now))
          << id;
    }
  }
}

TEST(SyscallTest, BothWidthsTellTheSameTime) {
  if (kSyscalls.clock_gettime_time32 == kNoSyscall) {
    GTEST_SKIP() << "this ISA has no call with 32-bit time";
  }
  for (int i = 0; i < 1000; ++i) {
    const int64_t before = SyscallNs(kMonotonic);
    KernelTimespec32 now;
    ASSERT_EQ(ClockGettimeTime32(kMonotonic, &now), 0);
    ASSERT_LE(before, Ns(now));
    ASSERT_GE(SyscallNs(kMonotonic), Ns(now));
  }
}

TEST(SyscallTest, CallsThatTheIsaNeverHadAreEnosys) {
  KernelTimespec32 now32;
  KernelTimeval timeval;
  if (kSyscalls.clock_gettime_time32 == kNoSyscall) {
    EXPECT_EQ(ClockGettimeTime32(kMonotonic, &now32), -ENOSYS);
    EXPECT_EQ(ClockGetresTime32(kMonotonic, &now32), -ENOSYS);
  }
  if (kSyscalls.time == kNoSyscall) {
    EXPECT_EQ(Time(nullptr), -ENOSYS);
  }
  if (kSyscalls.gettimeofday == kNoSyscall) {
    EXPECT_EQ(Gettimeofday(&timeval, nullptr), -ENOSYS);
  }
}

TEST(SyscallTest, GettimeofdayAndTimeAreRealtime) {
  for (int tries = 3; tries > 0; --tries) {  // somebody may set the clock
    KernelTimeval timeval = {-1, -1};
    KernelTimezone zone = {-1, -1};
    intptr_t seconds = -1;
    const int64_t before = SyscallNs(CLOCK_REALTIME);
    const int32_t error = Gettimeofday(&timeval, &zone);
    const intptr_t returned = Time(&seconds);
    const int64_t after = SyscallNs(CLOCK_REALTIME);
    const int64_t now_us =
        int64_t{timeval.tv_sec} * 1'000'000 + timeval.tv_usec;
    // Time is the seconds at the last tick: LINUX.md, section 3.
    const bool time_agrees =
        kSyscalls.time == kNoSyscall ||
        (returned == seconds && seconds >= before / 1'000'000'000 - 1 &&
         seconds <= after / 1'000'000'000);
    const bool timeval_agrees =
        kSyscalls.gettimeofday == kNoSyscall ||
        (error == 0 && before / 1000 <= now_us && now_us <= after / 1000);
    if (time_agrees && timeval_agrees) return;
  }
  FAIL() << "outside its brackets three times";
}

TEST(SyscallTest, NullResultsWhereAllowed) {
  EXPECT_EQ(GetCpu(nullptr, nullptr), 0);
  if (kSyscalls.gettimeofday != kNoSyscall) {
    EXPECT_EQ(Gettimeofday(nullptr, nullptr), 0);
  }
  if (kSyscalls.time != kNoSyscall) {
    EXPECT_GT(Time(nullptr), 0);
  }
}

// Runs `check` with this thread on each CPU it may use.
void OnEachCpu(const std::function<void(uint32_t)>& check) {
  cpu_set_t allowed;
  ASSERT_EQ(sched_getaffinity(0, sizeof(allowed), &allowed), 0);
  for (uint32_t cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (!CPU_ISSET(cpu, &allowed)) continue;
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    if (sched_setaffinity(0, sizeof(one), &one) == 0) check(cpu);
  }
  ASSERT_EQ(sched_setaffinity(0, sizeof(allowed), &allowed), 0);
}

TEST(SyscallTest, GetCpuTellsWhereItRan) {
  OnEachCpu([](uint32_t cpu) {
    uint32_t ours = ~0u, node = ~0u;
    EXPECT_EQ(GetCpu(&ours, &node), 0);
    EXPECT_EQ(ours, static_cast<uint32_t>(sched_getcpu()));
    if (ours != cpu) GTEST_SKIP() << "CPU affinity has no effect here";
    EXPECT_NE(node, ~0u);
  });
}

// Many values live across the entry: a clobber that is not declared shows as
// a wrong sum, in optimised builds.
TEST(SyscallTest, KeepsItsCallersRegisters) {
  uint64_t a = 1, b = 2, c = 3, d = 4, e = 5, f = 6, g = 7, h = 8;
  double x = 1.5, y = 2.5, z = 3.5;
  for (uint64_t i = 0; i < 1000; ++i) {
    KernelTimespec now;
    const int32_t error = ClockGettime(kMonotonic, &now);
    const auto zero = static_cast<uint64_t>(error);
    a += zero + 1, b += a + zero, c += b ^ i, d += c, e ^= d, f += e, g ^= f;
    h += g + i, x += 1.0, y += x, z += y + static_cast<double>(i);
  }
  uint64_t a2 = 1, b2 = 2, c2 = 3, d2 = 4, e2 = 5, f2 = 6, g2 = 7, h2 = 8;
  double x2 = 1.5, y2 = 2.5, z2 = 3.5;
  for (uint64_t i = 0; i < 1000; ++i) {
    a2 += 1, b2 += a2, c2 += b2 ^ i, d2 += c2, e2 ^= d2, f2 += e2, g2 ^= f2;
    h2 += g2 + i, x2 += 1.0, y2 += x2, z2 += y2 + static_cast<double>(i);
  }
  EXPECT_EQ(a ^ b ^ c ^ d ^ e ^ f ^ g ^ h,
            a2 ^ b2 ^ c2 ^ d2 ^ e2 ^ f2 ^ g2 ^ h2);
  EXPECT_EQ(x + y + z, x2 + y2 + z2);
}

// --- Widths -----------------------------------------------------------------

constexpr int kNoFilters = 77;

// The exit code of `check` in a child process whose filter answers -EPERM to
// system call `refused`; kNoFilters where filters cannot be had.
int UnderFilter(int32_t refused, const std::function<bool()>& check) {
  const pid_t child = fork();
  if (child == 0) {
    sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<uint32_t>(refused), 0,
                 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
    sock_fprog program = {4, code};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0) {
      _exit(kNoFilters);
    }
    _exit(check() ? 0 : 1);
  }
  int status = -1;
  EXPECT_EQ(waitpid(child, &status, 0), child);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

// T90: under a filter as old as a 32-bit caller, the 32-bit call must not
// become the 64-bit one, nor the reverse.
// Trap: T90
#if defined(__x86_64__)
// Each argument decides about what is mapped; the file is not its first page.
TEST(SyscallTest, SixArgumentsArrive) {
  char first[4096], second[4096];
  FILE* file = tmpfile();
  ASSERT_NE(file, nullptr);
  memset(first, 1, sizeof(first));
  memset(second, 2, sizeof(second));
  ASSERT_EQ(fwrite(first, sizeof(first), 1, file), 1u);
  ASSERT_EQ(fwrite(second, sizeof(second), 1, file), 1u);
  ASSERT_EQ(fflush(file), 0);
  void* place =
      mmap(nullptr, 8192, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(place, MAP_FAILED);
  const auto at = reinterpret_cast<intptr_t>(place);
  EXPECT_EQ(EnterKernel(SYS_mmap, at, 4096, PROT_READ, MAP_SHARED | MAP_FIXED,
                        fileno(file), 4096),
            at);
  EXPECT_EQ(memcmp(place, second, sizeof(second)), 0);
  EXPECT_EQ(EnterKernel(SYS_mmap, 0, 4096, PROT_READ, MAP_SHARED, -1, 0),
            -EBADF);
  munmap(place, 8192);
  fclose(file);
}
#endif

TEST(SyscallTest, FallbackMatchesWidth) {
  const bool has_time32 = kSyscalls.clock_gettime_time32 != kNoSyscall;
  const int code = UnderFilter(kSyscalls.clock_gettime, [&] {
    KernelTimespec now;
    KernelTimespec32 now32;
    return ClockGettime(kMonotonic, &now) == -EPERM &&
           ClockGetres(kMonotonic, &now) == 0 &&
           ClockGettimeTime32(kMonotonic, &now32) == (has_time32 ? 0 : -ENOSYS);
  });
  if (code == kNoFilters) GTEST_SKIP() << "no system call filters here";
  EXPECT_EQ(code, 0);
  EXPECT_EQ(UnderFilter(kSyscalls.clock_getres,
                        [&] {
                          KernelTimespec step;
                          KernelTimespec32 step32;
                          return ClockGetres(kMonotonic, &step) == -EPERM &&
                                 ClockGettime(kMonotonic, &step) == 0 &&
                                 ClockGetresTime32(kMonotonic, &step32) ==
                                     (has_time32 ? 0 : -ENOSYS);
                        }),
            0);
  if (!has_time32) return;
  EXPECT_EQ(UnderFilter(kSyscalls.clock_gettime_time32,
                        [] {
                          KernelTimespec now;
                          KernelTimespec32 now32;
                          return ClockGettime(kMonotonic, &now) == 0 &&
                                 ClockGettimeTime32(kMonotonic, &now32) ==
                                     -EPERM;
                        }),
            0);
}

TEST(SyscallTest, AbsentCallsDoNotEnterTheKernel) {
  const int code = UnderFilter(kNoSyscall, [] {
    return CallKernel(kNoSyscall, 0, nullptr) == -ENOSYS &&
           EnterKernel(kNoSyscall, 0, 0, 0) == -EPERM;
  });
  if (code == kNoFilters) GTEST_SKIP() << "no system call filters here";
  EXPECT_EQ(code, 0);
}

// --- The live vDSO's functions ----------------------------------------------

#define SKIP_WITHOUT(function)                                 \
  if ((function) == nullptr) {                                 \
    GTEST_SKIP() << "the system's vDSO has no " #function " (" \
                 << "or there is none)";                       \
  }                                                            \
  static_assert(true, "")

TEST(VdsoFunctionsTest, ClockGettimeIsBetweenTwoSystemCalls) {
  const VdsoFunctions vdso = LiveFunctions();
  SKIP_WITHOUT(vdso.clock_gettime);
  EXPECT_EQ(vdso.status, VdsoStatus::kFound);
  for (int32_t id : {CLOCK_MONOTONIC, CLOCK_MONOTONIC_RAW, CLOCK_BOOTTIME}) {
    for (int i = 0; i < 10'000; ++i) {
      KernelOldTimespec now;
      const int64_t before = SyscallNs(id);
      ASSERT_EQ(vdso.clock_gettime(id, &now), 0);
      const int64_t after = SyscallNs(id);
      ASSERT_LE(before, Ns(now)) << id;
      ASSERT_GE(after, Ns(now)) << id;
    }
  }
}

TEST(VdsoFunctionsTest, ClockGettime64IsBetweenTwoSystemCalls) {
  const VdsoFunctions vdso = LiveFunctions();
  SKIP_WITHOUT(vdso.clock_gettime64);
  for (int i = 0; i < 10'000; ++i) {
    KernelTimespec now;
    const int64_t before = SyscallNs(kMonotonic);
    ASSERT_EQ(vdso.clock_gettime64(kMonotonic, &now), 0);
    const int64_t after = SyscallNs(kMonotonic);
    ASSERT_LE(before, Ns(now));
    ASSERT_GE(after, Ns(now));
  }
}

TEST(VdsoFunctionsTest, EveryIdHasTheErrnoOfTheSystemCall) {
  const VdsoFunctions vdso = LiveFunctions();
  SKIP_WITHOUT(vdso.clock_gettime);
  for (int32_t id : EveryKindOfId()) {
    KernelTimespec now, step;
    KernelOldTimespec old_now, old_step;
    EXPECT_EQ(vdso.clock_gettime(id, &old_now), ClockGettime(id, &now)) << id;
    if (vdso.clock_gettime64 != nullptr) {
      EXPECT_EQ(vdso.clock_gettime64(id, &now), ClockGettime(id, &now)) << id;
    }
    if (vdso.clock_getres == nullptr) continue;
    // Linux 6.18's vDSO tells the resolution of an auxiliary clock that is not
    // enabled, or not even configured; its system call refuses.
    if (id >= 16 && id <= 23) continue;
    const int32_t error = vdso.clock_getres(id, &old_step);
    EXPECT_EQ(error, ClockGetres(id, &step)) << id;
    if (error == 0) {
      EXPECT_EQ(Ns(old_step), Ns(step)) << id;
    }
  }
}

TEST(VdsoFunctionsTest, OldWidthIsThePointers) {
  const VdsoFunctions vdso = LiveFunctions();
  SKIP_WITHOUT(vdso.clock_gettime);
  struct {
    KernelOldTimespec now;
    intptr_t guard[2];
  } result = {{-1, -1}, {-7, -7}};
  ASSERT_EQ(vdso.clock_gettime(kMonotonic, &result.now), 0);
  EXPECT_EQ(result.guard[0], -7);
  EXPECT_GE(result.now.tv_nsec, 0);
  EXPECT_LT(result.now.tv_nsec, 1'000'000'000);
}

TEST(VdsoFunctionsTest, GettimeofdayAndTimeAreRealtime) {
  const VdsoFunctions vdso = LiveFunctions();
  SKIP_WITHOUT(vdso.gettimeofday);
  for (int tries = 3; tries > 0; --tries) {  // somebody may set the clock
    KernelTimeval now = {-1, -1};
    const int64_t before = SyscallNs(CLOCK_REALTIME);
    ASSERT_EQ(vdso.gettimeofday(&now, nullptr), 0);
    const intptr_t seconds =
        vdso.time == nullptr ? now.tv_sec : vdso.time(nullptr);
    const int64_t after = SyscallNs(CLOCK_REALTIME);
    const int64_t now_us = int64_t{now.tv_sec} * 1'000'000 + now.tv_usec;
    if (before / 1000 <= now_us && now_us <= after / 1000 &&
        seconds >= before / 1'000'000'000 - 1 &&
        seconds <= after / 1'000'000'000) {
      return;
    }
  }
  FAIL() << "outside its brackets three times";
}

TEST(VdsoFunctionsTest, GetCpuTellsWhereItRan) {
  const VdsoFunctions vdso = LiveFunctions();
  SKIP_WITHOUT(vdso.getcpu);
  OnEachCpu([&](uint32_t cpu) {
    uint32_t found = ~0u, node = ~0u;
    EXPECT_EQ(vdso.getcpu(&found, &node, nullptr), 0);
    EXPECT_EQ(found, cpu);
    uint32_t expected_node = ~0u;
    EXPECT_EQ(GetCpu(nullptr, &expected_node), 0);
    EXPECT_EQ(node, expected_node);
  });
}

}  // namespace
}  // namespace vvar::fallback
