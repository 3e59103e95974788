// SPDX-License-Identifier: MIT
//
// The image that this program maps into others.
#ifndef VVAR_TOOLS_OWN_IMAGE_H_
#define VVAR_TOOLS_OWN_IMAGE_H_

#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "vdso/embedded_image.h"

namespace vvar::tools {

/// Error: Unimplemented, naming what the build lacked to make one.
inline absl::StatusOr<std::string_view> OwnImage() {
  if (vdso::kImageNeeds.empty()) return vdso::EmbeddedImage();
  return absl::UnimplementedError(
      absl::StrCat("this vvar has no image: it was built without ",
                   std::string(vdso::kImageNeeds)));
}

}  // namespace vvar::tools

#endif  // VVAR_TOOLS_OWN_IMAGE_H_
