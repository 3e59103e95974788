// SPDX-License-Identifier: MIT
//
// Independent clock domains (AUX, PTP, a guest's) on one page and one counter,
// each with its own timekeeper, writer and readers.
#include <gtest/gtest.h>
#include <stdint.h>
#include <string.h>

#include "tests/support/manual_clock.h"
#include "tests/support/oracle.h"
#include "tests/support/test_page.h"
#include "vvar/header.h"
#include "vvar/reader.h"
#include "vvar/timekeeper.h"
#include "vvar/writer.h"

namespace vvar {
namespace {

using support::kTestConfig;
using support::kTestTimes;
using support::ManualClock;
using support::ManualCounter;
using support::PageConfigOf;

using Clock = ManualClock<>;

// A domain: how fast it runs, when it is updated, and what it ought to show.
struct DomainRow {
  const char* name;
  uint32_t index;
  int64_t ppb;
  uint64_t interval_cycles;
  Timespec realtime;
};
constexpr DomainRow kDomains[] = {
    {"system", 0, 0, 1'000'000, {1'700'000'000, 0}},
    {"PTP, 49 000 ppm fast", 2, 49'000'000, 3'000'000, {1'700'000'037, 5}},
    {"simulation, slow", 5, -50'000'000, 7'000'000, {0, 0}},
};
constexpr int kCount = 3;

class TimelinesTest : public testing::Test {
 protected:
  struct Domain {
    Domain(vvar_page& page, ManualCounter& counter, const DomainRow& row)
        : timekeeper(kTestConfig),
          writer(&page.timeline[row.index], Clock(&counter)),
          next(counter.value + row.interval_cycles) {
      StartTimes times = kTestTimes;
      times.realtime = row.realtime;
      timekeeper.SetFrequency(row.ppb);
      timekeeper.Start(counter.value, times);
      writer.PublishLine(timekeeper.line());
      first = timekeeper.line();
    }
    Timekeeper timekeeper;
    Writer<Clock> writer;
    uint64_t next;
    Line first;
  };

  TimelinesTest() {
    FormatPage(page_, PageConfigOf(kTestConfig));
    counter_.value = 12'345;
  }
  Reader<Clock> ReaderOf(uint32_t index) {
    Reader<Clock> reader;
    EXPECT_EQ(Reader<Clock>::Attach(&page_, sizeof page_, index,
                                    Clock(&counter_), &reader),
              PageStatus::kOk);
    return reader;
  }

  alignas(4096) vvar_page page_ = {};
  ManualCounter counter_;
};

TEST_F(TimelinesTest, ThreeRunAtRatesOfTheirOwn) {
  Domain domains[kCount] = {{page_, counter_, kDomains[0]},
                            {page_, counter_, kDomains[1]},
                            {page_, counter_, kDomains[2]}};
  const Reader<Clock> readers[kCount] = {ReaderOf(0), ReaderOf(2), ReaderOf(5)};
  uint64_t reads = 0;
  for (int round = 0; round < 20'000; ++round) {
    counter_.value += 50'001;
    for (int i = 0; i < kCount; ++i) {
      Domain& domain = domains[i];
      if (counter_.value >= domain.next) {
        ASSERT_EQ(domain.writer.Publish(domain.timekeeper),
                  PublishStatus::kPublished);
        domain.next += kDomains[i].interval_cycles;
      }
      // No frequency was changed: the first line is right for ever.
      const Line& first = domain.first;
      for (const ClockId id : {ClockId::kRealtime, ClockId::kMonotonic}) {
        const NsReading reading = readers[i].Now(id);
        ASSERT_TRUE(reading.ok());
        const uint32_t base =
            id == ClockId::kRealtime ? VVAR_BASE_REALTIME : VVAR_BASE_MONOTONIC;
        ASSERT_EQ(
            reading.ns,
            support::FloorNs(support::ExactAt(first, base, counter_.value, 64),
                             first.scale.shift))
            << kDomains[i].name;
        ++reads;
      }
    }
  }
  EXPECT_EQ(reads, 120'000u);
  EXPECT_NE(page_.timeline[0].seq, page_.timeline[2].seq);
  EXPECT_NE(page_.timeline[2].seq, page_.timeline[5].seq);
}

TEST_F(TimelinesTest, WriterOfOneTouchesNoOther) {
  Domain domains[kCount] = {{page_, counter_, kDomains[0]},
                            {page_, counter_, kDomains[1]},
                            {page_, counter_, kDomains[2]}};
  for (int i = 0; i < kCount; ++i) {
    vvar_page before;
    memcpy(&before, &page_, sizeof before);
    counter_.value += 5'000'000;
    domains[i].timekeeper.StepRealtime(-1'000'000'000'000);
    ASSERT_EQ(domains[i].writer.Publish(domains[i].timekeeper),
              PublishStatus::kPublished);
    EXPECT_EQ(memcmp(&before.header, &page_.header, sizeof page_.header), 0);
    for (uint32_t t = 0; t < VVAR_MAX_TIMELINES; ++t) {
      const bool same = memcmp(&before.timeline[t], &page_.timeline[t],
                               sizeof page_.timeline[t]) == 0;
      EXPECT_EQ(same, t != kDomains[i].index) << t;
    }
  }
}

TEST_F(TimelinesTest, OneThatIsStoppedOrHeldGoesStaleAlone) {
  Domain domains[kCount] = {{page_, counter_, kDomains[0]},
                            {page_, counter_, kDomains[1]},
                            {page_, counter_, kDomains[2]}};
  const Reader<Clock> readers[kCount] = {ReaderOf(0), ReaderOf(2), ReaderOf(5)};
  counter_.value += 10'000'000;
  domains[1].timekeeper.Hold();
  ASSERT_EQ(domains[1].writer.Publish(domains[1].timekeeper),
            PublishStatus::kPublished);
  counter_.value += 11'000'000'000;  // Beyond max_age.
  ASSERT_EQ(domains[0].writer.Publish(domains[0].timekeeper),
            PublishStatus::kPublished);
  counter_.value += 2'000;
  EXPECT_EQ(readers[0].Now(ClockId::kMonotonic).status, ReadStatus::kOk);
  EXPECT_EQ(readers[1].Now(ClockId::kMonotonic).status, ReadStatus::kNoCounter);
  EXPECT_EQ(readers[2].Now(ClockId::kMonotonic).status, ReadStatus::kStale);
  EXPECT_EQ(ReaderOf(1).Now(ClockId::kMonotonic).status, ReadStatus::kNotReady)
      << "nobody writes it";
}

}  // namespace
}  // namespace vvar
