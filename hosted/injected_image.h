// SPDX-License-Identifier: MIT
//
// A vDSO image in another process: its files, and the calls that map them, page
// and offsets right before the image, none of them writable. What then leads
// programs to the image is the caller's. Linux on x86-64, user space.
#ifndef VVAR_HOSTED_INJECTED_IMAGE_H_
#define VVAR_HOSTED_INJECTED_IMAGE_H_

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <string>
#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "hosted/injected_calls.h"
#include "hosted/traced_thread.h"
#include "vdso/loader.h"
#include "vvar/offset.h"
#include "vvar/page.h"

namespace vvar::hosted {

/// An anonymous file that nobody can change any more. Move-only.
class SealedFile {
 public:
  /// None: fd() is -1.
  SealedFile() = default;
  SealedFile(SealedFile&& other) noexcept
      : fd_(std::exchange(other.fd_, -1)), size_(other.size_) {}
  SealedFile& operator=(SealedFile&& other) noexcept {
    std::swap(fd_, other.fd_);
    size_ = other.size_;
    return *this;
  }
  ~SealedFile() {
    if (fd_ >= 0) close(fd_);
  }

  /// Makes one; `name` is what /proc/PID/maps shows. Its end is filled with
  /// zeroes up to a whole page. Error: Internal, naming the call that failed.
  static absl::StatusOr<SealedFile> Make(const char* name,
                                         std::string_view bytes) {
    SealedFile file;
    file.fd_ = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
    file.size_ =
        (bytes.size() + VVAR_PAGE_SIZE - 1) / VVAR_PAGE_SIZE * VVAR_PAGE_SIZE;
    constexpr int kAll =
        F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;
    if (file.fd_ < 0 ||
        write(file.fd_, bytes.data(), bytes.size()) !=
            static_cast<ssize_t>(bytes.size()) ||
        ftruncate(file.fd_, static_cast<off_t>(file.size_)) != 0 ||
        fcntl(file.fd_, F_ADD_SEALS, kAll) != 0) {
      return absl::InternalError(
          absl::StrCat("memfd ", name, ": ", strerror(errno)));
    }
    return file;
  }

  /// Closed with this object.
  int fd() const { return fd_; }
  /// Whole pages.
  uint64_t size() const { return size_; }

 private:
  int fd_ = -1;
  uint64_t size_ = 0;
};

/// Makes an offset page for the images of a time namespace.
inline absl::StatusOr<SealedFile> MakeOffsetsFile(const ClockOffsets& values) {
  vvar_offsets page = {};
  // All zero says the same, to who looks at the bytes, too.
  if (!(values == ClockOffsets())) FormatOffsets(page, values);
  return SealedFile::Make(
      "vvar-offsets",
      std::string_view(reinterpret_cast<const char*>(&page), sizeof(page)));
}

/// What to map: descriptors, and the process in whose /proc directory the other
/// one opens them (descriptor_lender.h).
struct ImageFiles {
  pid_t holder;         ///< Must live until they are mapped.
  int page_fd;          ///< Of vvar_page.
  int offsets_fd;       ///< Of vvar_offsets, as MakeOffsetsFile() makes it.
  int image_fd;         ///< Of the image itself.
  uint64_t image_size;  ///< A multiple of VVAR_PAGE_SIZE.
};

namespace injected_image_internal {

/// Calls of one thread, whose errors name what was tried.
class Caller {
 public:
  Caller(TracedThread thread, const InjectedCalls& calls)
      : thread_(thread), calls_(calls), numbers_(MapCallsOf(calls.program())) {}

  absl::StatusOr<uint64_t> Call(absl::string_view what, long number,
                                const std::array<uint64_t, 6>& arguments) {
    const absl::StatusOr<int64_t> result = calls_.Call(number, arguments);
    if (!result.ok()) return result.status();
    constexpr int64_t kMaxErrno = 4095;
    if (*result < 0 && *result >= -kMaxErrno) {
      return thread_.Error(what, static_cast<int>(-*result));
    }
    return static_cast<uint64_t>(*result);
  }

  /// Maps a descriptor of the holder's at `address`, and nowhere else.
  absl::Status MapFile(pid_t holder, int fd, uint64_t address, uint64_t size,
                       int protection, int flags) {
    const std::string path = absl::StrCat("/proc/", holder, "/fd/", fd);
    absl::Status status =
        thread_.Write(calls_.scratch(), path.c_str(), path.size() + 1);
    if (!status.ok()) return status;
    const absl::StatusOr<uint64_t> opened =
        Call(absl::StrCat("open ", path), numbers_.openat,
             {static_cast<uint64_t>(AT_FDCWD), calls_.scratch(),
              O_RDONLY | O_CLOEXEC, 0, 0, 0});
    if (!opened.ok()) return opened.status();
    const absl::StatusOr<uint64_t> mapped =
        Call(absl::StrCat("mmap ", path), numbers_.mmap,
             {address, size, static_cast<uint64_t>(protection),
              static_cast<uint64_t>(flags | MAP_FIXED), *opened, 0});
    const absl::StatusOr<uint64_t> closed =
        Call("close", numbers_.close, {*opened, 0, 0, 0, 0, 0});
    if (!mapped.ok()) return mapped.status();
    if (!closed.ok()) return closed.status();
    if (*mapped != address) return Misplaced(*mapped, address);
    return absl::OkStatus();
  }

  /// Finds room for `size` bytes, at `hint` if there is some.
  absl::StatusOr<uint64_t> Reserve(uint64_t hint, uint64_t size) {
    const absl::StatusOr<uint64_t> room =
        Call("mmap", numbers_.mmap,
             {hint, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS,
              static_cast<uint64_t>(-1), 0});
    if (!room.ok()) return room;
    if (*room < VVAR_PAGE_SIZE * 2 || *room % VVAR_PAGE_SIZE != 0) {
      return Misplaced(*room, hint);
    }
    return room;
  }

  absl::Status Unmap(const vdso::ImageLayout& layout) {
    return Call("munmap", numbers_.munmap,
                {layout.page, layout.end - layout.page, 0, 0, 0, 0})
        .status();
  }

 private:
  absl::Status Misplaced(uint64_t at, uint64_t expected) const {
    return absl::InternalError(
        absl::StrCat("process ", thread_.tid(), ": mmap gave 0x", absl::Hex(at),
                     "; expected a page, at 0x", absl::Hex(expected)));
  }

  TracedThread thread_;
  const InjectedCalls& calls_;
  MapCalls numbers_;
};

}  // namespace injected_image_internal

/// Takes away what MapImage() mapped. Range: nobody runs it any more.
inline absl::Status UnmapImage(TracedThread thread, const InjectedCalls& calls,
                               const vdso::ImageLayout& layout) {
  return injected_image_internal::Caller(thread, calls).Unmap(layout);
}

/// Maps page, offsets (shared, read) and image (private, read and execute) in
/// the process of a thread that makes calls for us. `hint`: where, if there is
/// room. Error: TracedThread's, and nothing stays mapped or open.
inline absl::StatusOr<vdso::ImageLayout> MapImage(TracedThread thread,
                                                  const InjectedCalls& calls,
                                                  const ImageFiles& files,
                                                  uint64_t hint = 0) {
  injected_image_internal::Caller caller(thread, calls);
  const uint64_t size = vdso::ImageLayout::At(0, files.image_size).end;
  const absl::StatusOr<uint64_t> room = caller.Reserve(hint, size);
  if (!room.ok()) return room.status();
  const vdso::ImageLayout mapped =
      vdso::ImageLayout::At(*room, files.image_size);
  absl::Status status = caller.MapFile(files.holder, files.page_fd, mapped.page,
                                       VVAR_PAGE_SIZE, PROT_READ, MAP_SHARED);
  if (status.ok()) {
    status = caller.MapFile(files.holder, files.offsets_fd, mapped.offsets,
                            VVAR_PAGE_SIZE, PROT_READ, MAP_SHARED);
  }
  if (status.ok()) {
    status =
        caller.MapFile(files.holder, files.image_fd, mapped.image,
                       files.image_size, PROT_READ | PROT_EXEC, MAP_PRIVATE);
  }
  // What a call returned is not yet what is there.
  char magic[4] = {};
  if (status.ok()) status = thread.Read(mapped.image, magic, sizeof(magic));
  if (status.ok() && memcmp(magic,
                            "\x7f"
                            "ELF",
                            sizeof(magic)) != 0) {
    status = absl::InternalError(absl::StrCat(
        "process ", thread.tid(), ": no image at 0x", absl::Hex(mapped.image)));
  }
  if (status.ok()) return mapped;
  (void)UnmapImage(thread, calls, mapped);
  return status;
}

}  // namespace vvar::hosted

#endif  // VVAR_HOSTED_INJECTED_IMAGE_H_
