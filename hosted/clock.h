// SPDX-License-Identifier: MIT
//
// Time in one line: a clock that this process keeps, with its std::chrono
// types, and one of a page that another keeps. Nothing happens before main();
// what cannot use the counter falls back to the system and says so. User space.
#ifndef VVAR_HOSTED_CLOCK_H_
#define VVAR_HOSTED_CLOCK_H_

#include <stdint.h>
#include <sys/auxv.h>

#include <chrono>
#include <memory>
#include <optional>
#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "clocks/native.h"
#include "fallback/chain.h"
#include "fallback/syscall.h"
#include "fallback/vdso_symbol.h"
#include "hosted/counter.h"
#include "hosted/page_keeper.h"
#include "hosted/reference.h"
#include "hosted/shared_page.h"
#include "hosted/updater.h"
#include "vvar/offset.h"
#include "vvar/page.h"
#include "vvar/reader.h"
#include "vvar/reading.h"

/// What an operating system is needed for: pages between processes, writers
/// that follow its clocks, and what puts other programs on a page.
namespace vvar::hosted {

/// The functions of the vDSO that the kernel gave this process; none where
/// this process may not read the counter: then the vDSO's read would fault too.
inline fallback::VdsoFunctions SystemVdso() {
  if (SignalOfCounterRead() != 0) return {};
  return fallback::FindVdsoFunctions(
      fallback::VdsoImage::FromMappedByKernel(getauxval(AT_SYSINFO_EHDR)));
}

/// The chain of a page between processes.
using SharedChain = fallback::Chain<NativeClock, PageMemory, ClockOffsets>;

namespace clock_internal {

/// A chain that begins with the system, and says why.
template <class Chain>
Chain WithoutPage(const fallback::VdsoFunctions& vdso) {
  return Chain({}, vdso,
               SignalOfCounterRead() == 0 ? ReadStatus::kNotReady
                                          : ReadStatus::kUnreadableCounter);
}

}  // namespace clock_internal

/// A clock of this process, kept by a thread of its own. RAII: the destructor
/// stops the thread. Any number may exist; each has its own page, in the terms
/// of the time namespace it was started in: a child that was forked into
/// another starts one of its own.
///
///   vvar::hosted::InProcessClock clock;
///   uint64_t ns = clock.Now(vvar::ClockId::kMonotonic);
///
/// Start-up takes options.calibration and a millisecond or two.
class InProcessClock {
 public:
  /// Never fails: where a page cannot be kept, status() says why, and reads go
  /// to the vDSO or the kernel.
  explicit InProcessClock(const UpdaterOptions& options = {})
      : status_(Start(options)) {}
  InProcessClock(const InProcessClock&) = delete;
  InProcessClock& operator=(const InProcessClock&) = delete;

  /// Ok, or why this clock is no faster than the system's.
  const absl::Status& status() const { return status_; }

  /// Returns the time of a clock. Units: ns since its epoch, modulo 2^64.
  /// Ordering: as clock_gettime(). Context: any thread, signal handlers.
  uint64_t Now(ClockId id) const { return chain_.NowNs(id); }
  /// The same, unordered: see Reader.
  uint64_t NowUnordered(ClockId id) const { return chain_.NowNsUnordered(id); }

  /// Returns bounds of the true time. Error: without a page there are none; the
  /// status says so.
  IntervalReading Interval(ClockId id) const { return chain_.Interval(id); }

  /// The page's reader, for snapshots, statuses and a History. Range: only if
  /// it is attached(), which it is if status() is ok; see Chain::page().
  const Reader<NativeClock>& reader() const { return chain_.page(); }
  /// The page's descriptor, for whoever maps it elsewhere; -1 without a page.
  int page_fd() const { return keeper_ != nullptr ? keeper_->page().fd() : -1; }
  /// The chain, which says which leg answers.
  const fallback::Chain<>& chain() const { return chain_; }

 private:
  absl::Status Start(const UpdaterOptions& options) {
    const fallback::VdsoFunctions vdso = SystemVdso();
    chain_ = clock_internal::WithoutPage<fallback::Chain<>>(vdso);
    absl::StatusOr<CounterInfo<NativeClock>> counter = FindCounter();
    if (!counter.ok()) return counter.status();
    absl::StatusOr<std::unique_ptr<PageKeeper>> keeper = PageKeeper::Start(
        *counter, std::make_unique<KernelReference>(counter->clock), options);
    if (!keeper.ok()) return keeper.status();
    keeper_ = *std::move(keeper);
    chain_ = fallback::Chain<>(keeper_->reader(), vdso);
    return absl::OkStatus();
  }

  fallback::Chain<> chain_;
  std::unique_ptr<PageKeeper> keeper_;
  absl::Status status_;
};

/// A clock of a page that another process keeps, such as `vvar serve`. RAII:
/// the destructor unmaps the page. In the terms of the time namespace it was
/// made in, as AttachedPage.
///
///   vvar::hosted::AttachedClock clock("demo");
///   uint64_t ns = clock.Now(vvar::ClockId::kMonotonic);
class AttachedClock {
 public:
  /// Never fails: where there is no page of that name (see PagePath()),
  /// status() says why, and reads go to the vDSO or the kernel, for good. So
  /// they do while the page's writer is dead: then its next writer is noticed.
  explicit AttachedClock(std::string_view name) : status_(Attach(name)) {}
  AttachedClock(const AttachedClock&) = delete;
  AttachedClock& operator=(const AttachedClock&) = delete;

  /// Ok, or why this clock is no faster than the system's.
  const absl::Status& status() const { return status_; }

  /// @{
  /// As InProcessClock's.
  uint64_t Now(ClockId id) const { return chain_.NowNs(id); }
  uint64_t NowUnordered(ClockId id) const { return chain_.NowNsUnordered(id); }
  IntervalReading Interval(ClockId id) const { return chain_.Interval(id); }
  const SharedReader& reader() const { return chain_.page(); }
  const SharedChain& chain() const { return chain_; }
  /// @}

 private:
  absl::Status Attach(std::string_view name) {
    const fallback::VdsoFunctions vdso = SystemVdso();
    chain_ = clock_internal::WithoutPage<SharedChain>(vdso);
    const absl::StatusOr<CounterInfo<NativeClock>> counter = FindCounter();
    if (!counter.ok()) return counter.status();
    absl::StatusOr<AttachedPage> page = AttachedPage::Attach(name);
    if (!page.ok()) return page.status();
    page_ = *std::move(page);
    chain_ = SharedChain(page_->MakeReader(counter->clock), vdso);
    return absl::OkStatus();
  }

  SharedChain chain_;
  std::optional<AttachedPage> page_;
  absl::Status status_;
};

/// Returns the process's clock behind the std::chrono types below; the first
/// call starts it (some 15 ms), from whichever thread. It is never destroyed,
/// so that late readers find it. Context: the first call in no signal handler.
inline const InProcessClock& ProcessClock() {
  static const auto* const clock = new InProcessClock();
  return *clock;
}

namespace clock_internal {

template <ClockId kId, bool kOrdered>
struct ChronoClock {
  using rep = int64_t;
  using period = std::nano;
  using duration = std::chrono::nanoseconds;

  static duration SinceEpoch() {
    const InProcessClock& clock = ProcessClock();
    return duration(static_cast<int64_t>(kOrdered ? clock.Now(kId)
                                                  : clock.NowUnordered(kId)));
  }
};

}  // namespace clock_internal

/// MONOTONIC, as std::chrono::steady_clock has it here, without the call.
struct steady_clock
    : clock_internal::ChronoClock<ClockId::kMonotonic, /*kOrdered=*/true> {
  using time_point = std::chrono::time_point<steady_clock>;
  static constexpr bool is_steady = true;
  /// Context: as InProcessClock's; the first call of all starts it.
  static time_point now() noexcept { return time_point(SinceEpoch()); }
};

/// The same clock read without ordering: its readings, too, never decrease
/// within one thread, but across threads an effect may seem to precede its
/// cause by the depth of a CPU's pipeline.
struct unordered_steady_clock
    : clock_internal::ChronoClock<ClockId::kMonotonic, /*kOrdered=*/false> {
  using time_point = std::chrono::time_point<unordered_steady_clock>;
  static constexpr bool is_steady = true;
  /// Context: as InProcessClock's; the first call of all starts it.
  static time_point now() noexcept { return time_point(SinceEpoch()); }
};

/// REALTIME. to_sys() and from_sys() make it a clock that std::chrono converts.
struct system_clock
    : clock_internal::ChronoClock<ClockId::kRealtime, /*kOrdered=*/true> {
  using time_point = std::chrono::time_point<system_clock>;
  static constexpr bool is_steady = false;
  /// Context: as InProcessClock's; the first call of all starts it.
  static time_point now() noexcept { return time_point(SinceEpoch()); }

  /// @{
  /// For std::chrono::clock_cast: both count from 1970, as POSIX does.
  template <class Duration>
  static std::chrono::sys_time<Duration> to_sys(
      const std::chrono::time_point<system_clock, Duration>& time) {
    return std::chrono::sys_time<Duration>(time.time_since_epoch());
  }
  template <class Duration>
  static std::chrono::time_point<system_clock, Duration> from_sys(
      const std::chrono::sys_time<Duration>& time) {
    return std::chrono::time_point<system_clock, Duration>(
        time.time_since_epoch());
  }
  /// @}
};

}  // namespace vvar::hosted

#endif  // VVAR_HOSTED_CLOCK_H_
