// SPDX-License-Identifier: MIT
//
// For whoever maps an image into a process, a kernel or a VMM: what lies where,
// and where its functions are then. Freestanding; it maps nothing itself, calls
// nothing and believes no byte of the image.
#ifndef VVAR_VDSO_LOADER_H_
#define VVAR_VDSO_LOADER_H_

#include <stdint.h>

#include "fallback/syscall.h"
#include "fallback/vdso_symbol.h"
#include "vvar/abi.h"

/// The vDSO image, for whoever maps it.
namespace vvar::vdso {

/// Addresses in the process, right behind each other (image.ld), each at the
/// beginning of a page.
struct ImageLayout {
  uint64_t page;  ///< vvar_page, or zeroes. To read.
  uint64_t
      offsets;     ///< vvar_offsets of its time namespace, or zeroes. To read.
  uint64_t image;  ///< To read and execute. AT_SYSINFO_EHDR's value.
  uint64_t end;

  /// Returns where everything is of an image of `size` bytes, if the first page
  /// is at `base`.
  /// Range: base is a multiple of VVAR_PAGE_SIZE, and the end below 2^64.
  static constexpr ImageLayout At(uint64_t base, uint64_t size) {
    const uint64_t image = base + 2 * VVAR_PAGE_SIZE;
    // Bound: size is an object's.
    const uint64_t pages = (size + VVAR_PAGE_SIZE - 1) / VVAR_PAGE_SIZE;
    return {base, base + VVAR_PAGE_SIZE, image, image + pages * VVAR_PAGE_SIZE};
  }
};

/// An image before it is mapped. It refers to the image's bytes.
class LoadableImage {
 public:
  /// Takes the `size` bytes of the file. Mapped is each page that has one of
  /// them: what else is on the last one is shown to user mode.
  LoadableImage(const void* bytes, uint64_t size)
      : bytes_(reinterpret_cast<uintptr_t>(bytes)),
        size_(size),
        tables_(bytes, size) {}

  /// Returns kFound, or why this is nothing to map: no image of this program's
  /// class, or one without clock_gettime.
  /// Progress: bounded by VdsoImage::kLargestBytes. Context: any.
  [[nodiscard]] fallback::VdsoStatus status() const {
    return fallback::FindVdsoFunction(tables_, "clock_gettime").status;
  }

  /// As ImageLayout::At().
  [[nodiscard]] constexpr ImageLayout LayoutAt(uint64_t base) const {
    return ImageLayout::At(base, size_);
  }

  /// Returns where a function of Linux's, such as "clock_gettime", is in a
  /// process; 0 if the image has none. Progress and context: as status().
  [[nodiscard]] uint64_t AddressOf(const char* name,
                                   const ImageLayout& layout) const {
    const fallback::VdsoLookup found =
        fallback::FindVdsoFunction(tables_, name);
    return found.address == 0 ? 0 : layout.image + (found.address - bytes_);
  }

 private:
  uintptr_t bytes_;
  uint64_t size_;
  fallback::VdsoImage tables_;
};

}  // namespace vvar::vdso

#endif  // VVAR_VDSO_LOADER_H_
