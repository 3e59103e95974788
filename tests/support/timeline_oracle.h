// SPDX-License-Identifier: MIT
//
// Where every clock ought to be, from what was asked of a timekeeper: kept in
// exact integers over unwrapped counter positions. It takes from each published
// line its slopes alone, and complains if they are not what was asked for; all
// else of the line has to be what it worked out itself. Shares no arithmetic
// with vvar/, but the names of leap states.
#ifndef VVAR_TESTS_SUPPORT_TIMELINE_ORACLE_H_
#define VVAR_TESTS_SUPPORT_TIMELINE_ORACLE_H_

#include <stdint.h>

#include <algorithm>
#include <cmath>
#include <string>

#include "tests/support/oracle.h"
#include "tests/support/simulator.h"
#include "vvar/leap.h"
#include "vvar/timekeeper.h"

namespace vvar::support {

/// One published line, as it ought to be.
struct Segment {
  Line line = {};  ///< As published.
  bool published = false;
  bool held = false;
  int64_t start = 0;
  Wide base[VVAR_BASES] = {};   ///< Parts, at start.
  Wide slope[VVAR_BASES] = {};  ///< Parts per cycle.
  /// True time minus truth[i] is the true time of clock i, in parts.
  Wide truth[VVAR_BASES] = {};
  /// How often a clock was moved by request so far, and how often back.
  uint32_t moved[VVAR_BASES] = {};
  uint32_t moved_back[VVAR_BASES] = {};

  Wide At(uint32_t i, int64_t position) const {
    return held ? base[i] : base[i] + slope[i] * Wide(position - start);
  }
};

/// See the head of this file.
class TimelineOracle {
 public:
  /// How far a clock may be from its ideal slope, and was: MONOTONIC and
  /// MONOTONIC_RAW against hz and ppb as rational numbers.
  struct Deviation {
    double ns = 0;
    double of_bound = 0;  ///< Of what half steps of mult add up to, and 1 ns.
    double ppb = 0;       ///< Of the time since the frequency was last nominal.
  };

  TimelineOracle(const TimekeeperConfig& config, const StartTimes& times,
                 int64_t position) {
    SetRules(config);
    Segment& now = segment_[0];
    const Timespec start[] = {times.realtime, times.monotonic,
                              times.monotonic_raw, times.boottime};
    for (uint32_t i = 0; i < 4; ++i) now.base[i] = Exact(start[i], kPartBits);
    now.base[VVAR_BASE_TAI] =
        now.base[VVAR_BASE_REALTIME] + Seconds(times.tai_offset_sec);
    tai_offset_sec_ = times.tai_offset_sec;
    now.start = position;
    BeginIdeals(now, 0);
  }

  // --- What is asked: as Timekeeper's. --------------------------------------

  void SetFrequency(int64_t ppb) { ppb_ = ClampPpb(ppb); }
  void SetRawFrequency(int64_t ppb) { raw_ppb_ = ClampPpb(ppb); }
  void SlewUntil(int64_t offset_ns, int64_t rate_ppb, Timespec end) {
    slew_new_ = true;
    slew_offset_ = NsToParts(offset_ns);
    slew_rate_ppb_ = std::max<int64_t>(0, ClampPpb(rate_ppb));
    slew_end_ = end == SlewPace::kAtOnce ? kAtOnce : Exact(end, kPartBits);
  }
  void SlewRealtime(int64_t offset_ns, int64_t rate_ppb) {
    slew_realtime_ = slew_realtime_ + NsToParts(offset_ns);
    realtime_rate_ppb_ = std::max<int64_t>(0, ClampPpb(rate_ppb));
  }
  void StepRealtime(int64_t delta_ns) { step_ = step_ + NsToParts(delta_ns); }
  void SetTaiOffset(int32_t sec) { tai_offset_sec_ = sec; }
  /// Returns what ScheduleLeap() ought to.
  bool ScheduleLeap(const LeapPlan& plan) {
    const LeapPlan& present = current().line.leap;
    const bool pending = plan.state == VVAR_LEAP_INSERT ||
                         plan.state == VVAR_LEAP_DELETE ||
                         plan.state == VVAR_LEAP_SMEAR_INSERT ||
                         plan.state == VVAR_LEAP_SMEAR_DELETE;
    if (!pending ||
        (present.state == VVAR_LEAP_INSERTED &&
         present.date_sec == plan.date_sec) ||
        Due(plan) < Floor1s(current().base[VVAR_BASE_REALTIME]) + Seconds(1)) {
      return false;
    }
    leap_new_ = true;
    leap_ = plan;
    return true;
  }
  void CancelLeap() {
    const uint32_t state = current().line.leap.state;
    leap_new_ = state != VVAR_LEAP_INSERTED && !Smears(state);
    leap_ = kNoLeap;
  }
  void SetStatus(ClockStatus status) { status_ = status; }
  /// `offset_parts`: how far the clocks truly are from right where the bound is
  /// set (true minus shown).
  void SetErrorBound(uint64_t error_ns, uint32_t growth_ppb,
                     Wide offset_parts) {
    error_new_ = true;
    error_ns_ = error_ns;
    growth_ppb_ = growth_ppb;
    error_offset_ = offset_parts;
  }
  void Hold() { hold_ = true; }
  /// `at`: as a position.
  void Resume(int64_t at, const Gap& gap) {
    resume_ = true;
    resume_at_ = at;
    gap_ = gap;
  }

  // --- What happened. -------------------------------------------------------

  /// The timekeeper's first line.
  void Started(const Line& line) {
    Segment& now = segment_[0];
    now.line = line;
    now.published = true;
    TakeSlopes(line, now);
    Expect(line.scale.mult == Steered(ppb_), "first mult");
    Expect(line.raw_mult == Steered(raw_ppb_), "first raw_mult");
    Expect(line.realtime_mult == line.scale.mult, "first realtime_mult");
    ExpectBases(now);
    Forget();
  }
  /// next_deadline(), as a position: who updates by then is in time for a leap
  /// second.
  void SetDeadline(int64_t deadline) { deadline_ = deadline; }
  /// An update at `now`, which the counter showed as `counter_now`; it was
  /// truly `true_now` then.
  void Published(int64_t now, uint64_t counter_now, Wide true_now,
                 const Line& line) {
    const Segment& old = segment_[0];
    Segment next;
    next.line = line;
    next.published = true;
    next.held = hold_ || (old.held && !resume_);
    const auto run =
        static_cast<int64_t>(Ticks(line.cycle_start, counter_now, bits_));
    next.start = now + run;
    Expect(Ticks(line.cycle_start, 0, bits_) == line.cycle_start,
           "cycle_start is wider than the counter");
    ExpectDate(old, now, run);
    ExpectInTime(old, now, next.start);
    const bool stands = old.held && next.held;
    const int64_t cycles =
        stands ? 0 : next.start - (old.held ? resume_at_ : old.start);
    const int64_t since_now = stands ? 0 : run;
    Extend(cycles);
    PlanNext(old, cycles, next);
    if (error_new_) SetTruth(old, since_now, true_now, next);
    ExpectBases(next);
    ExpectCoarse(old, now, next);
    ExpectSlopes(slew_new_ ? since_now : cycles, next);
    ExpectError(error_new_ ? since_now : cycles, next);
    ExpectRest(old, next);
    Push(next);
    Forget();
  }
  /// HoldAt(): no page shows it.
  void HeldAt(int64_t at, Wide true_now, const Line& line) {
    // Just as an update that holds, without a lead.
    const uint64_t lead_cycles = lead_cycles_;
    lead_cycles_ = 0;
    hold_ = true;
    Published(std::max(at, segment_[0].start), line.cycle_start, true_now,
              line);
    lead_cycles_ = lead_cycles;
  }
  /// SetCounter(): the clocks keep their time, cut to the new line's
  /// resolution; rates are nominal.
  void ChangedCounter(const TimekeeperConfig& config) {
    SetRules(config);
    Segment& now = segment_[0];
    for (Wide& base : now.base) {
      base = (base >> (kPartBits - shift_)) << (kPartBits - shift_);
    }
    for (Wide& slope : now.slope) slope = PartsOfMult(nominal_);
    TakeOver();
  }
  /// Import(), by a new timekeeper.
  void Imported(const TimekeeperConfig& config) {
    ChangedCounter(config);
    UseDefaults();
  }
  /// Continue(), by a new timekeeper.
  void Continued() {
    TakeOver();
    UseDefaults();
    continued_ = true;
  }

  // --- What ought to be. ----------------------------------------------------

  const Segment& current() const { return segment_[0]; }
  const Segment& previous() const { return segment_[1]; }
  const Segment& before_previous() const { return segment_[2]; }
  uint32_t bits() const { return bits_; }
  const Deviation& deviation() const { return deviation_; }
  /// The first complaint, or "".
  const std::string& complaint() const { return complaint_; }
  void Expect(bool holds, const char* what) {
    if (!holds && complaint_.empty()) complaint_ = what;
  }
  void Expect(bool holds, const char* what, Wide got, Wide expected) {
    if (holds || !complaint_.empty()) return;
    complaint_ = std::string(what) + ": " + Hex(got) + ", expected " +
                 Hex(expected) + ", difference " + Hex(got - expected);
  }
  /// Whether another update, of which nothing is asked, would change no slope.
  bool IsSteady() const {
    const Segment& now = current();
    const Wide ns = NsToParts(1);
    return !continued_ && slew_mult_ == 0 && Abs(slew_left_) < ns &&
           now.line.realtime_mult == now.line.scale.mult &&
           Abs(RealtimeLeft(now, now.line.tai_offset_sec)) < ns;
  }
  /// Whether a leap second is pending or under way.
  bool LeapIsDue() const {
    return Due(leap_new_ ? leap_ : current().line.leap) != kNever;
  }

 private:
  // A rational timeline: N / hz ns after its beginning, N = sum of cycles *
  // (10^9 + ppb).
  struct Ideal {
    Wide asked_parts = 0;  // Where it began, gaps and slews: exact.
    Wide numerator = 0;
    Wide bound = 0;  // 2 * parts that half steps of mult may add up to.
    Wide cycles = 0;
  };

  // Far beyond what parts can be, and far below what they may.
  static constexpr Wide kNever = Wide(1) << 120;
  static constexpr Wide kAtOnce = Wide(0) - (Wide(1) << 120);

  static constexpr Wide Seconds(int64_t sec) {
    return NsToParts(1'000'000'000) * Wide(sec);
  }
  // Rounded down to a whole second.
  static Wide Floor1s(Wide parts) {
    // Without a division, which a Wide may not have: seconds fit 64 bits.
    const Wide ns = parts >> kPartBits;
    const int64_t low = static_cast<int64_t>(static_cast<uint64_t>(ns));
    // Times of the simulation are within 292 years of 1970.
    int64_t sec = low / 1'000'000'000;
    if (low % 1'000'000'000 < 0) --sec;
    return Seconds(sec);
  }
  static int64_t ClampPpb(int64_t ppb) {
    return std::clamp<int64_t>(ppb, -50'000'000, 50'000'000);
  }
  static Wide Abs(Wide value) {
    return value < Wide(0) ? Wide(0) - value : value;
  }
  static long double ToNs(Wide parts) {
    const Wide magnitude = Abs(parts);
    const long double ns =
        static_cast<long double>(static_cast<uint64_t>(magnitude >> 64)) *
            std::ldexp(1.0L, 64 - static_cast<int>(kPartBits)) +
        static_cast<long double>(static_cast<uint64_t>(magnitude)) *
            std::ldexp(1.0L, -static_cast<int>(kPartBits));
    return parts < Wide(0) ? -ns : ns;
  }
  Wide PartsOfMult(int64_t mult) const {
    return Wide(mult) * (Wide(1) << (kPartBits - shift_));
  }

  static bool Smears(uint32_t leap_state) {
    return leap_state == VVAR_LEAP_SMEARING_INSERT ||
           leap_state == VVAR_LEAP_SMEARING_DELETE;
  }
  // The REALTIME at which a plan has its next effect.
  static Wide Due(const LeapPlan& plan) {
    switch (plan.state) {
      case VVAR_LEAP_INSERT:
      case VVAR_LEAP_INSERTED:
      case VVAR_LEAP_SMEAR_INSERT:
      case VVAR_LEAP_SMEAR_DELETE:
        return Seconds(plan.date_sec);
      case VVAR_LEAP_DELETE:
        return Seconds(plan.date_sec - 1);
      case VVAR_LEAP_SMEARING_INSERT:
      case VVAR_LEAP_SMEARING_DELETE:
        return Seconds(plan.date_sec + plan.smear_sec);
      default:
        return kNever;
    }
  }

  void SetRules(const TimekeeperConfig& config) {
    hz_ = config.counter_hz;
    bits_ = config.counter_bits;
    counter_id_ = config.counter_id;
    interval_ns_ = config.interval_ns;
    // The largest shift for which 10^9 << shift / hz rounds below 2^31.
    shift_ = kPartBits + 1;
    Wide scaled;
    do {
      --shift_;
      scaled = Wide(1'000'000'000) << shift_;
    } while (scaled * Wide(2) + Wide(hz_) >= (Wide(hz_) << 32));
    // The nearest, by bisection.
    uint64_t low = 0;
    uint64_t high = uint64_t{1} << 31;
    while (high - low > 1) {
      const uint64_t middle = low + (high - low) / 2;
      const bool fits =
          Wide(middle) * Wide(hz_) * Wide(2) <= scaled * Wide(2) + Wide(hz_);
      (fits ? low : high) = middle;
    }
    nominal_ = static_cast<int64_t>(low);
    lead_cycles_ = CyclesWithin(config.lead_ns);
    horizon_cycles_ =
        CyclesWithin(std::min<uint64_t>(config.interval_ns, 1'000'000'000));
    max_cycles_ = std::min<uint64_t>(CyclesWithin(config.max_age_ns),
                                     uint64_t{1} << (bits_ - 2));
  }
  // The most cycles that last at most `ns` at the nominal slope.
  uint64_t CyclesWithin(uint64_t ns) const {
    uint64_t low = 0;
    uint64_t high = uint64_t{1} << 62;
    while (high - low > 1) {
      const uint64_t middle = low + (high - low) / 2;
      const bool fits = Wide(middle) * Wide(nominal_) <= Wide(ns) << shift_;
      (fits ? low : high) = middle;
    }
    return low;
  }
  // mult for a frequency, rounded to the nearest.
  int64_t Steered(int64_t ppb) const {
    return (nominal_ * (1'000'000'000 + ppb) + 500'000'000) / 1'000'000'000;
  }

  // s = now + lead, or the first counter value at a date soon after.
  void ExpectDate(const Segment& old, int64_t now, int64_t run) {
    if (old.held) {
      Expect(run == static_cast<int64_t>(lead_cycles_),
             "start of a line after a hold", run, lead_cycles_);
      return;
    }
    const int64_t usual = now + static_cast<int64_t>(lead_cycles_);
    const int64_t start = now + run;
    const Wide due = Due(leap_new_ ? leap_ : old.line.leap);
    const auto realtime = [&](int64_t position) {
      return old.At(VVAR_BASE_REALTIME, position);
    };
    const int64_t latest = usual + static_cast<int64_t>(horizon_cycles_);
    const bool dated = due != kNever && step_ == Wide(0) && !hold_ &&
                       realtime(usual) < due && realtime(latest) >= due;
    if (dated) {
      Expect(start > usual && start <= latest,
             "a dated line is not in its range", start, usual);
      Expect(realtime(start) >= due, "a leap second comes early",
             realtime(start), due);
      Expect(realtime(start - 1) < due, "a leap second comes late",
             realtime(start - 1), due);
    } else {
      Expect(start == usual, "start of a line", start, usual);
    }
  }

  // An owner that keeps the deadline, give or take half the horizon, has its
  // leap second on the date. It cannot where the line began too close to it.
  void ExpectInTime(const Segment& old, int64_t now, int64_t start) {
    if (old.held || hold_ || leap_new_ || step_ != Wide(0)) return;
    const auto horizon = static_cast<int64_t>(horizon_cycles_);
    const Wide due = Due(old.line.leap);
    const bool was_ahead =
        old.At(VVAR_BASE_REALTIME, old.start + horizon - 1) < due;
    if (!was_ahead || now > deadline_ + horizon / 2) return;
    Expect(old.At(VVAR_BASE_REALTIME, start - 1) < due,
           "a leap second comes late to who kept the deadline", now, deadline_);
  }
  void PlanNext(const Segment& old, int64_t cycles, Segment& next) {
    for (uint32_t i = 0; i < VVAR_BASES; ++i) {
      next.base[i] = old.base[i] + old.slope[i] * Wide(cycles);
      next.truth[i] = old.truth[i];
      next.moved[i] = old.moved[i];
      next.moved_back[i] = old.moved_back[i];
    }
    Wide continuous[VVAR_BASES];
    std::copy(next.base, next.base + VVAR_BASES, continuous);
    if (old.held && resume_) AddGap(next);
    const int64_t old_offset_sec = old.line.tai_offset_sec;
    Move(next, VVAR_BASE_TAI, Seconds(tai_offset_sec_ - old_offset_sec));
    expected_leap_ = leap_new_ ? leap_ : old.line.leap;
    ApplyLeap(next);
    Move(next, VVAR_BASE_REALTIME, step_);
    Move(next, VVAR_BASE_TAI, step_ + slew_realtime_);
    for (uint32_t i = 0; i < VVAR_BASES; ++i) {
      const Wide moved = next.base[i] - continuous[i];
      if (moved != Wide(0)) ++next.moved[i];
      if (moved < Wide(0)) ++next.moved_back[i];
      // Who moves a clock knows the true time to move.
      next.truth[i] = next.truth[i] - moved;
    }
  }
  void Move(Segment& next, uint32_t i, Wide by) const {
    next.base[i] = next.base[i] + by;
  }
  void AddGap(Segment& next) {
    Move(next, VVAR_BASE_REALTIME, NsToParts(gap_.realtime_ns));
    Move(next, VVAR_BASE_TAI, NsToParts(gap_.realtime_ns));
    Move(next, VVAR_BASE_MONOTONIC, NsToParts(gap_.monotonic_ns));
    Move(next, VVAR_BASE_MONOTONIC_RAW, NsToParts(gap_.monotonic_raw_ns));
    Move(next, VVAR_BASE_BOOTTIME, NsToParts(gap_.boottime_ns));
    ideal_[0].asked_parts =
        ideal_[0].asked_parts + NsToParts(gap_.monotonic_ns);
    ideal_[1].asked_parts =
        ideal_[1].asked_parts + NsToParts(gap_.monotonic_raw_ns);
  }
  // 23:59:59 twice; not at all; or slowly.
  void ApplyLeap(Segment& next) {
    const Wide due = Due(expected_leap_);
    const Wide realtime = next.base[VVAR_BASE_REALTIME];
    const uint32_t state = expected_leap_.state;
    const bool pending =
        state == VVAR_LEAP_INSERT || state == VVAR_LEAP_DELETE ||
        state == VVAR_LEAP_SMEAR_INSERT || state == VVAR_LEAP_SMEAR_DELETE;
    if (realtime < due) {
      if (pending && step_ != Wide(0) && realtime + step_ >= due) {
        expected_leap_ = kNoLeap;
      }
      return;
    }
    expected_leap_.state = VVAR_LEAP_DONE;
    if (state == VVAR_LEAP_INSERT) {
      Move(next, VVAR_BASE_REALTIME, Seconds(-1));
      ++tai_offset_sec_;
      if (realtime < due + Seconds(1)) {
        expected_leap_.state = VVAR_LEAP_INSERTED;
      }
    } else if (state == VVAR_LEAP_DELETE) {
      Move(next, VVAR_BASE_REALTIME, Seconds(1));
      --tai_offset_sec_;
    } else if (state == VVAR_LEAP_SMEAR_INSERT) {
      ++tai_offset_sec_;
      expected_leap_.state = VVAR_LEAP_SMEARING_INSERT;
    } else if (state == VVAR_LEAP_SMEAR_DELETE) {
      --tai_offset_sec_;
      expected_leap_.state = VVAR_LEAP_SMEARING_DELETE;
    }
  }
  // `run` before `next` begins the clocks were error_offset_ behind true time.
  void SetTruth(const Segment& old, int64_t run, Wide true_now,
                Segment& next) const {
    for (uint32_t i = 0; i < VVAR_BASES; ++i) {
      const Wide at_now = next.base[i] - old.slope[i] * Wide(run);
      next.truth[i] = true_now - (at_now + error_offset_);
    }
  }

  void ExpectBases(const Segment& next) {
    static constexpr const char* kNames[] = {
        "base of REALTIME", "base of MONOTONIC", "base of MONOTONIC_RAW",
        "base of BOOTTIME", "base of TAI"};
    const Line& line = next.line;
    Expect(line.scale.shift == shift_, "shift", line.scale.shift, shift_);
    for (uint32_t i = 0; i < VVAR_BASES; ++i) {
      Expect(line.base[i].nsec_shifted < uint64_t{1'000'000'000} << shift_,
             "nsec_shifted is not normalised");
      const Wide got = Exact(line.base[i], shift_) << (kPartBits - shift_);
      Expect(got == next.base[i], kNames[i], got, next.base[i]);
    }
  }
  void ExpectCoarse(const Segment& old, int64_t now, const Segment& next) {
    const Wide monotonic = old.At(VVAR_BASE_MONOTONIC, now);
    const Wide realtime = std::min(old.At(VVAR_BASE_REALTIME, now),
                                   next.base[VVAR_BASE_REALTIME]);
    Expect(IsFloorOf(next.line.coarse[VVAR_COARSE_MONOTONIC], monotonic,
                     kPartBits),
           "MONOTONIC_COARSE");
    Expect(
        IsFloorOf(next.line.coarse[VVAR_COARSE_REALTIME], realtime, kPartBits),
        "REALTIME_COARSE");
  }

  void TakeSlopes(const Line& line, Segment& next) const {
    for (Wide& slope : next.slope) slope = PartsOfMult(line.scale.mult);
    next.slope[VVAR_BASE_REALTIME] = PartsOfMult(line.realtime_mult);
    next.slope[VVAR_BASE_MONOTONIC_RAW] = PartsOfMult(line.raw_mult);
  }
  static Wide RealtimeLeft(const Segment& at, int64_t tai_offset_sec) {
    return at.base[VVAR_BASE_TAI] - at.base[VVAR_BASE_REALTIME] -
           Seconds(tai_offset_sec);
  }
  // What a slew adds to `mult`, within what its contract leaves open: 1 ns of
  // what is left, 1 ppb of the rate, a step of mult.
  void ExpectSlew(int64_t slew_mult, int64_t mult, Wide left, Wide at,
                  int64_t rate_ppb, Wide end, const char* what) {
    const long double left_ns = ToNs(left);
    const long double until_ns = at < end ? ToNs(end - at - left) : 0;
    const long double time_ns =
        std::max(static_cast<long double>(interval_ns_), until_ns);
    const long double wanted_ppb = left_ns / time_ns * 1e9L;
    const auto limit = static_cast<long double>(rate_ppb);
    const long double ppb = std::clamp(wanted_ppb, -limit, limit);
    const long double step = 1e-9L * static_cast<long double>(mult);
    const long double slack = 1.0L + step * (1 + 1e9L / time_ns);
    const long double off = static_cast<long double>(slew_mult) - ppb * step;
    Expect(std::fabs(off) <= slack, what, slew_mult,
           static_cast<int64_t>(ppb * step));
    Expect(
        std::fabs(static_cast<long double>(slew_mult)) <= limit * step + 0.51L,
        "a slew's rate is above its limit", slew_mult,
        static_cast<int64_t>(limit * step));
  }
  // A smear goes to where its straight line is in a second, or an interval, or
  // at its end; within 2 ns, 1 ppb, a step of mult.
  void ExpectSmear(int64_t slew_mult, int64_t mult, Wide left, Wide at) {
    const LeapPlan& plan = expected_leap_;
    const long double until_ns = ToNs(Due(plan) - at);
    const long double usual_ns =
        std::max(1e9L, static_cast<long double>(interval_ns_));
    const long double ahead_ns = std::min(until_ns, usual_ns);
    const long double then_ns =
        (until_ns - ahead_ns) / std::max(1u, plan.smear_sec) *
        (plan.state == VVAR_LEAP_SMEARING_INSERT ? -1 : 1);
    const long double offset_ns = ToNs(left) - then_ns;
    const long double time_ns = ahead_ns - offset_ns;
    const long double step = 1e-9L * static_cast<long double>(mult);
    const auto limit = 50e6L;
    const long double wanted_ppb = time_ns < 1 ? std::copysign(limit, offset_ns)
                                               : offset_ns / time_ns * 1e9L;
    const long double ppb = std::clamp(wanted_ppb, -limit, limit);
    const long double slack =
        1.0L + step * (1 + 3e9L / std::max(1.0L, time_ns));
    const long double off = static_cast<long double>(slew_mult) - ppb * step;
    // Within a nanosecond there is nothing to be done.
    if (std::fabs(ToNs(left)) < 1 && slew_mult == 0) return;
    Expect(std::fabs(off) <= slack, "slope of a smear", slew_mult,
           static_cast<int64_t>(ppb * step));
  }
  void ExpectSlopes(int64_t slewed_cycles, Segment& next) {
    const Line& line = next.line;
    TakeSlopes(line, next);
    if (slew_new_) slew_left_ = slew_offset_;
    slew_left_ = slew_left_ - PartsOfMult(slew_mult_) * Wide(slewed_cycles);
    const int64_t frequency_mult = Steered(ppb_);
    slew_mult_ = int64_t{line.scale.mult} - frequency_mult;
    ExpectSlew(slew_mult_, frequency_mult, slew_left_,
               next.base[VVAR_BASE_MONOTONIC], slew_rate_ppb_, slew_end_,
               "slope of MONOTONIC");
    Expect(line.raw_mult == Steered(raw_ppb_), "slope of MONOTONIC_RAW",
           line.raw_mult, Steered(raw_ppb_));
    const Wide left = RealtimeLeft(next, tai_offset_sec_);
    const int64_t slew_mult =
        int64_t{line.realtime_mult} - int64_t{line.scale.mult};
    if (Smears(expected_leap_.state)) {
      ExpectSmear(slew_mult, line.scale.mult, left,
                  next.base[VVAR_BASE_REALTIME]);
    } else {
      ExpectSlew(slew_mult, line.scale.mult, left,
                 next.base[VVAR_BASE_REALTIME], realtime_rate_ppb_, kAtOnce,
                 "slope of REALTIME");
    }
  }
  // The bound: what was set, its growth, and what REALTIME is off by.
  void ExpectError(int64_t cycles, const Segment& next) {
    error_age_ = (error_new_ ? Wide(0) : error_age_) +
                 PartsOfMult(nominal_) * Wide(cycles);
    const long double growth =
        ToNs(error_age_) * static_cast<long double>(growth_ppb_) * 1e-9L;
    long double least = static_cast<long double>(error_ns_) + growth;
    if (!Smears(expected_leap_.state)) {
      least += std::fabs(ToNs(RealtimeLeft(next, tai_offset_sec_)));
    }
    const auto got = static_cast<long double>(next.line.error_ns);
    if (least > 1e18L) return;
    // A part of a nanosecond that REALTIME is off by may be missing: a reader
    // adds at least two.
    Expect(got + 1 >= least, "the error bound is too small", next.line.error_ns,
           static_cast<int64_t>(least));
    // Growth is rounded up: 5 %, or a whole second's; and so is each update.
    Expect(got <= least + growth * 0.05L +
                      1.01L * static_cast<long double>(growth_ppb_) + 16,
           "the error bound is too large", next.line.error_ns,
           static_cast<int64_t>(least));
  }
  void ExpectRest(const Segment& old, const Segment& next) {
    const Line& line = next.line;
    Expect(line.tai_offset_sec == tai_offset_sec_, "tai_offset_sec",
           line.tai_offset_sec, tai_offset_sec_);
    Expect(line.leap == expected_leap_, "leap state", line.leap.state,
           expected_leap_.state);
    const bool set = step_ != Wide(0) || slew_realtime_ != Wide(0) ||
                     (old.held && resume_) ||
                     tai_offset_sec_ != old.line.tai_offset_sec;
    Expect(line.was_set_count == old.line.was_set_count + (set ? 1 : 0),
           "was_set_count", line.was_set_count, old.line.was_set_count);
    Expect(line.status == status_, "status");
    Expect(line.max_cycles == max_cycles_, "max_cycles", line.max_cycles,
           max_cycles_);
    Expect(line.counter_id == (next.held ? VVAR_COUNTER_NONE : counter_id_),
           "counter_id", line.counter_id, counter_id_);
    Expect(line.error_growth_ppb == growth_ppb_, "error_growth_ppb");
  }

  // `cycles` more of the current line.
  void Extend(int64_t cycles) {
    const Segment& now = segment_[0];
    const Wide monotonic = now.slope[VVAR_BASE_MONOTONIC] * Wide(cycles);
    const Wide raw = now.slope[VVAR_BASE_MONOTONIC_RAW] * Wide(cycles);
    if (now.held) {
      ideal_[0].asked_parts = ideal_[0].asked_parts + monotonic;
      ideal_[1].asked_parts = ideal_[1].asked_parts + raw;
    } else if (continued_) {
      // The tail of a dead writer's line, which nobody here asked for.
      BeginIdeals(now, cycles);
    } else {
      ExtendIdeal(ideal_[0], cycles, ppb_in_force_, slew_mult_,
                  now.base[VVAR_BASE_MONOTONIC] + monotonic);
      ExtendIdeal(ideal_[1], cycles, raw_ppb_in_force_, 0,
                  now.base[VVAR_BASE_MONOTONIC_RAW] + raw);
    }
    continued_ = false;
  }
  void ExtendIdeal(Ideal& ideal, int64_t cycles, int64_t ppb, int64_t slew_mult,
                   Wide reached) {
    ideal.cycles = ideal.cycles + Wide(cycles);
    ideal.numerator =
        ideal.numerator + Wide(cycles) * Wide(1'000'000'000 + ppb);
    ideal.asked_parts =
        ideal.asked_parts + PartsOfMult(slew_mult) * Wide(cycles);
    // Half a step of the nominal mult, steered; half a step of the steered one.
    const Wide half_steps = ppb == 0 ? Wide(100) : Wide(100 + 105);
    ideal.bound = ideal.bound +
                  half_steps * Wide(cycles) * (Wide(1) << (kPartBits - shift_));
    // In ns * hz << 14. Bound: 2^62 * 2^34 * 2^14.
    constexpr uint32_t kBits = 14;
    const Wide got =
        ((reached - ideal.asked_parts) >> (kPartBits - kBits)) * Wide(hz_);
    const Wide off = Abs(got - (ideal.numerator << kBits));
    const Wide bound = ((ideal.bound >> (kPartBits - kBits)) * Wide(hz_));
    // 200 * (off - 1 ns) <= bound.
    const Wide one_ns = Wide(hz_) << kBits;
    Expect((off - one_ns) * Wide(200) <= bound,
           "a clock left its rational line", off, bound);
    NoteDeviation(ideal, off, bound);
  }
  void NoteDeviation(const Ideal& ideal, Wide off, Wide bound) {
    const long double unit =
        1.0L / (static_cast<long double>(hz_) * std::ldexp(1.0L, 14));
    const auto to_ns = [&](Wide value) {
      return ToNs(value) * std::ldexp(1.0L, static_cast<int>(kPartBits)) * unit;
    };
    const long double ns = to_ns(off);
    const long double bound_ns = to_ns(bound) / 200 + 1;
    const long double elapsed_ns =
        ToNs(ideal.cycles) * std::ldexp(1.0L, static_cast<int>(kPartBits)) *
        1e9L / static_cast<long double>(hz_);
    deviation_.ns = std::max(deviation_.ns, static_cast<double>(ns));
    deviation_.of_bound =
        std::max(deviation_.of_bound, static_cast<double>(ns / bound_ns));
    if (elapsed_ns > 1e9L) {
      deviation_.ppb = std::max(
          deviation_.ppb, static_cast<double>((ns - 1) / elapsed_ns * 1e9L));
    }
  }

  // What a timekeeper does not learn from a line that it takes over.
  void TakeOver() {
    ppb_ = raw_ppb_ = 0;
    slew_left_ = 0;
    slew_mult_ = 0;
    error_ns_ = segment_[0].line.error_ns;
    growth_ppb_ = segment_[0].line.error_growth_ppb;
    error_age_ = 0;
    tai_offset_sec_ = segment_[0].line.tai_offset_sec;
    BeginIdeals(segment_[0], 0);
  }
  void UseDefaults() {
    ForgetRequests();
    slew_rate_ppb_ = 0;
    slew_end_ = kAtOnce;
    realtime_rate_ppb_ = 500'000;
    status_ = ClockStatus::kUnsynchronised;
  }
  void BeginIdeals(const Segment& line, int64_t cycles) {
    const uint32_t clock[] = {VVAR_BASE_MONOTONIC, VVAR_BASE_MONOTONIC_RAW};
    for (uint32_t i = 0; i < 2; ++i) {
      ideal_[i] = {};
      ideal_[i].asked_parts =
          line.base[clock[i]] + line.slope[clock[i]] * Wide(cycles);
    }
  }
  void Push(const Segment& next) {
    segment_[2] = segment_[1];
    segment_[1] = segment_[0];
    segment_[0] = next;
  }
  void ForgetRequests() {
    slew_new_ = leap_new_ = error_new_ = hold_ = resume_ = false;
    step_ = slew_realtime_ = 0;
  }
  void Forget() {
    ForgetRequests();
    ppb_in_force_ = ppb_;
    raw_ppb_in_force_ = raw_ppb_;
  }

  // The counter and the owner.
  uint64_t hz_ = 0;
  uint32_t bits_ = 0;
  uint32_t counter_id_ = 0;
  uint32_t shift_ = 0;
  uint64_t interval_ns_ = 0;
  int64_t nominal_ = 0;  // mult
  uint64_t lead_cycles_ = 0;
  uint64_t horizon_cycles_ = 0;
  uint64_t max_cycles_ = 0;
  // What holds until it is set again; in force: since the current line began.
  int64_t ppb_ = 0;
  int64_t raw_ppb_ = 0;
  int64_t ppb_in_force_ = 0;
  int64_t raw_ppb_in_force_ = 0;
  int64_t slew_rate_ppb_ = 0;
  int64_t realtime_rate_ppb_ = 500'000;
  Wide slew_end_ = kAtOnce;
  uint64_t error_ns_ = 0;
  uint32_t growth_ppb_ = 0;
  Wide error_age_ = 0;  // Parts since the bound was set.
  int32_t tai_offset_sec_ = 0;
  ClockStatus status_ = ClockStatus::kUnsynchronised;
  // What the next line does, once.
  bool slew_new_ = false;
  bool leap_new_ = false;
  bool error_new_ = false;
  bool hold_ = false;
  bool resume_ = false;
  Wide slew_offset_ = 0;
  Wide step_ = 0;
  Wide slew_realtime_ = 0;
  Wide error_offset_ = 0;
  LeapPlan leap_ = kNoLeap;
  int64_t resume_at_ = 0;
  Gap gap_ = {};
  // What is left of the slew of every clock, and its part of the current mult.
  Wide slew_left_ = 0;
  int64_t slew_mult_ = 0;
  LeapPlan expected_leap_ = kNoLeap;

  Segment segment_[3];
  Ideal ideal_[2];  // MONOTONIC, MONOTONIC_RAW.
  bool continued_ = false;
  int64_t deadline_ = INT64_MIN;
  Deviation deviation_;
  std::string complaint_;
};

}  // namespace vvar::support

#endif  // VVAR_TESTS_SUPPORT_TIMELINE_ORACLE_H_
