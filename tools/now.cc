// SPDX-License-Identifier: MIT
//
// vvar now: the time, its error bound, and who gave it.
#include <stdint.h>
#include <stdio.h>

#include <optional>
#include <string>
#include <utility>

#include "absl/flags/flag.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/time.h"
#include "fallback/chain.h"
#include "hosted/clock.h"
#include "hosted/counter.h"
#include "hosted/shared_page.h"
#include "tools/command.h"
#include "tools/names.h"

namespace vvar::tools {
namespace {

std::string Calendar(ClockId id, int64_t sec, uint32_t nsec) {
  if (id != ClockId::kRealtime && id != ClockId::kRealtimeCoarse) return "";
  return absl::FormatTime("%Y-%m-%dT%H:%M:%E9SZ",
                          absl::FromUnixSeconds(sec) + absl::Nanoseconds(nsec),
                          absl::UTCTimeZone());
}

nlohmann::ordered_json Describe(const NamedClock& clock,
                                const hosted::SharedChain& chain) {
  const fallback::ChainReading reading =
      chain.Now(static_cast<int32_t>(clock.id));
  nlohmann::ordered_json row = {
      {"id", clock.name},
      {"sec", reading.sec},
      {"nsec", reading.nsec},
      {"calendar", Calendar(clock.id, reading.sec, reading.nsec)},
      {"leg", NameOf(reading.leg)},
      {"page_status", NameOf(reading.page_status)},
      {"vdso_status", NameOf(reading.vdso_status)},
      {"error", reading.error},
  };
  const IntervalReading interval = chain.Interval(clock.id);
  if (reading.leg == fallback::Leg::kPage && interval.ok()) {
    row["bound_ns"] = (interval.latest_ns - interval.earliest_ns) / 2;
    row["status"] = NameOf(interval.clock_status);
  }
  return row;
}

/// What a reader of REALTIME has to know of leap seconds, as a report.
nlohmann::ordered_json DescribeLeap(const hosted::SharedReader& reader) {
  SnapshotReading all;
  // Without a page not even the counter may be readable.
  if (!reader.attached()) return {};
  if (reader.Snapshot(&all) != ReadStatus::kOk) return {};
  const uint64_t target_ns =
      all.tai_ns - static_cast<uint64_t>(all.tai_offset_sec) * kNsPerSec;
  return {
      {"leap_second", LeapName(all.leap_state)},
      {"tai_offset_sec", all.tai_offset_sec},
      {"slew_remaining_ns", static_cast<int64_t>(target_ns - all.realtime_ns)},
  };
}

void PrintLeap(const nlohmann::ordered_json& leap) {
  if (leap.is_null()) return;
  const auto remaining_ns = leap["slew_remaining_ns"].get<int64_t>();
  const std::string name = leap["leap_second"].get<std::string>();
  if (name != "none") absl::PrintF("leap second: %s\n", name);
  // Both are rounded down: one nanosecond is nothing.
  if (remaining_ns > 1 || remaining_ns < -1) {
    absl::PrintF("realtime is being slewed; left: %s\n",
                 absl::FormatDuration(absl::Nanoseconds(remaining_ns)));
  }
}

void PrintRow(const nlohmann::ordered_json& row) {
  const std::string bound =
      row.contains("bound_ns")
          ? absl::StrCat("+-", FormatNs(row["bound_ns"].get<uint64_t>()))
          : "";
  absl::PrintF("%-17s%12d.%09d  %-31s%-8s%-16s%s\n",
               row["id"].get<std::string>(), row["sec"].get<int64_t>(),
               row["nsec"].get<uint32_t>(), row["calendar"].get<std::string>(),
               row["leg"].get<std::string>(), row.value("status", ""), bound);
}

}  // namespace

ExitCode Now() {
  const std::string wanted = absl::GetFlag(FLAGS_clock);
  const std::string name = absl::GetFlag(FLAGS_page);
  hosted::SharedReader reader;
  std::optional<hosted::AttachedPage> page;
  if (!name.empty()) {
    const absl::StatusOr<CounterInfo<NativeClock>> counter =
        hosted::FindCounter();
    if (!counter.ok()) return Fail(counter.status());
    absl::StatusOr<hosted::AttachedPage> attached =
        hosted::AttachedPage::Attach(name);
    if (!attached.ok()) return Fail(attached.status());
    page = *std::move(attached);
    reader = page->MakeReader(counter->clock);
  }
  const hosted::SharedChain chain(reader, hosted::SystemVdso());

  nlohmann::ordered_json rows = nlohmann::ordered_json::array();
  for (const NamedClock& clock : kNamedClocks) {
    if (wanted.empty() || wanted == clock.name) {
      rows.push_back(Describe(clock, chain));
    }
  }
  if (rows.empty()) return Fail(UnknownClock());
  if (WantsJson()) {
    nlohmann::ordered_json report = {{"clocks", rows}};
    if (const auto leap = DescribeLeap(reader); !leap.is_null()) {
      report.update(leap);
    }
    PrintJson(report);
  } else {
    for (const nlohmann::ordered_json& row : rows) PrintRow(row);
    PrintLeap(DescribeLeap(reader));
  }
  if (name.empty()) return kExitOk;
  const AgeReading age = reader.Age();
  if (age.status == ReadStatus::kOk) return kExitOk;
  absl::FPrintF(stderr, "vvar: page %s: %s%s; the system answered instead\n",
                hosted::PagePath(name), NameOf(age.status),
                age.status == ReadStatus::kStale
                    ? absl::StrCat(", age ", FormatNs(age.age_ns))
                    : "");
  return kExitNoTime;
}

}  // namespace vvar::tools
