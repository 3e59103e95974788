// SPDX-License-Identifier: MIT
//
// Leap seconds: when a plan has its next effect, and which. Pure, constexpr,
// freestanding. As Linux steps them: 23:59:59 comes twice, or not at all; or
// as a linear smear. MONOTONIC and TAI go on in all of these.
#ifndef VVAR_LEAP_H_
#define VVAR_LEAP_H_

#include <stdint.h>

#include "vvar/page.h"
#include "vvar/scale.h"
#include "vvar/timebase.h"

namespace vvar {

/// A leap second at the end of the UTC day before `midnight_sec`.
constexpr LeapPlan InsertLeapSecond(int64_t midnight_sec) {
  return {VVAR_LEAP_INSERT, 0, midnight_sec};
}
/// The same, but that day's last second is left out.
constexpr LeapPlan DeleteLeapSecond(int64_t midnight_sec) {
  return {VVAR_LEAP_DELETE, 0, midnight_sec};
}
/// The same, spread evenly over what REALTIME shows as `smear_sec` seconds from
/// `start_sec` on: usual are 86400 from the noon before.
constexpr LeapPlan SmearInsertedSecond(int64_t start_sec, uint32_t smear_sec) {
  return {VVAR_LEAP_SMEAR_INSERT, smear_sec, start_sec};
}
/// The same of one that is left out: REALTIME quickens.
constexpr LeapPlan SmearDeletedSecond(int64_t start_sec, uint32_t smear_sec) {
  return {VVAR_LEAP_SMEAR_DELETE, smear_sec, start_sec};
}

/// Returns when a smear ends. Units: s of REALTIME. Modulo 2^64.
constexpr int64_t SmearEndSec(const LeapPlan& plan) {
  return static_cast<int64_t>(static_cast<uint64_t>(plan.date_sec) +
                              plan.smear_sec);
}

/// Returns whether nothing of `plan` has happened yet.
constexpr bool IsPending(const LeapPlan& plan) {
  return plan.state == VVAR_LEAP_INSERT || plan.state == VVAR_LEAP_DELETE ||
         plan.state == VVAR_LEAP_SMEAR_INSERT ||
         plan.state == VVAR_LEAP_SMEAR_DELETE;
}

/// Returns whether a smear is under way.
constexpr bool IsSmearing(const LeapPlan& plan) {
  return plan.state == VVAR_LEAP_SMEARING_INSERT ||
         plan.state == VVAR_LEAP_SMEARING_DELETE;
}

/// Returns what REALTIME still has to be slewed by when `left_ns` of a smear
/// that is under way are left, by REALTIME. Range: left_ns >= 0.
/// Saturates at +-2^61.
constexpr int64_t SmearRemainingNs(const LeapPlan& plan, int64_t left_ns) {
  // 10^9 ns * left / (smear_sec * 10^9 ns).
  const uint64_t share = DivideU64(static_cast<uint64_t>(left_ns),
                                   plan.smear_sec == 0 ? 1 : plan.smear_sec);
  // Bound: the difference to another that is within +-2^62 fits, hostile or
  // not.
  constexpr uint64_t kLimit = uint64_t{1} << 61;
  const auto ns = static_cast<int64_t>(share < kLimit ? share : kLimit);
  return plan.state == VVAR_LEAP_SMEARING_INSERT ? -ns : ns;
}

/// Returns the REALTIME second with which the next effect of `plan` comes;
/// INT64_MAX: none will.
constexpr int64_t LeapDueSec(const LeapPlan& plan) {
  switch (plan.state) {
    case VVAR_LEAP_INSERT:
    case VVAR_LEAP_INSERTED:
    case VVAR_LEAP_SMEAR_INSERT:
    case VVAR_LEAP_SMEAR_DELETE:
      return plan.date_sec;
    case VVAR_LEAP_DELETE:
      return static_cast<int64_t>(static_cast<uint64_t>(plan.date_sec) - 1);
    case VVAR_LEAP_SMEARING_INSERT:
    case VVAR_LEAP_SMEARING_DELETE:
      return SmearEndSec(plan);
    default:
      return INT64_MAX;
  }
}

/// What happens where REALTIME comes to LeapDueSec().
///
///              REALTIME  TAI offset  then
/// INSERT       - 1 s     + 1         INSERTED, until the same second again
/// DELETE       + 1 s     - 1         DONE
/// SMEAR_*      slewed    +- 1        SMEARING_*, until the smear's end
///
/// TAI itself never moves: what is left of a smear at any time is
/// TAI - tai_offset_sec - REALTIME.
struct LeapEffect {
  int32_t realtime_step_sec;
  int32_t tai_offset_step_sec;
  LeapPlan plan;  ///< From then on.
};

/// Returns the effect of a plan that is due at REALTIME second `sec`, or was
/// due earlier: then it comes late, and is the same.
constexpr LeapEffect LeapEffectAt(const LeapPlan& plan, int64_t sec) {
  LeapEffect effect = {0, 0, plan};
  effect.plan.state = VVAR_LEAP_DONE;
  switch (plan.state) {
    case VVAR_LEAP_INSERT:
      effect.realtime_step_sec = -1;
      effect.tai_offset_step_sec = 1;
      if (sec == plan.date_sec) effect.plan.state = VVAR_LEAP_INSERTED;
      break;
    case VVAR_LEAP_DELETE:
      effect.realtime_step_sec = 1;
      effect.tai_offset_step_sec = -1;
      break;
    case VVAR_LEAP_SMEAR_INSERT:
      effect.tai_offset_step_sec = 1;
      effect.plan.state = VVAR_LEAP_SMEARING_INSERT;
      break;
    case VVAR_LEAP_SMEAR_DELETE:
      effect.tai_offset_step_sec = -1;
      effect.plan.state = VVAR_LEAP_SMEARING_DELETE;
      break;
    default:
      break;
  }
  return effect;
}

}  // namespace vvar

#endif  // VVAR_LEAP_H_
