// SPDX-License-Identifier: MIT
//
// pvclock, the clock page of KVM and Xen: one record for each vCPU, read by
// guests, written by whoever runs them. Freestanding. Its arithmetic is pure;
// which MSR, hypercall or CPUID bit leads to the records is the embedder's. The
// wall clock that goes with it is wall_clock.h's.
// Source: Linux, arch/x86/include/asm/pvclock-abi.h and
// Documentation/virt/kvm/x86/msr.rst; Xen, xen/include/public/xen.h.
#ifndef VVAR_PARAVIRT_PVCLOCK_H_
#define VVAR_PARAVIRT_PVCLOCK_H_

#include <stddef.h>
#include <stdint.h>

#include "paravirt/foreign_page.h"
#include "vvar/abi.h"
#include "vvar/clocksource.h"
#include "vvar/scale.h"
#include "vvar/seqcount.h"
#include "vvar/wide.h"

namespace vvar {

/// The record of one vCPU. Little-endian; 8-aligned, as guests place it.
struct pvclock_vcpu_time_info {
  uint32_t version;  ///< Odd: an update is under way.
  uint32_t pad0;
  alignas(8) uint64_t tsc_timestamp;  ///< Guest's TSC at the update.
  alignas(8) uint64_t system_time;    ///< ns then; may be below zero.
  uint32_t tsc_to_system_mul;         ///< Units of 2^-32.
  uint8_t tsc_shift;                  ///< Two's complement; negative: right.
  uint8_t flags;                      ///< kPvclock*
  uint8_t pad[2];
};
static_assert(offsetof(pvclock_vcpu_time_info, version) == 0);
static_assert(offsetof(pvclock_vcpu_time_info, pad0) == 4);
static_assert(offsetof(pvclock_vcpu_time_info, tsc_timestamp) == 8);
static_assert(offsetof(pvclock_vcpu_time_info, system_time) == 16);
static_assert(offsetof(pvclock_vcpu_time_info, tsc_to_system_mul) == 24);
static_assert(offsetof(pvclock_vcpu_time_info, tsc_shift) == 28);
static_assert(offsetof(pvclock_vcpu_time_info, flags) == 29);
static_assert(offsetof(pvclock_vcpu_time_info, pad) == 30);
static_assert(sizeof(pvclock_vcpu_time_info) == 32);

/// One record is good for all CPUs, if CPUID 4000_0001h EAX bit 24 (KVM) says
/// that this flag means anything.
inline constexpr uint8_t kPvclockTscStable = 1;
/// The host stopped this guest; the guest clears it.
inline constexpr uint8_t kPvclockGuestStopped = 2;
/// Broke the ABI; not used any more. Source: Linux, pvclock-abi.h.
inline constexpr uint8_t kPvclockCountsFromZero = 4;

/// Where Xen has the record, in vcpu_info.
inline constexpr size_t kXenTimeInfoOffset = 32;

/// Slope of a record: ns = cycles * 2^shift * mul / 2^32.
struct PvclockRate {
  uint32_t mul;  ///< Units of 2^-32.
  int32_t shift;

  friend constexpr bool operator==(const PvclockRate&,
                                   const PvclockRate&) = default;
};

/// |shift| of a record that is none of a hypervisor's.
inline constexpr int32_t kMaxPvclockShift = 31;

/// Returns the rate of a TSC, as KVM chooses it: mul in [2^31, 2^32).
/// Range: hz > 0. Error: 0.47 ppb, towards slower. Context: writer side.
constexpr PvclockRate PvclockRateFromHz(uint64_t hz) {
  PvclockRate rate = {0, 0};
  if (hz == 0) return rate;
  for (; hz > 2 * kNsPerSec; hz >>= 1) --rate.shift;
  for (; hz <= kNsPerSec; hz <<= 1) ++rate.shift;
  // Bound: 10^9 << 32 < 2^62, and hz > 10^9: the quotient is below 2^32.
  rate.mul = static_cast<uint32_t>(DivideU64(kNsPerSec << 32, hz));
  return rate;
}

/// Returns the frequency that a rate stands for, 0 for mul == 0.
/// Error: truncation, and the rate's own. Range: |shift| <= kMaxPvclockShift.
constexpr uint64_t PvclockRateToHz(PvclockRate rate) {
  if (rate.mul == 0) return 0;
  // Bound: below 2^62 << 31 = 2^93.
  const Uint128 hz = QuotientWide(
      rate.shift < 0 ? ShiftLeftWide({0, kNsPerSec << 32},
                                     static_cast<uint32_t>(-rate.shift))
                     : Uint128{0, kNsPerSec << 32},
      rate.mul);
  if (rate.shift < 0) return hz.high != 0 ? UINT64_MAX : hz.low;
  return ShiftRight(hz.low, static_cast<uint32_t>(rate.shift));
}

/// What one record says: a line.
struct PvclockLine {
  uint64_t tsc_timestamp;   ///< Where it begins.
  uint64_t system_time_ns;  ///< Modulo 2^64.
  PvclockRate rate;         ///< From there on.
  uint8_t flags;            ///< kPvclock*

  /// Returns the system time at `tsc`, in ns modulo 2^64: the published formula
  /// without its overflow, for every distance. A TSC that is a little before
  /// the record counts as at it.
  /// Error: truncation; none against the formula.
  /// Range: |shift| <= kMaxPvclockShift.
  constexpr uint64_t NsAt(uint64_t tsc) const {
    const auto delta = static_cast<int64_t>(tsc - tsc_timestamp);
    if (delta < 0) return system_time_ns;
    const auto cycles = static_cast<uint64_t>(delta);
    if (rate.shift < 0) {
      const auto right = static_cast<uint32_t>(-rate.shift);
      return system_time_ns +
             ShiftRightWide(MultiplyWide(ShiftRight(cycles, right), rate.mul),
                            32)
                 .low;
    }
    // Bound: 63 + 32 + 31 bits; shifted after the product, no bit is lost.
    const Uint128 product = ShiftLeftWide(MultiplyWide(cycles, rate.mul),
                                          static_cast<uint32_t>(rate.shift));
    return system_time_ns + ShiftRightWide(product, 32).low;
  }
  /// Whether it is marked as good for every CPU.
  constexpr bool IsStable() const { return (flags & kPvclockTscStable) != 0; }

  friend constexpr bool operator==(const PvclockLine&,
                                   const PvclockLine&) = default;
};

/// Returns `line`, moved forward if it is below `floor_ns` at `tsc`: so that
/// what follows a line, or a restore, is never earlier than what was read.
constexpr PvclockLine NotBefore(PvclockLine line, uint64_t tsc,
                                uint64_t floor_ns) {
  const uint64_t missing_ns = floor_ns - line.NsAt(tsc);
  if (static_cast<int64_t>(missing_ns) > 0) line.system_time_ns += missing_ns;
  return line;
}

/// Who may use a record.
enum class PvclockUse : uint32_t {
  /// Its own vCPU only: the caller makes sure that it is on that one all the
  /// while, and keeps the maximum over all vCPUs: their records may differ.
  kOwnCpu,
  /// Every vCPU, and user space: as long as the record is marked stable.
  kEveryCpu,
};

/// Reads a record. Copyable; never writes.
/// Progress: bounded by kForeignTries. Context: any, NMI included.
template <ClockSource Clock, class Memory = PageMemory>
class PvclockReader {
 public:
  static constexpr uint32_t kCounterId = VVAR_COUNTER_PRIVATE | 0x70761;
  static constexpr uint64_t kHz = kNsPerSec;
  static_assert(Clock::kCounterBits == 64, "the TSC");

  /// A reader of nothing: each read says kAbsent.
  constexpr PvclockReader() = default;
  /// A reader of a record, 8-aligned, which must stay mapped; null: of nothing.
  constexpr PvclockReader(const pvclock_vcpu_time_info* record, Clock clock,
                          PvclockUse use)
      : record_(record), clock_(clock), use_(use) {}

  /// Returns the system time, in ns modulo 2^64. Ordering: as clock_gettime().
  [[nodiscard]] ForeignCount Now() const {
    return Count<CounterOrder::kOrdered>();
  }
  /// The same, in the order that is asked for.
  template <CounterOrder kOrder>
  [[nodiscard]] ForeignCount Count() const {
    PvclockLine line;
    uint64_t tsc;
    const ForeignStatus status = Read<kOrder>(&line, &tsc);
    if (status != ForeignStatus::kOk) return {0, status};
    return {line.NsAt(tsc), status};
  }

  /// Copies the record, and the counter read with it. Ordering: as
  /// clock_gettime(). Error: both are undefined unless kOk.
  [[nodiscard]] ForeignStatus ReadLine(PvclockLine* line, uint64_t* tsc) const {
    return Read<CounterOrder::kOrdered>(line, tsc);
  }

  /// The counter that the page scales.
  constexpr const Clock& clock() const { return clock_; }

 private:
  using Words = LittleEndian<Memory>;

  template <CounterOrder kOrder>
  ForeignStatus Read(PvclockLine* line, uint64_t* tsc) const {
    *tsc = 0;
    if (record_ == nullptr) return ForeignStatus::kAbsent;
    return ReadForeign<SequenceRule::kOddIsBusy, Words>(
        record_->version, clock_, [&](SeqToken seq) {
          *tsc = ReadCounter<kOrder>(clock_, seq);
          return Load(line);
        });
  }
  ForeignStatus Load(PvclockLine* line) const {
    line->tsc_timestamp = Words::Load(record_->tsc_timestamp);
    line->system_time_ns = Words::Load(record_->system_time);
    line->rate.mul = Words::Load(record_->tsc_to_system_mul);
    line->rate.shift = static_cast<int8_t>(Words::Load(record_->tsc_shift));
    line->flags = Words::Load(record_->flags);
    if (line->rate.mul == 0) return ForeignStatus::kNotReady;
    if (line->rate.shift > kMaxPvclockShift ||
        line->rate.shift < -kMaxPvclockShift) {
      return ForeignStatus::kMalformed;
    }
    return use_ == PvclockUse::kEveryCpu && !line->IsStable()
               ? ForeignStatus::kWithdrawn
               : ForeignStatus::kOk;
  }

  const pvclock_vcpu_time_info* record_ = nullptr;
  [[no_unique_address]] Clock clock_ = {};
  PvclockUse use_ = PvclockUse::kEveryCpu;
};

/// A record as a counter of ns.
template <ClockSource Clock, class Memory = PageMemory>
using PvclockClock = ForeignClock<PvclockReader<Clock, Memory>>;

/// Says, in the guest, that its having been stopped was noticed. Returns
/// whether it had been. Context: the record's own vCPU.
template <class Memory = PageMemory>
bool ClearGuestStopped(pvclock_vcpu_time_info& record) {
  const uint8_t flags = Memory::Load(record.flags);
  if ((flags & kPvclockGuestStopped) == 0) return false;
  Memory::Store(record.flags,
                static_cast<uint8_t>(flags & ~kPvclockGuestStopped));
  return true;
}

/// Publishes lines on the records of a machine's vCPUs, null for one that has
/// not registered its own. All of them are being updated before the first is
/// done: whoever has read the new line anywhere reads the old one nowhere.
/// Context: one at a time; while none of these vCPUs runs, or a guest that
/// clears GUEST_STOPPED just then may find it set once more.
template <class Memory = PageMemory>
class PvclockWriter {
 public:
  /// `records` and all they point to must stay.
  constexpr PvclockWriter(pvclock_vcpu_time_info* const* records, size_t count)
      : records_(records), count_(count) {}

  /// Publishes `line`. A record's GUEST_STOPPED stays set if it is, every byte
  /// without a meaning becomes 0.
  void Publish(const PvclockLine& line) {
    Open();
    Store(line);
    Close();
  }

  /// Publishes `line`, moved forward if it is behind `last`, which the records
  /// show, when nobody reads that any more. Returns it as published.
  /// Ordering: `clock` counts in the guest's units; it is read after the
  /// records are being updated, so no read of `last` was later.
  template <ClockSource Clock>
  PvclockLine PublishAfter(const PvclockLine& last, const PvclockLine& line,
                           const Clock& clock) {
    Open();
    const uint64_t tsc = clock.ReadAfterStores();
    const PvclockLine next = NotBefore(line, tsc, last.NsAt(tsc));
    Store(next);
    Close();
    return next;
  }

 private:
  using Words = LittleEndian<Memory>;

  void Open() {
    for (size_t i = 0; i < count_; ++i) {
      if (records_[i] != nullptr) WriteOpen<Words>(records_[i]->version);
    }
  }
  void Store(const PvclockLine& line) {
    for (size_t i = 0; i < count_; ++i) {
      if (records_[i] != nullptr) Store(*records_[i], line);
    }
  }
  void Close() {
    for (size_t i = 0; i < count_; ++i) {
      if (records_[i] == nullptr) continue;
      uint32_t& version = records_[i]->version;
      WriteClose<Words>(version, Words::Load(version));
    }
  }
  static void Store(pvclock_vcpu_time_info& record, const PvclockLine& line) {
    constexpr uint8_t kKnown =
        kPvclockTscStable | kPvclockGuestStopped | kPvclockCountsFromZero;
    const uint8_t stopped = Words::Load(record.flags) & kPvclockGuestStopped;
    Words::Store(record.pad0, uint32_t{0});
    Words::Store(record.tsc_timestamp, line.tsc_timestamp);
    Words::Store(record.system_time, line.system_time_ns);
    Words::Store(record.tsc_to_system_mul, line.rate.mul);
    Words::Store(record.tsc_shift, static_cast<uint8_t>(line.rate.shift));
    Words::Store(record.flags,
                 static_cast<uint8_t>((line.flags & kKnown) | stopped));
    Words::Store(record.pad[0], uint8_t{0});
    Words::Store(record.pad[1], uint8_t{0});
  }

  pvclock_vcpu_time_info* const* records_;
  size_t count_;
};

}  // namespace vvar

#endif  // VVAR_PARAVIRT_PVCLOCK_H_
