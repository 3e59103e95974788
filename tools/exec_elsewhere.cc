// SPDX-License-Identifier: MIT
//
// vvar exec, on machines that nobody has made it for.
#include <stdio.h>

#include <vector>

#include "tools/command.h"

namespace vvar::tools {

int Exec(const std::vector<char*>& /*words*/) {
  fputs("vvar: exec: this machine's is not known; expected x86-64\n", stderr);
  return kExitRefused;
}

}  // namespace vvar::tools
