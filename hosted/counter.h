// SPDX-License-Identifier: MIT
//
// Whether this process can use the machine's counter, and why if not: asked
// once, at start. Linux user space.
#ifndef VVAR_HOSTED_COUNTER_H_
#define VVAR_HOSTED_COUNTER_H_

#include <setjmp.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>

#include <fstream>
#include <mutex>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "clocks/native.h"

namespace vvar::hosted {

namespace counter_internal {

// Volatile, because only a signal handler looks at it.
inline thread_local sigjmp_buf* volatile probe_jump = nullptr;

/// One read of the counter under handlers for the signals by which a refusal
/// shows: SIGSEGV (x86: CR4.TSD, PR_SET_TSC) and SIGILL (Arm, RISC-V).
class Probe {
 public:
  /// Returns 0 if the read ran through, else the signal that stopped it.
  static int Run() {
    static std::mutex one_at_a_time;
    const std::lock_guard<std::mutex> lock(one_at_a_time);
    struct sigaction action = {};
    action.sa_handler = &OnSignal;
    sigemptyset(&action.sa_mask);
    sigaction(SIGSEGV, &action, &old_segv_);
    sigaction(SIGILL, &action, &old_ill_);
    // A fault whose signal is blocked kills, whatever its handler.
    sigset_t faults;
    sigset_t old_mask;
    sigemptyset(&faults);
    sigaddset(&faults, SIGSEGV);
    sigaddset(&faults, SIGILL);
    pthread_sigmask(SIG_UNBLOCK, &faults, &old_mask);
    sigjmp_buf jump;
    const int signal = sigsetjmp(jump, /*savemask=*/1);
    if (signal == 0) {
      probe_jump = &jump;
      (void)NativeClock().ReadUnordered();
    }
    probe_jump = nullptr;
    sigaction(SIGSEGV, &old_segv_, nullptr);
    sigaction(SIGILL, &old_ill_, nullptr);
    pthread_sigmask(SIG_SETMASK, &old_mask, nullptr);
    return signal;
  }

 private:
  static void OnSignal(int signal) {
    if (probe_jump != nullptr) siglongjmp(*probe_jump, signal);
    // Another thread's fault: its own handler gets it when it faults again.
    sigaction(signal, signal == SIGSEGV ? &old_segv_ : &old_ill_, nullptr);
  }
  static inline struct sigaction old_segv_ = {};
  static inline struct sigaction old_ill_ = {};
};

/// The one line of a file of the kernel's clocksource; empty if there is none.
inline std::string ClocksourceFile(const char* name) {
  std::ifstream file(
      std::string("/sys/devices/system/clocksource/clocksource0/")
          .append(name));
  std::string line;
  std::getline(file, line);
  return line;
}

}  // namespace counter_internal

/// Returns 0 if this process may read the counter, else the signal that a read
/// raises. Context: not async-signal-safe; replaces the handlers of SIGSEGV
/// and SIGILL for about a microsecond.
inline int SignalOfCounterRead() { return counter_internal::Probe::Run(); }

/// The kernel's current clocksource, "tsc" for example; empty if it is not
/// told.
inline std::string KernelClocksource() {
  return counter_internal::ClocksourceFile("current_clocksource");
}

/// Those it could use, separated by spaces.
inline std::string AvailableClocksources() {
  return counter_internal::ClocksourceFile("available_clocksource");
}

/// Describes this machine's counter, if a page can be built on it.
/// Error: FailedPrecondition, with the reason: not readable by this process,
/// or no constant rate.
inline absl::StatusOr<CounterInfo<NativeClock>> FindCounter() {
  if (const int signal = SignalOfCounterRead(); signal != 0) {
    return absl::FailedPreconditionError(
        absl::StrCat("counter: reading it raises signal ", signal,
                     "; expected a process that may read it (x86: prctl "
                     "PR_SET_TSC, Arm: CNTKCTL_EL1.EL0VCTEN, RISC-V: "
                     "scounteren.TM)"));
  }
  const CounterInfo<NativeClock> info = QueryCounter(NativeClock());
  if (!info.constant_rate) {
    return absl::FailedPreconditionError(
        "counter: the CPU does not promise a constant rate (x86: CPUID "
        "8000_0007h EDX bit 8, invariant TSC); expected one that does");
  }
  return info;
}

}  // namespace vvar::hosted

#endif  // VVAR_HOSTED_COUNTER_H_
