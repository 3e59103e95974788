// SPDX-License-Identifier: MIT
//
// The next line of time, from the current one and what is asked of it: pure,
// constexpr, freestanding. The timekeeper's arithmetic; its operations and the
// two lines are timekeeper.h's.
#ifndef VVAR_LINE_PLANNER_H_
#define VVAR_LINE_PLANNER_H_

#include <stdint.h>

#include "vvar/leap.h"
#include "vvar/page.h"
#include "vvar/scale.h"
#include "vvar/slew.h"
#include "vvar/timebase.h"

namespace vvar {

/// What a timekeeper needs to know of its counter and its owner.
struct TimekeeperConfig {
  uint32_t counter_id;
  uint32_t counter_bits;
  uint64_t counter_hz;  ///< Nominal. Range: [kMinHz, kMaxHz].
  /// How far ahead of `now` a line begins. Range: more than twice what a
  /// publication takes, or each comes late; and than twice what a CPU may run
  /// loads ahead of a counter read, which is below 1 us.
  uint64_t lead_ns;
  uint64_t interval_ns;  ///< Usual time between two updates. Range: > 0.
  uint64_t max_age_ns;   ///< Readers refuse a line older than this.
};

/// How far the clocks move while no counter tells: the machine slept, or went
/// to another host. BOOTTIME counts what MONOTONIC need not; neither goes back.
struct Gap {
  int64_t realtime_ns;   ///< And TAI.
  int64_t monotonic_ns;  ///< A negative one counts as 0, as those that follow.
  int64_t monotonic_raw_ns;
  int64_t boottime_ns;
};

/// What a line is planned from besides the line before it, and how. Notation
/// and contracts are Timekeeper's.
class LinePlanner {
 public:
  /// What the counter and the owner are like.
  struct Rules {
    Scale nominal;  ///< At the counter's nominal rate.
    uint64_t lead_cycles;
    uint64_t max_cycles;
    /// How far ahead a date moves a line's start.
    uint64_t horizon_cycles;
    uint64_t interval_ns;
    uint32_t counter_id;
    uint32_t counter_bits;
  };
  /// What holds until it is set again.
  struct Settings {
    uint32_t mult;
    uint32_t raw_mult;
    SlewPace slew_pace = {0, SlewPace::kAtOnce};  ///< Of every clock's slew.
    int64_t realtime_rate_ppb = 500'000;
    uint64_t error_ns = 0;
    uint32_t error_growth_ppb = 0;
    int32_t tai_offset_sec = 0;
    ClockStatus status = ClockStatus::kUnsynchronised;
  };
  /// What the next line does, once.
  struct Requests {
    bool error_is_new = false;  ///< Its age counts from `now`.
    bool slew_is_new = false;   ///< Counts from `now`.
    bool leap_is_new = false;   ///< `leap` is the plan.
    bool hold = false;          ///< The counter is withdrawn from it.
    bool resume = false;        ///< A held line goes on.
    int64_t step_ns = 0;
    int64_t slew_realtime_ns = 0;
    LeapPlan leap;       ///< If leap_is_new.
    uint64_t resume_at;  ///< If resume.
    Gap gap;             ///< If resume.
  };
  /// What has to be known of a line, and is not in it.
  struct Carry {
    Timebase slew_remaining;  ///< Of the slew of every clock.
    int64_t slew_mult;        ///< What the line's mult has for it.
    uint64_t error_age_ns;    ///< Since the error bound was set.
  };

  // In an order in which nobody zeroes them by a call of memset.
  Rules rules;        ///< For good.
  Requests requests;  ///< Until Commit().
  Settings settings;  ///< Its owner's, taken up by the next line.
  Carry carry;        ///< Of the current line.
  Carry next_carry;   ///< Of the planned one.

  /// At the nominal rate, with nothing to do.
  constexpr explicit LinePlanner(const TimekeeperConfig& config)
      : rules(RulesOf(config)),
        settings{.mult = rules.nominal.mult, .raw_mult = rules.nominal.mult} {
    carry.slew_remaining.sec = 0;
    carry.slew_remaining.nsec_shifted = 0;
    carry.slew_mult = 0;
    carry.error_age_ns = 0;
  }

  /// The config in cycles; max_age_ns is cut to what a counter can tell.
  static constexpr Rules RulesOf(const TimekeeperConfig& config) {
    const Scale nominal = ScaleFromHz(config.counter_hz);
    // Bound: beyond half the counter's range forward looks like backward (a
    // quarter leaves room for a late update as well as for readers); and
    // 2^62 ns is far below what CyclesToNs() can return.
    const uint64_t quarter = uint64_t{1} << (config.counter_bits - 2);
    const uint64_t limit_ns = uint64_t{1} << 62;
    const uint64_t cycles = NsToCycles(
        config.max_age_ns < limit_ns ? config.max_age_ns : limit_ns, nominal);
    const uint64_t horizon_ns =
        config.interval_ns < kNsPerSec ? config.interval_ns : kNsPerSec;
    return {nominal,
            NsToCycles(config.lead_ns, nominal),
            cycles < quarter ? cycles : quarter,
            NsToCycles(horizon_ns, nominal),
            config.interval_ns,
            config.counter_id,
            config.counter_bits};
  }

  /// The bits that a counter value has.
  constexpr uint64_t Mask() const {
    return ShiftRight(UINT64_MAX, 64 - rules.counter_bits);
  }

  /// Plans `next` for an update at counter value `now`, which `line` has
  /// reached.
  constexpr void Plan(const Line& line, uint64_t now, Line& next) {
    if (Resumes(line)) {
      const uint64_t age = (now - requests.resume_at) & Mask();
      PlanRun(line, now, age, age + rules.lead_cycles, next);
    } else if (line.IsHeld()) {
      PlanRun(line, now, 0, 0, next);
      next.cycle_start = (now + rules.lead_cycles) & Mask();
    } else {
      const uint64_t age = (now - line.cycle_start) & Mask();
      PlanRun(line, now, age, UntilDate(line, age + rules.lead_cycles), next);
    }
    if (requests.hold || (line.IsHeld() && !requests.resume)) {
      next.counter_id = VVAR_COUNTER_NONE;
    }
  }

  /// Plans `next` for an update `age` cycles after `line` began, itself to
  /// begin `run` cycles after that.
  constexpr void PlanRun(const Line& line, uint64_t now, uint64_t age,
                         uint64_t run, Line& next) {
    next.cycle_start = (now - age + run) & Mask();
    next.status = settings.status;
    next.scale.shift = rules.nominal.shift;
    PlanBases(line, run, next);
    PlanCoarse(line, line.IsHeld() ? 0 : age, next);
    const int64_t to_slew_ns =
        DifferenceNs(next.RealtimeRemaining(), rules.nominal.shift);
    PlanSlopes(requests.slew_is_new ? run - age : run, to_slew_ns, next);
    PlanError(requests.error_is_new ? run - age : run, to_slew_ns, next);
    const bool was_set = requests.step_ns != 0 ||
                         requests.slew_realtime_ns != 0 || Resumes(line) ||
                         next.tai_offset_sec != line.tai_offset_sec;
    next.was_set_count = line.was_set_count + (was_set ? 1 : 0);
  }

  /// Takes it that the planned line, `next`, is the current one.
  constexpr void Commit(const Line& next) {
    settings.tai_offset_sec = next.tai_offset_sec;
    carry = next_carry;
    requests.error_is_new = false;
    requests.slew_is_new = false;
    requests.leap_is_new = false;
    requests.hold = false;
    requests.resume = false;
    requests.step_ns = 0;
    requests.slew_realtime_ns = 0;
  }

  /// Sets the slopes, and what the rules say of every line.
  constexpr void SetSlopes(uint32_t mult, uint32_t realtime_mult,
                           Line& line) const {
    line.max_cycles = rules.max_cycles;
    line.counter_id = rules.counter_id;
    line.scale = {mult, rules.nominal.shift};
    line.realtime_mult = realtime_mult;
    line.raw_mult = settings.raw_mult;
  }

  /// Returns after how many cycles of `line` its REALTIME comes to the date of
  /// a leap second; UINT64_MAX: to none.
  constexpr uint64_t CyclesUntilDue(const Line& line) const {
    const int64_t due_sec = LeapDueSec(PlannedLeap(line));
    if (due_sec == INT64_MAX) [[likely]]
      return UINT64_MAX;
    return CyclesUntilSec(line.base[VVAR_BASE_REALTIME],
                          line.ScaleOf(VVAR_BASE_REALTIME), due_sec);
  }

 private:
  constexpr const LeapPlan& PlannedLeap(const Line& line) const {
    return requests.leap_is_new ? requests.leap : line.leap;
  }
  constexpr bool Resumes(const Line& line) const {
    return requests.resume && line.IsHeld();
  }

  // `cycles` after the line began, or where REALTIME comes to a date soon after
  // that.
  constexpr uint64_t UntilDate(const Line& line, uint64_t cycles) const {
    const uint64_t until = CyclesUntilDue(line);
    const bool soon = until > cycles && until - cycles <= rules.horizon_cycles;
    return soon && requests.step_ns == 0 && !requests.hold ? until : cycles;
  }

  constexpr void MoveBy(Timebase by, uint32_t index, Line& next) const {
    next.base[index] = Add(next.base[index], by, rules.nominal.shift);
  }
  constexpr void MoveForward(int64_t ns, uint32_t index, Line& next) const {
    MoveBy(NsToTimebase(ns < 0 ? 0 : ns, rules.nominal.shift), index, next);
  }
  constexpr void MoveRealtime(int64_t ns, Line& next) const {
    const Timebase by = NsToTimebase(ns, rules.nominal.shift);
    MoveBy(by, VVAR_BASE_REALTIME, next);
    MoveBy(by, VVAR_BASE_TAI, next);
  }

  constexpr void PlanBases(const Line& line, uint64_t run, Line& next) const {
    const uint32_t shift = rules.nominal.shift;
    const Timebase elapsed = CyclesToDuration(run, line.scale);
    const Timebase raw_elapsed = CyclesToDuration(run, {line.raw_mult, shift});
    for (uint32_t i = 0; i < VVAR_BASES; ++i) {
      const bool raw = i == VVAR_BASE_MONOTONIC_RAW;
      next.base[i] = Add(line.base[i], raw ? raw_elapsed : elapsed, shift);
    }
    if (line.realtime_mult != line.scale.mult) [[unlikely]] {
      next.base[VVAR_BASE_REALTIME] =
          Add(line.base[VVAR_BASE_REALTIME],
              CyclesToDuration(run, line.ScaleOf(VVAR_BASE_REALTIME)), shift);
    }
    if (Resumes(line)) [[unlikely]]
      PlanGap(next);
    const int32_t tai_offset_sec = settings.tai_offset_sec;
    next.tai_offset_sec = tai_offset_sec;
    if (tai_offset_sec != line.tai_offset_sec) [[unlikely]] {
      MoveBy({int64_t{tai_offset_sec} - line.tai_offset_sec, 0}, VVAR_BASE_TAI,
             next);
    }
    next.leap = PlannedLeap(line);
    if (next.leap.state != VVAR_LEAP_NONE) [[unlikely]]
      PlanLeap(next);
    if (requests.step_ns != 0) MoveRealtime(requests.step_ns, next);
    if (requests.slew_realtime_ns != 0) {
      MoveBy(NsToTimebase(requests.slew_realtime_ns, shift), VVAR_BASE_TAI,
             next);
    }
  }

  constexpr void PlanGap(Line& next) const {
    const Gap& gap = requests.gap;
    MoveForward(gap.monotonic_ns, VVAR_BASE_MONOTONIC, next);
    MoveForward(gap.monotonic_raw_ns, VVAR_BASE_MONOTONIC_RAW, next);
    MoveForward(gap.boottime_ns, VVAR_BASE_BOOTTIME, next);
    MoveRealtime(gap.realtime_ns, next);
  }

  // A leap second that is due where `next` begins, or is stepped over.
  constexpr void PlanLeap(Line& next) const {
    const int64_t due_sec = LeapDueSec(next.leap);
    const Timebase realtime = next.base[VVAR_BASE_REALTIME];
    if (realtime.sec >= due_sec) {
      const LeapEffect effect = LeapEffectAt(next.leap, realtime.sec);
      MoveBy({effect.realtime_step_sec, 0}, VVAR_BASE_REALTIME, next);
      // Modulo 2^32: a found line may say anything.
      next.tai_offset_sec = static_cast<int32_t>(
          static_cast<uint32_t>(next.tai_offset_sec) +
          static_cast<uint32_t>(effect.tai_offset_step_sec));
      next.leap = effect.plan;
    } else if (requests.step_ns != 0 && IsPending(next.leap)) {
      const uint32_t shift = rules.nominal.shift;
      const Timebase step = NsToTimebase(requests.step_ns, shift);
      if (Add(realtime, step, shift).sec >= due_sec) next.leap = kNoLeap;
    }
  }

  // Coarse clocks stand at `now`, on the line that is valid there: never above
  // a precise read that follows. Where REALTIME goes back, REALTIME_COARSE goes
  // along at once, a lead before REALTIME itself.
  constexpr void PlanCoarse(const Line& line, uint64_t age, Line& next) const {
    const Timespec realtime = TimespecAfter(
        line.base[VVAR_BASE_REALTIME], line.ScaleOf(VVAR_BASE_REALTIME), age);
    const Timespec start =
        TimebaseToTimespec(next.base[VVAR_BASE_REALTIME], rules.nominal.shift);
    next.coarse[VVAR_COARSE_REALTIME] =
        Precedes(start, realtime) ? start : realtime;
    next.coarse[VVAR_COARSE_MONOTONIC] =
        TimespecAfter(line.base[VVAR_BASE_MONOTONIC], line.scale, age);
  }

  // What the line moved beyond its frequency, during `cycles` up to the start
  // of `next`, is what the slew has got done. What REALTIME's own has, its base
  // says.
  constexpr void PlanSlopes(uint64_t cycles, int64_t to_slew_ns, Line& next) {
    const uint32_t shift = rules.nominal.shift;
    next_carry.slew_remaining =
        carry.slew_mult == 0
            ? carry.slew_remaining
            : SlewAfter(carry.slew_remaining, carry.slew_mult, cycles, shift);
    next_carry.slew_mult = SlewOfAll(next);
    const auto mult =
        static_cast<uint32_t>(settings.mult + next_carry.slew_mult);
    const auto realtime_mult =
        static_cast<uint32_t>(mult + SlewOfRealtime(mult, to_slew_ns, next));
    SetSlopes(mult, realtime_mult, next);
  }

  constexpr int64_t SlewOfAll(const Line& next) const {
    const uint32_t shift = rules.nominal.shift;
    const Timebase remaining = next_carry.slew_remaining;
    const int64_t remaining_ns = DifferenceNs(remaining, shift);
    if (remaining_ns == 0) return 0;
    const SlewPace& pace = settings.slew_pace;
    const uint64_t time_ns =
        SlewTimeNs(remaining, next.base[VVAR_BASE_MONOTONIC], shift, pace,
                   rules.interval_ns);
    return SlewMult(settings.mult, remaining_ns, time_ns, pace.max_rate_ppb);
  }

  // `to_slew_ns`: what REALTIME is off by where `next` begins.
  constexpr int64_t SlewOfRealtime(uint32_t mult, int64_t to_slew_ns,
                                   const Line& next) const {
    if (to_slew_ns == 0) [[likely]]
      return 0;
    if (IsSmearing(next.leap)) return SlewOfSmear(mult, to_slew_ns, next);
    return SlewMult(mult, to_slew_ns, rules.interval_ns,
                    settings.realtime_rate_ppb);
  }

  // Towards where a straight line is in a second: a nanosecond, or a step of
  // mult, that is off now is off no longer then.
  constexpr int64_t SlewOfSmear(uint32_t mult, int64_t to_slew_ns,
                                const Line& next) const {
    const uint32_t shift = rules.nominal.shift;
    const Timebase end = {SmearEndSec(next.leap), 0};
    const int64_t left_ns = DifferenceNs(
        Subtract(end, next.base[VVAR_BASE_REALTIME], shift), shift);
    const auto usual_ns = static_cast<int64_t>(
        rules.interval_ns < kNsPerSec ? kNsPerSec : rules.interval_ns);
    const int64_t ahead_ns = left_ns < usual_ns ? left_ns : usual_ns;
    const int64_t offset_ns =
        to_slew_ns - SmearRemainingNs(next.leap, left_ns - ahead_ns);
    // REALTIME's own seconds: it shows `ahead_ns` more after this.
    const int64_t time_ns = ahead_ns - offset_ns;
    return SlewMult(mult, offset_ns,
                    time_ns < 0 ? 0 : static_cast<uint64_t>(time_ns),
                    kMaxSteeringPpb);
  }

  // `cycles`: since the bound was set, or since the line began, up to the start
  // of `next`. Its age is added up, not its growth: rounding up at each update
  // would add up too.
  constexpr void PlanError(uint64_t cycles, int64_t to_slew_ns, Line& next) {
    next_carry.error_age_ns = (requests.error_is_new ? 0 : carry.error_age_ns) +
                              CyclesToNs(cycles, rules.nominal, 0) + 1;
    next.error_growth_ppb = settings.error_growth_ppb;
    next.error_ns = ErrorNsAfter(settings.error_ns, next_carry.error_age_ns,
                                 settings.error_growth_ppb);
    // Also of what is being slewed too slowly for a step of mult.
    if (to_slew_ns != 0 && !IsSmearing(next.leap)) [[unlikely]] {
      next.error_ns = AddErrors(next.error_ns, Magnitude(to_slew_ns) + 1);
    }
  }
};

}  // namespace vvar

#endif  // VVAR_LINE_PLANNER_H_
