// SPDX-License-Identifier: MIT
//
// The writer's state machine: pure over counter values that are handed in. It
// plans the next line of time, continuous with the current one, and commits to
// it once the page shows it. No page, no counter, no atomics; freestanding, and
// free of memset and memcpy (both lines live here and take turns).
#ifndef VVAR_TIMEKEEPER_H_
#define VVAR_TIMEKEEPER_H_

#include <stdint.h>

#include "vvar/leap.h"
#include "vvar/line_planner.h"
#include "vvar/page.h"
#include "vvar/slew.h"
#include "vvar/timebase.h"

namespace vvar {

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
///   Step        REALTIME and TAI: + the steps asked for.
///   Target      TAI = REALTIME + tai_offset_sec + what REALTIME still has to
///               be slewed by, always.
///   Late        the same equations hold for any now >= L.cycle_start: an
///               update that comes late extends L; nothing else changes.
///   Date        a leap second, or an edge of a smear, that REALTIME comes to
///               between s and the usual next update's s (1 s, if that is less)
///               moves s to the first counter value there: it comes neither
///               early nor late. One that is past when an update comes, comes
///               late at s, and is the same.
///   Hold        a held L stands still: T(L, c) = its base. With Resume(at,
///               gap), T(L', at) = T(L) + gap.
///
/// Range: line(), Plan() and LineHasBegun() only after Start(), Continue() or
/// Import(). Context: the one writer of a timeline; calls are not synchronised.
class Timekeeper {
 public:
  /// Steering that frequency and each slew may add. Keeps every mult positive
  /// and inside 32 bits, so MONOTONIC never steps back.
  static constexpr int64_t kMaxPpb = kMaxSteeringPpb;

  /// Of a counter; a line comes with Start(), Continue() or Import().
  constexpr explicit Timekeeper(const TimekeeperConfig& config)
      : planner_(config) {}

  /// Begins time at counter value `now` (no lead: nothing came before).
  constexpr void Start(uint64_t now, const StartTimes& times) {
    const LinePlanner::Settings& settings = planner_.settings;
    Line& line = line_[current_];
    line.cycle_start = now & planner_.Mask();
    planner_.SetSlopes(settings.mult, settings.mult, line);
    line.status = settings.status;
    line.base[VVAR_BASE_REALTIME] = TimespecToTimebase(times.realtime, shift());
    line.base[VVAR_BASE_MONOTONIC] =
        TimespecToTimebase(times.monotonic, shift());
    line.base[VVAR_BASE_MONOTONIC_RAW] =
        TimespecToTimebase(times.monotonic_raw, shift());
    line.base[VVAR_BASE_BOOTTIME] = TimespecToTimebase(times.boottime, shift());
    line.base[VVAR_BASE_TAI] =
        Add(line.base[VVAR_BASE_REALTIME], {times.tai_offset_sec, 0}, shift());
    line.tai_offset_sec = times.tai_offset_sec;
    line.error_ns = settings.error_ns;
    line.error_growth_ppb = settings.error_growth_ppb;
    line.coarse[VVAR_COARSE_REALTIME] = times.realtime;
    line.coarse[VVAR_COARSE_MONOTONIC] = times.monotonic;
    line.leap = kNoLeap;
    line.was_set_count = 0;
    planner_.settings.tai_offset_sec = times.tai_offset_sec;
    planner_.requests.error_is_new = false;
    planner_.carry.error_age_ns = 0;
  }

  /// Continues from a line found on a page, as a new writer does after the old
  /// one died: time goes on from it, and so do a leap second and a slew of
  /// REALTIME; settings and Slew() are this timekeeper's own.
  /// Returns false, and changes nothing, when the line is not continuable: not
  /// published, of another counter or resolution, or not normalised.
  [[nodiscard]] constexpr bool Continue(const Line& found) {
    if (found.scale.shift != shift() ||
        found.counter_id != planner_.rules.counter_id ||
        (found.cycle_start & ~planner_.Mask()) != 0 || !IsWhole(found)) {
      return false;
    }
    Adopt(found);
    return true;
  }

  /// Sets the rate of the disciplined clocks: nominal * (1 + ppb / 10^9).
  /// Range: clamped to +-kMaxPpb. Error: half a step of mult (scale.h).
  constexpr void SetFrequency(int64_t ppb) {
    planner_.settings.mult = MultByPpb(nominal().mult, Clamp(ppb));
  }

  /// Corrects the nominal rate itself, which MONOTONIC_RAW runs at: for an
  /// owner that comes to know its counter better. Range: as SetFrequency().
  constexpr void SetRawFrequency(int64_t ppb) {
    planner_.settings.raw_mult = MultByPpb(nominal().mult, Clamp(ppb));
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
    SlewUntil(offset_ns, max_rate_ppb, SlewPace::kAtOnce);
  }
  /// The same, evenly, so that nothing is left when MONOTONIC shows `end`;
  /// later, if max_rate_ppb is too little for that.
  constexpr void SlewUntil(int64_t offset_ns, int64_t max_rate_ppb,
                           Timespec end) {
    planner_.carry.slew_remaining =
        NsToTimebase(ClampOffset(offset_ns), shift());
    planner_.requests.slew_is_new = true;
    planner_.settings.slew_pace = {ClampRate(max_rate_ppb), end};
  }

  /// Moves REALTIME alone by `offset_ns` more than it is being moved already,
  /// as Slew() does; TAI, which is where REALTIME is going, steps at once.
  constexpr void SlewRealtime(int64_t offset_ns, int64_t max_rate_ppb) {
    int64_t& asked_ns = planner_.requests.slew_realtime_ns;
    asked_ns = WrappingAdd(asked_ns, offset_ns);
    planner_.settings.realtime_rate_ppb = ClampRate(max_rate_ppb);
  }

  /// Steps REALTIME (and TAI) by `delta_ns` where L' begins. MONOTONIC and
  /// BOOTTIME are untouched. Several steps before one update add up. Coarse
  /// clocks stand at an update's `now`: REALTIME_COARSE shows a step forward at
  /// the update after. A step past the date of a leap second cancels that:
  /// whoever sets the clock there has reckoned with it.
  constexpr void StepRealtime(int64_t delta_ns) {
    int64_t& asked_ns = planner_.requests.step_ns;
    asked_ns = WrappingAdd(asked_ns, delta_ns);
  }

  /// Sets TAI - REALTIME where L' begins; it is TAI that moves.
  constexpr void SetTaiOffset(int32_t sec) {
    planner_.settings.tai_offset_sec = sec;
  }

  /// Plans a leap second or a smear (leap.h); it replaces a pending one.
  /// Returns false, and changes nothing, if its date is not ahead of REALTIME,
  /// or is that of the one under way.
  [[nodiscard]] constexpr bool ScheduleLeap(const LeapPlan& plan) {
    const LeapPlan& present = line().leap;
    const bool has_begun = present.state == VVAR_LEAP_INSERTED &&
                           present.date_sec == plan.date_sec;
    if (!IsPending(plan) || has_begun ||
        LeapDueSec(plan) <= line().base[VVAR_BASE_REALTIME].sec) {
      return false;
    }
    planner_.requests.leap = plan;
    planner_.requests.leap_is_new = true;
    return true;
  }
  /// Cancels a pending leap second, and forgets one that is done. One under way
  /// goes on.
  constexpr void CancelLeap() {
    const LeapPlan& present = line().leap;
    planner_.requests.leap = kNoLeap;
    planner_.requests.leap_is_new =
        present.state != VVAR_LEAP_INSERTED && !IsSmearing(present);
  }

  /// Sets what L' says of the quality of its time.
  constexpr void SetStatus(ClockStatus status) {
    planner_.settings.status = status;
  }

  /// Sets the error bound at the coming update's `now`, and its growth. Until
  /// it is set again the bound grows by itself. What REALTIME is being slewed
  /// by comes on top, unless that is a smear.
  constexpr void SetErrorBound(uint64_t error_ns, uint32_t growth_ppb) {
    planner_.settings.error_ns = error_ns;
    planner_.settings.error_growth_ppb = growth_ppb;
    planner_.requests.error_is_new = true;
  }

  /// Has L' withdraw the counter: from its publication on readers find
  /// kNoCounter, and coarse clocks that stand still. L' is held, and all that
  /// another timekeeper needs in order to go on: export it for Import().
  constexpr void Hold() { planner_.requests.hold = true; }

  /// Ends L at counter value `at` for an owner that has not published so: the
  /// line is held at T(L, at), or at its start if that is later. Readers may
  /// have read no value of L later than `at`.
  constexpr void HoldAt(uint64_t at) {
    const Line& line = line_[current_];
    const int64_t age = SignedDelta(at, line.cycle_start, counter_bits());
    const uint64_t run =
        line.IsHeld() || age < 0 ? 0 : static_cast<uint64_t>(age);
    Line& next = line_[current_ ^ 1];
    planner_.PlanRun(line, at, run, run, next);
    next.counter_id = VVAR_COUNTER_NONE;
    Commit();
  }

  /// Takes over a held line of another timekeeper, whose counter may have been
  /// another: what Continue() is for a line that runs. Error: below one part of
  /// this line's resolution, downwards; whole nanoseconds stay the same.
  [[nodiscard]] constexpr bool Import(const Line& held) {
    if (!held.IsHeld() || held.scale.shift > kMaxShift || !IsWhole(held)) {
      return false;
    }
    Adopt(held);
    Line& line = line_[current_];
    for (Timebase& base : line.base) {
      base = Rescale(base, held.scale.shift, shift());
    }
    planner_.SetSlopes(nominal().mult, nominal().mult, line);
    line.cycle_start = 0;
    line.counter_id = VVAR_COUNTER_NONE;
    return true;
  }

  /// Changes over to another counter; its frequencies are nominal until they
  /// are set, and a slew of every clock is forgotten. Range: while the line is
  /// held; set what else is wanted after this call.
  constexpr void SetCounter(const TimekeeperConfig& config) {
    planner_.rules = LinePlanner::RulesOf(config);
    planner_.settings.mult = planner_.settings.raw_mult = nominal().mult;
    (void)Import(line());
  }

  /// Goes on from a held line: T(L', at) = T(L) + gap. Nothing else ends a
  /// hold. Range: `at` is a counter value not after the next update's `now`.
  constexpr void Resume(uint64_t at, const Gap& gap) {
    planner_.requests.resume_at = at;
    planner_.requests.gap = gap;
    planner_.requests.resume = true;
  }

  /// Returns whether `now` has reached the current line: before that, no next
  /// one may be planned or published.
  constexpr bool LineHasBegun(uint64_t now) const {
    return held() || SignedDelta(now, line().cycle_start, counter_bits()) >= 0;
  }

  /// Plans L' for an update at counter value `now`, and returns it. May be
  /// called again before Commit(), which a late caller does.
  /// Range: LineHasBegun(now). Context: the writer.
  constexpr const Line& Plan(uint64_t now) {
    Line& next = line_[current_ ^ 1];
    planner_.Plan(line_[current_], now, next);
    return next;
  }

  /// Makes the planned line the current one: the page shows it.
  constexpr void Commit() {
    current_ ^= 1;
    planner_.Commit(line_[current_]);
  }

  /// The current line.
  constexpr const Line& line() const { return line_[current_]; }
  /// Whether the line is held: only Resume() goes on from it.
  constexpr bool held() const { return line().IsHeld(); }
  /// The slope MONOTONIC_RAW has when its frequency correction is 0.
  constexpr Scale nominal() const { return planner_.rules.nominal; }
  /// What is left of the last Slew() at the current line's start.
  constexpr int64_t slew_remaining_ns() const {
    return DifferenceNs(planner_.carry.slew_remaining, shift());
  }
  /// What REALTIME alone still has to move by, a smear included, there.
  constexpr int64_t realtime_slew_remaining_ns() const {
    return DifferenceNs(line().RealtimeRemaining(), shift());
  }
  /// How wide cycle_start is: it wraps there.
  constexpr uint32_t counter_bits() const {
    return planner_.rules.counter_bits;
  }
  /// How long before it begins a line is to be visible: half the lead.
  constexpr uint64_t margin_cycles() const {
    return planner_.rules.lead_cycles / 2;
  }
  /// Counter value by which a tickless owner has to update again: lest readers
  /// find the line stale (a quarter of its span is left then), or for a leap
  /// second to come on time.
  constexpr uint64_t next_deadline() const {
    uint64_t cycles = line().max_cycles - line().max_cycles / 4;
    const uint64_t until = planner_.CyclesUntilDue(line());
    const LinePlanner::Rules& rules = planner_.rules;
    const uint64_t before = rules.lead_cycles + rules.horizon_cycles;
    if (until < cycles + before) cycles = until < before ? 0 : until - before;
    return (line().cycle_start + cycles) & planner_.Mask();
  }

 private:
  static constexpr int64_t Clamp(int64_t ppb) {
    return ppb > kMaxPpb ? kMaxPpb : ppb < -kMaxPpb ? -kMaxPpb : ppb;
  }
  static constexpr int64_t ClampRate(int64_t ppb) {
    return ppb < 0 ? 0 : Clamp(ppb);
  }
  static constexpr int64_t ClampOffset(int64_t ns) {
    constexpr int64_t kLimit = int64_t{1} << 62;
    return ns > kLimit ? kLimit : ns < -kLimit ? -kLimit : ns;
  }
  static constexpr int64_t WrappingAdd(int64_t a, int64_t b) {
    return static_cast<int64_t>(static_cast<uint64_t>(a) +
                                static_cast<uint64_t>(b));
  }
  static constexpr bool IsWhole(const Line& line) {
    if (line.scale.mult == 0 || line.realtime_mult == 0 || line.raw_mult == 0) {
      return false;
    }
    for (const Timebase& base : line.base) {
      if (base.nsec_shifted >= ShiftLeft(kNsPerSec, line.scale.shift)) {
        return false;
      }
    }
    return true;
  }
  constexpr uint32_t shift() const { return planner_.rules.nominal.shift; }

  // Makes `found` the current line, and what it says the settings.
  constexpr void Adopt(const Line& found) {
    CopyLine(found, line_[current_]);
    planner_.settings.error_ns = found.error_ns;
    planner_.settings.error_growth_ppb = found.error_growth_ppb;
    planner_.settings.tai_offset_sec = found.tai_offset_sec;
    planner_.requests.error_is_new = false;
    planner_.requests.slew_is_new = false;
    planner_.carry.slew_remaining = {0, 0};
    planner_.carry.slew_mult = 0;
    planner_.carry.error_age_ns = 0;
  }

  LinePlanner planner_;
  // The current line and the planned one take turns.
  uint32_t current_ = 0;
  Line line_[2];
};

}  // namespace vvar

#endif  // VVAR_TIMEKEEPER_H_
