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
#include "hosted/reference.h"
#include "hosted/servo.h"
#include "vvar/timekeeper.h"

namespace vvar::hosted {

/// How well the discipline does. Offsets are reference - line.
struct DisciplineHealth {
  double last_offset_ns = 0;  ///< MONOTONIC, at the last tick that was used.
  double max_offset_ns = 0;   ///< Its largest magnitude since the start.
  double frequency_ppb = 0;   ///< Of the line against the nominal rate.
  uint64_t ticks = 0;
  uint64_t rejected_brackets = 0;  ///< Ticks skipped: every bracket disturbed.
  uint64_t large_offsets = 0;      ///< Ticks beyond Servo::kLargeNs.
  uint64_t realtime_steps = 0;
};

/// Follows a Reference. MONOTONIC, BOOTTIME and TAI share one slope, which a
/// servo steers, with the reference's own frequency fed forward; REALTIME is
/// MONOTONIC plus a constant, stepped when the reference's is; MONOTONIC_RAW
/// has its own slope and servo, as the kernel's has.
class Discipline {
 public:
  /// A REALTIME that is off by more has been stepped.
  static constexpr double kStepFromNs = 1000;
  /// A line that is behind by more jumps forward when a writer takes over.
  static constexpr double kJumpFromNs = 1'000'000;

  Discipline(Reference& reference, int64_t calibration_ns, uint64_t tick_ns)
      : reference_(reference),
        servo_(ServoWindowNs(tick_ns)),
        raw_servo_(ServoWindowNs(tick_ns)),
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
        TimeAt(calibration_.realtime, now),
        Later(TimeAt(calibration_.monotonic, now), floor_.monotonic),
        Later(TimeAt(calibration_.monotonic_raw, now), floor_.monotonic_raw),
        Later(TimeAt(calibration_.boottime, now), floor_.boottime),
        quality_.tai_offset_sec};
    last_mono_ns_ = quality_at_ns_ =
        static_cast<int64_t>(TimespecToNs(times.monotonic));
    SetQuality(timekeeper);
    SetErrorBound(timekeeper, usual_width_);
    timekeeper.Start(now, times);
  }

  /// Goes on from a line that another writer left, where now lies. Returns
  /// false, for Start() to do, when it cannot be continued, or has fallen so
  /// far behind that it has to jump forward: readers found it stale long ago.
  [[nodiscard]] bool Continue(Timekeeper& timekeeper, const Line& line,
                              uint64_t now) {
    if (!timekeeper.Continue(line) || !timekeeper.LineHasBegun(now)) {
      return false;
    }
    const Timespec reference = TimeAt(calibration_.monotonic, now);
    const auto reference_ns = static_cast<int64_t>(TimespecToNs(reference));
    if (Offset(timekeeper, VVAR_BASE_MONOTONIC, {now, now, reference_ns}) >
        kJumpFromNs) {
      floor_ = {{},
                After(timekeeper, VVAR_BASE_MONOTONIC, now),
                After(timekeeper, VVAR_BASE_MONOTONIC_RAW, now),
                After(timekeeper, VVAR_BASE_BOOTTIME, now),
                0};
      return false;
    }
    last_mono_ns_ = quality_at_ns_ = reference_ns;
    SetRates(timekeeper);
    SetQuality(timekeeper);
    return true;
  }

  /// Measures once and sets what the next line needs. Follow it by publishing.
  /// Range: the timekeeper's line has begun.
  void Steer(Timekeeper& timekeeper) {
    ++health_.ticks;
    const Bracket mono = reference_.ReadNarrowest(ClockId::kMonotonic, kTries);
    const Bracket real = reference_.ReadNarrowest(ClockId::kRealtime, kTries);
    const Bracket raw =
        reference_.ReadNarrowest(ClockId::kMonotonicRaw, kTries);
    if (IsUsable(mono) && timekeeper.LineHasBegun(mono.midpoint())) {
      Accept(mono.width());
      const auto elapsed_ns = static_cast<double>(mono.ns - last_mono_ns_);
      last_mono_ns_ = mono.ns;
      if (mono.ns - quality_at_ns_ >= kQualityNs) {
        quality_ = reference_.Quality();
        quality_at_ns_ = mono.ns;
      }
      const double offset_ns = Offset(timekeeper, VVAR_BASE_MONOTONIC, mono);
      SteerMonotonic(offset_ns, elapsed_ns);
      if (IsUsable(raw)) {
        raw_servo_.Add(Offset(timekeeper, VVAR_BASE_MONOTONIC_RAW, raw),
                       elapsed_ns);
      }
      if (IsUsable(real)) {
        SteerRealtime(timekeeper,
                      Offset(timekeeper, VVAR_BASE_REALTIME, real) - offset_ns);
      }
      SetErrorBound(timekeeper, mono.width());
    } else {
      Reject(mono.width());
    }
    SetRates(timekeeper);
    SetQuality(timekeeper);
  }

  const DisciplineHealth& health() const { return health_; }
  const ReferenceQuality& quality() const { return quality_; }

 private:
  static constexpr int kTries = 3;
  static constexpr int kRejectedInARow = 8;
  /// A step is as exact as one bracket: what is left of it shows in the mean of
  /// this many, and is stepped too if it is more than that mean's noise.
  static constexpr int kDifferences = 256;
  static constexpr double kSettledNs = 3;
  /// Asking costs a system call, half of a tick's price. A change of frequency
  /// by 500 ppm that goes unnoticed for so long makes 2 us.
  static constexpr int64_t kQualityNs = 4'000'000;

  /// Long enough to average the counter's grain away, short against what the
  /// reference's slope does.
  static double ServoWindowNs(uint64_t tick_ns) {
    return std::max(16e6, static_cast<double>(tick_ns) * 0.5);
  }

  static Timespec TimeAt(const FittedLine& line, uint64_t cycles) {
    const double ns = line.NsAt(cycles, line.origin_ns);
    return NsToTimespec(line.origin_ns + std::llround(ns));
  }

  static Timespec Later(Timespec a, Timespec b) {
    return Precedes(a, b) ? b : a;
  }

  /// The first whole ns that is not before the timekeeper's clock at `now`.
  static Timespec After(const Timekeeper& timekeeper, uint32_t index,
                        uint64_t now) {
    const Line& line = timekeeper.line();
    const Timebase at = line.At(index, now, timekeeper.counter_bits());
    return TimebaseToTimespec(
        Add(at, TimespecToTimebase({0, 1}, line.scale.shift), line.scale.shift),
        line.scale.shift);
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

  void SteerMonotonic(double offset_ns, double elapsed_ns) {
    health_.last_offset_ns = offset_ns;
    health_.max_offset_ns =
        std::max(health_.max_offset_ns, std::abs(offset_ns));
    if (std::abs(offset_ns) > Servo::kLargeNs) ++health_.large_offsets;
    servo_.Add(offset_ns, elapsed_ns);
  }

  /// `difference_ns`: how far REALTIME is off beyond what MONOTONIC is.
  void SteerRealtime(Timekeeper& timekeeper, double difference_ns) {
    if (std::abs(difference_ns) > kStepFromNs) {
      StepRealtime(timekeeper, difference_ns);
      ++health_.realtime_steps;
      return;
    }
    difference_sum_ns_ += difference_ns;
    if (++differences_ < kDifferences) return;
    const double mean_ns = difference_sum_ns_ / kDifferences;
    StepRealtime(timekeeper, std::abs(mean_ns) > kSettledNs ? mean_ns : 0);
  }

  void StepRealtime(Timekeeper& timekeeper, double step_ns) {
    timekeeper.StepRealtime(std::llround(step_ns));
    difference_sum_ns_ = 0;
    differences_ = 0;
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

  void SetQuality(Timekeeper& timekeeper) {
    timekeeper.SetTaiOffset(quality_.tai_offset_sec);
    timekeeper.SetStatus(quality_.synchronised ? ClockStatus::kSynchronised
                                               : ClockStatus::kUnsynchronised);
  }

  /// Only a measurement, in a bracket of `width`, renews the bound; without one
  /// it grows.
  void SetErrorBound(Timekeeper& timekeeper, uint64_t width) {
    const uint64_t own_ns =
        static_cast<uint64_t>(std::abs(health_.last_offset_ns)) +
        CyclesToNs(width / 2, timekeeper.nominal(), 0) + kOwnErrorNs;
    const auto quality_age_ns =
        static_cast<uint64_t>(last_mono_ns_ - quality_at_ns_);
    timekeeper.SetErrorBound(
        ErrorNsAfter(quality_.max_error_ns, quality_age_ns, kErrorGrowthPpb) +
            own_ns,
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
  Calibration calibration_;
  ReferenceQuality quality_;
  DisciplineHealth health_;
  int64_t last_mono_ns_ = 0;
  int64_t quality_at_ns_ = 0;
  double difference_sum_ns_ = 0;
  int differences_ = 0;
  uint64_t usual_width_ = calibration_.usual_width;
  int rejected_in_a_row_ = 0;
  uint64_t narrowest_rejected_ = 0;
  StartTimes floor_ = {};
};

}  // namespace vvar::hosted

#endif  // VVAR_HOSTED_DISCIPLINE_H_
