// SPDX-License-Identifier: MIT
//
// What would help, in words. Every sentence here is advice that somebody may
// follow on a machine that matters.
#include "tools/remedies.h"

#include <stdint.h>

#include <algorithm>
#include <iterator>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace vvar::tools {
namespace {

/// What an operator should know of a clocksource.
/// Source: Linux: drivers/clocksource/, arch/x86/kernel/{hpet,kvmclock}.c,
/// arch/x86/xen/time.c; vdso_clock_mode of each.
struct KnownClocksource {
  const char* name;
  bool read_by_vdso;
  const char* what;
};
constexpr const char* kByPage =
    "A vDSO reads it only where the hypervisor promises that the vCPUs' TSCs "
    "agree; this one does not.";
constexpr KnownClocksource kKnown[] = {
    {"tsc", true, ""},
    {"tsc-early", true, ""},
    {"arch_sys_counter", true,
     "Kernels keep the vDSO off it on CPUs with a counter erratum."},
    {"riscv_clocksource", true, ""},
    {"kvm-clock", true, kByPage},
    {"xen", true, kByPage},
    {"hyperv_clocksource_tsc_page", true, kByPage},
    {"hyperv_clocksource_msr", false,
     "It is a register of the hypervisor: each read leaves the guest."},
    {"hpet", false, "It is a timer outside the CPU, slow to read."},
    {"acpi_pm", false, "It is the ACPI timer, outside the CPU, slow to read."},
    {"jiffies", false, "It counts ticks: between two, time stands still."},
    {"refined-jiffies", false,
     "It counts ticks: between two, time stands still."},
};

const KnownClocksource* Find(absl::string_view name) {
  const auto* known = std::find_if(
      std::begin(kKnown), std::end(kKnown),
      [&](const KnownClocksource& row) { return row.name == name; });
  return known == std::end(kKnown) ? nullptr : known;
}

bool Has(const std::vector<std::string>& words, absl::string_view word) {
  return std::find(words.begin(), words.end(), word) != words.end();
}

/// Those by which somebody chose this clocksource, or put the counter away.
std::vector<std::string> ParametersThatChoose(const TimeFacts& facts) {
  std::vector<std::string> chosen;
  for (const std::string& word : facts.boot_parameters) {
    if (absl::StartsWith(word, "clocksource=") || word == "notsc" ||
        word == "tsc=unstable") {
      chosen.push_back(word);
    }
  }
  return chosen;
}

std::string HelpByReboot(const TimeFacts& facts) {
  const std::string look = "`dmesg | grep -i -e tsc -e clocksource` tells why.";
  if (!facts.hypervisor.empty()) {
    return absl::StrCat(
        look,
        " Boot the guest with tsc=reliable only if the hypervisor's "
        "vendor says that it keeps the TSC stable, across migration too: that "
        "parameter ends the kernel's checks, and a TSC that is not stable then "
        "makes time jump, backwards as well.");
  }
  return absl::StrCat(
      look,
      " First update the firmware: it sets the TSCs. tsc=reliable at "
      "boot ends the kernel's checks: at the risk that TSCs which do differ "
      "make time jump between CPUs, backwards as well.");
}

std::string HelpBySwitch(const TimeFacts& facts) {
  const std::string& name = facts.counter_clocksource;
  return absl::StrCat(
      "As root: echo ", name,
      " > /sys/devices/system/clocksource/clocksource0/current_clocksource; "
      "for good: boot with clocksource=",
      name, ". The risk: ",
      facts.hypervisor.empty()
          ? "if the CPUs' counters do not agree, time jumps between them, "
            "backwards as well; look for `unstable` in dmesg first."
          : "after a migration to a host of another counter rate, time runs "
            "wrong, unless the host scales it.");
}

}  // namespace

std::string RoundedNs(int64_t ns) {
  int64_t unit = 1;
  while (ns / unit >= 10'000 || ns / unit <= -10'000) unit *= 10;
  return absl::FormatDuration(absl::Nanoseconds(ns / unit * unit));
}

bool IsReadByVdso(absl::string_view clocksource) {
  const KnownClocksource* known = Find(clocksource);
  return known == nullptr || known->read_by_vdso;
}

std::string WhyOfClocksource(const TimeFacts& facts) {
  std::vector<std::string> why;
  const KnownClocksource* known = Find(facts.clocksource);
  if (known != nullptr && *known->what != 0) why.push_back(known->what);
  const std::vector<std::string> chosen = ParametersThatChoose(facts);
  if (!chosen.empty()) {
    why.push_back(
        absl::StrCat("Booted with ", absl::StrJoin(chosen, " "), "."));
  } else if (!facts.kernel_log.empty()) {
    why.push_back(absl::StrCat("The kernel's log: ", facts.kernel_log));
  } else if (facts.counter_clocksource != facts.clocksource &&
             !Has(facts.clocksources, facts.counter_clocksource)) {
    why.push_back(absl::StrCat("The kernel has no ", facts.counter_clocksource,
                               " to choose: found unstable, or never begun."));
  }
  return absl::StrJoin(why, " ");
}

std::string ExecAdvice(const TimeFacts& facts) {
  if (!facts.exec_is_made || !facts.counter_readable ||
      !facts.counter_constant) {
    return "";
  }
  return absl::StrCat(
      " For single programs: `vvar exec -- PROGRAM` has them read the ",
      facts.counter_name,
      " without system calls (x86-64; needs ptrace; no setuid programs).",
      facts.clocksource == facts.counter_clocksource
          ? ""
          : " There, too: if the TSCs of its CPUs do differ, its time jumps "
            "from one to another.");
}

std::string HelpForClocksource(const TimeFacts& facts) {
  const std::vector<std::string> chosen = ParametersThatChoose(facts);
  if (facts.clocksource == facts.counter_clocksource) {
    return "A newer kernel, or a CPU without the erratum.";
  }
  if (!chosen.empty()) {
    return absl::StrCat("Boot without ", absl::StrJoin(chosen, " "),
                        ", if the reason for it is gone: it may have been put "
                        "there against a counter that is not stable.");
  }
  if (!facts.counter_constant) {
    return absl::StrCat("See below: the ", facts.counter_name,
                        " has no constant rate.");
  }
  if (Has(facts.clocksources, facts.counter_clocksource)) {
    return HelpBySwitch(facts);
  }
  if (facts.counter_clocksource != "tsc") {
    return absl::StrCat("See dmesg for why the kernel has no ",
                        facts.counter_clocksource, ".");
  }
  return HelpByReboot(facts);
}

std::string HelpForVaryingCounter(const TimeFacts& facts) {
  if (facts.hypervisor.empty()) {
    return "Nothing on this CPU: it takes one with an invariant TSC.";
  }
  return "Have the host offer an invariant TSC (QEMU: -cpu host,+invtsc). Such "
         "a "
         "guest cannot be migrated, unless its TSC rate is given and each host "
         "can scale to it.";
}

std::string HelpForNoVdso(const TimeFacts& facts) {
  const bool booted = Has(facts.boot_parameters, "vdso=0");
  return absl::StrCat(
      booted ? "Boot without vdso=0."
             : "See who takes AT_SYSINFO_EHDR away: a kernel built or booted "
               "without a vDSO, gVisor and the like, or a tracer that wants to "
               "see each call.",
      ExecAdvice(facts));
}

std::string HelpForPartialVdso(const TimeFacts& facts) {
  return absl::StrCat("A newer kernel has vDSO functions for them.",
                      ExecAdvice(facts));
}

std::string HelpForUnsynchronised(const TimeFacts& facts) {
  std::string help =
      "Run chronyd, ntpd or systemd-timesyncd: on the host, if this is a "
      "container.";
  if (!facts.host_clock.empty()) {
    absl::StrAppend(&help,
                    " The host's time is here without a network: "
                    "`refclock PHC ",
                    facts.host_clock, " poll 2` in chrony.conf.");
  } else if (facts.hypervisor == "KVM") {
    absl::StrAppend(&help,
                    " The host's time may be had without a network: "
                    "`modprobe ptp_kvm`, then `refclock PHC /dev/ptp0 poll 2` "
                    "in chrony.conf; as right as the host's.");
  }
  return help;
}

}  // namespace vvar::tools
