// SPDX-License-Identifier: MIT
//
// The Memory policy of readers whose tries are counted: each [R:begin] is one.
// Otherwise PageMemory.
#ifndef VVAR_TESTS_SUPPORT_COUNTED_MEMORY_H_
#define VVAR_TESTS_SUPPORT_COUNTED_MEMORY_H_

#include <stdint.h>

#include "vvar/seqcount.h"

namespace vvar::support {

struct CountedMemory : PageMemory {
  static inline thread_local uint64_t tries = 0;

  static uint32_t LoadAcquire(const uint32_t& word) {
    ++tries;
    return PageMemory::LoadAcquire(word);
  }
};

}  // namespace vvar::support

#endif  // VVAR_TESTS_SUPPORT_COUNTED_MEMORY_H_
