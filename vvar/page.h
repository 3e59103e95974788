// SPDX-License-Identifier: MIT
//
// C++ names for vvar/abi.h, with every offset and size asserted by a literal:
// a change of the page's bytes stops the build here. Freestanding core; no
// code beyond constexpr names, no access to a live page.
#ifndef VVAR_PAGE_H_
#define VVAR_PAGE_H_

#include <stddef.h>
#include <stdint.h>

#include "vvar/abi.h"

/// The core, the counters and foreign clock pages: freestanding.
namespace vvar {

/// POSIX and Linux clock ids that a page answers for.
enum class ClockId : int32_t {
  kRealtime = VVAR_CLOCK_REALTIME,
  kMonotonic = VVAR_CLOCK_MONOTONIC,
  kMonotonicRaw = VVAR_CLOCK_MONOTONIC_RAW,
  kRealtimeCoarse = VVAR_CLOCK_REALTIME_COARSE,
  kMonotonicCoarse = VVAR_CLOCK_MONOTONIC_COARSE,
  kBoottime = VVAR_CLOCK_BOOTTIME,
  kTai = VVAR_CLOCK_TAI,
};

/// Quality of the time on a line, as its writer vouches for it.
enum class ClockStatus : uint32_t {
  kNone = VVAR_STATUS_NONE,
  kUnsynchronised = VVAR_STATUS_UNSYNCHRONISED,
  kSynchronised = VVAR_STATUS_SYNCHRONISED,
  kFreeRunning = VVAR_STATUS_FREE_RUNNING,
  kUnreliable = VVAR_STATUS_UNRELIABLE,
};

/// The outcome of one read. Only kOk comes with a time.
enum class ReadStatus : uint32_t {
  kOk = 0,
  kBusy,          ///< Every try met a publication; ask again or fall back.
  kStale,         ///< The counter lies beyond what the line answers for.
  kNotReady,      ///< Nothing has been published yet.
  kUnknownClock,  ///< The page has no such clock; the system may.
  kWrongCounter,  ///< The line belongs to another counter than the reader's.
  kNoCounter,     ///< The counter was withdrawn; coarse clocks still answer.
  kUnreadableCounter,  ///< This process may not read the counter.
};

/// The outcome of checking a page's header. Only kOk may be read.
enum class PageStatus : uint32_t {
  kOk = 0,
  kTooSmall,      ///< Shorter than the page it claims, or than a page at all.
  kBadMagic,      ///< Not such a page, or one whose writer has not begun.
  kWrongEndian,   ///< Written on a machine of the other endianness.
  kWrongMajor,    ///< An incompatible layout.
  kBadLayout,     ///< Timelines outside the page or misaligned; nsec >= 10^9.
  kWrongCounter,  ///< Made for another counter than the reader's.
};

namespace page_internal {
/// Fails to compile with both numbers in the message when they differ.
template <size_t kActual, size_t kExpected>
struct Is {
  static_assert(kActual == kExpected, "the bytes of the page have moved");
  static constexpr bool value = true;
};
}  // namespace page_internal

#define VVAR_OFFSET(type, field, bytes) \
  static_assert(page_internal::Is<offsetof(type, field), bytes>::value)
#define VVAR_SIZE(type, bytes) \
  static_assert(page_internal::Is<sizeof(type), bytes>::value)

VVAR_OFFSET(vvar_base, sec, 0);
VVAR_OFFSET(vvar_base, nsec_shifted, 8);
VVAR_SIZE(vvar_base, 16);

VVAR_OFFSET(vvar_coarse, ns, 0);
VVAR_OFFSET(vvar_coarse, sec, 8);
VVAR_OFFSET(vvar_coarse, nsec, 16);
VVAR_OFFSET(vvar_coarse, status, 20);
VVAR_SIZE(vvar_coarse, 24);

VVAR_OFFSET(vvar_slot, cycle_start, 0);
VVAR_OFFSET(vvar_slot, max_cycles, 8);
VVAR_OFFSET(vvar_slot, mult, 16);
VVAR_OFFSET(vvar_slot, realtime_mult, 20);
VVAR_OFFSET(vvar_slot, shift, 24);
VVAR_OFFSET(vvar_slot, status, 26);
VVAR_OFFSET(vvar_slot, counter_id, 28);
VVAR_OFFSET(vvar_slot, base, 32);
VVAR_OFFSET(vvar_slot, base[VVAR_BASE_REALTIME], 32);
VVAR_OFFSET(vvar_slot, base[VVAR_BASE_MONOTONIC], 48);
VVAR_OFFSET(vvar_slot, base[VVAR_BASE_MONOTONIC_RAW], 64);
VVAR_OFFSET(vvar_slot, base[VVAR_BASE_BOOTTIME], 80);
VVAR_OFFSET(vvar_slot, base[VVAR_BASE_TAI], 96);
VVAR_OFFSET(vvar_slot, raw_mult, 112);
VVAR_OFFSET(vvar_slot, error_growth_ppb, 116);
VVAR_OFFSET(vvar_slot, error_ns, 120);
VVAR_OFFSET(vvar_slot, coarse, 128);
VVAR_OFFSET(vvar_slot, tai_offset_sec, 176);
VVAR_OFFSET(vvar_slot, leap_state, 180);
VVAR_OFFSET(vvar_slot, was_set_count, 184);
VVAR_OFFSET(vvar_slot, leap_smear_sec, 188);
VVAR_OFFSET(vvar_slot, leap_date_sec, 192);
VVAR_OFFSET(vvar_slot, reserved, 200);
VVAR_SIZE(vvar_slot, 256);

VVAR_OFFSET(vvar_writer_stats, writer_id, 0);
VVAR_OFFSET(vvar_writer_stats, late_publications, 4);
VVAR_OFFSET(vvar_writer_stats, max_lateness_cycles, 8);
VVAR_OFFSET(vvar_writer_stats, redated_lines, 12);
VVAR_OFFSET(vvar_writer_stats, reserved, 16);
VVAR_SIZE(vvar_writer_stats, 64);

VVAR_OFFSET(vvar_timeline, seq, 0);
VVAR_OFFSET(vvar_timeline, reserved, 4);
VVAR_OFFSET(vvar_timeline, slot, 64);
VVAR_OFFSET(vvar_timeline, slot[1], 320);
VVAR_OFFSET(vvar_timeline, stats, 576);
VVAR_SIZE(vvar_timeline, 640);

VVAR_OFFSET(vvar_header, magic, 0);
VVAR_OFFSET(vvar_header, endian_tag, 4);
VVAR_OFFSET(vvar_header, abi_major, 8);
VVAR_OFFSET(vvar_header, abi_minor, 12);
VVAR_OFFSET(vvar_header, size, 16);
VVAR_OFFSET(vvar_header, counter_id, 20);
VVAR_OFFSET(vvar_header, counter_bits, 24);
VVAR_OFFSET(vvar_header, features, 28);
VVAR_OFFSET(vvar_header, counter_hz, 32);
VVAR_OFFSET(vvar_header, instance_id, 40);
VVAR_OFFSET(vvar_header, disruption_marker, 48);
VVAR_OFFSET(vvar_header, timeline_count, 52);
VVAR_OFFSET(vvar_header, timeline_offset, 56);
VVAR_OFFSET(vvar_header, timeline_stride, 60);
VVAR_OFFSET(vvar_header, resolution_ns, 64);
VVAR_OFFSET(vvar_header, coarse_resolution_ns, 68);
VVAR_OFFSET(vvar_header, tz_minuteswest, 72);
VVAR_OFFSET(vvar_header, tz_dsttime, 76);
VVAR_OFFSET(vvar_header, reserved, 80);
VVAR_SIZE(vvar_header, 256);

VVAR_OFFSET(vvar_page, header, 0);
VVAR_OFFSET(vvar_page, timeline, 256);
VVAR_SIZE(vvar_page, VVAR_PAGE_SIZE);
static_assert(alignof(vvar_page) == 8, "one alignment on every ABI");

VVAR_OFFSET(vvar_offset, sec, 0);
VVAR_OFFSET(vvar_offset, nsec, 8);
VVAR_OFFSET(vvar_offset, reserved, 12);
VVAR_SIZE(vvar_offset, 16);

VVAR_OFFSET(vvar_offsets, magic, 0);
VVAR_OFFSET(vvar_offsets, endian_tag, 4);
VVAR_OFFSET(vvar_offsets, abi_major, 8);
VVAR_OFFSET(vvar_offsets, abi_minor, 12);
VVAR_OFFSET(vvar_offsets, size, 16);
VVAR_OFFSET(vvar_offsets, reserved, 20);
VVAR_OFFSET(vvar_offsets, monotonic, 32);
VVAR_OFFSET(vvar_offsets, boottime, 48);
VVAR_SIZE(vvar_offsets, 64);

#undef VVAR_OFFSET
#undef VVAR_SIZE

}  // namespace vvar

#endif  // VVAR_PAGE_H_
