// SPDX-License-Identifier: MIT
//
// The bytes of this machine's images, for programs that map them into others.
// Part of the program's read-only data; linked by what vdso/image.bzl knows.
#ifndef VVAR_VDSO_EMBEDDED_IMAGE_H_
#define VVAR_VDSO_EMBEDDED_IMAGE_H_

#include <string_view>

#ifdef VVAR_IMAGE_NEEDS

namespace vvar::vdso {
/// What the build lacked to make the images; empty: nothing.
inline constexpr std::string_view kImageNeeds = VVAR_IMAGE_NEEDS;
inline std::string_view EmbeddedImage() { return {}; }
inline std::string_view EmbeddedI386Image() { return {}; }
}  // namespace vvar::vdso

#else

/// @{
/// Where vdso/image.bzl has them linked; the functions below hide that.
extern "C" const char vvar_embedded_image[];
extern "C" const char vvar_embedded_image_end[];
extern "C" const char vvar_embedded_image_i386[];
extern "C" const char vvar_embedded_image_i386_end[];
/// @}

namespace vvar::vdso {
/// What the build lacked to make the images; empty: nothing.
inline constexpr std::string_view kImageNeeds;
/// The image, an ELF file.
inline std::string_view EmbeddedImage() {
  return {vvar_embedded_image, vvar_embedded_image_end};
}
/// The image for this machine's 32-bit programs, an ELF file.
inline std::string_view EmbeddedI386Image() {
  return {vvar_embedded_image_i386, vvar_embedded_image_i386_end};
}
}  // namespace vvar::vdso

#endif  // VVAR_IMAGE_NEEDS

#endif  // VVAR_VDSO_EMBEDDED_IMAGE_H_
