// SPDX-License-Identifier: MIT
//
// Time namespaces: what /proc says of them, and pages read in real ones, held
// between two readings of the kernel's clock there.
#include "hosted/time_namespace.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "clocks/native.h"
#include "fallback/chain.h"
#include "hosted/clock.h"
#include "hosted/counter.h"
#include "hosted/reference.h"
#include "hosted/shared_page.h"
#include "hosted/updater.h"
#include "tests/hosted/child_process.h"
#include "tests/support/temporary_folder.h"
#include "vvar/offset.h"
#include "vvar/page.h"
#include "vvar/reader.h"

namespace vvar::hosted {
namespace {

using ::testing::HasSubstr;

constexpr char kZeroes[] = "monotonic 0 0\nboottime 0 0\n";

TEST(ParseTimensOffsetsTest, ReadsWhatTheKernelWrites) {
  const struct {
    const char* name;
    const char* text;
    ClockOffsets offsets;
  } kRows[] = {
      {"as the kernel pads it",
       "monotonic     1000000         0\nboottime            5         0\n",
       {{1'000'000, 0}, {5, 0}}},
      {"no offsets", kZeroes, {}},
      {"negative",
       "monotonic -1 500000000\nboottime -100 999999999\n",
       {{-1, 500'000'000}, {-100, 999'999'999}}},
      {"the other order, no last newline",
       "boottime 1 2\nmonotonic 3 4",
       {{3, 4}, {1, 2}}},
      {"the extremes",
       "monotonic 9223372036854775807 0\nboottime -9223372036854775808 0\n",
       {{INT64_MAX, 0}, {INT64_MIN, 0}}},
  };
  for (const auto& row : kRows) {
    const absl::StatusOr<ClockOffsets> offsets = ParseTimensOffsets(row.text);
    ASSERT_TRUE(offsets.ok()) << row.name << ": " << offsets.status();
    EXPECT_EQ(*offsets, row.offsets) << row.name;
  }
}

TEST(ParseTimensOffsetsTest, NamesWhatItDidNotExpect) {
  const struct {
    const char* name;
    const char* text;
    const char* message;
  } kRows[] = {
      {"empty", "", "0 lines of monotonic"},
      {"one missing", "monotonic 1 0\n", "0 of boottime"},
      {"one twice", "monotonic 1 0\nmonotonic 1 0\nboottime 1 0\n",
       "2 lines of monotonic"},
      {"another clock", "monotonic 1 0\nboottime 1 0\ntai 3 0\n", "'tai 3 0'"},
      {"a clock's name, longer", "monotonic_raw 1 0\nboottime 1 0\n",
       "'monotonic_raw 1 0'"},
      {"no seconds", "monotonic - 0\nboottime 1 0\n", "'monotonic - 0'"},
      {"far too large", "monotonic 1 0\nboottime 99999999999999999999 0\n",
       "99999999999999999999"},
      {"too small", "monotonic -9223372036854775809 0\nboottime 1 0\n",
       "-9223372036854775809"},
      {"a word missing", "monotonic 1\nboottime 1 0\n", "'monotonic 1'"},
      {"a word more", "monotonic 1 0 0\nboottime 1 0\n", "'monotonic 1 0 0'"},
      {"no number", "monotonic x 0\nboottime 1 0\n", "'monotonic x 0'"},
      {"too large", "monotonic 9223372036854775808 0\nboottime 1 0\n",
       "9223372036854775808"},
      {"not normalised", "monotonic 1 1000000000\nboottime 1 0\n", "below 1e9"},
      {"negative nanoseconds", "monotonic 1 -1\nboottime 1 0\n", "below 1e9"},
  };
  for (const auto& row : kRows) {
    const absl::Status status = ParseTimensOffsets(row.text).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << row.name;
    EXPECT_THAT(std::string(status.message()), HasSubstr(row.message))
        << row.name;
  }
}

// A directory as /proc has for each process; "" makes no file.
class ProcDirectory {
 public:
  ProcDirectory(const char* own, const char* children, const char* offsets) {
    EXPECT_EQ(mkdir((path() + "/ns").c_str(), 0755), 0);
    if (*own != 0) Link(own, "/ns/time");
    if (*children != 0) Link(children, "/ns/time_for_children");
    if (*offsets != 0) std::ofstream(path() + "/timens_offsets") << offsets;
  }
  const std::string& path() const { return folder_.path(); }

 private:
  void Link(const char* target, const char* name) {
    EXPECT_EQ(symlink(target, (path() + name).c_str()), 0);
  }
  support::TemporaryFolder folder_;
};

constexpr char kInitial[] = "time:[4026531834]";
constexpr char kOne[] = "time:[4026532177]";
constexpr char kAnother[] = "time:[4026532178]";
constexpr char kText[] = "monotonic 1000000 0\nboottime 5 0\n";

TEST(TimeNamespaceTest, OffsetsAreThoseOfTheProcessItself) {
  const struct {
    const char* name;
    const char* own;
    const char* children;
    const char* text;
    ClockOffsets offsets;
  } kRows[] = {
      {"in a namespace", kOne, kOne, kText, {{1'000'000, 0}, {5, 0}}},
      {"in the initial one", kInitial, kInitial, kZeroes, {}},
      {"in the initial one, its children in another",
       kInitial,
       kOne,
       kText,
       {}},
      {"a kernel without time namespaces", "", "", "", {}},
  };
  for (const auto& row : kRows) {
    const ProcDirectory proc(row.own, row.children, row.text);
    const absl::StatusOr<ClockOffsets> offsets =
        TimeNamespaceOffsets(proc.path());
    ASSERT_TRUE(offsets.ok()) << row.name << ": " << offsets.status();
    EXPECT_EQ(*offsets, row.offsets) << row.name;
  }
  EXPECT_TRUE(TimeNamespaceOffsets("/nowhere").ok()) << "no /proc at all";
}

TEST(TimeNamespaceTest, WhatTheKernelDoesNotTellIsAnErrorThatNamesTheFile) {
  const struct {
    const char* name;
    const char* own;
    const char* children;
    const char* text;
    const char* message;
  } kRows[] = {
      {"its children are in another", kOne, kAnother, kText, kAnother},
      {"foreign text", kOne, kOne, "monotonic\n", "/timens_offsets: 'mono"},
  };
  for (const auto& row : kRows) {
    const ProcDirectory proc(row.own, row.children, row.text);
    const absl::Status status = TimeNamespaceOffsets(proc.path()).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInternal) << row.name;
    EXPECT_THAT(std::string(status.message()), HasSubstr(proc.path()));
    EXPECT_THAT(std::string(status.message()), HasSubstr(row.message));
  }
}

// --- Real namespaces ---------------------------------------------------------

// Exit statuses of children.
constexpr int kOk = 0;
constexpr int kRefused = 100;  // The kernel gives no time namespace.
constexpr int kNoOffsets = 101;
constexpr int kBroken = 102;
constexpr int kCoarseIsOff = 103;

bool Write(const char* path, const char* text) {
  const int fd = open(path, O_WRONLY);
  const bool written =
      fd >= 0 && write(fd, text, strlen(text)) == ssize_t(strlen(text));
  if (fd >= 0) close(fd);
  return written;
}

// For children made later. Who may not make a namespace may do so in a user
// namespace of their own, perhaps.
bool UnshareTime() {
  return unshare(CLONE_NEWTIME) == 0 ||
         (unshare(CLONE_NEWUSER) == 0 && unshare(CLONE_NEWTIME) == 0);
}

// Runs `body` in a child in a new time namespace of these offsets; returns what
// it returned, or one of the statuses above.
template <class Body>
int RunInNamespace(const char* offsets, Body body) {
  ChildProcess outside([&] {
    if (!UnshareTime()) return kRefused;
    if (!Write("/proc/self/timens_offsets", offsets)) return kNoOffsets;
    ChildProcess inside(body);
    return inside.Wait();
  });
  return outside.Wait();
}

int64_t KernelNs(ClockId id) {
  timespec time = {};
  clock_gettime(static_cast<clockid_t>(id), &time);
  return int64_t{time.tv_sec} * 1'000'000'000 + int64_t{time.tv_nsec};
}

// How reads of a page lay to the kernel's own before and after.
struct Report {
  uint64_t reads;
  uint64_t refused;
  uint64_t outside;
  int64_t farthest_ns;

  template <class Read>
  void Add(ClockId id, Read read) {
    const int64_t before = KernelNs(id);
    const NsReading reading = read();
    const int64_t after = KernelNs(id);
    ++reads;
    if (!reading.ok()) {
      ++refused;
      return;
    }
    const auto ns = static_cast<int64_t>(reading.ns);
    const int64_t beyond = std::max(before - ns, ns - after);
    if (beyond > 0) ++outside;
    farthest_ns = std::max(farthest_ns, beyond);
  }
};

constexpr ClockId kPrecise[] = {ClockId::kRealtime, ClockId::kMonotonic,
                                ClockId::kMonotonicRaw, ClockId::kBoottime,
                                ClockId::kTai};

// Offsets that the kernel takes at any uptime.
constexpr struct {
  const char* name;
  const char* offsets;
} kNamespaces[] = {
    {"days ahead", "monotonic 1000000 0\nboottime 5 0\n"},
    {"nearly a second more", "monotonic 1000000 999999999\nboottime 0 1\n"},
    {"a little back", "monotonic -1 500000000\nboottime -1 1\n"},
};

class RealTimeNamespaceTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const absl::StatusOr<CounterInfo<NativeClock>> counter = FindCounter();
    if (!counter.ok()) GTEST_SKIP() << counter.status();
    counter_ = *counter;
    const int possible = RunInNamespace(kZeroes, [] { return kOk; });
    if (possible != kOk) {
      GTEST_SKIP() << "no time namespace for this user here: unshare or "
                   << "/proc/self/timens_offsets is refused (" << possible
                   << ")";
    }
    absl::StatusOr<WritablePage> page =
        WritablePage::CreateAnonymous(ConfigFor(counter_, options_));
    ASSERT_TRUE(page.ok()) << page.status();
    page_ = *std::move(page);
  }

  // The life of a writer, in whatever namespace it is called.
  int Serve() {
    const absl::StatusOr<ClockOffsets> own = TimeNamespaceOffsets();
    if (!own.ok()) return kBroken;
    Updater updater(page_.bytes(), counter_,
                    std::make_unique<KernelReference>(counter_.clock, *own),
                    options_);
    const absl::StatusOr<std::unique_ptr<TickLoop>> loop =
        TickLoop::Create(updater.tick_ns());
    if (!loop.ok()) return kBroken;
    (*loop)->Run(updater);
    return kOk;
  }
  // Until the first transients of the servo are over.
  bool WaitForWriter() {
    const Reader<NativeClock> reader(&page_.bytes().timeline[0],
                                     counter_.clock);
    return WaitUntil([&] { return reader.Publications() > 400; });
  }

  // Reads every clock by every kind of read, as a process there would.
  int ReadAll() {
    const absl::StatusOr<AttachedPage> page =
        AttachedPage::AttachFd(dup(page_.fd()));
    if (!page.ok()) return kBroken;
    const SharedReader reader = page->MakeReader(counter_.clock);
    const SharedChain chain(reader, SystemVdso());
    for (const ClockId id : kPrecise) {
      for (int i = 0; i < kReads; ++i) {
        report_->Add(id, [&] { return reader.Now(id); });
      }
      for (int i = 0; i < kReads / 100; ++i) {
        report_->Add(id, [&] {
          const TimespecReading now = reader.NowTimespec(id);
          return NsReading{TimespecToNs({now.sec, now.nsec}), now.status};
        });
        report_->Add(id, [&] {
          const fallback::ChainReading now =
              chain.Now(static_cast<int32_t>(id));
          return NsReading{now.ns(), now.page_status};
        });
      }
    }
    for (int i = 0; i < kReads / 100; ++i) {
      report_->Add(ClockId::kBoottime, [&] {
        SnapshotReading all = {};
        const ReadStatus status = reader.Snapshot(&all);
        return NsReading{all.boottime_ns, status};
      });
    }
    // A coarse clock lags as long as its writer is held up; not for days.
    const NsReading coarse = reader.NowCoarse(ClockId::kMonotonicCoarse);
    const int64_t lag_ns =
        KernelNs(ClockId::kMonotonic) - static_cast<int64_t>(coarse.ns);
    return coarse.ok() && std::abs(lag_ns) < kLongestLagNs ? kOk : kCoarseIsOff;
  }

  // What ReadAll() found. An offset that is wrong is wrong by a fraction of a
  // second at least; a page whose writer got no CPU, by far less than a
  // millisecond. `outside` is for people: mostly 0.
  void ExpectInside(const char* name) const {
    printf("%s: %ju reads, %ju refused, %ju outside, farthest %jd ns\n", name,
           uintmax_t{report_->reads}, uintmax_t{report_->refused},
           uintmax_t{report_->outside}, intmax_t{report_->farthest_ns});
    EXPECT_GT(report_->reads, 5u * kReads) << name;
    EXPECT_LE(report_->refused, report_->reads / 100) << name;
    EXPECT_LT(report_->farthest_ns, 1'000'000) << name;
  }

  static constexpr int64_t kLongestLagNs = 400'000'000;
  static constexpr int kReads = 200'000;

  UpdaterOptions options_ = {.max_age = absl::Seconds(60)};
  CounterInfo<NativeClock> counter_ = {};
  WritablePage page_;
  SharedWithChildren<Report> report_;
};

// Trap: T72
TEST_F(RealTimeNamespaceTest, PageReadInsideLiesBetweenTwoReadsOfTheKernel) {
  ChildProcess writer([&] { return Serve(); });
  ASSERT_TRUE(WaitForWriter());
  for (const auto& row : kNamespaces) {
    *report_ = {};
    ASSERT_EQ(RunInNamespace(row.offsets, [&] { return ReadAll(); }), kOk)
        << row.name;
    ExpectInside(row.name);
  }
  *report_ = {};
  ASSERT_EQ(ReadAll(), kOk);
  ExpectInside("where the writer is");
}

TEST_F(RealTimeNamespaceTest, WriterInANamespaceServesTheOthers) {
  ChildProcess writer([&] {
    return RunInNamespace(kNamespaces[1].offsets, [&] { return Serve(); });
  });
  ASSERT_TRUE(WaitForWriter());
  ASSERT_EQ(ReadAll(), kOk);
  ExpectInside("in the initial namespace");
  *report_ = {};
  ASSERT_EQ(RunInNamespace(kNamespaces[0].offsets, [&] { return ReadAll(); }),
            kOk);
  ExpectInside("in another one");
}

TEST_F(RealTimeNamespaceTest, InProcessClockIsInItsOwnProcessesTerms) {
  ASSERT_EQ(RunInNamespace(kNamespaces[0].offsets,
                           [&] {
                             const InProcessClock clock;
                             if (!clock.status().ok()) return kBroken;
                             for (const ClockId id : kPrecise) {
                               for (int i = 0; i < 2 * kReads; ++i) {
                                 report_->Add(id, [&] {
                                   return clock.reader().Now(id);
                                 });
                               }
                             }
                             return kOk;
                           }),
            kOk);
  ExpectInside("a clock of its own");
}

// What the kernel tells a process that made a namespace is its children's.
TEST_F(RealTimeNamespaceTest, MakerOfANamespaceIsNotInIt) {
  if (*TimeNamespaceOffsets() != ClockOffsets()) {
    GTEST_SKIP() << "this test itself runs in a time namespace";
  }
  const auto make = [](const char* offsets) {
    return UnshareTime() && Write("/proc/self/timens_offsets", offsets);
  };
  ChildProcess maker([&] {
    if (!make(kText)) return kRefused;
    const absl::StatusOr<ClockOffsets> own = TimeNamespaceOffsets();
    return own.ok() && *own == ClockOffsets() ? kOk : kBroken;
  });
  EXPECT_EQ(maker.Wait(), kOk);
  EXPECT_EQ(RunInNamespace(kText,
                           [&] {
                             if (!make("monotonic 7 0\n")) return kRefused;
                             return TimeNamespaceOffsets().status().code() ==
                                            absl::StatusCode::kInternal
                                        ? kOk
                                        : kBroken;
                           }),
            kOk);
}

}  // namespace
}  // namespace vvar::hosted
