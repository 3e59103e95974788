// SPDX-License-Identifier: MIT
//
// The words of a slot and the values they stand for: the writer's stores and
// the readers' loads, mirror images of each other. Freestanding core. Each word
// is loaded once; the sequence that makes them one publication is latch.h's.
#ifndef VVAR_SLOT_H_
#define VVAR_SLOT_H_

#include <stdint.h>

#include "vvar/page.h"
#include "vvar/reading.h"
#include "vvar/timebase.h"

namespace vvar {

/// [W:line] Stores every word of a line. Context: the writer, between
/// [W:open] and [W:close], into the idle slot.
template <class Memory>
void StoreLine(vvar_slot& slot, const Line& line) {
  Memory::Store(slot.cycle_start, line.cycle_start);
  Memory::Store(slot.max_cycles, line.max_cycles);
  Memory::Store(slot.mult, line.scale.mult);
  Memory::Store(slot.realtime_mult, line.realtime_mult);
  Memory::Store(slot.shift, static_cast<uint16_t>(line.scale.shift));
  const auto status = static_cast<uint32_t>(line.status);
  Memory::Store(slot.status, static_cast<uint16_t>(status));
  Memory::Store(slot.counter_id, line.counter_id);
  for (uint32_t i = 0; i < VVAR_BASES; ++i) {
    Memory::Store(slot.base[i].sec, line.base[i].sec);
    Memory::Store(slot.base[i].nsec_shifted, line.base[i].nsec_shifted);
  }
  Memory::Store(slot.raw_mult, line.raw_mult);
  Memory::Store(slot.error_growth_ppb, line.error_growth_ppb);
  Memory::Store(slot.error_ns, line.error_ns);
  for (uint32_t i = 0; i < VVAR_COARSES; ++i) {
    Memory::Store(slot.coarse[i].ns, TimespecToNs(line.coarse[i]));
    Memory::Store(slot.coarse[i].sec, line.coarse[i].sec);
    Memory::Store(slot.coarse[i].nsec, line.coarse[i].nsec);
    Memory::Store(slot.coarse[i].status, status);
  }
  Memory::Store(slot.tai_offset_sec, line.tai_offset_sec);
  Memory::Store(slot.was_set_count, line.was_set_count);
  Memory::Store(slot.leap_state, line.leap.state);
  Memory::Store(slot.leap_smear_sec, line.leap.smear_sec);
  Memory::Store(slot.leap_date_sec, line.leap.date_sec);
}

/// Loads the slope of a clock, by its index in vvar_slot.base.
template <class Memory>
[[gnu::always_inline]] inline uint32_t LoadMult(const vvar_slot& slot,
                                                uint32_t index) {
  if (index == VVAR_BASE_REALTIME) return Memory::Load(slot.realtime_mult);
  if (index == VVAR_BASE_MONOTONIC_RAW) return Memory::Load(slot.raw_mult);
  return Memory::Load(slot.mult);
}

/// Loads a coarse clock's time, normalised whatever the bytes are.
template <class Memory>
[[gnu::always_inline]] inline Timespec LoadCoarse(const vvar_slot& slot,
                                                  uint32_t index) {
  return {Memory::Load(slot.coarse[index].sec),
          NsecOf(Memory::Load(slot.coarse[index].nsec))};
}

/// [R:line] Loads every word of a line.
template <class Memory>
void LoadLine(const vvar_slot& slot, Line& line) {
  line.max_cycles = Memory::Load(slot.max_cycles);
  line.scale = {Memory::Load(slot.mult), Memory::Load(slot.shift)};
  line.realtime_mult = Memory::Load(slot.realtime_mult);
  line.raw_mult = Memory::Load(slot.raw_mult);
  line.counter_id = Memory::Load(slot.counter_id);
  line.status = static_cast<ClockStatus>(Memory::Load(slot.status));
  for (uint32_t i = 0; i < VVAR_BASES; ++i) {
    line.base[i] = {Memory::Load(slot.base[i].sec),
                    Memory::Load(slot.base[i].nsec_shifted)};
  }
  line.error_ns = Memory::Load(slot.error_ns);
  line.error_growth_ppb = Memory::Load(slot.error_growth_ppb);
  for (uint32_t i = 0; i < VVAR_COARSES; ++i) {
    line.coarse[i] = LoadCoarse<Memory>(slot, i);
  }
  line.tai_offset_sec = Memory::Load(slot.tai_offset_sec);
  line.was_set_count = Memory::Load(slot.was_set_count);
  line.leap = {Memory::Load(slot.leap_state), Memory::Load(slot.leap_smear_sec),
               Memory::Load(slot.leap_date_sec)};
  line.cycle_start = Memory::Load(slot.cycle_start);
}

/// A view: the words that one kind of read needs. Each has Load(slot, index),
/// which is [R:line] and loads cycle_start last; `delta` is the age of the
/// line, filled in by the reader.

/// One precise clock, by its index in vvar_slot.base.
template <class Memory>
struct ClockView {
  uint64_t cycle_start;
  uint64_t max_cycles;
  Scale scale;
  uint32_t counter_id;
  Timebase base;
  uint64_t delta;

  /// Within one try of a read, as each Load() here.
  [[gnu::always_inline]] void Load(const vvar_slot& slot, uint32_t index) {
    max_cycles = Memory::Load(slot.max_cycles);
    scale = {LoadMult<Memory>(slot, index), Memory::Load(slot.shift)};
    counter_id = Memory::Load(slot.counter_id);
    base = {Memory::Load(slot.base[index].sec),
            Memory::Load(slot.base[index].nsec_shifted)};
    cycle_start = Memory::Load(slot.cycle_start);
  }
  /// The clock's time at `delta`, modulo 2^64.
  uint64_t Ns() const { return NsAfter(base, scale, delta); }
  /// The same as a timespec.
  Timespec Time() const { return TimespecAfter(base, scale, delta); }
  /// `delta` in ns.
  uint64_t AgeNs() const { return CyclesToNs(delta, scale, 0); }
  /// False: no writer has been here; nothing else holds.
  bool Published() const { return scale.mult != 0; }
};

/// One precise clock and what its writer vouches for.
template <class Memory>
struct BoundedView : ClockView<Memory> {
  ClockStatus clock_status;
  uint64_t error_ns;
  uint32_t error_growth_ppb;

  /// As ClockView's.
  [[gnu::always_inline]] void Load(const vvar_slot& slot, uint32_t index) {
    clock_status = static_cast<ClockStatus>(Memory::Load(slot.status));
    error_ns = Memory::Load(slot.error_ns);
    error_growth_ppb = Memory::Load(slot.error_growth_ppb);
    ClockView<Memory>::Load(slot, index);
  }
  /// The error bound at `delta`.
  uint64_t ErrorNs() const {
    return ErrorNsAfter(error_ns, this->AgeNs(), error_growth_ppb);
  }
};

/// Every clock; Load() does not use `index`.
template <class Memory>
struct LineView : Line {
  uint64_t delta;

  /// @{
  /// As ClockView's and BoundedView's, of base[index].
  void Load(const vvar_slot& slot, uint32_t /*index*/) {
    LoadLine<Memory>(slot, *this);
  }
  uint64_t Ns(uint32_t index) const {
    return NsAfter(base[index], ScaleOf(index), delta);
  }
  uint64_t ErrorNs() const {
    return ErrorNsAfter(error_ns, CyclesToNs(delta, scale, 0),
                        error_growth_ppb);
  }
  bool Published() const { return scale.mult != 0; }
  /// @}
};

/// Both lines of a timeline: the current one, and the previous one where it
/// could be read.
template <class Memory>
struct PairView : LineView<Memory> {
  LineView<Memory> previous;  ///< Holds if has_previous.
  bool has_previous;          ///< It was not being rewritten.
  uint32_t publications;      ///< Up to the current line, modulo 2^31.
  uint64_t cycles;  ///< The counter while no later line was published.
};

/// One coarse clock in ns, by its index in vvar_slot.coarse: no counter, no
/// age.
template <class Memory>
struct CoarseNsView {
  uint64_t ns;
  uint32_t status;

  /// @{
  /// As ClockView's, for the time of the publication.
  [[gnu::always_inline]] void Load(const vvar_slot& slot, uint32_t index) {
    ns = Memory::Load(slot.coarse[index].ns);
    status = Memory::Load(slot.coarse[index].status);
  }
  uint64_t Ns() const { return ns; }
  bool Published() const { return status != VVAR_STATUS_NONE; }
  /// @}
};

/// The same as a timespec.
template <class Memory>
struct CoarseTimespecView {
  Timespec time;  ///< Normalised.
  uint32_t status;

  /// @{
  /// As ClockView's, for the time of the publication.
  [[gnu::always_inline]] void Load(const vvar_slot& slot, uint32_t index) {
    time = LoadCoarse<Memory>(slot, index);
    status = Memory::Load(slot.coarse[index].status);
  }
  Timespec Time() const { return time; }
  bool Published() const { return status != VVAR_STATUS_NONE; }
  /// @}
};

/// The coarse view that a kind of reading needs.
template <class Memory, class Reading>
struct CoarseViewOf {
  using Type = CoarseTimespecView<Memory>;  ///< For a TimespecReading.
};
/// Its case of ns.
template <class Memory>
struct CoarseViewOf<Memory, NsReading> {
  using Type = CoarseNsView<Memory>;  ///< For an NsReading.
};

}  // namespace vvar

#endif  // VVAR_SLOT_H_
