// SPDX-License-Identifier: MIT
//
// The header of a page: written once by whoever makes the page, checked by
// whoever attaches to it. Freestanding core. The bytes that are checked are
// hostile and may change meanwhile: each is loaded once.
#ifndef VVAR_HEADER_H_
#define VVAR_HEADER_H_

#include <stddef.h>
#include <stdint.h>

#include "vvar/page.h"
#include "vvar/seqcount.h"

namespace vvar {

/// What the header of a new page says.
struct PageConfig {
  uint32_t counter_id;
  uint32_t counter_bits;
  uint64_t counter_hz;
  uint64_t instance_id;     ///< Different for each page ever made.
  uint32_t features;        ///< VVAR_FEATURE_*
  uint32_t timeline_count;  ///< Range: [1, VVAR_MAX_TIMELINES].
  uint32_t resolution_ns;
  uint32_t coarse_resolution_ns;
};

/// Writes the header of a page whose bytes are all zero.
/// Ordering: magic last, with release; readers load it first.
/// Context: the owner, before any writer of its timelines.
template <class Memory = PageMemory>
void FormatPage(vvar_page& page, const PageConfig& config) {
  vvar_header& header = page.header;
  Memory::Store(header.endian_tag, VVAR_ENDIAN_TAG);
  Memory::Store(header.abi_major, VVAR_ABI_MAJOR);
  Memory::Store(header.abi_minor, VVAR_ABI_MINOR);
  Memory::Store(header.size, VVAR_PAGE_SIZE);
  Memory::Store(header.counter_id, config.counter_id);
  Memory::Store(header.counter_bits, config.counter_bits);
  Memory::Store(header.features, config.features);
  Memory::Store(header.counter_hz, config.counter_hz);
  Memory::Store(header.instance_id, config.instance_id);
  Memory::Store(header.timeline_count, config.timeline_count);
  Memory::Store(header.timeline_offset,
                static_cast<uint32_t>(offsetof(vvar_page, timeline)));
  Memory::Store(header.timeline_stride,
                static_cast<uint32_t>(sizeof(vvar_timeline)));
  Memory::Store(header.resolution_ns, config.resolution_ns);
  Memory::Store(header.coarse_resolution_ns, config.coarse_resolution_ns);
  Memory::StoreRelease(header.magic, VVAR_MAGIC);
}

/// Says that the page's counter is another from now on, or runs at another
/// rate: what was measured of it before is void. Readers built for another
/// counter refuse the page or its lines; those of this one go on.
/// Ordering: before the new counter's first line is published, so whoever reads
/// that line finds the new marker. Context: the owner.
template <class Memory = PageMemory>
void ChangeCounter(vvar_page& page, uint32_t counter_id, uint32_t counter_bits,
                   uint64_t counter_hz) {
  vvar_header& header = page.header;
  Memory::Store(header.counter_id, counter_id);
  Memory::Store(header.counter_bits, counter_bits);
  Memory::Store(header.counter_hz, counter_hz);
  Memory::Store(header.disruption_marker,
                Memory::Load(header.disruption_marker) + 1);
}

/// Returns whether user mode may read the counter. If not, who runs there asks
/// for coarse clocks only: a read of any other would trap. A kernel changes
/// this before the programs start that it is for. Context: any.
template <class Memory = PageMemory>
[[nodiscard]] bool UserMayReadCounter(const vvar_page& page) {
  return (Memory::Load(page.header.features) & VVAR_FEATURE_USER_COUNTER) != 0;
}

/// Checks the words with which a page of time and one of offsets both begin.
/// Ordering: magic is loaded first, with acquire: the writer stores it last.
template <class Memory, class Header>
[[nodiscard]] PageStatus CheckIdentity(const Header& header, uint32_t magic) {
  if (Memory::LoadAcquire(header.magic) != magic) {
    return Memory::Load(header.endian_tag) == __builtin_bswap32(VVAR_ENDIAN_TAG)
               ? PageStatus::kWrongEndian
               : PageStatus::kBadMagic;
  }
  if (Memory::Load(header.endian_tag) != VVAR_ENDIAN_TAG) {
    return PageStatus::kWrongEndian;
  }
  return Memory::Load(header.abi_major) == VVAR_ABI_MAJOR
             ? PageStatus::kOk
             : PageStatus::kWrongMajor;
}

/// Finds timeline `index` of what claims to be a page of `size` bytes for the
/// counter `counter_id` of `counter_bits` bits. Error: `*timeline` is untouched
/// unless kOk. Context: any; every byte may be hostile.
template <class Memory = PageMemory>
[[nodiscard]] PageStatus FindTimeline(const void* bytes, size_t size,
                                      uint32_t counter_id,
                                      uint32_t counter_bits, uint32_t index,
                                      const vvar_timeline** timeline) {
  if (size < sizeof(vvar_header)) return PageStatus::kTooSmall;
  const auto& header = static_cast<const vvar_page*>(bytes)->header;
  const PageStatus identity = CheckIdentity<Memory>(header, VVAR_MAGIC);
  if (identity != PageStatus::kOk) return identity;
  const uint64_t page_size = Memory::Load(header.size);
  const uint64_t count = Memory::Load(header.timeline_count);
  const uint64_t offset = Memory::Load(header.timeline_offset);
  const uint64_t stride = Memory::Load(header.timeline_stride);
  if (page_size > size) return PageStatus::kTooSmall;
  // Bound: count <= 4096, so offset + count * stride < 2^45.
  if (index >= count || count > VVAR_PAGE_SIZE || offset % 8 != 0 ||
      offset < sizeof(vvar_header) || stride % 8 != 0 ||
      stride < sizeof(vvar_timeline) || offset + count * stride > page_size) {
    return PageStatus::kBadLayout;
  }
  if (Memory::Load(header.counter_id) != counter_id ||
      Memory::Load(header.counter_bits) != counter_bits) {
    return PageStatus::kWrongCounter;
  }
  *timeline = reinterpret_cast<const vvar_timeline*>(
      static_cast<const char*>(bytes) + offset + index * stride);
  return PageStatus::kOk;
}

}  // namespace vvar

#endif  // VVAR_HEADER_H_
