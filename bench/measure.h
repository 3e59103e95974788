// SPDX-License-Identifier: MIT
//
// What the benchmarks here do alike: the timed loop, the CPU it runs on, and
// main().
#ifndef VVAR_BENCH_MEASURE_H_
#define VVAR_BENCH_MEASURE_H_

#include <sched.h>
#include <stdint.h>
#include <stdio.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "benchmark/benchmark.h"
#include "clocks/native.h"
#include "hosted/calibration.h"
#include "hosted/reference.h"
#include "vvar/reading.h"

namespace vvar::bench {

/// Computes `values` whatever becomes of them. One by one, as numbers: a struct
/// would be stored to memory.
template <class... Value>
[[gnu::always_inline]] inline void Keep(const Value... values) {
  (benchmark::DoNotOptimize(values), ...);
}

[[gnu::always_inline]] inline void KeepTime(NsReading now) { Keep(now.ns); }
[[gnu::always_inline]] inline void KeepTime(TimespecReading now) {
  Keep(now.sec, now.nsec);
}
[[gnu::always_inline]] inline void KeepTime(IntervalReading now) {
  Keep(now.earliest_ns, now.latest_ns, now.clock_status);
}

/// The counter of this machine, in its cheapest form.
inline NativeClock Counter() { return QueryCounter(NativeClock()).clock; }

/// Its frequency, as the kernel's MONOTONIC_RAW has it; measured once.
inline uint64_t CounterHz() {
  static const uint64_t hz = [] {
    hosted::KernelReference reference(Counter());
    return static_cast<uint64_t>(
        std::llround(1e9 / hosted::Calibrate(reference, /*duration_ns=*/
                                             5'000'000)
                               .monotonic_raw.ns_per_cycle));
  }();
  return hz;
}

/// Times `call`, which keeps its own results, in batches of some 40 us that are
/// bracketed by counter reads, and reports their median and the shortest, per
/// call, as counters. Not the mean that the library takes of a repetition: on a
/// shared machine it is mostly about the neighbours. A call that does kItems
/// things at once is reported per thing.
template <int kItems = 1, class Call>
[[gnu::always_inline]] inline void Measure(benchmark::State& state, Call call) {
  // The loop's own 0.3 ns would be a third of a coarse read.
  constexpr int kUnrolled = 16;
  constexpr int kBatch = kItems == 1 ? 2048 : 64;
  const NativeClock counter = Counter();
  std::vector<uint64_t> cycles;
  cycles.reserve(static_cast<size_t>(state.max_iterations / kBatch + 1));
  while (state.KeepRunningBatch(kBatch)) {
    const uint64_t start = counter.Read();
    for (int turn = 0; turn < kBatch / kUnrolled; ++turn) {
#pragma GCC unroll 16
      for (int i = 0; i < kUnrolled; ++i) call();
    }
    cycles.push_back(counter.Read() - start);
  }
  const auto median = cycles.begin() + static_cast<int64_t>(cycles.size() / 2);
  std::nth_element(cycles.begin(), median, cycles.end());
  const double per_call =
      1e9 / static_cast<double>(CounterHz()) / (kBatch * kItems);
  state.counters["median_ns"] = static_cast<double>(*median) * per_call;
  state.counters["min_ns"] =
      static_cast<double>(*std::min_element(cycles.begin(), cycles.end())) *
      per_call;
}

/// Times a read of a page. Its status is asked for as callers do: by a branch
/// that is never taken.
template <class Read>
[[gnu::always_inline]] inline void MeasureRead(benchmark::State& state,
                                               Read read) {
  Measure(state, [&] {
    const auto now = read();
    if (!now.ok()) [[unlikely]]
      state.SkipWithError("the page did not answer");
    KeepTime(now);
  });
}

/// Returns the CPUs that this process was allowed at its start.
inline const std::vector<int>& Cpus() {
  static const std::vector<int> cpus = [] {
    cpu_set_t allowed;
    CPU_ZERO(&allowed);
    sched_getaffinity(0, sizeof(allowed), &allowed);
    std::vector<int> found;
    for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
      if (CPU_ISSET(cpu, &allowed)) found.push_back(cpu);
    }
    return found;
  }();
  return cpus;
}

/// Moves the calling thread to `cpu`. Error: prints why, and returns false.
inline bool PinToCpu(int cpu) {
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(cpu, &one);
  if (sched_setaffinity(0, sizeof(one), &one) == 0) return true;
  perror("sched_setaffinity");
  return false;
}

/// The rest of main(). Reads are timed on the last CPU, because interrupts
/// prefer the first; threads that have been started stay where they may.
inline int RunPinned(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  if (!PinToCpu(Cpus().back())) return 1;
  const size_t benchmarks = benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
  return benchmarks == 0 ? 1 : 0;
}

}  // namespace vvar::bench

#endif  // VVAR_BENCH_MEASURE_H_
