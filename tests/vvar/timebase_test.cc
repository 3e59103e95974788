// SPDX-License-Identifier: MIT
//
// One line of time and its value at a counter reading: exact against wide
// integers, for every width of counter and every century.
#include "vvar/timebase.h"

#include <gtest/gtest.h>
#include <stddef.h>
#include <stdint.h>

#include <algorithm>
#include <vector>

#include "tests/support/oracle.h"

namespace vvar {
namespace {

using support::EdgyRandom;
using support::Exact;
using support::Hex;
using support::IsFloorOf;
using support::Wide;

constexpr uint64_t kSec = 1'000'000'000;

// Slopes of counters of every speed. (Few: each takes divisions, which are slow
// where pointers have 32 bits.)
std::vector<Scale> Scales(EdgyRandom& random) {
  std::vector<Scale> scales;
  for (int i = 0; i < 2'000; ++i) {
    scales.push_back(ScaleFromHz(1 + random.Edgy(34) % kMaxHz));
  }
  return scales;
}

// Trap: T32
TEST(TimebaseTest, NegativeDeltaIsSignOfMaskedDifference) {
  for (const uint32_t bits : {2u, 8u, 31u, 32u, 33u, 40u, 56u, 63u, 64u}) {
    SCOPED_TRACE(bits);
    const uint64_t mask = UINT64_MAX >> (64 - bits);
    const uint64_t half = uint64_t{1} << (bits - 1);
    const struct {
      const char* name;
      uint64_t start;
      uint64_t now;
      int64_t delta;
    } kRows[] = {
        {"equal", 1, 1, 0},
        {"forward", 0, 1, 1},
        {"a little behind", 1, 0, -1},
        {"forward across the wrap", mask, 0, 1},
        {"behind across the wrap", 0, mask, -1},
        {"farthest forward", 0, half - 1, static_cast<int64_t>(half - 1)},
        {"farthest forward across the wrap", mask, (half - 2) & mask,
         static_cast<int64_t>(half - 1)},
        {"farthest behind", half - 1, 0, -static_cast<int64_t>(half - 1)},
        {"farthest behind across the wrap", half / 2 - 1,
         (half / 2 - 1 - (half - 1)) & mask, -static_cast<int64_t>(half - 1)},
    };
    for (const auto& row : kRows) {
      EXPECT_EQ(SignedDelta(row.now, row.start, bits), row.delta) << row.name;
    }
  }
}

// Trap: T32
TEST(TimebaseTest, DeltaSweepOverEveryWidth) {
  EdgyRandom random(32);
  for (int i = 0; i < 300'000; ++i) {
    const auto bits = static_cast<uint32_t>(2 + random.Below(63));
    const uint64_t mask = UINT64_MAX >> (64 - bits);
    const uint64_t start = random.Edgy() & mask;
    const int64_t delta = random.EdgySigned(bits - 1);
    const uint64_t now = (start + static_cast<uint64_t>(delta)) & mask;
    ASSERT_EQ(SignedDelta(now, start, bits), delta)
        << start << " " << now << " " << bits;
  }
}

// Trap: T119
TEST(TimebaseTest, SecondsSweep) {
  const struct {
    const char* name;
    int64_t sec;
  } kRows[] = {
      {"year -200000", -6'373'123'200'000},
      {"year 1900", -2'208'988'800},
      {"1901, int32 min", -2'147'483'648},
      {"1969-12-31 23:59:59", -1},
      {"1970", 0},
      {"2038-01-19 03:14:07", 2'147'483'647},
      {"2038-01-19 03:14:08", 2'147'483'648},
      {"2106-02-07 06:28:15", 4'294'967'295},
      {"2106-02-07 06:28:16", 4'294'967'296},
      {"2262, int64 ns", 9'223'372'036},
      {"2262, beyond", 9'223'372'037},
      {"2554, uint64 ns", 18'446'744'073},
      {"2554, beyond", 18'446'744'074},
      {"year 1000000", 31'494'784'780'800},
  };
  const Scale scale = ScaleFromHz(2'600'000'000);
  const uint64_t second = kSec << scale.shift;
  for (const auto& row : kRows) {
    SCOPED_TRACE(row.name);
    for (const uint64_t nsec : {uint64_t{0}, uint64_t{1}, second - 1}) {
      const Timebase base = {row.sec, nsec};
      for (const uint64_t cycles :
           {uint64_t{0}, uint64_t{1}, uint64_t{2'599'999'999},
            uint64_t{2'600'000'000}, uint64_t{1} << 40, uint64_t{1} << 62}) {
        const Wide exact =
            Exact(base, scale.shift) + Wide(cycles) * Wide(scale.mult);
        EXPECT_TRUE(
            IsFloorOf(TimespecAfter(base, scale, cycles), exact, scale.shift))
            << cycles << " cycles";
        EXPECT_EQ(NsAfter(base, scale, cycles),
                  support::FloorNs(exact, scale.shift))
            << cycles << " cycles: modulo 2^64";
      }
    }
  }
}

TEST(TimebaseTest, TimespecAndNsAreOneTimeAtRandom) {
  EdgyRandom random(33);
  const std::vector<Scale> scales = Scales(random);
  for (int i = 0; i < 300'000; ++i) {
    const Scale scale = scales[static_cast<size_t>(i) % scales.size()];
    const Timebase base = {random.EdgySigned(50),
                           random.Any() % (kSec << scale.shift)};
    const uint64_t cycles =
        random.Edgy(58) % (uint64_t{1} << (24 + scale.shift));
    const Wide exact =
        Exact(base, scale.shift) + Wide(cycles) * Wide(scale.mult);
    const Timespec time = TimespecAfter(base, scale, cycles);
    ASSERT_TRUE(IsFloorOf(time, exact, scale.shift)) << cycles;
    ASSERT_EQ(NsAfter(base, scale, cycles), TimespecToNs(time)) << cycles;
  }
}

TEST(TimebaseTest, AnExtremePageGivesADefinedTime) {
  // Any sec and nsec_shifted a hostile page may hold: modulo 2^64, nothing
  // worse. UBSan watches.
  for (const int64_t sec : {INT64_MIN, INT64_MIN + 1, int64_t{-1}, INT64_MAX}) {
    for (const uint64_t nsec : {uint64_t{0}, uint64_t{1} << 63, UINT64_MAX}) {
      for (const uint32_t shift : {0u, 31u, 32u, 34u, 63u, 64u, 255u}) {
        const Scale scale = {UINT32_MAX, shift};
        for (const uint64_t cycles : {uint64_t{0}, kShortCycles, UINT64_MAX}) {
          const Timespec time = TimespecAfter({sec, nsec}, scale, cycles);
          EXPECT_LT(time.nsec, kSec);
          EXPECT_EQ(TimespecToNs(time), NsAfter({sec, nsec}, scale, cycles));
        }
      }
    }
  }
}

TEST(TimebaseTest, NsToTimespecIsTheFloorForEveryInt64) {
  const struct {
    int64_t ns;
    int64_t sec;
    uint32_t nsec;
  } kRows[] = {
      {0, 0, 0},
      {1, 0, 1},
      {-1, -1, 999'999'999},
      {999'999'999, 0, 999'999'999},
      {1'000'000'000, 1, 0},
      {-999'999'999, -1, 1},
      {-1'000'000'000, -1, 0},
      {-1'000'000'001, -2, 999'999'999},
      {INT64_MAX, 9'223'372'036, 854'775'807},
      {INT64_MIN, -9'223'372'037, 145'224'192},
      {INT64_MIN + 1, -9'223'372'037, 145'224'193},
  };
  for (const auto& row : kRows) {
    EXPECT_EQ(NsToTimespec(row.ns), (Timespec{row.sec, row.nsec})) << row.ns;
  }
  EdgyRandom random(34);
  for (int i = 0; i < 300'000; ++i) {
    const int64_t ns = random.EdgySigned();
    const Timespec time = NsToTimespec(ns);
    ASSERT_TRUE(IsFloorOf(time, Wide(ns), 0)) << ns;
    ASSERT_EQ(TimespecToNs(time), static_cast<uint64_t>(ns)) << "round trip";
  }
}

TEST(TimebaseTest, AddAndSubtractAreExact) {
  EdgyRandom random(35);
  const auto expect = [](Timebase a, Timebase b, uint32_t shift) {
    const Timebase sum = Add(a, b, shift);
    ASSERT_LT(sum.nsec_shifted, kSec << shift) << "normalised";
    ASSERT_TRUE(Exact(sum, shift) == Exact(a, shift) + Exact(b, shift))
        << a.sec << " " << a.nsec_shifted << " + " << b.sec << " "
        << b.nsec_shifted << " at " << shift;
    ASSERT_EQ(Subtract(sum, b, shift), a)
        << a.sec << " " << a.nsec_shifted << " + and - " << b.sec << " "
        << b.nsec_shifted << " at " << shift;
  };
  for (uint32_t shift = 0; shift <= kMaxShift; ++shift) {
    const uint64_t most = (kSec << shift) - 1;
    for (const uint64_t a : {uint64_t{0}, uint64_t{1}, most / 2, most}) {
      for (const uint64_t b : {uint64_t{0}, uint64_t{1}, most / 2 + 1, most}) {
        for (const int64_t sec : {-2, -1, 0, 1}) {
          expect({sec, a}, {0, b}, shift);
          expect({sec, a}, {-1, b}, shift);
        }
      }
    }
  }
  for (int i = 0; i < 200'000; ++i) {
    const auto shift = static_cast<uint32_t>(random.Below(kMaxShift + 1));
    const uint64_t second = kSec << shift;
    expect({random.EdgySigned(40), random.Any() % second},
           {random.EdgySigned(40), random.Any() % second}, shift);
    if (HasFatalFailure()) return;
  }
}

// Trap: T119
TEST(TimebaseTest, AddWrapsRatherThanOverflowsAtTheEndOfTime) {
  // A step or a second more at the end of int64 seconds is as defined as in
  // TimespecAfter(). UBSan decides.
  const Timebase end = {INT64_MAX, (kSec << 34) - 1};
  EXPECT_EQ(Add(end, {1, 0}, 34), (Timebase{INT64_MIN, (kSec << 34) - 1}));
  EXPECT_EQ(Add(end, {0, 1}, 34), (Timebase{INT64_MIN, 0}));
}

TEST(TimebaseTest, DurationsAreExact) {
  EdgyRandom random(36);
  const std::vector<Scale> scales = Scales(random);
  for (int i = 0; i < 300'000; ++i) {
    const Scale scale = scales[static_cast<size_t>(i) % scales.size()];
    // Below 2^61 ns.
    const uint64_t cycles = random.Edgy(std::min(62u, 30 + scale.shift));
    const Timebase duration = CyclesToDuration(cycles, scale);
    ASSERT_LT(duration.nsec_shifted, kSec << scale.shift);
    ASSERT_TRUE(Exact(duration, scale.shift) == Wide(cycles) * Wide(scale.mult))
        << cycles << " * " << scale.mult << " >> " << scale.shift;
  }
}

TEST(TimebaseTest, TimespecAndTimebaseConvertBothWays) {
  for (uint32_t shift = 0; shift <= kMaxShift; ++shift) {
    for (const uint32_t nsec : {0u, 1u, 999'999'999u}) {
      const Timespec time = {-5, nsec};
      const Timebase base = TimespecToTimebase(time, shift);
      EXPECT_TRUE(Exact(base, shift) == Exact(time, shift));
      EXPECT_EQ(TimebaseToTimespec(base, shift), time);
      if (shift > 0) {
        EXPECT_EQ(TimebaseToTimespec({-5, base.nsec_shifted + 1}, shift), time)
            << "a fraction is dropped";
      }
    }
  }
}

TEST(TimebaseTest, PrecedesIsTheOrderOfTime) {
  EXPECT_TRUE(Precedes({1, 999'999'999}, {2, 0}));
  EXPECT_FALSE(Precedes({2, 0}, {1, 999'999'999}));
  EXPECT_TRUE(Precedes({-1, 5}, {0, 0}));
  EXPECT_TRUE(Precedes({1, 5}, {1, 6}));
  EXPECT_FALSE(Precedes({1, 5}, {1, 5}));
}

TEST(TimebaseTest, CyclesUntilSecIsTheFirstThatShowsIt) {
  EdgyRandom random(41);
  for (const Scale& scale : Scales(random)) {
    const uint64_t second = kSec << scale.shift;
    const Timebase base = {1'700'000'000, random.Edgy(64) % second};
    for (const int64_t ahead : {1, 2, 59, 86'400}) {
      const int64_t sec = base.sec + ahead;
      const uint64_t cycles = CyclesUntilSec(base, scale, sec);
      ASSERT_GT(cycles, 0u);
      ASSERT_GE(TimespecAfter(base, scale, cycles).sec, sec);
      ASSERT_LT(TimespecAfter(base, scale, cycles - 1).sec, sec);
    }
    // What it shows already, or showed long ago.
    for (const int64_t sec : {base.sec, base.sec - 1, int64_t{0}, INT64_MIN}) {
      ASSERT_EQ(CyclesUntilSec(base, scale, sec), 0u) << sec;
    }
    ASSERT_EQ(CyclesUntilSec(base, scale, INT64_MAX), kCyclesLimit);
  }
}

TEST(TimebaseTest, ErrorGrowthIsABound) {
  EdgyRandom random(37);
  for (int i = 0; i < 500'000; ++i) {
    const uint64_t ns = random.Edgy();
    const auto ppb = static_cast<uint32_t>(random.Edgy(32));
    const uint64_t growth = ErrorGrowthNs(ns, ppb);
    if (growth != UINT64_MAX) {
      ASSERT_TRUE(support::Covers(growth, ns, ppb)) << ns << " ns " << ppb;
    }
    // Not too wide: 5 % and 2 ns, or one second's growth beyond 2^32 ns.
    if (ns <= UINT32_MAX) {
      ASSERT_TRUE((Wide(growth) - Wide(2)) * Wide(100 * kSec) <=
                  Wide(105) * Wide(ns) * Wide(ppb))
          << ns << " ns " << ppb;
    } else if (growth != UINT64_MAX) {
      ASSERT_TRUE((Wide(growth) - Wide(2)) * Wide(kSec) <=
                  Wide(ns) * Wide(ppb) + Wide(ppb) * Wide(kSec))
          << ns << " ns " << ppb;
    }
  }
}

TEST(TimebaseTest, ErrorGrowthNeverShrinksWithAge) {
  for (const uint32_t ppb : {0u, 1u, 500u, 100'000u, UINT32_MAX}) {
    uint64_t before = 0;
    for (uint32_t bit = 0; bit < 64; ++bit) {
      for (const uint64_t ns : {(uint64_t{1} << bit) - 1, uint64_t{1} << bit,
                                (uint64_t{1} << bit) + 1}) {
        if (bit < 2) continue;
        ASSERT_GE(ErrorGrowthNs(ns, ppb), before) << ns << " ns " << ppb;
        before = ErrorGrowthNs(ns, ppb);
      }
    }
  }
}

TEST(TimebaseTest, ErrorSaturates) {
  EXPECT_EQ(ErrorNsAfter(UINT64_MAX, 0, 0), UINT64_MAX);
  EXPECT_EQ(ErrorNsAfter(UINT64_MAX - 1, 1000, 1), UINT64_MAX);
  EXPECT_EQ(ErrorNsAfter(0, UINT64_MAX, UINT32_MAX), UINT64_MAX);
  EXPECT_GE(ErrorNsAfter(100, kSec, 1000), 1100u);
  EXPECT_LE(ErrorNsAfter(100, kSec, 1000), 1152u);
}

TEST(TimebaseTest, LineAtIsExact) {
  EdgyRandom random(38);
  const std::vector<Scale> scales = Scales(random);
  for (int i = 0; i < 100'000; ++i) {
    const auto bits = static_cast<uint32_t>(32 + random.Below(33));
    const uint64_t mask = UINT64_MAX >> (64 - bits);
    Line line = {};
    line.scale = scales[static_cast<size_t>(i) % scales.size()];
    line.raw_mult = line.scale.mult - static_cast<uint32_t>(random.Below(1000));
    line.realtime_mult =
        line.scale.mult - static_cast<uint32_t>(random.Below(1000));
    line.cycle_start = random.Edgy() & mask;
    for (Timebase& base : line.base) {
      base = {random.EdgySigned(35), random.Any() % (kSec << line.scale.shift)};
    }
    const uint64_t age =
        random.Edgy(std::min({bits - 1, 30 + line.scale.shift, 50u}));
    const uint64_t now = (line.cycle_start + age) & mask;
    for (uint32_t base = 0; base < VVAR_BASES; ++base) {
      const Timebase at = line.At(base, now, bits);
      ASSERT_TRUE(Exact(at, line.scale.shift) ==
                  support::ExactAt(line, base, now, bits))
          << "base " << base << ", " << age << " cycles";
      ASSERT_LT(at.nsec_shifted, kSec << line.scale.shift);
    }
  }
}

TEST(TimebaseTest, RealtimeAndMonotonicRawHaveSlopesOfTheirOwn) {
  Line line = {};
  line.scale = {1000, 5};
  line.raw_mult = 999;
  line.realtime_mult = 1001;
  for (uint32_t base = 0; base < VVAR_BASES; ++base) {
    EXPECT_EQ(line.ScaleOf(base).mult, base == VVAR_BASE_MONOTONIC_RAW ? 999u
                                       : base == VVAR_BASE_REALTIME    ? 1001u
                                                                       : 1000u);
    EXPECT_EQ(line.ScaleOf(base).shift, 5u);
  }
}

TEST(TimebaseTest, NsBeforeIsTheFloor) {
  EdgyRandom random(39);
  for (const Scale& scale : Scales(random)) {
    for (int i = 0; i < 50; ++i) {
      // Also within a nanosecond of a whole second, which is rare at random.
      const uint64_t span =
          i % 2 == 0 ? kSec << scale.shift : uint64_t{1} << scale.shift;
      const Timebase base = {random.EdgySigned(33), random.Any() % span};
      const uint64_t cycles = random.Edgy(58);
      const Wide exact =
          Exact(base, scale.shift) - Wide(cycles) * Wide(scale.mult);
      ASSERT_EQ(NsBefore(base, scale, cycles),
                support::FloorNs(exact, scale.shift))
          << cycles << " cycles before " << base.sec << " s";
    }
  }
}

TEST(TimebaseTest, CopyOfALineHasEachOfItsFields) {
  EdgyRandom random(40);
  Line from = {};
  for (size_t at = 0; at < sizeof(from); ++at) {
    reinterpret_cast<unsigned char*>(&from)[at] =
        static_cast<unsigned char>(1 + random.Below(255));
  }
  Line to = {};
  CopyLine(from, to);
  EXPECT_EQ(support::FieldsOf(to), support::FieldsOf(from));
}

// In constant expressions undefined behaviour does not compile.
static_assert(NsToTimespec(INT64_MIN).sec == -9'223'372'037);
static_assert(TimespecToNs({INT64_MIN, 0}) == 0);
static_assert(
    TimespecAfter({INT64_MAX, UINT64_MAX}, {UINT32_MAX, 255}, UINT64_MAX).nsec <
    1'000'000'000);
static_assert(SignedDelta(0, UINT64_MAX, 64) == 1);
static_assert(SignedDelta(0, UINT64_MAX, 2) == 1);
static_assert(ErrorNsAfter(UINT64_MAX, UINT64_MAX, UINT32_MAX) == UINT64_MAX);

}  // namespace
}  // namespace vvar
