// SPDX-License-Identifier: MIT
//
// What the kernel gives a VMM, owned: descriptors, mappings, and errors by
// name. Linux user space.
#ifndef VVAR_EMBED_KVM_GUEST_MAPPING_H_
#define VVAR_EMBED_KVM_GUEST_MAPPING_H_

#include <stddef.h>

#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace vvar::kvm_guest {

/// What the call `what` left in errno: Unavailable, where this machine does not
/// offer it.
absl::Status Unusable(const char* what);
/// The same, Internal: it should have worked.
absl::Status Failed(const char* what);

/// A file descriptor that is closed. Move-only.
class Descriptor {
 public:
  explicit Descriptor(int fd = -1) : fd_(fd) {}
  Descriptor(Descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~Descriptor();
  int get() const { return fd_; }

 private:
  int fd_;
};

/// A mapping that is unmapped. Move-only.
class Mapping {
 public:
  Mapping() = default;
  /// Error: Internal, naming `what`. `fd` -1: memory of its own.
  static absl::StatusOr<Mapping> Map(size_t size, int protection, int fd,
                                     const char* what);
  Mapping(Mapping&& other) noexcept { *this = std::move(other); }
  Mapping& operator=(Mapping&& other) noexcept {
    std::swap(address_, other.address_);
    std::swap(size_, other.size_);
    return *this;
  }
  ~Mapping();
  void* address() const { return address_; }

 private:
  void* address_ = nullptr;
  size_t size_ = 0;
};

}  // namespace vvar::kvm_guest

#endif  // VVAR_EMBED_KVM_GUEST_MAPPING_H_
