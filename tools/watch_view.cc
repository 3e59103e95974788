// SPDX-License-Identifier: MIT
//
// A table that gives up columns, lines for what is wrong, who answers, and
// bars.
#include "tools/watch_view.h"

#include <stddef.h>
#include <stdint.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/string_view.h"
#include "tools/terminal.h"
#include "tools/text_layout.h"

namespace vvar::tools {
namespace {

bool IsWrong(const WatchRow& row) {
  return row.status != "ok" || row.backward_steps > 0;
}

void AddTable(const WatchView& view, size_t width, std::vector<Line>* lines) {
  const std::vector<TableColumn> columns = {
      {"clock", 16, 0, true},    {"ns/read", 7, 2, false},
      {"|offset|", 8, 1, false}, {"p99", 7, 4, false},
      {"max", 7, 3, false},      {"backward", 8, 5, false},
      {"samples", 8, 7, false},  {"status", 6, 6, true}};
  const auto ns = [](int64_t value) {
    return ShortNs(static_cast<uint64_t>(value));
  };
  std::vector<std::vector<std::string>> cells;
  for (const WatchRow& row : view.rows) {
    cells.push_back({row.clock, absl::StrFormat("%.2f", row.ns_per_read),
                     ns(row.offset_p50_ns), ns(row.offset_p99_ns),
                     ns(row.offset_max_ns), absl::StrCat(row.backward_steps),
                     absl::StrCat(row.samples), row.status});
  }
  const std::vector<std::string> texts = LayOutTable(columns, cells, width);
  lines->push_back({texts[0], Tone::kStrong});
  for (size_t i = 0; i < view.rows.size(); ++i) {
    lines->push_back(
        {texts[i + 1], IsWrong(view.rows[i]) ? Tone::kAlarm : Tone::kPlain});
  }
}

void AddWrapped(absl::string_view text, size_t width, Tone tone,
                std::vector<Line>* lines) {
  for (const std::string& line : Wrap(text, width)) {
    lines->push_back({line, tone});
  }
}

void AddAlarms(const WatchView& view, size_t width, std::vector<Line>* lines) {
  std::vector<std::pair<std::string, std::string>> refusals;
  for (const WatchRow& row : view.rows) {
    if (row.status == "ok") continue;
    const auto same = std::find_if(
        refusals.begin(), refusals.end(),
        [&](const auto& each) { return each.first == row.status; });
    if (same == refusals.end()) {
      refusals.emplace_back(row.status, row.clock);
    } else {
      absl::StrAppend(&same->second, ", ", row.clock);
    }
  }
  for (const auto& [status, clocks] : refusals) {
    AddWrapped(absl::StrCat("! ", status, ": ", clocks), width, Tone::kAlarm,
               lines);
  }
  for (const WatchRow& row : view.rows) {
    if (row.backward_steps > 0) {
      AddWrapped(
          absl::StrCat("! ", row.clock, ": went back, ", row.backward_steps,
                       row.backward_steps == 1 ? " time" : " times"),
          width, Tone::kAlarm, lines);
    }
  }
}

/// "|offset| bars worst 40ns"
std::string Chart(absl::string_view label, const std::vector<double>& values,
                  std::string (*format)(double), size_t width,
                  Charset charset) {
  double most = 0;
  for (const double value : values) {
    if (!std::isnan(value)) most = std::max(most, value);
  }
  const std::string end = absl::StrCat(" worst ", format(most));
  // As wide however the worst changes, so that bars stay where they are.
  const size_t around = Columns(label) + 1 + std::max<size_t>(Columns(end), 13);
  const size_t room = width > around ? width - around : 1;
  return absl::StrCat(label, " ", Bars(values, most, room, charset), end);
}

void AddCharts(const WatchHistory& history, size_t width, Charset charset,
               std::vector<Line>* lines) {
  if (history.worst_offset_ns.empty()) return;
  lines->push_back({absl::StrCat(history.clock, ", each second:")});
  lines->push_back({Chart(
      "|offset|", history.worst_offset_ns,
      [](double ns) { return ShortNs(static_cast<uint64_t>(ns)); }, width,
      charset)});
  lines->push_back({Chart(
      "ns/read ", history.ns_per_read,
      [](double ns) { return absl::StrFormat("%.1f", ns); }, width, charset)});
}

}  // namespace

std::string ShortNs(uint64_t ns) {
  struct Unit {
    double ns;
    const char* name;
  };
  constexpr Unit kUnits[] = {
      {86400e9, "d"}, {1e9, "s"}, {1e6, "ms"}, {1e3, "us"}};
  if (ns > INT64_MAX) return "inf";
  for (const Unit& unit : kUnits) {
    const double amount = static_cast<double>(ns) / unit.ns;
    if (amount < 1) continue;
    // Three digits; seconds may have five.
    const int digits = amount >= 100 ? 0 : amount >= 10 ? 1 : 2;
    return absl::StrFormat("%.*f%s", digits, amount, unit.name);
  }
  return absl::StrCat(ns, "ns");
}

std::vector<Line> LayOut(const WatchView& view, size_t width, size_t height,
                         Charset charset) {
  std::vector<Line> lines;
  AddTable(view, width, &lines);
  AddAlarms(view, width, &lines);
  AddWrapped(
      absl::StrFormat(
          "t=%.0fs, answered by %s (page %s), age %s, %s, UTC %s", view.seconds,
          view.leg, view.page_status, ShortNs(view.age_ns), view.clock_status,
          view.bound_ns == 0 ? "not bounded"
                             : absl::StrCat("+-", ShortNs(view.bound_ns))),
      width, view.leg == "page" ? Tone::kPlain : Tone::kAlarm, &lines);
  AddCharts(view.history, width, charset, &lines);
  if (height > 0 && lines.size() > height) lines.resize(height);
  for (Line& line : lines) line.text = Cut(line.text, width);
  return lines;
}

}  // namespace vvar::tools
