// SPDX-License-Identifier: MIT
//
// The guest: performs the VMM's commands, one exchange after the other, with
// the library's readers and writers as any kernel would. Freestanding; a flat
// image at kImage, entered in 64-bit mode with a stack and nothing else.
#include <stdint.h>

#include "clocks/x86_tsc.h"
#include "embed/kvm_guest/exchange.h"
#include "embed/kvm_guest/guest_counter.h"
#include "vvar/abi.h"
#include "vvar/header.h"
#include "vvar/page.h"
#include "vvar/reader.h"
#include "vvar/seqcount.h"

namespace vvar::kvm_guest {
namespace {

// The host runs from here on; it reads and writes the exchange meanwhile.
void Out(uint16_t port, uint32_t value) {
  asm volatile("outl %0, %1" : : "a"(value), "Nd"(port) : "memory");
}

void WriteMsr(uint32_t index, uint64_t value) {
  asm volatile("wrmsr"
               :
               : "c"(index), "a"(static_cast<uint32_t>(value)),
                 "d"(static_cast<uint32_t>(value >> 32))
               : "memory");
}

const vvar_page& TimePage() {
  return *reinterpret_cast<const vvar_page*>(kTimePage);
}

// Readers of MONOTONIC come here with what they read: over the guest's whole
// life, on whatever host it is.
uint64_t last_monotonic_ns = 0;
void NoteMonotonic(uint64_t ns, Exchange& exchange) {
  if (ns < last_monotonic_ns) ++exchange.steps_back;
  last_monotonic_ns = ns;
}

template <class Clock>
void ReadClocksOf(const void* page, Clock clock, Exchange& exchange) {
  Reader<Clock> reader;
  const PageStatus attached =
      Reader<Clock>::Attach(page, VVAR_PAGE_SIZE, 0, clock, &reader);
  if (attached != PageStatus::kOk) {
    exchange.status = 0x100 | static_cast<uint32_t>(attached);
    return;
  }
  const auto read = [&](ClockId id) {
    const NsReading reading = reader.Now(id);
    if (!reading.ok()) exchange.status = static_cast<uint32_t>(reading.status);
    return reading.ns;
  };
  exchange.realtime_ns = read(ClockId::kRealtime);
  exchange.monotonic_ns = read(ClockId::kMonotonic);
  exchange.boottime_ns = read(ClockId::kBoottime);
  if (exchange.status == 0) NoteMonotonic(exchange.monotonic_ns, exchange);
}

void ReadClocks(Exchange& exchange) {
  exchange.disruption_marker =
      PageMemory::Load(TimePage().header.disruption_marker);
  const CounterScaling scaling = {exchange.multiplier, exchange.offset};
  if (scaling.multiplier == CounterScaling::kOne && scaling.offset == 0) {
    ReadClocksOf(&TimePage(), X86Tsc(), exchange);
  } else {
    ReadClocksOf(&TimePage(), GuestCounter<X86Tsc>(X86Tsc(), scaling),
                 exchange);
  }
}

void ReadMany(Exchange& exchange) {
  const Reader<X86Tsc> reader(&TimePage().timeline[0], X86Tsc());
  const uint64_t reads = exchange.argument;
  for (uint64_t i = 0; i < reads; ++i) {
    const NsReading reading = reader.Now(ClockId::kMonotonic);
    if (reading.ok()) {
      NoteMonotonic(reading.ns, exchange);
    } else {
      ++exchange.refusals;
    }
  }
  exchange.reads += reads;
}

void Perform(Exchange& exchange) {
  exchange.status = 0;
  switch (exchange.command) {
    case Command::kReadClocks:
      return ReadClocks(exchange);
    case Command::kReadMany:
      return ReadMany(exchange);
    case Command::kStore:
      *reinterpret_cast<volatile uint32_t*>(exchange.address) =
          static_cast<uint32_t>(exchange.argument);
      return;
    case Command::kSpin: {
      const uint64_t argument = PageMemory::Load(exchange.argument);
      while (PageMemory::Load(exchange.argument) == argument) X86Tsc().Relax();
      return;
    }
    case Command::kWriteMsr:
      return WriteMsr(static_cast<uint32_t>(exchange.address),
                      exchange.argument);
    default:
      exchange.status = UINT32_MAX;
  }
}

}  // namespace
}  // namespace vvar::kvm_guest

// The image begins here.
extern "C" [[noreturn, gnu::section(".text.entry")]] void GuestMain() {
  auto& exchange = *reinterpret_cast<vvar::kvm_guest::Exchange*>(
      vvar::kvm_guest::kExchangePage);
  for (;;) {
    vvar::kvm_guest::Perform(exchange);
    vvar::kvm_guest::Out(vvar::kvm_guest::kDonePort, 0);
  }
}
