// SPDX-License-Identifier: MIT
//
// The image that this program maps into others, and pages for it.
#ifndef VVAR_TOOLS_OWN_IMAGE_H_
#define VVAR_TOOLS_OWN_IMAGE_H_

#include <stddef.h>

#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "hosted/shared_page.h"
#include "vdso/embedded_image.h"
#include "vvar/page.h"
#include "vvar/seqcount.h"

namespace vvar::tools {

/// Error: Unimplemented, naming what the build lacked to make one.
inline absl::StatusOr<std::string_view> OwnImage() {
  if (vdso::kImageNeeds.empty()) return vdso::EmbeddedImage();
  return absl::UnimplementedError(
      absl::StrCat("this vvar has no image: it was built without ",
                   std::string(vdso::kImageNeeds)));
}

/// Attaches to a page for the image to be mapped beside.
/// Error: AttachedPage's; or Unimplemented, of another layout.
inline absl::StatusOr<hosted::AttachedPage> AttachForImage(
    const std::string& name) {
  absl::StatusOr<hosted::AttachedPage> page =
      hosted::AttachedPage::Attach(name);
  if (!page.ok() || page->HasLayoutOfImages()) return page;
  return absl::UnimplementedError(absl::StrCat(
      "page ", hosted::PagePath(name), ": its timelines begin at ",
      PageMemory::Load(page->bytes().header.timeline_offset), "; expected ",
      offsetof(vvar_page, timeline), ", where the image looks for them"));
}

}  // namespace vvar::tools

#endif  // VVAR_TOOLS_OWN_IMAGE_H_
