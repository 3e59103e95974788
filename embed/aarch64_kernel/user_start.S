// SPDX-License-Identifier: MIT
//
// The user program's first instructions, and its way into the kernel.

  .section .text.start, "ax"
  .globl _start
_start:
  b vvar_user_main

  .globl vvar_system_call
vvar_system_call:
  mov x8, x0
  mov x0, x1
  mov x1, x2
  svc #0
  ret

  .globl vvar_store
vvar_store:
  str w1, [x0]
  ret
