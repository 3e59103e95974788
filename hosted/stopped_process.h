// SPDX-License-Identifier: MIT
//
// A process all of whose threads stand still, for whoever changes its code.
// Linux on x86-64, user space; on traced_thread.h.
#ifndef VVAR_HOSTED_STOPPED_PROCESS_H_
#define VVAR_HOSTED_STOPPED_PROCESS_H_

#include <dirent.h>
#include <errno.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <sys/user.h>

#include <algorithm>
#include <fstream>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "hosted/memory_map.h"
#include "hosted/traced_thread.h"

namespace vvar::hosted {

/// Its threads go on, as they were, when it goes. Move-only. Error, of every
/// function: TracedThread's. Context: as there, and no other code of this
/// process may wait for children meanwhile.
class StoppedProcess {
 public:
  /// Stops all threads that the process has and makes until then. One whose
  /// execution has ended already is none.
  /// Error: also Unavailable, if one stands where it cannot be stopped, as in
  /// vfork(); may pass.
  static absl::StatusOr<StoppedProcess> Stop(pid_t pid) {
    StoppedProcess process(pid);
    size_t before = 0;
    do {  // Those still running may have made others.
      before = process.threads_.size();
      const absl::Status status = process.StopThreadsSeen();
      if (!status.ok()) return status;
    } while (process.threads_.size() != before);
    if (before == 0) {
      return absl::NotFoundError(absl::StrCat("process ", pid, ": none"));
    }
    return process;
  }

  StoppedProcess(StoppedProcess&& other) noexcept
      : pid_(other.pid_), threads_(std::exchange(other.threads_, {})) {}
  StoppedProcess& operator=(StoppedProcess&& other) noexcept {
    std::swap(pid_, other.pid_);
    std::swap(threads_, other.threads_);
    return *this;
  }
  ~StoppedProcess() {
    for (const TracedThread& thread : threads_) (void)thread.Detach();
  }

  /// The process, as Stop() was told.
  pid_t pid() const { return pid_; }
  /// All there are, stopped and traced as long as this object lives.
  const std::vector<TracedThread>& threads() const { return threads_; }

  /// Returns a thread to make calls: one within a system call, if there is one.
  /// There no restartable sequence of its own (rseq(2)) is under way, which a
  /// call would have the kernel abort.
  absl::StatusOr<TracedThread> Caller() const {
    for (const TracedThread& thread : threads_) {
      const absl::StatusOr<user_regs_struct> registers = thread.Registers();
      if (!registers.ok()) return registers.status();
      if (static_cast<int64_t>(registers->orig_rax) >= 0) return thread;
    }
    return threads_.front();
  }

  /// Lets each thread run until it stands in none of `ranges`.
  /// Error: also Unavailable, if one does not leave them.
  absl::Status StepOutOf(const std::vector<MemoryRange>& ranges) const {
    constexpr int kMostSteps = 20'000;
    for (const TracedThread& thread : threads_) {
      for (int steps = 0;; ++steps) {
        const absl::StatusOr<user_regs_struct> registers = thread.Registers();
        if (!registers.ok()) return registers.status();
        if (!AnyHas(ranges, registers->rip)) break;
        if (steps == kMostSteps) {
          return absl::UnavailableError(
              absl::StrCat("thread ", thread.tid(), ": stays at 0x",
                           absl::Hex(registers->rip)));
        }
        const absl::Status stepped = thread.Step();
        if (!stepped.ok()) return stepped;
      }
    }
    return absl::OkStatus();
  }

  /// Returns whether a thread may go on in `ranges` later: a caller or, after a
  /// signal, what that interrupted. True wherever a word on a stack looks so.
  absl::StatusOr<bool> MayReturnInto(
      const MemoryMap& map, const std::vector<MemoryRange>& ranges) const {
    for (const TracedThread& thread : threads_) {
      const absl::StatusOr<user_regs_struct> registers = thread.Registers();
      if (!registers.ok()) return registers.status();
      const uint64_t top = registers->rsp / sizeof(uint64_t) * sizeof(uint64_t);
      for (const Mapping& mapping : map) {
        if (!mapping.range.Has(top)) continue;
        std::vector<uint64_t> words((mapping.range.end - top) /
                                    sizeof(uint64_t));
        const absl::Status read =
            ReadMemory(top, words.data(), words.size() * sizeof(uint64_t));
        if (!read.ok()) return read;
        if (std::any_of(words.begin(), words.end(),
                        [&](uint64_t word) { return AnyHas(ranges, word); })) {
          return true;
        }
      }
    }
    return false;
  }

  /// Reads what the process may read itself, however much.
  absl::Status ReadMemory(uint64_t address, void* bytes, size_t size) const {
    const iovec to = {bytes, size};
    const iovec from = {reinterpret_cast<void*>(address), size};
    const ssize_t read = process_vm_readv(pid_, &to, 1, &from, 1, 0);
    if (read == static_cast<ssize_t>(size)) return absl::OkStatus();
    return threads_.front().Error(
        absl::StrCat("reading ", size, " bytes at 0x", absl::Hex(address)),
        read < 0 ? errno : EFAULT);
  }

 private:
  explicit StoppedProcess(pid_t pid) : pid_(pid) {}

  static bool AnyHas(const std::vector<MemoryRange>& ranges, uint64_t address) {
    return std::any_of(
        ranges.begin(), ranges.end(),
        [&](const MemoryRange& range) { return range.Has(address); });
  }

  /// Returns the state that /proc shows of a thread, 'X' of none.
  /// Source: proc_pid_stat(5): the word behind the name in parentheses.
  char StateOf(pid_t tid) const {
    std::ifstream file(absl::StrCat("/proc/", pid_, "/task/", tid, "/stat"));
    // Not by an iterator: of a thread that ends meanwhile that one throws.
    std::string text;
    std::getline(file, text, '\0');
    const size_t name_end = text.rfind(')');
    return name_end == std::string::npos || name_end + 2 >= text.size()
               ? 'X'
               : text[name_end + 2];
  }

  std::vector<pid_t> ThreadsSeen() const {
    std::vector<pid_t> tids;
    DIR* const folder = opendir(absl::StrCat("/proc/", pid_, "/task").c_str());
    if (folder == nullptr) return tids;
    while (const dirent* entry = readdir(folder)) {
      pid_t tid = 0;
      if (absl::SimpleAtoi(entry->d_name, &tid)) tids.push_back(tid);
    }
    closedir(folder);
    return tids;
  }

  absl::Status StopThreadsSeen() {
    for (const pid_t tid : ThreadsSeen()) {
      const bool is_known = std::any_of(
          threads_.begin(), threads_.end(),
          [&](const TracedThread& thread) { return thread.tid() == tid; });
      const char state = is_known ? 'X' : StateOf(tid);
      if (state == 'X' || state == 'Z') continue;
      // It would not stop before its call is done, and the others would wait.
      if (state == 'D') {
        return absl::UnavailableError(
            absl::StrCat("process ", pid_, ": thread ", tid,
                         " is in an uninterruptible system call (state D), "
                         "such as vfork()"));
      }
      const absl::StatusOr<TracedThread> thread = TracedThread::Seize(tid, 0);
      const absl::Status stopped =
          thread.ok() ? thread->Interrupt() : thread.status();
      if (absl::IsNotFound(stopped)) continue;  // It ended.
      if (!stopped.ok()) return stopped;
      threads_.push_back(*thread);
    }
    return absl::OkStatus();
  }

  pid_t pid_;
  std::vector<TracedThread> threads_;
};

}  // namespace vvar::hosted

#endif  // VVAR_HOSTED_STOPPED_PROCESS_H_
