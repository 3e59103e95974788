// SPDX-License-Identifier: MIT
//
// Lines fitted through brackets: exact on exact ones, unbiased on noisy ones,
// indifferent to interrupted ones.
#include "hosted/calibration.h"

#include <gtest/gtest.h>
#include <stdint.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "tests/support/scripted_reference.h"
#include "vvar/page.h"

namespace vvar::hosted {
namespace {

using support::ScriptedMachine;
using support::ScriptedReference;

constexpr int64_t kUsualNs = 12'000'000;

// Brackets of a clock that shows origin + i * step exactly, `width` wide.
std::vector<Bracket> ExactBrackets(uint64_t origin, int n, uint64_t width) {
  std::vector<Bracket> brackets;
  for (int i = 0; i < n; ++i) {
    const uint64_t middle = origin + static_cast<uint64_t>(i) * 5000;
    brackets.push_back(
        {middle - width / 2, middle + width / 2, 1'000'000 + i * 2000});
  }
  return brackets;
}

TEST(FitLineTest, GoesThroughExactPoints) {
  for (const uint64_t origin :
       {uint64_t{1000}, uint64_t{1} << 63, UINT64_MAX - 20'000}) {
    for (const int n : {2, 3, 100}) {
      const FittedLine line = FitLine(ExactBrackets(origin, n, 100));
      EXPECT_NEAR(line.ns_per_cycle, 0.4, 1e-12) << origin << " " << n;
      // Half a ns more: the reference truncates.
      EXPECT_NEAR(line.NsAt(origin, 1'000'000), 0.5, 1e-6);
      EXPECT_NEAR(line.NsAt(origin + 50'000, 1'000'000), 20'000.5, 1e-6);
      EXPECT_NEAR(line.NsAt(origin - 5000, 1'000'000), -1999.5, 1e-6);
    }
  }
}

TEST(FitLineTest, LeavesOutWhatIsWiderThanUsual) {
  std::vector<Bracket> brackets = ExactBrackets(1000, 100, 100);
  for (size_t i = 0; i < brackets.size(); i += 3) {
    brackets[i].after += 1'000'000 + i;  // Interrupted after its instant.
  }
  const FittedLine line = FitLine(brackets);
  EXPECT_NEAR(line.ns_per_cycle, 0.4, 1e-9);
  EXPECT_NEAR(line.NsAt(1000, 1'000'000), 0.5, 1e-3);
}

TEST(FitLineTest, PointsAtOneCounterValueGiveNoSlope) {
  const std::vector<Bracket> brackets(5, Bracket{100, 200, 7});
  const FittedLine line = FitLine(brackets);
  EXPECT_EQ(line.ns_per_cycle, 0);
  EXPECT_NEAR(line.NsAt(150, 0), 7.5, 1e-9);
}

TEST(FitLineTest, MedianWidthIsThatOfTheUpperHalf) {
  struct Row {
    std::vector<uint64_t> widths;
    uint64_t median;
  };
  const Row kRows[] = {
      {{5}, 5}, {{5, 9}, 9}, {{9, 5, 7}, 7}, {{1, 1, 1, 1'000'000}, 1}};
  for (const Row& row : kRows) {
    std::vector<Bracket> brackets;
    for (const uint64_t width : row.widths) brackets.push_back({0, width, 0});
    EXPECT_EQ(MedianWidth(brackets), row.median);
  }
}

// How far a calibrated line is from the truth. Units: ns.
double ErrorNow(const ScriptedReference& reference, const FittedLine& line,
                ClockId clock) {
  const double fitted = line.NsAt(reference.Counter(), line.origin_ns);
  return fitted - static_cast<double>(reference.NsAfter(clock, line.origin_ns));
}

TEST(CalibrationTest, KnowsEachClock) {
  ScriptedReference reference({.frequency_ppb = -34'000});
  const Calibration lines = Calibrate(reference, kUsualNs);
  const struct {
    const char* name;
    ClockId clock;
    const FittedLine& line;
    long double ns_per_cycle;
  } kRows[] = {
      {"realtime", ClockId::kRealtime, lines.realtime,
       reference.MonotonicNsPerCycle()},
      {"monotonic", ClockId::kMonotonic, lines.monotonic,
       reference.MonotonicNsPerCycle()},
      {"monotonic_raw", ClockId::kMonotonicRaw, lines.monotonic_raw,
       reference.RawNsPerCycle()},
      {"boottime", ClockId::kBoottime, lines.boottime,
       reference.MonotonicNsPerCycle()},
  };
  for (const auto& row : kRows) {
    EXPECT_LT(std::abs(ErrorNow(reference, row.line, row.clock)), 3)
        << row.name;
    EXPECT_NEAR(row.line.ns_per_cycle / static_cast<double>(row.ns_per_cycle),
                1, 2e-7)
        << row.name;
  }
}

// Trap: T106
TEST(CalibrationTest, BracketMidpointIsUnbiased) {
  // The mean over many starts: whoever pairs a reading with the counter before
  // or after it is off by half a bracket, 24 ns or more here.
  for (const uint64_t half_read_cycles : {62u, 300u}) {
    double sum_ns = 0;
    constexpr int kStarts = 100;
    for (int i = 0; i < kStarts; ++i) {
      ScriptedMachine machine;
      machine.half_read_cycles = half_read_cycles;
      machine.seed = static_cast<uint64_t>(i) + 1;
      ScriptedReference reference(machine);
      const Calibration lines = Calibrate(reference, 2'000'000);
      sum_ns += ErrorNow(reference, lines.monotonic, ClockId::kMonotonic);
    }
    EXPECT_NEAR(sum_ns / kStarts, 0, 0.5) << half_read_cycles;
  }
}

// Trap: T61
TEST(CalibrationTest, OneSlowBracketDoesNotDemote) {
  for (const uint64_t cycles : {1'000u, 100'000u}) {
    ScriptedReference undisturbed;
    const uint64_t usual = Calibrate(undisturbed, kUsualNs).usual_width;
    ScriptedReference reference;
    // All tries of one bracket of each clock, right at the beginning.
    reference.Interrupt({.readings = 4 * 8 + 1, .cycles = cycles});
    const Calibration lines = Calibrate(reference, kUsualNs);
    EXPECT_LE(lines.usual_width, usual + 26) << cycles;
    EXPECT_LT(
        std::abs(ErrorNow(reference, lines.monotonic, ClockId::kMonotonic)), 3)
        << cycles;
  }
}

// A thread that loses its processor for longer than the calibration was to last
// has not measured anything meanwhile.
TEST(CalibrationTest, PreemptionDoesNotShortenTheMeasurement) {
  for (int reading = 1; reading <= 80; ++reading) {
    ScriptedReference reference;
    reference.Interrupt({.after_readings = reading - 1,
                         .readings = 1,
                         .cycles = 52'000'000});  // 20 ms
    const Calibration lines = Calibrate(reference, kUsualNs);
    ASSERT_NEAR(lines.monotonic_raw.ns_per_cycle /
                    static_cast<double>(reference.RawNsPerCycle()),
                1, 5e-6)
        << "interrupted at reading " << reading;
  }
}

TEST(CalibrationTest, EndsAfterItsDurationHoweverShort) {
  struct Row {
    const char* name;
    int64_t duration_ns;
  };
  for (const Row& row : {Row{"None", 0}, Row{"Microsecond", 1000},
                         Row{"Usual", kUsualNs}, Row{"Long", 100'000'000}}) {
    ScriptedReference reference;
    const int64_t start_ns = reference.Read(ClockId::kMonotonicRaw).ns;
    const Calibration lines = Calibrate(reference, row.duration_ns);
    const int64_t took_ns =
        reference.Read(ClockId::kMonotonicRaw).ns - start_ns;
    EXPECT_GE(took_ns, row.duration_ns) << row.name;
    EXPECT_LE(took_ns, row.duration_ns + 1'000'000) << row.name;
    EXPECT_GT(lines.monotonic_raw.ns_per_cycle, 0) << row.name;
  }
}

}  // namespace
}  // namespace vvar::hosted
