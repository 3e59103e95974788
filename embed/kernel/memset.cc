// SPDX-License-Identifier: MIT
//
// What compilers call to clear the large objects of these programs, as every
// kernel has it. (vvar/ and clocks/ do without.)
#include <stddef.h>

extern "C" void* memset(void* to, int value, size_t bytes) {
  auto* byte = static_cast<unsigned char*>(to);
  for (size_t i = 0; i < bytes; ++i)
    byte[i] = static_cast<unsigned char>(value);
  return to;
}
