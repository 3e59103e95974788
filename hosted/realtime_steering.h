// SPDX-License-Identifier: MIT
//
// REALTIME and TAI of a hosted writer: what to do where the reference's wall
// clock has been set, and at leap seconds. Knows no page and no thread; writer
// side only. The rate, which all clocks share, is discipline.h's.
#ifndef VVAR_HOSTED_REALTIME_STEERING_H_
#define VVAR_HOSTED_REALTIME_STEERING_H_

#include <stdint.h>

#include <cmath>
#include <cstdlib>

#include "hosted/reference.h"
#include "vvar/leap.h"
#include "vvar/page.h"
#include "vvar/timekeeper.h"

namespace vvar::hosted {

/// What REALTIME does when the reference's is set. MONOTONIC is never touched.
enum class StepPolicy {
  kFollow,  ///< Steps at the next update.
  kSlew,    ///< Goes there by RealtimePolicy::slew_ppb; TAI steps.
  kRefuse,  ///< Stays: unsynchronised, until the reference is back.
};

/// How a leap second that the reference announces is made.
enum class LeapPolicy {
  kStep,   ///< As Linux does: 23:59:59 comes twice, or not at all.
  kSmear,  ///< Linearly, from noon to noon. Says so on the page.
};

/// How REALTIME goes after the reference's.
struct RealtimePolicy {
  StepPolicy on_step = StepPolicy::kFollow;  ///< When that has been set.
  LeapPolicy on_leap = LeapPolicy::kStep;    ///< At its leap seconds.
  int64_t slew_ppb = 500'000;  ///< Range: [0, Timekeeper::kMaxPpb].
  /// What the reference's REALTIME runs faster by than its other clocks do: see
  /// OwnRealtime. Not with kSlew. Range: +-Timekeeper::kMaxPpb.
  int64_t rate_ppb = 0;
};

/// Steers by TAI, REALTIME + TAI offset, on both sides: that goes on through
/// leap seconds and smears, whenever each side makes them.
class RealtimeSteering {
 public:
  /// A clock that is off by more has been set.
  static constexpr double kStepFromNs = 1000;

  /// The policy stays the same for good.
  explicit RealtimeSteering(const RealtimePolicy& policy) : policy_(policy) {}

  /// Takes over what the reference says of TAI and leap seconds.
  void Announce(Timekeeper& timekeeper, const ReferenceQuality& quality) const {
    timekeeper.SetTaiOffset(TaiOffsetSec(timekeeper, quality));
    const LeapPlan& plan = timekeeper.line().leap;
    const bool announced = quality.leap_state == VVAR_LEAP_INSERT ||
                           quality.leap_state == VVAR_LEAP_DELETE;
    if (announced && plan.state == VVAR_LEAP_NONE) {
      // Refused only if its date is here: then the reference's step is seen.
      (void)timekeeper.ScheduleLeap(PlanOf(timekeeper, quality));
    }
    if (quality.leap_state == VVAR_LEAP_NONE &&
        (IsPending(plan) || plan.state == VVAR_LEAP_DONE)) {
      timekeeper.CancelLeap();
    }
  }

  /// Has REALTIME go on at its own rate, `elapsed_ns` after the last call.
  /// Returns what TAI moves by for that, where the next line begins: it goes in
  /// steps, which was_set_count counts; REALTIME goes evenly.
  double RunOn(Timekeeper& timekeeper, double elapsed_ns) {
    if (policy_.rate_ppb == 0) return 0;
    own_ns_ += elapsed_ns * static_cast<double>(policy_.rate_ppb) * 1e-9;
    const int64_t whole_ns = std::llround(own_ns_);
    own_ns_ -= static_cast<double>(whole_ns);
    // No faster than its rate: what is left over from one interval to the next
    // keeps the slope the same.
    timekeeper.SlewRealtime(whole_ns, std::abs(policy_.rate_ppb));
    return static_cast<double>(whole_ns);
  }

  /// The page's TAI offset ought to be the reference's, less a leap second that
  /// only one of them has made: the page is exact, a kernel makes it at a tick.
  static int32_t TaiOffsetSec(const Timekeeper& timekeeper,
                              const ReferenceQuality& quality) {
    const LeapPlan& plan = timekeeper.line().leap;
    const uint32_t page = plan.state;
    const uint32_t reference = quality.leap_state;
    const bool page_is_ahead = page != VVAR_LEAP_NONE && !IsPending(plan);
    if (page_is_ahead && reference == VVAR_LEAP_INSERT) {
      return quality.tai_offset_sec + 1;
    }
    if (page_is_ahead && reference == VVAR_LEAP_DELETE) {
      return quality.tai_offset_sec - 1;
    }
    const bool reference_is_ahead =
        reference == VVAR_LEAP_INSERTED || reference == VVAR_LEAP_DONE;
    if (reference_is_ahead && page == VVAR_LEAP_INSERT) {
      return quality.tai_offset_sec - 1;
    }
    if (reference_is_ahead && page == VVAR_LEAP_DELETE) {
      return quality.tai_offset_sec + 1;
    }
    return quality.tai_offset_sec;
  }

  /// Whether `difference_ns` (what TAI is off by beyond what MONOTONIC is) says
  /// that the reference's clock was set, or the caller's idea of its TAI offset
  /// is old: then both are to be asked again.
  bool IsStep(double difference_ns) const {
    return std::abs(difference_ns - refused_ns_) > kStepFromNs;
  }

  /// Acts on a difference. Returns whether it was a step.
  bool Steer(Timekeeper& timekeeper, double difference_ns) {
    const double new_ns = difference_ns - refused_ns_;
    if (std::abs(new_ns) > kStepFromNs) {
      OnStep(timekeeper, difference_ns, new_ns);
      return true;
    }
    sum_ns_ += new_ns;
    if (++count_ == kMeanOf) {
      const double mean_ns = sum_ns_ / kMeanOf;
      if (std::abs(mean_ns) > kSettledNs) {
        timekeeper.StepRealtime(std::llround(mean_ns));
      }
      Forget();
    }
    return false;
  }

  /// What the reference asks REALTIME to move by and does not get.
  double refused_ns() const { return refused_ns_; }

 private:
  /// A step is as exact as one bracket: what is left of it shows in the mean of
  /// this many, and is stepped too if it is more than that mean's noise.
  static constexpr int kMeanOf = 256;
  static constexpr double kSettledNs = 3;
  static constexpr int64_t kDaySec = 86'400;

  /// The reference speaks of the end of this UTC day.
  LeapPlan PlanOf(const Timekeeper& timekeeper,
                  const ReferenceQuality& quality) const {
    const bool insert = quality.leap_state == VVAR_LEAP_INSERT;
    const int64_t now_sec = timekeeper.line().base[VVAR_BASE_REALTIME].sec;
    const int64_t midnight_sec = (now_sec / kDaySec + 1) * kDaySec;
    if (policy_.on_leap == LeapPolicy::kStep) {
      return insert ? InsertLeapSecond(midnight_sec)
                    : DeleteLeapSecond(midnight_sec);
    }
    // Announced after noon, it is made in what is left.
    const int64_t noon_sec = midnight_sec - kDaySec / 2;
    const int64_t start_sec = noon_sec > now_sec + 1 ? noon_sec : now_sec + 2;
    const auto smear_sec =
        static_cast<uint32_t>(noon_sec + kDaySec - start_sec);
    return insert ? SmearInsertedSecond(start_sec, smear_sec)
                  : SmearDeletedSecond(start_sec, smear_sec);
  }

  void OnStep(Timekeeper& timekeeper, double difference_ns, double new_ns) {
    Forget();
    switch (policy_.on_step) {
      case StepPolicy::kFollow:
        timekeeper.StepRealtime(std::llround(new_ns));
        return;
      case StepPolicy::kSlew:
        timekeeper.SlewRealtime(std::llround(new_ns), policy_.slew_ppb);
        return;
      case StepPolicy::kRefuse:
        // Back to where it was: a refusal less.
        refused_ns_ =
            std::abs(difference_ns) > kStepFromNs ? difference_ns : 0.0;
        return;
    }
  }

  void Forget() {
    sum_ns_ = 0;
    count_ = 0;
  }

  RealtimePolicy policy_;
  double refused_ns_ = 0;
  double own_ns_ = 0;  ///< Of RunOn(), below a nanosecond.
  double sum_ns_ = 0;
  int count_ = 0;
};

}  // namespace vvar::hosted

#endif  // VVAR_HOSTED_REALTIME_STEERING_H_
