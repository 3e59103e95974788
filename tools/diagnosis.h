// SPDX-License-Identifier: MIT
//
// From what is known of a machine's time to what an operator should know of it:
// which clocks are slow or wrong here, why, and what would help. Pure:
// gathering the facts is tools/time_facts.h's.
#ifndef VVAR_TOOLS_DIAGNOSIS_H_
#define VVAR_TOOLS_DIAGNOSIS_H_

#include <stdint.h>

#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "vvar/abi.h"

namespace vvar::tools {

/// How a clock id was answered.
enum class Answer { kWithoutSyscall, kBySyscall, kError, kKills, kUnknown };

/// What one clock of the system costs. Units: ns per call; 0: not measured.
struct ClockFacts {
  int32_t id;
  std::string name;
  Answer answer;
  std::string error = "";
  int64_t resolution_ns = 0;
  double libc_ns = 0;
  double syscall_ns = 0;
};

/// What becomes of a clock_gettime() that does enter the kernel.
enum class SyscallFate { kUnknown, kWorks, kFails, kKills };

/// How vvar's own image came into this process, if it did.
enum class ImageOrigin { kNone, kExec, kAttach };

/// What tools/time_facts.h finds out. Empty or 0: nothing tells.
struct TimeFacts {
  // The counter.
  std::string counter_name;         ///< "x86 TSC"
  std::string counter_clocksource;  ///< What the kernel calls it: "tsc".
  bool counter_readable = false;    ///< By this process.
  bool counter_denied = false;      ///< PR_GET_TSC says PR_TSC_SIGSEGV.
  bool counter_constant = false;    ///< Its rate, by CPUID or architecture.
  int64_t counter_hz = 0;
  std::string counter_hz_source;
  double ordered_ns = 0;
  double unordered_ns = 0;
  std::vector<std::string> cpu_flags;  ///< Those of /proc/cpuinfo about it.

  // The kernel.
  std::string clocksource;
  std::vector<std::string> clocksources;     ///< That it could use.
  std::vector<std::string> boot_parameters;  ///< Those about time.
  std::string kernel_log;                    ///< Why it demoted the counter.
  std::string hypervisor;                    ///< "KVM"
  std::string host_clock;                    ///< "/dev/ptp0", of the host.

  // The vDSO.
  bool vdso_found = false;
  std::string vdso_status;
  std::vector<std::string> vdso_functions;
  std::vector<ClockFacts> clocks;

  // This process.
  bool exec_is_made = false;  ///< `vvar exec`, for this machine.
  ImageOrigin image = ImageOrigin::kNone;
  std::string interposer;      ///< The library whose clock_gettime() this is.
  int64_t ahead_ns = 0;        ///< Of libc's REALTIME, of the kernel's.
  int64_t ahead_width_ns = 0;  ///< ... by so much more or less.
  int64_t seccomp_mode = 0;
  int64_t seccomp_filters = 0;
  SyscallFate syscall = SyscallFate::kUnknown;
  std::string syscall_error;
  int64_t tracer_pid = 0;
  std::string tracer;
  bool own_time_namespace = false;
  int64_t monotonic_offset_ns = 0;
  int64_t boottime_offset_ns = 0;

  // The discipline of the kernel's clock.
  std::string ntp_error;  ///< Why adjtimex() did not tell.
  bool flagged_unsynchronised = false;
  int64_t max_error_ns = 0;
  int64_t estimated_error_ns = 0;
  int64_t tai_offset_sec = 0;
  uint32_t leap_state = VVAR_LEAP_NONE;
};

/// In order of importance. Wrong: time that may be wrong, or cannot be read.
enum class Severity { kOk, kNote, kSlow, kWrong };

struct Finding {
  Severity severity;
  std::string topic;  ///< For scripts, and unique: "clocksource".
  std::string what;
  std::string why;   ///< Why it matters, with what it costs.
  std::string help;  ///< What would help, with the risk; "": nothing to do.
};

constexpr absl::string_view NameOf(Severity severity) {
  switch (severity) {
    case Severity::kOk:
      return "ok";
    case Severity::kNote:
      return "note";
    case Severity::kSlow:
      return "slow";
    case Severity::kWrong:
      return "wrong";
  }
  return "?";
}

constexpr absl::string_view NameOf(Answer answer) {
  switch (answer) {
    case Answer::kWithoutSyscall:
      return "no system call";
    case Answer::kBySyscall:
      return "system call";
    case Answer::kError:
      return "error";
    case Answer::kKills:
      return "kills who asks";
    case Answer::kUnknown:
      return "not known: seccomp refused";
  }
  return "?";
}

/// Returns what the facts amount to, most important first.
std::vector<Finding> Diagnose(const TimeFacts& facts);

/// One line: how many findings of which severity, and what a read costs.
std::string Summary(const TimeFacts& facts,
                    const std::vector<Finding>& findings);

}  // namespace vvar::tools

#endif  // VVAR_TOOLS_DIAGNOSIS_H_
