// SPDX-License-Identifier: MIT
//
// What reads are timed beside: a timeline and its writer, a pace to write at,
// and threads that keep the other CPUs busy meanwhile.
#ifndef VVAR_BENCH_BESIDE_H_
#define VVAR_BENCH_BESIDE_H_

#include <stddef.h>
#include <stdint.h>

#include <algorithm>
#include <atomic>
#include <functional>
#include <thread>
#include <vector>

#include "bench/measure.h"
#include "clocks/native.h"
#include "vvar/latch.h"
#include "vvar/page.h"
#include "vvar/reader.h"
#include "vvar/seqcount.h"
#include "vvar/timekeeper.h"
#include "vvar/writer.h"

namespace vvar::bench {

/// One timeline, its timekeeper, its writer and its readers.
class Domain {
 public:
  explicit Domain(uint64_t lead_ns)
      : timekeeper_({NativeClock::kCounterId, NativeClock::kCounterBits,
                     CounterHz(), lead_ns, /*interval_ns=*/1'000'000,
                     /*max_age_ns=*/1'000'000'000}),
        writer_(&timeline_, Counter()) {
    timekeeper_.Start(Counter().Read(), {});
    writer_.PublishLine(timekeeper_.line());
  }

  template <class Memory = PageMemory>
  Reader<NativeClock, Memory> MakeReader() const {
    return {&timeline_, Counter()};
  }

  /// Returns whether it did: not before the last line has begun.
  bool Publish() {
    return writer_.Publish(timekeeper_) != PublishStatus::kTooEarly;
  }

  /// Leaves the timeline as a writer does that is stopped in an update: odd,
  /// with half a line in the idle slot.
  void StopInUpdate() {
    const SeqToken odd = WriteOpen<PageMemory>(timeline_.seq);
    vvar_slot& idle = timeline_.slot[IdleSlot(odd)];
    PageMemory::Store(idle.cycle_start, Counter().Read());
    PageMemory::Store(idle.max_cycles, uint64_t{0});
  }

  const vvar_timeline& timeline() const { return timeline_; }

 private:
  alignas(64) vvar_timeline timeline_ = {};
  Timekeeper timekeeper_;
  Writer<NativeClock> writer_;
};

/// Does something each `period_ns` of the time that it is given; 0: never, but
/// it is as busy. What it was kept from doing in time it does not catch up on.
class Pace {
 public:
  explicit Pace(uint64_t period_ns)
      : period_cycles_(period_ns * (CounterHz() / 1'000'000) / 1000) {}

  /// Returns how often `act` said that it did it before it was told to stop.
  template <class Act>
  uint64_t Run(const std::atomic<bool>& stop, Act act) {
    const NativeClock counter = Counter();
    uint64_t acts = 0;
    uint64_t next = period_cycles_ == 0 ? UINT64_MAX : counter.Read() + left_;
    while (!stop.load(std::memory_order_relaxed)) {
      const uint64_t now = counter.ReadUnordered();
      if (now < next) {
        counter.Relax();
        continue;
      }
      acts += act();
      next = std::max(next, now - period_cycles_ / 2) + period_cycles_;
    }
    const uint64_t now = counter.Read();
    left_ = next > now ? next - now : 0;
    return acts;
  }

 private:
  uint64_t period_cycles_;
  uint64_t left_ = 0;
};

/// Threads, each on a CPU of its own from the first on, that run `body` until
/// this goes. They run when it is there.
class Neighbours {
 public:
  using Body = std::function<void(const std::atomic<bool>& stop)>;

  Neighbours(size_t threads, const Body& body) {
    for (size_t i = 0; i < threads; ++i) {
      threads_.emplace_back([this, i, body] {
        PinToCpu(Cpus()[i]);
        ++running_;
        body(stop_);
      });
    }
    while (running_ != threads) std::this_thread::yield();
  }
  ~Neighbours() {
    stop_ = true;
    for (std::thread& thread : threads_) thread.join();
  }
  Neighbours(const Neighbours&) = delete;
  Neighbours& operator=(const Neighbours&) = delete;

 private:
  alignas(64) std::atomic<bool> stop_ = false;
  std::atomic<size_t> running_ = 0;
  std::vector<std::thread> threads_;
};

}  // namespace vvar::bench

#endif  // VVAR_BENCH_BESIDE_H_
