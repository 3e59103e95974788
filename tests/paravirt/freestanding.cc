// SPDX-License-Identifier: MIT
//
// All of paravirt/ as a kernel or a VMM would have it, on a counter that no ISA
// has: compiled for every machine of the matrix, with nothing but the compiler.
#include <stddef.h>
#include <stdint.h>

#include "paravirt/conversion.h"
#include "paravirt/hyperv_tsc.h"
#include "paravirt/pvclock.h"
#include "paravirt/vmclock.h"
#include "paravirt/vmclock_line.h"
#include "paravirt/wall_clock.h"

namespace vvar {
namespace {

// A word as a counter.
struct Counter {
  static constexpr uint32_t kCounterId = VVAR_COUNTER_X86_TSC;
  static constexpr uint32_t kCounterBits = 64;
  uint64_t Read(uint32_t) const { return PageMemory::Load(*word); }
  uint64_t ReadUnordered() const { return PageMemory::Load(*word); }
  uint64_t ReadBeforeStores() const { return PageMemory::Load(*word); }
  uint64_t ReadAfterStores() const { return PageMemory::Load(*word); }
  void Relax() const {}
  const uint64_t* word = nullptr;
};
static_assert(ClockSource<PvclockClock<Counter>>);
static_assert(ClockSource<HypervTscClock<Counter>>);
static_assert(ClockSource<VmclockClock<Counter>>);

}  // namespace

// What it compiles to has to need nobody; what it does, the tests say.
extern "C" {

uint64_t read_pvclock(const pvclock_vcpu_time_info* record,
                      const uint64_t* word) {
  const PvclockClock<Counter> clock(
      PvclockReader<Counter>(record, Counter{word}, PvclockUse::kEveryCpu));
  return clock.Read(0) + clock.ReadUnordered() + clock.ReadBeforeStores() +
         clock.ReadAfterStores();
}
int64_t read_wall_clock(const pvclock_wall_clock* wall, const uint32_t* high,
                        uint64_t now_ns) {
  return WallClockReader<Counter>(wall, high, 0, {}).At(now_ns).realtime.sec;
}
uint64_t read_hyperv(const hv_reference_tsc_page* page, const uint64_t* word) {
  return HypervTscClock<Counter>(HypervTscReader<Counter>(page, Counter{word}))
      .Read(0);
}
uint64_t read_vmclock(const void* bytes, size_t size, const uint64_t* word) {
  VmclockReader<Counter> reader;
  if (VmclockReader<Counter>::Attach(bytes, size, Counter{word}, &reader) !=
      PageStatus::kOk) {
    return 0;
  }
  const VmclockReading now = reader.Now(VmclockTimeType::kUtc);
  return now.ok() ? now.error_ns + now.time.nsec
                  : VmclockClock<Counter>(reader).Read(0);
}

void write_pvclock(pvclock_vcpu_time_info* const* records, size_t count,
                   const Line& line, uint64_t at, const uint64_t* word) {
  PvclockWriter<> writer(records, count);
  PvclockLine next;
  LineError error;
  if (!ToPvclock(ClockLineOf(line, VVAR_BASE_MONOTONIC), at, kPvclockTscStable,
                 &next, &error)) {
    return;
  }
  writer.Publish(next);
  writer.PublishAfter(next, next, Counter{word});
  (void)ClearGuestStopped(*records[0]);
}
void write_wall_clock(pvclock_wall_clock* wall, uint32_t* high, int64_t sec) {
  PublishWallClock(*wall, high, {sec, 0});
}
void write_hyperv(hv_reference_tsc_page* page, const Line& line, uint64_t at,
                  const uint64_t* word) {
  HypervTscWriter<> writer(page);
  writer.Format();
  const ClockLine from = ClockLineOf(line, VVAR_BASE_MONOTONIC);
  HypervTscLine last;
  HypervTscLine next;
  PvclockLine other;
  LineError error;
  if (!ToHyperv(from, at, &last, &error) ||
      !ToPvclock(last, at, kPvclockTscStable, &other, &error) ||
      !ToHyperv(other, at, &next, &error)) {
    return;
  }
  writer.Publish(last);
  writer.PublishAfter(last, next, Counter{word});
  writer.Withdraw();
}
bool to_clock_line(const HypervTscLine& from, uint64_t at, ClockLine* to) {
  LineError error;
  return ToClockLine(from, at, to, &error);
}
void write_vmclock(vmclock_abi* page, const Line& line, uint64_t at,
                   const uint64_t* word) {
  VmclockWriter<> writer(page, VmclockTaiSign::kTaiMinusUtc);
  writer.Format(VVAR_PAGE_SIZE);
  VmclockLine last;
  VmclockLine next;
  if (!ToVmclock(line, at, &last) || !ToVmclock(line, at, &next)) return;
  writer.Publish(VVAR_COUNTER_X86_TSC, last);
  writer.PublishAfter(last, &next, Counter{word});
  writer.Withdraw(next);
}
uint64_t choose_rates(uint64_t hz) {
  uint64_t scale = 0;
  (void)HypervScaleFromHz(hz, &scale);
  return scale + FracPeriodFromHz(hz).frac_sec + PvclockRateFromHz(hz).mul +
         PvclockRateToHz(PvclockRateFromHz(hz));
}

}  // extern "C"

}  // namespace vvar
