// SPDX-License-Identifier: MIT
//
// A timekeeper that keeps every line it ever had: what a clock shows at any
// counter value since its start, exactly.
#ifndef VVAR_TESTS_SUPPORT_TIMELINE_H_
#define VVAR_TESTS_SUPPORT_TIMELINE_H_

#include <stdint.h>

#include <vector>

#include "tests/support/oracle.h"
#include "vvar/timekeeper.h"

namespace vvar::support {

/// See the head of this file. The counter starts at `start` and does not wrap
/// meanwhile.
class Timeline {
 public:
  explicit Timeline(const TimekeeperConfig& config, const StartTimes& times,
                    uint64_t start = 0)
      : config_(config), timekeeper_(config), now_(start) {
    timekeeper_.Start(now_, times);
    lines_.push_back(timekeeper_.line());
    published_.push_back(now_);
  }

  Timekeeper* operator->() { return &timekeeper_; }
  const Line& line() const { return timekeeper_.line(); }
  uint64_t now() const { return now_; }
  uint32_t shift() const { return timekeeper_.nominal().shift; }
  uint64_t CyclesOf(uint64_t ns) const {
    return NsToCycles(ns, timekeeper_.nominal());
  }

  /// Lets the counter run on, then updates, if that is not too early.
  void RunAndUpdate(uint64_t cycles) {
    now_ += cycles;
    if (!timekeeper_.LineHasBegun(now_)) return;
    (void)timekeeper_.Plan(now_);
    timekeeper_.Commit();
    lines_.push_back(timekeeper_.line());
    published_.push_back(now_);
  }
  /// Updates at the usual interval until the counter is at `cycles` or later.
  void TickUntil(uint64_t cycles) {
    while (now_ < cycles) RunAndUpdate(CyclesOf(config_.interval_ns));
  }

  /// The line that is valid at a counter value.
  const Line& LineAt(uint64_t cycles) const {
    size_t i = lines_.size() - 1;
    while (i > 0 && lines_[i].cycle_start > cycles) --i;
    return lines_[i];
  }
  Wide At(uint32_t base, uint64_t cycles) const {
    return ExactAt(LineAt(cycles), base, cycles, config_.counter_bits);
  }
  /// The same in ns, rounded down, less `sec` seconds.
  int64_t NsSince(int64_t sec, uint32_t base, uint64_t cycles) const {
    const Wide exact = At(base, cycles) - Exact(Timespec{sec, 0}, shift());
    return static_cast<int64_t>(FloorNs(exact, shift()));
  }
  const std::vector<Line>& lines() const { return lines_; }
  /// The counter when line `i` was published.
  uint64_t Published(size_t i) const { return published_[i]; }

 private:
  TimekeeperConfig config_;
  Timekeeper timekeeper_;
  uint64_t now_;
  std::vector<Line> lines_;
  std::vector<uint64_t> published_;
};

}  // namespace vvar::support

#endif  // VVAR_TESTS_SUPPORT_TIMELINE_H_
