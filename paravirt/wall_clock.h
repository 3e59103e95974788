// SPDX-License-Identifier: MIT
//
// The wall clock that goes with pvclock, in KVM and Xen: one for each machine,
// read by guests, written by whoever runs them. Freestanding. It tells the time
// at which the system time was 0, as of when the guest last asked.
// Source: Linux, arch/x86/include/asm/pvclock-abi.h and
// Documentation/virt/kvm/x86/msr.rst; Xen, xen/include/public/xen.h.
#ifndef VVAR_PARAVIRT_WALL_CLOCK_H_
#define VVAR_PARAVIRT_WALL_CLOCK_H_

#include <stddef.h>
#include <stdint.h>

#include "paravirt/foreign_page.h"
#include "vvar/clocksource.h"
#include "vvar/scale.h"
#include "vvar/seqcount.h"
#include "vvar/timebase.h"

namespace vvar {

/// The wall clock of one machine: its time when system_time was 0.
struct pvclock_wall_clock {
  uint32_t version;  ///< Odd: an update is under way.
  uint32_t sec;      ///< Xen has the upper half elsewhere.
  uint32_t nsec;
};
static_assert(offsetof(pvclock_wall_clock, version) == 0);
static_assert(offsetof(pvclock_wall_clock, sec) == 4);
static_assert(offsetof(pvclock_wall_clock, nsec) == 8);
static_assert(sizeof(pvclock_wall_clock) == 12);

/// @{
/// Where Xen has them: the wall clock, and the upper half of its seconds, in
/// shared_info of 64- and of 32-bit guests.
inline constexpr size_t kXenWallClockOffset = 0xc00;
inline constexpr size_t kXenWallClockSecHighOffset = 0xc0c;
inline constexpr size_t kXenWallClockOffset32 = 0x900;
inline constexpr size_t kXenWallClockSecHighOffset32 = 0x924;
/// @}

/// What a wall clock says. `age_ns` ago the host was asked for it, and it has
/// not changed since, whatever the host's clock has done. Valid only if ok().
struct WallClockReading {
  Timespec realtime;
  uint64_t age_ns;
  ForeignStatus status;
  /// False: `status` says why there is no time.
  constexpr bool ok() const { return status == ForeignStatus::kOk; }
};

/// Reads a wall clock that the guest asked for when the system time was
/// `asked_ns`: nobody else says how old it is. A KVM host writes it when asked
/// and never else; Xen's also when its own is stepped.
/// Progress: bounded by kForeignTries. Context: any, NMI included.
template <ClockSource Clock, class Memory = PageMemory>
class WallClockReader {
 public:
  /// A reader of nothing: each read says kAbsent.
  constexpr WallClockReader() = default;
  /// `sec_high` is Xen's; null: the seconds wrap in 2106, as KVM's do.
  constexpr WallClockReader(const pvclock_wall_clock* wall,
                            const uint32_t* sec_high, uint64_t asked_ns,
                            Clock clock)
      : wall_(wall), sec_high_(sec_high), asked_ns_(asked_ns), clock_(clock) {}

  /// Returns the wall time when the system time is `system_time_ns`.
  [[nodiscard]] WallClockReading At(uint64_t system_time_ns) const {
    if (wall_ == nullptr) return {{0, 0}, 0, ForeignStatus::kAbsent};
    uint64_t sec = 0;
    uint32_t nsec = 0;
    SeqToken version = 0;
    const ForeignStatus status = ReadForeign<SequenceRule::kOddIsBusy, Words>(
        wall_->version, clock_, [&](SeqToken seq) {
          version = seq;
          sec = Words::Load(wall_->sec);
          nsec = Words::Load(wall_->nsec);
          if (sec_high_ != nullptr) {
            sec |= uint64_t{Words::Load(*sec_high_)} << 32;
          }
          return ForeignStatus::kOk;
        });
    if (status != ForeignStatus::kOk) return {{0, 0}, 0, status};
    if (version == 0) return {{0, 0}, 0, ForeignStatus::kNotReady};
    if (nsec >= kNsPerSec) return {{0, 0}, 0, ForeignStatus::kMalformed};
    const Timespec run = NsToTimespec(static_cast<int64_t>(system_time_ns));
    const Timebase now =
        Add({static_cast<int64_t>(sec), nsec}, {run.sec, run.nsec}, 0);
    const uint64_t age_ns = system_time_ns - asked_ns_;
    return {TimebaseToTimespec(now, 0),
            static_cast<int64_t>(age_ns) < 0 ? 0 : age_ns, status};
  }

 private:
  using Words = LittleEndian<Memory>;

  const pvclock_wall_clock* wall_ = nullptr;
  const uint32_t* sec_high_ = nullptr;
  uint64_t asked_ns_ = 0;
  [[no_unique_address]] Clock clock_ = {};
};

/// Publishes the wall time at system time 0: realtime - system time, at any
/// instant. `sec_high` is Xen's, else null.
/// Context: one at a time.
template <class Memory = PageMemory>
void PublishWallClock(pvclock_wall_clock& wall, uint32_t* sec_high,
                      Timespec at_zero) {
  using Words = LittleEndian<Memory>;
  const auto sec = static_cast<uint64_t>(at_zero.sec);
  const SeqToken odd = WriteOpen<Words>(wall.version);
  Words::Store(wall.sec, static_cast<uint32_t>(sec));
  Words::Store(wall.nsec, at_zero.nsec);
  if (sec_high != nullptr) {
    Words::Store(*sec_high, static_cast<uint32_t>(sec >> 32));
  }
  WriteClose<Words>(wall.version, odd);
}

}  // namespace vvar

#endif  // VVAR_PARAVIRT_WALL_CLOCK_H_
