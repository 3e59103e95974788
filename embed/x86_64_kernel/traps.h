// SPDX-License-Identifier: MIT
//
// How traps of an x86-64 CPU reach on_trap(): gates, the stack they are taken
// on, and the frame that boot.S leaves there.
//
// Source: Intel SDM vol. 3A: 5.4 (segments), 6.14 (IDT), 7.7 (TSS).
#ifndef VVAR_EMBED_X86_64_KERNEL_TRAPS_H_
#define VVAR_EMBED_X86_64_KERNEL_TRAPS_H_

#include <stdint.h>

namespace vvar::embed {

/// boot.S's, and what the CPU pushes.
struct Frame {
  uint64_t r15, r14, r13, r12, r11, r10, r9, r8;
  uint64_t rbp, rdi, rsi, rdx, rcx, rbx, rax;
  uint64_t vector, error;
  uint64_t rip, cs, rflags, rsp, ss;
};

enum : uint32_t {
  kNmi = 2,
  kInvalidOpcode = 6,
  kGeneralProtection = 13,
  kPageFault = 14,
  kTimer = 0x20,
  kUserCall = 0x80,
  kSpurious = 0xff,
};

// boot.S's gdt.
constexpr uint64_t kKernelCode = 0x08;
constexpr uint64_t kUserData = 0x18 | 3;
constexpr uint64_t kUserCodeSegment = 0x20 | 3;
constexpr uint64_t kTss = 0x30;

}  // namespace vvar::embed

// boot.S's.
extern "C" {
extern uint64_t gdt[];
extern const unsigned char trap_stubs[];
extern unsigned char boot_stacks_end[];
[[noreturn]] void resume(vvar::embed::Frame* frame);
}

namespace vvar::embed {

constexpr uint64_t kMaxCpus = 2;
alignas(16) inline uint64_t idt[256][2];
alignas(16) inline uint32_t tss[kMaxCpus][26];

inline uint64_t AddressOf(const void* what) {
  return reinterpret_cast<uint64_t>(what);
}

/// Makes gates that switch interrupts off; one of them is open to user mode.
inline void MakeGates() {
  for (uint64_t vector = 0; vector < 256; ++vector) {
    const uint64_t stub = AddressOf(trap_stubs + 16 * vector);
    const uint64_t type = vector == kUserCall ? 0xee : 0x8e;
    idt[vector][0] =
        (stub & 0xffff) | kKernelCode << 16 | type << 40 | stub >> 16 << 48;
  }
}
/// Gives this CPU the gates, and a stack for what comes from user mode.
/// Context: once a CPU, after MakeGates().
inline void LoadGates(uint64_t cpu) {
  const uint64_t stack = AddressOf(boot_stacks_end) - (cpu << 14);
  tss[cpu][1] = static_cast<uint32_t>(stack);  // RSP0
  tss[cpu][25] = sizeof tss[cpu] << 16;        // No ports for user mode.
  const uint64_t selector = kTss + 16 * cpu;
  gdt[selector / 8] =
      (sizeof tss[cpu] - 1) | AddressOf(tss[cpu]) << 16 | uint64_t{0x89} << 40;
  struct [[gnu::packed]] {
    uint16_t limit;
    uint64_t base;
  } const pointer = {sizeof idt - 1, AddressOf(idt)};
  asm volatile("lidt %0\n\tltr %w1" ::"m"(pointer), "r"(selector) : "memory");
}

/// By the stack that a trap has left its frame on.
inline uint64_t CpuOf(const Frame* frame) {
  return (AddressOf(boot_stacks_end) - AddressOf(frame)) >> 14;
}

}  // namespace vvar::embed

#endif  // VVAR_EMBED_X86_64_KERNEL_TRAPS_H_
