// SPDX-License-Identifier: MIT
#include "tools/watch_view.h"

#include <stddef.h>
#include <stdint.h>

#include <limits>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "gtest/gtest.h"
#include "tools/terminal.h"
#include "tools/text_layout.h"

namespace vvar::tools {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

WatchView View() {
  WatchView view;
  for (const char* clock : {"realtime", "monotonic_coarse"}) {
    view.rows.push_back({clock, 20.04, 21, 36, 1'234'567, 0, 4860, "ok"});
  }
  view.leg = "page";
  view.page_status = "ok";
  view.clock_status = "synchronised";
  view.age_ns = 825'000;
  view.bound_ns = 5'100'000;
  view.seconds = 5;
  view.history = {"realtime", {10, 20, kNan, 40, 0}, {20, 20, kNan, 20, 10}};
  return view;
}

std::string Text(const std::vector<Line>& lines) {
  return absl::StrJoin(lines, "\n", [](std::string* out, const Line& line) {
    absl::StrAppend(out, line.text);
  });
}

struct Layout {
  size_t width;
  const char* text;
};

TEST(WatchViewTest, GivesUpColumnsAsItGetsNarrower) {
  const Layout kLayouts[] = {
      {79,
       "clock            ns/read |offset|     p99     max backward  samples "
       "status\n"
       "realtime           20.04     21ns    36ns  1.23ms        0     4860 "
       "ok\n"
       "monotonic_coarse   20.04     21ns    36ns  1.23ms        0     4860 "
       "ok\n"
       "t=5s, answered by page (page ok), age 825us, synchronised, UTC "
       "+-5.10ms\n"
       "realtime, each second:\n"
       "|offset| -+ #_ worst 40ns\n"
       "ns/read  ## #+ worst 20.0"},
      {59,
       "clock            ns/read |offset|     p99     max backward\n"
       "realtime           20.04     21ns    36ns  1.23ms        0\n"
       "monotonic_coarse   20.04     21ns    36ns  1.23ms        0\n"
       "t=5s, answered by page (page ok), age 825us, synchronised,\n"
       "UTC +-5.10ms\n"
       "realtime, each second:"},
      {39,
       "clock            ns/read |offset|\n"
       "realtime           20.04     21ns\n"
       "monotonic_coarse   20.04     21ns\n"
       "t=5s, answered by page (page ok), age\n"
       "825us, synchronised, UTC +-5.10ms\n"
       "realtime, each second:"},
      {30, "clock            |offset|\nrealtime             21ns\n"},
      {12, "clock\nrealtime\nmonotonic_co\nt=5s,\nanswered by\n"},
  };
  for (const Layout& layout : kLayouts) {
    SCOPED_TRACE(layout.width);
    const std::string text =
        Text(LayOut(View(), layout.width, 0, Charset::kAscii));
    EXPECT_EQ(text.substr(0, std::string(layout.text).size()), layout.text);
  }
}

TEST(WatchViewTest, NoLineIsWiderAtAnyWidth) {
  WatchView view = View();
  view.rows[0].status = "counter not readable";
  view.rows[1].backward_steps = 12345678901;
  view.leg = "syscall";
  view.page_status = "counter withdrawn";
  view.age_ns = UINT64_MAX;
  view.history.worst_offset_ns.assign(500, 1e15);
  view.history.ns_per_read.assign(500, 1e9);
  for (const Charset charset : {Charset::kAscii, Charset::kUnicode}) {
    for (size_t width = 1; width <= 200; ++width) {
      for (const Line& line : LayOut(view, width, 0, charset)) {
        EXPECT_LE(Columns(line.text), width) << line.text;
      }
    }
  }
}

TEST(WatchViewTest, HasNoMoreLinesThanTheTerminal) {
  EXPECT_EQ(LayOut(View(), 79, 0, Charset::kAscii).size(), 7U);
  EXPECT_EQ(LayOut(View(), 79, 4, Charset::kAscii).size(), 4U);
  EXPECT_EQ(LayOut(View(), 79, 100, Charset::kAscii).size(), 7U);
}

TEST(WatchViewTest, BarsAreOfTheCharset) {
  const std::vector<Line> ascii = LayOut(View(), 79, 0, Charset::kAscii);
  EXPECT_EQ(ascii[5].text, "|offset| -+ #_ worst 40ns");
  EXPECT_EQ(ascii[6].text, "ns/read  ## #+ worst 20.0");
  const std::vector<Line> unicode = LayOut(View(), 79, 0, Charset::kUnicode);
  EXPECT_EQ(unicode[5].text, "|offset| ▃▅ █▁ worst 40ns");
}

TEST(WatchViewTest, WhatIsWrongIsSaidWithoutItsColumnToo) {
  WatchView view = View();
  EXPECT_FALSE(
      absl::StrContains(Text(LayOut(view, 39, 0, Charset::kAscii)), "!"));
  for (WatchRow& row : view.rows) row.status = "stale";
  view.rows[1].backward_steps = 1;
  view.bound_ns = 0;
  const std::vector<Line> lines = LayOut(view, 39, 0, Charset::kAscii);
  const std::string text = Text(lines);
  for (const char* line :
       {"! stale: realtime, monotonic_coarse\n",
        "! monotonic_coarse: went back, 1 time\n", "not bounded\n"}) {
    EXPECT_TRUE(absl::StrContains(text, line)) << text;
  }
  EXPECT_EQ(lines[1].tone, Tone::kAlarm);
}

TEST(WatchViewTest, ShortLengthsOfTimeHaveSixColumns) {
  struct Row {
    uint64_t ns;
    const char* text;
  };
  const Row kRows[] = {{0, "0ns"},
                       {999, "999ns"},
                       {1000, "1.00us"},
                       {12'345, "12.3us"},
                       {999'900, "1000us"},
                       {1'234'567, "1.23ms"},
                       {16'000'000'000, "16.0s"},
                       {86'399'000'000'000, "86399s"},
                       {172'800'000'000'000, "2.00d"},
                       {UINT64_MAX, "inf"}};
  for (const Row& row : kRows) {
    EXPECT_EQ(ShortNs(row.ns), row.text);
    EXPECT_LE(ShortNs(row.ns).size(), 6U);
  }
}

TEST(TextLayoutTest, WrapsAtSpacesAndCutsWhatIsWider) {
  EXPECT_EQ(Wrap("one two three", 7),
            (std::vector<std::string>{"one two", "three"}));
  EXPECT_EQ(Wrap("abcdefgh i", 3),
            (std::vector<std::string>{"abc", "def", "gh", "i"}));
  EXPECT_EQ(Wrap("", 5), std::vector<std::string>{""});
  EXPECT_EQ(Wrap("äöü äöü", 3), (std::vector<std::string>{"äöü", "äöü"}));
  EXPECT_EQ(Wrap("x", 0), std::vector<std::string>{"x"});
}

TEST(TextLayoutTest, CutsBetweenCharacters) {
  EXPECT_EQ(Cut("▁▂▃", 2), "▁▂");
  EXPECT_EQ(Cut("ab", 5), "ab");
  EXPECT_EQ(Columns("▁▂▃"), 3U);
}

TEST(TextLayoutTest, BarsShowTheLastOnes) {
  EXPECT_EQ(Bars({8, 0, 4, 8, 99}, 8, 4, Charset::kAscii), "_+##");
  EXPECT_EQ(Bars({0, 0}, 0, 4, Charset::kAscii), "__");
  EXPECT_EQ(Bars({}, 1, 4, Charset::kUnicode), "");
}

TEST(TerminalTest, CharsetIsThatOfTheFirstVariableThatIsSet) {
  EXPECT_EQ(CharsetOf(nullptr, nullptr, "en_US.UTF-8"), Charset::kUnicode);
  EXPECT_EQ(CharsetOf(nullptr, nullptr, "de_DE.utf8"), Charset::kUnicode);
  EXPECT_EQ(CharsetOf("C", nullptr, "en_US.UTF-8"), Charset::kAscii);
  EXPECT_EQ(CharsetOf("", "C.UTF-8", "C"), Charset::kUnicode);
  EXPECT_EQ(CharsetOf(nullptr, nullptr, nullptr), Charset::kAscii);
}

}  // namespace
}  // namespace vvar::tools
