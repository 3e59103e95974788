// SPDX-License-Identifier: MIT
//
// What holds of every foreign page, whatever its format.
#include "paravirt/foreign_page.h"

#include <gtest/gtest.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

#include <algorithm>
#include <memory>
#include <vector>

#include "paravirt/wall_clock.h"
#include "tests/paravirt/foreign_pages.h"
#include "tests/support/scripted_memory.h"
#include "vvar/header.h"
#include "vvar/page.h"
#include "vvar/reader.h"
#include "vvar/timekeeper.h"
#include "vvar/writer.h"

namespace vvar {
namespace {

using support::EdgyRandom;
using support::ForEachForeignPage;
using support::kForeignTsc;
using support::ManualCounter;
using support::MemoryEvent;
using support::MemoryOp;
using support::MemoryScript;
using support::ScriptedMemory;
using support::Tsc;
using support::VmclockPage;
using support::WriterKilled;

using WallClock = WallClockReader<Tsc, ScriptedMemory>;

TEST(ParavirtTest, WhatIsPublishedIsRead) {
  ForEachForeignPage([](auto& page) {
    SCOPED_TRACE(page.kName);
    ManualCounter counter;
    counter.value = kForeignTsc;
    const auto reader = page.MakeReader(&counter);
    for (const uint32_t n : {0, 1, 0}) {
      page.Publish(n);
      const ForeignCount now = reader.template Count<CounterOrder::kOrdered>();
      ASSERT_EQ(now.status, ForeignStatus::kOk);
      ASSERT_EQ(now.count, page.Expected(n));
    }
  });
}

// Trap: T58
TEST(ParavirtTest, AbsentPageIsNeverTouched) {
  // A page that faults when it is touched.
  void* const guard =
      mmap(nullptr, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(guard, MAP_FAILED);
  MemoryScript script;
  ManualCounter counter;
  const Tsc clock(&counter);
  using Vmclock = VmclockReader<Tsc, ScriptedMemory>;
  Vmclock vmclock;
  for (size_t size = 0; size < kVmclockMarkerSize; ++size) {
    ASSERT_EQ(Vmclock::Attach(guard, size, clock, &vmclock),
              PageStatus::kTooSmall);
  }
  ASSERT_EQ(Vmclock::Attach(nullptr, 4096, clock, &vmclock),
            PageStatus::kTooSmall);
  EXPECT_EQ(vmclock.Now(VmclockTimeType::kTai).status, ForeignStatus::kAbsent);
  const PvclockReader<Tsc, ScriptedMemory> pvclock(nullptr, clock,
                                                   PvclockUse::kOwnCpu);
  EXPECT_EQ(pvclock.Now().status, ForeignStatus::kAbsent);
  const HypervTscReader<Tsc, ScriptedMemory> hyperv(nullptr, clock);
  EXPECT_EQ(hyperv.Now().status, ForeignStatus::kAbsent);
  // The upper half of the seconds is there; the rest is not.
  const WallClock wall(nullptr, static_cast<const uint32_t*>(guard), 0, clock);
  EXPECT_EQ(wall.At(0).status, ForeignStatus::kAbsent);
  EXPECT_EQ(script.LoadsInAll(), 0u);
  EXPECT_EQ(counter.ReadsInAll(), 0u);
  munmap(guard, 4096);
}

// Trap: T71
TEST(ParavirtTest, PageIsBuiltFromScratch) {
  // Every byte is dirty before; every bit without a meaning is 0 after.
  pvclock_vcpu_time_info record;
  memset(&record, 0xff, sizeof record);
  pvclock_vcpu_time_info* const all[] = {&record};
  PvclockLine line = {1, 2, {3, -4}, kPvclockTscStable};
  PvclockWriter<>(all, 1).Publish(line);
  EXPECT_EQ(record.pad0, 0u);
  EXPECT_EQ(record.pad[0], 0);
  EXPECT_EQ(record.pad[1], 0);
  EXPECT_EQ(record.flags, kPvclockTscStable | kPvclockGuestStopped)
      << "the guest's to clear; and no other";
  line.flags = 0xf9;
  record.flags = 0;
  PvclockWriter<>(all, 1).Publish(line);
  EXPECT_EQ(record.flags, kPvclockTscStable);

  auto hyperv = std::make_unique<hv_reference_tsc_page>();
  memset(hyperv.get(), 0xff, sizeof *hyperv);
  HypervTscWriter<> writer(hyperv.get());
  writer.Format();
  writer.Publish({5, 6});
  uint8_t zero[4096] = {};
  EXPECT_EQ(memcmp(hyperv->reserved2, zero, sizeof hyperv->reserved2), 0);
  EXPECT_EQ(hyperv->reserved1, 0u);
  EXPECT_EQ(hyperv->tsc_sequence, 1u) << "after all ones, neither they nor 0";

  vmclock_abi region;
  memset(&region, 0xff, sizeof region);
  region.seq_count = 0;
  VmclockWriter<> vmclock(&region, VmclockTaiSign::kTaiMinusUtc);
  vmclock.Format(4096);
  VmclockLine time = {};
  time.flags = ~uint64_t{0};
  vmclock.Publish(VVAR_COUNTER_X86_TSC, time);
  EXPECT_EQ(region.pad[0], 0);
  EXPECT_EQ(region.pad[1], 0);
  EXPECT_EQ(region.leap_second_smearing_hint, 0) << "strict";
  EXPECT_EQ(region.flags, kVmclockKnownFlags);
  // All the rest was zero in what was published.
  vmclock_abi expected = {};
  expected.magic = kVmclockMagic;
  expected.size = 4096;
  expected.version = 1;
  expected.counter_id = kVmclockX86Tsc;
  expected.seq_count = 4;
  expected.flags = kVmclockKnownFlags;
  EXPECT_EQ(memcmp(&region, &expected, sizeof region), 0);
}

TEST(ParavirtTest, EachFieldIsLoadedOnce) {
  ForEachForeignPage<ScriptedMemory>([](auto& page) {
    SCOPED_TRACE(page.kName);
    ManualCounter counter;
    counter.value = kForeignTsc;
    const auto reader = page.MakeReader(&counter);
    MemoryScript script;
    ASSERT_TRUE(reader.template Count<CounterOrder::kOrdered>().ok());
    size_t fields = 0;
    for (const auto& [word, loads] : script.loads) {
      EXPECT_EQ(loads, word == &page.sequence() ? 2u : 1u);
      ++fields;
    }
    EXPECT_GE(fields, 3u);
    EXPECT_EQ(counter.ReadsInAll(), 1u);
  });
}

TEST(ParavirtTest, ReadIsInOrder) {
  // Sequence with acquire, counter, fields, fence, sequence.
  ForEachForeignPage<ScriptedMemory>([](auto& page) {
    SCOPED_TRACE(page.kName);
    ManualCounter counter;
    counter.value = kForeignTsc;
    const auto reader = page.MakeReader(&counter);
    MemoryScript script;
    counter.on_read = [&](support::CounterRead) { script.NoteCounterRead(); };
    ASSERT_TRUE(reader.template Count<CounterOrder::kOrdered>().ok());
    const std::vector<MemoryEvent>& events = script.events;
    ASSERT_GE(events.size(), 6u);
    EXPECT_EQ(events[0].op, MemoryOp::kLoadAcquire);
    EXPECT_EQ(events[0].word, &page.sequence());
    EXPECT_EQ(events[1].op, MemoryOp::kCounterRead);
    for (size_t i = 2; i + 2 < events.size(); ++i) {
      EXPECT_EQ(events[i].op, MemoryOp::kLoad);
      EXPECT_NE(events[i].word, &page.sequence());
    }
    EXPECT_EQ(events[events.size() - 2].op, MemoryOp::kFenceAcquire);
    EXPECT_EQ(events.back().op, MemoryOp::kLoad);
    EXPECT_EQ(events.back().word, &page.sequence());
  });
}

TEST(ParavirtTest, WriteIsInOrder) {
  // Sequence, fence, fields, sequence with release: nothing else.
  ForEachForeignPage<ScriptedMemory>([](auto& page) {
    SCOPED_TRACE(page.kName);
    MemoryScript script;
    page.Publish(1);
    std::vector<MemoryEvent> events;
    for (const MemoryEvent& event : script.events) {
      if (event.op != MemoryOp::kLoad) events.push_back(event);
    }
    ASSERT_GE(events.size(), 5u);
    EXPECT_EQ(events[0].word, &page.sequence());
    EXPECT_EQ(events[1].op, MemoryOp::kFenceRelease);
    for (size_t i = 2; i + 1 < events.size(); ++i) {
      EXPECT_EQ(events[i].op, MemoryOp::kStore);
      EXPECT_NE(events[i].word, &page.sequence());
    }
    EXPECT_EQ(events.back().op, MemoryOp::kStoreRelease);
    EXPECT_EQ(events.back().word, &page.sequence());
  });
}

// Trap: T13
TEST(ParavirtTest, ReadsNothingOfAWriterThatIsStopped) {
  // At each of its stores, for a while or for ever.
  ForEachForeignPage<ScriptedMemory>([](auto& page) {
    SCOPED_TRACE(page.kName);
    ManualCounter counter;
    counter.value = kForeignTsc;
    const auto reader = page.MakeReader(&counter);
    const bool asks_msr = page.kBytes == 24;
    uint32_t stores = 0;
    for (uint32_t stop = 1; stop == 1 || stop <= stores; ++stop) {
      page.Publish(0);
      MemoryScript script;
      script.on_store = [&](const void*, uint32_t nth) {
        stores = std::max(stores, nth);
        if (nth != stop) return;
        MemoryScript quiet;
        const ForeignCount now =
            reader.template Count<CounterOrder::kOrdered>();
        if (stop == 1) {
          EXPECT_TRUE(now.ok());
          EXPECT_EQ(now.count, page.Expected(0));
        } else {
          EXPECT_EQ(now.status,
                    asks_msr ? ForeignStatus::kWithdrawn : ForeignStatus::kBusy)
              << "store " << stop;
        }
        EXPECT_LE(quiet.LoadsInAll(), 2 * kForeignTries);
        if (stop % 2 == 0) throw WriterKilled();
      };
      bool killed = false;
      try {
        page.Publish(1);
      } catch (const WriterKilled&) {
        killed = true;
      }
      script.on_store = nullptr;
      if (killed) page.Publish(1);  // Whoever comes next repairs it.
      const ForeignCount after =
          reader.template Count<CounterOrder::kOrdered>();
      EXPECT_TRUE(after.ok());
      EXPECT_EQ(after.count, page.Expected(1));
    }
    EXPECT_GE(stores, 4u);
  });
}

TEST(ParavirtTest, ReadIsOfOnePublication) {
  // One that comes before any load of a read.
  ForEachForeignPage<ScriptedMemory>([](auto& page) {
    SCOPED_TRACE(page.kName);
    ManualCounter counter;
    counter.value = kForeignTsc;
    const auto reader = page.MakeReader(&counter);
    for (uint32_t at = 1; at < 40; ++at) {
      page.Publish(0);
      MemoryScript script;
      uint32_t loads = 0;
      script.on_load = [&](const void*, uint32_t) {
        if (++loads != at) return;
        MemoryScript quiet;
        page.Publish(1);
      };
      const ForeignCount now = reader.template Count<CounterOrder::kOrdered>();
      ASSERT_TRUE(now.ok());
      const bool before = at <= loads;
      ASSERT_EQ(now.count, page.Expected(before ? 1 : 0)) << "load " << at;
    }
  });
}

TEST(ParavirtTest, HostileBytesAreBounded) {
  // Whatever the bytes are, changing before any load: a read ends after a
  // bounded number of loads. What it says is arithmetic (UBSan's business).
  EdgyRandom random(1);
  ForEachForeignPage<ScriptedMemory>([&](auto& page) {
    SCOPED_TRACE(page.kName);
    ManualCounter counter;
    const auto reader = page.MakeReader(&counter);
    for (int i = 0; i < 20'000; ++i) {
      counter.value = random.Edgy();
      MemoryScript script;
      const uint64_t calm = random.Below(4);
      script.value_of = [&](const void* word, uint32_t, uint64_t value) {
        if (word == &page.sequence()) {
          return random.OneIn(4) ? random.Edgy(32) : uint64_t{2};
        }
        return random.Below(4) < calm ? value : random.Edgy();
      };
      (void)reader.template Count<CounterOrder::kOrdered>();
      ASSERT_LE(script.LoadsInAll(), kForeignTries * 25u);
    }
  });
}

// The machine of a guest whose own page stands on a foreign one.
template <class Page>
struct Guest {
  using Clock = ForeignClock<typename Page::Reader>;
  explicit Guest(Page* foreign)
      : clock(foreign->MakeReader(&counter)),
        timekeeper({.counter_id = Clock::kCounterId,
                    .counter_bits = 64,
                    .counter_hz = Clock::kHz,
                    .lead_ns = 1'000,
                    .interval_ns = 1'000'000,
                    .max_age_ns = 10'000'000'000}),
        writer(&page.timeline[0], clock),
        reader(&page.timeline[0], clock) {
    counter.value = kForeignTsc;
    timekeeper.Start(clock.Read(0), {{1'700'000'000, 0}, {}, {}, {}, 37});
    writer.PublishLine(timekeeper.line());
  }
  ManualCounter counter;
  Clock clock;
  vvar_page page = {};
  Timekeeper timekeeper;
  Writer<Clock> writer;
  Reader<Clock> reader;
};

TEST(ParavirtTest, GuestsOwnPageStandsOnAForeignOne) {
  ForEachForeignPage([](auto& page) {
    SCOPED_TRACE(page.kName);
    Guest guest(&page);
    const uint64_t before = guest.clock.Read(0);
    guest.counter.value += 3'000'000'000;
    const uint64_t ns = (guest.clock.Read(0) - before) *
                        (1'000'000'000 / decltype(guest.clock)::kHz);
    const NsReading now = guest.reader.Now(ClockId::kMonotonic);
    ASSERT_EQ(now.status, ReadStatus::kOk);
    EXPECT_EQ(now.ns, ns);
    EXPECT_EQ(guest.writer.Publish(guest.timekeeper),
              PublishStatus::kPublished);
    EXPECT_EQ(guest.reader.Now(ClockId::kMonotonic).ns, ns);
  });
}

TEST(ParavirtTest, GuestsOwnPageIsStaleWhileTheForeignOneIsWithdrawn) {
  ForEachForeignPage([](auto& page) {
    SCOPED_TRACE(page.kName);
    Guest guest(&page);
    guest.counter.value += 10'000'000;
    ASSERT_EQ(guest.writer.Publish(guest.timekeeper),
              PublishStatus::kPublished);
    const uint64_t seq = guest.page.timeline[0].seq;
    const uint64_t before = guest.reader.Now(ClockId::kMonotonic).ns;
    page.Withdraw();
    for (const CounterOrder order :
         {CounterOrder::kOrdered, CounterOrder::kUnordered}) {
      const NsReading now =
          order == CounterOrder::kOrdered
              ? guest.reader.Now(ClockId::kMonotonic)
              : guest.reader.NowUnordered(ClockId::kMonotonic);
      EXPECT_EQ(now.status, ReadStatus::kStale);
    }
    // Nor does the writer go on, on a counter that is none.
    EXPECT_EQ(guest.writer.Publish(guest.timekeeper), PublishStatus::kTooEarly);
    EXPECT_EQ(guest.page.timeline[0].seq, seq);
    // It is back: so is time, where it ought to be.
    page.Publish(0);
    guest.counter.value += 1'000;
    const NsReading after = guest.reader.Now(ClockId::kMonotonic);
    ASSERT_EQ(after.status, ReadStatus::kOk);
    EXPECT_GE(after.ns, before);
    EXPECT_LE(after.ns - before, 10'000u);
  });
}

TEST(ParavirtTest, EachWayOfReadingACounterIsPassedOn) {
  ForEachForeignPage([](auto& page) {
    SCOPED_TRACE(page.kName);
    Guest guest(&page);
    using support::CounterRead;
    for (uint32_t& reads : guest.counter.reads) reads = 0;
    (void)guest.clock.Read(0);
    (void)guest.clock.ReadUnordered();
    (void)guest.clock.ReadBeforeStores();
    (void)guest.clock.ReadAfterStores();
    for (const CounterRead kind :
         {CounterRead::kOrdered, CounterRead::kUnordered,
          CounterRead::kBeforeStores, CounterRead::kAfterStores}) {
      EXPECT_EQ(guest.counter.ReadsOf(kind), 1u);
    }
  });
}

TEST(ParavirtTest, WordsAreLittleEndianOnAnyHost) {
  static_assert(ReverseBytes(uint16_t{0x1234}) == 0x3412);
  static_assert(ReverseBytes(uint32_t{0x12345678}) == 0x78563412);
  static_assert(ReverseBytes(uint64_t{0x0123456789abcdef}) ==
                0xefcdab8967452301);
  using Big = LittleEndian<PageMemory, __ORDER_BIG_ENDIAN__>;
  using Little = LittleEndian<PageMemory, __ORDER_LITTLE_ENDIAN__>;
  uint32_t word = 0;
  Little::Store(word, uint32_t{0x12345678});
  EXPECT_EQ(word, 0x12345678u);
  // A machine of the other order stores its own bytes the other way round.
  Big::Store(word, uint32_t{0x12345678});
  EXPECT_EQ(word, 0x78563412u);
  EXPECT_EQ(Big::Load(word), 0x12345678u);
  EXPECT_EQ(Big::LoadAcquire(word), 0x12345678u);
  Big::StoreRelease(word, 2);
  EXPECT_EQ(word, 0x02000000u);
  const SeqToken odd = WriteOpen<Big>(word);
  EXPECT_EQ(odd, 3u);
  WriteClose<Big>(word, odd);
  EXPECT_EQ(ReadBegin<Big>(word), 4u);
  uint8_t byte = 0;
  Big::Store(byte, uint8_t{0x81});
  EXPECT_EQ(byte, 0x81);
}

}  // namespace
}  // namespace vvar
