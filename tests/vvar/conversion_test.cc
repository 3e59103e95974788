// SPDX-License-Identifier: MIT
//
// Counter values to times and back on one line: each against the line in wide
// integers, for every width of counter.
#include "vvar/conversion.h"

#include <gtest/gtest.h>
#include <stddef.h>
#include <stdint.h>

#include <algorithm>
#include <vector>

#include "tests/support/oracle.h"
#include "vvar/page.h"
#include "vvar/scale.h"
#include "vvar/timebase.h"

namespace vvar {
namespace {

using support::EdgyRandom;
using support::Exact;
using support::FloorNs;
using support::Wide;

constexpr uint64_t kSec = 1'000'000'000;
constexpr uint32_t kWidths[] = {32, 40, 56, 63, 64};

uint64_t MaskOf(uint32_t bits) { return UINT64_MAX >> (64 - bits); }

// A line as a timekeeper makes them, of a counter of any speed.
Line RandomLine(EdgyRandom& random, uint32_t bits) {
  Line line = {};
  const Scale nominal = ScaleFromHz(1'000'000 + random.Below(9'999'000'000));
  line.cycle_start = random.Edgy() & MaskOf(bits);
  line.max_cycles = uint64_t{1} << (bits - 2);
  line.scale = {MultByPpb(nominal.mult, random.EdgySigned(26)), nominal.shift};
  line.realtime_mult = line.raw_mult = nominal.mult;
  for (Timebase& base : line.base) {
    base = {random.EdgySigned(33), random.Any() % (kSec << line.scale.shift)};
  }
  return line;
}

// T(line, start + delta) in ns << shift, for deltas of both signs.
Wide ExactOn(const Line& line, uint32_t index, int64_t delta) {
  return Exact(line.base[index], line.scale.shift) +
         Wide(delta) * Wide(line.ScaleOf(index).mult);
}

// A delta that a counter of `bits` bits can tell the sign of, and whose time
// is far from where 64-bit ns end.
int64_t RandomDelta(EdgyRandom& random, uint32_t bits) {
  return random.EdgySigned(std::min(bits - 1, 58u));
}

// Trap: T30, T32
TEST(ConversionTest, LineConvertsStampsOnBothSidesOfItsStart) {
  for (const uint32_t bits : kWidths) {
    EdgyRandom random(bits);
    for (int i = 0; i < 40'000; ++i) {
      const Line line = RandomLine(random, bits);
      const auto index = static_cast<uint32_t>(random.Below(VVAR_BASES));
      const int64_t delta = RandomDelta(random, bits);
      const uint64_t cycles =
          (line.cycle_start + static_cast<uint64_t>(delta)) & MaskOf(bits);
      ASSERT_EQ(NsOnLine(line, index, cycles, bits),
                FloorNs(ExactOn(line, index, delta), line.scale.shift))
          << delta << " cycles from the start, " << bits << " bits";
    }
  }
}

TEST(ConversionTest, CyclesUntilIsTheFirstThatShowsIt) {
  for (const uint32_t bits : kWidths) {
    EdgyRandom random(100 + bits);
    for (int i = 0; i < 40'000; ++i) {
      const Line line = RandomLine(random, bits);
      const auto index = static_cast<uint32_t>(random.Below(VVAR_BASES));
      const uint32_t shift = line.scale.shift;
      const uint64_t start_ns = FloorNs(ExactOn(line, index, 0), shift);
      const uint64_t ahead_ns = random.Edgy(55);
      const uint64_t deadline_ns = start_ns + ahead_ns;
      const uint64_t cycles = CyclesUntil(line, index, deadline_ns);
      // As lengths of time from the start's: free of the epoch's wrap.
      const auto shown_ns = [&](uint64_t delta) {
        return FloorNs(ExactOn(line, index, static_cast<int64_t>(delta)),
                       shift) -
               start_ns;
      };
      ASSERT_GE(shown_ns(cycles), ahead_ns) << "early";
      if (cycles != 0) {
        ASSERT_LT(shown_ns(cycles - 1), ahead_ns) << "late";
      } else {
        ASSERT_EQ(ahead_ns, 0u);
      }
    }
  }
}

TEST(ConversionTest, CyclesUntilThePastIsNone) {
  EdgyRandom random(1);
  for (int i = 0; i < 10'000; ++i) {
    const Line line = RandomLine(random, 64);
    const uint64_t start_ns = NsOnLine(line, 0, line.cycle_start, 64);
    EXPECT_EQ(CyclesUntil(line, 0, start_ns - random.Edgy(62)), 0u);
  }
}

TEST(ConversionTest, DurationSaturates) {
  EdgyRandom random(2);
  int saturated = 0;
  for (int i = 0; i < 100'000; ++i) {
    const Scale scale = ScaleFromHz(1 + random.Edgy(34) % kMaxHz);
    const uint64_t cycles = random.Edgy();
    const Wide exact = (Wide(cycles) * Wide(scale.mult)) >> scale.shift;
    const bool fits = exact <= Wide(UINT64_MAX);
    saturated += !fits;
    ASSERT_EQ(DurationNs(cycles, scale),
              fits ? static_cast<uint64_t>(exact) : UINT64_MAX);
  }
  EXPECT_GT(saturated, 1'000);
}

struct Chunk {
  uint64_t cycles[kChunk];
  uint64_t ns[kChunk];
  bool Convert(const Line& line, uint32_t index, uint64_t last_cycles,
               uint32_t bits) {
    const KnownLine known = {line, last_cycles, 0};
    return ConvertChunk(known, index, MaskOf(bits), cycles, ns);
  }
};

TEST(ConversionTest, ChunkEqualsOneByOne) {
  for (const uint32_t bits : kWidths) {
    EdgyRandom random(200 + bits);
    for (int i = 0; i < 3'000; ++i) {
      const Line line = RandomLine(random, bits);
      const auto index = static_cast<uint32_t>(random.Below(VVAR_BASES));
      const uint64_t last = random.Edgy(28);
      Chunk chunk;
      for (uint64_t& cycles : chunk.cycles) {
        const uint64_t delta = random.OneIn(4)
                                   ? last - random.Below(4) % (last + 1)
                                   : random.Below(last + 1);
        cycles = (line.cycle_start + delta) & MaskOf(bits);
      }
      ASSERT_TRUE(chunk.Convert(line, index, last, bits));
      for (size_t k = 0; k < kChunk; ++k) {
        ASSERT_EQ(chunk.ns[k], NsOnLine(line, index, chunk.cycles[k], bits));
      }
    }
  }
}

TEST(ConversionTest, ChunkRefusesEachStampOutside) {
  for (const uint32_t bits : kWidths) {
    EdgyRandom random(300 + bits);
    const uint64_t half = uint64_t{1} << (bits - 1);
    for (const uint64_t last :
         {uint64_t{0}, uint64_t{1}, uint64_t{1'000'000}, kShortCycles / 2,
          kShortCycles - 2, kShortCycles - 1}) {
      // Just outside on both sides, far outside, across every power of two.
      std::vector<uint64_t> outside = {last + 1, last + 2, half - 1,
                                       half,     half + 1, MaskOf(bits)};
      for (uint32_t bit = 0; bit < bits; ++bit) {
        const uint64_t power = uint64_t{1} << bit;
        outside.push_back(MaskOf(bits) - power + 1);
        if (power > last) outside.push_back(power);
        if (power + last > last)
          outside.push_back((power + last) & MaskOf(bits));
      }
      for (const uint64_t delta : outside) {
        if (delta <= last) continue;
        const Line line = RandomLine(random, bits);
        Chunk chunk;
        for (uint64_t& cycles : chunk.cycles) {
          cycles = (line.cycle_start + random.Below(last + 1)) & MaskOf(bits);
        }
        chunk.cycles[random.Below(kChunk)] =
            (line.cycle_start + delta) & MaskOf(bits);
        ASSERT_FALSE(chunk.Convert(line, 0, last, bits))
            << delta << " of " << last << ", " << bits << " bits";
      }
    }
  }
}

// Where the line is exact for longer than one product of 64 bits can tell.
TEST(ConversionTest, ChunkNeverConvertsWhatOverflows) {
  EdgyRandom random(4);
  int converted = 0;
  for (int i = 0; i < 3'000; ++i) {
    const Line line = RandomLine(random, 64);
    const uint64_t last = kShortCycles << random.Below(30);
    const uint64_t stamps_end = kShortCycles << random.Below(10);
    Chunk chunk;
    for (uint64_t& cycles : chunk.cycles) {
      cycles = line.cycle_start + random.Below(stamps_end);
    }
    if (!chunk.Convert(line, 0, last, 64)) continue;
    ++converted;
    for (size_t k = 0; k < kChunk; ++k) {
      ASSERT_EQ(chunk.ns[k], NsOnLine(line, 0, chunk.cycles[k], 64));
    }
  }
  EXPECT_GT(converted, 100) << "the short ones";
}

TEST(ConversionTest, HostileLinesAreDefined) {
  // UBSan watches.
  EdgyRandom random(3);
  uint64_t sum = 0;
  for (int i = 0; i < 100'000; ++i) {
    Line line = {};
    line.cycle_start = random.Edgy();
    line.scale = {static_cast<uint32_t>(random.Edgy(32)),
                  static_cast<uint32_t>(random.Edgy(32))};
    line.base[0] = {random.EdgySigned(), random.Edgy()};
    const uint32_t bits = 2 + static_cast<uint32_t>(random.Below(63));
    sum += NsOnLine(line, 0, random.Edgy(), bits);
    sum += CyclesUntil(line, 0, random.Edgy());
    sum += DurationNs(random.Edgy(), line.scale);
    Chunk chunk;
    for (uint64_t& cycles : chunk.cycles) cycles = random.Edgy();
    if (i % 64 == 0) sum += chunk.Convert(line, 0, random.Edgy(28), bits);
  }
  EXPECT_NE(sum, 0u);
}

// In constant expressions undefined behaviour does not compile.
static_assert(Magnitude(INT64_MIN) == uint64_t{1} << 63);
static_assert(NsBefore({0, 0}, {1, 1}, 1) == UINT64_MAX);
static_assert(NsBefore({0, 1}, {1, 1}, 1) == 0);
static_assert(NsBefore({INT64_MIN, UINT64_MAX}, {UINT32_MAX, 255},
                       UINT64_MAX) != 1);
static_assert(CyclesUntilNs(UINT64_MAX, {0, 0}, 0) == kCyclesLimit);
static_assert(CyclesUntilNs(UINT64_MAX, {1, UINT32_MAX}, UINT64_MAX) ==
              kCyclesLimit);
static_assert(CyclesUntilNs(1, {1, 0}, 0) == 1);

}  // namespace
}  // namespace vvar
