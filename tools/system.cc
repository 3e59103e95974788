// SPDX-License-Identifier: MIT
//
// vvar system: how this machine's own clocks are answered, and what they cost.
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "fallback/syscall.h"
#include "fallback/vdso_symbol.h"
#include "hosted/clock.h"
#include "hosted/counter.h"
#include "tools/command.h"
#include "tools/compare.h"
#include "tools/names.h"

namespace vvar::tools {
namespace {

struct SystemClock {
  int32_t id;
  const char* name;
};
constexpr SystemClock kSystemClocks[] = {
    {0, "REALTIME"},         {1, "MONOTONIC"},     {2, "PROCESS_CPUTIME"},
    {3, "THREAD_CPUTIME"},   {4, "MONOTONIC_RAW"}, {5, "REALTIME_COARSE"},
    {6, "MONOTONIC_COARSE"}, {7, "BOOTTIME"},      {8, "REALTIME_ALARM"},
    {9, "BOOTTIME_ALARM"},   {11, "TAI"},          {16, "AUX0"},
};

/// How a clock id was answered.
enum class Answer { kWithoutSyscall, kBySyscall, kError, kUnknown };

constexpr absl::string_view AnswerName(Answer answer) {
  switch (answer) {
    case Answer::kWithoutSyscall:
      return "no system call";
    case Answer::kBySyscall:
      return "system call";
    case Answer::kError:
      return "error";
    case Answer::kUnknown:
      return "not known: seccomp refused";
  }
  return "?";
}

/// Lets the calling process make no system call but write and exit. (Strict
/// mode would not do: it also takes the TSC away.)
bool AllowOnlyWriteAndExit() {
  sock_filter filter[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_write, 2, 0),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_exit_group, 1, 0),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  const sock_fprog program = {sizeof(filter) / sizeof(filter[0]), filter};
  return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
         prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

/// Finds out for certain: a child that may make no system call reads the clock,
/// and says so if it lives.
Answer Observe(int32_t id) {
  timespec time;
  if (clock_gettime(id, &time) != 0) return Answer::kError;
  int fds[2];
  if (pipe(fds) != 0) return Answer::kUnknown;
  const pid_t child = fork();
  if (child == 0) {
    char verdict = 'n';
    if (AllowOnlyWriteAndExit()) {
      clock_gettime(id, &time);
      verdict = 'y';
    }
    (void)!write(fds[1], &verdict, 1);
    _exit(0);
  }
  close(fds[1]);
  char verdict = 0;
  const bool lived = child > 0 && read(fds[0], &verdict, 1) == 1;
  close(fds[0]);
  if (child > 0) waitpid(child, nullptr, 0);
  if (!lived) return child > 0 ? Answer::kBySyscall : Answer::kUnknown;
  return verdict == 'y' ? Answer::kWithoutSyscall : Answer::kUnknown;
}

/// Median over batches. Units: ns per call.
template <class Call>
double CostNs(Call call) {
  constexpr int kBatches = 51;
  constexpr int kCalls = 200;
  std::vector<double> costs;
  for (int batch = 0; batch < kBatches; ++batch) {
    const int64_t start_ns = KernelNs(CLOCK_MONOTONIC_RAW);
    for (int i = 0; i < kCalls; ++i) call();
    const int64_t end_ns = KernelNs(CLOCK_MONOTONIC_RAW);
    costs.push_back(static_cast<double>(end_ns - start_ns) / kCalls);
  }
  std::nth_element(costs.begin(), costs.begin() + kBatches / 2, costs.end());
  return costs[kBatches / 2];
}

nlohmann::ordered_json DescribeClock(const SystemClock& clock) {
  const Answer answer = Observe(clock.id);
  nlohmann::ordered_json row = {{"id", clock.id},
                                {"name", clock.name},
                                {"answered_by", AnswerName(answer)}};
  if (answer == Answer::kError) {
    timespec time;
    const int error = clock_gettime(clock.id, &time) == 0 ? 0 : errno;
    row["error"] = strerror(error);
    return row;
  }
  timespec resolution = {};
  clock_getres(clock.id, &resolution);
  row["resolution_ns"] =
      int64_t{resolution.tv_sec} * 1'000'000'000 + resolution.tv_nsec;
  row["libc_ns"] = CostNs([&] {
    timespec time;
    clock_gettime(clock.id, &time);
  });
  row["syscall_ns"] = CostNs([&] {
    fallback::KernelTimespec time;
    (void)fallback::ClockGettime(clock.id, &time);
  });
  return row;
}

std::string TextOf(fallback::VdsoText text) {
  return std::string(text.data, text.size);
}

nlohmann::ordered_json DescribeVdso() {
  const uintptr_t base = getauxval(AT_SYSINFO_EHDR);
  const auto image = fallback::VdsoImage::FromMappedByKernel(base);
  nlohmann::ordered_json symbols = nlohmann::ordered_json::array();
  image.ForEachSymbol([&](const fallback::VdsoSymbol& symbol) {
    symbols.push_back(
        {{"name", TextOf(symbol.name)},
         {"version", TextOf(symbol.version)},
         {"address", absl::StrCat("0x", absl::Hex(symbol.address))}});
  });
  nlohmann::ordered_json mappings = nlohmann::ordered_json::array();
  std::ifstream maps("/proc/self/maps");
  for (std::string line; std::getline(maps, line);) {
    if (absl::StrContains(line, "[v")) mappings.push_back(line);
  }
  return {{"base", absl::StrCat("0x", absl::Hex(base))},
          {"status", NameOf(image.status())},
          {"mappings", mappings},
          {"symbols", symbols}};
}

/// Why the kernel's clocksource is what it is, as far as it tells.
std::string ExplainClocksource(
    const std::string& current,
    const absl::StatusOr<CounterInfo<NativeClock>>& counter) {
  if (!counter.ok()) return std::string(counter.status().message());
  const std::string name(CounterName(NativeClock::kCounterId));
  if (current == "tsc" || current == "arch_sys_counter" ||
      current == "riscv_clocksource") {
    return absl::StrCat("the kernel trusts the ", name,
                        ": its vDSO reads it without a system call");
  }
  return absl::StrCat(
      "the ", name, " has a constant rate, yet the kernel uses ", current,
      ": it was demoted, or not chosen at boot (see the kernel's log); vvar "
      "reads the counter all the same");
}

nlohmann::ordered_json Describe() {
  const std::string current = hosted::KernelClocksource();
  nlohmann::ordered_json counter = {
      {"name", CounterName(NativeClock::kCounterId)}};
  const absl::StatusOr<CounterInfo<NativeClock>> found = hosted::FindCounter();
  counter["usable"] = found.ok();
  if (found.ok()) {
    counter["hz"] = found->hz;
    counter["hz_source"] = NameOf(found->hz_source);
    counter["hypervisor"] = found->hypervisor;
    counter["ns_per_ordered_read"] = CostNs([&] { (void)found->clock.Read(); });
    counter["ns_per_unordered_read"] =
        CostNs([&] { (void)found->clock.ReadUnordered(); });
  } else {
    counter["why"] = std::string(found.status().message());
  }
  nlohmann::ordered_json clocks = nlohmann::ordered_json::array();
  for (const SystemClock& clock : kSystemClocks) {
    clocks.push_back(DescribeClock(clock));
  }
  return {{"clocksource", current},
          {"clocksource_available", hosted::AvailableClocksources()},
          {"clocksource_why", ExplainClocksource(current, found)},
          {"counter", counter},
          {"vdso", DescribeVdso()},
          {"clocks", clocks}};
}

void PrintText(const nlohmann::ordered_json& report) {
  const auto text = [](const nlohmann::ordered_json& value) {
    return value.get<std::string>();
  };
  absl::PrintF("clocksource  %s (available: %s)\n             %s\n",
               text(report["clocksource"]),
               text(report["clocksource_available"]),
               text(report["clocksource_why"]));
  const nlohmann::ordered_json& counter = report["counter"];
  if (counter["usable"].get<bool>()) {
    const auto hz = counter["hz"].get<int64_t>();
    absl::PrintF(
        "counter      %s, %s; %.1f ns ordered, %.1f ns unordered%s\n",
        text(counter["name"]),
        hz == 0 ? "frequency not told: it is calibrated"
                : absl::StrCat(hz, " Hz by ", text(counter["hz_source"])),
        counter["ns_per_ordered_read"].get<double>(),
        counter["ns_per_unordered_read"].get<double>(),
        counter["hypervisor"].get<bool>() ? "; under a hypervisor" : "");
  } else {
    absl::PrintF("counter      %s: not usable: %s\n", text(counter["name"]),
                 text(counter["why"]));
  }
  const nlohmann::ordered_json& vdso = report["vdso"];
  absl::PrintF("vDSO         %s at %s\n", text(vdso["status"]),
               text(vdso["base"]));
  for (const auto& line : vdso["mappings"]) absl::PrintF("  %s\n", text(line));
  for (const auto& symbol : vdso["symbols"]) {
    absl::PrintF("  %-18s %-12s %s\n", text(symbol["address"]),
                 text(symbol["version"]), text(symbol["name"]));
  }
  absl::PrintF("%3s  %-18s%-16s%12s%10s%10s\n", "id", "clock", "answered by",
               "resolution", "libc", "syscall");
  for (const auto& clock : report["clocks"]) {
    absl::PrintF("%3d  %-18s", clock["id"].get<int>(), text(clock["name"]));
    if (clock.contains("error")) {
      absl::PrintF("%s\n", text(clock["error"]));
      continue;
    }
    absl::PrintF("%-16s%9d ns%7.1f ns%7.1f ns\n", text(clock["answered_by"]),
                 clock["resolution_ns"].get<int64_t>(),
                 clock["libc_ns"].get<double>(),
                 clock["syscall_ns"].get<double>());
  }
}

}  // namespace

ExitCode System() {
  const nlohmann::ordered_json report = Describe();
  if (WantsJson()) {
    PrintJson(report);
  } else {
    PrintText(report);
  }
  return kExitOk;
}

}  // namespace vvar::tools
