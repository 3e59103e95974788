// SPDX-License-Identifier: MIT
//
// How far a clock is from the kernel's: the kernel's is read between two
// readings of ours, and the narrowest of some tries counts.
#ifndef VVAR_TOOLS_COMPARE_H_
#define VVAR_TOOLS_COMPARE_H_

#include <stdint.h>
#include <time.h>

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <map>

namespace vvar::tools {

/// Returns the kernel's clock. Units: ns.
inline int64_t KernelNs(clockid_t id) {
  timespec time = {};
  clock_gettime(id, &time);
  return int64_t{time.tv_sec} * 1'000'000'000 + int64_t{time.tv_nsec};
}

/// One comparison. The true offset is within width_ns / 2 of offset_ns.
struct Comparison {
  int64_t offset_ns;  ///< kernel - ours
  int64_t width_ns;
};

/// Compares `read()`, in ns, with the kernel's clock `id`; the narrowest of
/// `tries` brackets. `read` sees every reading, so it may check their order.
template <class Read>
Comparison CompareWithKernel(Read read, clockid_t id, int tries) {
  Comparison best = {0, INT64_MAX};
  for (int i = 0; i < tries; ++i) {
    const int64_t before = read();
    const int64_t kernel = KernelNs(id);
    const int64_t after = read();
    if (after - before < best.width_ns) {
      best = {kernel - (before + (after - before) / 2), after - before};
    }
  }
  return best;
}

/// Percentiles of magnitudes: exact below 256 and for Max(), else rounded down
/// by less than 1 %. Memory: at most some 7000 entries, however long it lasts.
class Distribution {
 public:
  void Add(int64_t value) {
    const int64_t magnitude = std::llabs(value);
    ++counts_[Rounded(magnitude)];
    ++total_;
    max_ = std::max(max_, magnitude);
  }
  uint64_t total() const { return total_; }
  /// The smallest magnitude that `share` of all do not exceed; 0 of none.
  int64_t Percentile(double share) const {
    const auto wanted =
        static_cast<uint64_t>(share * static_cast<double>(total_));
    uint64_t seen = 0;
    for (const auto& [value, count] : counts_) {
      seen += count;
      if (seen >= wanted) return value;
    }
    return 0;
  }
  int64_t Max() const { return max_; }

 private:
  /// The eight highest bits.
  static int64_t Rounded(int64_t magnitude) {
    const auto bits = std::bit_width(static_cast<uint64_t>(magnitude));
    const int low = bits > 8 ? static_cast<int>(bits) - 8 : 0;
    return magnitude >> low << low;
  }

  std::map<int64_t, uint64_t> counts_;
  uint64_t total_ = 0;
  int64_t max_ = 0;
};

}  // namespace vvar::tools

#endif  // VVAR_TOOLS_COMPARE_H_
