// SPDX-License-Identifier: MIT
//
// What is attached to: headers of pages and of offset pages in files of any
// size, that may change while they are checked; and lines that a new writer
// finds. What is accepted lies inside of the file and is aligned, by the words
// that were loaded, each once; a line that is continued goes on exactly.
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <algorithm>
#include <vector>

#include "tests/fuzz/fuzz_memory.h"
#include "tests/fuzz/fuzz_target.h"
#include "tests/support/oracle.h"
#include "tests/support/test_page.h"
#include "vvar/header.h"
#include "vvar/offset.h"
#include "vvar/page.h"
#include "vvar/reader.h"
#include "vvar/slot.h"
#include "vvar/timekeeper.h"

namespace vvar::fuzz {
namespace {

using support::Exact;
using support::kClockRows;
using support::kManualCounterId;
using support::kTestConfig;
using support::kTestTimes;
using support::Wide;

enum Part : uint8_t { kPage, kOffsets, kLine, kParts };

// Of an input: the part, how many changes, the index, the size of the file. The
// changes come next; the rest are the file's bytes.
constexpr size_t kHeadBytes = 8;
constexpr size_t kLargestFile = 2 * sizeof(vvar_page);

uint64_t LoadedOnce(const FuzzedPage& page, const void* word) {
  uint64_t value = 0;
  int found = 0;
  for (const LoadedWord& load : page.loads) {
    if (load.word != word) continue;
    value = load.value;
    ++found;
  }
  FUZZ_CHECK(found == 1);
  return value;
}

template <class AnyReader>
void ReadEverything(const AnyReader& reader) {
  for (const support::ClockRow& clock : kClockRows) {
    support::ForEachReadOf(reader, clock,
                           [](const char*, ReadStatus status, uint64_t) {
                             FUZZ_CHECK(status <= ReadStatus::kNoCounter);
                           });
  }
  (void)reader.Age();
  (void)reader.Publications();
  typename AnyReader::Pair pair;
  (void)reader.CopyLines(&pair);
}

void AttachPage(FuzzedPage& page, const uint8_t* file, size_t size,
                uint32_t index) {
  const vvar_timeline* const nowhere = nullptr;
  const vvar_timeline* timeline = nowhere;
  const PageStatus status = FindTimeline<FuzzMemory>(
      file, size, kManualCounterId, 64, index, &timeline);
  if (status != PageStatus::kOk) {
    FUZZ_CHECK(timeline == nowhere);
    return;
  }
  const auto& header = reinterpret_cast<const vvar_page*>(file)->header;
  const uint64_t offset = LoadedOnce(page, &header.timeline_offset);
  const uint64_t stride = LoadedOnce(page, &header.timeline_stride);
  const uint64_t count = LoadedOnce(page, &header.timeline_count);
  FUZZ_CHECK(LoadedOnce(page, &header.magic) == VVAR_MAGIC);
  FUZZ_CHECK(LoadedOnce(page, &header.endian_tag) == VVAR_ENDIAN_TAG);
  FUZZ_CHECK(LoadedOnce(page, &header.abi_major) == VVAR_ABI_MAJOR);
  FUZZ_CHECK(LoadedOnce(page, &header.counter_id) == kManualCounterId);
  FUZZ_CHECK(LoadedOnce(page, &header.counter_bits) == 64);
  FUZZ_CHECK(LoadedOnce(page, &header.size) <= size);
  FUZZ_CHECK(index < count);
  const size_t at =
      static_cast<size_t>(reinterpret_cast<const uint8_t*>(timeline) - file);
  FUZZ_CHECK(at == offset + index * stride);
  FUZZ_CHECK(at % 8 == 0 && at >= sizeof(vvar_header));
  FUZZ_CHECK(at <= size && sizeof(vvar_timeline) <= size - at);
  ReadEverything(Reader<FuzzClock<64>, FuzzMemory>(timeline, {}));
}

void AttachOffsets(FuzzedPage& page, const uint8_t* file, size_t size) {
  OffsetPage<FuzzMemory> offsets;
  const PageStatus status =
      OffsetPage<FuzzMemory>::Attach(file, size, &offsets);
  if (status != PageStatus::kOk) return;
  const auto& header = *reinterpret_cast<const vvar_offsets*>(file);
  FUZZ_CHECK(LoadedOnce(page, &header.magic) == VVAR_OFFSETS_MAGIC);
  FUZZ_CHECK(LoadedOnce(page, &header.abi_major) == VVAR_ABI_MAJOR);
  FUZZ_CHECK(LoadedOnce(page, &header.size) <= size);
  FUZZ_CHECK(LoadedOnce(page, &header.monotonic.nsec) < kNsPerSec);
  FUZZ_CHECK(LoadedOnce(page, &header.boottime.nsec) < kNsPerSec);
  FUZZ_CHECK(size >= sizeof(vvar_offsets));
  for (const support::ClockRow& clock : kClockRows) {
    FUZZ_CHECK(offsets.Of(clock.id).nsec < kNsPerSec);
  }
}

// `time` moved by `parts` of the line's resolution; seconds wrap.
Timebase Moved(Timebase time, Wide parts, uint32_t shift) {
  const Wide second = Wide(kNsPerSec) << shift;
  const Wide sum = Wide(time.nsec_shifted) + parts;
  const auto sec = static_cast<uint64_t>(sum / second);
  return {static_cast<int64_t>(static_cast<uint64_t>(time.sec) + sec),
          static_cast<uint64_t>(sum % second)};
}

// A line that a timekeeper took over: planned from as any other. Clocks that
// nothing steps go on from where they were, exactly.
void GoOn(Timekeeper& timekeeper, uint64_t run) {
  const Line before = timekeeper.line();
  const bool held = timekeeper.held();
  const uint64_t now = before.cycle_start + run;
  FUZZ_CHECK(timekeeper.LineHasBegun(now));
  const Line next = timekeeper.Plan(now);
  timekeeper.Commit();
  const uint32_t shift = timekeeper.nominal().shift;
  const uint64_t cycles = held ? 0 : next.cycle_start - before.cycle_start;
  FUZZ_CHECK(next.scale.shift == shift);
  FUZZ_CHECK(next.counter_id ==
             (held ? VVAR_COUNTER_NONE : kTestConfig.counter_id));
  for (uint32_t i = 0; i < VVAR_BASES; ++i) {
    FUZZ_CHECK(next.base[i].nsec_shifted < kNsPerSec << shift);
    FUZZ_CHECK(next.ScaleOf(i).mult != 0);
    if (i == VVAR_BASE_REALTIME || i == VVAR_BASE_TAI) continue;
    FUZZ_CHECK(next.base[i] ==
               Moved(before.base[i],
                     Wide(cycles) * Wide(before.ScaleOf(i).mult), shift));
  }
  for (const Timespec& coarse : next.coarse) {
    FUZZ_CHECK(coarse.nsec < kNsPerSec);
  }
}

void ContinueLine(const uint8_t* file, uint32_t index) {
  const auto& slot = *reinterpret_cast<const vvar_slot*>(file);
  Line found;
  LoadLine<FuzzMemory>(slot, found);
  for (const bool import : {false, true}) {
    Timekeeper timekeeper(kTestConfig);
    timekeeper.Start(5'000, kTestTimes);
    const support::LineFields untouched = support::FieldsOf(timekeeper.line());
    if (!(import ? timekeeper.Import(found) : timekeeper.Continue(found))) {
      FUZZ_CHECK(support::FieldsOf(timekeeper.line()) == untouched);
      continue;
    }
    for (uint32_t n = 0; n < 4; ++n) {
      GoOn(timekeeper, 2'000 + uint64_t{index} * n * n);
    }
    (void)timekeeper.next_deadline();
    (void)timekeeper.realtime_slew_remaining_ns();
    timekeeper.SlewRealtime(-1, 500'000);
    timekeeper.SetTaiOffset(1);
    GoOn(timekeeper, 1'000'000);
    timekeeper.HoldAt(timekeeper.line().cycle_start + index);
    FUZZ_CHECK(timekeeper.held());
    GoOn(timekeeper, 5);
  }
}

Bytes Input(Part part, uint8_t index, size_t size, const Bytes& file,
            const std::vector<Change>& changes = {}) {
  Bytes input = {part, static_cast<uint8_t>(changes.size())};
  Append(input, uint16_t{index});
  Append(input, static_cast<uint32_t>(size));
  for (const Change& change : changes) {
    Append(input, change.before_load);
    Append(input, change.offset);
    Append(input, change.value);
  }
  input.insert(input.end(), file.begin(), file.end());
  return input;
}
template <class Value>
Bytes BytesOf(const Value& value) {
  Bytes bytes;
  Append(bytes, value);
  return bytes;
}

void AddPages(std::vector<Bytes>& seeds) {
  support::TestPage<> test;
  test.Warm();
  const Bytes page = BytesOf(test.page);
  vvar_page foreign = test.page;
  foreign.header.magic = __builtin_bswap32(VVAR_MAGIC);
  foreign.header.endian_tag = __builtin_bswap32(VVAR_ENDIAN_TAG);
  seeds.push_back(Input(kPage, 0, page.size(), BytesOf(foreign)));
  for (const uint8_t index : Bytes{0, 1, 5, 6, 255}) {
    seeds.push_back(Input(kPage, index, page.size(), page));
  }
  for (const size_t size : {size_t{0}, size_t{255}, size_t{256}, size_t{895},
                            size_t{896}, page.size() - 1, 2 * page.size()}) {
    seeds.push_back(Input(kPage, 0, size, page));
  }
  // Each word of the header, spoiled before and between the loads.
  for (uint16_t word = 0; word < 80; word += 4) {
    for (const uint16_t load : {uint16_t{0}, uint16_t{5}}) {
      seeds.push_back(
          Input(kPage, 1, page.size(), page, {{load, word, ~uint64_t{0}}}));
      seeds.push_back(Input(kPage, 1, page.size(), page, {{load, word, 8}}));
    }
  }
}
void AddOffsetPages(std::vector<Bytes>& seeds) {
  vvar_offsets offsets = {};
  FormatOffsets(offsets, {{5, 999'999'999}, {-5, 0}});
  const Bytes page = BytesOf(offsets);
  for (size_t size = 60; size <= 68; size += 4) {
    seeds.push_back(Input(kOffsets, 0, size, page));
  }
  for (uint16_t word = 0; word < 56; word += 4) {
    seeds.push_back(
        Input(kOffsets, 0, page.size(), page, {{0, word, 1'000'000'000}}));
    seeds.push_back(Input(kOffsets, 0, page.size(), page, {{9, word, 0}}));
  }
}
void AddLines(std::vector<Bytes>& seeds) {
  support::TestPage<> test;
  test.timekeeper.SlewRealtime(1'000'000, 500'000);
  test.Warm();
  const vvar_slot golden = test.timeline().slot[0];
  seeds.push_back(Input(kLine, 9, sizeof golden, BytesOf(golden)));
  for (uint32_t state = 0; state < 10; ++state) {
    for (const int32_t tai_offset_sec : {37, INT32_MAX, INT32_MIN}) {
      vvar_slot slot = golden;
      slot.leap_state = state;
      slot.leap_date_sec = slot.base[VVAR_BASE_REALTIME].sec + 1 - state % 2;
      slot.leap_smear_sec = state * 1'000;
      slot.tai_offset_sec = tai_offset_sec;
      seeds.push_back(Input(kLine, 9, sizeof slot, BytesOf(slot)));
      slot.counter_id = VVAR_COUNTER_NONE;
      seeds.push_back(Input(kLine, 9, sizeof slot, BytesOf(slot)));
    }
  }
  for (const uint8_t shift : Bytes{0, 31, 32, 63, 64, 255}) {
    vvar_slot slot = golden;
    slot.shift = shift;
    slot.counter_id = shift % 2 == 0 ? VVAR_COUNTER_NONE : slot.counter_id;
    seeds.push_back(Input(kLine, 9, sizeof slot, BytesOf(slot)));
  }
  for (const int64_t sec : {INT64_MIN, INT64_MAX, int64_t{-1}}) {
    vvar_slot slot = golden;
    slot.base[VVAR_BASE_REALTIME].sec = sec;
    seeds.push_back(Input(kLine, 9, sizeof slot, BytesOf(slot)));
    slot.base[VVAR_BASE_TAI].sec = sec;
    seeds.push_back(Input(kLine, 9, sizeof slot, BytesOf(slot)));
  }
}

}  // namespace

std::vector<Bytes> Seeds() {
  std::vector<Bytes> seeds = {{}};
  for (uint8_t part = 0; part < kParts; ++part) {
    seeds.push_back(Input(Part{part}, 0, 4096, Bytes(4096, 0)));
    seeds.push_back(Input(Part{part}, 0, 4096, Bytes(4096, 0xff)));
  }
  AddPages(seeds);
  AddOffsetPages(seeds);
  AddLines(seeds);
  return seeds;
}

}  // namespace vvar::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  using namespace vvar::fuzz;
  if (size < kHeadBytes) return 0;
  const uint8_t part = bytes[0] % kParts;
  const size_t change_bytes = bytes[1] * kChangeBytes;
  if (size - kHeadBytes < change_bytes) return 0;
  uint16_t index;
  uint32_t claimed;
  memcpy(&index, bytes + 2, sizeof index);
  memcpy(&claimed, bytes + 4, sizeof claimed);
  const uint8_t* const present = bytes + kHeadBytes + change_bytes;
  const size_t file_size =
      part == kLine ? sizeof(vvar_slot) : claimed % (kLargestFile + 1);
  ExactCopy file(present, static_cast<size_t>(bytes + size - present),
                 file_size);
  FuzzedPage page({{file.data(), file_size}});
  page.SetChanges(bytes + kHeadBytes, change_bytes);
  page.SetCounts({claimed});
  switch (part) {
    case kPage:
      AttachPage(page, file.data(), file_size, index);
      break;
    case kOffsets:
      AttachOffsets(page, file.data(), file_size);
      break;
    default:
      ContinueLine(file.data(), index);
      break;
  }
  return 0;
}
