// SPDX-License-Identifier: MIT
//
// A page that follows a PTP domain (/dev/ptp0; without it TAI, made of the
// system's clock) next to one that follows the system's. Both stand on one
// counter: an instant of the one converts to the other without a further read.
#include <stdint.h>
#include <stdio.h>

#include <memory>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_format.h"
#include "clocks/native.h"
#include "hosted/clock.h"
#include "hosted/counter.h"
#include "hosted/page_keeper.h"
#include "hosted/ptp_reference.h"
#include "hosted/reference.h"
#include "vvar/history.h"
#include "vvar/page.h"
#include "vvar/reading.h"

namespace hosted = vvar::hosted;
using vvar::ClockId;

/// The kernel's clock, its REALTIME on the TAI scale: any clock that can be
/// read between two counter readings is a reference.
class TaiReference : public hosted::KernelReference {
 public:
  using KernelReference::KernelReference;
  hosted::Bracket Read(ClockId clock) override {
    hosted::Bracket bracket = KernelReference::Read(clock);
    if (clock == ClockId::kRealtime) bracket.ns += 37'000'000'000;
    return bracket;
  }
};

absl::StatusOr<std::unique_ptr<hosted::Reference>> Follow(
    const char* path, vvar::NativeClock clock) {
  auto device = hosted::PtpFile::Open(path);
  if (!device.ok()) return device.status();
  auto comparator = hosted::PtpComparator::Create(*std::move(device), path);
  if (!comparator.ok()) return comparator.status();
  // The domain keeps TAI: a page's REALTIME is to show it as it is.
  return hosted::PtpReference::Create(
      *std::move(comparator), std::make_unique<hosted::KernelReference>(clock),
      {.tai_offset_sec = 0});
}

int Fail(const absl::Status& status) {
  absl::FPrintF(stderr, "%s\n", status.ToString());
  return 1;
}

int main(int argc, char** argv) {
  const auto counter = hosted::FindCounter();
  if (!counter.ok()) return Fail(counter.status());
  auto reference = Follow(argc > 1 ? argv[1] : "/dev/ptp0", counter->clock);
  if (!reference.ok()) {
    absl::FPrintF(stderr, "TAI: %s\n", reference.status().ToString());
    reference = std::make_unique<TaiReference>(counter->clock);
  }
  const auto domain =
      hosted::PageKeeper::Start(*counter, *std::move(reference), {});
  if (!domain.ok()) return Fail(domain.status());
  const hosted::InProcessClock system;
  if (!system.status().ok()) return Fail(system.status());

  vvar::SnapshotReading now;
  vvar::History<vvar::NativeClock> lines;
  if ((*domain)->reader().Snapshot(&now) != vvar::ReadStatus::kOk ||
      lines.Capture(system.reader()) != vvar::ReadStatus::kOk) {
    return Fail(absl::UnavailableError("a page does not answer"));
  }
  const auto utc = lines.NsAt(ClockId::kRealtime, now.cycles);
  absl::PrintF("domain %d ns\nsystem %d ns +- %d ns\n", now.realtime_ns, utc.ns,
               utc.error_ns);
}
