// SPDX-License-Identifier: MIT
//
// The RISC-V counter in two halves, on any machine: the halves are scripted.
// (The CSR itself, its fences and its cost: tests/build, embed/.)
#include "clocks/riscv_time.h"

#include <gtest/gtest.h>
#include <stdint.h>

#include <vector>

namespace vvar {
namespace {

// A 64-bit counter that is read as halves, and runs on by so much before each
// half is read.
struct HalvedCounter {
  uint64_t value;
  std::vector<uint64_t> runs;  // Before each read; nothing when they run out.
  size_t reads = 0;

  uint64_t Next() {
    if (reads < runs.size()) value += runs[reads];
    ++reads;
    return value;
  }
  uint64_t Read() {
    return ReadHighLowHigh([&] { return static_cast<uint32_t>(Next() >> 32); },
                           [&] { return static_cast<uint32_t>(Next()); });
  }
};

// Trap: T53
TEST(RiscvTimeTest, HiLoHiAcrossCarry) {
  constexpr uint64_t kCarry = uint64_t{5} << 32;
  const struct {
    const char* name;
    uint64_t start;
    std::vector<uint64_t> runs;
    uint64_t value;  // The counter at some instant between first and last read.
    size_t reads;
  } kRows[] = {
      {"stands still", 0x1234'5678'9abc'def0, {}, 0x1234'5678'9abc'def0, 3},
      {"runs without a carry", kCarry - 100, {0, 1, 1}, kCarry - 99, 3},
      {"carry before all", kCarry - 1, {1, 0, 0}, kCarry, 3},
      {"carry between high and low", kCarry - 1, {0, 1, 0}, kCarry, 6},
      {"carry between low and high", kCarry - 1, {0, 0, 1}, kCarry, 6},
      {"carry after a long pause", kCarry - 1, {0, 77, 0}, kCarry + 76, 6},
      {"two carries in one read",
       kCarry - 1,
       {0, 1, uint64_t{1} << 32},
       kCarry + (uint64_t{1} << 32),
       6},
      {"a carry in the second try, too",
       kCarry - 1,
       {0, 1, 0, 0, uint64_t{1} << 32},
       kCarry + (uint64_t{1} << 32),
       9},
      {"just before the carry", kCarry - 1, {0, 0, 0}, kCarry - 1, 3},
      {"wrap of all 64 bits", UINT64_MAX, {0, 1, 0}, 0, 6},
      {"high bit", uint64_t{1} << 63, {}, uint64_t{1} << 63, 3},
  };
  for (const auto& row : kRows) {
    HalvedCounter counter{row.start, row.runs};
    EXPECT_EQ(counter.Read(), row.value) << row.name;
    EXPECT_EQ(counter.reads, row.reads) << row.name;
  }
}

// Trap: T53
TEST(RiscvTimeTest, NeverGoesBackAroundEveryCarry) {
  // Every phase of a slow and of a fast counter against the three reads.
  for (const uint64_t tick : {uint64_t{1}, uint64_t{3}, uint64_t{1'000'003}}) {
    HalvedCounter counter{(uint64_t{7} << 32) - 50 * tick, {}};
    counter.runs.assign(400, tick);
    uint64_t last = counter.value;
    while (counter.reads < 390) {
      const uint64_t before = counter.value;
      const uint64_t value = counter.Read();
      ASSERT_GE(value, last);
      ASSERT_GE(value, before) << "an instant inside the read";
      ASSERT_LE(value, counter.value) << "an instant inside the read";
      last = value;
    }
  }
}

TEST(RiscvTimeTest, HasAllBitsAndItsOwnIdentity) {
  EXPECT_EQ(RiscvTime::kCounterId, VVAR_COUNTER_RISCV_TIME);
  EXPECT_EQ(RiscvTime::kCounterBits, 64u);
}

}  // namespace
}  // namespace vvar
