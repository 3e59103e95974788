// SPDX-License-Identifier: MIT
//
// One run of a timekeeper on a simulated machine: an owner that asks at random
// what may be asked and lets happen what may happen, a writer, readers on every
// CPU and in the middle of updates, and the checks of each read against the
// exact timeline. What went wrong is told once, with the last operations.
#ifndef VVAR_TESTS_SUPPORT_SIMULATION_H_
#define VVAR_TESTS_SUPPORT_SIMULATION_H_

#include <stdint.h>

#include <algorithm>
#include <cstdlib>
#include <deque>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "tests/support/oracle.h"
#include "tests/support/scripted_memory.h"
#include "tests/support/simulator.h"
#include "tests/support/test_page.h"
#include "tests/support/timeline_oracle.h"
#include "vvar/header.h"
#include "vvar/leap.h"
#include "vvar/reader.h"
#include "vvar/timekeeper.h"
#include "vvar/writer.h"

namespace vvar::support {

inline constexpr uint64_t kUs = 1'000;
inline constexpr uint64_t kMs = 1'000'000;
inline constexpr uint64_t kSec = 1'000'000'000;
inline constexpr uint64_t kHour = 3'600 * kSec;
inline constexpr uint64_t kDay = 24 * kHour;

// A machine, its owner and what may happen to it.
struct MachineRow {
  const char* name;
  uint32_t bits;
  CounterScript counter;
  CounterScript other;        // After a switch, or on another host.
  std::vector<int64_t> skew;  // Of each CPU, in cycles; CPU 0 writes.
  uint64_t lead_ns;
  uint64_t interval_ns;
  uint64_t max_age_ns;
  uint64_t late_one_in;  // An update comes late,
  uint64_t late_ns;      // by up to this.
  int64_t steering_ppb;  // Frequencies and slews are within this.
  uint64_t updates;      // Of a normal run.
  uint64_t suspend_ns;   // Suspends last up to this.
};

// One thing asked of a timekeeper.
struct Operation {
  enum Kind : uint32_t {
    kSetFrequency,
    kSetRawFrequency,
    kSlew,
    kSlewUntil,
    kSlewRealtime,
    kStepRealtime,
    kSetTaiOffset,
    kScheduleLeap,
    kCancelLeap,
    kSetStatus,
    kSetErrorBound,
    kHold,
    kResume,
    kKinds,
  };
  Kind kind = kSetFrequency;
  int64_t a = 0;
  int64_t b = 0;
  Timespec end = {};
  LeapPlan plan = kNoLeap;
  int64_t at = 0;  // A position.
  Gap gap = {};
};
inline constexpr const char* kOperationNames[Operation::kKinds] = {
    "SetFrequency", "SetRawFrequency", "Slew",          "SlewUntil",
    "SlewRealtime", "StepRealtime",    "SetTaiOffset",  "ScheduleLeap",
    "CancelLeap",   "SetStatus",       "SetErrorBound", "Hold",
    "Resume",
};

// Applies `op`; returns what ScheduleLeap() says, else true.
inline bool Apply(Timekeeper& timekeeper, const Operation& op) {
  switch (op.kind) {
    case Operation::kSetFrequency:
      timekeeper.SetFrequency(op.a);
      break;
    case Operation::kSetRawFrequency:
      timekeeper.SetRawFrequency(op.a);
      break;
    case Operation::kSlew:
      timekeeper.Slew(op.a, op.b);
      break;
    case Operation::kSlewUntil:
      timekeeper.SlewUntil(op.a, op.b, op.end);
      break;
    case Operation::kSlewRealtime:
      timekeeper.SlewRealtime(op.a, op.b);
      break;
    case Operation::kStepRealtime:
      timekeeper.StepRealtime(op.a);
      break;
    case Operation::kSetTaiOffset:
      timekeeper.SetTaiOffset(static_cast<int32_t>(op.a));
      break;
    case Operation::kScheduleLeap:
      return timekeeper.ScheduleLeap(op.plan);
    case Operation::kCancelLeap:
      timekeeper.CancelLeap();
      break;
    case Operation::kSetStatus:
      timekeeper.SetStatus(static_cast<ClockStatus>(op.a));
      break;
    case Operation::kSetErrorBound:
      timekeeper.SetErrorBound(static_cast<uint64_t>(op.a),
                               static_cast<uint32_t>(op.b));
      break;
    case Operation::kHold:
      timekeeper.Hold();
      break;
    case Operation::kResume:
      timekeeper.Resume(static_cast<uint64_t>(op.a), op.gap);
      break;
    case Operation::kKinds:
      break;
  }
  return true;
}
// The same for the oracle. `true_offset`: what the error bound has to cover.
inline bool Apply(TimelineOracle& oracle, const Operation& op,
                  Wide true_offset) {
  switch (op.kind) {
    case Operation::kSetFrequency:
      oracle.SetFrequency(op.a);
      break;
    case Operation::kSetRawFrequency:
      oracle.SetRawFrequency(op.a);
      break;
    case Operation::kSlew:
      oracle.SlewUntil(op.a, op.b, SlewPace::kAtOnce);
      break;
    case Operation::kSlewUntil:
      oracle.SlewUntil(op.a, op.b, op.end);
      break;
    case Operation::kSlewRealtime:
      oracle.SlewRealtime(op.a, op.b);
      break;
    case Operation::kStepRealtime:
      oracle.StepRealtime(op.a);
      break;
    case Operation::kSetTaiOffset:
      oracle.SetTaiOffset(static_cast<int32_t>(op.a));
      break;
    case Operation::kScheduleLeap:
      return oracle.ScheduleLeap(op.plan);
    case Operation::kCancelLeap:
      oracle.CancelLeap();
      break;
    case Operation::kSetStatus:
      oracle.SetStatus(static_cast<ClockStatus>(op.a));
      break;
    case Operation::kSetErrorBound:
      oracle.SetErrorBound(static_cast<uint64_t>(op.a),
                           static_cast<uint32_t>(op.b), true_offset);
      break;
    case Operation::kHold:
      oracle.Hold();
      break;
    case Operation::kResume:
      oracle.Resume(op.at, op.gap);
      break;
    case Operation::kKinds:
      break;
  }
  return true;
}

// What was done, and found. Summed over machines.
struct Tally {
  uint64_t operations[Operation::kKinds] = {};
  uint64_t updates = 0;
  uint64_t late_updates = 0;
  uint64_t too_early = 0;
  uint64_t leaps = 0;
  uint64_t suspends = 0;
  uint64_t switches = 0;
  uint64_t takeovers = 0;
  uint64_t killed = 0;
  uint64_t migrations = 0;
  uint64_t twins = 0;
  uint64_t reads = 0;
  uint64_t values = 0;
  uint64_t overlapped = 0;
  uint64_t on_previous = 0;
  uint64_t held_at_start = 0;
  uint64_t stale = 0;
  uint64_t no_counter = 0;
  uint64_t intervals = 0;
  double years = 0;

  uint64_t Operations() const {
    uint64_t sum = updates + suspends + switches + takeovers + migrations;
    for (const uint64_t n : operations) sum += n;
    return sum;
  }
  void Add(const Tally& other) {
    for (uint32_t i = 0; i < Operation::kKinds; ++i) {
      operations[i] += other.operations[i];
    }
    for (const auto field :
         {&Tally::updates, &Tally::late_updates, &Tally::too_early,
          &Tally::leaps, &Tally::suspends, &Tally::switches, &Tally::takeovers,
          &Tally::killed, &Tally::migrations, &Tally::twins, &Tally::reads,
          &Tally::values, &Tally::overlapped, &Tally::on_previous,
          &Tally::held_at_start, &Tally::stale, &Tally::no_counter,
          &Tally::intervals}) {
      this->*field += other.*field;
    }
    years += other.years;
  }
};

// One run of one machine: its owner, its readers and the checks.
template <uint32_t kBits>
class Simulation {
 public:
  using Clock = SimulatedClock<kBits>;

  Simulation(const MachineRow& row, uint64_t seed)
      : Simulation(row, seed, EdgyRandom(seed), 0) {}
  /// `choices`: what is done at random; when they come from bytes, the run ends
  /// with them. `first_seq`: what the timeline's seq begins with.
  Simulation(const MachineRow& row, uint64_t seed, EdgyRandom choices,
             SeqToken first_seq)
      : row_(row),
        random_(std::move(choices)),
        from_bytes_(!random_.exhausted()),
        machine_(row.counter, row.skew, seed + 1),
        config_(ConfigOf(row.counter)),
        timekeeper_(std::make_unique<Timekeeper>(config_)),
        oracle_(config_, kTimes, machine_.SeenBy(0)),
        writer_(&page_.timeline[0], Clock(&machine_, 0)) {
    for (const int64_t skew : row.skew) {
      ahead_ = std::max(ahead_, skew);
      behind_ = std::max(behind_, -skew);
    }
    margin_cycles_ =
        ahead_ + behind_ +
        static_cast<int64_t>(std::max(row.counter.grain, row.other.grain)) - 1;
    last_.resize(machine_.cpus() + 1);
    FormatPage(page_, PageConfigOf(config_));
    page_.timeline[0].seq = first_seq;
    publications_ = first_seq >> 1;
    timekeeper_->Start(Masked(machine_.SeenBy(0)), kTimes);
    writer_.PublishLine(timekeeper_->line());
    ExpectSeq(1, 1);
    oracle_.Started(timekeeper_->line());
    machine_.AdvanceCycles(margin_cycles_ + 1);
    // Before any interval is looked at.
    Ask(ErrorBound());
    Update();
    machine_.AdvanceTo(oracle_.current().start + margin_cycles_ + 1);
  }

  // Returns "" or what went wrong.
  std::string Run(uint64_t updates) {
    for (uint64_t i = 0; i < updates && Holds() && HasRoom(); ++i) {
      if (from_bytes_ && random_.exhausted()) break;
      Round();
    }
    tally_.years = machine_.TrueSec() / (365.25 * 86400);
    return Holds() ? "" : Failure();
  }
  const Tally& tally() const { return tally_; }
  const TimelineOracle& oracle() const { return oracle_; }

 private:
  static constexpr StartTimes kTimes = {{1'700'000'000, 123'456'789},
                                        {1'000, 999'999'999},
                                        {1'001, 1},
                                        {5'000, 0},
                                        37};
  static constexpr uint64_t kMask = UINT64_MAX >> (64 - kBits);

  struct Read {
    enum Kind : uint32_t {
      kNow,
      kNowUnordered,
      kNowTimespec,
      kNowTimespecUnordered,
      kInterval,
      kSnapshot,
      kAge,
      kCoarse,
      kCoarseTimespec,
      kKinds,
    };
    Kind kind = kNow;
    uint32_t cpu = 0;
    uint32_t index = 0;  // Into vvar_slot.base or .coarse.
    bool overlapped = false;
    int64_t sample = 0;
    Wide true_parts = 0;
    ReadStatus status = ReadStatus::kOk;
    uint64_t ns = 0;
    TimespecReading timespec = {};
    IntervalReading interval = {};
    SnapshotReading snapshot = {};
  };
  // Which line answers, and where on it.
  struct Answer {
    ReadStatus status = ReadStatus::kOk;
    const Segment* segment = nullptr;
    int64_t position = 0;
  };
  // The greatest values so far: of each CPU, and of all at the end.
  struct Greatest {
    uint64_t ns[VVAR_BASES] = {};
    uint32_t moved[VVAR_BASES] = {};
  };
  struct TraceEntry {
    const char* what;
    int64_t a;
    int64_t b;
    int64_t position;
  };

  TimekeeperConfig ConfigOf(const CounterScript& counter) const {
    return {.counter_id = Clock::kCounterId,
            .counter_bits = kBits,
            .counter_hz = counter.hz,
            .lead_ns = row_.lead_ns,
            .interval_ns = row_.interval_ns,
            .max_age_ns = row_.max_age_ns};
  }
  uint64_t Masked(int64_t position) const {
    return machine_.Value(position) & kMask;
  }
  bool Holds() const { return oracle_.complaint().empty(); }
  // Positions of all counters in a row fit 62 bits, times in ns as well.
  bool HasRoom() const {
    return machine_.position() < int64_t{1} << 62 &&
           machine_.TrueSec() < 100 * 365.25 * 86400;
  }

  // --- The owner. -----------------------------------------------------------

  void Round() {
    if (random_.OneIn(8)) machine_.ChangeTemperature();
    if (random_.OneIn(100)) BeCalm();
    const int64_t target = NextUpdate();
    ReadUntil(target);
    machine_.AdvanceTo(target);
    if (random_.OneIn(300)) {
      HappenOnce();
      return;
    }
    const bool twin = random_.OneIn(3) && PrepareTwin();
    for (uint64_t n = random_.Below(4); n != 0; --n) {
      if (random_.OneIn(2)) Ask(RandomOperation(), twin && twin_ != nullptr);
    }
    if (random_.OneIn(30)) {
      ReadWhileUpdating();
    } else {
      Update(random_.OneIn(4));
    }
    if (twin && twin_ != nullptr) CompareTwin();
    for (uint64_t n = random_.Below(3); n != 0; --n) ReadOnce();
  }

  // At the usual interval, a little earlier or later; at the deadline; late.
  int64_t NextUpdate() {
    const Segment& line = oracle_.current();
    const int64_t usual = machine_.CyclesOf(row_.interval_ns);
    int64_t wait = usual;
    if (random_.OneIn(2)) {
      wait -= static_cast<int64_t>(
          random_.Below(static_cast<uint64_t>(usual / 4 + 1)));
    }
    int64_t target = machine_.position() + wait;
    if (!timekeeper_->held()) {
      if (!random_.OneIn(8)) target = std::min(target, Deadline());
      // Now and then right after another one, or before the line has begun.
      target = std::max(target, line.start + margin_cycles_);
      if (random_.OneIn(20)) target = line.start + (random_.OneIn(2) ? 0 : -1);
    }
    if (random_.OneIn(row_.late_one_in)) {
      ++tally_.late_updates;
      target += machine_.CyclesOf(random_.Edgy(63) % row_.late_ns);
    }
    // Beyond half the counter's range nobody can tell early from late.
    const uint64_t half = std::min(kMask / 2, uint64_t{1} << 61);
    const int64_t limit = line.start + static_cast<int64_t>(half) -
                          4 * margin_cycles_ -
                          machine_.CyclesOf(4 * row_.lead_ns);
    if (!timekeeper_->held()) target = std::min(target, limit);
    return std::max(target, machine_.position());
  }

  int64_t Deadline() const {
    return oracle_.current().start +
           static_cast<int64_t>(Ticks(timekeeper_->next_deadline(),
                                      timekeeper_->line().cycle_start, kBits));
  }

  void HappenOnce() {
    if (timekeeper_->held()) return;
    switch (random_.Below(5)) {
      case 0:
        SuspendAnnounced();
        break;
      case 1:
        SuspendUnannounced();
        break;
      case 2:
      case 3:
        ChangeCounter();
        break;
      default:
        TakeOver();
        break;
    }
  }
  // Publishes that the counter is withdrawn. Returns whether that came about.
  bool Withdraw() {
    machine_.AdvanceTo(oracle_.current().start + margin_cycles_);
    Ask({.kind = Operation::kHold});
    Update(random_.OneIn(2));
    ReadOnce();
    return timekeeper_->held();
  }
  void SuspendAnnounced() {
    if (!Withdraw()) return;
    const uint64_t slept_ns = Sleep();
    // Nothing goes on before Resume().
    if (random_.OneIn(4)) Update();
    ReadOnce();
    interleave_ = random_.OneIn(2);
    GoOn(slept_ns);
    interleave_ = false;
  }
  // Nobody told: the line is ended where it was last looked at.
  void SuspendUnannounced() {
    const int64_t at = machine_.position() + ahead_;
    const uint64_t counter_at = Masked(at);
    const uint64_t slept_ns = Sleep();
    Note("HoldAt", at, 0);
    timekeeper_->HoldAt(counter_at);
    oracle_.HeldAt(at, machine_.TrueParts(), timekeeper_->line());
    if (random_.OneIn(2)) Update();
    GoOn(slept_ns);
  }
  uint64_t Sleep() {
    ++tally_.suspends;
    const uint64_t ns = random_.Edgy(63) % row_.suspend_ns;
    switch (random_.Below(3)) {
      case 0:
        machine_.AdvanceCycles(machine_.CyclesOf(ns % kHour));
        return ns % kHour;
      case 1:
        machine_.PassWithoutCounter(static_cast<int64_t>(ns));
        break;
      default:
        machine_.PassWithoutCounter(static_cast<int64_t>(ns));
        machine_.JumpTo(random_.Edgy());
        break;
    }
    Note("Sleep", static_cast<int64_t>(ns), 0);
    return ns;
  }
  // MONOTONIC may freeze, go on, or anything between.
  void GoOn(uint64_t slept_ns) {
    const auto ns = static_cast<int64_t>(slept_ns);
    const int64_t monotonic_ns =
        random_.OneIn(2)   ? 0
        : random_.OneIn(2) ? ns
                           : static_cast<int64_t>(random_.Below(slept_ns + 1));
    const auto raw_ns = static_cast<int64_t>(random_.Below(slept_ns + 1));
    const int64_t at = machine_.SeenBy(0);
    Ask({.kind = Operation::kResume,
         .a = static_cast<int64_t>(machine_.Value(at)),
         .at = at,
         .gap = {ns, monotonic_ns, raw_ns, ns}});
    Ask(ErrorBound());
    Update(interleave_);
    Expect(!timekeeper_->held(), "still held after Resume()");
    ReadOnce();
  }
  // On this machine, or by another timekeeper on another one.
  void ChangeCounter() {
    if (!Withdraw()) return;
    on_other_ = !on_other_;
    CounterScript script = on_other_ ? row_.other : row_.counter;
    script.first_value = random_.Edgy();
    machine_.SwitchCounter(script);
    config_ = ConfigOf(script);
    vvar::ChangeCounter(page_, config_.counter_id, kBits, script.hz);
    if (random_.OneIn(2)) {
      ++tally_.switches;
      Note("SetCounter", static_cast<int64_t>(script.hz), 0);
      timekeeper_->SetCounter(config_);
      oracle_.ChangedCounter(config_);
    } else {
      ++tally_.migrations;
      Note("Import", static_cast<int64_t>(script.hz), 0);
      const Line line = timekeeper_->line();
      timekeeper_ = std::make_unique<Timekeeper>(config_);
      Expect(timekeeper_->Import(line), "Import() refused a held line");
      oracle_.Imported(config_);
    }
    const uint64_t gap_ns = random_.Below(kSec);
    machine_.PassWithoutCounter(static_cast<int64_t>(gap_ns));
    interleave_ = random_.OneIn(2);
    GoOn(gap_ns);
    interleave_ = false;
  }
  void TakeOver() {
    ++tally_.takeovers;
    twin_ = nullptr;
    Note("Continue", 0, 0);
    Line line = {};
    writer_.LoadCurrentLine(&line);
    Expect(FieldsOf(line) == FieldsOf(timekeeper_->line()),
           "the page does not hold the line");
    timekeeper_ = std::make_unique<Timekeeper>(config_);
    Expect(timekeeper_->Continue(line), "Continue() refused a line");
    oracle_.Continued();
    Update(random_.OneIn(2));
  }

  // --- What is asked. -------------------------------------------------------

  void Ask(const Operation& op, bool twin = false) {
    ++tally_.operations[op.kind];
    pending_ = true;
    Note(kOperationNames[op.kind],
         op.kind == Operation::kScheduleLeap ? op.plan.date_sec : op.a,
         op.kind == Operation::kScheduleLeap ? op.plan.state : op.b);
    const Wide true_offset = NsToParts(true_offset_ns_);
    const bool expected = Apply(oracle_, op, true_offset);
    Expect(Apply(*timekeeper_, op) == expected, "ScheduleLeap()");
    // For a twin, whose line is younger, a date may be past.
    if (twin && Apply(*twin_, op) != expected) twin_ = nullptr;
  }
  int64_t Ppb(int64_t limit) {
    const auto magnitude = static_cast<int64_t>(
        random_.Edgy(26) % static_cast<uint64_t>(limit + 1));
    if (random_.OneIn(16)) return random_.OneIn(2) ? limit : -limit;
    return random_.OneIn(2) ? magnitude : -magnitude;
  }
  int64_t RealtimeSec() const { return timekeeper_->line().base[0].sec; }
  Operation RandomOperation() {
    const int64_t limit = row_.steering_ppb;
    uint64_t pick = random_.Below(100);
    if (pick < 20) return {.kind = Operation::kSetFrequency, .a = Ppb(limit)};
    if (calm_ && pick < 70) pick = 74;
    if (pick < 23)
      return {.kind = Operation::kSetRawFrequency, .a = Ppb(limit)};
    if (pick < 48) return RandomSlew(pick);
    if (pick < 54) {
      const int64_t step = random_.EdgySigned(random_.OneIn(8) ? 58 : 40);
      // Keeps REALTIME between 1970 and 2262, with room for the years to come.
      const bool high = RealtimeSec() > 3'000'000'000;
      return {.kind = Operation::kStepRealtime,
              .a = high                          ? -std::llabs(step)
                   : RealtimeSec() < 500'000'000 ? std::llabs(step)
                                                 : step};
    }
    if (pick < 57) {
      return {.kind = Operation::kSetTaiOffset,
              .a = static_cast<int64_t>(random_.Below(80)) - 20};
    }
    if (pick < 68) return RandomLeap();
    if (pick < 70) return {.kind = Operation::kCancelLeap};
    if (pick < 74) {
      return {.kind = Operation::kSetStatus,
              .a = static_cast<int64_t>(1 + random_.Below(4))};
    }
    return ErrorBound();
  }
  // For a while nothing is slewed, and no leap second is due; or the contrary.
  void BeCalm() {
    calm_ = !calm_;
    if (!calm_) return;
    Ask({.kind = Operation::kSlew});
    Ask({.kind = Operation::kSlewRealtime,
         .a = -timekeeper_->realtime_slew_remaining_ns(),
         .b = row_.steering_ppb});
    Ask({.kind = Operation::kCancelLeap});
  }
  Operation RandomSlew(uint64_t pick) {
    const auto rate = std::llabs(Ppb(row_.steering_ppb));
    const int64_t offset = random_.EdgySigned(random_.OneIn(10) ? 34 : 24);
    if (pick < 35) return {.kind = Operation::kSlew, .a = offset, .b = rate};
    if (pick < 42) {
      return {.kind = Operation::kSlewRealtime, .a = offset, .b = rate};
    }
    const Timebase at = timekeeper_->line().base[VVAR_BASE_MONOTONIC];
    const auto ahead_sec = static_cast<int64_t>(random_.Edgy(20));
    return {.kind = Operation::kSlewUntil,
            .a = offset,
            .b = rate,
            .end = {at.sec + ahead_sec - 2, 5}};
  }
  Operation RandomLeap() {
    const int64_t ahead =
        static_cast<int64_t>(random_.Edgy(40) %
                             (4 * row_.interval_ns / kSec + 10)) -
        1;
    const int64_t date_sec = RealtimeSec() + ahead;
    const auto smear_sec = static_cast<uint32_t>(
        1 + random_.Edgy(34) % (30 * row_.interval_ns / kSec + 100));
    switch (random_.Below(5)) {
      case 0:
      case 1:
        return {.kind = Operation::kScheduleLeap,
                .plan = InsertLeapSecond(date_sec)};
      case 2:
        return {.kind = Operation::kScheduleLeap,
                .plan = DeleteLeapSecond(date_sec)};
      case 3:
        return {.kind = Operation::kScheduleLeap,
                .plan = SmearInsertedSecond(date_sec, smear_sec)};
      default:
        return {.kind = Operation::kScheduleLeap,
                .plan = SmearDeletedSecond(date_sec, smear_sec)};
    }
  }
  // A bound, and a true offset that it just covers. Its growth allows for all
  // that the owner may ask for, and for what the counter does.
  Operation ErrorBound() {
    const auto margin_ns = static_cast<int64_t>(
        static_cast<double>(
            margin_cycles_ +
            2 * static_cast<int64_t>(row_.counter.jitter_cycles + 1)) *
            1e9 / static_cast<double>(machine_.hz()) * 1.2 +
        2);
    const auto off_ns = static_cast<int64_t>(random_.Edgy(30));
    true_offset_ns_ = random_.OneIn(2) ? off_ns : -off_ns;
    const int64_t growth_ppb =
        (4 * row_.steering_ppb + row_.counter.drift_ppb +
         std::llabs(row_.counter.offset_ppb) + row_.other.drift_ppb +
         std::llabs(row_.other.offset_ppb)) *
        4 / 3;
    return {.kind = Operation::kSetErrorBound,
            .a = off_ns + margin_ns,
            .b = growth_ppb};
  }

  // --- Updates. -------------------------------------------------------------

  // How many reads take no longer than `cycles`, or one: so many do not make
  // an update late, of which its timekeeper would have to be told.
  size_t ReadsWithin(int64_t cycles) const {
    const uint64_t longest = 4 * row_.counter.jitter_cycles;
    if (longest == 0) return SIZE_MAX;
    return std::max<size_t>(1, static_cast<uint64_t>(cycles) / longest);
  }

  // `interleaved`: with reads of other CPUs at its stores, and hold-ups.
  void Update(bool interleaved = false) {
    MemoryScript script;
    int hold_ups = 0;
    const int64_t lead = machine_.CyclesOf(row_.lead_ns);
    const size_t most_reads = ReadsWithin(lead / 8);
    if (interleaved) {
      script.on_store = [&](const void* word, uint32_t) {
        if (random_.OneIn(40) && deferred_.size() < most_reads) {
          Defer(Take(RandomKind()));
        }
        // Not between its last look at the counter and [W:close].
        if (random_.OneIn(300) && word != &page_.timeline[0].seq &&
            hold_ups < 2) {
          ++hold_ups;
          // Clearly too long, or not: the last look is not the last moment.
          machine_.AdvanceCycles(lead / 8);
          if (random_.OneIn(2)) machine_.AdvanceCycles(2 * lead);
        }
      };
    }
    if (kill_at_ != 0) {
      script.on_store = [&](const void*, uint32_t nth) {
        if (nth == kill_at_) throw WriterKilled();
      };
    }
    if (!timekeeper_->held()) oracle_.SetDeadline(Deadline());
    updating_ = true;
    const bool was_held = timekeeper_->held();
    const PublishStatus status = writer_.Publish(*timekeeper_);
    updating_ = false;
    const int64_t now = machine_.update_sample();
    if (status == PublishStatus::kTooEarly) {
      ExpectSeq(0, 0);
      ++tally_.too_early;
      Note("too early", now, 0);
      Expect(!was_held && now < oracle_.current().start, "kTooEarly");
    } else {
      // A line that was held without telling is shown first.
      ExpectSeq(1, was_held ? 2 : 1);
      ++tally_.updates;
      pending_ = false;
      Note("Publish", now, oracle_.current().start);
      Expect(was_held || now >= oracle_.current().start, "not kTooEarly");
      Expect(status == PublishStatus::kPublished || timekeeper_->held(),
             "late publication");
      const LeapPlan before = oracle_.current().line.leap;
      oracle_.Published(now, machine_.Value(now), machine_.update_true_parts(),
                        timekeeper_->line());
      if (timekeeper_->line().leap.state != before.state) ++tally_.leaps;
    }
    for (const Read& read : deferred_) Check(read);
    deferred_.clear();
  }

  // A publication makes seq even, and one publication more; also the first one
  // after a writer died.
  void ExpectSeq(uint32_t least, uint32_t most) {
    const SeqToken seq = page_.timeline[0].seq;
    const uint32_t more = ((seq >> 1) - publications_) & (UINT32_MAX >> 1);
    Expect(more >= least && more <= most && seq % 2 == 0, "seq", Wide(seq),
           Wide(2 * publications_));
    publications_ = seq >> 1;
  }

  // Or not all of one: the writer dies at any of its stores.
  void UpdateOrDie() {
    kill_at_ = static_cast<uint32_t>(1 + random_.Below(60));
    try {
      Update();
    } catch (const WriterKilled&) {
      updating_ = false;
      died_ = true;
    }
    kill_at_ = 0;
  }
  // A read of another CPU that an update comes across.
  void ReadWhileUpdating() {
    MemoryScript script;
    // Reads load some ten words; the first one is seq, then comes the counter.
    uint64_t loads = random_.Below(14);
    bool fired = false;
    const bool may_die = !timekeeper_->held() && random_.OneIn(3);
    const auto fire = [&] {
      if (fired || updating_) return;
      fired = true;
      may_die ? UpdateOrDie() : Update();
    };
    script.on_load = [&](const void*, uint32_t) {
      if (loads-- == 0) fire();
    };
    if (random_.OneIn(3)) machine_.on_read = [&](uint32_t) { fire(); };
    scripted_ = true;
    Read read = Take(RandomKind());
    scripted_ = false;
    machine_.on_read = nullptr;
    script.on_load = nullptr;
    read.overlapped = true;
    if (!fired) Update();
    Check(read);
    if (!died_) return;
    ++tally_.killed;
    died_ = false;
    TakeOver();
  }

  // --- N updates equal one. -------------------------------------------------

  // A second timekeeper that has been updated more often by now. Returns
  // whether that ought to make no difference.
  bool PrepareTwin() {
    if (pending_ || timekeeper_->held() || !oracle_.IsSteady() ||
        oracle_.LeapIsDue()) {
      return false;
    }
    twin_ = std::make_unique<Timekeeper>(*timekeeper_);
    const int64_t lead = machine_.CyclesOf(row_.lead_ns) + 2;
    const int64_t end = machine_.SeenBy(0) - lead;
    int64_t at = oracle_.current().start;
    for (int i = 0; i < 6 && at < end; ++i) {
      (void)twin_->Plan(Masked(at));
      twin_->Commit();
      at += lead + static_cast<int64_t>(random_.Below(
                       static_cast<uint64_t>(end - at) / (i < 3 ? 3 : 1) + 1));
    }
    return true;
  }
  void CompareTwin() {
    // Of an update that did not come about, or was dated anew.
    const int64_t now = machine_.update_sample();
    if (oracle_.current().start <= now || !twin_->LineHasBegun(Masked(now))) {
      return;
    }
    ++tally_.twins;
    Line one = timekeeper_->line();
    Line many = twin_->Plan(Masked(now));
    // It ages by a nanosecond more at each update, rounded up.
    Expect(many.error_ns >= one.error_ns, "N updates: error bound");
    Expect(many.error_ns - one.error_ns <= 16 + uint64_t{one.error_growth_ppb},
           "N updates: error bound grows with them");
    one.error_ns = many.error_ns;
    Expect(FieldsOf(one) == FieldsOf(many), "N updates differ from one");
  }

  // --- Readers. -------------------------------------------------------------

  // Reads on the way to `target`, most of them where something changes.
  void ReadUntil(int64_t target) {
    const int64_t start = oracle_.current().start;
    const int64_t max = static_cast<int64_t>(oracle_.current().line.max_cycles);
    const int64_t now = machine_.position();
    std::vector<int64_t>& at = positions_;
    at.clear();
    for (uint64_t n = random_.Below(5); n != 0; --n) {
      switch (random_.Below(6)) {
        case 0:
          at.push_back(start - 2 + static_cast<int64_t>(random_.Below(4)));
          break;
        case 1:
          at.push_back(start + max - 1 +
                       static_cast<int64_t>(random_.Below(3)));
          break;
        case 2:
          at.push_back(now);
          break;
        case 3:
          at.push_back(target - static_cast<int64_t>(random_.Below(3)));
          break;
        default:
          at.push_back(now + static_cast<int64_t>(random_.Below(
                                 static_cast<uint64_t>(target - now) + 1)));
          break;
      }
    }
    std::sort(at.begin(), at.end());
    for (const int64_t position : at) {
      if (position > target) break;
      machine_.AdvanceTo(position);
      ReadOnce();
    }
  }
  void ReadOnce() { Check(Take(RandomKind())); }
  typename Read::Kind RandomKind() {
    return static_cast<typename Read::Kind>(random_.Below(Read::kKinds));
  }
  void Defer(Read read) {
    read.overlapped = true;
    deferred_.push_back(read);
  }

  Read Take(typename Read::Kind kind) {
    Read read;
    read.kind = kind;
    read.cpu = static_cast<uint32_t>(random_.Below(machine_.cpus()));
    const bool coarse = kind == Read::kCoarse || kind == Read::kCoarseTimespec;
    read.index = static_cast<uint32_t>(
        random_.Below(coarse ? VVAR_COARSES : VVAR_BASES));
    const Clock clock(&machine_, read.cpu, &read.sample);
    if (scripted_) {
      TakeFrom(Reader<Clock, ScriptedMemory>(&page_.timeline[0], clock), read);
    } else {
      TakeFrom(Reader<Clock>(&page_.timeline[0], clock), read);
    }
    read.true_parts = machine_.TrueParts();
    return read;
  }
  template <class AnyReader>
  static void TakeFrom(const AnyReader& reader, Read& read) {
    const bool coarse =
        read.kind == Read::kCoarse || read.kind == Read::kCoarseTimespec;
    const ClockId id =
        kClockRows[coarse ? VVAR_BASES + read.index : read.index].id;
    const auto ns = [&](const NsReading& reading) {
      read.status = reading.status;
      read.ns = reading.ns;
    };
    const auto timespec = [&](const TimespecReading& reading) {
      read.status = reading.status;
      read.timespec = reading;
    };
    switch (read.kind) {
      case Read::kNow:
        return ns(reader.Now(id));
      case Read::kNowUnordered:
        return ns(reader.NowUnordered(id));
      case Read::kNowTimespec:
      case Read::kCoarseTimespec:
        return timespec(reader.NowTimespec(id));
      case Read::kNowTimespecUnordered:
        return timespec(reader.NowTimespecUnordered(id));
      case Read::kInterval:
        read.interval = reader.Interval(id);
        read.status = read.interval.status;
        return;
      case Read::kSnapshot:
        read.status = reader.Snapshot(&read.snapshot);
        return;
      case Read::kAge: {
        const AgeReading age = reader.Age();
        read.status = age.status;
        read.ns = age.age_ns;
        return;
      }
      case Read::kCoarse:
        return ns(reader.NowCoarse(id));
      case Read::kKinds:
        return;
    }
  }

  // --- Checks. --------------------------------------------------------------

  static Answer OnLine(const Segment& line, int64_t position) {
    if (!line.published) return {ReadStatus::kNotReady};
    if (line.held) return {ReadStatus::kNoCounter};
    const int64_t delta = position - line.start;
    const auto max = static_cast<int64_t>(line.line.max_cycles);
    if (delta > max || -delta > max) return {ReadStatus::kStale};
    return {ReadStatus::kOk, &line, std::max(position, line.start)};
  }
  static Answer AnswerOf(const Segment& current, const Segment& previous,
                         int64_t position) {
    if (current.held || position >= current.start) {
      return OnLine(current, position);
    }
    return OnLine(previous, position);
  }

  // A read that no update came across has one answer. One that an update came
  // across has that from before or after it; or, while the previous line was
  // being rewritten, the start of the current one.
  void Check(const Read& read) {
    ++tally_.reads;
    if (!Holds()) return;
    if (read.overlapped) ++tally_.overlapped;
    if (read.kind == Read::kCoarse || read.kind == Read::kCoarseTimespec) {
      CheckCoarse(read);
      return;
    }
    const Segment& current = oracle_.current();
    const Segment& previous = oracle_.previous();
    Answer answer = AnswerOf(current, previous, read.sample);
    bool fits = Fits(read, answer);
    if (read.overlapped && !(fits && answer.position == read.sample)) {
      const Answer before =
          AnswerOf(previous, oracle_.before_previous(), read.sample);
      if (Fits(read, before)) {
        answer = before;
        fits = true;
      } else if (!fits && died_ && read.sample < current.start) {
        answer = OnLine(current, read.sample);
        fits = Fits(read, answer);
      } else if (!fits && read.sample < previous.start) {
        answer = OnLine(previous, read.sample);
        fits = Fits(read, answer);
      }
    }
    if (!fits) {
      NoteRead(read);
      Expect(
          false, "a read is not what its line says", Wide(read.ns),
          answer.segment == nullptr
              ? Wide(0)
              : answer.segment->At(read.index, answer.position) >> kPartBits);
      return;
    }
    CountAnswer(read, answer);
    if (answer.status == ReadStatus::kOk && read.kind != Read::kAge) {
      CheckOrder(read, answer);
      if (read.kind == Read::kInterval) CheckInterval(read, answer);
    }
  }
  void CountAnswer(const Read& read, const Answer& answer) {
    if (answer.status == ReadStatus::kStale) ++tally_.stale;
    if (answer.status == ReadStatus::kNoCounter) ++tally_.no_counter;
    if (answer.segment == &oracle_.previous()) ++tally_.on_previous;
    if (answer.segment != nullptr && answer.position != read.sample) {
      ++tally_.held_at_start;
      Expect(answer.position - read.sample <= margin_cycles_,
             "a read far before its line is held at its start");
    }
  }

  static uint64_t FloorAt(const Answer& answer, uint32_t index) {
    return FloorNs(answer.segment->At(index, answer.position), kPartBits);
  }
  static uint64_t SnapshotNs(const SnapshotReading& snapshot, uint32_t index) {
    const uint64_t ns[VVAR_BASES] = {
        snapshot.realtime_ns, snapshot.monotonic_ns, snapshot.monotonic_raw_ns,
        snapshot.boottime_ns, snapshot.tai_ns};
    return ns[index];
  }
  bool Fits(const Read& read, const Answer& answer) const {
    if (read.status != answer.status) return false;
    if (read.status != ReadStatus::kOk) return true;
    const uint64_t ns = FloorAt(answer, read.index);
    switch (read.kind) {
      case Read::kNow:
      case Read::kNowUnordered:
        return read.ns == ns;
      case Read::kNowTimespec:
      case Read::kNowTimespecUnordered:
        return IsFloorOf({read.timespec.sec, read.timespec.nsec},
                         answer.segment->At(read.index, answer.position),
                         kPartBits);
      case Read::kInterval:
        return IntervalFits(read.interval, answer.segment->line, ns);
      case Read::kSnapshot:
        return SnapshotFits(read, answer);
      case Read::kAge:
        return read.ns ==
               FloorNs(answer.segment->slope[VVAR_BASE_MONOTONIC] *
                           Wide(answer.position - answer.segment->start),
                       kPartBits);
      default:
        return false;
    }
  }
  // Around the line's value, unless it ends where u64 does.
  static bool IntervalFits(const IntervalReading& interval, const Line& line,
                           uint64_t ns) {
    if (interval.clock_status != line.status) return false;
    if (interval.earliest_ns == 0 || interval.latest_ns == UINT64_MAX) {
      return interval.earliest_ns <= ns && ns < interval.latest_ns;
    }
    return ns - interval.earliest_ns >= line.error_ns &&
           ns - interval.earliest_ns == interval.latest_ns - ns - 1;
  }
  bool SnapshotFits(const Read& read, const Answer& answer) const {
    const SnapshotReading& snapshot = read.snapshot;
    const Line& line = answer.segment->line;
    for (uint32_t i = 0; i < VVAR_BASES; ++i) {
      if (SnapshotNs(snapshot, i) != FloorAt(answer, i)) return false;
    }
    return snapshot.cycles == Masked(answer.position) &&
           snapshot.realtime_coarse_ns ==
               TimespecToNs(line.coarse[VVAR_COARSE_REALTIME]) &&
           snapshot.monotonic_coarse_ns ==
               TimespecToNs(line.coarse[VVAR_COARSE_MONOTONIC]) &&
           snapshot.tai_offset_sec == line.tai_offset_sec &&
           snapshot.clock_status == line.status &&
           snapshot.error_ns >= line.error_ns;
  }

  // Never back: on one CPU, and from one CPU to another, less what their
  // counters differ by.
  void CheckOrder(const Read& read, const Answer& answer) {
    for (uint32_t i = 0; i < VVAR_BASES; ++i) {
      if (read.kind != Read::kSnapshot && i != read.index) continue;
      ++tally_.values;
      const uint64_t ns = FloorAt(answer, i);
      const Segment& segment = *answer.segment;
      CheckNotBefore(read, last_[read.cpu], i, ns, segment.moved_back[i], 0);
      // A CPU that is behind comes to a step later than others.
      const uint32_t moved =
          SkewNs() == 0 ? segment.moved_back[i] : segment.moved[i];
      CheckNotBefore(read, last_.back(), i, ns, moved, SkewNs());
      if (i < VVAR_COARSES) CheckAboveCoarse(read, i, ns);
    }
  }
  void CheckNotBefore(const Read& read, Greatest& last, uint32_t i, uint64_t ns,
                      uint32_t moved, uint64_t slack_ns) {
    if (moved == last.moved[i] && ns + slack_ns < last.ns[i]) {
      NoteRead(read);
      Expect(false, "a clock went back", Wide(ns), Wide(last.ns[i]));
    }
    if (moved != last.moved[i] || ns > last.ns[i]) last.ns[i] = ns;
    last.moved[i] = moved;
  }
  uint64_t SkewNs() const {
    if (ahead_ + behind_ == 0) return 0;
    return static_cast<uint64_t>(static_cast<double>(margin_cycles_) * 1.2e9 /
                                 static_cast<double>(machine_.hz())) +
           1;
  }
  void CheckAboveCoarse(const Read& read, uint32_t i, uint64_t ns) {
    if (read.overlapped || coarse_[i].publications != tally_.updates) return;
    if (ns + SkewNs() < coarse_[i].ns) {
      NoteRead(read);
      Expect(false, "a coarse clock is above the precise one",
             Wide(coarse_[i].ns), Wide(ns));
    }
  }
  void CheckCoarse(const Read& read) {
    const auto fits = [&](const Segment& segment) {
      if (!segment.published) return false;
      const Timespec coarse = segment.line.coarse[read.index];
      return read.kind == Read::kCoarse
                 ? read.ns == TimespecToNs(coarse)
                 : Timespec{read.timespec.sec, read.timespec.nsec} == coarse;
    };
    Expect(read.status == ReadStatus::kOk, "a coarse read failed");
    Expect(fits(oracle_.current()) ||
               (read.overlapped && fits(oracle_.previous())),
           "a coarse read is not its line's");
    const uint64_t ns =
        read.kind == Read::kCoarse
            ? read.ns
            : TimespecToNs({read.timespec.sec, read.timespec.nsec});
    if (read.index == VVAR_COARSE_MONOTONIC) {
      Expect(ns >= coarse_monotonic_ns_, "MONOTONIC_COARSE went back", Wide(ns),
             Wide(coarse_monotonic_ns_));
      coarse_monotonic_ns_ = std::max(coarse_monotonic_ns_, ns);
    }
    if (!read.overlapped) coarse_[read.index] = {ns, tally_.updates};
    ++tally_.values;
  }
  // The true time of the clock lies inside. REALTIME's is TAI's less what it
  // will be behind in the end; or, in a smear, what it is behind now.
  void CheckInterval(const Read& read, const Answer& answer) {
    ++tally_.intervals;
    const Segment& segment = *answer.segment;
    const bool realtime = read.index == VVAR_BASE_REALTIME;
    const uint32_t like = realtime ? VVAR_BASE_TAI : read.index;
    Wide truth = read.true_parts - segment.truth[like];
    if (realtime) {
      truth = IsSmearing(segment.line.leap)
                  ? truth - (segment.At(VVAR_BASE_TAI, answer.position) -
                             segment.At(VVAR_BASE_REALTIME, answer.position))
                  : truth - NsToParts(1'000'000'000) *
                                Wide(segment.line.tai_offset_sec);
    }
    const IntervalReading& interval = read.interval;
    if (truth < Wide(0)) return;
    const bool inside = (Wide(interval.earliest_ns) << kPartBits) <= truth &&
                        truth <= (Wide(interval.latest_ns) << kPartBits);
    if (!inside) {
      NoteRead(read);
      Expect(false, "the true time is outside of the interval",
             truth >> kPartBits, Wide(interval.earliest_ns));
    }
  }

  // --- For who has to find out. ---------------------------------------------

  void Expect(bool holds, const char* what) { oracle_.Expect(holds, what); }
  void Expect(bool holds, const char* what, Wide got, Wide expected) {
    oracle_.Expect(holds, what, got, expected);
  }
  void Note(const char* what, int64_t a, int64_t b) {
    if (!Holds()) return;
    trace_.push_back({what, a, b, machine_.position()});
    if (trace_.size() > 40) trace_.pop_front();
  }
  void NoteRead(const Read& read) {
    static constexpr const char* kNames[Read::kKinds] = {
        "read: Now",
        "read: NowUnordered",
        "read: NowTimespec",
        "read: NowTimespecUnordered",
        "read: Interval",
        "read: Snapshot",
        "read: Age",
        "read: NowCoarse",
        "read: coarse NowTimespec"};
    Note(kNames[read.kind], read.index, read.sample);
    Note(read.overlapped ? "  overlapped, status" : "  status",
         static_cast<int64_t>(read.status), static_cast<int64_t>(read.ns));
  }
  std::string Failure() const {
    std::string text =
        oracle_.complaint() + "\nlast operations (position a b):\n";
    for (const TraceEntry& entry : trace_) {
      text += "  " + std::to_string(entry.position) + " " + entry.what + " " +
              std::to_string(entry.a) + " " + std::to_string(entry.b) + "\n";
    }
    return text;
  }

  const MachineRow& row_;
  EdgyRandom random_;
  bool from_bytes_;
  SimulatedMachine machine_;
  bool on_other_ = false;
  TimekeeperConfig config_;
  std::unique_ptr<Timekeeper> timekeeper_;
  std::unique_ptr<Timekeeper> twin_;
  TimelineOracle oracle_;
  alignas(4096) vvar_page page_ = {};
  Writer<Clock, ScriptedMemory> writer_;
  uint32_t publications_ = 0;  // Modulo 2^31.
  int64_t ahead_ = 0;          // The most that a CPU's counter is.
  int64_t behind_ = 0;
  int64_t margin_cycles_ = 0;
  int64_t true_offset_ns_ = 0;
  bool calm_ = false;
  bool interleave_ = false;  // The update that ends a hold.
  bool pending_ = false;     // Something is asked and not published.
  bool updating_ = false;
  uint32_t kill_at_ = 0;  // The writer dies at this store.
  bool died_ = false;     // And has not been replaced yet.
  bool scripted_ = false;
  std::vector<Read> deferred_;
  std::vector<int64_t> positions_;
  std::vector<Greatest> last_;
  struct {
    uint64_t ns = 0;
    uint64_t publications = UINT64_MAX;
  } coarse_[VVAR_COARSES];
  uint64_t coarse_monotonic_ns_ = 0;
  std::deque<TraceEntry> trace_;
  Tally tally_;
};

}  // namespace vvar::support

#endif  // VVAR_TESTS_SUPPORT_SIMULATION_H_
