// SPDX-License-Identifier: MIT
//
// VMClock, the clock page that tells real time with its error, of machines that
// may be moved: its bytes, and what they say once they are decoded.
// Freestanding; pure. No access to a live page: that is vmclock.h's.
// Source: Linux, include/uapi/linux/vmclock-abi.h, version 1.
#ifndef VVAR_PARAVIRT_VMCLOCK_ABI_H_
#define VVAR_PARAVIRT_VMCLOCK_ABI_H_

#include <stddef.h>
#include <stdint.h>

#include "paravirt/foreign_page.h"
#include "paravirt/frac_time.h"
#include "vvar/abi.h"
#include "vvar/timebase.h"
#include "vvar/wide.h"

namespace vvar {

/// The start of the region. Little-endian. A field is there if `size` covers
/// it.
struct vmclock_abi {
  uint32_t magic;
  uint32_t size;  ///< Of the region.
  uint16_t version;
  uint8_t counter_id;
  uint8_t time_type;
  uint32_t seq_count;  ///< Odd: an update is under way.
  alignas(8) uint64_t disruption_marker;
  alignas(8) uint64_t flags;
  uint8_t pad[2];
  uint8_t clock_status;
  uint8_t leap_second_smearing_hint;
  uint16_t tai_offset_sec;  ///< Two's complement; of either sign.
  uint8_t leap_indicator;
  uint8_t counter_period_shift;
  alignas(8) uint64_t counter_value;
  alignas(8) uint64_t counter_period_frac_sec;  ///< 2^-(64 + shift) s.
  alignas(8) uint64_t counter_period_esterror_rate_frac_sec;
  alignas(8) uint64_t counter_period_maxerror_rate_frac_sec;
  alignas(8) uint64_t time_sec;
  alignas(8) uint64_t time_frac_sec;  ///< 2^-64 s.
  alignas(8) uint64_t time_esterror_nanosec;
  alignas(8) uint64_t time_maxerror_nanosec;
  alignas(8) uint64_t vm_generation_counter;
};
static_assert(offsetof(vmclock_abi, magic) == 0x00);
static_assert(offsetof(vmclock_abi, size) == 0x04);
static_assert(offsetof(vmclock_abi, version) == 0x08);
static_assert(offsetof(vmclock_abi, counter_id) == 0x0a);
static_assert(offsetof(vmclock_abi, time_type) == 0x0b);
static_assert(offsetof(vmclock_abi, seq_count) == 0x0c);
static_assert(offsetof(vmclock_abi, disruption_marker) == 0x10);
static_assert(offsetof(vmclock_abi, flags) == 0x18);
static_assert(offsetof(vmclock_abi, pad) == 0x20);
static_assert(offsetof(vmclock_abi, clock_status) == 0x22);
static_assert(offsetof(vmclock_abi, leap_second_smearing_hint) == 0x23);
static_assert(offsetof(vmclock_abi, tai_offset_sec) == 0x24);
static_assert(offsetof(vmclock_abi, leap_indicator) == 0x26);
static_assert(offsetof(vmclock_abi, counter_period_shift) == 0x27);
static_assert(offsetof(vmclock_abi, counter_value) == 0x28);
static_assert(offsetof(vmclock_abi, counter_period_frac_sec) == 0x30);
static_assert(offsetof(vmclock_abi, counter_period_esterror_rate_frac_sec) ==
              0x38);
static_assert(offsetof(vmclock_abi, counter_period_maxerror_rate_frac_sec) ==
              0x40);
static_assert(offsetof(vmclock_abi, time_sec) == 0x48);
static_assert(offsetof(vmclock_abi, time_frac_sec) == 0x50);
static_assert(offsetof(vmclock_abi, time_esterror_nanosec) == 0x58);
static_assert(offsetof(vmclock_abi, time_maxerror_nanosec) == 0x60);
static_assert(offsetof(vmclock_abi, vm_generation_counter) == 0x68);
static_assert(sizeof(vmclock_abi) == 0x70);

inline constexpr uint32_t kVmclockMagic = 0x4b4c4356;  ///< Bytes "VCLK".
inline constexpr uint16_t kVmclockVersion = 1;         ///< Others are refused.
/// Without the marker and the flags it is no such page.
inline constexpr uint32_t kVmclockMarkerSize = 0x20;
/// Without the first error bound it tells no time.
inline constexpr uint32_t kVmclockTimeSize = 0x58;

/// @{
/// vmclock_abi::counter_id.
inline constexpr uint8_t kVmclockArmCounter = 0;
inline constexpr uint8_t kVmclockX86Tsc = 1;
inline constexpr uint8_t kVmclockNoCounter = 0xff;
/// @}

/// @{
/// vmclock_abi::flags: which fields hold, and what is to come.
inline constexpr uint64_t kVmclockTaiOffsetValid = 1 << 0;
inline constexpr uint64_t kVmclockDisruptionSoon = 1 << 1;
inline constexpr uint64_t kVmclockDisruptionImminent = 1 << 2;
inline constexpr uint64_t kVmclockPeriodEsterrorValid = 1 << 3;
inline constexpr uint64_t kVmclockPeriodMaxerrorValid = 1 << 4;
inline constexpr uint64_t kVmclockTimeEsterrorValid = 1 << 5;
inline constexpr uint64_t kVmclockTimeMaxerrorValid = 1 << 6;
inline constexpr uint64_t kVmclockTimeMonotonic = 1 << 7;
inline constexpr uint64_t kVmclockGenerationPresent = 1 << 8;
inline constexpr uint64_t kVmclockNotificationPresent = 1 << 9;
/// @}
/// All of these; others are cleared when a line is published.
inline constexpr uint64_t kVmclockKnownFlags = (1 << 10) - 1;

/// vmclock_abi::time_type: what its time is of.
enum class VmclockTimeType : uint8_t { kUtc = 0, kTai = 1, kMonotonic = 2 };

/// vmclock_abi::clock_status: how far its time is vouched for.
enum class VmclockClockStatus : uint8_t {
  kUnknown = 0,
  kInitialising = 1,
  kSynchronised = 2,
  kFreeRunning = 3,
  kUnreliable = 4,
};

/// vmclock_abi::leap_indicator: the next leap second, or the last.
enum class VmclockLeap : uint8_t {
  kNone = 0,
  kPreInsert = 1,
  kPreDelete = 2,
  kInserted = 3,  ///< 23:59:60 is under way.
  kPostInsert = 4,
  kPostDelete = 5,
};

/// How a writer means tai_offset_sec, which the format leaves open. Readers
/// take either: TAI is ahead of UTC.
enum class VmclockTaiSign : uint32_t {
  kUtcMinusTai,  ///< -37: what guests of Linux compute with.
  kTaiMinusUtc,  ///< +37: what hosts of Linux write.
};

/// |tai_offset_sec| above this is no offset.
inline constexpr int32_t kMaxVmclockTaiOffsetSec = 100;

/// The counter_id of a counter, kVmclockNoCounter where none is defined.
constexpr uint8_t VmclockCounterOf(uint32_t counter_id) {
  return counter_id == VVAR_COUNTER_X86_TSC      ? kVmclockX86Tsc
         : counter_id == VVAR_COUNTER_ARM_CNTVCT ? kVmclockArmCounter
                                                 : kVmclockNoCounter;
}

/// What a page says, decoded.
struct VmclockLine {
  FracLine line;
  uint64_t period_esterror;  ///< Units of the period.
  uint64_t period_maxerror;
  uint64_t time_esterror_ns;
  uint64_t time_maxerror_ns;
  uint64_t disruption_marker;  ///< New: what was measured before is void.
  uint64_t generation;         ///< 0 where there is none.
  uint64_t flags;              ///< kVmclock*
  int32_t tai_offset_sec;      ///< TAI - UTC; 0 unless it is valid.
  VmclockTimeType time_type;
  VmclockClockStatus clock_status;
  VmclockLeap leap;

  /// Finds the time of kind `wanted` at `cycles`: kNoSuchTime where the page
  /// tells another kind, and no TAI offset leads there.
  [[nodiscard]] constexpr ForeignStatus TimeAt(VmclockTimeType wanted,
                                               uint64_t cycles,
                                               FracTime* time) const {
    FracTime now = line.At(cycles);
    if (wanted != time_type) {
      if (wanted == VmclockTimeType::kMonotonic ||
          time_type == VmclockTimeType::kMonotonic ||
          (flags & kVmclockTaiOffsetValid) == 0) {
        return ForeignStatus::kNoSuchTime;
      }
      const auto offset = static_cast<uint64_t>(int64_t{tai_offset_sec});
      now.sec += wanted == VmclockTimeType::kTai ? offset : 0 - offset;
    }
    *time = now;
    return ForeignStatus::kOk;
  }

  /// Returns how far the time at `cycles` may be off, at most; UINT64_MAX where
  /// the page does not say.
  constexpr uint64_t MaxErrorNsAt(uint64_t cycles) const {
    constexpr uint64_t kBoth =
        kVmclockTimeMaxerrorValid | kVmclockPeriodMaxerrorValid;
    return ErrorNsAt(cycles, kBoth, time_maxerror_ns, period_maxerror);
  }
  /// Likewise what it is estimated to be.
  constexpr uint64_t EstErrorNsAt(uint64_t cycles) const {
    constexpr uint64_t kBoth =
        kVmclockTimeEsterrorValid | kVmclockPeriodEsterrorValid;
    return ErrorNsAt(cycles, kBoth, time_esterror_ns, period_esterror);
  }

  friend constexpr bool operator==(const VmclockLine&,
                                   const VmclockLine&) = default;

 private:
  constexpr uint64_t ErrorNsAt(uint64_t cycles, uint64_t needed,
                               uint64_t error_ns, uint64_t rate) const {
    if ((flags & needed) != needed) return UINT64_MAX;
    const Uint128 growth = line.Span(cycles, rate);
    return AddErrors(error_ns, FracToNsUp({growth.high, growth.low}));
  }
};

}  // namespace vvar

#endif  // VVAR_PARAVIRT_VMCLOCK_ABI_H_
