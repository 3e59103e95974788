// SPDX-License-Identifier: MIT
//
// Picks the counter of the architecture this is compiled for; it only selects.
// One of the two files with an architecture #if (fallback/syscall.h is the
// other). An unknown architecture is an error, never a substitute clock.
#ifndef VVAR_CLOCKS_NATIVE_H_
#define VVAR_CLOCKS_NATIVE_H_

#if defined(__x86_64__) || defined(__i386__)
#include "clocks/x86_tsc.h"
namespace vvar {
using NativeClock = X86Tsc;  ///< On x86-64 and i386.
}  // namespace vvar
#elif defined(__aarch64__) || defined(__arm__)
#include "clocks/arm_cntvct.h"
namespace vvar {
using NativeClock = ArmCntvct;  ///< On AArch64 and AArch32.
}  // namespace vvar
#elif defined(__riscv)
#include "clocks/riscv_time.h"
namespace vvar {
using NativeClock = RiscvTime;  ///< On RV64 and RV32.
}  // namespace vvar
#else
#error "no counter for this architecture: add clocks/<isa>_<counter>.h"
#endif

#endif  // VVAR_CLOCKS_NATIVE_H_
