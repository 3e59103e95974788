// SPDX-License-Identifier: MIT
//
// What a publication costs, and one of several timelines at a tick.

#include <stddef.h>
#include <stdint.h>

#include "bench/measure.h"
#include "bench/writers.h"
#include "benchmark/benchmark.h"
#include "vvar/page.h"
#include "vvar/writer.h"

namespace vvar::bench {
namespace {

using benchmark::State;

/// Times calls that publish `each` timelines, of pages that have so many.
void MeasurePublish(State& state, size_t each, size_t timelines) {
  // A publication costs about 95 ns. Four times that: one is over well before
  // its line begins, and the line has begun when its turn comes again, six
  // publications later. So none waits, and nothing else is timed.
  Writers writers(/*lead_ns=*/400, timelines);
  int64_t early = 0;
  int64_t late = 0;
  Measure(state, [&] {
    for (size_t i = 0; i < each; ++i) {
      const PublishStatus status = writers.PublishNext();
      early += status == PublishStatus::kTooEarly;
      late += status == PublishStatus::kLate;
    }
  });
  // What an interrupt holds up is late or dated anew: the machine's doing, as
  // long as it is rare.
  const int64_t held_up = late + writers.redated();
  state.counters["held_up"] = static_cast<double>(held_up);
  if (early != 0) state.SkipWithError("kTooEarly: lead_ns is too long here");
  if (held_up > 100 + state.iterations() * static_cast<int64_t>(each) / 20) {
    state.SkipWithError("kLate or redated: lead_ns is too short");
  }
}

void BM_Writer_Publish(State& state) {
  MeasurePublish(state, 1, VVAR_MAX_TIMELINES);
}
BENCHMARK(BM_Writer_Publish);

/// What a tick costs that publishes all timelines of a page.
void BM_Writer_PublishTick(State& state) {
  const auto timelines = static_cast<size_t>(state.range(0));
  MeasurePublish(state, timelines, timelines);
}
BENCHMARK(BM_Writer_PublishTick)
    ->ArgName("timelines")
    ->DenseRange(1, VVAR_MAX_TIMELINES);

void BM_Writer_PublishLine(State& state) {
  Writers writers(/*lead_ns=*/0);
  Measure(state, [&] { writers.PublishLine(); });
}
BENCHMARK(BM_Writer_PublishLine);

}  // namespace
}  // namespace vvar::bench

int main(int argc, char** argv) { return vvar::bench::RunPinned(argc, argv); }
