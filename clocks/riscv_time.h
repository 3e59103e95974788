// SPDX-License-Identifier: MIT
//
// The RISC-V `time` CSR as a ClockSource, RV64 and RV32. Freestanding. Asm: the
// CSR, and the fences that put it among the loads. Not promised: a fine grain
// (1 to 10 MHz is usual, so equal reads are), a cheap read (firmware may
// emulate it by a trap, about 1 us) or a permitted one (scounteren.TM, on every
// hart). The frequency comes from the platform: device tree timebase-frequency.
#ifndef VVAR_CLOCKS_RISCV_TIME_H_
#define VVAR_CLOCKS_RISCV_TIME_H_

#include <stdint.h>

#include "vvar/abi.h"
#include "vvar/clocksource.h"

namespace vvar {

/// Joins the halves of a 64-bit counter, read as high, low, high again, into
/// one value without a tear across the carry. Progress: repeats while the high
/// half moves, which takes 2^32 ticks.
/// Source: RISC-V unprivileged ISA, Zicntr: the rdtimeh/rdtime/rdtimeh loop.
template <class ReadHigh, class ReadLow>
[[gnu::always_inline]] inline uint64_t ReadHighLowHigh(ReadHigh read_high,
                                                       ReadLow read_low) {
  for (;;) {
    const uint32_t high = read_high();
    const uint32_t low = read_low();
    if (read_high() == high) [[likely]]
      return uint64_t{high} << 32 | low;
  }
}

/// The `time` CSR.
///
/// Source: RISC-V unprivileged ISA, Zicsr, "CSR Access Ordering": CSR accesses
/// are not ordered with explicit memory accesses; reading `time` counts as
/// device input, which a FENCE orders as I. A C++ fence is not enough: clang's
/// are r,rw and rw,w.
class RiscvTime {
 public:
  static constexpr uint32_t kCounterId = VVAR_COUNTER_RISCV_TIME;
  static constexpr uint32_t kCounterBits = 64;

  /// Ordering: earlier loads before the CSR by `fence r,i`, later loads after
  /// it by `fence i,r`.
  [[gnu::always_inline]] uint64_t Read(uint32_t /*after*/ = 0) const {
    asm volatile("fence r,i" ::: "memory");
    const uint64_t time = ReadUnordered();
    asm volatile("fence i,r" ::: "memory");
    return time;
  }

  /// Ordering: none.
  [[gnu::always_inline]] uint64_t ReadUnordered() const {
    if constexpr (sizeof(void*) == 8) {
      uint64_t time;
      asm volatile("rdtime %0" : "=r"(time));
      return time;
    } else {
      return ReadHighLowHigh(
          [] {
            uint32_t high;
            asm volatile("rdtimeh %0" : "=r"(high));
            return high;
          },
          [] {
            uint32_t low;
            asm volatile("rdtime %0" : "=r"(low));
            return low;
          });
    }
  }

  /// Ordering: later stores after the CSR by `fence i,w`.
  [[gnu::always_inline]] uint64_t ReadBeforeStores() const {
    asm volatile("fence r,i" ::: "memory");
    const uint64_t time = ReadUnordered();
    asm volatile("fence i,w" ::: "memory");
    return time;
  }

  /// Ordering: earlier stores before the CSR by `fence w,i`.
  [[gnu::always_inline]] uint64_t ReadAfterStores() const {
    asm volatile("fence w,i" ::: "memory");
    return ReadUnordered();
  }

  /// Ordering: none. The PAUSE hint, spelt as the FENCE it is encoded as, so
  /// that assemblers without Zihintpause take it. Source: unprivileged ISA,
  /// Zihintpause.
  [[gnu::always_inline]] void Relax() const {
    asm volatile(".4byte 0x0100000f");
  }
};

static_assert(ClockSource<RiscvTime>);

/// Describes the counter; its frequency is the platform's to tell.
/// Source: unprivileged ISA, Zicntr: time ticks at a constant rate, alike on
/// all harts of an execution environment.
inline CounterInfo<RiscvTime> QueryCounter(RiscvTime) {
  return {RiscvTime(), true, false, HzSource::kUnknown, 0};
}

}  // namespace vvar

#endif  // VVAR_CLOCKS_RISCV_TIME_H_
