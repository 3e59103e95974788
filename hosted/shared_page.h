// SPDX-License-Identifier: MIT
//
// A page between processes: made by one writer, attached read-only by readers.
// Either a file of a name, under /dev/shm, that outlives its writer; or an
// anonymous sealed memfd, handed on as a descriptor. Linux user space.
#ifndef VVAR_HOSTED_SHARED_PAGE_H_
#define VVAR_HOSTED_SHARED_PAGE_H_

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <string>
#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "clocks/native.h"
#include "hosted/page_path.h"
#include "hosted/time_namespace.h"
#include "vvar/header.h"
#include "vvar/offset.h"
#include "vvar/page.h"
#include "vvar/reader.h"

namespace vvar::hosted {

/// Returns the file of a page: NAME is /dev/shm/vvar.NAME, and what holds a
/// slash is a path as it stands.
inline std::string PagePath(std::string_view name) {
  return absl::StrCat(PagePathPrefix(name.data(), name.size()),
                      absl::string_view(name.data(), name.size()));
}

/// An open descriptor and a mapping of one page of it. Move-only.
class PageMapping {
 public:
  PageMapping() = default;  ///< None: fd() is -1, address() null.
  /// Takes both over: it will close and unmap them.
  PageMapping(int fd, void* address) : fd_(fd), address_(address) {}
  PageMapping(PageMapping&& other) noexcept
      : fd_(std::exchange(other.fd_, -1)),
        address_(std::exchange(other.address_, nullptr)) {}
  PageMapping& operator=(PageMapping&& other) noexcept {
    std::swap(fd_, other.fd_);
    std::swap(address_, other.address_);
    return *this;
  }
  ~PageMapping() {
    if (address_ != nullptr) munmap(address_, VVAR_PAGE_SIZE);
    if (fd_ >= 0) close(fd_);
  }

  int fd() const { return fd_; }  ///< Closed with this object.
  /// Of VVAR_PAGE_SIZE bytes; unmapped with this object.
  void* address() const { return address_; }

 private:
  int fd_ = -1;
  void* address_ = nullptr;
};

namespace shared_page_internal {

/// The absl code for an errno: NotFound and PermissionDenied keep their own.
inline absl::Status ErrnoError(int error, absl::string_view what,
                               absl::string_view path) {
  const std::string text =
      absl::StrCat("page ", path, ": ", what, ": ", strerror(error));
  if (error == ENOENT) return absl::NotFoundError(text);
  if (error == EACCES || error == EPERM) {
    return absl::PermissionDeniedError(text);
  }
  return absl::InternalError(text);
}

/// What a header that cannot be read means to whoever attaches.
inline absl::Status HeaderError(PageStatus status, const vvar_header& live,
                                uint32_t counter_id, absl::string_view path) {
  const auto load = [](const auto& word) { return PageMemory::Load(word); };
  switch (status) {
    case PageStatus::kOk:
      return absl::OkStatus();
    case PageStatus::kTooSmall:
      return absl::DataLossError(absl::StrCat(
          "page ", path, ": truncated: its header claims ", load(live.size),
          " bytes; expected at most ", VVAR_PAGE_SIZE));
    case PageStatus::kBadMagic:
      if (load(live.magic) == 0) {
        return absl::UnavailableError(
            absl::StrCat("page ", path, ": empty: no writer has begun it"));
      }
      return absl::InvalidArgumentError(absl::StrCat(
          "page ", path, ": foreign: magic 0x", absl::Hex(load(live.magic)),
          "; expected 0x", absl::Hex(VVAR_MAGIC)));
    case PageStatus::kWrongEndian:
      return absl::InvalidArgumentError(
          absl::StrCat("page ", path, ": foreign: endianness tag 0x",
                       absl::Hex(load(live.endian_tag)), "; expected 0x",
                       absl::Hex(VVAR_ENDIAN_TAG)));
    case PageStatus::kWrongMajor:
      return absl::UnimplementedError(absl::StrCat(
          "page ", path, ": ABI major ", load(live.abi_major), "; expected ",
          VVAR_ABI_MAJOR, ": rebuild this program or the writer"));
    case PageStatus::kBadLayout:
      return absl::InvalidArgumentError(
          absl::StrCat("page ", path, ": foreign: ", load(live.timeline_count),
                       " timelines at offset ", load(live.timeline_offset),
                       ", stride ", load(live.timeline_stride), " do not fit ",
                       load(live.size), " bytes"));
    case PageStatus::kWrongCounter:
      return absl::FailedPreconditionError(absl::StrCat(
          "page ", path, ": made for counter ", load(live.counter_id), " of ",
          load(live.counter_bits), " bits; expected ", counter_id, " of ",
          NativeClock::kCounterBits, ", the one this program reads"));
  }
  return absl::InternalError("page status out of range");
}

/// Maps one page of `fd` after checking its size.
inline absl::StatusOr<PageMapping> MapPage(int fd, bool writable,
                                           absl::string_view path) {
  struct stat info = {};
  if (fstat(fd, &info) != 0) {
    const int error = errno;
    close(fd);
    return ErrnoError(error, "fstat", path);
  }
  if (!S_ISREG(info.st_mode)) {
    close(fd);
    return absl::InvalidArgumentError(
        absl::StrCat("page ", path, ": foreign: not a regular file"));
  }
  if (info.st_size < off_t{VVAR_PAGE_SIZE}) {
    close(fd);
    if (info.st_size == 0) {
      return absl::UnavailableError(
          absl::StrCat("page ", path, ": empty: no writer has begun it"));
    }
    return absl::DataLossError(
        absl::StrCat("page ", path, ": truncated: ", info.st_size,
                     " bytes; expected ", VVAR_PAGE_SIZE));
  }
  void* address =
      mmap(nullptr, VVAR_PAGE_SIZE,
           writable ? PROT_READ | PROT_WRITE : PROT_READ, MAP_SHARED, fd, 0);
  if (address == MAP_FAILED) {
    const int error = errno;
    close(fd);
    return ErrnoError(error, "mmap", path);
  }
  return PageMapping(fd, address);
}

}  // namespace shared_page_internal

/// A reader of a page between processes. The page speaks in the initial time
/// namespace, whoever writes it; its readers in their own process's.
using SharedReader = Reader<NativeClock, PageMemory, ClockOffsets>;

/// A page mapped read-only. Readers made of it hold while it lives, for the
/// time namespace that the process was in when it attached: one that changes
/// its own by setns(2), or a child forked into another, attaches anew.
class AttachedPage {
 public:
  /// Attaches to the page of a name (see PagePath()).
  /// Error: NotFound (missing), Unavailable (empty: no writer yet), DataLoss
  /// (truncated), InvalidArgument (foreign), Unimplemented (another ABI major),
  /// FailedPrecondition (another counter), PermissionDenied; or
  /// TimeNamespaceOffsets()'s.
  static absl::StatusOr<AttachedPage> Attach(std::string_view name) {
    const std::string path = PagePath(name);
    // O_NONBLOCK: what is not a file may not make us wait either.
    const int fd =
        open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0) {
      return shared_page_internal::ErrnoError(errno, "open", path);
    }
    return AttachFd(fd, path);
  }

  /// Attaches to a descriptor, which it takes over whatever happens. A reader
  /// of a file that another user may truncate risks SIGBUS; a memfd sealed by
  /// WritablePage::CreateAnonymous() cannot be.
  static absl::StatusOr<AttachedPage> AttachFd(int fd,
                                               absl::string_view path = "fd") {
    absl::StatusOr<PageMapping> mapping =
        shared_page_internal::MapPage(fd, /*writable=*/false, path);
    if (!mapping.ok()) return mapping.status();
    AttachedPage page(*std::move(mapping));
    const vvar_timeline* timeline = nullptr;
    const PageStatus status =
        FindTimeline(&page.bytes(), VVAR_PAGE_SIZE, NativeClock::kCounterId,
                     NativeClock::kCounterBits,
                     /*index=*/0, &timeline);
    if (status != PageStatus::kOk) {
      return shared_page_internal::HeaderError(status, page.bytes().header,
                                               NativeClock::kCounterId, path);
    }
    const absl::StatusOr<ClockOffsets> offsets = TimeNamespaceOffsets();
    if (!offsets.ok()) return offsets.status();
    page.offsets_ = *offsets;
    return page;
  }

  /// A writer may change them meanwhile: load words through a Memory.
  const vvar_page& bytes() const {
    return *static_cast<const vvar_page*>(mapping_.address());
  }
  int fd() const { return mapping_.fd(); }  ///< Closed with this object.
  /// Whether its timelines are where this ABI has them: readers go by what the
  /// header says, an image looks nowhere else.
  bool HasLayoutOfImages() const {
    const vvar_timeline* timeline = nullptr;
    return FindTimeline(&bytes(), VVAR_PAGE_SIZE, NativeClock::kCounterId,
                        NativeClock::kCounterBits, /*index=*/0,
                        &timeline) == PageStatus::kOk &&
           timeline == &bytes().timeline[0];
  }

  /// A reader of timeline `index`; one of nothing if there is no such timeline.
  SharedReader MakeReader(NativeClock clock, uint32_t index = 0) const {
    SharedReader reader;
    if (SharedReader::Attach(mapping_.address(), VVAR_PAGE_SIZE, index, clock,
                             &reader, offsets_) != PageStatus::kOk) {
      return {};
    }
    return reader;
  }

 private:
  explicit AttachedPage(PageMapping mapping) : mapping_(std::move(mapping)) {}
  PageMapping mapping_;
  ClockOffsets offsets_;
};

/// A page mapped for its one live writer.
class WritablePage {
 public:
  WritablePage() = default;  ///< None: fd() is -1, without bytes().

  /// Opens the page of a name for writing, and makes it if it is missing or
  /// empty. What another vvar writer left is kept, so that readers go on.
  /// Error: AlreadyExists (another writer lives), else as Attach(); a file that
  /// is not a vvar page is refused and left alone.
  static absl::StatusOr<WritablePage> Open(std::string_view name,
                                           const PageConfig& config) {
    const std::string path = PagePath(name);
    const int fd =
        open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK,
             0644);
    if (fd < 0) {
      return shared_page_internal::ErrnoError(errno, "open for writing", path);
    }
    absl::Status locked = Lock(fd, path);
    if (!locked.ok()) {
      close(fd);
      return locked;
    }
    struct stat info = {};
    const bool known = fstat(fd, &info) == 0;
    if (known && info.st_size > off_t{VVAR_PAGE_SIZE}) {
      close(fd);
      return absl::InvalidArgumentError(
          absl::StrCat("page ", path, ": foreign: ", info.st_size,
                       " bytes; expected ", VVAR_PAGE_SIZE));
    }
    if (known && info.st_size == 0 && ftruncate(fd, VVAR_PAGE_SIZE) != 0) {
      const int error = errno;
      close(fd);
      return shared_page_internal::ErrnoError(error, "ftruncate", path);
    }
    return Adopt(fd, config, path);
  }

  /// Makes a page without a name: a memfd that cannot shrink or grow and,
  /// where the kernel has it, cannot be mapped for writing again. Hand fd() to
  /// readers over a socket or by inheritance.
  static absl::StatusOr<WritablePage> CreateAnonymous(
      const PageConfig& config) {
    const int fd = memfd_create("vvar", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0 || ftruncate(fd, VVAR_PAGE_SIZE) != 0) {
      const int error = errno;
      if (fd >= 0) close(fd);
      return shared_page_internal::ErrnoError(error, "memfd_create", "memfd");
    }
    absl::StatusOr<WritablePage> page = Adopt(fd, config, "memfd");
    if (!page.ok()) return page;
    // Linux before 5.1 has no FUTURE_WRITE: then only the size is sealed.
    constexpr int kSize = F_SEAL_SHRINK | F_SEAL_GROW;
    if (fcntl(fd, F_ADD_SEALS, kSize | F_SEAL_FUTURE_WRITE | F_SEAL_SEAL) !=
            0 &&
        fcntl(fd, F_ADD_SEALS, kSize | F_SEAL_SEAL) != 0) {
      return shared_page_internal::ErrnoError(errno, "F_ADD_SEALS", "memfd");
    }
    return page;
  }

  /// For the one writer; readers load words meanwhile.
  vvar_page& bytes() const {
    return *static_cast<vvar_page*>(mapping_.address());
  }
  /// Holds a named page's lock; closed with this object.
  int fd() const { return mapping_.fd(); }
  /// Whether a writer published on this page before.
  bool continued() const { return continued_; }

 private:
  WritablePage(PageMapping mapping, bool continued)
      : mapping_(std::move(mapping)), continued_(continued) {}

  /// A lock that the kernel releases when its owner dies. It needs a descriptor
  /// open for writing, so readers cannot keep writers out. Takes 0.1 s to find
  /// that another owner lives.
  static absl::Status Lock(int fd, absl::string_view path) {
    struct flock lock = {};
    lock.l_type = F_WRLCK;
    lock.l_whence = SEEK_SET;
    // A writer that was killed a moment ago may not be gone altogether.
    constexpr int kTries = 100;
    for (int i = 0; i < kTries; ++i) {
      if (fcntl(fd, F_OFD_SETLK, &lock) == 0) return absl::OkStatus();
      if (errno != EAGAIN && errno != EACCES) {
        return shared_page_internal::ErrnoError(errno, "F_OFD_SETLK", path);
      }
      const timespec pause = {0, 1'000'000};
      nanosleep(&pause, nullptr);
    }
    return absl::AlreadyExistsError(absl::StrCat(
        "page ", path, ": another writer is alive; expected at most one"));
  }

  static absl::StatusOr<WritablePage> Adopt(int fd, const PageConfig& config,
                                            absl::string_view path) {
    absl::StatusOr<PageMapping> mapping =
        shared_page_internal::MapPage(fd, /*writable=*/true, path);
    if (!mapping.ok()) return mapping.status();
    auto& page = *static_cast<vvar_page*>(mapping->address());
    const bool fresh = PageMemory::Load(page.header.magic) == 0;
    if (fresh && !IsUnbegun(page)) {
      return absl::InvalidArgumentError(
          absl::StrCat("page ", path,
                       ": foreign: no magic, yet not empty; expected zeroes"));
    }
    if (fresh) {
      FormatPage(page, config);
    } else {
      const vvar_timeline* timeline = nullptr;
      const PageStatus status = FindTimeline(
          &page, VVAR_PAGE_SIZE, config.counter_id, config.counter_bits,
          /*index=*/0, &timeline);
      if (status != PageStatus::kOk) {
        return shared_page_internal::HeaderError(status, page.header,
                                                 config.counter_id, path);
      }
    }
    return WritablePage(*std::move(mapping), !fresh);
  }

  /// Whether nothing is there, or no more than the header of a writer that was
  /// killed before it came to the magic.
  static bool IsUnbegun(const vvar_page& page) {
    const auto* begin = reinterpret_cast<const unsigned char*>(&page);
    if (PageMemory::Load(page.header.endian_tag) == VVAR_ENDIAN_TAG) {
      begin += sizeof(vvar_header);
    }
    const auto* end = reinterpret_cast<const unsigned char*>(&page + 1);
    return std::all_of(begin, end,
                       [](unsigned char byte) { return byte == 0; });
  }

  PageMapping mapping_;
  bool continued_ = false;
};

/// A number for PageConfig::instance_id that no other page has.
inline uint64_t NewInstanceId() {
  uint64_t id = 0;
  // Not a generator in user space: fork would copy its state.
  if (getrandom(&id, sizeof(id), 0) != sizeof(id)) {
    timespec now = {};
    clock_gettime(CLOCK_REALTIME, &now);
    id = static_cast<uint64_t>(now.tv_sec) * kNsPerSec +
         static_cast<uint64_t>(now.tv_nsec) + static_cast<uint64_t>(getpid());
  }
  return id;
}

}  // namespace vvar::hosted

#endif  // VVAR_HOSTED_SHARED_PAGE_H_
