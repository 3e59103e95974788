// SPDX-License-Identifier: MIT
//
// Lines of text and digests of answers, without a libc: for programs that run
// on bare_linux.h. By values: the same on machines of either byte order.
#ifndef VVAR_EMBED_MATRIX_ANSWER_DIGEST_H_
#define VVAR_EMBED_MATRIX_ANSWER_DIGEST_H_

#include <stddef.h>
#include <stdint.h>

#include "embed/matrix/bare_linux.h"

namespace vvar::matrix {

/// Text, without a heap or a division.
class Text {
 public:
  Text& operator<<(const char* text) {
    while (*text != 0) Put(*text++);
    return *this;
  }
  Text& operator<<(uint64_t value) {
    for (int bit = 60; bit >= 0; bit -= 4) {
      Put("0123456789abcdef"[static_cast<uint32_t>(value >> bit) & 15]);
    }
    return *this;
  }
  Text& operator<<(uint32_t value) {
    char digits[10];
    int count = 0;
    do {
      const auto tenth = static_cast<uint32_t>((value * 0xcccccccdull) >> 35);
      digits[count++] = static_cast<char>('0' + (value - tenth * 10));
      value = tenth;
    } while (value != 0);
    while (count != 0) Put(digits[--count]);
    return *this;
  }
  void End() {
    Put('\n');
    Write(text_, size_);
    size_ = 0;
  }

 private:
  void Put(char c) {
    if (size_ < sizeof text_) text_[size_++] = c;
  }
  char text_[120];
  size_t size_ = 0;
};

/// Takes in answers, and prints how many and their digest.
class Answers {
 public:
  /// One answer, of some words.
  template <class... Words>
  void Add(Words... words) {
    ++count_;
    (Mix(static_cast<uint64_t>(words)), ...);
  }
  /// One answer that is a time, or is not.
  template <class Reading, class... Words>
  void AddReading(const Reading& reading, Words... words) {
    if (reading.ok()) ++times_;
    Add(reading.status, words...);
  }
  void Print(const char* what, uint32_t bits, uint32_t number) {
    Text text;
    text << what << " bits " << bits << " no " << number << " answers "
         << count_ << " times " << times_ << " digest " << digest_;
    text.End();
    *this = Answers();
  }

 private:
  // As FNV-1a, with words for bytes and a turn, so that no bit stays where it
  // is.
  void Mix(uint64_t word) {
    digest_ = (digest_ ^ word) * 0x100000001b3;
    digest_ = (digest_ << 29) | (digest_ >> 35);
  }
  uint64_t digest_ = 0xcbf29ce484222325;
  uint32_t count_ = 0;
  uint32_t times_ = 0;
};

}  // namespace vvar::matrix

#endif  // VVAR_EMBED_MATRIX_ANSWER_DIGEST_H_
