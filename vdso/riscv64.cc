// SPDX-License-Identifier: MIT
//
// The image for riscv64, by the names of Linux's own. What is not about time
// (__vdso_flush_icache, __vdso_rt_sigreturn, __vdso_riscv_hwprobe) is not here:
// an image that replaces the kernel's leaves that one mapped.
// Source: Linux, arch/riscv/kernel/vdso/vdso.lds.S, vgettimeofday.c, getcpu.S.
#include <stdint.h>

#include "fallback/syscall.h"
#include "vdso/image.h"

namespace fallback = vvar::fallback;

#define VVAR_EXPORTED [[gnu::visibility("default")]]

extern "C" {

VVAR_EXPORTED int32_t __vdso_clock_gettime(int32_t id,
                                           fallback::KernelOldTimespec* now) {
  return vvar::vdso::ClockGettime(id, now);
}
VVAR_EXPORTED int32_t __vdso_clock_getres(int32_t id,
                                          fallback::KernelOldTimespec* step) {
  return vvar::vdso::ClockGetres(id, step);
}
VVAR_EXPORTED int32_t __vdso_gettimeofday(fallback::KernelTimeval* now,
                                          fallback::KernelTimezone* zone) {
  return vvar::vdso::Gettimeofday(now, zone);
}
VVAR_EXPORTED int32_t __vdso_getcpu(uint32_t* cpu, uint32_t* node,
                                    void* /*unused*/) {
  return vvar::vdso::GetCpu(cpu, node);
}

}  // extern "C"
