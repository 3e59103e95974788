// SPDX-License-Identifier: MIT
//
// How long single reads take, the rare slow ones above all, beside writers at
// several rates and one that was stopped in an update. Prints JSON:
//
//   tail_bench [--reads=N] [--counted_reads=N] [--rounds=N]
//
// Reads are taken in rounds of a batch for each reader and writer, so that what
// disturbs one disturbs all. Counted reads come after: slower by the counting,
// they tell those that had to retry from those that the machine held up.

#include <stdint.h>
#include <stdio.h>
#include <time.h>

#include <atomic>
#include <deque>
#include <map>
#include <string>
#include <type_traits>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/flags/parse.h"
#include "bench/beside.h"
#include "bench/comparisons.h"
#include "bench/measure.h"
#include "clocks/native.h"
#include "fallback/syscall.h"
#include "hosted/clock.h"
#include "tests/support/counted_memory.h"
#include "vvar/page.h"
#include "vvar/reader.h"
#include "vvar/reading.h"
#include "vvar/seqcount.h"

ABSL_FLAG(uint64_t, reads, 100'000'000, "timed reads of each row");
ABSL_FLAG(uint64_t, counted_reads, 5'000'000, "counted reads of each row");
ABSL_FLAG(uint64_t, rounds, 100, "in how many batches");

namespace vvar::bench {
namespace {

using support::CountedMemory;

/// How often something took how many cycles, to the cycle.
class Histogram {
 public:
  void Add(uint64_t cycles) {
    if (cycles < kUsual) [[likely]] {
      ++usual_[cycles];
    } else {
      ++rare_[cycles];
    }
  }
  void Add(const Histogram& other) {
    other.ForEach([&](uint64_t cycles, uint64_t count) {
      (cycles < kUsual ? usual_[cycles] : rare_[cycles]) += count;
    });
  }

  template <class Visit>
  void ForEach(Visit visit) const {
    for (uint64_t cycles = 0; cycles < kUsual; ++cycles) {
      if (usual_[cycles] != 0) visit(cycles, usual_[cycles]);
    }
    for (const auto& [cycles, count] : rare_) visit(cycles, count);
  }

  /// Returns [[cycles, count], ...].
  std::string ToJson() const {
    std::string pairs;
    ForEach([&](uint64_t cycles, uint64_t count) {
      pairs += (pairs.empty() ? "[" : ",[") + std::to_string(cycles) + "," +
               std::to_string(count) + "]";
    });
    return "[" + pairs + "]";
  }

  /// Returns [cycles, ...]: what 1/2, 9/10, ... 9999/10000 do not exceed.
  std::string PercentilesToJson() const {
    uint64_t above = 0;
    ForEach([&](uint64_t, uint64_t count) { above += count; });
    const uint64_t total = above;
    std::string found;
    uint64_t parts = 2;  // One of them is above.
    ForEach([&](uint64_t cycles, uint64_t count) {
      above -= count;
      for (; parts <= 10'000 && above <= total / parts;
           parts = parts == 2 ? 10 : parts * 10) {
        found += (found.empty() ? "" : ",") + std::to_string(cycles);
      }
    });
    return "[" + found + "]";
  }

 private:
  static constexpr uint64_t kUsual = 1 << 14;
  std::vector<uint64_t> usual_ = std::vector<uint64_t>(kUsual);
  std::map<uint64_t, uint64_t> rare_;
};

/// What came of some reads.
struct Tally {
  uint64_t reads = 0;
  uint64_t publications = 0;
  uint64_t unanswered = 0;  ///< Busy to the last of their tries.
  uint64_t retries = 0;     ///< Of those that were answered.
  Histogram answered;
  Histogram retried;  ///< Those of them that took more than one try.

  void Add(const Tally& other) {
    reads += other.reads;
    publications += other.publications;
    unanswered += other.unanswered;
    retries += other.retries;
    answered.Add(other.answered);
    retried.Add(other.retried);
  }
};

/// Times each of `count` reads between two ordered counter reads.
template <class Memory, class Read>
void ReadOneByOne(uint64_t count, Read read, Tally& tally) {
  constexpr bool kCounts = std::is_base_of_v<CountedMemory, Memory>;
  const NativeClock counter = Counter();
  tally.reads += count;
  for (; count != 0; --count) {
    if constexpr (kCounts) CountedMemory::tries = 0;
    const uint64_t before = counter.Read();
    const NsReading now = read();
    KeepTime(now);
    const uint64_t cycles = counter.Read() - before;
    if (!now.ok()) [[unlikely]] {
      ++tally.unanswered;
      continue;
    }
    tally.answered.Add(cycles);
    if constexpr (kCounts) {
      if (CountedMemory::tries > 1) {
        tally.retries += CountedMemory::tries - 1;
        tally.retried.Add(cycles);
      }
    }
  }
}

/// Whom the reads are beside.
struct Condition {
  const char* name;
  uint64_t period_ns;  ///< 0: it never publishes, but its CPU is as busy.
  bool stopped;
  bool is_control;  ///< Also taken beside what nobody writes.
};
constexpr Condition kConditions[] = {{"none", 0, false, true},
                                     {"1 Hz", 1'000'000'000, false, false},
                                     {"250 Hz", 4'000'000, false, false},
                                     {"1 kHz", 1'000'000, false, true},
                                     {"100 kHz", 10'000, false, false},
                                     {"stopped", 0, true, false}};

/// Reads while a thread on another CPU calls `publish` at its pace.
template <class Memory, class Read, class Publish>
void ReadBeside(Pace& pace, Publish publish, uint64_t count, Read read,
                Tally& tally) {
  const Neighbours writer(1, [&](const std::atomic<bool>& stop) {
    tally.publications += pace.Run(stop, publish);
  });
  ReadOneByOne<Memory>(count, read, tally);
}

template <class Memory>
void ReadPage(const Condition& condition, Pace& pace, uint64_t count,
              Tally& tally) {
  Domain domain(condition.period_ns == 0 ? 0 : 1000);
  if (condition.stopped) domain.StopInUpdate();
  const auto reader = domain.MakeReader<Memory>();
  ReadBeside<Memory>(
      pace, [&] { return domain.Publish(); }, count,
      [&] { return reader.Now(ClockId::kMonotonic); }, tally);
}

template <class Memory>
void ReadSeqlock(const Condition& condition, Pace& pace, uint64_t count,
                 Tally& tally) {
  const NativeClock counter = Counter();
  Seqlock<PlainLine, Stoppable<Memory>> lock;
  Stoppable<Memory>::stopped = condition.stopped;
  lock.Store(LineFromNow());
  // Each of these reads uses up its tries.
  if (condition.stopped) count = (count + 99) / 100;
  ReadBeside<Memory>(
      pace,
      [&] {
        lock.Store(LineFromNow());
        return true;
      },
      count, [&] { return NowOf(lock, counter); }, tally);
}

/// The kernel's own, which our writers do not touch: what differs between its
/// rows is the machine's doing.
void ReadVdso(const Condition& /*condition*/, Pace& pace, uint64_t count,
              Tally& tally) {
  const auto clock_gettime = hosted::SystemVdso().clock_gettime;
  if (clock_gettime == nullptr) return;
  ReadBeside<PageMemory>(
      pace, [] { return false; }, count,
      [&] {
        fallback::KernelOldTimespec now;
        clock_gettime(CLOCK_MONOTONIC, &now);
        return NsReading{static_cast<uint64_t>(now.tv_nsec), ReadStatus::kOk};
      },
      tally);
}

/// Nothing: the two counter reads alone.
void ReadNothing(const Condition& /*condition*/, Pace& pace, uint64_t count,
                 Tally& tally) {
  ReadBeside<PageMemory>(
      pace, [] { return false; }, count,
      [] {
        return NsReading{0, ReadStatus::kOk};
      },
      tally);
}

using ReadBatch = void (*)(const Condition&, Pace&, uint64_t, Tally&);

struct Subject {
  const char* name;
  ReadBatch timed;
  ReadBatch counted;  ///< nullptr: no writer of ours touches what it reads.
};
constexpr Subject kSubjects[] = {
    {"vvar", ReadPage<PageMemory>, ReadPage<CountedMemory>},
    {"seqlock", ReadSeqlock<PageMemory>, ReadSeqlock<CountedMemory>},
    {"vdso", ReadVdso, nullptr},
    {"counter", ReadNothing, nullptr}};

/// One reader beside one writer: all that is known about it.
class Row {
 public:
  Row(const Subject& subject, const Condition& condition)
      : subject_(subject), condition_(condition), pace_(condition.period_ns) {}

  void Time(uint64_t count) {
    Tally batch;
    subject_.timed(condition_, pace_, count, batch);
    rounds_ +=
        (rounds_.empty() ? "" : ",") + batch.answered.PercentilesToJson();
    timed_.Add(batch);
  }
  void Count(uint64_t count) {
    if (subject_.counted == nullptr) return;
    Tally batch;
    subject_.counted(condition_, pace_, count, batch);
    counted_.Add(batch);
  }

  void Print() const {
    printf("{\"reader\":\"%s\",\"writer\":\"%s\",\"rounds\":[%s],\n",
           subject_.name, condition_.name, rounds_.c_str());
    PrintTally("timed", timed_);
    printf(",\n");
    PrintTally("counted", counted_);
    printf("}");
  }

 private:
  static void PrintTally(const char* name, const Tally& tally) {
    printf(
        "\"%s\":{\"reads\":%ju,\"publications\":%ju,\"unanswered\":%ju,"
        "\"retries\":%ju,\"cycles\":%s,\"cycles_of_retried\":%s}",
        name, uintmax_t{tally.reads}, uintmax_t{tally.publications},
        uintmax_t{tally.unanswered}, uintmax_t{tally.retries},
        tally.answered.ToJson().c_str(), tally.retried.ToJson().c_str());
  }

  const Subject& subject_;
  const Condition& condition_;
  Pace pace_;
  std::string rounds_;
  Tally timed_;
  Tally counted_;
};

int Run(uint64_t reads, uint64_t counted_reads, uint64_t rounds) {
  if (Cpus().size() < 2) {
    fprintf(stderr, "tail_bench: needs two CPUs\n");
    return 1;
  }
  if (!PinToCpu(Cpus().back())) return 1;
  std::deque<Row> rows;
  for (const Subject& subject : kSubjects) {
    for (const Condition& condition : kConditions) {
      // Nothing that these read is written: two rows show what is noise.
      if (subject.counted != nullptr || condition.is_control) {
        rows.emplace_back(subject, condition);
      }
    }
  }
  for (uint64_t i = 0; i < rounds; ++i) {
    for (Row& row : rows) row.Time(reads / rounds);
  }
  for (uint64_t i = 0; i < rounds; ++i) {
    for (Row& row : rows) row.Count(counted_reads / rounds);
  }
  printf("{\"counter_hz\":%ju,\"rows\":[\n", uintmax_t{CounterHz()});
  for (const Row& row : rows) {
    if (&row != &rows.front()) printf(",\n");
    row.Print();
  }
  printf("]}\n");
  return 0;
}

}  // namespace
}  // namespace vvar::bench

int main(int argc, char** argv) {
  absl::ParseCommandLine(argc, argv);
  const uint64_t rounds = absl::GetFlag(FLAGS_rounds);
  if (rounds == 0) {
    fprintf(stderr, "tail_bench: --rounds is 0, at least 1 is expected\n");
    return 2;
  }
  return vvar::bench::Run(absl::GetFlag(FLAGS_reads),
                          absl::GetFlag(FLAGS_counted_reads), rounds);
}
