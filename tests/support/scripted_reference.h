// SPDX-License-Identifier: MIT
//
// A machine without real time: a counter that tests advance, and a kernel whose
// clocks are straight lines over it, as a hosted::Reference. It knows the exact
// answer, so an error is a difference and no estimate.
#ifndef VVAR_TESTS_SUPPORT_SCRIPTED_REFERENCE_H_
#define VVAR_TESTS_SUPPORT_SCRIPTED_REFERENCE_H_

#include <stdint.h>

#include <cmath>
#include <optional>
#include <random>

#include "hosted/reference.h"
#include "vvar/page.h"

namespace vvar::support {

/// A processor taken away: `readings` of them, after the next `after_readings`,
/// last `cycles` longer before their instant. Of one clock, if it is named.
struct Interruption {
  int after_readings = 0;
  int readings = 0;
  uint64_t cycles = 0;
  std::optional<ClockId> clock = {};
};

/// What a ScriptedReference starts as. The defaults are the reference machine
/// of docs/performance.md: a counter that moves in steps of 26, 10 ns each.
struct ScriptedMachine {
  double counter_hz = 2'596'152'000;  ///< As the kernel's MONOTONIC_RAW has it.
  uint64_t counter_grain = 26;
  uint64_t counter_start = uint64_t{1} << 40;
  /// A reading takes this long before and after its instant, and up to
  /// `jitter_cycles` more.
  uint64_t half_read_cycles = 62;
  uint64_t jitter_cycles = 30;
  int64_t monotonic_ns = 1'000'000'000'000;
  int64_t realtime_ns = 1'753'000'000'123'456'789;
  double frequency_ppb = 0;  ///< Announced.
  double hidden_ppb = 0;     ///< Not announced: adjtime(3), a filtered call.
  Interruption interruption = {};
  uint64_t seed = 1;
};

/// The kernel of that machine. One thread.
class ScriptedReference : public hosted::Reference {
 public:
  explicit ScriptedReference(const ScriptedMachine& machine = {})
      : machine_(machine),
        now_(machine.counter_start),
        origin_(Counter()),
        monotonic_ns_(static_cast<long double>(machine.monotonic_ns)),
        raw_ns_(monotonic_ns_),
        wall_offset_ns_(machine.realtime_ns - machine.monotonic_ns),
        random_(machine.seed) {
    quality_.frequency_ppb = machine.frequency_ppb;
  }

  /// The counter, as an instruction reads it.
  uint64_t Counter() const { return now_ - now_ % machine_.counter_grain; }
  void AdvanceCycles(uint64_t cycles) { now_ += cycles; }
  void AdvanceNs(double ns) {
    AdvanceCycles(
        static_cast<uint64_t>(std::llround(ns * machine_.counter_hz / 1e9)));
  }

  /// The exact value of a clock now, less `base_ns`: what the kernel would say,
  /// had it infinite resolution.
  long double NsAfter(ClockId clock, int64_t base_ns) const {
    const auto elapsed = static_cast<long double>(Counter() - origin_);
    if (clock == ClockId::kMonotonicRaw) {
      return raw_ns_ + elapsed * RawNsPerCycle() -
             static_cast<long double>(base_ns);
    }
    const int64_t offset_ns = clock == ClockId::kRealtime ? wall_offset_ns_
                              : clock == ClockId::kTai
                                  ? wall_offset_ns_ + TaiNs()
                              : clock == ClockId::kBoottime ? boot_offset_ns_
                                                            : 0;
    return monotonic_ns_ + elapsed * MonotonicNsPerCycle() +
           static_cast<long double>(offset_ns - base_ns);
  }
  long double MonotonicNsPerCycle() const {
    return RawNsPerCycle() *
           (1 + (quality_.frequency_ppb + machine_.hidden_ppb) * 1e-9L);
  }
  long double RawNsPerCycle() const { return 1e9L / machine_.counter_hz; }

  /// What an administrator or a time daemon may do, from now on.
  void SetFrequency(double ppb) {
    Rebase();
    quality_.frequency_ppb = ppb;
  }
  void SetHiddenFrequency(double ppb) {
    Rebase();
    machine_.hidden_ppb = ppb;
  }
  void StepRealtime(int64_t ns) { wall_offset_ns_ += ns; }
  /// A leap second, announced: see ReferenceQuality::leap_state. A kernel makes
  /// it at the first tick of its own after midnight.
  void SetLeapState(uint32_t state) { quality_.leap_state = state; }
  void MakeLeapSecond(int32_t sec) {
    wall_offset_ns_ -= int64_t{sec} * 1'000'000'000;
    quality_.tai_offset_sec += sec;
    quality_.leap_state = VVAR_LEAP_INSERTED;
  }
  void SetQuality(bool synchronised, uint64_t max_error_ns, int32_t tai_sec) {
    quality_.synchronised = synchronised;
    quality_.max_error_ns = max_error_ns;
    quality_.tai_offset_sec = tai_sec;
  }

  /// What may happen to a machine. All readings take `times` as long from now
  /// on.
  void SlowDown(uint64_t times) {
    machine_.half_read_cycles *= times;
    machine_.jitter_cycles *= times;
  }
  /// The machine sleeps for `ns`; meanwhile its counter runs by `cycles`, or
  /// back.
  void Sleep(int64_t ns, int64_t cycles) {
    Rebase();
    now_ += static_cast<uint64_t>(cycles);
    origin_ = Counter();
    boot_offset_ns_ += ns;
    wall_offset_ns_ += ns;
  }
  void Interrupt(const Interruption& interruption) {
    machine_.interruption = interruption;
  }

  hosted::Bracket Read(ClockId clock) override {
    const uint64_t before = Counter();
    AdvanceCycles(HalfRead() + Interrupted(clock));
    // As a kernel does: rounded down.
    const auto ns = static_cast<int64_t>(std::floor(NsAfter(clock, 0)));
    AdvanceCycles(HalfRead());
    return {before, Counter(), ns};
  }
  hosted::ReferenceQuality Quality() override { return quality_; }

 private:
  uint64_t HalfRead() {
    return machine_.half_read_cycles + random_() % (machine_.jitter_cycles + 1);
  }
  uint64_t Interrupted(ClockId clock) {
    Interruption& interruption = machine_.interruption;
    if (interruption.clock.value_or(clock) != clock) return 0;
    if (interruption.after_readings-- > 0) return 0;
    return interruption.readings-- > 0 ? interruption.cycles : 0;
  }
  int64_t TaiNs() const {
    return int64_t{quality_.tai_offset_sec} * 1'000'000'000;
  }
  /// Begins new lines where the old ones are now.
  void Rebase() {
    monotonic_ns_ = NsAfter(ClockId::kMonotonic, 0);
    raw_ns_ = NsAfter(ClockId::kMonotonicRaw, 0);
    origin_ = Counter();
  }

  ScriptedMachine machine_;
  uint64_t now_;
  uint64_t origin_;
  // At origin_.
  long double monotonic_ns_;
  long double raw_ns_;
  int64_t wall_offset_ns_;
  int64_t boot_offset_ns_ = 5'000'000'000;
  hosted::ReferenceQuality quality_ = {.synchronised = true,
                                       .frequency_ppb = 0,
                                       .max_error_ns = 1'000'000,
                                       .tai_offset_sec = 37};
  std::mt19937_64 random_;
};

}  // namespace vvar::support

#endif  // VVAR_TESTS_SUPPORT_SCRIPTED_REFERENCE_H_
