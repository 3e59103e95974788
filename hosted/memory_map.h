// SPDX-License-Identifier: MIT
//
// What is mapped in a process, as /proc tells it. Linux, user space.
#ifndef VVAR_HOSTED_MEMORY_MAP_H_
#define VVAR_HOSTED_MEMORY_MAP_H_

#include <errno.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <algorithm>
#include <fstream>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace vvar::hosted {

/// Addresses from begin on, below end.
struct MemoryRange {
  uint64_t begin;
  uint64_t end;

  /// False for `end`.
  constexpr bool Has(uint64_t address) const {
    return address >= begin && address < end;
  }
};

/// One line of /proc/PID/maps, without what is not used of it.
struct Mapping {
  MemoryRange range;  ///< Of whole pages.
  std::string name;   ///< A file or a [word] of the kernel's; "": of nothing.
};

/// Mappings, by their addresses.
using MemoryMap = std::vector<Mapping>;

/// Reads those of the process whose /proc directory is `self`.
/// Error: NotFound or PermissionDenied; else Internal; naming the file.
/// Source: proc_pid_maps(5).
inline absl::StatusOr<MemoryMap> ReadMemoryMap(
    const std::string& self = "/proc/self") {
  const std::string path = self + "/maps";
  errno = 0;
  std::ifstream file(path);
  MemoryMap map;
  for (std::string line; std::getline(file, line);) {
    Mapping mapping;
    int name_at = 0;
    if (sscanf(line.c_str(), "%" SCNx64 "-%" SCNx64 " %*s %*s %*s %*s %n",
               &mapping.range.begin, &mapping.range.end, &name_at) < 2) {
      return absl::InternalError(
          absl::StrCat(path, ": '", line, "'; expected begin-end and more"));
    }
    mapping.name = line.substr(static_cast<size_t>(name_at));
    map.push_back(std::move(mapping));
  }
  if (!map.empty()) return map;
  // A process that has ended has nothing mapped, and no error.
  const std::string text =
      absl::StrCat(path, ": ", errno == 0 ? "empty" : strerror(errno));
  if (errno == 0 || errno == ENOENT || errno == ESRCH) {
    return absl::NotFoundError(text);
  }
  if (errno == EACCES || errno == EPERM) {
    return absl::PermissionDeniedError(text);
  }
  return absl::InternalError(text);
}

/// Returns the first mapping of a name; null if there is none.
inline const Mapping* FindMapping(const MemoryMap& map,
                                  absl::string_view name) {
  const auto found = std::find_if(
      map.begin(), map.end(),
      [&](const Mapping& mapping) { return mapping.name == name; });
  return found == map.end() ? nullptr : &*found;
}

/// Returns the begin of room for `size` bytes, as near to `near` as there is,
/// with a page free before and after; 0 if there is none.
/// Range: size is a multiple of `page`.
inline uint64_t FindRoomNear(const MemoryMap& map, uint64_t near, uint64_t size,
                             uint64_t page) {
  uint64_t nearest = 0;
  const auto distance = [&](uint64_t at) {
    return at > near ? at - near : near - at;
  };
  for (size_t i = 0; i + 1 < map.size(); ++i) {
    // The heap grows up into what follows it. A stack grows down, but room
    // begins at the other end of a gap.
    if (map[i].name == "[heap]") continue;
    const uint64_t gap = map[i + 1].range.begin - map[i].range.end;
    const uint64_t begin = map[i].range.end + page;
    if (gap >= size + 2 * page &&
        (nearest == 0 || distance(begin) < distance(nearest))) {
      nearest = begin;
    }
  }
  return nearest;
}

}  // namespace vvar::hosted

#endif  // VVAR_HOSTED_MEMORY_MAP_H_
