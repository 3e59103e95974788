// SPDX-License-Identifier: MIT
//
// Where a line keeps each clock: one table for whoever looks one up by its id.
// Freestanding core: constants only.
#ifndef VVAR_CLOCK_TABLE_H_
#define VVAR_CLOCK_TABLE_H_

#include <stdint.h>

#include "vvar/page.h"

namespace vvar {

/// What a clock is read by: base[] and a counter, or coarse[] alone.
enum class RowKind : uint8_t { kUnknown, kPrecise, kCoarse };

/// Where a slot keeps a clock: an index into base[] or coarse[].
struct ClockRow {
  RowKind kind = RowKind::kUnknown;  ///< Which of the two, if any.
  uint8_t index = 0;                 ///< There.
};

/// Where a slot keeps every clock.
struct ClockTable {
  static constexpr uint32_t kIds = VVAR_CLOCK_TAI + 1;  ///< [0, kIds).
  ClockRow row[kIds];                                   ///< By clock id.

  /// Every id, negative ones included, has a row.
  constexpr ClockRow RowOf(ClockId id) const {
    const auto i = static_cast<uint32_t>(id);
    return i < kIds ? row[i] : ClockRow{};
  }
};

/// One row for each clock: a new one is a line here.
inline constexpr ClockTable kClocks = [] {
  ClockTable table;
  using enum RowKind;
  table.row[VVAR_CLOCK_REALTIME] = {kPrecise, VVAR_BASE_REALTIME};
  table.row[VVAR_CLOCK_MONOTONIC] = {kPrecise, VVAR_BASE_MONOTONIC};
  table.row[VVAR_CLOCK_MONOTONIC_RAW] = {kPrecise, VVAR_BASE_MONOTONIC_RAW};
  table.row[VVAR_CLOCK_BOOTTIME] = {kPrecise, VVAR_BASE_BOOTTIME};
  table.row[VVAR_CLOCK_TAI] = {kPrecise, VVAR_BASE_TAI};
  table.row[VVAR_CLOCK_REALTIME_COARSE] = {kCoarse, VVAR_COARSE_REALTIME};
  table.row[VVAR_CLOCK_MONOTONIC_COARSE] = {kCoarse, VVAR_COARSE_MONOTONIC};
  return table;
}();

}  // namespace vvar

#endif  // VVAR_CLOCK_TABLE_H_
