// SPDX-License-Identifier: MIT
//
// Prints how far a clock is from the kernel's, about each millisecond, as CSV:
//
//   offset_trace [--page=NAME] --seconds=N
//
// Without a page: of a clock that this process starts for itself.

#include <stdint.h>
#include <stdio.h>
#include <time.h>

#include <string>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/flags/parse.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "hosted/clock.h"
#include "hosted/counter.h"
#include "hosted/shared_page.h"
#include "tools/compare.h"
#include "vvar/page.h"
#include "vvar/reader.h"

ABSL_FLAG(std::string, page, "", "page to read; none: this process's own");
ABSL_FLAG(double, seconds, 10, "how long");

namespace vvar::bench {
namespace {

using tools::Comparison;

struct Sample {
  int64_t at_ns;
  Comparison realtime;
  Comparison monotonic;
};

/// Compares clock `id` with the kernel's. Error: false if the page did not
/// answer.
template <class AnyReader>
bool Compare(const AnyReader& reader, ClockId id, Comparison* comparison) {
  constexpr int kTries = 6;
  bool ok = true;
  *comparison = tools::CompareWithKernel(
      [&] {
        const NsReading now = reader.Now(id);
        ok &= now.ok();
        return static_cast<int64_t>(now.ns);
      },
      static_cast<clockid_t>(id), kTries);
  return ok;
}

/// Error: Unavailable, when the page stops answering.
template <class AnyReader>
absl::Status Trace(const AnyReader& reader, double seconds) {
  std::vector<Sample> samples;
  const int64_t start_ns = tools::KernelNs(CLOCK_MONOTONIC);
  const auto length_ns = static_cast<int64_t>(seconds * 1e9);
  for (;;) {
    Sample sample;
    sample.at_ns = tools::KernelNs(CLOCK_MONOTONIC) - start_ns;
    if (sample.at_ns >= length_ns) break;
    if (!Compare(reader, ClockId::kRealtime, &sample.realtime) ||
        !Compare(reader, ClockId::kMonotonic, &sample.monotonic)) {
      return absl::UnavailableError("the page stopped answering");
    }
    samples.push_back(sample);
    const timespec pause = {0, 1'000'000};
    nanosleep(&pause, nullptr);
  }
  printf(
      "seconds,realtime_ns,realtime_width_ns,monotonic_ns,"
      "monotonic_width_ns\n");
  for (const Sample& each : samples) {
    printf("%.6f,%jd,%jd,%jd,%jd\n", static_cast<double>(each.at_ns) * 1e-9,
           intmax_t{each.realtime.offset_ns}, intmax_t{each.realtime.width_ns},
           intmax_t{each.monotonic.offset_ns},
           intmax_t{each.monotonic.width_ns});
  }
  return absl::OkStatus();
}

absl::Status TracePage(const std::string& name, double seconds) {
  const absl::StatusOr<CounterInfo<NativeClock>> counter =
      hosted::FindCounter();
  if (!counter.ok()) return counter.status();
  const absl::StatusOr<hosted::AttachedPage> page =
      hosted::AttachedPage::Attach(name);
  if (!page.ok()) return page.status();
  return Trace(page->MakeReader(counter->clock), seconds);
}

absl::Status TraceOwn(double seconds) {
  const hosted::InProcessClock clock;
  if (!clock.status().ok()) return clock.status();
  return Trace(clock.reader(), seconds);
}

}  // namespace
}  // namespace vvar::bench

int main(int argc, char** argv) {
  absl::ParseCommandLine(argc, argv);
  const std::string page = absl::GetFlag(FLAGS_page);
  const double seconds = absl::GetFlag(FLAGS_seconds);
  const absl::Status status = page.empty()
                                  ? vvar::bench::TraceOwn(seconds)
                                  : vvar::bench::TracePage(page, seconds);
  if (status.ok()) return 0;
  fprintf(stderr, "offset_trace: %s\n", status.ToString().c_str());
  return 1;
}
