// SPDX-License-Identifier: MIT
//
// What the functions of a vDSO image do, on any ISA: the page, else the system,
// both where `Surroundings` has them. Included by <isa>.cc, which gives them
// the system's names, and by tools/vvar_preload.cc, which gives them libc's. No
// writable data, no TLS, no call out, no pointer that a loader would have to
// relocate; errors are Linux's: 0 or -errno, a bad pointer faults.
#ifndef VVAR_VDSO_IMAGE_H_
#define VVAR_VDSO_IMAGE_H_

#include <stdint.h>

#include "clocks/cpu_id.h"
#include "clocks/native.h"
#include "fallback/syscall.h"
#include "vvar/clock_table.h"
#include "vvar/header.h"
#include "vvar/offset.h"
#include "vvar/page.h"
#include "vvar/reader.h"
#include "vvar/seqcount.h"
#include "vvar/timebase.h"

// Mapped at fixed distances before the image (image.ld). All zero is a page
// that answers nothing, and the initial namespace. Hidden, or compilers would
// reach them through a table of addresses.
extern "C" {
[[gnu::visibility("hidden")]] extern const vvar_page vvar_image_page;
[[gnu::visibility("hidden")]] extern const vvar_offsets vvar_image_offsets;
}

namespace vvar::vdso {

/// An image's: the pages beside it, and the kernel, by the call of each width;
/// the other one may be denied (Linux c60a32ea4f45).
struct ImageSurroundings {
  static const vvar_page& Page() { return vvar_image_page; }
  static const vvar_offsets& Offsets() { return vvar_image_offsets; }

  template <typename Int>
  static int32_t ClockGettime(int32_t id,
                              fallback::KernelTimespecOf<Int>* now) {
    return fallback::CallKernel(sizeof(Int) == 8
                                    ? fallback::kSyscalls.clock_gettime
                                    : fallback::kSyscalls.clock_gettime_time32,
                                id, now);
  }
  template <typename Int>
  static int32_t ClockGetres(int32_t id,
                             fallback::KernelTimespecOf<Int>* step) {
    return fallback::CallKernel(sizeof(Int) == 8
                                    ? fallback::kSyscalls.clock_getres
                                    : fallback::kSyscalls.clock_getres_time32,
                                id, step);
  }
  static int32_t Gettimeofday(fallback::KernelTimeval* now,
                              fallback::KernelTimezone* zone) {
    return fallback::Gettimeofday(now, zone);
  }
  static intptr_t Time(intptr_t* now) { return fallback::Time(now); }
};

using ImageReader = Reader<NativeClock, PageMemory, OffsetPage<>>;

template <class Surroundings>
[[gnu::always_inline]] inline bool PageHas(uint32_t features) {
  const vvar_header& header = Surroundings::Page().header;
  return (PageMemory::Load(header.features) & features) != 0;
}

template <class Surroundings>
[[gnu::always_inline]] inline ImageReader PageReader() {
  return ImageReader(&Surroundings::Page().timeline[0], NativeClock(),
                     OffsetPage<>(&Surroundings::Offsets()));
}

[[gnu::always_inline]] inline bool Take(const TimespecReading& reading,
                                        Timespec* time) {
  *time = {reading.sec, reading.nsec};
  return reading.ok();
}

template <class Surroundings>
[[gnu::noinline]] inline bool PageIsLive() {
  return PageReader<Surroundings>().Age().status == ReadStatus::kOk;
}

/// Reads a coarse clock; returns whether the page answers. It does not show
/// that its writer died: where that can happen, who may read the counter looks
/// at the page's age.
template <class Surroundings>
[[gnu::always_inline]] inline bool ReadCoarse(ClockId clock, Timespec* time) {
  return Take(PageReader<Surroundings>().NowCoarseTimespec(clock), time) &&
         (!PageHas<Surroundings>(VVAR_FEATURE_USER_COUNTER) ||
          PageHas<Surroundings>(VVAR_FEATURE_SYSTEM_WRITER) ||
          PageIsLive<Surroundings>());
}

/// Reads any other; who may not read the counter does not try.
template <class Surroundings>
[[gnu::always_inline]] inline bool ReadPreciseHere(ClockId clock,
                                                   Timespec* time) {
  return PageHas<Surroundings>(VVAR_FEATURE_USER_COUNTER) &&
         Take(PageReader<Surroundings>().NowTimespec(clock), time);
}
template <class Surroundings>
[[gnu::noinline]] inline bool ReadPreciseThere(ClockId clock, Timespec* time) {
  return ReadPreciseHere<Surroundings>(clock, time);
}

/// The same. On words of 32 bits it is three times as long: of more than one
/// there would be no room on two pages.
template <class Surroundings>
[[gnu::always_inline]] inline bool ReadPrecise(ClockId clock, Timespec* time) {
  return sizeof(void*) == 4 ? ReadPreciseThere<Surroundings>(clock, time)
                            : ReadPreciseHere<Surroundings>(clock, time);
}

/// Of time that outgrew the caller's width the lower bits, as from the kernel.
template <class Surroundings, typename Int>
[[gnu::always_inline]] inline int32_t Store(
    bool answered, const Timespec& time, int32_t id,
    fallback::KernelTimespecOf<Int>* now) {
  if (!answered) [[unlikely]] {
    return Surroundings::ClockGettime(id, now);
  }
  now->tv_sec = static_cast<Int>(time.sec);
  now->tv_nsec = static_cast<Int>(time.nsec);
  return 0;
}

/// All that needs no counter. A function of its own: it has few registers to
/// save, and is gone to before the others are.
template <class Surroundings, typename Int>
[[gnu::noinline]] inline int32_t ClockGettimeCoarse(
    int32_t id, fallback::KernelTimespecOf<Int>* now) {
  Timespec time;
  const bool answered =
      ReadCoarse<Surroundings>(static_cast<ClockId>(id), &time);
  return Store<Surroundings>(answered, time, id, now);
}

template <class Surroundings = ImageSurroundings, typename Int>
[[gnu::always_inline]] inline int32_t ClockGettime(
    int32_t id, fallback::KernelTimespecOf<Int>* now) {
  const auto clock = static_cast<ClockId>(id);
  if (!ImageReader::NeedsCounter(clock)) [[unlikely]] {
    return ClockGettimeCoarse<Surroundings>(id, now);
  }
  Timespec time;
  const bool answered = ReadPrecise<Surroundings>(clock, &time);
  return Store<Surroundings>(answered, time, id, now);
}

template <class Surroundings = ImageSurroundings, typename Int>
[[gnu::always_inline]] inline int32_t ClockGetres(
    int32_t id, fallback::KernelTimespecOf<Int>* step) {
  const vvar_header& header = Surroundings::Page().header;
  const RowKind kind = kClocks.RowOf(static_cast<ClockId>(id)).kind;
  uint32_t step_ns = 0;  // What a page says that nobody made.
  if (kind == RowKind::kPrecise) {
    step_ns = PageMemory::Load(header.resolution_ns);
  } else if (kind == RowKind::kCoarse) {
    step_ns = PageMemory::Load(header.coarse_resolution_ns);
  }
  if (step_ns == 0) return Surroundings::ClockGetres(id, step);
  if (step != nullptr) {
    step->tv_sec = 0;
    step->tv_nsec = static_cast<Int>(step_ns);
  }
  return 0;
}

template <class Surroundings = ImageSurroundings>
[[gnu::always_inline]] inline int32_t Gettimeofday(
    fallback::KernelTimeval* now, fallback::KernelTimezone* zone) {
  if (now != nullptr) {
    Timespec time;
    if (!ReadPrecise<Surroundings>(ClockId::kRealtime, &time)) [[unlikely]] {
      return Surroundings::Gettimeofday(now, zone);
    }
    now->tv_sec = static_cast<intptr_t>(time.sec);
    now->tv_usec = static_cast<intptr_t>(time.nsec / 1'000);
  }
  if (zone != nullptr) {
    const vvar_header& header = Surroundings::Page().header;
    if (PageMemory::Load(header.magic) != VVAR_MAGIC) [[unlikely]] {
      return Surroundings::Gettimeofday(nullptr, zone);
    }
    zone->tz_minuteswest = PageMemory::Load(header.tz_minuteswest);
    zone->tz_dsttime = PageMemory::Load(header.tz_dsttime);
  }
  return 0;
}

/// The seconds of the last publication, as Linux's: never above
/// gettimeofday()'s and up to an update interval behind.
template <class Surroundings = ImageSurroundings>
[[gnu::always_inline]] inline intptr_t Time(intptr_t* now) {
  Timespec time;
  if (!ReadCoarse<Surroundings>(ClockId::kRealtimeCoarse, &time)) [[unlikely]] {
    return Surroundings::Time(now);
  }
  if (now != nullptr) *now = static_cast<intptr_t>(time.sec);
  return static_cast<intptr_t>(time.sec);
}

template <class Surroundings = ImageSurroundings>
[[gnu::always_inline]] inline int32_t GetCpu(uint32_t* cpu, uint32_t* node) {
  CpuId id;
  const bool known = PageHas<Surroundings>(VVAR_FEATURE_RDPID)
                         ? ReadCpuIdByRdpid(&id)
                         : ReadCpuId(&id);
  if (!known) return fallback::GetCpu(cpu, node);
  if (cpu != nullptr) *cpu = id.cpu;
  if (node != nullptr) *node = id.node;
  return 0;
}

}  // namespace vvar::vdso

#define VVAR_EXPORTED [[gnu::visibility("default")]]

/// The functions that the system has on every ISA, by its prefix there.
#define VVAR_IMAGE_FUNCTIONS(prefix)                         \
  extern "C" VVAR_EXPORTED int32_t prefix##clock_gettime(    \
      int32_t id, vvar::fallback::KernelOldTimespec* now) {  \
    return vvar::vdso::ClockGettime(id, now);                \
  }                                                          \
  extern "C" VVAR_EXPORTED int32_t prefix##clock_getres(     \
      int32_t id, vvar::fallback::KernelOldTimespec* step) { \
    return vvar::vdso::ClockGetres(id, step);                \
  }                                                          \
  extern "C" VVAR_EXPORTED int32_t prefix##gettimeofday(     \
      vvar::fallback::KernelTimeval* now,                    \
      vvar::fallback::KernelTimezone* zone) {                \
    return vvar::vdso::Gettimeofday(now, zone);              \
  }

/// What x86 and RISC-V have besides, and what x86 alone has.
#define VVAR_IMAGE_GETCPU(prefix)                        \
  extern "C" VVAR_EXPORTED int32_t prefix##getcpu(       \
      uint32_t* cpu, uint32_t* node, void* /*unused*/) { \
    return vvar::vdso::GetCpu(cpu, node);                \
  }
#define VVAR_IMAGE_TIME(prefix)                                   \
  extern "C" VVAR_EXPORTED intptr_t prefix##time(intptr_t* now) { \
    return vvar::vdso::Time(now);                                 \
  }

#endif  // VVAR_VDSO_IMAGE_H_
