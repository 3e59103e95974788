// SPDX-License-Identifier: MIT
//
// Keeps a timekeeper on its reference: starts it from a calibration, then
// steers it at each tick. Knows no page and no thread; time comes from the
// Reference, so tests script it. Writer side only.
#ifndef VVAR_HOSTED_DISCIPLINE_H_
#define VVAR_HOSTED_DISCIPLINE_H_

#include <stdint.h>

#include <algorithm>
#include <cmath>

#include "hosted/calibration.h"
#include "hosted/realtime_steering.h"
#include "hosted/reference.h"
#include "hosted/servo.h"
#include "vvar/timekeeper.h"

namespace vvar::hosted {

/// How well the discipline does. Offsets are reference - line.
struct DisciplineHealth {
  double last_offset_ns = 0;  ///< MONOTONIC, at the last tick that was used.
  double max_offset_ns = 0;   ///< Its largest magnitude since the start.
  double frequency_ppb = 0;   ///< Of the line against the nominal rate.
  double refused_ns = 0;      ///< Of a step that the policy refuses.
  /// What MONOTONIC was ahead of the reference when it was joined again; it
  /// stays so, as readers may have been told.
  double ahead_ns = 0;
  uint64_t ticks = 0;              ///< Calls of Steer().
  uint64_t rejected_brackets = 0;  ///< Ticks skipped: every bracket disturbed.
  uint64_t large_offsets = 0;      ///< Ticks beyond Servo::kLargeNs.
  uint64_t realtime_steps = 0;     ///< Of the reference, whatever was done.
  uint64_t rejoins = 0;  ///< After a suspend, a stop, another counter.
};

/// Follows a Reference. MONOTONIC, BOOTTIME and TAI share one slope, which a
/// servo steers, with the reference's own frequency fed forward; REALTIME is
/// RealtimeSteering's; MONOTONIC_RAW has its own slope and servo, as the
/// kernel's has.
///
/// A line that has lost the reference (its machine slept, its writer was
/// stopped for long, its counter went back) is joined to it again: each clock
/// goes to where the reference is, but MONOTONIC, MONOTONIC_RAW and BOOTTIME
/// not below what readers may have been told.
class Discipline {
 public:
  /// A line that is behind by more jumps forward. One that is ahead by more is
  /// cut back to the last value that readers can have had of it.
  static constexpr double kJumpFromNs = 1'000'000;
  /// BOOTTIME moves by more against MONOTONIC when a machine has slept.
  static constexpr double kSuspendFromNs = 1'000'000;
  /// No line begins further ahead: a counter that is so far behind went back.
  static constexpr uint64_t kFarthestAheadNs = 2'000'000'000;

  /// Measures the counter for `calibration_ns`. `reference` must outlive it.
  Discipline(Reference& reference, int64_t calibration_ns, uint64_t tick_ns,
             const RealtimePolicy& policy = {})
      : reference_(reference),
        servo_(ServoWindowNs(tick_ns)),
        raw_servo_(ServoWindowNs(tick_ns)),
        realtime_(policy),
        calibration_(Calibrate(reference, calibration_ns)),
        quality_(reference.Quality()) {}

  /// The counter's rate as the reference's MONOTONIC_RAW has it. Units: Hz.
  uint64_t measured_hz() const {
    return static_cast<uint64_t>(
        std::llround(1e9 / calibration_.monotonic_raw.ns_per_cycle));
  }

  /// Starts `timekeeper` at counter value `now`, where the calibration puts it.
  void Start(Timekeeper& timekeeper, uint64_t now) {
    SetRates(timekeeper);
    const StartTimes times = {
        TimeAt(calibration_.realtime, now), TimeAt(calibration_.monotonic, now),
        TimeAt(calibration_.monotonic_raw, now),
        TimeAt(calibration_.boottime, now), quality_.tai_offset_sec};
    Begin(now);
    SetStatus(timekeeper);
    SetErrorBound(timekeeper, usual_width_);
    timekeeper.Start(now, times);
  }

  /// Goes on from a line that another writer left; Steer() brings it back to
  /// the reference, however far it is off. Returns false, for Start() to do,
  /// when it cannot be continued.
  [[nodiscard]] bool Continue(Timekeeper& timekeeper, const Line& line,
                              uint64_t now) {
    if (!timekeeper.Continue(line)) return false;
    Begin(now);
    SetRates(timekeeper);
    SetStatus(timekeeper);
    return true;
  }

  /// Whether the counter, at `now`, is so far before the line that it went back
  /// (the machine slept, or was restored): Steer() has to join it again.
  static bool CounterWentBack(const Timekeeper& timekeeper, uint64_t now) {
    const int64_t ahead = SignedDelta(timekeeper.line().cycle_start, now,
                                      timekeeper.counter_bits());
    return ahead > 0 && static_cast<uint64_t>(ahead) >
                            NsToCycles(kFarthestAheadNs, timekeeper.nominal());
  }

  /// Measures once and sets what the next line needs. Follow it by publishing.
  /// Range: the timekeeper's line has begun, or its counter went back.
  void Steer(Timekeeper& timekeeper) {
    ++health_.ticks;
    const Brackets brackets = Measure(kTries);
    const Bracket& mono = brackets.monotonic;
    if (LostReference(timekeeper, brackets)) {
      Rejoin(timekeeper);
    } else if (IsUsable(mono) && timekeeper.LineHasBegun(mono.midpoint())) {
      Accept(mono.width());
      SteerAll(timekeeper, brackets);
    } else {
      Reject(mono.width());
    }
    SetRates(timekeeper);
    SetStatus(timekeeper);
  }

  /// As of the last Steer().
  const DisciplineHealth& health() const { return health_; }
  /// The reference's, asked every 4 s and when its REALTIME is set.
  const ReferenceQuality& quality() const { return quality_; }

 private:
  static constexpr int kTries = 3;
  static constexpr int kRejectedInARow = 8;
  /// Asking costs a system call, half of a tick's price. A change of frequency
  /// by 500 ppm that goes unnoticed for so long makes 2 us.
  static constexpr int64_t kQualityNs = 4'000'000;

  /// One reading of each clock.
  struct Brackets {
    Bracket monotonic;
    Bracket realtime;
    Bracket monotonic_raw;
    Bracket boottime;
  };

  /// Long enough to average the counter's grain away, short against what the
  /// reference's slope does.
  static double ServoWindowNs(uint64_t tick_ns) {
    return std::max(16e6, static_cast<double>(tick_ns) * 0.5);
  }

  static Timespec TimeAt(const FittedLine& line, uint64_t cycles) {
    const double ns = line.NsAt(cycles, line.origin_ns);
    return NsToTimespec(line.origin_ns + std::llround(ns));
  }

  /// What does not depend on how a line came about.
  void Begin(uint64_t now) {
    last_cycles_ = now;
    last_mono_ns_ = quality_at_ns_ =
        static_cast<int64_t>(TimespecToNs(TimeAt(calibration_.monotonic, now)));
    slept_ns_ = calibration_.boottime.NsAt(now, last_mono_ns_) -
                calibration_.monotonic.NsAt(now, last_mono_ns_);
  }

  Brackets Measure(int tries) {
    Brackets brackets;
    brackets.monotonic = reference_.ReadNarrowest(ClockId::kMonotonic, tries);
    brackets.realtime = reference_.ReadNarrowest(ClockId::kRealtime, tries);
    brackets.monotonic_raw =
        reference_.ReadNarrowest(ClockId::kMonotonicRaw, tries);
    brackets.boottime = reference_.Read(ClockId::kBoottime);
    return brackets;
  }

  /// How long the machine has slept since it was booted, by two brackets.
  double SleptNs(const Brackets& brackets) const {
    return ReferenceNs(brackets.boottime, brackets.monotonic.midpoint(),
                       brackets.monotonic.ns);
  }

  /// What the reference showed at `at`, less base_ns, by a bracket nearby.
  double ReferenceNs(const Bracket& bracket, uint64_t at,
                     int64_t base_ns) const {
    const auto later =
        static_cast<double>(static_cast<int64_t>(at - bracket.midpoint()));
    return static_cast<double>(bracket.ns - base_ns) +
           later * calibration_.monotonic_raw.ns_per_cycle;
  }

  bool LostReference(const Timekeeper& timekeeper, const Brackets& brackets) {
    const uint64_t now = brackets.monotonic.midpoint();
    if (CounterWentBack(timekeeper, now)) return true;
    if (!IsUsable(brackets.monotonic)) return false;
    if (IsUsable(brackets.boottime) &&
        std::abs(SleptNs(brackets) - slept_ns_) > kSuspendFromNs) {
      return true;
    }
    if (!timekeeper.LineHasBegun(now)) return false;
    const double offset_ns = MonotonicOffset(timekeeper, brackets.monotonic);
    return offset_ns > kJumpFromNs ||
           (offset_ns < -kJumpFromNs &&
            LastReadable(timekeeper, brackets.monotonic) != now);
  }

  /// Ends the line at the last value that readers may have had of it, and lets
  /// the next one begin where the reference is.
  void Rejoin(Timekeeper& timekeeper) {
    ++health_.rejoins;
    const Brackets brackets = Measure(kRejoinTries);
    const uint64_t now = brackets.monotonic.midpoint();
    timekeeper.HoldAt(LastReadable(timekeeper, brackets.monotonic));
    const auto gap_ns = [&](const Bracket& bracket, uint32_t base) {
      const Timespec held = TimebaseToTimespec(timekeeper.line().base[base],
                                               timekeeper.nominal().shift);
      const auto held_ns = static_cast<int64_t>(TimespecToNs(held));
      return std::llround(ReferenceNs(bracket, now, held_ns));
    };
    const int64_t mono_ns = gap_ns(brackets.monotonic, VVAR_BASE_MONOTONIC);
    const int64_t raw_ns =
        gap_ns(brackets.monotonic_raw, VVAR_BASE_MONOTONIC_RAW);
    const int64_t boot_ns = gap_ns(brackets.boottime, VVAR_BASE_BOOTTIME);
    health_.ahead_ns = AheadNs(mono_ns);
    raw_ahead_ns_ = AheadNs(raw_ns);
    // REALTIME slept as BOOTTIME did; what is left of it is a step, or nothing.
    timekeeper.Resume(now, {boot_ns, mono_ns, raw_ns, boot_ns});
    last_mono_ns_ = brackets.monotonic.ns;
    last_cycles_ = now;
    slept_ns_ = SleptNs(brackets);
    quality_ = reference_.Quality();
    quality_at_ns_ = last_mono_ns_;
    SetErrorBound(timekeeper, brackets.monotonic.width());
  }
  static constexpr int kRejoinTries = 8;

  /// What the servo need not bother about.
  static double AheadNs(int64_t gap_ns) {
    const auto ahead_ns = static_cast<double>(-gap_ns);
    return ahead_ns > kJumpFromNs ? ahead_ns : 0.0;
  }

  /// The last counter value at which a reader may have used the line, `now`
  /// being `mono`'s: while the machine slept, nobody read.
  uint64_t LastReadable(const Timekeeper& timekeeper,
                        const Bracket& mono) const {
    const Line& line = timekeeper.line();
    const uint64_t now = mono.midpoint();
    const auto awake_ns = static_cast<double>(mono.ns - last_mono_ns_);
    const auto awake_cycles = static_cast<uint64_t>(
        std::max(awake_ns, 0.0) / calibration_.monotonic_raw.ns_per_cycle);
    const auto age = [&](uint64_t cycles) {
      return SignedDelta(cycles, line.cycle_start, timekeeper.counter_bits());
    };
    const auto max_age = static_cast<int64_t>(line.max_cycles);
    const bool stale_since_awake = age(now - awake_cycles) > max_age;
    const uint64_t last = stale_since_awake || CounterWentBack(timekeeper, now)
                              ? last_cycles_ + awake_cycles
                              : now;
    return age(last) > max_age ? line.cycle_start + line.max_cycles : last;
  }

  bool IsUsable(const Bracket& bracket) const {
    return bracket.width() <= 3 * usual_width_;
  }

  /// Brackets that are narrow again are what is usual again, by and by.
  void Accept(uint64_t width) {
    rejected_in_a_row_ = 0;
    if (2 * width < usual_width_) usual_width_ -= usual_width_ / 8;
  }

  /// Brackets that stay wide are no interruptions: this is what they take now.
  void Reject(uint64_t width) {
    ++health_.rejected_brackets;
    if (rejected_in_a_row_ == 0 || width < narrowest_rejected_) {
      narrowest_rejected_ = width;
    }
    if (++rejected_in_a_row_ < kRejectedInARow) return;
    rejected_in_a_row_ = 0;
    usual_width_ = narrowest_rejected_;
  }

  /// Reference - line at the bracket's midpoint. Units: ns.
  static double Offset(const Timekeeper& timekeeper, uint32_t index,
                       const Bracket& bracket) {
    const Line& line = timekeeper.line();
    const Timebase at =
        line.At(index, bracket.midpoint(), timekeeper.counter_bits());
    const Timespec whole = TimebaseToTimespec(at, line.scale.shift);
    const double fraction =
        std::ldexp(static_cast<double>(at.nsec_shifted - (uint64_t{whole.nsec}
                                                          << line.scale.shift)),
                   -static_cast<int>(line.scale.shift));
    const auto line_ns = static_cast<int64_t>(TimespecToNs(whole));
    // The reference truncates: on average its reading is half a ns low.
    return static_cast<double>(bracket.ns - line_ns) + 0.5 - fraction;
  }

  double MonotonicOffset(const Timekeeper& timekeeper,
                         const Bracket& bracket) const {
    return Offset(timekeeper, VVAR_BASE_MONOTONIC, bracket) + health_.ahead_ns;
  }

  void SteerAll(Timekeeper& timekeeper, const Brackets& brackets) {
    const Bracket& mono = brackets.monotonic;
    const auto elapsed_ns = static_cast<double>(mono.ns - last_mono_ns_);
    last_mono_ns_ = mono.ns;
    last_cycles_ = mono.midpoint();
    if (mono.ns - quality_at_ns_ >= kQualityNs) AskQuality();
    const double offset_ns = MonotonicOffset(timekeeper, mono);
    SteerMonotonic(offset_ns, elapsed_ns);
    if (IsUsable(brackets.monotonic_raw)) {
      raw_servo_.Add(
          Offset(timekeeper, VVAR_BASE_MONOTONIC_RAW, brackets.monotonic_raw) +
              raw_ahead_ns_,
          elapsed_ns);
    }
    const double expected_ns =
        offset_ns + realtime_.RunOn(timekeeper, elapsed_ns);
    SteerRealtime(timekeeper, brackets.realtime, expected_ns);
    SetErrorBound(timekeeper, mono.width());
  }

  void SteerMonotonic(double offset_ns, double elapsed_ns) {
    health_.last_offset_ns = offset_ns;
    health_.max_offset_ns =
        std::max(health_.max_offset_ns, std::abs(offset_ns));
    if (std::abs(offset_ns) > Servo::kLargeNs) ++health_.large_offsets;
    servo_.Add(offset_ns, elapsed_ns);
  }

  /// `expected_ns`: what TAI is off by if nobody set the reference's REALTIME.
  void SteerRealtime(Timekeeper& timekeeper, Bracket realtime,
                     double expected_ns) {
    realtime_.Announce(timekeeper, quality_);
    if (!IsUsable(realtime)) return;
    double difference_ns = TaiOffset(timekeeper, realtime) - expected_ns;
    if (realtime_.IsStep(difference_ns)) {
      // Or a leap second, of which quality_ does not know yet.
      AskQuality();
      realtime_.Announce(timekeeper, quality_);
      realtime = reference_.ReadNarrowest(ClockId::kRealtime, kTries);
      if (!IsUsable(realtime)) return;
      difference_ns = TaiOffset(timekeeper, realtime) - expected_ns;
    }
    if (realtime_.Steer(timekeeper, difference_ns)) ++health_.realtime_steps;
    health_.refused_ns = realtime_.refused_ns();
  }

  /// As Offset(), of TAI, which goes on through leap seconds on both sides.
  double TaiOffset(const Timekeeper& timekeeper, Bracket realtime) const {
    const int32_t ahead_sec =
        RealtimeSteering::TaiOffsetSec(timekeeper, quality_) -
        timekeeper.line().tai_offset_sec;
    realtime.ns += int64_t{quality_.tai_offset_sec - ahead_sec} * 1'000'000'000;
    return Offset(timekeeper, VVAR_BASE_TAI, realtime);
  }

  void AskQuality() {
    quality_ = reference_.Quality();
    quality_at_ns_ = last_mono_ns_;
  }

  void SetRates(Timekeeper& timekeeper) {
    const double nominal =
        std::ldexp(static_cast<double>(timekeeper.nominal().mult),
                   -static_cast<int>(timekeeper.nominal().shift));
    const double raw_ratio = calibration_.monotonic_raw.ns_per_cycle / nominal;
    const double ratio =
        raw_ratio *
        (1 + (quality_.frequency_ppb + servo_.correction_ppb()) * 1e-9);
    health_.frequency_ppb = (ratio - 1) * 1e9;
    timekeeper.SetFrequency(std::llround(health_.frequency_ppb));
    timekeeper.SetRawFrequency(std::llround(
        (raw_ratio * (1 + raw_servo_.correction_ppb() * 1e-9) - 1) * 1e9));
  }

  void SetStatus(Timekeeper& timekeeper) const {
    const bool vouched = quality_.synchronised && realtime_.refused_ns() == 0;
    timekeeper.SetStatus(vouched ? ClockStatus::kSynchronised
                                 : ClockStatus::kUnsynchronised);
  }

  /// Only a measurement, in a bracket of `width`, renews the bound; without one
  /// it grows.
  void SetErrorBound(Timekeeper& timekeeper, uint64_t width) {
    const uint64_t own_ns =
        static_cast<uint64_t>(std::abs(health_.last_offset_ns) +
                              std::abs(realtime_.refused_ns())) +
        CyclesToNs(width / 2, timekeeper.nominal(), 0) + kOwnErrorNs;
    const auto quality_age_ns =
        static_cast<uint64_t>(last_mono_ns_ - quality_at_ns_);
    timekeeper.SetErrorBound(
        AddErrors(ErrorNsAfter(quality_.max_error_ns, quality_age_ns,
                               kErrorGrowthPpb),
                  own_ns),
        kErrorGrowthPpb);
  }

  /// The counter's grain, and what the slope may be off by until the next tick.
  static constexpr uint64_t kOwnErrorNs = 50;
  /// The rate at which the kernel itself lets maxerror grow.
  /// Source: Linux kernel/time/ntp.c, MAXFREQ: 500 ppm.
  static constexpr uint32_t kErrorGrowthPpb = 500'000;

  Reference& reference_;
  Servo servo_;
  Servo raw_servo_;
  RealtimeSteering realtime_;
  Calibration calibration_;
  ReferenceQuality quality_;
  DisciplineHealth health_;
  int64_t last_mono_ns_ = 0;
  uint64_t last_cycles_ = 0;
  int64_t quality_at_ns_ = 0;
  double slept_ns_ = 0;
  double raw_ahead_ns_ = 0;
  uint64_t usual_width_ = calibration_.usual_width;
  int rejected_in_a_row_ = 0;
  uint64_t narrowest_rejected_ = 0;
};

}  // namespace vvar::hosted

#endif  // VVAR_HOSTED_DISCIPLINE_H_
