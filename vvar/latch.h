// SPDX-License-Identifier: MIT
//
// The dated two-slot latch: which slot a reader uses, and what it accepts.
// Freestanding core; pure functions of sequence values on top of seqcount.h.
//
//   seq even   slot[current] is readable, slot[other] holds the previous line
//   seq odd    slot[current] is readable, slot[other] is being rewritten
//
// The next line is *dated*: it begins a little in the future, so readers change
// over by the counter, not by when they see the store. A reader whose counter
// is before the current line's cycle_start is answered by the previous line.
// No reader ever waits: some slot is readable at every instruction of a writer.
#ifndef VVAR_LATCH_H_
#define VVAR_LATCH_H_

#include <stdint.h>

#include "vvar/seqcount.h"

namespace vvar {

/// Which of the two lines a read used; kNeither: its words do not belong
/// together.
enum class LatchSide : uint32_t { kCurrent, kPrevious, kNeither };

/// Returns the index of the slot that holds the current line. An odd seq still
/// names the line before the update under way.
constexpr uint32_t CurrentSlot(SeqToken seq) { return (seq >> 1) & 1; }

/// Returns the index of the other slot: the previous line's when seq is even;
/// the writer's while it is odd.
constexpr uint32_t IdleSlot(SeqToken seq) { return CurrentSlot(seq) ^ 1; }

/// Returns whether slot[IdleSlot(seq)] may be read as the previous line.
constexpr bool PreviousIsReadable(SeqToken seq) { return (seq & 1) == 0; }

/// Returns whether a read that began at `begin` and ended at `end` holds the
/// words of one publication.
///
/// The current slot is not rewritten before seq has moved on by two: a step
/// from even to odd in between is harmless. The previous slot is rewritten from
/// the next odd value on: any step spoils it.
constexpr bool Accepts(SeqToken begin, SeqToken end, LatchSide side) {
  if (side == LatchSide::kCurrent) return (end | 1) == (begin | 1);
  return side == LatchSide::kPrevious && end == begin;
}

}  // namespace vvar

#endif  // VVAR_LATCH_H_
