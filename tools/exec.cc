// SPDX-License-Identifier: MIT
//
// vvar exec: runs a program with the image in its vDSO's place.
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cmath>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "hosted/counter.h"
#include "hosted/own_realtime.h"
#include "hosted/page_keeper.h"
#include "hosted/reference.h"
#include "hosted/shared_page.h"
#include "hosted/time_namespace.h"
#include "hosted/updater.h"
#include "tools/command.h"
#include "tools/image_tracer.h"
#include "tools/launch.h"
#include "tools/names.h"
#include "tools/own_image.h"
#include "vdso/embedded_image.h"
#include "vvar/slew.h"

namespace vvar::tools {
namespace {

/// What --rate asks for. Units: ppb beyond 1. Error: OutOfRange.
absl::StatusOr<int64_t> RatePpbOfFlag() {
  const double rate = absl::GetFlag(FLAGS_rate);
  const double most = static_cast<double>(kMaxSteeringPpb) * 1e-9;
  if (!(rate >= 1 - most && rate <= 1 + most)) {
    return absl::OutOfRangeError(absl::StrCat("--rate=", rate, "; expected ",
                                              1 - most, " to ", 1 + most));
  }
  return std::llround((rate - 1) * 1e9);
}

/// What --offset asks for. Units: ns. Error: OutOfRange.
absl::StatusOr<int64_t> OffsetNsOfFlag() {
  const absl::Duration offset = absl::GetFlag(FLAGS_offset);
  const absl::Time there = absl::Now() + offset;
  const absl::Time end = absl::FromUnixNanos(INT64_MAX);
  if (there < absl::UnixEpoch() || there > end) {
    return absl::OutOfRangeError(
        absl::StrCat("--offset=", absl::FormatDuration(offset),
                     "; expected a time from 1970 to ", absl::FormatTime(end)));
  }
  return absl::ToInt64Nanoseconds(offset);
}

/// The page of a program: a named one, or our own.
struct ProgramPage {
  std::optional<hosted::AttachedPage> attached;
  std::unique_ptr<hosted::PageKeeper> keeper;

  int fd() const { return keeper ? keeper->page().fd() : attached->fd(); }
};

absl::StatusOr<ProgramPage> AttachPage(const std::string& name) {
  absl::StatusOr<hosted::AttachedPage> attached = AttachForImage(name);
  if (!attached.ok()) return attached.status();
  const absl::StatusOr<CounterInfo<NativeClock>> counter =
      hosted::FindCounter();
  if (!counter.ok()) return counter.status();
  const auto now =
      attached->MakeReader(counter->clock).Now(ClockId::kMonotonic);
  if (!now.ok()) {
    fprintf(stderr,
            "vvar: exec: page %s gives no time now (%s): the program gets the "
            "kernel's until it does\n",
            hosted::PagePath(name).c_str(),
            std::string(NameOf(now.status)).c_str());
  }
  return ProgramPage{*std::move(attached), nullptr};
}

absl::StatusOr<ProgramPage> KeepPage(int64_t offset_ns, int64_t rate_ppb) {
  hosted::UpdaterOptions options;
  options.tick = absl::GetFlag(FLAGS_tick);
  options.max_age = absl::GetFlag(FLAGS_max_age);
  options.realtime.rate_ppb = rate_ppb;
  if (const absl::Status valid = hosted::CheckOptions(options); !valid.ok()) {
    return absl::OutOfRangeError(absl::StrCat("--", valid.message()));
  }
  const absl::StatusOr<CounterInfo<NativeClock>> counter =
      hosted::FindCounter();
  if (!counter.ok()) return counter.status();
  const absl::StatusOr<ClockOffsets> own = hosted::TimeNamespaceOffsets();
  if (!own.ok()) return own.status();
  std::unique_ptr<hosted::Reference> reference =
      std::make_unique<hosted::KernelReference>(counter->clock, *own);
  if (offset_ns != 0 || rate_ppb != 0) {
    reference = std::make_unique<hosted::OwnRealtime>(std::move(reference),
                                                      offset_ns, rate_ppb);
  }
  absl::StatusOr<std::unique_ptr<hosted::PageKeeper>> keeper =
      hosted::PageKeeper::Start(*counter, std::move(reference), options);
  if (!keeper.ok()) return keeper.status();
  return ProgramPage{std::nullopt, *std::move(keeper)};
}

/// Makes the page that the flags ask for.
absl::StatusOr<ProgramPage> PageOfFlags() {
  const absl::StatusOr<int64_t> offset_ns = OffsetNsOfFlag();
  if (!offset_ns.ok()) return offset_ns.status();
  const absl::StatusOr<int64_t> rate_ppb = RatePpbOfFlag();
  if (!rate_ppb.ok()) return rate_ppb.status();
  const bool own_time = *offset_ns != 0 || *rate_ppb != 0;
  const std::string name = absl::GetFlag(FLAGS_page);
  if (!own_time) return name.empty() ? KeepPage(0, 0) : AttachPage(name);
  if (!name.empty()) {
    return absl::OutOfRangeError(
        "exec: --offset and --rate with --page; expected a page of the "
        "program's own, without --page");
  }
  fprintf(stderr,
          "vvar: exec: only REALTIME and TAI are the program's own; MONOTONIC "
          "and every sleep are the kernel's (see `vvar help exec`)\n");
  return KeepPage(*offset_ns, *rate_ppb);
}

/// Error: FailedPrecondition, for a program that would not get the rights its
/// file gives: the kernel withholds them from who is traced.
/// Source: Linux security/commoncap.c, cap_bprm_creds_from_file().
absl::Status CheckRights(const std::string& file) {
  struct stat info = {};
  if (geteuid() == 0 || stat(file.c_str(), &info) != 0) return {};
  const bool changes_user = (info.st_mode & S_ISUID) != 0;
  const bool changes_group =
      (info.st_mode & (S_ISGID | S_IXGRP)) == (S_ISGID | S_IXGRP);
  const bool has_rights =
      getxattr(file.c_str(), "security.capability", nullptr, 0) > 0;
  if (!changes_user && !changes_group && !has_rights) return {};
  return absl::FailedPreconditionError(absl::StrCat(
      file, ": ",
      changes_user    ? "setuid"
      : changes_group ? "setgid"
                      : "with file capabilities",
      ", which the kernel withholds from a program that is traced; expected "
      "another program, or root to run it"));
}

ExitCode NotStarted(const char* program, int error) {
  fprintf(stderr, "vvar: exec: %s: %s\n", program, strerror(error));
  return error == ENOENT ? kExitNotFound : kExitNotExecutable;
}

/// A child that was not let go is our failure; one that was, its own.
int Launch(const ProgramPage& page, const Images& images,
           const std::vector<char*>& words) {
  const Follow follow =
      absl::GetFlag(FLAGS_f) ? Follow::kChildrenToo : Follow::kProgram;
  absl::StatusOr<ImageTracer> tracer =
      ImageTracer::Make(page.fd(), images, follow);
  if (!tracer.ok()) return Refuse("exec", tracer.status());
  absl::StatusOr<LaunchedProgram> program = LaunchedProgram::Fork(words);
  if (!program.ok()) return Refuse("exec", program.status());
  const absl::Status attached = tracer->Attach(program->pid());
  if (!attached.ok()) {
    program->Abandon();
    return Refuse("exec", attached);
  }
  program->ForwardSignals();
  program->Go();
  const absl::StatusOr<int> status = tracer->Run();
  if (!status.ok()) {
    program->Abandon();
    return Refuse("exec", status.status());
  }
  if (!tracer->has_begun()) {
    if (const int error = program->ExecError(); error != 0) {
      return NotStarted(words[0], error);
    }
  }
  return EndAs(*status);
}

}  // namespace

int Exec(const std::vector<char*>& words) {
  if (words.empty()) {
    return Fail(absl::OutOfRangeError(
        "exec: no program; expected vvar exec [flags] -- PROGRAM ARGS"));
  }
  const absl::StatusOr<std::string_view> image = OwnImage();
  if (!image.ok()) return Refuse("exec", image.status());
  if (const absl::Status rights = CheckRights(FindProgram(words[0]));
      !rights.ok()) {
    return Refuse("exec", rights);
  }
  const absl::StatusOr<ProgramPage> page = PageOfFlags();
  if (!page.ok()) return Fail(page.status());
  return Launch(*page, {*image, vdso::EmbeddedI386Image()}, words);
}

}  // namespace vvar::tools
