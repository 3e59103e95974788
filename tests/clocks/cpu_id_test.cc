// SPDX-License-Identifier: MIT
//
// On which CPU a thread runs: against the system's answer, pinned to each CPU
// in turn. Prints how often each way fits into a system call.
#include "clocks/cpu_id.h"

#include <gtest/gtest.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>

#include <fstream>
#include <string>

#include "clocks/native.h"
#include "fallback/syscall.h"

namespace vvar {
namespace {

using Way = bool (*)(CpuId*);

bool BySegment(CpuId* id) { return ReadCpuId(id); }
bool ByRdpid(CpuId* id) { return ReadCpuIdByRdpid(id); }
bool BySyscall(CpuId* id) { return fallback::GetCpu(&id->cpu, &id->node) == 0; }

/// On each CPU that this process may use.
void ExpectTheSystemsAnswer(Way way) {
  cpu_set_t allowed;
  ASSERT_EQ(sched_getaffinity(0, sizeof(allowed), &allowed), 0);
  for (uint32_t cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (!CPU_ISSET(cpu, &allowed)) continue;
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    ASSERT_EQ(sched_setaffinity(0, sizeof(one), &one), 0);
    CpuId system = {}, ours = {};
    ASSERT_TRUE(BySyscall(&system));
    if (system.cpu != cpu) GTEST_SKIP() << "CPU affinity has no effect here";
    ASSERT_TRUE(way(&ours));
    EXPECT_EQ(ours.cpu, cpu);
    EXPECT_EQ(ours.node, system.node);
  }
  ASSERT_EQ(sched_setaffinity(0, sizeof(allowed), &allowed), 0);
}

/// The shortest of many calls, in cycles of the counter.
uint64_t Cycles(Way way) {
  uint64_t shortest = UINT64_MAX;
  for (int i = 0; i < 200; ++i) {
    constexpr uint64_t kCalls = 100;
    CpuId id = {};
    const uint64_t start = NativeClock().Read();
    for (uint64_t call = 0; call < kCalls; ++call) (void)way(&id);
    const uint64_t cycles = (NativeClock().Read() - start) / kCalls;
    if (cycles < shortest) shortest = cycles;
  }
  return shortest;
}
void PrintRatio(const char* name, Way way) {
  printf("  %s: %lu cycles, the system call: %lu\n", name, Cycles(way),
         Cycles(BySyscall));
}

TEST(CpuIdTest, TheSegmentTellsWhatTheSystemTells) {
  CpuId id;
  if (!ReadCpuId(&id)) GTEST_SKIP() << "this system keeps no such segment";
  ExpectTheSystemsAnswer(BySegment);
  PrintRatio("LSL", BySegment);
}

TEST(CpuIdTest, TheCpuHasRdpidWhereTheSystemSaysSo) {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    if (line.rfind("flags\t", 0) != 0) continue;
    EXPECT_EQ(HasRdpid(), (line + " ").find(" rdpid ") != std::string::npos);
    return;
  }
  GTEST_SKIP() << "this system tells no flags of its CPUs";
}

TEST(CpuIdTest, RdpidTellsWhatTheSystemTells) {
  if (!HasRdpid()) GTEST_SKIP() << "this CPU has no RDPID";
  ExpectTheSystemsAnswer(ByRdpid);
  PrintRatio("RDPID", ByRdpid);
}

}  // namespace
}  // namespace vvar
