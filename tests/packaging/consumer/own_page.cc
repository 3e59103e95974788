// SPDX-License-Identifier: MIT
//
// Somebody's program on the freestanding headers alone: it keeps a page of its
// own and reads it.
#include <stdint.h>
#include <stdio.h>

#include "clocks/native.h"
#include "vvar/header.h"
#include "vvar/page.h"
#include "vvar/reader.h"
#include "vvar/timekeeper.h"
#include "vvar/writer.h"

int main() {
  using vvar::NativeClock;
  const auto counter = vvar::QueryCounter(NativeClock());
  const uint64_t hz = counter.hz != 0 ? counter.hz : 1'000'000'000;

  vvar_page page = {};
  vvar::FormatPage(page, {.counter_id = NativeClock::kCounterId,
                          .counter_bits = NativeClock::kCounterBits,
                          .counter_hz = hz,
                          .instance_id = 1,
                          .features = VVAR_FEATURE_USER_COUNTER,
                          .timeline_count = 1,
                          .resolution_ns = 1,
                          .coarse_resolution_ns = 1'000'000});
  vvar::Timekeeper timekeeper({.counter_id = NativeClock::kCounterId,
                               .counter_bits = NativeClock::kCounterBits,
                               .counter_hz = hz,
                               .lead_ns = 1'000,
                               .interval_ns = 1'000'000,
                               .max_age_ns = 60'000'000'000});
  timekeeper.Start(counter.clock.Read(), {.realtime = {1'800'000'000, 0},
                                          .monotonic = {1, 0},
                                          .monotonic_raw = {},
                                          .boottime = {},
                                          .tai_offset_sec = 37});
  vvar::Writer<NativeClock> writer(&page.timeline[0], counter.clock);
  writer.PublishLine(timekeeper.line());

  vvar::Reader<NativeClock> reader;
  if (vvar::Reader<NativeClock>::Attach(&page, sizeof(page), 0, counter.clock,
                                        &reader) != vvar::PageStatus::kOk) {
    return 1;
  }
  const vvar::NsReading first = reader.Now(vvar::ClockId::kMonotonic);
  const vvar::NsReading second = reader.Now(vvar::ClockId::kMonotonic);
  printf("own page: %llu ns\n", static_cast<unsigned long long>(first.ns));
  const bool sane = first.ok() && second.ok() && first.ns >= 1'000'000'000 &&
                    second.ns >= first.ns;
  return sane ? 0 : 1;
}
