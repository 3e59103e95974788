// SPDX-License-Identifier: MIT
//
// What the reader, the writer and the history answer for a corpus of pages, as
// lines of digests: the same on every machine, or one of them is wrong. Without
// a libc: it runs wherever Linux's system calls do, and links only if the core
// needs no library. Run by matrix_test.py.
//
// stdin says what to do: nothing, and it prints the lines; "w", and it stores
// to a page while that is mapped read-only, of which it must die.
#include <stddef.h>
#include <stdint.h>

#include "embed/matrix/answer_digest.h"
#include "embed/matrix/bare_linux.h"
#include "embed/matrix/corpus.h"
#include "vvar/conversion.h"
#include "vvar/header.h"
#include "vvar/history.h"
#include "vvar/leap.h"
#include "vvar/offset.h"
#include "vvar/reader.h"
#include "vvar/timekeeper.h"
#include "vvar/writer.h"

namespace vvar::matrix {
namespace {

alignas(4096) vvar_page page;
alignas(4096) unsigned char foreign[4096];
vvar_offsets offset_page;

constexpr uint32_t kPages = 100;         // Of each hostility, for each width.
constexpr uint32_t kPublications = 100;  // Of each timekeeper.
constexpr uint32_t kCounters = 6;        // At which each page is read.
constexpr int32_t kIds[] = {-1, 0, 1, 2, 3, 4, 5, 6, 7, 8, 11, 12, 1 << 30};

/// The words of a page, as the compiler loads them: on a machine of 32 bits the
/// halves that PageMemory stored have to be where a machine of 64 has them.
void Add(Answers& answers, const vvar_timeline& timeline) {
  ForEachTimelineField(timeline, [&](const auto& word) { answers.Add(word); });
}

void Add(Answers& answers, const BatchConversion& batch) {
  answers.Add(batch.error_ns, batch.status);
}

void Add(Answers& answers, const SnapshotReading& all) {
  answers.Add(all.cycles, all.realtime_ns, all.monotonic_ns,
              all.monotonic_raw_ns, all.boottime_ns, all.tai_ns,
              all.realtime_coarse_ns, all.monotonic_coarse_ns, all.error_ns,
              all.leap_state, all.tai_offset_sec, all.clock_status);
}

void Add(Answers& answers, const Line& line) {
  answers.Add(line.cycle_start, line.max_cycles, line.scale.mult,
              line.scale.shift, line.realtime_mult, line.raw_mult,
              line.counter_id, line.status, line.error_ns,
              line.error_growth_ppb, line.tai_offset_sec, line.was_set_count,
              line.leap.state, line.leap.smear_sec, line.leap.date_sec);
  for (const Timebase& base : line.base) {
    answers.Add(base.sec, base.nsec_shifted);
  }
  for (const Timespec& coarse : line.coarse) {
    answers.Add(coarse.sec, coarse.nsec);
  }
}

/// Every read that a reader has.
template <class AnyReader>
void Read(const AnyReader& reader, Answers& answers) {
  for (const int32_t number : kIds) {
    const auto id = static_cast<ClockId>(number);
    const NsReading now = reader.Now(id);
    answers.AddReading(now, now.ns);
    const NsReading unordered = reader.NowUnordered(id);
    answers.AddReading(unordered, unordered.ns);
    const NsReading coarse = reader.NowCoarse(id);
    answers.AddReading(coarse, coarse.ns);
    const TimespecReading time = reader.NowTimespec(id);
    answers.AddReading(time, time.sec, time.nsec);
    const TimespecReading loose = reader.NowTimespecUnordered(id);
    answers.AddReading(loose, loose.sec, loose.nsec);
    const IntervalReading interval = reader.Interval(id);
    answers.AddReading(interval, interval.earliest_ns, interval.latest_ns,
                       interval.clock_status);
  }
  SnapshotReading all;
  const ReadStatus status = reader.Snapshot(&all);
  answers.Add(status);
  if (status == ReadStatus::kOk) Add(answers, all);
  const AgeReading age = reader.Age();
  answers.Add(age.age_ns, age.status, age.clock_status);
  typename AnyReader::Pair pair;
  const ReadStatus copied = reader.CopyLines(&pair);
  answers.Add(copied, reader.Publications());
  if (copied != ReadStatus::kOk) return;
  answers.Add(pair.has_previous, pair.publications, pair.cycles);
  Add(answers, static_cast<const Line&>(pair));
  if (pair.has_previous) Add(answers, static_cast<const Line&>(pair.previous));
}

Timespec AnyTime(Random& random) {
  return {random.EdgySigned(), random.Below(1'000'000'000)};
}

/// Reads the page, which is read-only meanwhile, at some counter values.
template <class Clock>
void ReadPage(Random& random, uint64_t& counter, Answers& answers) {
  const uint64_t start = counter;
  Protect(&page, Access::kRead);
  Reader<Clock> reader;
  answers.Add(
      Reader<Clock>::Attach(&page, sizeof page, 0, Clock(&counter), &reader));
  for (uint32_t i = 0; i < kCounters; ++i) {
    counter = start + static_cast<uint64_t>(random.EdgySigned(i * 12));
    Read(reader, answers);
  }
  Protect(&page, Access::kReadWrite);
  counter = start;
}

/// Converts stamps near `counter`, and deadlines.
template <class AnyHistory>
void Convert(Random& random, uint64_t counter, const AnyHistory& history,
             Answers& answers) {
  for (const int32_t number : kIds) {
    const auto id = static_cast<ClockId>(number);
    const uint64_t stamp =
        counter + static_cast<uint64_t>(random.EdgySigned(40));
    const NsConversion ns = history.NsAt(id, stamp);
    answers.Add(ns.ns, ns.error_ns, ns.status);
    const CyclesConversion cycles = history.CyclesAt(
        id, ns.ns + static_cast<uint64_t>(random.EdgySigned(40)));
    answers.Add(cycles.cycles, cycles.status);
  }
  SnapshotReading all;
  const BatchConversion at = history.SnapshotAt(counter, &all);
  Add(answers, at);
  if (at.status != ConversionStatus::kNothingCaptured) Add(answers, all);
  uint64_t stamps[kChunk + 3];
  uint64_t times[kChunk + 3];
  const uint32_t spread = random.Below(40);
  for (uint64_t& stamp : stamps) stamp = counter - random.Edgy(spread);
  Add(answers, history.NsAt(ClockId::kMonotonic, stamps, times, kChunk + 3));
  for (const uint64_t ns : times) answers.Add(ns);
}

/// Asks one thing, or nothing, of a timekeeper.
void Ask(Random& random, uint64_t counter, Timekeeper& timekeeper,
         Answers& answers) {
  const int64_t realtime_sec = timekeeper.line().base[0].sec;
  const int64_t ns = random.EdgySigned(random.Below(63));
  const auto ppb = static_cast<int64_t>(random.EdgySigned(30));
  const int64_t date_sec = realtime_sec + random.Below(4);
  switch (random.Below(16)) {
    case 0:
      return timekeeper.SetFrequency(ppb);
    case 1:
      return timekeeper.SetRawFrequency(ppb);
    case 2:
      return timekeeper.Slew(ns, ppb);
    case 3:
      return timekeeper.SlewUntil(ns, ppb, AnyTime(random));
    case 4:
      return timekeeper.SlewRealtime(ns, ppb);
    case 5:
      return timekeeper.StepRealtime(ns);
    case 6:
      return timekeeper.SetTaiOffset(static_cast<int32_t>(random.Edgy(8)));
    case 7:
      return answers.Add(timekeeper.ScheduleLeap(InsertLeapSecond(date_sec)));
    case 8:
      return answers.Add(timekeeper.ScheduleLeap(
          SmearDeletedSecond(date_sec, random.Below(5))));
    case 9:
      return timekeeper.CancelLeap();
    case 10:
      return timekeeper.SetStatus(ClockStatus::kSynchronised);
    case 11:
      return timekeeper.SetErrorBound(Magnitude(ns),
                                      static_cast<uint32_t>(random.Edgy(32)));
    case 12:
      return timekeeper.Hold();
    case 13:
      timekeeper.HoldAt(counter);
      [[fallthrough]];
    case 14:
      return timekeeper.Resume(
          counter, {ns, random.EdgySigned(40), random.EdgySigned(40), ns >> 1});
    default:
      return;
  }
}

/// A writer's life: what is asked of it, what it publishes, what readers and a
/// history make of that; and its heir, at times.
template <uint32_t kBits>
void WriteAndRead(uint32_t seed) {
  using Clock = WordClock<kBits>;
  Random random(seed << 8 | kBits);
  Answers answers;
  const uint64_t hz = random.Edgy(33) + 1;
  Format<Clock>(page, hz);
  vvar_timeline& timeline = page.timeline[0];
  uint64_t counter = random.Any();
  const TimekeeperConfig config = {
      Clock::kCounterId,   kBits,          hz, random.Edgy(20),
      random.Edgy(30) + 1, random.Edgy(40)};
  Timekeeper timekeeper(config);
  Writer<Clock> writer(&timeline, Clock(&counter));
  timekeeper.Start(
      counter,
      {{1'700'000'000, 999'999'999}, {0, 1}, {-1, 5}, AnyTime(random), 37});
  writer.PublishLine(timekeeper.line());
  History<Clock, 8> history;
  for (uint32_t n = 0; n < kPublications; ++n) {
    Ask(random, counter, timekeeper, answers);
    counter += random.Edgy(random.OneIn(9) ? kBits - 1 : 33);
    answers.Add(writer.Publish(timekeeper));
    answers.Add(timekeeper.next_deadline(), timekeeper.slew_remaining_ns(),
                timekeeper.realtime_slew_remaining_ns());
    Add(answers, timeline);
    ReadPage<Clock>(random, counter, answers);
    const Reader<Clock> reader(&timeline, Clock(&counter));
    answers.Add(history.Capture(reader));
    answers.Add(history.size());
    Convert(random, counter, history, answers);
    if (!random.OneIn(16)) continue;
    if (random.OneIn(2)) Set(timeline.seq, timeline.seq | 1);
    Line found;
    writer.LoadCurrentLine(&found);
    answers.Add(timekeeper.Continue(found) || timekeeper.Import(found));
  }
  answers.Print("writer", kBits, seed);
}

/// Pages that nobody wrote.
template <uint32_t kBits>
void ReadHostile(Hostility hostility) {
  using Clock = WordClock<kBits>;
  const auto kind = static_cast<uint32_t>(hostility);
  Random random(1'000'000 + kind);
  Answers answers;
  for (uint32_t n = 0; n < kPages; ++n) {
    Format<Clock>(page, 1);
    uint64_t counter = random.Edgy();
    FillTimeline<Clock>(random, hostility, counter, page.timeline[0]);
    Add(answers, page.timeline[0]);
    ReadPage<Clock>(random, counter, answers);
    History<Clock, 4> history;
    const Reader<Clock> reader(&page.timeline[0], Clock(&counter));
    answers.Add(history.Capture(reader));
    Convert(random, counter, history, answers);
    Line line;
    Writer<Clock>(&page.timeline[0], Clock(&counter)).LoadCurrentLine(&line);
    static constexpr TimekeeperConfig kConfig = {
        Clock::kCounterId, kBits, 1'000'000'000, 1, 1, 1};
    Timekeeper timekeeper(kConfig);
    const bool taken = timekeeper.Continue(line) || timekeeper.Import(line);
    answers.Add(taken);
    if (taken) Add(answers, timekeeper.line());
  }
  answers.Print("hostile", kBits, kind);
}

/// Headers, and offset pages, one field of which is another than it ought to
/// be; or all are.
void AttachToHostile() {
  using Clock = WordClock<56>;
  using InNamespace = Reader<Clock, PageMemory, OffsetPage<>>;
  Random random(2);
  Answers answers;
  uint64_t counter = 0;
  FormatOffsets(offset_page, {{-5, 1}, {6, 999'999'999}});
  for (uint32_t n = 0; n < 4 * kPages; ++n) {
    Format<Clock>(page, 1);
    const uint32_t changed = random.Below(20);
    uint32_t field = 0;
    ForEachHeaderField(page.header, [&](auto& word) {
      if (field++ == changed || changed == 19) Set(word, random.Edgy());
    });
    const size_t size = random.OneIn(2) ? 4096 : random.Below(4096);
    const uint32_t index = random.Below(8);
    const vvar_timeline* found = nullptr;
    answers.Add(
        FindTimeline(&page, size, Clock::kCounterId, 56, index, &found));
    answers.Add(found == nullptr);
    if (random.OneIn(2)) Set(offset_page.monotonic.nsec, random.Edgy(31));
    if (random.OneIn(2)) Set(offset_page.boottime.sec, random.Any());
    OffsetPage<> own;
    answers.Add(OffsetPage<>::Attach(&offset_page, sizeof offset_page, &own));
    Format<Clock>(page, 1);
    FillTimeline<Clock>(random, Hostility::kPlausible, 1, page.timeline[0]);
    Read(InNamespace(&page.timeline[0], Clock(&counter), own), answers);
  }
  answers.Print("attach", 56, 0);
}

enum class Endianness { kOwn, kOther };

/// Attaches to a page's header in bytes of an endianness.
void AttachToForeign(Endianness endianness) {
  constexpr bool kIsLittle = __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__;
  const bool own = endianness == Endianness::kOwn;
  Format<WordClock<64>>(page, 1);
  ForEachHeaderField(page.header, [&](const auto& word) {
    const auto offset =
        static_cast<size_t>(reinterpret_cast<const char*>(&word) -
                            reinterpret_cast<const char*>(&page));
    for (size_t i = 0; i < sizeof word; ++i) {
      const size_t place = own == kIsLittle ? i : sizeof word - 1 - i;
      foreign[offset + place] = static_cast<unsigned char>(
          static_cast<uint64_t>(PageMemory::Load(word)) >> (8 * i));
    }
  });
  Protect(foreign, Access::kRead);
  Reader<WordClock<64>> reader;
  const PageStatus status = Reader<WordClock<64>>::Attach(
      foreign, sizeof foreign, 0, WordClock<64>(), &reader);
  Protect(foreign, Access::kReadWrite);
  Text text;
  text << (own ? "own" : "other") << " endianness status "
       << static_cast<uint32_t>(status);
  text.End();
}

template <uint32_t kBits>
void AnswerAll() {
  for (uint32_t seed = 0; seed < 4; ++seed) WriteAndRead<kBits>(seed);
  for (uint32_t kind = 0; kind < kHostilities; ++kind) {
    ReadHostile<kBits>(static_cast<Hostility>(kind));
  }
}

}  // namespace
}  // namespace vvar::matrix

extern "C" [[noreturn]] void BareMain() {
  using namespace vvar::matrix;
  if (ReadByte() == 'w') {
    Protect(&page, Access::kRead);
    Set(page.header.magic, VVAR_MAGIC);
    Exit(0);
  }
  AnswerAll<64>();
  AnswerAll<56>();
  AnswerAll<32>();
  AttachToHostile();
  AttachToForeign(Endianness::kOwn);
  AttachToForeign(Endianness::kOther);
  Exit(0);
}
