// SPDX-License-Identifier: MIT
//
// The same pages on every machine: numbers from a seed, a counter moved by
// hand, and pages whose every field is random. By values, not by bytes, so that
// machines of either endianness make the same. Freestanding; for embed/matrix.
#ifndef VVAR_EMBED_MATRIX_CORPUS_H_
#define VVAR_EMBED_MATRIX_CORPUS_H_

#include <stddef.h>
#include <stdint.h>

#include "vvar/abi.h"
#include "vvar/clocksource.h"
#include "vvar/header.h"
#include "vvar/scale.h"
#include "vvar/seqcount.h"

namespace vvar::matrix {

/// Pseudo-random numbers, and such as are likely to be edges. No division. Two
/// to one full expression only where C++ says which comes first.
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}

  /// Source: Steele, Lea, Flood: Fast splittable pseudorandom number
  /// generators, OOPSLA 2014 (SplitMix64).
  uint64_t Any() {
    uint64_t z = state_ += 0x9e3779b97f4a7c15;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
  }
  /// Below n.
  uint32_t Below(uint32_t n) {
    return static_cast<uint32_t>(((Any() >> 32) * n) >> 32);
  }
  bool OneIn(uint32_t n) { return Below(n) == 0; }
  /// Of 0 to `bits` bits, often next to a power of two.
  uint64_t Edgy(uint32_t bits = 64) {
    const uint32_t size = Below(bits + 1);
    if (size == 0) return 0;
    const uint64_t all = ShiftRight(UINT64_MAX, 64 - size);
    const uint32_t kind = Below(4);
    if (kind == 0) return ((all / 2 + 1) ^ Below(4)) & all;
    if (kind == 1) return (all - Below(4)) & all;
    return Any() & all;
  }
  int64_t EdgySigned(uint32_t bits = 63) {
    const uint64_t value = Edgy(bits);
    return static_cast<int64_t>(OneIn(2) ? value : uint64_t{0} - value);
  }

 private:
  uint64_t state_;
};

/// A ClockSource of `kBits` bits that reads one word, moved by hand.
template <uint32_t kBits>
class WordClock {
 public:
  static constexpr uint32_t kCounterId = VVAR_COUNTER_PRIVATE | 7;
  static constexpr uint32_t kCounterBits = kBits;

  constexpr WordClock() = default;
  constexpr explicit WordClock(const uint64_t* word) : word_(word) {}

  uint64_t Read(uint32_t /*after*/ = 0) const {
    return *word_ & (UINT64_MAX >> (64 - kBits));
  }
  uint64_t ReadUnordered() const { return Read(); }
  uint64_t ReadBeforeStores() const { return Read(); }
  uint64_t ReadAfterStores() const { return Read(); }
  void Relax() const {}

 private:
  static constexpr uint64_t kZero = 0;
  const uint64_t* word_ = &kZero;
};
static_assert(ClockSource<WordClock<64>>);

/// Visits every field of a slot.
template <class Slot, class Visit>
void ForEachField(Slot& slot, Visit visit) {
  visit(slot.cycle_start);
  visit(slot.max_cycles);
  visit(slot.mult);
  visit(slot.realtime_mult);
  visit(slot.shift);
  visit(slot.status);
  visit(slot.counter_id);
  for (auto& base : slot.base) {
    visit(base.sec);
    visit(base.nsec_shifted);
  }
  visit(slot.raw_mult);
  visit(slot.error_growth_ppb);
  visit(slot.error_ns);
  for (auto& coarse : slot.coarse) {
    visit(coarse.ns);
    visit(coarse.sec);
    visit(coarse.nsec);
    visit(coarse.status);
  }
  visit(slot.tai_offset_sec);
  visit(slot.leap_state);
  visit(slot.was_set_count);
  visit(slot.leap_smear_sec);
  visit(slot.leap_date_sec);
}
template <class Header, class Visit>
void ForEachHeaderField(Header& header, Visit visit) {
  visit(header.magic);
  visit(header.endian_tag);
  visit(header.abi_major);
  visit(header.abi_minor);
  visit(header.size);
  visit(header.counter_id);
  visit(header.counter_bits);
  visit(header.features);
  visit(header.counter_hz);
  visit(header.instance_id);
  visit(header.disruption_marker);
  visit(header.timeline_count);
  visit(header.timeline_offset);
  visit(header.timeline_stride);
  visit(header.resolution_ns);
  visit(header.coarse_resolution_ns);
  visit(header.tz_minuteswest);
  visit(header.tz_dsttime);
}

/// Stores a value in a field, cut to its width.
template <class Word>
void Set(Word& word, uint64_t value) {
  PageMemory::Store(word, static_cast<Word>(value));
}

/// Visits every field of a timeline.
template <class Timeline, class Visit>
void ForEachTimelineField(Timeline& timeline, Visit visit) {
  visit(timeline.seq);
  for (auto& slot : timeline.slot) ForEachField(slot, visit);
  visit(timeline.stats.writer_id);
  visit(timeline.stats.late_publications);
  visit(timeline.stats.max_lateness_cycles);
  visit(timeline.stats.redated_lines);
}

/// Makes every field of a page 0, as what is reserved has always been.
inline void Clear(vvar_page& page) {
  const auto clear = [](auto& word) { Set(word, 0); };
  ForEachHeaderField(page.header, clear);
  for (vvar_timeline& timeline : page.timeline) {
    ForEachTimelineField(timeline, clear);
  }
}

/// Formats an empty page for a counter.
template <class Clock>
void Format(vvar_page& page, uint64_t counter_hz) {
  Clear(page);
  FormatPage(page, {.counter_id = Clock::kCounterId,
                    .counter_bits = Clock::kCounterBits,
                    .counter_hz = counter_hz,
                    .instance_id = 0x0123456789abcdef,
                    .features = VVAR_FEATURE_USER_COUNTER,
                    .timeline_count = VVAR_MAX_TIMELINES,
                    .resolution_ns = 1,
                    .coarse_resolution_ns = 4'000'000});
}

/// How hostile the words of a page are.
enum class Hostility : uint32_t {
  kPlausible,  ///< Lines of this counter, published, of an odd rate and date.
  kEdgy,       ///< Any value, many of them edges.
  kAny,        ///< Every bit random, but of the counter's id.
};
inline constexpr uint32_t kHostilities = 3;

template <class Clock>
void FillTimeline(Random& random, Hostility hostility, uint64_t counter,
                  vvar_timeline& timeline) {
  const auto fill = [&](auto& word) {
    Set(word, hostility == Hostility::kAny ? random.Any() : random.Edgy());
  };
  ForEachTimelineField(timeline, fill);
  for (vvar_slot& slot : timeline.slot) {
    // Most of them get past the reader's checks.
    if (!random.OneIn(8)) Set(slot.counter_id, Clock::kCounterId);
    if (hostility == Hostility::kAny) continue;
    if (!random.OneIn(4)) Set(slot.max_cycles, random.Any() | 1u << 31);
    if (!random.OneIn(2)) Set(slot.cycle_start, counter - random.Edgy(34));
    if (hostility != Hostility::kPlausible) continue;
    const uint32_t shift = random.Below(kMaxShift + 1);
    Set(slot.shift, shift);
    Set(slot.mult, random.Any() | 1);
    for (vvar_base& base : slot.base) {
      Set(base.nsec_shifted, ShiftLeft(random.Below(1'000'000'000), shift) |
                                 (random.Any() & (ShiftLeft(1, shift) - 1)));
    }
  }
}

}  // namespace vvar::matrix

#endif  // VVAR_EMBED_MATRIX_CORPUS_H_
