// SPDX-License-Identifier: MIT
//
// What a time namespace adds to a page's clocks, and where a reader takes it
// from: a policy of Reader with one function, Of(id). Freestanding core; no
// line, no counter. One page of time serves every namespace; the offsets are
// the reader's. An offset page is hostile: each word is loaded once, bounded.
#ifndef VVAR_OFFSET_H_
#define VVAR_OFFSET_H_

#include <stddef.h>
#include <stdint.h>

#include "vvar/header.h"
#include "vvar/page.h"
#include "vvar/seqcount.h"
#include "vvar/timebase.h"

namespace vvar {

/// The offsets of a time namespace.
enum class OffsetKind : uint32_t { kNone, kMonotonic, kBoottime };

/// Returns which of them a clock has.
/// Source: time_namespaces(7). REALTIME and TAI are not virtualised.
constexpr OffsetKind OffsetKindOf(ClockId id) {
  switch (id) {
    case ClockId::kMonotonic:
    case ClockId::kMonotonicRaw:
    case ClockId::kMonotonicCoarse:
      return OffsetKind::kMonotonic;
    case ClockId::kBoottime:
      return OffsetKind::kBoottime;
    case ClockId::kRealtime:
    case ClockId::kRealtimeCoarse:
    case ClockId::kTai:
      break;
  }
  return OffsetKind::kNone;
}

/// Returns a time moved by an offset, in ns modulo 2^64.
constexpr uint64_t AddOffset(uint64_t ns, Timespec by) {
  return ns + TimespecToNs(by);
}
/// The same; seconds are modulo 2^64. Range: both nsec in [0, 10^9).
constexpr Timespec AddOffset(Timespec time, Timespec by) {
  uint64_t sec =
      static_cast<uint64_t>(time.sec) + static_cast<uint64_t>(by.sec);
  // Bound: 2 * (10^9 - 1) < 2^32.
  uint32_t nsec = time.nsec + by.nsec;
  if (nsec >= kNsPerSec) {
    nsec -= static_cast<uint32_t>(kNsPerSec);
    ++sec;
  }
  return {static_cast<int64_t>(sec), nsec};
}

/// For readers in the namespace that the page's time is in: no code at all.
struct NoOffsets {
  /// What AddOffset() makes no code of.
  struct None {};
  /// None for any clock.
  static constexpr None Of(ClockId /*id*/) { return {}; }
};
/// Returns the time as it is.
template <class Time>
constexpr Time AddOffset(Time time, NoOffsets::None /*by*/) {
  return time;
}

/// Leaves a line as it is.
constexpr void AddOffsets(Line& /*line*/, const NoOffsets& /*offsets*/) {}
/// Moves the clocks of a line by their offsets. Range: every input.
template <class Offsets>
constexpr void AddOffsets(Line& line, const Offsets& policy) {
  // A hostile shift is another length of a second: wrong, and defined.
  const uint32_t shift = line.scale.shift & 63;
  const auto add = [&](uint32_t index, ClockId id) {
    line.base[index] =
        Add(line.base[index], TimespecToTimebase(policy.Of(id), shift), shift);
  };
  add(VVAR_BASE_MONOTONIC, ClockId::kMonotonic);
  add(VVAR_BASE_MONOTONIC_RAW, ClockId::kMonotonicRaw);
  add(VVAR_BASE_BOOTTIME, ClockId::kBoottime);
  Timespec& coarse = line.coarse[VVAR_COARSE_MONOTONIC];
  coarse = AddOffset(coarse, policy.Of(ClockId::kMonotonicCoarse));
}

/// Offsets that the reader holds, in a process that knows its own.
/// Range: nsec in [0, 10^9), as in every Timespec: -0.5 s is {-1, 500'000'000}.
struct ClockOffsets {
  Timespec monotonic = {};
  Timespec boottime = {};

  /// What a clock of the page is moved by.
  constexpr Timespec Of(ClockId id) const {
    const OffsetKind kind = OffsetKindOf(id);
    if (kind == OffsetKind::kMonotonic) return monotonic;
    return kind == OffsetKind::kBoottime ? boottime : Timespec{};
  }
  friend constexpr bool operator==(const ClockOffsets&,
                                   const ClockOffsets&) = default;
};

/// Stores one offset of a page. Context: FormatOffsets().
template <class Memory>
void StoreOffset(vvar_offset& offset, Timespec value) {
  Memory::Store(offset.sec, value.sec);
  Memory::Store(offset.nsec, value.nsec);
}

/// Loads one offset of a page, normalised whatever the bytes are.
template <class Memory>
Timespec LoadOffset(const vvar_offset& offset) {
  const uint32_t nsec = NsecOf(Memory::Load(offset.nsec));
  return {Memory::Load(offset.sec), nsec};
}

/// Writes an offset page whose bytes are all zero.
/// Ordering: magic last, with release; readers load it first.
/// Context: the owner, before the namespace has a process; never again.
template <class Memory = PageMemory>
void FormatOffsets(vvar_offsets& offsets, const ClockOffsets& values) {
  Memory::Store(offsets.endian_tag, VVAR_ENDIAN_TAG);
  Memory::Store(offsets.abi_major, VVAR_ABI_MAJOR);
  Memory::Store(offsets.abi_minor, VVAR_ABI_MINOR);
  Memory::Store(offsets.size, static_cast<uint32_t>(sizeof(vvar_offsets)));
  StoreOffset<Memory>(offsets.monotonic, values.monotonic);
  StoreOffset<Memory>(offsets.boottime, values.boottime);
  Memory::StoreRelease(offsets.magic, VVAR_OFFSETS_MAGIC);
}

/// Offsets on a page, loaded anew by each read: a kernel that maps another
/// namespace's page in its place moves every reader along. Context: as Reader.
template <class Memory = PageMemory>
class OffsetPage {
 public:
  /// The initial namespace: offsets of 0.
  constexpr OffsetPage() = default;
  /// A page that Attach() would take. It must stay mapped.
  constexpr explicit OffsetPage(const vvar_offsets* offsets)
      : offsets_(offsets) {}

  /// Attaches to what claims to be an offset page of at most `size` bytes.
  /// Error: `*page` is untouched unless kOk.
  /// Context: any; every byte may be hostile.
  [[nodiscard]] static PageStatus Attach(const void* bytes, size_t size,
                                         OffsetPage* page) {
    if (size < sizeof(vvar_offsets)) return PageStatus::kTooSmall;
    const auto& offsets = *static_cast<const vvar_offsets*>(bytes);
    const PageStatus identity =
        CheckIdentity<Memory>(offsets, VVAR_OFFSETS_MAGIC);
    if (identity != PageStatus::kOk) return identity;
    const uint32_t claimed = Memory::Load(offsets.size);
    if (claimed < sizeof(vvar_offsets) || claimed > size) {
      return PageStatus::kTooSmall;
    }
    if (Memory::Load(offsets.monotonic.nsec) >= kNsPerSec ||
        Memory::Load(offsets.boottime.nsec) >= kNsPerSec) {
      return PageStatus::kBadLayout;
    }
    *page = OffsetPage(&offsets);
    return PageStatus::kOk;
  }

  /// The same, loaded anew each time.
  Timespec Of(ClockId id) const {
    const vvar_offsets& offsets = *offsets_;
    const OffsetKind kind = OffsetKindOf(id);
    if (kind == OffsetKind::kNone) return {};
    return LoadOffset<Memory>(
        kind == OffsetKind::kMonotonic ? offsets.monotonic : offsets.boottime);
  }

 private:
  static constexpr vvar_offsets kInitialNamespace = {};
  const vvar_offsets* offsets_ = &kInitialNamespace;
};

}  // namespace vvar

#endif  // VVAR_OFFSET_H_
