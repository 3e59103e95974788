// SPDX-License-Identifier: MIT
//
// Cycles to nanoseconds against wide integers: on edges, at random, and with
// what a hostile page may hold.
#include "vvar/scale.h"

#include <gtest/gtest.h>
#include <stdint.h>

#include <vector>

#include "tests/support/oracle.h"

namespace vvar {
namespace {

using support::EdgyRandom;
using support::Hex;
using support::UnsignedWide;
using support::Wide;
using support::Wide256;

constexpr uint64_t kSec = 1'000'000'000;

const std::vector<uint64_t> kFrequencies = {
    1,
    2,
    3,
    7,
    999,
    1000,
    32'768,
    999'983,
    1'000'000,
    3'000'000,
    3'579'545,
    10'000'000,
    14'318'180,
    19'200'000,
    24'000'000,
    25'000'000,
    54'000'000,
    100'000'000,
    999'999'937,
    1'000'000'000,
    1'000'000'007,
    2'096'000'000,
    2'599'999'999,
    2'600'000'000,
    3'141'592'653,
    4'294'967'295,
    4'294'967'296,
    4'294'967'297,
    9'999'999'967,
    10'000'000'000,
    15'999'999'999,
    16'000'000'000,
};

// cycles * mult + nsec_shifted in units of ns >> shift, and whether its whole
// nanoseconds fit 64 bits.
struct Expected {
  uint64_t ns;
  uint64_t remainder_shifted;
  bool fits;
};
Expected Oracle(uint64_t cycles, Scale scale, uint64_t nsec_shifted) {
  const Wide exact = Wide(cycles) * Wide(scale.mult) + Wide(nsec_shifted);
  const Wide ns = exact >> scale.shift;
  return {static_cast<uint64_t>(ns),
          static_cast<uint64_t>(exact - (ns << scale.shift)),
          ns <= Wide(UINT64_MAX)};
}

void ExpectOracle(uint64_t cycles, Scale scale, uint64_t nsec_shifted) {
  const Expected expected = Oracle(cycles, scale, nsec_shifted);
  if (!expected.fits) return;
  const ShiftedNs split = CyclesToShiftedNs(cycles, scale, nsec_shifted);
  if (CyclesToNs(cycles, scale, nsec_shifted) != expected.ns ||
      split.ns != expected.ns ||
      split.remainder_shifted != expected.remainder_shifted) {
    ADD_FAILURE() << cycles << " cycles * " << scale.mult << " >> "
                  << scale.shift << " + " << nsec_shifted << ": "
                  << CyclesToNs(cycles, scale, nsec_shifted) << " and "
                  << split.ns << " rest " << split.remainder_shifted
                  << ", expected " << expected.ns << " rest "
                  << expected.remainder_shifted;
  }
}

TEST(OracleTest, OwnWideIntegersAgreeWithTheCompilers) {
#ifdef __SIZEOF_INT128__
  EdgyRandom random(1);
  for (int i = 0; i < 20'000; ++i) {
    const int64_t a = random.EdgySigned();
    const int64_t b = random.EdgySigned();
    const auto c = static_cast<uint32_t>(random.Edgy(32));
    const auto shift = static_cast<uint32_t>(random.Below(64));
    const Wide wide = Wide(a) * Wide(c) - Wide(b);
    const Wide256 own = Wide256(a) * Wide256(c) - Wide256(b);
    ASSERT_EQ(static_cast<uint64_t>(own), static_cast<uint64_t>(wide));
    ASSERT_EQ(static_cast<uint64_t>(own >> shift),
              static_cast<uint64_t>(wide >> shift))
        << Hex(wide) << " >> " << shift;
    ASSERT_EQ(
        static_cast<uint64_t>((own << shift) >> 64),
        static_cast<uint64_t>(
            static_cast<Wide>(static_cast<UnsignedWide>(wide) << shift) >> 64));
    ASSERT_EQ(own < Wide256(a), wide < Wide(a));
    ASSERT_EQ(own >= Wide256(b), wide >= Wide(b));
  }
#endif
  EXPECT_TRUE((Wide256(-1) >> 200) == Wide256(-1));
  EXPECT_TRUE((Wide256(UINT64_MAX) + 1) == (Wide256(1) << 64));
}

TEST(ScaleTest, ShiftsAreShifts) {
  EdgyRandom random(5);
  for (int i = 0; i < 10'000; ++i) {
    const uint64_t value = random.Edgy();
    const auto bits = static_cast<uint32_t>(random.Below(64));
    ASSERT_EQ(ShiftRight(value, bits), value >> bits) << value << " " << bits;
    ASSERT_EQ(ShiftLeft(value, bits), value << bits) << value << " " << bits;
  }
}

TEST(ScaleTest, ConstantsAreTheOnesTheBoundsRestOn) {
  EXPECT_EQ(kNsPerSec, kSec);
  EXPECT_EQ(kMaxShift, 34u);
  EXPECT_EQ(kShortCycles, uint64_t{1} << 28);
}

// Checks the Scale of one frequency against its definition.
void ExpectNearestScale(uint64_t hz) {
  const Scale scale = ScaleFromHz(hz);
  ASSERT_LE(scale.shift, kMaxShift) << hz;
  ASSERT_LT(scale.mult, uint64_t{1} << 31) << hz;
  ASSERT_GE(scale.mult, uint64_t{1} << 30) << hz;
  // Nearest: |mult * hz - 10^9 << shift| <= hz / 2.
  const Wide exact = Wide(kSec) * (Wide(1) << scale.shift);
  const Wide error = Wide(scale.mult) * Wide(hz) - exact;
  const Wide magnitude = error < Wide(0) ? Wide(0) - error : error;
  ASSERT_TRUE(Wide(2) * magnitude <= Wide(hz)) << hz << " " << Hex(error);
  // 0.47 ppb of the slope, as documented.
  ASSERT_TRUE(magnitude * Wide(100'000'000'000) <= Wide(47) * exact)
      << hz << " " << Hex(error);
  // The largest shift: one more, and mult would need 32 bits.
  if (scale.shift < kMaxShift) {
    const Wide next = Wide(kSec) * (Wide(1) << (scale.shift + 1));
    const Wide limit = ((Wide(1) << 32) - Wide(1)) * Wide(hz);
    ASSERT_TRUE(Wide(2) * next >= limit) << hz;
  }
}

TEST(ScaleTest, MultIsTheNearestForEveryFrequency) {
  for (const uint64_t hz : kFrequencies) ExpectNearestScale(hz);
  EdgyRandom random(2);
  for (int i = 0; i < 100'000; ++i) {
    const uint64_t hz = 1 + random.Edgy(34) % kMaxHz;
    ExpectNearestScale(hz);
    if (HasFatalFailure()) return;
  }
}

// Trap: T36
TEST(ScaleTest, RateQuantumIsBelowOnePpb) {
  EdgyRandom random(3);
  std::vector<uint64_t> frequencies;
  for (const uint64_t hz : kFrequencies) {
    if (hz >= 1'000'000 && hz <= 10'000'000'000) frequencies.push_back(hz);
  }
  for (int i = 0; i < 10'000; ++i) {
    frequencies.push_back(1'000'000 + random.Below(9'999'000'001));
  }
  for (const uint64_t hz : frequencies) {
    // One step of mult, as a part of it.
    ASSERT_GT(ScaleFromHz(hz).mult, kSec) << hz;
  }
}

// Trap: T36
TEST(ScaleTest, DriftsByLessThanHalfAPpbOverYears) {
  for (const uint64_t hz : kFrequencies) {
    if (hz < 1000) continue;
    const Scale scale = ScaleFromHz(hz);
    const uint64_t years = hz < 1'000'000'000 ? 10 : 1;
    const uint64_t sec = years * 365 * 86'400;
    const uint64_t ns = CyclesToNs(hz * sec, scale, 0);
    const Wide error = Wide(ns) - Wide(sec) * Wide(kSec);
    const Wide magnitude = error < Wide(0) ? Wide(0) - error : error;
    EXPECT_TRUE(magnitude * Wide(100) <= Wide(sec) * Wide(47) + Wide(100))
        << hz << " Hz is off by " << Hex(error) << " ns in " << years << " a";
  }
}

TEST(ScaleTest, CyclesToNsMatchesOracleOnEdges) {
  const uint64_t cycle_edges[] = {
      0,
      1,
      2,
      kShortCycles - 1,
      kShortCycles,
      kShortCycles + 1,
      UINT32_MAX - uint64_t{1},
      UINT32_MAX,
      uint64_t{1} << 32,
      (uint64_t{1} << 32) + 1,
      (uint64_t{1} << 62) - 1,
      uint64_t{1} << 62,
      (uint64_t{1} << 63) - 1,
      uint64_t{1} << 63,
      (uint64_t{1} << 63) + 1,
      UINT64_MAX - 1,
      UINT64_MAX,
  };
  const uint32_t mult_edges[] = {0,         1,
                                 2,         (1u << 30) - 1,
                                 1u << 30,  (1u << 31) - 1,
                                 1u << 31,  UINT32_MAX - 1,
                                 UINT32_MAX};
  for (uint32_t shift = 0; shift <= kMaxShift; ++shift) {
    const uint64_t second = kSec << shift;
    const uint64_t nsec_edges[] = {0,          1,          second / 2,
                                   second - 1, second - 2, (second - 1) & ~7u};
    for (const uint64_t cycles : cycle_edges) {
      for (const uint32_t mult : mult_edges) {
        for (const uint64_t nsec : nsec_edges) {
          ExpectOracle(cycles, {mult, shift}, nsec);
        }
      }
    }
  }
}

TEST(ScaleTest, CyclesToNsMatchesOracleAtRandom) {
  EdgyRandom random(4);
  for (int i = 0; i < 1'200'000 && !HasFailure(); ++i) {
    const auto shift = static_cast<uint32_t>(random.Below(kMaxShift + 1));
    const Scale scale = {static_cast<uint32_t>(random.Edgy(32)), shift};
    ExpectOracle(random.Edgy(), scale, random.Any() % (kSec << shift));
  }
}

// Trap: T30
TEST(ScaleTest, DeltaSweepMatchesOracle) {
  for (const uint64_t hz : kFrequencies) {
    const Scale scale = ScaleFromHz(hz);
    const uint64_t most = (kSec << scale.shift) - 1;
    std::vector<uint64_t> deltas;
    for (uint32_t bit = 0; bit < 64; ++bit) {
      deltas.insert(deltas.end(), {(uint64_t{1} << bit) - 1, uint64_t{1} << bit,
                                   (uint64_t{1} << bit) + 1});
    }
    for (uint64_t days = 1; days <= 400; days += 7) {
      deltas.push_back(days * 86'400 * hz);
    }
    const uint64_t max_cycles = NsToCycles(10 * kSec, scale);
    deltas.insert(deltas.end(), {max_cycles - 1, max_cycles, max_cycles + 1});
    uint64_t before_ns = 0;
    uint64_t before = 0;
    for (const uint64_t delta : deltas) {
      ExpectOracle(delta, scale, 0);
      ExpectOracle(delta, scale, most);
      // And time never runs backwards within what fits.
      if (delta >= before && Oracle(delta, scale, most).fits) {
        ASSERT_GE(CyclesToNs(delta, scale, most), before_ns) << delta;
        before_ns = CyclesToNs(delta, scale, most);
        before = delta;
      }
    }
  }
}

TEST(ScaleTest, ShortAndLongProductsMeet) {
  // One step either side of kShortCycles, the time goes on by one cycle.
  for (const uint64_t hz : kFrequencies) {
    const Scale scale = ScaleFromHz(hz);
    for (uint64_t cycles = kShortCycles - 2; cycles < kShortCycles + 2;
         ++cycles) {
      ExpectOracle(cycles, scale, 0);
      ExpectOracle(cycles, scale, (kSec << scale.shift) - 1);
    }
  }
}

TEST(ScaleTest, HostileInputsAreDefined) {
  // UBSan watches; constant evaluation below proves some of it for good.
  EdgyRandom random(5);
  uint64_t sum = 0;
  for (int i = 0; i < 300'000; ++i) {
    const Scale scale = {static_cast<uint32_t>(random.Edgy(32)),
                         static_cast<uint32_t>(random.Edgy(32))};
    const uint64_t cycles = random.Edgy();
    const uint64_t nsec_shifted = random.Edgy();
    sum += CyclesToNs(cycles, scale, nsec_shifted);
    const ShiftedNs split = CyclesToShiftedNs(cycles, scale, nsec_shifted);
    sum += split.ns;
    // The shift is taken modulo 64, and the two parts are the whole 96 bits.
    const uint32_t shift = scale.shift % 64;
    ASSERT_EQ(split.remainder_shifted >> shift, 0u);
    const Wide exact = Wide(cycles) * Wide(scale.mult) + Wide(nsec_shifted);
    ASSERT_EQ(split.ns, static_cast<uint64_t>(exact >> shift))
        << Hex(exact) << " >> " << shift;
  }
  EXPECT_NE(sum, 0u);
}

// In constant expressions undefined behaviour does not compile.
static_assert(CyclesToNs(UINT64_MAX, {UINT32_MAX, UINT32_MAX}, UINT64_MAX) !=
              1);
static_assert(CyclesToNs(UINT64_MAX, {UINT32_MAX, 0}, UINT64_MAX) != 1);
static_assert(CyclesToNs(kShortCycles - 1, {UINT32_MAX, 255}, UINT64_MAX) != 1);
static_assert(CyclesToNs(0, {0, 64}, 0) == 0);
static_assert(CyclesToShiftedNs(UINT64_MAX, {UINT32_MAX, 63}, UINT64_MAX)
                      .remainder_shifted >>
                  63 ==
              0);
static_assert(CyclesToShiftedNs(0, {0, 32}, UINT64_MAX).ns == UINT32_MAX);
static_assert(NsToWholeSec(UINT64_MAX) == 18'446'744'073);
static_assert(NsToCycles(UINT64_MAX, {1, UINT32_MAX}) == uint64_t{1} << 62);
static_assert(MultiplyHigh(UINT64_MAX, UINT64_MAX) == UINT64_MAX - 1);
static_assert(ScaleFromHz(1).shift == 1 && ScaleFromHz(1).mult == 2 * kSec);
static_assert(ScaleFromHz(1'000'000'000).mult == 1u << 30);

TEST(ScaleTest, DivideU64MatchesTheCompilers) {
  EdgyRandom random(6);
  for (int i = 0; i < 200'000; ++i) {
    const uint64_t n = random.Edgy();
    const uint64_t d = random.Edgy();
    if (d == 0) continue;
    ASSERT_EQ(DivideU64(n, d), n / d) << n << " / " << d;
  }
}

TEST(ScaleTest, MultiplyHighMatchesOracle) {
  EdgyRandom random(7);
  for (int i = 0; i < 500'000; ++i) {
    const uint64_t a = random.Edgy();
    const uint64_t b = random.Edgy();
    ASSERT_EQ(MultiplyHigh(a, b), support::UpperHalf(a, b)) << a << " * " << b;
  }
}

TEST(ScaleTest, NsToWholeSecIsExactAroundEverySecond) {
  // Every 10^9 k in range, -1, 0 and +1, in steps of k that get smaller at both
  // ends; then at random.
  const uint64_t last = UINT64_MAX / kSec;
  const auto expect_at = [](uint64_t k) {
    const uint64_t ns = k * kSec;
    ASSERT_EQ(NsToWholeSec(ns), k);
    ASSERT_EQ(NsToWholeSec(ns + 1), k);
    if (k != 0) {
      ASSERT_EQ(NsToWholeSec(ns - 1), k - 1);
    }
  };
  for (uint64_t k = 0; k < 500'000; ++k) expect_at(k);
  for (uint64_t k = last - 500'000; k <= last; ++k) expect_at(k);
  for (uint64_t k = 0; k <= last; k += 49'999) expect_at(k);
  for (uint32_t bit = 0; bit < 64; ++bit) {
    for (uint64_t near = 0; near < 2048; ++near) {
      const uint64_t ns = (uint64_t{1} << bit) - 1024 + near;
      ASSERT_EQ(NsToWholeSec(ns), ns / kSec) << ns;
    }
  }
  ASSERT_EQ(NsToWholeSec(UINT64_MAX), last);
  EdgyRandom random(8);
  for (int i = 0; i < 1'000'000; ++i) {
    const uint64_t ns = random.Any();
    ASSERT_EQ(NsToWholeSec(ns), ns / kSec) << ns;
  }
}

TEST(ScaleTest, MultByPpbIsTheNearest) {
  EdgyRandom random(9);
  const uint32_t mult_edges[] = {1, 2, 1u << 30, (1u << 31) - 1, 2'466'810'933};
  const int64_t ppb_edges[] = {0,           1,           -1,
                               2,           -2,          499'999'9,
                               50'000'000,  -50'000'000, 99'999'999,
                               -99'999'999, 100'000'000, -100'000'000};
  const auto expect = [](uint32_t mult, int64_t ppb) {
    const Wide exact = Wide(mult) * (Wide(kSec) + Wide(ppb));
    const Wide error = Wide(MultByPpb(mult, ppb)) * Wide(kSec) - exact;
    const Wide magnitude = error < Wide(0) ? Wide(0) - error : error;
    ASSERT_TRUE(Wide(2) * magnitude <= Wide(kSec)) << mult << " " << ppb;
  };
  for (const uint32_t mult : mult_edges) {
    for (const int64_t ppb : ppb_edges) expect(mult, ppb);
  }
  for (int i = 0; i < 300'000; ++i) {
    // 2^31.2, the largest in range.
    const auto mult = static_cast<uint32_t>(random.Edgy(32) % 2'466'810'934);
    const int64_t ppb = random.EdgySigned(27) % 100'000'001;
    expect(mult, ppb);
    if (HasFatalFailure()) return;
  }
}

TEST(ScaleTest, NsToCyclesIsTheFloorOrSaturates) {
  const uint64_t kLimit = uint64_t{1} << 62;
  EdgyRandom random(10);
  const auto expect = [kLimit](uint64_t ns, Scale scale) {
    const uint64_t cycles = NsToCycles(ns, scale);
    const UnsignedWide target = UnsignedWide(ns) << (scale.shift % 64);
    const UnsignedWide mult = UnsignedWide(scale.mult);
    ASSERT_LE(cycles, kLimit);
    ASSERT_TRUE(UnsignedWide(cycles) * mult <= target)
        << ns << " " << scale.mult << " " << scale.shift;
    if (cycles < kLimit) {
      ASSERT_TRUE((UnsignedWide(cycles) + UnsignedWide(1)) * mult > target)
          << ns << " " << scale.mult << " " << scale.shift;
    }
  };
  for (const uint64_t hz : kFrequencies) {
    const Scale scale = ScaleFromHz(hz);
    for (const uint64_t ns :
         {uint64_t{0}, uint64_t{1}, kSec - 1, kSec, kSec * 3600,
          uint64_t{1} << 61, (uint64_t{1} << 62) - 1, uint64_t{1} << 62,
          UINT64_MAX}) {
      expect(ns, scale);
    }
  }
  for (int i = 0; i < 300'000; ++i) {
    const auto mult = static_cast<uint32_t>(random.Edgy(32));
    if (mult == 0) continue;
    expect(random.Edgy(), {mult, static_cast<uint32_t>(random.Below(64))});
    if (HasFatalFailure()) return;
  }
}

TEST(ScaleTest, CyclesUntilNsIsTheFirstOrSaturates) {
  EdgyRandom random(12);
  int saturated = 0;
  for (int i = 0; i < 300'000; ++i) {
    const Scale scale = {static_cast<uint32_t>(random.Edgy(32)),
                         static_cast<uint32_t>(random.Below(64))};
    const uint64_t ns = random.Edgy();
    const uint64_t nsec_shifted = random.Edgy();
    const uint64_t cycles = CyclesUntilNs(ns, scale, nsec_shifted);
    ASSERT_LE(cycles, kCyclesLimit);
    const UnsignedWide target = UnsignedWide(ns) << scale.shift;
    const auto shown = [&](uint64_t at) {
      return UnsignedWide(at) * UnsignedWide(scale.mult) +
             UnsignedWide(nsec_shifted);
    };
    if (cycles < kCyclesLimit) {
      ASSERT_TRUE(shown(cycles) >= target)
          << ns << " " << scale.mult << " " << scale.shift;
    } else {
      ++saturated;
    }
    if (cycles != 0) {
      ASSERT_TRUE(shown(cycles - 1) < target)
          << ns << " " << scale.mult << " " << scale.shift;
    }
  }
  EXPECT_GT(saturated, 1'000);
}

TEST(ScaleTest, NsToCyclesAndBackNeverGains) {
  // n cycles last at most ns, and n + 1 last longer.
  EdgyRandom random(11);
  for (int i = 0; i < 100'000; ++i) {
    const Scale scale = ScaleFromHz(1'000 + random.Below(15'999'999'000));
    const uint64_t ns = random.Edgy(50);
    const uint64_t cycles = NsToCycles(ns, scale);
    ASSERT_LE(CyclesToNs(cycles, scale, 0), ns);
    ASSERT_GE(CyclesToNs(cycles + 1, scale, 0), ns);
  }
}

}  // namespace
}  // namespace vvar
