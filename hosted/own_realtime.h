// SPDX-License-Identifier: MIT
//
// A REALTIME of one's own: another reference's, moved, and running at another
// rate from now on. Its other clocks are untouched. Linux user space.
#ifndef VVAR_HOSTED_OWN_REALTIME_H_
#define VVAR_HOSTED_OWN_REALTIME_H_

#include <stdint.h>

#include <cmath>
#include <memory>
#include <utility>

#include "hosted/reference.h"
#include "vvar/page.h"

namespace vvar::hosted {

/// The reference of a page whose REALTIME is the kernel's, plus offset_ns, plus
/// rate_ppb of the MONOTONIC time since it was made. A step of the kernel's is
/// a step of this one. Give the updater the same rate (RealtimePolicy): then
/// REALTIME runs so between updates too.
class OwnRealtime : public Reference {
 public:
  /// `rate_ppb` counts from here on.
  OwnRealtime(std::unique_ptr<Reference> base, int64_t offset_ns,
              int64_t rate_ppb)
      : base_(std::move(base)),
        offset_ns_(offset_ns),
        rate_ppb_(rate_ppb),
        start_ns_(base_->Read(ClockId::kMonotonic).ns) {}

  Bracket Read(ClockId clock) override {
    Bracket bracket = base_->Read(clock);
    if (clock == ClockId::kRealtime) bracket.ns += AheadNs();
    return bracket;
  }

  /// Its midnights are not the base's: that one's leap seconds are seen when
  /// they are made.
  ReferenceQuality Quality() override {
    ReferenceQuality quality = base_->Quality();
    quality.leap_state = VVAR_LEAP_NONE;
    return quality;
  }

 private:
  /// Error: rate_ppb of the time between two readings of the base, a fraction
  /// of a nanosecond.
  int64_t AheadNs() {
    if (rate_ppb_ == 0) return offset_ns_;
    const auto elapsed_ns =
        static_cast<double>(base_->Read(ClockId::kMonotonic).ns - start_ns_);
    return offset_ns_ +
           std::llround(elapsed_ns * static_cast<double>(rate_ppb_) * 1e-9);
  }

  std::unique_ptr<Reference> base_;
  int64_t offset_ns_;
  int64_t rate_ppb_;
  int64_t start_ns_;
};

}  // namespace vvar::hosted

#endif  // VVAR_HOSTED_OWN_REALTIME_H_
