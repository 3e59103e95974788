// SPDX-License-Identifier: MIT
//
// A profiler's handler of SIGPROF that stamps its samples: a read takes no lock
// and allocates nothing, so a handler may do it on top of anything. What it may
// not do is start the clock: that is done before the handler is installed. (So
// not steady_clock::now(), unless main() has called it before.)
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/time.h>

#include <atomic>

#include "absl/strings/str_format.h"
#include "hosted/clock.h"
#include "vvar/page.h"

namespace {

constexpr int kSamples = 10;

// All that the handler touches. Lock-free, and ready before main().
std::atomic<const vvar::hosted::InProcessClock*> clock_of_handler = nullptr;
std::atomic<uint64_t> stamps_ns[kSamples] = {};
std::atomic<int> taken = 0;
static_assert(std::atomic<uint64_t>::is_always_lock_free);

void OnProfilingTimer(int) {
  const int index = taken.load(std::memory_order_relaxed);
  if (index == kSamples) return;
  const uint64_t now_ns =
      clock_of_handler.load()->Now(vvar::ClockId::kMonotonic);
  stamps_ns[index].store(now_ns, std::memory_order_relaxed);
  taken.store(index + 1, std::memory_order_release);
}

}  // namespace

int main() {
  const vvar::hosted::InProcessClock clock;
  if (!clock.status().ok()) {  // Then the handler asks the system: safe, too.
    absl::FPrintF(stderr, "no page, so the system's clock: %s\n",
                  clock.status().ToString());
  }
  clock_of_handler.store(&clock);

  struct sigaction action = {};
  action.sa_handler = &OnProfilingTimer;
  action.sa_flags = SA_RESTART;
  const itimerval every_ms = {{0, 1000}, {0, 1000}};
  if (sigaction(SIGPROF, &action, nullptr) != 0 ||
      setitimer(ITIMER_PROF, &every_ms, nullptr) != 0) {
    perror("SIGPROF");
    return 1;
  }

  uint64_t work = 1;
  while (taken.load(std::memory_order_acquire) < kSamples) {
    work = work * 6364136223846793005 + 1442695040888963407;
  }

  // The clock goes at the end of main(): nobody may ask it after that.
  signal(SIGPROF, SIG_IGN);
  const uint64_t start_ns = stamps_ns[0];
  for (const std::atomic<uint64_t>& stamp_ns : stamps_ns) {
    absl::PrintF("sample at %9d ns\n", stamp_ns.load() - start_ns);
  }
  absl::PrintF("(work came to %x)\n", work);
}
