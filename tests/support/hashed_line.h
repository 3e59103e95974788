// SPDX-License-Identifier: MIT
//
// Lines whose words are all functions of their number, so that words of two
// lines show: what stress tests publish and look for.
#ifndef VVAR_TESTS_SUPPORT_HASHED_LINE_H_
#define VVAR_TESTS_SUPPORT_HASHED_LINE_H_

#include <stdint.h>

#include "tests/support/manual_clock.h"
#include "vvar/page.h"
#include "vvar/reading.h"
#include "vvar/timebase.h"

namespace vvar::support {

constexpr uint64_t Hash(uint64_t n, uint64_t i) {
  uint64_t x = n * 0x9e3779b97f4a7c15u + i * 0xbf58476d1ce4e5b9u;
  x ^= x >> 31;
  x *= 0x94d049bb133111ebu;
  return x ^ x >> 29;
}

/// A cycle is 2^-10 ns, and a line lives for 16 cycles: so a clock of line n
/// shows its base alone. REALTIME's seconds are n.
inline constexpr uint64_t kCyclesPerLine = 16;
inline Line HashedLine(uint64_t n) {
  Line line = {};
  line.cycle_start = n * kCyclesPerLine;
  line.max_cycles = uint64_t{1} << 40;
  line.scale = {1, 10};
  line.raw_mult = line.realtime_mult = 1;
  line.counter_id = kManualCounterId;
  line.status = static_cast<ClockStatus>(1 + n % 3);
  for (uint32_t i = 0; i < VVAR_BASES; ++i) {
    line.base[i].sec = static_cast<int64_t>(i == 0 ? n : Hash(n, i) >> 32);
    line.base[i].nsec_shifted = Hash(n, 10 + i) % 1'000'000'000 << 10;
  }
  line.error_ns = Hash(n, 20) >> 16;
  line.error_growth_ppb = 0;
  for (uint32_t i = 0; i < VVAR_COARSES; ++i) {
    line.coarse[i] = {static_cast<int64_t>(Hash(n, 30 + i) >> 32),
                      static_cast<uint32_t>(Hash(n, 40 + i) % 1'000'000'000)};
  }
  line.tai_offset_sec = static_cast<int32_t>(Hash(n, 50));
  return line;
}

/// Which line a snapshot is of, if it is of one.
inline uint64_t HashedNumber(const SnapshotReading& snapshot) {
  return snapshot.realtime_ns / 1'000'000'000;
}

/// Whether all of a snapshot is of one hashed line.
inline bool IsWhole(const SnapshotReading& snapshot) {
  const Line line = HashedLine(HashedNumber(snapshot));
  const uint64_t ns[] = {snapshot.realtime_ns, snapshot.monotonic_ns,
                         snapshot.monotonic_raw_ns, snapshot.boottime_ns,
                         snapshot.tai_ns};
  bool whole = snapshot.tai_offset_sec == line.tai_offset_sec &&
               snapshot.clock_status == line.status &&
               snapshot.error_ns - line.error_ns <= 2 &&
               snapshot.realtime_coarse_ns == TimespecToNs(line.coarse[0]) &&
               snapshot.monotonic_coarse_ns == TimespecToNs(line.coarse[1]);
  for (uint32_t i = 0; i < VVAR_BASES; ++i) {
    whole =
        whole && ns[i] == TimespecToNs(TimebaseToTimespec(line.base[i], 10));
  }
  return whole;
}

}  // namespace vvar::support

#endif  // VVAR_TESTS_SUPPORT_HASHED_LINE_H_
