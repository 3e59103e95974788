// SPDX-License-Identifier: MIT
//
// F1: a writer process stopped, and killed, at every instruction of a
// publication, with readers of a read-only mapping at each; and the writer that
// succeeds it, likewise. What is killed is a copy of the process that stands
// where it does. It leaves nothing but the page: so its successors run once
// from each state that the page was in, with the counter and the readers at the
// last instruction of that state.
//
// What this could miss: whatever a CPU reorders. Readers look between two
// instructions, when all stores of the first are visible.
#include <gtest/gtest.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "clocks/native.h"
#include "tests/faults/mapped_page.h"
#include "tests/faults/observer.h"
#include "tests/faults/stepped_process.h"
#include "tests/hosted/child_process.h"
#include "tests/support/counted_memory.h"
#include "tests/support/manual_clock.h"
#include "tests/support/oracle.h"
#include "tests/support/test_page.h"
#include "vvar/header.h"
#include "vvar/latch.h"
#include "vvar/reader.h"
#include "vvar/scale.h"
#include "vvar/slot.h"
#include "vvar/timekeeper.h"
#include "vvar/writer.h"

namespace vvar::faults {
namespace {

using hosted::SharedWithChildren;
using support::CountedMemory;
using support::FieldsOf;
using support::kTestTimes;
using support::WordClock;

// Far more than a publication takes at a cycle for each eighth instruction,
// also when a sanitizer multiplies these.
constexpr TimekeeperConfig kConfig = [] {
  TimekeeperConfig config = support::kTestConfig;
  config.lead_ns = 100'000;
  return config;
}();
constexpr uint64_t kLead = 100'000;

// What a writer process and this one share besides the page.
struct Stage {
  enum Phase : uint32_t { kBefore, kPublishing, kDone };
  volatile uint64_t counter;
  volatile uint32_t phase;
  uint64_t resume_at;  // For a successor that finds a held line.
};

// One state of the page, and where clocks and readers stood.
struct State {
  vvar_page page;
  uint64_t counter;
  LastRead now;
  LastRead skewed;
};

struct Scenario {
  const char* name;
  SeqToken seq = 0;       // Before the first publication.
  int outruns = 0;        // How often the counter outruns the line to come.
  bool held = false;      // The line before has been ended, and not shown so.
  bool first = false;     // Nothing has been published.
  uint32_t redated = 0;   // Lines dated anew to expect.
  uint32_t lates = 0;     // Late publications to expect.
  size_t state_step = 4;  // Successors start from each such state of the page.
};
constexpr Scenario kScenarios[] = {
    {.name = "slot 0 is idle", .state_step = 1},
    {.name = "slot 1 is idle", .seq = 2},
    {.name = "seq wraps to an odd value", .seq = 0xfffffffa},
    {.name = "the first publication", .first = true},
    {.name = "dated anew",
     .seq = 2,
     .outruns = 1,
     .redated = 1,
     .state_step = 1},
    {.name = "dated anew to the last, and late",
     .outruns = 4,
     .redated = 3,
     .lates = 1},
    {.name = "a held line, then the one after", .seq = 2, .held = true},
};

using TestWriter = Writer<WordClock>;

void Steer(Timekeeper& timekeeper, int64_t ppb) {
  timekeeper.SetFrequency(ppb);
  timekeeper.SetRawFrequency(-ppb / 2);
  timekeeper.SetErrorBound(1'234, 567);
  timekeeper.SetTaiOffset(static_cast<int32_t>(ppb / 1'000'000));
  timekeeper.StepRealtime(ppb * 100);
  timekeeper.SetStatus(ClockStatus::kSynchronised);
}

// Goes on from a line as a new writer does (hosted/updater.h). Returns false
// where there is none.
bool TakeOver(const Line& found, uint64_t resume_at, Timekeeper& timekeeper) {
  if (found.IsHeld() && found.scale.mult != 0) {
    if (!timekeeper.Import(found)) return false;
    timekeeper.Resume(resume_at, {});
  } else if (!timekeeper.Continue(found)) {
    return false;
  }
  Steer(timekeeper, -35'000'000);
  return true;
}

class WriterSteppingTest : public testing::Test {
 protected:
  using Body = std::function<void()>;

  void SetUp() override {
    if (const char* why = SteppedProcess::Refusal()) GTEST_SKIP() << why;
    ASSERT_TRUE(page_.ok());
  }

  vvar_timeline& timeline() { return page_.writable().timeline[0]; }
  WordClock clock() { return WordClock(&stage_->counter); }

  // Two lines of unlike slopes, and a third that is wanted.
  void Prepare(const Scenario& scenario) {
    scenario_ = &scenario;
    page_.writable() = {};
    FormatPage(page_.writable(), support::PageConfigOf(kConfig));
    timeline().seq = scenario.seq;
    stage_->counter = 1'000'000;
    timekeeper_ = Timekeeper(kConfig);
    timekeeper_.Start(stage_->counter, kTestTimes);
    lines_.clear();
    states_.clear();
    kills_ = 0;
    if (!scenario.first) PublishTwo();
    if (scenario.held) {
      timekeeper_.HoldAt(stage_->counter);
      lines_[3] = timekeeper_.line();
      timekeeper_.Resume(stage_->counter, {7'000'000, 5'000, 6'000, 8'000});
    }
  }
  void PublishTwo() {
    TestWriter writer(&timeline(), clock());
    writer.PublishLine(timekeeper_.line());
    lines_[1] = timekeeper_.line();
    stage_->counter = stage_->counter + kLead;
    Steer(timekeeper_, 40'000'000);
    ASSERT_EQ(writer.Publish(timekeeper_), PublishStatus::kPublished);
    lines_[2] = timekeeper_.line();
    stage_->counter = stage_->counter + 2 * kLead;
    Steer(timekeeper_, -40'000'000);
  }

  // --- What runs in a process of its own ---

  void Publish() {
    TestWriter writer(&timeline(), clock());
    stage_->phase = Stage::kPublishing;
    if (scenario_->first) {
      writer.PublishLine(timekeeper_.line());
    } else {
      (void)writer.Publish(timekeeper_);
    }
    stage_->phase = Stage::kDone;
  }

  void Succeed() {
    stage_->phase = Stage::kPublishing;
    TestWriter writer(&timeline(), clock());
    Timekeeper heir(kConfig);
    Line found;
    writer.LoadCurrentLine(&found);
    if (TakeOver(found, stage_->resume_at, heir)) {
      (void)writer.Publish(heir);
    } else {
      heir.Start(stage_->counter, kTestTimes);
      writer.PublishLine(heir.line());
    }
    stage_->phase = Stage::kDone;
  }

  // --- What this process does with it ---

  std::unique_ptr<SteppedProcess> Begin(const Body& body) {
    stage_->phase = Stage::kBefore;
    last_start_ = timeline().slot[IdleSlot(timeline().seq)].cycle_start;
    auto process = std::make_unique<SteppedProcess>(body);
    while (stage_->phase == Stage::kBefore && process->Step()) {
    }
    return process;
  }

  // The same for an instruction each time: the counter runs, and outruns a line
  // as soon as it is dated, if it is to.
  void MoveCounter(uint64_t instruction, int* outruns) {
    if (instruction % 8 == 0) stage_->counter = stage_->counter + 1;
    const SeqToken seq = timeline().seq;
    const uint64_t start = timeline().slot[IdleSlot(seq)].cycle_start;
    if ((seq & 1) != 0 && start != last_start_ && *outruns > 0) {
      --*outruns;
      stage_->counter = stage_->counter + 2 * kLead;
    }
    last_start_ = start;
  }

  // Steps a writer to its end, with readers at each instruction.
  void StepAlong(const Body& body, int outruns, Observer& observer,
                 const std::function<void(SteppedProcess&)>& each) {
    const std::unique_ptr<SteppedProcess> process = Begin(body);
    // Of a CPU that has not come to the current line.
    observer.StandSkewedAt(
        timeline().slot[CurrentSlot(timeline().seq)].cycle_start - 3);
    observer.Probe();
    uint64_t instruction = 0;
    while (stage_->phase == Stage::kPublishing && process->Step()) {
      MoveCounter(++instruction, &outruns);
      observer.Probe();
      each(*process);
    }
    observer.tally.instructions += instruction;
    ASSERT_GT(instruction, 100u);
    ASSERT_TRUE(process->Finish());
    ASSERT_EQ(outruns, 0);
  }

  // The counter runs on through the change of lines.
  void RunOn(Observer& observer) {
    const Line* const line = observer.LineAt(timeline().seq);
    ASSERT_NE(line, nullptr);
    const uint64_t end = line->cycle_start + 300;
    while (static_cast<int64_t>(end - stage_->counter) > 0) {
      const bool near = stage_->counter + 10'000 > line->cycle_start;
      stage_->counter = stage_->counter + (near ? 97 : 9'973);
      observer.Probe();
    }
    observer.Probe();
    Line found;
    TestWriter(&timeline(), clock()).LoadCurrentLine(&found);
    ASSERT_EQ(FieldsOf(found), FieldsOf(*line)) << "what was planned";
  }

  Observer MakeObserver(Observer::Lines lines, const Timekeeper& writers) {
    const bool first = lines.empty();
    const auto plan = [writers, first](uint64_t start) {
      Timekeeper twin = writers;
      if (!first) return twin.Plan(start - kLead);
      twin.Start(start, kTestTimes);
      return twin.line();
    };
    return Observer(page_.read_only().timeline[0], scenario_->seq,
                    &stage_->counter, std::move(lines), plan);
  }

  // The prepared writer, by `body`; keeps each state of the page, and kills a
  // copy of the writer at each instruction, if it is to.
  enum class Kills { kNone, kAtEveryInstruction };
  Observer StepThroughPublication(const Body& body, Kills kills) {
    Observer observer = MakeObserver(lines_, timekeeper_);
    const auto each = [&](SteppedProcess& process) {
      if (kills != Kills::kNone) {
        const vvar_page page = page_.read_only();
        EXPECT_TRUE(process.KillACopy());
        EXPECT_EQ(memcmp(&page, &page_.read_only(), sizeof page), 0);
        ++kills_;
      }
      if (states_.empty() || memcmp(&states_.back().page, &page_.writable(),
                                    sizeof(vvar_page)) != 0) {
        states_.emplace_back();
      }
      states_.back() = {page_.writable(), stage_->counter, observer.now_,
                        observer.skewed_};
    };
    StepAlong(body, scenario_->outruns, observer, each);
    return observer;
  }

  // A successor, by `heir`, from one state of the page that had `lines`.
  Observer SucceedFrom(const State& state, Observer::Lines lines,
                       const Body& heir) {
    page_.writable() = state.page;
    stage_->counter = state.counter + 5;
    const uint32_t published = (timeline().seq - scenario_->seq) >> 1;
    lines.erase(lines.upper_bound(published), lines.end());
    Timekeeper twin(kConfig);
    if (!lines.empty()) {
      const Line& found = lines.at(published);
      if (!found.IsHeld() && found.cycle_start > stage_->counter) {
        stage_->counter = found.cycle_start;  // It has to wait for that.
      }
      stage_->resume_at = stage_->counter;
      EXPECT_TRUE(TakeOver(found, stage_->counter, twin));
    }
    Observer observer = MakeObserver(std::move(lines), twin);
    observer.now_ = state.now;
    observer.skewed_ = state.skewed;
    StepAlong(heir, 0, observer, [](SteppedProcess&) {});
    return observer;
  }

  void KeepOneStateIn(size_t n) {
    for (size_t i = 0; i * n < states_.size(); ++i) states_[i] = states_[i * n];
    states_.resize((states_.size() + n - 1) / n);
  }

  const OnOneCpu on_one_cpu_;
  const MappedPage page_;
  const SharedWithChildren<Stage> stage_;
  const Scenario* scenario_ = nullptr;
  Timekeeper timekeeper_{kConfig};
  Observer::Lines lines_;      // By number of publication.
  std::vector<State> states_;  // Each unlike the one before.
  int kills_ = 0;
  uint64_t last_start_ = 0;
};

void Print(const char* what, const Tally& tally, size_t states, int kills) {
  printf(
      "%-34s %6.0f instructions, %3d states, %5d kills, %8.0f reads: torn %.0f,"
      " busy %.0f, refused %.0f, retries %.0f, back %.0f\n",
      what, static_cast<double>(tally.instructions), static_cast<int>(states),
      kills, static_cast<double>(tally.probes), static_cast<double>(tally.torn),
      static_cast<double>(tally.busy), static_cast<double>(tally.refused),
      static_cast<double>(tally.waits), static_cast<double>(tally.back));
}

// Trap: T16
// Trap: T21
TEST_F(WriterSteppingTest, EveryReadAnswersAtEveryInstruction) {
  for (const Scenario& scenario : kScenarios) {
    SCOPED_TRACE(scenario.name);
    ASSERT_NO_FATAL_FAILURE(Prepare(scenario));
    Observer observer =
        StepThroughPublication([&] { Publish(); }, Kills::kNone);
    const vvar_writer_stats& stats = timeline().stats;
    EXPECT_EQ(stats.late_publications, scenario.lates);
    EXPECT_EQ(stats.redated_lines, scenario.redated);
    RunOn(observer);
    Tally& tally = observer.tally;
    Print(scenario.name, tally, states_.size(), 0);
    if (scenario.lates != 0) {
      // Late by so much, with slopes that differ by less than a tenth.
      EXPECT_GT(tally.back, 0u) << "or the scenario is not what it says";
      EXPECT_LE(tally.worst_back_ns, stats.max_lateness_cycles / 10 + 1);
      tally.back = 0;
    }
    EXPECT_EQ(tally.Failures(), 0u);
    EXPECT_GT(tally.probes, 50 * tally.instructions);
  }
}

// Trap: T16
// Trap: T18
TEST_F(WriterSteppingTest, EverySuccessorRecoversFromAKillAtEveryInstruction) {
  for (const Scenario& scenario : kScenarios) {
    SCOPED_TRACE(scenario.name);
    ASSERT_NO_FATAL_FAILURE(Prepare(scenario));
    const Observer first =
        StepThroughPublication([&] { Publish(); }, Kills::kAtEveryInstruction);
    EXPECT_EQ(kills_, static_cast<int>(first.tally.instructions));
    EXPECT_GT(states_.size(), 20u);
    if (getenv("VVAR_THOROUGH") == nullptr) KeepOneStateIn(scenario.state_step);
    Tally sum;
    for (const State& state : states_) {
      Observer observer = SucceedFrom(state, first.lines(), [&] { Succeed(); });
      EXPECT_EQ(timeline().seq, (state.page.timeline[0].seq | 1) + 1);
      RunOn(observer);
      sum.Add(observer.tally);
      ASSERT_FALSE(HasFatalFailure());
    }
    Print(scenario.name, sum, states_.size(), kills_);
    EXPECT_EQ(sum.Failures(), 0u);
  }
}

// --- Writers that are wrong: the driver above must notice each ---------------

// Trap: T23
TEST_F(WriterSteppingTest, ASlotWrittenBeforeOpenIsNoticed) {
  Prepare(kScenarios[0]);
  const Observer observer = StepThroughPublication(
      [&] {
        stage_->phase = Stage::kPublishing;
        const Line& line = timekeeper_.Plan(stage_->counter);
        StoreLine<PageMemory>(timeline().slot[IdleSlot(timeline().seq)], line);
        const SeqToken odd = WriteOpen<PageMemory>(timeline().seq);
        WriteClose<PageMemory>(timeline().seq, odd);
        stage_->phase = Stage::kDone;
      },
      Kills::kNone);
  Print("slot written before open", observer.tally, states_.size(), 0);
  EXPECT_GT(observer.tally.torn, 0u);
}

// Trap: T18
TEST_F(WriterSteppingTest, NaiveSuccessorsAreNoticed) {
  enum Naive { kCountsOnFromOdd, kRewritesTheCurrentSlot };
  for (const Naive naive : {kCountsOnFromOdd, kRewritesTheCurrentSlot}) {
    Prepare(kScenarios[0]);
    const Observer first =
        StepThroughPublication([&] { Publish(); }, Kills::kNone);
    KeepOneStateIn(4);
    Tally sum;
    for (const State& state : states_) {
      if (state.page.timeline[0].seq % 2 == 0) continue;
      sum.Add(SucceedFrom(state, first.lines(), [&] {
                stage_->phase = Stage::kPublishing;
                SeqToken& seq = timeline().seq;
                Line found;
                TestWriter(&timeline(), clock()).LoadCurrentLine(&found);
                Timekeeper heir(kConfig);
                (void)TakeOver(found, 0, heir);
                const Line& next = heir.Plan(stage_->counter);
                SeqToken now = seq;
                if (naive == kCountsOnFromOdd) {
                  PageMemory::Store(seq, ++now);
                  PageMemory::FenceRelease();
                  StoreLine<PageMemory>(timeline().slot[IdleSlot(now)], next);
                  PageMemory::StoreRelease(seq, now + 1);
                } else {
                  now = WriteOpen<PageMemory>(seq);
                  StoreLine<PageMemory>(timeline().slot[CurrentSlot(now)],
                                        next);
                  WriteClose<PageMemory>(seq, now);
                }
                stage_->phase = Stage::kDone;
              }).tally);
    }
    Print(naive == kCountsOnFromOdd ? "counts on from odd"
                                    : "rewrites the current slot",
          sum, states_.size(), 0);
    EXPECT_GT(sum.torn, 0u);
  }
}

// --- The machine's own counter -----------------------------------------------

// A snapshot says its counter value: by that it is checked.
bool IsOn(const Line& line, const SnapshotReading& snapshot) {
  const uint64_t ns[] = {snapshot.realtime_ns, snapshot.monotonic_ns,
                         snapshot.monotonic_raw_ns, snapshot.boottime_ns,
                         snapshot.tai_ns};
  for (const support::ClockRow& clock : support::kClockRows) {
    if (clock.coarse) continue;
    if (ns[clock.index] != support::ExpectedNs(line, clock, snapshot.cycles,
                                               NativeClock::kCounterBits)) {
      return false;
    }
  }
  return snapshot.tai_offset_sec == line.tai_offset_sec;
}

TEST_F(WriterSteppingTest, EveryReadAnswersOnTheMachinesOwnCounter) {
  const NativeClock clock = QueryCounter(NativeClock()).clock;
  TimekeeperConfig config = kConfig;
  config.counter_id = NativeClock::kCounterId;
  config.counter_bits = NativeClock::kCounterBits;
  config.counter_hz = 2'000'000'000;  // What a second is does not matter here.
  config.lead_ns = 500'000'000;       // Stepping is slow.
  config.max_age_ns = 60'000'000'000;
  Timekeeper timekeeper(config);
  Writer<NativeClock> writer(&timeline(), clock);
  timekeeper.Start(clock.Read(0) - 1'000'000, kTestTimes);
  writer.PublishLine(timekeeper.line());
  const Line old_line = timekeeper.line();
  Steer(timekeeper, -40'000'000);
  const SeqToken before = timeline().seq;

  const Reader<NativeClock, CountedMemory> reader(
      &page_.read_only().timeline[0], clock);
  Tally tally;
  SnapshotReading snapshot = {};
  const Line* next = nullptr;  // Once it may have begun.
  const auto look = [&] {
    const uint64_t last_ns = snapshot.monotonic_ns;
    CountedMemory::tries = 0;
    const ReadStatus status = reader.Snapshot(&snapshot);
    ++tally.probes;
    tally.waits += CountedMemory::tries - 1;
    tally.refused += status != ReadStatus::kOk;
    const bool begun = next != nullptr &&
                       SignedDelta(snapshot.cycles, next->cycle_start, 64) >= 0;
    tally.torn += !IsOn(begun ? *next : old_line, snapshot);
    tally.back += snapshot.monotonic_ns < last_ns;
  };
  const std::unique_ptr<SteppedProcess> process = Begin([&] {
    stage_->phase = Stage::kPublishing;
    (void)writer.Publish(timekeeper);
    stage_->phase = Stage::kDone;
  });
  while (stage_->phase == Stage::kPublishing && process->Step()) {
    ++tally.instructions;
    look();
  }
  ASSERT_TRUE(process->Finish());
  ASSERT_EQ(timeline().seq, before + 2);
  Line published;
  writer.LoadCurrentLine(&published);
  const uint64_t start = published.cycle_start;
  const uint64_t lead = NsToCycles(config.lead_ns, timekeeper.nominal());
  EXPECT_EQ(FieldsOf(published), FieldsOf(timekeeper.Plan(start - lead)));
  if (timeline().stats.late_publications != 0) {
    GTEST_SKIP() << "this machine was held up for " << config.lead_ns << " ns";
  }
  next = &published;
  while (SignedDelta(clock.Read(0), start, 64) < 0) look();
  for (int i = 0; i < 1'000; ++i) look();
  EXPECT_GE(snapshot.cycles, start);
  Print("the machine's own counter", tally, 0, 0);
  EXPECT_EQ(tally.Failures(), 0u);
}

}  // namespace
}  // namespace vvar::faults
