// SPDX-License-Identifier: MIT
//
// See guest_time.h.
#include "embed/kvm_guest/guest_time.h"

#include <pthread.h>
#include <signal.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <utility>

#include "hosted/calibration.h"
#include "vvar/header.h"

namespace vvar::kvm_guest {
namespace {

constexpr uint64_t kTickNs = 1'000'000;
// Readers refuse a line that is older: its VMM is stopped, or dead.
constexpr uint64_t kMaxAgeNs = 2'000'000'000;
constexpr int64_t kCalibrationNs = 12'000'000;

}  // namespace

hosted::Bracket GuestReference::Read(ClockId clock) {
  const hosted::Bracket host = kernel_.Read(clock);
  const int64_t ahead_ns = clock == ClockId::kMonotonic ? ahead_.monotonic_ns
                           : clock == ClockId::kMonotonicRaw
                               ? ahead_.monotonic_raw_ns
                           : clock == ClockId::kBoottime ? ahead_.boottime_ns
                                                         : 0;
  return {scaling_.FromHost(host.before), scaling_.FromHost(host.after),
          host.ns - ahead_ns};
}

hosted::ReferenceQuality GuestReference::Quality() {
  hosted::ReferenceQuality quality = kernel_.Quality();
  if (trusts_host_) {
    quality.synchronised = true;
    quality.max_error_ns = 0;
  }
  return quality;
}

GuestTime::GuestTime(vvar_page& page, NativeClock host,
                     const CounterScaling& scaling, AfterWrite after_write)
    : page_(page),
      after_write_(std::move(after_write)),
      reference_(host, scaling),
      writer_(&page.timeline[0], Clock(host, scaling)) {}

void GuestTime::Start() {
  Follow();
  ChangeCounter(page_, Clock::kCounterId, Clock::kCounterBits, counter_hz());
  discipline_->Start(*timekeeper_, writer_.clock().Read());
  writer_.PublishLine(timekeeper_->line());
  NoteWrite();
  Run();
}

void GuestTime::Freeze() {
  Stop();
  timekeeper_->HoldAt(writer_.clock().Read());
  writer_.PublishLine(timekeeper_->line());
  NoteWrite();
}

bool GuestTime::Resume() {
  Line held;
  writer_.LoadCurrentLine(&held);
  if (!held.IsHeld()) return false;
  uint64_t at = 0;
  const Gap away = AwayUntil(&at, held);
  Follow();
  if (!timekeeper_->Import(held)) return false;
  // Before the first line of the new counter: who sees that, sees the marker.
  ChangeCounter(page_, Clock::kCounterId, Clock::kCounterBits, counter_hz());
  timekeeper_->Resume(at, away);
  (void)writer_.Publish(*timekeeper_);
  NoteWrite();
  const Line line = timekeeper_->line();
  if (!discipline_->Continue(*timekeeper_, line, writer_.clock().Read())) {
    return false;
  }
  Run();
  return true;
}

// Calibrates, which takes 12 ms.
void GuestTime::Follow() {
  discipline_ =
      std::make_unique<hosted::Discipline>(reference_, kCalibrationNs, kTickNs);
  const TimekeeperConfig config = {Clock::kCounterId, Clock::kCounterBits,
                                   counter_hz(),      kTickNs / 2,
                                   kTickNs,           kMaxAgeNs};
  timekeeper_ = std::make_unique<Timekeeper>(config);
}

// How far each clock of the guest moves over its absence, which ends at counter
// value `*at`. REALTIME is the same on both hosts and tells how long it took;
// the steady clocks of two hosts have nothing in common.
Gap GuestTime::AwayUntil(uint64_t* at, const Line& held) {
  reference_.SetAhead({});
  const hosted::Calibration host =
      hosted::Calibrate(reference_, kCalibrationNs);
  *at = writer_.clock().Read();
  const auto ahead_ns = [&](const hosted::FittedLine& line, uint32_t base) {
    const Timespec held_at =
        TimebaseToTimespec(held.base[base], held.scale.shift);
    const auto held_ns = static_cast<int64_t>(TimespecToNs(held_at));
    return std::llround(line.NsAt(*at, held_ns));
  };
  const int64_t away_ns =
      std::max<int64_t>(ahead_ns(host.realtime, VVAR_BASE_REALTIME), 0);
  reference_.SetAhead({ahead_ns(host.monotonic, VVAR_BASE_MONOTONIC),
                       ahead_ns(host.monotonic_raw, VVAR_BASE_MONOTONIC_RAW),
                       ahead_ns(host.boottime, VVAR_BASE_BOOTTIME) - away_ns});
  return {away_ns, 0, 0, away_ns};
}

void GuestTime::Run() {
  stopped_ = false;
  // Signals are for the thread that runs the vCPU.
  sigset_t all;
  sigset_t old_mask;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &old_mask);
  thread_ = std::thread([this] {
    while (!stopped_.load(std::memory_order_relaxed)) {
      std::this_thread::sleep_for(std::chrono::nanoseconds(kTickNs));
      Tick();
    }
  });
  pthread_sigmask(SIG_SETMASK, &old_mask, nullptr);
}

void GuestTime::Stop() {
  stopped_ = true;
  if (thread_.joinable()) thread_.join();
}

void GuestTime::Tick() {
  if (!timekeeper_->LineHasBegun(writer_.clock().Read())) return;
  discipline_->Steer(*timekeeper_);
  if (writer_.Publish(*timekeeper_) != PublishStatus::kTooEarly) NoteWrite();
}

void GuestTime::NoteWrite() {
  updates_.fetch_add(1, std::memory_order_relaxed);
  if (after_write_) after_write_(timekeeper_->line());
}

}  // namespace vvar::kvm_guest
