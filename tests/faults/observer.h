// SPDX-License-Identifier: MIT
//
// What readers beside a stepped writer see, held against the lines that were
// published: every clock, by every kind of read, on a CPU whose counter is the
// writer's and on one whose counter stands before the writer's line.
#ifndef VVAR_TESTS_FAULTS_OBSERVER_H_
#define VVAR_TESTS_FAULTS_OBSERVER_H_

#include <stdint.h>

#include <algorithm>
#include <functional>
#include <map>
#include <utility>

#include "tests/support/counted_memory.h"
#include "tests/support/manual_clock.h"
#include "tests/support/test_page.h"
#include "vvar/latch.h"
#include "vvar/page.h"
#include "vvar/reader.h"
#include "vvar/seqcount.h"
#include "vvar/timebase.h"

namespace vvar::faults {

struct Tally {
  uint64_t instructions = 0;
  uint64_t probes = 0;   // Reads.
  uint64_t torn = 0;     // On no line that was valid there.
  uint64_t busy = 0;     // kBusy.
  uint64_t refused = 0;  // Another status than the line's.
  uint64_t waits = 0;    // More than one try.
  uint64_t back = 0;     // Earlier than before; REALTIME and TAI may step.
  uint64_t worst_back_ns = 0;

  uint64_t Failures() const { return torn + busy + refused + waits + back; }
  void Add(const Tally& other) {
    instructions += other.instructions;
    probes += other.probes;
    torn += other.torn;
    busy += other.busy;
    refused += other.refused;
    waits += other.waits;
    back += other.back;
    worst_back_ns = std::max(worst_back_ns, other.worst_back_ns);
  }
};

/// What one CPU last read of each clock.
struct LastRead {
  uint64_t ns[VVAR_BASES] = {};
};

class Observer {
 public:
  using Lines = std::map<uint32_t, Line>;

  /// `lines` are those published since seq was `first_seq`, by their number;
  /// `plan` returns the line that the writer ought to publish next, if it
  /// begins at a counter value.
  Observer(const vvar_timeline& timeline, SeqToken first_seq,
           const volatile uint64_t* counter, Lines lines,
           std::function<Line(uint64_t start)> plan)
      : timeline_(timeline),
        first_seq_(first_seq),
        counter_(counter),
        lines_(std::move(lines)),
        plan_(std::move(plan)) {}

  void StandSkewedAt(uint64_t counter) { skewed_counter_ = counter; }

  /// Every read there is, of each CPU, now.
  void Probe() {
    const SeqToken seq = PageMemory::Load(timeline_.seq);
    Learn(seq);
    ProbeOn(counter_, seq, &now_);
    ProbeOn(&skewed_counter_, seq, &skewed_);
  }

  /// The current line at a value of seq, or nullptr: nothing was published.
  const Line* LineAt(SeqToken seq) const {
    const auto found = lines_.find((seq - first_seq_) >> 1);
    return found == lines_.end() ? nullptr : &found->second;
  }
  const Lines& lines() const { return lines_; }

  Tally tally;
  LastRead now_;
  LastRead skewed_;

 private:
  // A publication that nobody told of: it is the planned line, or its words
  // will show that it is not.
  void Learn(SeqToken seq) {
    const uint32_t publication = (seq - first_seq_) >> 1;
    if (publication == 0 || LineAt(seq) != nullptr) return;
    const vvar_slot& slot = timeline_.slot[CurrentSlot(seq)];
    lines_[publication] = plan_(PageMemory::Load(slot.cycle_start));
  }

  // By the definition of the page (vvar/latch.h), not by the reader's code.
  const Line* ValidLine(SeqToken seq, uint64_t now, bool coarse) const {
    const Line* const current = LineAt(seq);
    if (current == nullptr || coarse || current->IsHeld()) return current;
    const bool begun = static_cast<int64_t>(now - current->cycle_start) >= 0;
    if (begun || (seq & 1) != 0) return current;
    return LineAt(seq - 2);
  }

  void ProbeOn(const volatile uint64_t* counter, SeqToken seq, LastRead* last) {
    const Reader<support::WordClock, support::CountedMemory> reader(
        &timeline_, support::WordClock(counter));
    for (const support::ClockRow& clock : support::kClockRows) {
      const Line* const line = ValidLine(seq, *counter, clock.coarse);
      const ReadStatus status = line == nullptr ? ReadStatus::kNotReady
                                : line->IsHeld() && !clock.coarse
                                    ? ReadStatus::kNoCounter
                                    : ReadStatus::kOk;
      const uint64_t ns = status == ReadStatus::kOk
                              ? support::ExpectedNs(*line, clock, *counter, 64)
                              : 0;
      support::CountedMemory::tries = 0;
      uint64_t reads = 0;
      support::ForEachReadOf(
          reader, clock, [&](const char*, ReadStatus said, uint64_t said_ns) {
            ++reads;
            tally.busy += said == ReadStatus::kBusy;
            tally.refused += said != status;
            if (said != ReadStatus::kOk) return;
            tally.torn += said_ns != ns;
            NoteOrder(clock, said_ns, last);
          });
      tally.waits += support::CountedMemory::tries - reads;
      tally.probes += reads;
    }
  }

  void NoteOrder(const support::ClockRow& clock, uint64_t ns, LastRead* last) {
    if (clock.coarse || clock.id == ClockId::kRealtime ||
        clock.id == ClockId::kTai) {
      return;
    }
    uint64_t& last_ns = last->ns[clock.index];
    if (ns < last_ns) {
      ++tally.back;
      tally.worst_back_ns = std::max(tally.worst_back_ns, last_ns - ns);
    }
    last_ns = ns;
  }

  const vvar_timeline& timeline_;
  SeqToken first_seq_;
  const volatile uint64_t* counter_;
  uint64_t skewed_counter_ = 0;
  Lines lines_;
  std::function<Line(uint64_t start)> plan_;
};

}  // namespace vvar::faults

#endif  // VVAR_TESTS_FAULTS_OBSERVER_H_
