// SPDX-License-Identifier: MIT
//
// What adjtimex() says, for people.
#include "tools/discipline_rules.h"

#include <stdint.h>

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tools/diagnosis.h"
#include "tools/remedies.h"
#include "vvar/abi.h"

namespace vvar::tools {
void DiagnoseSynchronisation(const TimeFacts& facts,
                             std::vector<Finding>* findings) {
  // Source: Linux include/linux/timex.h: maxerror grows by 500 ppm and stays at
  // NTP_PHASE_LIMIT, 16 s. One second of it is half an hour without a daemon.
  constexpr int64_t kNoBoundNs = 16'000'000'000;
  constexpr int64_t kForgottenNs = 1'000'000'000;
  const std::string bound =
      absl::StrCat("within ", RoundedNs(facts.max_error_ns),
                   " of UTC, estimated ", RoundedNs(facts.estimated_error_ns));
  if (!facts.ntp_error.empty()) {
    findings->push_back({Severity::kNote, "synchronisation",
                         "Whether the time of day is right is not told.",
                         absl::StrCat("adjtimex(): ", facts.ntp_error, "."),
                         "Allow adjtimex() in the seccomp filter: without "
                         "CAP_SYS_TIME it only reads."});
  } else if (facts.max_error_ns >= kNoBoundNs) {
    findings->push_back(
        {Severity::kWrong, "synchronisation",
         "Nobody keeps the time of day: it is not synchronised.",
         "REALTIME may be off by any amount and drifts by seconds a day; no "
         "bound of its error can be given. MONOTONIC still measures durations.",
         HelpForUnsynchronised(facts)});
  } else if (facts.max_error_ns >= kForgottenNs) {
    findings->push_back(
        {Severity::kWrong, "synchronisation",
         "Nobody has adjusted the time of day for half an hour or more.",
         absl::StrCat("By the kernel's own bound it is ", bound, "."),
         "See whether the time daemon runs and reaches its servers (`chronyc "
         "tracking`, `timedatectl timesync-status`)."});
  } else if (facts.flagged_unsynchronised) {
    findings->push_back(
        {Severity::kNote, "synchronisation",
         absl::StrCat("The time of day is steered, ", bound,
                      ", but flagged unsynchronised."),
         "Programs that go by the flag (STA_UNSYNC) refuse to work; the "
         "hardware clock is not set from it.",
         "`rtcsync` in chrony.conf has chronyd clear the flag."});
  } else {
    findings->push_back(
        {Severity::kOk, "synchronisation",
         absl::StrCat("The time of day is synchronised, ", bound, "."), "",
         ""});
  }
}

void DiagnoseLeap(const TimeFacts& facts, std::vector<Finding>* findings) {
  const bool insert = facts.leap_state == VVAR_LEAP_INSERT;
  if (insert || facts.leap_state == VVAR_LEAP_DELETE) {
    findings->push_back(
        {Severity::kNote, "leap_second",
         absl::StrCat("A leap second is to be ",
                      insert ? "inserted" : "deleted",
                      " at the end of this UTC day."),
         insert ? "REALTIME then shows 23:59:59 twice: it goes back by a "
                  "second. MONOTONIC and TAI run on."
                : "REALTIME then skips 23:59:59. MONOTONIC and TAI run on.",
         "Take durations from MONOTONIC. `vvar serve --on_leap=smear` spreads "
         "it from noon to noon. UTC has them in June or December, if at all: "
         "in another month, ask the time server why."});
  } else if (facts.leap_state == VVAR_LEAP_INSERTED) {
    findings->push_back({Severity::kNote, "leap_second",
                         "A leap second is being inserted now.",
                         "REALTIME repeats this second.", ""});
  }
}

void DiagnoseTai(const TimeFacts& facts, std::vector<Finding>* findings) {
  if (!facts.ntp_error.empty() || facts.tai_offset_sec != 0) return;
  findings->push_back(
      {Severity::kNote, "tai",
       "CLOCK_TAI is the same as REALTIME: nobody has set its offset.",
       "It is 37 s behind (since 2017), and jumps with REALTIME.",
       "`leapsectz right/UTC` in chrony.conf, or a leap second file for ntpd, "
       "sets it. Nothing to do if no program reads it."});
}

}  // namespace vvar::tools
