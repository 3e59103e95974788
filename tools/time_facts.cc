// SPDX-License-Identifier: MIT
//
// From /proc, /sys, CPUID, adjtimex() and by trying.
#include "tools/time_facts.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/prctl.h>
#include <sys/timex.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "clocks/native.h"
#include "fallback/syscall.h"
#include "fallback/vdso_symbol.h"
#include "hosted/counter.h"
#include "hosted/memory_map.h"
#include "hosted/process_status.h"
#include "hosted/time_namespace.h"
#include "tools/clock_facts.h"
#include "tools/machine.h"
#include "tools/names.h"
#include "vvar/offset.h"
#include "vvar/page.h"

namespace vvar::tools {
namespace {

constexpr char kImage[] = "/memfd:vvar-image (deleted)";

std::string FirstLine(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

/// What the kernel calls the counter of this machine.
/// Source: Linux arch/x86/kernel/tsc.c, drivers/clocksource/{arm_arch_timer,
/// timer-riscv}.c, clocksource.name.
std::string CounterClocksource() {
  switch (NativeClock::kCounterId) {
    case VVAR_COUNTER_X86_TSC:
      return "tsc";
    case VVAR_COUNTER_ARM_CNTVCT:
      return "arch_sys_counter";
    default:
      return "riscv_clocksource";
  }
}

std::vector<std::string> CpuFlags() {
  std::ifstream file("/proc/cpuinfo");
  std::vector<std::string> found;
  for (std::string line; std::getline(file, line);) {
    if (!absl::StartsWith(line, "flags")) continue;
    const std::vector<std::string> flags =
        absl::StrSplit(line, ' ', absl::SkipEmpty());
    for (const char* flag : {"constant_tsc", "nonstop_tsc", "tsc_known_freq",
                             "tsc_reliable", "tsc_adjust"}) {
      if (std::find(flags.begin(), flags.end(), flag) != flags.end()) {
        found.push_back(flag);
      }
    }
    break;
  }
  return found;
}

/// Returns the last line of the kernel's log that gives up on a clocksource;
/// "" where there is none, or this process may not look.
/// Source: Linux Documentation/ABI/testing/dev-kmsg: "prefix;text\n".
std::string DemotionInKernelLog() {
  const int fd = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  if (fd < 0) return "";
  std::string last;
  char record[8192];
  for (;;) {
    const ssize_t length = read(fd, record, sizeof(record));
    if (length < 0 && errno == EPIPE) continue;  // Overwritten meanwhile.
    if (length <= 0) break;
    const absl::string_view text(record, static_cast<size_t>(length));
    const absl::string_view line =
        text.substr(0, text.find('\n')).substr(text.find(';') + 1);
    const std::string lower = absl::AsciiStrToLower(line);
    if (absl::StrContains(lower, "unstable") &&
        (absl::StrContains(lower, "tsc") ||
         absl::StrContains(lower, "clocksource"))) {
      last = std::string(line);
    }
  }
  close(fd);
  return last;
}

/// Returns the device by which a hypervisor tells its time.
/// Source: Linux drivers/ptp/ptp_kvm_common.c, drivers/hv/hv_util.c: names.
std::string HostClock() {
  DIR* const folder = opendir("/sys/class/ptp");
  if (folder == nullptr) return "";
  std::string found;
  while (const dirent* entry = readdir(folder)) {
    const std::string name = FirstLine(
        absl::StrCat("/sys/class/ptp/", entry->d_name, "/clock_name"));
    if (name == "KVM virtual PTP" || name == "hyperv") {
      found = absl::StrCat("/dev/", entry->d_name);
    }
  }
  closedir(folder);
  return access(found.c_str(), F_OK) == 0 ? found : "";
}

void GatherCounter(TimeFacts* facts) {
  facts->counter_name = std::string(CounterName(NativeClock::kCounterId));
  facts->counter_clocksource = CounterClocksource();
  facts->counter_readable = hosted::SignalOfCounterRead() == 0;
  int mode = 0;
  facts->counter_denied =
      prctl(PR_GET_TSC, &mode) == 0 && mode == PR_TSC_SIGSEGV;
  const CounterInfo<NativeClock> info = QueryCounter(NativeClock());
  facts->counter_constant = info.constant_rate;
  facts->counter_hz = static_cast<int64_t>(info.hz);
  facts->counter_hz_source = std::string(NameOf(info.hz_source));
  facts->cpu_flags = CpuFlags();
}

void GatherKernel(TimeFacts* facts) {
  facts->clocksource = hosted::KernelClocksource();
  facts->clocksources = absl::StrSplit(hosted::AvailableClocksources(), ' ',
                                       absl::SkipWhitespace());
  facts->boot_parameters = TimeParameters(FirstLine("/proc/cmdline"));
  if (facts->clocksource != facts->counter_clocksource) {
    facts->kernel_log = Printable(DemotionInKernelLog());
  }
  facts->hypervisor = Printable(Hypervisor());
  facts->host_clock = HostClock();
}

void GatherVdso(TimeFacts* facts) {
  const uintptr_t base = getauxval(AT_SYSINFO_EHDR);
  const auto image = fallback::VdsoImage::FromMappedByKernel(base);
  facts->vdso_found = image.status() == fallback::VdsoStatus::kFound;
  facts->vdso_status = base == 0 ? "the auxiliary vector names none"
                                 : std::string(NameOf(image.status()));
  image.ForEachSymbol([&](const fallback::VdsoSymbol& symbol) {
    const absl::string_view name(symbol.name.data, symbol.name.size);
    // Those without are the same by another name; and it has others.
    if (!absl::StartsWith(name, "__")) return;
    for (const char* part : {"clock_", "time", "getcpu"}) {
      if (!absl::StrContains(name, part)) continue;
      facts->vdso_functions.emplace_back(name);
      break;
    }
  });
}

void GatherCosts(TimeFacts* facts) {
  const bool by_kernel = facts->syscall == SyscallFate::kWorks;
  const auto& clocks = facts->clocks;
  const bool by_libc = clocks[1].answer == Answer::kWithoutSyscall;
  if (!facts->counter_readable || !(by_kernel || by_libc)) return;
  int64_t (*const stopwatch_ns)() =
      by_kernel ? &SyscallStopwatchNs : &LibcStopwatchNs;
  const NativeClock clock = QueryCounter(NativeClock()).clock;
  facts->ordered_ns = CostNs([&] { (void)clock.Read(); }, stopwatch_ns);
  facts->unordered_ns =
      CostNs([&] { (void)clock.ReadUnordered(); }, stopwatch_ns);
}

int64_t StatusNumber(pid_t pid, absl::string_view key) {
  int64_t number = 0;
  return absl::SimpleAtoi(hosted::StatusLine(pid, key), &number) ? number : 0;
}

void GatherSeccomp(TimeFacts* facts) {
  facts->seccomp_mode = StatusNumber(getpid(), "Seccomp");
  facts->seccomp_filters = StatusNumber(getpid(), "Seccomp_filters");
  const Trial trial = TryClockSyscall();
  facts->syscall = trial.fate;
  if (trial.error != 0) facts->syscall_error = strerror(trial.error);
}

/// Compares the C library's REALTIME with the kernel's.
void GatherAgreement(TimeFacts* facts) {
  const Answer answer = facts->clocks[0].answer;
  if (facts->syscall != SyscallFate::kWorks || answer == Answer::kKills ||
      answer == Answer::kError) {
    return;
  }
  const auto kernel_ns = [] {
    fallback::KernelTimespec time = {};
    (void)fallback::ClockGettime(CLOCK_REALTIME, &time);
    return int64_t{time.tv_sec} * 1'000'000'000 + int64_t{time.tv_nsec};
  };
  const Comparison found = CompareWithKernel(kernel_ns, CLOCK_REALTIME, 9);
  facts->ahead_ns = found.offset_ns;
  facts->ahead_width_ns = found.width_ns;
}

void GatherProcess(TimeFacts* facts) {
  facts->exec_is_made = ExecIsMade();
  facts->tracer_pid = StatusNumber(getpid(), "TracerPid");
  if (facts->tracer_pid != 0) {
    facts->tracer = Printable(
        FirstLine(absl::StrCat("/proc/", facts->tracer_pid, "/comm")));
  }
  if (const auto offsets = hosted::TimeNamespaceOffsets(); offsets.ok()) {
    facts->own_time_namespace = *offsets != ClockOffsets();
    facts->monotonic_offset_ns =
        static_cast<int64_t>(TimespecToNs(offsets->monotonic));
    facts->boottime_offset_ns =
        static_cast<int64_t>(TimespecToNs(offsets->boottime));
  }
  const absl::StatusOr<hosted::MemoryMap> map = hosted::ReadMemoryMap();
  if (!map.ok()) return;
  const uint64_t vdso = getauxval(AT_SYSINFO_EHDR);
  for (const hosted::Mapping& mapping : *map) {
    if (mapping.name != kImage) continue;
    if (mapping.range.Has(vdso)) {
      facts->image = ImageOrigin::kExec;
    } else if (facts->image == ImageOrigin::kNone) {
      facts->image = ImageOrigin::kAttach;
    }
  }
  facts->interposer =
      Printable(InterposerAt(*map, reinterpret_cast<uintptr_t>(&clock_gettime),
                             hosted::ReadLink("/proc/self/exe")));
}

void GatherDiscipline(TimeFacts* facts) {
  // A filter may kill for it.
  const Trial trial = Try([] {
    timex state = {};
    return adjtimex(&state) < 0 ? errno : 0;
  });
  timex state = {};
  if (trial.fate != SyscallFate::kWorks) {
    facts->ntp_error = trial.fate == SyscallFate::kFails ? strerror(trial.error)
                                                         : "kills who asks";
    return;
  }
  const int result = adjtimex(&state);
  // Source: adjtimex(2): errors in us. Where TIME_ERROR hides the leap second,
  // the flags it was asked for by are there.
  facts->flagged_unsynchronised = (state.status & STA_UNSYNC) != 0;
  facts->max_error_ns = int64_t{state.maxerror} * 1000;
  facts->estimated_error_ns = int64_t{state.esterror} * 1000;
  facts->tai_offset_sec = state.tai;
  if (result >= TIME_OK && result <= TIME_WAIT) {
    facts->leap_state = static_cast<uint32_t>(result);
  } else if ((state.status & STA_INS) != 0) {
    facts->leap_state = VVAR_LEAP_INSERT;
  } else if ((state.status & STA_DEL) != 0) {
    facts->leap_state = VVAR_LEAP_DELETE;
  }
}

}  // namespace

std::vector<std::string> TimeParameters(absl::string_view command_line) {
  std::vector<std::string> found;
  for (const absl::string_view word :
       absl::StrSplit(command_line, ' ', absl::SkipWhitespace())) {
    const absl::string_view name = word.substr(0, word.find('='));
    for (const absl::string_view known :
         {"clocksource", "tsc", "notsc", "vdso", "vdso32", "hpet", "nohpet",
          "no-kvmclock", "no-kvmclock-vsyscall", "highres", "nohz"}) {
      if (name == known) found.push_back(Printable(word));
    }
  }
  return found;
}

std::string InterposerAt(const hosted::MemoryMap& map, uint64_t address,
                         absl::string_view program) {
  for (const hosted::Mapping& mapping : map) {
    if (!mapping.range.Has(address)) continue;
    const std::string& path = mapping.name;
    const absl::string_view file =
        absl::string_view(path).substr(path.rfind('/') + 1);
    // musl is its own dynamic linker; glibc once had clocks in librt.
    for (const absl::string_view libc :
         {"libc.so", "libc-", "libc.musl", "ld-musl", "librt"}) {
      if (absl::StartsWith(file, libc)) return "";
    }
    // Not a file's: an image, or nothing. The program's: a static one.
    if (!absl::StartsWith(path, "/") || path == program || path == kImage) {
      return "";
    }
    return path;
  }
  return "";
}

std::string Printable(absl::string_view text) {
  std::string clean(text);
  for (char& c : clean) {
    if (static_cast<unsigned char>(c) < ' ' || c == '\x7f') c = '?';
  }
  return clean;
}

TimeFacts GatherTimeFacts() {
  TimeFacts facts;
  GatherCounter(&facts);
  GatherKernel(&facts);
  GatherVdso(&facts);
  GatherSeccomp(&facts);
  facts.clocks = FindClocks(facts.syscall);
  GatherCosts(&facts);
  GatherProcess(&facts);
  GatherAgreement(&facts);
  GatherDiscipline(&facts);
  return facts;
}

}  // namespace vvar::tools
