// SPDX-License-Identifier: MIT
//
// See mapping.h.
#include "embed/kvm_guest/mapping.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "absl/strings/str_cat.h"

namespace vvar::kvm_guest {

absl::Status Unusable(const char* what) {
  return absl::UnavailableError(absl::StrCat(what, ": ", strerror(errno)));
}
absl::Status Failed(const char* what) {
  return absl::InternalError(absl::StrCat(what, ": ", strerror(errno)));
}

Descriptor::~Descriptor() {
  if (fd_ >= 0) close(fd_);
}

absl::StatusOr<Mapping> Mapping::Map(size_t size, int protection, int fd,
                                     const char* what) {
  const int flags = MAP_SHARED | (fd < 0 ? MAP_ANONYMOUS | MAP_NORESERVE : 0);
  void* address = mmap(nullptr, size, protection, flags, fd, 0);
  if (address == MAP_FAILED) return Failed(what);
  Mapping mapping;
  mapping.address_ = address;
  mapping.size_ = size;
  return mapping;
}

Mapping::~Mapping() {
  if (address_ != nullptr) munmap(address_, size_);
}

}  // namespace vvar::kvm_guest
