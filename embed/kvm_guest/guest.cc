// SPDX-License-Identifier: MIT
//
// The guest: performs the VMM's commands, one exchange after the other, with
// the library's readers and writers as any kernel would. Freestanding; a flat
// image at kImage, entered in 64-bit mode with a stack and nothing else.
#include <stddef.h>
#include <stdint.h>

#include "clocks/x86_tsc.h"
#include "embed/kvm_guest/exchange.h"
#include "embed/kvm_guest/guest_counter.h"
#include "paravirt/hyperv_tsc.h"
#include "paravirt/pvclock.h"
#include "paravirt/vmclock.h"
#include "paravirt/wall_clock.h"
#include "vvar/abi.h"
#include "vvar/header.h"
#include "vvar/page.h"
#include "vvar/reader.h"
#include "vvar/seqcount.h"
#include "vvar/timebase.h"
#include "vvar/timekeeper.h"
#include "vvar/writer.h"

inline void* operator new(size_t, void* place) noexcept { return place; }

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

uint64_t ReadMsr(uint32_t index) {
  uint32_t low;
  uint32_t high;
  asm volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(index) : "memory");
  return uint64_t{high} << 32 | low;
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
    exchange.status = kAttach | static_cast<uint32_t>(attached);
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

// Its only vCPU's record.
PvclockReader<X86Tsc> Pvclock() {
  return {reinterpret_cast<const pvclock_vcpu_time_info*>(kPvclockPage),
          X86Tsc(), PvclockUse::kOwnCpu};
}

void ReadPvclock(Exchange& exchange) {
  const ForeignCount now = Pvclock().Now();
  exchange.status = static_cast<uint32_t>(now.status);
  exchange.ns = now.count;
}

void ReadWall(Exchange& exchange) {
  const WallClockReader<X86Tsc> wall(
      reinterpret_cast<const pvclock_wall_clock*>(kWallClockPage), nullptr,
      exchange.argument, X86Tsc());
  ReadPvclock(exchange);
  if (exchange.status != 0) return;
  const WallClockReading now = wall.At(exchange.ns);
  exchange.status = static_cast<uint32_t>(now.status);
  exchange.realtime_ns = TimespecToNs(now.realtime);
  exchange.ns = now.age_ns;
}

// As the hypervisor's text has it: the page or, where that has no time, the
// MSR.
void ReadHyperv(Exchange& exchange) {
  constexpr uint32_t kTimeRefCount = 0x4000'0020;
  const HypervTscReader<X86Tsc> page(
      reinterpret_cast<const hv_reference_tsc_page*>(kHypervPage), X86Tsc());
  const ForeignCount now = page.Now();
  if (now.status == ForeignStatus::kWithdrawn && exchange.argument != 0) {
    exchange.ticks = ReadMsr(kTimeRefCount);
    ++exchange.refusals;
    return;
  }
  exchange.status = static_cast<uint32_t>(now.status);
  exchange.ticks = now.count;
}

void ReadVmclock(Exchange& exchange) {
  VmclockReader<X86Tsc> reader;
  const PageStatus attached =
      VmclockReader<X86Tsc>::Attach(reinterpret_cast<const void*>(kVmclockPage),
                                    VVAR_PAGE_SIZE, X86Tsc(), &reader);
  const VmclockReading now = reader.Now(VmclockTimeType::kUtc);
  exchange.status = attached != PageStatus::kOk
                        ? kAttach | static_cast<uint32_t>(attached)
                        : static_cast<uint32_t>(now.status);
  exchange.realtime_ns = TimespecToNs(now.time);
  exchange.error_ns = now.error_ns;
}

// A page of the guest's own, as its kernel would keep one for its programs: on
// kvmclock as the counter.
using OwnClock = PvclockClock<X86Tsc>;
alignas(Timekeeper) unsigned char timekeeper_bytes[sizeof(Timekeeper)];

vvar_page& OwnPage() { return *reinterpret_cast<vvar_page*>(kOwnPage); }

void StartOwnPage(Exchange& exchange) {
  constexpr TimekeeperConfig kConfig = {
      OwnClock::kCounterId, OwnClock::kCounterBits, OwnClock::kHz,
      /*lead_ns=*/10'000,   /*interval_ns=*/20'000, /*max_age_ns=*/kNsPerSec};
  FormatPage(OwnPage(), {.counter_id = OwnClock::kCounterId,
                         .counter_bits = OwnClock::kCounterBits,
                         .counter_hz = OwnClock::kHz,
                         .instance_id = 1,
                         .features = VVAR_FEATURE_USER_COUNTER,
                         .timeline_count = 1,
                         .resolution_ns = 1,
                         .coarse_resolution_ns = 20'000});
  const OwnClock clock(Pvclock());
  const uint64_t now = clock.ReadBeforeStores();
  const Timespec since_boot = NsToTimespec(static_cast<int64_t>(now));
  auto& timekeeper = *new (timekeeper_bytes) Timekeeper(kConfig);
  timekeeper.Start(now, {NsToTimespec(static_cast<int64_t>(exchange.argument)),
                         since_boot, since_boot, since_boot, 0});
  Writer<OwnClock>(&OwnPage().timeline[0], clock)
      .PublishLine(timekeeper.line());
}

void ReadOwnPage(Exchange& exchange) {
  const OwnClock clock(Pvclock());
  auto& timekeeper = *reinterpret_cast<Timekeeper*>(timekeeper_bytes);
  const PublishStatus published =
      Writer<OwnClock>(&OwnPage().timeline[0], clock).Publish(timekeeper);
  if (published != PublishStatus::kTooEarly) ++exchange.publications;
  ReadClocksOf(&OwnPage(), clock, exchange);
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
    case Command::kReadPvclock:
      return ReadPvclock(exchange);
    case Command::kReadWall:
      return ReadWall(exchange);
    case Command::kReadHyperv:
      return ReadHyperv(exchange);
    case Command::kReadVmclock:
      return ReadVmclock(exchange);
    case Command::kStartOwnPage:
      return StartOwnPage(exchange);
    case Command::kReadOwnPage:
      return ReadOwnPage(exchange);
  }
  exchange.status = kNoSuchCommand;
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
