// SPDX-License-Identifier: MIT
//
// The image for riscv64, by the names of Linux's own. What is not about time
// (__vdso_flush_icache, __vdso_rt_sigreturn, __vdso_riscv_hwprobe) is not here:
// an image that replaces the kernel's leaves that one mapped.
// Source: Linux, arch/riscv/kernel/vdso/vdso.lds.S, vgettimeofday.c, getcpu.S.
#include <stdint.h>

#include "vdso/image.h"

VVAR_IMAGE_FUNCTIONS(__vdso_)

extern "C" {

VVAR_EXPORTED int32_t __vdso_getcpu(uint32_t* cpu, uint32_t* node,
                                    void* /*unused*/) {
  return vvar::vdso::GetCpu(cpu, node);
}

}  // extern "C"
