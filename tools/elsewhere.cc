// SPDX-License-Identifier: MIT
//
// vvar exec and attach, on machines that nobody has made them for.
#include <vector>

#include "absl/status/status.h"
#include "tools/command.h"

namespace vvar::tools {
namespace {

absl::Status Unknown() {
  return absl::UnimplementedError("not made for this machine; expected x86-64");
}

}  // namespace

int Exec(const std::vector<char*>& /*words*/) {
  return Refuse("exec", Unknown());
}
ExitCode Attach() { return Refuse("attach", Unknown()); }

}  // namespace vvar::tools
