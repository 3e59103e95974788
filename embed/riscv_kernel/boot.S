// SPDX-License-Identifier: MIT
//
// The kernel's first instructions, and the way into and out of user mode.
//
// Source: RISC-V privileged ISA: mstatus, medeleg, mideleg, mcounteren,
// menvcfg.STCE (Sstc), pmpcfg, sscratch.

#define FRAME_BYTES 272

  .section .text.boot, "ax"

// OpenSBI begins at the first byte, in S-mode, on one hart: a0 is its number.
  .globl _start
_start:
  li a1, 1

supervisor_start:
  la sp, boot_stacks_end
  slli t0, a0, 14
  sub sp, sp, t0
  la t0, trap_entry
  csrw stvec, t0
  csrw sscratch, zero
  tail kernel_main

// Without firmware every hart begins here (../qemu_test.py says so), in M-mode,
// and goes to S-mode with all memory, most exceptions and all of S-mode's
// interrupts delegated to it, and with the counter and the timer's comparator
// allowed there.
  .balign 256
  .globl machine_start
machine_start:
  li t0, -1
  csrw pmpaddr0, t0
  li t0, 0x1f
  csrw pmpcfg0, t0
  li t0, 0xb1ff
  csrw medeleg, t0
  li t0, 0x222
  csrw mideleg, t0
  li t0, 7
  csrw mcounteren, t0
  li t0, 1
  slli t0, t0, 63
  csrw 0x30a, t0          // menvcfg.STCE
  li t0, 0x1800
  csrc mstatus, t0
  li t0, 0x800
  csrs mstatus, t0        // MPP = S
  la t0, supervisor_start
  csrw mepc, t0
  csrr a0, mhartid
  li a1, 0
  mret

// sscratch: the kernel's stack in user mode, 0 in the kernel. A frame: the pc,
// x1 to x31, sstatus.
  .balign 4
trap_entry:
  csrrw sp, sscratch, sp
  bnez sp, 1f
  csrrw sp, sscratch, sp  // It was the kernel: back to its stack.
1:
  addi sp, sp, -FRAME_BYTES
  .irp n, 1, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, \
      21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31
  sd x\n, 8*\n(sp)
  .endr
  csrrw t0, sscratch, zero
  bnez t0, 2f
  addi t0, sp, FRAME_BYTES
2:
  sd t0, 8*2(sp)
  csrr t0, sepc
  sd t0, 0(sp)
  csrr t0, sstatus
  sd t0, 8*32(sp)
  mv a0, sp
  call on_trap
  mv a0, sp

// Goes on as the frame at a0 says.
  .globl resume
resume:
  mv sp, a0
  ld t0, 0(sp)
  csrw sepc, t0
  ld t0, 8*32(sp)
  csrw sstatus, t0
  andi t0, t0, 0x100      // SPP: the kernel
  bnez t0, 3f
  addi t0, sp, FRAME_BYTES
  csrw sscratch, t0
3:
  .irp n, 1, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, \
      21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31
  ld x\n, 8*\n(sp)
  .endr
  ld sp, 8*2(sp)
  sret

  .section .bss
  .balign 4096
  .space 2 * 16384
  .globl boot_stacks_end
boot_stacks_end:
