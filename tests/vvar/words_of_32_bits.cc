// SPDX-License-Identifier: MIT
//
// What vvar/scale.h and vvar/seqcount.h do another way where pointers have 32
// bits, against wide integers and the compiler's own: a program without
// GoogleTest, of which there is no 32-bit one. Run by words_of_32_bits_test.py.
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "tests/support/oracle.h"
#include "vvar/scale.h"
#include "vvar/seqcount.h"

namespace vvar {
namespace {

using support::EdgyRandom;
using support::UnsignedWide;

static_assert(sizeof(void*) == 4, "for -m32");
constexpr int kRounds = 200'000;

// In constant expressions undefined behaviour does not compile.
constexpr bool ShiftsAreDefined() {
  for (uint32_t bits = 0; bits < 64; ++bits) {
    (void)ShiftLeft(UINT64_MAX, bits);
    (void)ShiftRight(UINT64_MAX, bits);
  }
  return true;
}
static_assert(ShiftsAreDefined());

// Each returns whether one random row agrees.
bool ShiftsAreShifts(EdgyRandom& random) {
  const uint64_t value = random.Edgy();
  const auto bits = static_cast<uint32_t>(random.Below(64));
  const UnsignedWide wide = UnsignedWide(value);
  return ShiftRight(value, bits) == static_cast<uint64_t>(wide >> bits) &&
         ShiftLeft(value, bits) == static_cast<uint64_t>(wide << bits);
}

bool DivideU64IsTheFloor(EdgyRandom& random) {
  const uint64_t n = random.Edgy();
  const uint64_t d = random.Edgy();
  if (d == 0) return true;
  const UnsignedWide quotient = DivideU64(n, d);
  const UnsignedWide wide_d = d;
  return quotient * wide_d <= UnsignedWide(n) &&
         UnsignedWide(n) < (quotient + 1) * wide_d;
}

bool MultiplyHighIsTheUpperHalf(EdgyRandom& random) {
  const uint64_t a = random.Edgy();
  const uint64_t b = random.Edgy();
  return MultiplyHigh(a, b) == support::UpperHalf(a, b);
}

bool CyclesToNsIsTheFloor(EdgyRandom& random) {
  const Scale scale = {static_cast<uint32_t>(random.Edgy(32)),
                       static_cast<uint32_t>(random.Below(kMaxShift + 1))};
  const uint64_t cycles = random.Edgy();
  const uint64_t nsec_shifted = random.Any() % (kNsPerSec << scale.shift);
  const UnsignedWide exact = (UnsignedWide(cycles) * UnsignedWide(scale.mult) +
                              UnsignedWide(nsec_shifted)) >>
                             scale.shift;
  return exact > UnsignedWide(UINT64_MAX) ||
         CyclesToNs(cycles, scale, nsec_shifted) ==
             static_cast<uint64_t>(exact);
}

bool NsToCyclesIsTheFloorOrSaturates(EdgyRandom& random) {
  const Scale scale = {static_cast<uint32_t>(random.Edgy(32)),
                       static_cast<uint32_t>(random.Below(64))};
  if (scale.mult == 0) return true;
  const uint64_t ns = random.Edgy();
  const UnsignedWide target = UnsignedWide(ns) << scale.shift;
  const uint64_t cycles = NsToCycles(ns, scale);
  const UnsignedWide mult = scale.mult;
  return cycles <= kCyclesLimit && UnsignedWide(cycles) * mult <= target &&
         (cycles == kCyclesLimit || target < UnsignedWide(cycles + 1) * mult);
}

// Both halves, and nothing beside them.
bool WordsAreTheCompilers(EdgyRandom& random) {
  const uint64_t value = random.Edgy();
  alignas(8) uint64_t words[3] = {1, ~value, 2};
  PageMemory::Store(words[1], value);
  const uint64_t expected[3] = {1, value, 2};
  return memcmp(words, expected, sizeof words) == 0 &&
         PageMemory::Load(expected[1]) == value;
}

const struct {
  const char* name;
  bool (*agrees)(EdgyRandom& random);
} kCases[] = {
    {"shifts_are_shifts", ShiftsAreShifts},
    {"divide_u64_is_the_floor", DivideU64IsTheFloor},
    {"multiply_high_is_the_upper_half", MultiplyHighIsTheUpperHalf},
    {"cycles_to_ns_is_the_floor", CyclesToNsIsTheFloor},
    {"ns_to_cycles_is_the_floor_or_saturates", NsToCyclesIsTheFloorOrSaturates},
    {"words_are_the_compilers", WordsAreTheCompilers},
};

int Run() {
  int failed = 0;
  for (const auto& row : kCases) {
    EdgyRandom random(32);
    int agreed = 0;
    while (agreed < kRounds && row.agrees(random)) ++agreed;
    const bool passed = agreed == kRounds;
    failed += !passed;
    printf("CASE %s %s %d rows agree\n", row.name, passed ? "PASSED" : "FAILED",
           agreed);
  }
  return failed;
}

}  // namespace
}  // namespace vvar

int main() { return vvar::Run() == 0 ? 0 : 1; }
