// SPDX-License-Identifier: MIT
//
// The kernel's first instructions, its vectors, the way into and out of user
// mode, and the calls of the firmware.
//
// Source: Arm ARM (DDI 0487): HCR_EL2, CNTVOFF_EL2, SPSR_EL2, VBAR_EL1 and the
// vector table; PSCI (DEN 0022): its calls are SMCCC's.

#define FRAME_BYTES 272

  .section .text.boot, "ax"

// Each CPU begins here, in EL1, or in EL2 if the machine has one: then it goes
// to EL1 with nothing trapped, and with a virtual counter that is the physical
// one.
  .globl _start
_start:
  mrs x0, mpidr_el1
  and x0, x0, #0xff       // Aff0: the CPU's number
  mov x1, #0
  mrs x2, CurrentEL
  cmp x2, #2 << 2
  b.ne in_el1
  mov x1, #1
  mov x2, #1 << 31        // RW: EL1 is AArch64
  msr hcr_el2, x2
  msr cntvoff_el2, xzr
  mov x2, #0x3c5          // EL1 with its own stack; D, A, I, F masked
  msr spsr_el2, x2
  adr x2, in_el1
  msr elr_el2, x2
  eret

in_el1:
  msr tpidr_el1, x0
  adrp x2, boot_stacks_end
  add x2, x2, :lo12:boot_stacks_end
  sub x2, x2, x0, lsl #14
  mov sp, x2
  adr x2, vectors
  msr vbar_el1, x2
  b kernel_main

// A frame: x0 to x30, the user's sp, the pc, SPSR_EL1. on_trap()'s second
// argument is which of the sixteen vectors it was.
  .balign 2048
vectors:
  .irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
  .balign 128
  sub sp, sp, #FRAME_BYTES
  stp x0, x1, [sp]
  mov x1, #\n
  b trap
  .endr

trap:
  .irp n, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, \
      21, 22, 23, 24, 25, 26, 27, 28, 29, 30
  str x\n, [sp, #8*\n]
  .endr
  mrs x2, sp_el0
  mrs x3, elr_el1
  stp x2, x3, [sp, #8*31]
  mrs x2, spsr_el1
  str x2, [sp, #8*33]
  mov x0, sp
  bl on_trap
  mov x0, sp

// Goes on as the frame at x0 says; the kernel's stack is then what is above it.
  .globl resume
resume:
  mov sp, x0
  ldp x2, x3, [sp, #8*31]
  msr sp_el0, x2
  msr elr_el1, x3
  ldr x2, [sp, #8*33]
  msr spsr_el1, x2
  .irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, \
      19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30
  ldr x\n, [sp, #8*\n]
  .endr
  add sp, sp, #FRAME_BYTES
  eret

// The firmware, which QEMU is itself: above EL1, or above EL2 if there is one.
// A CPU that it starts sees what this one has stored.
  .globl psci_hvc
psci_hvc:
  dsb ish
  hvc #0
  ret
  .globl psci_smc
psci_smc:
  dsb ish
  smc #0
  ret

  .section .bss
  .balign 4096
  .space 2 * 16384
  .globl boot_stacks_end
boot_stacks_end:
