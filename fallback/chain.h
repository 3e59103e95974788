// SPDX-License-Identifier: MIT
//
// The chain that does fall back: the page, else the system's vDSO, else the
// system call. Never another clock than the one asked for, and never silently:
// each answer says which leg gave it and why those before did not.
// Freestanding, for user mode of a system that has these calls; no libc.
#ifndef VVAR_FALLBACK_CHAIN_H_
#define VVAR_FALLBACK_CHAIN_H_

#include <stdint.h>

#include "clocks/native.h"
#include "fallback/syscall.h"
#include "fallback/vdso_symbol.h"
#include "vvar/reader.h"

namespace vvar::fallback {

/// Who answered.
enum class Leg : uint32_t {
  kPage,     ///< A vvar page.
  kVdso,     ///< The system's vDSO (which may have entered the kernel itself).
  kSyscall,  ///< The kernel.
};

/// A time, or the system's error, with the leg it came from.
struct ChainReading {
  int64_t sec;
  uint32_t nsec;
  int32_t error;           ///< 0, or the system's -errno.
  Leg leg;                 ///< Who gave the time or the error.
  ReadStatus page_status;  ///< kOk, or why the page did not answer.
  VdsoStatus vdso_status;  ///< kFound, or why the vDSO could not be asked.

  constexpr bool ok() const { return error == 0; }
  constexpr uint64_t ns() const { return TimespecToNs({sec, nsec}); }
};

/// Reads any of the system's clocks. Copyable, shared freely by threads: it
/// keeps no state, so a page that comes back to life is used again at once.
///
/// Not promised: MONOTONIC across a change of leg closer than the page's own
/// offset to the kernel.
/// Progress: the page's bound, then the kernel's. Context: user mode, signal
/// handlers included.
template <ClockSource Clock = NativeClock, class Memory = PageMemory>
class Chain {
 public:
  /// A chain without a page or a vDSO: all reads are system calls.
  constexpr Chain() = default;
  constexpr Chain(const Reader<Clock, Memory>& page, const VdsoFunctions& vdso)
      : page_(page), vdso_(vdso) {}

  /// Returns the time of clock `id`. Ordering: as clock_gettime().
  [[nodiscard]] ChainReading Now(int32_t id) const {
    return Answer(id, page_.NowTimespec(static_cast<ClockId>(id)));
  }

  /// The same, but the page's leg is not ordered.
  [[nodiscard]] ChainReading NowUnordered(int32_t id) const {
    return Answer(id, page_.NowTimespecUnordered(static_cast<ClockId>(id)));
  }

  constexpr const Reader<Clock, Memory>& page() const { return page_; }
  constexpr const VdsoFunctions& vdso() const { return vdso_; }

 private:
  [[gnu::always_inline]] ChainReading Answer(int32_t id,
                                             TimespecReading page) const {
    if (page.ok()) [[likely]] {
      return {page.sec, page.nsec, 0, Leg::kPage, page.status, vdso_.status};
    }
    return AskSystem(id, page.status);
  }

  [[gnu::noinline]] ChainReading AskSystem(int32_t id,
                                           ReadStatus page_status) const {
    KernelTimespec time = {};
    KernelOldTimespec old_time = {};
    Leg leg = Leg::kVdso;
    int32_t error = 0;
    if (vdso_.clock_gettime64 != nullptr) {
      error = vdso_.clock_gettime64(id, &time);
    } else if (vdso_.clock_gettime != nullptr) {
      error = vdso_.clock_gettime(id, &old_time);
      time.tv_sec = old_time.tv_sec;
      time.tv_nsec = old_time.tv_nsec;
    } else {
      leg = Leg::kSyscall;
      error = ClockGettime(id, &time);
    }
    return {time.tv_sec, static_cast<uint32_t>(time.tv_nsec),
            error,       leg,
            page_status, vdso_.status};
  }

  Reader<Clock, Memory> page_;
  VdsoFunctions vdso_;
};

}  // namespace vvar::fallback

#endif  // VVAR_FALLBACK_CHAIN_H_
