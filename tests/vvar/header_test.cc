// SPDX-License-Identifier: MIT
//
// Attaching to what claims to be a page: of any size, version and layout, and
// changing meanwhile.
#include "vvar/header.h"

#include <gtest/gtest.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <vector>

#include "tests/support/oracle.h"
#include "tests/support/scripted_memory.h"
#include "tests/support/test_page.h"
#include "vvar/reader.h"

namespace vvar {
namespace {

using support::EdgyRandom;
using support::kManualCounterId;
using support::kTestConfig;
using support::ManualClock;
using support::MemoryEvent;
using support::MemoryOp;
using support::MemoryScript;
using support::PageConfigOf;
using support::ScriptedMemory;

vvar_page GoodPage() {
  vvar_page page = {};
  FormatPage(page, PageConfigOf(kTestConfig));
  return page;
}

PageStatus Find(const vvar_page& page, size_t size, uint32_t index,
                const vvar_timeline** timeline) {
  return FindTimeline(&page, size, kManualCounterId, 64, index, timeline);
}

TEST(FormatPageTest, SaysWhatThePageIs) {
  const vvar_page page = GoodPage();
  const vvar_header& header = page.header;
  EXPECT_EQ(header.magic, 0x52415656u);
  EXPECT_EQ(header.endian_tag, 0x01020304u);
  EXPECT_EQ(header.abi_major, 2u);
  EXPECT_EQ(header.abi_minor, 0u);
  EXPECT_EQ(header.size, 4096u);
  EXPECT_EQ(header.counter_id, kManualCounterId);
  EXPECT_EQ(header.counter_bits, 64u);
  EXPECT_EQ(header.counter_hz, 1'000'000'000u);
  EXPECT_EQ(header.features, VVAR_FEATURE_USER_COUNTER);
  EXPECT_EQ(header.instance_id, 0x1122334455667788u);
  EXPECT_EQ(header.timeline_count, 6u);
  EXPECT_EQ(header.timeline_offset, 256u);
  EXPECT_EQ(header.timeline_stride, 640u);
  EXPECT_EQ(header.resolution_ns, 1u);
  EXPECT_EQ(header.coarse_resolution_ns, 1'000'000u);
}

TEST(FormatPageTest, UserModeMayReadTheCounterIfThePageSaysSo) {
  vvar_page page = GoodPage();
  EXPECT_TRUE(UserMayReadCounter(page));
  page.header.features = ~VVAR_FEATURE_USER_COUNTER;
  EXPECT_FALSE(UserMayReadCounter(page));
}

TEST(FormatPageTest, MagicComesLastWithRelease) {
  vvar_page page = {};
  MemoryScript script;
  FormatPage<ScriptedMemory>(page, PageConfigOf(kTestConfig));
  ASSERT_FALSE(script.events.empty());
  EXPECT_EQ(script.events.back().op, MemoryOp::kStoreRelease);
  EXPECT_EQ(script.events.back().word, &page.header.magic);
  for (const MemoryEvent& event : script.events) {
    EXPECT_EQ(event.word == &page.header.magic,
              event.op == MemoryOp::kStoreRelease);
  }
}

TEST(FormatPageTest, AHalfMadePageIsRefused) {
  vvar_page page = {};
  MemoryScript script;
  script.on_store = [&](const void*, uint32_t nth) {
    const vvar_timeline* timeline = nullptr;
    EXPECT_NE(Find(page, sizeof page, 0, &timeline), PageStatus::kOk) << nth;
    EXPECT_EQ(timeline, nullptr);
  };
  FormatPage<ScriptedMemory>(page, PageConfigOf(kTestConfig));
  const vvar_timeline* timeline = nullptr;
  EXPECT_EQ(Find(page, sizeof page, 0, &timeline), PageStatus::kOk);
}

TEST(FindTimelineTest, GivesEachTimeline) {
  const vvar_page page = GoodPage();
  for (uint32_t i = 0; i < 6; ++i) {
    const vvar_timeline* timeline = nullptr;
    EXPECT_EQ(Find(page, sizeof page, i, &timeline), PageStatus::kOk);
    EXPECT_EQ(timeline, &page.timeline[i]);
  }
}

TEST(FindTimelineTest, LoadsMagicFirstWithAcquireAndNothingTwice) {
  const vvar_page page = GoodPage();
  MemoryScript script;
  const vvar_timeline* timeline = nullptr;
  EXPECT_EQ(FindTimeline<ScriptedMemory>(&page, sizeof page, kManualCounterId,
                                         64, 0, &timeline),
            PageStatus::kOk);
  ASSERT_FALSE(script.events.empty());
  EXPECT_EQ(script.events.front().op, MemoryOp::kLoadAcquire);
  EXPECT_EQ(script.events.front().word, &page.header.magic);
  for (const auto& [word, loads] : script.loads) EXPECT_EQ(loads, 1u);
}

TEST(FindTimelineTest, TruncatedPagesAreTooSmall) {
  // In a buffer of just that size, so that ASan sees a step too far.
  const vvar_page page = GoodPage();
  for (size_t size = 0; size <= sizeof page; ++size) {
    if (size > 300 && size < 4000 && size % 61 != 0) continue;
    std::vector<uint64_t> words((size + 7) / 8 + 1);
    memcpy(words.data(), &page, size);
    const vvar_timeline* timeline = nullptr;
    EXPECT_EQ(
        FindTimeline(words.data(), size, kManualCounterId, 64, 0, &timeline),
        size < sizeof page ? PageStatus::kTooSmall : PageStatus::kOk)
        << size;
    EXPECT_EQ(timeline != nullptr, size == sizeof page);
  }
}

TEST(FindTimelineTest, TouchesNothingBehindATruncatedPage) {
  // The guard decides: a fault ends the test.
  const auto page_size = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  auto* bytes =
      static_cast<char*>(mmap(nullptr, 2 * page_size, PROT_READ | PROT_WRITE,
                              MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  ASSERT_NE(static_cast<void*>(bytes), MAP_FAILED);
  ASSERT_EQ(mprotect(bytes + page_size, page_size, PROT_NONE), 0);
  const vvar_page page = GoodPage();
  for (size_t size = 0; size <= sizeof page; size += 8) {
    char* at = bytes + page_size - size;
    memcpy(at, &page, size);
    const vvar_timeline* timeline = nullptr;
    const PageStatus status =
        FindTimeline(at, size, kManualCounterId, 64, 5, &timeline);
    EXPECT_EQ(status,
              size < sizeof page ? PageStatus::kTooSmall : PageStatus::kOk);
  }
  munmap(bytes, 2 * page_size);
}

struct SpoilRow {
  const char* name;
  void (*spoil)(vvar_header& header);
  PageStatus status;
};

TEST(FindTimelineTest, RefusesWhatItDoesNotKnow) {
  const SpoilRow kRows[] = {
      {"as it is", [](vvar_header&) {}, PageStatus::kOk},
      {"no magic", [](vvar_header& h) { h.magic = 0; }, PageStatus::kBadMagic},
      {"bad magic", [](vvar_header& h) { ++h.magic; }, PageStatus::kBadMagic},
      {"foreign endianness",
       [](vvar_header& h) {
         h.magic = __builtin_bswap32(h.magic);
         h.endian_tag = __builtin_bswap32(h.endian_tag);
       },
       PageStatus::kWrongEndian},
      {"foreign endian tag alone",
       [](vvar_header& h) { h.endian_tag = __builtin_bswap32(h.endian_tag); },
       PageStatus::kWrongEndian},
      {"no endian tag", [](vvar_header& h) { h.endian_tag = 0; },
       PageStatus::kWrongEndian},
      {"newer minor", [](vvar_header& h) { h.abi_minor = 7; }, PageStatus::kOk},
      {"newer major", [](vvar_header& h) { h.abi_major = 3; },
       PageStatus::kWrongMajor},
      {"older major", [](vvar_header& h) { h.abi_major = 0; },
       PageStatus::kWrongMajor},
      {"any major", [](vvar_header& h) { h.abi_major = UINT32_MAX; },
       PageStatus::kWrongMajor},
      {"longer than the file", [](vvar_header& h) { h.size = 4097; },
       PageStatus::kTooSmall},
      {"far longer", [](vvar_header& h) { h.size = UINT32_MAX; },
       PageStatus::kTooSmall},
      {"shorter than its timelines", [](vvar_header& h) { h.size = 4095; },
       PageStatus::kBadLayout},
      {"no size", [](vvar_header& h) { h.size = 0; }, PageStatus::kBadLayout},
      {"one timeline in a shorter page",
       [](vvar_header& h) {
         h.size = 256 + 640;
         h.timeline_count = 1;
       },
       PageStatus::kOk},
      {"no timeline", [](vvar_header& h) { h.timeline_count = 0; },
       PageStatus::kBadLayout},
      {"more timelines than fit", [](vvar_header& h) { h.timeline_count = 7; },
       PageStatus::kBadLayout},
      {"far more", [](vvar_header& h) { h.timeline_count = UINT32_MAX; },
       PageStatus::kBadLayout},
      {"count * stride overflows 32 bits",
       [](vvar_header& h) {
         h.timeline_count = 4096;
         h.timeline_stride = 1u << 20;
       },
       PageStatus::kBadLayout},
      {"offset inside the header",
       [](vvar_header& h) { h.timeline_offset = 248; }, PageStatus::kBadLayout},
      {"offset 0", [](vvar_header& h) { h.timeline_offset = 0; },
       PageStatus::kBadLayout},
      {"offset misaligned",
       [](vvar_header& h) {
         h.timeline_offset = 260;
         h.timeline_count = 1;
       },
       PageStatus::kBadLayout},
      {"offset beyond the page",
       [](vvar_header& h) { h.timeline_offset = 4096; },
       PageStatus::kBadLayout},
      {"offset hostile",
       [](vvar_header& h) { h.timeline_offset = UINT32_MAX - 7; },
       PageStatus::kBadLayout},
      {"offset elsewhere, inside",
       [](vvar_header& h) {
         h.timeline_offset = 1024;
         h.timeline_count = 4;
       },
       PageStatus::kOk},
      {"stride 0", [](vvar_header& h) { h.timeline_stride = 0; },
       PageStatus::kBadLayout},
      {"stride too short", [](vvar_header& h) { h.timeline_stride = 632; },
       PageStatus::kBadLayout},
      {"stride misaligned",
       [](vvar_header& h) {
         h.timeline_stride = 644;
         h.timeline_count = 2;
       },
       PageStatus::kBadLayout},
      {"stride longer",
       [](vvar_header& h) {
         h.timeline_stride = 1024;
         h.timeline_count = 3;
       },
       PageStatus::kOk},
      {"stride hostile",
       [](vvar_header& h) { h.timeline_stride = UINT32_MAX - 7; },
       PageStatus::kBadLayout},
      {"other counter",
       [](vvar_header& h) { h.counter_id = VVAR_COUNTER_X86_TSC; },
       PageStatus::kWrongCounter},
      {"no counter", [](vvar_header& h) { h.counter_id = VVAR_COUNTER_NONE; },
       PageStatus::kWrongCounter},
  };
  for (const SpoilRow& row : kRows) {
    vvar_page page = GoodPage();
    row.spoil(page.header);
    const auto* untouched = reinterpret_cast<const vvar_timeline*>(16);
    const vvar_timeline* timeline = untouched;
    EXPECT_EQ(Find(page, sizeof page, 0, &timeline), row.status) << row.name;
    if (row.status == PageStatus::kOk) {
      const auto offset =
          static_cast<size_t>(reinterpret_cast<const char*>(timeline) -
                              reinterpret_cast<const char*>(&page));
      EXPECT_EQ(offset, page.header.timeline_offset) << row.name;
    } else {
      EXPECT_EQ(timeline, untouched) << row.name;
    }
  }
}

TEST(FindTimelineTest, RefusesIndexesBeyondTheCount) {
  vvar_page page = GoodPage();
  page.header.timeline_count = 3;
  for (const uint32_t index : {3u, 4u, 6u, UINT32_MAX, 1u << 31}) {
    const vvar_timeline* timeline = nullptr;
    EXPECT_EQ(Find(page, sizeof page, index, &timeline), PageStatus::kBadLayout)
        << index;
    EXPECT_EQ(timeline, nullptr);
  }
}

TEST(FindTimelineTest, AcceptsALongerPageOfALaterMinor) {
  // Fields and timelines appended; the page is as long as it says.
  std::vector<uint64_t> bytes(2 * 4096 / 8);
  auto* page = reinterpret_cast<vvar_page*>(bytes.data());
  FormatPage(*page, PageConfigOf(kTestConfig));
  page->header.abi_minor = 3;
  page->header.size = 8192;
  page->header.timeline_offset = 512;
  page->header.timeline_stride = 768;
  page->header.timeline_count = 10;
  const vvar_timeline* timeline = nullptr;
  EXPECT_EQ(FindTimeline(page, 8192, kManualCounterId, 64, 9, &timeline),
            PageStatus::kOk);
  EXPECT_EQ(reinterpret_cast<const char*>(timeline),
            reinterpret_cast<const char*>(page) + 512 + 9 * 768);
  EXPECT_EQ(FindTimeline(page, 8191, kManualCounterId, 64, 9, &timeline),
            PageStatus::kTooSmall);
}

// T2 of VERIFICATION section 11: accepted means inside and aligned.
TEST(FindTimelineTest, WhatIsAcceptedLiesInsideThePage) {
  EdgyRandom random(2);
  uint64_t accepted = 0;
  for (int i = 0; i < 300'000; ++i) {
    vvar_page page = GoodPage();
    vvar_header& header = page.header;
    const auto u32 = [&] { return static_cast<uint32_t>(random.Edgy(32)); };
    if (random.OneIn(2)) header.timeline_count = u32();
    if (random.OneIn(2)) header.timeline_offset = u32();
    if (random.OneIn(2)) header.timeline_stride = u32();
    if (random.OneIn(4)) header.size = u32();
    const auto size =
        static_cast<size_t>(random.OneIn(4) ? random.Below(4097) : sizeof page);
    const auto index = static_cast<uint32_t>(random.OneIn(2) ? random.Below(8)
                                                             : random.Edgy(32));
    const vvar_timeline* timeline = nullptr;
    if (Find(page, size, index, &timeline) != PageStatus::kOk) continue;
    ++accepted;
    const auto* at = reinterpret_cast<const char*>(timeline);
    const auto* begin = reinterpret_cast<const char*>(&page);
    ASSERT_GE(at, begin + sizeof(vvar_header));
    ASSERT_LE(at + sizeof(vvar_timeline), begin + size);
    ASSERT_EQ((at - begin) % 8, 0);
  }
  EXPECT_GT(accepted, 1'000u) << "else nothing was tried";
}

// Loads that give another number each time.
struct RestlessMemory {
  static inline EdgyRandom* random = nullptr;
  static uint32_t Load(const uint32_t& word) {
    return random->OneIn(8) ? static_cast<uint32_t>(random->Edgy(32))
                            : PageMemory::Load(word);
  }
  static uint32_t LoadAcquire(const uint32_t& word) {
    return PageMemory::LoadAcquire(word);
  }
};

// Trap: T29
TEST(FindTimelineTest, AHeaderThatChangesMeanwhileIsCheckedAsItWasLoaded) {
  EdgyRandom random(3);
  RestlessMemory::random = &random;
  const vvar_page page = GoodPage();
  uint64_t accepted = 0;
  for (int i = 0; i < 300'000; ++i) {
    const auto size =
        static_cast<size_t>(random.OneIn(2) ? random.Below(4097) : sizeof page);
    const auto index = static_cast<uint32_t>(random.Edgy(4));
    const vvar_timeline* timeline = nullptr;
    if (FindTimeline<RestlessMemory>(&page, size, kManualCounterId, 64, index,
                                     &timeline) != PageStatus::kOk) {
      continue;
    }
    ++accepted;
    const auto* at = reinterpret_cast<const char*>(timeline);
    const auto* begin = reinterpret_cast<const char*>(&page);
    ASSERT_GE(at, begin + sizeof(vvar_header));
    ASSERT_LE(at + sizeof(vvar_timeline), begin + size);
    ASSERT_EQ((at - begin) % 8, 0);
  }
  EXPECT_GT(accepted, 1'000u) << "else nothing was tried";
}

// Trap: T62
TEST(FindTimelineTest, AttachRefusesThroughTheReader) {
  const vvar_page page = GoodPage();
  Reader<ManualClock<>> reader;
  EXPECT_EQ(reader.Attach(&page, 100, 0, ManualClock<>(), &reader),
            PageStatus::kTooSmall);
  EXPECT_EQ(reader.Attach(&page, sizeof page, 6, ManualClock<>(), &reader),
            PageStatus::kBadLayout);
  EXPECT_EQ(reader.Now(ClockId::kMonotonic).status, ReadStatus::kNotReady);
  EXPECT_EQ(reader.Attach(&page, sizeof page, 5, ManualClock<>(), &reader),
            PageStatus::kOk);
  EXPECT_EQ(reader.Now(ClockId::kMonotonic).status, ReadStatus::kNotReady)
      << "attached, and not published yet";
}

TEST(FindTimelineTest, ACounterOfAnotherWidthIsRefused) {
  // The same register, read at another width, is another counter: it wraps
  // elsewhere.
  vvar_page page = GoodPage();
  page.header.counter_bits = 56;
  Reader<ManualClock<64>> reader;
  EXPECT_EQ(reader.Attach(&page, sizeof page, 0, ManualClock<64>(), &reader),
            PageStatus::kWrongCounter);
  Reader<ManualClock<56>> narrow;
  EXPECT_EQ(narrow.Attach(&page, sizeof page, 0, ManualClock<56>(), &narrow),
            PageStatus::kOk);
}

}  // namespace
}  // namespace vvar
