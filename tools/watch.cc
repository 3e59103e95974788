// SPDX-License-Identifier: MIT
//
// vvar watch: reads a page as a program would, and holds it against the
// kernel's clock: cost, offset, backward steps, status, age, error bound.
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <iterator>
#include <string>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/time.h"
#include "fallback/chain.h"
#include "hosted/clock.h"
#include "hosted/counter.h"
#include "hosted/shared_page.h"
#include "tools/command.h"
#include "tools/compare.h"
#include "tools/names.h"

namespace vvar::tools {
namespace {

volatile sig_atomic_t interrupted = 0;

/// What is watched of one clock.
class ClockWatch {
 public:
  explicit ClockWatch(const NamedClock& clock) : clock_(clock) {}

  /// Compares once. A coarse clock is held against its precise twin: its
  /// offset is its lag.
  void Sample(const hosted::SharedReader& reader) {
    constexpr int kTries = 6;
    const Comparison now =
        CompareWithKernel([&] { return Read(reader); }, KernelClock(), kTries);
    // A read that failed, or brackets that were all interrupted, say nothing.
    if (last_status_ != ReadStatus::kOk) return;
    narrowest_ns_ = std::min(narrowest_ns_, now.width_ns);
    if (now.width_ns <= 3 * narrowest_ns_ + kGrainNs)
      offsets_.Add(now.offset_ns);
  }

  /// Times a batch of reads.
  void Time(const hosted::SharedReader& reader) {
    constexpr int kReads = 1000;
    const int64_t start_ns = KernelNs(CLOCK_MONOTONIC_RAW);
    uint64_t sum = 0;
    for (int i = 0; i < kReads; ++i) sum += reader.Now(clock_.id).ns;
    sink_ = sum;  // or the compiler would drop the reads
    const int64_t end_ns = KernelNs(CLOCK_MONOTONIC_RAW);
    batches_ns_.push_back(static_cast<double>(end_ns - start_ns) / kReads);
    if (batches_ns_.size() > kBatches) batches_ns_.erase(batches_ns_.begin());
  }

  nlohmann::ordered_json Report() const {
    return {
        {"id", clock_.name},
        {"ns_per_read", NsPerRead()},
        {"offset_p50_ns", offsets_.Percentile(0.5)},
        {"offset_p99_ns", offsets_.Percentile(0.99)},
        {"offset_max_ns", offsets_.Max()},
        {"backward_steps", backward_steps_},
        {"samples", offsets_.total()},
        {"status", NameOf(last_status_)},
    };
  }

 private:
  static constexpr size_t kBatches = 1001;
  static constexpr int64_t kGrainNs = 50;

  int64_t Read(const hosted::SharedReader& reader) {
    const NsReading reading = reader.Now(clock_.id);
    last_status_ = reading.status;
    if (!reading.ok()) return last_ns_;
    const auto ns = static_cast<int64_t>(reading.ns);
    if (has_read_ && ns < last_ns_) ++backward_steps_;
    has_read_ = true;
    last_ns_ = ns;
    return ns;
  }

  clockid_t KernelClock() const {
    if (clock_.id == ClockId::kRealtimeCoarse) return CLOCK_REALTIME;
    if (clock_.id == ClockId::kMonotonicCoarse) return CLOCK_MONOTONIC;
    return static_cast<clockid_t>(clock_.id);
  }

  double NsPerRead() const {
    if (batches_ns_.empty()) return 0;
    std::vector<double> sorted = batches_ns_;
    const auto median =
        sorted.begin() + static_cast<std::ptrdiff_t>(sorted.size() / 2);
    std::nth_element(sorted.begin(), median, sorted.end());
    return *median;
  }

  NamedClock clock_;
  volatile uint64_t sink_ = 0;
  Distribution offsets_;
  std::vector<double> batches_ns_;
  int64_t narrowest_ns_ = INT64_MAX / 4;
  int64_t last_ns_ = 0;
  bool has_read_ = false;
  uint64_t backward_steps_ = 0;
  ReadStatus last_status_ = ReadStatus::kNotReady;
};

nlohmann::ordered_json Report(const std::vector<ClockWatch>& clocks,
                              const hosted::SharedChain& chain,
                              double seconds) {
  nlohmann::ordered_json rows = nlohmann::ordered_json::array();
  for (const ClockWatch& clock : clocks) rows.push_back(clock.Report());
  const fallback::ChainReading reading =
      chain.Now(static_cast<int32_t>(ClockId::kMonotonic));
  const AgeReading age = chain.page().Age();
  const IntervalReading interval = chain.page().Interval(ClockId::kRealtime);
  return {
      {"clocks", rows},
      {"leg", NameOf(reading.leg)},
      {"page_status", NameOf(reading.page_status)},
      {"clock_status", NameOf(age.clock_status)},
      {"age_ns", age.age_ns},
      {"bound_ns", (interval.latest_ns - interval.earliest_ns) / 2},
      {"seconds", seconds},
  };
}

std::string Ns(const nlohmann::ordered_json& value) {
  return FormatNs(value.get<uint64_t>());
}

/// Prints the table; returns how many lines it took.
int PrintTable(const nlohmann::ordered_json& report) {
  absl::PrintF("%-17s%9s%10s%10s%11s%10s%10s  %s\n", "clock", "ns/read",
               "|offset|", "p99", "max", "backward", "samples", "status");
  for (const nlohmann::ordered_json& row : report["clocks"]) {
    absl::PrintF("%-17s%9.2f%10s%10s%11s%10d%10d  %s\n",
                 row["id"].get<std::string>(), row["ns_per_read"].get<double>(),
                 Ns(row["offset_p50_ns"]), Ns(row["offset_p99_ns"]),
                 Ns(row["offset_max_ns"]), row["backward_steps"].get<int64_t>(),
                 row["samples"].get<int64_t>(),
                 row["status"].get<std::string>());
  }
  absl::PrintF(
      "t=%.0fs  answered by %s (page %s), age %s, %s, UTC +-%s\n",
      report["seconds"].get<double>(), report["leg"].get<std::string>(),
      report["page_status"].get<std::string>(), Ns(report["age_ns"]),
      report["clock_status"].get<std::string>(), Ns(report["bound_ns"]));
  fflush(stdout);
  return static_cast<int>(report["clocks"].size()) + 2;
}

}  // namespace

ExitCode Watch() {
  const std::string name = absl::GetFlag(FLAGS_page);
  const double seconds = absl::GetFlag(FLAGS_seconds);
  if (name.empty()) {
    return Fail(absl::OutOfRangeError("watch: --page is empty; expected NAME"));
  }
  if (!(seconds >= 0)) {
    return Fail(absl::OutOfRangeError(
        absl::StrCat("--seconds=", seconds, "; expected 0 or more")));
  }
  const absl::StatusOr<CounterInfo<NativeClock>> counter =
      hosted::FindCounter();
  if (!counter.ok()) return Fail(counter.status());
  const absl::StatusOr<hosted::AttachedPage> page =
      hosted::AttachedPage::Attach(name);
  if (!page.ok()) return Fail(page.status());
  const hosted::SharedChain chain(page->MakeReader(counter->clock),
                                  hosted::SystemVdso());
  struct sigaction action = {};
  action.sa_handler = [](int) { interrupted = 1; };
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);

  std::vector<ClockWatch> clocks(std::begin(kNamedClocks),
                                 std::end(kNamedClocks));
  const bool live = !WantsJson() && isatty(STDOUT_FILENO) == 1;
  const int64_t start_ns = KernelNs(CLOCK_MONOTONIC);
  double elapsed = 0;
  int64_t shown = 0;
  int lines = 0;
  for (uint64_t round = 0; interrupted == 0; ++round) {
    for (ClockWatch& clock : clocks) clock.Sample(chain.page());
    // One clock a round, so that a round stays short.
    if (round % 16 == 0) {
      clocks[round / 16 % clocks.size()].Time(chain.page());
    }
    elapsed = static_cast<double>(KernelNs(CLOCK_MONOTONIC) - start_ns) * 1e-9;
    if (seconds > 0 && elapsed >= seconds) break;
    if (const auto second = static_cast<int64_t>(elapsed);
        !WantsJson() && second != shown) {
      shown = second;
      if (live && lines > 0) absl::PrintF("\033[%dA", lines);
      if (live || second % 10 == 0) {
        lines = PrintTable(Report(clocks, chain, elapsed));
      }
    }
    const timespec pause = {0, 1'000'000};
    nanosleep(&pause, nullptr);
  }
  const nlohmann::ordered_json report = Report(clocks, chain, elapsed);
  if (WantsJson()) {
    PrintJson(report);
  } else {
    if (live && lines > 0) absl::PrintF("\033[%dA", lines);
    PrintTable(report);
  }
  return report["page_status"] == "ok" ? kExitOk : kExitNoTime;
}

}  // namespace vvar::tools
