// SPDX-License-Identifier: MIT
//
// What of the RISC-V counter can be tested anywhere: joining its halves.
#include "clocks/riscv_time.h"

#include <gtest/gtest.h>
#include <stdint.h>

#include <vector>

namespace vvar {
namespace {

// A counter that moves on by `step` at each half read.
class HalfCounter {
 public:
  HalfCounter(uint64_t start, uint64_t step) : now_(start), step_(step) {}
  uint64_t Join() {
    return ReadHighLowHigh(
        [this] { return static_cast<uint32_t>(Next() >> 32); },
        [this] { return static_cast<uint32_t>(Next()); });
  }
  uint64_t now() const { return now_; }
  int reads() const { return reads_; }

 private:
  uint64_t Next() {
    ++reads_;
    const uint64_t value = now_;
    now_ += step_;
    return value;
  }
  uint64_t now_;
  uint64_t step_;
  int reads_ = 0;
};

// Trap: T53
TEST(RiscvTimeTest, HiLoHiAcrossCarry) {
  // The carry falls before, between and after the three reads in turn.
  for (uint64_t high : {uint64_t{0}, uint64_t{7}, uint64_t{0xffff'fffe}}) {
    for (uint64_t before_carry = 0; before_carry < 8; ++before_carry) {
      const uint64_t start = (high << 32) + 0xffff'ffff - before_carry;
      HalfCounter counter(start, 1);
      const uint64_t joined = counter.Join();
      EXPECT_GE(joined, start) << "carry after " << before_carry;
      EXPECT_LT(joined, counter.now()) << "carry after " << before_carry;
    }
  }
}

TEST(RiscvTimeTest, HalvesThatStandStillTakeThreeReads) {
  HalfCounter counter(0x1234'5678'9abc'def0, 0);
  EXPECT_EQ(counter.Join(), 0x1234'5678'9abc'def0u);
  EXPECT_EQ(counter.reads(), 3);
}

TEST(RiscvTimeTest, WrapOfAllBitsIsNoTear) {
  HalfCounter counter(UINT64_MAX - 1, 1);
  const uint64_t joined = counter.Join();
  EXPECT_TRUE(joined >= UINT64_MAX - 1 || joined < 8) << joined;
}

}  // namespace
}  // namespace vvar
