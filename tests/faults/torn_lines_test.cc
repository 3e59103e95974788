// SPDX-License-Identifier: MIT
//
// F2 and F4: reader processes on a read-only mapping look for torn lines beside
// a writer at several rates; also where they hardly ever run; and a read during
// which any number of lines is published.
//
// What this could miss: every missing or misplaced fence, on x86 and any other
// machine that keeps its loads and stores in order; tears rarer than the reads
// that are printed. It notices words outside the sequence, a missing re-check,
// slots mixed up.
#include <gtest/gtest.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>

#include <algorithm>
#include <atomic>
#include <memory>
#include <new>
#include <vector>

#include "tests/faults/mapped_page.h"
#include "tests/hosted/child_process.h"
#include "tests/support/counted_memory.h"
#include "tests/support/hashed_line.h"
#include "tests/support/manual_clock.h"
#include "tests/support/scripted_memory.h"
#include "vvar/latch.h"
#include "vvar/reader.h"
#include "vvar/seqcount.h"
#include "vvar/slot.h"
#include "vvar/writer.h"

namespace vvar::faults {
namespace {

using hosted::ChildProcess;
using hosted::SharedWithChildren;
using hosted::WaitUntil;
using support::CountedMemory;
using support::HashedLine;
using support::HashedNumber;
using support::IsWhole;
using support::kCyclesPerLine;
using support::MemoryScript;
using support::ScriptedMemory;
using support::SharedClock;

bool Thorough() { return getenv("VVAR_THOROUGH") != nullptr; }

// What one reader process saw.
struct Seen {
  std::atomic<uint64_t> ok;
  uint64_t busy;
  uint64_t other;
  uint64_t torn;
  uint64_t back;
  uint64_t most_tries;
};

constexpr int kReaders = 3;
struct Shared {
  std::atomic<uint64_t> counter;
  std::atomic<bool> stop;
  Seen seen[kReaders];
};

class TornLinesTest : public testing::Test {
 protected:
  using TestReader = Reader<SharedClock, CountedMemory>;

  void SetUp() override { ASSERT_TRUE(page_.ok()); }

  // Reads until it is told to stop.
  int Read(Seen& seen) {
    const TestReader reader(&page_.read_only().timeline[0],
                            SharedClock(&shared_->counter));
    uint64_t last = 0;
    while (!shared_->stop.load(std::memory_order_relaxed)) {
      CountedMemory::tries = 0;
      SnapshotReading snapshot;
      const ReadStatus status = reader.Snapshot(&snapshot);
      seen.most_tries = std::max(seen.most_tries, CountedMemory::tries);
      if (status != ReadStatus::kOk) {
        ++(status == ReadStatus::kBusy ? seen.busy : seen.other);
        continue;
      }
      seen.torn += !IsWhole(snapshot);
      seen.back += HashedNumber(snapshot) < last;
      last = HashedNumber(snapshot);
      ++seen.ok;
    }
    return 0;
  }

  void PublishNext() {
    writer_.PublishLine(HashedLine(++published_));
    shared_->counter = published_ * kCyclesPerLine;
  }
  // One each `period_ns`, for `duration_ns` and until each reader has read.
  void PublishFor(uint64_t period_ns, uint64_t duration_ns, uint64_t reads) {
    const uint64_t begin = NowNs();
    uint64_t next = begin;
    EXPECT_TRUE(WaitUntil([&] {
      while (NowNs() - begin < duration_ns) {
        for (int i = 0; i < (period_ns == 0 ? 100 : 1); ++i) PublishNext();
        if (period_ns == 0) continue;
        next = std::min(next + period_ns, begin + duration_ns);
        const timespec until = {static_cast<time_t>(next / 1'000'000'000),
                                static_cast<long>(next % 1'000'000'000)};
        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, nullptr);
      }
      PublishNext();
      return std::all_of(
          shared_->seen, shared_->seen + kReaders,
          [&](const Seen& seen) { return seen.ok.load() >= reads; });
    })) << "a reader that hardly read";
  }
  static uint64_t NowNs() {
    timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000 +
           static_cast<uint64_t>(now.tv_nsec);
  }

  void ExpectWholeLines(const char* name) {
    for (const Seen& seen : shared_->seen) {
      printf(
          "%s: %.0f reads ok, %.0f busy, at most %.0f tries, %.0f torn, "
          "%.0f back\n",
          name, static_cast<double>(seen.ok.load()),
          static_cast<double>(seen.busy), static_cast<double>(seen.most_tries),
          static_cast<double>(seen.torn), static_cast<double>(seen.back));
      EXPECT_EQ(seen.torn, 0u);
      EXPECT_EQ(seen.back, 0u);
      EXPECT_EQ(seen.other, 0u) << "neither stale nor not ready";
      EXPECT_LE(seen.most_tries, TestReader::kMaxTries);
      EXPECT_GT(seen.ok.load(), 0u);
    }
  }

  const MappedPage page_;
  const SharedWithChildren<Shared> shared_;
  Writer<SharedClock> writer_{&page_.writable().timeline[0],
                              SharedClock(&shared_->counter)};
  uint64_t published_ = 0;
};

// Trap: T01
TEST_F(TornLinesTest, ReaderProcessesSeeWholeLinesAtEveryRate) {
  constexpr uint64_t kMs = 1'000'000;
  const struct {
    const char* name;
    uint64_t period_ns;
    uint64_t duration_ns;
  } kRows[] = {
      {"1 Hz", 1'000 * kMs, 1'200 * kMs},
      {"1 kHz", kMs, 400 * kMs},
      {"full rate", 0, 400 * kMs},
  };
  PublishNext();
  for (const auto& row : kRows) {
    SCOPED_TRACE(row.name);
    const uint64_t before = published_;
    for (Seen& seen : shared_->seen) new (&seen) Seen();
    shared_->stop = false;
    std::vector<std::unique_ptr<ChildProcess>> readers;
    for (Seen& seen : shared_->seen) {
      readers.push_back(
          std::make_unique<ChildProcess>([&] { return Read(seen); }));
    }
    PublishFor(row.period_ns, Thorough() ? 50'000 * kMs : row.duration_ns, 1);
    shared_->stop = true;
    for (const auto& reader : readers) EXPECT_EQ(reader->Wait(), 0);
    ExpectWholeLines(row.name);
    EXPECT_GE(published_ - before, 2u);
  }
}

// Trap: T04
TEST_F(TornLinesTest, StarvedReadersSeeWholeLinesWithinTheirTries) {
  PublishNext();
  std::vector<std::unique_ptr<ChildProcess>> hogs;
  for (int i = 0; i < 2; ++i) {
    hogs.push_back(std::make_unique<ChildProcess>([&] {
      while (!shared_->stop) {
      }
      return 0;
    }));
  }
  std::vector<std::unique_ptr<ChildProcess>> readers;
  for (int i = 0; i < kReaders; ++i) {
    readers.push_back(std::make_unique<ChildProcess>([&, i] {
      const sched_param none = {};
      if (i == 0 && sched_setscheduler(0, SCHED_IDLE, &none) != 0) return 1;
      if (i == 1 && setpriority(PRIO_PROCESS, 0, 19) != 0) return 2;
      return Read(shared_->seen[i]);
    }));
  }
  PublishFor(0, Thorough() ? 60'000'000'000 : 1'000'000'000, 100);
  shared_->stop = true;
  for (const auto& each : readers) EXPECT_EQ(each->Wait(), 0);
  for (const auto& each : hogs) EXPECT_EQ(each->Wait(), 0);
  ExpectWholeLines("idle, nice 19, as usual");
}

// A read that is held up before each of its loads, and inside it lines are
// published: all but the close of one, several, or as many as bring seq round
// to where it was. Trap: T20
TEST_F(TornLinesTest, ReadsHeldUpAcrossPublicationsSeeWholeLines) {
  using PausedReader = Reader<SharedClock, ScriptedMemory>;
  const PausedReader reader(&page_.read_only().timeline[0],
                            SharedClock(&shared_->counter));
  vvar_timeline& timeline = page_.writable().timeline[0];
  timeline.seq = 0xfffffff8;
  uint32_t most_loads = 0;
  uint64_t reads = 0;
  constexpr uint32_t kRound = 1u << 31;
  for (const uint32_t lines : {0u, 1u, 2u, 3u, 4u, 5u, 200u, kRound}) {
    for (const bool before_line : {false, true}) {
      bool held_up = true;
      for (uint32_t at = 1; held_up; ++at) {
        for (int i = 0; i < 3; ++i) PublishNext();
        if (before_line) --shared_->counter;
        const uint64_t first = published_ - (before_line ? 1 : 0);
        const SeqToken seq = timeline.seq;
        held_up = false;
        uint32_t loads = 0;
        MemoryScript script;
        script.on_load = [&](const void*, uint32_t) {
          if (++loads != at) return;
          held_up = true;
          for (uint32_t i = 0; i < (lines == kRound ? 4 : lines); ++i) {
            PublishNext();
          }
          if (lines == kRound) timeline.seq = seq;
          if (lines == 0) {
            const SeqToken odd = WriteOpen<PageMemory>(timeline.seq);
            StoreLine<PageMemory>(timeline.slot[IdleSlot(odd)],
                                  HashedLine(published_ + 1));
          }
        };
        SnapshotReading snapshot;
        ASSERT_EQ(reader.Snapshot(&snapshot), ReadStatus::kOk);
        ASSERT_TRUE(IsWhole(snapshot)) << lines << " lines before load " << at;
        ASSERT_GE(HashedNumber(snapshot), first);
        ASSERT_LE(HashedNumber(snapshot), published_);
        most_loads = std::max(most_loads, loads);
        ++reads;
      }
    }
  }
  printf("%.0f reads held up, each of at most %u loads\n",
         static_cast<double>(reads), most_loads);
  EXPECT_GT(reads, 8 * 2 * 30u);
  EXPECT_LT(most_loads, 5 * 40u) << "a few tries";
}

}  // namespace
}  // namespace vvar::faults
