// SPDX-License-Identifier: MIT
//
// A table that gives up columns, lines for what is wrong, who answers, and
// bars.
#include "tools/watch_view.h"

#include <stddef.h>
#include <stdint.h>

#include <algorithm>
#include <cmath>
#include <iterator>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/string_view.h"
#include "tools/terminal.h"
#include "tools/text_layout.h"

namespace vvar::tools {
namespace {

struct Column {
  const char* header;
  size_t least_width;
  int rank;  // The highest goes first.
  std::string (*cell)(const WatchRow&);
};
constexpr Column kColumns[] = {
    {"clock", 16, 0, [](const WatchRow& row) { return row.clock; }},
    {"ns/read", 7, 2,
     [](const WatchRow& row) {
       return absl::StrFormat("%.2f", row.ns_per_read);
     }},
    {"|offset|", 8, 1,
     [](const WatchRow& row) {
       return ShortNs(static_cast<uint64_t>(row.offset_p50_ns));
     }},
    {"p99", 7, 4,
     [](const WatchRow& row) {
       return ShortNs(static_cast<uint64_t>(row.offset_p99_ns));
     }},
    {"max", 7, 3,
     [](const WatchRow& row) {
       return ShortNs(static_cast<uint64_t>(row.offset_max_ns));
     }},
    {"backward", 8, 5,
     [](const WatchRow& row) { return absl::StrCat(row.backward_steps); }},
    {"samples", 8, 7,
     [](const WatchRow& row) { return absl::StrCat(row.samples); }},
    {"status", 6, 6, [](const WatchRow& row) { return row.status; }},
};

size_t WidthOf(const Column& column, const std::vector<WatchRow>& rows) {
  size_t width = std::max(column.least_width, Columns(column.header));
  for (const WatchRow& row : rows) {
    width = std::max(width, Columns(column.cell(row)));
  }
  return width;
}

/// Those that fit, from left to right.
std::vector<Column> Fitting(const std::vector<WatchRow>& rows, size_t width) {
  std::vector<Column> columns(std::begin(kColumns), std::end(kColumns));
  const auto total = [&] {
    size_t sum = columns.size() - 1;
    for (const Column& column : columns) sum += WidthOf(column, rows);
    return sum;
  };
  while (columns.size() > 1 && total() > width) {
    columns.erase(std::max_element(
        columns.begin(), columns.end(),
        [](const Column& a, const Column& b) { return a.rank < b.rank; }));
  }
  return columns;
}

bool IsWrong(const WatchRow& row) {
  return row.status != "ok" || row.backward_steps > 0;
}

void AddTable(const WatchView& view, size_t width, std::vector<Line>* lines) {
  const std::vector<Column> columns = Fitting(view.rows, width);
  std::string header;
  std::vector<std::string> texts(view.rows.size());
  for (const Column& column : columns) {
    const absl::string_view name = column.header;
    const bool is_left = name == "clock" || name == "status";
    const auto pad = is_left ? PadRight : PadLeft;
    const size_t cells = WidthOf(column, view.rows);
    const char* const gap = header.empty() ? "" : " ";
    absl::StrAppend(&header, gap, pad(name, cells));
    for (size_t i = 0; i < texts.size(); ++i) {
      absl::StrAppend(&texts[i], gap, pad(column.cell(view.rows[i]), cells));
    }
  }
  lines->push_back({header, Tone::kStrong});
  for (size_t i = 0; i < texts.size(); ++i) {
    lines->push_back(
        {texts[i], IsWrong(view.rows[i]) ? Tone::kAlarm : Tone::kPlain});
  }
}

void AddWrapped(absl::string_view text, size_t width, Tone tone,
                std::vector<Line>* lines) {
  for (const std::string& line : Wrap(text, width)) {
    lines->push_back({line, tone});
  }
}

void AddAlarms(const WatchView& view, size_t width, std::vector<Line>* lines) {
  for (const WatchRow& row : view.rows) {
    if (row.status != "ok") {
      AddWrapped(absl::StrCat("! ", row.clock, ": ", row.status), width,
                 Tone::kAlarm, lines);
    }
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
  AddWrapped(absl::StrFormat(
                 "t=%.0fs, answered by %s (page %s), age %s, %s, UTC +-%s",
                 view.seconds, view.leg, view.page_status, ShortNs(view.age_ns),
                 view.clock_status, ShortNs(view.bound_ns)),
             width, view.leg == "page" ? Tone::kPlain : Tone::kAlarm, &lines);
  AddCharts(view.history, width, charset, &lines);
  if (height > 0 && lines.size() > height) lines.resize(height);
  for (Line& line : lines) line.text = Cut(line.text, width);
  return lines;
}

}  // namespace vvar::tools
