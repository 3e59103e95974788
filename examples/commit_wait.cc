// SPDX-License-Identifier: MIT
//
// Commit wait, as of Spanner's TrueTime: a transaction's timestamp is the
// latest that the time may be, and reported once it is surely past. So what
// begins after that has a later timestamp, on any machine whose bound holds.
// Takes a bound in us, if you vouch for one: commit_wait 500
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <chrono>
#include <memory>
#include <thread>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_format.h"
#include "clocks/native.h"
#include "hosted/counter.h"
#include "hosted/page_keeper.h"
#include "hosted/reference.h"
#include "vvar/page.h"
#include "vvar/reader.h"

namespace hosted = vvar::hosted;

/// The kernel's clock with a bound that the operator vouches for.
class VouchedReference : public hosted::KernelReference {
 public:
  VouchedReference(vvar::NativeClock clock, uint64_t max_error_ns)
      : KernelReference(clock), max_error_ns_(max_error_ns) {}
  hosted::ReferenceQuality Quality() override {
    auto quality = KernelReference::Quality();
    quality.synchronised = true;
    quality.max_error_ns = max_error_ns_;
    return quality;
  }

 private:
  const uint64_t max_error_ns_;
};

/// Returns the transaction's timestamp, when it is past. There is no falling
/// back: the system's clock has no bounds.
absl::StatusOr<uint64_t> Commit(const vvar::Reader<vvar::NativeClock>& reader) {
  for (uint64_t timestamp_ns = 0;;) {
    const auto now = reader.Interval(vvar::ClockId::kRealtime);
    if (!now.ok() || now.clock_status != vvar::ClockStatus::kSynchronised) {
      return absl::FailedPreconditionError("nobody vouches for this clock");
    }
    if (timestamp_ns == 0) timestamp_ns = now.latest_ns;
    if (now.earliest_ns > timestamp_ns) return timestamp_ns;
    std::this_thread::sleep_for(
        std::chrono::nanoseconds(timestamp_ns - now.earliest_ns + 1));
  }
}

int Fail(const absl::Status& status) {
  absl::FPrintF(stderr, "%s\n", status.ToString());
  return 1;
}

int main(int argc, char** argv) {
  const auto counter = hosted::FindCounter();
  if (!counter.ok()) return Fail(counter.status());
  auto reference = std::make_unique<hosted::KernelReference>(counter->clock);
  if (argc > 1) {
    reference = std::make_unique<VouchedReference>(
        counter->clock, 1000 * strtoull(argv[1], nullptr, 10));
  }
  const auto keeper =
      hosted::PageKeeper::Start(*counter, std::move(reference), {});
  if (!keeper.ok()) return Fail(keeper.status());
  for (const char* name : {"first", "second"}) {
    const auto timestamp_ns = Commit((*keeper)->reader());
    if (!timestamp_ns.ok()) return Fail(timestamp_ns.status());
    absl::PrintF("%s transaction: %d\n", name, *timestamp_ns);
  }
}
