// SPDX-License-Identifier: MIT
//
// The kernel's first instructions on both CPUs, its tables, and the way into
// and out of user mode.
//
// Source: Intel SDM vol. 3A: 4.5 (tables), 6.13 (error codes), 9.8.5 (64-bit
// mode), 8.4.4 (the second CPU's start); Xen: PVH boot ABI, ELF note 18
// (PHYS32_ENTRY).

#define SECOND_CPU_START 0x8000  // kernel.cc's too.

  .section .pvh, "a", @note
  .balign 4
  .long 4, 8, 18
  .asciz "Xen"
  .quad _start

// The first CPU begins here: 32 bits, flat segments, no paging.
  .section .text.boot, "ax"
  .code32
  .globl _start
_start:
  cld
  mov $second_start, %esi
  mov $SECOND_CPU_START, %edi
  mov $second_end - second_start, %ecx
  rep movsb
  lgdt gdt_pointer
  xor %edi, %edi
  jmp long_mode

// The second one in a copy of this, below 1 MiB: 16 bits.
  .code16
second_start:
  lgdtl %cs:gdt_pointer - second_start
  mov %cr0, %eax
  or $1, %al              // PE
  mov %eax, %cr0
  ljmpl $0x28, $second_protected
gdt_pointer:
  .word gdt_end - gdt - 1
  .long gdt
second_end:

  .code32
second_protected:
  mov $1, %edi
long_mode:                // %edi: which CPU this is
  mov $level_4, %eax
  mov %eax, %cr3
  mov $0x20, %eax         // PAE
  mov %eax, %cr4
  mov $0xc0000080, %ecx   // EFER: NXE, LME
  rdmsr
  or $0x900, %eax
  wrmsr
  mov $0x80010001, %eax   // PG, WP, PE
  mov %eax, %cr0
  ljmp $8, $in_long_mode
  .code64
in_long_mode:
  mov $0x10, %eax
  mov %eax, %ds
  mov %eax, %es
  mov %eax, %ss
  mov %edi, %eax
  shl $14, %eax
  mov $boot_stacks_end, %esp
  sub %rax, %rsp
  call kernel_main

// The vector, below it the CPU's error code or 0, on the stack of TSS.RSP0 in
// user mode, and on the kernel's own otherwise.
  .balign 16
  .globl trap_stubs
trap_stubs:
  .set vector, 0
  .set with_error, 0x60227d00
  .rept 256
  .balign 16
  .if !(with_error & 1)
  push $0
  .endif
  push $vector
  jmp trap_entry
  .set vector, vector + 1
  .set with_error, with_error >> 1
  .endr

trap_entry:
  cld
  .irp register, rax, rbx, rcx, rdx, rsi, rdi, rbp, r8, r9, r10, r11, r12, \
      r13, r14, r15
  push %\register
  .endr
  mov %rsp, %rdi
  call on_trap
  mov %rsp, %rdi

// Goes on as the frame at %rdi says.
  .globl resume
resume:
  mov %rdi, %rsp
  .irp register, r15, r14, r13, r12, r11, r10, r9, r8, rbp, rdi, rsi, rdx, \
      rcx, rbx, rax
  pop %\register
  .endr
  add $16, %rsp
  iretq

  .data
  .balign 16
  .globl gdt
gdt:
  .quad 0
  .quad 0x00209b0000000000  // 0x08: the kernel's code,
  .quad 0x0000930000000000  // 0x10: data,
  .quad 0x0000f30000000000  // 0x18: user mode's data,
  .quad 0x0020fb0000000000  // 0x20: code,
  .quad 0x00cf9b000000ffff  // 0x28: of 32 bits,
  .space 2 * 16             // 0x30: a TSS for each CPU.
gdt_end:

// The kernel: the first 2 MiB and the local APIC, one to one. User mode: from
// 4 GiB, in level_1, which is kernel.cc's. Bits: present, write, user; 0x80: a
// page of 2 MiB, 0x18: not cached.
  .balign 4096
level_4:
  .quad level_3 + 7
  .fill 511, 8, 0
level_3:
  .quad level_2_low + 3, 0, 0, level_2_apic + 3, level_2_user + 7
  .fill 507, 8, 0
level_2_low:
  .quad 0x83
  .fill 511, 8, 0
level_2_apic:
  .fill 503, 8, 0
  .quad 0xfee0009b
  .fill 8, 8, 0
level_2_user:
  .quad level_1 + 7
  .fill 511, 8, 0

  .section .bss
  .balign 4096
  .space 2 * 16384
  .globl boot_stacks_end
boot_stacks_end:
