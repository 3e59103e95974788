// SPDX-License-Identifier: MIT
//
// vvar serve: keeps a page until it is told to stop.
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <memory>
#include <string>
#include <utility>

#include "absl/flags/flag.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/time.h"
#include "hosted/counter.h"
#include "hosted/page_keeper.h"
#include "hosted/realtime_steering.h"
#include "hosted/reference.h"
#include "hosted/shared_page.h"
#include "hosted/updater.h"
#include "tools/command.h"
#include "tools/names.h"
#include "tools/reference.h"
#include "tools/supervisor.h"

namespace vvar::tools {
namespace {

hosted::TickLoop* running_loop = nullptr;

void OnSignal(int) { running_loop->Stop(); }

/// An updater whose ticks tell the supervisor that they come.
class WatchedUpdater {
 public:
  WatchedUpdater(hosted::Updater& updater, Supervisor& supervisor)
      : updater_(updater), supervisor_(supervisor) {}

  void Tick() {
    updater_.Tick();
    supervisor_.Ping();
  }
  void TickNow() { updater_.TickNow(); }

 private:
  hosted::Updater& updater_;
  Supervisor& supervisor_;
};

nlohmann::ordered_json Describe(const hosted::Updater& updater,
                                const NamedReference& reference,
                                const CounterInfo<NativeClock>& counter,
                                const vvar_page& page,
                                const hosted::UpdaterOptions& options) {
  const uint64_t hz = PageMemory::Load(page.header.counter_hz);
  const hosted::ReferenceQuality& quality = updater.discipline().quality();
  return {
      {"page", hosted::PagePath(absl::GetFlag(FLAGS_page))},
      {"counter", CounterName(NativeClock::kCounterId)},
      {"constant_rate", counter.constant_rate},
      {"hypervisor", counter.hypervisor},
      {"counter_hz", hz},
      {"counter_hz_source",
       NameOf(hz == counter.hz ? counter.hz_source : HzSource::kCalibrated)},
      {"measured_hz", updater.discipline().measured_hz()},
      {"reference", reference.name},
      {"reference_note", reference.name_note},
      {"reference_clocksource", hosted::KernelClocksource()},
      {"reference_synchronised", quality.synchronised},
      {"reference_max_error_ns", quality.max_error_ns},
      {"max_error_from", reference.max_error_from},
      {"max_error_note", reference.max_error_note},
      {"continued", updater.continued()},
      {"on_step", absl::GetFlag(FLAGS_on_step)},
      {"on_leap", absl::GetFlag(FLAGS_on_leap)},
      {"tick_ns", absl::ToInt64Nanoseconds(options.tick)},
      {"max_age_ns", absl::ToInt64Nanoseconds(options.max_age)},
      {"pid", getpid()},
  };
}

/// A value of the report, and why it is so.
std::string WithNote(const nlohmann::ordered_json& report, const char* value,
                     const char* note) {
  const std::string why = report[note].get<std::string>();
  return report[value].get<std::string>() +
         (why.empty() ? "" : " (" + why + ")");
}

void PrintStart(const nlohmann::ordered_json& start) {
  if (WantsJson()) {
    PrintJson(start);
    return;
  }
  absl::PrintF("page       %s, pid %d%s\n", start["page"].get<std::string>(),
               start["pid"].get<int>(),
               start["continued"].get<bool>() ? ", going on from the line an "
                                                "earlier writer left"
                                              : "");
  absl::PrintF(
      "counter    %s, constant rate, %s\n", start["counter"].get<std::string>(),
      start["hypervisor"].get<bool>() ? "under a hypervisor" : "no hypervisor");
  absl::PrintF("frequency  %d Hz by %s; %d Hz measured\n",
               start["counter_hz"].get<int64_t>(),
               start["counter_hz_source"].get<std::string>(),
               start["measured_hz"].get<int64_t>());
  absl::PrintF("reference  %s (clocksource %s), %s, error bound %s\n",
               WithNote(start, "reference", "reference_note"),
               start["reference_clocksource"].get<std::string>(),
               start["reference_synchronised"].get<bool>()
                   ? "synchronised"
                   : "not synchronised: nobody vouches for it",
               absl::FormatDuration(absl::Nanoseconds(
                   start["reference_max_error_ns"].get<int64_t>())));
  absl::PrintF("error from %s\n",
               WithNote(start, "max_error_from", "max_error_note"));
  absl::PrintF("tick       %s; readers refuse the page after %s\n",
               absl::FormatDuration(absl::GetFlag(FLAGS_tick)),
               absl::FormatDuration(absl::GetFlag(FLAGS_max_age)));
  fflush(stdout);
}

/// What --on_step and --on_leap ask for. Error: OutOfRange, naming the value.
absl::StatusOr<hosted::RealtimePolicy> RealtimePolicyOfFlags() {
  hosted::RealtimePolicy policy;
  const std::string step = absl::GetFlag(FLAGS_on_step);
  if (step == "slew") {
    policy.on_step = hosted::StepPolicy::kSlew;
  } else if (step == "refuse") {
    policy.on_step = hosted::StepPolicy::kRefuse;
  } else if (step != "follow") {
    return absl::OutOfRangeError(
        absl::StrCat("--on_step=", step, "; expected follow, slew or refuse"));
  }
  const std::string leap = absl::GetFlag(FLAGS_on_leap);
  if (leap == "smear") {
    policy.on_leap = hosted::LeapPolicy::kSmear;
  } else if (leap != "step") {
    return absl::OutOfRangeError(
        absl::StrCat("--on_leap=", leap, "; expected step or smear"));
  }
  return policy;
}

void PrintEnd(const hosted::Updater& updater, const vvar_page& page) {
  const hosted::DisciplineHealth& health = updater.discipline().health();
  const vvar_writer_stats& stats = page.timeline[0].stats;
  const nlohmann::ordered_json end = {
      {"ticks", health.ticks},
      {"last_offset_ns", health.last_offset_ns},
      {"max_offset_ns", health.max_offset_ns},
      {"frequency_ppb", health.frequency_ppb},
      {"rejected_brackets", health.rejected_brackets},
      {"large_offsets", health.large_offsets},
      {"realtime_steps", health.realtime_steps},
      {"refused_ns", health.refused_ns},
      {"rejoins", health.rejoins},
      {"late_publications", PageMemory::Load(stats.late_publications)},
      {"max_lateness_cycles", PageMemory::Load(stats.max_lateness_cycles)},
      {"redated_lines", PageMemory::Load(stats.redated_lines)},
  };
  if (WantsJson()) {
    PrintJson(end);
    return;
  }
  absl::PrintF(
      "stopped    %d ticks; offset to the reference %+.1f ns, at most %.1f; "
      "frequency %+.1f ppb; %d late publications; %d brackets rejected, %d "
      "large offsets, %d steps, %d rejoins\n",
      health.ticks, health.last_offset_ns, health.max_offset_ns,
      health.frequency_ppb, PageMemory::Load(stats.late_publications),
      health.rejected_brackets, health.large_offsets, health.realtime_steps,
      health.rejoins);
  if (health.refused_ns != 0) {
    absl::PrintF("refused    a step of the reference by %s\n",
                 absl::FormatDuration(absl::Nanoseconds(health.refused_ns)));
  }
}

}  // namespace

ExitCode Serve() {
  const std::string name = absl::GetFlag(FLAGS_page);
  if (name.empty()) {
    return Fail(absl::OutOfRangeError("serve: --page is empty; expected NAME"));
  }
  hosted::UpdaterOptions options;
  options.tick = absl::GetFlag(FLAGS_tick);
  options.max_age = absl::GetFlag(FLAGS_max_age);
  const absl::StatusOr<hosted::RealtimePolicy> policy = RealtimePolicyOfFlags();
  if (!policy.ok()) return Fail(policy.status());
  options.realtime = *policy;
  if (const absl::Status valid = hosted::CheckOptions(options); !valid.ok()) {
    return Fail(absl::OutOfRangeError(absl::StrCat("--", valid.message())));
  }
  const absl::StatusOr<CounterInfo<NativeClock>> counter =
      hosted::FindCounter();
  if (!counter.ok()) return Fail(counter.status());
  absl::StatusOr<NamedReference> reference = MakeReference(counter->clock);
  if (!reference.ok()) return Fail(reference.status());
  absl::StatusOr<hosted::WritablePage> page =
      hosted::WritablePage::Open(name, hosted::ConfigFor(*counter, options));
  if (!page.ok()) return Fail(page.status());

  hosted::Updater updater(page->bytes(), *counter,
                          std::move(reference->reference), options);
  absl::StatusOr<std::unique_ptr<hosted::TickLoop>> loop =
      hosted::TickLoop::Create(updater.tick_ns());
  if (!loop.ok()) return Fail(loop.status());
  running_loop = loop->get();
  struct sigaction action = {};
  action.sa_handler = &OnSignal;
  sigaction(SIGTERM, &action, nullptr);
  sigaction(SIGINT, &action, nullptr);

  Supervisor supervisor;
  const nlohmann::ordered_json start =
      Describe(updater, *reference, *counter, page->bytes(), options);
  PrintStart(start);
  supervisor.Tell(absl::StrCat("READY=1\nSTATUS=keeps ",
                               start["page"].get<std::string>(), ", follows ",
                               WithNote(start, "reference", "reference_note")));
  WatchedUpdater watched(updater, supervisor);
  (*loop)->Run(watched);
  supervisor.Tell("STOPPING=1\nSTATUS=leaves the page to who comes next");
  updater.Finish();
  PrintEnd(updater, page->bytes());
  return kExitOk;
}

}  // namespace vvar::tools
