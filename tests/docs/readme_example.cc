#include <cstdio>

#include "hosted/clock.h"

int main() {
  vvar::hosted::InProcessClock clock;  // starts a ticker; stops it at the end
  const auto ns = clock.Now(vvar::ClockId::kMonotonic);  // u64, no syscall
  const auto span = clock.reader().Interval(vvar::ClockId::kRealtime);
  const auto start = vvar::hosted::steady_clock::now();  // std::chrono
  std::printf("monotonic %llu ns, UTC within +-%llu ns, %s\n",
              (unsigned long long)ns,
              (unsigned long long)(span.latest_ns - span.earliest_ns) / 2,
              clock.status().ok() ? "from the page" : "from the system");
  return start < vvar::hosted::steady_clock::now() ? 0 : 1;
}
