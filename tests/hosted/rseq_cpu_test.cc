// SPDX-License-Identifier: MIT
//
// Where a thread runs, by what the kernel keeps in its memory: pinned to each
// CPU in turn, in each way there is; and in a process where nobody registered
// that, which is this program started once more.
#include "hosted/rseq_cpu.h"

#include <gtest/gtest.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <thread>

#include "clocks/cpu_id.h"
#include "fallback/syscall.h"
#include "tests/hosted/child_process.h"
#include "tests/support/hand_over.h"

namespace vvar::hosted {
namespace {

// Read by glibc before main().
constexpr const char* kTunables = "GLIBC_TUNABLES";
constexpr const char* kWithoutRseq = "glibc.pthread.rseq=0";

bool ToldNotToRegister() {
  const char* const tunables = getenv(kTunables);
  return tunables != nullptr && strstr(tunables, kWithoutRseq) != nullptr;
}

/// Whether there is a C library here that registers rseq, and a kernel that
/// lets it.
bool CanBeRegistered() {
#if __has_include(<sys/rseq.h>)
  return __rseq_size != 0;
#else
  return false;
#endif
}

void ExpectTheCpus(CpuReading (*current)()) {
  for (const int cpu : support::UsableCpus()) {
    support::PinTo(cpu);
    uint32_t system = ~0u, node = 0;
    ASSERT_EQ(fallback::GetCpu(&system, &node), 0);
    if (system != static_cast<uint32_t>(cpu)) {
      GTEST_SKIP() << "CPU affinity has no effect here";
    }
    EXPECT_EQ(current().cpu, system);
  }
}

TEST(RseqCpuTest, TellsTheCpuThatAThreadIsPinnedTo) {
  // Threads of their own: the test's own affinity stays.
  std::thread([] { ExpectTheCpus([] { return CurrentCpu(); }); }).join();
  std::thread([] { ExpectTheCpus(CurrentCpuWithoutRseq); }).join();
}

TEST(RseqCpuTest, ReadsTheKernelsWordWhereThereIsOne) {
  uint32_t cpu;
  EXPECT_EQ(ReadCpuByRseq(&cpu), CanBeRegistered());
  EXPECT_EQ(CurrentCpu().way == CpuWay::kRseq, CanBeRegistered());
  if (ToldNotToRegister()) {
    EXPECT_FALSE(CanBeRegistered());
  } else if (!CanBeRegistered()) {
    GTEST_SKIP() << "no C library or no kernel with rseq here";
  }
}

TEST(RseqCpuTest, SaysWhoAnswersInstead) {
  CpuId id;
  const CpuWay expected = HasRdpid()       ? CpuWay::kRdpid
                          : ReadCpuId(&id) ? CpuWay::kSegment
                                           : CpuWay::kSystemCall;
  EXPECT_EQ(CurrentCpuWithoutRseq().way, expected);
}

TEST(RseqCpuTest, WithoutRegistrationAnotherWayAnswers) {
  if (ToldNotToRegister()) GTEST_SKIP() << "this is the process that has none";
  if (!CanBeRegistered()) GTEST_SKIP() << "there is none here anyway";
  EXPECT_EQ(ChildProcess([] {
              setenv(kTunables, kWithoutRseq, 1);
              // The reports are the parent's.
              unsetenv("XML_OUTPUT_FILE");
              unsetenv("TEST_PREMATURE_EXIT_FILE");
              execl("/proc/self/exe", "rseq_cpu_test", nullptr);
              return 99;
            }).Wait(),
            0);
}

}  // namespace
}  // namespace vvar::hosted
