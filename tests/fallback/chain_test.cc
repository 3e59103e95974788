// SPDX-License-Identifier: MIT
//
// The chain of page, vDSO and system call: who answers and what it says of
// those who did not, for pages and vDSOs in every state, and that all legs read
// the clock that was asked for.
#include "fallback/chain.h"

#include <gtest/gtest.h>
#include <sched.h>
#include <stdint.h>
#include <sys/auxv.h>

#include <atomic>
#include <functional>
#include <ostream>
#include <string>
#include <thread>
#include <type_traits>
#include <vector>

#include "fallback/syscall.h"
#include "fallback/vdso_symbol.h"
#include "tests/support/elf_builder.h"
#include "tests/support/manual_clock.h"
#include "vvar/offset.h"
#include "vvar/page.h"
#include "vvar/reader.h"
#include "vvar/seqcount.h"
#include "vvar/timekeeper.h"
#include "vvar/writer.h"

// What GoogleTest prints instead of bytes.
namespace vvar {
void PrintTo(ReadStatus status, std::ostream* out) {
  *out << "ReadStatus " << static_cast<uint32_t>(status);
}
}  // namespace vvar

namespace vvar::fallback {

void PrintTo(Leg leg, std::ostream* out) {
  static const char* const kNames[] = {"kPage", "kVdso", "kSyscall"};
  *out << kNames[static_cast<size_t>(leg)];
}
void PrintTo(VdsoStatus status, std::ostream* out) {
  *out << "VdsoStatus " << static_cast<uint32_t>(status);
}

namespace {

using support::CounterRead;
using support::ManualClock;
using support::ManualCounter;

constexpr int32_t kPermissionDenied = -1;  // -EPERM
constexpr int32_t kInvalid = -22;          // -EINVAL

// A page on a counter of 1 GHz that tests move, with each clock far from the
// others: 1000 s, 2000 s and so on, at counter value 0.
class ScriptedPage {
 public:
  ScriptedPage() { writer_.SetWriterId(1); }

  void Publish() {
    if (!started_) {
      started_ = true;
      timekeeper_.Start(counter_.value,
                        {{1000, 0}, {2000, 0}, {3000, 0}, {4000, 0}, 37});
      writer_.PublishLine(timekeeper_.line());
      return;
    }
    writer_.Publish(timekeeper_);
    counter_.value += kLeadNs;  // Until the line has begun.
  }
  void GoStale() { counter_.value += 2 * kMaxAgeNs; }
  void WithdrawCounter(uint32_t counter_id) {
    Publish();
    for (vvar_slot& slot : timeline_.slot) {
      PageMemory::Store(slot.counter_id, counter_id);
    }
  }
  // A writer that publishes within every read.
  void PublishWithoutEnd() {
    Publish();
    counter_.on_read = [this](CounterRead) {
      PageMemory::Store(timeline_.seq, PageMemory::Load(timeline_.seq) + 2);
    };
  }
  template <class Offsets = NoOffsets>
  Chain<ManualClock<>, PageMemory, Offsets> ChainWith(
      const VdsoFunctions& vdso, const Offsets& offsets = {}) {
    return {{&timeline_, ManualClock<>(&counter_), offsets}, vdso};
  }
  ManualCounter& counter() { return counter_; }

 private:
  static constexpr uint64_t kLeadNs = 1000;
  static constexpr uint64_t kMaxAgeNs = 1'000'000'000;

  ManualCounter counter_;
  vvar_timeline timeline_ = {};
  Writer<ManualClock<>> writer_{&timeline_, ManualClock<>(&counter_)};
  Timekeeper timekeeper_{{ManualClock<>::kCounterId,
                          ManualClock<>::kCounterBits, 1'000'000'000, kLeadNs,
                          1'000'000, kMaxAgeNs}};
  bool started_ = false;
};

// vDSO functions that say who they are, and for which clock they were asked.
struct VdsoCall {
  int32_t id = 0;
  int calls = 0;
};
VdsoCall old_call;
VdsoCall call64;

int32_t FakeOld(int32_t id, KernelOldTimespec* now) {
  old_call = {id, old_call.calls + 1};
  *now = {100, 1};
  return 0;
}
int32_t Fake64(int32_t id, KernelTimespec* now) {
  call64 = {id, call64.calls + 1};
  *now = {200, 2};
  return 0;
}
int32_t RefusingOld(int32_t, KernelOldTimespec*) { return kPermissionDenied; }

VdsoFunctions Vdso(VdsoStatus status,
                   decltype(VdsoFunctions::clock_gettime) old = nullptr,
                   decltype(VdsoFunctions::clock_gettime64) time64 = nullptr) {
  VdsoFunctions vdso;
  vdso.status = status;
  vdso.clock_gettime = old;
  vdso.clock_gettime64 = time64;
  return vdso;
}

VdsoFunctions LiveVdso() {
  return FindVdsoFunctions(
      VdsoImage::FromMappedByKernel(getauxval(AT_SYSINFO_EHDR)));
}

struct PageRow {
  const char* name;
  std::function<void(ScriptedPage&)> prepare;
  ReadStatus status;
};
const PageRow kPageRows[] = {
    {"Unpublished", [](ScriptedPage&) {}, ReadStatus::kNotReady},
    {"Live", [](ScriptedPage& page) { page.Publish(); }, ReadStatus::kOk},
    {"Stale",
     [](ScriptedPage& page) {
       page.Publish();
       page.GoStale();
     },
     ReadStatus::kStale},
    {"CounterWithdrawn",
     [](ScriptedPage& page) { page.WithdrawCounter(VVAR_COUNTER_NONE); },
     ReadStatus::kNoCounter},
    {"OtherCounter", [](ScriptedPage& page) { page.WithdrawCounter(77); },
     ReadStatus::kWrongCounter},
    {"Busy", [](ScriptedPage& page) { page.PublishWithoutEnd(); },
     ReadStatus::kBusy},
};

struct VdsoRow {
  const char* name;
  VdsoFunctions vdso;
  Leg leg;  // Without the page.
};
const VdsoRow kVdsoRows[] = {
    {"Vdso", Vdso(VdsoStatus::kFound, &FakeOld), Leg::kVdso},
    {"NoVdso", Vdso(VdsoStatus::kNotElf), Leg::kSyscall},
    {"NoSymbol", Vdso(VdsoStatus::kNoSuchSymbol), Leg::kSyscall},
    {"UnknownMachine", Vdso(VdsoStatus::kWrongMachine), Leg::kSyscall},
};

// Trap: T92
TEST(ChainTest, SaysWhichLegAnsweredAndWhy) {
  for (const PageRow& page_row : kPageRows) {
    for (const VdsoRow& vdso_row : kVdsoRows) {
      SCOPED_TRACE(std::string(page_row.name) + " " + vdso_row.name);
      ScriptedPage page;
      page_row.prepare(page);
      const Chain<ManualClock<>> chain = page.ChainWith(vdso_row.vdso);
      const bool by_page = page_row.status == ReadStatus::kOk;
      for (const ChainReading& reading :
           {chain.Now(VVAR_CLOCK_MONOTONIC),
            chain.NowUnordered(VVAR_CLOCK_MONOTONIC)}) {
        EXPECT_TRUE(reading.ok());
        EXPECT_EQ(reading.leg, by_page ? Leg::kPage : vdso_row.leg);
        EXPECT_EQ(reading.page_status, page_row.status);
        EXPECT_EQ(reading.vdso_status, vdso_row.vdso.status);
        if (reading.leg != Leg::kSyscall) {
          EXPECT_EQ(reading.sec, reading.leg == Leg::kPage ? 2000 : 100);
        }
        EXPECT_LT(reading.nsec, 1'000'000'000u);
        EXPECT_EQ(
            reading.ns(),
            static_cast<uint64_t>(reading.sec) * 1'000'000'000 + reading.nsec);
      }
    }
  }
}

TEST(ChainTest, ClockThatThePageHasNotIsTheSystems) {
  ScriptedPage page;
  page.Publish();
  const Chain<ManualClock<>> chain =
      page.ChainWith(Vdso(VdsoStatus::kFound, &FakeOld));
  const ChainReading reading = chain.Now(2);  // PROCESS_CPUTIME_ID
  EXPECT_EQ(reading.leg, Leg::kVdso);
  EXPECT_EQ(reading.page_status, ReadStatus::kUnknownClock);
  EXPECT_EQ(old_call.id, 2);
}

// The system knows its process's namespace by itself; the page does not.
TEST(ChainTest, OffsetsMoveThePageAndNotTheSystem) {
  constexpr ClockOffsets kOffsets = {{1'000'000, 1}, {5, 2}};
  ScriptedPage page;
  page.Publish();
  const Chain<ManualClock<>, PageMemory, ClockOffsets> chain =
      page.ChainWith(Vdso(VdsoStatus::kFound, &FakeOld), kOffsets);
  const ChainReading reading = chain.Now(VVAR_CLOCK_MONOTONIC);
  EXPECT_EQ(reading.leg, Leg::kPage);
  EXPECT_EQ(reading.sec, 2000 + 1'000'000);
  EXPECT_EQ(reading.nsec, 1u);
  EXPECT_EQ(chain.NowUnordered(VVAR_CLOCK_BOOTTIME).ns(), 4'005'000'000'002u);
  EXPECT_EQ(chain.NowNs(ClockId::kBoottime), 4'005'000'000'002u);
  EXPECT_EQ(chain.NowNs(ClockId::kRealtime), 1'000'000'000'000u);
  page.GoStale();
  EXPECT_EQ(chain.Now(VVAR_CLOCK_MONOTONIC).leg, Leg::kVdso);
  EXPECT_EQ(chain.Now(VVAR_CLOCK_MONOTONIC).sec, 100);
  EXPECT_EQ(chain.NowNs(ClockId::kMonotonic), 100'000'000'001u);
}

TEST(ChainTest, ErrorIsTheLegsOwn) {
  ScriptedPage page;
  const Chain<ManualClock<>> chain =
      page.ChainWith(Vdso(VdsoStatus::kFound, &RefusingOld));
  const ChainReading reading = chain.Now(VVAR_CLOCK_MONOTONIC);
  EXPECT_FALSE(reading.ok());
  EXPECT_EQ(reading.error, kPermissionDenied);
  EXPECT_EQ(reading.leg, Leg::kVdso);
  const ChainReading unknown = page.ChainWith({}).Now(1'000'000);
  EXPECT_EQ(unknown.error, kInvalid);
  EXPECT_EQ(unknown.leg, Leg::kSyscall);
}

// Ids that Linux has, had, or may have, and some that nobody has.
const std::vector<int32_t> kIds = [] {
  std::vector<int32_t> ids = {-1, INT32_MIN, INT32_MAX, 1'000'000};
  for (int32_t id = 0; id <= 23; ++id) ids.push_back(id);
  for (int32_t fd = 0; fd < 3; ++fd) ids.push_back(~fd << 3 | 3);
  for (int32_t type = 0; type < 8; ++type) ids.push_back(~0 << 3 | type);
  return ids;
}();

bool Precedes(const KernelTimespec& a, int64_t sec, int64_t nsec) {
  return a.tv_sec != sec ? a.tv_sec < sec : a.tv_nsec < nsec;
}

// Trap: T93
TEST(ChainTest, LegsKeepTheClockId) {
  struct Row {
    const char* name;
    Chain<> chain;
    Leg leg;
  };
  const VdsoFunctions live = LiveVdso();
  const Row kRows[] = {
      {"Syscall", Chain<>(), Leg::kSyscall},
      {"Vdso", Chain<>({}, live),
       live.clock_gettime != nullptr ? Leg::kVdso : Leg::kSyscall},
  };
  for (const Row& row : kRows) {
    SCOPED_TRACE(row.name);
    for (const int32_t id : kIds) {
      KernelTimespec before = {};
      KernelTimespec after = {};
      const int32_t error = ClockGettime(id, &before);
      const ChainReading reading = row.chain.Now(id);
      EXPECT_EQ(reading.error, error) << "clock " << id;
      EXPECT_EQ(reading.leg, row.leg) << "clock " << id;
      if (error != 0) continue;
      ASSERT_EQ(ClockGettime(id, &after), 0) << "clock " << id;
      // No other clock lies just there.
      EXPECT_FALSE(
          Precedes({reading.sec, reading.nsec}, before.tv_sec, before.tv_nsec))
          << "clock " << id;
      EXPECT_FALSE(Precedes(after, reading.sec, reading.nsec))
          << "clock " << id;
    }
  }
}

// Trap: T93
TEST(ChainTest, EachVdsoFunctionIsAskedForTheClockThatWasAskedFor) {
  ScriptedPage page;
  const auto old = page.ChainWith(Vdso(VdsoStatus::kFound, &FakeOld));
  const auto time64 =
      page.ChainWith(Vdso(VdsoStatus::kFound, nullptr, &Fake64));
  for (const int32_t id : kIds) {
    old_call = call64 = {};
    EXPECT_EQ(old.Now(id).leg, Leg::kVdso);
    EXPECT_EQ(old_call.id, id);
    EXPECT_EQ(time64.Now(id).leg, Leg::kVdso);
    EXPECT_EQ(call64.id, id);
  }
}

TEST(ChainTest, PageAndVdsoAreAskedForTheSameClock) {
  const struct {
    int32_t id;
    int64_t sec;
  } kOnThePage[] = {
      {VVAR_CLOCK_REALTIME, 1000},
      {VVAR_CLOCK_MONOTONIC, 2000},
      {VVAR_CLOCK_MONOTONIC_RAW, 3000},
      {VVAR_CLOCK_BOOTTIME, 4000},
      {VVAR_CLOCK_TAI, 1037},
      {VVAR_CLOCK_REALTIME_COARSE, 1000},
      {VVAR_CLOCK_MONOTONIC_COARSE, 2000},
  };
  ScriptedPage page;
  page.Publish();
  const Chain<ManualClock<>> chain =
      page.ChainWith(Vdso(VdsoStatus::kFound, &FakeOld));
  for (const auto& row : kOnThePage) {
    const ChainReading reading = chain.Now(row.id);
    EXPECT_EQ(reading.leg, Leg::kPage) << "clock " << row.id;
    EXPECT_EQ(reading.sec, row.sec) << "clock " << row.id;
    EXPECT_EQ(chain.NowUnordered(row.id).sec, row.sec) << "clock " << row.id;
  }
  for (const int32_t id : kIds) {
    if (chain.Now(id).leg == Leg::kPage) continue;
    EXPECT_EQ(old_call.id, id);
    (void)chain.NowUnordered(id);
    EXPECT_EQ(old_call.id, id);
  }
}

// Trap: T89
TEST(ChainTest, PartialVdsoIsUsable) {
  struct Row {
    const char* name;
    VdsoFunctions vdso;
    Leg leg;
    int old_calls;
    int calls64;
  };
  VdsoFunctions only_others = Vdso(VdsoStatus::kNoSuchSymbol);
  only_others.getcpu = [](uint32_t*, uint32_t*, void*) { return 0; };
  only_others.gettimeofday = [](KernelTimeval*, KernelTimezone*) { return 0; };
  const Row kRows[] = {
      {"Both", Vdso(VdsoStatus::kFound, &FakeOld, &Fake64), Leg::kVdso, 0, 1},
      {"OnlyTime64", Vdso(VdsoStatus::kNoSuchSymbol, nullptr, &Fake64),
       Leg::kVdso, 0, 1},
      {"OnlyTheOldOne", Vdso(VdsoStatus::kNoSuchSymbol, &FakeOld), Leg::kVdso,
       1, 0},
      {"OnlyOthers", only_others, Leg::kSyscall, 0, 0},
  };
  for (const Row& row : kRows) {
    SCOPED_TRACE(row.name);
    old_call = {};
    call64 = {};
    ScriptedPage page;
    const ChainReading reading =
        page.ChainWith(row.vdso).Now(VVAR_CLOCK_REALTIME);
    EXPECT_TRUE(reading.ok());
    EXPECT_EQ(reading.leg, row.leg);
    EXPECT_EQ(reading.vdso_status, row.leg == Leg::kVdso
                                       ? VdsoStatus::kFound
                                       : VdsoStatus::kNoSuchSymbol);
    EXPECT_EQ(old_call.calls, row.old_calls);
    EXPECT_EQ(call64.calls, row.calls64);
    if (row.calls64 != 0) {
      EXPECT_EQ(reading.sec, 200);
      EXPECT_EQ(reading.nsec, 2u);
    }
  }
}

// An image whose functions are those of today's 64-bit time only.
TEST(ChainTest, VdsoThatAnswersIsNotReportedMissing) {
  testing::ElfSpec spec;
  spec.symbols = {{.name = "__vdso_clock_gettime64", .version = "LINUX_2.6"}};
  const testing::ElfImage image = testing::BuildElf(spec);
  VdsoFunctions vdso =
      FindVdsoFunctions(VdsoImage(image.bytes.data(), image.bytes.size()));
  ASSERT_NE(vdso.clock_gettime64, nullptr);
  ASSERT_EQ(vdso.clock_gettime, nullptr);
  vdso.clock_gettime64 = &Fake64;  // The copy cannot be called.
  ScriptedPage page;
  const ChainReading reading = page.ChainWith(vdso).Now(VVAR_CLOCK_REALTIME);
  EXPECT_EQ(reading.leg, Leg::kVdso);
  EXPECT_EQ(reading.vdso_status, VdsoStatus::kFound);
}

TEST(ChainTest, PageThatComesBackIsUsedAtOnce) {
  ScriptedPage page;
  const Chain<ManualClock<>> chain =
      page.ChainWith(Vdso(VdsoStatus::kFound, &FakeOld));
  EXPECT_EQ(chain.Now(VVAR_CLOCK_MONOTONIC).leg, Leg::kVdso);
  for (int i = 0; i < 3; ++i) {
    page.Publish();
    EXPECT_EQ(chain.Now(VVAR_CLOCK_MONOTONIC).leg, Leg::kPage);
    page.GoStale();
    EXPECT_EQ(chain.Now(VVAR_CLOCK_MONOTONIC).leg, Leg::kVdso);
    EXPECT_EQ(chain.NowUnordered(VVAR_CLOCK_MONOTONIC).leg, Leg::kVdso);
  }
}

// A coarse clock needs no counter, so it does not see by itself that its writer
// is dead; the chain must not stand still for ever all the same.
TEST(ChainTest, StalePageDoesNotFreezeTheCoarseClocks) {
  ScriptedPage page;
  page.Publish();
  const Chain<ManualClock<>> chain =
      page.ChainWith(Vdso(VdsoStatus::kFound, &FakeOld));
  EXPECT_EQ(chain.Now(VVAR_CLOCK_REALTIME_COARSE).leg, Leg::kPage);
  page.GoStale();
  for (const int32_t id :
       {VVAR_CLOCK_REALTIME_COARSE, VVAR_CLOCK_MONOTONIC_COARSE}) {
    const ChainReading reading = chain.Now(id);
    EXPECT_EQ(reading.leg, Leg::kVdso) << "clock " << id;
    EXPECT_EQ(reading.page_status, ReadStatus::kStale) << "clock " << id;
  }
}

TEST(ChainTest, OrderedReadsAreOrderedAndOthersAreNot) {
  ScriptedPage page;
  page.Publish();
  const Chain<ManualClock<>> chain = page.ChainWith({});
  const ManualCounter& counter = page.counter();
  const uint32_t ordered = counter.ReadsOf(CounterRead::kOrdered);
  const uint32_t unordered = counter.ReadsOf(CounterRead::kUnordered);
  (void)chain.Now(VVAR_CLOCK_MONOTONIC);
  EXPECT_EQ(counter.ReadsOf(CounterRead::kOrdered), ordered + 1);
  EXPECT_EQ(counter.ReadsOf(CounterRead::kUnordered), unordered);
  (void)chain.NowUnordered(VVAR_CLOCK_MONOTONIC);
  EXPECT_EQ(counter.ReadsOf(CounterRead::kOrdered), ordered + 1);
  EXPECT_EQ(counter.ReadsOf(CounterRead::kUnordered), unordered + 1);
  (void)chain.NowNs(ClockId::kMonotonic);
  EXPECT_EQ(counter.ReadsOf(CounterRead::kOrdered), ordered + 2);
  EXPECT_EQ(counter.ReadsOf(CounterRead::kUnordered), unordered + 1);
  (void)chain.NowNsUnordered(ClockId::kMonotonic);
  EXPECT_EQ(counter.ReadsOf(CounterRead::kOrdered), ordered + 2);
  EXPECT_EQ(counter.ReadsOf(CounterRead::kUnordered), unordered + 2);
}

// In every state of the page, for clocks it has and has not.
TEST(ChainTest, NanosecondsAreThoseOfTheReading) {
  for (const PageRow& row : kPageRows) {
    ScriptedPage page;
    row.prepare(page);
    const Chain<ManualClock<>> chain =
        page.ChainWith(Vdso(VdsoStatus::kFound, &FakeOld));
    for (const int32_t id : kIds) {
      const auto clock = static_cast<ClockId>(id);
      const uint64_t ns = chain.Now(id).ns();
      old_call = {};
      EXPECT_EQ(chain.NowNs(clock), ns) << row.name << ", clock " << id;
      EXPECT_EQ(chain.NowNsUnordered(clock), ns) << row.name << " " << id;
      if (old_call.calls != 0) {
        EXPECT_EQ(old_call.id, id) << row.name;
      }
    }
  }
  EXPECT_EQ(Chain<>().NowNs(static_cast<ClockId>(1'000'000)), 0u)
      << "as documented";
}

// Who has no page may have none because its counter is a fault to read.
TEST(ChainTest, WithoutAPageTheCounterIsNotRead) {
  const Chain<ManualClock<>> chain;
  const uint32_t before = ManualCounter::Stopped()->ReadsInAll();
  for (const int32_t id : kIds) {
    (void)chain.Now(id);
    (void)chain.NowUnordered(id);
    (void)chain.NowNs(static_cast<ClockId>(id));
    (void)chain.NowNsUnordered(static_cast<ClockId>(id));
  }
  EXPECT_EQ(ManualCounter::Stopped()->ReadsInAll(), before);
}

TEST(ChainTest, IntervalIsThePagesOrSaysWhyThereIsNone) {
  ScriptedPage page;
  const auto chain = page.ChainWith({});
  EXPECT_EQ(chain.Interval(ClockId::kRealtime).status, ReadStatus::kNotReady);
  page.Publish();
  const IntervalReading interval = chain.Interval(ClockId::kRealtime);
  EXPECT_EQ(interval.status, ReadStatus::kOk);
  const NsReading now = chain.page().Now(ClockId::kRealtime);
  EXPECT_LE(interval.earliest_ns, now.ns);
  EXPECT_GT(interval.latest_ns, now.ns);
  page.GoStale();
  EXPECT_EQ(chain.Interval(ClockId::kRealtime).status, ReadStatus::kStale);

  const Chain<ManualClock<>> without({}, {}, ReadStatus::kUnreadableCounter);
  const uint32_t before = ManualCounter::Stopped()->ReadsInAll();
  const IntervalReading none = without.Interval(ClockId::kRealtime);
  EXPECT_EQ(none.status, ReadStatus::kUnreadableCounter);
  EXPECT_EQ(none.clock_status, ClockStatus::kNone);
  EXPECT_EQ(ManualCounter::Stopped()->ReadsInAll(), before);
}

// Trap: T117
TEST(ChainTest, FirstUseFromManyThreads) {
  // Nothing is looked up, mapped or kept at a first use: it is a value.
  static_assert(std::is_trivially_copyable_v<Chain<>>);
  static_assert(std::is_trivially_destructible_v<Chain<>>);
  constexpr int kThreads = 8;
  for (int round = 0; round < 20; ++round) {
    const Chain<> chain({}, LiveVdso());
    std::atomic<int> ready = 0;
    std::atomic<int> wrong = 0;
    std::vector<std::thread> threads;
    for (int i = 0; i < kThreads; ++i) {
      threads.emplace_back([&] {
        ++ready;
        while (ready.load() != kThreads) sched_yield();
        const ChainReading first = chain.Now(VVAR_CLOCK_MONOTONIC);
        const ChainReading second = chain.Now(VVAR_CLOCK_MONOTONIC);
        if (!first.ok() || first.leg == Leg::kPage) ++wrong;
        if (second.leg != first.leg || second.ns() < first.ns()) ++wrong;
      });
    }
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(wrong.load(), 0);
  }
}

}  // namespace
}  // namespace vvar::fallback
