// SPDX-License-Identifier: MIT
//
// Text of a given width: paragraphs, cut lines, bars. Pure.
#ifndef VVAR_TOOLS_TEXT_LAYOUT_H_
#define VVAR_TOOLS_TEXT_LAYOUT_H_

#include <stddef.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"

namespace vvar::tools {

/// What a terminal can show.
enum class Charset { kAscii, kUnicode };

/// Columns that UTF-8 takes on a terminal, if none of it is wide or combining.
inline size_t Columns(absl::string_view text) {
  return static_cast<size_t>(
      std::count_if(text.begin(), text.end(), [](char byte) {
        return (static_cast<unsigned char>(byte) & 0xc0) != 0x80;
      }));
}

/// The first `width` columns of a text.
inline std::string Cut(absl::string_view text, size_t width) {
  size_t end = 0;
  for (size_t columns = 0; end < text.size(); ++end) {
    if (Columns(text.substr(end, 1)) == 1 && ++columns > width) break;
  }
  return std::string(text.substr(0, end));
}

inline std::string PadLeft(absl::string_view text, size_t width) {
  const size_t columns = Columns(text);
  return absl::StrCat(std::string(columns < width ? width - columns : 0, ' '),
                      text);
}

inline std::string PadRight(absl::string_view text, size_t width) {
  const size_t columns = Columns(text);
  return absl::StrCat(text,
                      std::string(columns < width ? width - columns : 0, ' '));
}

/// Lines of at most `width` columns, broken at spaces; a word that is wider is
/// cut into pieces. At least one line.
inline std::vector<std::string> Wrap(absl::string_view text, size_t width) {
  width = std::max<size_t>(width, 1);
  std::vector<std::string> lines = {""};
  for (absl::string_view word : absl::StrSplit(text, ' ', absl::SkipEmpty())) {
    if (!lines.back().empty() &&
        Columns(lines.back()) + 1 + Columns(word) <= width) {
      absl::StrAppend(&lines.back(), " ", word);
      continue;
    }
    if (!lines.back().empty()) lines.emplace_back();
    while (Columns(word) > width) {
      lines.back() = Cut(word, width);
      word.remove_prefix(lines.back().size());
      lines.emplace_back();
    }
    lines.back() = std::string(word);
  }
  return lines;
}

/// A column of a table.
struct TableColumn {
  std::string header;
  size_t least_width;  ///< However little it holds, so that it stays put.
  int rank;            ///< The highest is given up first where it is narrow.
  bool is_left;
};

/// The header and a line for each row, of at most `width` columns, with as many
/// of the table's as fit; at least one of them, cut.
inline std::vector<std::string> LayOutTable(
    const std::vector<TableColumn>& columns,
    const std::vector<std::vector<std::string>>& rows, size_t width) {
  struct Fitted {
    size_t index;
    size_t width;
  };
  std::vector<Fitted> fitted;
  size_t total = 0;
  for (size_t i = 0; i < columns.size(); ++i) {
    size_t widest =
        std::max(columns[i].least_width, Columns(columns[i].header));
    for (const auto& row : rows) widest = std::max(widest, Columns(row[i]));
    fitted.push_back({i, widest});
    total += widest + 1;
  }
  while (fitted.size() > 1 && total > width + 1) {
    const auto out = std::max_element(
        fitted.begin(), fitted.end(), [&](const Fitted& a, const Fitted& b) {
          return columns[a.index].rank < columns[b.index].rank;
        });
    total -= out->width + 1;
    fitted.erase(out);
  }
  std::vector<std::string> lines;
  for (size_t line = 0; line <= rows.size(); ++line) {
    std::string text;
    for (const Fitted& column : fitted) {
      const TableColumn& kind = columns[column.index];
      const std::string& cell =
          line == 0 ? kind.header : rows[line - 1][column.index];
      if (!text.empty()) text += ' ';
      text += kind.is_left ? PadRight(cell, column.width)
                           : PadLeft(cell, column.width);
    }
    text.erase(text.find_last_not_of(' ') + 1);
    lines.push_back(Cut(text, width));
  }
  return lines;
}

/// A bar for each of the last `width` values, its height between 0 and `most`;
/// a blank for what is not known (NaN).
inline std::string Bars(const std::vector<double>& values, double most,
                        size_t width, Charset charset) {
  constexpr size_t kHeights = 8;
  constexpr const char* kUnicode[kHeights] = {"▁", "▂", "▃", "▄",
                                              "▅", "▆", "▇", "█"};
  constexpr const char* kAscii[kHeights] = {"_", ".", "-", "=",
                                            "+", "*", "%", "#"};
  std::string bars;
  for (size_t i = values.size() - std::min(values.size(), width);
       i < values.size(); ++i) {
    if (std::isnan(values[i])) {
      bars += ' ';
      continue;
    }
    const double share =
        most > 0 ? std::clamp(values[i] / most, 0.0, 1.0) : 0.0;
    const auto height =
        std::min(static_cast<size_t>(share * kHeights), kHeights - 1);
    bars += charset == Charset::kUnicode ? kUnicode[height] : kAscii[height];
  }
  return bars;
}

}  // namespace vvar::tools

#endif  // VVAR_TOOLS_TEXT_LAYOUT_H_
