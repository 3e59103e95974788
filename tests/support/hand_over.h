// SPDX-License-Identifier: MIT
//
// Two threads that hand times over to each other, as fast as they can: a read
// that is earlier than the time it was handed breaks causality. What this could
// miss: orders that the machine does not happen to show meanwhile.
#ifndef VVAR_TESTS_SUPPORT_HAND_OVER_H_
#define VVAR_TESTS_SUPPORT_HAND_OVER_H_

#include <sched.h>
#include <stdint.h>
#include <stdio.h>

#include <algorithm>
#include <atomic>
#include <thread>
#include <vector>

namespace vvar::support {

inline std::vector<int> UsableCpus() {
  cpu_set_t set;
  std::vector<int> cpus;
  if (sched_getaffinity(0, sizeof set, &set) != 0) return cpus;
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (CPU_ISSET(cpu, &set)) cpus.push_back(cpu);
  }
  return cpus;
}

inline void PinTo(int cpu) {
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(cpu, &one);
  sched_setaffinity(0, sizeof one, &one);
}

struct Tally {
  uint64_t hand_overs = 0;
  uint64_t violations = 0;
  uint64_t worst = 0;

  void Add(uint64_t cause, uint64_t effect) {
    ++hand_overs;
    if (effect >= cause) return;
    ++violations;
    worst = std::max(worst, cause - effect);
  }
  void Print(const char* what) const {
    printf("%-36s %10.0f hand-overs, %7.0f violations, worst %.0f\n", what,
           static_cast<double>(hand_overs), static_cast<double>(violations),
           static_cast<double>(worst));
  }
};

// One thread hands over its time as fast as it can; the other takes what is
// there and reads its own at once, with no branch on what it took: a CPU that
// may read its counter early gets every chance to.
template <class Read>
Tally Stream(uint64_t hand_overs, Read read) {
  struct alignas(128) Box {
    std::atomic<uint64_t> value{0};
  };
  Box box;
  std::atomic<bool> stop{false};
  const std::vector<int> cpus = UsableCpus();
  Tally tally;
  std::thread cause_thread([&] {
    PinTo(cpus.front());
    while (!stop.load(std::memory_order_relaxed)) {
      box.value.store(read(), std::memory_order_release);
    }
  });
  std::thread effect_thread([&] {
    PinTo(cpus.back());
    uint64_t last = 0;
    while (tally.hand_overs < hand_overs) {
      const uint64_t cause = box.value.load(std::memory_order_acquire);
      const uint64_t effect = read();
      if (cause != last) tally.Add(cause, effect);
      last = cause;
    }
    stop = true;
  });
  cause_thread.join();
  effect_thread.join();
  return tally;
}

// Two threads in turn: each takes the other's time, reads its own, compares,
// reads again and hands that over.
template <class Read>
Tally TakeTurns(uint64_t hand_overs, Read read) {
  struct alignas(128) Baton {
    std::atomic<uint64_t> turn{0};
    uint64_t stamp = 0;  // Written before `turn`, read after it.
  };
  Baton baton;
  const std::vector<int> cpus = UsableCpus();
  Tally tally;  // Whose turn it is may write it.
  const auto take_part = [&](uint64_t side) {
    PinTo(side == 0 ? cpus.front() : cpus.back());
    for (uint64_t turn = side; turn < hand_overs; turn += 2) {
      while (baton.turn.load(std::memory_order_acquire) != turn) {
      }
      const uint64_t effect = read();
      tally.Add(baton.stamp, effect);
      baton.stamp = read();
      baton.turn.store(turn + 1, std::memory_order_release);
    }
  };
  std::thread even([&] { take_part(0); });
  std::thread odd([&] { take_part(1); });
  even.join();
  odd.join();
  return tally;
}

}  // namespace vvar::support

#endif  // VVAR_TESTS_SUPPORT_HAND_OVER_H_
