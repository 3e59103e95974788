// SPDX-License-Identifier: MIT
//
// The user program of the example kernels: reads every clock of the time page
// without a system call, falls back to one when it has to, and tells a line for
// each promise it has tried.
#include <stdint.h>

#include "clocks/native.h"
#include "embed/kernel/calls.h"
#include "embed/kernel/text.h"
#include "fallback/syscall.h"
#include "fallback/vdso_symbol.h"
#include "vvar/header.h"
#include "vvar/page.h"
#include "vvar/reader.h"
#include "vvar/seqcount.h"
#include "vvar/slot.h"

// Of the machine's user_start.S.
extern "C" uint64_t vvar_system_call(uint64_t call, uint64_t a, uint64_t b);
// Stores to a word by one instruction, which the kernel can step over.
extern "C" void vvar_store(const uint32_t* word, uint32_t value);

namespace vvar::embed {
namespace {

constexpr ClockId kPrecise[] = {ClockId::kRealtime, ClockId::kMonotonic,
                                ClockId::kMonotonicRaw, ClockId::kBoottime,
                                ClockId::kTai};
constexpr ClockId kCoarse[] = {ClockId::kRealtimeCoarse,
                               ClockId::kMonotonicCoarse};
constexpr uint64_t kMs = 1'000'000;

const vvar_page& Page() {
  return *reinterpret_cast<const vvar_page*>(kTimePage);
}
uint64_t SystemCall(Call call, uint64_t a = 0, uint64_t b = 0) {
  return vvar_system_call(static_cast<uint64_t>(call), a, b);
}
uint64_t CountOf(Counted what) {
  return SystemCall(Call::kCount, static_cast<uint64_t>(what));
}

// What a C library makes of the page: it, or the system call.
class UserClock {
 public:
  UserClock() {
    if (Reader<NativeClock>::Attach(&Page(), sizeof Page(), 0, NativeClock(),
                                    &reader_) != PageStatus::kOk) {
      return;
    }
    may_read_counter_ = UserMayReadCounter(Page());
  }
  uint64_t Now(ClockId id) {
    if (may_read_counter_ || !reader_.NeedsCounter(id)) {
      const NsReading reading = reader_.Now(id);
      if (reading.ok()) return reading.ns;
    }
    ++fallbacks_;
    return SystemCall(Call::kClock, static_cast<uint64_t>(id));
  }
  uint64_t fallbacks() const { return fallbacks_; }
  const Reader<NativeClock>& reader() const { return reader_; }

 private:
  Reader<NativeClock> reader_;
  bool may_read_counter_ = false;
  uint64_t fallbacks_ = 0;
};

uint64_t Traps() {
  return CountOf(Counted::kClockCalls) + CountOf(Counted::kDenied) +
         CountOf(Counted::kStoreFaults);
}

class Cases {
 public:
  uint64_t failed() const { return failed_; }
  /// Tells how a case went.
  void Report(const char* name, bool passed, const Text& figures) {
    failed_ += !passed;
    Text line;
    line.Add("CASE ").Add(name).Add(passed ? " PASSED " : " FAILED ");
    line.Add(figures.data()).Add("\n");
    SystemCall(Call::kPrint, reinterpret_cast<uint64_t>(line.data()),
               line.size());
  }

 private:
  uint64_t failed_ = 0;
};

void EveryClockWithoutATrap(Cases& cases) {
  UserClock clock;
  const uint64_t traps = Traps();
  uint64_t reads = 0;
  uint64_t back = 0;
  const uint64_t start_ns = clock.Now(ClockId::kMonotonic);
  uint64_t now_ns = start_ns;
  uint64_t last[VVAR_CLOCK_TAI + 1] = {};
  const auto read = [&](ClockId id) {
    uint64_t& last_ns = last[static_cast<int32_t>(id)];
    const uint64_t ns = clock.Now(id);
    back += ns < last_ns;
    last_ns = ns;
    ++reads;
  };
  while (now_ns - start_ns < 100 * kMs) {
    for (int i = 0; i < 100; ++i) {
      for (const ClockId id : kPrecise) read(id);
      for (const ClockId id : kCoarse) read(id);
    }
    now_ns = clock.Now(ClockId::kMonotonic);
  }
  const uint64_t trapped = Traps() - traps;
  cases.Report("every_clock_without_a_trap",
               back == 0 && trapped == 0 && clock.fallbacks() == 0,
               Text()
                   .Add(reads * 1'000 / ((now_ns - start_ns) / kMs))
                   .Add(" reads a second of 7 clocks, ")
                   .Add(reads)
                   .Add(" in all, ")
                   .Add(back)
                   .Add(" back, ")
                   .Add(trapped)
                   .Add(" traps"));
}

// The kernel reads the same page: its time lies between two of ours.
void TheKernelAgrees(Cases& cases) {
  UserClock clock;
  uint64_t outside = 0;
  uint64_t compared = 0;
  for (int i = 0; i < 200; ++i) {
    for (const ClockId id : kPrecise) {
      const uint64_t before = clock.Now(id);
      const uint64_t kernel =
          SystemCall(Call::kClock, static_cast<uint64_t>(id));
      outside += kernel < before || kernel > clock.Now(id);
      ++compared;
    }
  }
  cases.Report(
      "the_kernel_agrees", outside == 0,
      Text().Add(compared).Add(" compared, ").Add(outside).Add(" outside"));
}

// How often the image's answer is not between two of ours.
uint64_t OutsideOfOurs(const fallback::VdsoFunctions& image, UserClock& clock,
                       ClockId id) {
  uint64_t outside = 0;
  for (int i = 0; i < 1'000; ++i) {
    fallback::KernelOldTimespec time = {};
    const uint64_t before = clock.Now(id);
    const int32_t error = image.clock_gettime(static_cast<int32_t>(id), &time);
    const uint64_t after = clock.Now(id);
    const uint64_t now =
        TimespecToNs({time.tv_sec, static_cast<uint32_t>(time.tv_nsec)});
    outside += error != 0 || now < before || now > after;
  }
  return outside;
}

// As a C library finds and calls it. Without a counter it enters the kernel by
// Linux's number, for what the page does not answer.
void TheImageAnswers(Cases& cases) {
  const auto image = fallback::FindVdsoFunctions(
      fallback::VdsoImage::FromMappedByKernel(kImage));
  if (image.clock_gettime == nullptr) {
    return cases.Report("the_image_answers", false, Text().Add("not found"));
  }
  UserClock clock;
  const uint64_t traps = Traps();
  uint64_t outside = 0;
  for (const ClockId id : kPrecise) outside += OutsideOfOurs(image, clock, id);
  for (const ClockId id : kCoarse) outside += OutsideOfOurs(image, clock, id);
  const uint64_t trapped = Traps() - traps;
  // These kernels have no call for it, and no segment that would tell.
  uint32_t cpu = 0;
  outside += image.getcpu != nullptr &&
             image.getcpu(&cpu, nullptr, nullptr) != -38;  // ENOSYS

  SystemCall(Call::kWithholdCounter);
  UserClock without;
  const uint64_t calls = CountOf(Counted::kClockCalls);
  const uint64_t denied = CountOf(Counted::kDenied);
  for (const ClockId id : kPrecise) {
    outside += OutsideOfOurs(image, without, id);
  }
  for (const ClockId id : kCoarse) outside += OutsideOfOurs(image, without, id);
  const uint64_t asked = CountOf(Counted::kClockCalls) - calls;
  const uint64_t refused = CountOf(Counted::kDenied) - denied;
  SystemCall(Call::kGrantCounter);
  cases.Report("the_image_answers",
               outside == 0 && trapped == 0 && refused == 0 &&
                   asked - without.fallbacks() == 5'000,
               Text()
                   .Add(outside)
                   .Add(" of 14000 outside, ")
                   .Add(trapped)
                   .Add(" traps; without the counter ")
                   .Add(asked - without.fallbacks())
                   .Add(" system calls of its own, ")
                   .Add(refused)
                   .Add(" refused"));
}

void FallsBackWithoutTheCounter(Cases& cases) {
  SystemCall(Call::kWithholdCounter);
  const uint64_t calls = CountOf(Counted::kClockCalls);
  const uint64_t denied = CountOf(Counted::kDenied);
  UserClock clock;  // As a program that starts now.
  uint64_t reads = 0;
  uint64_t back = 0;
  for (const ClockId id : kPrecise) {
    uint64_t last_ns = 0;
    for (int i = 0; i < 1'000; ++i) {
      const uint64_t ns = clock.Now(id);
      back += ns < last_ns;
      last_ns = ns;
      ++reads;
    }
  }
  const uint64_t fallbacks = CountOf(Counted::kClockCalls) - calls;
  for (const ClockId id : kCoarse) (void)clock.Now(id);
  const bool denied_early = CountOf(Counted::kDenied) != denied;
  (void)NativeClock().ReadUnordered();  // For those who do not look first.
  const uint64_t refused = CountOf(Counted::kDenied) - denied;
  SystemCall(Call::kGrantCounter);

  UserClock granted;
  (void)granted.Now(ClockId::kMonotonic);
  const bool passed = reads == fallbacks && clock.fallbacks() == reads &&
                      back == 0 && !denied_early && granted.fallbacks() == 0 &&
                      refused == CountOf(Counted::kDeniable);
  cases.Report("falls_back_without_the_counter", passed,
               Text()
                   .Add(reads)
                   .Add(" reads, ")
                   .Add(fallbacks)
                   .Add(" system calls, ")
                   .Add(back)
                   .Add(" back, ")
                   .Add(refused)
                   .Add(" refused of ")
                   .Add(CountOf(Counted::kDeniable)));
}

void AStoreToThePageFaults(Cases& cases) {
  const uint64_t faults = CountOf(Counted::kStoreFaults);
  const uint32_t* const words[] = {&Page().header.magic,
                                   &Page().timeline[0].seq,
                                   &Page().header.reserved[0]};
  uint64_t changed = 0;
  for (const uint32_t* word : words) {
    vvar_store(word, 0x5a5a5a5a);
    changed += PageMemory::Load(*word) == 0x5a5a5a5a;
  }
  const uint64_t faulted = CountOf(Counted::kStoreFaults) - faults;
  cases.Report("a_store_to_the_page_faults", faulted == 3 && changed == 0,
               Text()
                   .Add(faulted)
                   .Add(" of 3 stores faulted, ")
                   .Add(changed)
                   .Add(" changed it"));
}

void InterruptsReadToo(Cases& cases) {
  const uint64_t ticks = CountOf(Counted::kTicks);
  const uint64_t reads = CountOf(Counted::kInterruptReads);
  for (int i = 0; i < 20; ++i) SystemCall(Call::kPublishProbed);
  while (CountOf(Counted::kTicks) == ticks) {
  }
  const uint64_t odd = CountOf(Counted::kOddReads);
  const uint64_t refused = CountOf(Counted::kRefusedReads);
  const uint64_t back = CountOf(Counted::kReadsBack);
  cases.Report("interrupts_read_too", odd > 20 * 30 && refused + back == 0,
               Text()
                   .Add(CountOf(Counted::kInterruptReads) - reads)
                   .Add(" reads on the writer's own CPU, ")
                   .Add(odd)
                   .Add(" amid a publication, ")
                   .Add(refused)
                   .Add(" refused, ")
                   .Add(back)
                   .Add(" back"));
}

SnapshotReading Snapshot(const UserClock& clock) {
  SnapshotReading all = {};
  if (clock.reader().Snapshot(&all) != ReadStatus::kOk) {
    SystemCall(Call::kExit, 2);
  }
  return all;
}

void ASetClockIsSeenAtOnce(Cases& cases) {
  constexpr int64_t kHourNs = 3'600'000'000'000;
  const UserClock clock;
  uint64_t seen = 0;
  constexpr int64_t kSteps[] = {kHourNs, -kHourNs, 1};
  for (const int64_t step_ns : kSteps) {
    const SnapshotReading before = Snapshot(clock);
    SystemCall(Call::kStepRealtime, static_cast<uint64_t>(step_ns));
    const SnapshotReading after = Snapshot(clock);
    const auto passed =
        static_cast<int64_t>(after.monotonic_ns - before.monotonic_ns);
    const auto moved =
        static_cast<int64_t>(after.realtime_ns - before.realtime_ns);
    // Each of the four is truncated to a nanosecond.
    const int64_t error = moved - passed - step_ns;
    seen += passed > 0 && error >= -1 && error <= 1;
  }
  cases.Report("a_set_clock_is_seen_at_once", seen == 3,
               Text().Add(seen).Add(" of 3 steps"));
}

void BoottimeCountsASuspension(Cases& cases) {
  const UserClock clock;
  const SnapshotReading before = Snapshot(clock);
  const uint64_t slept_ns = SystemCall(Call::kSuspend);
  const SnapshotReading after = Snapshot(clock);
  const uint64_t monotonic_ns = after.monotonic_ns - before.monotonic_ns;
  const uint64_t boottime_ns = after.boottime_ns - before.boottime_ns;
  const uint64_t realtime_ns = after.realtime_ns - before.realtime_ns;
  const auto about = [](uint64_t a, uint64_t b) { return a - b + 1 <= 2; };
  cases.Report("boottime_counts_a_suspension",
               slept_ns != 0 && after.monotonic_ns >= before.monotonic_ns &&
                   about(boottime_ns, monotonic_ns + slept_ns) &&
                   about(realtime_ns, monotonic_ns + slept_ns),
               Text()
                   .Add("slept ")
                   .Add(slept_ns)
                   .Add(" ns; BOOTTIME went ")
                   .Add(boottime_ns)
                   .Add(", MONOTONIC ")
                   .Add(monotonic_ns));
}

#ifdef VVAR_EMBED_NO_RECHECK
// The twin that must fail: a line taken without [R:end]. Every other read is
// held up amid its words for a millisecond, as by an interrupt.
constexpr uint64_t kRacingReads = 20'000;
NsReading ReadMonotonic(const UserClock&, uint64_t nth) {
  const vvar_timeline& timeline = Page().timeline[0];
  const SeqToken seq = ReadBegin<PageMemory>(timeline.seq);
  const vvar_slot& slot = timeline.slot[seq >> 1 & 1];
  ClockView<PageMemory> first;
  first.Load(slot, VVAR_BASE_MONOTONIC);
  const uint64_t ms = Page().header.counter_hz / 1'000;
  const uint64_t start = NativeClock().Read();
  while (nth % 2 != 0 && NativeClock().Read() - start < ms) {
  }
  ClockView<PageMemory> line;
  line.Load(slot, VVAR_BASE_MONOTONIC);
  line.base = first.base;
  const uint64_t cycles = NativeClock().Read();
  line.delta = cycles < line.cycle_start ? 0 : cycles - line.cycle_start;
  return {line.Ns(), ReadStatus::kOk};
}
#else
constexpr uint64_t kRacingReads = 1'000'000;
NsReading ReadMonotonic(const UserClock& clock, uint64_t) {
  return clock.reader().Now(ClockId::kMonotonic);
}
#endif

// The emulator may stop the writer after its last look at the date: a late
// publication, which may set time back by that times the change of slope.
uint64_t BoundOfSteps(const UserClock& clock, uint32_t late_before) {
  const vvar_writer_stats& stats = Page().timeline[0].stats;
  // What is late is counted after it is published, and before the next one.
  const uint32_t seen = clock.reader().Publications();
  while (clock.reader().Publications() - seen < 2)
    clock.reader().clock().Relax();
  if (PageMemory::Load(stats.late_publications) == late_before) return 0;
  const uint64_t late_ns =
      CyclesToNs(PageMemory::Load(stats.max_lateness_cycles),
                 ScaleFromHz(Page().header.counter_hz), 0);
  return late_ns / 1'000 + 1;
}

// On the second CPU, while the first one publishes all the time.
void ReadsBesideTheWriter(Cases& cases) {
  const UserClock clock;
  const vvar_writer_stats& stats = Page().timeline[0].stats;
  const uint32_t late_before = PageMemory::Load(stats.late_publications);
  const uint32_t publications = clock.reader().Publications();
  uint64_t reads = 0;
  uint64_t refused = 0;
  uint64_t back = 0;
  uint64_t worst_ns = 0;
  uint64_t last_ns = 0;
  uint64_t bound_ns = 0;
  for (; reads < kRacingReads && worst_ns <= bound_ns; ++reads) {
    const NsReading reading = ReadMonotonic(clock, reads);
    refused += !reading.ok();
    if (reading.ns < last_ns) {
      ++back;
      if (last_ns - reading.ns > worst_ns) worst_ns = last_ns - reading.ns;
      bound_ns = BoundOfSteps(clock, late_before);
    }
    last_ns = reading.ns;
  }
  const uint32_t late = PageMemory::Load(stats.late_publications) - late_before;
  cases.Report("reads_beside_the_writer", refused == 0 && worst_ns <= bound_ns,
               Text()
                   .Add(reads)
                   .Add(" reads beside ")
                   .Add(clock.reader().Publications() - publications)
                   .Add(" publications (")
                   .Add(late)
                   .Add(" late), ")
                   .Add(refused)
                   .Add(" refused, ")
                   .Add(back)
                   .Add(" back, worst ")
                   .Add(worst_ns)
                   .Add(" ns"));
}

// Reads that trap do not tell of themselves: a kernel that lets only its first
// CPU's user mode read the counter would have them step over it.
uint64_t RaceTheSecondCpu(Cases& cases) {
  const uint64_t denied = CountOf(Counted::kDenied);
  const uint64_t failed_there = SystemCall(Call::kRace);
  const uint64_t refused = CountOf(Counted::kDenied) - denied;
  cases.Report("the_second_cpu_may_read_the_counter", refused == 0,
               Text().Add(refused).Add(" refused"));
  return failed_there;
}

}  // namespace
}  // namespace vvar::embed

extern "C" [[noreturn]] void vvar_user_main(uint64_t cpu) {
  using namespace vvar::embed;
  Cases cases;
  uint64_t failed_there = 0;
  if (cpu == 0) {
    EveryClockWithoutATrap(cases);
    TheKernelAgrees(cases);
    TheImageAnswers(cases);
    FallsBackWithoutTheCounter(cases);
    AStoreToThePageFaults(cases);
    InterruptsReadToo(cases);
    ASetClockIsSeenAtOnce(cases);
    BoottimeCountsASuspension(cases);
    if (CountOf(Counted::kCpus) > 1) failed_there = RaceTheSecondCpu(cases);
  } else {
    ReadsBesideTheWriter(cases);
  }
  for (;;) SystemCall(Call::kExit, cases.failed() + failed_there);
}
