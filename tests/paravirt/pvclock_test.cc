// SPDX-License-Identifier: MIT
#include "paravirt/pvclock.h"

#include <gtest/gtest.h>
#include <stddef.h>
#include <stdint.h>

#include <iterator>

#include "paravirt/wall_clock.h"
#include "tests/support/manual_clock.h"
#include "tests/support/oracle.h"
#include "tests/support/scripted_memory.h"

namespace vvar {
namespace {

using support::EdgyRandom;
using support::ManualClock;
using support::ManualCounter;
using support::MemoryEvent;
using support::MemoryOp;
using support::MemoryScript;
using support::ScriptedMemory;
using support::UnsignedWide;

using Clock = ManualClock<>;
using Reader = PvclockReader<Clock>;

constexpr PvclockLine kLine = {
    .tsc_timestamp = 1'000'000,
    .system_time_ns = 5'000'000'000,
    .rate = PvclockRateFromHz(2'400'000'000),
    .flags = kPvclockTscStable,
};

// The formula of the format, in wide integers, for a TSC after the record.
uint64_t Expected(const PvclockLine& line, uint64_t tsc) {
  const uint64_t delta = tsc - line.tsc_timestamp;
  UnsignedWide shifted = delta;
  if (line.rate.shift < 0) {
    shifted = delta >> -line.rate.shift;
  } else {
    shifted = shifted << static_cast<uint32_t>(line.rate.shift);
  }
  return line.system_time_ns +
         static_cast<uint64_t>((shifted * UnsignedWide(line.rate.mul)) >> 32);
}

// A record with one line on it.
struct Record {
  explicit Record(const PvclockLine& line = kLine) { Publish(line); }
  void Publish(const PvclockLine& line) {
    pvclock_vcpu_time_info* const all[] = {&record};
    PvclockWriter<>(all, 1).Publish(line);
  }
  Reader MakeReader(PvclockUse use = PvclockUse::kEveryCpu) {
    return Reader(&record, Clock(&counter), use);
  }
  pvclock_vcpu_time_info record = {};
  ManualCounter counter;
};

struct RateRow {
  const char* name;
  uint64_t hz;
  PvclockRate rate;
};
constexpr RateRow kRates[] = {
    {"2.596152 GHz", 2'596'152'000, {3308717899, -1}},
    {"3 GHz", 3'000'000'000, {2863311530, -1}},
    {"2.4 GHz", 2'400'000'000, {3579139413, -1}},
    {"below 2 GHz", 1'999'999'999, {2147483649, 0}},
    {"1 GHz", 1'000'000'000, {2147483648, 1}},
    {"24 MHz", 24'000'000, {2796202666, 6}},
    {"10 MHz", 10'000'000, {3355443200, 7}},
};

TEST(PvclockTest, RateIsTheOneThatKvmChooses) {
  for (const RateRow& row : kRates) {
    SCOPED_TRACE(row.name);
    const PvclockRate rate = PvclockRateFromHz(row.hz);
    EXPECT_EQ(rate.mul, row.rate.mul);
    EXPECT_EQ(rate.shift, row.rate.shift);
    // And back, within the 2^-31 of mul.
    const uint64_t hz = PvclockRateToHz(rate);
    EXPECT_GE(hz, row.hz);
    EXPECT_LE(hz - row.hz, (row.hz >> 31) + 1);
  }
}

TEST(PvclockTest, RoundTripThroughAPage) {
  Record page;
  page.counter.value = kLine.tsc_timestamp + 2'400'000'000;
  const ForeignCount now = page.MakeReader().Now();
  ASSERT_EQ(now.status, ForeignStatus::kOk);
  EXPECT_EQ(now.count, Expected(kLine, page.counter.value));
  EXPECT_EQ(now.count, 5'999'999'999u);  // mul is rounded down.
}

// Trap: T40
TEST(PvclockTest, LargeDeltaMatchesOracle) {
  EdgyRandom random(40);
  for (int i = 0; i < 200'000; ++i) {
    PvclockLine line = kLine;
    line.tsc_timestamp = random.Edgy();
    line.system_time_ns = random.Edgy();
    line.rate = {static_cast<uint32_t>(random.Edgy(32)),
                 static_cast<int32_t>(random.Below(63)) - 31};
    const uint64_t tsc = line.tsc_timestamp + random.Edgy(63);
    ASSERT_EQ(line.NsAt(tsc), Expected(line, tsc))
        << "mul " << line.rate.mul << " shift " << line.rate.shift;
  }
}

TEST(PvclockTest, CounterALittleBehindTheRecordCountsAsAtIt) {
  EXPECT_EQ(kLine.NsAt(kLine.tsc_timestamp), kLine.system_time_ns);
  EXPECT_EQ(kLine.NsAt(kLine.tsc_timestamp - 1), kLine.system_time_ns);
  EXPECT_EQ(kLine.NsAt(0), kLine.system_time_ns);
}

TEST(PvclockTest, TimeMayBeBelowZero) {
  PvclockLine line = kLine;
  line.system_time_ns = static_cast<uint64_t>(-3);
  line.rate = {1u << 31, 1};  // A cycle is a nanosecond.
  EXPECT_EQ(line.NsAt(line.tsc_timestamp + 5), 2u);
}

// Trap: T40
TEST(PvclockTest, ShiftIsRangeChecked) {
  for (int shift = -128; shift < 128; ++shift) {
    Record page;
    page.record.tsc_shift = static_cast<uint8_t>(shift);
    const bool sane = shift >= -31 && shift <= 31;
    ASSERT_EQ(page.MakeReader().Now().status,
              sane ? ForeignStatus::kOk : ForeignStatus::kMalformed)
        << shift;
  }
  EXPECT_EQ(PvclockRateToHz({0, 0}), 0u);
  EXPECT_EQ(PvclockRateToHz({1, -31}), UINT64_MAX);
}

// Trap: T57
TEST(PvclockTest, UnstableRecordIsRefused) {
  Record page;
  EXPECT_EQ(page.MakeReader().Now().status, ForeignStatus::kOk);
  PvclockLine line = kLine;
  line.flags = kPvclockCountsFromZero;
  page.Publish(line);
  EXPECT_EQ(page.MakeReader().Now().status, ForeignStatus::kWithdrawn);
  // The vCPU whose it is may use it.
  EXPECT_EQ(page.MakeReader(PvclockUse::kOwnCpu).Now().status,
            ForeignStatus::kOk);
}

// Trap: T57
TEST(PvclockTest, FlagClearedDuringReadIsRefused) {
  // Before any load of a read; with a new version, as a host does.
  for (uint32_t at = 1; at <= 7; ++at) {
    Record page;
    const PvclockReader<Clock, ScriptedMemory> reader(
        &page.record, Clock(&page.counter), PvclockUse::kEveryCpu);
    MemoryScript script;
    uint32_t loads = 0;
    script.on_load = [&](const void*, uint32_t) {
      if (++loads != at) return;
      PvclockLine line = kLine;
      line.flags = 0;
      page.Publish(line);
    };
    ASSERT_EQ(reader.Now().status, ForeignStatus::kWithdrawn) << at;
  }
  // Nor does one that was found once hold for the next read.
  Record page;
  const Reader reader = page.MakeReader();
  ASSERT_TRUE(reader.Now().ok());
  PvclockLine line = kLine;
  line.flags = 0;
  page.Publish(line);
  EXPECT_FALSE(reader.Now().ok());
}

TEST(PvclockTest, NothingPublishedIsNotReady) {
  const pvclock_vcpu_time_info empty = {};
  ManualCounter counter;
  const Reader reader(&empty, Clock(&counter), PvclockUse::kOwnCpu);
  EXPECT_EQ(reader.Now().status, ForeignStatus::kNotReady);
}

TEST(PvclockTest, GuestStoppedIsKeptUntilTheGuestClearsIt) {
  Record page;
  PvclockLine line = kLine;
  line.flags |= kPvclockGuestStopped;
  page.Publish(line);
  EXPECT_EQ(page.record.flags, kPvclockTscStable | kPvclockGuestStopped);
  page.Publish(kLine);
  EXPECT_EQ(page.record.flags, kPvclockTscStable | kPvclockGuestStopped);
  const uint32_t version = page.record.version;
  EXPECT_TRUE(ClearGuestStopped(page.record));
  EXPECT_FALSE(ClearGuestStopped(page.record));
  EXPECT_EQ(page.record.flags, kPvclockTscStable);
  EXPECT_EQ(page.record.version, version);
  page.Publish(kLine);
  EXPECT_EQ(page.record.flags, kPvclockTscStable);
}

// Trap: T70
TEST(PvclockTest, WriterOrderMatchesGolden) {
  // The order in full: who stores what, and where the fences are.
  pvclock_vcpu_time_info record = {};
  pvclock_vcpu_time_info* const all[] = {&record};
  MemoryScript script;
  PvclockWriter<ScriptedMemory>(all, 1).Publish(kLine);
  const MemoryEvent golden[] = {
      {MemoryOp::kLoad, &record.version, 0, 4},
      {MemoryOp::kStoreRelease, &record.version, 1, 4},
      {MemoryOp::kFenceRelease, nullptr, 0, 0},
      {MemoryOp::kLoad, &record.flags, 0, 1},
      {MemoryOp::kStore, &record.pad0, 0, 4},
      {MemoryOp::kStore, &record.tsc_timestamp, 1'000'000, 8},
      {MemoryOp::kStore, &record.system_time, 5'000'000'000, 8},
      {MemoryOp::kStore, &record.tsc_to_system_mul, 3579139413, 4},
      {MemoryOp::kStore, &record.tsc_shift, 255, 1},
      {MemoryOp::kStore, &record.flags, 1, 1},
      {MemoryOp::kStore, &record.pad[0], 0, 1},
      {MemoryOp::kStore, &record.pad[1], 0, 1},
      {MemoryOp::kLoad, &record.version, 1, 4},
      {MemoryOp::kStoreRelease, &record.version, 2, 4},
  };
  ASSERT_EQ(script.events.size(), std::size(golden));
  for (size_t i = 0; i < std::size(golden); ++i) {
    EXPECT_EQ(script.events[i].op, golden[i].op) << i;
    EXPECT_EQ(script.events[i].word, golden[i].word) << i;
    EXPECT_EQ(script.events[i].value, golden[i].value) << i;
    EXPECT_EQ(script.events[i].bytes, golden[i].bytes) << i;
  }
}

// Trap: T70
TEST(PvclockTest, NewLineReadAnywhereIsNotOldElsewhere) {
  // Three vCPUs and a fourth without a record. At each store of an update, who
  // reads the new line on one of them reads the old one on none.
  pvclock_vcpu_time_info records[3] = {};
  pvclock_vcpu_time_info* const all[] = {&records[0], nullptr, &records[1],
                                         &records[2]};
  PvclockWriter<ScriptedMemory> writer(all, 4);
  writer.Publish(kLine);
  PvclockLine next = kLine;
  next.system_time_ns += 1'000'000;
  ManualCounter counter;
  counter.value = kLine.tsc_timestamp;
  int seen_new = 0;
  const auto look = [&] {
    bool is_new = false;
    MemoryScript quiet;
    for (int round = 0; round < 2; ++round) {
      for (const pvclock_vcpu_time_info& record : records) {
        const PvclockReader<Clock, ScriptedMemory> reader(
            &record, Clock(&counter), PvclockUse::kEveryCpu);
        const ForeignCount now = reader.Now();
        if (!now.ok()) continue;
        if (now.count == next.system_time_ns) is_new = true;
        EXPECT_EQ(now.count,
                  is_new ? next.system_time_ns : kLine.system_time_ns);
      }
    }
    seen_new += is_new;
  };
  MemoryScript script;
  script.on_store = [&](const void*, uint32_t) { look(); };
  writer.Publish(next);
  script.on_store = nullptr;
  EXPECT_EQ(seen_new, 2);  // Before the second and the third are closed.
  look();
  for (const pvclock_vcpu_time_info& record : records) {
    EXPECT_EQ(record.version, 4u);
    EXPECT_EQ(record.system_time, next.system_time_ns);
  }
}

TEST(PvclockTest, LineThatIsBehindIsMovedForwardWhereItIsPublished) {
  Record page;
  pvclock_vcpu_time_info* const all[] = {&page.record};
  MemoryScript script;
  page.counter.value = kLine.tsc_timestamp + 1'000'000;
  PvclockLine next = kLine;
  next.system_time_ns -= 12'345;
  // It is the counter while the record is odd that counts.
  page.counter.on_read = [&](support::CounterRead kind) {
    EXPECT_EQ(kind, support::CounterRead::kAfterStores);
    EXPECT_EQ(page.record.version % 2, 1u);
    page.counter.value += 500'000;
  };
  const PvclockLine published =
      PvclockWriter<>(all, 1).PublishAfter(kLine, next, Clock(&page.counter));
  page.counter.on_read = nullptr;
  EXPECT_EQ(published.system_time_ns, kLine.system_time_ns);
  // One that is ahead stays.
  next.system_time_ns = kLine.system_time_ns + 5;
  EXPECT_EQ(NotBefore(next, page.counter.value, kLine.NsAt(page.counter.value)),
            next);
}

// --- The wall clock
// -----------------------------------------------------------

using Wall = WallClockReader<Clock, ScriptedMemory>;

// Trap: T13
TEST(PvclockTest, WallClockReadRetriesOnOddVersion) {
  pvclock_wall_clock wall = {};
  uint32_t sec_high = 0;
  ManualCounter counter;
  const Wall reader(&wall, &sec_high, 0, Clock(&counter));
  EXPECT_EQ(reader.At(0).status, ForeignStatus::kNotReady);
  PublishWallClock(wall, &sec_high, {0x1'0000'0005, 7});
  EXPECT_EQ(wall.version, 2u);
  EXPECT_EQ(sec_high, 1u);
  // A writer that is stopped at each of its stores, and then goes on.
  for (uint32_t stop = 1; stop <= 5; ++stop) {
    PublishWallClock(wall, &sec_high, {0x1'0000'0005, 7});
    MemoryScript script;
    script.on_store = [&](const void*, uint32_t nth) {
      if (nth != stop) return;
      MemoryScript quiet;
      const WallClockReading now = reader.At(0);
      EXPECT_EQ(now.status,
                stop == 1 ? ForeignStatus::kOk : ForeignStatus::kBusy)
          << stop;
    };
    PublishWallClock<ScriptedMemory>(wall, &sec_high, {0x2'0000'0006, 8});
    script.on_store = nullptr;
    EXPECT_EQ(script.stores, 5u);
    const WallClockReading now = reader.At(0);
    EXPECT_TRUE(now.ok());
    EXPECT_EQ(now.realtime, (Timespec{0x2'0000'0006, 8}));
  }
  // One that publishes before any load of a read.
  for (uint32_t at = 1; at <= 5; ++at) {
    PublishWallClock(wall, &sec_high, {5, 7});
    MemoryScript script;
    uint32_t loads = 0;
    script.on_load = [&](const void*, uint32_t) {
      if (++loads == at) PublishWallClock(wall, &sec_high, {0x3'0000'0009, 1});
    };
    EXPECT_EQ(reader.At(0).realtime, (Timespec{0x3'0000'0009, 1})) << at;
  }
}

// Trap: T121
TEST(PvclockTest, WallClockAgeIsReported) {
  // The host writes when it is asked: a step since then is invisible, but for
  // the age.
  pvclock_wall_clock wall = {};
  PublishWallClock(wall, nullptr, {1'700'000'000, 999'999'999});
  ManualCounter counter;
  const Wall reader(&wall, nullptr, 5'000'000'000, Clock(&counter));
  const WallClockReading now = reader.At(65'000'000'001);
  ASSERT_TRUE(now.ok());
  EXPECT_EQ(now.realtime, (Timespec{1'700'000'066, 0}));
  EXPECT_EQ(now.age_ns, 60'000'000'001u);
  EXPECT_EQ(reader.At(4'999'999'999).age_ns, 0u);
  // Before the zero of the system time.
  EXPECT_EQ(reader.At(static_cast<uint64_t>(-1'000'000'000)).realtime,
            (Timespec{1'699'999'999, 999'999'999}));
  wall.nsec = 1'000'000'000;
  EXPECT_EQ(reader.At(0).status, ForeignStatus::kMalformed);
}

}  // namespace
}  // namespace vvar
