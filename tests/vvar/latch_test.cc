// SPDX-License-Identifier: MIT
//
// The dated two-slot latch: what it accepts, against a model of its writer;
// the wrap of its sequence; and readers beside a writer at full rate.
#include "vvar/latch.h"

#include <gtest/gtest.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <atomic>
#include <thread>
#include <vector>

#include "clocks/native.h"
#include "tests/support/hashed_line.h"
#include "tests/support/manual_clock.h"
#include "tests/support/oracle.h"
#include "tests/support/test_page.h"
#include "vvar/reader.h"
#include "vvar/writer.h"

namespace vvar {
namespace {

using support::ClockRow;
using support::ExpectedNs;
using support::HashedLine;
using support::HashedNumber;
using support::IsWhole;
using support::kClockRows;
using support::kCyclesPerLine;
using support::kTestConfig;
using support::kTestTimes;
using support::ManualClock;
using support::ManualCounter;
using support::SharedClock;
using support::TestPage;

// A model of the writer that knows nothing of bit tricks: it plays one store to
// seq after the other and writes down what each slot holds meanwhile.
class WriterModel {
 public:
  // Publication numbers; a slot that is being rewritten holds none.
  struct Moment {
    int64_t slot[2];
    int64_t newest;
    bool open;
  };
  static constexpr int64_t kTorn = -1;

  // Starts at an even value of seq, whose newest publication is number 1000,
  // and lies in the slot that the ABI names for it.
  WriterModel(SeqToken seq, int stores) : first_(seq) {
    Moment now = {};
    now.newest = 1000;
    now.slot[SlotOfAbi(seq)] = 1000;
    now.slot[1 - SlotOfAbi(seq)] = 999;
    moments_.push_back(now);
    for (int i = 0; i < stores; ++i) {
      if (now.open) {
        const int into = now.slot[0] == kTorn ? 0 : 1;
        now.slot[into] = ++now.newest;
        now.open = false;
      } else {
        now.slot[now.slot[0] == now.newest ? 1 : 0] = kTorn;
        now.open = true;
      }
      moments_.push_back(now);
    }
  }

  // Whether a read that began when seq had moved on by `begin` stores, ended
  // at `end`, and loaded words of the newest (or second newest) line between,
  // at whatever moments, got one whole line that was still as new at its end.
  bool IsSound(size_t begin, size_t end, LatchSide side) const {
    const Moment& at = moments_[begin];
    const int newest = at.slot[0] == at.newest ? 0 : 1;
    const int used = side == LatchSide::kCurrent ? newest : 1 - newest;
    for (size_t i = begin; i <= end; ++i) {
      if (moments_[i].slot[used] == kTorn) return false;
      if (moments_[i].slot[used] != at.slot[used]) return false;
      // A newer line may have begun: this one has no say over its time.
      if (moments_[i].newest != at.newest) return false;
      // Of the previous line nobody may tell while it is about to go.
      if (side == LatchSide::kPrevious && moments_[i].open) return false;
    }
    return true;
  }
  SeqToken SeqAt(size_t i) const { return first_ + static_cast<SeqToken>(i); }
  int NewestSlotAt(size_t i) const {
    return moments_[i].slot[0] == moments_[i].newest ? 0 : 1;
  }
  bool OpenAt(size_t i) const { return moments_[i].open; }

 private:
  // Bit 1 of seq, in words: publications alternate, and number 0 is slot 0's.
  static int SlotOfAbi(SeqToken seq) { return seq % 4 >= 2 ? 1 : 0; }
  SeqToken first_;
  std::vector<Moment> moments_;
};

constexpr SeqToken kWindows[] = {0,          2,          0x7ffffff0,
                                 0x7ffffff2, 0xfffffff0, 0xfffffff2};

TEST(LatchTest, SlotsAreTheOnesTheWriterUses) {
  for (const SeqToken first : kWindows) {
    const WriterModel model(first, 32);
    for (size_t i = 0; i <= 32; ++i) {
      const SeqToken seq = model.SeqAt(i);
      const auto newest = static_cast<uint32_t>(model.NewestSlotAt(i));
      EXPECT_EQ(CurrentSlot(seq), newest) << seq;
      EXPECT_EQ(IdleSlot(seq), 1 - newest) << seq;
      EXPECT_EQ(PreviousIsReadable(seq), !model.OpenAt(i)) << seq;
    }
  }
}

// Trap: T14
// Trap: T23
TEST(LatchTest, AcceptanceMatrixIsExhaustive) {
  constexpr size_t kStores = 32;
  for (const SeqToken first : kWindows) {
    const WriterModel model(first, kStores);
    for (size_t begin = 0; begin <= kStores; ++begin) {
      for (size_t end = begin; end <= kStores; ++end) {
        const SeqToken s = model.SeqAt(begin);
        const SeqToken s2 = model.SeqAt(end);
        for (const LatchSide side :
             {LatchSide::kCurrent, LatchSide::kPrevious}) {
          // A reader does not ask for a previous line that it knows is going.
          if (side == LatchSide::kPrevious && !PreviousIsReadable(s)) continue;
          EXPECT_EQ(Accepts(s, s2, side), model.IsSound(begin, end, side))
              << s << " to " << s2 << ", "
              << (side == LatchSide::kCurrent ? "current" : "previous");
        }
        EXPECT_FALSE(Accepts(s, s2, LatchSide::kNeither));
      }
      // Backwards is once round, less a little: 2^32 - 1 stores at least. Only
      // the close of the very publication that was open is let through, as the
      // date tells the two apart.
      for (size_t end = 0; end < begin; ++end) {
        const bool twin = begin % 2 == 1 && end + 1 == begin;
        EXPECT_EQ(
            Accepts(model.SeqAt(begin), model.SeqAt(end), LatchSide::kCurrent),
            twin);
        EXPECT_FALSE(Accepts(model.SeqAt(begin), model.SeqAt(end),
                             LatchSide::kPrevious));
      }
    }
  }
}

TEST(LatchTest, AcceptsNoDistanceButTheHarmlessOnes) {
  // Every power of two, around it, and every short width at which a truncated
  // sequence would wrap.
  for (const SeqToken s : {SeqToken{8}, SeqToken{9}, SeqToken{0xffffffff},
                           SeqToken{0x7fffffff}, SeqToken{0x80000000}}) {
    for (uint32_t bit = 2; bit < 32; ++bit) {
      for (const int32_t near : {-1, 0, 1}) {
        const SeqToken s2 =
            s + (SeqToken{1} << bit) + static_cast<SeqToken>(near);
        EXPECT_FALSE(Accepts(s, s2, LatchSide::kCurrent)) << s << " " << s2;
        EXPECT_FALSE(Accepts(s, s2, LatchSide::kPrevious)) << s << " " << s2;
      }
    }
  }
}

// Trap: T03
TEST(LatchTest, SurvivesSequenceWrap) {
  for (const SeqToken start :
       {SeqToken{0x80000000} - 4, SeqToken{0x80000000} - 3,
        SeqToken{0xfffffffc}, SeqToken{0xfffffffd}, SeqToken{0xffffffff},
        SeqToken{0x7fffffff}}) {
    SCOPED_TRACE(start);
    TestPage<> test(kTestConfig, 5'000, start);
    const auto reader = test.MakeReader();
    const auto expect_reads = [&] {
      for (const ClockRow& clock : kClockRows) {
        const NsReading reading = reader.Now(clock.id);
        ASSERT_TRUE(reading.ok()) << clock.name;
        ASSERT_EQ(reading.ns, test.Expected(clock)) << clock.name;
      }
    };
    uint32_t publications = reader.Publications();
    for (int i = 0; i < 12; ++i) {
      test.timekeeper.SetFrequency(i % 2 == 0 ? 50'000'000 : -50'000'000);
      ASSERT_EQ(test.Update(), PublishStatus::kPublished);
      expect_reads();  // On the previous line,
      test.counter.value = test.line().cycle_start + 1'000;
      expect_reads();  // and on the current one.
      if (HasFatalFailure()) return;
      publications = (publications + 1) & 0x7fffffff;
      EXPECT_EQ(reader.Publications(), publications);
    }
  }
}

vvar_page seen_page;

// Trap: T28
TEST(LatchTest, SeesPublicationBetweenTwoReads) {
  // Two reads in one function, with nothing between that the compiler could
  // not see through: it must not think that the page still holds the same.
  // Worth most at -O3 and with LTO.
  seen_page = {};
  ManualCounter counter;
  const ManualClock<> clock(&counter);
  Writer<ManualClock<>> writer(&seen_page.timeline[0], clock);
  const Reader<ManualClock<>> reader(&seen_page.timeline[0], clock);
  Timekeeper timekeeper(kTestConfig);
  timekeeper.Start(0, kTestTimes);
  EXPECT_EQ(reader.Now(ClockId::kTai).status, ReadStatus::kNotReady);
  writer.PublishLine(timekeeper.line());
  const NsReading first = reader.NowUnordered(ClockId::kTai);
  const NsReading coarse = reader.NowCoarse(ClockId::kRealtimeCoarse);
  Line line = timekeeper.line();
  line.base[VVAR_BASE_TAI].sec += 5;
  line.coarse[VVAR_COARSE_REALTIME].sec += 6;
  writer.PublishLine(line);
  EXPECT_EQ(reader.NowUnordered(ClockId::kTai).ns - first.ns, 5'000'000'000u);
  EXPECT_EQ(reader.NowCoarse(ClockId::kRealtimeCoarse).ns - coarse.ns,
            6'000'000'000u);
  // Words changed in place, as another process would through its own mapping.
  PageMemory::Store(seen_page.timeline[0].slot[0].base[VVAR_BASE_TAI].sec,
                    int64_t{1});
  PageMemory::Store(seen_page.timeline[0].slot[1].base[VVAR_BASE_TAI].sec,
                    int64_t{1});
  EXPECT_LT(reader.NowUnordered(ClockId::kTai).ns, 3'000'000'000u);
  // And a wait for a page to change is no endless loop.
  std::thread other([&] {
    PageMemory::Store(seen_page.timeline[0].slot[0].base[VVAR_BASE_TAI].sec,
                      int64_t{2});
    PageMemory::Store(seen_page.timeline[0].slot[1].base[VVAR_BASE_TAI].sec,
                      int64_t{2});
  });
  while (reader.NowUnordered(ClockId::kTai).ns < 2'000'000'000) {
  }
  other.join();
}

// --- With real threads -------------------------------------------------------

// How many times as long as in a normal run.
uint64_t Patience() { return getenv("VVAR_THOROUGH") != nullptr ? 50 : 1; }

// What one reader thread saw.
struct Seen {
  uint64_t ok = 0;
  uint64_t busy = 0;
  uint64_t other = 0;
  uint64_t torn = 0;
  uint64_t back = 0;
};
void Print(const char* name, const std::vector<Seen>& readers, uint64_t lines) {
  for (const Seen& seen : readers) {
    printf("%s: %.0f reads ok, %.0f busy, beside %.0f publications\n", name,
           static_cast<double>(seen.ok), static_cast<double>(seen.busy),
           static_cast<double>(lines));
  }
}

// What the writer and the readers of one test share.
struct Race {
  static constexpr uint64_t kWarm = 10'000;  // Reads that each reader must get.
  std::atomic<uint64_t> published{0};
  std::atomic<int> cold{0};
  std::atomic<bool> stop{false};

  // Calls read(&seen) on two threads while write() runs on this one, which it
  // does `rounds` times and until each reader has had its turn.
  template <class Read, class Write>
  std::vector<Seen> Run(uint64_t rounds, Read read, Write write) {
    std::vector<Seen> seen(2);
    cold = 2;
    std::vector<std::thread> threads;
    for (Seen& one : seen) {
      threads.emplace_back([&, read] {
        bool warm = false;
        while (!stop.load(std::memory_order_relaxed)) {
          read(&one);
          if (!warm && one.ok == kWarm) {
            warm = true;
            --cold;
          }
        }
      });
    }
    for (uint64_t i = 0; i < rounds || cold.load() != 0; ++i) write();
    stop = true;
    for (std::thread& thread : threads) thread.join();
    return seen;
  }
};

// Reads every clock once: all must come from one and the same line, which is
// not older than what was published before.
void ReadLine(const Reader<SharedClock>& reader,
              const std::atomic<uint64_t>& published, Seen* seen) {
  const uint64_t at_least = published.load(std::memory_order_acquire);
  SnapshotReading snapshot;
  const ReadStatus status = reader.Snapshot(&snapshot);
  if (status != ReadStatus::kOk) {
    ++(status == ReadStatus::kBusy ? seen->busy : seen->other);
    return;
  }
  ++seen->ok;
  if (!IsWhole(snapshot)) ++seen->torn;
  if (HashedNumber(snapshot) < at_least) ++seen->back;
}

// Could miss: every missing or misplaced fence, on x86 and on any machine that
// keeps its loads and stores in order, and tears rarer than one in some million
// reads. It would notice words outside the sequence, a missing re-check, slots
// mixed up, and 64-bit words that tear on 32-bit machines.
// Trap: T01
// Trap: T45
TEST(LatchStressTest, TornLinesAreNeverAccepted) {
  static vvar_page page;
  page = {};
  std::atomic<uint64_t> counter{0};
  Writer<SharedClock> writer(&page.timeline[0], SharedClock(&counter));
  const Reader<SharedClock> reader(&page.timeline[0], SharedClock(&counter));
  writer.PublishLine(HashedLine(0));
  Race race;
  uint64_t n = 0;
  const std::vector<Seen> seen = race.Run(
      1'000'000 * Patience(),
      [&](Seen* one) { ReadLine(reader, race.published, one); },
      [&] {
        // At full rate: the line before has begun, nothing else is waited for.
        ++n;
        writer.PublishLine(HashedLine(n));
        counter.store(n * kCyclesPerLine);
        race.published.store(n, std::memory_order_release);
      });
  Print("torn lines", seen, n);
  for (const Seen& one : seen) {
    EXPECT_EQ(one.torn, 0u);
    EXPECT_EQ(one.back, 0u);
    EXPECT_EQ(one.other, 0u) << "neither stale nor not ready";
    EXPECT_GE(one.ok, Race::kWarm);
  }
}

// The real writer, on the machine's own counter, as often as its lines allow.
// Could miss: as above; and a step back that is smaller than a late
// publication's damage, if the machine stops this thread inside one.
// Trap: T04
TEST(LatchStressTest, ReadsBesideWriterAtFullRate) {
  static vvar_page page;
  page = {};
  TimekeeperConfig config = kTestConfig;
  config.counter_id = NativeClock::kCounterId;
  config.counter_bits = NativeClock::kCounterBits;
  config.max_age_ns = 3'600'000'000'000;
  const NativeClock clock;
  Writer<NativeClock> writer(&page.timeline[0], clock);
  const Reader<NativeClock> reader(&page.timeline[0], clock);
  Timekeeper timekeeper(config);
  timekeeper.Start(clock.Read(), kTestTimes);
  writer.PublishLine(timekeeper.line());
  // Lines begin when the counter is there, on every CPU.
  while (!reader.Now(ClockId::kMonotonic).ok()) clock.Relax();

  std::atomic<uint64_t> worst_back_ns{0};
  Race race;
  uint64_t publications = 0;
  uint32_t round = 0;
  const std::vector<Seen> seen = race.Run(
      3'000'000 * Patience(),
      [&](Seen* one) {
        thread_local uint64_t last_ns = 0;
        const NsReading reading = reader.Now(ClockId::kMonotonic);
        if (!reading.ok()) {
          ++(reading.status == ReadStatus::kBusy ? one->busy : one->other);
          return;
        }
        ++one->ok;
        if (reading.ns < last_ns) {
          ++one->back;
          uint64_t worst = worst_back_ns.load();
          while (last_ns - reading.ns > worst &&
                 !worst_back_ns.compare_exchange_weak(worst,
                                                      last_ns - reading.ns)) {
          }
        }
        last_ns = reading.ns;
      },
      [&] {
        timekeeper.SetFrequency(++round % 2 == 0 ? 50'000'000 : -50'000'000);
        if (writer.Publish(timekeeper) != PublishStatus::kTooEarly) {
          ++publications;
        }
      });
  Print("full rate", seen, publications);
  const vvar_writer_stats& stats = page.timeline[0].stats;
  printf("%u late, by at most %u cycles; back by at most %.0f ns\n",
         stats.late_publications, stats.max_lateness_cycles,
         static_cast<double>(worst_back_ns.load()));
  // A late publication may do this much harm, and only it.
  EXPECT_LE(worst_back_ns.load(),
            stats.late_publications == 0
                ? 0
                : uint64_t{stats.max_lateness_cycles} / 9 + 1);
  EXPECT_GT(publications, 100u);
  for (const Seen& one : seen) {
    EXPECT_EQ(one.other, 0u) << "neither stale nor not ready";
    EXPECT_GE(one.ok, Race::kWarm);
  }
}

}  // namespace
}  // namespace vvar
