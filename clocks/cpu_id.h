// SPDX-License-Identifier: MIT
//
// On which CPU a thread runs, without a system call, where Linux lets user mode
// see it. Freestanding. Asm: lsl, rdpid, cpuid. The answer is old when it
// arrives: a hint for spreading and per-CPU caches, never for exclusion.
#ifndef VVAR_CLOCKS_CPU_ID_H_
#define VVAR_CLOCKS_CPU_ID_H_

#include <stdint.h>

namespace vvar {

/// A CPU and its NUMA node, as Linux numbers them.
struct CpuId {
  uint32_t cpu;
  uint32_t node;
};

#if defined(__x86_64__)

/// Stores where it ran; returns false where nobody has put that into the
/// segment: who asks another system than Linux asks it by a call.
/// Ordering: none; nothing in memory depends on it. Context: user mode.
/// Source: Linux, arch/x86/include/asm/segment.h: the limit of segment 0x7b of
/// each CPU's GDT is cpu | node << 12. Intel SDM vol. 2A, LSL: ZF says whether
/// there is such a segment.
[[gnu::always_inline]] inline bool ReadCpuId(CpuId* id) {
  uint32_t limit;
  bool there;
  asm volatile("lsl %2, %0" : "=r"(limit), "=@ccz"(there) : "r"(0x7b));
  if (!there) return false;
  *id = {limit & 0xfff, limit >> 12};
  return true;
}

/// The same, 20 times as fast, where HasRdpid(); elsewhere it is no
/// instruction. Ordering: none; nothing in memory depends on it. Context: any.
/// Source: Linux, arch/x86/kernel/cpu/common.c: TSC_AUX is what that limit is.
/// Intel SDM vol. 2B, RDPID.
[[gnu::always_inline]] inline bool ReadCpuIdByRdpid(CpuId* id) {
  uint64_t aux;
  asm volatile("rdpid %0" : "=r"(aux));
  *id = {static_cast<uint32_t>(aux) & 0xfff, static_cast<uint32_t>(aux) >> 12};
  return true;
}

/// Returns whether this CPU has RDPID. Ordering: none that is relied on.
/// Context: any; a hypervisor may trap it, some 10 us each time.
/// Source: Intel SDM vol. 2A, CPUID: 07h, ECX bit 22.
inline bool HasRdpid() {
  uint32_t eax = 0, ebx, ecx = 0, edx;
  asm volatile("cpuid" : "+a"(eax), "=b"(ebx), "+c"(ecx), "=d"(edx));
  if (eax < 7) return false;
  eax = 7;
  ecx = 0;
  asm volatile("cpuid" : "+a"(eax), "=b"(ebx), "+c"(ecx), "=d"(edx));
  return (ecx >> 22 & 1) != 0;
}

#else

/// Here it takes a call. Context: any.
[[gnu::always_inline]] inline bool ReadCpuId(CpuId* /*id*/) { return false; }
[[gnu::always_inline]] inline bool ReadCpuIdByRdpid(CpuId* /*id*/) {
  return false;
}
inline bool HasRdpid() { return false; }

#endif

}  // namespace vvar

#endif  // VVAR_CLOCKS_CPU_ID_H_
