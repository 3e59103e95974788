// SPDX-License-Identifier: MIT
//
// The image for i386, by the names of Linux's own; time of 32 bits and of 64.
// Its entry to the kernel and signal returns stay with the kernel's image.
// Source: Linux, arch/x86/entry/vdso/vdso32/vdso32.lds.S, vclock_gettime.c.
#include <stdint.h>

#include "fallback/syscall.h"
#include "vdso/image.h"

VVAR_IMAGE_FUNCTIONS(__vdso_)
VVAR_IMAGE_GETCPU(__vdso_)
VVAR_IMAGE_TIME(__vdso_)

extern "C" {

VVAR_EXPORTED int32_t
__vdso_clock_gettime64(int32_t id, vvar::fallback::KernelTimespec* now) {
  return vvar::vdso::ClockGettime(id, now);
}
VVAR_EXPORTED int32_t
__vdso_clock_getres_time64(int32_t id, vvar::fallback::KernelTimespec* step) {
  return vvar::vdso::ClockGetres(id, step);
}

}  // extern "C"
