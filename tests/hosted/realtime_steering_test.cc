// SPDX-License-Identifier: MIT
//
// What the wall clock's steering asks of a timekeeper: leap seconds by date and
// policy, TAI offsets while one side has made a leap second and the other has
// not, small differences. Steps on a whole machine are in discipline_test.cc.
#include "hosted/realtime_steering.h"

#include <gtest/gtest.h>
#include <stdint.h>

#include "hosted/reference.h"
#include "vvar/leap.h"
#include "vvar/page.h"
#include "vvar/timekeeper.h"

namespace vvar::hosted {
namespace {

constexpr uint32_t kId = VVAR_COUNTER_PRIVATE | 1;
constexpr int64_t kMidnight = 1'483'228'800;
constexpr int64_t kHour = 3600;

// A timekeeper whose REALTIME is at `sec`, on a counter of ns.
class Keeper {
 public:
  explicit Keeper(int64_t sec, int32_t tai_offset_sec = 36)
      : timekeeper_({kId, 64, 1'000'000'000, 1000, 1'000'000, 4'000'000'000}) {
    timekeeper_.Start(0, {{sec, 0}, {5, 0}, {5, 0}, {6, 0}, tai_offset_sec});
  }
  Timekeeper& operator*() { return timekeeper_; }
  const Line& Update() {
    now_ += 1'000'000;
    (void)timekeeper_.Plan(now_);
    timekeeper_.Commit();
    return timekeeper_.line();
  }

 private:
  Timekeeper timekeeper_;
  uint64_t now_ = 0;
};

ReferenceQuality Quality(uint32_t leap_state, int32_t tai_offset_sec) {
  return {.synchronised = true,
          .frequency_ppb = 0,
          .max_error_ns = 0,
          .tai_offset_sec = tai_offset_sec,
          .leap_state = leap_state};
}

TEST(RealtimeSteeringTest, AnnouncedLeapIsPlannedByPolicyForTheComingMidnight) {
  const struct {
    const char* name;
    LeapPolicy policy;
    uint32_t announced;
    int64_t at_sec;
    LeapPlan plan;
  } kRows[] = {
      {"in", LeapPolicy::kStep, VVAR_LEAP_INSERT, kMidnight - 20 * kHour,
       InsertLeapSecond(kMidnight)},
      {"out", LeapPolicy::kStep, VVAR_LEAP_DELETE, kMidnight - 1 * kHour,
       DeleteLeapSecond(kMidnight)},
      {"at midnight", LeapPolicy::kStep, VVAR_LEAP_INSERT,
       kMidnight - 24 * kHour, InsertLeapSecond(kMidnight)},
      {"smeared in", LeapPolicy::kSmear, VVAR_LEAP_INSERT,
       kMidnight - 20 * kHour,
       SmearInsertedSecond(kMidnight - 12 * kHour, 86'400)},
      {"smeared out", LeapPolicy::kSmear, VVAR_LEAP_DELETE,
       kMidnight - 13 * kHour,
       SmearDeletedSecond(kMidnight - 12 * kHour, 86'400)},
      {"after noon, in what is left", LeapPolicy::kSmear, VVAR_LEAP_INSERT,
       kMidnight - 1 * kHour,
       SmearInsertedSecond(kMidnight - 1 * kHour + 2, 13 * kHour - 2)},
      {"none", LeapPolicy::kStep, VVAR_LEAP_NONE, kMidnight - 1 * kHour,
       kNoLeap},
      {"made already", LeapPolicy::kStep, VVAR_LEAP_DONE, kMidnight + 1,
       kNoLeap},
  };
  for (const auto& row : kRows) {
    Keeper keeper(row.at_sec);
    const RealtimeSteering steering({.on_leap = row.policy});
    steering.Announce(*keeper, Quality(row.announced, 36));
    EXPECT_EQ(keeper.Update().leap, row.plan) << row.name;
    // Asked again, nothing changes.
    steering.Announce(*keeper, Quality(row.announced, 36));
    EXPECT_EQ(keeper.Update().leap, row.plan) << row.name;
  }
}

TEST(RealtimeSteeringTest, AnnouncementThatIsTakenBackIsCancelled) {
  Keeper keeper(kMidnight - kHour);
  const RealtimeSteering steering({});
  steering.Announce(*keeper, Quality(VVAR_LEAP_INSERT, 36));
  EXPECT_EQ(keeper.Update().leap.state, VVAR_LEAP_INSERT);
  steering.Announce(*keeper, Quality(VVAR_LEAP_NONE, 36));
  EXPECT_EQ(keeper.Update().leap, kNoLeap);
}

TEST(RealtimeSteeringTest, TaiOffsetDiffersWhileOneSideIsAhead) {
  const struct {
    const char* name;
    uint32_t page;
    uint32_t reference;
    int32_t reference_sec;
    int32_t page_sec;
  } kRows[] = {
      {"nothing is on", VVAR_LEAP_NONE, VVAR_LEAP_NONE, 36, 36},
      {"both wait", VVAR_LEAP_INSERT, VVAR_LEAP_INSERT, 36, 36},
      {"page inserted", VVAR_LEAP_INSERTED, VVAR_LEAP_INSERT, 36, 37},
      {"page inserted long ago", VVAR_LEAP_DONE, VVAR_LEAP_INSERT, 36, 37},
      {"page deleted", VVAR_LEAP_DONE, VVAR_LEAP_DELETE, 36, 35},
      {"page smears", VVAR_LEAP_SMEARING_INSERT, VVAR_LEAP_INSERT, 36, 37},
      {"page smears out", VVAR_LEAP_SMEARING_DELETE, VVAR_LEAP_DELETE, 36, 35},
      {"reference inserted", VVAR_LEAP_INSERT, VVAR_LEAP_INSERTED, 37, 36},
      {"reference deleted", VVAR_LEAP_DELETE, VVAR_LEAP_DONE, 35, 36},
      {"both inserted", VVAR_LEAP_INSERTED, VVAR_LEAP_INSERTED, 37, 37},
      {"both are done", VVAR_LEAP_DONE, VVAR_LEAP_DONE, 37, 37},
      {"page never knew", VVAR_LEAP_NONE, VVAR_LEAP_INSERTED, 37, 37},
      {"smear goes on", VVAR_LEAP_SMEARING_INSERT, VVAR_LEAP_NONE, 37, 37},
  };
  for (const auto& row : kRows) {
    Keeper keeper(kMidnight - kHour, row.page_sec);
    Line line = (*keeper).line();
    line.leap = {row.page, 86'400, kMidnight};
    ASSERT_TRUE((*keeper).Continue(line));
    EXPECT_EQ(RealtimeSteering::TaiOffsetSec(
                  *keeper, Quality(row.reference, row.reference_sec)),
              row.page_sec)
        << row.name;
  }
}

TEST(RealtimeSteeringTest, SmallDifferencesAreStepsOfTheirMean) {
  const struct {
    double difference_ns;
    int64_t step_ns;
  } kRows[] = {{0, 0}, {2, 0}, {-2, 0}, {5, 5}, {-7, -7}, {900, 900}};
  for (const auto& row : kRows) {
    Keeper keeper(kMidnight);
    Keeper twin(kMidnight);
    RealtimeSteering steering({});
    for (int i = 0; i < 256; ++i) {
      EXPECT_FALSE(steering.IsStep(row.difference_ns));
      EXPECT_FALSE(steering.Steer(
          *keeper, row.difference_ns + (i % 2 == 0 ? 0.25 : -0.25)));
    }
    const Timebase moved = Subtract(keeper.Update().base[VVAR_BASE_REALTIME],
                                    twin.Update().base[VVAR_BASE_REALTIME],
                                    (*twin).nominal().shift);
    EXPECT_EQ(DifferenceNs(moved, (*twin).nominal().shift), row.step_ns)
        << row.difference_ns;
  }
}

}  // namespace
}  // namespace vvar::hosted
