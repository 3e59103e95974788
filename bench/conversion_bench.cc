// SPDX-License-Identifier: MIT
//
// What converting stamps and deadlines costs: many stamps at once, next to one
// by one. Built twice, for the baseline ISA and for AVX-512.

#include <stddef.h>
#include <stdint.h>

#include "bench/measure.h"
#include "benchmark/benchmark.h"
#include "clocks/native.h"
#include "vvar/conversion.h"
#include "vvar/history.h"
#include "vvar/page.h"
#include "vvar/reader.h"
#include "vvar/scale.h"
#include "vvar/timekeeper.h"
#include "vvar/writer.h"

namespace vvar::bench {
namespace {

using benchmark::State;

constexpr int kStamps = 1024;
constexpr int kLines = 16;

/// A history of kLines lines of a millisecond each, made up, all in the past.
class Past {
 public:
  Past()
      : timekeeper_({NativeClock::kCounterId, NativeClock::kCounterBits,
                     CounterHz(), /*lead_ns=*/0, /*interval_ns=*/1'000'000,
                     /*max_age_ns=*/10'000'000'000}),
        writer_(&timeline_, Counter()),
        reader_(&timeline_, Counter()),
        line_cycles_(NsToCycles(1'000'000, timekeeper_.nominal())) {
    uint64_t now = Counter().Read() - kLines * line_cycles_;
    timekeeper_.Start(now, {});
    writer_.PublishLine(timekeeper_.line());
    Capture();
    for (int i = 1; i < kLines; ++i) {
      now += line_cycles_;
      timekeeper_.SetFrequency(i);
      timekeeper_.Plan(now);
      timekeeper_.Commit();
      writer_.PublishLine(timekeeper_.line());
      Capture();
    }
  }

  ReadStatus Capture() { return history_.Capture(reader_); }
  const History<NativeClock>& history() const { return history_; }

  /// Stamps of the last `lines` lines, in order.
  void Fill(uint64_t lines, uint64_t (&cycles)[kStamps]) const {
    const uint64_t begin =
        timekeeper_.line().cycle_start - (lines - 1) * line_cycles_;
    for (uint64_t i = 0; i < kStamps; ++i) {
      cycles[i] = begin + i * (lines * line_cycles_ / kStamps);
    }
  }

 private:
  alignas(64) vvar_timeline timeline_ = {};
  Timekeeper timekeeper_;
  Writer<NativeClock> writer_;
  Reader<NativeClock> reader_;
  uint64_t line_cycles_;
  History<NativeClock> history_;
};

struct Stamps {
  explicit Stamps(uint64_t lines) { past.Fill(lines, cycles); }
  Past past;
  alignas(64) uint64_t cycles[kStamps];
  alignas(64) uint64_t ns[kStamps];
};

void MeasureBatch(State& state, uint64_t lines) {
  Stamps stamps(lines);
  const History<NativeClock>& history = stamps.past.history();
  Measure<kStamps>(state, [&] {
    const BatchConversion worst = history.NsAt(
        ClockId::kMonotonic, stamps.cycles, stamps.ns, size_t{kStamps});
    if (worst.status != ConversionStatus::kExact) [[unlikely]] {
      state.SkipWithError("a stamp is not in an exact span");
    }
    Keep(&stamps.ns);
    benchmark::ClobberMemory();
  });
}

void BM_History_NsAt_Batch(State& state) { MeasureBatch(state, 1); }
BENCHMARK(BM_History_NsAt_Batch);

void BM_History_NsAt_BatchOfManyLines(State& state) {
  MeasureBatch(state, kLines);
}
BENCHMARK(BM_History_NsAt_BatchOfManyLines);

void BM_History_NsAt_OneByOne(State& state) {
  Stamps stamps(1);
  const History<NativeClock>& history = stamps.past.history();
  Measure<kStamps>(state, [&] {
    for (size_t i = 0; i < kStamps; ++i) {
      stamps.ns[i] = history.NsAt(ClockId::kMonotonic, stamps.cycles[i]).ns;
    }
    Keep(&stamps.ns);
    benchmark::ClobberMemory();
  });
}
BENCHMARK(BM_History_NsAt_OneByOne);

void BM_History_CyclesAt(State& state) {
  const Past past;
  const History<NativeClock>& history = past.history();
  const uint64_t now_ns =
      history.NsAt(ClockId::kMonotonic, Counter().Read()).ns;
  Measure(state, [&] {
    Keep(history.CyclesAt(ClockId::kMonotonic, now_ns + 50'000).cycles);
  });
}
BENCHMARK(BM_History_CyclesAt);

void BM_History_Capture(State& state) {
  Past past;
  Measure(state, [&] { Keep(past.Capture()); });
}
BENCHMARK(BM_History_Capture);

}  // namespace
}  // namespace vvar::bench

int main(int argc, char** argv) { return vvar::bench::RunPinned(argc, argv); }
