// SPDX-License-Identifier: MIT
//
// On which CPU a thread runs, from the word that the kernel keeps in the
// thread's own memory (rseq): the cheapest way there is, where a C library has
// registered it, glibc 2.35 and later. Else the ways of clocks/cpu_id.h, else
// the system call. User space. A hint, as all of them.
#ifndef VVAR_HOSTED_RSEQ_CPU_H_
#define VVAR_HOSTED_RSEQ_CPU_H_

#include <stdint.h>

#include "clocks/cpu_id.h"
#include "fallback/syscall.h"

#if __has_include(<sys/rseq.h>)
#include <sys/rseq.h>
#endif

namespace vvar::hosted {

/// Stores where this thread runs; returns false where nobody registered rseq:
/// another C library, or glibc told so (GLIBC_TUNABLES=glibc.pthread.rseq=0).
/// Ordering: none; the kernel writes the word before the thread goes on.
/// Context: threads that the C library made.
/// Source: Linux, include/uapi/linux/rseq.h, cpu_id: negative if unregistered.
[[gnu::always_inline]] inline bool ReadCpuByRseq(uint32_t* cpu) {
#if __has_include(<sys/rseq.h>)
  const char* const thread =
      static_cast<const char*>(__builtin_thread_pointer());
  const auto* const area =
      reinterpret_cast<const struct rseq*>(thread + __rseq_offset);
  *cpu = __atomic_load_n(&area->cpu_id, __ATOMIC_RELAXED);
  return static_cast<int32_t>(*cpu) >= 0;
#else
  *cpu = 0;
  return false;
#endif
}

/// Who said where a thread runs.
enum class CpuWay { kRseq, kRdpid, kSegment, kSystemCall, kNone };

/// Where a thread ran when it asked.
struct CpuReading {
  uint32_t cpu;
  CpuWay way;  ///< kNone: nobody; cpu is 0.
};

/// What CurrentCpu() says where nobody registered rseq.
inline CpuReading CurrentCpuWithoutRseq() {
  static const bool has_rdpid = HasRdpid();
  CpuId id = {};
  if (has_rdpid && ReadCpuIdByRdpid(&id)) return {id.cpu, CpuWay::kRdpid};
  if (ReadCpuId(&id)) return {id.cpu, CpuWay::kSegment};
  const bool answered = fallback::GetCpu(&id.cpu, &id.node) == 0;
  return {id.cpu, answered ? CpuWay::kSystemCall : CpuWay::kNone};
}

/// Returns where this thread runs, by the cheapest way that answers.
/// Context: as ReadCpuByRseq(); the first call that has no rseq executes CPUID.
[[gnu::always_inline]] inline CpuReading CurrentCpu() {
  uint32_t cpu;
  if (ReadCpuByRseq(&cpu)) [[likely]]
    return {cpu, CpuWay::kRseq};
  return CurrentCpuWithoutRseq();
}

}  // namespace vvar::hosted

#endif  // VVAR_HOSTED_RSEQ_CPU_H_
