// SPDX-License-Identifier: MIT
//
// Where a page of a name is. Needs no library: whoever is loaded into any
// program asks it, too. It opens nothing.
#ifndef VVAR_HOSTED_PAGE_PATH_H_
#define VVAR_HOSTED_PAGE_PATH_H_

#include <stddef.h>

namespace vvar::hosted {

/// What is put before a name to make it the path of a page's file: nothing
/// before one that holds a slash, as that is a path.
constexpr const char* PagePathPrefix(const char* name, size_t size) {
  for (size_t i = 0; i < size; ++i) {
    if (name[i] == '/') return "";
  }
  return "/dev/shm/vvar.";
}

}  // namespace vvar::hosted

#endif  // VVAR_HOSTED_PAGE_PATH_H_
