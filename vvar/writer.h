// SPDX-License-Identifier: MIT
//
// Publishes a timekeeper's lines on a page: the writer's half of the dated
// two-slot latch. Freestanding core. One writer per timeline; who that is, and
// what keeps a second one out, is the owner's business (hosted/ takes a lock on
// the page's file, a kernel its own). Wait-free: never waits for a reader.
#ifndef VVAR_WRITER_H_
#define VVAR_WRITER_H_

#include <stdint.h>

#include "vvar/clocksource.h"
#include "vvar/latch.h"
#include "vvar/page.h"
#include "vvar/seqcount.h"
#include "vvar/slot.h"
#include "vvar/timekeeper.h"

namespace vvar {

/// The outcome of one update.
enum class PublishStatus : uint32_t {
  kPublished,  ///< Readers change over when the counter reaches the line.
  kTooEarly,   ///< The current line has not begun; nothing was changed.
  kLate,       ///< Published without its margin (see Writer::Publish()).
};

/// The writer of one timeline.
template <ClockSource Clock, class Memory = PageMemory>
class Writer {
 public:
  /// How often one publication is dated: anew each time that its owner was held
  /// up between computing and publishing it, up to this.
  static constexpr int kMaxDatings = 4;

  /// The timeline must stay mapped, and be this writer's alone.
  Writer(vvar_timeline* timeline, Clock clock)
      : timeline_(timeline), clock_(clock) {}

  /// Plans, publishes and commits the next line of `timekeeper`, which starts
  /// `lead` after the counter value read here. Every operation on the
  /// timekeeper is followed by this call, so no change waits for a tick. A line
  /// that HoldAt() has ended is published as it stands before the next one.
  ///
  /// A publication is in time if it is visible a margin, half the lead, before
  /// its line begins: a CPU may run loads ahead of a counter read, by less than
  /// that. kLate otherwise: readers may have used the old line until they saw
  /// the new one. Damage: at most lateness * change of slope (a step comes late
  /// as a whole); counted in the timeline's statistics.
  /// Progress: wait-free. Context: the one writer; not re-entrant.
  PublishStatus Publish(Timekeeper& timekeeper) {
    uint64_t now = clock_.ReadBeforeStores();
    if (!timekeeper.LineHasBegun(now)) return PublishStatus::kTooEarly;
    if (timekeeper.held()) [[unlikely]]
      ShowHeld(timekeeper.line());
    const uint64_t margin = timekeeper.margin_cycles();
    const Line* line = &timekeeper.Plan(now);
    const SeqToken odd = WriteOpen<Memory>(timeline_->seq);  // [W:open]
    StoreLine<Memory>(Idle(odd), *line);                     // [W:line]
    for (int dating = 1; dating < kMaxDatings && IsNear(*line, margin);
         ++dating) {
      Memory::Store(timeline_->stats.redated_lines,
                    Memory::Load(timeline_->stats.redated_lines) + 1);
      now = clock_.ReadBeforeStores();
      line = &timekeeper.Plan(now);
      StoreLine<Memory>(Idle(odd), *line);
    }
    WriteClose<Memory>(timeline_->seq, odd);  // [W:close]
    timekeeper.Commit();
    return CheckTimely(timekeeper.line(), margin);
  }

  /// Publishes `line` as it stands: the first line of a timekeeper, or a held
  /// one.
  void PublishLine(const Line& line) {
    const SeqToken odd = WriteOpen<Memory>(timeline_->seq);  // [W:open]
    StoreLine<Memory>(Idle(odd), line);                      // [W:line]
    WriteClose<Memory>(timeline_->seq, odd);                 // [W:close]
  }

  /// Copies the current line, for a writer that goes on where another died: at
  /// any instruction of a writer's life this slot is whole.
  /// Context: the one writer (so nothing changes meanwhile).
  void LoadCurrentLine(Line* line) const {
    const SeqToken seq = Memory::Load(timeline_->seq);
    LoadLine<Memory>(timeline_->slot[CurrentSlot(seq)], *line);
  }

  /// Says who writes: a process id or the embedder's own; 0: nobody.
  void SetWriterId(uint32_t id) {
    Memory::Store(timeline_->stats.writer_id, id);
  }

  /// The counter that dates its lines.
  constexpr const Clock& clock() const { return clock_; }

 private:
  vvar_slot& Idle(SeqToken odd) { return timeline_->slot[IdleSlot(odd)]; }

  // A line that HoldAt() has ended may still run on the page: readers would go
  // on with it, on whatever the counter shows now, until the next one begins.
  void ShowHeld(const Line& held) {
    const SeqToken seq = Memory::Load(timeline_->seq);
    const vvar_slot& slot = timeline_->slot[CurrentSlot(seq)];
    if (Memory::Load(slot.counter_id) != VVAR_COUNTER_NONE) PublishLine(held);
  }

  // The age of `line` if it had begun a margin earlier.
  static int64_t AgeWithMargin(uint64_t now, const Line& line,
                               uint64_t margin) {
    return SignedDelta(now + margin, line.cycle_start, Clock::kCounterBits);
  }

  bool IsNear(const Line& line, uint64_t margin) const {
    return AgeWithMargin(clock_.ReadUnordered(), line, margin) >= 0;
  }

  PublishStatus CheckTimely(const Line& line, uint64_t margin) {
    const uint64_t now = clock_.ReadAfterStores();
    if (AgeWithMargin(now, line, margin) <= 0) [[likely]]
      return PublishStatus::kPublished;
    const int64_t lateness =
        SignedDelta(now, line.cycle_start, Clock::kCounterBits);
    vvar_writer_stats& stats = timeline_->stats;
    Memory::Store(stats.late_publications,
                  Memory::Load(stats.late_publications) + 1);
    const auto cycles =
        static_cast<uint32_t>(lateness < 0            ? 0
                              : lateness < UINT32_MAX ? lateness
                                                      : UINT32_MAX);
    if (cycles > Memory::Load(stats.max_lateness_cycles)) {
      Memory::Store(stats.max_lateness_cycles, cycles);
    }
    return PublishStatus::kLate;
  }

  vvar_timeline* timeline_;
  [[no_unique_address]] Clock clock_;
};

}  // namespace vvar

#endif  // VVAR_WRITER_H_
