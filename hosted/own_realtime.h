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

  /// Of REALTIME at a rate, the bracket is wider by what MONOTONIC, which is
  /// read before and after, is uncertain of: whoever is held up there is
  /// believed less.
  Bracket Read(ClockId clock) override {
    if (clock != ClockId::kRealtime || rate_ppb_ == 0) {
      Bracket bracket = base_->Read(clock);
      if (clock == ClockId::kRealtime) bracket.ns += offset_ns_;
      return bracket;
    }
    const Bracket earlier = base_->Read(ClockId::kMonotonic);
    const Bracket bracket = base_->Read(clock);
    const Bracket later = base_->Read(ClockId::kMonotonic);
    const double rate = static_cast<double>(rate_ppb_) * 1e-9;
    const auto wider = static_cast<uint64_t>(
        std::abs(rate) * static_cast<double>(earlier.width() + later.width()));
    return {
        bracket.before - wider, bracket.after + wider,
        bracket.ns + offset_ns_ +
            std::llround(ElapsedNs(earlier, later, bracket.midpoint()) * rate)};
  }

  /// Its midnights are not the base's: that one's leap seconds are seen when
  /// they are made.
  ReferenceQuality Quality() override {
    ReferenceQuality quality = base_->Quality();
    quality.leap_state = VVAR_LEAP_NONE;
    return quality;
  }

 private:
  /// MONOTONIC since the start, at a counter value between two readings of it.
  double ElapsedNs(const Bracket& earlier, const Bracket& later,
                   uint64_t at) const {
    const uint64_t begin = earlier.midpoint();
    const uint64_t span = later.midpoint() - begin;
    const double part =
        span == 0 ? 0
                  : static_cast<double>(at - begin) / static_cast<double>(span);
    return static_cast<double>(earlier.ns - start_ns_) +
           part * static_cast<double>(later.ns - earlier.ns);
  }

  std::unique_ptr<Reference> base_;
  int64_t offset_ns_;
  int64_t rate_ppb_;
  int64_t start_ns_;
};

}  // namespace vvar::hosted

#endif  // VVAR_HOSTED_OWN_REALTIME_H_
