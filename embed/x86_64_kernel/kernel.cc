// SPDX-License-Identifier: MIT
//
// An x86-64 kernel for QEMU's `pc` machine: a user program, a tick, and time on
// a page that the program reads. What is not about this machine is in
// ../kernel.
//
// Source: Intel SDM vol. 3A: 2.5 (CR4.TSD), 4.5 (tables), 4.7 (page faults).
#include "embed/kernel/kernel.h"

#include <stddef.h>
#include <stdint.h>

#include "clocks/native.h"
#include "embed/kernel/calls.h"
#include "embed/kernel/machine.h"
#include "embed/x86_64_kernel/devices.h"
#include "embed/x86_64_kernel/traps.h"
#include "vvar/scale.h"
#include "vvar/seqcount.h"

namespace vvar::embed {
namespace {

constexpr uint32_t kSecondCpuPage = 8;  // boot.S's SECOND_CPU_START.

alignas(4096) unsigned char user_stacks[kMaxCpus][kUserStackBytes];
alignas(4096) unsigned char kernel_memory[sizeof(Kernel)];
Kernel* kernel;

TimerHz hz;
uint32_t nmis;
uint32_t second_cpu_is_here;
uint32_t second_cpu_may_go;

}  // namespace

extern "C" {
alignas(4096) uint64_t level_1[512];
extern const unsigned char user_program[];
extern const unsigned char user_program_end[];
}

namespace {

// --- Memory ------------------------------------------------------------------

enum : uint64_t {
  kRead = 5,  // Present, user.
  kWrite = 2,
  kNoExecute = uint64_t{1} << 63,
};

void MapUser(uint64_t at, const void* what, uint64_t bytes, uint64_t flags) {
  for (uint64_t i = 0; i < bytes; i += 4096) {
    level_1[(at + i) >> 12 & 511] = (AddressOf(what) + i) | flags;
  }
}
// The rest of them is boot.S's.
void MakeTables() {
  kernel->MapTime([](uint64_t at, const void* what, uint64_t bytes, Access to) {
    MapUser(at, what, bytes,
            to == Access::kReadExecute ? kRead : kRead | kNoExecute);
  });
  MapUser(kUserCode, user_program,
          static_cast<uint64_t>(user_program_end - user_program), kRead);
  MapUser(kUserStackEnd - sizeof user_stacks, user_stacks, sizeof user_stacks,
          kRead | kWrite | kNoExecute);
}

// --- CPUs --------------------------------------------------------------------

[[noreturn]] void Park() {
  for (;;) asm volatile("cli\n\thlt");
}

// User mode reads the counter behind LFENCE, and so does the kernel without
// RDTSCP. On AMD it has to be told to wait (clocks/x86_tsc.h).
void MakeLfenceWait() {
  constexpr uint32_t kAuth = 0x68747541;  // enticAMD
  if (ReadCpuid(0, 0).ebx != kAuth) return;
  asm volatile("rdmsr\n\tor $2, %%eax\n\twrmsr" ::"c"(0xc001'1029)
               : "eax", "edx");
}
[[noreturn]] void EnterUser(uint64_t cpu) {
  Machine::GrantCounter();
  Frame frame = {};
  frame.rdi = cpu;
  frame.rip = kUserCode;
  frame.cs = kUserCodeSegment;
  frame.rflags = 0x202;  // Interrupts on.
  frame.rsp = kUserStackEnd - cpu * kUserStackBytes;
  frame.ss = kUserData;
  resume(&frame);
}

// The length of user mode's RDTSC or RDTSCP, or 0.
uint64_t CounterReadBytes(const Frame* frame) {
  const auto* code = reinterpret_cast<const unsigned char*>(frame->rip);
  if (frame->cs != kUserCodeSegment || code[0] != 0x0f) return 0;
  if (code[1] == 0x31) return 2;
  return code[1] == 0x01 && code[2] == 0xf9 ? 3 : 0;
}

// Whether user mode would SYSCALL, which EFER.SCE does not allow: the image.
bool IsSyscall(const Frame* frame) {
  const auto* code = reinterpret_cast<const unsigned char*>(frame->rip);
  return frame->cs == kUserCodeSegment && code[0] == 0x0f && code[1] == 0x05;
}

}  // namespace

extern "C" [[noreturn]] void kernel_main(uint64_t cpu) {
  MakeLfenceWait();
  if (cpu != 0) {
    LoadGates(cpu);
    PageMemory::StoreRelease(second_cpu_is_here, 1);
    while (PageMemory::LoadAcquire(second_cpu_may_go) == 0) {
    }
    EnterUser(cpu);
  }
  Machine::Put('\n');  // The firmware leaves its last line open.
  MakeGates();
  LoadGates(cpu);
  hz = StartApic(kTimer, kSpurious);
  StartCpu(1, kSecondCpuPage, hz.counter);
  kernel = new (InPlace{kernel_memory}) Kernel(hz.counter);
  MakeTables();
  EnterUser(cpu);
}

extern "C" void on_trap(Frame* frame) {
  switch (frame->vector) {
    case kTimer:
      Apic(kEndOfInterrupt) = 0;
      return kernel->OnTick();
    case kSpurious:
      return;
    case kUserCall: {
      const auto call = static_cast<Call>(frame->rdi);
      if (CpuOf(frame) == 0) {
        frame->rax = kernel->OnCall(call, frame->rsi, frame->rdx);
      } else if (!kernel->OnSecondCpuCall(call, frame->rsi, frame->rdx)) {
        Park();
      }
      return;
    }
    case kInvalidOpcode:
      if (!IsSyscall(frame)) break;
      frame->rip += 2;
      frame->rax =
          kernel->OnCall(static_cast<Call>(frame->rax), frame->rdi, frame->rsi);
      return;
    case kNmi:
      kernel->OnProbe();
      return PageMemory::StoreRelease(nmis, nmis + 1);
    case kGeneralProtection: {
      const uint64_t bytes = CounterReadBytes(frame);
      if (bytes == 0) break;
      frame->rip += bytes;
      return kernel->OnDeniedCounter();
    }
    case kPageFault:
      if (frame->error != 7) break;  // User mode's store to what it may read.
      frame->rip += 2;               // That of vvar_store().
      return kernel->OnStoreFault();
    default:
      break;
  }
  Machine::PowerOff(3);
}

// --- What kernel.h needs -----------------------------------------------------

NativeClock Machine::Counter() { return X86TscInfo::Query().Counter(); }

// TSD, of this CPU, beside boot.S's PAE.
void Machine::GrantCounter() {
  asm volatile("mov %0, %%cr4" ::"r"(uint64_t{0x20}) : "memory");
}
void Machine::WithholdCounter() {
  asm volatile("mov %0, %%cr4" ::"r"(uint64_t{0x24}) : "memory");
}
bool Machine::DenialIsSeen() { return true; }

void Machine::ArmTick(uint64_t ns) {
  Apic(kTimerStart) = static_cast<uint32_t>(ns * hz.apic / kNsPerSec);
}

// An NMI of this CPU to itself: it comes a few instructions later.
void Machine::Probe() {
  const uint32_t before = PageMemory::LoadAcquire(nmis);
  SendIpi(0, kSendNmi);
  while (PageMemory::LoadAcquire(nmis) == before) NativeClock().Relax();
}

uint32_t Machine::Cpus() {
  return 1 + PageMemory::LoadAcquire(second_cpu_is_here);
}
void Machine::StartSecondCpu() {
  PageMemory::StoreRelease(second_cpu_may_go, 1);
}

void Machine::Put(char c) {
  while ((In(kUartStatus) & 0x20) == 0) {
  }
  Out(kUart, static_cast<uint8_t>(c));
}
// QEMU ends with twice what is written, and 1: success is 33, which no error of
// its own is.
void Machine::PowerOff(uint32_t status) {
  Out(kDebugExit, (status + 16) & 127);
  Park();
}

}  // namespace vvar::embed
