// SPDX-License-Identifier: MIT
//
// A program that writes a page whose bytes are always the same, or says what
// the library reads in one. Compiled for 64 and for 32 bits by
// decoders_test.py.
//
//   page_program write >PAGE
//   page_program read COUNTER... <PAGE
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/manual_clock.h"
#include "vvar/header.h"
#include "vvar/page.h"
#include "vvar/reader.h"
#include "vvar/timekeeper.h"
#include "vvar/writer.h"

namespace vvar::faults {
namespace {

using support::kManualCounterId;
using support::WordClock;

vvar_page page;
uint64_t counter;

constexpr TimekeeperConfig kConfig = {
    .counter_id = kManualCounterId,
    .counter_bits = 64,
    .counter_hz = 1'000'000'000,
    .lead_ns = 1'000,
    .interval_ns = 1'000'000,
    .max_age_ns = 4'000'000'000,
};

int Write() {
  FormatPage(page, {.counter_id = kManualCounterId,
                    .counter_bits = 64,
                    .counter_hz = kConfig.counter_hz,
                    .instance_id = 0x0123456789abcdef,
                    .features = VVAR_FEATURE_USER_COUNTER,
                    .timeline_count = VVAR_MAX_TIMELINES,
                    .resolution_ns = 1,
                    .coarse_resolution_ns = 1'000'000});
  Writer<WordClock> writer(&page.timeline[0], WordClock(&counter));
  Timekeeper timekeeper(kConfig);
  counter = 0xfedcba9876543210;
  timekeeper.Start(counter, {{1'700'000'000, 123'456'789},
                             {1'000, 999'999'999},
                             {1'001, 1},
                             {5'000, 0},
                             37});
  writer.PublishLine(timekeeper.line());
  for (int64_t i = 1; i <= 3; ++i) {
    counter += 1'000'000;
    timekeeper.SetFrequency(i * 12'345'678);
    timekeeper.SetRawFrequency(i * -1'234'567);
    timekeeper.SetErrorBound(static_cast<uint64_t>(i) * 1'111, 2'222);
    timekeeper.SetStatus(ClockStatus::kSynchronised);
    timekeeper.StepRealtime(i * -2'000'000'000'000'000'001);  // Before 1970.
    timekeeper.SlewRealtime(i * 1'000, 500'000);
    if (writer.Publish(timekeeper) != PublishStatus::kPublished) return 1;
  }
  return fwrite(&page, sizeof page, 1, stdout) == 1 ? 0 : 1;
}

int Read(int counters, char** values) {
  if (fread(&page, sizeof page, 1, stdin) != 1) return 1;
  Reader<WordClock> reader;
  const PageStatus status = Reader<WordClock>::Attach(
      &page, sizeof page, 0, WordClock(&counter), &reader);
  if (status != PageStatus::kOk) {
    printf("refused: %u\n", static_cast<unsigned>(status));
    return 0;
  }
  for (int i = 0; i < counters; ++i) {
    counter = strtoull(values[i], nullptr, 10);
    for (int32_t id = 0; id <= VVAR_CLOCK_TAI; ++id) {
      const auto clock = static_cast<ClockId>(id);
      const TimespecReading time = reader.NowTimespec(clock);
      if (time.status == ReadStatus::kUnknownClock) continue;
      printf("%" PRIu64 " %d ", counter, static_cast<int>(id));
      if (!time.ok()) {
        printf("status %u\n", static_cast<unsigned>(time.status));
        continue;
      }
      // Each kind of read that there is says the same.
      const NsReading ns = reader.Now(clock);
      if (!ns.ok() || ns.ns != TimespecToNs({time.sec, time.nsec})) return 2;
      printf("%" PRId64 ".%09u\n", time.sec, static_cast<unsigned>(time.nsec));
    }
  }
  return 0;
}

}  // namespace

int Main(int argc, char** argv) {
  if (argc == 2 && strcmp(argv[1], "write") == 0) return Write();
  if (argc > 2 && strcmp(argv[1], "read") == 0) return Read(argc - 2, argv + 2);
  return 3;
}

}  // namespace vvar::faults

int main(int argc, char** argv) { return vvar::faults::Main(argc, argv); }
