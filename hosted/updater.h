// SPDX-License-Identifier: MIT
//
// The writer of a page in user space: a timekeeper, its discipline and a Writer
// in one. Either a loop of the caller's calls Tick(), or TickLoop runs it, on
// a thread or as a daemon. Readers never calibrate and never wait for it.
#ifndef VVAR_HOSTED_UPDATER_H_
#define VVAR_HOSTED_UPDATER_H_

#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <memory>
#include <thread>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "clocks/native.h"
#include "fallback/syscall.h"
#include "hosted/discipline.h"
#include "hosted/reference.h"
#include "vvar/header.h"
#include "vvar/timekeeper.h"
#include "vvar/writer.h"

namespace vvar::hosted {

/// How a page is kept.
struct UpdaterOptions {
  /// From one line to the next.
  absl::Duration tick = absl::Milliseconds(1);
  /// Readers refuse a line older than this.
  absl::Duration max_age = absl::Seconds(2);
  /// How long the start measures.
  absl::Duration calibration = absl::Milliseconds(12);
  /// What REALTIME does when the reference's is set, and at leap seconds.
  RealtimePolicy realtime = {};
};

/// Error: InvalidArgument, naming the option, its value and its range.
inline absl::Status CheckOptions(const UpdaterOptions& options) {
  if (options.tick < absl::Microseconds(100) ||
      options.tick > absl::Seconds(1)) {
    return absl::InvalidArgumentError(
        absl::StrCat("tick: ", absl::FormatDuration(options.tick),
                     "; expected 100us to 1s"));
  }
  if (options.max_age < 4 * options.tick || options.max_age > absl::Hours(1)) {
    return absl::InvalidArgumentError(
        absl::StrCat("max_age: ", absl::FormatDuration(options.max_age),
                     "; expected 4 ticks to 1h"));
  }
  if (options.calibration < absl::Microseconds(100) ||
      options.calibration > absl::Seconds(10)) {
    return absl::InvalidArgumentError(
        absl::StrCat("calibration: ", absl::FormatDuration(options.calibration),
                     "; expected 100us to 10s"));
  }
  return absl::OkStatus();
}

/// The one writer of timeline 0 of a page. Context: one thread at a time.
class Updater {
 public:
  /// Calibrates, then starts the page's time or goes on with what is there.
  /// `page` has been formatted, and is this process's to write. Takes
  /// options.calibration.
  Updater(vvar_page& page, const CounterInfo<NativeClock>& counter,
          std::unique_ptr<Reference> reference, const UpdaterOptions& options)
      : page_(page),
        reference_(std::move(reference)),
        tick_ns_(static_cast<uint64_t>(absl::ToInt64Nanoseconds(options.tick))),
        discipline_(*reference_, absl::ToInt64Nanoseconds(options.calibration),
                    tick_ns_, options.realtime),
        timekeeper_(Config(options)),
        writer_(&page.timeline[0], counter.clock) {
    writer_.SetWriterId(static_cast<uint32_t>(getpid()));
    CopyTimeZone();
    Line line;
    writer_.LoadCurrentLine(&line);
    continued_ =
        discipline_.Continue(timekeeper_, line, writer_.clock().Read());
    if (continued_) {
      (void)Tick();
    } else {
      discipline_.Start(timekeeper_, writer_.clock().Read());
      writer_.PublishLine(timekeeper_.line());
    }
  }

  /// One update: measures, steers, publishes. Call it each options.tick, or
  /// when the reference is known to have changed. kTooEarly: called again
  /// within the lead of the last; nothing was done.
  PublishStatus Tick() {
    const uint64_t now = writer_.clock().Read();
    if (!timekeeper_.LineHasBegun(now) &&
        !Discipline::CounterWentBack(timekeeper_, now)) {
      return PublishStatus::kTooEarly;
    }
    discipline_.Steer(timekeeper_);
    return writer_.Publish(timekeeper_);
  }

  /// An update for whoever cannot wait for the next tick, because the reference
  /// has been set. Waits up to a lead.
  PublishStatus TickNow() {
    CopyTimeZone();
    WaitForLine();
    return Tick();
  }

  /// The last update of a writer that leaves: says so on the page. Readers go
  /// on until the line's age limit. Waits up to a lead.
  void Finish() {
    WaitForLine();
    timekeeper_.SetStatus(discipline_.quality().synchronised
                              ? ClockStatus::kFreeRunning
                              : ClockStatus::kUnsynchronised);
    writer_.Publish(timekeeper_);
    writer_.SetWriterId(0);
  }

  /// Whether the page's time was taken over from an earlier writer.
  bool continued() const { return continued_; }
  /// For its health, and the reference's quality.
  const Discipline& discipline() const { return discipline_; }
  /// Whose line() is the one on the page.
  const Timekeeper& timekeeper() const { return timekeeper_; }
  /// options.tick.
  uint64_t tick_ns() const { return tick_ns_; }

 private:
  /// A line begins half a tick ahead, so that the next tick finds it begun; 1
  /// ms is more than a publication is ever held up but by preemption.
  uint64_t LeadNs() const {
    return tick_ns_ / 2 < 1'000'000 ? tick_ns_ / 2 : 1'000'000;
  }

  /// For gettimeofday()'s of an image. Libc's own clears what it is given.
  void CopyTimeZone() {
    fallback::KernelTimezone zone = {};
    if (fallback::Gettimeofday(nullptr, &zone) != 0) return;
    PageMemory::Store(page_.header.tz_minuteswest, zone.tz_minuteswest);
    PageMemory::Store(page_.header.tz_dsttime, zone.tz_dsttime);
  }

  /// A line begins at most a lead ahead, unless a leap second is near.
  void WaitForLine() {
    const uint64_t lead_cycles = NsToCycles(LeadNs(), timekeeper_.nominal());
    const uint64_t from = writer_.clock().Read();
    uint64_t now = from;
    while (!timekeeper_.LineHasBegun(now) && now - from <= lead_cycles) {
      std::this_thread::yield();
      now = writer_.clock().Read();
    }
  }

  /// A page that has no frequency gets the measured one, and so does one whose
  /// frequency is not this counter's: what was on it is void.
  TimekeeperConfig Config(const UpdaterOptions& options) {
    vvar_header& header = page_.header;
    const uint64_t hz = PageMemory::Load(header.counter_hz);
    const uint64_t measured_hz = discipline_.measured_hz();
    const uint64_t off_hz =
        hz > measured_hz ? hz - measured_hz : measured_hz - hz;
    if (off_hz > measured_hz / 100) {
      if (hz == 0) {
        PageMemory::Store(header.counter_hz, measured_hz);
      } else {
        ChangeCounter(page_, NativeClock::kCounterId, NativeClock::kCounterBits,
                      measured_hz);
      }
    }
    return {NativeClock::kCounterId,
            NativeClock::kCounterBits,
            PageMemory::Load(header.counter_hz),
            LeadNs(),
            tick_ns_,
            static_cast<uint64_t>(absl::ToInt64Nanoseconds(options.max_age))};
  }

  vvar_page& page_;
  std::unique_ptr<Reference> reference_;
  uint64_t tick_ns_;
  Discipline discipline_;
  Timekeeper timekeeper_;
  Writer<NativeClock> writer_;
  bool continued_ = false;
};

/// Runs an updater: at each tick, and at once when somebody sets REALTIME.
/// Run() may be given to a thread or be the whole of a daemon's main().
///
/// One timer on REALTIME does both, because it is cancelled when that clock is
/// set; and one system call a tick is what a frequent writer can afford.
class TickLoop {
 public:
  /// Error: Internal, naming the call that failed.
  static absl::StatusOr<std::unique_ptr<TickLoop>> Create(uint64_t tick_ns) {
    const int fd = timerfd_create(CLOCK_REALTIME, TFD_CLOEXEC);
    if (fd < 0) {
      return absl::InternalError(
          absl::StrCat("timerfd_create: ", strerror(errno)));
    }
    auto loop = std::unique_ptr<TickLoop>(new TickLoop(fd, tick_ns));
    if (!loop->Arm()) {
      return absl::InternalError(
          absl::StrCat("timerfd_settime: ", strerror(errno)));
    }
    return loop;
  }
  ~TickLoop() { close(fd_); }
  TickLoop(const TickLoop&) = delete;
  TickLoop& operator=(const TickLoop&) = delete;

  /// Calls updater.Tick() until Stop(). `updater`: an Updater, or what passes
  /// Tick() and TickNow() on to one.
  template <class TickedUpdater>
  void Run(TickedUpdater& updater) {
    while (!stopped_.load(std::memory_order_relaxed)) {
      uint64_t expirations;
      if (read(fd_, &expirations, sizeof(expirations)) < 0) {
        if (errno == EINTR) continue;
        if (errno != ECANCELED || !Arm()) return;
        updater.TickNow();
        continue;
      }
      updater.Tick();
    }
  }

  /// Ends Run(). Context: any thread, and signal handlers.
  void Stop() {
    stopped_.store(true, std::memory_order_relaxed);
    itimerspec at_once = {};
    at_once.it_value.tv_nsec = 1;
    timerfd_settime(fd_, 0, &at_once, nullptr);
  }

 private:
  TickLoop(int fd, uint64_t tick_ns) : fd_(fd), tick_ns_(tick_ns) {}

  /// Starts the timer, one tick from now.
  bool Arm() {
    // ECANCELED: armed, but relative to a clock that was set just then.
    constexpr int kTries = 8;
    for (int i = 0; i < kTries; ++i) {
      if (ArmOnce()) return true;
      if (errno != ECANCELED) return false;
    }
    return false;
  }

  bool ArmOnce() {
    itimerspec timer = {};
    timer.it_interval = {static_cast<time_t>(tick_ns_ / kNsPerSec),
                         static_cast<long>(tick_ns_ % kNsPerSec)};
    clock_gettime(CLOCK_REALTIME, &timer.it_value);
    timer.it_value.tv_sec += timer.it_interval.tv_sec;
    timer.it_value.tv_nsec += timer.it_interval.tv_nsec;
    if (timer.it_value.tv_nsec >= static_cast<long>(kNsPerSec)) {
      timer.it_value.tv_nsec -= static_cast<long>(kNsPerSec);
      ++timer.it_value.tv_sec;
    }
    return timerfd_settime(fd_, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET,
                           &timer, nullptr) == 0;
  }

  int fd_;
  uint64_t tick_ns_;
  std::atomic<bool> stopped_ = false;
};

}  // namespace vvar::hosted

#endif  // VVAR_HOSTED_UPDATER_H_
