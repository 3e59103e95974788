// SPDX-License-Identifier: MIT
//
// What a read costs beside others: a writer on another CPU that publishes at a
// given rate, one that was stopped in the middle of an update, and readers on
// all the other CPUs.

#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include <atomic>
#include <shared_mutex>

#include "bench/beside.h"
#include "bench/measure.h"
#include "benchmark/benchmark.h"
#include "clocks/native.h"
#include "vvar/page.h"
#include "vvar/reader.h"
#include "vvar/reading.h"

namespace vvar::bench {
namespace {

using benchmark::State;

// --- Beside a writer ---------------------------------------------------------

/// Times reads while a thread on another CPU publishes each `period_ns`. It is
/// there, and busy, even when it never publishes: what a second busy CPU costs
/// by itself is not the page's.
void MeasureBesideWriter(State& state, Domain& domain, uint64_t period_ns) {
  if (Cpus().size() < 2) {
    state.SkipWithError("needs two CPUs");
    return;
  }
  const Neighbours writer(1, [&](const std::atomic<bool>& stop) {
    Pace(period_ns).Run(stop, [&] { return domain.Publish(); });
  });
  const Reader<NativeClock> reader = domain.MakeReader();
  MeasureRead(state, [&] { return reader.Now(ClockId::kMonotonic); });
}

void BM_Reader_Now_BesideNone(State& state) {
  Domain domain(/*lead_ns=*/0);
  MeasureBesideWriter(state, domain, /*period_ns=*/0);
}
BENCHMARK(BM_Reader_Now_BesideNone);

void BM_Reader_Now_BesideStoppedWriter(State& state) {
  Domain domain(/*lead_ns=*/0);
  domain.StopInUpdate();
  MeasureBesideWriter(state, domain, /*period_ns=*/0);
}
BENCHMARK(BM_Reader_Now_BesideStoppedWriter);

void BM_Reader_Now_BesideWriter(State& state) {
  const auto period_ns = static_cast<uint64_t>(1'000'000 / state.range(0));
  Domain domain(/*lead_ns=*/1000);  // as a kernel's
  MeasureBesideWriter(state, domain, period_ns);
}
BENCHMARK(BM_Reader_Now_BesideWriter)->ArgName("kHz")->Arg(1)->Arg(100);

// --- Beside readers ----------------------------------------------------------

/// Times `read` while as many threads do the same that there are state.range(0)
/// readers in all.
template <class Read>
void MeasureReaders(State& state, Read read) {
  const Neighbours others(static_cast<size_t>(state.range(0)) - 1,
                          [read](const std::atomic<bool>& stop) {
                            while (!stop.load(std::memory_order_relaxed)) {
                              for (int i = 0; i < 64; ++i) KeepTime(read());
                            }
                          });
  MeasureRead(state, read);
}

void BM_Reader_Now_Readers(State& state) {
  const Domain domain(/*lead_ns=*/0);
  const Reader<NativeClock> reader = domain.MakeReader();
  MeasureReaders(state, [&reader] { return reader.Now(ClockId::kMonotonic); });
}

void BM_Reader_NowUnordered_Readers(State& state) {
  const Domain domain(/*lead_ns=*/0);
  const Reader<NativeClock> reader = domain.MakeReader();
  MeasureReaders(
      state, [&reader] { return reader.NowUnordered(ClockId::kMonotonic); });
}

void BM_Baseline_ClockGettime_Readers(State& state) {
  MeasureReaders(state, [] {
    timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return TimespecReading{now.tv_sec, static_cast<uint32_t>(now.tv_nsec),
                           ReadStatus::kOk};
  });
}

/// What a lock costs that readers write to.
void BM_Baseline_SharedMutex_Readers(State& state) {
  std::shared_mutex mutex;
  const Domain domain(/*lead_ns=*/0);
  const Reader<NativeClock> reader = domain.MakeReader();
  MeasureReaders(state, [&] {
    const std::shared_lock lock(mutex);
    return reader.NowUnordered(ClockId::kMonotonic);
  });
}

/// From one to as many as there are CPUs, by doubling.
void EachNumberOfReaders(benchmark::internal::Benchmark* each) {
  const auto cpus = static_cast<int64_t>(Cpus().size());
  each->ArgName("readers")->RangeMultiplier(2)->Range(1, cpus);
}
BENCHMARK(BM_Reader_Now_Readers)->Apply(EachNumberOfReaders);
BENCHMARK(BM_Reader_NowUnordered_Readers)->Apply(EachNumberOfReaders);
BENCHMARK(BM_Baseline_ClockGettime_Readers)->Apply(EachNumberOfReaders);
BENCHMARK(BM_Baseline_SharedMutex_Readers)->Apply(EachNumberOfReaders);

}  // namespace
}  // namespace vvar::bench

int main(int argc, char** argv) { return vvar::bench::RunPinned(argc, argv); }
