// SPDX-License-Identifier: MIT
//
// without_vdso PROGRAM ARGS: runs a program that is told of no vDSO, as on a
// host whose vDSO is of no use: before its first instruction its auxiliary
// vector's AT_SYSINFO_EHDR is made AT_IGNORE. Then it is left alone.
#include <elf.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "hosted/traced_thread.h"

namespace vvar::tools {
namespace {

using hosted::TracedThread;
using hosted::TraceStop;

/// Waits for a byte, which comes once the child is traced.
[[noreturn]] void RunChild(int go_fd, char** words) {
  char go;
  if (read(go_fd, &go, 1) == 1) execvp(words[0], words);
  fprintf(stderr, "without_vdso: %s: %s\n", words[0], strerror(errno));
  _exit(127);
}

absl::StatusOr<uint64_t> VdsoOf(pid_t pid) {
  std::ifstream file(absl::StrCat("/proc/", pid, "/auxv"), std::ios::binary);
  Elf64_auxv_t entry;
  while (file.read(reinterpret_cast<char*>(&entry), sizeof(entry))) {
    if (entry.a_type == AT_SYSINFO_EHDR) return entry.a_un.a_val;
  }
  return absl::NotFoundError("the kernel gives programs no vDSO");
}

/// Of a program that has not begun: the vector is above its stack pointer.
absl::Status RemoveVdso(TracedThread thread) {
  const absl::StatusOr<uint64_t> vdso = VdsoOf(thread.tid());
  if (!vdso.ok()) return vdso.status();
  const absl::StatusOr<user_regs_struct> registers = thread.Registers();
  if (!registers.ok()) return registers.status();
  const Elf64_auxv_t wanted = {AT_SYSINFO_EHDR, {*vdso}};
  Elf64_auxv_t entry = {};
  uint64_t at = registers->rsp;
  while (memcmp(&entry, &wanted, sizeof(entry)) != 0) {
    at += sizeof(uint64_t);
    const absl::Status read = thread.Read(at, &entry, sizeof(entry));
    if (!read.ok()) return read;
  }
  const uint64_t type = AT_IGNORE;
  return thread.Write(at, &type, sizeof(type));
}

/// Goes on to the exec, and lets go of the program that has no vDSO then.
absl::Status LaunchWithout(TracedThread thread) {
  while (true) {
    const absl::StatusOr<TraceStop> stop = thread.Wait();
    if (!stop.ok()) return stop.status();
    if (stop->is_end()) exit(stop->value);  // It has said why.
    if (stop->kind == TraceStop::Kind::kEvent) break;
    const absl::Status resumed =
        thread.Resume(TracedThread::Pace::kRun, stop->value);
    if (!resumed.ok()) return resumed;
  }
  const absl::Status removed = RemoveVdso(thread);
  return removed.ok() ? thread.Detach() : removed;
}

absl::Status Launch(char** words) {
  int go[2];
  if (pipe(go) != 0) return absl::InternalError(strerror(errno));
  const pid_t pid = fork();
  if (pid < 0) return absl::InternalError(strerror(errno));
  if (pid == 0) {
    close(go[1]);
    RunChild(go[0], words);
  }
  close(go[0]);
  const absl::StatusOr<TracedThread> thread =
      TracedThread::Seize(pid, PTRACE_O_TRACEEXEC | PTRACE_O_EXITKILL);
  if (!thread.ok()) return thread.status();
  if (write(go[1], "g", 1) != 1) return absl::InternalError(strerror(errno));
  close(go[1]);
  return LaunchWithout(*thread);
}

int Main(int argc, char** argv) {
  if (argc < 2) {
    fprintf(stderr, "usage: without_vdso PROGRAM ARGS\n");
    return 2;
  }
  const absl::Status status = Launch(argv + 1);
  if (!status.ok()) {
    fprintf(stderr, "without_vdso: %s\n",
            std::string(status.message()).c_str());
    return 125;
  }
  int ended = 0;
  while (wait(&ended) < 0 && errno == EINTR) {
  }
  return WIFEXITED(ended) ? WEXITSTATUS(ended) : 128 + WTERMSIG(ended);
}

}  // namespace
}  // namespace vvar::tools

int main(int argc, char** argv) { return vvar::tools::Main(argc, argv); }
