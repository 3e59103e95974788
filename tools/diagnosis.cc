// SPDX-License-Identifier: MIT
//
// The rules: one function for each topic, each of which adds one finding, or
// none where there is nothing to say.
#include "tools/diagnosis.h"

#include <stdlib.h>

#include <algorithm>
#include <array>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/string_view.h"
#include "tools/discipline_rules.h"
#include "tools/remedies.h"

namespace vvar::tools {
namespace {

using Findings = std::vector<Finding>;

/// Why clocks that a vDSO could answer are answered by the kernel.
enum class Cause {
  kNone,  // They are not.
  kCounterRefused,
  kInterposer,
  kImage,
  kNoVdso,
  kClocksource,
  kOther,
};

/// CPU time, alarms and auxiliary clocks are the kernel's everywhere.
bool VdsoCouldAnswer(const ClockFacts& clock) {
  constexpr std::array<int32_t, 7> kIds = {0, 1, 4, 5, 6, 7, 11};
  return std::find(kIds.begin(), kIds.end(), clock.id) != kIds.end();
}

/// Those that a vDSO could answer and the kernel does, or refuses to.
std::vector<ClockFacts> SlowClocks(const TimeFacts& facts) {
  std::vector<ClockFacts> slow;
  for (const ClockFacts& clock : facts.clocks) {
    if (VdsoCouldAnswer(clock) && clock.answer != Answer::kWithoutSyscall &&
        clock.answer != Answer::kUnknown) {
      slow.push_back(clock);
    }
  }
  return slow;
}

Cause CauseOf(const TimeFacts& facts) {
  if (!facts.counter_readable) return Cause::kCounterRefused;
  const std::vector<ClockFacts> slow = SlowClocks(facts);
  if (slow.empty()) return Cause::kNone;
  if (!facts.interposer.empty()) return Cause::kInterposer;
  if (facts.image != ImageOrigin::kNone) return Cause::kImage;
  if (!facts.vdso_found) return Cause::kNoVdso;
  // A vDSO answers coarse clocks whatever the clocksource, and all those of one
  // that it reads; what is left is what it was not made for.
  const bool monotonic =
      std::any_of(slow.begin(), slow.end(),
                  [](const ClockFacts& clock) { return clock.id == 1; });
  return monotonic ? Cause::kClocksource : Cause::kOther;
}

std::string Times(const TimeFacts& facts, double ns) {
  if (ns <= 0) return "not measured";
  if (facts.ordered_ns <= 0) return absl::StrFormat("%.0f ns a read", ns);
  return absl::StrFormat(
      "%.0f ns a read, %.1f times the bare counter's %.0f ns", ns,
      ns / facts.ordered_ns, facts.ordered_ns);
}

/// "MONOTONIC and 2 more enter the kernel: 250 ns ..."
std::string CostOfSlow(const TimeFacts& facts) {
  const std::vector<ClockFacts> slow = SlowClocks(facts);
  std::vector<std::string> names;
  for (const ClockFacts& clock : slow) names.push_back(clock.name);
  const auto dearest = std::max_element(
      slow.begin(), slow.end(), [](const ClockFacts& a, const ClockFacts& b) {
        return a.libc_ns < b.libc_ns;
      });
  const std::string who =
      absl::StrCat(absl::StrJoin(names, ", "),
                   slow.size() == 1 ? " enters" : " enter", " the kernel");
  if (dearest->libc_ns <= 0) return who;
  return absl::StrCat(who, ": up to ", Times(facts, dearest->libc_ns));
}

std::string CostOfMonotonic(const TimeFacts& facts) {
  for (const ClockFacts& clock : facts.clocks) {
    if (clock.id == 1) return Times(facts, clock.libc_ns);
  }
  return "not measured";
}

void DiagnoseCounter(const TimeFacts& facts, Findings* findings) {
  if (!facts.counter_readable) {
    findings->push_back(
        {Severity::kWrong, "counter",
         absl::StrCat("This process may not read the ", facts.counter_name,
                      ": a read raises a signal",
                      facts.counter_denied ? " (prctl: PR_TSC_SIGSEGV)." : "."),
         "The kernel's vDSO reads it for clock_gettime(), and glibc's dynamic "
         "linker at each start: most programs are killed here.",
         "Find who called prctl(PR_SET_TSC, PR_TSC_SIGSEGV), or strict "
         "seccomp, which does; children inherit it. prctl(PR_SET_TSC, "
         "PR_TSC_ENABLE) before the exec takes it back."});
  } else if (!facts.counter_constant) {
    findings->push_back(
        {Severity::kNote, "counter",
         absl::StrCat("The ", facts.counter_name,
                      " does not promise a constant rate (no invariant TSC)."),
         "Neither the kernel nor vvar can tell the time from it.",
         HelpForVaryingCounter(facts)});
  } else {
    findings->push_back(
        {Severity::kOk, "counter",
         absl::StrCat(
             "The ", facts.counter_name, " has a constant rate",
             facts.cpu_flags.empty()
                 ? ""
                 : absl::StrCat(" (", absl::StrJoin(facts.cpu_flags, ", "),
                                ")"),
             "."),
         absl::StrFormat("%.1f ns an ordered read, %.1f ns an unordered one.",
                         facts.ordered_ns, facts.unordered_ns),
         ""});
  }
}

void DiagnoseClocksource(const TimeFacts& facts, Findings* findings) {
  if (facts.clocksource.empty()) return;
  const std::string& name = facts.clocksource;
  if (CauseOf(facts) == Cause::kClocksource) {
    findings->push_back(
        {Severity::kSlow, "clocksource",
         absl::StrCat("The kernel's clocksource is ", name,
                      ", which its vDSO does not read."),
         absl::StrCat(CostOfSlow(facts), ". ", WhyOfClocksource(facts)),
         absl::StrCat(HelpForClocksource(facts), ExecAdvice(facts))});
  } else if (!IsReadByVdso(name)) {
    findings->push_back(
        {Severity::kNote, "clocksource",
         absl::StrCat("The kernel's clocksource is ", name,
                      ", which no vDSO reads."),
         absl::StrCat(facts.image != ImageOrigin::kNone
                          ? "Programs that are on no page pay more than this: "
                          : "What enters the kernel pays for that, too: ",
                      CostOfMonotonic(facts), ". ", WhyOfClocksource(facts)),
         HelpForClocksource(facts)});
  } else if (name != facts.counter_clocksource) {
    findings->push_back(
        {Severity::kNote, "clocksource",
         absl::StrCat("The kernel's clocksource is ", name, ", not ",
                      facts.counter_clocksource, "."),
         absl::StrCat(SlowClocks(facts).empty()
                          ? "Read without a system call, by way of the "
                            "hypervisor's page: "
                          : "",
                      CostOfMonotonic(facts), "."),
         HelpForClocksource(facts)});
  } else {
    findings->push_back({Severity::kOk, "clocksource",
                         absl::StrCat("The kernel tells the time from the ",
                                      facts.counter_name, " (", name, ")."),
                         absl::StrCat(CostOfMonotonic(facts), "."), ""});
  }
}

void DiagnoseVdso(const TimeFacts& facts, Findings* findings) {
  const Cause cause = CauseOf(facts);
  const std::string functions = absl::StrJoin(facts.vdso_functions, ", ");
  if (cause == Cause::kNoVdso) {
    findings->push_back(
        {Severity::kSlow, "vdso",
         absl::StrCat("Programs are given no vDSO (", facts.vdso_status, ")."),
         absl::StrCat(CostOfSlow(facts), "."), HelpForNoVdso(facts)});
  } else if (cause == Cause::kOther) {
    findings->push_back(
        {Severity::kSlow, "vdso",
         absl::StrCat("The kernel's vDSO does not answer every clock (",
                      functions, ")."),
         absl::StrCat(CostOfSlow(facts), "."), HelpForPartialVdso(facts)});
  } else if (facts.vdso_found) {
    findings->push_back({Severity::kOk, "vdso",
                         absl::StrCat("There is a vDSO: ", functions, "."), "",
                         ""});
  }
}

void DiagnoseImage(const TimeFacts& facts, Findings* findings) {
  if (facts.image == ImageOrigin::kNone) return;
  const std::string how =
      facts.image == ImageOrigin::kExec ? "`vvar exec`" : "`vvar attach`";
  if (CauseOf(facts) == Cause::kImage) {
    findings->push_back(
        {Severity::kSlow, "image",
         absl::StrCat("This process is on a page by ", how,
                      ", but the page does not answer."),
         absl::StrCat(CostOfSlow(facts), "."),
         "See whether the page is still kept (`vvar now --page=NAME` tells its "
         "status), and start `vvar serve` again."});
  } else {
    findings->push_back(
        {Severity::kOk, "image",
         absl::StrCat("This process is on a page by ", how, "."),
         "What is said of costs here is of the page's image, not of the "
         "kernel's vDSO.",
         ""});
  }
}

void DiagnoseInterposer(const TimeFacts& facts, Findings* findings) {
  if (facts.interposer.empty()) return;
  const bool slow = CauseOf(facts) == Cause::kInterposer;
  const bool ours = absl::StrContains(facts.interposer, "vvar_preload");
  findings->push_back(
      {slow   ? Severity::kSlow
       : ours ? Severity::kOk
              : Severity::kNote,
       "interposer",
       absl::StrCat("clock_gettime() is not the C library's here, but that of ",
                    facts.interposer, "."),
       slow ? absl::StrCat(CostOfSlow(facts), ".")
            : absl::StrCat(CostOfMonotonic(facts), "."),
       ours && !slow ? ""
                     : "If nobody wants it: take it out of LD_PRELOAD and of "
                       "/etc/ld.so.preload. Static programs never have it."});
}

void DiagnoseAgreement(const TimeFacts& facts, Findings* findings) {
  // What a bracket cannot tell apart, and a page's offset to the kernel.
  constexpr int64_t kApartNs = 1'000'000;
  if (std::llabs(facts.ahead_ns) < kApartNs + facts.ahead_width_ns) return;
  const bool wanted = facts.image != ImageOrigin::kNone;
  findings->push_back(
      {wanted ? Severity::kNote : Severity::kWrong, "agreement",
       absl::StrCat("REALTIME is ", RoundedNs(std::llabs(facts.ahead_ns)),
                    facts.ahead_ns > 0 ? " ahead of" : " behind",
                    " the kernel's own."),
       "Direct system calls, file times and static programs have another time "
       "of day than clock_gettime() gives here.",
       wanted ? "Nothing, if --offset or --rate of `vvar exec` made it so. "
                "Else the "
                "page is not the kernel's time: `vvar watch --page=NAME`."
              : "See who answers in the C library's place (LD_PRELOAD, such as "
                "libfaketime)."});
}

void DiagnoseSeccomp(const TimeFacts& facts, Findings* findings) {
  std::string what = "A seccomp filter looks at each system call.";
  if (facts.seccomp_mode == 1) {
    what = "This process runs under strict seccomp.";
  } else if (facts.seccomp_filters > 1) {
    what = absl::StrCat(facts.seccomp_filters,
                        " seccomp filters look at each system call.");
  }
  const bool allowed = facts.syscall == SyscallFate::kWorks;
  if (facts.seccomp_mode == 0) {
    findings->push_back({Severity::kOk, "seccomp",
                         "No seccomp filter delays or denies calls.", "", ""});
  } else if (facts.seccomp_mode == 1) {
    findings->push_back(
        {Severity::kWrong, "seccomp", what,
         "clock_gettime() that enters the kernel kills, and on x86 so does "
         "reading the TSC: there is no clock but what is mapped.",
         "Read the time before entering strict mode, or use a filter that "
         "allows clock_gettime()."});
  } else if (!allowed) {
    const bool needed = !SlowClocks(facts).empty();
    findings->push_back(
        {needed ? Severity::kWrong : Severity::kNote, "seccomp", what,
         absl::StrCat(facts.syscall == SyscallFate::kKills
                          ? "It kills who calls clock_gettime()"
                          : absl::StrCat("It refuses clock_gettime() (",
                                         facts.syscall_error, ")"),
                      needed ? ", and clocks here need that call."
                             : ": a fallback fails wherever the vDSO does not "
                               "answer, such as CPU time."),
         "Allow clock_gettime, clock_getres, gettimeofday and time in the "
         "filter; they read only."});
  } else {
    findings->push_back(
        {Severity::kOk, "seccomp",
         absl::StrCat(what, " clock_gettime() is allowed."),
         "Calls that enter the kernel pay for it; the vDSO's do not.", ""});
  }
}

void DiagnoseTracer(const TimeFacts& facts, Findings* findings) {
  if (facts.tracer_pid == 0) return;
  findings->push_back(
      {Severity::kNote, "tracer",
       absl::StrFormat("This process is traced by %s (pid %d).",
                       facts.tracer.empty() ? "a process" : facts.tracer,
                       facts.tracer_pid),
       "A tracer may stop each system call: costs of those are not what they "
       "are without. What the vDSO answers is not seen by it.",
       "For figures that hold, run `vvar system` untraced."});
}

void DiagnoseNamespace(const TimeFacts& facts, Findings* findings) {
  if (!facts.own_time_namespace) return;
  findings->push_back(
      {Severity::kNote, "time_namespace",
       absl::StrCat("In a time namespace: MONOTONIC is ",
                    RoundedNs(facts.monotonic_offset_ns), ", BOOTTIME ",
                    RoundedNs(facts.boottime_offset_ns),
                    " ahead of the host's."),
       "Stamps of these two cannot be compared with those of processes "
       "outside; REALTIME and TAI can.",
       "Send REALTIME or TAI between namespaces. Pages of vvar add the "
       "offsets by themselves."});
}

void DiagnoseHypervisor(const TimeFacts& facts, Findings* findings) {
  if (facts.hypervisor.empty()) return;
  findings->push_back(
      {Severity::kOk, "hypervisor",
       absl::StrCat("A guest of ", facts.hypervisor, "."),
       "Its counter may jump, or be paused, when it is suspended or migrated.",
       ""});
}

void DiagnoseCpuTime(const TimeFacts& facts, Findings* findings) {
  for (const ClockFacts& clock : facts.clocks) {
    if (clock.id != 3 || clock.answer != Answer::kBySyscall) continue;
    findings->push_back(
        {Severity::kNote, "cpu_time",
         "The clocks of CPU time enter the kernel, on every Linux.",
         absl::StrCat(Times(facts, clock.libc_ns), "."),
         "Reading them seldom; no clocksource, vDSO or page changes that."});
  }
}

}  // namespace

std::vector<Finding> Diagnose(const TimeFacts& facts) {
  Findings findings;
  for (const auto diagnose :
       {DiagnoseCounter, DiagnoseClocksource, DiagnoseVdso, DiagnoseImage,
        DiagnoseInterposer, DiagnoseSeccomp, DiagnoseAgreement,
        DiagnoseSynchronisation, DiagnoseLeap, DiagnoseTai, DiagnoseTracer,
        DiagnoseNamespace, DiagnoseCpuTime, DiagnoseHypervisor}) {
    diagnose(facts, &findings);
  }
  std::stable_sort(findings.begin(), findings.end(),
                   [](const Finding& a, const Finding& b) {
                     return a.severity > b.severity;
                   });
  return findings;
}

std::string Summary(const TimeFacts& facts,
                    const std::vector<Finding>& findings) {
  const auto count = [&](Severity severity) {
    return std::count_if(
        findings.begin(), findings.end(),
        [&](const Finding& finding) { return finding.severity == severity; });
  };
  return absl::StrCat("Time on this machine: ", count(Severity::kWrong),
                      " wrong, ", count(Severity::kSlow), " slow, ",
                      count(Severity::kNote), " to note. MONOTONIC costs ",
                      CostOfMonotonic(facts), ".");
}

}  // namespace vvar::tools
