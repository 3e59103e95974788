// SPDX-License-Identifier: MIT
//
// The time namespace of a process: what it adds to the clocks of the initial
// one, in which pages between processes speak. Linux user space; reads /proc.
#ifndef VVAR_HOSTED_TIME_NAMESPACE_H_
#define VVAR_HOSTED_TIME_NAMESPACE_H_

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "hosted/process_status.h"
#include "vvar/offset.h"
#include "vvar/timebase.h"

namespace vvar::hosted {

/// Returns the offsets that the text of a timens_offsets file gives: a line
/// `clock seconds nanoseconds` for each.
/// Error: InvalidArgument, naming the line and what was expected.
/// Source: time_namespaces(7): both, normalised, against the initial namespace.
inline absl::StatusOr<ClockOffsets> ParseTimensOffsets(absl::string_view text) {
  ClockOffsets offsets;
  int monotonic_lines = 0;
  int boottime_lines = 0;
  for (const absl::string_view line :
       absl::StrSplit(text, '\n', absl::SkipEmpty())) {
    const std::vector<absl::string_view> words =
        absl::StrSplit(line, ' ', absl::SkipEmpty());
    Timespec offset = {};
    if (words.size() != 3 || !absl::SimpleAtoi(words[1], &offset.sec) ||
        !absl::SimpleAtoi(words[2], &offset.nsec) || offset.nsec >= kNsPerSec) {
      return absl::InvalidArgumentError(absl::StrCat(
          "'", line, "'; expected a clock, seconds and nanoseconds below 1e9"));
    }
    if (words[0] == "monotonic") {
      offsets.monotonic = offset;
      ++monotonic_lines;
    } else if (words[0] == "boottime") {
      offsets.boottime = offset;
      ++boottime_lines;
    } else {
      return absl::InvalidArgumentError(
          absl::StrCat("clock '", words[0], "'; expected monotonic, boottime"));
    }
  }
  if (monotonic_lines != 1 || boottime_lines != 1) {
    return absl::InvalidArgumentError(
        absl::StrCat(monotonic_lines, " lines of monotonic, ", boottime_lines,
                     " of boottime; expected one of each"));
  }
  return offsets;
}

namespace time_namespace_internal {

/// What the link of the initial time namespace reads.
/// Source: Linux, PROC_TIME_INIT_INO in include/linux/proc_ns.h: 0xeffffffa,
/// the same at each boot.
inline constexpr absl::string_view kInitial = "time:[4026531834]";

}  // namespace time_namespace_internal

/// Returns what the time namespace of the process whose /proc directory is
/// `self` adds to the initial one's clocks: 0 where the kernel has no time
/// namespaces, or there is no /proc to say so.
/// Error: Internal, naming the file. One is a process that called
/// unshare(CLONE_NEWTIME) outside the initial namespace: the kernel tells it
/// the offsets of its children's only, so it attaches before, or in a child.
inline absl::StatusOr<ClockOffsets> TimeNamespaceOffsets(
    const std::string& self = "/proc/self") {
  const std::string own = ReadLink(self + "/ns/time");
  if (own == time_namespace_internal::kInitial) return ClockOffsets();
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
