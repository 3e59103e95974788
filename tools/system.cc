// SPDX-License-Identifier: MIT
//
// vvar system: what is slow or wrong with this machine's time, and what it is
// told from: findings first, then each clock and what it costs.
#include <stdint.h>
#include <stdio.h>
#include <sys/auxv.h>

#include <array>
#include <fstream>
#include <string>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "fallback/vdso_symbol.h"
#include "hosted/counter.h"
#include "tools/command.h"
#include "tools/diagnosis.h"
#include "tools/names.h"
#include "tools/terminal.h"
#include "tools/text_layout.h"
#include "tools/time_facts.h"

namespace vvar::tools {
namespace {

nlohmann::ordered_json ReportOf(const ClockFacts& clock) {
  nlohmann::ordered_json row = {{"id", clock.id},
                                {"name", clock.name},
                                {"answered_by", NameOf(clock.answer)}};
  if (clock.answer == Answer::kError || clock.answer == Answer::kKills) {
    row["error"] = clock.error.empty() ? "kills who asks" : clock.error;
    return row;
  }
  row["resolution_ns"] = clock.resolution_ns;
  row["libc_ns"] = clock.libc_ns;
  row["syscall_ns"] = clock.syscall_ns;
  return row;
}

nlohmann::ordered_json ReportOfVdso(const TimeFacts& facts) {
  const uintptr_t base = getauxval(AT_SYSINFO_EHDR);
  const auto image = fallback::VdsoImage::FromMappedByKernel(base);
  const auto text = [](fallback::VdsoText part) {
    return std::string(part.data, part.size);
  };
  nlohmann::ordered_json symbols = nlohmann::ordered_json::array();
  image.ForEachSymbol([&](const fallback::VdsoSymbol& symbol) {
    symbols.push_back(
        {{"name", text(symbol.name)},
         {"version", text(symbol.version)},
         {"address", absl::StrCat("0x", absl::Hex(symbol.address))}});
  });
  nlohmann::ordered_json mappings = nlohmann::ordered_json::array();
  std::ifstream maps("/proc/self/maps");
  for (std::string line; std::getline(maps, line);) {
    if (absl::StrContains(line, "[v")) mappings.push_back(line);
  }
  return {{"base", absl::StrCat("0x", absl::Hex(base))},
          {"status", facts.vdso_status},
          {"mappings", mappings},
          {"symbols", symbols}};
}

nlohmann::ordered_json ReportOfCounter(const TimeFacts& facts) {
  nlohmann::ordered_json counter = {{"name", facts.counter_name}};
  const absl::Status usable = hosted::FindCounter().status();
  counter["usable"] = usable.ok();
  if (!usable.ok()) {
    counter["why"] = std::string(usable.message());
    return counter;
  }
  counter["hz"] = facts.counter_hz;
  counter["hz_source"] = facts.counter_hz_source;
  counter["hypervisor"] = !facts.hypervisor.empty();
  counter["flags"] = facts.cpu_flags;
  counter["ns_per_ordered_read"] = facts.ordered_ns;
  counter["ns_per_unordered_read"] = facts.unordered_ns;
  return counter;
}

nlohmann::ordered_json ReportOfProcess(const TimeFacts& facts) {
  constexpr const char* kOrigins[] = {"none", "exec", "attach"};
  constexpr const char* kFates[] = {"unknown", "works", "fails", "kills"};
  return {
      {"image", kOrigins[static_cast<size_t>(facts.image)]},
      {"interposer", facts.interposer},
      {"realtime_ahead_ns", facts.ahead_ns},
      {"seccomp_mode", facts.seccomp_mode},
      {"seccomp_filters", facts.seccomp_filters},
      {"clock_gettime_by_syscall", kFates[static_cast<size_t>(facts.syscall)]},
      {"tracer_pid", facts.tracer_pid},
      {"tracer", facts.tracer},
      {"own_time_namespace", facts.own_time_namespace},
      {"monotonic_offset_ns", facts.monotonic_offset_ns},
      {"boottime_offset_ns", facts.boottime_offset_ns}};
}

nlohmann::ordered_json ReportOfDiscipline(const TimeFacts& facts) {
  if (!facts.ntp_error.empty()) return {{"error", facts.ntp_error}};
  return {{"flagged_unsynchronised", facts.flagged_unsynchronised},
          {"max_error_ns", facts.max_error_ns},
          {"estimated_error_ns", facts.estimated_error_ns},
          {"tai_offset_sec", facts.tai_offset_sec},
          {"leap_second", LeapName(facts.leap_state)}};
}

nlohmann::ordered_json Report(const TimeFacts& facts,
                              const std::vector<Finding>& findings) {
  nlohmann::ordered_json list = nlohmann::ordered_json::array();
  for (const Finding& finding : findings) {
    list.push_back({{"severity", NameOf(finding.severity)},
                    {"topic", finding.topic},
                    {"what", finding.what},
                    {"why", finding.why},
                    {"help", finding.help}});
  }
  nlohmann::ordered_json clocks = nlohmann::ordered_json::array();
  for (const ClockFacts& clock : facts.clocks) {
    clocks.push_back(ReportOf(clock));
  }
  return {{"summary", Summary(facts, findings)},
          {"findings", list},
          {"clocksource", facts.clocksource},
          {"clocksource_available", absl::StrJoin(facts.clocksources, " ")},
          {"boot_parameters", facts.boot_parameters},
          {"kernel_log", facts.kernel_log},
          {"hypervisor", facts.hypervisor},
          {"host_clock", facts.host_clock},
          {"counter", ReportOfCounter(facts)},
          {"vdso", ReportOfVdso(facts)},
          {"process", ReportOfProcess(facts)},
          {"synchronisation", ReportOfDiscipline(facts)},
          {"clocks", clocks}};
}

/// Paragraphs beside a margin that has the severity.
std::vector<Line> LinesOf(const Finding& finding, size_t width) {
  constexpr std::array<Tone, 4> kTones = {Tone::kGood, Tone::kPlain,
                                          Tone::kWarning, Tone::kAlarm};
  constexpr size_t kMargin = 7;
  const bool is_ok = finding.severity == Severity::kOk;
  const std::string name(NameOf(finding.severity));
  std::vector<Line> lines;
  const auto add = [&](const std::string& margin, const std::string& text,
                       Tone tone) {
    if (text.empty()) return;
    for (const std::string& line :
         Wrap(text, width > 2 * kMargin ? width - kMargin : kMargin)) {
      lines.push_back(
          {PadRight(lines.empty() ? margin : "", kMargin) + line, tone});
    }
  };
  add(is_ok ? name : absl::AsciiStrToUpper(name),
      is_ok && !finding.why.empty() ? finding.what + " " + finding.why
                                    : finding.what,
      kTones[static_cast<size_t>(finding.severity)]);
  if (is_ok) return lines;
  add("", finding.why, Tone::kPlain);
  if (!finding.help.empty()) {
    add("", "What helps: " + finding.help, Tone::kPlain);
  }
  lines.push_back({""});
  return lines;
}

void PrintClocks(const std::vector<ClockFacts>& clocks, size_t width) {
  const std::vector<TableColumn> columns = {
      {"id", 3, 3, false},          {"clock", 16, 0, true},
      {"answered by", 14, 2, true}, {"resolution", 11, 5, false},
      {"libc", 10, 1, false},       {"syscall", 10, 4, false}};
  const auto ns = [](double cost) {
    return cost > 0 ? absl::StrFormat("%.1f ns", cost) : std::string("-");
  };
  std::vector<std::vector<std::string>> rows;
  for (const ClockFacts& clock : clocks) {
    const bool is_error = clock.answer == Answer::kError;
    rows.push_back({absl::StrCat(clock.id), clock.name,
                    is_error ? clock.error : std::string(NameOf(clock.answer)),
                    clock.resolution_ns > 0
                        ? absl::StrCat(clock.resolution_ns, " ns")
                        : "-",
                    ns(clock.libc_ns), ns(clock.syscall_ns)});
  }
  for (const std::string& line : LayOutTable(columns, rows, width)) {
    absl::PrintF("%s\n", line);
  }
}

void PrintText(const TimeFacts& facts, const std::vector<Finding>& findings) {
  const size_t width =
      WidthOf(IsTerminal() ? SizeOfTerminal() : TerminalSize());
  std::vector<Line> lines;
  for (const std::string& line : Wrap(Summary(facts, findings), width)) {
    lines.push_back({line, Tone::kStrong});
  }
  lines.push_back({""});
  for (const Finding& finding : findings) {
    for (Line& line : LinesOf(finding, width)) lines.push_back(line);
  }
  const bool colour = WantsColour();
  for (const Line& line : lines) {
    absl::PrintF("%s\n", colour ? Coloured(line) : line.text);
  }
  absl::PrintF("\n");
  PrintClocks(facts.clocks, width);
  const std::string machine = absl::StrCat(
      "clocksource ", facts.clocksource,
      " (available: ", absl::StrJoin(facts.clocksources, " "), "); counter ",
      facts.counter_name, ", ",
      facts.counter_hz == 0
          ? "frequency not told: it is calibrated"
          : absl::StrCat(facts.counter_hz, " Hz by ", facts.counter_hz_source));
  absl::PrintF("\n");
  for (const std::string& line : Wrap(machine, width)) {
    absl::PrintF("%s\n", line);
  }
}

/// The severity of a name, "" meaning one that nothing has.
bool ParseFailOn(const std::string& name, int* severity) {
  *severity = static_cast<int>(Severity::kWrong) + 1;
  if (name.empty()) return true;
  for (const Severity known :
       {Severity::kNote, Severity::kSlow, Severity::kWrong}) {
    if (name != NameOf(known)) continue;
    *severity = static_cast<int>(known);
    return true;
  }
  return false;
}

}  // namespace

ExitCode System() {
  int fail_on = 0;
  if (!ParseFailOn(absl::GetFlag(FLAGS_fail_on), &fail_on)) {
    return Fail(absl::OutOfRangeError(
        absl::StrCat("--fail_on=", absl::GetFlag(FLAGS_fail_on),
                     "; expected note, slow or wrong")));
  }
  const TimeFacts facts = GatherTimeFacts();
  const std::vector<Finding> findings = Diagnose(facts);
  if (WantsJson()) {
    PrintJson(Report(facts, findings));
  } else {
    PrintText(facts, findings);
  }
  const bool failed = !findings.empty() &&
                      static_cast<int>(findings.front().severity) >= fail_on;
  return failed ? kExitFindings : kExitOk;
}

}  // namespace vvar::tools
