// SPDX-License-Identifier: MIT
//
// A small VMM on /dev/kvm: guest RAM, read-only slots, one vCPU in 64-bit mode,
// and a run loop that ends with the guest's OUT. Linux user space, x86-64. It
// knows no time; what it would do for another guest is in README.md.
#ifndef VVAR_EMBED_KVM_GUEST_VMM_H_
#define VVAR_EMBED_KVM_GUEST_VMM_H_

#include <linux/kvm.h>
#include <stddef.h>
#include <stdint.h>

#include <functional>
#include <memory>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "embed/kvm_guest/exchange.h"
#include "embed/kvm_guest/mapping.h"

namespace vvar::kvm_guest {

enum class Ring { kKernel = 0, kUser = 3 };

/// A guest's access to an MSR that KVM leaves to the VMM.
struct MsrAccess {
  enum class Kind { kRead, kWrite } kind;
  uint32_t index;
  uint64_t value;  ///< What is written, or is to be read.
};

/// A guest's store where it may only read.
struct RefusedStore {
  uint64_t address;
  uint32_t bytes;
  uint64_t value;
};

/// What of a vCPU goes to another host; the rest of this one is never changed.
struct VcpuState {
  kvm_regs regs;
  kvm_sregs sregs;
};

/// One guest with one vCPU. Context: one thread, the one that made it.
class Vm {
 public:
  /// Loads `image` at kImage and is about to run it there, in ring 3.
  /// Error: Unavailable, with the reason, where KVM cannot be used.
  static absl::StatusOr<std::unique_ptr<Vm>> Create(std::string_view image);

  /// Maps the page of `fd` into the guest, read-only.
  absl::Status MapReadOnly(uint64_t guest_address, int fd);

  /// Lets the guest perform one command, in `ring`.
  /// Error: DeadlineExceeded after `limit`; the guest may be run on. Internal,
  /// naming the exit, if it did anything else.
  absl::Status Call(Ring ring, Command command,
                    absl::Duration limit = absl::Seconds(20));

  /// Has the guest's accesses to MSRs that KVM does not know given to
  /// `handler`, which returns whether there is such an MSR.
  /// Error: Unavailable.
  absl::Status HandleMsrs(std::function<bool(MsrAccess&)> handler);

  /// What the next host needs besides RAM, and how it takes it over.
  absl::StatusOr<VcpuState> Save();
  absl::Status Restore(const VcpuState& state);

  /// The vCPU's TSC less the host's, as KVM has it now.
  absl::StatusOr<uint64_t> TscOffset() const;
  /// Whether the guest may enable kvmclock by the newer MSRs.
  bool offers_kvmclock() const { return offers_kvmclock_; }
  /// kvmclock of this moment. Units: ns.
  absl::StatusOr<uint64_t> KvmClockNs() const;

  Exchange& exchange() { return *At<Exchange>(kExchangePage); }
  template <class T>
  T* At(uint64_t guest_address) {
    return reinterpret_cast<T*>(static_cast<char*>(ram_.address()) +
                                guest_address);
  }
  const std::vector<RefusedStore>& refused_stores() const { return stores_; }

 private:
  Vm() = default;
  absl::Status MakeVm();
  absl::Status MakeVcpu();
  absl::Status SetCpuid();
  absl::Status SetTscOffset();
  absl::Status SetRegisters();
  absl::Status AddSlot(uint64_t guest_address, size_t size, uint32_t flags,
                       const void* memory);
  void FillPageTables();
  absl::Status Enter(Ring ring);
  absl::Status FinishExit();
  absl::StatusOr<bool> HandleExit();
  void AnswerMsr(MsrAccess::Kind kind);

  Descriptor kvm_;
  Descriptor vm_;
  Descriptor vcpu_;
  Mapping ram_;
  Mapping run_mapping_;
  kvm_run* run_ = nullptr;
  std::vector<Mapping> read_only_;
  std::vector<RefusedStore> stores_;
  std::function<bool(MsrAccess&)> msr_handler_;
  Ring ring_ = Ring::kUser;
  bool offers_kvmclock_ = false;
};

}  // namespace vvar::kvm_guest

#endif  // VVAR_EMBED_KVM_GUEST_VMM_H_
