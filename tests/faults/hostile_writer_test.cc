// SPDX-License-Identifier: MIT
//
// F9: a process that rewrites the page at full speed while this one reads it:
// every kind of read, attaching, capturing a history. It may make answers
// wrong; it may not make a reader crash, hang, or try longer than it says.
//
// What this could miss: values that neither chance nor the list of words below
// hits. ReaderTest has pages whose every word is hostile, one at a time.
#include <gtest/gtest.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <algorithm>
#include <atomic>

#include "tests/faults/mapped_page.h"
#include "tests/hosted/child_process.h"
#include "tests/support/counted_memory.h"
#include "tests/support/manual_clock.h"
#include "tests/support/oracle.h"
#include "tests/support/test_page.h"
#include "vvar/header.h"
#include "vvar/history.h"
#include "vvar/reader.h"
#include "vvar/timekeeper.h"
#include "vvar/writer.h"

namespace vvar::faults {
namespace {

using hosted::ChildProcess;
using hosted::SharedWithChildren;
using support::CountedMemory;
using support::EdgyRandom;
using support::SharedClock;

constexpr uint64_t kStatuses = 8;  // Of ReadStatus.
constexpr uint64_t kAttaches = 7;  // Of PageStatus.
static_assert(static_cast<uint64_t>(ReadStatus::kUnreadableCounter) + 1 ==
              kStatuses);
static_assert(static_cast<uint64_t>(PageStatus::kWrongCounter) + 1 ==
              kAttaches);

struct Shared {
  std::atomic<uint64_t> counter;
  std::atomic<uint64_t> rewrites;
};

uint64_t NowNs() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000 +
         static_cast<uint64_t>(now.tv_nsec);
}

class HostileWriterTest : public testing::Test {
 protected:
  using TestReader = Reader<SharedClock, CountedMemory>;

  void SetUp() override {
    ASSERT_TRUE(page_.ok());
    FormatPage(page_.writable(), support::PageConfigOf(support::kTestConfig));
    Timekeeper timekeeper(support::kTestConfig);
    shared_->counter = 1'000'000;
    timekeeper.Start(shared_->counter, support::kTestTimes);
    Writer<SharedClock> writer(&page_.writable().timeline[0],
                               SharedClock(&shared_->counter));
    writer.PublishLine(timekeeper.line());
    shared_->counter += 1'000'000;
    ASSERT_EQ(writer.Publish(timekeeper), PublishStatus::kPublished);
    good_ = page_.writable();
  }

  // One read, or one attempt of something else, of the hostile page.
  template <class Attempt>
  void Try(uint64_t reads, Attempt attempt) {
    CountedMemory::tries = 0;
    const uint64_t begin = NowNs();
    const auto status = static_cast<uint64_t>(attempt());
    longest_ns_ = std::max(longest_ns_, NowNs() - begin);
    most_tries_ = std::max(most_tries_, CountedMemory::tries);
    ASSERT_LE(CountedMemory::tries, reads * TestReader::kMaxTries);
    ASSERT_LT(status, kStatuses);
    ++statuses_[status];
  }

  void ReadEverything() {
    const TestReader reader(&page_.read_only().timeline[0],
                            SharedClock(&shared_->counter));
    for (const support::ClockRow& clock : support::kClockRows) {
      support::ForEachReadOf(reader, clock,
                             [&](const char*, ReadStatus status, uint64_t) {
                               ++statuses_[static_cast<uint64_t>(status)];
                             });
      Try(1, [&] { return reader.Now(clock.id).status; });
      Try(1, [&] { return reader.NowTimespec(clock.id).status; });
      Try(1, [&] { return reader.NowUnordered(clock.id).status; });
      Try(1, [&] { return reader.Interval(clock.id).status; });
      const TimespecReading time = reader.NowTimespec(clock.id);
      ASSERT_TRUE(clock.coarse || time.nsec < 1'000'000'000);
    }
    SnapshotReading snapshot;
    Try(1, [&] { return reader.Snapshot(&snapshot); });
    Try(1, [&] { return reader.Age().status; });
    Try(1, [&] { return history_.Capture(reader); });
    (void)history_.NsAt(ClockId::kRealtime, shared_->counter);
    (void)reader.Publications();
  }

  // What is found must lie inside the page, and its reads inside their bounds.
  void AttachAgain() {
    for (const uint32_t index : {0u, 3u, 5u, 4095u, UINT32_MAX}) {
      const vvar_timeline* timeline = nullptr;
      const PageStatus status = FindTimeline(
          &page_.read_only(), VVAR_PAGE_SIZE, SharedClock::kCounterId,
          SharedClock::kCounterBits, index, &timeline);
      ++attaches_[static_cast<uint64_t>(status)];
      ASSERT_EQ(timeline != nullptr, status == PageStatus::kOk);
      if (timeline == nullptr) continue;
      const auto offset = static_cast<size_t>(
          reinterpret_cast<const char*>(timeline) -
          reinterpret_cast<const char*>(&page_.read_only()));
      ASSERT_GE(offset, sizeof(vvar_header));
      ASSERT_LE(offset + sizeof(vvar_timeline), size_t{VVAR_PAGE_SIZE});
      const TestReader reader(timeline, SharedClock(&shared_->counter));
      Try(1, [&] { return reader.Now(ClockId::kMonotonic).status; });
    }
  }

  // For the time that a run has, and until `met`: what the test is about has
  // happened, which takes its time on a busy machine.
  template <class Rewrite, class Met>
  void ReadBeside(Rewrite rewrite, Met met);
  uint64_t& Said(ReadStatus status) {
    return statuses_[static_cast<uint64_t>(status)];
  }
  uint64_t& Said(PageStatus status) {
    return attaches_[static_cast<uint64_t>(status)];
  }

  const MappedPage page_;
  const SharedWithChildren<Shared> shared_;
  vvar_page good_ = {};
  History<SharedClock> history_;
  uint64_t statuses_[kStatuses] = {};
  uint64_t attaches_[kAttaches] = {};
  uint64_t most_tries_ = 0;
  uint64_t longest_ns_ = 0;
};

template <class Rewrite, class Met>
void HostileWriterTest::ReadBeside(Rewrite rewrite, Met met) {
  ChildProcess hostile([&] {
    EdgyRandom random(9);
    for (;;) {
      rewrite(random);
      ++shared_->rewrites;
    }
    return 0;
  });
  const uint64_t for_ms = getenv("VVAR_THOROUGH") != nullptr ? 58'000 : 700;
  const uint64_t begin = NowNs();
  uint64_t rounds = 0;
  const auto has_failed = [&] {
    ReadEverything();
    AttachAgain();
    ++rounds;
    return HasFatalFailure();
  };
  while (NowNs() - begin < for_ms * 1'000'000 && !has_failed()) {
  }
  EXPECT_TRUE(hosted::WaitUntil([&] {
    return has_failed() || (shared_->rewrites != 0 && met());
  })) << "what this is about did not happen";
  EXPECT_TRUE(hostile.Kill()) << "it rewrote to the end";
  printf("%.0f rewrites, %.0f rounds of reads; at most %.0f tries, %.0f ns\n",
         static_cast<double>(shared_->rewrites.load()),
         static_cast<double>(rounds), static_cast<double>(most_tries_),
         static_cast<double>(longest_ns_));
  for (uint64_t i = 0; i < kStatuses; ++i) {
    printf("  read status %.0f: %.0f\n", static_cast<double>(i),
           static_cast<double>(statuses_[i]));
  }
  for (uint64_t i = 0; i < kAttaches; ++i) {
    printf("  page status %.0f: %.0f\n", static_cast<double>(i),
           static_cast<double>(attaches_[i]));
  }
}

// Words that attackers like, at any width.
uint64_t HostileWord(EdgyRandom& random) {
  constexpr uint64_t kWords[] = {0,
                                 1,
                                 63,
                                 64,
                                 255,
                                 UINT32_MAX,
                                 uint64_t{1} << 63,
                                 (uint64_t{1} << 63) - 1,
                                 UINT64_MAX};
  return random.OneIn(4) ? kWords[random.Below(9)] : random.Edgy();
}

TEST_F(HostileWriterTest, RandomBytesDoNoHarm) {
  ReadBeside(
      [&](EdgyRandom& random) {
        auto* words = reinterpret_cast<uint64_t*>(&page_.writable());
        for (size_t i = 0; i < VVAR_PAGE_SIZE / 8; ++i) {
          PageMemory::Store(words[i], HostileWord(random));
        }
        shared_->counter = random.Edgy();
      },
      [&] { return Said(PageStatus::kBadMagic) != 0; });
}

// The word to be wrong, in units of 4 bytes: of the header, of a timeline, or
// of the slopes of one of its slots.
size_t PlausibleTarget(EdgyRandom& random) {
  constexpr size_t kTimeline = offsetof(vvar_page, timeline) / 4;
  constexpr size_t kSlot = kTimeline + offsetof(vvar_timeline, slot) / 4;
  switch (random.Below(3)) {
    case 0:
      return random.Below(20);
    case 1:
      return kTimeline + random.Below(sizeof(vvar_timeline) / 4);
    default:
      return kSlot + random.Below(2) * sizeof(vvar_slot) / 4 +
             random.Below(offsetof(vvar_slot, base) / 4);
  }
}

// A page as it ought to be, with one word after the other wrong for a moment,
// and seq on its way all the time.
TEST_F(HostileWriterTest, PlausiblePagesDoNoHarm) {
  ReadBeside(
      [&](EdgyRandom& random) {
        vvar_page& page = page_.writable();
        // Halves, so that the other half stays what it was.
        using Word [[gnu::may_alias]] = uint32_t;
        auto* words = reinterpret_cast<Word*>(&page);
        const auto* good = reinterpret_cast<const Word*>(&good_);
        const size_t at = PlausibleTarget(random);
        const auto word = static_cast<uint32_t>(HostileWord(random));
        PageMemory::Store(words[at], random.OneIn(2) ? word : word & ~7u);
        const bool moves = random.OneIn(2);
        for (uint64_t i = random.Below(moves ? 100 : 1'000); i != 0; --i) {
          shared_->counter = 2'000'000 + i * 64;
          if (!moves) continue;
          SeqToken& seq = page.timeline[0].seq;
          PageMemory::Store(seq, random.OneIn(8)
                                     ? static_cast<SeqToken>(random.Any())
                                     : seq + 1);
        }
        PageMemory::Store(words[at], good[at]);
      },
      [&] {
        return Said(ReadStatus::kOk) != 0 && Said(PageStatus::kOk) != 0 &&
               Said(PageStatus::kBadLayout) != 0;
      });
}

// Two lines and nothing but seq, faster than any writer: what keeps a reader
// busy for the longest.
TEST_F(HostileWriterTest, ASequenceThatNeverStandsKeepsReadersBusyAtMost) {
  ReadBeside(
      [&](EdgyRandom&) {
        SeqToken& seq = page_.writable().timeline[0].seq;
        for (int i = 0; i < 100; ++i) PageMemory::Store(seq, seq + 2);
      },
      [&] { return most_tries_ > 1; });
}

}  // namespace
}  // namespace vvar::faults
