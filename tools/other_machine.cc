// SPDX-License-Identifier: MIT
//
// What a machine says of itself that is not x86.
#include <fstream>
#include <string>

#include "tools/machine.h"

namespace vvar::tools {

bool ExecIsMade() { return false; }

std::string Hypervisor() {
  // Source: Linux Documentation/ABI/stable/sysfs-hypervisor-xen; Devicetree
  // binding of the node /hypervisor: "linux,kvm", "xen,xen".
  for (const char* path :
       {"/sys/hypervisor/type", "/proc/device-tree/hypervisor/compatible"}) {
    std::ifstream file(path);
    std::string name;
    if (std::getline(file, name)) return name.c_str();  // Up to a NUL.
  }
  return "";
}

}  // namespace vvar::tools
