// SPDX-License-Identifier: MIT
//
// A page with one published timeline on a manual counter, its writer, and what
// its readers ought to say. The start of most tests of writer and reader.
#ifndef VVAR_TESTS_SUPPORT_TEST_PAGE_H_
#define VVAR_TESTS_SUPPORT_TEST_PAGE_H_

#include <stddef.h>
#include <stdint.h>

#include "tests/support/manual_clock.h"
#include "tests/support/oracle.h"
#include "vvar/header.h"
#include "vvar/page.h"
#include "vvar/reader.h"
#include "vvar/seqcount.h"
#include "vvar/timekeeper.h"
#include "vvar/writer.h"

namespace vvar::support {

/// Every clock of a page.
struct ClockRow {
  const char* name;
  ClockId id;
  bool coarse;
  uint32_t index;  ///< Into vvar_slot.base or vvar_slot.coarse.
};
inline constexpr ClockRow kClockRows[] = {
    {"REALTIME", ClockId::kRealtime, false, VVAR_BASE_REALTIME},
    {"MONOTONIC", ClockId::kMonotonic, false, VVAR_BASE_MONOTONIC},
    {"MONOTONIC_RAW", ClockId::kMonotonicRaw, false, VVAR_BASE_MONOTONIC_RAW},
    {"BOOTTIME", ClockId::kBoottime, false, VVAR_BASE_BOOTTIME},
    {"TAI", ClockId::kTai, false, VVAR_BASE_TAI},
    {"REALTIME_COARSE", ClockId::kRealtimeCoarse, true, VVAR_COARSE_REALTIME},
    {"MONOTONIC_COARSE", ClockId::kMonotonicCoarse, true,
     VVAR_COARSE_MONOTONIC},
};

/// 1 GHz: a cycle is a nanosecond, unless a test steers.
inline constexpr TimekeeperConfig kTestConfig = {
    .counter_id = kManualCounterId,
    .counter_bits = 64,
    .counter_hz = 1'000'000'000,
    .lead_ns = 1'000,
    .interval_ns = 1'000'000,
    .max_age_ns = 10'000'000'000,
};
inline constexpr StartTimes kTestTimes = {{1'700'000'000, 123'456'789},
                                          {1'000, 999'999'999},
                                          {1'001, 1},
                                          {5'000, 0},
                                          37};

constexpr PageConfig PageConfigOf(const TimekeeperConfig& config) {
  return {
      .counter_id = config.counter_id,
      .counter_bits = config.counter_bits,
      .counter_hz = config.counter_hz,
      .instance_id = 0x1122334455667788u,
      .features = VVAR_FEATURE_USER_COUNTER,
      .timeline_count = VVAR_MAX_TIMELINES,
      .resolution_ns = 1,
      .coarse_resolution_ns = 1'000'000,
  };
}

/// What a clock of `line` says at counter value `now`, in ns modulo 2^64; `now`
/// before the line counts as its start.
constexpr uint64_t ExpectedNs(const Line& line, const ClockRow& clock,
                              uint64_t now, uint32_t bits) {
  if (clock.coarse) {
    return static_cast<uint64_t>(Exact(line.coarse[clock.index], 0));
  }
  const bool begun = Ticks(now, line.cycle_start, bits) >> (bits - 1) == 0;
  return FloorNs(
      ExactAt(line, clock.index, begun ? now : line.cycle_start, bits),
      line.scale.shift);
}

/// See the head of this file.
template <uint32_t kBits = 64, class WriterMemory = PageMemory>
struct TestPage {
  using Clock = ManualClock<kBits>;
  using Writer = vvar::Writer<Clock, WriterMemory>;
  template <class Memory = PageMemory>
  using Reader = vvar::Reader<Clock, Memory>;

  explicit TestPage(const TimekeeperConfig& config = ConfigOfWidth(),
                    uint64_t start = 5'000, SeqToken seq = 0)
      : timekeeper(config), writer(&timeline(), clock()) {
    FormatPage(page, PageConfigOf(config));
    timeline().seq = seq;
    counter.value = start;
    timekeeper.Start(start, kTestTimes);
    writer.PublishLine(timekeeper.line());
    previous = timekeeper.line();
  }
  TestPage(const TestPage&) = delete;
  TestPage& operator=(const TestPage&) = delete;

  static constexpr TimekeeperConfig ConfigOfWidth() {
    TimekeeperConfig config = kTestConfig;
    config.counter_bits = kBits;
    if (kBits <= 32) config.max_age_ns = 500'000'000;
    return config;
  }

  vvar_timeline& timeline() { return page.timeline[0]; }
  Clock clock() { return Clock(&counter); }
  template <class Memory = PageMemory>
  Reader<Memory> MakeReader() {
    return Reader<Memory>(&timeline(), clock());
  }
  const Line& line() const { return timekeeper.line(); }
  uint64_t lead() const {
    return NsToCycles(kTestConfig.lead_ns, timekeeper.nominal());
  }

  /// Lets the counter run on, then publishes.
  PublishStatus Update(uint64_t cycles = 1'000'000) {
    counter.value += cycles;
    return Publish();
  }
  PublishStatus Publish() {
    const Line before = timekeeper.line();
    const PublishStatus status = writer.Publish(timekeeper);
    if (status != PublishStatus::kTooEarly) previous = before;
    return status;
  }
  /// Some history, so that both slots hold lines of unlike slopes.
  void Warm() {
    timekeeper.SetFrequency(40'000'000);
    Update();
    timekeeper.SetFrequency(-40'000'000);
    Update();
    counter.value += 500'000;
  }

  /// What a reader ought to say now: of the line that is valid at the counter.
  uint64_t Expected(const ClockRow& clock) const {
    const bool begun =
        Ticks(counter.value, line().cycle_start, kBits) >> (kBits - 1) == 0;
    const Line& valid = begun || clock.coarse ? line() : previous;
    return ExpectedNs(valid, clock, counter.value, kBits);
  }

  alignas(4096) vvar_page page = {};
  ManualCounter counter;
  Timekeeper timekeeper;
  Writer writer;
  Line previous;  ///< What was current before the last publication.
};

/// Calls visit(name, status, ns) once for each kind of read that answers for
/// `clock`, with what it said.
template <class AnyReader, class Visit>
void ForEachReadOf(const AnyReader& reader, const ClockRow& clock,
                   Visit visit) {
  const auto ns_of = [](const TimespecReading& reading) {
    return TimespecToNs({reading.sec, reading.nsec});
  };
  const NsReading now = reader.Now(clock.id);
  visit("Now", now.status, now.ns);
  const NsReading unordered = reader.NowUnordered(clock.id);
  visit("NowUnordered", unordered.status, unordered.ns);
  const TimespecReading timespec = reader.NowTimespec(clock.id);
  visit("NowTimespec", timespec.status, ns_of(timespec));
  const TimespecReading loose = reader.NowTimespecUnordered(clock.id);
  visit("NowTimespecUnordered", loose.status, ns_of(loose));
  if (clock.coarse) {
    const NsReading coarse = reader.NowCoarse(clock.id);
    visit("NowCoarse", coarse.status, coarse.ns);
    const TimespecReading coarse_time = reader.NowCoarseTimespec(clock.id);
    visit("NowCoarseTimespec", coarse_time.status, ns_of(coarse_time));
    return;
  }
  const IntervalReading interval = reader.Interval(clock.id);
  const uint64_t width_ns = interval.latest_ns - interval.earliest_ns;
  visit("Interval", interval.status,
        interval.ok() ? interval.earliest_ns + (width_ns - 1) / 2 : width_ns);
  SnapshotReading snapshot = {};
  const ReadStatus status = reader.Snapshot(&snapshot);
  const uint64_t at[VVAR_BASES] = {snapshot.realtime_ns, snapshot.monotonic_ns,
                                   snapshot.monotonic_raw_ns,
                                   snapshot.boottime_ns, snapshot.tai_ns};
  visit("Snapshot", status, at[clock.index]);
}

}  // namespace vvar::support

#endif  // VVAR_TESTS_SUPPORT_TEST_PAGE_H_
