// SPDX-License-Identifier: MIT
//
// A counter as a guest sees it: the host's, scaled and shifted as
// virtualisation hardware does it. The host's writer takes it as its
// ClockSource, so that its lines are in the guest's units by construction.
// Freestanding.
#ifndef VVAR_EMBED_KVM_GUEST_GUEST_COUNTER_H_
#define VVAR_EMBED_KVM_GUEST_GUEST_COUNTER_H_

#include <stdint.h>

#include "vvar/clocksource.h"
#include "vvar/scale.h"

namespace vvar::kvm_guest {

/// guest = (host * multiplier >> 48) + offset, modulo 2^64.
/// Source: Intel SDM vol. 3C, "Use of TSC Scaling" (TSC multiplier with 48
/// fractional bits); AMD APM vol. 2, "TSC Ratio MSR", has 32 of them.
struct CounterScaling {
  static constexpr uint64_t kOne = uint64_t{1} << 48;

  uint64_t multiplier = kOne;
  uint64_t offset = 0;

  constexpr uint64_t FromHost(uint64_t host) const {
    return Product(host) + offset;
  }
  /// Returns this scaling of a counter that is `ahead` of the host's, or behind
  /// it, already. Error: a cycle. Range: neither of the two wraps.
  constexpr CounterScaling Of(int64_t ahead) const {
    const uint64_t by = Product(Magnitude(ahead));
    return {multiplier, ahead < 0 ? offset - by : offset + by};
  }

 private:
  constexpr uint64_t Product(uint64_t host) const {
    return MultiplyHigh(host, multiplier) << 16 | host * multiplier >> 48;
  }
};

/// `Host` as a guest under `scaling` sees it.
template <ClockSource Host>
class GuestCounter {
 public:
  static constexpr uint32_t kCounterId = Host::kCounterId;
  static constexpr uint32_t kCounterBits = Host::kCounterBits;
  static_assert(kCounterBits == 64, "an offset moves where a counter wraps");

  constexpr GuestCounter() = default;
  constexpr GuestCounter(Host host, CounterScaling scaling)
      : host_(host), scaling_(scaling) {}

  uint64_t Read(uint32_t after = 0) const { return Guest(host_.Read(after)); }
  uint64_t ReadUnordered() const { return Guest(host_.ReadUnordered()); }
  uint64_t ReadBeforeStores() const { return Guest(host_.ReadBeforeStores()); }
  uint64_t ReadAfterStores() const { return Guest(host_.ReadAfterStores()); }
  void Relax() const { host_.Relax(); }

 private:
  uint64_t Guest(uint64_t host) const { return scaling_.FromHost(host); }

  Host host_;
  CounterScaling scaling_;
};

}  // namespace vvar::kvm_guest

#endif  // VVAR_EMBED_KVM_GUEST_GUEST_COUNTER_H_
