/* SPDX-License-Identifier: MIT
 *
 * Every call of vvar_c.h, from C: reads against the line's exact value at the
 * counter before and after, and against the system's clocks; operations by the
 * words they put on the page. Prints a line for each case. Compiled and run for
 * several machines by c_api_test.py.
 */
#define _GNU_SOURCE
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "embed/c_api/vvar_c.h"

#define NS_PER_SEC 1000000000

static _Alignas(4096) struct vvar_page page;
static struct vvar_counter counter;
static struct vvar_reader reader;
static struct vvar_writer writer;
static struct vvar_writer_config config;
static const struct vvar_start_times start_times = {
    {1700000000, 999999999}, {5, 1}, {6, 2}, {7, 3}, 37};

static int failed_line; /* of the running case; 0: none yet */
static int checks;
#define CHECK(condition)                    \
  do {                                      \
    ++checks;                               \
    if (!(condition) && failed_line == 0) { \
      failed_line = __LINE__;               \
    }                                       \
  } while (0)

/* --- What ought to be ---------------------------------------------------- */

static const struct vvar_slot* current(void) {
  return &page.timeline[0].slot[page.timeline[0].seq >> 1 & 1];
}

static int64_t since(uint64_t cycles, uint64_t start) {
  const unsigned unused = 64 - counter.bits;
  return (int64_t)((cycles - start) << unused) >> unused;
}

/* The current line's clock at a counter value not before its start. */
static uint64_t exact_ns(uint32_t index, uint64_t cycles) {
  const struct vvar_slot* slot = current();
  const uint64_t delta = (uint64_t)since(cycles, slot->cycle_start);
  const uint64_t mult = index == VVAR_BASE_REALTIME        ? slot->realtime_mult
                        : index == VVAR_BASE_MONOTONIC_RAW ? slot->raw_mult
                                                           : slot->mult;
  const uint64_t base = slot->base[index].nsec_shifted;
  const uint64_t part = base & ((UINT64_C(1) << slot->shift) - 1);
  const uint64_t low = (delta & UINT32_MAX) * mult + part;
  const uint64_t high = (delta >> 32) * mult + (low >> 32);
  const uint64_t rest =
      slot->shift >= 32
          ? high >> (slot->shift - 32)
          : high << (32 - slot->shift) | (low & UINT32_MAX) >> slot->shift;
  return (uint64_t)slot->base[index].sec * NS_PER_SEC + (base >> slot->shift) +
         rest;
}

static const struct {
  int32_t id;
  uint32_t index;
} precise[] = {{VVAR_CLOCK_REALTIME, VVAR_BASE_REALTIME},
               {VVAR_CLOCK_MONOTONIC, VVAR_BASE_MONOTONIC},
               {VVAR_CLOCK_MONOTONIC_RAW, VVAR_BASE_MONOTONIC_RAW},
               {VVAR_CLOCK_BOOTTIME, VVAR_BASE_BOOTTIME},
               {VVAR_CLOCK_TAI, VVAR_BASE_TAI}};
#define PRECISE (sizeof precise / sizeof precise[0])

/* --- A page to look at --------------------------------------------------- */

/* Waits until the current line has begun. */
static void settle(void) {
  while (since(vvar_read_counter(&counter), current()->cycle_start) < 0) {
  }
}

static void publish(void) {
  settle();
  CHECK(vvar_publish(&writer) != VVAR_PUBLISH_TOO_EARLY);
  settle();
}

static uint64_t counter_hz(void) {
  return counter.hz != 0 ? counter.hz : NS_PER_SEC;
}

/* Makes the page anew, its clocks running. */
static void begin(uint64_t hz) {
  const struct vvar_page_config format = {hz, 42, VVAR_FEATURE_USER_COUNTER,
                                          1,  1,  1000000};
  config = (struct vvar_writer_config){hz, 1000, 1000000,
                                       UINT64_C(1000) * NS_PER_SEC};
  memset(&page, 0, sizeof page);
  CHECK(vvar_format_page(&page, &counter, &format) == VVAR_DONE);
  CHECK(vvar_start(&writer, &counter, &page.timeline[0], &config,
                   &start_times) == VVAR_DONE);
  CHECK(vvar_attach(&reader, &counter, &page, sizeof page, 0) ==
        VVAR_ATTACH_OK);
}

static struct vvar_snapshot snapshot(void) {
  struct vvar_snapshot all = {0};
  CHECK(vvar_read_snapshot(&reader, &all) == VVAR_READ_OK);
  return all;
}

/* --- Cases --------------------------------------------------------------- */

static void describes_the_counter(void) {
  CHECK(counter.id == page.header.counter_id && counter.id != 0);
  CHECK(counter.bits >= 56 && counter.bits <= 64);
  CHECK((counter.hz == 0) == (counter.hz_source == VVAR_HZ_UNKNOWN));
  const uint64_t first = vvar_read_counter(&counter);
  while (vvar_read_counter(&counter) == first) {
  }
  CHECK(since(vvar_read_counter(&counter), first) > 0);
}

static void formats_the_header(void) {
  const struct vvar_header* header = &page.header;
  CHECK(header->magic == VVAR_MAGIC && header->size == sizeof page);
  CHECK(header->counter_hz == counter_hz() && header->instance_id == 42);
  CHECK(header->features == VVAR_FEATURE_USER_COUNTER);
  CHECK(header->timeline_count == 1 && header->resolution_ns == 1);
  CHECK(header->coarse_resolution_ns == 1000000);
}

static void attaches_to_pages_alone(void) {
  uint32_t* words = (uint32_t*)&page;
  const struct {
    size_t word;
    uint32_t value, status;
  } rows[] = {
      {offsetof(struct vvar_header, magic), 1, VVAR_ATTACH_BAD_MAGIC},
      {offsetof(struct vvar_header, endian_tag), 0x04030201,
       VVAR_ATTACH_WRONG_ENDIAN},
      {offsetof(struct vvar_header, abi_major), VVAR_ABI_MAJOR + 1,
       VVAR_ATTACH_WRONG_MAJOR},
      {offsetof(struct vvar_header, timeline_stride), 4,
       VVAR_ATTACH_BAD_LAYOUT},
      {offsetof(struct vvar_header, size), 4097, VVAR_ATTACH_TOO_SMALL},
      {offsetof(struct vvar_header, counter_id), VVAR_COUNTER_NONE,
       VVAR_ATTACH_WRONG_COUNTER},
  };
  struct vvar_reader other = reader;
  for (size_t i = 0; i < sizeof rows / sizeof rows[0]; ++i) {
    uint32_t* word = &words[rows[i].word / 4];
    const uint32_t value = *word;
    *word = rows[i].value;
    CHECK(vvar_attach(&other, &counter, &page, sizeof page, 0) ==
          rows[i].status);
    *word = value;
  }
  CHECK(vvar_attach(&other, &counter, &page, 255, 0) == VVAR_ATTACH_TOO_SMALL);
  CHECK(vvar_attach(&other, &counter, &page, sizeof page, 1) ==
        VVAR_ATTACH_BAD_LAYOUT);
  CHECK(memcmp(&other, &reader, sizeof other) == 0);
}

static void says_why_there_is_no_time(void) {
  struct vvar_reader other;
  uint64_t ns = 7;
  vvar_detach(&other);
  CHECK(vvar_now(&other, VVAR_CLOCK_REALTIME, &ns) == VVAR_READ_NOT_READY);
  CHECK(vvar_now(&reader, 3, &ns) == VVAR_READ_UNKNOWN_CLOCK);
  CHECK(vvar_now(&reader, -1, &ns) == VVAR_READ_UNKNOWN_CLOCK);
  CHECK(vvar_now_coarse(&reader, VVAR_CLOCK_TAI, &ns) ==
        VVAR_READ_UNKNOWN_CLOCK);
  struct vvar_slot* slot = (struct vvar_slot*)current();
  const uint32_t id = slot->counter_id;
  slot->counter_id = VVAR_COUNTER_PRIVATE;
  CHECK(vvar_now(&reader, VVAR_CLOCK_TAI, &ns) == VVAR_READ_WRONG_COUNTER);
  slot->counter_id = id;
  CHECK(ns == 7);
}

/* Each read is between the line's values at the counter before and after. */
static void reads_are_the_line_at_the_counter(void) {
  settle();
  for (int round = 0; round < 1000; ++round) {
    for (size_t i = 0; i < PRECISE; ++i) {
      const int32_t id = precise[i].id;
      uint64_t ns = 0, loose = 0;
      struct vvar_time time = {0, 0};
      struct vvar_interval interval = {0};
      const uint64_t before = vvar_read_counter(&counter);
      (void)getppid(); /* no CPU looks across a system call: for `loose` */
      CHECK(vvar_now_unordered(&reader, id, &loose) == VVAR_READ_OK);
      (void)getppid();
      CHECK(vvar_now(&reader, id, &ns) == VVAR_READ_OK);
      CHECK(vvar_now_timespec(&reader, id, &time) == VVAR_READ_OK);
      CHECK(vvar_read_interval(&reader, id, &interval) == VVAR_READ_OK);
      const uint64_t after = vvar_read_counter(&counter);
      const uint64_t whole = (uint64_t)time.sec * NS_PER_SEC + time.nsec;
      const uint64_t middle =
          interval.earliest_ns +
          (interval.latest_ns - interval.earliest_ns - 1) / 2;
      CHECK(exact_ns(precise[i].index, before) <= loose && loose <= ns);
      CHECK(ns <= whole && time.nsec < NS_PER_SEC && whole <= middle);
      CHECK(middle <= exact_ns(precise[i].index, after));
    }
  }
}

static void snapshot_is_every_clock_at_one_counter(void) {
  settle();
  const struct vvar_snapshot all = snapshot();
  CHECK(all.realtime_ns == exact_ns(VVAR_BASE_REALTIME, all.cycles));
  CHECK(all.monotonic_ns == exact_ns(VVAR_BASE_MONOTONIC, all.cycles));
  CHECK(all.monotonic_raw_ns == exact_ns(VVAR_BASE_MONOTONIC_RAW, all.cycles));
  CHECK(all.boottime_ns == exact_ns(VVAR_BASE_BOOTTIME, all.cycles));
  CHECK(all.tai_ns == exact_ns(VVAR_BASE_TAI, all.cycles));
  CHECK(all.realtime_coarse_ns == current()->coarse[0].ns);
  CHECK(all.monotonic_coarse_ns == current()->coarse[1].ns);
  CHECK(all.tai_offset_sec == 37 && all.leap_state == VVAR_LEAP_NONE);
  CHECK(all.clock_status == VVAR_STATUS_UNSYNCHRONISED);
}

static void coarse_clocks_are_the_last_publication(void) {
  uint64_t ns = 0;
  CHECK(vvar_now_coarse(&reader, VVAR_CLOCK_REALTIME_COARSE, &ns) ==
        VVAR_READ_OK);
  CHECK(ns == UINT64_C(1700000000999999999));
  CHECK(vvar_now(&reader, VVAR_CLOCK_MONOTONIC_COARSE, &ns) == VVAR_READ_OK);
  CHECK(ns == UINT64_C(5000000001));
}

static void a_line_grows_old(void) {
  struct vvar_age age = {0, 0};
  CHECK(vvar_read_age(&reader, &age) == VVAR_READ_OK);
  CHECK(age.clock_status == VVAR_STATUS_UNSYNCHRONISED);
  config.max_age_ns = 1000;
  CHECK(vvar_start(&writer, &counter, &page.timeline[0], &config,
                   &start_times) == VVAR_DONE);
  uint64_t ns = 0;
  while (vvar_now(&reader, VVAR_CLOCK_TAI, &ns) == VVAR_READ_OK) {
  }
  CHECK(vvar_now(&reader, VVAR_CLOCK_TAI, &ns) == VVAR_READ_STALE);
  CHECK(vvar_read_age(&reader, &age) == VVAR_READ_STALE);
  CHECK(age.age_ns >= 1000);
}

static void refuses_what_cannot_run(void) {
  const struct vvar_writer_config good = config;
  const struct vvar_time bad_time = {0, NS_PER_SEC};
  struct vvar_start_times bad_times = start_times;
  bad_times.boottime = bad_time;
  struct vvar_page_config format = {1, 1, 0, 0, 1, 1};
  struct vvar_offsets offsets = {0};
  struct vvar_timeline* timeline = &page.timeline[0];
  const uint32_t seq = timeline->seq;
  CHECK(vvar_start(&writer, &counter, timeline, &good, &bad_times) ==
        VVAR_REFUSED);
  config.interval_ns = 0;
  CHECK(vvar_start(&writer, &counter, timeline, &config, &start_times) ==
        VVAR_REFUSED);
  config = good;
  config.counter_hz = 0;
  CHECK(vvar_take_over(&writer, &counter, timeline, &config) == VVAR_REFUSED);
  config.counter_hz = UINT64_C(16000000001);
  CHECK(vvar_start(&writer, &counter, timeline, &config, &start_times) ==
        VVAR_REFUSED);
  CHECK(vvar_format_page(&page, &counter, &format) == VVAR_REFUSED);
  format.timeline_count = VVAR_MAX_TIMELINES + 1;
  CHECK(vvar_format_page(&page, &counter, &format) == VVAR_REFUSED);
  CHECK(vvar_format_offsets(&offsets, &bad_time, &start_times.boottime) ==
        VVAR_REFUSED);
  CHECK(offsets.magic == 0 && timeline->seq == seq);
}

static void publishes_once_the_line_has_begun(void) {
  publish();
  CHECK(page.timeline[0].seq == 4);
  config.lead_ns = UINT64_C(1000) * NS_PER_SEC;
  CHECK(vvar_start(&writer, &counter, &page.timeline[0], &config,
                   &start_times) == VVAR_DONE);
  CHECK(vvar_publish(&writer) == VVAR_PUBLISH_OK);
  CHECK(vvar_publish(&writer) == VVAR_PUBLISH_TOO_EARLY);
  CHECK(page.timeline[0].seq == 8);
}

static void counts_what_comes_late(void) {
  struct vvar_statistics counted = {0};
  vvar_set_writer_id(&writer, 4711);
  CHECK(vvar_read_statistics(&counter, &page, sizeof page, 0, &counted) ==
        VVAR_ATTACH_OK);
  CHECK(counted.publications == 1 && counted.writer_id == 4711);
  CHECK(counted.late_publications == 0 && counted.redated_lines == 0);
  config.lead_ns = 0; /* so each one does, as soon as the counter moves */
  CHECK(vvar_start(&writer, &counter, &page.timeline[0], &config,
                   &start_times) == VVAR_DONE);
  while (vvar_publish(&writer) != VVAR_PUBLISH_LATE) {
  }
  CHECK(vvar_read_statistics(&counter, &page, sizeof page, 0, &counted) ==
        VVAR_ATTACH_OK);
  CHECK(counted.late_publications == 1 && counted.redated_lines >= 3);
  CHECK(counted.max_lateness_cycles > 0 &&
        counted.publications == page.timeline[0].seq >> 1);
  CHECK(vvar_read_statistics(&counter, &page, 255, 0, &counted) ==
        VVAR_ATTACH_TOO_SMALL);
}

static void frequencies_are_slopes(void) {
  const uint64_t nominal = current()->mult;
  vvar_set_frequency(&writer, 50000000);
  vvar_set_raw_frequency(&writer, -1000000000); /* clamped */
  publish();
  CHECK(current()->mult == (nominal * 21 + 10) / 20);
  CHECK(current()->raw_mult == (nominal * 19 + 10) / 20);
  CHECK(current()->realtime_mult == current()->mult);
}

static void slews_gradually(void) {
  const uint32_t nominal = current()->mult;
  vvar_slew(&writer, -NS_PER_SEC, 1000000);
  publish();
  CHECK(current()->mult < nominal && current()->realtime_mult < nominal);
  CHECK(vvar_slew_remaining_ns(&writer) == -NS_PER_SEC);
  begin(counter_hz());
  vvar_slew_realtime(&writer, 1000000, 1000000);
  publish();
  CHECK(current()->mult == nominal && current()->realtime_mult > nominal);
  const struct vvar_slot* slot = current();
  CHECK(exact_ns(VVAR_BASE_TAI, slot->cycle_start) -
            exact_ns(VVAR_BASE_REALTIME, slot->cycle_start) ==
        UINT64_C(37001000000));
}

static void steps_where_the_next_line_begins(void) {
  settle();
  const struct vvar_snapshot old = snapshot();
  vvar_step_realtime(&writer, -5 * INT64_C(1000000000));
  vvar_step_realtime(&writer, 7);
  vvar_set_tai_offset(&writer, 38);
  publish();
  const struct vvar_snapshot all = snapshot();
  const uint64_t before = old.realtime_ns - old.monotonic_ns;
  CHECK(before - (all.realtime_ns - all.monotonic_ns) == 4999999993);
  CHECK(all.tai_ns - all.realtime_ns == UINT64_C(38000000000));
  CHECK(all.tai_offset_sec == 38 && current()->was_set_count == 1);
}

static void plans_leap_seconds(void) {
  const uint32_t insert = VVAR_LEAP_INSERT;
  CHECK(vvar_plan_leap(&writer, insert, 1600000000, 0) == VVAR_REFUSED);
  CHECK(vvar_plan_leap(&writer, VVAR_LEAP_DONE, 1800000000, 0) == VVAR_REFUSED);
  CHECK(vvar_plan_leap(&writer, insert, 1800000000, 0) == VVAR_DONE);
  publish();
  CHECK(snapshot().leap_state == insert);
  CHECK(current()->leap_date_sec == 1800000000);
  CHECK(vvar_plan_leap(&writer, VVAR_LEAP_SMEAR_DELETE, 1800000000, 86400) ==
        VVAR_DONE);
  publish();
  CHECK(snapshot().leap_state == VVAR_LEAP_SMEAR_DELETE);
  CHECK(current()->leap_smear_sec == 86400);
  CHECK(vvar_plan_leap(&writer, VVAR_LEAP_NONE, 0, 0) == VVAR_DONE);
  publish();
  CHECK(snapshot().leap_state == VVAR_LEAP_NONE);
}

static void vouches_for_its_time(void) {
  vvar_set_status(&writer, VVAR_STATUS_SYNCHRONISED);
  vvar_set_error_bound(&writer, 1000, 0);
  publish();
  struct vvar_interval interval = {0};
  CHECK(vvar_read_interval(&reader, VVAR_CLOCK_TAI, &interval) == VVAR_READ_OK);
  CHECK(interval.clock_status == VVAR_STATUS_SYNCHRONISED);
  const uint64_t width = interval.latest_ns - interval.earliest_ns;
  CHECK(width == 2 * snapshot().error_ns + 1);
  CHECK(snapshot().error_ns >= 1000 && snapshot().error_ns <= 1010);
  vvar_set_error_bound(&writer, 0, UINT32_MAX);
  publish();
  CHECK(current()->error_growth_ppb == UINT32_MAX);
}

static void tells_when_it_is_due(void) {
  const struct vvar_slot* slot = current();
  const int64_t cycles = since(vvar_next_deadline(&writer), slot->cycle_start);
  CHECK(cycles == (int64_t)(slot->max_cycles - slot->max_cycles / 4));
}

static void holds_and_resumes(void) {
  const struct vvar_gap gap = {5, 0, 6, 7};
  uint64_t ns = 0, coarse = 0;
  settle();
  const struct vvar_snapshot old = snapshot();
  vvar_hold(&writer);
  publish();
  CHECK(vvar_now(&reader, VVAR_CLOCK_MONOTONIC, &ns) == VVAR_READ_NO_COUNTER);
  CHECK(vvar_now_coarse(&reader, VVAR_CLOCK_MONOTONIC_COARSE, &coarse) ==
        VVAR_READ_OK);
  const uint64_t held_ns =
      exact_ns(VVAR_BASE_MONOTONIC, current()->cycle_start);
  vvar_resume(&writer, vvar_read_counter(&counter), &gap);
  CHECK(vvar_publish(&writer) != VVAR_PUBLISH_TOO_EARLY);
  settle();
  const struct vvar_snapshot all = snapshot();
  CHECK(all.monotonic_ns >= held_ns && coarse <= held_ns);
  CHECK(all.realtime_ns - all.monotonic_ns ==
        old.realtime_ns - old.monotonic_ns + 5);
  CHECK(all.boottime_ns - all.monotonic_ns ==
        old.boottime_ns - old.monotonic_ns + 7);
  CHECK(all.monotonic_raw_ns - all.monotonic_ns ==
        old.monotonic_raw_ns - old.monotonic_ns + 6);
}

/* For an owner that could note the counter, but not publish. */
static void holds_at_a_counter_value(void) {
  const struct vvar_gap gap = {0, 0, 0, 1000};
  settle();
  const uint64_t at = vvar_read_counter(&counter);
  const uint64_t then_ns = exact_ns(VVAR_BASE_MONOTONIC, at);
  vvar_hold_at(&writer, at);
  vvar_resume(&writer, at, &gap);
  CHECK(vvar_publish(&writer) != VVAR_PUBLISH_TOO_EARLY);
  settle();
  const struct vvar_snapshot all = snapshot();
  const uint64_t since_ns = all.monotonic_ns - then_ns;
  CHECK(since_ns < NS_PER_SEC * UINT64_C(1000) && since_ns > 0);
  CHECK(all.boottime_ns - all.monotonic_ns == UINT64_C(2000001002));
}

static void takes_over_from_a_dead_writer(void) {
  struct vvar_writer heir;
  vvar_step_realtime(&writer, 12345);
  publish();
  const struct vvar_snapshot old = snapshot();
  page.timeline[0].seq |= 1; /* it died in its next update, */
  memset(&page.timeline[0].slot[page.timeline[0].seq >> 1 & 1 ? 0 : 1], 0xa5,
         sizeof(struct vvar_slot)); /* having written anything */
  CHECK(vvar_take_over(&heir, &counter, &page.timeline[0], &config) ==
        VVAR_DONE);
  CHECK(snapshot().monotonic_ns >= old.monotonic_ns);
  CHECK(vvar_publish(&heir) != VVAR_PUBLISH_TOO_EARLY);
  settle();
  CHECK(page.timeline[0].seq % 2 == 0);
  const struct vvar_snapshot all = snapshot();
  CHECK(all.monotonic_ns > old.monotonic_ns);
  CHECK(all.realtime_ns - all.monotonic_ns ==
        old.realtime_ns - old.monotonic_ns);
  CHECK(all.tai_offset_sec == 37);
  vvar_hold(&heir); /* and one that held its line: */
  CHECK(vvar_publish(&heir) != VVAR_PUBLISH_TOO_EARLY);
  CHECK(vvar_take_over(&writer, &counter, &page.timeline[0], &config) ==
        VVAR_DONE);
  const struct vvar_gap none = {0, 0, 0, 0};
  vvar_resume(&writer, vvar_read_counter(&counter), &none);
  CHECK(vvar_publish(&writer) != VVAR_PUBLISH_TOO_EARLY);
  settle();
  CHECK(snapshot().monotonic_ns > all.monotonic_ns);
  CHECK(vvar_take_over(&heir, &counter, &page.timeline[1], &config) ==
        VVAR_REFUSED);
}

static void moves_clocks_by_a_namespace(void) {
  static struct vvar_offsets offsets;
  const struct vvar_time monotonic = {-3, 500000000}, boottime = {10, 1};
  struct vvar_reader inside = reader;
  CHECK(vvar_attach_in_namespace(&inside, &counter, &page, sizeof page, 0,
                                 &offsets,
                                 sizeof offsets) == VVAR_ATTACH_BAD_MAGIC);
  CHECK(memcmp(&inside, &reader, sizeof inside) == 0);
  CHECK(vvar_format_offsets(&offsets, &monotonic, &boottime) == VVAR_DONE);
  CHECK(vvar_attach_in_namespace(&inside, &counter, &page, sizeof page, 0,
                                 &offsets, sizeof offsets) == VVAR_ATTACH_OK);
  settle();
  struct vvar_snapshot all = {0};
  CHECK(vvar_read_snapshot(&inside, &all) == VVAR_READ_OK);
  CHECK(all.realtime_ns == exact_ns(VVAR_BASE_REALTIME, all.cycles));
  CHECK(all.monotonic_ns ==
        exact_ns(VVAR_BASE_MONOTONIC, all.cycles) - UINT64_C(2500000000));
  CHECK(all.boottime_ns ==
        exact_ns(VVAR_BASE_BOOTTIME, all.cycles) + UINT64_C(10000000001));
}

/* --- Against the system -------------------------------------------------- */

static uint64_t system_ns(clockid_t id) {
  struct timespec now;
  clock_gettime(id, &now);
  return (uint64_t)now.tv_sec * NS_PER_SEC + (uint64_t)now.tv_nsec;
}

/* The counter's rate, with brackets that are below 1/1000 of what they span. */
static uint64_t measured_hz(void) {
  const uint64_t first = system_ns(CLOCK_MONOTONIC);
  const uint64_t start = vvar_read_counter(&counter);
  const uint64_t first_end = system_ns(CLOCK_MONOTONIC);
  for (;;) {
    const uint64_t last = system_ns(CLOCK_MONOTONIC);
    const uint64_t cycles = (uint64_t)since(vvar_read_counter(&counter), start);
    const uint64_t last_end = system_ns(CLOCK_MONOTONIC);
    const uint64_t widths = first_end - first + (last_end - last);
    const uint64_t ns = last_end - first;
    if (ns > 20000000 && widths < ns / 1000) return cycles * NS_PER_SEC / ns;
  }
}

/* Within what two measurements of the rate may differ by, 0.4 %, and the
 * bracket in which the clocks started. */
static void keeps_the_time_of_the_system(void) {
  begin(measured_hz());
  const uint64_t first = system_ns(CLOCK_MONOTONIC);
  struct vvar_start_times times = start_times;
  times.monotonic.sec = (int64_t)(first / NS_PER_SEC);
  times.monotonic.nsec = (uint32_t)(first % NS_PER_SEC);
  CHECK(vvar_start(&writer, &counter, &page.timeline[0], &config, &times) ==
        VVAR_DONE);
  const uint64_t width = system_ns(CLOCK_MONOTONIC) - first;
  for (int round = 0; round < 1000; ++round) {
    uint64_t ns = 0;
    if (round % 10 == 0) vvar_publish(&writer);
    const uint64_t before = system_ns(CLOCK_MONOTONIC);
    CHECK(vvar_now(&reader, VVAR_CLOCK_MONOTONIC, &ns) == VVAR_READ_OK);
    const uint64_t after = system_ns(CLOCK_MONOTONIC);
    const uint64_t slack = width + (after - first) / 250 + 1;
    CHECK(before - slack <= ns && ns <= after + slack);
  }
}

int main(void) {
#define CASE(name) \
  { #name, name }
  static const struct {
    const char* name;
    void (*run)(void);
  } cases[] = {
      CASE(describes_the_counter),
      CASE(formats_the_header),
      CASE(attaches_to_pages_alone),
      CASE(says_why_there_is_no_time),
      CASE(reads_are_the_line_at_the_counter),
      CASE(snapshot_is_every_clock_at_one_counter),
      CASE(coarse_clocks_are_the_last_publication),
      CASE(a_line_grows_old),
      CASE(refuses_what_cannot_run),
      CASE(publishes_once_the_line_has_begun),
      CASE(counts_what_comes_late),
      CASE(frequencies_are_slopes),
      CASE(slews_gradually),
      CASE(steps_where_the_next_line_begins),
      CASE(plans_leap_seconds),
      CASE(vouches_for_its_time),
      CASE(tells_when_it_is_due),
      CASE(holds_and_resumes),
      CASE(holds_at_a_counter_value),
      CASE(takes_over_from_a_dead_writer),
      CASE(moves_clocks_by_a_namespace),
      CASE(keeps_the_time_of_the_system),
  };
  int failed = 0;
  vvar_query_counter(&counter);
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; ++i) {
    failed_line = checks = 0;
    begin(counter_hz());
    cases[i].run();
    failed += failed_line != 0;
    if (failed_line != 0) {
      printf("CASE %s FAILED at line %d\n", cases[i].name, failed_line);
    } else {
      printf("CASE %s PASSED %d checks\n", cases[i].name, checks);
    }
  }
  return failed != 0;
}
