// SPDX-License-Identifier: MIT
//
// The reader: what it says of a sound page, beside a writer stopped anywhere,
// of an old, foreign or withdrawn counter, and of a page whose every byte is an
// attacker's.
#include "vvar/reader.h"

#include <gtest/gtest.h>
#include <limits.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <unistd.h>

#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include "tests/support/manual_clock.h"
#include "tests/support/oracle.h"
#include "tests/support/scripted_memory.h"
#include "tests/support/single_step.h"
#include "tests/support/test_page.h"

namespace vvar {
namespace {

using support::ClockRow;
using support::CounterRead;
using support::EdgyRandom;
using support::ExpectedNs;
using support::ForEachReadOf;
using support::kClockRows;
using support::kManualCounterId;
using support::kTestConfig;
using support::kTestTimes;
using support::ManualClock;
using support::ManualCounter;
using support::MemoryEvent;
using support::MemoryOp;
using support::MemoryScript;
using support::ScriptedMemory;
using support::TestPage;
using support::Wide;
using support::WordClock;

constexpr uint64_t kSec = 1'000'000'000;

// Every clock, by every kind of read, gives what the published lines say.
template <class Page>
void ExpectExactReads(Page& test) {
  for (const ClockRow& clock : kClockRows) {
    const uint64_t expected = test.Expected(clock);
    ForEachReadOf(test.MakeReader(), clock,
                  [&](const char* read, ReadStatus status, uint64_t ns) {
                    ASSERT_EQ(status, ReadStatus::kOk)
                        << read << " " << clock.name;
                    ASSERT_EQ(ns, expected) << read << " " << clock.name;
                  });
  }
}

// Every precise clock says `status`, and so do Age() and the like; coarse ones
// answer all the same.
template <class AnyReader>
void ExpectPreciseStatus(const AnyReader& reader, ReadStatus expected) {
  for (const ClockRow& clock : kClockRows) {
    ForEachReadOf(reader, clock,
                  [&](const char* read, ReadStatus status, uint64_t ns) {
                    ASSERT_EQ(status, clock.coarse ? ReadStatus::kOk : expected)
                        << read << " " << clock.name;
                    ASSERT_EQ(ns != 0, status == ReadStatus::kOk)
                        << read << " " << clock.name;
                  });
  }
}

TEST(ReaderTest, GivesEveryClockExactly) {
  TestPage<> test;
  test.Warm();
  for (int i = 0; i < 300; ++i) {
    test.counter.value += static_cast<uint64_t>(i) * 9'973;
    ExpectExactReads(test);
    if (i % 7 == 0) {
      test.timekeeper.SetFrequency((i % 5 - 2) * 10'000'000);
      test.timekeeper.SetRawFrequency((i % 3 - 1) * 10'000'000);
      test.timekeeper.StepRealtime((i % 3 - 1) * 100'000'000'000);
      test.timekeeper.SlewRealtime((i % 4 - 1) * 50'000'000, 30'000'000);
      test.Publish();
      ExpectExactReads(test);
    }
    if (HasFatalFailure()) return;
  }
}

// What Linux's namespaces add to each clock, written down once more.
Timespec OffsetOf(ClockId id, const ClockOffsets& offsets) {
  switch (id) {
    case ClockId::kMonotonic:
    case ClockId::kMonotonicRaw:
    case ClockId::kMonotonicCoarse:
      return offsets.monotonic;
    case ClockId::kBoottime:
      return offsets.boottime;
    default:
      return {0, 0};
  }
}

// Every clock, by every kind of read, is what the page says plus its offset;
// what is no time of day, age and counter value, is not moved.
template <class AnyReader, class Page>
void ExpectMovedReads(const AnyReader& reader, Page& test,
                      const ClockOffsets& offsets) {
  for (const ClockRow& clock : kClockRows) {
    const uint64_t expected =
        test.Expected(clock) + TimespecToNs(OffsetOf(clock.id, offsets));
    ForEachReadOf(
        reader, clock, [&](const char* read, ReadStatus status, uint64_t ns) {
          ASSERT_EQ(status, ReadStatus::kOk) << read << " " << clock.name;
          ASSERT_EQ(ns, expected) << read << " " << clock.name;
        });
    ASSERT_LT(reader.NowTimespec(clock.id).nsec, kSec) << clock.name;
  }
  SnapshotReading moved = {};
  SnapshotReading plain = {};
  ASSERT_EQ(reader.Snapshot(&moved), ReadStatus::kOk);
  ASSERT_EQ(test.MakeReader().Snapshot(&plain), ReadStatus::kOk);
  ASSERT_EQ(moved.monotonic_coarse_ns,
            plain.monotonic_coarse_ns + TimespecToNs(offsets.monotonic));
  ASSERT_EQ(moved.realtime_coarse_ns, plain.realtime_coarse_ns);
  ASSERT_EQ(moved.cycles, plain.cycles);
  ASSERT_EQ(moved.error_ns, plain.error_ns);
  ASSERT_EQ(moved.tai_offset_sec, plain.tai_offset_sec);
  ASSERT_EQ(moved.leap_state, plain.leap_state);
  ASSERT_EQ(reader.Age().age_ns, test.MakeReader().Age().age_ns);
}

// Trap: T72
TEST(ReaderTest, OffsetPageCoversEveryClock) {
  using Clock = ManualClock<>;
  constexpr uint32_t kLast = kSec - 1;
  const struct {
    const char* name;
    ClockOffsets offsets;
  } kRows[] = {
      {"none", {}},
      {"forward", {{1'000'000, 0}, {5, 0}}},
      {"back", {{-100, 0}, {-1, 0}}},
      {"a carry in each read", {{0, kLast}, {1, kLast}}},
      {"back by a fraction", {{-1, 1}, {-1, 500'000'000}}},
      {"below zero", {{-1'000'000, 3}, {-1'000'000, 4}}},
      {"one of the two", {{0, 0}, {7, 7}}},
      {"around", {{INT64_MAX, kLast}, {INT64_MIN, 1}}},
  };
  for (const auto& row : kRows) {
    SCOPED_TRACE(row.name);
    TestPage<> test;
    vvar_offsets page = {};
    FormatOffsets(page, row.offsets);
    Reader<Clock, PageMemory, OffsetPage<>> on_page;
    ASSERT_EQ((Reader<Clock, PageMemory, OffsetPage<>>::Attach(
                  &test.page, sizeof(test.page), 0, test.clock(), &on_page,
                  OffsetPage<>(&page))),
              PageStatus::kOk);
    const Reader<Clock, PageMemory, ClockOffsets> held(
        &test.timeline(), test.clock(), row.offsets);
    test.Warm();
    for (int i = 0; i < 40; ++i) {
      // Past, at and before the start of the newest line.
      test.counter.value += static_cast<uint64_t>(i) * 13'999'973;
      ExpectMovedReads(on_page, test, row.offsets);
      ExpectMovedReads(held, test, row.offsets);
      if (i % 4 == 0) test.Publish();
      if (HasFatalFailure()) return;
    }
  }
}

TEST(ReaderTest, OffsetsMakeNoTimeOutOfAStatus) {
  constexpr ClockOffsets kOffsets = {{1'000'000, 1}, {5, 1}};
  TestPage<> test;
  const Reader<ManualClock<>, PageMemory, ClockOffsets> reader(
      &test.timeline(), test.clock(), kOffsets);
  test.counter.value += 3'600 * kSec;
  ExpectPreciseStatus(reader, ReadStatus::kStale);
  const Reader<ManualClock<>, PageMemory, ClockOffsets> nothing;
  for (const ClockRow& clock : kClockRows) {
    ForEachReadOf(nothing, clock,
                  [&](const char* read, ReadStatus status, uint64_t ns) {
                    EXPECT_EQ(status, ReadStatus::kNotReady) << read;
                    EXPECT_EQ(ns, 0u) << read << " " << clock.name;
                  });
  }
}

template <class Page>
void ExpectReadsAcrossTheWrap() {
  constexpr uint64_t kMask = Page::Clock::kMask;
  // Away from the wrap and before it; with the first line that is published
  // beginning behind it, but read before; and with that line across it.
  for (const uint64_t start :
       {uint64_t{0}, kMask / 2, kMask - 3'000'000, kMask - 1'000'500,
        kMask - 500'500, kMask - 510'000, kMask}) {
    Page test(Page::ConfigOfWidth(), start);
    for (int i = 0; i < 8; ++i) {
      // Which line it is shows only where their slopes differ.
      test.timekeeper.SetFrequency(i % 2 == 0 ? 40'000'000 : -40'000'000);
      ASSERT_EQ(test.Update(500'000), PublishStatus::kPublished);
      for (int j = 0; j < 20; ++j) {
        ExpectExactReads(test);
        if (testing::Test::HasFatalFailure()) return;
        test.counter.value += 100 * static_cast<uint64_t>(j);
      }
    }
  }
}
TEST(ReaderTest, Reads32BitCountersAcrossTheWrap) {
  ExpectReadsAcrossTheWrap<TestPage<32>>();
}
TEST(ReaderTest, Reads40BitCountersAcrossTheWrap) {
  ExpectReadsAcrossTheWrap<TestPage<40>>();
}
TEST(ReaderTest, Reads56BitCountersAcrossTheWrap) {
  ExpectReadsAcrossTheWrap<TestPage<56>>();
}
TEST(ReaderTest, Reads64BitCountersAcrossTheWrap) {
  ExpectReadsAcrossTheWrap<TestPage<64>>();
}

// Trap: T33
TEST(ReaderTest, NoCounterBitIsTakenForAFlag) {
  for (const uint64_t start :
       {uint64_t{0}, uint64_t{1} << 31, (uint64_t{1} << 63) - 1'500,
        uint64_t{1} << 63, UINT64_MAX - 1'500}) {
    TestPage<> test(kTestConfig, start);
    ExpectExactReads(test);
    test.Warm();
    ExpectExactReads(test);
  }
}

// Trap: T12
// Trap: T52
TEST(ReaderTest, StepsComeInOrder) {
  // [R:begin], [R:count], [R:line], [R:end], as asked of memory and counter. On
  // x86 nothing else could tell.
  TestPage<> test;
  test.Warm();
  MemoryScript script;
  test.counter.on_read = [&](CounterRead) { script.NoteCounterRead(); };
  const auto reader = test.MakeReader<ScriptedMemory>();
  const void* seq = &test.timeline().seq;
  for (const ClockRow& clock : kClockRows) {
    SCOPED_TRACE(clock.name);
    const auto expect_order = [&](bool counted) {
      const std::vector<MemoryEvent>& events = script.events;
      ASSERT_GE(events.size(), 5u);
      size_t at = 0;
      EXPECT_EQ(events[at].op, MemoryOp::kLoadAcquire);
      EXPECT_EQ(events[at++].word, seq);
      if (counted) {
        EXPECT_EQ(events[at++].op, MemoryOp::kCounterRead);
      }
      for (; at + 2 < events.size(); ++at) {
        EXPECT_EQ(events[at].op, MemoryOp::kLoad) << at;
        EXPECT_NE(events[at].word, seq) << at;
      }
      EXPECT_EQ(events[at++].op, MemoryOp::kFenceAcquire);
      EXPECT_EQ(events[at].op, MemoryOp::kLoad);
      EXPECT_EQ(events[at].word, seq);
      script.Forget();
    };
    (void)reader.Now(clock.id);
    expect_order(!clock.coarse);
    (void)reader.NowTimespec(clock.id);
    expect_order(!clock.coarse);
    (void)reader.NowUnordered(clock.id);
    expect_order(!clock.coarse);
    if (clock.coarse) {
      (void)reader.NowCoarse(clock.id);
      expect_order(false);
    } else {
      (void)reader.Interval(clock.id);
      expect_order(true);
    }
  }
  SnapshotReading snapshot;
  (void)reader.Snapshot(&snapshot);
  EXPECT_EQ(script.events[1].op, MemoryOp::kCounterRead);
}

TEST(ReaderTest, EachKindReadsTheCounterInItsOwnWay) {
  TestPage<> test;
  test.Warm();
  const auto reader = test.MakeReader();
  const auto reads = [&](CounterRead kind) {
    const uint32_t n = test.counter.ReadsOf(kind);
    test.counter.reads[static_cast<uint32_t>(kind)] = 0;
    return n;
  };
  for (uint32_t& n : test.counter.reads) n = 0;
  test.counter.last_after = 0;
  (void)reader.Now(ClockId::kMonotonic);
  EXPECT_EQ(reads(CounterRead::kOrdered), 1u);
  EXPECT_EQ(test.counter.last_after, test.timeline().seq) << "[R:begin] before";
  (void)reader.NowTimespec(ClockId::kTai);
  (void)reader.Interval(ClockId::kRealtime);
  SnapshotReading snapshot;
  (void)reader.Snapshot(&snapshot);
  EXPECT_EQ(reads(CounterRead::kOrdered), 3u);
  (void)reader.NowUnordered(ClockId::kMonotonic);
  (void)reader.NowTimespecUnordered(ClockId::kMonotonic);
  (void)reader.Age();
  EXPECT_EQ(reads(CounterRead::kUnordered), 3u);
  (void)reader.NowCoarse(ClockId::kMonotonicCoarse);
  (void)reader.Now(ClockId::kRealtimeCoarse);
  (void)reader.NowTimespecUnordered(ClockId::kRealtimeCoarse);
  (void)reader.Now(static_cast<ClockId>(2));
  EXPECT_EQ(test.counter.ReadsInAll(), 0u) << "coarse clocks need no counter";
}

TEST(ReaderTest, SnapshotEqualsTheSingleReads) {
  TestPage<> test;
  test.timekeeper.SetErrorBound(5'000, 100);
  test.timekeeper.SetStatus(ClockStatus::kSynchronised);
  test.Warm();
  for (int i = 0; i < 50; ++i) {
    test.counter.value += 12'345;
    const auto reader = test.MakeReader();
    SnapshotReading snapshot;
    ASSERT_EQ(reader.Snapshot(&snapshot), ReadStatus::kOk);
    EXPECT_EQ(snapshot.cycles, test.counter.value);
    EXPECT_EQ(snapshot.realtime_ns, reader.Now(ClockId::kRealtime).ns);
    EXPECT_EQ(snapshot.monotonic_ns, reader.Now(ClockId::kMonotonic).ns);
    EXPECT_EQ(snapshot.monotonic_raw_ns, reader.Now(ClockId::kMonotonicRaw).ns);
    EXPECT_EQ(snapshot.boottime_ns, reader.Now(ClockId::kBoottime).ns);
    EXPECT_EQ(snapshot.tai_ns, reader.Now(ClockId::kTai).ns);
    EXPECT_EQ(snapshot.realtime_coarse_ns,
              reader.Now(ClockId::kRealtimeCoarse).ns);
    EXPECT_EQ(snapshot.monotonic_coarse_ns,
              reader.Now(ClockId::kMonotonicCoarse).ns);
    EXPECT_EQ(snapshot.tai_offset_sec, 37);
    EXPECT_EQ(snapshot.leap_state, VVAR_LEAP_NONE);
    EXPECT_EQ(snapshot.clock_status, ClockStatus::kSynchronised);
    const IntervalReading interval = reader.Interval(ClockId::kTai);
    EXPECT_EQ(interval.latest_ns - interval.earliest_ns,
              2 * snapshot.error_ns + 1);
    EXPECT_EQ(interval.clock_status, ClockStatus::kSynchronised);
  }
}

TEST(ReaderTest, SnapshotSaysTheCounterValueItRead) {
  // Also when the counter has wrapped since the line began: the bits above its
  // width are zero, as in every counter value.
  TestPage<32> test(TestPage<32>::ConfigOfWidth(), UINT32_MAX - 500'000);
  for (int i = 0; i < 4; ++i) {
    test.counter.value += 200'000;
    SnapshotReading snapshot;
    ASSERT_EQ(test.MakeReader().Snapshot(&snapshot), ReadStatus::kOk);
    EXPECT_EQ(snapshot.cycles, test.counter.value & UINT32_MAX);
  }
}

TEST(ReaderTest, SnapshotLeavesItsResultAloneUnlessOk) {
  TestPage<> test;
  test.counter.value += 100 * kSec;
  SnapshotReading snapshot;
  memset(&snapshot, 0xa5, sizeof snapshot);
  const SnapshotReading before = snapshot;
  EXPECT_EQ(test.MakeReader().Snapshot(&snapshot), ReadStatus::kStale);
  EXPECT_EQ(memcmp(&snapshot, &before, sizeof snapshot), 0);
}

TEST(ReaderTest, IntervalHoldsTheTimeAndWidensWithAge) {
  TestPage<> test;
  test.timekeeper.SetErrorBound(10'000, 50'000);
  test.timekeeper.SetStatus(ClockStatus::kSynchronised);
  ASSERT_EQ(test.Update(), PublishStatus::kPublished);
  test.counter.value = test.line().cycle_start;
  uint64_t last_width = 0;
  for (int i = 0; i < 1'000; ++i) {
    for (const ClockRow& clock : kClockRows) {
      if (clock.coarse) continue;
      const IntervalReading interval = test.MakeReader().Interval(clock.id);
      ASSERT_TRUE(interval.ok());
      ASSERT_EQ(interval.clock_status, ClockStatus::kSynchronised);
      // The exact time, with its fraction, and the bound around it.
      const uint64_t age_ns = test.counter.value - test.line().cycle_start;
      const uint64_t floor_ns = test.Expected(clock);
      const uint64_t least_ns = 10'000 + age_ns * 50'000 / kSec;
      ASSERT_LE(interval.earliest_ns, floor_ns - least_ns);
      ASSERT_GE(interval.latest_ns, floor_ns + 1 + least_ns);
      const uint64_t width = interval.latest_ns - interval.earliest_ns;
      // Not too wide: 5 %, or a second's growth.
      ASSERT_LE(width, 2 * (least_ns + least_ns / 20 + 50'000 + 10));
      ASSERT_GE(width, last_width);
      last_width = width;
    }
    test.counter.value += 9'999'999;
  }
}

TEST(ReaderTest, IntervalHoldsTheTimeWhateverTheBound) {
  // An owner that knows nothing says UINT64_MAX; one that has just booted has a
  // bound beyond its time since boot.
  for (const uint64_t error_ns :
       {uint64_t{0}, uint64_t{1}, 1'000 * kSec, 1'001 * kSec, 100'000 * kSec,
        (uint64_t{1} << 63) - 10, uint64_t{1} << 63, UINT64_MAX - 5,
        UINT64_MAX}) {
    TestPage<> test;
    test.timekeeper.SetErrorBound(error_ns, 0);
    ASSERT_EQ(test.Update(), PublishStatus::kPublished);
    test.counter.value = test.line().cycle_start;
    const auto reader = test.MakeReader();
    const uint64_t now_ns = reader.Now(ClockId::kMonotonic).ns;
    const IntervalReading interval = reader.Interval(ClockId::kMonotonic);
    ASSERT_TRUE(interval.ok());
    EXPECT_LE(interval.earliest_ns, now_ns) << error_ns;
    EXPECT_GT(interval.latest_ns, now_ns) << error_ns;
    EXPECT_GE(interval.latest_ns - now_ns,
              std::min(error_ns, UINT64_MAX - now_ns))
        << error_ns;
  }
}

// Trap: T112
TEST(ReaderTest, DeadWritersIntervalWidensThenGoesStale) {
  TestPage<> test;
  test.timekeeper.SetErrorBound(1'000, 500'000);
  ASSERT_EQ(test.Update(), PublishStatus::kPublished);
  const auto reader = test.MakeReader();
  const uint64_t start = test.line().cycle_start;
  uint64_t last_width = 0;
  for (uint64_t age = 0; age <= test.line().max_cycles; age += kSec / 10) {
    test.counter.value = start + age;
    const IntervalReading interval = reader.Interval(ClockId::kRealtime);
    ASSERT_TRUE(interval.ok());
    const uint64_t width = interval.latest_ns - interval.earliest_ns;
    ASSERT_GE(width, 2 * (1'000 + age / 2'000)) << "500 ppm on each side";
    ASSERT_GE(width, last_width);
    last_width = width;
  }
  test.counter.value = start + test.line().max_cycles + 1;
  const IntervalReading stale = reader.Interval(ClockId::kRealtime);
  EXPECT_EQ(stale.status, ReadStatus::kStale);
  EXPECT_EQ(stale.earliest_ns, 0u);
  EXPECT_EQ(stale.latest_ns, 0u);
}

TEST(ReaderTest, AgeIsTheTimeSinceTheLineBegan) {
  TestPage<> test;
  test.timekeeper.SetStatus(ClockStatus::kSynchronised);
  ASSERT_EQ(test.Update(), PublishStatus::kPublished);
  const auto reader = test.MakeReader();
  const uint64_t start = test.line().cycle_start;
  const uint64_t max_cycles = test.line().max_cycles;
  const struct {
    const char* name;
    uint64_t age;
    ReadStatus status;
  } kRows[] = {
      {"begins", 0, ReadStatus::kOk},
      {"a millisecond", 1'000'000, ReadStatus::kOk},
      {"at the limit", max_cycles, ReadStatus::kOk},
      {"just beyond", max_cycles + 1, ReadStatus::kStale},
      {"a day", 86'400 * kSec, ReadStatus::kStale},
  };
  for (const auto& row : kRows) {
    SCOPED_TRACE(row.name);
    test.counter.value = start + row.age;
    const AgeReading age = reader.Age();
    EXPECT_EQ(age.status, row.status);
    EXPECT_EQ(age.age_ns, row.age);
    EXPECT_EQ(age.clock_status, ClockStatus::kSynchronised);
  }
}

TEST(ReaderTest, AgeIsThatOfTheLineThatAnswers) {
  TestPage<> test;
  test.Warm();
  const uint64_t previous_start = test.line().cycle_start;
  const Scale previous_scale = test.line().scale;
  ASSERT_EQ(test.Publish(), PublishStatus::kPublished);
  ASSERT_LT(test.counter.value, test.line().cycle_start);
  const AgeReading before = test.MakeReader().Age();
  EXPECT_EQ(before.status, ReadStatus::kOk);
  EXPECT_EQ(before.age_ns,
            CyclesToNs(test.counter.value - previous_start, previous_scale, 0));
  test.counter.value = test.line().cycle_start;
  EXPECT_EQ(test.MakeReader().Age().age_ns, 0u);
}

TEST(ReaderTest, AgeIsHugeWhereTheCounterIsFarBehind) {
  // "Huge" is at least more than any line may live, however far behind; also
  // where so many cycles last longer than 2^64 ns.
  for (const uint64_t hz : {uint64_t{1'000'000}, uint64_t{24'000'000}, kSec}) {
    for (const int64_t ppb : {0, 1, 12'345}) {
      TimekeeperConfig config = kTestConfig;
      config.counter_hz = hz;
      config.max_age_ns = 3'600 * kSec;
      TestPage<> test(config, uint64_t{1} << 62);
      test.timekeeper.SetFrequency(ppb);
      for (int i = 0; i < 2; ++i) {
        ASSERT_EQ(test.Update(), PublishStatus::kPublished);
      }
      const uint64_t start = test.previous.cycle_start;
      const uint64_t max_cycles = test.previous.max_cycles;
      for (uint64_t i = 0; i < 5'000; ++i) {
        test.counter.value = start - max_cycles - 1 - i * (max_cycles / 1'000);
        const AgeReading age = test.MakeReader().Age();
        ASSERT_EQ(age.status, ReadStatus::kStale) << hz;
        ASSERT_GT(age.age_ns, config.max_age_ns)
            << hz << " Hz, " << ppb << " ppb, " << start - test.counter.value
            << " cycles behind";
      }
    }
  }
}

// Trap: T27
TEST(ReaderTest, UnpublishedPageIsNotReady) {
  static vvar_page page;
  page = {};
  ManualCounter counter;
  const Reader<ManualClock<>> attached(&page.timeline[0],
                                       ManualClock<>(&counter));
  const Reader<ManualClock<>> nothing;
  for (const auto* reader : {&attached, &nothing}) {
    for (const uint64_t now : {uint64_t{0}, uint64_t{1} << 40, UINT64_MAX}) {
      counter.value = now;
      for (const ClockRow& clock : kClockRows) {
        ForEachReadOf(*reader, clock,
                      [&](const char* read, ReadStatus status, uint64_t ns) {
                        EXPECT_EQ(status, ReadStatus::kNotReady)
                            << read << " " << clock.name;
                        EXPECT_EQ(ns, 0u) << read << " " << clock.name;
                      });
      }
      EXPECT_EQ(reader->Age().status, ReadStatus::kNotReady);
      EXPECT_EQ(reader->Publications(), 0u);
    }
  }
}

TEST(ReaderTest, CounterBeforeTheFirstLineIsNotReady) {
  // There is no line for that instant. A skewed CPU may meet it right after the
  // very first publication, and never again.
  TestPage<> test;
  test.counter.value -= 1;
  ExpectPreciseStatus(test.MakeReader(), ReadStatus::kNotReady);
}

// Trap: T88
// Trap: T94
TEST(ReaderTest, UnknownClockIsItsOwnStatus) {
  TestPage<> test;
  test.Warm();
  const auto reader = test.MakeReader();
  std::vector<int64_t> ids = {INT_MIN, INT_MIN + 1, INT_MAX, INT_MAX - 1,
                              1 << 8,  1 << 16,     256,     257,
                              65'536,  65'537};
  // 64 either side of 0 hold Linux's CPU clocks, process clocks and fd clocks
  // ((~fd << 3) | 3) of small descriptors; these, of every descriptor.
  for (int64_t id = -64; id <= 64; ++id) ids.push_back(id);
  for (int fd = 0; fd < 1'000; ++fd) ids.push_back((~fd << 3) | 3);
  for (int bit = 4; bit < 31; ++bit) {
    ids.push_back(int64_t{1} << bit);
    ids.push_back(-(int64_t{1} << bit));
  }
  for (const int64_t number : ids) {
    const auto id = static_cast<ClockId>(number);
    const auto* row =
        std::find_if(std::begin(kClockRows), std::end(kClockRows),
                     [&](const ClockRow& clock) { return clock.id == id; });
    const bool known = row != std::end(kClockRows);
    const ReadStatus expected =
        known ? ReadStatus::kOk : ReadStatus::kUnknownClock;
    EXPECT_EQ(reader.Now(id).status, expected) << number;
    EXPECT_EQ(reader.NowUnordered(id).status, expected) << number;
    EXPECT_EQ(reader.NowTimespec(id).status, expected) << number;
    EXPECT_EQ(reader.NowTimespecUnordered(id).status, expected) << number;
    EXPECT_EQ(reader.NowCoarse(id).status, known && row->coarse
                                               ? ReadStatus::kOk
                                               : ReadStatus::kUnknownClock)
        << number;
    EXPECT_EQ(reader.Interval(id).status, known && !row->coarse
                                              ? ReadStatus::kOk
                                              : ReadStatus::kUnknownClock)
        << number;
    if (!known) {
      EXPECT_EQ(reader.Now(id).ns, 0u) << number;
    }
  }
}

// Trap: T29
TEST(ReaderTest, LoadsEachFieldOnce) {
  // But seq, twice, and the date of the line that answers, whose further loads
  // are only compared with the first: see the test below.
  TestPage<> test;
  test.Warm();
  ASSERT_EQ(test.Publish(), PublishStatus::kPublished);
  const vvar_timeline& timeline = test.timeline();
  const auto reader = test.MakeReader<ScriptedMemory>();
  for (const bool begun : {false, true}) {
    test.counter.value = test.line().cycle_start - (begun ? 0 : 1);
    const uint32_t current = (timeline.seq >> 1) & 1;
    const void* date =
        &timeline.slot[begun ? current : 1 - current].cycle_start;
    MemoryScript script;
    const auto expect_once = [&](const char* read, const char* clock,
                                 bool dated) {
      EXPECT_EQ(script.LoadsOf(&timeline.seq), 2u) << read << " " << clock;
      EXPECT_EQ(script.LoadsOf(date) >= 2, dated) << read << " " << clock;
      for (const auto& [word, loads] : script.loads) {
        if (word == &timeline.seq || word == date) continue;
        EXPECT_EQ(loads, 1u) << read << " " << clock << ", offset "
                             << static_cast<const char*>(word) -
                                    reinterpret_cast<const char*>(&timeline);
      }
      script.Forget();
    };
    for (const ClockRow& clock : kClockRows) {
      (void)reader.Now(clock.id);
      expect_once("Now", clock.name, !clock.coarse);
      (void)reader.NowTimespec(clock.id);
      expect_once("NowTimespec", clock.name, !clock.coarse);
      (void)reader.NowUnordered(clock.id);
      expect_once("NowUnordered", clock.name, !clock.coarse);
      if (clock.coarse) {
        (void)reader.NowCoarse(clock.id);
        expect_once("NowCoarse", clock.name, false);
      } else {
        (void)reader.Interval(clock.id);
        expect_once("Interval", clock.name, true);
      }
    }
    SnapshotReading snapshot;
    (void)reader.Snapshot(&snapshot);
    expect_once("Snapshot", "", true);
    (void)reader.Age();
    expect_once("Age", "", true);
  }
}

// Trap: T29
TEST(ReaderTest, FurtherLoadsOfTheDateAreOnlyCompared) {
  TestPage<> test;
  test.Warm();
  const auto reader = test.MakeReader<ScriptedMemory>();
  const vvar_timeline& timeline = test.timeline();
  const void* date = &timeline.slot[(timeline.seq >> 1) & 1].cycle_start;
  for (const ClockRow& clock : kClockRows) {
    if (clock.coarse) continue;
    const IntervalReading expected = test.MakeReader().Interval(clock.id);
    for (const uint64_t lie : {uint64_t{1}, uint64_t{1} << 32, UINT64_MAX}) {
      for (uint32_t lie_at = 2; lie_at <= 3; ++lie_at) {
        // The lie costs one more try, and shows in nothing.
        MemoryScript script;
        script.value_of = [&](const void* word, uint32_t nth, uint64_t value) {
          return word == date && nth == lie_at ? value + lie : value;
        };
        test.counter.relaxes = 0;
        EXPECT_EQ(reader.Now(clock.id).ns, test.Expected(clock)) << clock.name;
        const uint32_t loads = script.LoadsOf(date);
        EXPECT_EQ(test.counter.relaxes, lie_at <= loads ? 1u : 0u)
            << "load " << lie_at << " of " << loads;
        script.Forget();
        test.counter.relaxes = 0;
        EXPECT_EQ(reader.Interval(clock.id).latest_ns, expected.latest_ns);
        EXPECT_EQ(test.counter.relaxes,
                  lie_at <= script.LoadsOf(date) ? 1u : 0u);
      }
    }
  }
}

// Trap: T20
TEST(ReaderTest, SequenceAbaIsCaughtByDate) {
  // The reader sleeps before its load number `sleep`, while seq goes round,
  // 2^31 publications, and comes back to the same value with other words.
  TestPage<> test;
  test.timekeeper.SetErrorBound(1'000'000, 0);
  test.Warm();
  const SeqToken seq = test.timeline().seq;
  const vvar_timeline old_page = test.timeline();
  const Line old_line = test.line();
  test.timekeeper.SetErrorBound(9'000'000, 0);
  test.timekeeper.SetTaiOffset(1'000);
  test.timekeeper.StepRealtime(3'333'333'333'333);
  test.timekeeper.SetFrequency(1'000'000);
  test.timekeeper.SetRawFrequency(1'000'000);
  ASSERT_EQ(test.Update(), PublishStatus::kPublished);
  ASSERT_EQ(test.Update(), PublishStatus::kPublished);
  test.counter.value = test.line().cycle_start + 777;
  vvar_timeline new_page = test.timeline();
  const Line new_line = test.line();
  ASSERT_EQ((new_page.seq - seq) % 4, 0u) << "the same slot is current";
  new_page.seq = seq;

  const auto reader = test.MakeReader<ScriptedMemory>();
  enum Kind { kNow, kTimespec, kInterval, kSnapshot };
  for (const Kind kind : {kNow, kTimespec, kInterval, kSnapshot}) {
    for (const ClockRow& clock : kClockRows) {
      if (clock.coarse) continue;
      const uint64_t old_ns =
          ExpectedNs(old_line, clock, test.counter.value, 64);
      const uint64_t new_ns =
          ExpectedNs(new_line, clock, test.counter.value, 64);
      for (uint32_t sleep = 1; sleep <= 40; ++sleep) {
        test.timeline() = old_page;
        uint32_t loads = 0;
        MemoryScript script;
        script.on_load = [&](const void*, uint32_t) {
          if (++loads == sleep) test.timeline() = new_page;
        };
        uint64_t ns = 0;
        uint64_t error_ns = 0;
        int32_t tai = 0;
        ReadStatus status = ReadStatus::kOk;
        if (kind == kNow) {
          const NsReading reading = reader.Now(clock.id);
          ns = reading.ns;
          status = reading.status;
        } else if (kind == kTimespec) {
          const TimespecReading reading = reader.NowTimespec(clock.id);
          ns = TimespecToNs({reading.sec, reading.nsec});
          status = reading.status;
        } else if (kind == kInterval) {
          const IntervalReading reading = reader.Interval(clock.id);
          error_ns = (reading.latest_ns - reading.earliest_ns) / 2;
          ns = reading.earliest_ns + error_ns;
          status = reading.status;
        } else {
          SnapshotReading reading;
          status = reader.Snapshot(&reading);
          const uint64_t at[] = {reading.realtime_ns, reading.monotonic_ns,
                                 reading.monotonic_raw_ns, reading.boottime_ns,
                                 reading.tai_ns};
          ns = at[clock.index];
          error_ns = reading.error_ns;
          tai = reading.tai_offset_sec;
        }
        ASSERT_EQ(status, ReadStatus::kOk);
        ASSERT_TRUE(ns == old_ns || ns == new_ns)
            << clock.name << ", asleep before load " << sleep;
        if (kind == kInterval || kind == kSnapshot) {
          ASSERT_EQ(error_ns > 5'000'000, ns == new_ns)
              << (kind == kInterval ? "Interval " : "Snapshot ") << clock.name
              << " has the time of one line and the bound of another, asleep "
              << "before load " << sleep;
        }
        if (kind == kSnapshot) {
          ASSERT_EQ(tai == 1'000, ns == new_ns);
        }
      }
    }
  }
}

// Trap: T30
// Trap: T118
TEST(ReaderTest, BeyondMaxCyclesIsStale) {
  TestPage<> test;
  test.Warm();
  const uint64_t start = test.line().cycle_start;
  const uint64_t max_cycles = test.line().max_cycles;
  EXPECT_EQ(max_cycles, 10 * kSec);
  for (const uint64_t delta : {uint64_t{0}, max_cycles - 1, max_cycles}) {
    test.counter.value = start + delta;
    ExpectExactReads(test);
  }
  for (const uint64_t delta :
       {max_cycles + 1, max_cycles * 2, uint64_t{1} << 40, uint64_t{1} << 62,
        (uint64_t{1} << 63) - 1}) {
    test.counter.value = start + delta;
    ExpectPreciseStatus(test.MakeReader(), ReadStatus::kStale);
  }
}

// Trap: T118
TEST(ReaderTest, OldPageIsStale) {
  // The writer dies; readers say so at the age limit, and for good.
  TestPage<32> test;
  test.Warm();
  test.counter.value = test.line().cycle_start + test.line().max_cycles;
  EXPECT_TRUE(test.MakeReader().Now(ClockId::kMonotonic).ok());
  for (int i = 0; i < 2'000; ++i) {
    test.counter.value += 1'000'000;
    const NsReading reading = test.MakeReader().Now(ClockId::kMonotonic);
    const uint64_t age =
        support::Ticks(test.counter.value, test.line().cycle_start, 32);
    // A 32-bit counter comes round: what no reader can tell from a fresh page.
    if (age > test.line().max_cycles && age < uint64_t{3} << 30) {
      ASSERT_EQ(reading.status, ReadStatus::kStale) << age;
    }
  }
  test.counter.value = test.line().cycle_start;
  ASSERT_EQ(test.Update(), PublishStatus::kPublished);
  EXPECT_TRUE(test.MakeReader().Now(ClockId::kMonotonic).ok())
      << "a new writer";
}

// Trap: T31
TEST(ReaderTest, CounterBeforeLineUsesPreviousLine) {
  for (const int64_t ppb : {50'000'000, -50'000'000}) {
    TestPage<> test;
    test.Warm();
    test.timekeeper.SetFrequency(ppb);
    test.timekeeper.StepRealtime(-1'000'000'000);
    ASSERT_EQ(test.Publish(), PublishStatus::kPublished);
    const uint64_t start = test.line().cycle_start;
    const uint64_t before = test.previous.cycle_start;
    for (const uint64_t now : {start - 1, start - 2, start - 500, before + 1,
                               before, start, start + 1}) {
      test.counter.value = now;
      ExpectExactReads(test);  // Each clock on the line that is valid at `now`.
    }
  }
}

// Trap: T31
TEST(ReaderTest, CounterBeforeLineClampsWhenPreviousIsGone) {
  TestPage<> test;
  test.Warm();
  ASSERT_EQ(test.Publish(), PublishStatus::kPublished);
  // The next publication has begun: the idle slot is being rewritten.
  ++test.timeline().seq;
  memset(&test.timeline().slot[((test.timeline().seq >> 1) & 1) ^ 1], 0xa5,
         sizeof(vvar_slot));
  const uint64_t start = test.line().cycle_start;
  for (const uint64_t behind : {uint64_t{1}, uint64_t{500}, 10 * kSec}) {
    test.counter.value = start - behind;
    for (const ClockRow& clock : kClockRows) {
      const uint64_t expected = ExpectedNs(test.line(), clock, start, 64);
      ForEachReadOf(test.MakeReader(), clock,
                    [&](const char* read, ReadStatus status, uint64_t ns) {
                      EXPECT_EQ(status, ReadStatus::kOk) << read;
                      EXPECT_EQ(ns, expected)
                          << read << " " << clock.name << " " << behind;
                    });
    }
  }
}

// Trap: T31
TEST(ReaderTest, CounterBeforeBothLinesCountsAsTheStartOfThePrevious) {
  TestPage<> test;
  test.Warm();
  ASSERT_EQ(test.Publish(), PublishStatus::kPublished);
  const uint64_t start = test.previous.cycle_start;
  for (const uint64_t behind :
       {uint64_t{1}, uint64_t{1'000'000}, test.previous.max_cycles}) {
    test.counter.value = start - behind;
    const NsReading reading = test.MakeReader().Now(ClockId::kMonotonic);
    EXPECT_TRUE(reading.ok());
    EXPECT_EQ(reading.ns, ExpectedNs(test.previous, kClockRows[1], start, 64));
  }
}

TEST(ReaderTest, CounterFarBehindIsStale) {
  // By more than a line's whole span it is no skew: another counter, or one
  // that was reset.
  TestPage<> test(kTestConfig, uint64_t{1} << 62);
  test.Warm();
  ASSERT_EQ(test.Publish(), PublishStatus::kPublished);
  const uint64_t start = test.previous.cycle_start;
  for (const bool odd : {false, true}) {
    if (odd) ++test.timeline().seq;
    for (const uint64_t behind :
         {test.previous.max_cycles + 2'000'000, uint64_t{1} << 40,
          uint64_t{1} << 61, (uint64_t{1} << 62) + 5}) {
      test.counter.value = start - behind;
      ExpectPreciseStatus(test.MakeReader(), ReadStatus::kStale);
    }
  }
}

// Trap: T35
TEST(ReaderTest, CoarseNeverExceedsPrecise) {
  EdgyRandom random(35);
  TestPage<> test;
  const auto reader = test.MakeReader();
  for (int i = 0; i < 20'000; ++i) {
    if (random.OneIn(3)) {
      test.timekeeper.SetFrequency(random.EdgySigned(26));
      test.timekeeper.Slew(random.EdgySigned(30), 500'000);
      if (random.OneIn(4)) test.timekeeper.StepRealtime(random.EdgySigned(33));
      test.Publish();
    }
    // Coarse first: what happens after it may not be earlier.
    const uint64_t monotonic = reader.NowCoarse(ClockId::kMonotonicCoarse).ns;
    const uint64_t realtime = reader.NowCoarse(ClockId::kRealtimeCoarse).ns;
    ASSERT_LE(monotonic, reader.Now(ClockId::kMonotonic).ns) << i;
    ASSERT_LE(realtime, reader.Now(ClockId::kRealtime).ns) << i;
    test.counter.value += random.Below(3'000);
    ASSERT_LE(monotonic, reader.Now(ClockId::kMonotonic).ns) << i;
  }
}

TEST(ReaderTest, CoarseNanosecondsAreBelowASecondWhateverThePageSays) {
  TestPage<> test;
  for (vvar_slot& slot : test.timeline().slot) {
    slot.coarse[VVAR_COARSE_MONOTONIC].nsec = 1'000'000'000;
    slot.coarse[VVAR_COARSE_REALTIME].nsec = UINT32_MAX;
  }
  const Reader<ManualClock<>, PageMemory, ClockOffsets> moved(
      &test.timeline(), test.clock(), {{0, 999'999'999}, {0, 0}});
  Reader<ManualClock<>>::Pair pair;
  ASSERT_EQ(test.MakeReader().CopyLines(&pair), ReadStatus::kOk);
  for (const ClockRow& clock : kClockRows) {
    if (!clock.coarse) continue;
    EXPECT_EQ(test.MakeReader().NowTimespec(clock.id).nsec, kSec - 1);
    EXPECT_EQ(pair.coarse[clock.index].nsec, kSec - 1);
    EXPECT_LT(moved.NowTimespec(clock.id).nsec, kSec);
  }
}

// Trap: T55
TEST(ReaderTest, EqualCounterReadsAreMonotone) {
  // A counter of 1 MHz stands still for many reads, updates and all.
  TimekeeperConfig config = kTestConfig;
  config.counter_hz = 1'000'000;
  config.lead_ns = 3'000;
  TestPage<> test(config);
  const auto reader = test.MakeReader();
  EdgyRandom random(55);
  uint64_t last[VVAR_BASES] = {};
  for (int i = 0; i < 20'000; ++i) {
    if (random.OneIn(4)) ++test.counter.value;
    if (random.OneIn(8)) {
      test.timekeeper.SetFrequency(random.OneIn(2) ? 50'000'000 : -50'000'000);
      (void)test.Publish();
    }
    for (const ClockRow& clock : kClockRows) {
      if (clock.coarse) continue;
      const NsReading reading = reader.Now(clock.id);
      ASSERT_TRUE(reading.ok());
      ASSERT_GE(reading.ns, last[clock.index]) << clock.name;
      last[clock.index] = reading.ns;
    }
  }
}

// Trap: T44
TEST(ReaderTest, SeesRateChange) {
  TestPage<> test;
  const auto reader = test.MakeReader();
  const auto ns_of = [&](uint64_t cycles) {
    const uint64_t before = reader.Now(ClockId::kMonotonic).ns;
    test.counter.value += cycles;
    return reader.Now(ClockId::kMonotonic).ns - before;
  };
  EXPECT_EQ(ns_of(1'000'000), 1'000'000u);
  test.timekeeper.SetFrequency(50'000'000);
  test.Publish();
  test.counter.value = test.line().cycle_start;
  EXPECT_NEAR(static_cast<double>(ns_of(1'000'000)), 1'050'000, 1);
  test.timekeeper.SetFrequency(-50'000'000);
  test.Publish();
  test.counter.value = test.line().cycle_start;
  EXPECT_NEAR(static_cast<double>(ns_of(1'000'000)), 950'000, 1);
}

// Publishes the current line anew, with another counter.
template <class Page>
void PublishWithCounter(Page& test, uint32_t counter_id) {
  Line line = test.line();
  line.counter_id = counter_id;
  test.writer.PublishLine(line);
}

// Trap: T54
TEST(ReaderTest, CounterCanBeWithdrawnWhileReading) {
  TestPage<> test;
  test.Warm();
  const auto reader = test.MakeReader();
  ExpectExactReads(test);
  PublishWithCounter(test, VVAR_COUNTER_NONE);
  // At the counter's date, before it, and far from it: it has no say any more.
  const uint64_t now = test.counter.value;
  for (const uint64_t value :
       {now, test.line().cycle_start - 1, uint64_t{0}, UINT64_MAX}) {
    test.counter.value = value;
    ExpectPreciseStatus(reader, ReadStatus::kNoCounter);
    EXPECT_EQ(reader.Age().status, ReadStatus::kNoCounter);
  }
  // And given back.
  test.counter.value = now;
  PublishWithCounter(test, kManualCounterId);
  ExpectExactReads(test);
}

// Trap: T59
TEST(ReaderTest, ModeChangeDuringReadIsNotAccepted) {
  // The withdrawal happens between any two loads of the read. What comes back
  // is the time from before it, or the refusal: not a time by a dead counter
  // once the page says so at [R:end].
  for (uint32_t when = 1; when <= 12; ++when) {
    for (const ClockRow& clock : kClockRows) {
      if (clock.coarse) continue;
      TestPage<> test;
      test.Warm();
      const auto reader = test.MakeReader<ScriptedMemory>();
      const uint64_t expected = test.Expected(clock);
      uint32_t loads = 0;
      MemoryScript script;
      script.on_load = [&](const void*, uint32_t) {
        if (++loads != when) return;
        PublishWithCounter(test, VVAR_COUNTER_NONE);
        // What the counter says from now on is worth nothing.
        test.counter.value += 5'000'000;
      };
      const NsReading reading = reader.Now(clock.id);
      const bool before_end = loads >= when;
      ASSERT_EQ(reading.status,
                before_end ? ReadStatus::kNoCounter : ReadStatus::kOk)
          << clock.name << " at load " << when;
      if (!before_end) {
        ASSERT_EQ(reading.ns, expected);
      }
    }
  }
}

// Trap: T62
TEST(ReaderTest, ForeignCounterIdentityIsRefused) {
  // Out of band when attaching, and in band when it changes later.
  TestPage<> test;
  test.Warm();
  TestPage<>::Reader<> reader;
  EXPECT_EQ(
      reader.Attach(&test.page, sizeof test.page, 0, test.clock(), &reader),
      PageStatus::kOk);
  using OtherClock = ManualClock<64, VVAR_COUNTER_X86_TSC>;
  Reader<OtherClock> other;
  EXPECT_EQ(other.Attach(&test.page, sizeof test.page, 0,
                         OtherClock(&test.counter), &other),
            PageStatus::kWrongCounter);
  EXPECT_EQ(other.Now(ClockId::kMonotonic).status, ReadStatus::kNotReady)
      << "untouched";
  const Reader<OtherClock> forced(&test.timeline(), OtherClock(&test.counter));
  ExpectPreciseStatus(forced, ReadStatus::kWrongCounter);

  PublishWithCounter(test, VVAR_COUNTER_X86_TSC);
  ExpectPreciseStatus(reader, ReadStatus::kWrongCounter);
  test.counter.value = test.line().cycle_start - 1;
  ExpectPreciseStatus(reader, ReadStatus::kWrongCounter);
}

TEST(ReaderTest, BusyAfterItsTries) {
  TestPage<> test;
  test.Warm();
  const auto reader = test.MakeReader<ScriptedMemory>();
  constexpr uint32_t kTries = TestPage<>::Reader<>::kMaxTries;
  for (const ClockRow& clock : kClockRows) {
    MemoryScript script;
    const void* seq = &test.timeline().seq;
    script.value_of = [&](const void* word, uint32_t nth, uint64_t value) {
      return word == seq ? 2 * nth : value;  // A close between any two loads.
    };
    uint32_t reads = 0;
    test.counter.relaxes = 0;
    ForEachReadOf(
        reader, clock, [&](const char* read, ReadStatus status, uint64_t ns) {
          ++reads;
          EXPECT_EQ(status, ReadStatus::kBusy) << read << " " << clock.name;
          EXPECT_EQ(ns, 0u) << read << " " << clock.name;
        });
    EXPECT_EQ(script.LoadsOf(seq), 2 * kTries * reads) << clock.name;
    EXPECT_EQ(test.counter.relaxes, kTries * reads) << clock.name;
  }
}

TEST(ReaderTest, AnswersOnItsLastTry) {
  TestPage<> test;
  test.Warm();
  const auto reader = test.MakeReader<ScriptedMemory>();
  const void* seq = &test.timeline().seq;
  const SeqToken settled = test.timeline().seq;
  constexpr uint32_t kTries = TestPage<>::Reader<>::kMaxTries;
  for (const uint32_t tries : {1u, 2u, kTries - 1, kTries, kTries + 1}) {
    MemoryScript script;
    script.value_of = [&](const void* word, uint32_t nth, uint64_t value) {
      return word == seq && nth <= 2 * (tries - 1) ? settled + 2 * nth : value;
    };
    EXPECT_EQ(reader.Now(ClockId::kMonotonic).status,
              tries <= kTries ? ReadStatus::kOk : ReadStatus::kBusy)
        << tries;
  }
}

TEST(ReaderTest, RetriesOnlyWhenAPublicationClosesInsideIt) {
  // O4: on the current line an open is harmless; on the previous one it is not.
  const struct {
    const char* name;
    bool previous;
    SeqToken from_seq;
    SeqToken to_seq;
    uint32_t retries;
  } kRows[] = {
      {"current, nothing", false, 0, 0, 0},
      {"current, opened", false, 0, 1, 0},
      {"current, already open", false, 1, 1, 0},
      {"current, closed", false, 0, 2, 1},
      {"current, open one closed", false, 1, 2, 1},
      {"previous, nothing", true, 0, 0, 0},
      {"previous, opened", true, 0, 1, 1},
      {"previous, closed", true, 0, 2, 1},
  };
  for (const auto& row : kRows) {
    SCOPED_TRACE(row.name);
    TestPage<> test;
    test.Warm();
    ASSERT_EQ(test.Publish(), PublishStatus::kPublished);
    const SeqToken even = test.timeline().seq;
    test.counter.value = test.line().cycle_start;
    if (row.previous) --test.counter.value;
    test.timeline().seq = even + row.from_seq;
    const auto reader = test.MakeReader<ScriptedMemory>();
    MemoryScript script;
    script.on_load = [&](const void* word, uint32_t nth) {
      if (word == &test.timeline().seq && nth == 2) {
        test.timeline().seq = even + row.to_seq;
      }
    };
    test.counter.relaxes = 0;
    EXPECT_TRUE(reader.Now(ClockId::kMonotonic).ok());
    EXPECT_EQ(test.counter.relaxes, row.retries);
  }
}

TEST(ReaderTest, KnowsWhetherItReadsSomethingAndWhichClocksNeedACounter) {
  TestPage<> test;
  EXPECT_TRUE(test.MakeReader().attached());
  EXPECT_FALSE(TestPage<>::Reader<>().attached());
  for (const ClockRow& clock : kClockRows) {
    EXPECT_EQ(TestPage<>::Reader<>::NeedsCounter(clock.id), !clock.coarse);
  }
  for (const int id : {-1, 2, 3, 8, 9, 10, 12, INT_MIN, INT_MAX}) {
    EXPECT_FALSE(TestPage<>::Reader<>::NeedsCounter(static_cast<ClockId>(id)));
  }
}

TEST(ReaderTest, CountsPublications) {
  TestPage<> test;
  const auto reader = test.MakeReader();
  EXPECT_EQ(reader.Publications(), 1u);
  for (uint32_t i = 2; i < 20; ++i) {
    test.Update();
    EXPECT_EQ(reader.Publications(), i);
  }
  ++test.timeline().seq;
  EXPECT_EQ(reader.Publications(), 19u) << "one under way is none";
}

// Trap: T16
TEST(ReaderTest, AnswersWithWriterStoppedAtEveryStore) {
  TestPage<64, ScriptedMemory> test;
  test.Warm();
  test.timekeeper.SetFrequency(49'000'000);
  test.timekeeper.StepRealtime(-123'456'789);
  // Both before the line begins and while the counter goes on past it, for as
  // long as the age limit lets readers go on.
  for (const uint64_t stopped_for :
       {uint64_t{0}, uint64_t{20'000}, uint64_t{100'000'000}}) {
    SCOPED_TRACE(stopped_for);
    const uint64_t now = test.counter.value;
    const Line line = test.line();
    MemoryScript script;
    script.on_store = [&](const void*, uint32_t nth) {
      test.counter.value = now + stopped_for;
      for (const ClockRow& clock : kClockRows) {
        const uint64_t expected =
            ExpectedNs(line, clock, test.counter.value, 64);
        ForEachReadOf(test.MakeReader(), clock,
                      [&](const char* read, ReadStatus status, uint64_t ns) {
                        ASSERT_EQ(status, ReadStatus::kOk)
                            << read << " " << clock.name << " at store " << nth;
                        // The old line, wherever the writer stands.
                        ASSERT_EQ(ns, expected)
                            << read << " " << clock.name << " at store " << nth;
                      });
      }
      test.counter.value = now;
    };
    ASSERT_EQ(test.Publish(), PublishStatus::kPublished);
    ASSERT_FALSE(HasFatalFailure());
    EXPECT_EQ(script.stores, 35u);
    test.counter.value += 1'000'000;
  }
}

// State of the two tests below, for signal handlers.
namespace interrupted {
vvar_page page;
volatile uint64_t counter;
uint64_t failures;
uint64_t reads;
uint64_t last_ns[VVAR_BASES];

void ReadAll() {
  const Reader<WordClock> reader(
      &page.timeline[0], WordClock(const_cast<const uint64_t*>(&counter)));
  for (const ClockRow& clock : kClockRows) {
    const NsReading reading = reader.Now(clock.id);
    ++reads;
    if (!reading.ok()) ++failures;
    if (clock.coarse || clock.id == ClockId::kRealtime ||
        clock.id == ClockId::kTai) {
      continue;  // A step moves these.
    }
    if (reading.ns < last_ns[clock.index]) ++failures;
    last_ns[clock.index] = reading.ns;
  }
}
void Start(Timekeeper& timekeeper, Writer<WordClock>& writer) {
  page = {};
  counter = 1'000'000;
  failures = reads = 0;
  for (uint64_t& ns : last_ns) ns = 0;
  timekeeper.Start(counter, kTestTimes);
  writer.PublishLine(timekeeper.line());
}
}  // namespace interrupted

// Trap: T16
// Trap: T21
TEST(ReaderTest, AnswersWithWriterStoppedAtEveryInstruction) {
  using namespace interrupted;
  Timekeeper timekeeper(kTestConfig);
  Writer<WordClock> writer(&page.timeline[0], WordClock(&counter));
  Start(timekeeper, writer);
  uint64_t instructions = 0;
  for (int i = 0; i < 6; ++i) {
    timekeeper.SetFrequency(i % 2 == 0 ? 50'000'000 : -50'000'000);
    timekeeper.StepRealtime(i % 2 == 0 ? 1'000'000 : -1'000'000);
    counter = counter + 200'000;
    // The counter runs, slowly enough for the publication to be in time.
    instructions +=
        support::SingleStep([&] { (void)writer.Publish(timekeeper); },
                            [](uint64_t instruction) {
                              if (instruction % 8 == 0) counter = counter + 1;
                              ReadAll();
                            });
    for (int j = 0; j < 3'000; ++j) {
      counter = counter + 1;
      ReadAll();
    }
    EXPECT_EQ(failures, 0u) << "publication " << i;
  }
  EXPECT_EQ(page.timeline[0].stats.late_publications, 0u);
  if (instructions == 0) {
    GTEST_SKIP() << "this machine cannot single-step itself";
  }
  EXPECT_GT(instructions, 600u);
}

// Trap: T17
// Could miss: an instruction that no signal happened to interrupt; the test
// above takes each in turn.
TEST(ReaderTest, AnswersInsideHandlerThatInterruptedPublish) {
  using namespace interrupted;
  static volatile sig_atomic_t handled;
  handled = 0;  // Of 50 us timers: a second or less.
  Timekeeper timekeeper(kTestConfig);
  Writer<WordClock> writer(&page.timeline[0], WordClock(&counter));
  Start(timekeeper, writer);
  struct sigaction action = {};
  struct sigaction before = {};
  action.sa_handler = [](int) {
    ReadAll();
    handled = handled + 1;
  };
  ASSERT_EQ(sigaction(SIGALRM, &action, &before), 0);
  const itimerval every = {{0, 50}, {0, 50}};
  ASSERT_EQ(setitimer(ITIMER_REAL, &every, nullptr), 0);
  uint64_t publications = 0;
  for (int i = 0; i < 2'000'000 && handled < 3'000; ++i) {
    timekeeper.SetFrequency(i % 2 == 0 ? 50'000'000 : -50'000'000);
    counter = counter + 2'000;
    if (writer.Publish(timekeeper) == PublishStatus::kPublished) {
      ++publications;
    }
  }
  const itimerval never = {};
  setitimer(ITIMER_REAL, &never, nullptr);
  sigaction(SIGALRM, &before, nullptr);
  EXPECT_EQ(failures, 0u);
  EXPECT_GT(handled, 0);
  EXPECT_GT(publications, 0u);
  printf("%d handlers inside %d publications\n", static_cast<int>(handled),
         static_cast<int>(publications));
}

// Trap: T15
TEST(ReaderTest, RunsOnAReadOnlyMapping) {
  const int file = memfd_create("vvar-test", MFD_CLOEXEC);
  ASSERT_GE(file, 0);
  ASSERT_EQ(ftruncate(file, sizeof(vvar_page)), 0);
  void* writable = mmap(nullptr, sizeof(vvar_page), PROT_READ | PROT_WRITE,
                        MAP_SHARED, file, 0);
  void* read_only =
      mmap(nullptr, sizeof(vvar_page), PROT_READ, MAP_SHARED, file, 0);
  ASSERT_NE(writable, MAP_FAILED);
  ASSERT_NE(read_only, MAP_FAILED);
  auto* page = static_cast<vvar_page*>(writable);
  ManualCounter counter;
  const ManualClock<> clock(&counter);
  FormatPage(*page, support::PageConfigOf(kTestConfig));
  Writer<ManualClock<>> writer(&page->timeline[0], clock);
  Timekeeper timekeeper(kTestConfig);
  timekeeper.Start(0, kTestTimes);
  writer.PublishLine(timekeeper.line());
  Reader<ManualClock<>> reader;
  ASSERT_EQ(reader.Attach(read_only, sizeof(vvar_page), 0, clock, &reader),
            PageStatus::kOk);
  for (int i = 0; i < 100; ++i) {
    counter.value += 100'000;
    if (i % 10 == 9) {
      ASSERT_EQ(writer.Publish(timekeeper), PublishStatus::kPublished);
      counter.value = timekeeper.line().cycle_start;
    }
    for (const ClockRow& row : kClockRows) {
      const uint64_t expected =
          ExpectedNs(timekeeper.line(), row, counter.value, 64);
      ForEachReadOf(reader, row,
                    [&](const char* read, ReadStatus status, uint64_t ns) {
                      ASSERT_EQ(status, ReadStatus::kOk) << read;
                      ASSERT_EQ(ns, expected) << read << " " << row.name;
                    });
    }
    ASSERT_EQ(reader.Age().status, ReadStatus::kOk);
    ASSERT_NE(reader.Publications(), 0u);
  }
  munmap(writable, sizeof(vvar_page));
  munmap(read_only, sizeof(vvar_page));
  close(file);
}

// Publications whose slopes differ 4:1, far beyond what a timekeeper does: a
// clock that steps back at the change has nowhere to hide.
// Trap: T21
TEST(TimelineTest, NeverStepsBackWhenSlopeDrops) {
  for (const uint64_t per_store : {uint64_t{1}, uint64_t{7}, uint64_t{40}}) {
    SCOPED_TRACE(per_store);
    vvar_page page = {};
    ManualCounter counter;
    counter.value = 1'000'000;
    const ManualClock<> clock(&counter);
    Writer<ManualClock<>, ScriptedMemory> writer(&page.timeline[0], clock);
    const Reader<ManualClock<>> reader(&page.timeline[0], clock);
    Timekeeper timekeeper(kTestConfig);
    timekeeper.Start(counter.value, kTestTimes);
    Line line = timekeeper.line();
    Line old = line;
    writer.PublishLine(line);
    uint64_t last_ns[VVAR_BASES] = {};
    uint64_t reads = 0;
    // Exactly the lines, and never back; by any clock, at any instant.
    const auto read_all = [&](const Line& valid) {
      for (const ClockRow& row : kClockRows) {
        if (row.coarse) continue;
        const NsReading reading = reader.Now(row.id);
        ASSERT_TRUE(reading.ok());
        ASSERT_EQ(reading.ns, ExpectedNs(valid, row, counter.value, 64));
        ASSERT_GE(reading.ns, last_ns[row.index])
            << row.name << " stepped back";
        last_ns[row.index] = reading.ns;
        ++reads;
      }
    };
    const auto read_now = [&] {
      read_all(counter.value >= line.cycle_start ? line : old);
    };
    for (int i = 0; i < 60; ++i) {
      // The protocol's writer, by hand: wait, date, publish.
      counter.value = std::max(counter.value, line.cycle_start) + 5'000;
      Line next = line;
      const uint64_t lead = 33 * per_store + 100;
      next.cycle_start = counter.value + lead;
      for (uint32_t base = 0; base < VVAR_BASES; ++base) {
        next.base[base] = line.At(base, next.cycle_start, 64);
      }
      next.scale.mult = i % 2 == 0 ? line.scale.mult / 4 : line.scale.mult * 4;
      next.raw_mult = next.realtime_mult = next.scale.mult;
      {
        MemoryScript script;
        script.on_store = [&](const void*, uint32_t) {
          read_now();
          counter.value += per_store;
          read_now();
        };
        writer.PublishLine(next);
      }
      if (HasFatalFailure()) return;
      old = line;
      line = next;
      for (; counter.value < line.cycle_start + 20; counter.value += 3) {
        read_now();
      }
      if (HasFatalFailure()) return;
    }
    EXPECT_GT(reads, 10'000u);
  }
}

// The same through the real writer, which dates its lines itself, with the
// counter running at every store and read; late publications included, whose
// damage is bounded by lateness times the change of slope.
// Trap: T21
TEST(TimelineTest, ALatePublicationDoesNoMoreDamageThanItsLateness) {
  for (const uint64_t per_store : {uint64_t{1}, uint64_t{20}, uint64_t{400}}) {
    SCOPED_TRACE(per_store);
    TestPage<64, ScriptedMemory> test;
    const auto reader = test.MakeReader();
    uint64_t last_ns = 0;
    uint64_t worst = 0;
    uint32_t late = 0;
    const auto read_now = [&] {
      const NsReading reading = reader.Now(ClockId::kMonotonic);
      ASSERT_TRUE(reading.ok());
      if (reading.ns < last_ns) worst = std::max(worst, last_ns - reading.ns);
      last_ns = reading.ns;
    };
    for (int i = 0; i < 300; ++i) {
      test.counter.value += 100'000;
      test.timekeeper.SetFrequency(i % 2 == 0 ? -50'000'000 : 50'000'000);
      MemoryScript script;
      script.on_store = [&](const void*, uint32_t) {
        read_now();
        test.counter.value += per_store;
        read_now();
      };
      if (test.Publish() == PublishStatus::kLate) ++late;
      for (int j = 0; j < 50; ++j) {
        read_now();
        test.counter.value += 50;
      }
      if (HasFatalFailure()) return;
    }
    const vvar_writer_stats& stats = test.timeline().stats;
    EXPECT_EQ(stats.late_publications, late);
    // The lead is 1000 cycles, its half the margin; a line has 33 words.
    EXPECT_EQ(late != 0, 33 * per_store > 500);
    EXPECT_EQ(stats.max_lateness_cycles != 0, 33 * per_store > 1000);
    // 10 % is the greatest change of slope here; 1 ns is rounding.
    EXPECT_LE(worst, uint64_t{stats.max_lateness_cycles} / 10 + 1);
    if (stats.max_lateness_cycles == 0) {
      EXPECT_EQ(worst, 0u);
    }
  }
}

// Loads that give anything at all, each time anew, and are counted.
struct RandomMemory {
  static inline EdgyRandom* random = nullptr;
  static inline uint64_t loads = 0;

  template <class Word>
  static Word Load(const Word& word) {
    ++loads;
    // The real word now and then, so that some tries get through.
    if (random->OneIn(2)) return PageMemory::Load(word);
    return static_cast<Word>(random->Edgy(sizeof word * 8));
  }
  static uint32_t LoadAcquire(const uint32_t& word) { return Load(word); }
  static void FenceAcquire() {}
};

// Every kind of read that there is, on a page that may hold anything.
template <class AnyReader>
uint64_t ReadEverything(const AnyReader& reader) {
  uint64_t ok = 0;
  const auto note = [&](ReadStatus status) {
    ASSERT_LE(static_cast<uint32_t>(status),
              static_cast<uint32_t>(ReadStatus::kUnreadableCounter));
    if (status == ReadStatus::kOk) ++ok;
  };
  for (const ClockRow& clock : kClockRows) {
    ForEachReadOf(reader, clock, [&](const char*, ReadStatus status, uint64_t) {
      note(status);
    });
    const TimespecReading time = reader.NowTimespec(clock.id);
    // A coarse nsec is passed on as it stands in the page.
    if (!clock.coarse) {
      EXPECT_LT(time.nsec, kSec);
    }
  }
  note(reader.Age().status);
  (void)reader.Publications();
  return ok;
}

// A page between two that may not be touched.
class GuardedPage {
 public:
  GuardedPage() {
    const auto size = static_cast<size_t>(sysconf(_SC_PAGESIZE));
    mapped_ = 3 * size;
    auto* bytes = static_cast<char*>(
        mmap(nullptr, mapped_, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    base_ = bytes;
    mprotect(bytes + size, size, PROT_READ | PROT_WRITE);
    // Its end is the guard's start, also where pages are larger than ours.
    page_ = reinterpret_cast<vvar_page*>(bytes + 2 * size - sizeof(vvar_page));
  }
  ~GuardedPage() { munmap(base_, mapped_); }
  vvar_page& operator*() { return *page_; }
  vvar_page* operator->() { return page_; }

 private:
  void* base_;
  size_t mapped_;
  vvar_page* page_;
};

// Words that attackers like.
uint64_t Hostile(EdgyRandom& random) {
  const uint64_t kWords[] = {0,
                             1,
                             31,
                             32,
                             34,
                             35,
                             63,
                             64,
                             255,
                             UINT32_MAX,
                             uint64_t{1} << 31,
                             (uint64_t{1} << 31) - 2,
                             uint64_t{1} << 63,
                             (uint64_t{1} << 63) - 1,
                             UINT64_MAX,
                             kSec << 34};
  return random.OneIn(2) ? kWords[random.Below(16)] : random.Edgy();
}

void FillTimeline(EdgyRandom& random, vvar_timeline& timeline) {
  const auto u32 = [&] { return static_cast<uint32_t>(Hostile(random)); };
  timeline.seq = u32();
  for (vvar_slot& slot : timeline.slot) {
    auto* words = reinterpret_cast<char*>(&slot);
    for (size_t i = 0; i < sizeof slot; i += 8) {
      const uint64_t word =
          random.OneIn(2) ? Hostile(random) : uint64_t{u32()} << 32 | u32();
      memcpy(words + i, &word, 8);
    }
    // Or nothing gets past the first check.
    if (!random.OneIn(8)) slot.counter_id = kManualCounterId;
    if (random.OneIn(2)) slot.max_cycles = UINT64_MAX;
    if (random.OneIn(2)) slot.shift = static_cast<uint16_t>(random.Below(70));
  }
}

// F9, T37: no signal, no sanitizer report, a bounded number of loads, whatever
// the page holds.
// Trap: T37
TEST(ReaderTest, NoLoopDependsOnPageValues) {
  GuardedPage page;
  EdgyRandom random(37);
  ManualCounter counter;
  uint64_t ok = 0;
  uint64_t most_loads = 0;
  MemoryScript script;
  for (int i = 0; i < 3'000; ++i) {
    for (vvar_timeline& timeline : page->timeline) {
      FillTimeline(random, timeline);
      counter.value = Hostile(random);
      const Reader<ManualClock<>, ScriptedMemory> reader(
          &timeline, ManualClock<>(&counter));
      script.Forget();
      ok += ReadEverything(reader);
      most_loads = std::max(most_loads, uint64_t{script.LoadsInAll()});
    }
  }
  EXPECT_GT(ok, 10'000u) << "else nothing was tried";
  // A page that does not change while it is read needs at most one try, of at
  // most two slots, for each of some 60 reads.
  EXPECT_LT(most_loads, 60u * (2 * 33 + 2));
}

TEST(ReaderTest, HostilePagesDoNoHarm) {
  GuardedPage page;
  EdgyRandom random(9);
  ManualCounter counter;
  uint64_t ok = 0;
  for (int i = 0; i < 100'000; ++i) {
    vvar_timeline& timeline = page->timeline[random.Below(6)];
    FillTimeline(random, timeline);
    counter.value = Hostile(random);
    const ManualClock<> clock(&counter);
    ok += ReadEverything(Reader<ManualClock<>>(&timeline, clock));
    if (i % 8 == 0) {
      const ManualClock<32> narrow(&counter);
      ok += ReadEverything(Reader<ManualClock<32>>(&timeline, narrow));
    }
  }
  EXPECT_GT(ok, 100'000u) << "else nothing was tried";
}

TEST(ReaderTest, PagesThatChangeAtEveryLoadDoNoHarm) {
  GuardedPage page;
  EdgyRandom random(10);
  RandomMemory::random = &random;
  ManualCounter counter;
  uint64_t ok = 0;
  constexpr uint64_t kTries = Reader<ManualClock<>, RandomMemory>::kMaxTries;
  for (int i = 0; i < 200; ++i) {
    for (vvar_timeline& timeline : page->timeline) {
      FillTimeline(random, timeline);
      counter.value = Hostile(random);
      const Reader<ManualClock<>, RandomMemory> reader(&timeline,
                                                       ManualClock<>(&counter));
      RandomMemory::loads = 0;
      ok += ReadEverything(reader);
      ASSERT_LE(RandomMemory::loads, 60 * kTries * (2 * 33 + 2));
    }
  }
  EXPECT_GT(ok, 1'000u) << "else nothing was tried";
}

}  // namespace
}  // namespace vvar
