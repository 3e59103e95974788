// SPDX-License-Identifier: MIT
#include "vvar/wide.h"

#include <gtest/gtest.h>
#include <stdint.h>

#include "tests/support/oracle.h"

namespace vvar {
namespace {

using support::EdgyRandom;
using support::UnsignedWide;

UnsignedWide Exact(Uint128 value) {
  return (UnsignedWide(value.high) << 64) + UnsignedWide(value.low);
}
Uint128 Of(UnsignedWide value) {
  return {static_cast<uint64_t>(value >> 64), static_cast<uint64_t>(value)};
}

TEST(WideTest, ArithmeticMatchesOracle) {
  EdgyRandom random(128);
  for (int i = 0; i < 100'000; ++i) {
    const Uint128 a = {random.Edgy(), random.Edgy()};
    const Uint128 b = {random.Edgy(), random.Edgy()};
    ASSERT_EQ(AddWide(a, b), Of(Exact(a) + Exact(b)));
    ASSERT_EQ(SubtractWide(a, b), Of(Exact(a) - Exact(b)));
    ASSERT_EQ(IsLess(a, b), Exact(a) < Exact(b));
    ASSERT_FALSE(IsLess(a, a));
    ASSERT_EQ(MultiplyWide(a.low, b.low),
              Of(UnsignedWide(a.low) * UnsignedWide(b.low)));
  }
}

TEST(WideTest, ShiftsAreShifts) {
  EdgyRandom random(129);
  for (int i = 0; i < 1'000; ++i) {
    const Uint128 a = {random.Edgy(), random.Edgy()};
    for (uint32_t bits = 0; bits < 128; ++bits) {
      ASSERT_EQ(ShiftRightWide(a, bits), Of(Exact(a) >> bits)) << bits;
      ASSERT_EQ(ShiftLeftWide(a, bits), Of(Exact(a) << bits)) << bits;
    }
  }
  EXPECT_EQ(BitLength({0, 0}), 0u);
  for (uint32_t bits = 0; bits < 128; ++bits) {
    const Uint128 power = ShiftLeftWide({0, 1}, bits);
    EXPECT_EQ(BitLength(power), bits + 1);
    EXPECT_EQ(BitLength(SubtractWide(power, {0, 1})), bits);
  }
}

TEST(WideTest, QuotientIsTheFloor) {
  EdgyRandom random(130);
  for (int i = 0; i < 20'000; ++i) {
    const Uint128 n = {random.Edgy(), random.Edgy()};
    const uint64_t d =
        random.Edgy() | (random.OneIn(2) ? 1 : uint64_t{1} << 63);
    ASSERT_EQ(QuotientWide(n, d), Of(Exact(n) / UnsignedWide(d)))
        << n.high << " " << n.low << " / " << d;
  }
}

}  // namespace
}  // namespace vvar
