// SPDX-License-Identifier: MIT
//
// On which CPU a thread runs, without a system call, where Linux lets user mode
// see it. Freestanding. Asm: the segment limit. The answer is old when it
// arrives: a hint for spreading and per-CPU caches, never for exclusion.
#ifndef VVAR_CLOCKS_CPU_ID_H_
#define VVAR_CLOCKS_CPU_ID_H_

#include <stdint.h>

namespace vvar {

struct CpuId {
  uint32_t cpu;
  uint32_t node;
};

#if defined(__x86_64__)

inline constexpr bool kCpuIdNeedsNoCall = true;

/// Returns where it ran. Context: user mode of Linux.
/// Ordering: none; nothing in memory depends on it.
/// Source: Linux, arch/x86/include/asm/segment.h: the limit of segment 0x7b of
/// each CPU's GDT is cpu | node << 12. RDPID would be as good where there is
/// one; who cannot look first has this.
[[gnu::always_inline]] inline CpuId ReadCpuId() {
  uint32_t limit;
  asm volatile("lsl %1, %0" : "=r"(limit) : "r"(0x7b) : "cc");
  return {limit & 0xfff, limit >> 12};
}

#else

inline constexpr bool kCpuIdNeedsNoCall = false;

CpuId ReadCpuId();  // Never called.

#endif

}  // namespace vvar

#endif  // VVAR_CLOCKS_CPU_ID_H_
