// SPDX-License-Identifier: MIT
//
// The bytes of the page: where each field lies, that a store touches nothing
// else, what stays zero, and how few cache lines a read needs.
#include "vvar/page.h"

#include <gtest/gtest.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <map>
#include <set>
#include <string>
#include <type_traits>
#include <vector>

#include "tests/support/manual_clock.h"
#include "tests/support/oracle.h"
#include "tests/support/scripted_memory.h"
#include "vvar/header.h"
#include "vvar/reader.h"
#include "vvar/seqcount.h"
#include "vvar/timekeeper.h"
#include "vvar/writer.h"

namespace vvar {
namespace {

using support::CounterRead;
using support::EdgyRandom;
using support::ManualClock;
using support::ManualCounter;
using support::MemoryEvent;
using support::MemoryScript;
using support::ScriptedMemory;

// A field of the page: where it ought to be, where it is, how to store it.
struct FieldRow {
  const char* name;
  size_t expected_offset;
  size_t expected_size;
  size_t offset;
  size_t size;
  void (*store)(vvar_page& page, uint64_t value);
};

vvar_page layout;

#define FIELD(field, expected_offset, expected_size)                \
  {                                                                 \
#field, expected_offset, expected_size,                           \
        static_cast<size_t>(                                          \
            reinterpret_cast<const char*>(&layout.field) -            \
            reinterpret_cast<const char*>(&layout)),                  \
        sizeof(layout.field), [](vvar_page& page, uint64_t value) {   \
          auto& word = page.field;                                    \
          using Word = std::remove_reference_t<decltype(word)>;       \
          PageMemory::Store(word, static_cast<Word>(value));          \
        } \
  }
#define SLOT_FIELD(field, expected_offset, expected_size) \
  FIELD(timeline[0].slot[0].field, 320 + expected_offset, expected_size)
#define STATS_FIELD(field, expected_offset, expected_size) \
  FIELD(timeline[0].stats.field, 832 + expected_offset, expected_size)

// Offsets from the start of the page, as literals. Whatever is not listed is
// reserved.
const FieldRow kFields[] = {
    FIELD(header.magic, 0, 4),
    FIELD(header.endian_tag, 4, 4),
    FIELD(header.abi_major, 8, 4),
    FIELD(header.abi_minor, 12, 4),
    FIELD(header.size, 16, 4),
    FIELD(header.counter_id, 20, 4),
    FIELD(header.counter_bits, 24, 4),
    FIELD(header.features, 28, 4),
    FIELD(header.counter_hz, 32, 8),
    FIELD(header.instance_id, 40, 8),
    FIELD(header.disruption_marker, 48, 4),
    FIELD(header.timeline_count, 52, 4),
    FIELD(header.timeline_offset, 56, 4),
    FIELD(header.timeline_stride, 60, 4),
    FIELD(header.resolution_ns, 64, 4),
    FIELD(header.coarse_resolution_ns, 68, 4),
    FIELD(header.tz_minuteswest, 72, 4),
    FIELD(header.tz_dsttime, 76, 4),
    FIELD(timeline[0].seq, 256, 4),
    SLOT_FIELD(cycle_start, 0, 8),
    SLOT_FIELD(max_cycles, 8, 8),
    SLOT_FIELD(mult, 16, 4),
    SLOT_FIELD(realtime_mult, 20, 4),
    SLOT_FIELD(shift, 24, 2),
    SLOT_FIELD(status, 26, 2),
    SLOT_FIELD(counter_id, 28, 4),
    SLOT_FIELD(base[VVAR_BASE_REALTIME].sec, 32, 8),
    SLOT_FIELD(base[VVAR_BASE_REALTIME].nsec_shifted, 40, 8),
    SLOT_FIELD(base[VVAR_BASE_MONOTONIC].sec, 48, 8),
    SLOT_FIELD(base[VVAR_BASE_MONOTONIC].nsec_shifted, 56, 8),
    SLOT_FIELD(base[VVAR_BASE_MONOTONIC_RAW].sec, 64, 8),
    SLOT_FIELD(base[VVAR_BASE_MONOTONIC_RAW].nsec_shifted, 72, 8),
    SLOT_FIELD(base[VVAR_BASE_BOOTTIME].sec, 80, 8),
    SLOT_FIELD(base[VVAR_BASE_BOOTTIME].nsec_shifted, 88, 8),
    SLOT_FIELD(base[VVAR_BASE_TAI].sec, 96, 8),
    SLOT_FIELD(base[VVAR_BASE_TAI].nsec_shifted, 104, 8),
    SLOT_FIELD(raw_mult, 112, 4),
    SLOT_FIELD(error_growth_ppb, 116, 4),
    SLOT_FIELD(error_ns, 120, 8),
    SLOT_FIELD(coarse[VVAR_COARSE_REALTIME].ns, 128, 8),
    SLOT_FIELD(coarse[VVAR_COARSE_REALTIME].sec, 136, 8),
    SLOT_FIELD(coarse[VVAR_COARSE_REALTIME].nsec, 144, 4),
    SLOT_FIELD(coarse[VVAR_COARSE_REALTIME].status, 148, 4),
    SLOT_FIELD(coarse[VVAR_COARSE_MONOTONIC].ns, 152, 8),
    SLOT_FIELD(coarse[VVAR_COARSE_MONOTONIC].sec, 160, 8),
    SLOT_FIELD(coarse[VVAR_COARSE_MONOTONIC].nsec, 168, 4),
    SLOT_FIELD(coarse[VVAR_COARSE_MONOTONIC].status, 172, 4),
    SLOT_FIELD(tai_offset_sec, 176, 4),
    SLOT_FIELD(leap_state, 180, 4),
    SLOT_FIELD(was_set_count, 184, 4),
    SLOT_FIELD(leap_smear_sec, 188, 4),
    SLOT_FIELD(leap_date_sec, 192, 8),
    STATS_FIELD(writer_id, 0, 4),
    STATS_FIELD(late_publications, 4, 4),
    STATS_FIELD(max_lateness_cycles, 8, 4),
    STATS_FIELD(redated_lines, 12, 4),
};

// The offsets of the bytes that belong to no field of any timeline.
std::vector<size_t> ReservedBytes() {
  std::vector<bool> is_field(sizeof(vvar_page), false);
  const auto mark = [&](size_t offset, size_t size) {
    for (size_t i = 0; i < size; ++i) is_field[offset + i] = true;
  };
  for (const FieldRow& row : kFields) {
    if (row.expected_offset < 256) {
      mark(row.expected_offset, row.expected_size);
      continue;
    }
    const bool in_slot =
        row.expected_offset >= 320 && row.expected_offset < 576;
    for (size_t timeline = 0; timeline < 6; ++timeline) {
      const size_t offset = row.expected_offset + 640 * timeline;
      mark(offset, row.expected_size);
      if (in_slot) mark(offset + 256, row.expected_size);
    }
  }
  std::vector<size_t> reserved;
  for (size_t i = 0; i < is_field.size(); ++i) {
    if (!is_field[i]) reserved.push_back(i);
  }
  return reserved;
}

constexpr TimekeeperConfig kConfig = {
    .counter_id = support::kManualCounterId,
    .counter_bits = 64,
    .counter_hz = 1'000'000'000,
    .lead_ns = 1000,
    .interval_ns = 1'000'000,
    .max_age_ns = 10'000'000'000,
};
constexpr StartTimes kTimes = {
    {1'700'000'000, 5}, {100, 6}, {101, 7}, {200, 8}, 37};
constexpr PageConfig kPageConfig = {
    .counter_id = support::kManualCounterId,
    .counter_bits = 64,
    .counter_hz = 1'000'000'000,
    .instance_id = 0x1122334455667788u,
    .features = VVAR_FEATURE_USER_COUNTER,
    .timeline_count = VVAR_MAX_TIMELINES,
    .resolution_ns = 1,
    .coarse_resolution_ns = 1'000'000,
};

// Trap: T83
TEST(PageTest, SameOffsetsIn32And64Bit) {
  for (const FieldRow& row : kFields) {
    EXPECT_EQ(row.offset, row.expected_offset) << row.name;
    EXPECT_EQ(row.size, row.expected_size) << row.name;
  }
  EXPECT_EQ(sizeof(vvar_page), 4096u);
  EXPECT_EQ(alignof(vvar_page), 8u);
}

TEST(PageTest, FieldsAreAlignedToTheirSize) {
  for (const FieldRow& row : kFields) {
    EXPECT_EQ(row.offset % row.size, 0u) << row.name;
  }
}

TEST(PageTest, SlotsAndTimelinesRepeat) {
  const auto* page = reinterpret_cast<const char*>(&layout);
  for (size_t i = 0; i < VVAR_MAX_TIMELINES; ++i) {
    const auto* at = reinterpret_cast<const char*>(&layout.timeline[i]);
    EXPECT_EQ(static_cast<size_t>(at - page), 256 + 640 * i);
    const auto* slot = reinterpret_cast<const char*>(layout.timeline[i].slot);
    EXPECT_EQ(static_cast<size_t>(slot - page) % 64, 0u) << "cache lines";
  }
  EXPECT_EQ(sizeof(layout.timeline) + 256, sizeof(vvar_page));
}

// Trap: T86
TEST(PageTest, StructsArePlainBytes) {
  EXPECT_TRUE(std::is_standard_layout_v<vvar_page>);
  EXPECT_TRUE(std::is_trivially_default_constructible_v<vvar_page>);
  EXPECT_TRUE(std::is_trivially_copyable_v<vvar_page>);
  EXPECT_TRUE(std::has_unique_object_representations_v<vvar_page>)
      << "padding that no field owns";
}

// Trap: T75
TEST(PageTest, CanaryAroundEveryField) {
  for (const FieldRow& row : kFields) {
    for (const uint8_t canary : {uint8_t{0}, uint8_t{0xa5}, uint8_t{0xff}}) {
      vvar_page page;
      memset(&page, canary, sizeof page);
      row.store(page, canary == 0 ? UINT64_MAX : 0);
      const auto* bytes = reinterpret_cast<const unsigned char*>(&page);
      for (size_t i = 0; i < sizeof page; ++i) {
        const bool inside = i >= row.expected_offset &&
                            i < row.expected_offset + row.expected_size;
        const uint8_t stored = canary == 0 ? 0xff : 0;
        ASSERT_EQ(bytes[i], inside ? stored : canary)
            << row.name << " with canary " << int{canary} << " at byte " << i;
      }
    }
  }
}

// Trap: T75
TEST(PageTest, PublicationTouchesOnlySeqAndTheIdleSlot) {
  vvar_page page;
  memset(&page, 0xa5, sizeof page);
  page.timeline[2].seq = 8;  // Current: slot 0.
  ManualCounter counter;
  Writer<ManualClock<>> writer(&page.timeline[2], ManualClock<>(&counter));
  Timekeeper timekeeper(kConfig);
  timekeeper.Start(0, kTimes);
  writer.PublishLine(timekeeper.line());
  const auto* bytes = reinterpret_cast<const unsigned char*>(&page);
  const size_t timeline = 256 + 2 * 640;
  for (size_t i = 0; i < sizeof page; ++i) {
    const bool seq = i >= timeline && i < timeline + 4;
    const size_t slot = timeline + 64 + 256;
    const bool idle = i >= slot && i < slot + 200;  // reserved is at 200
    if (!seq && !idle) {
      ASSERT_EQ(bytes[i], 0xa5) << "byte " << i;
    }
  }
  EXPECT_EQ(page.timeline[2].seq, 10u);
}

// Trap: T75
TEST(PageTest, EachWordIsAccessedInItsOwnWidth) {
  vvar_page page = {};
  ManualCounter counter;
  using Clock = ManualClock<>;
  Writer<Clock, ScriptedMemory> writer(&page.timeline[0], Clock(&counter));
  Timekeeper timekeeper(kConfig);
  timekeeper.Start(0, kTimes);
  MemoryScript script;
  FormatPage<ScriptedMemory>(page, kPageConfig);
  writer.PublishLine(timekeeper.line());
  counter.value = 5'000;
  // The line's other slot, and the statistics of a late publication.
  counter.Script(CounterRead::kAfterStores, {1'000'000});
  ASSERT_EQ(writer.Publish(timekeeper), PublishStatus::kLate);
  counter.value = 10'000;
  Reader<Clock, ScriptedMemory> reader;
  ASSERT_EQ(reader.Attach(&page, sizeof page, 0, Clock(&counter), &reader),
            PageStatus::kOk);
  for (int32_t id = 0; id <= VVAR_CLOCK_TAI; ++id) {
    (void)reader.Now(static_cast<ClockId>(id));
    (void)reader.NowTimespec(static_cast<ClockId>(id));
    (void)reader.Interval(static_cast<ClockId>(id));
  }
  SnapshotReading snapshot;
  ASSERT_EQ(reader.Snapshot(&snapshot), ReadStatus::kOk);

  std::map<size_t, uint32_t> width_of;
  for (const FieldRow& row : kFields) {
    width_of[row.expected_offset] = static_cast<uint32_t>(row.expected_size);
  }
  size_t accesses = 0;
  for (const MemoryEvent& event : script.events) {
    if (event.word == nullptr) continue;
    size_t offset = static_cast<size_t>(static_cast<const char*>(event.word) -
                                        reinterpret_cast<const char*>(&page));
    if (offset >= 576 && offset < 832) offset -= 256;  // The second slot.
    EXPECT_EQ(event.bytes, width_of[offset]) << "at " << offset;
    ++accesses;
  }
  EXPECT_GT(accesses, 150u);
}

// Trap: T85
TEST(PageTest, ReservedBytesAreZeroAfterRandomOperations) {
  const std::vector<size_t> reserved = ReservedBytes();
  ASSERT_EQ(reserved.size(), 176u + 6 * (60 + 2 * 56 + 48));
  EdgyRandom random(85);
  vvar_page page = {};
  FormatPage(page, kPageConfig);
  for (auto& timeline : page.timeline) {
    ManualCounter counter;
    counter.value = random.Edgy(62);
    Writer<ManualClock<>> writer(&timeline, ManualClock<>(&counter));
    Timekeeper timekeeper(kConfig);
    timekeeper.Start(counter.value, kTimes);
    writer.PublishLine(timekeeper.line());
    writer.SetWriterId(static_cast<uint32_t>(random.Any()));
    for (int i = 0; i < 2000; ++i) {
      switch (random.Below(6)) {
        case 0:
          timekeeper.SetFrequency(random.EdgySigned(27));
          break;
        case 1:
          timekeeper.Slew(random.EdgySigned(40), 500'000);
          break;
        case 2:
          timekeeper.StepRealtime(random.EdgySigned(50));
          break;
        case 3:
          timekeeper.SetErrorBound(random.Edgy(), UINT32_MAX);
          break;
        case 4:
          timekeeper.SetStatus(ClockStatus::kUnreliable);
          break;
        default:
          timekeeper.SetTaiOffset(static_cast<int32_t>(random.EdgySigned(31)));
      }
      counter.value += random.Below(3'000'000);
      (void)writer.Publish(timekeeper);
    }
  }
  const auto* bytes = reinterpret_cast<const unsigned char*>(&page);
  for (const size_t i : reserved) ASSERT_EQ(bytes[i], 0) << "byte " << i;
}

// The cache lines that one read touched, counted from the page's start.
template <class Read>
std::set<size_t> LinesTouchedBy(const vvar_page& page, Read read) {
  MemoryScript script;
  EXPECT_EQ(read(), ReadStatus::kOk);
  std::set<size_t> lines;
  for (const auto& [word, count] : script.loads) {
    const auto offset =
        static_cast<const char*>(word) - reinterpret_cast<const char*>(&page);
    EXPECT_GE(offset, 256) << "reads do not touch the header";
    EXPECT_LT(offset, 256 + 640) << "nor other timelines";
    lines.insert(static_cast<size_t>(offset) / 64);
  }
  return lines;
}

// Trap: T78
TEST(PageTest, HotReadTouchesOneLine) {
  alignas(64) static vvar_page page;
  page = {};
  FormatPage(page, kPageConfig);
  ManualCounter counter;
  const ManualClock<> clock(&counter);
  Writer<ManualClock<>> writer(&page.timeline[0], clock);
  Timekeeper timekeeper(kConfig);
  timekeeper.Start(0, kTimes);
  writer.PublishLine(timekeeper.line());
  Reader<ManualClock<>, ScriptedMemory> reader;
  ASSERT_EQ(reader.Attach(&page, sizeof page, 0, clock, &reader),
            PageStatus::kOk);

  // Besides the line of seq.
  const struct {
    const char* name;
    ClockId id;
    size_t lines;
  } kRows[] = {
      {"REALTIME", ClockId::kRealtime, 1},
      {"MONOTONIC", ClockId::kMonotonic, 1},
      {"MONOTONIC_RAW", ClockId::kMonotonicRaw, 2},
      {"BOOTTIME", ClockId::kBoottime, 2},
      {"TAI", ClockId::kTai, 2},
      {"REALTIME_COARSE", ClockId::kRealtimeCoarse, 1},
      {"MONOTONIC_COARSE", ClockId::kMonotonicCoarse, 1},
  };
  for (const auto& row : kRows) {
    const auto ordered = [&] { return reader.Now(row.id).status; };
    const auto unordered = [&] { return reader.NowUnordered(row.id).status; };
    const auto timespec = [&] { return reader.NowTimespec(row.id).status; };
    EXPECT_EQ(LinesTouchedBy(page, ordered).size(), 1 + row.lines) << row.name;
    EXPECT_EQ(LinesTouchedBy(page, unordered).size(), 1 + row.lines)
        << row.name;
    EXPECT_EQ(LinesTouchedBy(page, timespec).size(), 1 + row.lines) << row.name;
  }
  const auto interval = [&] {
    return reader.Interval(ClockId::kMonotonic).status;
  };
  EXPECT_EQ(LinesTouchedBy(page, interval).size(), 3u);
}

// Trap: T95
TEST(PageTest, UnsequencedFieldsAreOneWord) {
  // What may change in a live page outside a slot: read alone, it cannot tear
  // on any ISA.
  const std::set<std::string> unsequenced = {
      "header.disruption_marker",
      "header.resolution_ns",
      "header.coarse_resolution_ns",
      "header.tz_minuteswest",
      "header.tz_dsttime",
      "timeline[0].seq",
      "timeline[0].stats.writer_id",
      "timeline[0].stats.late_publications",
      "timeline[0].stats.max_lateness_cycles",
      "timeline[0].stats.redated_lines",
  };
  size_t found = 0;
  for (const FieldRow& row : kFields) {
    if (unsequenced.count(row.name) == 0) continue;
    ++found;
    EXPECT_EQ(row.size, 4u) << row.name;
    EXPECT_EQ(row.offset % 4, 0u) << row.name;
  }
  EXPECT_EQ(found, unsequenced.size());
}

TEST(PageTest, NamesHaveTheNumbersOfPosixAndTheAbi) {
  EXPECT_EQ(static_cast<int>(ClockId::kRealtime), 0);
  EXPECT_EQ(static_cast<int>(ClockId::kMonotonic), 1);
  EXPECT_EQ(static_cast<int>(ClockId::kMonotonicRaw), 4);
  EXPECT_EQ(static_cast<int>(ClockId::kRealtimeCoarse), 5);
  EXPECT_EQ(static_cast<int>(ClockId::kMonotonicCoarse), 6);
  EXPECT_EQ(static_cast<int>(ClockId::kBoottime), 7);
  EXPECT_EQ(static_cast<int>(ClockId::kTai), 11);
  EXPECT_EQ(static_cast<uint32_t>(ClockStatus::kNone), VVAR_STATUS_NONE);
  EXPECT_EQ(static_cast<uint32_t>(ClockStatus::kUnsynchronised),
            VVAR_STATUS_UNSYNCHRONISED);
  EXPECT_EQ(static_cast<uint32_t>(ClockStatus::kSynchronised),
            VVAR_STATUS_SYNCHRONISED);
  EXPECT_EQ(static_cast<uint32_t>(ClockStatus::kFreeRunning),
            VVAR_STATUS_FREE_RUNNING);
  EXPECT_EQ(static_cast<uint32_t>(ClockStatus::kUnreliable),
            VVAR_STATUS_UNRELIABLE);
  EXPECT_EQ(VVAR_MAGIC, 0x52415656u);
  EXPECT_EQ(VVAR_ENDIAN_TAG, 0x01020304u);
}

}  // namespace
}  // namespace vvar
