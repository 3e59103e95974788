// SPDX-License-Identifier: MIT
//
// What differs from one kind of machine to another, and is asked of it.
#ifndef VVAR_TOOLS_MACHINE_H_
#define VVAR_TOOLS_MACHINE_H_

#include <string>

#include "absl/strings/string_view.h"

namespace vvar::tools {

/// Whether `vvar exec` and `vvar attach` are made for this machine.
bool ExecIsMade();

/// What this machine is a guest of, "KVM" for example; "" if of nothing that
/// tells.
std::string Hypervisor();

/// The name for the 12 characters by which a hypervisor signs CPUID.
/// Source: Linux arch/x86/kernel/cpu/hypervisor.c and its drivers; Hyper-V
/// TLFS, feature discovery.
inline std::string HypervisorName(absl::string_view signature) {
  struct Row {
    absl::string_view signature;
    const char* name;
  };
  constexpr Row kRows[] = {
      {"KVMKVMKVM", "KVM"},         {"Microsoft Hv", "Hyper-V"},
      {"VMwareVMware", "VMware"},   {"XenVMMXenVMM", "Xen"},
      {"TCGTCGTCGTCG", "QEMU TCG"}, {"VBoxVBoxVBox", "VirtualBox"},
      {"bhyve bhyve ", "bhyve"},    {"ACRNACRNACRN", "ACRN"},
      {"prl hyperv  ", "Parallels"}};
  // KVM's ends with zeros.
  while (!signature.empty() && signature.back() == '\0') {
    signature.remove_suffix(1);
  }
  for (const Row& row : kRows) {
    if (row.signature == signature) return row.name;
  }
  return "a hypervisor that signs '" + std::string(signature) + "'";
}

}  // namespace vvar::tools

#endif  // VVAR_TOOLS_MACHINE_H_
