// SPDX-License-Identifier: MIT
//
// What a read adds to a program: each turn works on what the last one made and
// on the time it read, for some fifty nanoseconds in one chain. Back to back, a
// processor overlaps reads with each other; here it may overlap a read with the
// work before it, if the read's ordering lets it.

#include <stdint.h>
#include <time.h>

#include "absl/time/clock.h"
#include "bench/comparisons.h"
#include "bench/live_page.h"
#include "bench/measure.h"
#include "benchmark/benchmark.h"
#include "clocks/native.h"
#include "vvar/page.h"
#include "vvar/seqcount.h"

namespace vvar::bench {
namespace {

using benchmark::State;

/// A chain of multiplications, each of which needs the one before.
[[gnu::always_inline]] inline uint64_t Work(uint64_t x) {
  constexpr int kLinks = 48;
  for (int i = 0; i < kLinks; ++i) {
    x = x * 0x9e3779b97f4a7c15 + 1;
    Keep(x);
  }
  return x;
}

/// Times turns of `read` and work. The work's own time is that of `read` = 0.
template <class Read>
[[gnu::always_inline]] inline void MeasureContext(State& state, Read read) {
  uint64_t x = 1;
  Measure(state, [&] { x = Work(x ^ read()); });
  Keep(x);
}

void BM_Context_Work(State& state) {
  MeasureContext(state, [] { return uint64_t{0}; });
}
BENCHMARK(BM_Context_Work);

void BM_Context_Counter_Ordered(State& state) {
  const NativeClock& counter = PageReader().clock();
  MeasureContext(state, [&] { return counter.Read(); });
}
BENCHMARK(BM_Context_Counter_Ordered);

void BM_Context_Counter_Unordered(State& state) {
  const NativeClock& counter = PageReader().clock();
  MeasureContext(state, [&] { return counter.ReadUnordered(); });
}
BENCHMARK(BM_Context_Counter_Unordered);

void BM_Context_Reader_Ordered(State& state) {
  const auto& reader = PageReader();
  MeasureContext(state, [&] { return reader.Now(ClockId::kMonotonic).ns; });
}
BENCHMARK(BM_Context_Reader_Ordered);

void BM_Context_Reader_Unordered(State& state) {
  const auto& reader = PageReader();
  MeasureContext(state,
                 [&] { return reader.NowUnordered(ClockId::kMonotonic).ns; });
}
BENCHMARK(BM_Context_Reader_Unordered);

void BM_Context_Reader_Coarse(State& state) {
  const auto& reader = PageReader();
  MeasureContext(
      state, [&] { return reader.NowCoarse(ClockId::kMonotonicCoarse).ns; });
}
BENCHMARK(BM_Context_Reader_Coarse);

void BM_Context_Seqlock(State& state) {
  const NativeClock& counter = PageReader().clock();
  Seqlock<PlainLine> lock;
  lock.Store(LineFromNow());
  MeasureContext(state, [&] { return NowOf(lock, counter).ns; });
}
BENCHMARK(BM_Context_Seqlock);

void BM_Context_ClockGettime(State& state) {
  MeasureContext(state, [] {
    timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000 +
           static_cast<uint64_t>(now.tv_nsec);
  });
}
BENCHMARK(BM_Context_ClockGettime);

void BM_Context_Absl_GetCurrentTimeNanos(State& state) {
  MeasureContext(
      state, [] { return static_cast<uint64_t>(absl::GetCurrentTimeNanos()); });
}
BENCHMARK(BM_Context_Absl_GetCurrentTimeNanos);

}  // namespace
}  // namespace vvar::bench

int main(int argc, char** argv) {
  return vvar::bench::RunOnLivePage(argc, argv);
}
