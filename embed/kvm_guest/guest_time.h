// SPDX-License-Identifier: MIT
//
// A guest's time, kept by its VMM: a page whose lines are in the guest's
// counter units, written by a thread that follows the host's kernel clocks; and
// what becomes of it when the guest moves. Linux user space.
#ifndef VVAR_EMBED_KVM_GUEST_GUEST_TIME_H_
#define VVAR_EMBED_KVM_GUEST_GUEST_TIME_H_

#include <stdint.h>

#include <atomic>
#include <functional>
#include <memory>
#include <thread>

#include "clocks/native.h"
#include "embed/kvm_guest/guest_counter.h"
#include "hosted/discipline.h"
#include "hosted/reference.h"
#include "vvar/page.h"
#include "vvar/timebase.h"
#include "vvar/timekeeper.h"
#include "vvar/writer.h"

namespace vvar::kvm_guest {

/// The host's clocks as the guest is to have them: counter values in the
/// guest's units, and each clock less what the guest has not lived through.
class GuestReference : public hosted::Reference {
 public:
  /// What the host's clocks are ahead by. Units: ns, by VVAR_BASE_*.
  struct Ahead {
    int64_t monotonic_ns = 0;
    int64_t monotonic_raw_ns = 0;
    int64_t boottime_ns = 0;
  };

  GuestReference(NativeClock host, const CounterScaling& scaling)
      : kernel_(host), scaling_(scaling) {}
  hosted::Bracket Read(ClockId clock) override;
  hosted::ReferenceQuality Quality() override;
  void TrustHost() { trusts_host_ = true; }
  void SetAhead(const Ahead& ahead) { ahead_ = ahead; }

 private:
  hosted::KernelReference kernel_;
  CounterScaling scaling_;
  Ahead ahead_;
  bool trusts_host_ = false;
};

/// The writer of one guest's page. Its thread runs from Start() or Resume() to
/// Freeze(). Context: one thread calls; no vCPU runs during Freeze() and
/// Resume().
class GuestTime {
 public:
  using Clock = GuestCounter<NativeClock>;
  /// Called after each write, with the line written: where the page, and any
  /// foreign page made of the same line, is registered with dirty tracking.
  using AfterWrite = std::function<void(const Line& line)>;

  /// `page` is formatted for Clock's counter. `scaling` is what KVM gave the
  /// vCPU, read back.
  GuestTime(vvar_page& page, NativeClock host, const CounterScaling& scaling,
            AfterWrite after_write = {});
  ~GuestTime() { Stop(); }
  GuestTime(const GuestTime&) = delete;
  GuestTime& operator=(const GuestTime&) = delete;

  /// Has error bounds be against the host's clocks, whatever the kernel says of
  /// theirs against UTC. Range: before Start() or Resume().
  void TrustHost() { reference_.TrustHost(); }

  /// Starts the guest's clocks where the host's are.
  void Start();

  /// Ends the page's time at this counter value, and says so on the page:
  /// readers get kNoCounter. What another host needs is the page's bytes.
  void Freeze();

  /// Goes on from the page of a frozen guest: its header and its held line.
  /// MONOTONIC and MONOTONIC_RAW stand still while it was away, REALTIME and
  /// BOOTTIME count it. Returns false where the page holds no such line.
  [[nodiscard]] bool Resume();

  /// The counter's rate in guest units. Units: Hz.
  uint64_t counter_hz() const { return discipline_->measured_hz(); }
  Clock clock() const { return writer_.clock(); }
  uint64_t updates() const { return updates_.load(std::memory_order_relaxed); }

 private:
  void Follow();
  Gap AwayUntil(uint64_t* at, const Line& held);
  void Run();
  void Stop();
  void Tick();
  void NoteWrite();

  vvar_page& page_;
  AfterWrite after_write_;
  GuestReference reference_;
  Writer<Clock> writer_;
  // From Start() or Resume() on.
  std::unique_ptr<hosted::Discipline> discipline_;
  std::unique_ptr<Timekeeper> timekeeper_;
  std::thread thread_;
  std::atomic<bool> stopped_ = false;
  std::atomic<uint64_t> updates_ = 0;
};

}  // namespace vvar::kvm_guest

#endif  // VVAR_EMBED_KVM_GUEST_GUEST_TIME_H_
