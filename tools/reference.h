// SPDX-License-Identifier: MIT
//
// What `vvar serve` follows: --reference and --max_error_from, as the reference
// they name and as what is told of it.
#ifndef VVAR_TOOLS_REFERENCE_H_
#define VVAR_TOOLS_REFERENCE_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "clocks/native.h"
#include "hosted/reference.h"

namespace vvar::tools {

/// A reference, and where its time and its error bound are from.
struct NamedReference {
  std::unique_ptr<hosted::Reference> reference;
  std::string name;
  std::string name_note;  ///< Why it is not the one asked for; else empty.
  std::string max_error_from;
  std::string max_error_note;
};

/// Makes the reference that the flags ask for. Where the kernel's parameters
/// cannot be used, it is the kernel's clock; where chronyd does not answer, the
/// error bound is the kernel's until it does; the notes say why.
/// Error: OutOfRange for a flag's value or a device that is not there;
/// PermissionDenied for one that this process may not open.
absl::StatusOr<NamedReference> MakeReference(NativeClock clock);

}  // namespace vvar::tools

#endif  // VVAR_TOOLS_REFERENCE_H_
