// SPDX-License-Identifier: MIT
//
// The writer's state machine: pure over counter values that are handed in. It
// plans the next line of time, continuous with the current one, and commits to
// it once the page shows it. No page, no counter, no atomics; freestanding, and
// free of memset and memcpy (both lines live here and take turns).
#ifndef VVAR_TIMEKEEPER_H_
#define VVAR_TIMEKEEPER_H_

#include <stdint.h>

#include "vvar/page.h"
#include "vvar/timebase.h"

namespace vvar {

/// What a timekeeper needs to know of its counter and its owner.
struct TimekeeperConfig {
  uint32_t counter_id;
  uint32_t counter_bits;
  uint64_t counter_hz;  ///< Nominal. Range: [kMinHz, kMaxHz].
  /// How far ahead of `now` a line begins. Range: more than a publication
  /// takes, or each comes late.
  uint64_t lead_ns;
  uint64_t interval_ns;  ///< Usual time between two updates. Range: > 0.
  uint64_t max_age_ns;   ///< Readers refuse a line older than this.
};

/// Where the clocks stand when a timekeeper starts.
struct StartTimes {
  Timespec realtime;
  Timespec monotonic;
  Timespec monotonic_raw;
  Timespec boottime;
  int32_t tai_offset_sec;
};

/// The writer's state machine.
///
/// Notation: L is line(), L' the planned one, T(L, c) the exact value of a
/// clock of L at counter c, s = now + lead the start of L'. Operations only
/// note what is wanted; Plan() turns it into L', Commit() makes L' the line.
///
///   Continuity  T(L', s) = T(L, s) for every clock, exactly (no remainder is
///               dropped, so N updates give the same time as one), except
///   Step        REALTIME: T(L', s) = T(L, s) + the steps asked for, and
///               TAI = REALTIME + tai_offset_sec, always.
///   Late        the same equations hold for any now >= L.cycle_start: an
///               update that comes late extends L; nothing else changes.
///
/// Range: line(), Plan() and LineHasBegun() only after Start() or Continue().
/// Context: the one writer of a timeline; calls are not synchronised.
class Timekeeper {
 public:
  /// Steering that frequency and slew may add up to, each. Keeps mult positive
  /// and inside 32 bits, so MONOTONIC never steps back.
  static constexpr int64_t kMaxPpb = 50'000'000;

  constexpr explicit Timekeeper(const TimekeeperConfig& config)
      : nominal_(ScaleFromHz(config.counter_hz)),
        lead_cycles_(NsToCycles(config.lead_ns, nominal_)),
        max_cycles_(MaxCycles(config, nominal_)),
        interval_ns_(config.interval_ns),
        counter_id_(config.counter_id),
        counter_bits_(config.counter_bits),
        mult_(nominal_.mult),
        raw_mult_(nominal_.mult) {}

  /// Begins time at counter value `now` (no lead: nothing came before).
  constexpr void Start(uint64_t now, const StartTimes& times) {
    Line& line = line_[current_];
    line.cycle_start = now & Mask();
    line.max_cycles = max_cycles_;
    line.scale = {mult_, nominal_.shift};
    line.raw_mult = raw_mult_;
    line.counter_id = counter_id_;
    line.status = status_;
    const uint32_t shift = nominal_.shift;
    line.base[VVAR_BASE_REALTIME] = TimespecToTimebase(times.realtime, shift);
    line.base[VVAR_BASE_MONOTONIC] = TimespecToTimebase(times.monotonic, shift);
    line.base[VVAR_BASE_MONOTONIC_RAW] =
        TimespecToTimebase(times.monotonic_raw, shift);
    line.base[VVAR_BASE_BOOTTIME] = TimespecToTimebase(times.boottime, shift);
    line.tai_offset_sec = tai_offset_sec_ = times.tai_offset_sec;
    SetTai(line);
    line.error_ns = error_ns_;
    line.error_growth_ppb = error_growth_ppb_;
    error_age_ns_ = 0;
    error_is_new_ = false;
    line.coarse[VVAR_COARSE_REALTIME] = times.realtime;
    line.coarse[VVAR_COARSE_MONOTONIC] = times.monotonic;
    line.leap_state = VVAR_LEAP_NONE;
    line.was_set_count = 0;
  }

  /// Continues from a line found on a page, as a new writer does after the old
  /// one died: time goes on from it, settings are this timekeeper's own.
  /// Returns false, and changes nothing, when the line is not continuable: not
  /// published, of another counter or resolution, or not normalised.
  [[nodiscard]] constexpr bool Continue(const Line& found) {
    if (found.scale.mult == 0 || found.raw_mult == 0 ||
        found.scale.shift != nominal_.shift ||
        found.counter_id != counter_id_ || (found.cycle_start & ~Mask()) != 0) {
      return false;
    }
    for (const Timebase& base : found.base) {
      if (base.nsec_shifted >= kNsPerSec << nominal_.shift) return false;
    }
    Line& line = line_[current_];
    line.cycle_start = found.cycle_start;
    line.max_cycles = found.max_cycles;
    line.scale = found.scale;
    line.raw_mult = found.raw_mult;
    line.counter_id = found.counter_id;
    line.status = found.status;
    for (uint32_t i = 0; i < VVAR_BASES; ++i) line.base[i] = found.base[i];
    line.error_ns = error_ns_ = found.error_ns;
    line.error_growth_ppb = error_growth_ppb_ = found.error_growth_ppb;
    error_age_ns_ = 0;
    error_is_new_ = false;
    for (uint32_t i = 0; i < VVAR_COARSES; ++i)
      line.coarse[i] = found.coarse[i];
    line.tai_offset_sec = tai_offset_sec_ = found.tai_offset_sec;
    line.leap_state = found.leap_state;
    line.was_set_count = found.was_set_count;
    slew_mult_ = 0;
    slew_remaining_ns_ = 0;
    slew_is_new_ = false;
    return true;
  }

  /// Sets the rate of the disciplined clocks: nominal * (1 + ppb / 10^9).
  /// Range: clamped to +-kMaxPpb. Error: half a step of mult (scale.h).
  constexpr void SetFrequency(int64_t ppb) {
    mult_ = MultByPpb(nominal_.mult, Clamp(ppb));
  }

  /// Corrects the nominal rate itself, which MONOTONIC_RAW runs at: for an
  /// owner that comes to know its counter better. Range: as SetFrequency().
  constexpr void SetRawFrequency(int64_t ppb) {
    raw_mult_ = MultByPpb(nominal_.mult, Clamp(ppb));
  }

  /// Moves the disciplined clocks by `offset_ns`, gradually: each interval by
  /// at most max_rate_ppb, until slew_remaining_ns() is 0. The offset is what
  /// is missing at the coming update's `now`; it replaces a slew under way.
  ///
  /// With r what remains at s, and d = interval_ns: the slope of L' is the
  /// frequency's plus min(|r| / d, max_rate_ppb), so that an update at the
  /// usual interval finds r = 0. An update that is late by x finds -x times
  /// that rate, and slews back. Error: 1 ns, and a step of mult * d.
  /// Range: max_rate_ppb in [0, kMaxPpb], |offset_ns| <= 2^62; clamped.
  constexpr void Slew(int64_t offset_ns, int64_t max_rate_ppb) {
    constexpr int64_t kLimit = int64_t{1} << 62;
    slew_remaining_ns_ = offset_ns > kLimit    ? kLimit
                         : offset_ns < -kLimit ? -kLimit
                                               : offset_ns;
    slew_remainder_shifted_ = 0;
    slew_is_new_ = true;
    max_slew_ppb_ = max_rate_ppb < 0 ? 0 : Clamp(max_rate_ppb);
  }

  /// Steps REALTIME (and TAI) by `delta_ns` where L' begins. MONOTONIC and
  /// BOOTTIME are untouched. Several steps before one update add up. Coarse
  /// clocks stand at an update's `now`: REALTIME_COARSE shows a step forward at
  /// the update after.
  constexpr void StepRealtime(int64_t delta_ns) {
    step_ns_ = static_cast<int64_t>(static_cast<uint64_t>(step_ns_) +
                                    static_cast<uint64_t>(delta_ns));
  }

  /// Sets TAI - REALTIME where L' begins.
  constexpr void SetTaiOffset(int32_t sec) { tai_offset_sec_ = sec; }

  /// Sets what L' says of the quality of its time.
  constexpr void SetStatus(ClockStatus status) { status_ = status; }

  /// Sets the error bound at the coming update's `now`, and its growth. Until
  /// it is set again the bound grows by itself.
  constexpr void SetErrorBound(uint64_t error_ns, uint32_t growth_ppb) {
    error_ns_ = error_ns;
    error_growth_ppb_ = growth_ppb;
    error_is_new_ = true;
  }

  /// Returns whether `now` has reached the current line: before that, no next
  /// one may be planned or published.
  constexpr bool LineHasBegun(uint64_t now) const {
    return SignedDelta(now, line().cycle_start, counter_bits_) >= 0;
  }

  /// Plans L' for an update at counter value `now`, and returns it. May be
  /// called again before Commit(), which a late caller does.
  /// Range: LineHasBegun(now). Context: the writer.
  constexpr const Line& Plan(uint64_t now) {
    const Line& line = line_[current_];
    Line& next = line_[current_ ^ 1];
    next.cycle_start = (now + lead_cycles_) & Mask();
    next.max_cycles = max_cycles_;
    next.counter_id = counter_id_;
    next.status = status_;
    const uint64_t age = Delta(now, line.cycle_start);
    PlanBases(line, next, age + lead_cycles_);
    PlanCoarse(line, next, age);
    PlanError(next, error_is_new_ ? lead_cycles_ : age + lead_cycles_);
    PlanSlope(next, slew_is_new_ ? lead_cycles_ : age + lead_cycles_);
    next.leap_state = line.leap_state;
    const bool was_set =
        step_ns_ != 0 || tai_offset_sec_ != line.tai_offset_sec;
    next.was_set_count = line.was_set_count + (was_set ? 1 : 0);
    return next;
  }

  /// Makes the planned line the current one: the page shows it.
  constexpr void Commit() {
    current_ ^= 1;
    slew_mult_ = next_slew_mult_;
    slew_remaining_ns_ = next_slew_remaining_ns_;
    slew_remainder_shifted_ = next_slew_remainder_shifted_;
    slew_is_new_ = false;
    step_ns_ = 0;
    error_age_ns_ = next_error_age_ns_;
    error_is_new_ = false;
  }

  /// The current line.
  constexpr const Line& line() const { return line_[current_]; }
  /// The slope MONOTONIC_RAW has when its frequency correction is 0.
  constexpr Scale nominal() const { return nominal_; }
  /// What is left of the last Slew() at the current line's start.
  constexpr int64_t slew_remaining_ns() const { return slew_remaining_ns_; }
  constexpr uint32_t counter_bits() const { return counter_bits_; }
  /// Counter value by which a tickless owner has to update again, lest readers
  /// find the line stale: a quarter of its span is left then.
  constexpr uint64_t next_deadline() const {
    return (line().cycle_start + max_cycles_ - max_cycles_ / 4) & Mask();
  }

 private:
  static constexpr int64_t Clamp(int64_t ppb) {
    return ppb > kMaxPpb ? kMaxPpb : ppb < -kMaxPpb ? -kMaxPpb : ppb;
  }
  static constexpr uint64_t MaxCycles(const TimekeeperConfig& config,
                                      Scale nominal) {
    // Bound: beyond half the counter's range forward looks like backward (a
    // quarter leaves room for a late update as well as for readers); and
    // 2^62 ns is far below what CyclesToNs() can return.
    const uint64_t quarter = uint64_t{1} << (config.counter_bits - 2);
    const uint64_t limit_ns = uint64_t{1} << 62;
    const uint64_t ns =
        config.max_age_ns < limit_ns ? config.max_age_ns : limit_ns;
    const uint64_t cycles = NsToCycles(ns, nominal);
    return cycles < quarter ? cycles : quarter;
  }
  constexpr uint64_t Mask() const { return UINT64_MAX >> (64 - counter_bits_); }
  constexpr uint64_t Delta(uint64_t now, uint64_t start) const {
    return (now - start) & Mask();
  }
  constexpr void SetTai(Line& line) const {
    line.base[VVAR_BASE_TAI] = Add(line.base[VVAR_BASE_REALTIME],
                                   {line.tai_offset_sec, 0}, nominal_.shift);
  }

  constexpr void PlanBases(const Line& line, Line& next, uint64_t cycles) {
    const uint32_t shift = nominal_.shift;
    const Timebase elapsed = CyclesToDuration(cycles, line.scale);
    const Timebase raw_elapsed =
        CyclesToDuration(cycles, {line.raw_mult, shift});
    for (uint32_t i = 0; i < VVAR_BASES; ++i) {
      const bool raw = i == VVAR_BASE_MONOTONIC_RAW;
      next.base[i] = Add(line.base[i], raw ? raw_elapsed : elapsed, shift);
    }
    if (step_ns_ != 0) {
      next.base[VVAR_BASE_REALTIME] =
          Add(next.base[VVAR_BASE_REALTIME],
              TimespecToTimebase(NsToTimespec(step_ns_), shift), shift);
    }
    next.tai_offset_sec = tai_offset_sec_;
    SetTai(next);
  }

  // Coarse clocks stand at `now`, on the line that is valid there: never above
  // a precise read that follows. A backward step takes REALTIME_COARSE along
  // at once, a lead before REALTIME itself.
  constexpr void PlanCoarse(const Line& line, Line& next, uint64_t age) {
    const Scale scale = line.scale;
    next.coarse[VVAR_COARSE_REALTIME] =
        TimespecAfter(line.base[VVAR_BASE_REALTIME], scale, age);
    next.coarse[VVAR_COARSE_MONOTONIC] =
        TimespecAfter(line.base[VVAR_BASE_MONOTONIC], scale, age);
    if (step_ns_ < 0) {
      const Timespec stepped =
          TimebaseToTimespec(next.base[VVAR_BASE_REALTIME], scale.shift);
      if (Precedes(stepped, next.coarse[VVAR_COARSE_REALTIME])) {
        next.coarse[VVAR_COARSE_REALTIME] = stepped;
      }
    }
  }

  // `cycles`: since the bound was set, or since L began, up to s. Its age is
  // added up, not its growth: rounding up at each update would add up too.
  constexpr void PlanError(Line& next, uint64_t cycles) {
    next_error_age_ns_ = (error_is_new_ ? 0 : error_age_ns_) +
                         CyclesToNs(cycles, nominal_, 0) + 1;
    next.error_ns =
        ErrorNsAfter(error_ns_, next_error_age_ns_, error_growth_ppb_);
    next.error_growth_ppb = error_growth_ppb_;
  }

  // What L moved beyond its frequency, during `cycles` up to s, is what the
  // slew has got done.
  constexpr void PlanSlope(Line& next, uint64_t cycles) {
    const bool back = slew_mult_ < 0;
    const auto magnitude =
        static_cast<uint32_t>(back ? -slew_mult_ : slew_mult_);
    const ShiftedNs done = CyclesToShiftedNs(
        cycles, {magnitude, nominal_.shift}, slew_remainder_shifted_);
    const auto done_ns = static_cast<int64_t>(done.ns);
    const int64_t remaining = slew_remaining_ns_ - (back ? -done_ns : done_ns);

    uint32_t mult = mult_;
    if (remaining != 0) mult = MultByPpb(mult, SlewRatePpb(remaining));
    next.scale = {mult, nominal_.shift};
    next.raw_mult = raw_mult_;
    next_slew_mult_ = int64_t{mult} - int64_t{mult_};
    next_slew_remaining_ns_ = remaining;
    // A slew that turns round starts a new nanosecond.
    next_slew_remainder_shifted_ =
        (next_slew_mult_ < 0) == back ? done.remainder_shifted : 0;
  }

  // The rate that reaches the target in one interval, or the fastest allowed.
  constexpr int64_t SlewRatePpb(int64_t remaining) const {
    const bool back = remaining < 0;
    const uint64_t amount = back
                                ? uint64_t{0} - static_cast<uint64_t>(remaining)
                                : static_cast<uint64_t>(remaining);
    // Bound: 1.8 * 10^10 * 10^9 < 2^64; nobody slews 18 s in one interval.
    const uint64_t rate = amount > 18 * kNsPerSec
                              ? static_cast<uint64_t>(max_slew_ppb_)
                              : DivideU64(amount * kNsPerSec, interval_ns_);
    const int64_t capped = rate < static_cast<uint64_t>(max_slew_ppb_)
                               ? static_cast<int64_t>(rate)
                               : max_slew_ppb_;
    return back ? -capped : capped;
  }

  // Fixed.
  Scale nominal_;
  uint64_t lead_cycles_;
  uint64_t max_cycles_;
  uint64_t interval_ns_;
  uint32_t counter_id_;
  uint32_t counter_bits_;
  // Settings.
  uint32_t mult_;
  uint32_t raw_mult_;
  int64_t max_slew_ppb_ = 0;
  int64_t step_ns_ = 0;
  uint64_t error_ns_ = 0;
  uint64_t error_age_ns_ = 0;
  uint64_t next_error_age_ns_ = 0;
  uint32_t error_growth_ppb_ = 0;
  bool error_is_new_ = false;
  int32_t tai_offset_sec_ = 0;
  ClockStatus status_ = ClockStatus::kUnsynchronised;
  // The slew: what is left, and by how much mult differs for it.
  bool slew_is_new_ = false;
  int64_t slew_remaining_ns_ = 0;
  uint64_t slew_remainder_shifted_ = 0;
  int64_t slew_mult_ = 0;
  int64_t next_slew_remaining_ns_ = 0;
  uint64_t next_slew_remainder_shifted_ = 0;
  int64_t next_slew_mult_ = 0;
  // The current line and the planned one take turns.
  uint32_t current_ = 0;
  Line line_[2];
};

}  // namespace vvar

#endif  // VVAR_TIMEKEEPER_H_
