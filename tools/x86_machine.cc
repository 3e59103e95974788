// SPDX-License-Identifier: MIT
//
// What x86 says of itself.
#include <stdint.h>
#include <string.h>

#include <string>

#include "absl/strings/string_view.h"
#include "clocks/x86_tsc.h"
#include "tools/machine.h"

namespace vvar::tools {

bool ExecIsMade() { return true; }

std::string Hypervisor() {
  if (!X86TscInfo::Query().hypervisor) return "";
  // One that poses as Hyper-V signs first as that, then as itself.
  // Source: Linux arch/x86/include/asm/cpuid/api.h, cpuid_base_hypervisor().
  std::string name;
  for (const uint32_t base : {0x4000'0000U, 0x4000'0100U}) {
    const CpuidLeaf leaf = ReadCpuid(base, 0);
    // Of the first an old KVM gives 0 for the highest leaf.
    if (leaf.ebx == 0 || (!name.empty() && leaf.eax < base)) continue;
    char signature[12];
    memcpy(signature, &leaf.ebx, 4);
    memcpy(signature + 4, &leaf.ecx, 4);
    memcpy(signature + 8, &leaf.edx, 4);
    name = HypervisorName(absl::string_view(signature, sizeof(signature)));
  }
  return name.empty() ? "a hypervisor without a name" : name;
}

}  // namespace vvar::tools
