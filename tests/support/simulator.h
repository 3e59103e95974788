// SPDX-License-Identifier: MIT
//
// A machine without real time: true time in exact integers, a counter over it
// that drifts, wraps, moves in grains, stops and jumps as a script says, and
// CPUs that read it a little apart. Everything is a function of one position,
// the cycles since the machine was made, so a test can stand at any cycle and
// ask what time it truly is.
#ifndef VVAR_TESTS_SUPPORT_SIMULATOR_H_
#define VVAR_TESTS_SUPPORT_SIMULATOR_H_

#include <stdint.h>

#include <functional>
#include <utility>
#include <vector>

#include "tests/support/oracle.h"
#include "vvar/abi.h"
#include "vvar/clocksource.h"

namespace vvar::support {

inline constexpr uint32_t kSimulatedCounterId = VVAR_COUNTER_PRIVATE | 2;

/// Times of the simulation, exactly: ns << kPartBits. Every line's resolution
/// is whole in it. Bound: 2^62 ns is 2^96 parts.
inline constexpr uint32_t kPartBits = 34;
constexpr Wide NsToParts(int64_t ns) { return ExactNs(ns, kPartBits); }

/// What a counter is like.
struct CounterScript {
  uint64_t hz = 1'000'000'000;  ///< Nominal. Range: [1000, kMaxHz].
  uint64_t first_value = 0;     ///< Where it stands at first.
  uint64_t grain = 1;           ///< It moves in steps of this.
  uint64_t jitter_cycles = 0;   ///< A read takes up to so long.
  int64_t offset_ppb = 0;       ///< It runs faster than nominal by this,
  int64_t drift_ppb = 0;        ///< and by up to this more or less.
};

/// See the head of this file. One thread; CPUs take turns.
class SimulatedMachine {
 public:
  SimulatedMachine(const CounterScript& counter, std::vector<int64_t> cpu_skew,
                   uint64_t seed)
      : skew_(std::move(cpu_skew)), random_(seed) {
    SwitchCounter(counter);
  }

  int64_t position() const { return position_; }
  uint64_t hz() const { return counter_.hz; }
  uint32_t cpus() const { return static_cast<uint32_t>(skew_.size()); }
  /// Position that CPU `cpu` would read now.
  int64_t SeenBy(uint32_t cpu) const { return Grain(position_ + skew_[cpu]); }
  /// What the last ReadBeforeStores() saw, and when it truly was.
  int64_t update_sample() const { return update_sample_; }
  Wide update_true_parts() const { return update_true_parts_; }
  /// The counter, before it is cut to its width.
  uint64_t Value(int64_t position) const {
    return static_cast<uint64_t>(position) + origin_;
  }
  /// True time, in parts.
  Wide TrueParts() const {
    return (true_time_ + Wide(position_ - anchor_) * Wide(period_)) >>
           (kTrueBits - kPartBits);
  }
  double TrueSec() const {
    return static_cast<double>(
               static_cast<uint64_t>(TrueParts() >> kPartBits)) *
           1e-9;
  }

  void AdvanceCycles(int64_t cycles) { position_ += cycles; }
  /// To a position, if it is ahead.
  void AdvanceTo(int64_t position) {
    if (position > position_) position_ = position;
  }
  /// Cycles that last about `ns`, by the nominal frequency.
  int64_t CyclesOf(uint64_t ns) const {
    const uint64_t sec = ns / 1'000'000'000;
    return static_cast<int64_t>(
        sec * counter_.hz + ns % 1'000'000'000 * counter_.hz / 1'000'000'000);
  }
  /// It gets warmer or colder: another frequency from now on.
  void ChangeTemperature() {
    Anchor();
    SetPeriod();
  }
  /// Time passes while the counter stands.
  void PassWithoutCounter(int64_t ns) {
    Anchor();
    true_time_ = true_time_ + ExactNs(ns, kTrueBits);
  }
  /// The counter shows another value from now on.
  void JumpTo(uint64_t value) {
    origin_ = value - static_cast<uint64_t>(position_);
  }
  /// Another counter from now on.
  void SwitchCounter(const CounterScript& counter) {
    Anchor();
    counter_ = counter;
    JumpTo(counter.first_value);
    SetPeriod();
  }

  /// One read of the counter: the position that it shows.
  int64_t Read(uint32_t cpu) {
    if (on_read) on_read(cpu);
    position_ +=
        static_cast<int64_t>(random_.Below(counter_.jitter_cycles + 1));
    return SeenBy(cpu);
  }
  int64_t ReadForUpdate(uint32_t cpu) {
    update_sample_ = Read(cpu);
    update_true_parts_ = TrueParts();
    return update_sample_;
  }
  /// Called at the start of each read.
  std::function<void(uint32_t cpu)> on_read;

 private:
  // ns << this; a period is known to 10^-11 at 10 GHz.
  static constexpr uint32_t kTrueBits = 40;

  int64_t Grain(int64_t position) const {
    return position - position % static_cast<int64_t>(counter_.grain);
  }
  void Anchor() {
    true_time_ = true_time_ + Wide(position_ - anchor_) * Wide(period_);
    anchor_ = position_;
  }
  void SetPeriod() {
    const int64_t span = counter_.drift_ppb;
    const int64_t warmth = static_cast<int64_t>(random_.Below(
                               2 * static_cast<uint64_t>(span) + 1)) -
                           span;
    const double ns =
        1e9 / static_cast<double>(counter_.hz) /
        (1 + static_cast<double>(counter_.offset_ppb + warmth) * 1e-9);
    period_ = static_cast<uint64_t>(
        ns * static_cast<double>(uint64_t{1} << kTrueBits) + 0.5);
  }

  CounterScript counter_;
  std::vector<int64_t> skew_;
  EdgyRandom random_;
  // Above any skew below zero.
  int64_t position_ = int64_t{1} << 40;
  int64_t update_sample_ = 0;
  Wide update_true_parts_ = 0;
  uint64_t origin_ = 0;
  // True time at anchor_, and per cycle from there on: ns << kTrueBits.
  int64_t anchor_ = int64_t{1} << 40;
  Wide true_time_ = 0;
  uint64_t period_ = 0;
};

/// The machine's counter as a CPU reads it, cut to kBits. `sample`, if any, is
/// told the position of each read.
template <uint32_t kBits, uint32_t kId = kSimulatedCounterId>
class SimulatedClock {
 public:
  static constexpr uint32_t kCounterId = kId;
  static constexpr uint32_t kCounterBits = kBits;

  SimulatedClock() = default;
  SimulatedClock(SimulatedMachine* machine, uint32_t cpu,
                 int64_t* sample = nullptr)
      : machine_(machine), cpu_(cpu), sample_(sample) {}

  uint64_t Read(uint32_t /*after*/) const { return Take(); }
  uint64_t ReadUnordered() const { return Take(); }
  uint64_t ReadBeforeStores() const {
    return machine_->Value(machine_->ReadForUpdate(cpu_)) & kMask;
  }
  uint64_t ReadAfterStores() const { return Take(); }
  void Relax() const {}

 private:
  uint64_t Take() const {
    const int64_t position = machine_->Read(cpu_);
    if (sample_ != nullptr) *sample_ = position;
    return machine_->Value(position) & kMask;
  }
  static constexpr uint64_t kMask = UINT64_MAX >> (64 - kBits);
  SimulatedMachine* machine_ = nullptr;
  uint32_t cpu_ = 0;
  int64_t* sample_ = nullptr;
};

static_assert(ClockSource<SimulatedClock<32>>);

}  // namespace vvar::support

#endif  // VVAR_TESTS_SUPPORT_SIMULATOR_H_
