// SPDX-License-Identifier: MIT
//
// What the test's cases share: a host with a guest on it, the host's clocks,
// and how often a guest's time lay between two of the host's. Tests only.
#ifndef VVAR_EMBED_KVM_GUEST_CASES_H_
#define VVAR_EMBED_KVM_GUEST_CASES_H_

#include <stdint.h>
#include <time.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "embed/kvm_guest/guest_time.h"
#include "embed/kvm_guest/vmm.h"
#include "hosted/shared_page.h"

namespace vvar::kvm_guest {

/// Its figures; or Unavailable with the reason why it cannot be tried here; or
/// what went wrong.
using CaseResult = absl::StatusOr<std::string>;

struct Case {
  const char* name;
  CaseResult (*run)();
};

std::vector<Case> TimeCases();
std::vector<Case> ParavirtCases();

/// A host, a guest on it, and the guest's time page at kTimePage.
struct Machine {
  /// The clocks have not been started. `scaling`: what the guest's counter does
  /// beyond what KVM makes it do; it applies that by itself.
  static absl::StatusOr<Machine> Create(
      const CounterScaling& scaling = {},
      const GuestTime::AfterWrite& after_write = {});

  /// Has the guest perform `command` and looks at its status.
  absl::Status Ask(Command command, Ring ring = Ring::kUser);

  std::unique_ptr<Vm> vm;
  hosted::WritablePage page;
  std::unique_ptr<GuestTime> time;
};

/// A clock of the host's kernel. Units: ns.
uint64_t HostNs(clockid_t clock);

/// How a guest's times lay in the host's brackets.
class Brackets {
 public:
  void Add(uint64_t before_ns, uint64_t guest_ns, uint64_t after_ns);
  bool all_inside() const { return count_ != 0 && inside_ == count_; }
  /// Returns "2000 of 2000 inside, at least 9 us from either end".
  std::string Describe() const;

 private:
  uint64_t count_ = 0;
  uint64_t inside_ = 0;
  int64_t nearest_ns_ = INT64_MAX;
};

/// Returns `figures` if `good`, else Internal with them.
CaseResult Judge(bool good, const std::string& figures);

}  // namespace vvar::kvm_guest

#endif  // VVAR_EMBED_KVM_GUEST_CASES_H_
