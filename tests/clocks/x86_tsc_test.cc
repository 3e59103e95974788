// SPDX-License-Identifier: MIT
//
// The time stamp counter: what CPUID says of it, by scripted tables, and the
// live counter where there is one.
#include "clocks/x86_tsc.h"

#include <gtest/gtest.h>
#include <sched.h>
#include <stdint.h>

#include <algorithm>
#include <iterator>
#include <map>
#include <utility>
#include <vector>

#include "tests/support/manual_clock.h"
#include "tests/support/test_page.h"

namespace vvar {
namespace {

using support::kClockRows;
using support::kTestConfig;
using support::ManualClock;

// CPUID as a table of leaves. A leaf that a CPU does not have gives what Intel
// gives: not zeros, but the highest basic leaf's numbers.
using CpuidTable = std::map<uint32_t, CpuidLeaf>;

struct ScriptedCpuid {
  const CpuidTable& table;
  mutable std::vector<uint32_t> asked;

  CpuidLeaf operator()(uint32_t leaf, uint32_t /*subleaf*/) {
    asked.push_back(leaf);
    const auto found = table.find(leaf);
    if (found != table.end()) return found->second;
    return {0xdeadbeef, 0xdeadbeef, 0xdeadbeef, 0xffffffff};
  }
};

X86TscInfo InfoOf(const CpuidTable& table) {
  ScriptedCpuid cpuid{table, {}};
  return X86TscInfo::Query(
      [&](uint32_t leaf, uint32_t subleaf) { return cpuid(leaf, subleaf); });
}

constexpr uint32_t kTscBit = 1u << 4;
constexpr uint32_t kHypervisorBit = 1u << 31;
constexpr uint32_t kRdtscpBit = 1u << 27;
constexpr uint32_t kInvariantBit = 1u << 8;

CpuidTable BareMetal(uint32_t max_basic) {
  return {
      {0x0, {max_basic, 0, 0, 0}},
      {0x1, {0, 0, 0, kTscBit}},
      {0x8000'0000, {0x8000'0008, 0, 0, 0}},
      {0x8000'0001, {0, 0, 0, kRdtscpBit}},
      {0x8000'0007, {0, 0, 0, kInvariantBit}},
  };
}

// Trap: T51
TEST(X86TscTest, ChoosesRdtscpOrFencePerCpuid) {
  const struct {
    const char* name;
    uint32_t max_extended;
    uint32_t extended_edx;
    uint32_t power_edx;
    bool has_rdtscp;
    bool invariant;
  } kRows[] = {
      {"both", 0x8000'0008, kRdtscpBit, kInvariantBit, true, true},
      {"no RDTSCP", 0x8000'0008, ~kRdtscpBit, kInvariantBit, false, true},
      {"not invariant", 0x8000'0008, kRdtscpBit, ~kInvariantBit, true, false},
      {"neither", 0x8000'0008, 0, 0, false, false},
      {"no power leaf", 0x8000'0006, kRdtscpBit, kInvariantBit, true, false},
      {"just the power leaf", 0x8000'0007, kRdtscpBit, kInvariantBit, true,
       true},
      {"just the feature leaf", 0x8000'0001, kRdtscpBit, 0, true, false},
      {"no extended leaves", 0x8000'0000, kRdtscpBit, kInvariantBit, false,
       false},
      {"an old CPU without them", 0, kRdtscpBit, kInvariantBit, false, false},
  };
  for (const auto& row : kRows) {
    CpuidTable table = BareMetal(0x16);
    table[0x8000'0000].eax = row.max_extended;
    table[0x8000'0001].edx = row.extended_edx;
    table[0x8000'0007].edx = row.power_edx;
    const X86TscInfo info = InfoOf(table);
    EXPECT_EQ(info.has_rdtscp, row.has_rdtscp) << row.name;
    EXPECT_EQ(info.invariant, row.invariant) << row.name;
    EXPECT_EQ(info.Counter().has_rdtscp(), row.has_rdtscp) << row.name;
  }
  EXPECT_FALSE(X86Tsc().has_rdtscp()) << "what is right on every CPU";
  EXPECT_TRUE(X86Tsc::WithRdtscp().has_rdtscp());
}

TEST(X86TscTest, SaysWhetherThereIsACounter) {
  CpuidTable table = BareMetal(0x16);
  EXPECT_TRUE(InfoOf(table).has_tsc);
  EXPECT_FALSE(InfoOf(table).hypervisor);
  table[1] = {0, 0, kHypervisorBit, ~kTscBit};
  EXPECT_FALSE(InfoOf(table).has_tsc);
  EXPECT_TRUE(InfoOf(table).hypervisor);
}

TEST(X86TscTest, FrequencyComesFromTheBestLeafThatIsThere) {
  const struct {
    const char* name;
    uint32_t max_basic;
    CpuidLeaf ratio;    // 15h: denominator, numerator, crystal Hz.
    CpuidLeaf nominal;  // 16h: MHz.
    bool hypervisor;
    uint32_t max_hypervisor;
    uint32_t hypervisor_khz;
    uint64_t hz;
    HzSource source;
  } kRows[] = {
      {"no leaves",
       0xd,
       {2, 188, 24'000'000, 0},
       {2600, 0, 0, 0},
       false,
       0,
       0,
       0,
       HzSource::kUnknown},
      {"crystal",
       0x16,
       {2, 188, 24'000'000, 0},
       {2600, 0, 0, 0},
       false,
       0,
       0,
       2'256'000'000,
       HzSource::kCpuidCrystal},
      {"crystal, no leaf 16h",
       0x15,
       {3, 250, 38'400'000, 0},
       {9, 0, 0, 0},
       false,
       0,
       0,
       3'200'000'000,
       HzSource::kCpuidCrystal},
      {"a product beyond 32 bits",
       0x15,
       {1, 4'000'000'000, 4, 0},
       {},
       false,
       0,
       0,
       16'000'000'000,
       HzSource::kCpuidCrystal},
      {"no crystal Hz",
       0x16,
       {2, 188, 0, 0},
       {2600, 3500, 100, 0},
       false,
       0,
       0,
       2'600'000'000,
       HzSource::kCpuidBase},
      {"no denominator",
       0x16,
       {0, 188, 24'000'000, 0},
       {2600, 0, 0, 0},
       false,
       0,
       0,
       2'600'000'000,
       HzSource::kCpuidBase},
      {"no numerator",
       0x16,
       {2, 0, 24'000'000, 0},
       {2600, 0, 0, 0},
       false,
       0,
       0,
       2'600'000'000,
       HzSource::kCpuidBase},
      {"no crystal Hz, no leaf 16h",
       0x15,
       {2, 188, 0, 0},
       {2600, 0, 0, 0},
       false,
       0,
       0,
       0,
       HzSource::kUnknown},
      {"leaf 16h empty",
       0x16,
       {2, 188, 0, 0},
       {0, 3500, 100, 0},
       false,
       0,
       0,
       0,
       HzSource::kUnknown},
      {"reserved bits of leaf 16h",
       0x16,
       {},
       {0xffff'0000 + 2600, 0, 0, 0},
       false,
       0,
       0,
       2'600'000'000,
       HzSource::kCpuidBase},
      {"hypervisor knows better",
       0x16,
       {2, 188, 24'000'000, 0},
       {2600, 0, 0, 0},
       true,
       0x4000'0010,
       2'599'998,
       2'599'998'000,
       HzSource::kHypervisorLeaf},
      {"hypervisor with more leaves",
       0xd,
       {},
       {},
       true,
       0x4000'00ff,
       2'000'000,
       2'000'000'000,
       HzSource::kHypervisorLeaf},
      {"hypervisor without the leaf",
       0x16,
       {2, 188, 24'000'000, 0},
       {},
       true,
       0x4000'0001,
       2'599'998,
       2'256'000'000,
       HzSource::kCpuidCrystal},
      {"hypervisor leaf empty",
       0x16,
       {2, 188, 24'000'000, 0},
       {},
       true,
       0x4000'0010,
       0,
       2'256'000'000,
       HzSource::kCpuidCrystal},
      {"hypervisor leaves are rubbish",
       0x16,
       {2, 188, 24'000'000, 0},
       {},
       true,
       0xdead'beef,
       2'599'998,
       2'256'000'000,
       HzSource::kCpuidCrystal},
      {"hypervisor, and nothing at all",
       0xd,
       {},
       {},
       true,
       0x4000'0001,
       0,
       0,
       HzSource::kUnknown},
      {"leaf without a hypervisor",
       0xd,
       {},
       {},
       false,
       0x4000'0010,
       2'599'998,
       0,
       HzSource::kUnknown},
      {"kHz of a fast machine",
       0xd,
       {},
       {},
       true,
       0x4000'0010,
       4'294'967'295,
       4'294'967'295'000,
       HzSource::kHypervisorLeaf},
  };
  for (const auto& row : kRows) {
    CpuidTable table = BareMetal(row.max_basic);
    table[0x15] = row.ratio;
    table[0x16] = row.nominal;
    if (row.hypervisor) table[1].ecx = kHypervisorBit;
    table[0x4000'0000] = {row.max_hypervisor, 0, 0, 0};
    table[0x4000'0010] = {row.hypervisor_khz, 0, 0, 0};
    const X86TscInfo info = InfoOf(table);
    EXPECT_EQ(info.hz, row.hz) << row.name;
    EXPECT_EQ(static_cast<int>(info.hz_source), static_cast<int>(row.source))
        << row.name;
  }
}

TEST(X86TscTest, AsksForNoLeafThatIsNotThere) {
  // Its numbers would be another leaf's.
  for (const uint32_t max_basic : {0x1u, 0xdu, 0x14u, 0x15u, 0x16u, 0x20u}) {
    CpuidTable table = BareMetal(max_basic);
    table[0x15] = {};
    table[0x16] = {};
    table[0x8000'0000].eax = 0x8000'0004;
    ScriptedCpuid cpuid{table, {}};
    (void)X86TscInfo::Query(
        [&](uint32_t leaf, uint32_t subleaf) { return cpuid(leaf, subleaf); });
    for (const uint32_t leaf : cpuid.asked) {
      EXPECT_TRUE(leaf <= max_basic ||
                  (leaf >= 0x8000'0000 && leaf <= 0x8000'0004))
          << std::hex << leaf << " of " << max_basic;
    }
  }
}

// Trap: T33
TEST(X86TscTest, HighBitIsAValue) {
  // A hypervisor's offset may set it; all 64 bits count.
  EXPECT_EQ(X86Tsc::kCounterBits, 64u);
  using Clock = ManualClock<64, VVAR_COUNTER_X86_TSC>;
  for (const uint64_t start :
       {uint64_t{0}, uint64_t{1} << 31, (uint64_t{1} << 63) - 1,
        uint64_t{1} << 63, UINT64_MAX}) {
    TimekeeperConfig config = kTestConfig;
    config.counter_id = VVAR_COUNTER_X86_TSC;
    support::ManualCounter counter;
    counter.value = start;
    vvar_page page = {};
    Writer<Clock> writer(&page.timeline[0], Clock(&counter));
    const Reader<Clock> reader(&page.timeline[0], Clock(&counter));
    Timekeeper timekeeper(config);
    timekeeper.Start(start, support::kTestTimes);
    writer.PublishLine(timekeeper.line());
    for (int i = 0; i < 10; ++i) {
      const NsReading reading = reader.Now(ClockId::kMonotonic);
      ASSERT_TRUE(reading.ok()) << start;
      EXPECT_EQ(reading.ns,
                support::ExpectedNs(timekeeper.line(), kClockRows[1],
                                    counter.value, 64));
      counter.value += 1'000'000;
      EXPECT_EQ(writer.Publish(timekeeper), PublishStatus::kPublished);
      counter.value = timekeeper.line().cycle_start;
    }
  }
}

// Keeps this thread on one CPU while it lives.
class Pinned {
 public:
  Pinned() {
    sched_getaffinity(0, sizeof before_, &before_);
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(sched_getcpu(), &one);
    sched_setaffinity(0, sizeof one, &one);
  }
  ~Pinned() { sched_setaffinity(0, sizeof before_, &before_); }

 private:
  cpu_set_t before_;
};

TEST(X86TscTest, LiveCounterNeverGoesBackOnOneCpu) {
  const X86TscInfo info = X86TscInfo::Query();
  ASSERT_TRUE(info.has_tsc);
  const Pinned pinned;
  std::vector<std::pair<const char*, X86Tsc>> counters = {
      {"lfence; rdtsc", X86Tsc()}};
  if (info.has_rdtscp) counters.emplace_back("rdtscp", X86Tsc::WithRdtscp());
  for (const auto& [name, counter] : counters) {
    uint64_t last = counter.Read();
    for (int i = 0; i < 300'000; ++i) {
      // Each kind of read after each other kind.
      const uint64_t reads[] = {counter.Read(static_cast<uint32_t>(i)),
                                counter.ReadBeforeStores(),
                                counter.ReadAfterStores(), counter.Read()};
      for (const uint64_t now : reads) {
        ASSERT_GE(now, last) << name;
        last = now;
      }
      counter.Relax();
    }
    // Unordered ones are in order with themselves, as the same instruction.
    last = counter.ReadUnordered();
    for (int i = 0; i < 300'000; ++i) {
      const uint64_t now = counter.ReadUnordered();
      ASSERT_GE(now, last) << name;
      last = now;
    }
  }
}

TEST(X86TscTest, LiveCpuidIsDecoded) {
  const X86TscInfo info = X86TscInfo::Query();
  EXPECT_TRUE(info.has_tsc);
  EXPECT_EQ(info.Counter().has_rdtscp(), info.has_rdtscp);
  EXPECT_EQ(info.hz == 0, info.hz_source == HzSource::kUnknown);
  if (info.hz != 0) {
    EXPECT_GT(info.hz, 100'000'000u);
    EXPECT_LT(info.hz, kMaxHz);
  }
  const CounterInfo<X86Tsc> same = QueryCounter(X86Tsc());
  EXPECT_EQ(same.clock.has_rdtscp(), info.has_rdtscp);
  EXPECT_EQ(same.constant_rate, info.invariant);
  EXPECT_EQ(same.hypervisor, info.hypervisor);
  EXPECT_EQ(same.hz, info.hz);
  EXPECT_EQ(same.hz_source, info.hz_source);
}

}  // namespace
}  // namespace vvar
