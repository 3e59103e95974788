// SPDX-License-Identifier: MIT
//
// What a read and a publication cost, next to what they replace. The page is a
// live one: a thread on another CPU updates it each millisecond, from start to
// end.

#include <stdint.h>
#include <stdio.h>
#include <time.h>

#include <chrono>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/clock.h"
#include "bench/measure.h"
#include "benchmark/benchmark.h"
#include "clocks/native.h"
#include "fallback/chain.h"
#include "fallback/syscall.h"
#include "hosted/clock.h"
#include "vvar/offset.h"
#include "vvar/page.h"
#include "vvar/reader.h"
#include "vvar/scale.h"
#include "vvar/seqcount.h"
#include "vvar/timebase.h"
#include "vvar/timekeeper.h"
#include "vvar/writer.h"

namespace vvar::bench {
namespace {

using benchmark::State;
using hosted::ProcessClock;

const Reader<NativeClock>& PageReader() { return ProcessClock().reader(); }

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

// --- The plain seqlock, for comparison ---------------------------------------

/// What a read of one clock needs.
struct SeqlockLine {
  uint64_t cycle_start;
  uint64_t max_cycles;
  Scale scale;
  Timebase base;
};

void BM_Seqlock_Load(State& state) {
  const NativeClock& counter = PageReader().clock();
  static Seqlock<SeqlockLine> seqlock;
  seqlock.Store({counter.Read(), UINT64_MAX, ScaleFromHz(1'000'000'000), {}});
  Measure(state, [&] {
    SeqlockLine line;
    const bool loaded = seqlock.TryLoad(&line, 64);
    const uint64_t delta = counter.Read() - line.cycle_start;
    Keep(NsAfter(line.base, line.scale, delta),
         loaded && delta <= line.max_cycles);
  });
}
BENCHMARK(BM_Seqlock_Load);

// --- The writer --------------------------------------------------------------

/// A timekeeper and writer for each timeline of one page.
class Writers {
 public:
  explicit Writers(uint64_t lead_ns) {
    const NativeClock counter = Counter();
    const TimekeeperConfig config = {NativeClock::kCounterId,
                                     NativeClock::kCounterBits,
                                     CounterHz(),
                                     lead_ns,
                                     /*interval_ns=*/1'000'000,
                                     /*max_age_ns=*/1'000'000'000};
    for (vvar_timeline& timeline : page_.timeline) {
      domains_.push_back({Timekeeper(config), {&timeline, counter}});
      domains_.back().timekeeper.Start(counter.Read(), {});
      domains_.back().writer.PublishLine(domains_.back().timekeeper.line());
    }
  }

  /// Updates the timeline whose turn it is.
  [[gnu::always_inline]] PublishStatus PublishNext() {
    Domain& domain = domains_[next_];
    next_ = next_ + 1 < VVAR_MAX_TIMELINES ? next_ + 1 : 0;
    return domain.writer.Publish(domain.timekeeper);
  }
  void PublishLine() {
    domains_[0].writer.PublishLine(domains_[0].timekeeper.line());
  }

  /// A reader of the first timeline.
  template <class Offsets = NoOffsets>
  Reader<NativeClock, PageMemory, Offsets> FirstReader(
      Offsets offsets = {}) const {
    return {&page_.timeline[0], Counter(), offsets};
  }

  uint32_t redated() const {
    uint32_t sum = 0;
    for (const vvar_timeline& each : page_.timeline) {
      sum += each.stats.redated_lines;
    }
    return sum;
  }

 private:
  struct Domain {
    Timekeeper timekeeper;
    Writer<NativeClock> writer;
  };
  alignas(VVAR_PAGE_SIZE) vvar_page page_ = {};
  std::vector<Domain> domains_;
  uint32_t next_ = 0;
};

void BM_Writer_Publish(State& state) {
  // A publication costs about 95 ns. Four times that: one is over well before
  // its line begins, and the line has begun when its turn comes again, six
  // publications later. So none waits, and nothing else is timed.
  Writers writers(/*lead_ns=*/400);
  int64_t early = 0;
  int64_t late = 0;
  Measure(state, [&] {
    const PublishStatus status = writers.PublishNext();
    early += status == PublishStatus::kTooEarly;
    late += status == PublishStatus::kLate;
  });
  // What an interrupt holds up is late or dated anew: the machine's doing, as
  // long as it is rare.
  const int64_t held_up = late + writers.redated();
  state.counters["held_up"] = static_cast<double>(held_up);
  if (early != 0) state.SkipWithError("kTooEarly: lead_ns is too long here");
  if (held_up > 100 + state.iterations() / 20) {
    state.SkipWithError("kLate or redated: lead_ns is too short");
  }
}
BENCHMARK(BM_Writer_Publish);

void BM_Writer_PublishLine(State& state) {
  Writers writers(/*lead_ns=*/0);
  Measure(state, [&] { writers.PublishLine(); });
}
BENCHMARK(BM_Writer_PublishLine);

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

void BM_Baseline_Chrono_Steady(State& state) {
  Measure(state, [] {
    Keep(std::chrono::steady_clock::now().time_since_epoch().count());
  });
}
BENCHMARK(BM_Baseline_Chrono_Steady);

void BM_Baseline_Absl_GetCurrentTimeNanos(State& state) {
  Measure(state, [] { Keep(absl::GetCurrentTimeNanos()); });
}
BENCHMARK(BM_Baseline_Absl_GetCurrentTimeNanos);

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
  // Starts its thread, which keeps off the CPU that reads are timed on.
  const absl::Status status = vvar::hosted::ProcessClock().status();
  if (!status.ok()) {
    fprintf(stderr, "%s\n", status.ToString().c_str());
    return 1;
  }
  return vvar::bench::RunPinned(argc, argv);
}
