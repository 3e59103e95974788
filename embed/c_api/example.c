/* SPDX-License-Identifier: MIT
 *
 * A C program that keeps a page and reads it, as a kernel would: its boot, its
 * tick and its readers, with the system's clocks where a kernel has its RTC.
 * Prints what each clock says.
 */
#define _POSIX_C_SOURCE 200809L
#include <inttypes.h>
#include <stdio.h>
#include <time.h>

#include "embed/c_api/vvar_c.h"

static _Alignas(4096) struct vvar_page page; /* .bss: all zero */
static struct vvar_counter counter;
static struct vvar_writer writer;

static struct vvar_time system_time(clockid_t id) {
  struct timespec now;
  clock_gettime(id, &now);
  return (struct vvar_time){now.tv_sec, (uint32_t)now.tv_nsec};
}

static int64_t system_ns(clockid_t id) {
  const struct vvar_time now = system_time(id);
  return now.sec * 1000000000 + now.nsec;
}

/* Firmware may not know the counter's rate: 50 ms of the system's clock do. */
static uint64_t measured_hz(void) {
  const int64_t start_ns = system_ns(CLOCK_MONOTONIC);
  const uint64_t start = vvar_read_counter(&counter);
  int64_t ns;
  do {
    ns = system_ns(CLOCK_MONOTONIC) - start_ns;
  } while (ns < 50000000);
  const uint64_t cycles = vvar_read_counter(&counter) - start;
  return cycles * 1000000000 / (uint64_t)ns; /* below 2^64 for seconds */
}

static uint32_t boot(void) {
  vvar_query_counter(&counter);
  const uint64_t hz = measured_hz();
  const struct vvar_page_config format = {
      .counter_hz = hz, .instance_id = 1, .timeline_count = 1};
  const struct vvar_writer_config config = {.counter_hz = hz,
                                            .lead_ns = 10000,
                                            .interval_ns = 1000000,
                                            .max_age_ns = 1000000000};
  const struct vvar_start_times times = {system_time(CLOCK_REALTIME),
                                         system_time(CLOCK_MONOTONIC),
                                         {0, 0},
                                         system_time(CLOCK_MONOTONIC),
                                         37};
  if (vvar_format_page(&page, &counter, &format) != VVAR_DONE) return 1;
  return vvar_start(&writer, &counter, &page.timeline[0], &config, &times);
}

int main(void) {
  static const struct {
    const char* name;
    int32_t id;
  } clocks[] = {{"REALTIME", VVAR_CLOCK_REALTIME},
                {"MONOTONIC", VVAR_CLOCK_MONOTONIC},
                {"TAI", VVAR_CLOCK_TAI}};
  struct vvar_reader reader;
  if (boot() != VVAR_DONE) return 1;
  if (vvar_attach(&reader, &counter, &page, sizeof page, 0) != VVAR_ATTACH_OK) {
    return 1;
  }
  if (vvar_publish(&writer) == VVAR_PUBLISH_TOO_EARLY) return 1; /* the tick */
  for (size_t i = 0; i < sizeof clocks / sizeof clocks[0]; ++i) {
    struct vvar_time now;
    const uint32_t status = vvar_now_timespec(&reader, clocks[i].id, &now);
    if (status != VVAR_READ_OK) return 1;
    printf("%-9s %" PRId64 ".%09" PRIu32 "\n", clocks[i].name, now.sec,
           now.nsec);
  }
  return 0;
}
