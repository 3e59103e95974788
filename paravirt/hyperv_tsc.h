// SPDX-License-Identifier: MIT
//
// Hyper-V's reference TSC page: read by guests, written by whoever runs them.
// Freestanding; arithmetic is pure. The page has no base: the absolute TSC is
// scaled. Its sequence is no seqcount: odd means nothing, 0 says "ask the MSR".
// Source: Hypervisor Top Level Functional Specification, Timers: Partition
// Reference TSC Mechanism.
#ifndef VVAR_PARAVIRT_HYPERV_TSC_H_
#define VVAR_PARAVIRT_HYPERV_TSC_H_

#include <stddef.h>
#include <stdint.h>

#include "paravirt/foreign_page.h"
#include "vvar/abi.h"
#include "vvar/clocksource.h"
#include "vvar/scale.h"
#include "vvar/seqcount.h"
#include "vvar/wide.h"

namespace vvar {

/// The page of a partition. Little-endian.
struct hv_reference_tsc_page {
  uint32_t tsc_sequence;  ///< 0, and all ones: there is no time here.
  uint32_t reserved1;
  alignas(8) uint64_t tsc_scale;   ///< Units of 2^-64.
  alignas(8) uint64_t tsc_offset;  ///< 100 ns; two's complement.
  alignas(8) uint64_t reserved2[509];
};
static_assert(offsetof(hv_reference_tsc_page, tsc_sequence) == 0);
static_assert(offsetof(hv_reference_tsc_page, reserved1) == 4);
static_assert(offsetof(hv_reference_tsc_page, tsc_scale) == 8);
static_assert(offsetof(hv_reference_tsc_page, tsc_offset) == 16);
static_assert(offsetof(hv_reference_tsc_page, reserved2) == 24);
static_assert(sizeof(hv_reference_tsc_page) == 4096);

/// Reference time is in ticks of 100 ns.
inline constexpr uint64_t kHypervHz = 10'000'000;
/// How long one is.
inline constexpr uint64_t kNsPerHypervTick = 100;

/// What a page says: a line.
struct HypervTscLine {
  uint64_t scale;   ///< Ticks of 2^-64 a cycle.
  uint64_t offset;  ///< Ticks, modulo 2^64.

  /// Returns the reference time at `tsc`, in ticks modulo 2^64.
  /// Error: truncation; none against the published formula.
  constexpr uint64_t TicksAt(uint64_t tsc) const {
    return MultiplyHigh(tsc, scale) + offset;
  }
  friend constexpr bool operator==(const HypervTscLine&,
                                   const HypervTscLine&) = default;
};

/// Returns the line of this scale that shows `ticks` at `tsc`.
constexpr HypervTscLine HypervLineThrough(uint64_t scale, uint64_t tsc,
                                          uint64_t ticks) {
  return {scale, ticks - MultiplyHigh(tsc, scale)};
}

/// Finds the scale of a TSC. Returns whether it fits: above 10 MHz.
/// Error: truncation: 1 tick in 2^64 cycles, towards slower.
[[nodiscard]] constexpr bool HypervScaleFromHz(uint64_t hz, uint64_t* scale) {
  if (hz <= kHypervHz) return false;
  // Bound: 10^7 << 64 < 2^88; with hz > 10^7 the quotient is below 2^64.
  *scale = QuotientWide({kHypervHz, 0}, hz).low;
  return true;
}

/// Returns `line`, moved forward if it is below `floor_ticks` at `tsc`: so that
/// what follows a line, or a restore, is never earlier than what was read.
constexpr HypervTscLine NotBefore(HypervTscLine line, uint64_t tsc,
                                  uint64_t floor_ticks) {
  const uint64_t missing = floor_ticks - line.TicksAt(tsc);
  if (static_cast<int64_t>(missing) > 0) line.offset += missing;
  return line;
}

/// Returns the sequence number after `sequence`: neither 0 nor all ones, which
/// an older text calls invalid.
constexpr uint32_t NextTscSequence(uint32_t sequence) {
  return sequence >= UINT32_MAX - 1 ? 1 : sequence + 1;
}

/// Reads the page. Copyable; never writes.
/// Progress: bounded by kForeignTries; kWithdrawn at once when the page says
/// that there is no time (ask MSR 4000_0020h). Context: any, NMI included.
template <ClockSource Clock, class Memory = PageMemory>
class HypervTscReader {
 public:
  static constexpr uint32_t kCounterId = VVAR_COUNTER_PRIVATE | 0x70762;
  static constexpr uint64_t kHz = kHypervHz;
  static_assert(Clock::kCounterBits == 64, "the absolute TSC is scaled");

  /// A reader of nothing: each read says kAbsent.
  constexpr HypervTscReader() = default;
  /// A reader of a page, which must stay mapped; null: of nothing.
  constexpr HypervTscReader(const hv_reference_tsc_page* page, Clock clock)
      : page_(page), clock_(clock) {}

  /// Returns the reference time, in ticks of 100 ns modulo 2^64.
  /// Ordering: as clock_gettime().
  [[nodiscard]] ForeignCount Now() const {
    return Count<CounterOrder::kOrdered>();
  }
  /// The same, in the order that is asked for.
  template <CounterOrder kOrder>
  [[nodiscard]] ForeignCount Count() const {
    HypervTscLine line;
    uint64_t tsc;
    const ForeignStatus status = Read<kOrder>(&line, &tsc);
    if (status != ForeignStatus::kOk) return {0, status};
    return {line.TicksAt(tsc), status};
  }

  /// Copies the line, and the counter read with it. Ordering: as
  /// clock_gettime(). Error: both are undefined unless kOk.
  [[nodiscard]] ForeignStatus ReadLine(HypervTscLine* line,
                                       uint64_t* tsc) const {
    return Read<CounterOrder::kOrdered>(line, tsc);
  }

  /// The counter that the page scales.
  constexpr const Clock& clock() const { return clock_; }

 private:
  using Words = LittleEndian<Memory>;

  template <CounterOrder kOrder>
  ForeignStatus Read(HypervTscLine* line, uint64_t* tsc) const {
    *tsc = 0;
    if (page_ == nullptr) return ForeignStatus::kAbsent;
    return ReadForeign<SequenceRule::kZeroIsInvalid, Words>(
        page_->tsc_sequence, clock_, [&](SeqToken seq) {
          *tsc = ReadCounter<kOrder>(clock_, seq);
          line->scale = Words::Load(page_->tsc_scale);
          line->offset = Words::Load(page_->tsc_offset);
          return line->scale == 0 ? ForeignStatus::kMalformed
                                  : ForeignStatus::kOk;
        });
  }

  const hv_reference_tsc_page* page_ = nullptr;
  [[no_unique_address]] Clock clock_ = {};
};

/// The page as a counter of ticks of 100 ns.
template <ClockSource Clock, class Memory = PageMemory>
using HypervTscClock = ForeignClock<HypervTscReader<Clock, Memory>>;

/// [the page's own open] Says that there is no time meanwhile: readers ask the
/// MSR. Ordering: the fence stands after the zero and before the first word, so
/// whoever sees a new word sees zero, or a later sequence.
template <class Memory>
void OpenTscPage(uint32_t& sequence) {
  Memory::StoreRelease(sequence, 0);
  Memory::FenceRelease();
}

/// [the page's own close] Publishes the words stored since OpenTscPage().
/// Ordering: release; whoever sees `next` sees all the words.
template <class Memory>
void CloseTscPage(uint32_t& sequence, uint32_t next) {
  Memory::StoreRelease(sequence, next);
}

/// Publishes lines on a page. Remembers the sequence, which the page does not
/// while it is 0. Context: one at a time.
template <class Memory = PageMemory>
class HypervTscWriter {
 public:
  /// Goes on from the sequence that the page shows. One who knows better, since
  /// the page was withdrawn when its state was saved, says so with SetSequence.
  explicit HypervTscWriter(hv_reference_tsc_page* page)
      : page_(page), sequence_(Words::Load(page->tsc_sequence)) {}

  /// Makes a new page: every byte 0. Readers say kWithdrawn.
  void Format() {
    OpenTscPage<Words>(page_->tsc_sequence);
    Words::Store(page_->reserved1, uint32_t{0});
    Words::Store(page_->tsc_scale, uint64_t{0});
    Words::Store(page_->tsc_offset, uint64_t{0});
    for (uint64_t& word : page_->reserved2) Words::Store(word, uint64_t{0});
  }
  /// Says that there is no time here.
  void Withdraw() { OpenTscPage<Words>(page_->tsc_sequence); }

  /// Publishes `line` as it stands, even if it is behind the last.
  void Publish(const HypervTscLine& line) {
    OpenTscPage<Words>(page_->tsc_sequence);
    Store(line);
  }

  /// Publishes `line`, moved forward if it is behind `last`, which the page
  /// shows, when nobody reads that any more. Returns it as published.
  /// Ordering: `clock` counts in the guest's units; it is read after the page
  /// is being updated, so no read of `last` was later.
  template <ClockSource Clock>
  HypervTscLine PublishAfter(const HypervTscLine& last,
                             const HypervTscLine& line, const Clock& clock) {
    OpenTscPage<Words>(page_->tsc_sequence);
    const uint64_t tsc = clock.ReadAfterStores();
    const HypervTscLine next = NotBefore(line, tsc, last.TicksAt(tsc));
    Store(next);
    return next;
  }

  /// That of the last line, or where this writer went on.
  constexpr uint32_t sequence() const { return sequence_; }
  /// Has the next line follow that one.
  constexpr void SetSequence(uint32_t sequence) { sequence_ = sequence; }

 private:
  using Words = LittleEndian<Memory>;

  void Store(const HypervTscLine& line) {
    Words::Store(page_->reserved1, uint32_t{0});
    Words::Store(page_->tsc_scale, line.scale);
    Words::Store(page_->tsc_offset, line.offset);
    sequence_ = NextTscSequence(sequence_);
    CloseTscPage<Words>(page_->tsc_sequence, sequence_);
  }

  hv_reference_tsc_page* page_;
  uint32_t sequence_;
};

}  // namespace vvar

#endif  // VVAR_PARAVIRT_HYPERV_TSC_H_
