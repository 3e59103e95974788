// SPDX-License-Identifier: MIT
//
// A RISC-V kernel for QEMU's `virt` machine: Sv39, a user program, a tick, and
// time on a page that the program reads. What is not about this machine is in
// ../kernel.
//
// Source: RISC-V privileged ISA: satp, Sv39, scause, scounteren, stimecmp
// (Sstc); SBI specification: TIME extension; QEMU: hw/riscv/virt.c, memory map.
#include "embed/kernel/kernel.h"

#include <stddef.h>
#include <stdint.h>

#include "embed/kernel/calls.h"
#include "embed/kernel/machine.h"
#include "vvar/scale.h"
#include "vvar/seqcount.h"

namespace {

using vvar::PageMemory;
using vvar::embed::Call;
using vvar::embed::InPlace;
using vvar::embed::Kernel;

// boot.S's.
struct Frame {
  uint64_t pc;
  uint64_t x[31];  // x1 to x31: a0 is x[9], a7 x[16].
  uint64_t sstatus;
  uint64_t padding;
};

// Devices, in the first GiB.
auto* const kUart = reinterpret_cast<volatile uint8_t*>(0x10000000);
auto* const kTestDevice = reinterpret_cast<volatile uint32_t*>(0x100000);

constexpr uint64_t kMaxCpus = 2;
// The device tree's timebase-frequency.
constexpr uint64_t kTimeHz = 10'000'000;

constexpr uint64_t kTimerInterrupt = uint64_t{1} << 63 | 5;
enum : uint64_t {
  kIllegalInstruction = 2,
  kBreakpoint = 3,
  kUserCall = 8,
  kStorePageFault = 15,
};

#define CSR_WRITE(name, value) \
  asm volatile("csrw " name ", %0" ::"r"(uint64_t{value}) : "memory")
#define CSR_SET(name, value) \
  asm volatile("csrs " name ", %0" ::"r"(uint64_t{value}) : "memory")

alignas(4096) uint64_t tables[3][512];  // Levels 2, 1, 0.
alignas(4096) unsigned char user_stacks[kMaxCpus][vvar::embed::kUserStackBytes];
alignas(4096) unsigned char kernel_memory[sizeof(Kernel)];
Kernel* kernel;

uint64_t firmware;
uint32_t second_hart_is_here;
uint32_t second_hart_may_go;

}  // namespace

extern "C" {
extern const unsigned char user_program[];
extern const unsigned char user_program_end[];
extern unsigned char boot_stacks_end[];
[[noreturn]] void resume(Frame* frame);
}

namespace {

// --- Memory ------------------------------------------------------------------

enum : uint64_t {
  kValid = 1,
  kRead = 2,
  kWrite = 4,
  kExecute = 8,
  kUser = 16,
  kAccessed = 64,
  kDirty = 128,
};
// Bits that hardware may leave to software are set from the start.
constexpr uint64_t kLeaf = kValid | kAccessed | kDirty;

uint64_t Entry(const void* to, uint64_t flags) {
  return reinterpret_cast<uint64_t>(to) >> 12 << 10 | flags;
}
void MapUser(uint64_t at, const void* what, uint64_t bytes, uint64_t flags) {
  for (uint64_t i = 0; i < bytes; i += 4096) {
    tables[2][(at + i) >> 12 & 511] =
        Entry(static_cast<const char*>(what) + i, kLeaf | kUser | flags);
  }
}
void MakeTables() {
  using namespace vvar::embed;
  // The kernel: devices and RAM, one to one.
  tables[0][0] = Entry(nullptr, kLeaf | kRead | kWrite);
  tables[0][2] = Entry(reinterpret_cast<const void*>(0x80000000),
                       kLeaf | kRead | kWrite | kExecute);
  tables[0][kTimePage >> 30] = Entry(tables[1], kValid);
  tables[1][0] = Entry(tables[2], kValid);
  kernel->MapTime([](uint64_t at, const void* what, uint64_t bytes, Access to) {
    MapUser(at, what, bytes,
            to == Access::kReadExecute ? kRead | kExecute : kRead);
  });
  MapUser(kUserCode, user_program,
          static_cast<uint64_t>(user_program_end - user_program),
          kRead | kExecute);
  MapUser(kUserStackEnd - sizeof user_stacks, user_stacks, sizeof user_stacks,
          kRead | kWrite);
}

// --- Harts -------------------------------------------------------------------

// By the stack that a trap has left its frame on.
uint64_t HartOf(const Frame* frame) {
  const auto* bytes = reinterpret_cast<const unsigned char*>(frame);
  return static_cast<uint64_t>(boot_stacks_end - bytes) >> 14;
}
[[noreturn]] void Park() {
  for (;;) asm volatile("wfi");
}

[[noreturn]] void EnterUser(uint64_t hart) {
  CSR_WRITE("satp",
            uint64_t{8} << 60 | reinterpret_cast<uint64_t>(tables[0]) >> 12);
  asm volatile("sfence.vma" ::: "memory");
  vvar::embed::Machine::GrantCounter();
  Frame frame = {};
  frame.pc = vvar::embed::kUserCode;
  frame.x[1] =
      vvar::embed::kUserStackEnd - hart * vvar::embed::kUserStackBytes;  // sp
  frame.x[9] = hart;
  frame.sstatus = 0x40020;  // SUM, to print its text; SPIE; SPP = user.
  resume(&frame);
}

}  // namespace

extern "C" [[noreturn]] void kernel_main(uint64_t hart, uint64_t has_firmware) {
  if (hart != 0) {
    PageMemory::StoreRelease(second_hart_is_here, 1);
    while (PageMemory::LoadAcquire(second_hart_may_go) == 0) {
    }
    EnterUser(hart);
  }
  firmware = has_firmware;
  kernel = new (InPlace{kernel_memory}) Kernel(kTimeHz);
  MakeTables();
  CSR_SET("sie", 0x20);  // The timer's interrupt.
  EnterUser(hart);
}

extern "C" void on_trap(Frame* frame) {
  uint64_t cause;
  asm volatile("csrr %0, scause" : "=r"(cause));
  switch (cause) {
    case kTimerInterrupt:
      return kernel->OnTick();
    case kUserCall: {
      frame->pc += 4;
      uint64_t* const a = &frame->x[9];
      const auto call = static_cast<Call>(a[7]);
      if (HartOf(frame) == 0) {
        a[0] = kernel->OnCall(call, a[0], a[1]);
      } else if (!kernel->OnSecondCpuCall(call, a[0], a[1])) {
        Park();
      }
      return;
    }
    case kBreakpoint:
      frame->pc += 4;
      return kernel->OnProbe();
    case kIllegalInstruction:  // Of user mode: rdtime.
      frame->pc += 4;
      return kernel->OnDeniedCounter();
    case kStorePageFault:
      frame->pc += 4;
      return kernel->OnStoreFault();
    default:
      vvar::embed::Machine::PowerOff(3);
  }
}

// --- What kernel.h needs -----------------------------------------------------

namespace vvar::embed {

NativeClock Machine::Counter() { return NativeClock(); }

// TM, of this hart.
void Machine::GrantCounter() { CSR_WRITE("scounteren", 2); }
void Machine::WithholdCounter() { CSR_WRITE("scounteren", 0); }
// OpenSBI takes the exception, and emulates the instruction.
bool Machine::DenialIsSeen() { return firmware == 0; }

void Machine::ArmTick(uint64_t ns) {
  const uint64_t at = NativeClock().Read() + ns / (kNsPerSec / kTimeHz);
  if (firmware == 0) {
    CSR_WRITE("0x14d", at);  // stimecmp
    return;
  }
  register uint64_t a0 asm("a0") = at;
  register uint64_t a6 asm("a6") = 0;
  register uint64_t a7 asm("a7") = 0x54494d45;  // TIME
  asm volatile("ecall" : "+r"(a0) : "r"(a6), "r"(a7) : "a1", "memory");
}

void Machine::Probe() {
  asm volatile(".option push\n.option norvc\nebreak\n.option pop" ::: "memory");
}

uint32_t Machine::Cpus() {
  return 1 + PageMemory::LoadAcquire(second_hart_is_here);
}
void Machine::StartSecondCpu() {
  PageMemory::StoreRelease(second_hart_may_go, 1);
}

void Machine::Put(char c) {
  while ((kUart[5] & 0x20) == 0) {
  }
  kUart[0] = static_cast<uint8_t>(c);
}
void Machine::PowerOff(uint32_t status) {
  *kTestDevice = status == 0 ? 0x5555 : status << 16 | 0x3333;
  for (;;) {
  }
}

}  // namespace vvar::embed
