// SPDX-License-Identifier: MIT
//
// A line of text, for programs without a C library.
#ifndef VVAR_EMBED_KERNEL_TEXT_H_
#define VVAR_EMBED_KERNEL_TEXT_H_

#include <stdint.h>

namespace vvar::embed {

/// Up to 255 characters; what is more is cut off.
class Text {
 public:
  Text() { text_[0] = '\0'; }
  Text& Add(const char* text) {
    while (*text != '\0') Put(*text++);
    return *this;
  }
  Text& Add(uint64_t number) {
    char digits[20];
    uint32_t count = 0;
    do {
      digits[count++] = static_cast<char>('0' + number % 10);
      number /= 10;
    } while (number != 0);
    while (count != 0) Put(digits[--count]);
    return *this;
  }
  const char* data() const { return text_; }
  uint64_t size() const { return size_; }

 private:
  void Put(char c) {
    if (size_ + 1 == sizeof text_) return;
    text_[size_++] = c;
    text_[size_] = '\0';
  }

  char text_[256];  // To fill it would take a memset().
  uint64_t size_ = 0;
};

}  // namespace vvar::embed

#endif  // VVAR_EMBED_KERNEL_TEXT_H_
