// SPDX-License-Identifier: MIT
//
// What a time namespace adds to each clock, and the page that says so: against
// a 128-bit oracle, and with bytes that an attacker chose.
#include "vvar/offset.h"

#include <gtest/gtest.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <iterator>
#include <type_traits>
#include <vector>

#include "tests/support/oracle.h"
#include "tests/support/scripted_memory.h"

namespace vvar {
namespace {

using support::EdgyRandom;
using support::Exact;
using support::FloorNs;
using support::MemoryEvent;
using support::MemoryOp;
using support::MemoryScript;
using support::ScriptedMemory;
using support::Wide;

constexpr uint32_t kMaxNsec = 999'999'999;

// What Linux virtualises; written down once more, from its manual.
constexpr struct {
  const char* name;
  ClockId id;
  OffsetKind kind;
} kKinds[] = {
    {"REALTIME", ClockId::kRealtime, OffsetKind::kNone},
    {"MONOTONIC", ClockId::kMonotonic, OffsetKind::kMonotonic},
    {"MONOTONIC_RAW", ClockId::kMonotonicRaw, OffsetKind::kMonotonic},
    {"REALTIME_COARSE", ClockId::kRealtimeCoarse, OffsetKind::kNone},
    {"MONOTONIC_COARSE", ClockId::kMonotonicCoarse, OffsetKind::kMonotonic},
    {"BOOTTIME", ClockId::kBoottime, OffsetKind::kBoottime},
    {"TAI", ClockId::kTai, OffsetKind::kNone},
};

// Trap: T72
TEST(OffsetTest, EachClockTakesTheOffsetOfItsKind) {
  const ClockOffsets offsets = {{1'000'000, 7}, {-5, 8}};
  vvar_offsets page = {};
  FormatOffsets(page, offsets);
  const OffsetPage<> on_page(&page);
  for (const auto& row : kKinds) {
    const Timespec expected =
        row.kind == OffsetKind::kMonotonic  ? Timespec{1'000'000, 7}
        : row.kind == OffsetKind::kBoottime ? Timespec{-5, 8}
                                            : Timespec{0, 0};
    EXPECT_EQ(OffsetKindOf(row.id), row.kind) << row.name;
    EXPECT_EQ(offsets.Of(row.id), expected) << row.name;
    EXPECT_EQ(on_page.Of(row.id), expected) << row.name;
  }
  for (const int32_t id : {-1, 2, 3, 8, 10, 12, INT32_MIN, INT32_MAX}) {
    EXPECT_EQ(OffsetKindOf(static_cast<ClockId>(id)), OffsetKind::kNone) << id;
    EXPECT_EQ(on_page.Of(static_cast<ClockId>(id)), (Timespec{0, 0})) << id;
  }
}

constexpr struct {
  const char* name;
  Timespec time;
  Timespec offset;
  Timespec sum;
} kSums[] = {
    {"nothing", {5, 6}, {0, 0}, {5, 6}},
    {"forward", {5, 6}, {1'000'000, 0}, {1'000'005, 6}},
    {"back", {5, 6}, {-5, 0}, {0, 6}},
    {"half a second back", {5, 0}, {-1, 500'000'000}, {4, 500'000'000}},
    {"just no carry", {5, kMaxNsec}, {0, 0}, {5, kMaxNsec}},
    {"to the last nanosecond", {5, 1}, {0, 999'999'998}, {5, kMaxNsec}},
    {"just a carry", {5, kMaxNsec}, {0, 1}, {6, 0}},
    {"the largest carry", {5, kMaxNsec}, {0, kMaxNsec}, {6, 999'999'998}},
    {"a carry up to zero", {-1, kMaxNsec}, {0, 1}, {0, 0}},
    {"below zero", {1, 0}, {-3, 1}, {-2, 1}},
    {"a carry of -1 s", {0, kMaxNsec}, {-1, 1}, {0, 0}},
    {"up to the end", {INT64_MAX, 0}, {0, kMaxNsec}, {INT64_MAX, kMaxNsec}},
    {"wraps upward", {INT64_MAX, kMaxNsec}, {0, 1}, {INT64_MIN, 0}},
    {"wraps downward", {INT64_MIN, 0}, {-1, 0}, {INT64_MAX, 0}},
};

TEST(OffsetTest, SumsAreNormalised) {
  for (const auto& row : kSums) {
    EXPECT_EQ(AddOffset(row.time, row.offset), row.sum) << row.name;
    EXPECT_EQ(AddOffset(row.offset, row.time), row.sum) << row.name;
    EXPECT_EQ(AddOffset(TimespecToNs(row.time), row.offset),
              TimespecToNs(row.sum))
        << row.name;
  }
}

TEST(OffsetTest, SumsAreThoseOfWideIntegers) {
  EdgyRandom random(72);
  for (int i = 0; i < 1'000'000; ++i) {
    const Timespec time = {random.EdgySigned(62),
                           static_cast<uint32_t>(random.Below(1'000'000'000))};
    const Timespec offset = {
        random.EdgySigned(62),
        static_cast<uint32_t>(random.Below(1'000'000'000))};
    const Wide exact = Exact(time, 0) + Exact(offset, 0);
    const Timespec sum = AddOffset(time, offset);
    ASSERT_LE(sum.nsec, kMaxNsec);
    ASSERT_TRUE(Exact(sum, 0) == exact)
        << time.sec << " s " << time.nsec << " + " << offset.sec << " s "
        << offset.nsec;
    ASSERT_EQ(AddOffset(TimespecToNs(time), offset), FloorNs(exact, 0));
  }
}

TEST(OffsetTest, NoOffsetsChangeNothing) {
  static_assert(std::is_empty_v<NoOffsets>);
  for (const auto& row : kKinds) {
    for (const uint64_t ns : {uint64_t{0}, uint64_t{1} << 63, UINT64_MAX}) {
      EXPECT_EQ(AddOffset(ns, NoOffsets::Of(row.id)), ns) << row.name;
    }
    // Not even what only a hostile page says.
    for (const Timespec time : {Timespec{5, 6}, Timespec{-1, UINT32_MAX}}) {
      EXPECT_EQ(AddOffset(time, NoOffsets::Of(row.id)), time) << row.name;
    }
  }
}

constexpr ClockOffsets kSome = {{1'000'000, 1}, {-100, kMaxNsec}};

vvar_offsets GoodPage() {
  vvar_offsets page = {};
  FormatOffsets(page, kSome);
  return page;
}

TEST(FormatOffsetsTest, SaysWhatThePageIs) {
  const vvar_offsets page = GoodPage();
  EXPECT_EQ(page.magic, 0x464f5656u);
  EXPECT_EQ(memcmp(&page, "VVOF", 4), 0);
  EXPECT_EQ(page.endian_tag, 0x01020304u);
  EXPECT_EQ(page.abi_major, VVAR_ABI_MAJOR);
  EXPECT_EQ(page.abi_minor, VVAR_ABI_MINOR);
  EXPECT_EQ(page.size, 64u);
  EXPECT_EQ(page.monotonic.sec, 1'000'000);
  EXPECT_EQ(page.monotonic.nsec, 1u);
  EXPECT_EQ(page.boottime.sec, -100);
  EXPECT_EQ(page.boottime.nsec, kMaxNsec);
  for (const uint32_t word : page.reserved) EXPECT_EQ(word, 0u);
  EXPECT_EQ(page.monotonic.reserved | page.boottime.reserved, 0u);
}

TEST(FormatOffsetsTest, MagicComesLastWithRelease) {
  vvar_offsets page = {};
  MemoryScript script;
  FormatOffsets<ScriptedMemory>(page, kSome);
  ASSERT_FALSE(script.events.empty());
  EXPECT_EQ(script.events.back().op, MemoryOp::kStoreRelease);
  for (const MemoryEvent& event : script.events) {
    EXPECT_EQ(event.word == &page.magic, event.op == MemoryOp::kStoreRelease);
  }
}

TEST(FormatOffsetsTest, AHalfMadePageIsRefused) {
  vvar_offsets page = {};
  MemoryScript script;
  script.on_store = [&](const void*, uint32_t) {
    OffsetPage<> attached;
    EXPECT_EQ(OffsetPage<>::Attach(&page, sizeof(page), &attached),
              PageStatus::kBadMagic);
  };
  FormatOffsets<ScriptedMemory>(page, kSome);
  EXPECT_EQ(script.stores, 9u);
}

// Trap: T72
TEST(OffsetPageTest, WhatIsNoOffsetPageIsRefused) {
  const struct {
    const char* name;
    void (*spoil)(vvar_offsets&);
    PageStatus status;
  } kRows[] = {
      {"good", [](vvar_offsets&) {}, PageStatus::kOk},
      {"no magic", [](vvar_offsets& p) { p.magic = 0; }, PageStatus::kBadMagic},
      {"a page of time", [](vvar_offsets& p) { p.magic = VVAR_MAGIC; },
       PageStatus::kBadMagic},
      {"foreign endianness",
       [](vvar_offsets& p) {
         p.magic = __builtin_bswap32(p.magic);
         p.endian_tag = __builtin_bswap32(p.endian_tag);
       },
       PageStatus::kWrongEndian},
      {"bad endian tag", [](vvar_offsets& p) { ++p.endian_tag; },
       PageStatus::kWrongEndian},
      {"later major", [](vvar_offsets& p) { ++p.abi_major; },
       PageStatus::kWrongMajor},
      {"later minor", [](vvar_offsets& p) { p.abi_minor += 7; },
       PageStatus::kOk},
      {"claims too little", [](vvar_offsets& p) { --p.size; },
       PageStatus::kTooSmall},
      {"claims too much", [](vvar_offsets& p) { ++p.size; },
       PageStatus::kTooSmall},
      {"nsec of a second",
       [](vvar_offsets& p) { p.monotonic.nsec = 1'000'000'000; },
       PageStatus::kBadLayout},
      {"nsec of -1", [](vvar_offsets& p) { p.boottime.nsec = UINT32_MAX; },
       PageStatus::kBadLayout},
      {"the longest nsec",
       [](vvar_offsets& p) { p.monotonic.nsec = p.boottime.nsec = kMaxNsec; },
       PageStatus::kOk},
  };
  const vvar_offsets other = {};
  for (const auto& row : kRows) {
    vvar_offsets page = GoodPage();
    row.spoil(page);
    OffsetPage<> attached(&other);
    EXPECT_EQ(OffsetPage<>::Attach(&page, sizeof(page), &attached), row.status)
        << row.name;
    const Timespec expected = row.status == PageStatus::kOk
                                  ? Timespec{-100, kMaxNsec}
                                  : Timespec{0, 0};
    EXPECT_EQ(attached.Of(ClockId::kBoottime), expected) << row.name;
  }
}

TEST(OffsetPageTest, ALongerPageIsTakenAndATruncatedOneRefusedUnread) {
  std::vector<unsigned char> bytes(VVAR_PAGE_SIZE);
  vvar_offsets page = GoodPage();
  page.size = VVAR_PAGE_SIZE;
  memcpy(bytes.data(), &page, sizeof(page));
  OffsetPage<> attached;
  EXPECT_EQ(OffsetPage<>::Attach(bytes.data(), bytes.size(), &attached),
            PageStatus::kOk);
  EXPECT_EQ(OffsetPage<>::Attach(bytes.data(), bytes.size() - 1, &attached),
            PageStatus::kTooSmall);
  for (size_t size = 0; size < sizeof(page); ++size) {
    EXPECT_EQ(OffsetPage<>::Attach(nullptr, size, &attached),
              PageStatus::kTooSmall);
  }
}

TEST(OffsetPageTest, WithoutAPageIsTheInitialNamespace) {
  for (const auto& row : kKinds) {
    EXPECT_EQ(OffsetPage<>().Of(row.id), (Timespec{0, 0})) << row.name;
  }
}

TEST(OffsetPageTest, EachWordIsLoadedOnceAndOnlyWhereItIsNeeded) {
  const vvar_offsets page = GoodPage();
  const OffsetPage<ScriptedMemory> offsets(&page);
  for (const auto& row : kKinds) {
    MemoryScript script;
    offsets.Of(row.id);
    const vvar_offset* mine =
        row.kind == OffsetKind::kMonotonic ? &page.monotonic : &page.boottime;
    const uint32_t once = row.kind == OffsetKind::kNone ? 0 : 1;
    EXPECT_EQ(script.LoadsInAll(), 2 * once) << row.name;
    EXPECT_EQ(script.LoadsOf(&mine->sec), once) << row.name;
    EXPECT_EQ(script.LoadsOf(&mine->nsec), once) << row.name;
  }
  MemoryScript script;
  OffsetPage<ScriptedMemory> attached;
  ASSERT_EQ(
      (OffsetPage<ScriptedMemory>::Attach(&page, sizeof(page), &attached)),
      PageStatus::kOk);
  for (const auto& [word, loads] : script.loads) EXPECT_EQ(loads, 1u);
  EXPECT_EQ(script.events.front().op, MemoryOp::kLoadAcquire);
  EXPECT_EQ(script.events.front().word, &page.magic);
}

// A page that changes under its readers, whatever it said when they attached.
TEST(OffsetPageTest, HostileBytesAreNormalised) {
  EdgyRandom random(73);
  vvar_offsets page = GoodPage();
  const OffsetPage<> offsets(&page);
  for (int i = 0; i < 200'000; ++i) {
    page.monotonic = {random.EdgySigned(),
                      static_cast<uint32_t>(random.Edgy(32)), 0};
    const Timespec offset = offsets.Of(ClockId::kMonotonic);
    ASSERT_LE(offset.nsec, kMaxNsec);
    ASSERT_EQ(offset.sec, page.monotonic.sec);
    if (page.monotonic.nsec <= kMaxNsec) {
      ASSERT_EQ(offset.nsec, page.monotonic.nsec);
    }
    const Timespec time = {random.EdgySigned(),
                           static_cast<uint32_t>(random.Below(1'000'000'000))};
    ASSERT_LE(AddOffset(time, offset).nsec, kMaxNsec);
  }
}

TEST(OffsetPageTest, ReadersFollowAPageThatIsExchanged) {
  vvar_offsets page = GoodPage();
  const OffsetPage<> offsets(&page);
  EXPECT_EQ(offsets.Of(ClockId::kMonotonic), (Timespec{1'000'000, 1}));
  page = {};
  FormatOffsets(page, {{7, 8}, {9, 10}});
  EXPECT_EQ(offsets.Of(ClockId::kMonotonic), (Timespec{7, 8}));
  EXPECT_EQ(offsets.Of(ClockId::kBoottime), (Timespec{9, 10}));
}

}  // namespace
}  // namespace vvar
