// SPDX-License-Identifier: MIT
//
// A handler in an object of its own, whose symbols say that it calls nothing.
#include "tests/faults/signal_handler.h"

#include <stdint.h>

#include "vvar/reader.h"
#include "vvar/reading.h"

namespace {

struct HandlerClock {
  static constexpr uint32_t kCounterId = VVAR_COUNTER_PRIVATE | 1;
  static constexpr uint32_t kCounterBits = 64;

  uint64_t Read(uint32_t /*after*/) const { return vvar_handler_state.counter; }
  uint64_t ReadUnordered() const { return vvar_handler_state.counter; }
  uint64_t ReadBeforeStores() const { return vvar_handler_state.counter; }
  uint64_t ReadAfterStores() const { return vvar_handler_state.counter; }
  void Relax() const {
    vvar_handler_state.retries = vvar_handler_state.retries + 1;
  }
};

using HandlerReader = vvar::Reader<HandlerClock>;
using vvar::ClockId;

// Whether all of a snapshot is on one line that may be read now.
bool IsWhole(const vvar::SnapshotReading& snapshot) {
  for (uint32_t i = 0; i < 2; ++i) {
    if ((vvar_handler_state.allowed >> i & 1) == 0) continue;
    const volatile uint64_t* ns = vvar_handler_state.expected_ns[i];
    if (snapshot.realtime_ns == ns[VVAR_BASE_REALTIME] &&
        snapshot.monotonic_ns == ns[VVAR_BASE_MONOTONIC] &&
        snapshot.monotonic_raw_ns == ns[VVAR_BASE_MONOTONIC_RAW] &&
        snapshot.boottime_ns == ns[VVAR_BASE_BOOTTIME] &&
        snapshot.tai_ns == ns[VVAR_BASE_TAI]) {
      return true;
    }
  }
  return false;
}

uint32_t Refusals(const HandlerReader& reader) {
  constexpr ClockId kPrecise[] = {ClockId::kRealtime, ClockId::kMonotonic,
                                  ClockId::kMonotonicRaw, ClockId::kBoottime,
                                  ClockId::kTai};
  uint32_t refusals = 0;
  for (const ClockId id : kPrecise) {
    refusals += !reader.Now(id).ok();
    refusals += !reader.NowTimespec(id).ok();
    refusals += !reader.Interval(id).ok();
  }
  refusals += !reader.NowCoarse(ClockId::kRealtimeCoarse).ok();
  refusals += !reader.NowCoarse(ClockId::kMonotonicCoarse).ok();
  return refusals;
}

}  // namespace

struct HandlerState vvar_handler_state;

void vvar_handler_read_all(int /*signal*/) {
  const HandlerReader reader(&vvar_handler_state.page.timeline[0],
                             HandlerClock());
  vvar::SnapshotReading snapshot;
  HandlerState& state = vvar_handler_state;
  if (reader.Snapshot(&snapshot) != vvar::ReadStatus::kOk) {
    state.refused = state.refused + 1;
  } else if (!IsWhole(snapshot)) {
    state.torn = state.torn + 1;
  }
  state.refused = state.refused + Refusals(reader);
  state.handled = state.handled + 1;
}
