/* SPDX-License-Identifier: MIT
 *
 * Reads a page in plain C11, by vvar/abi.h and docs/abi.md alone: what somebody
 * would write who has none of the library's code. Prints what page_program.cc
 * prints. The page is a copy, so that there is nothing to retry.
 *
 *   decode_page COUNTER... <PAGE
 */
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "vvar/abi.h"

static struct vvar_page page;

static void print_precise(const struct vvar_slot* slot, uint64_t counter,
                          unsigned index) {
  uint64_t delta = counter - slot->cycle_start;
  if (0 - delta <= slot->max_cycles) {
    delta = 0; /* a little before the line: its start */
  } else if (delta > slot->max_cycles) {
    printf("status 2\n");
    return;
  }
  const uint64_t mult = index == VVAR_BASE_REALTIME        ? slot->realtime_mult
                        : index == VVAR_BASE_MONOTONIC_RAW ? slot->raw_mult
                                                           : slot->mult;
  const uint64_t nsec =
      (slot->base[index].nsec_shifted + delta * mult) >> slot->shift;
  printf("%" PRId64 ".%09" PRIu64 "\n",
         slot->base[index].sec + (int64_t)(nsec / 1000000000),
         nsec % 1000000000);
}

static void print_all(const struct vvar_timeline* timeline, uint64_t counter) {
  static const int bases[VVAR_BASES] = {
      [VVAR_BASE_REALTIME] = VVAR_CLOCK_REALTIME,
      [VVAR_BASE_MONOTONIC] = VVAR_CLOCK_MONOTONIC,
      [VVAR_BASE_MONOTONIC_RAW] = VVAR_CLOCK_MONOTONIC_RAW,
      [VVAR_BASE_BOOTTIME] = VVAR_CLOCK_BOOTTIME,
      [VVAR_BASE_TAI] = VVAR_CLOCK_TAI};
  static const int coarses[VVAR_COARSES] = {
      [VVAR_COARSE_REALTIME] = VVAR_CLOCK_REALTIME_COARSE,
      [VVAR_COARSE_MONOTONIC] = VVAR_CLOCK_MONOTONIC_COARSE};
  const uint32_t current = (timeline->seq >> 1) & 1;
  const struct vvar_slot* now = &timeline->slot[current];
  const struct vvar_slot* valid = now;
  if ((int64_t)(counter - now->cycle_start) < 0 && (timeline->seq & 1) == 0) {
    valid = &timeline->slot[current ^ 1];
  }
  for (int id = 0; id <= VVAR_CLOCK_TAI; ++id) {
    for (unsigned i = 0; i < VVAR_BASES; ++i) {
      if (bases[i] != id) continue;
      printf("%" PRIu64 " %d ", counter, id);
      print_precise(valid, counter, i);
    }
    for (unsigned i = 0; i < VVAR_COARSES; ++i) {
      if (coarses[i] != id) continue;
      printf("%" PRIu64 " %d %" PRId64 ".%09" PRIu32 "\n", counter, id,
             now->coarse[i].sec, now->coarse[i].nsec);
    }
  }
}

int main(int argc, char** argv) {
  if (argc < 2 || fread(&page, sizeof page, 1, stdin) != 1) return 1;
  if (page.header.magic != VVAR_MAGIC ||
      page.header.endian_tag != VVAR_ENDIAN_TAG ||
      page.header.abi_major != VVAR_ABI_MAJOR) {
    return 2;
  }
  const struct vvar_timeline* timeline =
      (const struct vvar_timeline*)((const char*)&page +
                                    page.header.timeline_offset);
  for (int i = 1; i < argc; ++i) {
    print_all(timeline, strtoull(argv[i], NULL, 10));
  }
  return 0;
}
