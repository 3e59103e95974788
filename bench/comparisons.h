// SPDX-License-Identifier: MIT
//
// What vvar's latch is compared with, made of the same parts and on the same
// line of time: a reader of the plain seqlock, and one of the plain two-copy
// latch. Both are bounded, as vvar's own. For benchmarks only.
#ifndef VVAR_BENCH_COMPARISONS_H_
#define VVAR_BENCH_COMPARISONS_H_

#include <stddef.h>
#include <stdint.h>

#include <atomic>

#include "bench/measure.h"
#include "clocks/native.h"
#include "vvar/reading.h"
#include "vvar/scale.h"
#include "vvar/seqcount.h"
#include "vvar/timebase.h"

namespace vvar::bench {

/// What a read of one clock needs.
struct PlainLine {
  uint64_t cycle_start;
  uint64_t max_cycles;
  Scale scale;
  Timebase base;
};

/// A line from now on, without an end.
inline PlainLine LineFromNow() {
  return {Counter().Read(), UINT64_MAX, ScaleFromHz(CounterHz()), {}};
}

/// Two copies: a writer rewrites the one that readers are not sent to. No
/// reader waits; but its lines begin when a reader sees them, so time may step
/// back where a slope drops.
template <class T, class Memory = PageMemory>
class PlainLatch {
 public:
  /// Replaces the payload. Context: one writer at a time.
  void Store(const T& value) {
    const SeqToken odd = WriteOpen<Memory>(seq_);
    Copy(value, copies_[0]);
    WriteClose<Memory>(seq_, odd);
    // Ordering: who sees a word of the other copy sees that seq left it.
    Memory::FenceRelease();
    Copy(value, copies_[1]);
  }

  [[nodiscard]] bool TryLoad(T* value, uint32_t tries) const {
    auto* to = reinterpret_cast<Word*>(value);
    for (; tries != 0; --tries) {
      const SeqToken seq = ReadBegin<Memory>(seq_);
      const uint32_t* from = copies_[seq & 1];
      for (size_t i = 0; i < kWords; ++i) to[i] = Memory::Load(from[i]);
      if (ReadEnd<Memory>(seq_) == seq) return true;
    }
    return false;
  }

 private:
  using Word [[gnu::may_alias]] = uint32_t;
  static constexpr size_t kWords = sizeof(T) / 4;

  static void Copy(const T& value, uint32_t (&to)[kWords]) {
    const auto* from = reinterpret_cast<const Word*>(&value);
    for (size_t i = 0; i < kWords; ++i) Memory::Store(to[i], from[i]);
  }

  uint32_t seq_ = 0;
  uint32_t copies_[2][kWords] = {};
};

/// The memory of a writer that, once it is stopped, never closes an update.
template <class Memory>
struct Stoppable : Memory {
  static inline std::atomic<bool> stopped = false;

  static void StoreRelease(uint32_t& word, uint32_t value) {
    if (stopped && value % 2 == 0) return;
    // Ordering: the memory's own.
    Memory::StoreRelease(word, value);
  }
};

/// Returns the time by a line that `Lock` guards: vvar's ordered read with the
/// counter read after the loop, where it may be with lines that do not end.
template <class Lock>
[[gnu::always_inline]] inline NsReading NowOf(const Lock& lock,
                                              const NativeClock& counter) {
  constexpr uint32_t kTries = 64;
  PlainLine line;
  const bool loaded = lock.TryLoad(&line, kTries);
  const uint64_t delta = counter.Read() - line.cycle_start;
  const bool ok = loaded && delta <= line.max_cycles;
  return {NsAfter(line.base, line.scale, delta),
          ok ? ReadStatus::kOk : ReadStatus::kBusy};
}

}  // namespace vvar::bench

#endif  // VVAR_BENCH_COMPARISONS_H_
