// SPDX-License-Identifier: MIT
//
// The image for AArch64, by the names of Linux's own. Its __kernel_rt_sigreturn
// is not here: an image that replaces the kernel's leaves that one mapped.
// Source: Linux, arch/arm64/kernel/vdso/vdso.lds.S, vgettimeofday.c.
#include <stdint.h>

#include "fallback/syscall.h"
#include "vdso/image.h"

namespace fallback = vvar::fallback;

#define VVAR_EXPORTED [[gnu::visibility("default")]]

extern "C" {

VVAR_EXPORTED int32_t __kernel_clock_gettime(int32_t id,
                                             fallback::KernelOldTimespec* now) {
  return vvar::vdso::ClockGettime(id, now);
}
VVAR_EXPORTED int32_t __kernel_clock_getres(int32_t id,
                                            fallback::KernelOldTimespec* step) {
  return vvar::vdso::ClockGetres(id, step);
}
VVAR_EXPORTED int32_t __kernel_gettimeofday(fallback::KernelTimeval* now,
                                            fallback::KernelTimezone* zone) {
  return vvar::vdso::Gettimeofday(now, zone);
}

}  // extern "C"
