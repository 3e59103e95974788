// SPDX-License-Identifier: MIT
//
// What user mode and the example kernels agree on: where things are mapped, and
// the system calls. Included by both sides.
#ifndef VVAR_EMBED_KERNEL_CALLS_H_
#define VVAR_EMBED_KERNEL_CALLS_H_

#include <stdint.h>

#include "fallback/syscall.h"

namespace vvar::embed {

// Virtual addresses of user mode. 4 GiB is free on all three machines: below it
// lie their devices and memory, mapped one to one for the kernel.
// The time page, a page of offsets and the image are right behind each other.
inline constexpr uint64_t kTimePage = 0x1'0000'0000;  ///< Read-only.
inline constexpr uint64_t kImage = 0x1'0000'2000;     ///< Linux's vDSO. R X.
inline constexpr uint64_t kUserCode = 0x1'0001'0000;  ///< user.ld's. R X.
inline constexpr uint64_t kUserCodeEnd = 0x1'0010'0000;
inline constexpr uint64_t kUserStackEnd = 0x1'0020'0000;  ///< Read and write.
inline constexpr uint64_t kUserStackBytes = 0x4000;

/// System calls: up to two arguments, one result.
enum class Call : uint64_t {
  kExit,             ///< (number of failed cases)
  kPrint,            ///< (text, bytes)
  kClock,            ///< (ClockId) The time in ns: what reads fall back to.
  kCount,            ///< (Counted) How often that has happened.
  kWithholdCounter,  ///< From now on user mode may not read the counter,
  kGrantCounter,     ///< or may.
  kStepRealtime,     ///< (ns) Seen by the caller when it returns.
  kSuspend,          ///< Sleeps without a counter. Returns how long, in ns.
  kPublishProbed,    ///< A publication, interrupted after each of its stores.
  kRace,  ///< Starts user mode on the second CPU, and publishes as fast as it
          ///< can until that exits. Returns its failed cases.
  /// (ClockId, KernelOldTimespec*) Linux's: what the image falls back to.
  kClockGettime = fallback::kSyscalls.clock_gettime,
};

/// What the kernel counts.
enum class Counted : uint64_t {
  kClockCalls,      ///< System calls for the time.
  kDenied,          ///< Counter reads of user mode that were refused.
  kDeniable,        ///< 0: firmware answers them before the kernel hears of it.
  kStoreFaults,     ///< Stores to the time page that were refused.
  kTicks,           ///< Timer interrupts.
  kInterruptReads,  ///< Reads of the page in an interrupt or a breakpoint,
  kOddReads,        ///< of these: in the middle of a publication,
  kRefusedReads,    ///< without an answer,
  kReadsBack,       ///< earlier than the one before.
  kCpus,            ///< CPUs there are.
  kCount,
};

}  // namespace vvar::embed

#endif  // VVAR_EMBED_KERNEL_CALLS_H_
