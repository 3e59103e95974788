// SPDX-License-Identifier: MIT
//
// `vvar`: serves a page, reads it, watches it, takes it apart, and says what
// the system's own clocks cost. Each command has a file of its own.
#include <stdio.h>

#include <algorithm>
#include <initializer_list>
#include <iterator>
#include <string>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/flags/parse.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "tools/command.h"
#include "vvar/abi.h"

ABSL_FLAG(std::string, page, "", "page to serve or read");
ABSL_FLAG(std::string, clock, "", "clock to print");
ABSL_FLAG(std::string, format, "text", "text or json");
ABSL_FLAG(absl::Duration, tick, absl::Milliseconds(1), "time between updates");
ABSL_FLAG(absl::Duration, max_age, absl::Seconds(2),
          "age at which readers refuse the page");
ABSL_FLAG(std::string, reference, "kernel", "clock that a page follows");
ABSL_FLAG(std::string, max_error_from, "kernel", "who bounds its error");
ABSL_FLAG(std::string, on_step, "follow", "what REALTIME does when it is set");
ABSL_FLAG(std::string, on_leap, "step", "how a leap second is made");
ABSL_FLAG(std::string, fail_on, "",
          "severity from which on a finding is a failure");
ABSL_FLAG(double, seconds, 10, "how long to watch");
ABSL_FLAG(absl::Duration, offset, absl::ZeroDuration(),
          "what the program's REALTIME is ahead by");
ABSL_FLAG(double, rate, 1, "how fast the program's REALTIME runs");
ABSL_FLAG(bool, f, false, "follow children");
ABSL_FLAG(int32_t, pid, 0, "process to attach to");
ABSL_FLAG(bool, detach, false, "take the process off its page");

namespace vvar::tools {
namespace {

// Made of MODULE.bazel's.
constexpr char kVersion[] =
#include "tools/version.inc"
    ;

constexpr char kHelp[] =
    R"(vvar - time from a shared page: what a kernel's vDSO does, as a part.

usage: vvar COMMAND [flags]

  serve --page=NAME       keep a page: a line from this machine's counter to
                          the kernel's clocks, published at each tick
  now   [--page=NAME]     print the time, and who gave it: page, vDSO or kernel
  watch --page=NAME       live table: cost of a read, offset to the kernel's
                          clock, backward steps, status, age, error bound
  dump  --page=NAME       every field of a page, decoded
  system                  a doctor of this machine's time: which clocks are slow
                          or wrong here and why, what each costs, what would help
  exec  [flags] -- PROGRAM ARGS
                          run an unmodified program that reads its time from a
                          page, by an image in its vDSO's place: `vvar help exec`
  attach --pid=N --page=NAME
                          the same for a process that runs: `vvar help attach`
  attach --pid=N --detach take it off again

NAME is a file /dev/shm/vvar.NAME; what holds a slash is a path as it stands.

flags
  --page=NAME             the page
  --format=text|json      how to report (default text)
  --clock=CLOCK           now: one of realtime, monotonic, monotonic_raw,
                          boottime, tai, realtime_coarse, monotonic_coarse;
                          default all; watch: whose history to show
  --tick=DURATION         serve: time between updates, 100us to 1s (default 1ms)
  --max_age=DURATION      serve: readers refuse a line older than this, 4 ticks
                          to 1h (default 2s)
  --reference=REFERENCE   serve: the clock to follow: kernel (default);
                          kernel-vvar, the parameters of the kernel's own vDSO,
                          or the kernel where they are not known; /dev/ptpN
  --max_error_from=WHO    serve: who bounds the error: kernel (default); chrony,
                          a chronyd asked at 127.0.0.1:323; chrony:PORT;
                          chrony:/SOCKET
  --on_step=POLICY        serve: when the reference's REALTIME is set: follow
                          (default) at the next tick; slew there at 500 ppm;
                          refuse it and be unsynchronised. MONOTONIC never moves
  --on_leap=POLICY        serve: a leap second it announces: step (default), as
                          Linux does; smear, linearly from noon to noon
  --fail_on=SEVERITY      system: exit with 12 on a finding of wrong, slow or
                          note, or of what is worse; default: always 0
  --seconds=N             watch: how long; 0: until interrupted (default 10)
  --pid=N, --detach       attach: see `vvar help attach`
  -f, --offset=DURATION, --rate=X
                          exec: see `vvar help exec`
  --version               say which version this is, and of the page's layout

exit codes
  0  done                                6  page foreign (no vvar page)
  1  internal error                      7  page of another ABI major
  2  wrong usage                         8  page for another counter
                                            (or no counter to be used here)
  3  page missing                        9  no permission
  4  page empty: no writer has begun    10  page gives no time now (stale, not
  5  page truncated                         ready); `now` has fallen back
                                        11  page has another live writer
                                        12  found by `system --fail_on`
exec, attach: one of the above, or    exec: the program's own, or
  125  refused (see the message)       126  program not executable
                                       127  program not found

try it
  vvar serve --page=demo &
  vvar watch --page=demo --seconds=10
  vvar now --page=demo
)";

constexpr char kExecHelp[] =
    R"(usage: vvar exec [flags] -- PROGRAM ARGS

Runs a program, unmodified, with its vDSO replaced by one that reads a page:
static and Go programs too, no LD_PRELOAD. Its exit status, output, signals and
terminal are as without. x86-64 and i386 programs on Linux, x86-64.

  --page=NAME       the page, kept by `vvar serve --page=NAME`; without it this
                    command keeps one while the program runs, by --tick and
                    --max_age
  -f                children too, through fork and exec. Without it, forked
                    children keep the image and lose it at their next exec
  --offset=DURATION the program's REALTIME and TAI are ahead of the kernel's by
                    this; negative: behind (such as -8760h)
  --rate=X          they run X times as fast from the start on, 0.95 to 1.05

Of a time of one's own (--offset, --rate):
- If the kernel's REALTIME is set, the program's moves by as much within a tick.
- MONOTONIC, BOOTTIME, timers and every sleep stay the kernel's. A sleep for a
  while is as it was. One until a time of REALTIME (clock_nanosleep() and timerfd
  with TIMER_ABSTIME, pthread_cond_timedwait(), sem_timedwait(), futex) is
  measured by the kernel's REALTIME: too long by the offset, or no sleep at all
  where it is negative. For another MONOTONIC use a time namespace (unshare -T),
  which moves the sleeps along.
- A direct system call, file times and other programs have the kernel's.

Whoever no longer keeps the page (killed, or ended before what the program left
behind) has readers fall back to the kernel's clocks after --max_age.

Not replaced: getcpu() of glibc 2.35 on and clock_getres() of musl and of 32-bit
glibc, which make no use of a vDSO. Refused: setuid programs but by root, since
the kernel withholds their rights from who is traced. While -f follows it, a
program cannot be debugged. Where ptrace is denied: LD_PRELOAD, see
docs/preload.md. More: docs/exec.md.
)";

constexpr char kAttachHelp[] =
    R"(usage: vvar attach --pid=N --page=NAME
       vvar attach --pid=N --detach

Puts a running process on a page that `vvar serve --page=NAME` keeps, and takes
it off again: the functions of the kernel's vDSO in that process are made to
lead to an image that reads the page. Its threads stand still meanwhile, for
milliseconds; nothing else changes for it. x86-64 processes on Linux.

  --pid=N           the process, all its threads
  --page=NAME       the page
  --detach          back to the kernel's vDSO
  --format=json     the report as JSON

Children that it forks have the page too, until their next exec. Time namespaces
are respected. Whoever no longer keeps the page has readers fall back to the
kernel's clocks after --max_age.

Refused (exit status 125, the reason on stderr, the process as it was): 32-bit
processes; those under `vvar exec`, or attached already; one with a seccomp
filter, unless CAP_SYS_ADMIN may suspend that. Refused with 9: another user's
process, unless by root, or one that is traced. More: docs/attach.md.
)";

struct Command {
  const char* name;
  ExitCode (*run)();
};
constexpr Command kCommands[] = {
    {"serve", Serve}, {"now", Now},       {"watch", Watch},
    {"dump", Dump},   {"system", System}, {"attach", Attach},
};

ExitCode Usage(const std::string& what) {
  fprintf(stderr, "vvar: %s; try `vvar --help`\n", what.c_str());
  return kExitUsage;
}

/// Whether one of `words` is among the arguments; what follows "--" is none.
bool AsksFor(std::initializer_list<absl::string_view> words, int argc,
             char** argv) {
  for (int i = 1; i < argc; ++i) {
    const absl::string_view word = argv[i];
    if (word == "--") return false;
    if (std::find(words.begin(), words.end(), word) != words.end()) return true;
  }
  return false;
}

bool Names(int argc, char** argv, absl::string_view command) {
  return std::find(argv + 1, argv + argc, command) != argv + argc;
}

int Main(int argc, char** argv) {
  if (AsksFor({"-h", "help", "-help", "--help"}, argc, argv)) {
    fputs(Names(argc, argv, "exec")     ? kExecHelp
          : Names(argc, argv, "attach") ? kAttachHelp
                                        : kHelp,
          stdout);
    return kExitOk;
  }
  if (AsksFor({"-version", "--version"}, argc, argv)) {
    printf("vvar %s, page ABI %u.%u\n", kVersion, VVAR_ABI_MAJOR,
           VVAR_ABI_MINOR);
    return kExitOk;
  }
  const std::vector<char*> words = absl::ParseCommandLine(argc, argv);
  if (words.size() < 2)
    return Usage(
        "no command; expected one of serve, now, "
        "watch, dump, system, exec, attach");
  if (absl::string_view(words[1]) == "exec") {
    if (!Names(argc, argv, "--")) return Usage("exec: no `--` before PROGRAM");
    return Exec({words.begin() + 2, words.end()});
  }
  if (words.size() > 2) {
    return Usage(
        absl::StrCat("argument '", words[2], "'; expected flags only"));
  }
  const std::string format = absl::GetFlag(FLAGS_format);
  if (format != "text" && format != "json") {
    return Usage(absl::StrCat("--format=", format, "; expected text or json"));
  }
  for (const Command& command : kCommands) {
    if (absl::string_view(words[1]) == command.name) return command.run();
  }
  return Usage(absl::StrCat(
      "command '", words[1],
      "'; expected serve, now, watch, dump, system, exec or attach"));
}

}  // namespace

ExitCode Fail(const absl::Status& status) {
  fprintf(stderr, "vvar: %s\n", std::string(status.message()).c_str());
  switch (status.code()) {
    case absl::StatusCode::kNotFound:
      return kExitPageMissing;
    case absl::StatusCode::kUnavailable:
      return kExitPageEmpty;
    case absl::StatusCode::kDataLoss:
      return kExitPageTruncated;
    case absl::StatusCode::kInvalidArgument:
      return kExitPageForeign;
    case absl::StatusCode::kUnimplemented:
      return kExitPageOtherMajor;
    case absl::StatusCode::kFailedPrecondition:
      return kExitPageWrongCounter;
    case absl::StatusCode::kPermissionDenied:
      return kExitNoPermission;
    case absl::StatusCode::kAlreadyExists:
      return kExitOtherWriter;
    case absl::StatusCode::kOutOfRange:
      return kExitUsage;
    default:
      return kExitInternal;
  }
}

ExitCode Refuse(const char* command, const absl::Status& status) {
  fprintf(stderr, "vvar: %s: %s\n", command,
          std::string(status.message()).c_str());
  return absl::IsPermissionDenied(status) ? kExitNoPermission : kExitRefused;
}

absl::Status UnknownClock() {
  return absl::OutOfRangeError(
      absl::StrCat("--clock=", absl::GetFlag(FLAGS_clock),
                   "; expected realtime, monotonic, monotonic_raw, boottime, "
                   "tai, realtime_coarse or monotonic_coarse"));
}

bool WantsJson() { return absl::GetFlag(FLAGS_format) == "json"; }

void PrintJson(const nlohmann::ordered_json& report) {
  printf("%s\n", report.dump(2).c_str());
  fflush(stdout);
}

}  // namespace vvar::tools

int main(int argc, char** argv) { return vvar::tools::Main(argc, argv); }
