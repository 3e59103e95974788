// SPDX-License-Identifier: MIT
//
// An AArch64 kernel for QEMU's `virt` machine: 39-bit addresses, a user
// program, a tick, and time on a page that the program reads. What is not about
// this machine is in ../kernel.
//
// Source: Arm ARM (DDI 0487): VMSAv8-64 descriptors, TCR_EL1, SCTLR_EL1,
// ESR_EL1, CNTKCTL_EL1, CNTV_TVAL_EL0; GICv2 (IHI 0048); PSCI (DEN 0022); Arm
// semihosting, SYS_EXIT; QEMU: hw/arm/virt.c, memory map and interrupts.
#include "embed/kernel/kernel.h"

#include <stdint.h>

#include "embed/kernel/calls.h"
#include "embed/kernel/machine.h"
#include "vvar/scale.h"

namespace {

using vvar::embed::Call;
using vvar::embed::InPlace;
using vvar::embed::Kernel;

// boot.S's.
struct Frame {
  uint64_t x[31];
  uint64_t sp;
  uint64_t pc;
  uint64_t spsr;
};
enum : uint64_t {
  kKernelException = 4,
  kUserException = 8,
  kUserInterrupt = 9,
};

// Devices, in the first GiB.
auto* const kDistributor = reinterpret_cast<volatile uint32_t*>(0x08000000);
auto* const kCpuInterface = reinterpret_cast<volatile uint32_t*>(0x08010000);
auto* const kUart = reinterpret_cast<volatile uint32_t*>(0x09000000);

constexpr uint64_t kMaxCpus = 2;
constexpr uint32_t kVirtualTimer = 27;

// ESR_EL1: the class of an exception, and what is told of one.
enum : uint64_t {
  kUserCall = 0x15,
  kSystemRegister = 0x18,
  kUserDataAbort = 0x24,
  kBreakpoint = 0x3c,
};
constexpr uint64_t kStoreNotPermitted = 0x4f;  // WnR, and at level 3.

#define MSR(name, value) \
  asm volatile("msr " name ", %0" ::"r"(uint64_t{value}) : "memory")

alignas(4096) uint64_t tables[3][512];  // Levels 1, 2, 3.
alignas(4096) unsigned char user_stacks[kMaxCpus][vvar::embed::kUserStackBytes];
alignas(4096) unsigned char kernel_memory[sizeof(Kernel)];
Kernel* kernel;

}  // namespace

extern "C" {
extern const unsigned char user_program[];
extern const unsigned char user_program_end[];
void _start();
[[noreturn]] void resume(Frame* frame);
uint64_t psci_hvc(uint64_t function, uint64_t a, uint64_t b, uint64_t c);
uint64_t psci_smc(uint64_t function, uint64_t a, uint64_t b, uint64_t c);
}

namespace {

auto* psci = psci_hvc;

// --- Memory ------------------------------------------------------------------

enum : uint64_t {
  kBlock = 1,
  kTable = 3,
  kPage = 3,
  kDevice = 0 << 2,  // Which byte of MAIR_EL1.
  kMemory = 1 << 2 | 3 << 8,
  kUser = 1 << 6,
  kReadOnly = 1 << 7,
  kAccessed = 1 << 10,
  kKernelExecuteNever = uint64_t{1} << 53,
  kUserExecuteNever = uint64_t{1} << 54,
};

uint64_t Entry(const void* to, uint64_t flags) {
  return reinterpret_cast<uint64_t>(to) | flags;
}
void MapUser(uint64_t at, const void* what, uint64_t bytes, uint64_t flags) {
  for (uint64_t i = 0; i < bytes; i += 4096) {
    tables[2][(at + i) >> 12 & 511] = Entry(
        static_cast<const char*>(what) + i,
        kPage | kMemory | kUser | kAccessed | kKernelExecuteNever | flags);
  }
}
void MakeTables() {
  using namespace vvar::embed;
  // The kernel: devices and RAM, one to one.
  tables[0][0] = Entry(nullptr, kBlock | kDevice | kAccessed |
                                    kKernelExecuteNever | kUserExecuteNever);
  tables[0][1] = Entry(reinterpret_cast<const void*>(0x40000000),
                       kBlock | kMemory | kAccessed | kUserExecuteNever);
  tables[0][kTimePage >> 30] = Entry(tables[1], kTable);
  tables[1][0] = Entry(tables[2], kTable);
  kernel->MapTime([](uint64_t at, const void* what, uint64_t bytes, Access to) {
    MapUser(
        at, what, bytes,
        to == Access::kReadExecute ? kReadOnly : kReadOnly | kUserExecuteNever);
  });
  MapUser(kUserCode, user_program,
          static_cast<uint64_t>(user_program_end - user_program), kReadOnly);
  MapUser(kUserStackEnd - sizeof user_stacks, user_stacks, sizeof user_stacks,
          kUserExecuteNever);
}
void UseTables() {
  MSR("mair_el1", 0xff00);  // Devices; memory that is cached.
  // Addresses of 39 bits, none of the upper half; walks of cached tables.
  MSR("tcr_el1", 25 | 1 << 8 | 1 << 10 | 3 << 12 | 1 << 23);
  MSR("ttbr0_el1", reinterpret_cast<uint64_t>(tables[0]));
  asm volatile("dsb ish\n\ttlbi vmalle1\n\tdsb ish\n\tisb" ::: "memory");
  // What is to be 1, and I, C and M.
  MSR("sctlr_el1", 0x30d00800 | 1 << 12 | 1 << 2 | 1 << 0);
  asm volatile("isb" ::: "memory");
}

// --- CPUs --------------------------------------------------------------------

uint64_t ThisCpu() {
  uint64_t cpu;
  asm volatile("mrs %0, tpidr_el1" : "=r"(cpu));
  return cpu;
}
[[noreturn]] void Park() {
  for (;;) asm volatile("wfi");
}

[[noreturn]] void EnterUser(uint64_t cpu) {
  UseTables();
  vvar::embed::Machine::GrantCounter();
  Frame frame = {};
  frame.x[0] = cpu;
  frame.sp = vvar::embed::kUserStackEnd - cpu * vvar::embed::kUserStackBytes;
  frame.pc = vvar::embed::kUserCode;
  frame.spsr = 0;  // EL0, and nothing masked.
  resume(&frame);
}

void AllowTimerInterrupt() {
  kDistributor[0x100 / 4] = 1 << kVirtualTimer;
  kDistributor[0] = 1;
  kCpuInterface[4 / 4] = 0xff;  // Of any priority.
  kCpuInterface[0] = 1;
}
void OnInterrupt() {
  const uint32_t id = kCpuInterface[0xc / 4];
  if (id == kVirtualTimer) kernel->OnTick();
  kCpuInterface[0x10 / 4] = id;
}

}  // namespace

extern "C" [[noreturn]] void kernel_main(uint64_t cpu, uint64_t from_el2) {
  if (cpu == 0) {
    if (from_el2 != 0) psci = psci_smc;
    kernel = new (InPlace{kernel_memory}) Kernel(vvar::NativeClock::ReadHz());
    MakeTables();
    AllowTimerInterrupt();
  }
  EnterUser(cpu);
}

extern "C" void on_trap(Frame* frame, uint64_t vector) {
  if (vector == kUserInterrupt) return OnInterrupt();
  uint64_t syndrome = 0;
  if (vector == kUserException || vector == kKernelException)
    asm volatile("mrs %0, esr_el1" : "=r"(syndrome));
  switch (syndrome >> 26 & 0x3f) {
    case kUserCall: {
      uint64_t* const x = frame->x;
      const auto call = static_cast<Call>(x[8]);
      if (ThisCpu() == 0) {
        x[0] = kernel->OnCall(call, x[0], x[1]);
      } else if (!kernel->OnSecondCpuCall(call, x[0], x[1])) {
        Park();
      }
      return;
    }
    case kBreakpoint:
      frame->pc += 4;
      return kernel->OnProbe();
    case kSystemRegister:  // Of user mode: the counter.
      frame->pc += 4;
      return kernel->OnDeniedCounter();
    case kUserDataAbort:
      if ((syndrome & 0x7f) != kStoreNotPermitted) break;
      frame->pc += 4;
      return kernel->OnStoreFault();
  }
  vvar::embed::Machine::PowerOff(3);
}

// --- What kernel.h needs -----------------------------------------------------

namespace vvar::embed {

NativeClock Machine::Counter() { return NativeClock(); }

// EL0VCTEN, of this CPU.
void Machine::GrantCounter() { MSR("cntkctl_el1", 2); }
void Machine::WithholdCounter() { MSR("cntkctl_el1", 0); }
bool Machine::DenialIsSeen() { return true; }

void Machine::ArmTick(uint64_t ns) {
  MSR("cntv_tval_el0", NativeClock::ReadHz() / (kNsPerSec / ns));
  MSR("cntv_ctl_el0", 1);
}

void Machine::Probe() { asm volatile("brk #0" ::: "memory"); }

// AFFINITY_INFO of the second CPU: 1 if it is off, below 0 if it is not there.
uint32_t Machine::Cpus() { return psci(0xc4000004, 1, 0, 0) <= 1 ? 2 : 1; }
void Machine::StartSecondCpu() {
  constexpr uint64_t kCpuOn = 0xc4000003;
  psci(kCpuOn, 1, reinterpret_cast<uint64_t>(&_start), 0);
}

void Machine::Put(char c) {
  while ((kUart[0x18 / 4] & 0x20) != 0) {
  }
  kUart[0] = static_cast<uint8_t>(c);
}
void Machine::PowerOff(uint32_t status) {
  const uint64_t block[] = {0x20026, status};  // ADP_Stopped_ApplicationExit.
  register uint64_t x0 asm("x0") = 0x18;       // SYS_EXIT
  register const uint64_t* x1 asm("x1") = block;
  for (;;) asm volatile("hlt #0xf000" : "+r"(x0) : "r"(x1) : "memory");
}

}  // namespace vvar::embed
