// SPDX-License-Identifier: MIT
//
// Measures, at start, where the reference's clocks stand and how fast they run
// against the counter. Takes some milliseconds. Writer side only.
#ifndef VVAR_HOSTED_CALIBRATION_H_
#define VVAR_HOSTED_CALIBRATION_H_

#include <stdint.h>

#include <algorithm>
#include <vector>

#include "hosted/reference.h"

namespace vvar::hosted {

/// A straight line through brackets: ns = origin_ns + offset_ns +
/// (cycles - origin_cycles) * ns_per_cycle.
struct FittedLine {
  uint64_t origin_cycles;
  int64_t origin_ns;
  double offset_ns;
  double ns_per_cycle;  ///< The slope that fits.

  /// Returns its value at `cycles`, less `base_ns`.
  double NsAt(uint64_t cycles, int64_t base_ns) const {
    const auto delta =
        static_cast<double>(static_cast<int64_t>(cycles - origin_cycles));
    return static_cast<double>(origin_ns - base_ns) + offset_ns +
           delta * ns_per_cycle;
  }
};

/// Returns the median width of `brackets`. Range: not empty.
inline uint64_t MedianWidth(const std::vector<Bracket>& brackets) {
  std::vector<uint64_t> widths;
  widths.reserve(brackets.size());
  for (const Bracket& bracket : brackets) widths.push_back(bracket.width());
  const auto median = widths.begin() + static_cast<int64_t>(widths.size() / 2);
  std::nth_element(widths.begin(), median, widths.end());
  return *median;
}

/// Fits a line through the narrow ones of `brackets` by least squares: a wide
/// bracket was interrupted, and says little. Range: two or more brackets.
inline FittedLine FitLine(const std::vector<Bracket>& brackets) {
  const uint64_t limit = MedianWidth(brackets);
  FittedLine line = {brackets[0].midpoint(), brackets[0].ns, 0.0, 0.0};
  double n = 0;
  double sum_x = 0;
  double sum_y = 0;
  double sum_xx = 0;
  double sum_xy = 0;
  for (const Bracket& bracket : brackets) {
    if (bracket.width() > limit) continue;
    const auto x = static_cast<double>(
        static_cast<int64_t>(bracket.midpoint() - line.origin_cycles));
    // The reference truncates: on average its reading is half a ns low.
    const auto y = static_cast<double>(bracket.ns - line.origin_ns) + 0.5;
    n += 1;
    sum_x += x;
    sum_y += y;
    sum_xx += x * x;
    sum_xy += x * y;
  }
  const double spread = n * sum_xx - sum_x * sum_x;
  line.ns_per_cycle = spread > 0 ? (n * sum_xy - sum_x * sum_y) / spread : 0.0;
  line.offset_ns = (sum_y - line.ns_per_cycle * sum_x) / n;
  return line;
}

/// The reference's clocks as lines over the counter.
struct Calibration {
  FittedLine realtime;
  FittedLine monotonic;
  FittedLine monotonic_raw;
  FittedLine boottime;
  uint64_t usual_width;  ///< Of a bracket nothing disturbed. Units: cycles.
};

/// Reads the reference's clocks in turn for `duration_ns`, so that what
/// disturbs one disturbs all, and fits a line to each. Clocks that run at one
/// rate (all but MONOTONIC_RAW) differ by constants, which is how they come out
/// after Discipline has taken only one slope from here.
inline Calibration Calibrate(Reference& reference, int64_t duration_ns) {
  constexpr ClockId kClocks[] = {ClockId::kRealtime, ClockId::kMonotonic,
                                 ClockId::kMonotonicRaw, ClockId::kBoottime};
  // Narrow brackets are worth more than many, and cost no memory.
  constexpr int kTries = 8;
  std::vector<Bracket> brackets[4];
  // Time in which this process did not run measures nothing.
  constexpr int64_t kLongestRoundNs = 100'000;
  int64_t last_ns = reference.Read(ClockId::kMonotonicRaw).ns;
  int64_t measured_ns = 0;
  while (measured_ns < duration_ns || brackets[0].size() < 2) {
    for (int i = 0; i < 4; ++i) {
      brackets[i].push_back(reference.ReadNarrowest(kClocks[i], kTries));
    }
    const int64_t now_ns = brackets[2].back().ns;
    measured_ns += std::min(now_ns - last_ns, kLongestRoundNs);
    last_ns = now_ns;
  }
  return {FitLine(brackets[0]), FitLine(brackets[1]), FitLine(brackets[2]),
          FitLine(brackets[3]), MedianWidth(brackets[1])};
}

}  // namespace vvar::hosted

#endif  // VVAR_HOSTED_CALIBRATION_H_
