// SPDX-License-Identifier: MIT
//
// The bytes of this machine's image, for programs that map it into others. Part
// of the program's read-only data; linked by what vdso/image.bzl knows.
#ifndef VVAR_VDSO_EMBEDDED_IMAGE_H_
#define VVAR_VDSO_EMBEDDED_IMAGE_H_

#include <string_view>

#ifdef VVAR_IMAGE_NEEDS

namespace vvar::vdso {
/// What the build lacked to make the image; empty: nothing.
inline constexpr std::string_view kImageNeeds = VVAR_IMAGE_NEEDS;
inline std::string_view EmbeddedImage() { return {}; }
}  // namespace vvar::vdso

#else

extern "C" const char vvar_embedded_image[];
extern "C" const char vvar_embedded_image_end[];

namespace vvar::vdso {
/// What the build lacked to make the image; empty: nothing.
inline constexpr std::string_view kImageNeeds;
/// The image, an ELF file.
inline std::string_view EmbeddedImage() {
  return {vvar_embedded_image, vvar_embedded_image_end};
}
}  // namespace vvar::vdso

#endif  // VVAR_IMAGE_NEEDS

#endif  // VVAR_VDSO_EMBEDDED_IMAGE_H_
