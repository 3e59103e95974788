// SPDX-License-Identifier: MIT
//
// The writer: what it stores and in which order, what it refuses, what it
// counts, and that it may be killed anywhere and be succeeded.
#include "vvar/writer.h"

#include <gtest/gtest.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <algorithm>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "tests/support/manual_clock.h"
#include "tests/support/oracle.h"
#include "tests/support/scripted_memory.h"
#include "tests/support/single_step.h"
#include "tests/support/test_page.h"
#include "vvar/reader.h"

namespace vvar {
namespace {

using support::ClockRow;
using support::CounterRead;
using support::Exact;
using support::ExpectedNs;
using support::FieldsOf;
using support::ForEachReadOf;
using support::kClockRows;
using support::kTestConfig;
using support::kTestTimes;
using support::ManualClock;
using support::ManualCounter;
using support::MemoryEvent;
using support::MemoryOp;
using support::MemoryScript;
using support::ScriptedMemory;
using support::TestPage;
using support::WordClock;
using support::WriterKilled;

using ScriptedPage = TestPage<64, ScriptedMemory>;

bool IsIn(const vvar_slot& slot, const void* word) {
  const auto* at = static_cast<const char*>(word);
  const auto* begin = reinterpret_cast<const char*>(&slot);
  return at >= begin && at < begin + sizeof slot;
}

// Every clock, by every kind of read, must be exactly on `line` at the counter.
void ExpectReadsOn(ScriptedPage& test, const Line& line, const char* where) {
  for (const ClockRow& clock : kClockRows) {
    const uint64_t expected = ExpectedNs(line, clock, test.counter.value, 64);
    ForEachReadOf(test.MakeReader(), clock,
                  [&](const char* read, ReadStatus status, uint64_t ns) {
                    ASSERT_EQ(status, ReadStatus::kOk)
                        << where << ": " << read << " " << clock.name;
                    ASSERT_EQ(ns, expected)
                        << where << ": " << read << " " << clock.name;
                  });
  }
}

// Trap: T23
TEST(WriterTest, StepsComeInOrder) {
  // The order of VERIFICATION section 2, as asked of memory and counter. On x86
  // nothing else could tell.
  ScriptedPage test;
  test.Warm();
  MemoryScript script;
  test.counter.on_read = [&](CounterRead) { script.NoteCounterRead(); };
  const SeqToken seq = test.timeline().seq;
  const vvar_slot& idle = test.timeline().slot[((seq >> 1) & 1) ^ 1];
  ASSERT_EQ(test.Publish(), PublishStatus::kPublished);

  const std::vector<MemoryEvent>& events = script.events;
  size_t at = 0;
  ASSERT_GT(events.size(), 10u);
  EXPECT_EQ(events[at++].op, MemoryOp::kCounterRead) << "the wait, first";
  EXPECT_EQ(events[at].op, MemoryOp::kLoad);
  EXPECT_EQ(events[at++].word, &test.timeline().seq);
  EXPECT_EQ(events[at].op, MemoryOp::kStoreRelease) << "[W:open]";
  EXPECT_EQ(events[at].word, &test.timeline().seq);
  EXPECT_EQ(events[at++].value, seq + 1);
  EXPECT_EQ(events[at++].op, MemoryOp::kFenceRelease) << "before any word";
  size_t words = 0;
  while (at < events.size() && events[at].op == MemoryOp::kStore) {
    EXPECT_TRUE(IsIn(idle, events[at].word)) << "[W:line], word " << words;
    ++words;
    ++at;
  }
  EXPECT_EQ(words, 33u);
  ASSERT_EQ(at + 3, events.size());
  EXPECT_EQ(events[at++].op, MemoryOp::kCounterRead) << "still in time?";
  EXPECT_EQ(events[at].op, MemoryOp::kStoreRelease) << "[W:close]";
  EXPECT_EQ(events[at].word, &test.timeline().seq);
  EXPECT_EQ(events[at++].value, seq + 2);
  EXPECT_EQ(events[at].op, MemoryOp::kCounterRead) << "the lateness check";

  EXPECT_EQ(test.counter.ReadsOf(CounterRead::kBeforeStores), 3u);
  EXPECT_EQ(test.counter.ReadsOf(CounterRead::kAfterStores), 3u);
}

// Trap: T06
TEST(WriterTest, ALineAsItStandsIsPublishedInTheSameOrder) {
  ScriptedPage test;
  test.Warm();
  MemoryScript script;
  const SeqToken seq = test.timeline().seq;
  const vvar_slot& idle = test.timeline().slot[((seq >> 1) & 1) ^ 1];
  test.writer.PublishLine(test.line());
  const std::vector<MemoryEvent>& events = script.events;
  ASSERT_EQ(events.size(), 3u + 33 + 1);
  EXPECT_EQ(events[1].op, MemoryOp::kStoreRelease) << "[W:open]";
  EXPECT_EQ(events[1].word, &test.timeline().seq);
  EXPECT_EQ(events[1].value, seq + 1);
  EXPECT_EQ(events[2].op, MemoryOp::kFenceRelease) << "before any word";
  for (size_t i = 3; i < 36; ++i) {
    EXPECT_EQ(events[i].op, MemoryOp::kStore);
    EXPECT_TRUE(IsIn(idle, events[i].word)) << "[W:line], event " << i;
  }
  EXPECT_EQ(events[36].op, MemoryOp::kStoreRelease) << "[W:close]";
  EXPECT_EQ(events[36].value, seq + 2);
}

// Trap: T26
TEST(WriterTest, AllWordsOfALineComeFromOnePublication) {
  ScriptedPage test;
  test.Warm();
  for (int64_t round = 0; round < 6; ++round) {
    SCOPED_TRACE(round);
    test.timekeeper.SetFrequency(round * 1'111'111);
    test.timekeeper.SetRawFrequency(-round * 77'777);
    test.timekeeper.SetErrorBound(1'000u + static_cast<uint32_t>(round), 9);
    test.timekeeper.SetTaiOffset(static_cast<int32_t>(round));
    test.timekeeper.StepRealtime(round * 1'234'567'891);
    test.timekeeper.SlewRealtime(50'000'000, 30'000'000);
    test.timekeeper.SetStatus(round % 2 == 0 ? ClockStatus::kSynchronised
                                             : ClockStatus::kFreeRunning);
    // A word that the writer left out would show.
    const SeqToken seq = test.timeline().seq;
    vvar_slot& idle = test.timeline().slot[((seq >> 1) & 1) ^ 1];
    const vvar_slot current = test.timeline().slot[(seq >> 1) & 1];
    memset(&idle, 0xa5, offsetof(vvar_slot, reserved));
    MemoryScript script;
    ASSERT_EQ(test.Update(), PublishStatus::kPublished);
    std::map<const void*, int> stored;
    for (const MemoryEvent& event : script.events) {
      if (event.op == MemoryOp::kStore && IsIn(idle, event.word)) {
        EXPECT_EQ(++stored[event.word], 1) << "each word once";
      }
    }
    EXPECT_EQ(stored.size(), 33u);
    EXPECT_EQ(
        memcmp(&current, &test.timeline().slot[(seq >> 1) & 1], sizeof current),
        0)
        << "the slot that readers are on stays as it is";

    const Line& line = test.line();
    EXPECT_EQ(idle.cycle_start, line.cycle_start);
    EXPECT_EQ(idle.max_cycles, line.max_cycles);
    EXPECT_EQ(idle.mult, line.scale.mult);
    EXPECT_EQ(idle.realtime_mult, line.realtime_mult);
    EXPECT_EQ(idle.shift, line.scale.shift);
    EXPECT_EQ(idle.counter_id, line.counter_id);
    EXPECT_EQ(idle.status, static_cast<uint32_t>(line.status));
    EXPECT_EQ(idle.raw_mult, line.raw_mult);
    EXPECT_EQ(idle.error_ns, line.error_ns);
    EXPECT_EQ(idle.error_growth_ppb, line.error_growth_ppb);
    EXPECT_EQ(idle.tai_offset_sec, line.tai_offset_sec);
    EXPECT_EQ(idle.leap_state, line.leap.state);
    EXPECT_EQ(idle.leap_smear_sec, line.leap.smear_sec);
    EXPECT_EQ(idle.leap_date_sec, line.leap.date_sec);
    EXPECT_EQ(idle.was_set_count, line.was_set_count);
    for (uint32_t i = 0; i < VVAR_BASES; ++i) {
      EXPECT_EQ(idle.base[i].sec, line.base[i].sec) << i;
      EXPECT_EQ(idle.base[i].nsec_shifted, line.base[i].nsec_shifted) << i;
    }
    for (uint32_t i = 0; i < VVAR_COARSES; ++i) {
      EXPECT_EQ(idle.coarse[i].sec, line.coarse[i].sec) << i;
      EXPECT_EQ(idle.coarse[i].nsec, line.coarse[i].nsec) << i;
      EXPECT_EQ(idle.coarse[i].ns,
                static_cast<uint64_t>(line.coarse[i].sec) * 1'000'000'000 +
                    line.coarse[i].nsec)
          << i;
      EXPECT_EQ(idle.coarse[i].status, static_cast<uint32_t>(line.status)) << i;
    }
  }
}

// Trap: T25
TEST(WriterTest, FirstPublicationIsNeverReadHalfway) {
  vvar_page page = {};
  ManualCounter counter;
  counter.value = 1'000'000;
  const ManualClock<> clock(&counter);
  Writer<ManualClock<>, ScriptedMemory> writer(&page.timeline[3], clock);
  const Reader<ManualClock<>> reader(&page.timeline[3], clock);
  Timekeeper timekeeper(kTestConfig);
  timekeeper.Start(counter.value, kTestTimes);
  const auto expect_all = [&](ReadStatus expected, uint32_t store) {
    for (const ClockRow& row : kClockRows) {
      ForEachReadOf(reader, row,
                    [&](const char* read, ReadStatus status, uint64_t) {
                      ASSERT_EQ(status, expected)
                          << read << " " << row.name << " at store " << store;
                    });
    }
    ASSERT_EQ(reader.Age().status, expected) << "at store " << store;
  };
  MemoryScript script;
  script.on_store = [&](const void*, uint32_t nth) {
    expect_all(ReadStatus::kNotReady, nth);
  };
  expect_all(ReadStatus::kNotReady, 0);
  writer.PublishLine(timekeeper.line());
  EXPECT_EQ(script.stores, 1u + 33 + 1);
  expect_all(ReadStatus::kOk, script.stores);
}

// Trap: T63
TEST(WriterTest, EveryStateChangePublishes) {
  const struct {
    const char* name;
    void (*change)(Timekeeper&);
    bool (*shows)(const SnapshotReading& before, const SnapshotReading& after);
  } kRows[] = {
      {"step", [](Timekeeper& t) { t.StepRealtime(3'600'000'000'000); },
       [](const SnapshotReading& before, const SnapshotReading& after) {
         return after.realtime_ns - before.realtime_ns > 3'600'000'000'000;
       }},
      {"step back", [](Timekeeper& t) { t.StepRealtime(-3'600'000'000'000); },
       [](const SnapshotReading& before, const SnapshotReading& after) {
         return before.realtime_ns - after.realtime_ns > 3'599'000'000'000 &&
                before.realtime_coarse_ns > after.realtime_coarse_ns;
       }},
      {"TAI offset", [](Timekeeper& t) { t.SetTaiOffset(38); },
       [](const SnapshotReading&, const SnapshotReading& after) {
         return after.tai_offset_sec == 38 &&
                after.tai_ns - after.realtime_ns == 38'000'000'000;
       }},
      {"status", [](Timekeeper& t) { t.SetStatus(ClockStatus::kUnreliable); },
       [](const SnapshotReading&, const SnapshotReading& after) {
         return after.clock_status == ClockStatus::kUnreliable;
       }},
      {"error bound", [](Timekeeper& t) { t.SetErrorBound(987'654, 0); },
       [](const SnapshotReading&, const SnapshotReading& after) {
         return after.error_ns >= 987'654 && after.error_ns < 988'000;
       }},
      {"frequency", [](Timekeeper& t) { t.SetFrequency(50'000'000); },
       [](const SnapshotReading& before, const SnapshotReading& after) {
         // 5 % of the 10 ms that the line is old, below.
         return after.monotonic_ns - before.monotonic_ns >
                after.monotonic_raw_ns - before.monotonic_raw_ns + 499'000;
       }},
      {"raw frequency", [](Timekeeper& t) { t.SetRawFrequency(50'000'000); },
       [](const SnapshotReading& before, const SnapshotReading& after) {
         return after.monotonic_raw_ns - before.monotonic_raw_ns >
                after.monotonic_ns - before.monotonic_ns + 499'000;
       }},
      {"slew", [](Timekeeper& t) { t.Slew(1'000'000'000, 50'000'000); },
       [](const SnapshotReading& before, const SnapshotReading& after) {
         return after.monotonic_ns - before.monotonic_ns >
                after.monotonic_raw_ns - before.monotonic_raw_ns + 499'000;
       }},
  };
  for (const auto& row : kRows) {
    SCOPED_TRACE(row.name);
    ScriptedPage test;
    test.counter.value += 1'000'000;
    const auto reader = test.MakeReader();
    SnapshotReading before;
    ASSERT_EQ(reader.Snapshot(&before), ReadStatus::kOk);
    const uint32_t publications = reader.Publications();
    row.change(test.timekeeper);
    ASSERT_EQ(test.Publish(), PublishStatus::kPublished);
    EXPECT_EQ(reader.Publications(), publications + 1);
    // No tick, no other publication: only the line's own begin.
    test.counter.value += 10'000'000;
    SnapshotReading after;
    ASSERT_EQ(reader.Snapshot(&after), ReadStatus::kOk);
    EXPECT_TRUE(row.shows(before, after));
  }
}

// Trap: T63
TEST(WriterTest, AForwardStepReachesTheCoarseClockOnceItHasBegun) {
  // Coarse must not run ahead of the line, so the first publication cannot show
  // the step; one more, when the line has begun, does. Nothing else may be
  // needed.
  ScriptedPage test;
  test.timekeeper.StepRealtime(3'600'000'000'000);
  ASSERT_EQ(test.Update(), PublishStatus::kPublished);
  const auto reader = test.MakeReader();
  const NsReading early = reader.NowCoarse(ClockId::kRealtimeCoarse);
  EXPECT_LE(early.ns, reader.Now(ClockId::kRealtime).ns);
  test.counter.value = test.line().cycle_start;
  ASSERT_EQ(test.Publish(), PublishStatus::kPublished);
  const NsReading coarse = reader.NowCoarse(ClockId::kRealtimeCoarse);
  EXPECT_GT(coarse.ns, early.ns + 3'599'000'000'000);
  EXPECT_LE(coarse.ns, reader.Now(ClockId::kRealtime).ns);
}

TEST(WriterTest, TooEarlyChangesNothing) {
  ScriptedPage test;
  test.Warm();
  ASSERT_EQ(test.Publish(), PublishStatus::kPublished);
  const vvar_page before = test.page;
  const auto line = FieldsOf(test.line());
  // One cycle before the line begins, and everything that is earlier.
  for (const uint64_t early : {uint64_t{1}, test.lead()}) {
    test.counter.value = test.line().cycle_start - early;
    test.timekeeper.StepRealtime(1'000'000'000);
    MemoryScript script;
    EXPECT_EQ(test.Publish(), PublishStatus::kTooEarly);
    EXPECT_EQ(script.stores, 0u);
    EXPECT_EQ(memcmp(&test.page, &before, sizeof before), 0);
    EXPECT_EQ(FieldsOf(test.line()), line);
  }
  // What was asked for meanwhile is not lost.
  test.counter.value = test.line().cycle_start;
  ASSERT_EQ(test.Publish(), PublishStatus::kPublished);
  test.counter.value = test.line().cycle_start;
  const NsReading realtime = test.MakeReader().Now(ClockId::kRealtime);
  EXPECT_EQ(realtime.ns, test.Expected(kClockRows[0]));
  EXPECT_EQ(test.line().was_set_count, 1u);
}

TEST(WriterTest, LatePublicationIsCountedWithItsLateness) {
  const struct {
    const char* name;
    uint64_t lateness;
    PublishStatus status;
    uint32_t recorded;
  } kRows[] = {
      {"closed long before", uint64_t{0} - 900, PublishStatus::kPublished, 0},
      {"half the lead before", uint64_t{0} - 500, PublishStatus::kPublished, 0},
      {"less than half the lead", uint64_t{0} - 499, PublishStatus::kLate, 0},
      {"closed just before", uint64_t{0} - 1, PublishStatus::kLate, 0},
      {"closed when it begins", 0, PublishStatus::kLate, 0},
      {"one cycle late", 1, PublishStatus::kLate, 1},
      {"a millisecond late", 1'000'000, PublishStatus::kLate, 1'000'000},
      {"later than 32 bits can tell", uint64_t{1} << 40, PublishStatus::kLate,
       UINT32_MAX},
      {"just 32 bits late", UINT32_MAX, PublishStatus::kLate, UINT32_MAX},
  };
  for (const auto& row : kRows) {
    SCOPED_TRACE(row.name);
    ScriptedPage test;
    test.counter.value += 1'000'000;
    const uint64_t start = test.counter.value + test.lead();
    test.counter.Script(CounterRead::kAfterStores, {start + row.lateness});
    EXPECT_EQ(test.Publish(), row.status);
    const vvar_writer_stats& stats = test.timeline().stats;
    EXPECT_EQ(stats.late_publications,
              row.status == PublishStatus::kLate ? 1u : 0u);
    EXPECT_EQ(stats.max_lateness_cycles, row.recorded);
    EXPECT_EQ(stats.redated_lines, 0u);
    EXPECT_EQ(test.line().cycle_start, start) << "published all the same";
    EXPECT_EQ(test.timeline().seq, 4u);
  }
}

TEST(WriterTest, RemembersTheGreatestLateness) {
  ScriptedPage test;
  uint32_t late = 0;
  for (const uint32_t lateness : {5u, 3u, 70u, 70u, 1u}) {
    test.counter.value += 1'000'000;
    test.counter.Script(CounterRead::kAfterStores,
                        {test.counter.value + test.lead() + lateness});
    EXPECT_EQ(test.Publish(), PublishStatus::kLate);
    EXPECT_EQ(test.timeline().stats.late_publications, ++late);
  }
  EXPECT_EQ(test.timeline().stats.max_lateness_cycles, 70u);
}

TEST(WriterTest, DatesAnewWhenHeldUpBetweenPlanAndClose) {
  ScriptedPage test;
  test.Warm();
  test.timekeeper.SetFrequency(12'345);
  test.timekeeper.StepRealtime(-7'000'000'000);
  const uint64_t now = test.counter.value;
  const uint64_t held_up = now + 5'000'000;
  test.counter.Script(CounterRead::kBeforeStores, {now, held_up});
  // The first look finds the line begun, the second one does not.
  test.counter.Script(CounterRead::kUnordered, {held_up - 10, held_up + 20});
  test.counter.Script(CounterRead::kAfterStores, {held_up + 30});
  const Line before = test.line();
  EXPECT_EQ(test.Publish(), PublishStatus::kPublished);
  EXPECT_EQ(test.line().cycle_start, held_up + test.lead());
  EXPECT_EQ(test.timeline().stats.redated_lines, 1u);
  EXPECT_EQ(test.timeline().stats.late_publications, 0u);
  // Continuous from the old line, the step applied once.
  const uint64_t start = test.line().cycle_start;
  EXPECT_TRUE(Exact(test.line().base[VVAR_BASE_MONOTONIC], 30) ==
              support::ExactAt(before, VVAR_BASE_MONOTONIC, start, 64));
  EXPECT_TRUE(Exact(test.line().base[VVAR_BASE_REALTIME], 30) ==
              support::ExactAt(before, VVAR_BASE_REALTIME, start, 64) +
                  support::ExactNs(-7'000'000'000, 30));
  EXPECT_EQ(test.line().was_set_count, before.was_set_count + 1);
  test.counter.value = start;
  ExpectReadsOn(test, test.line(), "redated");
}

// A reader's loads may run ahead of its counter: half the lead is for them.
TEST(WriterTest, ALineThatBeginsWithinItsMarginIsDatedAnew) {
  for (const uint64_t ahead : {0u, 1u, 499u, 500u, 501u, 999u}) {
    ScriptedPage test;
    test.counter.value += 1'000'000;
    test.counter.Script(CounterRead::kUnordered,
                        {test.counter.value + test.lead() - ahead});
    EXPECT_EQ(test.Publish(), PublishStatus::kPublished) << ahead;
    EXPECT_EQ(test.timeline().stats.redated_lines, ahead <= 500 ? 1u : 0u)
        << ahead;
  }
}

TEST(WriterTest, GivesUpDatingAfterItsTries) {
  // A counter that always outruns the lead: by a writer in a debugger, say.
  ScriptedPage test;
  test.counter.value += 1'000'000;
  test.counter.step = 2'000;
  const uint64_t first = test.counter.value;
  EXPECT_EQ(test.Publish(), PublishStatus::kLate);
  const int datings = ScriptedPage::Writer::kMaxDatings;
  EXPECT_EQ(test.timeline().stats.redated_lines,
            static_cast<uint32_t>(datings - 1));
  EXPECT_EQ(test.counter.ReadsOf(CounterRead::kBeforeStores),
            static_cast<uint32_t>(datings));
  EXPECT_EQ(test.timeline().stats.late_publications, 1u);
  EXPECT_EQ(test.timeline().seq, 4u) << "published all the same";
  EXPECT_GT(test.line().cycle_start, first + 4'000);
  test.counter.step = 0;
  ExpectReadsOn(test, test.line(), "late");
}

TEST(WriterTest, DatingAnewRewritesTheIdleSlotOnly) {
  ScriptedPage test;
  test.Warm();
  test.counter.step = 2'000;
  const SeqToken seq = test.timeline().seq;
  const vvar_slot& current = test.timeline().slot[(seq >> 1) & 1];
  const vvar_slot& idle = test.timeline().slot[((seq >> 1) & 1) ^ 1];
  uint32_t words = 0;
  MemoryScript script;
  script.on_store = [&](const void* word, uint32_t) {
    ASSERT_FALSE(IsIn(current, word));
    if (IsIn(idle, word)) {
      ++words;
      ASSERT_EQ(test.timeline().seq, seq + 1) << "inside [W:open], [W:close]";
    }
  };
  EXPECT_EQ(test.Publish(), PublishStatus::kLate);
  EXPECT_EQ(words, 4 * 33u);
}

TEST(WriterTest, SaysWhoWrites) {
  ScriptedPage test;
  EXPECT_EQ(test.timeline().stats.writer_id, 0u);
  test.writer.SetWriterId(4711);
  EXPECT_EQ(test.timeline().stats.writer_id, 4711u);
}

TEST(WriterTest, LoadsBackTheLineItPublished) {
  ScriptedPage test;
  test.Warm();
  test.timekeeper.SetErrorBound(77, 88);
  test.timekeeper.SetStatus(ClockStatus::kSynchronised);
  for (int i = 0; i < 3; ++i) {
    test.Update();
    Line line;
    test.writer.LoadCurrentLine(&line);
    EXPECT_EQ(FieldsOf(line), FieldsOf(test.line()));
  }
}

// One writer's successor: its own timekeeper, taken over from the page.
struct Heir {
  explicit Heir(ScriptedPage& test)
      : timekeeper(kTestConfig), writer(&test.timeline(), test.clock()) {}
  bool TakeOver() {
    Line line;
    writer.LoadCurrentLine(&line);
    return timekeeper.Continue(line);
  }
  Timekeeper timekeeper;
  ScriptedPage::Writer writer;
};

// Kills a publication before its nth store. Returns false if it has fewer.
bool KillAt(uint32_t nth, const std::function<void()>& publish) {
  MemoryScript script;
  script.on_store = [&](const void*, uint32_t store) {
    if (store == nth) throw WriterKilled();
  };
  try {
    publish();
  } catch (const WriterKilled&) {
    return true;
  }
  return false;
}

// Trap: T18
TEST(WriterTest, RecoversIdleSlotFirstAfterKillAtEveryStore) {
  int kills = 0;
  for (uint32_t first = 1;; ++first) {
    // The heir may be killed, too: at its store `second`, 0 for not at all.
    bool killed_first = true;
    for (uint32_t second = 0; second <= 35 && killed_first; ++second) {
      SCOPED_TRACE("killed at " + std::to_string(first) + ", then at " +
                   std::to_string(second));
      ScriptedPage test;
      test.Warm();
      const Line old = test.line();
      test.timekeeper.SetFrequency(45'000'000);
      killed_first = KillAt(first, [&] { (void)test.Publish(); });
      if (!killed_first) break;
      ++kills;
      ExpectReadsOn(test, old, "after the first kill");
      test.counter.value += 300;

      Heir heir(test);
      ASSERT_TRUE(heir.TakeOver());
      ASSERT_EQ(FieldsOf(heir.timekeeper.line()), FieldsOf(old));
      heir.timekeeper.SetFrequency(-45'000'000);
      if (second != 0) {
        (void)KillAt(second,
                     [&] { (void)heir.writer.Publish(heir.timekeeper); });
        test.counter.value += 300;
      }
      Heir last(test);
      ASSERT_TRUE(last.TakeOver());
      const Line taken = last.timekeeper.line();
      if (second == 0) {
        ASSERT_EQ(FieldsOf(taken), FieldsOf(old));
      }
      test.counter.value = std::max(test.counter.value, taken.cycle_start);
      ExpectReadsOn(test, taken, "after the second kill");

      // A reader at each store of the writer that succeeds: 0 torn, 0 busy.
      {
        MemoryScript script;
        script.on_store = [&](const void*, uint32_t) {
          test.counter.value += 3;
          ExpectReadsOn(test, taken, "beside the heir");
        };
        ASSERT_EQ(last.writer.Publish(last.timekeeper),
                  PublishStatus::kPublished);
      }
      if (HasFatalFailure()) return;
      const Line next = last.timekeeper.line();
      for (uint64_t now = test.counter.value; now < next.cycle_start;
           now += 99) {
        test.counter.value = now;
        for (const ClockRow& clock : kClockRows) {
          const NsReading reading = test.MakeReader().Now(clock.id);
          ASSERT_TRUE(reading.ok());
          ASSERT_EQ(reading.ns,
                    ExpectedNs(clock.coarse ? next : taken, clock, now, 64));
        }
      }
      test.counter.value = next.cycle_start;
      ExpectReadsOn(test, next, "after recovery");
    }
    if (!killed_first) break;
  }
  EXPECT_EQ(kills, 35 * 36);
}

// Trap: T19
TEST(WriterTest, NeverRewindsSequence) {
  for (const SeqToken start : {SeqToken{0}, SeqToken{1}, SeqToken{0x7ffffffc},
                               SeqToken{0xfffffffc}, SeqToken{0xffffffff}}) {
    SCOPED_TRACE(start);
    ScriptedPage test(kTestConfig, 5'000, start);
    SeqToken last = test.timeline().seq;
    EXPECT_EQ(last, (start | 1) + 1);
    MemoryScript script;
    const auto expect_forward = [&] {
      const SeqToken seq = test.timeline().seq;
      ASSERT_LE(seq - last, 1u) << "from " << last << " to " << seq;
      last = seq;
    };
    script.on_store = [&](const void*, uint32_t) { expect_forward(); };
    for (int i = 0; i < 8; ++i) {
      test.Update();
      expect_forward();
    }
    // Nor does a writer that starts over, or one that takes over.
    test.writer.PublishLine(test.line());
    expect_forward();
    Heir heir(test);
    ASSERT_TRUE(heir.TakeOver());
    test.counter.value += 1'000'000;
    (void)heir.writer.Publish(heir.timekeeper);
    expect_forward();
    EXPECT_EQ(last, (start | 1) + 1 + 2 * 10);
  }
}

// Kill and recovery at instructions, not only at stores. A killed writer leaves
// nothing but the page: so the page after each instruction is kept, once for
// each state it was in. What follows is read and written in a signal handler.
namespace stepping {
constexpr int kMostStates = 100;

vvar_page page;
uint64_t counter;
uint64_t expected_ns[VVAR_BASES];  // On the line that is valid throughout.
uint64_t old_coarse_ns;
SeqToken begin;  // Even, or odd from a dead writer.
uint64_t failures;
uint64_t reads;
vvar_timeline states[kMostStates];
int state_count;

void ReadEveryClock(uint64_t /*instruction*/) {
  const Reader<WordClock> reader(&page.timeline[0], WordClock(&counter));
  for (const ClockRow& clock : kClockRows) {
    if (clock.coarse) continue;
    const NsReading reading = reader.Now(clock.id);
    ++reads;
    if (!reading.ok() || reading.ns != expected_ns[clock.index]) ++failures;
  }
  // The new coarse value is that of the counter: it comes with the close.
  const bool closed = page.timeline[0].seq == (begin | 1) + 1;
  const NsReading coarse = reader.NowCoarse(ClockId::kMonotonicCoarse);
  if (!coarse.ok() || coarse.ns != (closed ? expected_ns[VVAR_BASE_MONOTONIC]
                                           : old_coarse_ns)) {
    ++failures;
  }
}

void ReadAndKeepState(uint64_t instruction) {
  ReadEveryClock(instruction);
  constexpr size_t kSize = sizeof(vvar_timeline);
  if (state_count == kMostStates ||
      (state_count != 0 &&
       memcmp(&states[state_count - 1], &page.timeline[0], kSize) == 0)) {
    return;
  }
  memcpy(&states[state_count++], &page.timeline[0], kSize);
}

// Publishes once, reading after each instruction. Returns their number.
uint64_t PublishStepwise(Timekeeper& timekeeper, support::StepHook hook) {
  const Line line = timekeeper.line();
  for (const ClockRow& clock : kClockRows) {
    if (!clock.coarse) {
      expected_ns[clock.index] = ExpectedNs(line, clock, counter, 64);
    }
  }
  old_coarse_ns = TimespecToNs(line.coarse[VVAR_COARSE_MONOTONIC]);
  begin = page.timeline[0].seq;
  Writer<WordClock> writer(&page.timeline[0], WordClock(&counter));
  return support::SingleStep([&] { (void)writer.Publish(timekeeper); }, hook);
}
}  // namespace stepping

// Trap: T18
// Trap: T16
TEST(WriterTest, RecoversAfterKillAtEveryInstruction) {
  using namespace stepping;
  page = {};
  counter = 1'000'000;
  failures = reads = 0;
  state_count = 0;
  Writer<WordClock> writer(&page.timeline[0], WordClock(&counter));
  Timekeeper first(kTestConfig);
  first.Start(counter, kTestTimes);
  writer.PublishLine(first.line());
  counter += 10'000;
  ASSERT_EQ(writer.Publish(first), PublishStatus::kPublished);
  counter += 10'000;
  first.SetFrequency(40'000'000);
  first.SetRawFrequency(-30'000'000);
  first.SetErrorBound(1'234, 567);
  first.SetTaiOffset(38);
  first.StepRealtime(-5'000'000'001);
  first.SetStatus(ClockStatus::kSynchronised);
  const uint64_t instructions = PublishStepwise(first, ReadAndKeepState);
  if (instructions == 0) {
    GTEST_SKIP() << "this machine cannot single-step itself";
  }
  EXPECT_EQ(failures, 0u);
  EXPECT_GE(reads, 5 * instructions);
  // Before the open, after it, after each of 30 words (but those that do not
  // change), after the close.
  EXPECT_GE(state_count, 25);
  ASSERT_LT(state_count, kMostStates);

  counter += 5'000;
  for (int state = 0; state < state_count; ++state) {
    SCOPED_TRACE("killed in state " + std::to_string(state));
    page.timeline[0] = states[state];
    const SeqToken found = page.timeline[0].seq;
    Line line;
    writer.LoadCurrentLine(&line);
    Timekeeper heir(kTestConfig);
    ASSERT_TRUE(heir.Continue(line));
    heir.SetFrequency(-40'000'000);
    (void)PublishStepwise(heir, ReadEveryClock);
    ASSERT_EQ(failures, 0u);
    ASSERT_EQ(page.timeline[0].seq, (found | 1) + 1);
    Line next;
    writer.LoadCurrentLine(&next);
    ASSERT_EQ(FieldsOf(next), FieldsOf(heir.line()));
  }
  printf("%d instructions, %d states, %d reads\n",
         static_cast<int>(instructions), state_count, static_cast<int>(reads));
}

}  // namespace
}  // namespace vvar
