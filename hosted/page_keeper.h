// SPDX-License-Identifier: MIT
//
// A page without a name, kept by a thread of this process: for its own readers,
// or for other processes that are handed the descriptor. User space.
#ifndef VVAR_HOSTED_PAGE_KEEPER_H_
#define VVAR_HOSTED_PAGE_KEEPER_H_

#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <memory>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "clocks/cpu_id.h"
#include "clocks/native.h"
#include "hosted/reference.h"
#include "hosted/shared_page.h"
#include "hosted/updater.h"
#include "vvar/header.h"
#include "vvar/page.h"
#include "vvar/reader.h"

namespace vvar::hosted {

/// A PageConfig for the counter of this machine. counter_hz is 0 when nobody
/// names it: the updater then stores what it measured.
inline PageConfig ConfigFor(const CounterInfo<NativeClock>& counter,
                            const UpdaterOptions& options) {
  return {NativeClock::kCounterId,
          NativeClock::kCounterBits,
          counter.hz,
          NewInstanceId(),
          VVAR_FEATURE_USER_COUNTER | (HasRdpid() ? VVAR_FEATURE_RDPID : 0),
          /*timeline_count=*/1,
          /*resolution_ns=*/1,
          static_cast<uint32_t>(absl::ToInt64Nanoseconds(options.tick))};
}

/// Keeps a page while it lives; the destructor stops the thread.
class PageKeeper {
 public:
  /// Begins the page's time and its updates. Takes options.calibration and a
  /// millisecond or two. Error: that of CheckOptions(), WritablePage or
  /// TickLoop; ResourceExhausted, no thread.
  static absl::StatusOr<std::unique_ptr<PageKeeper>> Start(
      const CounterInfo<NativeClock>& counter,
      std::unique_ptr<Reference> reference, const UpdaterOptions& options) {
    absl::Status valid = CheckOptions(options);
    if (!valid.ok()) return valid;
    absl::StatusOr<WritablePage> page =
        WritablePage::CreateAnonymous(ConfigFor(counter, options));
    if (!page.ok()) return page.status();
    auto updater = std::make_unique<Updater>(page->bytes(), counter,
                                             std::move(reference), options);
    absl::StatusOr<std::unique_ptr<TickLoop>> loop =
        TickLoop::Create(updater->tick_ns());
    if (!loop.ok()) return loop.status();
    std::unique_ptr<PageKeeper> keeper(new PageKeeper(
        *std::move(page), counter.clock, std::move(updater), *std::move(loop)));
    absl::Status ticking = keeper->StartThread();
    if (!ticking.ok()) return ticking;
    return keeper;
  }
  ~PageKeeper() {
    // A forked child has a copy of this object, but not its thread; the timer
    // is the parent's.
    if (!ticking_ || getpid() != pid_) return;
    loop_->Stop();
    pthread_join(thread_, nullptr);
  }
  PageKeeper(const PageKeeper&) = delete;
  PageKeeper& operator=(const PageKeeper&) = delete;

  /// Written by the keeper's thread meanwhile; for its descriptor, and readers.
  const WritablePage& page() const { return page_; }
  /// A reader of the page, in the reference's terms. It holds while this lives.
  Reader<NativeClock> reader() const {
    return {&page_.bytes().timeline[0], clock_};
  }

 private:
  PageKeeper(WritablePage page, NativeClock clock,
             std::unique_ptr<Updater> updater, std::unique_ptr<TickLoop> loop)
      : page_(std::move(page)),
        clock_(clock),
        updater_(std::move(updater)),
        loop_(std::move(loop)) {}

  absl::Status StartThread() {
    // The thread is nobody's place to take signals.
    sigset_t all;
    sigset_t old_mask;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old_mask);
    // Not std::thread, whose constructor throws where this has to fall back.
    const int error = pthread_create(
        &thread_, nullptr,
        [](void* self) -> void* {
          auto& keeper = *static_cast<PageKeeper*>(self);
          keeper.loop_->Run(*keeper.updater_);
          return nullptr;
        },
        this);
    pthread_sigmask(SIG_SETMASK, &old_mask, nullptr);
    if (error != 0) {
      return absl::ResourceExhaustedError(
          absl::StrCat("pthread_create: ", strerror(error)));
    }
    ticking_ = true;
    return absl::OkStatus();
  }

  WritablePage page_;
  NativeClock clock_;
  std::unique_ptr<Updater> updater_;
  std::unique_ptr<TickLoop> loop_;
  pthread_t thread_ = {};
  bool ticking_ = false;
  pid_t pid_ = getpid();
};

}  // namespace vvar::hosted

#endif  // VVAR_HOSTED_PAGE_KEEPER_H_
