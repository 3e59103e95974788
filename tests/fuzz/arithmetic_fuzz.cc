// SPDX-License-Identifier: MIT
//
// Cycles to nanoseconds and back, scales of frequencies, deadlines, slews and
// error bounds, against integers wide enough for everything. Within a
// function's stated range it is exact; outside of it, it is defined.
#include <stddef.h>
#include <stdint.h>

#include <algorithm>
#include <iterator>
#include <vector>

#include "tests/fuzz/fuzz_target.h"
#include "tests/support/oracle.h"
#include "vvar/conversion.h"
#include "vvar/scale.h"
#include "vvar/slew.h"
#include "vvar/timebase.h"

namespace vvar::fuzz {
namespace {

using support::EdgyRandom;
using support::Exact;
using support::UnsignedWide;
using support::Wide;

constexpr Wide kU64 = Wide(1) << 64;

uint32_t U32(EdgyRandom& in) { return static_cast<uint32_t>(in.Edgy(32)); }
// Up to kMaxShift as a rule.
uint32_t AnyShift(EdgyRandom& in) {
  return static_cast<uint32_t>(in.OneIn(4) ? in.Edgy(16)
                                           : in.Below(kMaxShift + 1));
}
Timebase NormalBase(EdgyRandom& in, uint32_t shift) {
  return {in.EdgySigned(), in.Edgy() % (kNsPerSec << shift)};
}

void CheckCyclesToNs(EdgyRandom& in) {
  const Scale scale = {U32(in), AnyShift(in)};
  const uint32_t shift = scale.shift & 63;
  const uint64_t cycles = in.Edgy();
  const uint64_t nsec_shifted =
      in.OneIn(4) ? in.Edgy() : in.Edgy() % (kNsPerSec << kMaxShift);
  const Wide exact = Wide(cycles) * Wide(scale.mult) + Wide(nsec_shifted);
  const Wide ns = exact >> shift;
  const uint64_t got = CyclesToNs(cycles, scale, nsec_shifted);
  const ShiftedNs parts = CyclesToShiftedNs(cycles, scale, nsec_shifted);
  if (ns >= kU64) return;
  FUZZ_CHECK(Wide(parts.ns) == ns);
  FUZZ_CHECK(Wide(parts.remainder_shifted) == exact - (ns << shift));
  if (nsec_shifted >= kNsPerSec << kMaxShift) return;
  FUZZ_CHECK(Wide(got) == ns);
  // Monotone below that.
  const uint64_t less = cycles == 0 ? 0 : cycles - 1 - in.Below(cycles);
  FUZZ_CHECK(CyclesToNs(less, scale, nsec_shifted) <= got);
  FUZZ_CHECK(less == cycles ||
             CyclesToNs(cycles - 1, scale, nsec_shifted) <= got);
}

void CheckTimes(EdgyRandom& in) {
  const Scale scale = {U32(in), static_cast<uint32_t>(in.Below(kMaxShift + 1))};
  const Timebase base = NormalBase(in, scale.shift);
  const uint64_t cycles = in.Edgy();
  const Wide moved = Wide(cycles) * Wide(scale.mult);
  if (((moved + Wide(base.nsec_shifted)) >> scale.shift) >= kU64) return;
  // 2^63 s << 34 is beyond a Wide: seconds are told apart.
  const Wide after = moved + Wide(base.nsec_shifted);
  const Timespec time = TimespecAfter(base, scale, cycles);
  FUZZ_CHECK(time.nsec < kNsPerSec);
  const auto sec = static_cast<uint64_t>(base.sec);
  FUZZ_CHECK(Wide(static_cast<uint64_t>(time.sec) - sec) *
                     Wide(int64_t{1'000'000'000}) +
                 Wide(time.nsec) ==
             after >> scale.shift);
  FUZZ_CHECK(NsAfter(base, scale, cycles) == TimespecToNs(time));
  FUZZ_CHECK(NsBefore(base, scale, cycles) ==
             sec * kNsPerSec +
                 static_cast<uint64_t>((Wide(base.nsec_shifted) - moved) >>
                                       scale.shift));
  const Timebase sum = Add(base, CyclesToDuration(cycles, scale), scale.shift);
  FUZZ_CHECK(sum.nsec_shifted < kNsPerSec << scale.shift);
  FUZZ_CHECK(Wide(static_cast<uint64_t>(sum.sec) - sec) *
                     Wide(kNsPerSec << scale.shift) +
                 Wide(sum.nsec_shifted) ==
             after);
  FUZZ_CHECK(Subtract(sum, CyclesToDuration(cycles, scale), scale.shift) ==
             base);
}

void CheckInverse(EdgyRandom& in) {
  const Scale scale = {std::max(U32(in), 1u), AnyShift(in)};
  const uint32_t shift = scale.shift & 63;
  const uint64_t ns = in.Edgy();
  const Wide shifted = Wide(ns) << shift;
  const Wide limit = Wide(kCyclesLimit);
  const Wide floor = shifted / Wide(scale.mult);
  FUZZ_CHECK(Wide(NsToCycles(ns, scale)) == std::min(floor, limit));
  const uint64_t nsec_shifted = in.Edgy();
  const Wide missing = shifted - Wide(nsec_shifted);
  const Wide ceiling = missing <= Wide(0)
                           ? Wide(0)
                           : (missing - Wide(1)) / Wide(scale.mult) + Wide(1);
  FUZZ_CHECK(Wide(CyclesUntilNs(ns, scale, nsec_shifted)) ==
             std::min(ceiling, limit));
  FUZZ_CHECK(CyclesUntilNs(ns, {0, scale.shift}, nsec_shifted) ==
             (missing <= Wide(0) ? 0 : kCyclesLimit));
  const uint64_t cycles = in.Edgy();
  const Wide lasts = (Wide(cycles) * Wide(scale.mult)) >> shift;
  FUZZ_CHECK(Wide(DurationNs(cycles, scale)) ==
             (lasts < kU64 ? lasts : kU64 - Wide(1)));
}

// T4: 1 Hz to 16 GHz, +-10 %.
void CheckScaleOf(EdgyRandom& in) {
  const uint64_t hz = kMinHz + in.Edgy() % (kMaxHz - kMinHz + 1);
  const Scale scale = ScaleFromHz(hz);
  FUZZ_CHECK(scale.mult >= 1u << 30 || hz > kMaxHz || scale.shift == kMaxShift);
  FUZZ_CHECK(scale.mult < 1u << 31 && scale.shift <= kMaxShift);
  // |mult - 10^9 * 2^shift / hz| <= 1/2.
  const Wide product = Wide(scale.mult) * Wide(hz);
  const Wide ideal = Wide(kNsPerSec) << scale.shift;
  FUZZ_CHECK(support::Magnitude(product - ideal) * Wide(2) <= Wide(hz));
  // And that is <= 1 ppb, up to 16 GHz.
  FUZZ_CHECK(support::Magnitude(product - ideal) * Wide(kPpb) <= ideal);
  const int64_t ppb = in.EdgySigned() % 100'000'001;
  const Wide steered = Wide(scale.mult) * Wide(kPpb + ppb);
  const Wide off = Wide(MultByPpb(scale.mult, ppb)) * Wide(kPpb) - steered;
  FUZZ_CHECK(support::Magnitude(off) * Wide(2) <= Wide(kPpb));
  // max_cycles last what was asked for, and a cycle more lasts longer.
  const uint64_t ns = in.Edgy(62);
  const uint64_t cycles = NsToCycles(ns, scale);
  FUZZ_CHECK(CyclesToNs(cycles, scale, 0) <= ns);
  FUZZ_CHECK(cycles == kCyclesLimit ||
             Wide(cycles + 1) * Wide(scale.mult) > Wide(ns) << scale.shift);
}

void CheckNumbers(EdgyRandom& in) {
  const uint64_t a = in.Edgy();
  const uint64_t b = in.Edgy();
  FUZZ_CHECK(MultiplyHigh(a, b) == support::UpperHalf(a, b));
  FUZZ_CHECK(NsToWholeSec(a) == a / kNsPerSec);
  const auto bits = static_cast<uint32_t>(in.Below(64));
  FUZZ_CHECK(ShiftRight(a, bits) == a >> bits);
  FUZZ_CHECK(ShiftLeft(a, bits) == a << bits);
  const auto ns = static_cast<int64_t>(a);
  FUZZ_CHECK(Exact(NsToTimespec(ns), 0) == Wide(ns));
  FUZZ_CHECK(NsToTimespec(ns).nsec < kNsPerSec);
  FUZZ_CHECK(Wide(Magnitude(ns)) == support::Magnitude(Wide(ns)));
  const uint32_t width = 2 + static_cast<uint32_t>(in.Below(63));
  const uint64_t mask = UINT64_MAX >> (64 - width);
  const Wide delta = Wide(SignedDelta(a & mask, b & mask, width));
  FUZZ_CHECK(delta >= Wide(0) - (Wide(1) << (width - 1)));
  FUZZ_CHECK(delta < Wide(1) << (width - 1));
  FUZZ_CHECK(((b + static_cast<uint64_t>(delta) - a) & mask) == 0);
  const uint32_t ppb = U32(in);
  const uint64_t growth = ErrorGrowthNs(a, ppb);
  FUZZ_CHECK(growth == UINT64_MAX || support::Covers(growth, a, ppb));
  FUZZ_CHECK(ErrorNsAfter(b, a, ppb) >= std::max(b, growth));
  const Wide sum = Wide(b) + Wide(growth);
  FUZZ_CHECK(Wide(ErrorNsAfter(b, a, ppb)) == std::min(sum, kU64 - Wide(1)));
}

void CheckSlews(EdgyRandom& in) {
  const auto shift = static_cast<uint32_t>(in.Below(kMaxShift + 1));
  const int64_t offset_ns = in.EdgySigned();
  const uint64_t time_ns = std::max<uint64_t>(in.Edgy(), 1);
  const int64_t most = static_cast<int64_t>(in.Below(kMaxSteeringPpb + 1));
  const int64_t rate = SlewRatePpb(offset_ns, time_ns, most);
  FUZZ_CHECK(rate >= -most && rate <= most);
  FUZZ_CHECK(rate == 0 || (rate < 0) == (offset_ns < 0));
  const Wide amount = support::Magnitude(Wide(offset_ns));
  if (amount <= Wide(18 * kNsPerSec)) {
    const Wide exact = amount * Wide(kPpb) / Wide(time_ns);
    FUZZ_CHECK(support::Magnitude(Wide(rate)) == std::min(exact, Wide(most)));
  }
  const Timebase remaining = {in.EdgySigned(40),
                              in.Edgy() % (kNsPerSec << shift)};
  const Wide exact = Exact(remaining, shift);
  const int64_t left_ns = DifferenceNs(remaining, shift);
  const Wide limit = Wide(1) << 62;
  FUZZ_CHECK(support::Magnitude(Wide(left_ns)) <= limit);
  if (support::Magnitude(exact) >> shift < limit - Wide(2 * kNsPerSec)) {
    const Wide whole = support::Magnitude(exact) >> shift;
    FUZZ_CHECK(Wide(left_ns) == (exact < Wide(0) ? Wide(0) - whole : whole));
  }
  const int64_t mult = in.EdgySigned(28);
  const uint64_t cycles = in.Edgy(30 + shift);
  const Timebase after = SlewAfter(remaining, mult, cycles, shift);
  FUZZ_CHECK(Exact(after, shift) == exact - Wide(mult) * Wide(cycles));
  FUZZ_CHECK(after.nsec_shifted < kNsPerSec << shift);
  const SlewPace pace = {most, {in.EdgySigned(), 7}};
  const uint64_t interval_ns = std::max<uint64_t>(in.Edgy(62), 1);
  FUZZ_CHECK(SlewTimeNs(remaining, NormalBase(in, shift), shift, pace,
                        interval_ns) >= interval_ns);
}

// A deadline on a line: the first cycle at which the clock has come to it.
void CheckDeadline(EdgyRandom& in) {
  Line line = {};
  line.scale = {std::max(U32(in), 1u),
                static_cast<uint32_t>(in.Below(kMaxShift + 1))};
  line.realtime_mult = line.raw_mult = line.scale.mult;
  line.cycle_start = in.Edgy();
  line.base[VVAR_BASE_MONOTONIC] = NormalBase(in, line.scale.shift);
  const uint64_t start_ns =
      NsOnLine(line, VVAR_BASE_MONOTONIC, line.cycle_start, 64);
  const uint64_t ahead_ns = in.Edgy(62);
  const uint64_t cycles =
      CyclesUntil(line, VVAR_BASE_MONOTONIC, start_ns + ahead_ns);
  const uint64_t until_sec = CyclesUntilSec(line.base[VVAR_BASE_MONOTONIC],
                                            line.scale, in.EdgySigned());
  FUZZ_CHECK(until_sec <= kCyclesLimit);
  if (cycles >= kCyclesLimit) return;
  const auto shown_ns = [&](uint64_t at) {
    return NsOnLine(line, VVAR_BASE_MONOTONIC, line.cycle_start + at, 64) -
           start_ns;
  };
  FUZZ_CHECK(shown_ns(cycles) >= ahead_ns);
  FUZZ_CHECK(cycles == 0 || shown_ns(cycles - 1) < ahead_ns);
}

// Many at once are what they are one by one.
void CheckChunk(EdgyRandom& in) {
  KnownLine known = {};
  known.line.scale = {U32(in), AnyShift(in)};
  known.line.realtime_mult = known.line.raw_mult = known.line.scale.mult;
  const auto bits = 2 + static_cast<uint32_t>(in.Below(63));
  const uint64_t mask = UINT64_MAX >> (64 - bits);
  known.line.cycle_start = in.Edgy() & mask;
  known.line.base[0] = {in.EdgySigned(), in.Edgy()};
  known.exact_cycles = in.Edgy(28) & (mask >> 1);
  uint64_t cycles[kChunk];
  uint64_t ns[kChunk];
  bool inside = true;
  const uint64_t step = in.Edgy(24);
  for (uint64_t i = 0; i < kChunk; ++i) {
    const uint64_t delta = i % 32 == 0 ? in.Edgy(28) & mask : (i * step) & mask;
    inside = inside && delta <= std::min(known.exact_cycles, kShortCycles - 1);
    cycles[i] = (known.line.cycle_start + delta) & mask;
  }
  FUZZ_CHECK(ConvertChunk(known, 0, mask, cycles, ns) == inside);
  if (!inside) return;
  for (uint64_t i = 0; i < kChunk; ++i) {
    FUZZ_CHECK(ns[i] == NsOnLine(known.line, 0, cycles[i], bits));
  }
}

constexpr void (*kChecks[])(EdgyRandom&) = {
    CheckCyclesToNs, CheckTimes, CheckInverse,  CheckScaleOf,
    CheckNumbers,    CheckSlews, CheckDeadline, CheckChunk,
};

}  // namespace

std::vector<Bytes> Seeds() {
  std::vector<Bytes> seeds;
  for (uint8_t check = 0; check < std::size(kChecks); ++check) {
    for (const uint8_t fill : Bytes{0x00, 0x01, 0x1f, 0x3f, 0x40, 0x80, 0xff}) {
      Bytes seed(48, fill);
      seed[0] = check;
      seeds.push_back(seed);
    }
    EdgyRandom random(check);
    for (int i = 0; i < 8; ++i) {
      Bytes seed = {check};
      while (seed.size() < 100) Append(seed, random.Any());
      seeds.push_back(seed);
    }
  }
  return seeds;
}

}  // namespace vvar::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  using namespace vvar::fuzz;
  if (size == 0) return 0;
  const auto check = kChecks[bytes[0] % std::size(kChecks)];
  vvar::support::EdgyRandom in(bytes + 1, size - 1);
  // At least once, also with what comes after the last byte.
  for (int n = 0; n < 16; ++n) {
    check(in);
    if (in.exhausted()) break;
  }
  return 0;
}
