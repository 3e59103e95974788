// SPDX-License-Identifier: MIT
//
// The image for AArch64, by the names of Linux's own. Its __kernel_rt_sigreturn
// is not here: an image that replaces the kernel's leaves that one mapped.
// Source: Linux, arch/arm64/kernel/vdso/vdso.lds.S, vgettimeofday.c.
#include "vdso/image.h"

VVAR_IMAGE_FUNCTIONS(__kernel_)
