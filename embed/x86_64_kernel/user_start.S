// SPDX-License-Identifier: MIT
//
// The user program's first instructions, and its way into the kernel.

  .section .text.start, "ax"
  .globl _start
_start:
  call vvar_user_main

// The arguments are where the kernel wants them.
  .globl vvar_system_call
vvar_system_call:
  int $0x80
  ret

// One instruction of two bytes, for the kernel to step over.
  .globl vvar_store
vvar_store:
  mov %esi, (%rdi)
  ret
