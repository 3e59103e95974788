// SPDX-License-Identifier: MIT
//
// Other processes' threads, by ptrace: stopped, read, written, resumed. Linux
// on x86-64, user space. What is done to a process is the caller's: nothing
// here knows of pages, images or programs.
#ifndef VVAR_HOSTED_TRACED_THREAD_H_
#define VVAR_HOSTED_TRACED_THREAD_H_

#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "hosted/process_status.h"

namespace vvar::hosted {

/// How wide a program's words are, and by which table it calls the kernel.
enum class ProgramClass { k64, k32 };

/// Source: Linux, arch/x86/include/asm/segment.h: __USER32_CS is 0x23.
inline ProgramClass ClassOf(const user_regs_struct& registers) {
  return registers.cs == 0x23 ? ProgramClass::k32 : ProgramClass::k64;
}

/// What waitpid() said of a thread that is traced by PTRACE_SEIZE.
/// Source: ptrace(2), "Stopped tracees".
struct TraceStop {
  /// Why it no longer runs.
  enum class Kind {
    kExited,      ///< value: the exit status.
    kKilled,      ///< value: the signal.
    kSignal,      ///< value: a signal about to be delivered.
    kGroupStop,   ///< value: the signal that stopped the process.
    kEvent,       ///< value: a PTRACE_EVENT_*.
    kSystemCall,  ///< Before a system call or after it. value: 0.
  };
  Kind kind;  ///< Which of them.
  int value;  ///< As `kind` says.

  /// Range: a status of waitpid(), of a thread with PTRACE_O_TRACESYSGOOD.
  static TraceStop Of(int status) {
    if (WIFEXITED(status)) return {Kind::kExited, WEXITSTATUS(status)};
    if (WIFSIGNALED(status)) return {Kind::kKilled, WTERMSIG(status)};
    const int signal = WSTOPSIG(status);
    const int event = status >> 16;
    if (event == PTRACE_EVENT_STOP && signal != SIGTRAP) {
      return {Kind::kGroupStop, signal};
    }
    if (event != 0) return {Kind::kEvent, event};
    if (signal == (SIGTRAP | 0x80)) return {Kind::kSystemCall, 0};
    return {Kind::kSignal, signal};
  }
  /// Whether there is no thread any more, only this word of it.
  bool is_end() const { return kind == Kind::kExited || kind == Kind::kKilled; }
};

/// A thread that this thread traces. A handle: copies name the same thread, and
/// nothing is undone when one goes. Who ends without Detach() is detached by
/// the kernel. Error, of every function: NotFound, the thread is gone;
/// PermissionDenied; else Internal; each naming the thread and the request.
/// Context: the thread that attached; all but Seize(), Interrupt() and Wait()
/// while it is stopped.
class TracedThread {
 public:
  /// How a stopped thread goes on.
  enum class Pace {
    kRun = PTRACE_CONT,
    kToSystemCall = PTRACE_SYSCALL,  ///< To the next entry to or exit from one.
    kOneInstruction = PTRACE_SINGLESTEP,
    kListen = PTRACE_LISTEN,  ///< Stays in a group stop, until SIGCONT.
  };

  /// Attaches, without stopping the thread. options: PTRACE_O_*, to which
  /// PTRACE_O_TRACESYSGOOD is added.
  static absl::StatusOr<TracedThread> Seize(pid_t tid, uint32_t options) {
    const TracedThread thread(tid, options);
    const absl::Status status =
        thread.Request(PTRACE_SEIZE, "PTRACE_SEIZE", 0, thread.options_);
    if (!absl::IsPermissionDenied(status)) {
      if (!status.ok()) return status;
      return thread;
    }
    const std::string tracer = StatusLine(tid, "TracerPid");
    return absl::PermissionDeniedError(absl::StrCat(
        status.message(), "; ",
        tracer != "0" && !tracer.empty()
            ? absl::StrCat("process ", tracer, " traces it")
            : "it takes its user or CAP_SYS_PTRACE, and a system may keep it "
              "from both: see /proc/sys/kernel/yama/ptrace_scope, or a "
              "container's seccomp"));
  }

  /// A thread that is traced already: one that the kernel attached itself, by
  /// PTRACE_O_TRACEFORK and its like.
  TracedThread(pid_t tid, uint32_t options)
      : tid_(tid), options_(options | PTRACE_O_TRACESYSGOOD) {}

  /// As this process's PID namespace numbers it.
  pid_t tid() const { return tid_; }

  /// Waits for the thread to stop or end.
  absl::StatusOr<TraceStop> Wait() const {
    int status = 0;
    while (waitpid(tid_, &status, __WALL) < 0) {
      if (errno != EINTR) return Error("waitpid", errno);
    }
    return TraceStop::Of(status);
  }

  /// Stops the thread where signals would be taken: in user mode, or in a
  /// system call that is then restarted. Signals that come first are delivered.
  absl::Status Interrupt() const {
    absl::Status status = RequestInterrupt();
    while (status.ok()) {
      const absl::StatusOr<TraceStop> stop = Wait();
      if (!stop.ok()) return stop.status();
      if (stop->is_end()) return Error("it ended", ESRCH);
      if (IsInterruptStop(*stop)) return absl::OkStatus();
      const bool is_signal = stop->kind == TraceStop::Kind::kSignal;
      status = ResumeToInterrupt(is_signal ? stop->value : 0);
    }
    return status;
  }

  /// Lets it go on, with `signal` delivered; 0: none. Waits for nothing.
  absl::Status Resume(Pace pace, int signal = 0) const {
    return Request(static_cast<RequestId>(pace), "resuming", 0,
                   static_cast<uint64_t>(signal));
  }
  /// The same, untraced from now on.
  absl::Status Detach(int signal = 0) const {
    return Request(PTRACE_DETACH, "PTRACE_DETACH", 0,
                   static_cast<uint64_t>(signal));
  }

  /// Runs one instruction, and no signal's handler.
  absl::Status Step() const {
    // The trap may not be blocked: the kernel would take its handler away.
    const absl::StatusOr<uint64_t> mask = BlockSignals(SignalBit(SIGTRAP));
    if (!mask.ok()) return mask.status();
    const absl::Status stepped = RunTo(
        [this] { return Resume(Pace::kOneInstruction); },
        [](const TraceStop& stop) {
          return stop.kind == TraceStop::Kind::kSignal && stop.value == SIGTRAP;
        });
    const absl::Status restored = SetSignalMask(*mask);
    return stepped.ok() ? restored : stepped;
  }

  /// Goes on to the next entry to a system call, or the exit from it. What may
  /// stop it before that is put off: see BlockSignals().
  absl::Status RunToSystemCallStop() const {
    return RunTo([this] { return Resume(Pace::kToSystemCall); },
                 [](const TraceStop& stop) {
                   return stop.kind == TraceStop::Kind::kSystemCall;
                 });
  }

  /// From a stop at a system call, goes on to one in which signals would be
  /// taken. No instruction of the thread's runs.
  absl::Status RunToInterruptStop() const {
    return RunTo([this] { return ResumeToInterrupt(0); }, IsInterruptStop);
  }

  /// Those of a 64-bit kernel, whatever the program's class.
  absl::StatusOr<user_regs_struct> Registers() const {
    user_regs_struct registers = {};
    const absl::Status status =
        Request(PTRACE_GETREGS, "PTRACE_GETREGS", 0, AddressOf(&registers));
    if (!status.ok()) return status;
    return registers;
  }
  /// Takes effect when the thread goes on.
  absl::Status SetRegisters(const user_regs_struct& registers) const {
    return Request(PTRACE_SETREGS, "PTRACE_SETREGS", 0, AddressOf(&registers));
  }

  /// Reads the process's memory. Error: Internal, also where none is mapped.
  absl::Status Read(uint64_t address, void* bytes, size_t size) const {
    auto* to = static_cast<char*>(bytes);
    for (size_t done = 0; done < size;) {
      uint64_t word = 0;
      const size_t skip = (address + done) % sizeof(word);
      const size_t part = std::min(sizeof(word) - skip, size - done);
      const absl::Status status = Peek(address + done - skip, &word);
      if (!status.ok()) return status;
      memcpy(to + done, reinterpret_cast<const char*>(&word) + skip, part);
      done += part;
    }
    return absl::OkStatus();
  }

  /// Writes the process's memory; where that is read-only and private, to a
  /// copy of the page of its own.
  absl::Status Write(uint64_t address, const void* bytes, size_t size) const {
    const auto* from = static_cast<const char*>(bytes);
    for (size_t done = 0; done < size;) {
      uint64_t word = 0;
      const size_t skip = (address + done) % sizeof(word);
      const size_t part = std::min(sizeof(word) - skip, size - done);
      absl::Status status = Peek(address + done - skip, &word);
      if (!status.ok()) return status;
      memcpy(reinterpret_cast<char*>(&word) + skip, from + done, part);
      status = Request(PTRACE_POKEDATA, "PTRACE_POKEDATA",
                       address + done - skip, word);
      if (!status.ok()) return status;
      done += part;
    }
    return absl::OkStatus();
  }

  /// Has all signals but those of `but` wait; returns the mask the thread had.
  /// SIGKILL does not wait, nor does SIGSTOP, which RunTo...() and Step() put
  /// off.
  absl::StatusOr<uint64_t> BlockSignals(uint64_t but = 0) const {
    uint64_t mask = 0;
    const absl::Status status = Request(PTRACE_GETSIGMASK, "PTRACE_GETSIGMASK",
                                        sizeof(mask), AddressOf(&mask));
    if (!status.ok()) return status;
    const absl::Status blocked = SetSignalMask(~but);
    if (!blocked.ok()) return blocked;
    return mask;
  }
  /// Bit n - 1 is signal n. Unlike BlockSignals(), keeps nothing.
  absl::Status SetSignalMask(uint64_t mask) const {
    return Request(PTRACE_SETSIGMASK, "PTRACE_SETSIGMASK", sizeof(mask),
                   AddressOf(&mask));
  }

  /// Sets the options that it was attached with, and `more`.
  absl::Status SetOptions(uint32_t more) const {
    return Request(PTRACE_SETOPTIONS, "PTRACE_SETOPTIONS", 0, options_ | more);
  }

  /// An error of this thread.
  absl::Status Error(absl::string_view what, int error) const {
    const std::string text =
        absl::StrCat("process ", tid_, ": ", what, ": ", strerror(error));
    if (error == ESRCH || error == ECHILD) return absl::NotFoundError(text);
    if (error == EPERM || error == EACCES) {
      return absl::PermissionDeniedError(text);
    }
    return absl::InternalError(text);
  }

 private:
  using RequestId = __ptrace_request;

  static uint64_t SignalBit(int signal) { return uint64_t{1} << (signal - 1); }
  static uint64_t AddressOf(const void* object) {
    return reinterpret_cast<uint64_t>(object);
  }

  absl::Status Request(RequestId request, absl::string_view name,
                       uint64_t address, uint64_t data) const {
    if (ptrace(request, tid_, address, data) < 0) return Error(name, errno);
    return absl::OkStatus();
  }

  absl::Status Peek(uint64_t address, uint64_t* word) const {
    errno = 0;
    const long value = ptrace(PTRACE_PEEKDATA, tid_, address, nullptr);
    if (errno != 0) {
      return Error(absl::StrCat("PTRACE_PEEKDATA at 0x", absl::Hex(address)),
                   errno);
    }
    *word = static_cast<uint64_t>(value);
    return absl::OkStatus();
  }

  static bool IsInterruptStop(const TraceStop& stop) {
    return stop.kind == TraceStop::Kind::kGroupStop ||
           (stop.kind == TraceStop::Kind::kEvent &&
            stop.value == PTRACE_EVENT_STOP);
  }

  absl::Status RequestInterrupt() const {
    return Request(PTRACE_INTERRUPT, "PTRACE_INTERRUPT", 0, 0);
  }
  /// Asks again, each time: a signal's stop may have swallowed what was asked.
  /// Source: seen on Linux 6.18, 1 in 100 of a thread with 10,000 signals a
  /// second; kernel/signal.c, ptrace_stop(), "any trap clears pending STOP
  /// trap".
  absl::Status ResumeToInterrupt(int signal) const {
    const absl::Status status = RequestInterrupt();
    return status.ok() ? Resume(Pace::kRun, signal) : status;
  }

  /// Resumes until a stop `is_wanted`. A signal that comes before is sent again
  /// then, for whoever resumes the thread after us.
  template <class ResumeFunction>
  absl::Status RunTo(ResumeFunction resume,
                     bool (*is_wanted)(const TraceStop&)) const {
    uint64_t put_off = 0;
    while (true) {
      const absl::Status resumed = resume();
      if (!resumed.ok()) return resumed;
      const absl::StatusOr<TraceStop> stop = Wait();
      if (!stop.ok()) return stop.status();
      if (stop->is_end()) return Error("it ended", ESRCH);
      if (is_wanted(*stop)) break;
      if (stop->kind == TraceStop::Kind::kSignal) {
        put_off |= SignalBit(stop->value);
      }
    }
    for (int signal = 1; put_off != 0; ++signal, put_off >>= 1) {
      if ((put_off & 1) != 0) syscall(SYS_tkill, tid_, signal);
    }
    return absl::OkStatus();
  }

  pid_t tid_;
  uint32_t options_;
};

}  // namespace vvar::hosted

#endif  // VVAR_HOSTED_TRACED_THREAD_H_
