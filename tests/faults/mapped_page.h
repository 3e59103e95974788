// SPDX-License-Identifier: MIT
//
// A page as processes share it: a memfd, mapped once for a writer and once,
// read only, for readers. Both mappings stay where they are in children made
// later.
#ifndef VVAR_TESTS_FAULTS_MAPPED_PAGE_H_
#define VVAR_TESTS_FAULTS_MAPPED_PAGE_H_

#include <sys/mman.h>
#include <unistd.h>

#include "vvar/page.h"

namespace vvar::faults {

class MappedPage {
 public:
  MappedPage() : file_(memfd_create("vvar-faults", MFD_CLOEXEC)) {
    if (file_ < 0 || ftruncate(file_, VVAR_PAGE_SIZE) != 0) return;
    writable_ = Map(PROT_READ | PROT_WRITE);
    read_only_ = Map(PROT_READ);
  }
  ~MappedPage() {
    if (writable_ != nullptr) munmap(writable_, VVAR_PAGE_SIZE);
    if (read_only_ != nullptr) munmap(read_only_, VVAR_PAGE_SIZE);
    if (file_ >= 0) close(file_);
  }
  MappedPage(const MappedPage&) = delete;
  MappedPage& operator=(const MappedPage&) = delete;

  bool ok() const { return writable_ != nullptr && read_only_ != nullptr; }
  int file() const { return file_; }
  vvar_page& writable() const { return *writable_; }
  const vvar_page& read_only() const { return *read_only_; }

 private:
  vvar_page* Map(int protection) const {
    void* const at =
        mmap(nullptr, VVAR_PAGE_SIZE, protection, MAP_SHARED, file_, 0);
    return at == MAP_FAILED ? nullptr : static_cast<vvar_page*>(at);
  }

  int file_;
  vvar_page* writable_ = nullptr;
  vvar_page* read_only_ = nullptr;
};

}  // namespace vvar::faults

#endif  // VVAR_TESTS_FAULTS_MAPPED_PAGE_H_
