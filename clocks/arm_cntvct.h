// SPDX-License-Identifier: MIT
//
// The Arm generic timer's virtual counter as a ClockSource, AArch64 and
// AArch32. Freestanding. Asm: the counter registers, barriers, and the
// dependencies that put the counter among the loads. Not promised: CPU cycles,
// a zero start, that EL0 may read it (CNTKCTL_EL1.EL0VCTEN, on every CPU), or
// sound values on parts with a counter erratum (Cortex-A73 858921 and others:
// docs/porting.md).
#ifndef VVAR_CLOCKS_ARM_CNTVCT_H_
#define VVAR_CLOCKS_ARM_CNTVCT_H_

#include <stdint.h>

#include "vvar/abi.h"
#include "vvar/clocksource.h"

namespace vvar {

/// CNTVCT. Default: `isb; mrs cntvct_el0`.
///
/// Source: Arm ARM (DDI 0487) D11.2, and examples D12-3 and D12-4 of its
/// barrier discussion: a counter read is not ordered with memory accesses. An
/// earlier load is kept before it by a control dependency and ISB; a later one
/// is kept after it by an address dependency on the counter's value.
/// Source: DDI 0487 D11.1.2: at least 56 bits wide, rolls over no sooner than
/// in 40 years: so 56 bits are used.
class ArmCntvct {
 public:
  static constexpr uint32_t kCounterId = VVAR_COUNTER_ARM_CNTVCT;
  static constexpr uint32_t kCounterBits = 56;

  /// Uses CNTVCT behind an ISB: any CPU.
  constexpr ArmCntvct() = default;
  /// Uses CNTVCTSS_EL0, which is self-synchronised and spares the ISB; the CPU
  /// must have FEAT_ECV (Linux: HWCAP2_ECV). AArch64 only.
  static constexpr ArmCntvct WithEcv() { return ArmCntvct(true); }

  /// Ordering: not before the load that gave `after` (a branch on a zero the
  /// CPU cannot know is zero, then ISB), not after later loads (a dummy load at
  /// sp + (counter ^ counter), which loads after it in `memory` order follow
  /// through the acquire fence of [R:end]).
  [[gnu::always_inline]] uint64_t Read(uint32_t after = 0) const {
    uint64_t counter;
    uintptr_t zero;
    if constexpr (kAarch64) {
      if (has_ecv_) {
        asm volatile(
            "mrs %0, S3_3_C14_C0_6\n\t"
            "eor %1, %0, %0\n\t"
            "add %1, sp, %1\n\t"
            "ldr xzr, [%1]"
            : "=&r"(counter), "=&r"(zero)::"memory");
      } else {
        asm volatile(
            "eor %w1, %w2, %w2\n\t"
            "cbnz %w1, 1f\n"
            "1:\tisb\n\t"
            "mrs %0, cntvct_el0\n\t"
            "eor %1, %0, %0\n\t"
            "add %1, sp, %1\n\t"
            "ldr xzr, [%1]"
            : "=&r"(counter), "=&r"(zero)
            : "r"(after)
            : "memory");
      }
    } else {
      asm volatile(
          "eors %1, %2, %2\n\t"
          "bne 1f\n"
          "1:\tisb\n\t"
          "mrrc p15, 1, %Q0, %R0, c14\n\t"
          "eor %1, %Q0, %Q0\n\t"
          "ldr %1, [sp, %1]"
          : "=&r"(counter), "=&r"(zero)
          : "r"(uintptr_t{after})
          : "cc", "memory");
    }
    return counter & kMask;
  }

  /// Ordering: none.
  [[gnu::always_inline]] uint64_t ReadUnordered() const {
    uint64_t counter;
    if constexpr (kAarch64) {
      asm volatile("mrs %0, cntvct_el0" : "=r"(counter));
    } else {
      asm volatile("mrrc p15, 1, %Q0, %R0, c14" : "=r"(counter));
    }
    return counter & kMask;
  }

  /// Ordering: ISB before; the writer's branch on the value keeps later stores
  /// behind it (a store is never made visible speculatively).
  [[gnu::always_inline]] uint64_t ReadBeforeStores() const {
    uint64_t counter;
    if constexpr (kAarch64) {
      asm volatile("isb\n\tmrs %0, cntvct_el0" : "=r"(counter)::"memory");
    } else {
      asm volatile("isb\n\tmrrc p15, 1, %Q0, %R0, c14"
                   : "=r"(counter)::"memory");
    }
    return counter & kMask;
  }

  /// Ordering: DSB waits until the stores are visible, ISB keeps the counter
  /// behind the DSB. A DMB would order memory accesses only.
  [[gnu::always_inline]] uint64_t ReadAfterStores() const {
    uint64_t counter;
    if constexpr (kAarch64) {
      asm volatile("dsb ish\n\tisb\n\tmrs %0, cntvct_el0"
                   : "=r"(counter)::"memory");
    } else {
      asm volatile("dsb ish\n\tisb\n\tmrrc p15, 1, %Q0, %R0, c14"
                   : "=r"(counter)::"memory");
    }
    return counter & kMask;
  }

  /// Ordering: none.
  [[gnu::always_inline]] void Relax() const { asm volatile("yield"); }

  /// Returns the counter's frequency as firmware left it; 0 if it did not.
  /// Units: Hz. Ordering: none.
  /// Source: DDI 0487, CNTFRQ_EL0: software writes it at boot.
  static uint64_t ReadHz() {
    if constexpr (kAarch64) {
      uint64_t hz;
      asm volatile("mrs %0, cntfrq_el0" : "=r"(hz));
      return hz & UINT32_MAX;
    } else {
      uintptr_t hz;
      asm volatile("mrc p15, 0, %0, c14, c0, 0" : "=r"(hz));
      return hz;
    }
  }

 private:
  static constexpr bool kAarch64 = sizeof(void*) == 8;
  static constexpr uint64_t kMask = (uint64_t{1} << kCounterBits) - 1;

  constexpr explicit ArmCntvct(bool has_ecv) : has_ecv_(has_ecv) {}
  bool has_ecv_ = false;
};

static_assert(ClockSource<ArmCntvct>);

/// Describes the counter, without ECV: only the kernel knows (HWCAP2_ECV).
/// Source: DDI 0487 D11.1: the system counter runs at a fixed frequency.
inline CounterInfo<ArmCntvct> QueryCounter(ArmCntvct) {
  const uint64_t hz = ArmCntvct::ReadHz();
  return {ArmCntvct(), true, false,
          hz == 0 ? HzSource::kUnknown : HzSource::kCounterRegister, hz};
}

}  // namespace vvar

#endif  // VVAR_CLOCKS_ARM_CNTVCT_H_
