// SPDX-License-Identifier: MIT
#include "paravirt/hyperv_tsc.h"

#include <gtest/gtest.h>
#include <stdint.h>

#include "tests/support/manual_clock.h"
#include "tests/support/oracle.h"
#include "tests/support/scripted_memory.h"

namespace vvar {
namespace {

using support::EdgyRandom;
using support::ManualClock;
using support::ManualCounter;
using support::MemoryScript;
using support::ScriptedMemory;
using support::UpperHalf;

using Clock = ManualClock<>;
using Reader = HypervTscReader<Clock, ScriptedMemory>;
using Writer = HypervTscWriter<ScriptedMemory>;

TEST(HypervTscTest, AbsoluteTscIsScaled) {
  EdgyRandom random(1);
  for (int i = 0; i < 100'000; ++i) {
    const HypervTscLine line = {random.Edgy(), random.Edgy()};
    const uint64_t tsc = random.Edgy();
    ASSERT_EQ(line.TicksAt(tsc), UpperHalf(tsc, line.scale) + line.offset);
    const HypervTscLine through =
        HypervLineThrough(line.scale, tsc, line.offset);
    ASSERT_EQ(through.TicksAt(tsc), line.offset);
  }
}

// Trap: T81
TEST(HypervTscTest, ZeroAndAllOnesAreNotRetried) {
  hv_reference_tsc_page page = {};
  Writer writer(&page);
  writer.Publish({1u << 31, 5});
  ManualCounter counter;
  const Reader reader(&page, Clock(&counter));
  for (const uint32_t sequence : {0u, UINT32_MAX}) {
    page.tsc_sequence = sequence;
    MemoryScript script;
    EXPECT_EQ(reader.Now().status, ForeignStatus::kWithdrawn);
    EXPECT_EQ(script.LoadsInAll(), 1u) << "no spinning, and no other word";
    EXPECT_EQ(counter.ReadsInAll(), 0u);
  }
  // One that comes during a read ends it, too.
  page.tsc_sequence = 7;
  MemoryScript script;
  script.value_of = [&](const void* word, uint32_t nth, uint64_t value) {
    return word == &page.tsc_sequence && nth > 1 ? 0 : value;
  };
  EXPECT_EQ(reader.Now().status, ForeignStatus::kWithdrawn);
  EXPECT_EQ(script.LoadsOf(&page.tsc_sequence), 3u);
}

// Trap: T81
TEST(HypervTscTest, SequenceSkipsZeroAndAllOnes) {
  EXPECT_EQ(NextTscSequence(0), 1u);
  EXPECT_EQ(NextTscSequence(1), 2u);
  EXPECT_EQ(NextTscSequence(UINT32_MAX - 2), UINT32_MAX - 1);
  EXPECT_EQ(NextTscSequence(UINT32_MAX - 1), 1u);
  EXPECT_EQ(NextTscSequence(UINT32_MAX), 1u);
}

TEST(HypervTscTest, OddAndEvenMeanNothing) {
  hv_reference_tsc_page page = {};
  Writer writer(&page);
  ManualCounter counter;
  const Reader reader(&page, Clock(&counter));
  for (uint32_t i = 1; i <= 4; ++i) {
    writer.Publish({1u << 31, i});
    EXPECT_EQ(page.tsc_sequence, i);
    EXPECT_TRUE(reader.Now().ok());
    EXPECT_EQ(reader.Now().count, i);
  }
}

TEST(HypervTscTest, WriterRemembersTheSequenceWhilePageIsWithdrawn) {
  hv_reference_tsc_page page = {};
  Writer writer(&page);
  ManualCounter counter;
  const Reader reader(&page, Clock(&counter));
  writer.Publish({1u << 31, 5});
  writer.Publish({1u << 31, 6});
  writer.Withdraw();
  EXPECT_EQ(page.tsc_sequence, 0u);
  EXPECT_EQ(reader.Now().status, ForeignStatus::kWithdrawn);
  writer.Publish({1u << 31, 7});
  EXPECT_EQ(page.tsc_sequence, 3u);
  // A writer of another process, who is told.
  writer.Withdraw();
  Writer other(&page);
  other.SetSequence(writer.sequence());
  other.Publish({1u << 31, 8});
  EXPECT_EQ(page.tsc_sequence, 4u);
}

TEST(HypervTscTest, ScaleOfNothingIsMalformed) {
  hv_reference_tsc_page page = {};
  Writer writer(&page);
  writer.Publish({0, 5});
  ManualCounter counter;
  EXPECT_EQ(Reader(&page, Clock(&counter)).Now().status,
            ForeignStatus::kMalformed);
}

TEST(HypervTscTest, LineThatIsBehindIsMovedForward) {
  const HypervTscLine last = {uint64_t{1} << 60, 1'000};
  const HypervTscLine behind = {(uint64_t{1} << 60) - 1, 990};
  const uint64_t tsc = uint64_t{1} << 40;
  const HypervTscLine next = NotBefore(behind, tsc, last.TicksAt(tsc));
  EXPECT_EQ(next.TicksAt(tsc), last.TicksAt(tsc));
  EXPECT_EQ(next.scale, behind.scale);
  EXPECT_EQ(NotBefore(last, tsc, behind.TicksAt(tsc)), last);
}

TEST(HypervTscTest, CounterIsReadWhileThePageIsInvalid) {
  hv_reference_tsc_page page = {};
  Writer writer(&page);
  const HypervTscLine line = {uint64_t{1} << 63, 100};
  writer.Publish(line);
  ManualCounter counter;
  counter.value = 50;
  counter.on_read = [&](support::CounterRead kind) {
    EXPECT_EQ(kind, support::CounterRead::kAfterStores);
    EXPECT_EQ(page.tsc_sequence, 0u);
  };
  const HypervTscLine next =
      writer.PublishAfter(line, {uint64_t{1} << 63, 90}, Clock(&counter));
  EXPECT_EQ(next, line);
  EXPECT_EQ(page.tsc_sequence, 2u);
}

}  // namespace
}  // namespace vvar
