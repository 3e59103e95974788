// SPDX-License-Identifier: MIT
//
// F12: what happens to a process that reads. It forks, it becomes another
// program, or it is restored where the counter is another: it reads on, or is
// told why not.
#include <gtest/gtest.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <string>

#include "absl/status/statusor.h"
#include "clocks/native.h"
#include "hosted/shared_page.h"
#include "tests/hosted/child_process.h"
#include "tests/support/manual_clock.h"
#include "tests/support/test_page.h"
#include "vvar/header.h"
#include "vvar/reader.h"
#include "vvar/timekeeper.h"
#include "vvar/writer.h"

namespace vvar::faults {
namespace {

using hosted::AttachedPage;
using hosted::ChildProcess;
using hosted::SharedReader;
using hosted::WritablePage;

// A page on the machine's counter, and its writer.
class ForkExecTest : public testing::Test {
 protected:
  void SetUp() override {
    absl::StatusOr<WritablePage> page =
        WritablePage::CreateAnonymous(support::PageConfigOf(config_));
    ASSERT_TRUE(page.ok()) << page.status();
    page_ = *std::move(page);
    timekeeper_.Start(clock_.Read(0) - 1'000'000, support::kTestTimes);
    Publish();
  }
  void Publish() {
    Writer<NativeClock>(&page_.bytes().timeline[0], clock_)
        .PublishLine(timekeeper_.line());
  }

  static constexpr TimekeeperConfig Config() {
    TimekeeperConfig config = support::kTestConfig;
    config.counter_id = NativeClock::kCounterId;
    config.counter_bits = NativeClock::kCounterBits;
    config.max_age_ns = 3'600'000'000'000;
    return config;
  }

  const NativeClock clock_ = QueryCounter(NativeClock()).clock;
  const TimekeeperConfig config_ = Config();
  Timekeeper timekeeper_{config_};
  WritablePage page_;
};

TEST_F(ForkExecTest, AForkedChildReadsOnAndSeesWhatIsPublishedLater) {
  absl::StatusOr<AttachedPage> page = AttachedPage::AttachFd(dup(page_.fd()));
  ASSERT_TRUE(page.ok()) << page.status();
  const SharedReader reader = page->MakeReader(clock_);
  const NsReading before = reader.Now(ClockId::kMonotonic);
  ASSERT_TRUE(before.ok());
  const uint32_t publications = reader.Publications();
  ChildProcess child([&] {
    const NsReading first = reader.Now(ClockId::kMonotonic);
    if (!first.ok() || first.ns < before.ns) return 1;
    while (reader.Publications() == publications) {
    }
    const NsReading later = reader.Now(ClockId::kMonotonic);
    return later.ok() && later.ns >= first.ns ? 0 : 2;
  });
  Publish();
  EXPECT_EQ(child.Wait(), 0);
  EXPECT_TRUE(reader.Now(ClockId::kMonotonic).ok()) << "nor is this disturbed";
}

// The other program: this one, called with --read-fd=N,NS. See main().
int ReadAfterExec(const char* argument) {
  char* end = nullptr;
  const int fd = static_cast<int>(strtol(argument, &end, 10));
  const uint64_t before_ns = strtoull(end + 1, nullptr, 10);
  const absl::StatusOr<AttachedPage> page = AttachedPage::AttachFd(fd);
  if (!page.ok()) return 3;
  const SharedReader reader = page->MakeReader(NativeClock());
  const NsReading reading = reader.Now(ClockId::kMonotonic);
  return reading.ok() && reading.ns >= before_ns ? 42 : 4;
}

TEST_F(ForkExecTest, AnotherProgramGoesOnFromTheDescriptor) {
  const SharedReader reader(&page_.bytes().timeline[0], clock_);
  const NsReading before = reader.Now(ClockId::kMonotonic);
  ASSERT_TRUE(before.ok());
  ChildProcess child([&] {
    const int fd = dup(page_.fd());  // Without FD_CLOEXEC.
    const std::string argument =
        "--read-fd=" + std::to_string(fd) + "," + std::to_string(before.ns);
    execl("/proc/self/exe", "fork_exec_test", argument.c_str(), nullptr);
    return 5;
  });
  EXPECT_EQ(child.Wait(), 42);
}

// Restored from a checkpoint, on a machine that was booted at another time, or
// whose counter is of another kind: as the process finds it, and once the
// page's owner has noticed.
struct RestoreRow {
  const char* name;
  int64_t moved_by;  // The counter.
  ReadStatus status;
};

TEST(RestoredReaderTest, ACounterOfAnotherMachineIsStaleUntilItIsAnnounced) {
  constexpr int64_t kHour = 3'600'000'000'000;
  const RestoreRow kRows[] = {
      {"not at all", 0, ReadStatus::kOk},
      {"back by an hour", -kHour, ReadStatus::kStale},
      {"ahead by an hour", kHour, ReadStatus::kStale},
      {"back to where it began", -3 * kHour, ReadStatus::kStale},
  };
  for (const RestoreRow& row : kRows) {
    SCOPED_TRACE(row.name);
    support::TestPage<> test(support::kTestConfig,
                             static_cast<uint64_t>(3 * kHour));
    test.Warm();
    const auto reader = test.MakeReader();
    const uint32_t marker = test.page.header.disruption_marker;
    const uint64_t instance = test.page.header.instance_id;
    test.counter.value += static_cast<uint64_t>(row.moved_by);
    EXPECT_EQ(reader.Now(ClockId::kMonotonic).status, row.status);
    EXPECT_EQ(reader.Interval(ClockId::kRealtime).status, row.status);

    // The owner joins the counter again: same page, another marker.
    const uint64_t held_ns = support::ExpectedNs(
        test.line(), support::kClockRows[1], test.line().cycle_start, 64);
    test.timekeeper.HoldAt(test.line().cycle_start);
    ChangeCounter(test.page, support::kManualCounterId, 64, 1'000'000'000);
    test.timekeeper.Resume(test.counter.value, {});
    ASSERT_EQ(test.writer.Publish(test.timekeeper), PublishStatus::kPublished);
    test.counter.value = test.line().cycle_start;
    const NsReading reading = reader.Now(ClockId::kMonotonic);
    EXPECT_TRUE(reading.ok());
    EXPECT_GE(reading.ns, held_ns);
    EXPECT_EQ(test.page.header.disruption_marker, marker + 1);
    EXPECT_EQ(test.page.header.instance_id, instance);
  }
}

}  // namespace

int Main(int argc, char** argv) {
  constexpr char kReadFd[] = "--read-fd=";
  constexpr size_t kLength = sizeof kReadFd - 1;
  if (argc == 2 && strncmp(argv[1], kReadFd, kLength) == 0) {
    return ReadAfterExec(argv[1] + kLength);
  }
  testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}

}  // namespace vvar::faults

int main(int argc, char** argv) { return vvar::faults::Main(argc, argv); }
