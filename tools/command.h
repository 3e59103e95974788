// SPDX-License-Identifier: MIT
//
// What the commands of `vvar` share: exit codes, flags, and how a report is
// printed.
#ifndef VVAR_TOOLS_COMMAND_H_
#define VVAR_TOOLS_COMMAND_H_

#include <stdint.h>

#include <string>
#include <vector>

#include "absl/flags/declare.h"
#include "absl/status/status.h"
#include "absl/time/time.h"
#include "nlohmann/json.hpp"

ABSL_DECLARE_FLAG(std::string, page);
ABSL_DECLARE_FLAG(std::string, clock);
ABSL_DECLARE_FLAG(std::string, format);
ABSL_DECLARE_FLAG(absl::Duration, tick);
ABSL_DECLARE_FLAG(absl::Duration, max_age);
ABSL_DECLARE_FLAG(std::string, reference);
ABSL_DECLARE_FLAG(std::string, max_error_from);
ABSL_DECLARE_FLAG(std::string, on_step);
ABSL_DECLARE_FLAG(std::string, on_leap);
ABSL_DECLARE_FLAG(std::string, fail_on);
ABSL_DECLARE_FLAG(double, seconds);
ABSL_DECLARE_FLAG(absl::Duration, offset);
ABSL_DECLARE_FLAG(double, rate);
ABSL_DECLARE_FLAG(bool, f);
ABSL_DECLARE_FLAG(int32_t, pid);
ABSL_DECLARE_FLAG(bool, detach);

namespace vvar::tools {

/// Exit codes, part of the interface: scripts tell the cases apart by them.
enum ExitCode : int {
  kExitOk = 0,
  kExitInternal = 1,
  kExitUsage = 2,
  kExitPageMissing = 3,
  kExitPageEmpty = 4,
  kExitPageTruncated = 5,
  kExitPageForeign = 6,
  kExitPageOtherMajor = 7,
  kExitPageWrongCounter = 8,
  kExitNoPermission = 9,
  kExitNoTime = 10,
  kExitOtherWriter = 11,
  kExitFindings = 12,
  // As env(1), nohup(1) and shells have them; below, the program's own.
  kExitRefused = 125,
  kExitNotExecutable = 126,
  kExitNotFound = 127,
};

/// Prints a status to stderr as "vvar: ..." and returns its exit code.
ExitCode Fail(const absl::Status& status);

/// Prints why a command does not do to a program what it was asked to; returns
/// kExitNoPermission or kExitRefused.
ExitCode Refuse(const char* command, const absl::Status& status);

/// What --clock is, and what it might have been.
absl::Status UnknownClock();

/// Whether --format asks for JSON.
bool WantsJson();

/// Prints a JSON report to stdout.
void PrintJson(const nlohmann::ordered_json& report);

ExitCode Serve();
ExitCode Now();
ExitCode Watch();
ExitCode Dump();
ExitCode System();
ExitCode Attach();
/// `words`: the program and its arguments. Returns the program's exit status.
int Exec(const std::vector<char*>& words);

}  // namespace vvar::tools

#endif  // VVAR_TOOLS_COMMAND_H_
