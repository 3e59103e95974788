// SPDX-License-Identifier: MIT
//
// What a fuzz target is: a function of bytes that ends the process when
// something is wrong, and inputs to begin with. libFuzzer drives it
// (tests/fuzz/run.sh), or corpus_main.cc in the normal suite.
#ifndef VVAR_TESTS_FUZZ_FUZZ_TARGET_H_
#define VVAR_TESTS_FUZZ_FUZZ_TARGET_H_

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <type_traits>
#include <vector>

/// Each target defines these two.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size);

namespace vvar::fuzz {

using Bytes = std::vector<uint8_t>;

/// The inputs that a fuzzer begins with.
std::vector<Bytes> Seeds();

/// Says what went wrong, and ends the process: a finding.
[[noreturn]] inline void Fail(const char* what, const char* file, int line) {
  fprintf(stderr, "%s:%d: %s\n", file, line, what);
  abort();
}

/// Appends the bytes of a value.
template <class Value>
void Append(Bytes& bytes, const Value& value) {
  static_assert(std::is_trivially_copyable_v<Value>);
  const auto* from = reinterpret_cast<const uint8_t*>(&value);
  bytes.insert(bytes.end(), from, from + sizeof value);
}

/// A copy of bytes whose end is an allocation's: a sanitizer sees who goes
/// beyond. As aligned as a page's parts have to be.
class ExactCopy {
 public:
  /// `size` of them; those that are missing are 0.
  ExactCopy(const uint8_t* bytes, size_t present, size_t size)
      : bytes_(static_cast<uint8_t*>(malloc(size == 0 ? 1 : size))) {
    if (bytes_ == nullptr) abort();
    const size_t copied = present < size ? present : size;
    memcpy(bytes_, bytes, copied);
    memset(bytes_ + copied, 0, size - copied);
  }
  ~ExactCopy() { free(bytes_); }
  ExactCopy(const ExactCopy&) = delete;
  ExactCopy& operator=(const ExactCopy&) = delete;

  uint8_t* data() { return bytes_; }

 private:
  uint8_t* bytes_;
};

}  // namespace vvar::fuzz

#define FUZZ_CHECK(condition) \
  ((condition)                \
       ? (void)0              \
       : ::vvar::fuzz::Fail("not so: " #condition, __FILE__, __LINE__))

#endif  // VVAR_TESTS_FUZZ_FUZZ_TARGET_H_
