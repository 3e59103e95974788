// SPDX-License-Identifier: MIT
//
// A Memory policy and a counter for fuzzers, which allocate nothing per load:
// every load is checked to lie inside of what may be read, is recorded, and may
// be preceded by a change of the bytes, as an attacker's would be who writes
// while a reader reads.
#ifndef VVAR_TESTS_FUZZ_FUZZ_MEMORY_H_
#define VVAR_TESTS_FUZZ_FUZZ_MEMORY_H_

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <span>
#include <vector>

#include "tests/fuzz/fuzz_target.h"
#include "tests/support/manual_clock.h"

namespace vvar::fuzz {

/// One load, as it was answered.
struct LoadedWord {
  const void* word;
  uint64_t value;
};

/// Eight bytes that change before the nth load, from 0.
struct Change {
  uint16_t before_load;
  uint16_t offset;
  uint64_t value;
};
inline constexpr size_t kChangeBytes = 12;  ///< In an input.

/// What FuzzMemory and FuzzClock work on. The youngest one rules.
class FuzzedPage {
 public:
  struct Region {
    uint8_t* bytes;
    size_t size;
  };

  /// Loads may come from these alone; changes are made in the first.
  explicit FuzzedPage(std::vector<Region> regions)
      : regions_(std::move(regions)), outer_(active_) {
    active_ = this;
    original_.assign(regions_[0].bytes, regions_[0].bytes + regions_[0].size);
  }
  ~FuzzedPage() { active_ = outer_; }
  FuzzedPage(const FuzzedPage&) = delete;
  FuzzedPage& operator=(const FuzzedPage&) = delete;

  /// What changes, from an input's bytes.
  void SetChanges(const uint8_t* bytes, size_t size) {
    for (; size >= kChangeBytes; bytes += kChangeBytes, size -= kChangeBytes) {
      Change change;
      memcpy(&change.before_load, bytes, 2);
      memcpy(&change.offset, bytes + 2, 2);
      memcpy(&change.value, bytes + 4, 8);
      changes_.push_back(change);
    }
  }
  /// What the counter shows, read by read; then the last value, for ever.
  void SetCounts(std::vector<uint64_t> counts) { counts_ = std::move(counts); }

  /// Makes the next read start as the first one did.
  void Rewind() {
    memcpy(regions_[0].bytes, original_.data(), original_.size());
    loads.clear();
    tries.clear();
    counted.clear();
  }

  std::vector<LoadedWord> loads;
  std::vector<size_t> tries;      ///< Where in `loads` each begins: acquires.
  std::vector<uint64_t> counted;  ///< What each read of the counter gave.

  /// The loads of try `n`, and whatever followed the last one.
  std::span<const LoadedWord> LoadsOfTry(size_t n) const {
    const size_t end = n + 1 < tries.size() ? tries[n + 1] : loads.size();
    return std::span(loads).subspan(tries[n], end - tries[n]);
  }

  static FuzzedPage& active() { return *active_; }

  template <class Word>
  Word Load(const Word& word) {
    for (const Change& change : changes_) {
      if (change.before_load == loads.size()) Apply(change);
    }
    FUZZ_CHECK(IsInside(&word, sizeof word));
    loads.push_back({&word, static_cast<uint64_t>(word)});
    return word;
  }
  uint64_t Count(uint64_t mask) {
    const size_t n = counted.size();
    const uint64_t value =
        counts_.empty() ? 0
                        : counts_[n < counts_.size() ? n : counts_.size() - 1];
    counted.push_back(value & mask);
    return counted.back();
  }

 private:
  void Apply(const Change& change) {
    const Region& region = regions_[0];
    if (region.size < 8) return;
    const size_t at = change.offset % (region.size - 7);
    memcpy(region.bytes + at, &change.value, 8);
  }
  bool IsInside(const void* word, size_t size) const {
    const auto at = reinterpret_cast<uintptr_t>(word);
    if (at % size != 0) return false;
    for (const Region& region : regions_) {
      const uintptr_t offset = at - reinterpret_cast<uintptr_t>(region.bytes);
      if (offset < region.size && size <= region.size - offset) return true;
    }
    return false;
  }

  static inline FuzzedPage* active_ = nullptr;
  std::vector<Region> regions_;
  std::vector<uint8_t> original_;
  std::vector<Change> changes_;
  std::vector<uint64_t> counts_;
  FuzzedPage* outer_;
};

struct FuzzMemory {
  template <class Word>
  static Word Load(const Word& word) {
    return FuzzedPage::active().Load(word);
  }
  static uint32_t LoadAcquire(const uint32_t& word) {
    FuzzedPage& page = FuzzedPage::active();
    page.tries.push_back(page.loads.size());
    return page.Load(word);
  }
  static void FenceAcquire() {}
};

/// The counter of the active FuzzedPage.
template <uint32_t kBits>
class FuzzClock {
 public:
  static constexpr uint32_t kCounterId = support::kManualCounterId;
  static constexpr uint32_t kCounterBits = kBits;

  uint64_t Read(uint32_t /*after*/) const { return Take(); }
  uint64_t ReadUnordered() const { return Take(); }
  uint64_t ReadBeforeStores() const { return Take(); }
  uint64_t ReadAfterStores() const { return Take(); }
  void Relax() const {}

 private:
  static uint64_t Take() {
    return FuzzedPage::active().Count(UINT64_MAX >> (64 - kBits));
  }
};

static_assert(ClockSource<FuzzClock<64>>);

}  // namespace vvar::fuzz

#endif  // VVAR_TESTS_FUZZ_FUZZ_MEMORY_H_
