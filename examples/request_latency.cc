// SPDX-License-Identifier: MIT
//
// Latencies of requests, taken by unordered reads. Right here: both stamps are
// of one thread, and that an instruction or two of the request may slip out of
// the interval matters less than the price of the reads. Wrong for a stamp that
// another thread's is compared with, such as "was this written before that was
// read": such a pair needs Now().
#include <stdint.h>
#include <stdio.h>

#include <algorithm>
#include <bit>
#include <cstddef>
#include <vector>

#include "absl/strings/str_format.h"
#include "hosted/clock.h"
#include "vvar/page.h"

namespace {

constexpr size_t kRequests = 20'000;

// What a server does; some requests take longer.
uint64_t Serve(uint64_t request) {
  const int rounds = request % 100 == 0 ? 2'000 : 100;
  for (int i = 0; i < rounds; ++i) {
    request = request * 6364136223846793005 + 1442695040888963407;
  }
  return request;
}

void PrintHistogram(const std::vector<uint64_t>& sorted_ns) {
  for (size_t i = 0; i < sorted_ns.size();) {
    const uint64_t from_ns = std::bit_floor(sorted_ns[i]);
    const uint64_t below_ns = std::max<uint64_t>(1, 2 * from_ns);
    const size_t begin = i;
    while (i < sorted_ns.size() && sorted_ns[i] < below_ns) ++i;
    absl::PrintF("%10d to %10d ns  %6d\n", from_ns, below_ns - 1, i - begin);
  }
}

}  // namespace

int main() {
  const vvar::hosted::InProcessClock clock;
  if (!clock.status().ok()) {
    absl::FPrintF(stderr, "no page, so the system's clock: %s\n",
                  clock.status().ToString());
  }
  std::vector<uint64_t> latencies_ns(kRequests);
  uint64_t answers = 0;
  for (size_t i = 0; i < kRequests; ++i) {
    const uint64_t start_ns = clock.NowUnordered(vvar::ClockId::kMonotonic);
    answers += Serve(i);
    latencies_ns[i] = clock.NowUnordered(vvar::ClockId::kMonotonic) - start_ns;
  }
  std::sort(latencies_ns.begin(), latencies_ns.end());
  PrintHistogram(latencies_ns);
  absl::PrintF(
      "%d requests, p50 %d, p90 %d, p99 %d, max %d ns (sum %x)\n", kRequests,
      latencies_ns[kRequests / 2], latencies_ns[kRequests * 9 / 10],
      latencies_ns[kRequests * 99 / 100], latencies_ns.back(), answers);
}
