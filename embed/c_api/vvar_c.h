/* SPDX-License-Identifier: MIT
 *
 * The reader and the writer of a page for C11: declarations of vvar_c.cc, which
 * an embedder compiles once, with his C++ compiler, and links into his C
 * program or kernel. Anybody may include it. No libc, no errno, no allocation,
 * no code. A function's context, order and error are those of the C++ one of
 * its name in vvar/: this says what a caller must know.
 */
#ifndef VVAR_EMBED_C_API_VVAR_C_H_
#define VVAR_EMBED_C_API_VVAR_C_H_

#include <stddef.h>
#include <stdint.h>

#include "vvar/abi.h"

#ifdef __cplusplus
#define VVAR_NODISCARD [[nodiscard]]
extern "C" {
#else
#define VVAR_NODISCARD __attribute__((warn_unused_result))
#endif

/* What attaching to a page says. Only OK may be read. */
#define VVAR_ATTACH_OK 0u
#define VVAR_ATTACH_TOO_SMALL 1u     /* than the page it claims to be */
#define VVAR_ATTACH_BAD_MAGIC 2u     /* no page, or one that is not begun */
#define VVAR_ATTACH_WRONG_ENDIAN 3u  /* of a machine of the other endianness */
#define VVAR_ATTACH_WRONG_MAJOR 4u   /* an incompatible layout */
#define VVAR_ATTACH_BAD_LAYOUT 5u    /* timelines outside it; nsec >= 10^9 */
#define VVAR_ATTACH_WRONG_COUNTER 6u /* made for another counter */

/* What a read says. Only OK comes with a time. */
#define VVAR_READ_OK 0u
#define VVAR_READ_BUSY 1u          /* every try met a publication */
#define VVAR_READ_STALE 2u         /* the counter is beyond the line */
#define VVAR_READ_NOT_READY 3u     /* nothing has been published yet */
#define VVAR_READ_UNKNOWN_CLOCK 4u /* not here: ask the system */
#define VVAR_READ_WRONG_COUNTER 5u /* the line is another counter's */
#define VVAR_READ_NO_COUNTER 6u    /* withdrawn; coarse clocks answer */
#define VVAR_READ_UNREADABLE_COUNTER 7u

/* What an update says. */
#define VVAR_PUBLISH_OK 0u
#define VVAR_PUBLISH_TOO_EARLY                                          \
  1u                         /* the line has not begun; nothing is done \
                              */
#define VVAR_PUBLISH_LATE 2u /* published without its margin; counted */

/* What a call that may refuse says. Refused: no page is changed. */
#define VVAR_DONE 0u
#define VVAR_REFUSED 1u

/* Where vvar_counter.hz comes from. */
#define VVAR_HZ_UNKNOWN 0u
#define VVAR_HZ_CPUID_CRYSTAL 1u
#define VVAR_HZ_CPUID_BASE 2u /* off by up to some 1000 ppm */
#define VVAR_HZ_HYPERVISOR_LEAF 3u
#define VVAR_HZ_COUNTER_REGISTER 4u
#define VVAR_HZ_PLATFORM 5u
#define VVAR_HZ_CALIBRATED 6u

/* A time, or an offset. Range: nsec in [0, 10^9), whatever the sign of sec. */
struct vvar_time {
  int64_t sec;
  uint32_t nsec;
};

/* The true time lies in here, if clock_status is VVAR_STATUS_SYNCHRONISED. */
struct vvar_interval {
  uint64_t earliest_ns;
  uint64_t latest_ns;
  uint32_t clock_status; /* VVAR_STATUS_* */
};

/* Every clock at one counter value. Units: ns modulo 2^64. */
struct vvar_snapshot {
  uint64_t cycles;
  uint64_t realtime_ns;
  uint64_t monotonic_ns;
  uint64_t monotonic_raw_ns;
  uint64_t boottime_ns;
  uint64_t tai_ns;
  uint64_t realtime_coarse_ns;
  uint64_t monotonic_coarse_ns;
  uint64_t error_ns;   /* half the width of the interval here */
  uint32_t leap_state; /* VVAR_LEAP_* */
  int32_t tai_offset_sec;
  uint32_t clock_status; /* VVAR_STATUS_* */
};

/* How long ago the line that answers began; UINT64_MAX: it lies far ahead. */
struct vvar_age {
  uint64_t age_ns;
  uint32_t clock_status;
};

/* What a timeline's writer tells of itself; each word by itself. */
struct vvar_statistics {
  uint32_t publications; /* modulo 2^31 */
  uint32_t writer_id;    /* 0: nobody said */
  uint32_t late_publications;
  uint32_t max_lateness_cycles; /* saturates */
  uint32_t redated_lines;
};

/* What the header of a new page says besides the counter. */
struct vvar_page_config {
  uint64_t counter_hz;
  uint64_t instance_id;    /* different for each page ever made */
  uint32_t features;       /* VVAR_FEATURE_* */
  uint32_t timeline_count; /* Range: 1..VVAR_MAX_TIMELINES */
  uint32_t resolution_ns;
  uint32_t coarse_resolution_ns;
};

/* What a writer needs to know of its counter and its owner. */
struct vvar_writer_config {
  uint64_t counter_hz; /* nominal; Range: 1..16 * 10^9 */
  /* How far ahead of an update its line begins. Range: more than twice what a
   * publication takes: 1000 or more with interrupts off. */
  uint64_t lead_ns;
  uint64_t interval_ns; /* usual time between two updates; Range: > 0 */
  uint64_t max_age_ns;  /* readers refuse a line older than this */
};

/* Where the clocks stand when a writer starts. */
struct vvar_start_times {
  struct vvar_time realtime;
  struct vvar_time monotonic;
  struct vvar_time monotonic_raw;
  struct vvar_time boottime;
  int32_t tai_offset_sec;
};

/* How far the clocks move over a hold: BOOTTIME counts a sleep, MONOTONIC need
 * not. Range: but for realtime_ns, which moves TAI too, >= 0. */
struct vvar_gap {
  int64_t realtime_ns;
  int64_t monotonic_ns;
  int64_t monotonic_raw_ns;
  int64_t boottime_ns;
};

/* Storage for C++ objects: vvar_c.cc holds the sizes against them. A reader and
 * a counter may be copied; a writer may, while nobody calls it. */
#define VVAR_OPAQUE(bytes) VVAR_ALIGNAS(8) unsigned char opaque[bytes]

/* The counter of this machine. */
struct vvar_counter {
  uint64_t hz; /* 0 if unknown: the platform's to tell, or to be measured */
  uint32_t hz_source; /* VVAR_HZ_* */
  uint32_t id;        /* VVAR_COUNTER_* */
  uint32_t bits;
  uint32_t constant_rate; /* 1: in all power states, on all CPUs; else 0 */
  VVAR_OPAQUE(8);
};
struct vvar_reader {
  VVAR_OPAQUE(24);
};
struct vvar_writer {
  VVAR_OPAQUE(672);
};

/* --- The counter --------------------------------------------------------- */

/* Describes the native counter. Context: x86 hypervisors trap it: once. */
void vvar_query_counter(struct vvar_counter* counter);
/* Returns the counter. Ordering: not before loads that came earlier. */
uint64_t vvar_read_counter(const struct vvar_counter* counter);

/* --- Reading: any thread, any context, NMI and signal handlers included ---
 * Each returns VVAR_READ_*, and leaves what it would fill in untouched unless
 * that is OK. Clocks are VVAR_CLOCK_*. A reader must have been made by
 * vvar_detach() or an attach that was OK; its page stays mapped. */

/* Makes a reader of nothing: each read says NOT_READY. For early boot. */
void vvar_detach(struct vvar_reader* reader);
/* Attaches to a timeline of `bytes`, whatever they are. Returns VVAR_ATTACH_*;
 * the reader is untouched unless OK. */
VVAR_NODISCARD uint32_t vvar_attach(struct vvar_reader* reader,
                                    const struct vvar_counter* counter,
                                    const void* bytes, size_t size,
                                    uint32_t timeline);
/* The same for a time namespace, whose offsets are a page of their own. */
VVAR_NODISCARD uint32_t vvar_attach_in_namespace(
    struct vvar_reader* reader, const struct vvar_counter* counter,
    const void* bytes, size_t size, uint32_t timeline, const void* offsets,
    size_t offsets_size);

/* Any clock, ordered as clock_gettime(). Units: ns modulo 2^64. */
VVAR_NODISCARD uint32_t vvar_now(const struct vvar_reader* reader,
                                 int32_t clock, uint64_t* ns);
/* The same as POSIX has it. */
VVAR_NODISCARD uint32_t vvar_now_timespec(const struct vvar_reader* reader,
                                          int32_t clock,
                                          struct vvar_time* time);
/* Any clock without a fence: exact for an instant slightly before or after. */
VVAR_NODISCARD uint32_t vvar_now_unordered(const struct vvar_reader* reader,
                                           int32_t clock, uint64_t* ns);
/* A coarse clock without a counter. Does not notice that its writer died. */
VVAR_NODISCARD uint32_t vvar_now_coarse(const struct vvar_reader* reader,
                                        int32_t clock, uint64_t* ns);
/* Bounds of the true time. Not for coarse clocks. */
VVAR_NODISCARD uint32_t vvar_read_interval(const struct vvar_reader* reader,
                                           int32_t clock,
                                           struct vvar_interval* interval);
VVAR_NODISCARD uint32_t vvar_read_snapshot(const struct vvar_reader* reader,
                                           struct vvar_snapshot* snapshot);
/* Fills in for STALE, too. */
VVAR_NODISCARD uint32_t vvar_read_age(const struct vvar_reader* reader,
                                      struct vvar_age* age);
/* Finds what a timeline's writer counts. Returns VVAR_ATTACH_*. */
VVAR_NODISCARD uint32_t vvar_read_statistics(
    const struct vvar_counter* counter, const void* bytes, size_t size,
    uint32_t timeline, struct vvar_statistics* statistics);

/* --- Writing: one caller at a time, which is the owner's business --------- */

/* Writes the header of a page whose bytes are all zero. */
VVAR_NODISCARD uint32_t vvar_format_page(struct vvar_page* page,
                                         const struct vvar_counter* counter,
                                         const struct vvar_page_config* config);
/* The same for the page of a namespace's offsets. */
VVAR_NODISCARD uint32_t vvar_format_offsets(struct vvar_offsets* page,
                                            const struct vvar_time* monotonic,
                                            const struct vvar_time* boottime);

/* Begins time on a timeline now, and publishes it. Until this or
 * vvar_take_over() is done, no other call takes the writer. */
VVAR_NODISCARD uint32_t vvar_start(struct vvar_writer* writer,
                                   const struct vvar_counter* counter,
                                   struct vvar_timeline* timeline,
                                   const struct vvar_writer_config* config,
                                   const struct vvar_start_times* times);
/* Goes on where another writer died, at whatever instruction; from a line that
 * it held, too: then vvar_resume() is due. Publish at once. Refused: no line
 * of this counter and rate is there, and `writer` is none yet. Range: the
 * counter was not set back since. */
VVAR_NODISCARD uint32_t vvar_take_over(struct vvar_writer* writer,
                                       const struct vvar_counter* counter,
                                       struct vvar_timeline* timeline,
                                       const struct vvar_writer_config* config);
/* Says who writes: a process id or the embedder's own. */
void vvar_set_writer_id(struct vvar_writer* writer, uint32_t id);

/* Publishes the next line: the tick, and what follows every change below, for
 * those only note what is wanted. Returns VVAR_PUBLISH_*. */
uint32_t vvar_publish(struct vvar_writer* writer);
/* Returns the counter value by which a tickless owner has to publish again. */
uint64_t vvar_next_deadline(const struct vvar_writer* writer);

/* Sets the rate of the disciplined clocks, nominal * (1 + ppb / 10^9), and of
 * MONOTONIC_RAW. Range: clamped to +-5 * 10^7. */
void vvar_set_frequency(struct vvar_writer* writer, int64_t ppb);
void vvar_set_raw_frequency(struct vvar_writer* writer, int64_t ppb);
/* Moves the disciplined clocks, or REALTIME alone and TAI at once, by
 * `offset_ns` at max_rate_ppb or less. Range: |offset_ns| <= 2^62,
 * max_rate_ppb in [0, 5 * 10^7]; clamped. */
void vvar_slew(struct vvar_writer* writer, int64_t offset_ns,
               int64_t max_rate_ppb);
void vvar_slew_realtime(struct vvar_writer* writer, int64_t offset_ns,
                        int64_t max_rate_ppb);
/* Returns what is left of vvar_slew() where the current line begins. */
int64_t vvar_slew_remaining_ns(const struct vvar_writer* writer);
/* Steps REALTIME and TAI where the next line begins; steps add up. */
void vvar_step_realtime(struct vvar_writer* writer, int64_t delta_ns);
/* Sets TAI - REALTIME there: TAI moves. */
void vvar_set_tai_offset(struct vvar_writer* writer, int32_t sec);
/* Plans a leap second before date_sec, or a smear of smear_sec from there on:
 * `state` is VVAR_LEAP_INSERT, DELETE, SMEAR_INSERT or SMEAR_DELETE. Refused
 * unless date_sec, in s of REALTIME, is ahead. NONE cancels what is pending. */
VVAR_NODISCARD uint32_t vvar_plan_leap(struct vvar_writer* writer,
                                       uint32_t state, int64_t date_sec,
                                       uint32_t smear_sec);
/* Vouches for the time: VVAR_STATUS_*, and the bound of its error. */
void vvar_set_status(struct vvar_writer* writer, uint32_t clock_status);
void vvar_set_error_bound(struct vvar_writer* writer, uint64_t error_ns,
                          uint32_t growth_ppb);

/* Withdraws the counter, before a suspend or a migration: readers find
 * NO_COUNTER, clocks stand still. */
void vvar_hold(struct vvar_writer* writer);
/* The same, at a counter value of the past that was noted: for an owner who
 * could not publish so, and now resumes. Nobody may have read a later one. */
void vvar_hold_at(struct vvar_writer* writer, uint64_t cycles);
/* Goes on from counter value `cycles`, which is past, after a gap. */
void vvar_resume(struct vvar_writer* writer, uint64_t cycles,
                 const struct vvar_gap* gap);

#undef VVAR_OPAQUE
#undef VVAR_NODISCARD

#ifdef __cplusplus
}  // extern "C"
#endif

#endif /* VVAR_EMBED_C_API_VVAR_C_H_ */
