// SPDX-License-Identifier: MIT
//
// What CPUID is made of, from scripted tables, and the live counter.
#include "clocks/x86_tsc.h"

#include <gtest/gtest.h>
#include <stdint.h>

#include <map>
#include <utility>

#include "tests/support/manual_clock.h"
#include "vvar/timebase.h"

namespace vvar {
namespace {

// A CPU as a table of leaves; what is not in it reads as zeros.
class ScriptedCpuid {
 public:
  ScriptedCpuid& Leaf(uint32_t leaf, CpuidLeaf value) {
    leaves_[leaf] = value;
    return *this;
  }
  CpuidLeaf operator()(uint32_t leaf, uint32_t) const {
    ++reads_[leaf];
    const auto found = leaves_.find(leaf);
    return found == leaves_.end() ? CpuidLeaf{} : found->second;
  }
  bool WasRead(uint32_t leaf) const { return reads_.count(leaf) != 0; }

 private:
  std::map<uint32_t, CpuidLeaf> leaves_;
  mutable std::map<uint32_t, int> reads_;
};

constexpr uint32_t kTsc = 1u << 4;
constexpr uint32_t kHypervisor = 1u << 31;
constexpr uint32_t kRdtscp = 1u << 27;
constexpr uint32_t kInvariant = 1u << 8;

ScriptedCpuid Machine(uint32_t max_basic, uint32_t max_extended,
                      uint32_t features_ecx) {
  ScriptedCpuid cpuid;
  cpuid.Leaf(0, {max_basic, 0, 0, 0})
      .Leaf(1, {0, 0, features_ecx, kTsc})
      .Leaf(0x8000'0000, {max_extended, 0, 0, 0});
  return cpuid;
}

// Trap: T51
TEST(X86TscTest, ChoosesRdtscpOrFencePerCpuid) {
  ScriptedCpuid with = Machine(1, 0x8000'0001, 0);
  with.Leaf(0x8000'0001, {0, 0, 0, kRdtscp});
  EXPECT_TRUE(X86TscInfo::Query(with).Counter().has_rdtscp());
  ScriptedCpuid without = Machine(1, 0x8000'0001, 0);
  EXPECT_FALSE(X86TscInfo::Query(without).Counter().has_rdtscp());
}

TEST(X86TscTest, LeavesBeyondTheHighestAreNotBelieved) {
  ScriptedCpuid old = Machine(1, 0x8000'0000, 0);
  old.Leaf(0x8000'0001, {0, 0, 0, kRdtscp})
      .Leaf(0x8000'0007, {0, 0, 0, kInvariant})
      .Leaf(0x15, {2, 200, 24'000'000, 0})
      .Leaf(0x16, {2400, 0, 0, 0});
  const X86TscInfo info = X86TscInfo::Query(old);
  EXPECT_FALSE(info.has_rdtscp);
  EXPECT_FALSE(info.invariant);
  EXPECT_EQ(info.hz, 0u);
  EXPECT_FALSE(old.WasRead(0x15));
  EXPECT_FALSE(old.WasRead(0x8000'0007));
}

TEST(X86TscTest, InvarianceIsOneBit) {
  ScriptedCpuid cpuid = Machine(1, 0x8000'0008, 0);
  cpuid.Leaf(0x8000'0007, {0, 0, 0, kInvariant});
  EXPECT_TRUE(X86TscInfo::Query(cpuid).invariant);
  cpuid.Leaf(0x8000'0007, {~0u, ~0u, ~0u, ~kInvariant});
  EXPECT_FALSE(X86TscInfo::Query(cpuid).invariant);
}

TEST(X86TscTest, FrequencyComesFromWhoeverKnowsBest) {
  constexpr CpuidLeaf kNone = {};
  const struct {
    const char* name;
    uint32_t max_basic;
    uint32_t features_ecx;
    CpuidLeaf crystal;     // 15h
    CpuidLeaf base;        // 16h
    CpuidLeaf hypervisor;  // 4000_0000h
    CpuidLeaf timing;      // 4000_0010h
    HzSource source;
    uint64_t hz;
  } kRows[] = {
      {"nobody", 0x16, 0, kNone, kNone, kNone, kNone, HzSource::kUnknown, 0},
      {"crystal and ratio", 0x15, 0, {2, 200, 24'000'000, 0}, kNone, kNone,
       kNone, HzSource::kCpuidCrystal, 2'400'000'000},
      {"ratio of 32-bit extremes", 0x15, 0, {1, 400, 25'000'000, 0}, kNone,
       kNone, kNone, HzSource::kCpuidCrystal, 10'000'000'000},
      {"ratio without crystal, base MHz", 0x16, 0, {2, 216, 0, 0},
       {2600, 3400, 100, 0}, kNone, kNone, HzSource::kCpuidBase,
       2'600'000'000},
      {"ratio without crystal, no leaf 16h", 0x15, 0, {2, 216, 0, 0},
       {2600, 0, 0, 0}, kNone, kNone, HzSource::kUnknown, 0},
      {"denominator 0 is not divided by", 0x16, 0, {0, 216, 24'000'000, 0},
       {2600, 0, 0, 0}, kNone, kNone, HzSource::kCpuidBase, 2'600'000'000},
      {"hypervisor's timing leaf wins", 0x16, kHypervisor,
       {2, 200, 24'000'000, 0}, {2400, 0, 0, 0}, {0x4000'0010, 0, 0, 0},
       {2'596'152, 0, 0, 0}, HzSource::kHypervisorLeaf, 2'596'152'000},
      {"hypervisor without it", 0x15, kHypervisor, {2, 200, 24'000'000, 0},
       kNone, {0x4000'0001, 0, 0, 0}, {7, 0, 0, 0}, HzSource::kCpuidCrystal,
       2'400'000'000},
      {"hypervisor says 0", 0x15, kHypervisor, {2, 200, 24'000'000, 0}, kNone,
       {0x4000'0010, 0, 0, 0}, kNone, HzSource::kCpuidCrystal,
       2'400'000'000},
      {"no hypervisor: its leaves are the CPU's own", 0x1f, 0, kNone, kNone,
       {0x4000'0010, 0, 0, 0}, {2'596'152, 0, 0, 0}, HzSource::kUnknown, 0},
      {"hypervisor range that echoes the CPU's highest leaf", 0x1f,
       kHypervisor, kNone, kNone, {0xffff'ffff, 0, 0, 0}, {5, 0, 0, 0},
       HzSource::kUnknown, 0},
  };
  for (const auto& row : kRows) {
    SCOPED_TRACE(row.name);
    ScriptedCpuid cpuid = Machine(row.max_basic, 0, row.features_ecx);
    cpuid.Leaf(0x15, row.crystal)
        .Leaf(0x16, row.base)
        .Leaf(0x4000'0000, row.hypervisor)
        .Leaf(0x4000'0010, row.timing);
    const X86TscInfo info = X86TscInfo::Query(cpuid);
    EXPECT_EQ(info.hz, row.hz);
    EXPECT_EQ(info.hz_source, row.source);
  }
}

// Trap: T33
TEST(X86TscTest, HighBitIsAValue) {
  static_assert(X86Tsc::kCounterBits == 64, "no bit means anything but time");
  for (const uint64_t start :
       {uint64_t{0}, uint64_t{1} << 31, (uint64_t{1} << 63) - 1, ~uint64_t{0}}) {
    EXPECT_EQ(SignedDelta(start + 1000, start, X86Tsc::kCounterBits), 1000);
    EXPECT_EQ(SignedDelta(start - 3, start, X86Tsc::kCounterBits), -3);
  }
}

TEST(X86TscTest, LiveReadsOfOneThreadNeverDecrease) {
  const CounterInfo<X86Tsc> info = QueryCounter(X86Tsc());
  if (!info.constant_rate) GTEST_SKIP() << "no invariant TSC";
  const X86Tsc plain;
  uint64_t last = 0;
  for (int i = 0; i < 100'000; ++i) {
    for (const uint64_t now :
         {info.clock.Read(), plain.Read(), info.clock.ReadUnordered(),
          info.clock.ReadBeforeStores(), info.clock.ReadAfterStores()}) {
      ASSERT_GE(now, last);
      last = now;
    }
  }
}

TEST(X86TscTest, QueryDescribesThisCpu) {
  const X86TscInfo info = X86TscInfo::Query();
  EXPECT_TRUE(info.has_tsc);
  EXPECT_EQ(info.hz == 0, info.hz_source == HzSource::kUnknown);
  EXPECT_EQ(QueryCounter(X86Tsc()).clock.has_rdtscp(), info.has_rdtscp);
}

}  // namespace
}  // namespace vvar
