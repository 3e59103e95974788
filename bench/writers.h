// SPDX-License-Identifier: MIT
//
// Writers of made-up pages, which take turns: by the time that it is a
// timeline's turn again its line has begun, and nobody waits while being timed.
#ifndef VVAR_BENCH_WRITERS_H_
#define VVAR_BENCH_WRITERS_H_

#include <stddef.h>
#include <stdint.h>

#include <vector>

#include "bench/measure.h"
#include "clocks/native.h"
#include "vvar/page.h"
#include "vvar/reader.h"
#include "vvar/seqcount.h"
#include "vvar/timekeeper.h"
#include "vvar/writer.h"

namespace vvar::bench {

/// A timekeeper and a writer for each of the first `timelines` timelines of as
/// many pages as it takes for VVAR_MAX_TIMELINES of them.
class Writers {
 public:
  explicit Writers(uint64_t lead_ns, size_t timelines = VVAR_MAX_TIMELINES)
      : timelines_(timelines),
        pages_((VVAR_MAX_TIMELINES + timelines - 1) / timelines) {
    const NativeClock counter = Counter();
    const TimekeeperConfig config = {NativeClock::kCounterId,
                                     NativeClock::kCounterBits,
                                     CounterHz(),
                                     lead_ns,
                                     /*interval_ns=*/1'000'000,
                                     /*max_age_ns=*/1'000'000'000};
    for (Page& page : pages_) {
      for (size_t i = 0; i < timelines; ++i) {
        Domain& domain = domains_.emplace_back(
            Domain{Timekeeper(config), {&page.bytes.timeline[i], counter}});
        domain.timekeeper.Start(counter.Read(), {});
        domain.writer.PublishLine(domain.timekeeper.line());
      }
    }
  }

  /// Updates the timeline whose turn it is.
  [[gnu::always_inline]] PublishStatus PublishNext() {
    Domain& domain = domains_[next_];
    next_ = next_ + 1 < domains_.size() ? next_ + 1 : 0;
    return domain.writer.Publish(domain.timekeeper);
  }
  void PublishLine() {
    domains_[0].writer.PublishLine(domains_[0].timekeeper.line());
  }

  /// A reader of the first timeline.
  template <class Offsets = NoOffsets>
  Reader<NativeClock, PageMemory, Offsets> FirstReader(
      Offsets offsets = {}) const {
    return {&pages_[0].bytes.timeline[0], Counter(), offsets};
  }

  uint32_t redated() const {
    uint32_t sum = 0;
    for (const Page& page : pages_) {
      for (size_t i = 0; i < timelines_; ++i) {
        sum += page.bytes.timeline[i].stats.redated_lines;
      }
    }
    return sum;
  }

 private:
  struct alignas(VVAR_PAGE_SIZE) Page {
    vvar_page bytes = {};
  };
  struct Domain {
    Timekeeper timekeeper;
    Writer<NativeClock> writer;
  };
  size_t timelines_;
  std::vector<Page> pages_;
  std::vector<Domain> domains_;
  size_t next_ = 0;
};

}  // namespace vvar::bench

#endif  // VVAR_BENCH_WRITERS_H_
