// SPDX-License-Identifier: MIT
//
// Counters that tests move by hand, as ClockSources. Copies share one counter,
// so that a reader, a writer and the test see the same one.
#ifndef VVAR_TESTS_SUPPORT_MANUAL_CLOCK_H_
#define VVAR_TESTS_SUPPORT_MANUAL_CLOCK_H_

#include <stdint.h>

#include <atomic>
#include <deque>
#include <functional>
#include <initializer_list>

#include "vvar/abi.h"
#include "vvar/clocksource.h"

namespace vvar::support {

inline constexpr uint32_t kManualCounterId = VVAR_COUNTER_PRIVATE | 1;

/// The ways in which a ClockSource is read.
enum class CounterRead : uint32_t {
  kOrdered,
  kUnordered,
  kBeforeStores,
  kAfterStores,
};
inline constexpr uint32_t kCounterReads = 4;

/// The state of a counter: one value, and scripts that override it.
struct ManualCounter {
  uint64_t value = 0;
  /// Added to `value` after each read that no script answered.
  uint64_t step = 0;
  /// Called at the start of each read.
  std::function<void(CounterRead)> on_read;
  uint32_t reads[kCounterReads] = {};
  uint32_t relaxes = 0;
  uint32_t last_after = 0;  ///< What the last ordered read was ordered after.

  /// The next reads of `kind` return `values`, each once, before `value`.
  void Script(CounterRead kind, std::initializer_list<uint64_t> values) {
    auto& queue = script_[static_cast<uint32_t>(kind)];
    queue.insert(queue.end(), values);
  }
  uint32_t ReadsOf(CounterRead kind) const {
    return reads[static_cast<uint32_t>(kind)];
  }
  uint32_t ReadsInAll() const {
    uint32_t sum = 0;
    for (const uint32_t n : reads) sum += n;
    return sum;
  }
  uint64_t Take(CounterRead kind) {
    const auto index = static_cast<uint32_t>(kind);
    ++reads[index];
    if (on_read) on_read(kind);
    auto& queue = script_[index];
    if (!queue.empty()) {
      const uint64_t scripted = queue.front();
      queue.pop_front();
      return scripted;
    }
    const uint64_t now = value;
    value += step;
    return now;
  }

  /// What a default-constructed clock reads: always 0.
  static ManualCounter* Stopped() {
    static ManualCounter counter;
    return &counter;
  }

 private:
  std::deque<uint64_t> script_[kCounterReads];
};

/// A ClockSource over a ManualCounter, modulo 2^kBits. One thread.
template <uint32_t kBits = 64, uint32_t kId = kManualCounterId>
class ManualClock {
 public:
  static constexpr uint32_t kCounterId = kId;
  static constexpr uint32_t kCounterBits = kBits;
  static constexpr uint64_t kMask = UINT64_MAX >> (64 - kBits);

  ManualClock() = default;
  explicit ManualClock(ManualCounter* counter) : counter_(counter) {}

  uint64_t Read(uint32_t after) const {
    counter_->last_after = after;
    return counter_->Take(CounterRead::kOrdered) & kMask;
  }
  uint64_t ReadUnordered() const {
    return counter_->Take(CounterRead::kUnordered) & kMask;
  }
  uint64_t ReadBeforeStores() const {
    return counter_->Take(CounterRead::kBeforeStores) & kMask;
  }
  uint64_t ReadAfterStores() const {
    return counter_->Take(CounterRead::kAfterStores) & kMask;
  }
  void Relax() const { ++counter_->relaxes; }

 private:
  ManualCounter* counter_ = ManualCounter::Stopped();
};

static_assert(ClockSource<ManualClock<>>);

/// A plain word as a counter: no hooks, no allocation, so signal handlers may
/// read it. One thread (and its handlers).
class WordClock {
 public:
  static constexpr uint32_t kCounterId = kManualCounterId;
  static constexpr uint32_t kCounterBits = 64;

  WordClock() = default;
  explicit WordClock(const volatile uint64_t* word) : word_(word) {}

  uint64_t Read(uint32_t /*after*/) const { return *word_; }
  uint64_t ReadUnordered() const { return *word_; }
  uint64_t ReadBeforeStores() const { return *word_; }
  uint64_t ReadAfterStores() const { return *word_; }
  void Relax() const {}

 private:
  const volatile uint64_t* word_ = nullptr;
};

static_assert(ClockSource<WordClock>);

/// A counter that threads share: literally the global word that somebody keeps
/// incrementing, which the contract of clocksource.h speaks of. seq_cst, so
/// that each kind of read keeps its promise.
class SharedClock {
 public:
  static constexpr uint32_t kCounterId = kManualCounterId;
  static constexpr uint32_t kCounterBits = 64;

  SharedClock() = default;
  explicit SharedClock(const std::atomic<uint64_t>* word) : word_(word) {}

  uint64_t Read(uint32_t /*after*/) const { return word_->load(); }
  uint64_t ReadUnordered() const { return word_->load(); }
  uint64_t ReadBeforeStores() const { return word_->load(); }
  uint64_t ReadAfterStores() const { return word_->load(); }
  void Relax() const {}

 private:
  const std::atomic<uint64_t>* word_ = nullptr;
};

static_assert(ClockSource<SharedClock>);

}  // namespace vvar::support

#endif  // VVAR_TESTS_SUPPORT_MANUAL_CLOCK_H_
