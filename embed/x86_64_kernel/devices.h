// SPDX-License-Identifier: MIT
//
// The devices of QEMU's `pc` machine: ports, the local APIC, which has the tick
// and starts the second CPU, and the 8254, which tells the APIC's frequency and
// the counter's.
//
// Source: Intel SDM vol. 3A, 10 (local APIC), 8.4.4 (INIT, SIPI); Intel 8254
// data sheet: mode 0; QEMU: hw/misc/debugexit.c.
#ifndef VVAR_EMBED_X86_64_KERNEL_DEVICES_H_
#define VVAR_EMBED_X86_64_KERNEL_DEVICES_H_

#include <stdint.h>

#include "clocks/native.h"

namespace vvar::embed {

enum Port : uint16_t {
  kPic = 0x21,
  kSecondPic = 0xa1,
  kPitChannel2 = 0x42,
  kPitCommand = 0x43,
  kPitGate = 0x61,
  kDebugExit = 0xf4,
  kUart = 0x3f8,
  kUartStatus = 0x3fd,
};
inline void Out(Port port, uint64_t byte) {
  asm volatile("outb %0, %1" ::"a"(static_cast<uint8_t>(byte)), "d"(port));
}
inline uint8_t In(Port port) {
  uint8_t byte;
  asm volatile("inb %1, %0" : "=a"(byte) : "d"(port));
  return byte;
}

enum ApicRegister : uint64_t {
  kEndOfInterrupt = 0xb0,
  kSpuriousVector = 0xf0,
  kCommand = 0x300,
  kDestination = 0x310,
  kTimerVector = 0x320,
  kTimerStart = 0x380,
  kTimerCount = 0x390,
  kTimerDivider = 0x3e0,
};
inline volatile uint32_t& Apic(ApicRegister at) {
  return *reinterpret_cast<volatile uint32_t*>(0xfee00000 + at);
}

/// Sends what `command` says to `cpu`, after all stores before it.
inline void SendIpi(uint32_t cpu, uint32_t command) {
  asm volatile("" ::: "memory");
  Apic(kDestination) = cpu << 24;
  Apic(kCommand) = command;
}
constexpr uint32_t kSendNmi = 0x4400;
constexpr uint32_t kSendInit = 0x4500;
constexpr uint32_t kSendSipi = 0x4600;

struct TimerHz {
  uint64_t counter;
  uint64_t apic;
};

/// Measures both for 10 ms. An emulator that stops meanwhile makes them look
/// longer, and nothing makes them look shorter: the shortest of five it is.
inline TimerHz MeasureTimers() {
  constexpr uint64_t kPitHz = 1'193'182;
  constexpr uint64_t kCount = 11'932;
  TimerHz hz = {};
  uint64_t least_cycles = ~uint64_t{0};
  for (int i = 0; i < 5; ++i) {
    Out(kPitGate, 1);
    Out(kPitCommand, 0xb0);  // Channel 2, two bytes, mode 0.
    Out(kPitChannel2, kCount & 255);
    const uint64_t start = NativeClock().Read();
    Apic(kTimerStart) = ~uint32_t{0};
    Out(kPitChannel2, kCount >> 8);  // It counts from here.
    while ((In(kPitGate) & 0x20) == 0) {
    }
    const uint32_t apic_ticks = ~Apic(kTimerCount);
    const uint64_t cycles = NativeClock().Read() - start;
    if (cycles >= least_cycles) continue;
    least_cycles = cycles;
    hz = {cycles * kPitHz / kCount, apic_ticks * kPitHz / kCount};
  }
  return hz;
}

/// Switches the APIC on, with its timer at `timer`. Returns the frequencies.
inline TimerHz StartApic(uint32_t timer, uint32_t spurious) {
  // The firmware's timer interrupt may be pending: the two 8259 are to take it
  // back before anything else could lose it.
  Out(kPic, 0xff);
  Out(kSecondPic, 0xff);
  Apic(kSpuriousVector) = 0x100 | spurious;
  Apic(kTimerDivider) = 0xb;  // 1
  const TimerHz hz = MeasureTimers();
  Apic(kTimerVector) = timer;
  return hz;
}

/// Has `cpu`, if there is one, begin at `page` of the first 256, in 16 bits.
inline void StartCpu(uint32_t cpu, uint32_t page, uint64_t counter_hz) {
  const uint32_t commands[] = {kSendInit, kSendSipi | page, kSendSipi | page};
  for (const uint32_t command : commands) {
    SendIpi(cpu, command);
    const uint64_t start = NativeClock().Read();
    while (NativeClock().Read() - start < counter_hz / 100) {  // 10 ms
      NativeClock().Relax();
    }
  }
}

}  // namespace vvar::embed

#endif  // VVAR_EMBED_X86_64_KERNEL_DEVICES_H_
