// SPDX-License-Identifier: MIT
//
// Machines as operators have them, well and ill, by their facts; and what is to
// be said of each.
#ifndef VVAR_TESTS_TOOLS_INVENTED_MACHINES_H_
#define VVAR_TESTS_TOOLS_INVENTED_MACHINES_H_

#include <stdint.h>

#include <functional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tools/diagnosis.h"
#include "vvar/abi.h"

namespace vvar::tools {

/// A synchronised x86 server with all that a vDSO needs.
inline TimeFacts AllWell() {
  TimeFacts facts;
  facts.counter_name = "x86 TSC";
  facts.counter_clocksource = "tsc";
  facts.counter_readable = true;
  facts.counter_constant = true;
  facts.ordered_ns = 20;
  facts.unordered_ns = 10;
  facts.cpu_flags = {"constant_tsc", "nonstop_tsc"};
  facts.clocksource = "tsc";
  facts.clocksources = {"tsc", "hpet", "acpi_pm"};
  facts.vdso_found = true;
  facts.vdso_status = "found";
  facts.vdso_functions = {"__vdso_clock_gettime"};
  for (const int32_t id : {0, 1, 4, 5, 6, 7, 11}) {
    facts.clocks.push_back({id, id == 1 ? "MONOTONIC" : absl::StrCat("C", id),
                            Answer::kWithoutSyscall, "", 1, 25, 250});
  }
  facts.exec_is_made = true;
  facts.syscall = SyscallFate::kWorks;
  facts.max_error_ns = 20'000'000;
  facts.estimated_error_ns = 50'000;
  facts.tai_offset_sec = 37;
  return facts;
}

inline void MakeSlow(TimeFacts* facts, double ns) {
  for (ClockFacts& clock : facts->clocks) {
    if (clock.id == 5 || clock.id == 6) continue;  // A vDSO has coarse ones.
    clock.answer = Answer::kBySyscall;
    clock.libc_ns = ns;
  }
}

struct Machine {
  const char* name;
  std::function<void(TimeFacts*)> make;
  std::vector<std::string> told;   // "severity topic", but for what is ok
  std::vector<std::string> words;  // ... somewhere in those
  std::vector<std::string> never;  // ... nowhere
};

inline const std::vector<Machine>& Machines() {
  static const auto* const machines = new std::vector<Machine>{
      {"all well", [](TimeFacts*) {}, {}, {}, {}},
      {"AMD, TSC marked unstable, HPET",
       [](TimeFacts* facts) {
         facts->clocksource = "hpet";
         facts->clocksources = {"hpet", "acpi_pm"};
         facts->kernel_log =
             "tsc: Marking TSC unstable due to clocksource "
             "watchdog";
         MakeSlow(facts, 1300);
       },
       {"slow clocksource"},
       {"hpet", "1300 ns a read, 65.0 times the bare counter's 20 ns",
        "Marking TSC unstable", "firmware", "tsc=reliable", "risk", "vvar exec",
        "if the TSCs of its CPUs do differ"},
       {"echo tsc", "hypervisor"}},
      {"HPET chosen at boot",
       [](TimeFacts* facts) {
         facts->clocksource = "hpet";
         facts->boot_parameters = {"clocksource=hpet"};
         MakeSlow(facts, 1300);
       },
       {"slow clocksource"},
       {"Booted with clocksource=hpet", "Boot without clocksource=hpet",
        "not stable"},
       {"tsc=reliable", "echo tsc"}},
      {"HPET, TSC to be had",
       [](TimeFacts* facts) {
         facts->clocksource = "hpet";
         MakeSlow(facts, 1300);
       },
       {"slow clocksource"},
       {"echo tsc > /sys/devices/system/clocksource/clocksource0/"
        "current_clocksource",
        "clocksource=tsc", "The risk: if the CPUs' counters do not agree"},
       {"tsc=reliable"}},
      {"HPET, CPU without an invariant TSC",
       [](TimeFacts* facts) {
         facts->clocksource = "hpet";
         facts->clocksources = {"hpet", "acpi_pm"};
         facts->counter_constant = false;
         MakeSlow(facts, 1300);
       },
       {"slow clocksource", "note counter"},
       {"no invariant TSC", "Nothing on this CPU", "See below"},
       {"vvar exec", "tsc=reliable", "echo tsc"}},
      {"Xen guest",
       [](TimeFacts* facts) {
         facts->hypervisor = "Xen";
         facts->clocksource = "xen";
         facts->clocksources = {"xen", "tsc"};
         MakeSlow(facts, 400);
       },
       {"slow clocksource"},
       {"only where the hypervisor promises", "echo tsc >",
        "after a migration to a host of another counter rate"},
       {}},
      {"Xen guest, no TSC to choose",
       [](TimeFacts* facts) {
         facts->hypervisor = "Xen";
         facts->clocksource = "xen";
         facts->clocksources = {"xen"};
         MakeSlow(facts, 400);
       },
       {"slow clocksource"},
       {"tsc=reliable only if the hypervisor", "jump, backwards as well"},
       {"echo tsc", "firmware"}},
      {"KVM guest, kvm-clock read by the vDSO",
       [](TimeFacts* facts) {
         facts->hypervisor = "KVM";
         facts->clocksource = "kvm-clock";
         facts->clocksources = {"kvm-clock", "tsc", "acpi_pm"};
       },
       {"note clocksource"},
       {"kvm-clock, not tsc", "without a system call", "echo tsc >",
        "migration"},
       {"slow", "vvar exec"}},
      {"KVM guest, kvm-clock, no invariant TSC",
       [](TimeFacts* facts) {
         facts->hypervisor = "KVM";
         facts->clocksource = "kvm-clock";
         facts->clocksources = {"kvm-clock"};
         facts->counter_constant = false;
         MakeSlow(facts, 300);
       },
       {"slow clocksource", "note counter"},
       {"+invtsc", "cannot be migrated"},
       {"vvar exec", "echo tsc"}},
      {"Hyper-V guest on its register",
       [](TimeFacts* facts) {
         facts->hypervisor = "Hyper-V";
         facts->clocksource = "hyperv_clocksource_msr";
         facts->clocksources = {"hyperv_clocksource_msr", "acpi_pm"};
         MakeSlow(facts, 2500);
       },
       {"slow clocksource"},
       {"each read leaves the guest", "125.0 times"},
       {}},
      {"vdso=0",
       [](TimeFacts* facts) {
         facts->vdso_found = false;
         facts->vdso_status = "the auxiliary vector names none";
         facts->boot_parameters = {"vdso=0"};
         MakeSlow(facts, 260);
       },
       {"slow vdso"},
       {"Boot without vdso=0", "vvar exec", "13.0 times", "ptrace"},
       {"do differ", "clocksource0"}},
      {"no vDSO, HPET too",
       [](TimeFacts* facts) {
         facts->vdso_found = false;
         facts->vdso_status = "the auxiliary vector names none";
         facts->clocksource = "hpet";
         facts->clocksources = {"hpet"};
         MakeSlow(facts, 1500);
       },
       {"slow vdso", "note clocksource"},
       {"AT_SYSINFO_EHDR", "if the TSCs of its CPUs do differ",
        "What enters the kernel pays"},
       {"on no page"}},
      {"no vDSO, kvm-clock too",
       [](TimeFacts* facts) {
         facts->vdso_found = false;
         facts->vdso_status = "the auxiliary vector names none";
         facts->hypervisor = "KVM";
         facts->clocksource = "kvm-clock";
         facts->clocksources = {"kvm-clock", "tsc"};
         MakeSlow(facts, 300);
       },
       {"slow vdso", "note clocksource"},
       {"15.0 times"},
       {"Read without a system call"}},
      {"HPET, under vvar exec",
       [](TimeFacts* facts) {
         facts->clocksource = "hpet";
         facts->clocksources = {"hpet"};
         facts->image = ImageOrigin::kExec;
       },
       {"note clocksource"},
       {"on no page pay more"},
       {}},
      {"an old vDSO without TAI",
       [](TimeFacts* facts) {
         facts->clocks.back().answer = Answer::kBySyscall;
         facts->clocks.back().libc_ns = 250;
       },
       {"slow vdso"},
       {"C11 enters the kernel", "newer kernel"},
       {}},
      {"seccomp strict",
       [](TimeFacts* facts) {
         facts->seccomp_mode = 1;
         facts->syscall = SyscallFate::kKills;
         facts->counter_readable = false;
         facts->counter_denied = true;
         for (ClockFacts& clock : facts->clocks) clock.answer = Answer::kKills;
       },
       {"wrong counter", "wrong seccomp"},
       {"PR_TSC_SIGSEGV", "strict seccomp", "kills"},
       {"vvar exec"}},
      {"TSC taken away by prctl",
       [](TimeFacts* facts) {
         facts->counter_readable = false;
         facts->counter_denied = true;
       },
       {"wrong counter"},
       {"prctl(PR_SET_TSC, PR_TSC_ENABLE)"},
       {"vvar exec"}},
      {"a filter that refuses, with a vDSO",
       [](TimeFacts* facts) {
         facts->seccomp_mode = 2;
         facts->seccomp_filters = 1;
         facts->syscall = SyscallFate::kFails;
         facts->syscall_error = "Operation not permitted";
       },
       {"note seccomp"},
       {"refuses clock_gettime() (Operation not permitted)", "A seccomp"},
       {"kills"}},
      {"a filter that refuses, and no vDSO",
       [](TimeFacts* facts) {
         facts->seccomp_mode = 2;
         facts->seccomp_filters = 1;
         facts->syscall = SyscallFate::kFails;
         facts->syscall_error = "Operation not permitted";
         facts->vdso_found = false;
         facts->vdso_status = "the auxiliary vector names none";
         for (ClockFacts& clock : facts->clocks) {
           clock.answer = Answer::kError;
           clock.libc_ns = 0;
         }
       },
       {"wrong seccomp", "slow vdso"},
       {"clocks here need that call", "enter the kernel."},
       {}},
      {"a filter that kills, and HPET",
       [](TimeFacts* facts) {
         facts->seccomp_mode = 2;
         facts->seccomp_filters = 2;
         facts->syscall = SyscallFate::kKills;
         facts->clocksource = "hpet";
         MakeSlow(facts, 0);
       },
       {"wrong seccomp", "slow clocksource"},
       {"2 seccomp filters look", "It kills who calls",
        "clocks here need that call", "enter the kernel."},
       {}},
      {"Docker's default",
       [](TimeFacts* facts) {
         facts->seccomp_mode = 2;
         facts->seccomp_filters = 1;
         facts->ntp_error = "Operation not permitted";
         facts->max_error_ns = 0;
         facts->tai_offset_sec = 0;
       },
       {"note synchronisation"},
       {"adjtimex(): Operation not permitted"},
       {"TAI"}},
      {"AArch64",
       [](TimeFacts* facts) {
         facts->counter_name = "Arm virtual counter";
         facts->counter_clocksource = "arch_sys_counter";
         facts->cpu_flags = {};
         facts->clocksource = "arch_sys_counter";
         facts->clocksources = {"arch_sys_counter"};
         facts->exec_is_made = false;
       },
       {},
       {},
       {}},
      {"AArch64 with a counter erratum",
       [](TimeFacts* facts) {
         facts->counter_name = "Arm virtual counter";
         facts->counter_clocksource = "arch_sys_counter";
         facts->clocksource = "arch_sys_counter";
         facts->clocksources = {"arch_sys_counter"};
         facts->exec_is_made = false;
         MakeSlow(facts, 300);
       },
       {"slow clocksource"},
       {"erratum"},
       {"vvar exec", "TSC", "tsc"}},
      {"unsynchronised KVM guest",
       [](TimeFacts* facts) {
         facts->hypervisor = "KVM";
         facts->flagged_unsynchronised = true;
         facts->max_error_ns = 16'000'000'000;
       },
       {"wrong synchronisation"},
       {"not synchronised", "chronyd", "ptp_kvm"},
       {}},
      {"unsynchronised, beside the host's clock",
       [](TimeFacts* facts) {
         facts->hypervisor = "KVM";
         facts->host_clock = "/dev/ptp1";
         facts->max_error_ns = 16'000'000'000;
       },
       {"wrong synchronisation"},
       {"refclock PHC /dev/ptp1"},
       {"modprobe"}},
      {"chronyd without rtcsync",
       [](TimeFacts* facts) { facts->flagged_unsynchronised = true; },
       {"note synchronisation"},
       {"within 20ms of UTC", "rtcsync"},
       {"Nobody"}},
      {"a daemon that is gone",
       [](TimeFacts* facts) { facts->max_error_ns = 1'500'000'000; },
       {"wrong synchronisation"},
       {"half an hour", "1.5s", "chronyc tracking"},
       {}},
      {"leap second pending",
       [](TimeFacts* facts) { facts->leap_state = VVAR_LEAP_INSERT; },
       {"note leap_second"},
       {"inserted at the end of this UTC day", "23:59:59 twice", "smear"},
       {}},
      {"TAI not set",
       [](TimeFacts* facts) { facts->tai_offset_sec = 0; },
       {"note tai"},
       {"leapsectz"},
       {}},
      {"libfaketime",
       [](TimeFacts* facts) {
         facts->interposer = "/usr/lib/libfaketime.so.1";
         facts->ahead_ns = -86'400'000'000'010;
         MakeSlow(facts, 500);
       },
       {"wrong agreement", "slow interposer"},
       {"24h behind the kernel's", "libfaketime.so.1", "LD_PRELOAD"},
       {"the kernel's clocksource is"}},
      {"vvar's own preload",
       [](TimeFacts* facts) { facts->interposer = "/lib/libvvar_preload.so"; },
       {},
       {},
       {}},
      {"under vvar exec --offset",
       [](TimeFacts* facts) {
         facts->image = ImageOrigin::kExec;
         facts->ahead_ns = 3'600'000'000'000;
       },
       {"note agreement"},
       {"1h ahead of", "--offset"},
       {"LD_PRELOAD"}},
      {"attached, page dead",
       [](TimeFacts* facts) {
         facts->image = ImageOrigin::kAttach;
         MakeSlow(facts, 290);
       },
       {"slow image"},
       {"vvar attach", "vvar serve"},
       {}},
      {"traced, in a time namespace",
       [](TimeFacts* facts) {
         facts->tracer_pid = 77;
         facts->tracer = "strace";
         facts->own_time_namespace = true;
         facts->monotonic_offset_ns = 5'000'000'000;
       },
       {"note tracer", "note time_namespace"},
       {"strace (pid 77)", "MONOTONIC is 5s"},
       {}},
  };
  return *machines;
}

}  // namespace vvar::tools

#endif  // VVAR_TESTS_TOOLS_INVENTED_MACHINES_H_
