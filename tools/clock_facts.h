// SPDX-License-Identifier: MIT
//
// Who answers each clock of the system, and what it costs: found out by asking,
// in children where asking may kill. Linux.
#ifndef VVAR_TOOLS_CLOCK_FACTS_H_
#define VVAR_TOOLS_CLOCK_FACTS_H_

#include <stdint.h>
#include <time.h>

#include <algorithm>
#include <functional>
#include <string>
#include <vector>

#include "fallback/syscall.h"
#include "tools/compare.h"
#include "tools/diagnosis.h"

namespace vvar::tools {

/// What became of a call in a child.
struct Trial {
  SyscallFate fate;
  int error;  ///< An errno, of kFails.
};

/// Makes a call, which returns 0 or an errno, in a child.
Trial Try(const std::function<int()>& call);

/// Reads MONOTONIC by a system call.
Trial TryClockSyscall();

/// Finds out about each clock that Linux has. `by_syscall`: what becomes of
/// clock_gettime() that enters the kernel.
std::vector<ClockFacts> FindClocks(SyscallFate by_syscall);

/// Median over batches. Units: ns per call. `stopwatch_ns`: a clock that this
/// process may read.
template <class Call, class Stopwatch>
double CostNs(Call call, Stopwatch stopwatch_ns) {
  constexpr int kBatches = 51;
  constexpr int kCalls = 200;
  std::vector<double> costs;
  for (int batch = 0; batch < kBatches; ++batch) {
    const int64_t start_ns = stopwatch_ns();
    for (int i = 0; i < kCalls; ++i) call();
    const int64_t end_ns = stopwatch_ns();
    costs.push_back(static_cast<double>(end_ns - start_ns) / kCalls);
  }
  std::nth_element(costs.begin(), costs.begin() + kBatches / 2, costs.end());
  return costs[kBatches / 2];
}

/// A stopwatch that no vDSO has a part in: where its counter may not be read,
/// asking it kills.
inline int64_t SyscallStopwatchNs() {
  fallback::KernelTimespec time = {};
  (void)fallback::ClockGettime(CLOCK_MONOTONIC, &time);
  return int64_t{time.tv_sec} * 1'000'000'000 + int64_t{time.tv_nsec};
}

/// One by the C library, for where system calls are denied.
inline int64_t LibcStopwatchNs() { return KernelNs(CLOCK_MONOTONIC); }

}  // namespace vvar::tools

#endif  // VVAR_TOOLS_CLOCK_FACTS_H_
