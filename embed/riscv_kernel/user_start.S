// SPDX-License-Identifier: MIT
//
// The user program's first instructions, and its way into the kernel.

  .section .text.start, "ax"
  .globl _start
_start:
  tail vvar_user_main

  .globl vvar_system_call
vvar_system_call:
  mv a7, a0
  mv a0, a1
  mv a1, a2
  ecall
  ret

// One instruction of four bytes, for the kernel to step over.
  .globl vvar_store
  .option push
  .option norvc
vvar_store:
  sw a1, 0(a0)
  .option pop
  ret
