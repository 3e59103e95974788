// SPDX-License-Identifier: MIT
//
// The time namespace of a process: what it adds to the clocks of the initial
// one, in which pages between processes speak. Linux user space; reads /proc.
#ifndef VVAR_HOSTED_TIME_NAMESPACE_H_
#define VVAR_HOSTED_TIME_NAMESPACE_H_

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "hosted/process_status.h"
#include "hosted/timens_offsets.h"
#include "vvar/offset.h"

namespace vvar::hosted {

/// Returns the offsets that the text of a timens_offsets file gives.
/// Error: InvalidArgument, naming the line and what was expected.
inline absl::StatusOr<ClockOffsets> ParseTimensOffsets(absl::string_view text) {
  const TimensOffsets read = ReadTimensOffsets(text.data(), text.size());
  if (read.ok()) return read.offsets;
  if (read.bad_line != nullptr) {
    return absl::InvalidArgumentError(absl::StrCat(
        "'", absl::string_view(read.bad_line, read.bad_size),
        "'; expected monotonic or boottime, seconds and nanoseconds below "
        "1e9"));
  }
  return absl::InvalidArgumentError(
      absl::StrCat(read.monotonic_lines, " lines of monotonic, ",
                   read.boottime_lines, " of boottime; expected one of each"));
}

/// Returns what the time namespace of the process whose /proc directory is
/// `self` adds to the initial one's clocks: 0 where the kernel has no time
/// namespaces, or there is no /proc to say so.
/// Error: Internal, naming the file. One is a process that called
/// unshare(CLONE_NEWTIME) outside the initial namespace: the kernel tells it
/// the offsets of its children's only, so it attaches before, or in a child.
inline absl::StatusOr<ClockOffsets> TimeNamespaceOffsets(
    const std::string& self = "/proc/self") {
  const std::string own = ReadLink(self + "/ns/time");
  if (own == kInitialTimeNamespace) return ClockOffsets();
  const std::string children = ReadLink(self + "/ns/time_for_children");
  if (own != children) {
    return absl::InternalError(
        absl::StrCat(self, "/ns/time: ", own, ", but ", children,
                     " for children; expected one namespace, whose offsets the "
                     "kernel tells"));
  }
  const std::string path = self + "/timens_offsets";
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0 && errno == ENOENT) return ClockOffsets();
  char text[256];
  const ssize_t length = fd < 0 ? -1 : read(fd, text, sizeof(text));
  const int error = errno;
  if (fd >= 0) close(fd);
  if (length < 0) {
    return absl::InternalError(absl::StrCat(path, ": ", strerror(error)));
  }
  absl::StatusOr<ClockOffsets> offsets =
      ParseTimensOffsets({text, static_cast<size_t>(length)});
  if (offsets.ok()) return offsets;
  return absl::InternalError(
      absl::StrCat(path, ": ", offsets.status().message()));
}

}  // namespace vvar::hosted

#endif  // VVAR_HOSTED_TIME_NAMESPACE_H_
