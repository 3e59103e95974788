// SPDX-License-Identifier: MIT
//
// vvar's clocks are std::chrono clocks. A template over its clock takes them as
// it is; elsewhere `std::chrono::steady_clock` becomes
// `vvar::hosted::steady_clock`. Time points of the two do not mix: that does
// not compile.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <thread>

#include "hosted/clock.h"

namespace {

/// Lets its callers through at most once per period.
template <class Clock>
class Pacer {
  static_assert(std::chrono::is_clock_v<Clock> && Clock::is_steady);

 public:
  explicit Pacer(typename Clock::duration period) : period_(period) {}

  /// Waits for its turn; returns when that was.
  typename Clock::time_point Wait() {
    const auto turn = std::max(next_, Clock::now());
    std::this_thread::sleep_until(turn);
    next_ = turn + period_;
    return turn;
  }

 private:
  const typename Clock::duration period_;
  typename Clock::time_point next_ = Clock::now();
};

template <class Clock>
void Run(const char* name) {
  using std::chrono::duration_cast;
  using std::chrono::microseconds;
  Pacer<Clock> pacer(std::chrono::milliseconds(2));
  int early = 0;
  const auto start = pacer.Wait();
  auto turn = start;
  for (int i = 0; i < 5; ++i) {
    turn = pacer.Wait();
    if (Clock::now() < turn) ++early;
  }
  std::printf("%-28s 5 turns in %lld us, %d early\n", name,
              (long long)duration_cast<microseconds>(turn - start).count(),
              early);
}

}  // namespace

int main() {
  // Not needed: the first now() would start the clock. It takes some 15 ms.
  if (!vvar::hosted::ProcessClock().status().ok()) {
    std::fprintf(stderr, "vvar's clocks are the system's here\n");
  }
  Run<std::chrono::steady_clock>("std::chrono::steady_clock");
  Run<vvar::hosted::steady_clock>("vvar::hosted::steady_clock");
}
