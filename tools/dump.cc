// SPDX-License-Identifier: MIT
//
// vvar dump: every field of a page, as the bytes say and as it is meant.
#include <stdint.h>
#include <stdio.h>

#include <string>

#include "absl/flags/flag.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "hosted/shared_page.h"
#include "tools/command.h"
#include "tools/names.h"
#include "vvar/latch.h"
#include "vvar/seqcount.h"
#include "vvar/slot.h"

namespace vvar::tools {
namespace {

template <class Word>
auto Load(const Word& word) {
  return PageMemory::Load(word);
}

nlohmann::ordered_json DumpHeader(const vvar_header& header) {
  return {
      {"magic", absl::StrCat("0x", absl::Hex(Load(header.magic)))},
      {"endian_tag", absl::StrCat("0x", absl::Hex(Load(header.endian_tag)))},
      {"abi_major", Load(header.abi_major)},
      {"abi_minor", Load(header.abi_minor)},
      {"size", Load(header.size)},
      {"counter_id", Load(header.counter_id)},
      {"counter", CounterName(Load(header.counter_id))},
      {"counter_bits", Load(header.counter_bits)},
      {"features", Load(header.features)},
      {"counter_hz", Load(header.counter_hz)},
      {"instance_id", absl::StrCat("0x", absl::Hex(Load(header.instance_id)))},
      {"disruption_marker", Load(header.disruption_marker)},
      {"timeline_count", Load(header.timeline_count)},
      {"timeline_offset", Load(header.timeline_offset)},
      {"timeline_stride", Load(header.timeline_stride)},
      {"resolution_ns", Load(header.resolution_ns)},
      {"coarse_resolution_ns", Load(header.coarse_resolution_ns)},
      {"tz_minuteswest", Load(header.tz_minuteswest)},
      {"tz_dsttime", Load(header.tz_dsttime)},
  };
}

nlohmann::ordered_json DumpTime(int64_t sec, uint64_t nsec_shifted,
                                uint32_t shift) {
  return {{"sec", sec},
          {"nsec_shifted", nsec_shifted},
          {"nsec", nsec_shifted >> (shift & 63)}};
}

nlohmann::ordered_json DumpSlot(const vvar_slot& slot) {
  const uint32_t shift = Load(slot.shift);
  const auto base = [&](uint32_t index) {
    return DumpTime(Load(slot.base[index].sec),
                    Load(slot.base[index].nsec_shifted), shift);
  };
  const auto coarse = [&](uint32_t index) -> nlohmann::ordered_json {
    const vvar_coarse& time = slot.coarse[index];
    return {{"ns", Load(time.ns)},
            {"sec", Load(time.sec)},
            {"nsec", Load(time.nsec)},
            {"status", Load(time.status)}};
  };
  const auto status = static_cast<ClockStatus>(Load(slot.status));
  return {
      {"cycle_start", Load(slot.cycle_start)},
      {"max_cycles", Load(slot.max_cycles)},
      {"mult", Load(slot.mult)},
      {"realtime_mult", Load(slot.realtime_mult)},
      {"shift", shift},
      {"status", Load(slot.status)},
      {"status_name", NameOf(status)},
      {"counter_id", Load(slot.counter_id)},
      {"realtime", base(VVAR_BASE_REALTIME)},
      {"monotonic", base(VVAR_BASE_MONOTONIC)},
      {"monotonic_raw", base(VVAR_BASE_MONOTONIC_RAW)},
      {"boottime", base(VVAR_BASE_BOOTTIME)},
      {"tai", base(VVAR_BASE_TAI)},
      {"raw_mult", Load(slot.raw_mult)},
      {"error_growth_ppb", Load(slot.error_growth_ppb)},
      {"error_ns", Load(slot.error_ns)},
      {"realtime_coarse", coarse(VVAR_COARSE_REALTIME)},
      {"monotonic_coarse", coarse(VVAR_COARSE_MONOTONIC)},
      {"tai_offset_sec", Load(slot.tai_offset_sec)},
      {"leap_state", Load(slot.leap_state)},
      {"leap_name", LeapName(Load(slot.leap_state))},
      {"was_set_count", Load(slot.was_set_count)},
      {"leap_smear_sec", Load(slot.leap_smear_sec)},
      {"leap_date_sec", Load(slot.leap_date_sec)},
  };
}

nlohmann::ordered_json DumpTimeline(const vvar_timeline& timeline) {
  const SeqToken seq = Load(timeline.seq);
  const vvar_writer_stats& stats = timeline.stats;
  return {
      {"seq", seq},
      {"publications", seq >> 1},
      {"update_under_way", (seq & 1) != 0},
      {"current_slot", CurrentSlot(seq)},
      {"slot", {DumpSlot(timeline.slot[0]), DumpSlot(timeline.slot[1])}},
      {"writer_id", Load(stats.writer_id)},
      {"late_publications", Load(stats.late_publications)},
      {"max_lateness_cycles", Load(stats.max_lateness_cycles)},
      {"redated_lines", Load(stats.redated_lines)},
  };
}

/// The fields of one publication, if the writer leaves the time for it.
nlohmann::ordered_json DumpUndisturbed(const vvar_timeline& timeline) {
  constexpr int kTries = 100;
  nlohmann::ordered_json fields;
  for (int i = 0; i < kTries; ++i) {
    const SeqToken seq = ReadBegin<PageMemory>(timeline.seq);
    fields = DumpTimeline(timeline);
    if (ReadEnd<PageMemory>(timeline.seq) == seq) break;
  }
  return fields;
}

void PrintText(const nlohmann::ordered_json& value, const std::string& indent) {
  for (const auto& [key, item] : value.items()) {
    if (item.is_array()) {
      for (size_t i = 0; i < item.size(); ++i) {
        absl::PrintF("%s%s[%d]\n", indent, key, i);
        PrintText(item[i], indent + "  ");
      }
    } else if (item.is_object() && !item.contains("sec")) {
      absl::PrintF("%s%s\n", indent, key);
      PrintText(item, indent + "  ");
    } else {
      absl::PrintF("%s%-22s%s\n", indent, key,
                   item.is_string() ? item.get<std::string>() : item.dump());
    }
  }
}

}  // namespace

ExitCode Dump() {
  const std::string name = absl::GetFlag(FLAGS_page);
  if (name.empty()) {
    return Fail(absl::OutOfRangeError("dump: --page is empty; expected NAME"));
  }
  const absl::StatusOr<hosted::AttachedPage> page =
      hosted::AttachedPage::Attach(name);
  if (!page.ok()) return Fail(page.status());
  const vvar_page& bytes = page->bytes();
  nlohmann::ordered_json timelines = nlohmann::ordered_json::array();
  const uint32_t count = Load(bytes.header.timeline_count);
  for (uint32_t i = 0; i < count && i < VVAR_MAX_TIMELINES; ++i) {
    timelines.push_back(DumpUndisturbed(bytes.timeline[i]));
  }
  const nlohmann::ordered_json report = {
      {"page", hosted::PagePath(name)},
      {"header", DumpHeader(bytes.header)},
      {"timeline", timelines},
  };
  if (WantsJson()) {
    PrintJson(report);
  } else {
    PrintText(report, "");
  }
  return kExitOk;
}

}  // namespace vvar::tools
