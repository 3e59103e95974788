// SPDX-License-Identifier: MIT
//
// VMClock's reader, for guests, and its writer, for whoever runs them.
// Freestanding. Where the page is, ACPI and the device tree say. Smeared time
// is neither read nor written.
// Source: Linux, include/uapi/linux/vmclock-abi.h, version 1.
#ifndef VVAR_PARAVIRT_VMCLOCK_H_
#define VVAR_PARAVIRT_VMCLOCK_H_

#include <stddef.h>
#include <stdint.h>

#include "paravirt/foreign_page.h"
#include "paravirt/frac_time.h"
#include "paravirt/vmclock_abi.h"
#include "vvar/abi.h"
#include "vvar/clocksource.h"
#include "vvar/page.h"
#include "vvar/scale.h"
#include "vvar/seqcount.h"
#include "vvar/timebase.h"

namespace vvar {

/// A time with its error bound. Valid only if ok().
struct VmclockReading {
  Timespec time;      ///< Of the kind that was asked for.
  uint64_t error_ns;  ///< UINT64_MAX: nobody says.
  VmclockLeap leap;
  VmclockClockStatus clock_status;
  ForeignStatus status;
  /// False: `status` says why there is no time.
  constexpr bool ok() const { return status == ForeignStatus::kOk; }
};

/// Reads a region. Copyable; never writes.
/// Progress: bounded by kForeignTries. Context: any, NMI included.
template <ClockSource Clock, class Memory = PageMemory>
class VmclockReader {
 public:
  static constexpr uint32_t kCounterId = VVAR_COUNTER_PRIVATE | 0x70763;
  static constexpr uint64_t kHz = kNsPerSec;

  /// A reader of nothing: each read says kAbsent.
  constexpr VmclockReader() = default;

  /// Attaches to what claims to be a region of which `size` bytes are mapped.
  /// Error: `*reader` is untouched unless kOk.
  [[nodiscard]] static PageStatus Attach(const void* bytes, size_t size,
                                         Clock clock, VmclockReader* reader) {
    if (bytes == nullptr || size < kVmclockMarkerSize) {
      return PageStatus::kTooSmall;
    }
    const auto address = reinterpret_cast<uintptr_t>(bytes);
    if (address % alignof(vmclock_abi) != 0) return PageStatus::kBadLayout;
    const auto& page = *static_cast<const vmclock_abi*>(bytes);
    const PageStatus status = CheckIdentity(page);
    if (status != PageStatus::kOk) return status;
    const uint32_t claimed = Words::Load(page.size);
    if (claimed < kVmclockMarkerSize) return PageStatus::kTooSmall;
    *reader = VmclockReader(
        &page, claimed < size ? claimed : static_cast<uint32_t>(size), clock);
    return PageStatus::kOk;
  }

  /// Returns the time of kind `wanted`, with its error bound.
  /// Ordering: as clock_gettime().
  [[nodiscard]] VmclockReading Now(VmclockTimeType wanted) const {
    VmclockLine line;
    uint64_t cycles;
    FracTime time;
    ForeignStatus status = ReadLine(&line, &cycles);
    if (status == ForeignStatus::kOk) {
      status = line.TimeAt(wanted, cycles, &time);
    }
    if (status != ForeignStatus::kOk) return {{}, 0, {}, {}, status};
    return {FracToTimespec(time), line.MaxErrorNsAt(cycles), line.leap,
            line.clock_status, status};
  }
  /// Returns TAI or, if that is what the page tells, MONOTONIC in ns modulo
  /// 2^64: what a counter can be made of. UTC is none: it steps.
  template <CounterOrder kOrder>
  [[nodiscard]] ForeignCount Count() const {
    VmclockLine line;
    uint64_t cycles;
    FracTime time;
    ForeignStatus status = Read<kOrder>(&line, &cycles);
    if (status == ForeignStatus::kOk) {
      status = line.TimeAt(line.time_type == VmclockTimeType::kMonotonic
                               ? VmclockTimeType::kMonotonic
                               : VmclockTimeType::kTai,
                           cycles, &time);
    }
    if (status != ForeignStatus::kOk) return {0, status};
    return {TimespecToNs(FracToTimespec(time)), status};
  }

  /// Copies what the page says, and the counter read with it. Ordering: as
  /// clock_gettime(). Error: unless kOk no field holds but disruption_marker,
  /// generation, flags and clock_status, of a page that is neither kAbsent nor
  /// kBusy: some hosts tell nothing else.
  [[nodiscard]] ForeignStatus ReadLine(VmclockLine* line,
                                       uint64_t* cycles) const {
    return Read<CounterOrder::kOrdered>(line, cycles);
  }

  /// The counter that the page scales.
  constexpr const Clock& clock() const { return clock_; }

 private:
  using Words = LittleEndian<Memory>;
  static constexpr uint8_t kOurCounter = VmclockCounterOf(Clock::kCounterId);

  constexpr VmclockReader(const vmclock_abi* page, uint32_t size, Clock clock)
      : page_(page), size_(size), clock_(clock) {}

  // Ordering: magic is loaded first, with acquire: the writer stores it last.
  static PageStatus CheckIdentity(const vmclock_abi& page) {
    if (Words::LoadAcquire(page.magic) != kVmclockMagic) {
      return PageStatus::kBadMagic;
    }
    return Words::Load(page.version) == kVmclockVersion
               ? PageStatus::kOk
               : PageStatus::kWrongMajor;
  }

  template <CounterOrder kOrder>
  ForeignStatus Read(VmclockLine* line, uint64_t* cycles) const {
    *cycles = 0;
    if (page_ == nullptr) return ForeignStatus::kAbsent;
    const ForeignStatus status = ReadForeign<SequenceRule::kOddIsBusy, Words>(
        page_->seq_count, clock_, [&](SeqToken seq) {
          *cycles = ReadCounter<kOrder>(clock_, seq);
          LoadMarker(line);
          return LoadTime(line);
        });
    // On from counter_value by what the counter's width tells.
    if (status == ForeignStatus::kOk) {
      const uint64_t start = line->line.counter_value;
      *cycles = start + static_cast<uint64_t>(
                            SignedDelta(*cycles, start, Clock::kCounterBits));
    }
    return status;
  }

  // Whether a field is there; the last byte of it is `end` - 1.
  constexpr bool Has(size_t end) const { return size_ >= end; }

  void LoadMarker(VmclockLine* line) const {
    line->disruption_marker = Words::Load(page_->disruption_marker);
    line->flags = Words::Load(page_->flags);
    line->clock_status = VmclockClockStatus::kUnknown;
    if (Has(offsetof(vmclock_abi, leap_second_smearing_hint))) {
      line->clock_status = VmclockClockStatus{Words::Load(page_->clock_status)};
    }
    line->generation = 0;
    if (Has(sizeof(vmclock_abi)) &&
        (line->flags & kVmclockGenerationPresent) != 0) {
      line->generation = Words::Load(page_->vm_generation_counter);
    }
  }

  ForeignStatus LoadTime(VmclockLine* line) const {
    if (!Has(kVmclockTimeSize)) return ForeignStatus::kNotReady;
    const uint8_t counter = Words::Load(page_->counter_id);
    line->time_type = VmclockTimeType{Words::Load(page_->time_type)};
    line->leap = VmclockLeap{Words::Load(page_->leap_indicator)};
    FracLine& at = line->line;
    at.period.shift = Words::Load(page_->counter_period_shift);
    at.counter_value = Words::Load(page_->counter_value);
    at.period.frac_sec = Words::Load(page_->counter_period_frac_sec);
    at.time.sec = Words::Load(page_->time_sec);
    at.time.frac_sec = Words::Load(page_->time_frac_sec);
    LoadTaiOffset(line);
    LoadErrors(line);
    if (counter == kVmclockNoCounter) return ForeignStatus::kWithdrawn;
    if (counter != kOurCounter) return ForeignStatus::kWrongCounter;
    if (line->clock_status == VmclockClockStatus::kUnreliable) {
      return ForeignStatus::kUnreliable;
    }
    if (line->time_type > VmclockTimeType::kMonotonic) {
      return ForeignStatus::kNoSuchTime;
    }
    if (at.period.frac_sec == 0) return ForeignStatus::kNotReady;
    return at.period.shift <= kMaxFracShift ? ForeignStatus::kOk
                                            : ForeignStatus::kMalformed;
  }

  // Either sign says how far TAI is ahead of UTC.
  void LoadTaiOffset(VmclockLine* line) const {
    const auto word = static_cast<int16_t>(Words::Load(page_->tai_offset_sec));
    const int32_t offset_sec = word < 0 ? -int32_t{word} : word;
    if (offset_sec > kMaxVmclockTaiOffsetSec) {
      line->flags &= ~kVmclockTaiOffsetValid;
    }
    line->tai_offset_sec =
        (line->flags & kVmclockTaiOffsetValid) != 0 ? offset_sec : 0;
  }

  void LoadErrors(VmclockLine* line) const {
    line->period_esterror =
        Words::Load(page_->counter_period_esterror_rate_frac_sec);
    line->period_maxerror =
        Words::Load(page_->counter_period_maxerror_rate_frac_sec);
    line->time_esterror_ns = line->time_maxerror_ns = 0;
    if (Has(offsetof(vmclock_abi, time_maxerror_nanosec))) {
      line->time_esterror_ns = Words::Load(page_->time_esterror_nanosec);
    } else {
      line->flags &= ~kVmclockTimeEsterrorValid;
    }
    if (Has(offsetof(vmclock_abi, vm_generation_counter))) {
      line->time_maxerror_ns = Words::Load(page_->time_maxerror_nanosec);
    } else {
      line->flags &= ~kVmclockTimeMaxerrorValid;
    }
  }

  const vmclock_abi* page_ = nullptr;
  uint32_t size_ = 0;
  [[no_unique_address]] Clock clock_ = {};
};

/// The region as a counter of ns, of TAI or MONOTONIC.
template <ClockSource Clock, class Memory = PageMemory>
using VmclockClock = ForeignClock<VmclockReader<Clock, Memory>>;

/// Publishes lines on a region. Context: one at a time; if guests are to be
/// notified, after Publish().
template <class Memory = PageMemory>
class VmclockWriter {
 public:
  /// The region must stay mapped; Format() makes a new one.
  constexpr VmclockWriter(vmclock_abi* page, VmclockTaiSign sign)
      : page_(page), sign_(sign) {}

  /// Makes a new region: every byte of this struct is written. Readers say
  /// kWithdrawn until the first Publish().
  /// Ordering: magic last, with release; the rest is under the sequence.
  /// Range: `region_size` >= sizeof(vmclock_abi).
  void Format(uint32_t region_size) {
    const SeqToken odd = WriteOpen<Words>(page_->seq_count);
    Words::Store(page_->size, region_size);
    Words::Store(page_->version, kVmclockVersion);
    Words::Store(page_->counter_id, kVmclockNoCounter);
    Words::Store(page_->time_type, uint8_t{0});
    Store(kNothing);
    WriteClose<Words>(page_->seq_count, odd);
    Words::StoreRelease(page_->magic, kVmclockMagic);
  }

  /// Publishes `line`, of the counter `counter_id` (VVAR_COUNTER_*).
  void Publish(uint32_t counter_id, const VmclockLine& line) {
    const SeqToken odd = Open(counter_id, line);
    Store(line);
    WriteClose<Words>(page_->seq_count, odd);
  }

  /// Publishes `*line`, and has moved it forward if it is behind `last`, which
  /// the region shows, when nobody reads that any more: what TIME_MONOTONIC
  /// promises, and the flag says. Its error bound counts what it was moved by.
  /// Ordering: `clock` counts in the guest's units; it is read after the region
  /// is being updated, so no read of `last` was later.
  template <ClockSource Clock>
  void PublishAfter(const VmclockLine& last, VmclockLine* line,
                    const Clock& clock) {
    line->flags |= kVmclockTimeMonotonic;
    const SeqToken odd = Open(Clock::kCounterId, *line);
    const uint64_t cycles = clock.ReadAfterStores();
    const FracTime old_time = line->line.time;
    line->line.time = NotBefore(line->line, cycles, last.line.At(cycles)).time;
    const Uint128 moved =
        SubtractWide({line->line.time.sec, line->line.time.frac_sec},
                     {old_time.sec, old_time.frac_sec});
    line->time_maxerror_ns =
        AddErrors(line->time_maxerror_ns, FracToNsUp({moved.high, moved.low}));
    Store(*line);
    WriteClose<Words>(page_->seq_count, odd);
  }

  /// Says that the counter is not to be used, and why: the marker and the
  /// generation, or what else `line` says, still holds.
  void Withdraw(const VmclockLine& line) { Publish(VVAR_COUNTER_NONE, line); }

 private:
  using Words = LittleEndian<Memory>;
  static constexpr VmclockLine kNothing = {};

  SeqToken Open(uint32_t counter_id, const VmclockLine& line) {
    const SeqToken odd = WriteOpen<Words>(page_->seq_count);
    Words::Store(page_->counter_id, VmclockCounterOf(counter_id));
    Words::Store(page_->time_type, static_cast<uint8_t>(line.time_type));
    return odd;
  }

  void Store(const VmclockLine& line) {
    Words::Store(page_->disruption_marker, line.disruption_marker);
    Words::Store(page_->flags, line.flags & kVmclockKnownFlags);
    Words::Store(page_->pad[0], uint8_t{0});
    Words::Store(page_->pad[1], uint8_t{0});
    Words::Store(page_->clock_status, static_cast<uint8_t>(line.clock_status));
    Words::Store(page_->leap_second_smearing_hint, uint8_t{0});
    const int32_t offset_sec = sign_ == VmclockTaiSign::kUtcMinusTai
                                   ? -line.tai_offset_sec
                                   : line.tai_offset_sec;
    Words::Store(page_->tai_offset_sec, static_cast<uint16_t>(offset_sec));
    Words::Store(page_->leap_indicator, static_cast<uint8_t>(line.leap));
    const FracLine& at = line.line;
    Words::Store(page_->counter_period_shift,
                 static_cast<uint8_t>(at.period.shift));
    Words::Store(page_->counter_value, at.counter_value);
    Words::Store(page_->counter_period_frac_sec, at.period.frac_sec);
    Words::Store(page_->counter_period_esterror_rate_frac_sec,
                 line.period_esterror);
    Words::Store(page_->counter_period_maxerror_rate_frac_sec,
                 line.period_maxerror);
    Words::Store(page_->time_sec, at.time.sec);
    Words::Store(page_->time_frac_sec, at.time.frac_sec);
    Words::Store(page_->time_esterror_nanosec, line.time_esterror_ns);
    Words::Store(page_->time_maxerror_nanosec, line.time_maxerror_ns);
    Words::Store(page_->vm_generation_counter, line.generation);
  }

  vmclock_abi* page_;
  VmclockTaiSign sign_;
};

}  // namespace vvar

#endif  // VVAR_PARAVIRT_VMCLOCK_H_
