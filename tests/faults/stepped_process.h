// SPDX-License-Identifier: MIT
//
// A forked process that executes one instruction at a time, when its parent
// says so (ptrace). It may be killed at any of them. x86-64 only: elsewhere a
// step is not one instruction, or not to be had.
#ifndef VVAR_TESTS_FAULTS_STEPPED_PROCESS_H_
#define VVAR_TESTS_FAULTS_STEPPED_PROCESS_H_

#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

namespace vvar::faults {

class SteppedProcess {
 public:
  /// The child stands before `body`, which may not return through exit().
  template <class Body>
  explicit SteppedProcess(Body body) : pid_(fork()) {
    if (pid_ == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      signal(SIGCHLD, SIG_IGN);  // Of copies that are killed.
      if (ptrace(PTRACE_TRACEME, 0, nullptr, nullptr) != 0) _exit(1);
      raise(SIGSTOP);
      body();
      _exit(0);
    }
    alive_ = Wait() && WSTOPSIG(status_) == SIGSTOP;
#if defined(__x86_64__)
    ptrace(PTRACE_SETOPTIONS, pid_, nullptr, PTRACE_O_TRACEFORK);
#endif
  }
  ~SteppedProcess() { Kill(); }
  SteppedProcess(const SteppedProcess&) = delete;
  SteppedProcess& operator=(const SteppedProcess&) = delete;

  /// Returns nullptr, or why no process can be stepped here.
  static const char* Refusal() {
#if defined(__x86_64__)
    SteppedProcess child([] {});
    return child.Step() ? nullptr : "this process may not ptrace its child";
#else
    return "single-steps on x86-64 only";
#endif
  }

  /// Executes one instruction. Returns false once the process is gone.
  bool Step() {
    if (!alive_ || ptrace(PTRACE_SINGLESTEP, pid_, nullptr, nullptr) != 0) {
      return false;
    }
    return Wait() && WSTOPSIG(status_) == SIGTRAP;
  }

  /// Lets it run. Returns whether it exited with 0.
  bool Finish() {
    if (!alive_ || ptrace(PTRACE_CONT, pid_, nullptr, nullptr) != 0) {
      return false;
    }
    return !Wait() && WIFEXITED(status_) && WEXITSTATUS(status_) == 0;
  }

  /// Kills a copy of it, which stands at the same instruction with the same
  /// registers and memory: whatever is shared, as if it had died there. Returns
  /// whether that is what the copy died of.
  bool KillACopy();

  /// Ends it where it stands. Returns whether that is what it died of.
  bool Kill() {
    if (!alive_) return false;
    kill(pid_, SIGKILL);
    while (Wait()) {
    }
    return WIFSIGNALED(status_) && WTERMSIG(status_) == SIGKILL;
  }

 private:
  // Returns whether it stands; otherwise it is gone.
  bool Wait() {
    alive_ = waitpid(pid_, &status_, 0) == pid_ && WIFSTOPPED(status_);
    return alive_;
  }

#if defined(__x86_64__)
  // Where the process is sent for a system call of ours.
  [[gnu::naked, gnu::noinline]] static void SystemCall() { asm("syscall"); }
#endif

  pid_t pid_;
  int status_ = 0;
  bool alive_ = false;
};

inline bool SteppedProcess::KillACopy() {
#if defined(__x86_64__)
  user_regs_struct here;
  if (ptrace(PTRACE_GETREGS, pid_, nullptr, &here) != 0) return false;
  user_regs_struct forking = here;
  forking.rax = SYS_fork;
  forking.orig_rax = UINT64_MAX;  // Not inside a system call.
  forking.rip = reinterpret_cast<uint64_t>(&SystemCall);
  ptrace(PTRACE_SETREGS, pid_, nullptr, &forking);
  unsigned long copy = 0;
  // Once as the copy is made, once as the call returns.
  if (!Step() || status_ >> 8 != (SIGTRAP | PTRACE_EVENT_FORK << 8) ||
      ptrace(PTRACE_GETEVENTMSG, pid_, nullptr, &copy) != 0 || !Step() ||
      ptrace(PTRACE_SETREGS, pid_, nullptr, &here) != 0) {
    return false;
  }
  const auto copy_pid = static_cast<pid_t>(copy);
  int status = 0;
  const bool stands = waitpid(copy_pid, &status, __WALL) == copy_pid &&
                      WIFSTOPPED(status) &&
                      ptrace(PTRACE_SETREGS, copy_pid, nullptr, &here) == 0;
  kill(copy_pid, SIGKILL);
  while (waitpid(copy_pid, &status, __WALL) == copy_pid && WIFSTOPPED(status)) {
  }
  return stands && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
#else
  return false;
#endif
}

/// Keeps this process and its children on one CPU: handing over to each other
/// there is cheaper than waking another.
class OnOneCpu {
 public:
  OnOneCpu() {
    sched_getaffinity(0, sizeof before_, &before_);
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(sched_getcpu(), &one);
    sched_setaffinity(0, sizeof one, &one);
  }
  ~OnOneCpu() { sched_setaffinity(0, sizeof before_, &before_); }
  OnOneCpu(const OnOneCpu&) = delete;
  OnOneCpu& operator=(const OnOneCpu&) = delete;

 private:
  cpu_set_t before_;
};

}  // namespace vvar::faults

#endif  // VVAR_TESTS_FAULTS_STEPPED_PROCESS_H_
