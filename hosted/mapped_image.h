// SPDX-License-Identifier: MIT
//
// A vDSO image in this process, mapped as a kernel maps one: a page of time, a
// page of offsets and the image right behind each other, none of them writable.
// Linux user space. The system's own vDSO stays what it is.
#ifndef VVAR_HOSTED_MAPPED_IMAGE_H_
#define VVAR_HOSTED_MAPPED_IMAGE_H_

#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "fallback/syscall.h"
#include "fallback/vdso_symbol.h"
#include "vdso/loader.h"
#include "vvar/offset.h"
#include "vvar/page.h"

namespace vvar::hosted {

/// Move-only; its functions may be called while it lives.
class MappedImage {
 public:
  /// Maps the `size` bytes of an image of this machine beside the page of
  /// `page_fd`, which stays the caller's; -1: no page, all calls enter the
  /// kernel. Error: InvalidArgument (no image), Internal (naming the call).
  static absl::StatusOr<MappedImage> Map(const void* bytes, size_t size,
                                         int page_fd,
                                         const ClockOffsets& offsets = {}) {
    const vdso::LoadableImage image(bytes, size);
    if (image.status() != fallback::VdsoStatus::kFound) {
      return absl::InvalidArgumentError(absl::StrCat(
          "image of ", size, " bytes: VdsoStatus ",
          static_cast<int>(image.status()), "; expected 0, an image"));
    }
    void* base = mmap(nullptr, image.LayoutAt(0).end, PROT_READ,
                      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (base == MAP_FAILED) return CallError("mmap");
    MappedImage mapped(image.LayoutAt(reinterpret_cast<uintptr_t>(base)));
    vvar_offsets namespace_page = {};
    FormatOffsets(namespace_page, offsets);
    const vdso::ImageLayout& at = mapped.layout_;
    if ((page_fd >= 0 && !mapped.Show(at.page, at.offsets, page_fd,
                                      MAP_SHARED | MAP_FIXED, PROT_READ)) ||
        !mapped.ShowCopy(at.offsets, at.image, &namespace_page,
                         sizeof(namespace_page), PROT_READ) ||
        !mapped.ShowCopy(at.image, at.end, bytes, size,
                         PROT_READ | PROT_EXEC)) {
      return CallError("mmap of a memfd");
    }
    return mapped;
  }
  MappedImage(MappedImage&& other) noexcept
      : layout_(std::exchange(other.layout_, {})) {}
  MappedImage& operator=(MappedImage&& other) noexcept {
    std::swap(layout_, other.layout_);
    return *this;
  }
  ~MappedImage() {
    if (layout_.end != 0) munmap(At(layout_.page), layout_.end - layout_.page);
  }

  /// Mapped as long as this object lives.
  const vdso::ImageLayout& layout() const { return layout_; }
  /// The image as a program finds the system's.
  fallback::VdsoImage tables() const {
    return fallback::VdsoImage::FromMappedByKernel(layout_.image);
  }
  /// They may be called as long.
  fallback::VdsoFunctions functions() const {
    return fallback::FindVdsoFunctions(tables());
  }

 private:
  explicit MappedImage(const vdso::ImageLayout& layout) : layout_(layout) {}

  static absl::Status CallError(absl::string_view call) {
    return absl::InternalError(
        absl::StrCat("image: ", call, ": ", strerror(errno)));
  }
  static void* At(uint64_t address) {
    return reinterpret_cast<void*>(static_cast<uintptr_t>(address));
  }

  static bool Show(uint64_t from, uint64_t to, int fd, int flags,
                   int protection) {
    return mmap(At(from), to - from, protection, flags, fd, 0) != MAP_FAILED;
  }
  /// Not written in place: no page is ever writable here.
  static bool ShowCopy(uint64_t from, uint64_t to, const void* bytes,
                       size_t size, int protection) {
    const int fd = memfd_create("vvar_image", MFD_CLOEXEC);
    if (fd < 0) return false;
    const bool shown = ftruncate(fd, static_cast<off_t>(to - from)) == 0 &&
                       write(fd, bytes, size) == static_cast<ssize_t>(size) &&
                       Show(from, to, fd, MAP_PRIVATE | MAP_FIXED, protection);
    const int error = errno;
    close(fd);
    errno = error;
    return shown;
  }

  vdso::ImageLayout layout_ = {};
};

}  // namespace vvar::hosted

#endif  // VVAR_HOSTED_MAPPED_IMAGE_H_
