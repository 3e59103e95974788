// SPDX-License-Identifier: MIT
//
// A folder of a test's own, whose path is short enough for a socket's.
#ifndef VVAR_TESTS_SUPPORT_TEMPORARY_FOLDER_H_
#define VVAR_TESTS_SUPPORT_TEMPORARY_FOLDER_H_

#include <stdlib.h>

#include <filesystem>
#include <string>
#include <system_error>

namespace vvar::support {

/// RAII: removed with what is in it. path() is empty if it could not be made.
class TemporaryFolder {
 public:
  TemporaryFolder() : path_("/tmp/vvar_test." + std::string(6, 'X')) {
    if (mkdtemp(path_.data()) == nullptr) path_.clear();
  }
  ~TemporaryFolder() {
    std::error_code ignored;
    if (!path_.empty()) std::filesystem::remove_all(path_, ignored);
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;

  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

}  // namespace vvar::support

#endif  // VVAR_TESTS_SUPPORT_TEMPORARY_FOLDER_H_
