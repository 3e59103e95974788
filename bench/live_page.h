// SPDX-License-Identifier: MIT
//
// The page of the process's own clock, which a thread updates from start to end
// on other CPUs than the one that reads are timed on; and main() on it.
#ifndef VVAR_BENCH_LIVE_PAGE_H_
#define VVAR_BENCH_LIVE_PAGE_H_

#include <stdio.h>

#include "absl/status/status.h"
#include "bench/measure.h"
#include "clocks/native.h"
#include "hosted/clock.h"
#include "vvar/reader.h"

namespace vvar::bench {

inline const Reader<NativeClock>& PageReader() {
  return hosted::ProcessClock().reader();
}

/// RunPinned(), once the page is there: its thread stays where it may.
inline int RunOnLivePage(int argc, char** argv) {
  const absl::Status status = hosted::ProcessClock().status();
  if (status.ok()) return RunPinned(argc, argv);
  fprintf(stderr, "%s\n", status.ToString().c_str());
  return 1;
}

}  // namespace vvar::bench

#endif  // VVAR_BENCH_LIVE_PAGE_H_
