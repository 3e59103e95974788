// SPDX-License-Identifier: MIT
//
// The tracer of `vvar exec`. At an exec the kernel has laid out the new
// program's stack and has run none of it: there the image is mapped, and the
// vector that leads programs to the kernel's own vDSO is made to lead to it.
#include "tools/image_tracer.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "hosted/descriptor_lender.h"
#include "hosted/initial_stack.h"
#include "hosted/injected_calls.h"
#include "hosted/process_status.h"
#include "hosted/time_namespace.h"
#include "vdso/loader.h"

namespace vvar::tools {
namespace {

using hosted::TracedThread;
using hosted::TraceStop;

std::string FileOf(pid_t pid) {
  const std::string path =
      hosted::ReadLink(absl::StrCat("/proc/", pid, "/exe"));
  return path.empty() ? absl::StrCat("process ", pid) : path;
}

/// Source: glibc, sysdeps/unix/sysv/linux/i386/libc_sigaction.c: whoever finds
/// a vDSO has its handlers return by what the kernel has in its own.
absl::Status NoVdsoOf32Bits() {
  return absl::FailedPreconditionError(
      "the kernel gives 32-bit programs no vDSO (AT_SYSINFO_EHDR), "
      "by which their signal handlers return; expected one");
}

}  // namespace

ImageTracer::ImageTracer(int page_fd, hosted::SealedFile image,
                         hosted::SealedFile i386_image, Follow follow)
    : page_fd_(page_fd),
      image_(std::move(image)),
      i386_image_(std::move(i386_image)),
      follow_(follow) {}

absl::StatusOr<ImageTracer> ImageTracer::Make(int page_fd, const Images& images,
                                              Follow follow) {
  absl::StatusOr<hosted::SealedFile> file =
      hosted::SealedFile::Make("vvar-image", images.x86_64);
  if (!file.ok()) return file.status();
  absl::StatusOr<hosted::SealedFile> i386_file =
      hosted::SealedFile::Make("vvar-image", images.i386);
  if (!i386_file.ok()) return i386_file.status();
  return ImageTracer(page_fd, *std::move(file), *std::move(i386_file), follow);
}

uint32_t ImageTracer::Options() const {
  return follow_ == Follow::kProgram
             ? PTRACE_O_TRACEEXEC
             : PTRACE_O_TRACEEXEC | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK |
                   PTRACE_O_TRACECLONE;
}

absl::Status ImageTracer::Attach(pid_t program) {
  program_ = program;
  return TracedThread::Seize(program, Options()).status();
}

absl::StatusOr<int> ImageTracer::Run() {
  while (true) {
    int status = 0;
    // WUNTRACED is for the program once it is no longer traced.
    const pid_t tid = waitpid(-1, &status, __WALL | WUNTRACED);
    if (tid < 0 && errno == EINTR) continue;
    if (tid < 0) {
      return absl::InternalError(absl::StrCat("waitpid: ", strerror(errno)));
    }
    const TraceStop stop = TraceStop::Of(status);
    if (stop.is_end()) {
      if (tid == program_) return status;
      continue;
    }
    const bool is_traced = !has_begun_ || follow_ == Follow::kChildrenToo;
    if (!is_traced) {
      StopAsProgram(stop.value);
      continue;
    }
    const absl::Status handled = OnStop(TracedThread(tid, Options()), stop);
    // A thread that was killed meanwhile is waited for.
    if (!handled.ok() && !absl::IsNotFound(handled)) return handled;
  }
}

absl::Status ImageTracer::OnStop(TracedThread thread, const TraceStop& stop) {
  switch (stop.kind) {
    case TraceStop::Kind::kSignal:
      return thread.Resume(TracedThread::Pace::kRun, stop.value);
    case TraceStop::Kind::kGroupStop: {
      const absl::Status status = thread.Resume(TracedThread::Pace::kListen);
      if (thread.tid() == program_) StopAsProgram(stop.value);
      return status;
    }
    case TraceStop::Kind::kEvent:
      if (stop.value == PTRACE_EVENT_EXEC) return OnExec(thread);
      break;
    default:
      break;
  }
  return thread.Resume(TracedThread::Pace::kRun);
}

absl::Status ImageTracer::OnExec(TracedThread thread) {
  const absl::Status given = GiveImage(thread);
  if (absl::IsNotFound(given)) return given;
  if (!given.ok() && !has_begun_) {
    return absl::Status(given.code(), absl::StrCat(FileOf(thread.tid()), ": ",
                                                   given.message()));
  }
  if (!given.ok()) {
    fprintf(stderr, "vvar: exec: %s keeps the kernel's vDSO: %s\n",
            FileOf(thread.tid()).c_str(), std::string(given.message()).c_str());
  }
  has_begun_ = true;
  return follow_ == Follow::kProgram ? thread.Detach()
                                     : thread.Resume(TracedThread::Pace::kRun);
}

absl::Status ImageTracer::GiveImage(TracedThread thread) {
  // The kernel is inside execve() still, whose result would land in registers
  // that we set: the first call would be another one than we made.
  absl::Status status = thread.RunToSystemCallStop();
  if (!status.ok()) return status;
  absl::StatusOr<hosted::InitialStack> stack =
      hosted::InitialStack::Read(thread);
  if (!stack.ok()) return stack.status();
  const bool is_i386 = stack->program() == hosted::ProgramClass::k32;
  if (is_i386 && !stack->HasEntry(AT_SYSINFO_EHDR)) return NoVdsoOf32Bits();
  status = MakeOffsets(thread.tid());
  if (!status.ok()) return status;
  const absl::StatusOr<hosted::DescriptorLender> lender =
      hosted::DescriptorLender::Start(thread.tid());
  if (!lender.ok()) return lender.status();

  const absl::StatusOr<hosted::InjectedCalls> calls =
      hosted::InjectedCalls::Begin(thread);
  if (!calls.ok()) return calls.status();
  const hosted::SealedFile& image = is_i386 ? i386_image_ : image_;
  const absl::StatusOr<vdso::ImageLayout> mapped = hosted::MapImage(
      thread, *calls,
      {lender->pid(), page_fd_, offsets_file_.fd(), image.fd(), image.size()});
  status = calls->End();
  if (!mapped.ok()) return mapped.status();
  if (!status.ok()) return status;
  // A kernel booted with vdso=0 has told of none: there it is one more.
  return stack->SetEntry(AT_SYSINFO_EHDR, mapped->image);
}

absl::Status ImageTracer::MakeOffsets(pid_t pid) {
  const absl::StatusOr<ClockOffsets> offsets =
      hosted::TimeNamespaceOffsets(absl::StrCat("/proc/", pid));
  if (!offsets.ok()) return offsets.status();
  if (offsets_file_.fd() >= 0 && *offsets == offsets_) return absl::OkStatus();
  absl::StatusOr<hosted::SealedFile> file = hosted::MakeOffsetsFile(*offsets);
  if (!file.ok()) return file.status();
  offsets_file_ = *std::move(file);
  offsets_ = *offsets;
  return absl::OkStatus();
}

/// A shell whose terminal stopped the program waits for us to stop. By SIGSTOP,
/// or where there is no terminal, somebody stopped the program who knows its
/// number: he will continue it.
void ImageTracer::StopAsProgram(int signal) const {
  const int terminal = open("/dev/tty", O_RDONLY | O_NOCTTY | O_CLOEXEC);
  if (terminal >= 0) close(terminal);
  if (signal == SIGSTOP || terminal < 0) return;
  raise(SIGSTOP);
  kill(program_, SIGCONT);
}

}  // namespace vvar::tools
