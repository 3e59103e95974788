// SPDX-License-Identifier: MIT
//
// What the files of a time namespace in /proc say, from their text. Needs no
// library: whoever is loaded into any program asks it, too. It opens nothing.
#ifndef VVAR_HOSTED_TIMENS_OFFSETS_H_
#define VVAR_HOSTED_TIMENS_OFFSETS_H_

#include <stddef.h>
#include <stdint.h>

#include "vvar/offset.h"
#include "vvar/timebase.h"

namespace vvar::hosted {

/// What the link /proc/PID/ns/time reads in the initial time namespace.
/// Source: Linux, PROC_TIME_INIT_INO in include/linux/proc_ns.h: 0xeffffffa,
/// the same at each boot.
inline constexpr char kInitialTimeNamespace[] = "time:[4026531834]";

/// What a timens_offsets file says, or what is wrong with it.
struct TimensOffsets {
  ClockOffsets offsets;     ///< Hold if ok().
  int monotonic_lines = 0;  ///< One, in what the kernel writes.
  int boottime_lines = 0;   ///< One.
  /// The first line that is none of those, or null.
  const char* bad_line = nullptr;
  size_t bad_size = 0;  ///< In bytes.

  /// Whether it is what a kernel writes: each line once, and no other.
  constexpr bool ok() const {
    return bad_line == nullptr && monotonic_lines == 1 && boottime_lines == 1;
  }
};

namespace timens_internal {

/// A text from which words are taken.
struct Text {
  const char* at;
  const char* end;

  constexpr bool Take(char c) {
    if (at == end || *at != c) return false;
    ++at;
    return true;
  }
  constexpr bool Take(const char* word) {
    const char* const begin = at;
    while (*word != 0 && Take(*word)) ++word;
    if (*word != 0) at = begin;
    return *word == 0;
  }
  /// Takes blanks; returns whether there was one.
  constexpr bool TakeBlanks() {
    const char* const begin = at;
    while (Take(' ')) {
    }
    return at != begin;
  }
  /// Takes a decimal number. Range: [-2^63, 2^63 - 1].
  constexpr bool TakeNumber(int64_t* number) {
    const bool negative = Take('-');
    const char* const begin = at;
    uint64_t value = 0;
    for (; at != end && *at >= '0' && *at <= '9'; ++at) {
      const auto digit = static_cast<uint64_t>(*at - '0');
      if (__builtin_mul_overflow(value, uint64_t{10}, &value) ||
          __builtin_add_overflow(value, digit, &value)) {
        return false;
      }
    }
    const uint64_t most = uint64_t{INT64_MAX} + (negative ? 1 : 0);
    *number = static_cast<int64_t>(negative ? 0 - value : value);
    return at != begin && value <= most;
  }
};

/// Reads `clock seconds nanoseconds`; returns whether that is the line.
constexpr bool ReadLine(Text line, TimensOffsets* read) {
  const bool monotonic = line.Take("monotonic");
  if (!monotonic && !line.Take("boottime")) return false;
  int64_t sec = 0;
  int64_t nsec = 0;
  if (!line.TakeBlanks() || !line.TakeNumber(&sec) || !line.TakeBlanks() ||
      !line.TakeNumber(&nsec)) {
    return false;
  }
  line.TakeBlanks();
  if (line.at != line.end || nsec < 0 ||
      nsec >= static_cast<int64_t>(kNsPerSec)) {
    return false;
  }
  ++(monotonic ? read->monotonic_lines : read->boottime_lines);
  (monotonic ? read->offsets.monotonic : read->offsets.boottime) = {
      sec, static_cast<uint32_t>(nsec)};
  return true;
}

}  // namespace timens_internal

/// Reads the text of a timens_offsets file: a line `clock seconds nanoseconds`
/// for each clock. Refers to `text` where it is bad.
/// Source: time_namespaces(7): both, normalised, against the initial namespace.
constexpr TimensOffsets ReadTimensOffsets(const char* text, size_t size) {
  TimensOffsets read;
  const char* const end = text + size;
  while (text != end && read.bad_line == nullptr) {
    const char* line_end = text;
    while (line_end != end && *line_end != '\n') ++line_end;
    if (line_end != text &&
        !timens_internal::ReadLine({text, line_end}, &read)) {
      read.bad_line = text;
      read.bad_size = static_cast<size_t>(line_end - text);
    }
    text = line_end == end ? end : line_end + 1;
  }
  return read;
}

}  // namespace vvar::hosted

#endif  // VVAR_HOSTED_TIMENS_OFFSETS_H_
