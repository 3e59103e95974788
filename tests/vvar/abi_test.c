/* SPDX-License-Identifier: MIT
 *
 * vvar/abi.h is C11, and the bytes a C program sees are the ones written down
 * here: offsets and sizes as literals, the same for 32 and 64 bits. Compile
 * with -std=c11 -pedantic; what can fail fails there.
 */
#include "vvar/abi.h"

#include <stddef.h>
#include <string.h>

/* Trap: T86 (nothing in the page that C has not) */
/* Trap: T83 (the same offsets on i386) */
/* Trap: T77 (one declaration, for every language) */

#define OFFSET(type, field, bytes) \
  _Static_assert(offsetof(struct type, field) == bytes, #type "." #field)
#define SIZE(type, bytes) \
  _Static_assert(sizeof(struct type) == bytes, "sizeof " #type)

OFFSET(vvar_base, sec, 0);
OFFSET(vvar_base, nsec_shifted, 8);
SIZE(vvar_base, 16);

OFFSET(vvar_coarse, ns, 0);
OFFSET(vvar_coarse, sec, 8);
OFFSET(vvar_coarse, nsec, 16);
OFFSET(vvar_coarse, status, 20);
SIZE(vvar_coarse, 24);

OFFSET(vvar_slot, cycle_start, 0);
OFFSET(vvar_slot, max_cycles, 8);
OFFSET(vvar_slot, mult, 16);
OFFSET(vvar_slot, realtime_mult, 20);
OFFSET(vvar_slot, shift, 24);
OFFSET(vvar_slot, status, 26);
OFFSET(vvar_slot, counter_id, 28);
OFFSET(vvar_slot, base, 32);
OFFSET(vvar_slot, raw_mult, 112);
OFFSET(vvar_slot, error_growth_ppb, 116);
OFFSET(vvar_slot, error_ns, 120);
OFFSET(vvar_slot, coarse, 128);
OFFSET(vvar_slot, tai_offset_sec, 176);
OFFSET(vvar_slot, leap_state, 180);
OFFSET(vvar_slot, was_set_count, 184);
OFFSET(vvar_slot, leap_smear_sec, 188);
OFFSET(vvar_slot, leap_date_sec, 192);
OFFSET(vvar_slot, reserved, 200);
SIZE(vvar_slot, 256);

OFFSET(vvar_writer_stats, writer_id, 0);
OFFSET(vvar_writer_stats, late_publications, 4);
OFFSET(vvar_writer_stats, max_lateness_cycles, 8);
OFFSET(vvar_writer_stats, redated_lines, 12);
SIZE(vvar_writer_stats, 64);

OFFSET(vvar_timeline, seq, 0);
OFFSET(vvar_timeline, slot, 64);
OFFSET(vvar_timeline, stats, 576);
SIZE(vvar_timeline, 640);

OFFSET(vvar_header, magic, 0);
OFFSET(vvar_header, endian_tag, 4);
OFFSET(vvar_header, abi_major, 8);
OFFSET(vvar_header, abi_minor, 12);
OFFSET(vvar_header, size, 16);
OFFSET(vvar_header, counter_id, 20);
OFFSET(vvar_header, counter_bits, 24);
OFFSET(vvar_header, features, 28);
OFFSET(vvar_header, counter_hz, 32);
OFFSET(vvar_header, instance_id, 40);
OFFSET(vvar_header, disruption_marker, 48);
OFFSET(vvar_header, timeline_count, 52);
OFFSET(vvar_header, timeline_offset, 56);
OFFSET(vvar_header, timeline_stride, 60);
OFFSET(vvar_header, resolution_ns, 64);
OFFSET(vvar_header, coarse_resolution_ns, 68);
OFFSET(vvar_header, tz_minuteswest, 72);
OFFSET(vvar_header, tz_dsttime, 76);
SIZE(vvar_header, 256);

OFFSET(vvar_page, timeline, 256);
SIZE(vvar_page, 4096);
OFFSET(vvar_offset, sec, 0);
OFFSET(vvar_offset, nsec, 8);
SIZE(vvar_offset, 16);

OFFSET(vvar_offsets, magic, 0);
OFFSET(vvar_offsets, endian_tag, 4);
OFFSET(vvar_offsets, abi_major, 8);
OFFSET(vvar_offsets, abi_minor, 12);
OFFSET(vvar_offsets, size, 16);
OFFSET(vvar_offsets, monotonic, 32);
OFFSET(vvar_offsets, boottime, 48);
SIZE(vvar_offsets, 64);

_Static_assert(VVAR_PAGE_SIZE == 4096u, "the page is 4096 bytes");
_Static_assert(_Alignof(struct vvar_page) == 8, "one alignment on every ABI");

/* The words of a line, by the numbers above and nothing else. */
static uint64_t U64At(const unsigned char* bytes, size_t offset) {
  uint64_t value;
  memcpy(&value, bytes + offset, sizeof value);
  return value;
}

int main(void) {
  static struct vvar_page page;
  const unsigned char* bytes = (const unsigned char*)&page;
  page.header.instance_id = 0x1122334455667788u;
  page.timeline[5].slot[1].base[VVAR_BASE_TAI].nsec_shifted = 77;
  page.timeline[1].slot[0].coarse[VVAR_COARSE_MONOTONIC].ns = 78;
  if (U64At(bytes, 40) != 0x1122334455667788u) return 1;
  if (U64At(bytes, 256 + 5 * 640 + 64 + 256 + 32 + 4 * 16 + 8) != 77) return 2;
  if (U64At(bytes, 256 + 640 + 64 + 128 + 24) != 78) return 3;
  static struct vvar_offsets offsets;
  offsets.boottime.sec = -100;
  if ((int64_t)U64At((const unsigned char*)&offsets, 48) != -100) return 4;
  return 0;
}
