// SPDX-License-Identifier: MIT
//
// Where a line keeps each clock.
#include "vvar/clock_table.h"

#include <gtest/gtest.h>
#include <stdint.h>

#include "vvar/page.h"

namespace vvar {
namespace {

TEST(ClockTableTest, HasEachClockOfThePage) {
  const struct {
    const char* name;
    ClockId id;
    RowKind kind;
    uint32_t index;
  } kRows[] = {
      {"REALTIME", ClockId::kRealtime, RowKind::kPrecise, 0},
      {"MONOTONIC", ClockId::kMonotonic, RowKind::kPrecise, 1},
      {"MONOTONIC_RAW", ClockId::kMonotonicRaw, RowKind::kPrecise, 2},
      {"BOOTTIME", ClockId::kBoottime, RowKind::kPrecise, 3},
      {"TAI", ClockId::kTai, RowKind::kPrecise, 4},
      {"REALTIME_COARSE", ClockId::kRealtimeCoarse, RowKind::kCoarse, 0},
      {"MONOTONIC_COARSE", ClockId::kMonotonicCoarse, RowKind::kCoarse, 1},
  };
  int known = 0;
  for (const auto& row : kRows) {
    SCOPED_TRACE(row.name);
    EXPECT_EQ(kClocks.RowOf(row.id).kind, row.kind);
    EXPECT_EQ(kClocks.RowOf(row.id).index, row.index);
  }
  for (int32_t id = -2'000; id < 2'000; ++id) {
    known += kClocks.RowOf(static_cast<ClockId>(id)).kind != RowKind::kUnknown;
  }
  EXPECT_EQ(known, 7);
}

TEST(ClockTableTest, EveryOtherIdIsUnknown) {
  for (const int32_t id : {-1, 2, 3, 8, 9, 10, 12, INT32_MAX, INT32_MIN}) {
    EXPECT_EQ(kClocks.RowOf(static_cast<ClockId>(id)).kind, RowKind::kUnknown)
        << id;
  }
}

}  // namespace
}  // namespace vvar
