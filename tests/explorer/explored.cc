// SPDX-License-Identifier: MIT
//
// The code that the explorer reads: what kernels, processes and writers would
// compile, on the native counter, as one program without an operating system.
// machine.py calls these functions one instruction at a time. x86 and Arm have
// two ways to read their counter: -DVVAR_EXPLORED_OTHER_WAY takes the second.
#include "clocks/native.h"
#include "vvar/header.h"
#include "vvar/reader.h"
#include "vvar/writer.h"

namespace {

// The other way to read the counter, where there is one.
template <class Clock>
constexpr Clock OtherWay() {
  if constexpr (requires { Clock::WithRdtscp(); }) {
    return Clock::WithRdtscp();
  } else if constexpr (requires { Clock::WithEcv(); }) {
    return Clock::WithEcv();
  } else {
    return Clock();
  }
}

#ifdef VVAR_EXPLORED_OTHER_WAY
constexpr auto kCounter = OtherWay<vvar::NativeClock>();
#else
constexpr vvar::NativeClock kCounter;
#endif

using Reader = vvar::Reader<vvar::NativeClock>;
using Writer = vvar::Writer<vvar::NativeClock>;

Reader ReaderOf(const vvar_timeline* timeline) { return {timeline, kCounter}; }

struct InPlace {
  void* at;
};
alignas(vvar::Timekeeper) char timekeeper_bytes[sizeof(vvar::Timekeeper)];
vvar::Timekeeper& TheTimekeeper() {
  return *reinterpret_cast<vvar::Timekeeper*>(timekeeper_bytes);
}

vvar::SnapshotReading snapshot;
Reader::Pair pair;

}  // namespace

void* operator new(size_t, InPlace place) noexcept { return place.at; }

extern "C" {

alignas(4096) vvar_page explored_page;

[[noreturn]] void _start() {
  for (;;) {
  }
}

// What every function returns to.
void explored_done() { asm volatile("nop\n\tnop"); }

// Begins time at counter value 0, on the first line.
void explored_start(uint64_t hz, uint64_t lead_ns) {
  const vvar::TimekeeperConfig config = {vvar::NativeClock::kCounterId,
                                         vvar::NativeClock::kCounterBits,
                                         hz,
                                         lead_ns,
                                         1'000'000,
                                         1'000'000'000};
  auto& timekeeper = *new (InPlace{timekeeper_bytes}) vvar::Timekeeper(config);
  timekeeper.Start(0, {{1'000, 1}, {100, 2}, {100, 3}, {200, 4}, 37});
  Writer(&explored_page.timeline[0], {}).PublishLine(timekeeper.line());
}

void explored_publish(vvar_timeline* timeline) {
  Writer writer(timeline, kCounter);
  (void)writer.Publish(TheTimekeeper());
}

uint64_t explored_now(const vvar_timeline* timeline) {
  return ReaderOf(timeline).Now(vvar::ClockId::kMonotonic).ns;
}
uint64_t explored_now_unordered(const vvar_timeline* timeline) {
  return ReaderOf(timeline).NowUnordered(vvar::ClockId::kMonotonic).ns;
}
uint64_t explored_now_coarse(const vvar_timeline* timeline) {
  return ReaderOf(timeline).NowCoarse(vvar::ClockId::kMonotonicCoarse).ns;
}
uint64_t explored_now_timespec(const vvar_timeline* timeline) {
  const auto now = ReaderOf(timeline).NowTimespec(vvar::ClockId::kMonotonic);
  return static_cast<uint64_t>(now.sec) ^ now.nsec;
}
uint64_t explored_interval(const vvar_timeline* timeline) {
  const auto now = ReaderOf(timeline).Interval(vvar::ClockId::kMonotonic);
  return now.earliest_ns ^ now.latest_ns;
}
uint64_t explored_snapshot(const vvar_timeline* timeline) {
  return static_cast<uint64_t>(ReaderOf(timeline).Snapshot(&snapshot));
}
uint64_t explored_copy_lines(const vvar_timeline* timeline) {
  return static_cast<uint64_t>(ReaderOf(timeline).CopyLines(&pair));
}

}  // extern "C"
