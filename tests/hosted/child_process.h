// SPDX-License-Identifier: MIT
//
// Other processes for tests: a forked child, memory shared with it, and waiting
// for a condition up to a deadline that only a failure reaches. No sleeps.
#ifndef VVAR_TESTS_HOSTED_CHILD_PROCESS_H_
#define VVAR_TESTS_HOSTED_CHILD_PROCESS_H_

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <new>
#include <type_traits>

namespace vvar::hosted {

/// Returns whether `condition` came true, giving way to others meanwhile.
template <class Condition>
bool WaitUntil(Condition condition) {
  constexpr time_t kDeadlineSec = 10;
  timespec start;
  clock_gettime(CLOCK_MONOTONIC, &start);
  for (;;) {
    if (condition()) return true;
    timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    if (now.tv_sec - start.tv_sec > kDeadlineSec) return false;
    sched_yield();
  }
}

/// One T, zero or default-initialised, that children made later share.
template <class T>
class SharedWithChildren {
 public:
  SharedWithChildren()
      : object_(new (mmap(nullptr, sizeof(T), PROT_READ | PROT_WRITE,
                          MAP_SHARED | MAP_ANONYMOUS, -1, 0)) T()) {
    static_assert(std::is_trivially_destructible_v<T>);
  }
  ~SharedWithChildren() { munmap(object_, sizeof(T)); }
  SharedWithChildren(const SharedWithChildren&) = delete;
  SharedWithChildren& operator=(const SharedWithChildren&) = delete;

  T* operator->() const { return object_; }
  T& operator*() const { return *object_; }

 private:
  T* object_;
};

/// A forked copy of this process that runs `body` and exits with what it
/// returns; not through exit(), so nothing of the test runs twice. It dies with
/// its parent.
class ChildProcess {
 public:
  template <class Body>
  explicit ChildProcess(Body body) : pid_(fork()) {
    if (pid_ != 0) return;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    _exit(body());
  }
  ~ChildProcess() {
    if (pid_ <= 0) return;
    Send(SIGKILL);
    waitpid(pid_, nullptr, 0);
  }
  ChildProcess(const ChildProcess&) = delete;
  ChildProcess& operator=(const ChildProcess&) = delete;

  pid_t pid() const { return pid_; }

  void Send(int signal) const { kill(pid_, signal); }

  /// Sends SIGSTOP, and returns once the child stands.
  bool Stop() const {
    Send(SIGSTOP);
    return AwaitStop();
  }

  /// Returns once the child stands, whoever stopped it; false if it ended.
  bool AwaitStop() const {
    int status = 0;
    return waitpid(pid_, &status, WUNTRACED) == pid_ && WIFSTOPPED(status);
  }

  /// Sends SIGKILL, and returns once the child is gone, its locks with it.
  bool Kill() {
    Send(SIGKILL);
    int status = 0;
    const bool reaped = waitpid(pid_, &status, 0) == pid_;
    pid_ = -1;
    return reaped && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
  }

  /// Returns the exit status, 128 + n if signal n ended the child, or -1 if
  /// nothing did by the deadline.
  int Wait() {
    int status = 0;
    const bool ended =
        WaitUntil([&] { return waitpid(pid_, &status, WNOHANG) == pid_; });
    if (!ended) return -1;
    pid_ = -1;
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
  }

 private:
  pid_t pid_;
};

}  // namespace vvar::hosted

#endif  // VVAR_TESTS_HOSTED_CHILD_PROCESS_H_
