// SPDX-License-Identifier: MIT
//
// What a read costs beside a writer: one on another CPU that publishes at a
// given rate, and one that was stopped in the middle of an update.

#include <stdint.h>

#include <atomic>
#include <thread>

#include "bench/measure.h"
#include "benchmark/benchmark.h"
#include "clocks/native.h"
#include "vvar/latch.h"
#include "vvar/page.h"
#include "vvar/reader.h"
#include "vvar/scale.h"
#include "vvar/seqcount.h"
#include "vvar/timekeeper.h"
#include "vvar/writer.h"

namespace vvar::bench {
namespace {

using benchmark::State;

/// One timeline, its timekeeper, and a reader of it.
class Domain {
 public:
  explicit Domain(uint64_t lead_ns)
      : timekeeper_({NativeClock::kCounterId, NativeClock::kCounterBits,
                     CounterHz(), lead_ns, /*interval_ns=*/1'000'000,
                     /*max_age_ns=*/1'000'000'000}),
        writer_(&timeline_, Counter()),
        reader_(&timeline_, Counter()) {
    timekeeper_.Start(reader_.clock().Read(), {});
    writer_.PublishLine(timekeeper_.line());
  }

  const Reader<NativeClock>& reader() const { return reader_; }

  /// Publishes each `period_ns` until told to stop; 0: never, but as busy.
  void PublishEach(uint64_t period_ns, const std::atomic<bool>& stop) {
    const NativeClock counter = reader_.clock();
    const uint64_t period_cycles = NsToCycles(period_ns, timekeeper_.nominal());
    uint64_t next = period_ns == 0 ? UINT64_MAX : counter.Read();
    while (!stop.load(std::memory_order_relaxed)) {
      if (counter.ReadUnordered() < next) {
        counter.Relax();
        continue;
      }
      writer_.Publish(timekeeper_);
      next += period_cycles;
    }
  }

  /// Leaves the timeline as a writer does that is stopped in an update: odd,
  /// with half a line in the idle slot.
  void StopInUpdate() {
    const SeqToken odd = WriteOpen<PageMemory>(timeline_.seq);
    vvar_slot& idle = timeline_.slot[IdleSlot(odd)];
    PageMemory::Store(idle.cycle_start, reader_.clock().Read());
    PageMemory::Store(idle.max_cycles, uint64_t{0});
  }

 private:
  alignas(64) vvar_timeline timeline_ = {};
  Timekeeper timekeeper_;
  Writer<NativeClock> writer_;
  alignas(64) Reader<NativeClock> reader_;
};

/// Times reads while a thread on another CPU publishes each `period_ns`. It is
/// there, and busy, even when it never publishes: what a second busy CPU costs
/// by itself is not the page's.
void MeasureBeside(State& state, Domain& domain, uint64_t period_ns) {
  if (Cpus().size() < 2) {
    state.SkipWithError("needs two CPUs");
    return;
  }
  std::atomic<bool> runs = false;
  std::atomic<bool> stop = false;
  std::thread writer([&] {
    PinToCpu(Cpus().front());
    runs = true;
    domain.PublishEach(period_ns, stop);
  });
  while (!runs) std::this_thread::yield();
  const Reader<NativeClock>& reader = domain.reader();
  MeasureRead(state, [&] { return reader.Now(ClockId::kMonotonic); });
  stop = true;
  writer.join();
}

void BM_Reader_Now_BesideNone(State& state) {
  Domain domain(/*lead_ns=*/0);
  MeasureBeside(state, domain, /*period_ns=*/0);
}
BENCHMARK(BM_Reader_Now_BesideNone);

void BM_Reader_Now_BesideStoppedWriter(State& state) {
  Domain domain(/*lead_ns=*/0);
  domain.StopInUpdate();
  MeasureBeside(state, domain, /*period_ns=*/0);
}
BENCHMARK(BM_Reader_Now_BesideStoppedWriter);

void BM_Reader_Now_BesideWriter(State& state) {
  const auto period_ns = static_cast<uint64_t>(1'000'000 / state.range(0));
  Domain domain(/*lead_ns=*/1000);  // as a kernel's
  MeasureBeside(state, domain, period_ns);
}
BENCHMARK(BM_Reader_Now_BesideWriter)->ArgName("kHz")->Arg(1)->Arg(100);

}  // namespace
}  // namespace vvar::bench

int main(int argc, char** argv) {
  vvar::bench::Cpus();
  return vvar::bench::RunPinned(argc, argv);
}
