// SPDX-License-Identifier: MIT
//
// The image for i386, by the names of Linux's own; time of 32 bits and of 64.
// Its entry to the kernel and signal returns stay with the kernel's image.
// Source: Linux, arch/x86/entry/vdso/vdso32/vdso32.lds.S, vclock_gettime.c.
#include <stdint.h>

#include "fallback/syscall.h"
#include "vdso/image.h"

VVAR_IMAGE_FUNCTIONS(__vdso_)

extern "C" {

VVAR_EXPORTED intptr_t __vdso_time(intptr_t* now) {
  return vvar::vdso::Time(now);
}
VVAR_EXPORTED int32_t __vdso_getcpu(uint32_t* cpu, uint32_t* node,
                                    void* /*unused*/) {
  return vvar::vdso::GetCpu(cpu, node);
}
VVAR_EXPORTED int32_t
__vdso_clock_gettime64(int32_t id, vvar::fallback::KernelTimespec* now) {
  return vvar::vdso::ClockGettime(id, now);
}
VVAR_EXPORTED int32_t
__vdso_clock_getres_time64(int32_t id, vvar::fallback::KernelTimespec* step) {
  return vvar::vdso::ClockGetres(id, step);
}

}  // extern "C"
