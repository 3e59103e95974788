// SPDX-License-Identifier: MIT
//
// The terminal that a command writes to, if it does: its size, what it shows,
// and drawing over what was drawn. It changes no mode of it, so that whoever is
// killed leaves nothing to be cleaned.
#ifndef VVAR_TOOLS_TERMINAL_H_
#define VVAR_TOOLS_TERMINAL_H_

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <string>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/string_view.h"
#include "tools/text_layout.h"

namespace vvar::tools {

/// How a line is to be told from others, where that is possible.
enum class Tone { kPlain, kStrong, kGood, kWarning, kAlarm };

struct Line {
  std::string text;
  Tone tone = Tone::kPlain;
};

/// 0: not known.
struct TerminalSize {
  size_t columns = 0;
  size_t rows = 0;

  friend bool operator==(const TerminalSize&, const TerminalSize&) = default;
};

/// Whether stdout is a terminal on which lines can be drawn over.
inline bool IsTerminal() {
  const char* const kind = getenv("TERM");
  return isatty(STDOUT_FILENO) == 1 &&
         (kind == nullptr || absl::string_view(kind) != "dumb");
}

inline TerminalSize SizeOfTerminal() {
  winsize size = {};
  if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0) return {};
  return {size.ws_col, size.ws_row};
}

/// Columns that text may have: not the last, at which some terminals wrap.
inline size_t WidthOf(TerminalSize size) {
  return size.columns > 1 ? size.columns - 1 : 79;
}

/// By the values of LC_ALL, LC_CTYPE and LANG; null: unset. The locale need not
/// be installed here for the terminal, elsewhere, to be in it.
/// Source: POSIX, 8.2: the first that is set and not empty.
inline Charset CharsetOf(const char* lc_all, const char* lc_ctype,
                         const char* lang) {
  for (const char* value : {lc_all, lc_ctype, lang}) {
    if (value == nullptr || *value == 0) continue;
    const std::string lower = absl::AsciiStrToLower(value);
    return absl::StrContains(lower, "utf-8") || absl::StrContains(lower, "utf8")
               ? Charset::kUnicode
               : Charset::kAscii;
  }
  return Charset::kAscii;
}

inline Charset OwnCharset() {
  return CharsetOf(getenv("LC_ALL"), getenv("LC_CTYPE"), getenv("LANG"));
}

/// NO_COLOR: any value but the empty one.
inline bool WantsColour() {
  const char* const none = getenv("NO_COLOR");
  return IsTerminal() && (none == nullptr || *none == 0);
}

/// A line as the terminal is to have it.
inline std::string Coloured(const Line& line) {
  const char* begin = "";
  switch (line.tone) {
    case Tone::kPlain:
      return line.text;
    case Tone::kStrong:
      begin = "\033[1m";
      break;
    case Tone::kGood:
      begin = "\033[32m";
      break;
    case Tone::kWarning:
      begin = "\033[33m";
      break;
    case Tone::kAlarm:
      begin = "\033[1;31m";
      break;
  }
  return begin + line.text + "\033[0m";
}

/// Draws lines where it drew the last ones.
class Redrawing {
 public:
  Redrawing() : colour_(WantsColour()) {}

  /// What is drawn after the terminal has changed its size begins at its top:
  /// nobody knows where it has put the lines of before.
  void Draw(const std::vector<Line>& lines, TerminalSize size) {
    if (drawn_ > 0 && size != size_) {
      fputs("\033[H\033[J", stdout);
    } else if (drawn_ > 0) {
      printf("\033[%zuA\r", drawn_);
    }
    for (const Line& line : lines) {
      // Erased first: at the right margin it would take the last character.
      printf("\033[2K%s\n", (colour_ ? Coloured(line) : line.text).c_str());
    }
    fputs("\033[J", stdout);
    fflush(stdout);
    drawn_ = lines.size();
    size_ = size;
  }
  /// Somebody else has written meanwhile: the next lines are drawn below.
  void Forget() { drawn_ = 0; }

 private:
  bool colour_;
  size_t drawn_ = 0;
  TerminalSize size_;
};

}  // namespace vvar::tools

#endif  // VVAR_TOOLS_TERMINAL_H_
