/* SPDX-License-Identifier: MIT
 *
 * The bytes of the vvar page: the one truth about layout, for C11 and C++20.
 * Anybody may include it. It holds constants and plain structs only: no code,
 * no pointers, no bool, no enum-typed field, no `long`. Words are u16, u32 or
 * u64, native-endian; reserved bytes are zero. docs/abi.md shows the same
 * table.
 */
#ifndef VVAR_ABI_H_
#define VVAR_ABI_H_

#include <stdint.h>

#ifdef __cplusplus
#define VVAR_ALIGNAS(n) alignas(n)
#else
#define VVAR_ALIGNAS(n) _Alignas(n)
#endif

/* i386 aligns a 64-bit struct member to 4; the page never does. */
#define VVAR_U64 VVAR_ALIGNAS(8) uint64_t
#define VVAR_S64 VVAR_ALIGNAS(8) int64_t

#define VVAR_MAGIC 0x52415656u /* bytes "VVAR" on a little-endian page */
#define VVAR_OFFSETS_MAGIC 0x464f5656u /* "VVOF": vvar_offsets, not a page */
#define VVAR_ENDIAN_TAG 0x01020304u    /* reads otherwise: foreign endianness */
#define VVAR_ABI_MAJOR 2u              /* readers refuse another major */
#define VVAR_ABI_MINOR 0u              /* minor: fields appended, never moved */
#define VVAR_PAGE_SIZE 4096u
#define VVAR_MAX_TIMELINES 6u

/* vvar_header.counter_id and vvar_slot.counter_id. */
#define VVAR_COUNTER_NONE 0u       /* no usable counter: coarse clocks only */
#define VVAR_COUNTER_X86_TSC 1u    /* RDTSC, RDTSCP */
#define VVAR_COUNTER_ARM_CNTVCT 2u /* CNTVCT_EL0, CNTVCTSS_EL0 */
#define VVAR_COUNTER_RISCV_TIME 3u /* the `time` CSR */
#define VVAR_COUNTER_PRIVATE 0x80000000u /* this bit: the embedder's own */

/* vvar_header.features. */
#define VVAR_FEATURE_USER_COUNTER 0x1u  /* user mode may read the counter */
#define VVAR_FEATURE_RDPID 0x2u         /* x86: RDPID is cpu | node << 12 */
#define VVAR_FEATURE_SYSTEM_WRITER 0x4u /* does not die before its readers */

/* Clock ids: POSIX and Linux numbers. */
#define VVAR_CLOCK_REALTIME 0
#define VVAR_CLOCK_MONOTONIC 1
#define VVAR_CLOCK_MONOTONIC_RAW 4
#define VVAR_CLOCK_REALTIME_COARSE 5
#define VVAR_CLOCK_MONOTONIC_COARSE 6
#define VVAR_CLOCK_BOOTTIME 7
#define VVAR_CLOCK_TAI 11

/* Index into vvar_slot.base and vvar_slot.coarse. */
#define VVAR_BASE_REALTIME 0u
#define VVAR_BASE_MONOTONIC 1u
#define VVAR_BASE_MONOTONIC_RAW 2u
#define VVAR_BASE_BOOTTIME 3u
#define VVAR_BASE_TAI 4u
#define VVAR_BASES 5u
#define VVAR_COARSE_REALTIME 0u
#define VVAR_COARSE_MONOTONIC 1u
#define VVAR_COARSES 2u

/* vvar_slot.status and vvar_coarse.status: the quality of the time. */
#define VVAR_STATUS_NONE 0u           /* never published */
#define VVAR_STATUS_UNSYNCHRONISED 1u /* runs, but nobody vouches for it */
#define VVAR_STATUS_SYNCHRONISED 2u   /* error_ns bounds the error */
#define VVAR_STATUS_FREE_RUNNING 3u   /* was synchronised; its writer left */
#define VVAR_STATUS_UNRELIABLE 4u     /* do not use */

/* vvar_slot.leap_state. 0 to 4 are Linux's TIME_OK, INS, DEL, OOP, WAIT. */
#define VVAR_LEAP_NONE 0u
#define VVAR_LEAP_INSERT 1u   /* 23:59:59 before leap_date_sec comes twice */
#define VVAR_LEAP_DELETE 2u   /* 23:59:59 before leap_date_sec is left out */
#define VVAR_LEAP_INSERTED 3u /* the second one is under way: 23:59:60 */
#define VVAR_LEAP_DONE 4u
#define VVAR_LEAP_SMEAR_INSERT 5u    /* REALTIME slows from leap_date_sec on */
#define VVAR_LEAP_SMEAR_DELETE 6u    /* or quickens */
#define VVAR_LEAP_SMEARING_INSERT 7u /* for leap_smear_sec from then on */
#define VVAR_LEAP_SMEARING_DELETE 8u

/** One clock at vvar_slot.cycle_start: sec + (nsec_shifted >> shift) ns. */
struct vvar_base {
  VVAR_S64 sec;
  VVAR_U64 nsec_shifted; /* ns << shift, always below 10^9 << shift */
};

/** One coarse clock: the time of the last publication, no counter needed.
 * Twice, because the multiplication would double the cost of a read. */
struct vvar_coarse {
  VVAR_U64 ns; /* sec * 10^9 + nsec modulo 2^64 */
  VVAR_S64 sec;
  uint32_t nsec;   /* [0, 10^9) */
  uint32_t status; /* VVAR_STATUS_*: NONE says "not published" */
};

/** One line of time: 256 bytes. Sequence-protected by vvar_timeline.seq. */
struct vvar_slot {
  /* Cache line 0: all that a read of REALTIME or MONOTONIC needs. */
  VVAR_U64 cycle_start; /* where the line begins; may lie in the near future */
  VVAR_U64 max_cycles;  /* the line answers for [0, max_cycles] after that */
  uint32_t mult;        /* ns = cycles * mult >> shift; 0: not published */
  uint32_t realtime_mult; /* REALTIME's; another while it is slewed, smeared */
  uint16_t shift;         /* <= 34, the same for every mult */
  uint16_t status;        /* VVAR_STATUS_* */
  uint32_t counter_id;    /* NONE: the counter has been withdrawn */
  struct vvar_base base[VVAR_BASES]; /* [2..4] begin cache line 1 */
  uint32_t raw_mult;                 /* undisciplined slope, MONOTONIC_RAW */
  uint32_t error_growth_ppb;         /* growth of error_ns with age */
  VVAR_U64 error_ns;                 /* error bound at cycle_start */
  /* Cache line 2: clocks that need no counter, and what changes rarely. */
  struct vvar_coarse coarse[VVAR_COARSES];
  int32_t tai_offset_sec; /* TAI - REALTIME, once REALTIME is not slewed */
  uint32_t leap_state;    /* VVAR_LEAP_* */
  uint32_t was_set_count; /* REALTIME steps and TAI changes so far */
  uint32_t leap_smear_sec;
  /* Cache line 3. */
  VVAR_S64 leap_date_sec; /* REALTIME at which leap_state has its effect */
  VVAR_U64 reserved[7];
};

/** What the writer tells of itself: single words, no sequence, 64 bytes. */
struct vvar_writer_stats {
  uint32_t writer_id;           /* process id or embedder's own; 0: none */
  uint32_t late_publications;   /* closed less than half a lead ahead */
  uint32_t max_lateness_cycles; /* the latest after its start; saturates */
  uint32_t redated_lines;       /* dated anew, because they were about to be */
  uint32_t reserved[12];
};

/** One independent clock domain: 640 bytes. */
struct vvar_timeline {
  uint32_t seq; /* seq >> 1 counts publications; odd: one is under way */
  uint32_t reserved[15];
  struct vvar_slot slot[2]; /* current: slot[(seq >> 1) & 1] */
  struct vvar_writer_stats stats;
};

/** 256 bytes. Constant once `magic` is there, unless a field says otherwise, or
 * the owner changes over to another counter. */
struct vvar_header {
  uint32_t magic; /* VVAR_MAGIC; written last */
  uint32_t endian_tag;
  uint32_t abi_major;
  uint32_t abi_minor;
  uint32_t size;         /* of the page; a field is present iff it covers it */
  uint32_t counter_id;   /* VVAR_COUNTER_*; changes with the marker */
  uint32_t counter_bits; /* width of the counter, 2..64; likewise */
  uint32_t features;     /* VVAR_FEATURE_*; may change */
  VVAR_U64 counter_hz;   /* nominal; 0 until it is measured; likewise */
  VVAR_U64 instance_id;  /* differs each time the page is created anew */
  uint32_t disruption_marker;    /* changes when past calibration is void */
  uint32_t timeline_count;       /* 1..VVAR_MAX_TIMELINES */
  uint32_t timeline_offset;      /* bytes from the page's start */
  uint32_t timeline_stride;      /* bytes */
  uint32_t resolution_ns;        /* clock_getres, precise; may change */
  uint32_t coarse_resolution_ns; /* clock_getres, coarse; may change */
  int32_t tz_minuteswest;        /* gettimeofday's time zone; may change */
  int32_t tz_dsttime;
  uint32_t reserved[44];
};

/** What is mapped: VVAR_PAGE_SIZE bytes; timelines as the header says. */
struct vvar_page {
  struct vvar_header header;
  struct vvar_timeline timeline[VVAR_MAX_TIMELINES];
};

/** What a time namespace adds to a clock: sec + nsec. */
struct vvar_offset {
  VVAR_S64 sec;
  uint32_t nsec; /* [0, 10^9): added, whatever the sign of sec */
  uint32_t reserved;
};

/** The start of a page of its own, one for each time namespace. Constant once
 * `magic` is there, so there is no sequence. The head is as vvar_header's. */
struct vvar_offsets {
  uint32_t magic; /* VVAR_OFFSETS_MAGIC; written last */
  uint32_t endian_tag;
  uint32_t abi_major;
  uint32_t abi_minor;
  uint32_t size; /* of what is meant; a field is present iff it covers it */
  uint32_t reserved[3];
  struct vvar_offset monotonic; /* and MONOTONIC_RAW, MONOTONIC_COARSE */
  struct vvar_offset boottime;
};

#endif /* VVAR_ABI_H_ */
