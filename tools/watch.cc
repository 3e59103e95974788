// SPDX-License-Identifier: MIT
//
// vvar watch: reads a page as a program would, and holds it against the
// kernel's clock: cost, offset, backward steps, status, age, error bound.
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <time.h>

#include <algorithm>
#include <cstdlib>
#include <iterator>
#include <limits>
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
#include "tools/terminal.h"
#include "tools/watch_view.h"

namespace vvar::tools {
namespace {

volatile sig_atomic_t interrupted = 0;
volatile sig_atomic_t resized = 0;
volatile sig_atomic_t continued = 0;

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
    if (now.width_ns <= 3 * narrowest_ns_ + kGrainNs) {
      offsets_.Add(now.offset_ns);
      second_worst_ns_ =
          std::max(second_worst_ns_, int64_t{std::llabs(now.offset_ns)});
    }
  }

  /// Times a batch of reads.
  void Time(const hosted::SharedReader& reader) {
    constexpr int kReads = 1000;
    const int64_t start_ns = KernelNs(CLOCK_MONOTONIC_RAW);
    uint64_t sum = 0;
    for (int i = 0; i < kReads; ++i) sum += reader.Now(clock_.id).ns;
    sink_ = sum;  // or the compiler would drop the reads
    const int64_t end_ns = KernelNs(CLOCK_MONOTONIC_RAW);
    // A refusal costs something else.
    if (!reader.Now(clock_.id).ok()) return;
    batches_ns_.push_back(static_cast<double>(end_ns - start_ns) / kReads);
    // The least disturbed one.
    second_cost_ns_ = second_cost_ns_ < 0
                          ? batches_ns_.back()
                          : std::min(second_cost_ns_, batches_ns_.back());
    if (batches_ns_.size() > kBatches) batches_ns_.erase(batches_ns_.begin());
  }

  /// Ends a second of the history.
  void EndSecond() {
    const double nan = std::numeric_limits<double>::quiet_NaN();
    second_offsets_ns_.push_back(
        second_worst_ns_ < 0 ? nan : static_cast<double>(second_worst_ns_));
    second_costs_ns_.push_back(second_cost_ns_ < 0 ? nan : second_cost_ns_);
    second_worst_ns_ = -1;
    second_cost_ns_ = -1;
    for (auto* history : {&second_offsets_ns_, &second_costs_ns_}) {
      if (history->size() > kSeconds) history->erase(history->begin());
    }
  }

  WatchRow Row() const {
    return {clock_.name,
            NsPerRead(),
            offsets_.Percentile(0.5),
            offsets_.Percentile(0.99),
            offsets_.Max(),
            backward_steps_,
            offsets_.total(),
            std::string(NameOf(last_status_))};
  }
  WatchHistory History() const {
    return {clock_.name, second_offsets_ns_, second_costs_ns_};
  }
  const char* name() const { return clock_.name; }

 private:
  static constexpr size_t kBatches = 1001;
  static constexpr size_t kSeconds = 500;  // As wide as a terminal may be.
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
  // Of the second under way, -1 where there is none yet; and of those before.
  int64_t second_worst_ns_ = -1;
  double second_cost_ns_ = -1;
  std::vector<double> second_offsets_ns_;
  std::vector<double> second_costs_ns_;
  int64_t narrowest_ns_ = INT64_MAX / 4;
  int64_t last_ns_ = 0;
  bool has_read_ = false;
  uint64_t backward_steps_ = 0;
  ReadStatus last_status_ = ReadStatus::kNotReady;
};

/// The clock that --clock asks for, the first if it asks for none; null if
/// there is none of that name.
ClockWatch* Charted(std::vector<ClockWatch>& clocks) {
  const std::string wanted = absl::GetFlag(FLAGS_clock);
  for (ClockWatch& clock : clocks) {
    if (wanted.empty() || wanted == clock.name()) return &clock;
  }
  return nullptr;
}

WatchView View(const std::vector<ClockWatch>& clocks, const ClockWatch& charted,
               const hosted::SharedChain& chain, double seconds) {
  WatchView view;
  for (const ClockWatch& clock : clocks) view.rows.push_back(clock.Row());
  const fallback::ChainReading reading =
      chain.Now(static_cast<int32_t>(ClockId::kMonotonic));
  const AgeReading age = chain.page().Age();
  const IntervalReading interval = chain.page().Interval(ClockId::kRealtime);
  view.leg = std::string(NameOf(reading.leg));
  view.page_status = std::string(NameOf(reading.page_status));
  view.clock_status = std::string(NameOf(age.clock_status));
  view.age_ns = age.age_ns;
  view.bound_ns = (interval.latest_ns - interval.earliest_ns) / 2;
  view.seconds = seconds;
  view.history = charted.History();
  return view;
}

nlohmann::ordered_json Report(const WatchView& view) {
  nlohmann::ordered_json rows = nlohmann::ordered_json::array();
  for (const WatchRow& row : view.rows) {
    rows.push_back({
        {"id", row.clock},
        {"ns_per_read", row.ns_per_read},
        {"offset_p50_ns", row.offset_p50_ns},
        {"offset_p99_ns", row.offset_p99_ns},
        {"offset_max_ns", row.offset_max_ns},
        {"backward_steps", row.backward_steps},
        {"samples", row.samples},
        {"status", row.status},
    });
  }
  return {
      {"clocks", rows},
      {"leg", view.leg},
      {"page_status", view.page_status},
      {"clock_status", view.clock_status},
      {"age_ns", view.age_ns},
      {"bound_ns", view.bound_ns},
      {"seconds", view.seconds},
  };
}

/// Prints the table as scripts know it.
void PrintTable(const WatchView& view) {
  const auto ns = [](int64_t value) {
    return FormatNs(static_cast<uint64_t>(value));
  };
  absl::PrintF("%-17s%9s%10s%10s%11s%10s%10s  %s\n", "clock", "ns/read",
               "|offset|", "p99", "max", "backward", "samples", "status");
  for (const WatchRow& row : view.rows) {
    absl::PrintF("%-17s%9.2f%10s%10s%11s%10d%10d  %s\n", row.clock,
                 row.ns_per_read, ns(row.offset_p50_ns), ns(row.offset_p99_ns),
                 ns(row.offset_max_ns), row.backward_steps, row.samples,
                 row.status);
  }
  absl::PrintF("t=%.0fs  answered by %s (page %s), age %s, %s, UTC +-%s\n",
               view.seconds, view.leg, view.page_status, FormatNs(view.age_ns),
               view.clock_status, FormatNs(view.bound_ns));
  fflush(stdout);
}

void CatchSignals() {
  struct sigaction action = {};
  action.sa_handler = [](int) { interrupted = 1; };
  for (const int number : {SIGINT, SIGTERM, SIGHUP}) {
    sigaction(number, &action, nullptr);
  }
  action.sa_handler = [](int) { resized = 1; };
  sigaction(SIGWINCH, &action, nullptr);
  action.sa_handler = [](int) { continued = 1; };
  sigaction(SIGCONT, &action, nullptr);
}

/// Shows views as stdout can: drawn over on a terminal, each second; else
/// appended, every ten; JSON at the end alone.
class Display {
 public:
  void Show(const WatchView& view) {
    if (!is_live_) {
      PrintTable(view);
      return;
    }
    if (continued != 0) drawing_.Forget();
    continued = 0;
    resized = 0;
    const TerminalSize size = SizeOfTerminal();
    // The cursor has the last row.
    drawing_.Draw(LayOut(view, WidthOf(size), size.rows > 1 ? size.rows - 1 : 0,
                         OwnCharset()),
                  size);
  }
  bool IsDue(int64_t second) {
    if (WantsJson()) return false;
    const bool is_new = second != shown_;
    shown_ = second;
    if (is_live_) return is_new || resized != 0;
    return is_new && second % 10 == 0;
  }

 private:
  bool is_live_ = !WantsJson() && IsTerminal();
  int64_t shown_ = 0;
  Redrawing drawing_;
};

/// Watches until the time is over or somebody interrupts.
ExitCode WatchClocks(const hosted::SharedChain& chain, double seconds) {
  std::vector<ClockWatch> clocks(std::begin(kNamedClocks),
                                 std::end(kNamedClocks));
  ClockWatch* const charted = Charted(clocks);
  if (charted == nullptr) return Fail(UnknownClock());
  CatchSignals();
  Display display;
  const int64_t start_ns = KernelNs(CLOCK_MONOTONIC);
  double elapsed = 0;
  int64_t ended = 0;
  for (uint64_t round = 0; interrupted == 0; ++round) {
    for (ClockWatch& clock : clocks) clock.Sample(chain.page());
    // One clock a round, so that a round stays short.
    if (round % 16 == 0) {
      clocks[round / 16 % clocks.size()].Time(chain.page());
    }
    elapsed = static_cast<double>(KernelNs(CLOCK_MONOTONIC) - start_ns) * 1e-9;
    if (seconds > 0 && elapsed >= seconds) break;
    const auto second = static_cast<int64_t>(elapsed);
    if (second != ended) charted->EndSecond();
    ended = second;
    if (display.IsDue(second)) {
      display.Show(View(clocks, *charted, chain, elapsed));
    }
    const timespec pause = {0, 1'000'000};
    nanosleep(&pause, nullptr);
  }
  const WatchView view = View(clocks, *charted, chain, elapsed);
  if (WantsJson()) {
    PrintJson(Report(view));
  } else {
    display.Show(view);
  }
  return view.page_status == "ok" ? kExitOk : kExitNoTime;
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
  return WatchClocks(chain, seconds);
}

}  // namespace vvar::tools
