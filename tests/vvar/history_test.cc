// SPDX-License-Identifier: MIT
//
// Stamps and deadlines against a simulated writer: what was published at each
// counter value is known in wide integers, and conversions that happen much
// later are held against it.
#include "vvar/history.h"

#include <gtest/gtest.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <algorithm>
#include <array>
#include <span>
#include <vector>

#include "tests/support/manual_clock.h"
#include "tests/support/oracle.h"
#include "tests/support/scripted_memory.h"
#include "tests/support/test_page.h"
#include "vvar/abi.h"
#include "vvar/conversion.h"
#include "vvar/latch.h"
#include "vvar/offset.h"
#include "vvar/page.h"
#include "vvar/reader.h"
#include "vvar/reading.h"
#include "vvar/seqcount.h"
#include "vvar/timekeeper.h"

namespace vvar {
namespace {

using support::EdgyRandom;
using support::ExactAt;
using support::FloorNs;
using support::kClockRows;
using support::kManualCounterId;
using support::kTestConfig;
using support::ManualClock;
using support::MemoryScript;
using support::ScriptedMemory;
using support::TestPage;
using enum ConversionStatus;

constexpr uint64_t kMs = 1'000'000;
constexpr uint64_t kSec = 1'000'000'000;

constexpr TimekeeperConfig ConfigOf(uint64_t hz, uint32_t bits) {
  TimekeeperConfig config = kTestConfig;
  config.counter_bits = bits;
  config.counter_hz = hz;
  config.lead_ns = 100'000;
  config.max_age_ns = kSec;
  return config;
}

/// A page, everything that was ever published on it, and the counter without
/// its wrap, which starts shortly before that.
template <uint32_t kBits>
struct Simulation {
  static constexpr uint64_t kMask = UINT64_MAX >> (64 - kBits);
  struct Published {
    Line line;
    uint64_t start;  ///< The line's, without the wrap.
  };

  explicit Simulation(uint64_t hz)
      : ms(hz / 1'000),
        // 64 bits wrap too: there is no 65th, so stay clear of 2^64 here.
        page(ConfigOf(hz, kBits), kBits == 64 ? 5'000 : kMask - 20 * ms) {
    published.push_back({page.line(), page.counter.value});
  }

  uint64_t& now() { return page.counter.value; }
  void Update(uint64_t cycles) {
    ASSERT_EQ(page.Update(cycles), PublishStatus::kPublished);
    const uint64_t ahead = (page.line().cycle_start - now()) & kMask;
    published.push_back({page.line(), now() + ahead});
  }
  void UpdateWildly(EdgyRandom& random) {
    page.timekeeper.SetFrequency(random.EdgySigned(26));
    if (random.OneIn(8)) page.timekeeper.StepRealtime(random.EdgySigned(40));
    if (random.OneIn(8)) {
      page.timekeeper.SetTaiOffset(static_cast<int32_t>(random.Below(90)));
    }
    Update(ms / 2 + random.Below(2 * ms));
  }

  const Published& At(uint64_t cycles) const {
    size_t i = published.size() - 1;
    while (i != 0 && published[i].start > cycles) --i;
    return published[i];
  }
  /// What a clock showed at a counter value without its wrap.
  uint64_t Shown(uint32_t index, uint64_t cycles) const {
    const Line& line = At(cycles).line;
    return FloorNs(ExactAt(line, index, cycles & kMask, kBits),
                   line.scale.shift);
  }

  uint64_t ms;
  TestPage<kBits> page;
  std::vector<Published> published;
};

template <uint32_t kBits, uint32_t kCapacity = 64>
using HistoryOf = History<ManualClock<kBits>, kCapacity>;

template <class AnyHistory, class AnyReader>
void Capture(AnyHistory& history, const AnyReader& reader) {
  ASSERT_EQ(history.Capture(reader), ReadStatus::kOk);
}

/// Calls `test` with a simulation of each kind of counter.
template <class Test>
void ForEachCounter(Test test) {
  for (const uint64_t hz : {10'000'000u, 24'000'000u, 2'600'000'000u}) {
    SCOPED_TRACE(hz);
    test(Simulation<32>(hz));
    test(Simulation<56>(hz));
    test(Simulation<64>(hz));
  }
}

uint64_t Distance(uint64_t a, uint64_t b) {
  return Magnitude(static_cast<int64_t>(a - b));
}

// --- Stamps ------------------------------------------------------------------

TEST(HistoryTest, StampsConvertExactlyHoweverLate) {
  ForEachCounter([]<uint32_t kBits>(Simulation<kBits> simulation) {
    EdgyRandom random(kBits);
    HistoryOf<kBits> history;
    std::vector<uint64_t> stamps;
    const uint64_t first = simulation.now();
    for (int i = 0; i < 60; ++i) {
      Capture(history, simulation.page.MakeReader());
      simulation.UpdateWildly(random);
      for (const uint64_t near : {0u, 1u, 2u}) {
        stamps.push_back(simulation.published.back().start - 1 + near);
      }
    }
    simulation.now() = simulation.published.back().start + simulation.ms;
    Capture(history, simulation.page.MakeReader());
    for (int i = 0; i < 2'000; ++i) {
      stamps.push_back(first + random.Below(simulation.now() - first + 1));
    }
    stamps.push_back(first);
    stamps.push_back(simulation.now());
    for (const uint64_t stamp : stamps) {
      for (const auto& clock : kClockRows) {
        if (clock.coarse) continue;
        const NsConversion converted =
            history.NsAt(clock.id, stamp & simulation.kMask);
        ASSERT_EQ(converted.status, kExact) << stamp;
        ASSERT_EQ(converted.error_ns, 0u);
        ASSERT_EQ(converted.ns, simulation.Shown(clock.index, stamp))
            << clock.name << " at " << stamp;
      }
    }
  });
}

// Lines are taken over with the reader's offsets in them.
TEST(HistoryTest, StampsConvertIntoTheReadersNamespace) {
  constexpr ClockOffsets kOffsets[] = {
      {{1'000'000, 0}, {-5, 0}},
      {{0, 999'999'999}, {-1, 1}},
      {{-1'000, 999'999'999}, {7, 500'000'000}},
  };
  for (const ClockOffsets& offsets : kOffsets) {
    TestPage<> page;
    const Reader<ManualClock<>, PageMemory, ClockOffsets> reader(
        &page.timeline(), page.clock(), offsets);
    page.Warm();
    // On the current line, and on the one before it.
    page.Update();
    for (const uint64_t cycles : {page.lead() / 2, 999 * page.lead()}) {
      page.counter.value += cycles;
      HistoryOf<64> history;
      Capture(history, reader);
      for (const auto& clock : kClockRows) {
        if (clock.coarse) continue;
        const NsConversion converted =
            history.NsAt(clock.id, page.counter.value);
        EXPECT_EQ(converted.status, kExact) << clock.name;
        EXPECT_EQ(converted.ns, reader.Now(clock.id).ns) << clock.name;
      }
      SnapshotReading converted = {};
      SnapshotReading read = {};
      EXPECT_EQ(history.SnapshotAt(page.counter.value, &converted).status,
                kExact);
      ASSERT_EQ(reader.Snapshot(&read), ReadStatus::kOk);
      EXPECT_EQ(converted.monotonic_coarse_ns, read.monotonic_coarse_ns);
      EXPECT_EQ(converted.realtime_coarse_ns, read.realtime_coarse_ns);
    }
  }
}

// Late publications, the first of them missed, cut off what was seen of the
// line before. A batch, which looks first where the last stamp was, knows it
// too.
TEST(HistoryTest, ALineEndsWhereALaterOneBegins) {
  TestPage<> page;
  page.Warm();
  const uint64_t seen = page.counter.value + 5'000;
  page.counter.value = seen;
  HistoryOf<64> history;
  Capture(history, page.MakeReader());
  page.counter.value = seen - 4'000;
  for (int i = 0; i < 3; ++i) {
    page.timekeeper.SetFrequency(30'000'000 * (i + 1));
    ASSERT_EQ(page.Publish(), PublishStatus::kPublished);
    page.counter.value = page.line().cycle_start;
  }
  const Line second = page.previous;
  ASSERT_LT(second.cycle_start, seen);
  page.counter.value = seen;
  Capture(history, page.MakeReader());
  const uint64_t old = second.cycle_start - 2'000;
  const uint64_t stamps[] = {old, second.cycle_start, old, seen};
  uint64_t ns[std::size(stamps)];
  (void)history.NsAt(ClockId::kMonotonic, stamps, ns, std::size(stamps));
  for (size_t i = 0; i < std::size(stamps); ++i) {
    const NsConversion one = history.NsAt(ClockId::kMonotonic, stamps[i]);
    EXPECT_EQ(one.status, kExact) << i;
    EXPECT_EQ(one.ns, ns[i]) << i;
  }
  EXPECT_EQ(ns[1], NsOnLine(second, VVAR_BASE_MONOTONIC, stamps[1], 64));
}

// Trap: T114
TEST(HistoryTest, OldStampsConvertWithinStatedBound) {
  // Hundreds of publications, whose slopes differ by no more than the writer
  // vouches for; captured now and then; every stamp converted at the end.
  constexpr uint32_t kGrowthPpb = 100'000;
  ForEachCounter([]<uint32_t kBits>(Simulation<kBits> simulation) {
    EdgyRandom random(100 + kBits);
    HistoryOf<kBits> history;
    const uint64_t first = simulation.now();
    simulation.page.timekeeper.SetErrorBound(50, kGrowthPpb);
    for (int i = 0; i < 400; ++i) {
      if (i % 50 == 0) {
        simulation.page.timekeeper.SetFrequency(
            static_cast<int64_t>(random.Below(kGrowthPpb)) - kGrowthPpb / 2);
      }
      simulation.Update(simulation.ms / 2 + random.Below(simulation.ms));
      if (random.OneIn(3)) Capture(history, simulation.page.MakeReader());
    }
    simulation.now() += simulation.ms / 4;
    int seen[8] = {};
    uint64_t newest_line_is_off_by = 0;
    for (int i = 0; i < 4'000; ++i) {
      const uint64_t stamp = first + random.Below(simulation.now() - first);
      for (const auto& clock : kClockRows) {
        if (clock.coarse) continue;
        const NsConversion converted =
            history.NsAt(clock.id, stamp & simulation.kMask);
        const uint64_t shown = simulation.Shown(clock.index, stamp);
        ++seen[static_cast<size_t>(converted.status)];
        ASSERT_LE(Distance(converted.ns, shown), converted.error_ns)
            << clock.name << " at " << stamp;
        ASSERT_EQ(converted.error_ns == 0, converted.status == kExact);
        // Not vacuous: a gap is a few milliseconds long.
        if (converted.status == kGap) {
          ASSERT_LE(converted.error_ns, 5'000u);
        }
        const Line& newest = simulation.page.line();
        newest_line_is_off_by = std::max(
            newest_line_is_off_by,
            Distance(
                NsOnLine(newest, clock.index, stamp & simulation.kMask, kBits),
                shown));
      }
    }
    EXPECT_GT(seen[static_cast<size_t>(kExact)], 1'000);
    EXPECT_GT(seen[static_cast<size_t>(kGap)], 1'000);
    EXPECT_GT(seen[static_cast<size_t>(kTooOld)], 1'000);
    EXPECT_GT(newest_line_is_off_by, 2'000u) << "the trap is there";
  });
}

TEST(HistoryTest, GapBoundCoversOneChangeThatNobodyVouchedFor) {
  for (const int64_t ppb : {-40'000'000, -500'000, 500'000, 40'000'000}) {
    for (int changes_after = 1; changes_after < 9; ++changes_after) {
      Simulation<64> simulation(kSec);
      HistoryOf<64> history;
      Capture(history, simulation.page.MakeReader());
      const uint64_t first = simulation.now();
      simulation.page.timekeeper.SetErrorBound(0, 0);
      for (int i = 0; i < 10; ++i) {
        if (i == changes_after) simulation.page.timekeeper.SetFrequency(ppb);
        simulation.Update(kMs);
      }
      Capture(history, simulation.page.MakeReader());
      for (uint64_t stamp = first; stamp < simulation.now(); stamp += 9'973) {
        const NsConversion converted = history.NsAt(ClockId::kMonotonic, stamp);
        ASSERT_LE(Distance(converted.ns,
                           simulation.Shown(VVAR_BASE_MONOTONIC, stamp)),
                  converted.error_ns)
            << ppb << " ppb, from " << changes_after << ", at " << stamp;
      }
    }
  }
}

TEST(HistoryTest, StepInAGapShowsInStatusAndBound) {
  Simulation<64> simulation(kSec);
  HistoryOf<64> history;
  simulation.now() += kMs;
  Capture(history, simulation.page.MakeReader());
  const uint64_t first = simulation.now();
  for (int i = 0; i < 10; ++i) {
    if (i == 4) simulation.page.timekeeper.StepRealtime(-5'000'000'000);
    simulation.Update(kMs);
  }
  Capture(history, simulation.page.MakeReader());
  const uint64_t last = simulation.published[9].start - 1;
  for (uint64_t stamp = first + 1; stamp < last; stamp += 99'991) {
    const NsConversion realtime = history.NsAt(ClockId::kRealtime, stamp);
    ASSERT_EQ(realtime.status, kStepped) << stamp;
    ASSERT_LE(
        Distance(realtime.ns, simulation.Shown(VVAR_BASE_REALTIME, stamp)),
        realtime.error_ns);
    ASSERT_EQ(history.NsAt(ClockId::kTai, stamp).status, kStepped);
    const NsConversion monotonic = history.NsAt(ClockId::kMonotonic, stamp);
    ASSERT_EQ(monotonic.status, kGap);
    ASSERT_LE(monotonic.error_ns, 10u);
    SnapshotReading all;
    ASSERT_EQ(history.SnapshotAt(stamp, &all).status, kStepped);
  }
  // By the nearer line; the step is half-way.
  for (const uint64_t stamp : {first + 1, last}) {
    EXPECT_EQ(history.NsAt(ClockId::kRealtime, stamp).ns,
              simulation.Shown(VVAR_BASE_REALTIME, stamp));
  }
}

TEST(HistoryTest, GapBoundCoversWanderAndAStepTogether) {
  constexpr uint32_t kGrowthPpb = 100'000;
  EdgyRandom random(11);
  for (int round = 0; round < 300; ++round) {
    Simulation<64> simulation(kSec);
    HistoryOf<64> history;
    simulation.page.timekeeper.SetErrorBound(0, kGrowthPpb);
    simulation.page.timekeeper.SetFrequency(
        random.OneIn(2) ? kGrowthPpb / 2 : -int64_t{kGrowthPpb / 2});
    simulation.Update(kMs);
    simulation.now() += kMs;
    Capture(history, simulation.page.MakeReader());
    const uint64_t first = simulation.now();
    const uint64_t step_at = random.Below(10);
    for (uint64_t i = 0; i < 10; ++i) {
      simulation.page.timekeeper.SetFrequency(
          random.OneIn(2) ? kGrowthPpb / 2 : -int64_t{kGrowthPpb / 2});
      if (i == step_at) {
        simulation.page.timekeeper.StepRealtime(random.EdgySigned(13));
      }
      simulation.Update(kMs);
    }
    Capture(history, simulation.page.MakeReader());
    for (uint64_t stamp = first; stamp < simulation.now(); stamp += 49'999) {
      const NsConversion converted = history.NsAt(ClockId::kRealtime, stamp);
      ASSERT_LE(
          Distance(converted.ns, simulation.Shown(VVAR_BASE_REALTIME, stamp)),
          converted.error_ns)
          << "step at " << step_at << ", at " << stamp;
    }
  }
}

TEST(HistoryTest, NewestLineIsProjectedFromTheLastCaptureOn) {
  Simulation<64> simulation(kSec);
  HistoryOf<64> history;
  simulation.page.timekeeper.SetErrorBound(0, 500'000);
  simulation.Update(kMs);
  const uint64_t start = simulation.page.line().cycle_start;
  const uint64_t max_cycles = simulation.page.line().max_cycles;
  simulation.now() = start + 1'000;
  Capture(history, simulation.page.MakeReader());
  const struct {
    const char* name;
    uint64_t cycles;
    ConversionStatus status;
    uint64_t least_error_ns;
  } kRows[] = {
      {"before the line, on the one before", start - 1, kExact, 0},
      {"its start", start, kExact, 0},
      {"the counter at the capture", start + 1'000, kExact, 0},
      {"just after", start + 1'001, kProjected, 1},
      {"a millisecond later", start + 1'000 + kMs, kProjected, 500},
      {"as far as the line answers", start + max_cycles, kProjected, 499'000},
      {"beyond", start + max_cycles + 1, kBeyondMax, 499'000},
      {"far beyond", start + (uint64_t{1} << 62), kBeyondMax, kSec},
      {"the oldest line's start", 5'000, kExact, 0},
      {"before it", 4'999, kTooOld, 1},
      {"long before it", 5'000 - 3 * kSec, kTooOld, 1},
  };
  for (const auto& row : kRows) {
    SCOPED_TRACE(row.name);
    const NsConversion converted =
        history.NsAt(ClockId::kMonotonic, row.cycles);
    EXPECT_EQ(converted.status, row.status);
    EXPECT_GE(converted.error_ns, row.least_error_ns);
    EXPECT_EQ(converted.error_ns == 0, row.status == kExact);
  }
  simulation.now() = start + 2'000;
  Capture(history, simulation.page.MakeReader());
  EXPECT_EQ(history.NsAt(ClockId::kMonotonic, start + 2'000).status, kExact);
  EXPECT_EQ(history.NsAt(ClockId::kMonotonic, start + 2'001).status,
            kProjected);
}

TEST(HistoryTest, CounterOfAnotherCpuTakesNothingBack) {
  Simulation<64> simulation(kSec);
  HistoryOf<64> history;
  simulation.now() += 1'000;
  Capture(history, simulation.page.MakeReader());
  simulation.now() -= 100;
  Capture(history, simulation.page.MakeReader());
  EXPECT_EQ(history.NsAt(ClockId::kTai, simulation.now() + 100).status, kExact);
}

TEST(HistoryTest, LineThatHasNotBegunIsExactBeforeItToo) {
  Simulation<64> simulation(kSec);
  simulation.Update(kMs);
  HistoryOf<64> history;
  Capture(history, simulation.page.MakeReader());  // Between now and its start.
  const uint64_t start = simulation.page.line().cycle_start;
  ASSERT_LT(simulation.now(), start);
  EXPECT_EQ(history.size(), 2u);
  EXPECT_EQ(history.NsAt(ClockId::kMonotonic, start - 1).status, kExact);
  EXPECT_EQ(history.NsAt(ClockId::kMonotonic, start).status, kExact);
  EXPECT_EQ(history.NsAt(ClockId::kMonotonic, start + 1).status, kProjected);
}

TEST(HistoryTest, KeepsTheNewestLines) {
  Simulation<64> simulation(kSec);
  HistoryOf<64, 4> history;
  EdgyRandom random(5);
  for (uint32_t i = 0; i < 30; ++i) {
    simulation.UpdateWildly(random);
    Capture(history, simulation.page.MakeReader());
    Capture(history, simulation.page.MakeReader());  // Nothing new.
    ASSERT_EQ(history.size(), std::min(i + 2, 4u));
  }
  const auto& held = simulation.published;
  const uint64_t oldest = held[held.size() - 4].start;
  EXPECT_EQ(history.NsAt(ClockId::kTai, oldest).status, kExact);
  EXPECT_EQ(history.NsAt(ClockId::kTai, oldest - 1).status, kTooOld);
  history.Forget();
  EXPECT_EQ(history.size(), 0u);
  EXPECT_EQ(history.NsAt(ClockId::kTai, oldest).status, kNothingCaptured);
}

/// Leaves a page as a writer does that is stopped in its update.
void StopInUpdate(vvar_timeline& timeline) {
  timeline.seq |= 1;
  vvar_slot& idle = timeline.slot[IdleSlot(timeline.seq)];
  for (vvar_base& base : idle.base) base.sec += 1'000;
}

TEST(HistoryTest, CapturesBesideAStoppedWriter) {
  // Stopped before the capture (0), or in front of each of its loads.
  bool done = false;
  for (uint32_t at = 0; !done; ++at) {
    EdgyRandom random(6);
    Simulation<64> simulation(kSec);
    for (int i = 0; i < 3; ++i) simulation.UpdateWildly(random);
    simulation.now() += kMs;
    if (at == 0) StopInUpdate(simulation.page.timeline());
    MemoryScript script;
    uint32_t loads = 0;
    script.on_load = [&](const void*, uint32_t) {
      if (++loads == at) StopInUpdate(simulation.page.timeline());
    };
    HistoryOf<64> history;
    Capture(history, simulation.page.MakeReader<ScriptedMemory>());
    done = at > loads;
    ASSERT_EQ(history.size(), done ? 2u : 1u) << "load " << at;
    const uint64_t start = simulation.page.line().cycle_start;
    for (const uint64_t stamp : {start - 1, start, simulation.now()}) {
      const NsConversion converted = history.NsAt(ClockId::kTai, stamp);
      if (stamp < start && !done) {
        ASSERT_EQ(converted.status, kTooOld);
        continue;
      }
      ASSERT_EQ(converted.status, kExact);
      ASSERT_EQ(converted.ns, simulation.Shown(VVAR_BASE_TAI, stamp));
    }
  }
}

TEST(HistoryTest, CapturesTheLinesOfOnePublication) {
  // A publication, or two, in front of each load of a capture.
  for (int publications = 1; publications <= 2; ++publications) {
    bool done = false;
    for (uint32_t at = 1; !done; ++at) {
      EdgyRandom random(7);
      Simulation<64> simulation(kSec);
      for (int i = 0; i < 5; ++i) simulation.UpdateWildly(random);
      simulation.now() += kMs;
      const auto reader = simulation.page.MakeReader<ScriptedMemory>();
      HistoryOf<64> history;
      MemoryScript script;
      uint32_t loads = 0;
      script.on_load = [&](const void*, uint32_t) {
        if (++loads != at) return;
        for (int i = 0; i < publications; ++i) {
          simulation.UpdateWildly(random);
          simulation.now() += kMs;
        }
      };
      Capture(history, reader);
      done = loads < at;
      ASSERT_EQ(history.size(), 2u);
      const auto& all = simulation.published;
      const uint64_t newest = all[all.size() - 1].start;
      for (const uint64_t stamp :
           {all[all.size() - 2].start, newest - 1, newest}) {
        const NsConversion converted = history.NsAt(ClockId::kTai, stamp);
        // What was published after the capture is not known to it.
        if (converted.status != kExact) continue;
        ASSERT_EQ(converted.ns, simulation.Shown(VVAR_BASE_TAI, stamp))
            << "load " << at;
      }
      const uint64_t before_that = all[all.size() - 3].start;
      const NsConversion converted = history.NsAt(ClockId::kTai, before_that);
      if (converted.status == kExact) {
        ASSERT_EQ(converted.ns, simulation.Shown(VVAR_BASE_TAI, before_that));
      }
    }
  }
}

TEST(HistoryTest, CapturesNoLineUnderRewrite) {
  // In front of each load of a capture a writer opens the next update and is
  // stopped. Its stores may be seen in any order: here the date is not yet.
  bool done = false;
  for (uint32_t at = 1; !done; ++at) {
    EdgyRandom random(8);
    Simulation<64> simulation(kSec);
    for (int i = 0; i < 5; ++i) simulation.UpdateWildly(random);
    simulation.now() += kMs;
    const auto reader = simulation.page.MakeReader<ScriptedMemory>();
    HistoryOf<64> history;
    MemoryScript script;
    uint32_t loads = 0;
    script.on_load = [&](const void*, uint32_t) {
      if (++loads != at) return;
      vvar_timeline& timeline = simulation.page.timeline();
      timeline.slot[IdleSlot(timeline.seq)].base[VVAR_BASE_TAI].sec += 5;
      timeline.seq |= 1;
    };
    Capture(history, reader);
    done = loads < at;
    const auto& all = simulation.published;
    const uint64_t previous = all[all.size() - 2].start;
    const NsConversion converted = history.NsAt(ClockId::kTai, previous);
    if (history.size() == 2) {
      ASSERT_EQ(converted.ns, simulation.Shown(VVAR_BASE_TAI, previous))
          << "load " << at;
    } else {
      ASSERT_EQ(converted.status, kTooOld) << "load " << at;
    }
  }
}

TEST(HistoryTest, CaptureThatSleptWhileSeqWentRoundStartsAgain) {
  // In front of each load of the lines: 2^31 publications. Odd: the writer was
  // stopped in an update, then and now.
  for (const SeqToken seq : {10u, 11u}) {
    bool done = false;
    for (uint32_t at = 4; !done; ++at) {
      EdgyRandom random(12);
      Simulation<64> simulation(kSec);
      simulation.page.timeline().seq = 2;
      for (int i = 0; i < 4; ++i) simulation.UpdateWildly(random);
      simulation.page.timeline().seq = seq;
      MemoryScript script;
      uint32_t loads = 0;
      script.on_load = [&](const void*, uint32_t) {
        if (++loads != at) return;
        for (int i = 0; i < 2; ++i) simulation.UpdateWildly(random);
        simulation.page.timeline().seq = seq;
      };
      HistoryOf<64> history;
      Capture(history, simulation.page.MakeReader<ScriptedMemory>());
      done = at >= loads;  // In front of [R:end], or not at all.
      const auto& all = simulation.published;
      const size_t newest = all.size() - (at == loads ? 3 : 1);
      const uint64_t start = all[newest].start;
      for (const uint64_t stamp : {all[newest - 1].start, start - 1, start}) {
        const NsConversion converted = history.NsAt(ClockId::kTai, stamp);
        // Of an odd seq, a whole line from before is as good.
        if (seq % 2 == 0) {
          ASSERT_EQ(converted.status, kExact) << "load " << at;
        }
        if (converted.status == kExact) {
          ASSERT_EQ(converted.ns, simulation.Shown(VVAR_BASE_TAI, stamp))
              << "load " << at;
        }
      }
    }
  }
}

TEST(HistoryTest, SaysWhyItCapturedNothingAndKeepsWhatItHas) {
  const struct {
    const char* name;
    uint32_t counter_id;
    ReadStatus status;
  } kRows[] = {
      {"withdrawn", VVAR_COUNTER_NONE, ReadStatus::kNoCounter},
      {"another counter", kManualCounterId + 1, ReadStatus::kWrongCounter},
  };
  for (const auto& row : kRows) {
    SCOPED_TRACE(row.name);
    Simulation<64> simulation(kSec);
    HistoryOf<64> history;
    Capture(history, simulation.page.MakeReader());
    const uint64_t stamp = simulation.now();
    simulation.Update(kMs);
    for (vvar_slot& slot : simulation.page.timeline().slot) {
      slot.counter_id = row.counter_id;
    }
    EXPECT_EQ(history.Capture(simulation.page.MakeReader()), row.status);
    EXPECT_EQ(history.size(), 1u);
    EXPECT_EQ(history.NsAt(ClockId::kTai, stamp).status, kExact);
  }
  HistoryOf<64> history;
  EXPECT_EQ(history.Capture(Reader<ManualClock<>>()), ReadStatus::kNotReady);
  EXPECT_EQ(history.size(), 0u);
}

TEST(HistoryTest, WithoutAValueSaysSo) {
  Simulation<64> simulation(kSec);
  HistoryOf<64> history;
  uint64_t cycles[3] = {1, 2, 3};
  uint64_t ns[3];
  SnapshotReading all = {};
  EXPECT_EQ(history.NsAt(ClockId::kTai, 1).status, kNothingCaptured);
  EXPECT_EQ(history.NsAt(ClockId::kTai, cycles, ns, 3).status,
            kNothingCaptured);
  EXPECT_EQ(history.SnapshotAt(1, &all).status, kNothingCaptured);
  EXPECT_EQ(history.CyclesAt(ClockId::kMonotonic, 1).status, kNothingCaptured);
  Capture(history, simulation.page.MakeReader());
  for (const ClockId id : {ClockId::kRealtimeCoarse, ClockId::kMonotonicCoarse,
                           ClockId(3), ClockId(-1), ClockId(INT32_MAX)}) {
    EXPECT_EQ(history.NsAt(id, 1).status, kUnknownClock);
    EXPECT_EQ(history.NsAt(id, cycles, ns, 3).status, kUnknownClock);
    EXPECT_EQ(history.CyclesAt(id, 1).status, kUnknownClock);
  }
  EXPECT_EQ(history.NsAt(ClockId::kTai, cycles, ns, 0).status, kExact);
}

TEST(HistoryTest, StartsAnewWhereAPageDoesNotContinue) {
  const struct {
    const char* name;
    int updates;  // Of another page, which begins at...
    uint64_t start;
  } kRows[] = {
      {"fewer publications", 2, 900'000'000},
      {"as many, another line", 9, 900'000'000},
      {"more, a counter that was set back", 20, 1'000},
  };
  for (const auto& row : kRows) {
    SCOPED_TRACE(row.name);
    Simulation<64> simulation(kSec);
    HistoryOf<64> history;
    for (int i = 0; i < 9; ++i) {
      simulation.Update(kMs);
      Capture(history, simulation.page.MakeReader());
    }
    const uint64_t stamp = simulation.now();
    TestPage<64> other(ConfigOf(kSec, 64), row.start);
    for (int i = 0; i < row.updates; ++i) other.Update(i == 0 ? kMs : kMs / 4);
    Capture(history, other.MakeReader());
    EXPECT_EQ(history.size(), 2u);
    EXPECT_NE(history.NsAt(ClockId::kTai, stamp).status, kExact);
    EXPECT_EQ(history.NsAt(ClockId::kTai, other.counter.value).status, kExact);
  }
}

TEST(HistoryTest, ForgetsWhatTheCounterCannotTellApart) {
  // A 32-bit counter at 24 MHz comes round each 179 s.
  for (const uint64_t pause_ms :
       {20u, 80'000u, 100'000u, 170'000u, 180'000u, 270'000u, 400'000u}) {
    SCOPED_TRACE(pause_ms);
    Simulation<32> simulation(24'000'000);
    HistoryOf<32> history;
    Capture(history, simulation.page.MakeReader());
    const uint64_t stamp = simulation.now();
    for (uint64_t past = 0; past < pause_ms; past += 10) {
      simulation.Update(10 * simulation.ms);
    }
    Capture(history, simulation.page.MakeReader());
    const bool remembers = pause_ms < 89'000;
    EXPECT_EQ(history.size(), remembers ? 3u : 2u);
    EXPECT_EQ(history.NsAt(ClockId::kTai, simulation.now() & UINT32_MAX).status,
              kExact);
    if (remembers) {
      EXPECT_EQ(history.NsAt(ClockId::kTai, stamp & UINT32_MAX).status, kExact);
    }
  }
  // And line by line.
  Simulation<32> simulation(24'000'000);
  HistoryOf<32, 256> history;
  for (int i = 0; i < 250; ++i) {
    simulation.Update(1'000 * simulation.ms);
    Capture(history, simulation.page.MakeReader());
  }
  EXPECT_EQ(history.size(), 90u);
  EdgyRandom random(8);
  for (int i = 0; i < 1'000; ++i) {
    const uint64_t stamp =
        simulation.now() - random.Below(88'000 * simulation.ms);
    const NsConversion converted =
        history.NsAt(ClockId::kTai, stamp & UINT32_MAX);
    ASSERT_EQ(converted.status, kExact);
    ASSERT_EQ(converted.ns, simulation.Shown(VVAR_BASE_TAI, stamp));
  }
}

// --- Many at once ------------------------------------------------------------

TEST(HistoryTest, BatchEqualsOneByOne) {
  ForEachCounter([]<uint32_t kBits>(Simulation<kBits> simulation) {
    EdgyRandom random(200 + kBits);
    HistoryOf<kBits> history;
    simulation.page.timekeeper.SetErrorBound(50, 100'000);
    for (int i = 0; i < 100; ++i) {
      simulation.UpdateWildly(random);
      if (!random.OneIn(4)) Capture(history, simulation.page.MakeReader());
    }
    const uint64_t end = simulation.now() + 3 * simulation.ms;
    for (int i = 0; i < 400; ++i) {
      const size_t count = random.Below(300);
      std::vector<uint64_t> cycles(count);
      // From dense, in order, to anywhere at random.
      const uint64_t spread = simulation.ms << random.Below(8) >> 4;
      uint64_t at = end - random.Below(120 * simulation.ms);
      const bool in_order = random.OneIn(2);
      for (uint64_t& each : cycles) {
        const uint64_t next = at + random.Below(spread);
        each = next & simulation.kMask;
        if (in_order) at += random.Below(spread / 64 + 1);
        if (random.OneIn(500)) each = random.Any() & simulation.kMask;
      }
      for (const auto& clock : kClockRows) {
        if (clock.coarse) continue;
        std::vector<uint64_t> ns(count + 1, 0x5555);
        const BatchConversion batch =
            history.NsAt(clock.id, cycles.data(), ns.data(), count);
        BatchConversion worst = {0, kExact};
        for (size_t k = 0; k < count; ++k) {
          const NsConversion each = history.NsAt(clock.id, cycles[k]);
          ASSERT_EQ(ns[k], each.ns) << clock.name << " of " << cycles[k];
          worst.error_ns = std::max(worst.error_ns, each.error_ns);
          worst.status = std::max(worst.status, each.status);
        }
        ASSERT_EQ(ns[count], 0x5555u) << "beyond the end";
        ASSERT_EQ(batch.error_ns, worst.error_ns);
        ASSERT_EQ(batch.status, worst.status);
      }
    }
  });
}

TEST(HistoryTest, BatchOverLongLinesIsExact) {
  // Beyond what one product reaches: 2^28 cycles are 0.1 s at 2.6 GHz.
  Simulation<64> simulation(2'600'000'000);
  HistoryOf<64> history;
  EdgyRandom random(9);
  for (int i = 0; i < 4; ++i) {
    simulation.page.timekeeper.SetFrequency(random.EdgySigned(26));
    simulation.Update(700 * simulation.ms);
    Capture(history, simulation.page.MakeReader());
  }
  const uint64_t span = 2'000 * simulation.ms;
  for (const uint64_t step : {uint64_t{1}, span / 100'000, span / 4'096}) {
    std::vector<uint64_t> cycles(4'096), ns(4'096);
    for (size_t i = 0; i < cycles.size(); ++i) {
      cycles[i] = simulation.now() - span + i * step;
    }
    const BatchConversion batch = history.NsAt(
        ClockId::kBoottime, cycles.data(), ns.data(), cycles.size());
    EXPECT_EQ(batch.status, kExact);
    for (size_t i = 0; i < cycles.size(); ++i) {
      ASSERT_EQ(ns[i], simulation.Shown(VVAR_BASE_BOOTTIME, cycles[i]));
    }
  }
}

TEST(HistoryTest, BatchTakesWhateverHasDataAndSize) {
  Simulation<64> simulation(kSec);
  HistoryOf<64> history;
  Capture(history, simulation.page.MakeReader());
  const std::array<uint64_t, 3> cycles = {5'000, 4'000, 5'000};
  std::vector<uint64_t> ns(3, 0);
  const std::span<uint64_t> first_two(ns.data(), 2);
  const BatchConversion batch =
      history.NsAt(ClockId::kMonotonic, cycles, first_two);
  EXPECT_EQ(batch.status, kTooOld);
  EXPECT_EQ(ns[0], history.NsAt(ClockId::kMonotonic, 5'000).ns);
  EXPECT_EQ(ns[1], ns[0] - 1'000);
  EXPECT_EQ(ns[2], 0u) << "beyond the shorter of the two";
  history.NsAt(ClockId::kMonotonic, cycles, ns);
  EXPECT_EQ(ns[2], ns[0]);
}

// --- Cross-timestamps --------------------------------------------------------

auto FieldsOf(const SnapshotReading& all) {
  return std::array{all.cycles,
                    all.realtime_ns,
                    all.monotonic_ns,
                    all.monotonic_raw_ns,
                    all.boottime_ns,
                    all.tai_ns,
                    all.realtime_coarse_ns,
                    all.monotonic_coarse_ns,
                    all.error_ns,
                    static_cast<uint64_t>(all.tai_offset_sec),
                    static_cast<uint64_t>(all.leap_state),
                    static_cast<uint64_t>(all.clock_status)};
}

TEST(HistoryTest, SnapshotAtIsTheSnapshotThatWasTakenThere) {
  ForEachCounter([]<uint32_t kBits>(Simulation<kBits> simulation) {
    EdgyRandom random(300 + kBits);
    HistoryOf<kBits> history;
    std::vector<SnapshotReading> taken;
    for (int i = 0; i < 50; ++i) {
      simulation.page.timekeeper.SetErrorBound(random.Edgy(20), 1'000);
      simulation.UpdateWildly(random);
      Capture(history, simulation.page.MakeReader());
      const uint64_t start = simulation.published.back().start;
      for (const uint64_t ahead : {uint64_t{1}, simulation.ms / 9}) {
        const uint64_t now = simulation.now();
        simulation.now() = ahead == 1 ? now : start + ahead;
        taken.emplace_back();
        ASSERT_EQ(simulation.page.MakeReader().Snapshot(&taken.back()),
                  ReadStatus::kOk);
        simulation.now() = now;
      }
    }
    simulation.now() += 2 * simulation.ms;
    Capture(history, simulation.page.MakeReader());
    for (const SnapshotReading& then : taken) {
      SnapshotReading converted = {};
      const BatchConversion worst = history.SnapshotAt(then.cycles, &converted);
      ASSERT_EQ(worst.status, kExact);
      ASSERT_EQ(worst.error_ns, 0u);
      ASSERT_EQ(FieldsOf(converted), FieldsOf(then));
    }
  });
}

TEST(HistoryTest, SnapshotAtBoundsTheTrueTimeElsewhere) {
  Simulation<64> simulation(kSec);
  HistoryOf<64> history;
  simulation.page.timekeeper.SetErrorBound(1'000, 1'000'000);
  simulation.Update(kMs);
  Capture(history, simulation.page.MakeReader());
  const uint64_t start = simulation.page.line().cycle_start;
  const uint64_t oldest = simulation.published[0].start;
  SnapshotReading all = {};
  EXPECT_EQ(history.SnapshotAt(start + kSec / 2, &all).status, kProjected);
  EXPECT_GE(all.error_ns, 501'000u);
  EXPECT_LE(all.error_ns, 530'000u);
  const BatchConversion before = history.SnapshotAt(oldest - kMs, &all);
  EXPECT_EQ(before.status, kTooOld);
  EXPECT_GT(before.error_ns, 0u);
}

// --- Deadlines ---------------------------------------------------------------

class DeadlineTest : public ::testing::Test {};

TEST(DeadlineTest, IsTheFirstCounterValueThatShowsIt) {
  ForEachCounter([]<uint32_t kBits>(Simulation<kBits> simulation) {
    EdgyRandom random(400 + kBits);
    HistoryOf<kBits> history;
    const uint64_t first = simulation.now();
    for (int i = 0; i < 50; ++i) {
      simulation.UpdateWildly(random);
      Capture(history, simulation.page.MakeReader());
    }
    // From the oldest line to as far ahead as the newest answers.
    const uint64_t end = simulation.page.line().max_cycles + simulation.now();
    for (int i = 0; i < 4'000; ++i) {
      const uint64_t about =
          random.OneIn(2)
              ? simulation.now() + random.Below(end - simulation.now())
              : first + random.Below(simulation.now() - first);
      for (const auto& clock : kClockRows) {
        if (clock.coarse || clock.id == ClockId::kRealtime ||
            clock.id == ClockId::kTai) {
          continue;
        }
        const uint64_t deadline_ns =
            simulation.Shown(clock.index, about) + random.Below(3);
        const CyclesConversion armed = history.CyclesAt(clock.id, deadline_ns);
        if (armed.status == kTooOld) {
          ASSERT_LE(about, simulation.published[0].start + 300);
          continue;
        }
        ASSERT_LT(armed.status, kGap);
        const uint64_t cycles =
            about - 1'000 +
            ((armed.cycles - (about - 1'000)) & simulation.kMask);
        ASSERT_GE(simulation.Shown(clock.index, cycles), deadline_ns)
            << clock.name << ": early";
        ASSERT_LT(simulation.Shown(clock.index, cycles - 1), deadline_ns)
            << clock.name << ": late by more than a cycle";
        ASSERT_EQ(history.NsAt(clock.id, armed.cycles).ns,
                  simulation.Shown(clock.index, cycles));
      }
    }
  });
}

// Trap: T74
TEST(DeadlineTest, SurvivesRealtimeStep) {
  Simulation<64> simulation(2'600'000'000);
  HistoryOf<64> history;
  Capture(history, simulation.page.MakeReader());
  const uint64_t deadline_ns =
      history.NsAt(ClockId::kMonotonic, simulation.now()).ns + kSec / 10;
  const uint64_t armed =
      history.CyclesAt(ClockId::kMonotonic, deadline_ns).cycles;
  for (const int64_t step_ns :
       {int64_t{-3'600} * 1'000'000'000, int64_t{86'400} * 1'000'000'000}) {
    simulation.page.timekeeper.StepRealtime(step_ns);
    simulation.Update(simulation.ms);
    Capture(history, simulation.page.MakeReader());
    EXPECT_EQ(history.CyclesAt(ClockId::kMonotonic, deadline_ns).cycles, armed);
    EXPECT_EQ(history
                  .CyclesAt(ClockId::kBoottime,
                            simulation.Shown(VVAR_BASE_BOOTTIME, armed))
                  .cycles,
              armed);
  }
  // Deadlines on clocks that are set are refused, not moved.
  EXPECT_EQ(history.CyclesAt(ClockId::kRealtime, deadline_ns).status,
            kUnknownClock);
  EXPECT_EQ(history.CyclesAt(ClockId::kTai, deadline_ns).status, kUnknownClock);
}

TEST(DeadlineTest, ConvertedAgainFollowsTheNewSlope) {
  Simulation<64> simulation(kSec);
  HistoryOf<64> history;
  Capture(history, simulation.page.MakeReader());
  const uint64_t deadline_ns =
      simulation.Shown(VVAR_BASE_MONOTONIC, simulation.now() + 500 * kMs);
  EXPECT_EQ(history.CyclesAt(ClockId::kMonotonic, deadline_ns).status,
            kProjected);
  simulation.page.timekeeper.SetFrequency(-50'000'000);
  simulation.Update(kMs);
  Capture(history, simulation.page.MakeReader());
  const CyclesConversion again =
      history.CyclesAt(ClockId::kMonotonic, deadline_ns);
  EXPECT_EQ(again.status, kProjected);
  EXPECT_GE(simulation.Shown(VVAR_BASE_MONOTONIC, again.cycles), deadline_ns);
  EXPECT_LT(simulation.Shown(VVAR_BASE_MONOTONIC, again.cycles - 1),
            deadline_ns);
}

TEST(DeadlineTest, InAGapIsNotBeyondTheLineAfterIt) {
  // The lines that were missed ran faster: the gap's end is there first.
  Simulation<64> simulation(kSec);
  HistoryOf<64> history;
  Capture(history, simulation.page.MakeReader());
  simulation.page.timekeeper.SetFrequency(50'000'000);
  for (int i = 0; i < 10; ++i) simulation.Update(kMs);
  Capture(history, simulation.page.MakeReader());
  const uint64_t after = simulation.published[9].start;
  const uint64_t deadline_ns = simulation.Shown(VVAR_BASE_MONOTONIC, after);
  const CyclesConversion just =
      history.CyclesAt(ClockId::kMonotonic, deadline_ns);
  EXPECT_EQ(just.status, kGap);
  EXPECT_EQ(just.cycles, after);
  const CyclesConversion inside =
      history.CyclesAt(ClockId::kMonotonic, deadline_ns - 8 * kMs);
  EXPECT_EQ(inside.status, kGap);
  EXPECT_LT(inside.cycles, after);
}

TEST(DeadlineTest, OutsideOfWhatIsKnownSaysSo) {
  ForEachCounter([]<uint32_t kBits>(Simulation<kBits> simulation) {
    HistoryOf<kBits> history;
    Capture(history, simulation.page.MakeReader());
    const Line& line = simulation.page.line();
    const uint64_t start_ns = TimespecToNs(support::kTestTimes.monotonic);
    const auto cycles_at = [&](uint64_t ns) {
      return history.CyclesAt(ClockId::kMonotonic, ns);
    };
    EXPECT_EQ(cycles_at(start_ns).status, kTooOld);
    EXPECT_EQ(cycles_at(start_ns).cycles, line.cycle_start);
    EXPECT_EQ(cycles_at(start_ns - kSec).status, kTooOld);
    EXPECT_EQ(cycles_at(0).cycles, line.cycle_start);
    EXPECT_EQ(cycles_at(start_ns + 1).status, kProjected);
    EXPECT_EQ(
        cycles_at(start_ns + line.max_cycles * kSec / (simulation.ms * 1'000) -
                  1'000)
            .status,
        kProjected);
    EXPECT_EQ(cycles_at(start_ns + 2 * kSec).status, kBeyondMax);
    const CyclesConversion never = cycles_at(start_ns + (uint64_t{1} << 62));
    EXPECT_EQ(never.status, kBeyondMax);
    if (kBits == 32) {
      EXPECT_EQ((never.cycles - line.cycle_start) & simulation.kMask,
                simulation.kMask / 2)
          << "the farthest that still looks like the future";
    }
  });
}

// --- Hostile pages -----------------------------------------------------------

TEST(HistoryTest, HostilePageIsDefined) {
  // UBSan and ASan watch; every loop ends.
  EdgyRandom random(10);
  HistoryOf<64, 4> history;
  uint64_t sum = 0;
  for (int i = 0; i < 30'000; ++i) {
    vvar_timeline timeline;
    auto* bytes = reinterpret_cast<unsigned char*>(&timeline);
    for (size_t at = 0; at < sizeof(timeline); at += 8) {
      const uint64_t word = random.Edgy();
      memcpy(bytes + at, &word, 8);
    }
    for (vvar_slot& slot : timeline.slot) {
      if (!random.OneIn(8)) slot.counter_id = kManualCounterId;
    }
    support::ManualCounter counter;
    counter.value = random.Edgy();
    const Reader<ManualClock<>> reader(&timeline, ManualClock<>(&counter));
    sum += static_cast<uint64_t>(history.Capture(reader));
    ASSERT_LE(history.size(), 4u);
    const auto id = static_cast<ClockId>(random.Below(12));
    const uint64_t stamp = random.Edgy();
    sum += history.NsAt(id, stamp).error_ns;
    sum += history.CyclesAt(id, stamp).cycles;
    SnapshotReading all = {};
    sum += history.SnapshotAt(stamp, &all).error_ns;
    std::vector<uint64_t> cycles(kChunk + 1, stamp), ns(kChunk + 1);
    sum += history.NsAt(id, cycles.data(), ns.data(), cycles.size()).error_ns;
  }
  EXPECT_NE(sum, 0u);
}

}  // namespace
}  // namespace vvar
