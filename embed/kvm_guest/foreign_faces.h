// SPDX-License-Identifier: MIT
//
// Clock pages of other hypervisors that a VMM offers beside its own, all of one
// line: Hyper-V's reference TSC page behind its MSRs, and a VMClock region.
// Linux user space.
#ifndef VVAR_EMBED_KVM_GUEST_FOREIGN_FACES_H_
#define VVAR_EMBED_KVM_GUEST_FOREIGN_FACES_H_

#include <stdint.h>

#include <mutex>
#include <optional>

#include "absl/status/status.h"
#include "embed/kvm_guest/cases.h"
#include "embed/kvm_guest/vmm.h"
#include "paravirt/hyperv_tsc.h"
#include "paravirt/vmclock.h"
#include "vvar/timebase.h"

namespace vvar::kvm_guest {

// Source: Hypervisor Top Level Functional Specification, "Synthetic MSRs".
inline constexpr uint32_t kMsrHypervGuestOsId = 0x4000'0000;
inline constexpr uint32_t kMsrHypervTimeRefCount = 0x4000'0020;
inline constexpr uint32_t kMsrHypervReferenceTsc = 0x4000'0021;

/// Reference time of a partition: MONOTONIC of its guest since it was made.
/// Context: MSRs come from the thread that runs the vCPU, lines from the
/// writer's.
class HypervFace {
 public:
  /// Answers the MSRs of `machine`'s guest from now on. Error: Unavailable.
  absl::Status Serve(Machine& machine);
  /// Publishes what `line` says, once the guest has asked for a page.
  void Publish(const Line& line);
  /// Has the guest ask the MSR from now on.
  void Withdraw();

  uint64_t TicksToMonotonicNs(uint64_t ticks) const {
    return made_ns_ + ticks * kNsPerHypervTick;
  }
  uint64_t msr_reads() const { return msr_reads_; }
  uint64_t publications();

 private:
  bool Answer(MsrAccess& access);
  bool MovePage(uint64_t value);

  Machine* machine_ = nullptr;
  uint64_t made_ns_ = 0;
  uint64_t msr_reads_ = 0;
  uint64_t guest_os_id_ = 0;
  uint64_t reference_tsc_ = 0;
  std::mutex mutex_;  // Of what follows.
  std::optional<HypervTscWriter<>> writer_;
  std::optional<HypervTscLine> last_;
  uint64_t publications_ = 0;
};

/// A VMClock region in a read-only slot at kVmclockPage, of a guest whose truth
/// is its host's clock.
class VmclockFace {
 public:
  absl::Status Serve(Machine& machine);
  void Publish(const Line& line);

 private:
  Machine* machine_ = nullptr;
  Descriptor fd_;
  Mapping mapping_;
  std::optional<VmclockWriter<>> writer_;
  std::optional<VmclockLine> last_;
};

}  // namespace vvar::kvm_guest

#endif  // VVAR_EMBED_KVM_GUEST_FOREIGN_FACES_H_
