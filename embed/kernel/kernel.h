// SPDX-License-Identifier: MIT
//
// What a kernel does for time, on any machine: one page, published by the timer
// interrupt and after every change, and the system calls that read and set it.
// Runs with interrupts off; only the second CPU's readers run beside it.
#ifndef VVAR_EMBED_KERNEL_KERNEL_H_
#define VVAR_EMBED_KERNEL_KERNEL_H_

#include <stddef.h>
#include <stdint.h>

#include "embed/kernel/calls.h"
#include "embed/kernel/machine.h"
#include "fallback/syscall.h"
#include "fallback/vdso_symbol.h"
#include "vdso/loader.h"
#include "vvar/header.h"
#include "vvar/page.h"
#include "vvar/reader.h"
#include "vvar/seqcount.h"
#include "vvar/timebase.h"
#include "vvar/timekeeper.h"
#include "vvar/writer.h"

// Linked in: the file of //vdso.
extern "C" {
extern const unsigned char vvar_image[];
extern const unsigned char vvar_image_end[];
}

namespace vvar::embed {

/// What user mode may do with what it has been mapped.
enum class Access { kRead, kReadExecute };

/// Raises an exception after every store of a publication.
struct ProbedMemory : PageMemory {
  static void Store(auto& word, auto value) {
    PageMemory::Store(word, value);
    Machine::Probe();
  }
  static void StoreRelease(uint32_t& word, uint32_t value) {
    PageMemory::StoreRelease(word, value);
    Machine::Probe();
  }
};

/// What <new> would declare: there are no constructors before the kernel's
/// first instruction, so it makes its own object, in place.
struct InPlace {
  void* at;
};

class Kernel {
 public:
  static constexpr uint64_t kTickNs = 1'000'000;
  /// With interrupts off a publication takes well below half of this, unless
  /// the emulator is stopped meanwhile: the writer looks for that itself.
  static constexpr uint64_t kLeadNs = 20'000;

  /// Makes the page and starts time. Context: once, before user mode.
  explicit Kernel(uint64_t hz)
      : timekeeper_({.counter_id = NativeClock::kCounterId,
                     .counter_bits = NativeClock::kCounterBits,
                     .counter_hz = hz,
                     .lead_ns = kLeadNs,
                     .interval_ns = kTickNs,
                     .max_age_ns = 10'000'000'000}) {
    FormatPage(page_, {.counter_id = NativeClock::kCounterId,
                       .counter_bits = NativeClock::kCounterBits,
                       .counter_hz = hz,
                       .instance_id = 1,
                       .features = kGranted,
                       .timeline_count = 1,
                       .resolution_ns = 1,
                       .coarse_resolution_ns = kTickNs});
    timekeeper_.Start(clock_.Read(), {.realtime = {1'800'000'000, 0},
                                      .monotonic = {},
                                      .monotonic_raw = {},
                                      .boottime = {},
                                      .tai_offset_sec = 37});
    Writer<NativeClock>(&timeline(), clock_).PublishLine(timekeeper_.line());
    Machine::GrantCounter();
    Machine::ArmTick(kTickNs);
  }

  /// The timer interrupt.
  void OnTick() {
    ++Count(Counted::kTicks);
    ReadInInterrupt();
    Publish();
    Machine::ArmTick(kTickNs);
  }
  /// Machine::Probe()'s exception: it came in the middle of a publication.
  void OnProbe() {
    Count(Counted::kOddReads) += PageMemory::Load(timeline().seq) & 1;
    ReadInInterrupt();
  }
  void OnDeniedCounter() { ++Count(Counted::kDenied); }
  void OnStoreFault() { ++Count(Counted::kStoreFaults); }

  /// A system call of the first CPU.
  uint64_t OnCall(Call call, uint64_t a, uint64_t b) {
    switch (call) {
      case Call::kExit:
        Machine::PowerOff(a == 0 ? 0 : 1);
      case Call::kPrint:
        Print(reinterpret_cast<const char*>(a), b);
        return 0;
      case Call::kClock:
        ++Count(Counted::kClockCalls);
        return reader().Now(static_cast<ClockId>(a)).ns;
      case Call::kCount:
        return CountOf(static_cast<Counted>(a));
      case Call::kWithholdCounter:
        SetFeatures(VVAR_FEATURE_SYSTEM_WRITER);
        Machine::WithholdCounter();
        return 0;
      case Call::kGrantCounter:
        SetFeatures(kGranted);
        Machine::GrantCounter();
        return 0;
      case Call::kStepRealtime:
        timekeeper_.StepRealtime(static_cast<int64_t>(a));
        PublishAndWait();
        return 0;
      case Call::kSuspend:
        return Suspend();
      case Call::kPublishProbed:
        PublishAndWait<ProbedMemory>();
        return 0;
      case Call::kRace:
        return Race();
      case Call::kClockGettime:
        return Error(ClockGettime(static_cast<ClockId>(a), b));
    }
    return Error(-38);  // ENOSYS
  }

  /// A system call of the second CPU, which may print and exit; returns whether
  /// it goes on.
  bool OnSecondCpuCall(Call call, uint64_t a, uint64_t b) {
    if (call == Call::kPrint) Print(reinterpret_cast<const char*>(a), b);
    if (call != Call::kExit) return true;
    PageMemory::StoreRelease(second_cpu_, kExited + static_cast<uint32_t>(a));
    return false;
  }

  /// Calls map(address, what, bytes, access) for each thing that user mode has
  /// of time: the page, the offsets of its namespace, none, and the image.
  template <class Map>
  void MapTime(Map map) const {
    const auto bytes = static_cast<uint64_t>(vvar_image_end - vvar_image);
    const vdso::LoadableImage image(vvar_image, bytes);
    const vdso::ImageLayout at = image.LayoutAt(kTimePage);
    if (image.status() != fallback::VdsoStatus::kFound || at.image != kImage ||
        at.end > kUserCode) {
      Machine::PowerOff(4);
    }
    map(at.page, &page_, VVAR_PAGE_SIZE, Access::kRead);
    map(at.offsets, offsets_, VVAR_PAGE_SIZE, Access::kRead);
    map(at.image, vvar_image, at.end - at.image, Access::kReadExecute);
  }

 private:
  static constexpr auto kCounts = static_cast<uint64_t>(Counted::kCount);
  static constexpr uint32_t kGranted =
      VVAR_FEATURE_USER_COUNTER | VVAR_FEATURE_SYSTEM_WRITER;
  static constexpr uint32_t kExited = 1;  // second_cpu_; above: failed cases.

  uint64_t& Count(Counted what) { return count_[static_cast<uint64_t>(what)]; }
  uint64_t CountOf(Counted what) {
    if (what == Counted::kCpus) return Machine::Cpus();
    if (what == Counted::kDeniable) return Machine::DenialIsSeen() ? 1 : 0;
    return what < Counted::kCount ? Count(what) : 0;
  }
  vvar_timeline& timeline() { return page_.timeline[0]; }
  Reader<NativeClock> reader() {
    return Reader<NativeClock>(&timeline(), clock_);
  }

  static void Print(const char* text, uint64_t bytes) {
    for (uint64_t i = 0; i < bytes; ++i) Machine::Put(text[i]);
  }
  void SetFeatures(uint32_t features) {
    PageMemory::Store(page_.header.features, features);
  }

  // A line that has not begun yet cannot be followed: that is some us.
  template <class Memory = PageMemory>
  void Publish() {
    Writer<NativeClock, Memory> writer(&timeline(), clock_);
    while (writer.Publish(timekeeper_) == PublishStatus::kTooEarly) {
      clock_.Relax();
    }
  }
  // For a caller who is to see what he changed.
  template <class Memory = PageMemory>
  void PublishAndWait() {
    Publish<Memory>();
    while (!timekeeper_.LineHasBegun(clock_.Read())) clock_.Relax();
  }

  static uint64_t Error(int32_t error) { return static_cast<uint64_t>(error); }
  // Results go to user mode's stack, and nowhere else.
  int32_t ClockGettime(ClockId id, uint64_t to) {
    using Time = fallback::KernelOldTimespec;
    ++Count(Counted::kClockCalls);
    if (to % alignof(Time) != 0 || to < kUserCodeEnd ||
        to > kUserStackEnd - sizeof(Time)) {
      return -14;  // EFAULT
    }
    const TimespecReading now = reader().NowTimespec(id);
    if (!now.ok()) return -22;  // EINVAL
    *reinterpret_cast<Time*>(to) = {static_cast<intptr_t>(now.sec),
                                    static_cast<intptr_t>(now.nsec)};
    return 0;
  }

  // Any interrupt may ask for the time, whatever it has interrupted.
  void ReadInInterrupt() {
    const NsReading reading = reader().Now(ClockId::kMonotonic);
    ++Count(Counted::kInterruptReads);
    Count(Counted::kRefusedReads) += !reading.ok();
    Count(Counted::kReadsBack) += reading.ns < last_read_ns_;
    last_read_ns_ = reading.ns;
  }

  // Time stands still while the counter may not be believed; then BOOTTIME and
  // REALTIME have gone on, and MONOTONIC has not.
  uint64_t Suspend() {
    constexpr uint64_t kSleepNs = 2'000'000;
    timekeeper_.Hold();
    Publish();
    NsReading reading = reader().Now(ClockId::kMonotonic);
    while (reading.ok()) reading = reader().Now(ClockId::kMonotonic);
    const bool withdrawn = reading.status == ReadStatus::kNoCounter &&
                           reader().NowCoarse(ClockId::kMonotonicCoarse).ok();
    const uint64_t start = clock_.Read();
    uint64_t slept_ns = 0;
    while (slept_ns < kSleepNs) {
      slept_ns = CyclesToNs(clock_.Read() - start, timekeeper_.nominal(), 0);
    }
    const auto gap_ns = static_cast<int64_t>(slept_ns);
    timekeeper_.Resume(clock_.Read(), {.realtime_ns = gap_ns,
                                       .monotonic_ns = 0,
                                       .monotonic_raw_ns = 0,
                                       .boottime_ns = gap_ns});
    PublishAndWait();
    return withdrawn ? slept_ns : 0;
  }

  // Alternates between slopes that differ by 1000 ppm.
  uint64_t Race() {
    Machine::StartSecondCpu();
    uint32_t state = 0;
    for (int64_t ppb = 500'000; state == 0; ppb = -ppb) {
      timekeeper_.SetFrequency(ppb);
      Publish();
      state = PageMemory::LoadAcquire(second_cpu_);
    }
    timekeeper_.SetFrequency(0);
    return state - kExited;
  }

  alignas(VVAR_PAGE_SIZE) vvar_page page_ = {};
  alignas(VVAR_PAGE_SIZE) unsigned char offsets_[VVAR_PAGE_SIZE] = {};
  Timekeeper timekeeper_;
  NativeClock clock_ = Machine::Counter();
  uint64_t last_read_ns_ = 0;
  uint32_t second_cpu_ = 0;
  uint64_t count_[kCounts] = {};
};

}  // namespace vvar::embed

inline void* operator new(size_t, vvar::embed::InPlace place) noexcept {
  return place.at;
}

#endif  // VVAR_EMBED_KERNEL_KERNEL_H_
