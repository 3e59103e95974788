// SPDX-License-Identifier: MIT
//
// A forked process that executes one instruction at a time, when its parent
// says so (ptrace). It may be killed at any of them. x86-64 only: elsewhere a
// step is not one instruction, or not to be had.
#ifndef VVAR_TESTS_FAULTS_STEPPED_PROCESS_H_
#define VVAR_TESTS_FAULTS_STEPPED_PROCESS_H_

#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/types.h>
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
      if (ptrace(PTRACE_TRACEME, 0, nullptr, nullptr) != 0) _exit(1);
      raise(SIGSTOP);
      body();
      _exit(0);
    }
    alive_ = Wait() && WSTOPSIG(status_) == SIGSTOP;
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

  pid_t pid_;
  int status_ = 0;
  bool alive_ = false;
};

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
