// SPDX-License-Identifier: MIT
//
// Each foreign page with its writer, its reader and two lines to publish, in
// one shape: for what must hold of all of them.
#ifndef VVAR_TESTS_PARAVIRT_FOREIGN_PAGES_H_
#define VVAR_TESTS_PARAVIRT_FOREIGN_PAGES_H_

#include <stddef.h>
#include <stdint.h>

#include "paravirt/foreign_page.h"
#include "paravirt/frac_time.h"
#include "paravirt/hyperv_tsc.h"
#include "paravirt/pvclock.h"
#include "paravirt/vmclock.h"
#include "paravirt/vmclock_abi.h"
#include "tests/support/manual_clock.h"
#include "tests/support/oracle.h"
#include "vvar/abi.h"
#include "vvar/seqcount.h"

namespace vvar::support {

using Tsc = ManualClock<64, VVAR_COUNTER_X86_TSC>;

// Where the counter stands in these tests, after every line's beginning.
inline constexpr uint64_t kForeignTsc = 7'000'000'123;

template <class Memory>
struct PvclockPage {
  static constexpr const char* kName = "pvclock";
  static constexpr size_t kBytes = sizeof(pvclock_vcpu_time_info);
  using Reader = PvclockReader<Tsc, Memory>;

  static PvclockLine LineOf(uint32_t n) {
    return {uint64_t{5'000'000'000} + n, 1'000'000'007 * uint64_t{n + 3},
            PvclockRateFromHz(3'000'000'000 - uint64_t{1'100'000'000} * n),
            kPvclockTscStable};
  }
  static uint64_t Expected(uint32_t n) {
    const PvclockLine line = LineOf(n);
    const uint64_t cycles = kForeignTsc - line.tsc_timestamp;
    const uint64_t halved = line.rate.shift < 0 ? cycles >> 1 : cycles;
    return line.system_time_ns +
           static_cast<uint64_t>(
               (UnsignedWide(halved) * UnsignedWide(line.rate.mul)) >> 32);
  }
  void Publish(uint32_t n) {
    pvclock_vcpu_time_info* const all[] = {&page};
    PvclockWriter<Memory>(all, 1).Publish(LineOf(n));
  }
  /// What a guest's page built on this one loses.
  void Withdraw() {
    pvclock_vcpu_time_info* const all[] = {&page};
    PvclockLine line = LineOf(0);
    line.flags = 0;
    PvclockWriter<Memory>(all, 1).Publish(line);
  }
  Reader MakeReader(ManualCounter* counter) const {
    return Reader(&page, Tsc(counter), PvclockUse::kEveryCpu);
  }
  const uint32_t& sequence() const { return page.version; }

  pvclock_vcpu_time_info page = {};
};

template <class Memory>
struct HypervPage {
  static constexpr const char* kName = "Hyper-V";
  static constexpr size_t kBytes = 24;
  using Reader = HypervTscReader<Tsc, Memory>;

  static HypervTscLine LineOf(uint32_t n) {
    return {0x00da740da740da74 + (uint64_t{n} << 40),
            static_cast<uint64_t>(int64_t{-1'000'000} + 777 * n)};
  }
  static uint64_t Expected(uint32_t n) {
    const HypervTscLine line = LineOf(n);
    return UpperHalf(kForeignTsc, line.scale) + line.offset;
  }
  void Publish(uint32_t n) { writer.Publish(LineOf(n)); }
  void Withdraw() { writer.Withdraw(); }
  Reader MakeReader(ManualCounter* counter) const {
    return Reader(&page, Tsc(counter));
  }
  const uint32_t& sequence() const { return page.tsc_sequence; }

  hv_reference_tsc_page page = {};
  HypervTscWriter<Memory> writer{&page};
};

template <class Memory>
struct VmclockPage {
  static constexpr const char* kName = "VMClock";
  static constexpr size_t kBytes = sizeof(vmclock_abi);
  using Reader = VmclockReader<Tsc, Memory>;

  VmclockPage() { writer.Format(4096); }

  static VmclockLine LineOf(uint32_t n) {
    VmclockLine line = {};
    line.line = {uint64_t{6'000'000'000} + n,
                 {uint64_t{1'700'000'000} + n, 0x8000'0000'0000'0000 >> n},
                 FracPeriodFromHz(2'000'000'000 + uint64_t{500'000'000} * n)};
    line.flags = kVmclockTaiOffsetValid | kVmclockPeriodMaxerrorValid |
                 kVmclockTimeMaxerrorValid | kVmclockGenerationPresent;
    line.period_maxerror = line.line.period.frac_sec / (100'000 + n);
    line.time_maxerror_ns = 1'000 + n;
    line.disruption_marker = 0x1111 + n;
    line.generation = 0x2222 + n;
    line.tai_offset_sec = 37;
    line.time_type = VmclockTimeType::kTai;
    line.clock_status = VmclockClockStatus::kSynchronised;
    return line;
  }
  static uint64_t Expected(uint32_t n) {
    const FracLine line = LineOf(n).line;
    const UnsignedWide run = (UnsignedWide(kForeignTsc - line.counter_value) *
                              UnsignedWide(line.period.frac_sec)) >>
                             line.period.shift;
    const UnsignedWide now = ((UnsignedWide(line.time.sec) << 64) +
                              UnsignedWide(line.time.frac_sec)) +
                             run;
    return static_cast<uint64_t>(now >> 64) * 1'000'000'000 +
           UpperHalf(static_cast<uint64_t>(now), 1'000'000'000);
  }
  void Publish(uint32_t n) { writer.Publish(VVAR_COUNTER_X86_TSC, LineOf(n)); }
  void Withdraw() { writer.Withdraw(LineOf(0)); }
  Reader MakeReader(ManualCounter* counter) const {
    Reader reader;
    (void)Reader::Attach(&page, sizeof page, Tsc(counter), &reader);
    return reader;
  }
  const uint32_t& sequence() const { return page.seq_count; }

  vmclock_abi page = {};
  VmclockWriter<Memory> writer{&page, VmclockTaiSign::kUtcMinusTai};
};

/// Calls visit(page) for each kind of page, on which line 0 is published.
template <class Memory = PageMemory, class Visit>
void ForEachForeignPage(Visit visit) {
  PvclockPage<Memory> pvclock;
  pvclock.Publish(0);
  visit(pvclock);
  HypervPage<Memory> hyperv;
  hyperv.Publish(0);
  visit(hyperv);
  VmclockPage<Memory> vmclock;
  vmclock.Publish(0);
  visit(vmclock);
}

}  // namespace vvar::support

#endif  // VVAR_TESTS_PARAVIRT_FOREIGN_PAGES_H_
