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
      : page_(page),
        clock_gettime_(vdso.clock_gettime),
        clock_gettime64_(vdso.clock_gettime64),
        vdso_status_(CanAsk() ? VdsoStatus::kFound : vdso.status) {}

  /// Returns the time of clock `id`. Ordering: as clock_gettime().
  [[nodiscard]] ChainReading Now(int32_t id) const {
    if (!page_.attached()) return AskSystem(id, ReadStatus::kNotReady);
    return Answer(id, page_.NowTimespec(static_cast<ClockId>(id)));
  }
  /// The same, but the page's leg is not ordered.
  [[nodiscard]] ChainReading NowUnordered(int32_t id) const {
    if (!page_.attached()) return AskSystem(id, ReadStatus::kNotReady);
    return Answer(id, page_.NowTimespecUnordered(static_cast<ClockId>(id)));
  }

  /// Returns the time in ns, modulo 2^64: what Now().ns() gives, for callers
  /// who need to know no more. Range: clocks the system has; 0 for others.
  [[nodiscard, gnu::always_inline]] inline uint64_t NowNs(ClockId id) const {
    if (!page_.attached()) [[unlikely]]
      return AskSystem(static_cast<int32_t>(id), ReadStatus::kNotReady).ns();
    return AnswerNs(id, page_.Now(id));
  }
  [[nodiscard, gnu::always_inline]] inline uint64_t NowNsUnordered(
      ClockId id) const {
    if (!page_.attached()) [[unlikely]]
      return AskSystem(static_cast<int32_t>(id), ReadStatus::kNotReady).ns();
    return AnswerNs(id, page_.NowUnordered(id));
  }

  constexpr const Reader<Clock, Memory>& page() const { return page_; }

 private:
  constexpr bool CanAsk() const {
    return clock_gettime64_ != nullptr || clock_gettime_ != nullptr;
  }

  /// A coarse clock does not show that its page is dead; the page's age does.
  [[gnu::always_inline]] inline ReadStatus Verdict(int32_t id,
                                                   ReadStatus status) const {
    const bool fresh_if_ok = page_.NeedsCounter(static_cast<ClockId>(id));
    if (fresh_if_ok || status != ReadStatus::kOk) [[likely]]
      return status;
    return page_.Age().status;
  }

  [[gnu::always_inline]] inline ChainReading Answer(
      int32_t id, const TimespecReading& page) const {
    const ReadStatus status = Verdict(id, page.status);
    if (status == ReadStatus::kOk) [[likely]] {
      return {page.sec, page.nsec, 0, Leg::kPage, status, vdso_status_};
    }
    return AskSystem(id, status);
  }

  [[gnu::always_inline]] inline uint64_t AnswerNs(ClockId id,
                                                  NsReading page) const {
    const auto number = static_cast<int32_t>(id);
    const ReadStatus status = Verdict(number, page.status);
    if (status == ReadStatus::kOk) [[likely]]
      return page.ns;
    return AskSystem(number, status).ns();
  }

  [[gnu::noinline]] ChainReading AskSystem(int32_t id,
                                           ReadStatus page_status) const {
    KernelTimespec time = {};
    Leg leg = Leg::kVdso;
    int32_t error = 0;
    if (clock_gettime64_ != nullptr) {
      error = clock_gettime64_(id, &time);
    } else if (clock_gettime_ != nullptr) {
      KernelOldTimespec old_time = {};
      error = clock_gettime_(id, &old_time);
      time.tv_sec = old_time.tv_sec;
      time.tv_nsec = old_time.tv_nsec;
    } else {
      leg = Leg::kSyscall;
      error = ClockGettime(id, &time);
    }
    return {time.tv_sec, static_cast<uint32_t>(time.tv_nsec),
            error,       leg,
            page_status, vdso_status_};
  }

  Reader<Clock, Memory> page_;
  // Of all the vDSO's functions, those that are asked.
  decltype(VdsoFunctions::clock_gettime) clock_gettime_ = nullptr;
  decltype(VdsoFunctions::clock_gettime64) clock_gettime64_ = nullptr;
  VdsoStatus vdso_status_ = VdsoStatus::kNoSuchSymbol;
};

}  // namespace vvar::fallback

#endif  // VVAR_FALLBACK_CHAIN_H_
