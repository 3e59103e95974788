// SPDX-License-Identifier: MIT
//
// What `vvar watch` has seen, and how it is laid out on a terminal of any
// width. Pure.
#ifndef VVAR_TOOLS_WATCH_VIEW_H_
#define VVAR_TOOLS_WATCH_VIEW_H_

#include <stddef.h>
#include <stdint.h>

#include <string>
#include <vector>

#include "tools/terminal.h"
#include "tools/text_layout.h"

namespace vvar::tools {

/// One clock of the page against the kernel's.
struct WatchRow {
  std::string clock;
  double ns_per_read;
  int64_t offset_p50_ns;
  int64_t offset_p99_ns;
  int64_t offset_max_ns;
  uint64_t backward_steps;
  uint64_t samples;
  std::string status;  ///< Of its last read: "ok", or why not.
};

/// One clock, second by second; NaN: nothing was read.
struct WatchHistory {
  std::string clock;
  std::vector<double> worst_offset_ns;
  std::vector<double> ns_per_read;
};

struct WatchView {
  std::vector<WatchRow> rows;
  std::string leg;          ///< Who answers: "page"
  std::string page_status;  ///< "ok"
  std::string clock_status;
  uint64_t age_ns;
  uint64_t bound_ns;  ///< 0: none is known.
  double seconds;
  WatchHistory history;
};

/// A length of time in at most 6 columns, below 10 000 days.
std::string ShortNs(uint64_t ns);

/// Returns lines of at most `width` columns, and at most `height` of them if
/// that is not 0. The narrower, the fewer columns: the clock, its offset and
/// its cost go last. What is wrong has a line of its own at any width.
std::vector<Line> LayOut(const WatchView& view, size_t width, size_t height,
                         Charset charset);

}  // namespace vvar::tools

#endif  // VVAR_TOOLS_WATCH_VIEW_H_
