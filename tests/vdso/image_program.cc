// SPDX-License-Identifier: MIT
//
// A program of nothing but an image, its two pages before it, and what asks it:
// no C library, no run time, no relocations; so the image is called as early as
// a dynamic linker would. On every ISA that has one (image_program_test.py).
#include <stdint.h>

#include "clocks/native.h"
#include "embed/kernel/text.h"
#include "fallback/syscall.h"
#include "fallback/vdso_symbol.h"
#include "vvar/header.h"
#include "vvar/offset.h"
#include "vvar/page.h"
#include "vvar/reader.h"
#include "vvar/scale.h"
#include "vvar/seqcount.h"
#include "vvar/timebase.h"
#include "vvar/timekeeper.h"
#include "vvar/writer.h"

extern "C" {
extern const unsigned char vvar_image[];
extern const unsigned char vvar_image_end[];

// Where image_program.ld has them: right before the image, which reads them.
[[gnu::section(".page")]] alignas(4096) vvar_page time_page;
[[gnu::section(".offsets")]] alignas(4096) vvar_offsets offsets_page;
}

namespace vvar::vdso {
namespace {

using embed::Text;
using fallback::KernelOldTimespec;
using fallback::KernelTimespec;
using fallback::VdsoFunctions;

constexpr int32_t kPrecise[] = {0, 1, 4, 7, 11};
constexpr int32_t kCoarse[] = {5, 6};

constexpr bool kHasTime = fallback::kSyscalls.time != fallback::kNoSyscall;
constexpr bool kHasTime32 =
    fallback::kSyscalls.clock_gettime_time32 != fallback::kNoSyscall;
// i386, x86-64, the others.
constexpr int32_t kWrite = kHasTime32 ? 4 : kHasTime ? 1 : 64;
constexpr int32_t kExitGroup = kHasTime32 ? 252 : kHasTime ? 231 : 94;

uint64_t failed;

void Report(const char* name, bool passed, const Text& figures) {
  failed += !passed;
  Text line;
  line.Add("CASE ").Add(name).Add(passed ? " PASSED " : " FAILED ");
  line.Add(figures.data()).Add("\n");
  fallback::EnterKernel(kWrite, 1, reinterpret_cast<intptr_t>(line.data()),
                        static_cast<intptr_t>(line.size()));
}

template <typename Int>
uint64_t Ns(const fallback::KernelTimespecOf<Int>& time) {
  return TimespecToNs({time.tv_sec, static_cast<uint32_t>(time.tv_nsec)});
}
uint64_t KernelNs(int32_t id) {
  KernelTimespec now = {};
  return fallback::ClockGettime(id, &now) == 0 ? Ns(now) : 0;
}
/// 0 where it does not answer.
uint64_t ImageNs(const VdsoFunctions& image, int32_t id) {
  KernelOldTimespec now = {};
  return image.clock_gettime(id, &now) == 0 ? Ns(now) : 0;
}
uint64_t Outside(uint64_t before, uint64_t now, uint64_t after) {
  if (now < before) return before - now;
  return now > after ? now - after : 0;
}

// --- Without a page ----------------------------------------------------------

template <typename Int>
using ClockFunction = int32_t (*)(int32_t, fallback::KernelTimespecOf<Int>*);

/// Whether the functions of one width do as their system calls do.
template <typename Int>
bool IsTheKernels(ClockFunction<Int> clock_gettime,
                  ClockFunction<Int> clock_getres, int32_t id) {
  KernelTimespec before = {}, after = {}, step = {};
  fallback::KernelTimespecOf<Int> now = {}, image_step = {};
  const int32_t error = fallback::ClockGettime(id, &before);
  const int32_t image_error = clock_gettime(id, &now);
  (void)fallback::ClockGettime(id, &after);
  const int32_t step_error = fallback::ClockGetres(id, &step);
  return error == image_error &&
         (error != 0 || Outside(Ns(before), Ns(now), Ns(after)) == 0) &&
         step_error == clock_getres(id, nullptr) &&
         step_error == clock_getres(id, &image_step) &&
         Ns(step) == Ns(image_step);
}
bool IsTheKernels(const VdsoFunctions& image, int32_t id) {
  return IsTheKernels<intptr_t>(image.clock_gettime, image.clock_getres, id) &&
         (!kHasTime32 || IsTheKernels<int64_t>(image.clock_gettime64,
                                               image.clock_getres_time64, id));
}

void TheKernelAnswersWithoutAPage(const VdsoFunctions& image) {
  uint64_t others = 0, ids = 0;
  for (int32_t id = -9; id < 32; ++id, ++ids)
    others += !IsTheKernels(image, id);
  others += !IsTheKernels(image, INT32_MIN) + !IsTheKernels(image, INT32_MAX);
  fallback::KernelTimeval now = {-1, -1};
  fallback::KernelTimezone zone = {-1, -1};
  const bool good = image.gettimeofday(&now, &zone) == 0 &&
                    image.gettimeofday(nullptr, nullptr) == 0 &&
                    now.tv_usec >= 0 && zone.tz_dsttime != -1;
  Report("the_kernel_answers_without_a_page", good && others == 0,
         Text().Add(ids + 2).Add(" ids, ").Add(others).Add(" unlike it"));
}

// A filter may know the call of one width alone. Before the image, which nobody
// can write, there is room for a result of 32 bits: the other call would say
// -EFAULT. (Of 64 bits, it would leave the nanoseconds as they were.)
// Trap: T90
void EachWidthMakesItsOwnCall(const VdsoFunctions& image) {
  constexpr int32_t kCpuTime = 2;
  const auto end = reinterpret_cast<uintptr_t>(vvar_image);
  auto* last = reinterpret_cast<KernelOldTimespec*>(end) - 1;
  const KernelOldTimespec kept = *last;
  KernelTimespec now = {-1, -1}, step = {-1, -1};
  const bool good =
      image.clock_gettime(kCpuTime, last) == 0 &&
      image.clock_getres(kCpuTime, last) == 0 &&
      image.clock_gettime64(kCpuTime, &now) == 0 && now.tv_nsec >= 0 &&
      image.clock_getres_time64(kCpuTime, &step) == 0 && step.tv_nsec >= 0;
  *last = kept;
  Report("each_width_makes_its_own_call", good, Text());
}

// --- With one ----------------------------------------------------------------

/// A counter value and the kernel's MONOTONIC at it, to within `width` cycles.
struct Anchor {
  uint64_t cycles, ns, width;
};
/// The narrowest of many: whoever is held up between two reads is not it.
Anchor FindAnchor() {
  Anchor best = {0, 0, UINT64_MAX};
  for (int i = 0; i < 100; ++i) {
    const uint64_t before = NativeClock().Read();
    const uint64_t ns = KernelNs(1);
    const uint64_t width = NativeClock().Read() - before;
    if (width < best.width) best = {before + width / 2, ns, width};
  }
  return best;
}
/// The counter's frequency by the kernel's clock.
uint64_t MeasureHz() {
  const Anchor start = FindAnchor();
  Anchor end = start;
  while (end.ns - start.ns < 20'000'000) end = FindAnchor();
  // Bound: below 1 s of a counter below 10 GHz, times 10^9, is below 2^64.
  return (end.cycles - start.cycles) * kNsPerSec / (end.ns - start.ns);
}

/// Begins the page's time where the kernel's is. Returns how exactly, in ns.
uint64_t BeginTime(Timekeeper& timekeeper, uint64_t hz) {
  const uint64_t start = NativeClock().Read();
  const auto now = [](int32_t id) {
    return NsToTimespec(static_cast<int64_t>(KernelNs(id)));
  };
  const Timespec realtime = now(0);
  // Bound: half a second more, for the time between the two calls.
  const uint64_t tai_sec =
      (KernelNs(11) + kNsPerSec / 2 - TimespecToNs(realtime)) / kNsPerSec;
  timekeeper.Start(NativeClock().Read(), {realtime, now(1), now(4), now(7),
                                          static_cast<int32_t>(tai_sec)});
  Writer<NativeClock>(&time_page.timeline[0], {})
      .PublishLine(timekeeper.line());
  return CyclesToNs(NativeClock().Read() - start, ScaleFromHz(hz), 0);
}

/// Each read lies between two of the page's own reader, and between two system
/// calls as exactly as the page was begun.
void ThePageAnswers(const VdsoFunctions& image, uint64_t exact_ns) {
  const Reader<NativeClock> reader(&time_page.timeline[0], NativeClock());
  uint64_t outside = 0, off_ns = 0, back = 0;
  const uint64_t start_ns = KernelNs(1);
  for (const int32_t id : kPrecise) {
    uint64_t last = 0;
    for (int i = 0; i < 500; ++i) {
      const uint64_t kernel_before = KernelNs(id);
      const uint64_t before = reader.Now(static_cast<ClockId>(id)).ns;
      const uint64_t now = ImageNs(image, id);
      outside += now < before || now > reader.Now(static_cast<ClockId>(id)).ns;
      back += now < last;
      last = now;
      const uint64_t off = Outside(kernel_before, now, KernelNs(id));
      if (off > off_ns) off_ns = off;
    }
  }
  for (const int32_t id : kCoarse) {
    const NsReading coarse = reader.NowCoarse(static_cast<ClockId>(id));
    outside += ImageNs(image, id) != coarse.ns;
  }
  // Nobody steers the page: its rate is off by what the kernel steers by, and
  // by what was measured wrong.
  const uint64_t allowed_ns = exact_ns + (KernelNs(1) - start_ns) / 500;
  Report("the_page_answers", outside == 0 && back == 0 && off_ns <= allowed_ns,
         Text()
             .Add(outside)
             .Add(" of 2502 outside of the reader's, ")
             .Add(back)
             .Add(" back, at most ")
             .Add(off_ns)
             .Add(" ns outside of the kernel's (")
             .Add(allowed_ns)
             .Add(" allowed)"));
}

void TheOtherFunctionsAnswer(const VdsoFunctions& image) {
  fallback::KernelTimeval timeval = {};
  const uint64_t before_us = ImageNs(image, 0) / 1'000;
  const bool answered = image.gettimeofday(&timeval, nullptr) == 0;
  const uint64_t now_us = static_cast<uint64_t>(timeval.tv_sec) * 1'000'000 +
                          static_cast<uint64_t>(timeval.tv_usec);
  bool good =
      answered && before_us <= now_us && now_us <= ImageNs(image, 0) / 1'000;
  KernelOldTimespec step = {-1, -1};
  good &= image.clock_getres(1, &step) == 0 && Ns(step) == 1;
  good &= image.clock_getres(5, &step) == 0 && Ns(step) == 1'000'000;
  good &= (image.time != nullptr) == kHasTime;
  if (image.time != nullptr) {
    good &= image.time(nullptr) ==
            static_cast<intptr_t>(ImageNs(image, 5) / kNsPerSec);
  }
  if (image.getcpu != nullptr) {
    uint32_t cpu = ~0u;
    good &= image.getcpu(&cpu, nullptr, nullptr) == 0 && cpu != ~0u;
  }
  Report("the_other_functions_answer", good, Text());
}

void OffsetsMoveTheirClocks(const VdsoFunctions& image) {
  constexpr uint64_t kMoved = 1'000'000'000'000;
  FormatOffsets(offsets_page,
                {.monotonic = {1'000, 0}, .boottime = {1'000, 0}});
  uint64_t moved = 0;
  for (const int32_t id : kPrecise) {
    moved += ImageNs(image, id) - KernelNs(id) > kMoved / 2 &&
             ImageNs(image, id) > KernelNs(id);
  }
  FormatOffsets(offsets_page, {});
  Report("offsets_move_their_clocks", moved == 3,
         Text().Add(moved).Add(" of 5 moved, 3 expected"));
}

void PublishAndWait(Timekeeper& timekeeper) {
  Writer<NativeClock> writer(&time_page.timeline[0], {});
  while (writer.Publish(timekeeper) == PublishStatus::kTooEarly) {
  }
  while (!timekeeper.LineHasBegun(NativeClock().Read())) {
  }
}

// The page's time is off by an hour: who answers is plain.
void AWithheldCounterLeavesTheCoarseClocks(const VdsoFunctions& image,
                                           Timekeeper& timekeeper) {
  constexpr uint64_t kHourNs = 3'600'000'000'000;
  timekeeper.StepRealtime(static_cast<int64_t>(kHourNs));
  PublishAndWait(timekeeper);
  PublishAndWait(timekeeper);  // Coarse clocks are of the line before.
  const auto by_page = [&](int32_t id) {
    return ImageNs(image, id) > KernelNs(0) + kHourNs / 2;
  };
  const bool granted[] = {by_page(0), by_page(5)};
  PageMemory::Store(time_page.header.features, 0u);
  const bool withheld[] = {by_page(0), by_page(5)};
  PageMemory::Store(time_page.header.features, VVAR_FEATURE_USER_COUNTER);
  Report("a_withheld_counter_leaves_the_coarse_clocks",
         granted[0] && granted[1] && !withheld[0] && withheld[1],
         Text()
             .Add("the page answers ")
             .Add(uint64_t{granted[0]} + granted[1])
             .Add(" of 2, and ")
             .Add(uint64_t{withheld[0]} + withheld[1]));
}

// As the kernel does. The page's time is beyond 2038: who answers is plain.
void TimeOf32BitsIsTheLowerOnes(const VdsoFunctions& image,
                                Timekeeper& timekeeper) {
  constexpr int64_t kYearsNs = 946'080'000'000'000'000;  // 30
  timekeeper.StepRealtime(kYearsNs);
  PublishAndWait(timekeeper);
  PublishAndWait(timekeeper);
  uint64_t wrong = 0;
  const auto is_within = [](int64_t before, int32_t low, int64_t after) {
    return before > INT32_MAX && (low == static_cast<int32_t>(before) ||
                                  low == static_cast<int32_t>(after));
  };
  constexpr int32_t kIds[] = {0, 5, 11};
  for (const int32_t id : kIds) {
    KernelTimespec before = {}, after = {};
    KernelOldTimespec now = {};
    wrong += image.clock_gettime64(id, &before) != 0 ||
             image.clock_gettime(id, &now) != 0 ||
             image.clock_gettime64(id, &after) != 0 ||
             !is_within(before.tv_sec, static_cast<int32_t>(now.tv_sec),
                        after.tv_sec);
  }
  KernelTimespec before = {}, after = {}, step = {};
  fallback::KernelTimeval now = {};
  wrong += image.clock_gettime64(5, &before) != 0;
  wrong += image.gettimeofday(&now, nullptr) != 0;
  const intptr_t second = image.time(nullptr);
  wrong += image.clock_gettime64(0, &after) != 0;
  wrong +=
      !is_within(before.tv_sec, static_cast<int32_t>(now.tv_sec), after.tv_sec);
  wrong +=
      !is_within(before.tv_sec, static_cast<int32_t>(second), after.tv_sec);
  wrong += image.clock_getres_time64(5, &step) != 0 || Ns(step) != 1'000'000;
  Report("time_of_32_bits_is_the_lower_ones", wrong == 0,
         Text().Add(wrong).Add(" of 9 wrong"));
}

uint64_t Run() {
  const VdsoFunctions image = fallback::FindVdsoFunctions(fallback::VdsoImage(
      vvar_image, static_cast<uint64_t>(vvar_image_end - vvar_image)));
  if (image.clock_gettime == nullptr || image.clock_getres == nullptr ||
      image.gettimeofday == nullptr) {
    Report("the_functions_are_found", false, Text());
    return failed;
  }
  TheKernelAnswersWithoutAPage(image);
  if (kHasTime32) EachWidthMakesItsOwnCall(image);
  const uint64_t hz = MeasureHz();
  FormatPage(time_page, {NativeClock::kCounterId, NativeClock::kCounterBits, hz,
                         1, VVAR_FEATURE_USER_COUNTER, 1, 1, 1'000'000});
  Timekeeper timekeeper({NativeClock::kCounterId, NativeClock::kCounterBits, hz,
                         /*lead_ns=*/100'000, /*interval_ns=*/1'000'000,
                         /*max_age_ns=*/60'000'000'000});
  ThePageAnswers(image, BeginTime(timekeeper, hz));
  TheOtherFunctionsAnswer(image);
  OffsetsMoveTheirClocks(image);
  AWithheldCounterLeavesTheCoarseClocks(image, timekeeper);
  if (kHasTime32) TimeOf32BitsIsTheLowerOnes(image, timekeeper);
  return failed;
}

}  // namespace
}  // namespace vvar::vdso

extern "C" [[noreturn]] void _start() {
  const uint64_t failed = vvar::vdso::Run();
  for (;;) {
    vvar::fallback::EnterKernel(vvar::vdso::kExitGroup, failed != 0, 0, 0);
  }
}
