// SPDX-License-Identifier: MIT
//
// The x86 time stamp counter as a ClockSource, and what CPUID says of it.
// Freestanding. Asm: rdtsc, rdtscp, fences, pause, cpuid; nothing else here.
// Not promised: CPU cycles, a zero start, equal values on sockets whose TSCs
// were never synchronised (ask the system; see invariant and docs/porting.md).
#ifndef VVAR_CLOCKS_X86_TSC_H_
#define VVAR_CLOCKS_X86_TSC_H_

#include <stdint.h>

#include "vvar/abi.h"
#include "vvar/clocksource.h"
#include "vvar/scale.h"

namespace vvar {

/// The time stamp counter. Default: `lfence; rdtsc`, right on every CPU whose
/// LFENCE waits for earlier instructions; X86TscInfo::Query() tells which.
class X86Tsc {
 public:
  static constexpr uint32_t kCounterId = VVAR_COUNTER_X86_TSC;
  static constexpr uint32_t kCounterBits = 64;

  /// Uses LFENCE and RDTSC.
  constexpr X86Tsc() = default;
  /// Uses RDTSCP, which a CPU must have (CPUID 8000_0001h EDX bit 27): 1.5 %
  /// cheaper, and ordered on AMD whatever LFENCE does. Faults in SGX1 enclaves.
  static constexpr X86Tsc WithRdtscp() { return X86Tsc(true); }

  /// Ordering: earlier loads complete before the counter is read, by RDTSCP or
  /// by LFENCE. Later loads: kept by the compiler (memory clobber); the CPU may
  /// start them early, but not by more than its window, which a line's lead
  /// exceeds (docs/memory_model.md).
  /// Source: Intel SDM vol. 2B, RDTSCP: waits until all previous instructions
  /// have executed and all previous loads are globally visible. RDTSC: LFENCE
  /// before it gives the same. AMD APM vol. 3, RDTSCP: waits for older
  /// instructions. On AMD, LFENCE does so only with MSR C001_1029h bit 1 set
  /// (Linux sets it; a freestanding kernel has to) or CPUID 8000_0021h EAX
  /// bit 2.
  [[gnu::always_inline]] uint64_t Read(uint32_t /*after*/ = 0) const {
    uint32_t low;
    uint32_t high;
    if (has_rdtscp_) [[likely]] {
      asm volatile("rdtscp" : "=a"(low), "=d"(high)::"ecx", "memory");
    } else {
      asm volatile("lfence\n\trdtsc" : "=a"(low), "=d"(high)::"memory");
    }
    return uint64_t{high} << 32 | low;
  }

  /// Ordering: none.
  [[gnu::always_inline]] uint64_t ReadUnordered() const {
    uint32_t low;
    uint32_t high;
    asm volatile("rdtsc" : "=a"(low), "=d"(high));
    return uint64_t{high} << 32 | low;
  }

  /// Ordering: as Read(); stores never become visible before they retire, hence
  /// not before the counter read that precedes them.
  [[gnu::always_inline]] uint64_t ReadBeforeStores() const { return Read(); }

  /// Ordering: MFENCE drains the stores, LFENCE keeps RDTSC behind it.
  /// Source: Intel SDM vol. 2B, RDTSC: MFENCE; LFENCE before it if software
  /// requires all previous stores to be globally visible.
  [[gnu::always_inline]] uint64_t ReadAfterStores() const {
    uint32_t low;
    uint32_t high;
    asm volatile("mfence\n\tlfence\n\trdtsc" : "=a"(low), "=d"(high)::"memory");
    return uint64_t{high} << 32 | low;
  }

  /// Ordering: none.
  [[gnu::always_inline]] void Relax() const { asm volatile("pause"); }

  /// Whether Read() is RDTSCP.
  constexpr bool has_rdtscp() const { return has_rdtscp_; }

 private:
  constexpr explicit X86Tsc(bool has_rdtscp) : has_rdtscp_(has_rdtscp) {}
  bool has_rdtscp_ = false;
};

/// Four registers of a CPUID leaf.
struct CpuidLeaf {
  uint32_t eax;
  uint32_t ebx;
  uint32_t ecx;
  uint32_t edx;
};

/// Reads CPUID. Ordering: none that is relied on.
/// Context: any; a hypervisor may trap it, some 10 us.
inline CpuidLeaf ReadCpuid(uint32_t leaf, uint32_t subleaf) {
  CpuidLeaf r;
  asm volatile("cpuid"
               : "=a"(r.eax), "=b"(r.ebx), "=c"(r.ecx), "=d"(r.edx)
               : "a"(leaf), "c"(subleaf));
  return r;
}

/// What CPUID says of the counter.
struct X86TscInfo {
  bool has_tsc;        ///< Without it RDTSC faults.
  bool has_rdtscp;     ///< RDTSCP likewise.
  bool invariant;      ///< Constant rate in all C-, P- and T-states.
  bool hypervisor;     ///< Runs under one.
  HzSource hz_source;  ///< Who says `hz`.
  uint64_t hz;         ///< 0 if unknown.

  /// Decodes CPUID through `cpuid(leaf, subleaf)`, so that tests can script it.
  /// Source: Intel SDM vol. 2A CPUID: 01h, 15h, 16h, 80000001h, 80000007h; AMD
  /// APM vol. 3 appendix E for the last two; the hypervisor timing leaf
  /// 4000_0010h (EAX: TSC kHz) as VMware proposed it and KVM, Xen and QEMU
  /// followed.
  template <class Cpuid>
  static X86TscInfo Query(Cpuid cpuid) {
    X86TscInfo info = {};
    const uint32_t max_basic = cpuid(0, 0).eax;
    const uint32_t max_extended = cpuid(0x8000'0000, 0).eax;
    const CpuidLeaf features = cpuid(1, 0);
    info.has_tsc = (features.edx >> 4 & 1) != 0;
    info.hypervisor = (features.ecx >> 31 & 1) != 0;
    if (max_extended >= 0x8000'0001) {
      info.has_rdtscp = (cpuid(0x8000'0001, 0).edx >> 27 & 1) != 0;
    }
    if (max_extended >= 0x8000'0007) {
      info.invariant = (cpuid(0x8000'0007, 0).edx >> 8 & 1) != 0;
    }
    info.SetHz(cpuid, max_basic);
    return info;
  }
  /// Asks this CPU. Context: as ReadCpuid().
  static X86TscInfo Query() { return Query(ReadCpuid); }

  /// The counter with the cheapest right read this CPU has.
  X86Tsc Counter() const {
    return has_rdtscp ? X86Tsc::WithRdtscp() : X86Tsc();
  }

 private:
  template <class Cpuid>
  void SetHz(Cpuid cpuid, uint32_t max_basic) {
    // A hypervisor that names the guest's rate knows better than the CPU, whose
    // TSC it may scale.
    if (hypervisor) {
      const uint32_t max_leaf = cpuid(0x4000'0000, 0).eax;
      if (max_leaf >= 0x4000'0010 && max_leaf < 0x4001'0000) {
        const uint64_t khz = cpuid(0x4000'0010, 0).eax;
        if (khz != 0) {
          hz = khz * 1000;
          hz_source = HzSource::kHypervisorLeaf;
          return;
        }
      }
    }
    if (max_basic < 0x15) return;
    const CpuidLeaf ratio = cpuid(0x15, 0);
    if (ratio.eax != 0 && ratio.ebx != 0 && ratio.ecx != 0) {
      // Bound: 2^32 * 2^32.
      hz = DivideU64(uint64_t{ratio.ecx} * ratio.ebx, ratio.eax);
      hz_source = HzSource::kCpuidCrystal;
    } else if (max_basic >= 0x16 && (cpuid(0x16, 0).eax & 0xffff) != 0) {
      hz = uint64_t{cpuid(0x16, 0).eax & 0xffff} * 1'000'000;
      hz_source = HzSource::kCpuidBase;
    }
  }
};

static_assert(ClockSource<X86Tsc>);

/// Describes this CPU's counter.
/// Context: reads CPUID, which a hypervisor traps.
inline CounterInfo<X86Tsc> QueryCounter(X86Tsc) {
  const X86TscInfo info = X86TscInfo::Query();
  return {info.Counter(), info.has_tsc && info.invariant, info.hypervisor,
          info.hz_source, info.hz};
}

}  // namespace vvar

#endif  // VVAR_CLOCKS_X86_TSC_H_
