// SPDX-License-Identifier: MIT
//
// vvar attach: puts a running process on a page, and takes it off again. Its
// threads stand still meanwhile.
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <string>
#include <utility>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "hosted/descriptor_lender.h"
#include "hosted/injected_calls.h"
#include "hosted/injected_image.h"
#include "hosted/memory_map.h"
#include "hosted/patched_vdso.h"
#include "hosted/process_status.h"
#include "hosted/shared_page.h"
#include "hosted/stopped_process.h"
#include "hosted/time_namespace.h"
#include "hosted/traced_thread.h"
#include "tools/command.h"
#include "tools/own_image.h"
#include "vdso/loader.h"

namespace vvar::tools {
namespace {

using hosted::InjectedCalls;
using hosted::MemoryMap;
using hosted::PatchedVdso;
using hosted::StoppedProcess;
using hosted::TracedThread;

/// Images of `vvar exec` have another: a program begins with those.
constexpr char kImageName[] = "vvar-attached-image";

/// Holds the signals that would end us while a process is half changed.
class SignalsPutOff {
 public:
  SignalsPutOff() {
    sigset_t all;
    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, &before_);
  }
  ~SignalsPutOff() { sigprocmask(SIG_SETMASK, &before_, nullptr); }
  SignalsPutOff(const SignalsPutOff&) = delete;
  SignalsPutOff& operator=(const SignalsPutOff&) = delete;

 private:
  sigset_t before_;
};

/// An image for a process.
struct Files {
  hosted::DescriptorLender lender;
  hosted::AttachedPage page;
  hosted::SealedFile offsets;
  hosted::SealedFile image;
  std::string_view image_bytes;

  hosted::ImageFiles fds() const {
    return {lender.pid(), page.fd(), offsets.fd(), image.fd(), image.size()};
  }
  vdso::LoadableImage loadable() const {
    return {image_bytes.data(), image_bytes.size()};
  }
};

/// What has been done, for the report.
struct Change {
  size_t functions = 0;
  size_t threads = 0;
  size_t images_kept = 0;
  absl::Duration stopped_for;
};

/// Error: FailedPrecondition, where a filter of the program's may kill it for
/// our calls: only who has CAP_SYS_ADMIN may suspend it.
absl::Status CheckSeccomp(pid_t pid, TracedThread caller) {
  if (hosted::StatusLine(pid, "Seccomp") == "0") return absl::OkStatus();
  const absl::Status suspended = caller.SetOptions(PTRACE_O_SUSPEND_SECCOMP);
  if (suspended.ok()) return caller.SetOptions(0);
  return absl::FailedPreconditionError(
      absl::StrCat("process ", pid,
                   ": has a seccomp filter, which might end it for our "
                   "system calls; expected CAP_SYS_ADMIN, to suspend it"));
}

/// Maps the image and leads the vDSO there, or leaves all as it was.
absl::Status MapAndPatch(const StoppedProcess& process, const MemoryMap& map,
                         const Files& files, PatchedVdso& vdso) {
  const absl::StatusOr<TracedThread> caller = process.Caller();
  if (!caller.ok()) return caller.status();
  absl::Status status = CheckSeccomp(process.pid(), *caller);
  if (!status.ok()) return status;
  const absl::StatusOr<InjectedCalls> calls = InjectedCalls::Begin(*caller);
  if (!calls.ok()) return calls.status();
  const uint64_t size = vdso::ImageLayout::At(0, files.image.size()).end;
  const absl::StatusOr<vdso::ImageLayout> layout = hosted::MapImage(
      *caller, *calls, files.fds(),
      hosted::FindRoomNear(map, vdso.base(), size, VVAR_PAGE_SIZE));
  status = layout.status();
  if (layout.ok()) {
    status = vdso.Patch(files.loadable(), *layout);
    if (!status.ok() && vdso.Restore().ok()) {
      (void)hosted::UnmapImage(*caller, *calls, *layout);
    }
  }
  const absl::Status ended = calls->End();
  return status.ok() ? ended : status;
}

absl::Status PutOn(const StoppedProcess& process, const Files& files,
                   Change* change) {
  const absl::StatusOr<MemoryMap> map =
      hosted::ReadMemoryMap(absl::StrCat("/proc/", process.pid()));
  if (!map.ok()) return map.status();
  absl::StatusOr<PatchedVdso> vdso = PatchedVdso::Of(process, *map);
  if (!vdso.ok()) return vdso.status();
  const bool by_exec =
      hosted::FindMapping(*map, "/memfd:vvar-image (deleted)") != nullptr;
  if (by_exec || vdso->is_patched()) {
    return absl::FailedPreconditionError(absl::StrCat(
        "process ", process.pid(), ": has its time from a page already, by ",
        by_exec ? "`vvar exec`" : "`vvar attach`; expected --detach before"));
  }
  const absl::Status stepped = process.StepOutOf(vdso->Jumps());
  if (!stepped.ok()) return stepped;
  const absl::StatusOr<bool> in_the_way =
      process.MayReturnInto(*map, vdso->Jumps());
  if (!in_the_way.ok()) return in_the_way.status();
  if (*in_the_way) {
    return absl::UnavailableError(
        absl::StrCat("process ", process.pid(),
                     ": a signal handler interrupted a function of its vDSO "
                     "where it begins"));
  }
  change->functions = vdso->function_count();
  return MapAndPatch(process, *map, files, *vdso);
}

/// Unmaps an image, unless somebody may be in it still.
absl::Status TakeAway(const StoppedProcess& process, const MemoryMap& map,
                      const vdso::ImageLayout& layout, Change* change) {
  const std::vector<hosted::MemoryRange> code = {{layout.image, layout.end}};
  const absl::Status stepped = process.StepOutOf(code);
  if (!stepped.ok() && !absl::IsUnavailable(stepped)) return stepped;
  const absl::StatusOr<bool> in_use = process.MayReturnInto(map, code);
  if (!in_use.ok()) return in_use.status();
  if (!stepped.ok() || *in_use) {
    ++change->images_kept;
    return absl::OkStatus();
  }
  const absl::StatusOr<TracedThread> caller = process.Caller();
  if (!caller.ok()) return caller.status();
  const absl::Status allowed = CheckSeccomp(process.pid(), *caller);
  if (!allowed.ok()) return allowed;
  const absl::StatusOr<InjectedCalls> calls = InjectedCalls::Begin(*caller);
  if (!calls.ok()) return calls.status();
  const absl::Status unmapped = hosted::UnmapImage(*caller, *calls, layout);
  const absl::Status ended = calls->End();
  return unmapped.ok() ? ended : unmapped;
}

absl::Status TakeOff(const StoppedProcess& process, Change* change) {
  const absl::StatusOr<MemoryMap> map =
      hosted::ReadMemoryMap(absl::StrCat("/proc/", process.pid()));
  if (!map.ok()) return map.status();
  absl::StatusOr<PatchedVdso> vdso = PatchedVdso::Of(process, *map);
  if (!vdso.ok()) return vdso.status();
  const std::string image = absl::StrCat("/memfd:", kImageName, " (deleted)");
  if (!vdso->is_patched() && hosted::FindMapping(*map, image) == nullptr) {
    return absl::FailedPreconditionError(absl::StrCat(
        "process ", process.pid(), ": is on no page of `vvar attach`"));
  }
  change->functions = vdso->function_count();
  const absl::Status restored = vdso->Restore();
  if (!restored.ok()) return restored;
  for (const hosted::Mapping& mapping : *map) {
    if (mapping.name != image) continue;
    const absl::Status status =
        TakeAway(process, *map,
                 vdso::ImageLayout::At(mapping.range.begin - 2 * VVAR_PAGE_SIZE,
                                       mapping.range.end - mapping.range.begin),
                 change);
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

/// Stops a process for `what`; again and again while it is Unavailable.
template <class What>
absl::StatusOr<Change> WhileStopped(pid_t pid, What what) {
  constexpr absl::Duration kPatience = absl::Seconds(2);
  const absl::Time begin = absl::Now();
  while (true) {
    Change change;
    const absl::Time stopped_at = absl::Now();
    absl::Status status;
    {
      const absl::StatusOr<StoppedProcess> process = StoppedProcess::Stop(pid);
      const SignalsPutOff until_it_runs;
      status = process.status();
      if (process.ok()) {
        change.threads = process->threads().size();
        status = what(*process, &change);
      }
    }
    change.stopped_for = absl::Now() - stopped_at;
    if (status.ok()) return change;
    if (!absl::IsUnavailable(status) || absl::Now() - begin > kPatience) {
      return status;
    }
    absl::SleepFor(absl::Milliseconds(1));
  }
}

absl::StatusOr<Files> MakeFiles(pid_t pid, hosted::AttachedPage page,
                                std::string_view image) {
  const absl::StatusOr<ClockOffsets> values =
      hosted::TimeNamespaceOffsets(absl::StrCat("/proc/", pid));
  if (!values.ok()) return values.status();
  absl::StatusOr<hosted::SealedFile> offsets = hosted::MakeOffsetsFile(*values);
  if (!offsets.ok()) return offsets.status();
  absl::StatusOr<hosted::SealedFile> file =
      hosted::SealedFile::Make(kImageName, image);
  if (!file.ok()) return file.status();
  // Of all that is open by now.
  absl::StatusOr<hosted::DescriptorLender> lender =
      hosted::DescriptorLender::Start(pid);
  if (!lender.ok()) return lender.status();
  return Files{*std::move(lender), std::move(page), *std::move(offsets),
               *std::move(file), image};
}

ExitCode Report(pid_t pid, const absl::StatusOr<Change>& change, bool is_on) {
  if (!change.ok()) return Refuse("attach", change.status());
  const std::string page = hosted::PagePath(absl::GetFlag(FLAGS_page));
  if (WantsJson()) {
    PrintJson(
        {{"pid", pid},
         {"page", is_on ? nlohmann::ordered_json(page) : nullptr},
         {"functions", change->functions},
         {"threads", change->threads},
         {"images_kept", change->images_kept},
         {"stopped_for_ns", absl::ToInt64Nanoseconds(change->stopped_for)}});
    return kExitOk;
  }
  absl::PrintF(
      "process %d: %d functions of its vDSO %s; %d threads stood for %s\n", pid,
      change->functions,
      is_on ? absl::StrCat("read page ", page) : "are the kernel's again",
      change->threads, absl::FormatDuration(change->stopped_for));
  if (change->images_kept != 0) {
    absl::PrintF("%d images stay mapped: a thread may return into them\n",
                 change->images_kept);
  }
  return kExitOk;
}

}  // namespace

ExitCode Attach() {
  const pid_t pid = absl::GetFlag(FLAGS_pid);
  const bool detach = absl::GetFlag(FLAGS_detach);
  if (pid <= 0) {
    return Fail(absl::OutOfRangeError(
        absl::StrCat("--pid=", pid, "; expected a process")));
  }
  if (absl::GetFlag(FLAGS_page).empty() != detach) {
    return Fail(absl::OutOfRangeError(
        "attach: expected either --page=NAME, kept by `vvar serve`, or "
        "--detach"));
  }
  const absl::StatusOr<std::string_view> image = OwnImage();
  if (!image.ok()) return Refuse("attach", image.status());
  if (kill(pid, 0) != 0 && errno == ESRCH) {
    return Refuse("attach",
                  absl::NotFoundError(absl::StrCat("process ", pid, ": none")));
  }
  if (detach) return Report(pid, WhileStopped(pid, TakeOff), false);
  absl::StatusOr<hosted::AttachedPage> page =
      AttachForImage(absl::GetFlag(FLAGS_page));
  if (!page.ok()) return Fail(page.status());
  const absl::StatusOr<Files> files = MakeFiles(pid, *std::move(page), *image);
  if (!files.ok()) return Refuse("attach", files.status());
  const auto put_on = [&](const StoppedProcess& process, Change* change) {
    return PutOn(process, *files, change);
  };
  return Report(pid, WhileStopped(pid, put_on), true);
}

}  // namespace vvar::tools
