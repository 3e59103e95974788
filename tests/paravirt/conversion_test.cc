// SPDX-License-Identifier: MIT
#include "paravirt/conversion.h"

#include <gtest/gtest.h>
#include <stdint.h>
#include <stdlib.h>

#include <initializer_list>
#include <string>

#include "paravirt/vmclock_line.h"
#include "tests/paravirt/foreign_pages.h"
#include "tests/support/oracle.h"
#include "tests/support/test_page.h"

namespace vvar {
namespace {

using support::EdgyRandom;
using support::Hex;
using support::ManualCounter;
using support::Tsc;
using support::UnsignedWide;
using support::UpperHalf;
using support::Wide;

// Records, each a line of every one of four formats.
int Records() { return getenv("VVAR_THOROUGH") != nullptr ? 250'000 : 5'000; }
constexpr uint64_t kGiga = 1'000'000'000;

// What a conversion gives.
template <class Line>
struct Converted {
  Line line = {};
  LineError error = {};
  bool fits = false;
};
template <class From>
Converted<FracLine> ToFrac(const From& from, uint64_t at) {
  Converted<FracLine> to;
  to.fits = vvar::ToFrac(from, at, &to.line, &to.error);
  return to;
}
template <class From>
Converted<ClockLine> ToClockLine(const From& from, uint64_t at) {
  Converted<ClockLine> to;
  to.fits = vvar::ToClockLine(from, at, &to.line, &to.error);
  return to;
}
template <class From>
Converted<PvclockLine> ToPvclock(const From& from, uint64_t at, uint8_t flags) {
  Converted<PvclockLine> to;
  to.fits = vvar::ToPvclock(from, at, flags, &to.line, &to.error);
  return to;
}
template <class From>
Converted<HypervTscLine> ToHyperv(const From& from, uint64_t at) {
  Converted<HypervTscLine> to;
  to.fits = vvar::ToHyperv(from, at, &to.line, &to.error);
  return to;
}

// Times in units of 2^-64 s, each by its format's formula in wide integers.
Wide FracOfSec(int64_t count, uint64_t hz) {
  // floor(count * 2^64 / hz), in two steps that fit 128 bits.
  const auto sec = count >= 0 ? count / static_cast<int64_t>(hz)
                              : -((-count - 1) / static_cast<int64_t>(hz)) - 1;
  const auto rest =
      static_cast<uint64_t>(count - sec * static_cast<int64_t>(hz));
  return (Wide(sec) << 64) + Wide((UnsignedWide(rest) << 64) / hz);
}
Wide At(const PvclockLine& line, uint64_t tsc) {
  const uint64_t delta = tsc - line.tsc_timestamp;
  const UnsignedWide shifted = line.rate.shift < 0
                                   ? UnsignedWide(delta >> -line.rate.shift)
                                   : UnsignedWide(delta) << line.rate.shift;
  const auto run = static_cast<uint64_t>((shifted * line.rate.mul) >> 32);
  return FracOfSec(static_cast<int64_t>(line.system_time_ns + run), kGiga);
}
Wide At(const HypervTscLine& line, uint64_t tsc) {
  return FracOfSec(
      static_cast<int64_t>(UpperHalf(tsc, line.scale) + line.offset),
      10'000'000);
}
Wide At(const FracLine& line, uint64_t cycles) {
  const UnsignedWide run =
      (UnsignedWide(cycles - line.counter_value) * line.period.frac_sec) >>
      line.period.shift;
  return (Wide(static_cast<int64_t>(line.time.sec)) << 64) +
         Wide(line.time.frac_sec) + Wide(run);
}
Wide At(const ClockLine& line, uint64_t cycles) {
  const UnsignedWide run =
      (UnsignedWide(cycles - line.cycle_start) * line.scale.mult +
       line.base.nsec_shifted) >>
      line.scale.shift;
  return (Wide(line.base.sec) << 64) +
         FracOfSec(static_cast<int64_t>(run), kGiga);
}

// Whether two lines agree at `cycles` within `error`, `age_ns` after `at`.
template <class A, class B>
testing::AssertionResult Agree(const A& a, const B& b, uint64_t cycles,
                               LineError error, uint64_t age_ns) {
  const Wide difference = support::Magnitude(At(a, cycles) - At(b, cycles));
  const Wide allowed =
      Wide(error.NsAfter(age_ns)) * Wide(UINT64_MAX / kGiga + 1);
  if (difference <= allowed) return testing::AssertionSuccess();
  return testing::AssertionFailure()
         << "differ by " << Hex(difference) << ", may by " << Hex(allowed);
}

// A line of any counter, where to begin anew, and a place after that.
struct Record {
  explicit Record(EdgyRandom& random)
      : hz(random.OneIn(2)
               ? 10'000'001 + random.Below(16'000'000'000 - 10'000'001)
               : 10'000'001 + random.Edgy(33)),
        start(random.Edgy(62)),
        at(start + random.Edgy(50)),
        cycles(at + random.Edgy(54)),
        ns(random.EdgySigned(60)) {
    if (hz > kMaxHz) hz = kMaxHz;
  }
  uint64_t hz;
  uint64_t start;
  uint64_t at;
  uint64_t cycles;
  int64_t ns;

  uint64_t AgeNs() const {
    return static_cast<uint64_t>(UnsignedWide(cycles - at) * kGiga / hz) + 1;
  }
  PvclockLine Pvclock() const {
    return {start, static_cast<uint64_t>(ns), PvclockRateFromHz(hz),
            kPvclockTscStable};
  }
  HypervTscLine Hyperv() const {
    uint64_t scale = 0;
    EXPECT_TRUE(HypervScaleFromHz(hz, &scale));
    return HypervLineThrough(scale, start, static_cast<uint64_t>(ns / 100));
  }
  FracLine Frac() const {
    const Timespec time = NsToTimespec(ns);
    return {start,
            {static_cast<uint64_t>(time.sec), uint64_t{time.nsec} << 34 | 5},
            FracPeriodFromHz(hz)};
  }
  ClockLine Clock() const {
    const Scale scale = ScaleFromHz(hz);
    const Timespec time = NsToTimespec(ns);
    return {start,
            scale,
            {time.sec,
             uint64_t{time.nsec} << scale.shift | (scale.shift == 0 ? 0 : 1)}};
  }
};

// To each format, and back to a line of the first one's kind.
template <class From>
void CheckRoundTrips(const From& from, const Record& record) {
  const uint64_t at = record.at;
  const uint64_t age_ns = record.AgeNs();
  const auto frac = ToFrac(from, at);
  const auto clock = ToClockLine(from, at);
  const auto pvclock = ToPvclock(from, at, kPvclockTscStable);
  const auto hyperv = ToHyperv(from, at);
  ASSERT_TRUE(frac.fits && clock.fits && pvclock.fits);
  ASSERT_TRUE(Agree(from, frac.line, record.cycles, frac.error, age_ns));
  ASSERT_TRUE(Agree(from, clock.line, record.cycles, clock.error, age_ns));
  ASSERT_TRUE(Agree(from, pvclock.line, record.cycles, pvclock.error, age_ns));
  // Within a scale's step of 10 MHz it may be refused.
  ASSERT_TRUE(hyperv.fits || record.hz < 10'000'001 + 10);
  if (hyperv.fits) {
    ASSERT_TRUE(Agree(from, hyperv.line, record.cycles, hyperv.error, age_ns));
  }
  // And back, or on: within the sum of the two.
  const auto there = ToFrac(pvclock.line, at);
  ASSERT_TRUE(there.fits);
  ASSERT_TRUE(Agree(from, there.line, record.cycles,
                    AddErrors(pvclock.error, there.error), age_ns));
  const auto back = ToClockLine(frac.line, at);
  ASSERT_TRUE(back.fits);
  ASSERT_TRUE(Agree(from, back.line, record.cycles,
                    AddErrors(frac.error, back.error), age_ns));
  if (!hyperv.fits) return;
  const auto on = ToPvclock(hyperv.line, at, 0);
  ASSERT_TRUE(on.fits);
  ASSERT_TRUE(Agree(from, on.line, record.cycles,
                    AddErrors(hyperv.error, on.error), age_ns));
}

TEST(ConversionTest, RoundTripsStayWithinTheSumOfTheirErrors) {
  EdgyRandom random(41);
  for (int i = 0; i < Records(); ++i) {
    const Record record(random);
    SCOPED_TRACE(testing::Message()
                 << "record " << i << " hz " << record.hz << " start "
                 << record.start << " at " << record.at << " cycles "
                 << record.cycles << " ns " << record.ns);
    CheckRoundTrips(record.Pvclock(), record);
    CheckRoundTrips(record.Hyperv(), record);
    CheckRoundTrips(record.Frac(), record);
    CheckRoundTrips(record.Clock(), record);
    if (HasFatalFailure()) return;
  }
}

TEST(ConversionTest, WholeUnitsAndRatesComeBackAsTheyWere) {
  EdgyRandom random(42);
  for (int i = 0; i < 20'000; ++i) {
    const Record record(random);
    const PvclockLine pvclock = record.Pvclock();
    const auto wide = ToFrac(pvclock, pvclock.tsc_timestamp);
    const auto back =
        ToPvclock(wide.line, pvclock.tsc_timestamp, pvclock.flags);
    ASSERT_EQ(back.line.rate.mul, pvclock.rate.mul);
    ASSERT_EQ(back.line.rate.shift, pvclock.rate.shift);
    ASSERT_EQ(back.line.system_time_ns, pvclock.system_time_ns);
    const ClockLine clock = record.Clock();
    const auto clock_back = ToClockLine(clock, clock.cycle_start);
    ASSERT_TRUE(clock_back.fits);
    ASSERT_EQ(clock_back.line.scale.mult, clock.scale.mult);
    ASSERT_EQ(clock_back.line.base, clock.base);
  }
}

struct VectorRow {
  const char* name;
  uint64_t hz;
  PvclockRate rate;
  uint64_t exact_scale;  // 0: does not fit.
  uint64_t scale_by_pvclock;
  FracPeriod period;
};
constexpr VectorRow kVectors[] = {
    {"2.596152 GHz",
     2'596'152'000,
     {3308717899, -1},
     0x00fc6f657f400c5e,
     0x00fc6f657eb851eb,
     {0xd3c208b86b2058da, 31}},
    {"3 GHz",
     3'000'000'000,
     {2863311530, -1},
     0x00da740da740da74,
     0x00da740da6666666,
     {0xb7407f019e46321e, 31}},
    {"2.4 GHz",
     2'400'000'000,
     {3579139413, -1},
     0x0111111111111111,
     0x0111111110a3d70a,
     {0xe5109ec205d7bea6, 31}},
    {"1 GHz",
     1'000'000'000,
     {2147483648, 1},
     0x028f5c28f5c28f5c,
     0x028f5c28f5c28f5c,
     {0x89705f4136b4a597, 29}},
    {"24 MHz",
     24'000'000,
     {2796202666, 6},
     0x6aaaaaaaaaaaaaaa,
     0x6aaaaaaa3d70a3d7,
     {0xb2f4fc0794908cf2, 24}},
    {"10 MHz", 10'000'000, {3355443200, 7}, 0, 0, {0xd6bf94d5e57a42bc, 23}},
};

TEST(ConversionTest, ALineThatHasNotBegunIsExtendedBack) {
  EdgyRandom random(7);
  for (int i = 0; i < 1'000; ++i) {
    const Record record(random);
    ClockLine line;
    LineError error;
    ASSERT_TRUE(ToClockLine(
        PvclockLine{record.start, static_cast<uint64_t>(record.ns),
                    PvclockRateFromHz(record.hz), kPvclockTscStable},
        record.start, &line, &error));
    const uint64_t lead = random.Edgy(24);
    FracLine told;
    ASSERT_TRUE(ToFrac(line, record.start - lead, &told, &error));
    EXPECT_EQ(told.counter_value, record.start - lead);
    const uint64_t run = random.Edgy(40);
    const uint64_t age_ns = CyclesToNs(lead + run, line.scale, 0);
    EXPECT_TRUE(Agree(line, told, record.start + run, error, age_ns));
  }
}

TEST(ConversionTest, RatesAreThoseOfTheTable) {
  for (const VectorRow& row : kVectors) {
    SCOPED_TRACE(row.name);
    EXPECT_EQ(PvclockRateFromHz(row.hz), row.rate);
    EXPECT_EQ(FracPeriodFromHz(row.hz), row.period);
    uint64_t scale = 0;
    EXPECT_EQ(HypervScaleFromHz(row.hz, &scale), row.exact_scale != 0);
    EXPECT_EQ(scale, row.exact_scale);
    const PvclockLine pvclock = {0, 0, row.rate, kPvclockTscStable};
    const auto by_pvclock = ToHyperv(pvclock, 0);
    EXPECT_EQ(by_pvclock.fits, row.scale_by_pvclock != 0);
    EXPECT_EQ(by_pvclock.line.scale, row.scale_by_pvclock);
    const auto by_period = ToHyperv(FracLine{0, {0, 0}, row.period}, 0);
    EXPECT_EQ(by_period.fits, row.exact_scale != 0);
    EXPECT_EQ(by_period.line.scale, row.exact_scale);
  }
}

TEST(ConversionTest, RefusesWhatDoesNotFit) {
  // Not marked stable: Hyper-V's page is for all CPUs.
  PvclockLine pvclock = {0, 0, {3308717899, -1}, 0};
  EXPECT_FALSE(ToHyperv(pvclock, 0).fits);
  pvclock.flags = kPvclockTscStable;
  EXPECT_TRUE(ToHyperv(pvclock, 0).fits);
  // The last that fits of this shift, and the first that does not.
  pvclock.rate = {static_cast<uint32_t>((uint64_t{100} << 25) - 1), 7};
  EXPECT_TRUE(ToHyperv(pvclock, 0).fits);
  pvclock.rate = {static_cast<uint32_t>(uint64_t{100} << 25), 7};
  EXPECT_FALSE(ToHyperv(pvclock, 0).fits);
  pvclock.rate.mul += 1;
  EXPECT_FALSE(ToHyperv(pvclock, 0).fits);
  pvclock.rate.mul = 0;
  EXPECT_FALSE(ToFrac(pvclock, 0).fits);
  EXPECT_FALSE(ToFrac(HypervTscLine{0, 0}, 0).fits);
  EXPECT_FALSE(ToFrac(ClockLine{0, {0, 30}, {0, 0}}, 0).fits);
  EXPECT_FALSE(ToFrac(ClockLine{0, {1, kMaxShift + 1}, {0, 0}}, 0).fits);
  // Too fast, and too slow, for a mult of vvar.
  EXPECT_FALSE(
      ToClockLine(FracLine{0, {}, FracPeriodFromHz(1ull << 40)}, 0).fits);
  EXPECT_FALSE(ToPvclock(FracLine{0, {}, {UINT64_MAX, 63}}, 0, 0).fits);
}

// Trap: T39
TEST(HypervTscTest, NegativeOffsetIsDividedSigned) {
  for (const int64_t ns : std::initializer_list<int64_t>{
           -1, -99, -100, -101, -5'000'000'000, 0, 99, 100}) {
    const PvclockLine pvclock = {4'000, static_cast<uint64_t>(ns),
                                 PvclockRateFromHz(1'000'000'000),
                                 kPvclockTscStable};
    const auto hyperv = ToHyperv(pvclock, 4'000);
    ASSERT_TRUE(hyperv.fits);
    const int64_t floor = ns >= 0 ? ns / 100 : -((-ns + 99) / 100);
    EXPECT_EQ(static_cast<int64_t>(hyperv.line.TicksAt(4'000)), floor) << ns;
    const auto by_period = ToHyperv(ToFrac(pvclock, 4'000).line, 4'000);
    EXPECT_EQ(by_period.line.TicksAt(4'000), hyperv.line.TicksAt(4'000)) << ns;
  }
}

// Trap: T41
TEST(ParavirtTest, ConversionNeverMovesTimeBack) {
  // One source, steered as a host's is, shown in each format in turn: what is
  // published next is never before what could still be read of the last.
  EdgyRandom random(4066);
  for (int run = 0; run < 200; ++run) {
    support::PvclockPage<PageMemory> pvclock_page;
    pvclock_vcpu_time_info* const all[] = {&pvclock_page.page};
    PvclockWriter<> pvclock_writer(all, 1);
    support::HypervPage<PageMemory> hyperv;
    support::VmclockPage<PageMemory> vmclock;
    ManualCounter counter;
    const Tsc clock(&counter);
    uint64_t hz = 1'000'000'000 + random.Below(3'000'000'000);
    counter.value = random.Edgy(48);
    FracLine source = {
        counter.value, {1'700'000'000, random.Any()}, FracPeriodFromHz(hz)};
    PvclockLine last_pvclock = ToPvclock(source, counter.value, 1).line;
    HypervTscLine last_hyperv = ToHyperv(source, counter.value).line;
    VmclockLine last_vmclock = {};
    last_vmclock.line = source;
    uint64_t pvclock_ns = 0;
    uint64_t ticks = 0;
    FracTime time = {0, 0};
    for (int i = 0; i < 100; ++i) {
      // Before the update, at its last moment, and after.
      counter.value += random.Edgy(36);
      const uint64_t now = counter.value;
      ASSERT_GE(last_pvclock.NsAt(now), pvclock_ns);
      ASSERT_GE(last_hyperv.TicksAt(now), ticks);
      const uint64_t was_pvclock_ns = last_pvclock.NsAt(now);
      const uint64_t was_ticks = last_hyperv.TicksAt(now);
      const FracTime was_time = last_vmclock.line.At(now);
      ASSERT_FALSE(
          IsLess({was_time.sec, was_time.frac_sec}, {time.sec, time.frac_sec}));
      // The host's own line goes on, at another rate: or back a little.
      hz += random.Below(200'000) - 100'000;
      source = {now, source.At(now), FracPeriodFromHz(hz)};
      source.time.frac_sec ^= random.OneIn(4) ? random.Edgy(40) : 0;
      const auto next_pvclock = ToPvclock(source, now, kPvclockTscStable);
      const auto next_hyperv = ToHyperv(source, now);
      ASSERT_TRUE(next_pvclock.fits && next_hyperv.fits);
      VmclockLine next_vmclock = {};
      next_vmclock.line = source;
      last_pvclock =
          pvclock_writer.PublishAfter(last_pvclock, next_pvclock.line, clock);
      last_hyperv =
          hyperv.writer.PublishAfter(last_hyperv, next_hyperv.line, clock);
      vmclock.writer.PublishAfter(last_vmclock, &next_vmclock, clock);
      last_vmclock = next_vmclock;
      ASSERT_EQ(last_vmclock.flags, kVmclockTimeMonotonic);
      pvclock_ns = last_pvclock.NsAt(now);
      ticks = last_hyperv.TicksAt(now);
      time = last_vmclock.line.At(now);
      ASSERT_GE(pvclock_ns, was_pvclock_ns);
      ASSERT_GE(ticks, was_ticks);
      ASSERT_FALSE(
          IsLess({time.sec, time.frac_sec}, {was_time.sec, was_time.frac_sec}));
      // What the page shows is what was returned.
      ASSERT_EQ(hyperv.page.tsc_offset, last_hyperv.offset);
      ASSERT_EQ(pvclock_page.page.system_time, last_pvclock.system_time_ns);
      ASSERT_EQ(vmclock.page.time_frac_sec, last_vmclock.line.time.frac_sec);
    }
  }
}

TEST(ConversionTest, SaysWhenTheErrorHasGrownToAUnit) {
  // 0.24 ppb: another ns after some 4 s.
  const LineError error = {3, uint64_t{1} << 32};
  EXPECT_EQ(error.AgeNsUntil(4), 0u);
  const uint64_t age_ns = error.AgeNsUntil(6);
  EXPECT_EQ(age_ns, uint64_t{2} << 32);
  EXPECT_LE(error.NsAfter(age_ns), 6u);
  EXPECT_GT(error.NsAfter(age_ns + (uint64_t{1} << 32)), 6u);
  EXPECT_EQ(error.GrowthPpb(), 1u);
  EXPECT_EQ((LineError{0, 0}.AgeNsUntil(100)), UINT64_MAX);
  EXPECT_EQ((LineError{UINT64_MAX, UINT64_MAX}.NsAfter(UINT64_MAX)),
            UINT64_MAX);
}

TEST(VmclockTest, ALineOfVvarIsToldWithItsError) {
  support::TestPage<> test;
  test.timekeeper.SetStatus(ClockStatus::kSynchronised);
  test.timekeeper.SetErrorBound(5'000, 50'000);
  test.Update();
  const Line& line = test.line();
  const uint64_t at = line.cycle_start + 4'000'000'000;
  VmclockLine told;
  ASSERT_TRUE(ToVmclock(line, at, &told));
  EXPECT_EQ(told.time_type, VmclockTimeType::kTai);
  EXPECT_EQ(told.tai_offset_sec, line.tai_offset_sec);
  EXPECT_EQ(told.clock_status, VmclockClockStatus::kSynchronised);
  for (const uint64_t cycles : {at, at + 1'000'000, at + 3'600'000'000'000}) {
    const Wide exact = support::FloorNs(
        support::ExactAt(line, VVAR_BASE_TAI, cycles, 64), line.scale.shift);
    const Timespec now = FracToTimespec(told.line.At(cycles));
    const Wide error = support::Magnitude(Wide(TimespecToNs(now)) - exact);
    EXPECT_LE(error, Wide(2));
    // The bound covers the line's own: a microsecond and 50 ppm on.
    const uint64_t age_ns = cycles - line.cycle_start;
    const uint64_t bound_ns = told.MaxErrorNsAt(cycles);
    EXPECT_GE(bound_ns, line.error_ns + age_ns / 20'000);
    EXPECT_LE(bound_ns, line.error_ns + age_ns / 18'000 + 100);
    const LineError back = BoundOf(told, cycles);
    EXPECT_EQ(back.error_ns, bound_ns);
    EXPECT_GE(back.GrowthPpb(), 50'000u);
    EXPECT_LE(back.GrowthPpb(), 50'004u);
  }
  test.timekeeper.SetStatus(ClockStatus::kUnsynchronised);
  test.Update();
  ASSERT_TRUE(ToVmclock(test.line(), test.line().cycle_start, &told));
  EXPECT_EQ(told.MaxErrorNsAt(at), UINT64_MAX);
  EXPECT_EQ(BoundOf(told, at).error_ns, UINT64_MAX);
}

}  // namespace
}  // namespace vvar
