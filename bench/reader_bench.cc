// SPDX-License-Identifier: MIT
//
// What a read costs, next to what it replaces and to what could replace it. The
// page is a live one: a thread on another CPU updates it each millisecond, from
// start to end.

#include <stdint.h>
#include <time.h>

#include <chrono>

#include "absl/time/clock.h"
#include "bench/comparisons.h"
#include "bench/live_page.h"
#include "bench/measure.h"
#include "bench/writers.h"
#include "benchmark/benchmark.h"
#include "clocks/native.h"
#include "fallback/chain.h"
#include "fallback/syscall.h"
#include "hosted/clock.h"
#include "vvar/offset.h"
#include "vvar/page.h"
#include "vvar/reader.h"
#include "vvar/seqcount.h"

namespace vvar::bench {
namespace {

using benchmark::State;
using hosted::ProcessClock;

// --- The floor: the counter alone --------------------------------------------

void BM_Counter_Read_Ordered(State& state) {
  const NativeClock& counter = PageReader().clock();
  Measure(state, [&] { Keep(counter.Read()); });
}
BENCHMARK(BM_Counter_Read_Ordered);

void BM_Counter_Read_Unordered(State& state) {
  const NativeClock& counter = PageReader().clock();
  Measure(state, [&] { Keep(counter.ReadUnordered()); });
}
BENCHMARK(BM_Counter_Read_Unordered);

// --- Readers of the page -----------------------------------------------------

void BM_Reader_Now_Ordered(State& state) {
  const auto& reader = PageReader();
  MeasureRead(state, [&] { return reader.Now(ClockId::kMonotonic); });
}
BENCHMARK(BM_Reader_Now_Ordered);

void BM_Reader_Now_Unordered(State& state) {
  const auto& reader = PageReader();
  MeasureRead(state, [&] { return reader.NowUnordered(ClockId::kMonotonic); });
}
BENCHMARK(BM_Reader_Now_Unordered);

void BM_Reader_Timespec_Ordered(State& state) {
  const auto& reader = PageReader();
  MeasureRead(state, [&] { return reader.NowTimespec(ClockId::kMonotonic); });
}
BENCHMARK(BM_Reader_Timespec_Ordered);

void BM_Reader_NowCoarse(State& state) {
  const auto& reader = PageReader();
  MeasureRead(state,
              [&] { return reader.NowCoarse(ClockId::kMonotonicCoarse); });
}
BENCHMARK(BM_Reader_NowCoarse);

void BM_Reader_Interval_Ordered(State& state) {
  const auto& reader = PageReader();
  MeasureRead(state, [&] { return reader.Interval(ClockId::kMonotonic); });
}
BENCHMARK(BM_Reader_Interval_Ordered);

void BM_Reader_Snapshot_Ordered(State& state) {
  const auto& reader = PageReader();
  SnapshotReading all;
  Measure(state, [&] {
    if (reader.Snapshot(&all) != ReadStatus::kOk) [[unlikely]] {
      state.SkipWithError("the page did not answer");
    }
    Keep(&all);
  });
}
BENCHMARK(BM_Reader_Snapshot_Ordered);

// --- The plain locks, for comparison
// ------------------------------------------

template <template <class, class> class Lock>
void MeasureLock(State& state) {
  const NativeClock& counter = PageReader().clock();
  Lock<PlainLine, PageMemory> lock;
  lock.Store(LineFromNow());
  MeasureRead(state, [&] { return NowOf(lock, counter); });
}

void BM_Seqlock_Load(State& state) { MeasureLock<Seqlock>(state); }
BENCHMARK(BM_Seqlock_Load);

void BM_PlainLatch_Load(State& state) { MeasureLock<PlainLatch>(state); }
BENCHMARK(BM_PlainLatch_Load);

// --- Readers between a publication and its line ------------------------------

// Longer than a repetition, and short enough for the short multiplication.
constexpr uint64_t kLongLeadNs = 80'000'000;

void BM_Reader_Now_OrderedPrevious(State& state) {
  Writers writers(kLongLeadNs);
  writers.PublishNext();
  const Reader<NativeClock> reader = writers.FirstReader();
  MeasureRead(state, [&] { return reader.Now(ClockId::kMonotonic); });
}
BENCHMARK(BM_Reader_Now_OrderedPrevious);

void BM_Reader_Now_UnorderedPrevious(State& state) {
  Writers writers(kLongLeadNs);
  writers.PublishNext();
  const Reader<NativeClock> reader = writers.FirstReader();
  MeasureRead(state, [&] { return reader.NowUnordered(ClockId::kMonotonic); });
}
BENCHMARK(BM_Reader_Now_UnorderedPrevious);

// --- The same in a time namespace, whose offsets are on a page ---------------

const vvar_offsets& NamespacePage() {
  static const vvar_offsets page = [] {
    vvar_offsets offsets = {};
    FormatOffsets(offsets, {{1'000'000, kNsPerSec - 1}, {5, 0}});
    return offsets;
  }();
  return page;
}

void BM_Reader_Now_OrderedNamespace(State& state) {
  Writers writers(kLongLeadNs);
  writers.PublishNext();
  const auto reader = writers.FirstReader(OffsetPage<>(&NamespacePage()));
  MeasureRead(state, [&] { return reader.Now(ClockId::kMonotonic); });
}
BENCHMARK(BM_Reader_Now_OrderedNamespace);

void BM_Reader_Now_UnorderedNamespace(State& state) {
  Writers writers(kLongLeadNs);
  writers.PublishNext();
  const auto reader = writers.FirstReader(OffsetPage<>(&NamespacePage()));
  MeasureRead(state, [&] { return reader.NowUnordered(ClockId::kMonotonic); });
}
BENCHMARK(BM_Reader_Now_UnorderedNamespace);

// --- What the system and others offer ----------------------------------------

void BM_Baseline_ClockGettime_Libc(State& state) {
  timespec now;
  Measure(state, [&] {
    clock_gettime(CLOCK_MONOTONIC, &now);
    Keep(now.tv_sec, now.tv_nsec);
  });
}
BENCHMARK(BM_Baseline_ClockGettime_Libc);

void BM_Baseline_ClockGettime_Coarse(State& state) {
  timespec now;
  Measure(state, [&] {
    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    Keep(now.tv_sec, now.tv_nsec);
  });
}
BENCHMARK(BM_Baseline_ClockGettime_Coarse);

void BM_Baseline_ClockGettime_Vdso(State& state) {
  const auto clock_gettime = hosted::SystemVdso().clock_gettime;
  if (clock_gettime == nullptr) {
    state.SkipWithError("no vDSO");
    return;
  }
  fallback::KernelOldTimespec now;
  Measure(state, [&] {
    clock_gettime(CLOCK_MONOTONIC, &now);
    Keep(now.tv_sec, now.tv_nsec);
  });
}
BENCHMARK(BM_Baseline_ClockGettime_Vdso);

void BM_Baseline_ClockGettime_Syscall(State& state) {
  fallback::KernelTimespec now;
  Measure(state, [&] {
    Keep(fallback::ClockGettime(CLOCK_MONOTONIC, &now), now.tv_sec,
         now.tv_nsec);
  });
}
BENCHMARK(BM_Baseline_ClockGettime_Syscall);

template <class Clock>
void BM_Baseline_Chrono(State& state) {
  Measure(state, [] { Keep(Clock::now().time_since_epoch().count()); });
}
BENCHMARK(BM_Baseline_Chrono<std::chrono::steady_clock>)
    ->Name("BM_Baseline_Chrono_Steady");
BENCHMARK(BM_Baseline_Chrono<std::chrono::system_clock>)
    ->Name("BM_Baseline_Chrono_System");

// Debian's Abseil scales the counter by itself (its "cycle clock"): the other
// setting, clock_gettime() each time, is chosen as Abseil is compiled.
void BM_Baseline_Absl_GetCurrentTimeNanos(State& state) {
  Measure(state, [] { Keep(absl::GetCurrentTimeNanos()); });
}
BENCHMARK(BM_Baseline_Absl_GetCurrentTimeNanos);

void BM_Baseline_Absl_Now(State& state) {
  Measure(state, [] {
    absl::Time now = absl::Now();
    benchmark::DoNotOptimize(now);
  });
}
BENCHMARK(BM_Baseline_Absl_Now);

// --- The legs of the chain ---------------------------------------------------

void MeasureChain(State& state, const fallback::Chain<>& chain,
                  fallback::Leg leg) {
  if (chain.Now(CLOCK_MONOTONIC).leg != leg) {
    state.SkipWithError("another leg answers");
    return;
  }
  Measure(state, [&] {
    const fallback::ChainReading now = chain.Now(CLOCK_MONOTONIC);
    Keep(now.sec, now.nsec, now.error);
  });
}

void BM_Chain_Now_Page(State& state) {
  MeasureChain(state, ProcessClock().chain(), fallback::Leg::kPage);
}
BENCHMARK(BM_Chain_Now_Page);

void BM_Chain_Now_Vdso(State& state) {
  MeasureChain(state, {{}, hosted::SystemVdso()}, fallback::Leg::kVdso);
}
BENCHMARK(BM_Chain_Now_Vdso);

void BM_Chain_Now_Syscall(State& state) {
  MeasureChain(state, {}, fallback::Leg::kSyscall);
}
BENCHMARK(BM_Chain_Now_Syscall);

// --- Clocks of a process -----------------------------------------------------

void BM_Hosted_InProcessClock_Now(State& state) {
  const hosted::InProcessClock& clock = ProcessClock();
  Measure(state, [&] { Keep(clock.Now(ClockId::kMonotonic)); });
}
BENCHMARK(BM_Hosted_InProcessClock_Now);

void BM_Hosted_SteadyClock(State& state) {
  Measure(state,
          [] { Keep(hosted::steady_clock::now().time_since_epoch().count()); });
}
BENCHMARK(BM_Hosted_SteadyClock);

}  // namespace
}  // namespace vvar::bench

int main(int argc, char** argv) {
  return vvar::bench::RunOnLivePage(argc, argv);
}
