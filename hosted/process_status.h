// SPDX-License-Identifier: MIT
//
// What /proc tells of a process, in a line or a link. Linux, user space.
#ifndef VVAR_HOSTED_PROCESS_STATUS_H_
#define VVAR_HOSTED_PROCESS_STATUS_H_

#include <limits.h>
#include <sys/types.h>
#include <unistd.h>

#include <fstream>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace vvar::hosted {

/// Returns what a line of /proc/PID/status says; "" if there is none.
inline std::string StatusLine(pid_t pid, absl::string_view key) {
  std::ifstream file(absl::StrCat("/proc/", pid, "/status"));
  const std::string begin = absl::StrCat(key, ":\t");
  for (std::string line; std::getline(file, line);) {
    if (absl::StartsWith(line, begin)) return line.substr(begin.size());
  }
  return "";
}

/// Returns what a symbolic link reads; "" if it is none.
inline std::string ReadLink(const std::string& path) {
  char target[PATH_MAX];
  const ssize_t length = readlink(path.c_str(), target, sizeof(target));
  return length < 0 ? "" : std::string(target, static_cast<size_t>(length));
}

}  // namespace vvar::hosted

#endif  // VVAR_HOSTED_PROCESS_STATUS_H_
