// SPDX-License-Identifier: MIT
//
// Reads MONOTONIC and REALTIME of a page all the time. For each line on its
// input it prints: reads so far, and how many of MONOTONIC and of REALTIME went
// back and how many were not the page's.
//
//   steady_reader PAGE
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>

#include <atomic>
#include <thread>

#include "clocks/native.h"
#include "fallback/chain.h"
#include "hosted/clock.h"
#include "hosted/counter.h"
#include "hosted/shared_page.h"
#include "vvar/page.h"

namespace {

using vvar::ClockId;

struct Counts {
  std::atomic<uint64_t> reads = 0;
  std::atomic<uint64_t> back[2] = {};
  std::atomic<uint64_t> elsewhere = 0;
};

void ReadOn(const vvar::hosted::SharedChain& chain,
            const std::atomic<bool>& stop, Counts& counts) {
  constexpr ClockId kClocks[] = {ClockId::kMonotonic, ClockId::kRealtime};
  uint64_t last_ns[2] = {};
  while (!stop) {
    for (int i = 0; i < 2; ++i) {
      const auto reading = chain.Now(static_cast<int32_t>(kClocks[i]));
      const uint64_t ns = static_cast<uint64_t>(reading.sec) * 1'000'000'000 +
                          static_cast<uint64_t>(reading.nsec);
      if (reading.leg != vvar::fallback::Leg::kPage) ++counts.elsewhere;
      if (ns < last_ns[i]) ++counts.back[i];
      last_ns[i] = ns;
      ++counts.reads;
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  const auto counter = vvar::hosted::FindCounter();
  const auto page = vvar::hosted::AttachedPage::Attach(argv[1]);
  if (!counter.ok() || !page.ok()) {
    fprintf(stderr, "steady_reader: cannot read %s\n", argv[1]);
    return 1;
  }
  const vvar::hosted::SharedChain chain(page->MakeReader(counter->clock),
                                        vvar::hosted::SystemVdso());
  Counts counts;
  std::atomic<bool> stop = false;
  std::thread reader([&] { ReadOn(chain, stop, counts); });
  for (int c = getchar(); c != EOF; c = getchar()) {
    if (c != '\n') continue;
    printf("%" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 "\n",
           counts.reads.load(), counts.back[0].load(), counts.back[1].load(),
           counts.elsewhere.load());
    fflush(stdout);
  }
  stop = true;
  reader.join();
}
