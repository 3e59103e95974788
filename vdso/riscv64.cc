// SPDX-License-Identifier: MIT
//
// The image for riscv64, by the names of Linux's own. What is not about time
// (__vdso_flush_icache, __vdso_rt_sigreturn, __vdso_riscv_hwprobe) is not here:
// an image that replaces the kernel's leaves that one mapped.
// Source: Linux, arch/riscv/kernel/vdso/vdso.lds.S, vgettimeofday.c, getcpu.S.
#include "vdso/image.h"

VVAR_IMAGE_FUNCTIONS(__vdso_)
VVAR_IMAGE_GETCPU(__vdso_)
