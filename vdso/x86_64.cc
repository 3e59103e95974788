// SPDX-License-Identifier: MIT
//
// The image for x86-64, by the names of Linux's own. The plain ones are weak,
// as there: no program of that name is to be kept out. Source: Linux,
// arch/x86/entry/vdso/vdso.lds.S, vclock_gettime.c, vgetcpu.c.
#include <stdint.h>

#include "fallback/syscall.h"
#include "vdso/image.h"

namespace fallback = vvar::fallback;

VVAR_IMAGE_FUNCTIONS(__vdso_)
VVAR_IMAGE_GETCPU(__vdso_)
VVAR_IMAGE_TIME(__vdso_)

#define VVAR_ALIAS(type, name, parameters) \
  extern "C"                               \
      [[gnu::weak,                         \
        gnu::alias("__vdso_" #name)]] VVAR_EXPORTED type name parameters

VVAR_ALIAS(int32_t, clock_gettime, (int32_t, fallback::KernelOldTimespec*));
VVAR_ALIAS(int32_t, clock_getres, (int32_t, fallback::KernelOldTimespec*));
VVAR_ALIAS(int32_t, gettimeofday,
           (fallback::KernelTimeval*, fallback::KernelTimezone*));
VVAR_ALIAS(intptr_t, time, (intptr_t*));
VVAR_ALIAS(int32_t, getcpu, (uint32_t*, uint32_t*, void*));
