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

/// Time from the system, where no page gives it; without a libc.
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

  /// False: `error` says why there is no time.
  constexpr bool ok() const { return error == 0; }
  /// The time in ns, modulo 2^64.
  constexpr uint64_t ns() const { return TimespecToNs({sec, nsec}); }
};

/// Reads any of the system's clocks. Copyable, shared freely by threads: it
/// keeps no state, so a page that comes back to life is used again at once.
/// The system answers in this process's time namespace; `Offsets` makes a page
/// that speaks in another do so too.
///
/// Not promised: MONOTONIC across a change of leg closer than the page's own
/// offset to the kernel.
/// Progress: the page's bound, then the kernel's. Context: user mode, signal
/// handlers included.
template <ClockSource Clock = NativeClock, class Memory = PageMemory,
          class Offsets = NoOffsets>
class Chain {
 public:
  /// What asks the page.
  using PageReader = Reader<Clock, Memory, Offsets>;

  /// A chain without a page or a vDSO: all reads are system calls.
  constexpr Chain() = default;
  /// `page` may be a reader of nothing; `without_page` then says why.
  constexpr Chain(const PageReader& page, const VdsoFunctions& vdso,
                  ReadStatus without_page = ReadStatus::kNotReady)
      : page_(page),
        clock_gettime_(vdso.clock_gettime),
        clock_gettime64_(vdso.clock_gettime64),
        vdso_status_(CanAsk() ? VdsoStatus::kFound : vdso.status),
        without_page_(without_page) {}

  /// Returns the time of clock `id`. Ordering: as clock_gettime().
  [[nodiscard]] ChainReading Now(int32_t id) const {
    return Answer(id, [&](ClockId clock) { return page_.NowTimespec(clock); });
  }
  /// The same, but the page's leg is not ordered.
  [[nodiscard]] ChainReading NowUnordered(int32_t id) const {
    return Answer(
        id, [&](ClockId clock) { return page_.NowTimespecUnordered(clock); });
  }

  /// Returns the time in ns, modulo 2^64: what Now().ns() gives, for callers
  /// who need to know no more. Range: clocks the system has; 0 for others.
  [[nodiscard, gnu::always_inline]] inline uint64_t NowNs(ClockId id) const {
    return AnswerNs(id, [&](ClockId clock) { return page_.Now(clock); });
  }
  /// The same, but the page's leg is not ordered.
  [[nodiscard, gnu::always_inline]] inline uint64_t NowNsUnordered(
      ClockId id) const {
    return AnswerNs(id,
                    [&](ClockId clock) { return page_.NowUnordered(clock); });
  }

  /// Returns the page's bounds of the true time, or why there are none: the
  /// system has no such thing to fall back to. Ordering: as clock_gettime().
  [[nodiscard]] IntervalReading Interval(ClockId id) const {
    if (!page_.attached()) return {0, 0, without_page_, ClockStatus::kNone};
    return page_.Interval(id);
  }

  /// The page's reader; where it is one of nothing, the counter may be what
  /// this process may not read, and then a read of it is a fault.
  constexpr const PageReader& page() const { return page_; }

 private:
  constexpr bool CanAsk() const {
    return clock_gettime64_ != nullptr || clock_gettime_ != nullptr;
  }

  /// What `read` made of the page. Without one its counter is not read: that
  /// may be what this process may not do. A coarse clock does not show that its
  /// page is dead; the page's age does.
  template <class Reading, class Read>
  [[gnu::always_inline]] inline Reading AskPage(ClockId id, Read read) const {
    Reading reading = {};
    reading.status = without_page_;
    if (page_.attached()) [[likely]] {
      reading = read(id);
      if (reading.ok() && !page_.NeedsCounter(id)) [[unlikely]] {
        reading.status = page_.Age().status;
      }
    }
    return reading;
  }

  template <class Read>
  [[gnu::always_inline]] inline ChainReading Answer(int32_t id,
                                                    Read read) const {
    const auto page = AskPage<TimespecReading>(static_cast<ClockId>(id), read);
    if (page.ok()) [[likely]] {
      return {page.sec, page.nsec, 0, Leg::kPage, page.status, vdso_status_};
    }
    return AskSystem(id, page.status);
  }

  template <class Read>
  [[gnu::always_inline]] inline uint64_t AnswerNs(ClockId id, Read read) const {
    const auto page = AskPage<NsReading>(id, read);
    if (page.ok()) [[likely]]
      return page.ns;
    return AskSystem(static_cast<int32_t>(id), page.status).ns();
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

  PageReader page_;
  // Of all the vDSO's functions, those that are asked.
  decltype(VdsoFunctions::clock_gettime) clock_gettime_ = nullptr;
  decltype(VdsoFunctions::clock_gettime64) clock_gettime64_ = nullptr;
  VdsoStatus vdso_status_ = VdsoStatus::kNoSuchSymbol;
  ReadStatus without_page_ = ReadStatus::kNotReady;
};

}  // namespace vvar::fallback

#endif  // VVAR_FALLBACK_CHAIN_H_
