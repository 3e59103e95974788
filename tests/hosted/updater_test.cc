// SPDX-License-Identifier: MIT
//
// The writer of a page against this machine's kernel, and among processes: what
// it publishes, what it leaves behind, what readers get while it is stopped,
// killed and replaced. On a busy machine a writer may come late: bounds here
// are far above its error, and tests wait for conditions, not for time.
#include "hosted/updater.h"

#include <errno.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "clocks/native.h"
#include "fallback/syscall.h"
#include "hosted/counter.h"
#include "hosted/reference.h"
#include "hosted/shared_page.h"
#include "tests/hosted/child_process.h"
#include "vvar/page.h"
#include "vvar/reader.h"
#include "vvar/seqcount.h"

// What cannot be arranged without setting the clock: that somebody sets it. The
// linker puts these in the place of the C library's (see BUILD).
// Source: timerfd_create(2), NOTES, and Linux, fs/timerfd.c: both read() and
// timerfd_settime() tell of it by ECANCELED, one of them, once; the latter has
// armed the timer all the same.
namespace {

std::atomic<int> timer_fd = -1;
std::atomic<bool> is_waiting = false;
// As the kernel would: asked to, for an absolute time on REALTIME.
std::atomic<bool> is_of_realtime = false;
std::atomic<bool> watches_for_set = false;
// Set while the loop waits: read() tells.
std::atomic<bool> set_while_waiting = false;
// Set back by an hour, so often, just before the timer is armed for a time of
// day that is an hour away then.
std::atomic<int> set_while_arming = 0;

}  // namespace

extern "C" {

int __real_timerfd_create(int clock, int flags) noexcept;
int __wrap_timerfd_create(int clock, int flags) noexcept;
int __wrap_timerfd_create(int clock, int flags) noexcept {
  timer_fd = __real_timerfd_create(clock, flags);
  is_waiting = false;
  is_of_realtime = clock == CLOCK_REALTIME;
  return timer_fd.load();
}

int __real_timerfd_settime(int fd, int flags, const itimerspec* value,
                           itimerspec* old) noexcept;
int __wrap_timerfd_settime(int fd, int flags, const itimerspec* value,
                           itimerspec* old) noexcept;
int __wrap_timerfd_settime(int fd, int flags, const itimerspec* value,
                           itimerspec* old) noexcept {
  constexpr int kWatch = TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET;
  watches_for_set = is_of_realtime.load() && (flags & kWatch) == kWatch;
  if (set_while_arming.load() == 0) {
    return __real_timerfd_settime(fd, flags, value, old);
  }
  --set_while_arming;
  itimerspec an_hour_away = *value;
  an_hour_away.it_value.tv_sec += 3600;
  if (__real_timerfd_settime(fd, flags, &an_hour_away, old) != 0) return -1;
  errno = ECANCELED;
  return -1;
}

ssize_t __real_read(int fd, void* buffer, size_t size);
ssize_t __wrap_read(int fd, void* buffer, size_t size);
ssize_t __wrap_read(int fd, void* buffer, size_t size) {
  pollfd readable = {fd, POLLIN, 0};
  while (fd == timer_fd.load()) {
    is_waiting = true;
    const int ready = poll(&readable, 1, /*timeout_ms=*/1);
    if (ready < 0) return -1;  // EINTR, as read() would have.
    if (ready > 0) break;
    if (!watches_for_set.load()) continue;
    if (!set_while_waiting.exchange(false)) continue;
    errno = ECANCELED;
    return -1;
  }
  return __real_read(fd, buffer, size);
}

}  // extern "C"

namespace vvar::hosted {
namespace {

using ::testing::HasSubstr;

PageConfig ConfigOf(uint64_t counter_hz = 0) {
  return {NativeClock::kCounterId,
          NativeClock::kCounterBits,
          counter_hz,
          NewInstanceId(),
          VVAR_FEATURE_USER_COUNTER,
          /*timeline_count=*/1,
          /*resolution_ns=*/1,
          /*coarse_resolution_ns=*/1'000'000};
}

int64_t KernelNs(ClockId id) {
  timespec time = {};
  clock_gettime(static_cast<clockid_t>(id), &time);
  return int64_t{time.tv_sec} * 1'000'000'000 + int64_t{time.tv_nsec};
}

TEST(UpdaterOptionsTest, OutOfRangeIsRefusedByNameValueAndRange) {
  struct Row {
    const char* name;
    UpdaterOptions options;
    const char* option;
    const char* value;
    const char* range;
  };
  using absl::Hours;
  using absl::InfiniteDuration;
  using absl::Microseconds;
  using absl::Milliseconds;
  using absl::Nanoseconds;
  using absl::Seconds;
  using absl::ZeroDuration;
  const Row kRows[] = {
      {"NoTick", {.tick = ZeroDuration()}, "tick: ", "0", "100us to 1s"},
      {"NegativeTick", {.tick = -Seconds(1)}, "tick: ", "-1s", "100us to 1s"},
      {"ShortTick",
       {.tick = Microseconds(99)},
       "tick: ",
       "99us",
       "100us to 1s"},
      {"LongTick",
       {.tick = Seconds(1) + Nanoseconds(1), .max_age = Hours(1)},
       "tick: ",
       "1.000000001s",
       "100us to 1s"},
      {"EndlessTick",
       {.tick = InfiniteDuration(), .max_age = InfiniteDuration()},
       "tick: ",
       "inf",
       "100us to 1s"},
      {"NoAge", {.max_age = ZeroDuration()}, "max_age: ", "0", "4 ticks to 1h"},
      {"ShortAge",
       {.tick = Milliseconds(10), .max_age = Microseconds(39999)},
       "max_age: ",
       "39.999ms",
       "4 ticks to 1h"},
      {"LongAge",
       {.max_age = Hours(1) + Nanoseconds(1)},
       "max_age: ",
       "1h",
       "4 ticks to 1h"},
      {"EndlessAge",
       {.max_age = InfiniteDuration()},
       "max_age: ",
       "inf",
       "4 ticks to 1h"},
      {"NegativeCalibration",
       {.calibration = -Nanoseconds(1)},
       "calibration: ",
       "-1ns",
       "expected"},
      {"EndlessCalibration",
       {.calibration = InfiniteDuration()},
       "calibration: ",
       "inf",
       "expected"},
  };
  for (const Row& row : kRows) {
    SCOPED_TRACE(row.name);
    const absl::Status status = CheckOptions(row.options);
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
    const std::string message(status.message());
    EXPECT_THAT(message, HasSubstr(absl::StrCat(row.option, row.value)));
    EXPECT_THAT(message, HasSubstr(row.range));
  }
}

TEST(UpdaterOptionsTest, DefaultsAndEdgesAreAccepted) {
  struct Row {
    const char* name;
    UpdaterOptions options;
  };
  const Row kRows[] = {
      {"Defaults", {}},
      {"ShortestTick",
       {.tick = absl::Microseconds(100), .max_age = absl::Microseconds(400)}},
      {"LongestTick", {.tick = absl::Seconds(1), .max_age = absl::Seconds(4)}},
      {"LongestAge", {.max_age = absl::Hours(1)}},
      {"LongCalibration", {.calibration = absl::Seconds(1)}},
  };
  for (const Row& row : kRows) {
    EXPECT_TRUE(CheckOptions(row.options).ok()) << row.name;
  }
}

class UpdaterTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const absl::StatusOr<CounterInfo<NativeClock>> counter = FindCounter();
    if (!counter.ok()) GTEST_SKIP() << counter.status();
    counter_ = *counter;
    MakePage(ConfigOf(counter_.hz));
  }
  void MakePage(const PageConfig& config) {
    absl::StatusOr<WritablePage> page = WritablePage::CreateAnonymous(config);
    ASSERT_TRUE(page.ok()) << page.status();
    page_ = *std::move(page);
  }
  std::unique_ptr<Updater> MakeUpdater(const UpdaterOptions& options = {}) {
    return std::make_unique<Updater>(
        page_.bytes(), counter_,
        std::make_unique<KernelReference>(counter_.clock), options);
  }
  vvar_timeline& timeline() { return page_.bytes().timeline[0]; }
  Reader<NativeClock> reader() { return {&timeline(), counter_.clock}; }
  std::string Bytes() {
    return std::string(reinterpret_cast<const char*>(&page_.bytes()),
                       VVAR_PAGE_SIZE);
  }

  CounterInfo<NativeClock> counter_ = {};
  WritablePage page_;
};

constexpr ClockId kPreciseClocks[] = {ClockId::kRealtime, ClockId::kMonotonic,
                                      ClockId::kMonotonicRaw,
                                      ClockId::kBoottime, ClockId::kTai};

TEST_F(UpdaterTest, PublishesWhenItIsMade) {
  EXPECT_EQ(reader().Now(ClockId::kMonotonic).status, ReadStatus::kNotReady);
  const std::unique_ptr<Updater> updater = MakeUpdater();
  for (const ClockId id : kPreciseClocks) {
    EXPECT_TRUE(reader().Now(id).ok()) << static_cast<int>(id);
  }
  EXPECT_TRUE(reader().Now(ClockId::kRealtimeCoarse).ok());
  EXPECT_TRUE(reader().Now(ClockId::kMonotonicCoarse).ok());
  EXPECT_FALSE(updater->continued());
  EXPECT_EQ(timeline().stats.writer_id, static_cast<uint32_t>(getpid()));
  EXPECT_EQ(timeline().seq % 2, 0u);
}

// When it is made, and when somebody sets the clock: the zone may be new, too.
TEST_F(UpdaterTest, CopiesTheSystemsTimeZone) {
  fallback::KernelTimezone system = {-1, -1};
  if (fallback::Gettimeofday(nullptr, &system) != 0) {
    GTEST_SKIP() << "this ISA has no gettimeofday";
  }
  vvar_header& header = page_.bytes().header;
  const auto spoil = [&] {
    PageMemory::Store(header.tz_minuteswest, system.tz_minuteswest + 60);
    PageMemory::Store(header.tz_dsttime, system.tz_dsttime + 1);
  };
  const auto is_copied = [&] {
    return PageMemory::Load(header.tz_minuteswest) == system.tz_minuteswest &&
           PageMemory::Load(header.tz_dsttime) == system.tz_dsttime;
  };
  spoil();
  const std::unique_ptr<Updater> updater = MakeUpdater();
  EXPECT_TRUE(is_copied());
  spoil();
  updater->TickNow();
  EXPECT_TRUE(is_copied());
}

TEST_F(UpdaterTest, EveryClockLiesBetweenTwoReadsOfTheKernel) {
  constexpr int64_t kSlackNs = 1000;
  const std::unique_ptr<Updater> updater = MakeUpdater();
  for (int i = 0; i < 20'000; ++i) {
    if (i % 16 == 0) updater->Tick();
    const ClockId id = kPreciseClocks[i % 5];
    const int64_t earliest = KernelNs(id);
    const NsReading reading = reader().Now(id);
    const int64_t latest = KernelNs(id);
    ASSERT_EQ(reading.status, ReadStatus::kOk);
    const auto ns = static_cast<int64_t>(reading.ns);
    ASSERT_GE(ns, earliest - kSlackNs) << "clock " << static_cast<int>(id);
    ASSERT_LE(ns, latest + kSlackNs) << "clock " << static_cast<int>(id);
  }
  EXPECT_GE(reader().Publications(), 2u);
}

TEST_F(UpdaterTest, IntervalHoldsTheKernelsTime) {
  const std::unique_ptr<Updater> updater = MakeUpdater();
  for (int i = 0; i < 10'000; ++i) {
    if (i % 16 == 0) updater->Tick();
    const ClockId id = kPreciseClocks[i % 5];
    const int64_t before = KernelNs(id);
    const IntervalReading interval = reader().Interval(id);
    const int64_t after = KernelNs(id);
    ASSERT_EQ(interval.status, ReadStatus::kOk);
    ASSERT_LE(static_cast<int64_t>(interval.earliest_ns), after);
    ASSERT_GE(static_cast<int64_t>(interval.latest_ns), before);
    ASSERT_LE(interval.earliest_ns, interval.latest_ns);
  }
}

TEST_F(UpdaterTest, TooEarlyDoesNothing) {
  // The longest lead there is; a preempted test may still miss it.
  const std::unique_ptr<Updater> updater =
      MakeUpdater({.tick = absl::Seconds(1), .max_age = absl::Seconds(100)});
  bool seen = false;
  for (int i = 0; i < 1000 && !seen; ++i) {
    updater->Tick();
    const std::string before = Bytes();
    const uint64_t ticks = updater->discipline().health().ticks;
    if (updater->Tick() != PublishStatus::kTooEarly) continue;
    seen = true;
    EXPECT_TRUE(Bytes() == before) << "the page has changed";
    EXPECT_EQ(updater->discipline().health().ticks, ticks);
  }
  EXPECT_TRUE(seen);
}

// A kernel that is synchronised, or is not, whatever this machine's says.
class VouchingReference : public KernelReference {
 public:
  VouchingReference(NativeClock clock, bool synchronised)
      : KernelReference(clock), synchronised_(synchronised) {}
  ReferenceQuality Quality() override {
    ReferenceQuality quality = KernelReference::Quality();
    quality.synchronised = synchronised_;
    return quality;
  }

 private:
  bool synchronised_;
};

TEST_F(UpdaterTest, FinishSaysOnThePageThatItsWriterLeft) {
  struct Row {
    const char* name;
    bool synchronised;
    ClockStatus before;
    ClockStatus after;
  };
  const Row kRows[] = {
      {"Synchronised", true, ClockStatus::kSynchronised,
       ClockStatus::kFreeRunning},
      {"Unsynchronised", false, ClockStatus::kUnsynchronised,
       ClockStatus::kUnsynchronised},
  };
  for (const Row& row : kRows) {
    SCOPED_TRACE(row.name);
    MakePage(ConfigOf(counter_.hz));
    Updater updater(
        page_.bytes(), counter_,
        std::make_unique<VouchingReference>(counter_.clock, row.synchronised),
        UpdaterOptions());
    updater.Tick();
    EXPECT_TRUE(
        WaitUntil([&] { return reader().Age().clock_status == row.before; }));
    updater.Finish();
    EXPECT_EQ(timeline().seq % 2, 0u);
    EXPECT_EQ(timeline().stats.writer_id, 0u);
    // The last line begins a lead from now.
    EXPECT_TRUE(
        WaitUntil([&] { return reader().Age().clock_status == row.after; }));
    EXPECT_TRUE(reader().Now(ClockId::kMonotonic).ok()) << "readers go on";
  }
}

TEST_F(UpdaterTest, GoesOnWhereAnotherWriterStopped) {
  std::unique_ptr<Updater> updater = MakeUpdater();
  uint32_t publications = reader().Publications();
  uint64_t last_ns = reader().Now(ClockId::kMonotonic).ns;
  for (int i = 0; i < 5; ++i) {
    updater.reset();
    updater = MakeUpdater();
    EXPECT_TRUE(updater->continued());
    EXPECT_TRUE(
        WaitUntil([&] { return updater->Tick() != PublishStatus::kTooEarly; }));
    EXPECT_GT(reader().Publications(), publications);
    publications = reader().Publications();
    const NsReading reading = reader().Now(ClockId::kMonotonic);
    EXPECT_TRUE(reading.ok());
    EXPECT_GE(reading.ns, last_ns);
    last_ns = reading.ns;
  }
}

TEST_F(UpdaterTest, FrequencyThatNobodyNamesIsMeasured) {
  MakePage(ConfigOf(/*counter_hz=*/0));
  const std::unique_ptr<Updater> updater = MakeUpdater();
  const uint64_t hz = page_.bytes().header.counter_hz;
  EXPECT_EQ(hz, updater->discipline().measured_hz());
  if (counter_.hz != 0) {
    EXPECT_NEAR(static_cast<double>(hz) / static_cast<double>(counter_.hz), 1,
                0.01);
  }
}

TEST_F(UpdaterTest, FrequencyOnAPageIsKept) {
  const uint64_t hz = MakeUpdater()->discipline().measured_hz() / 1000 * 999;
  MakePage(ConfigOf(hz));
  const std::unique_ptr<Updater> updater = MakeUpdater();
  EXPECT_EQ(page_.bytes().header.counter_hz, hz);
}

// A file may outlive its machine's counter (a virtual machine that moved, a
// disk that did), or hold anything at all there. What steering cannot make up
// for must not be built on.
TEST_F(UpdaterTest, AbsurdFrequencyOnAPageDoesNoHarm) {
  const uint64_t measured = MakeUpdater()->discipline().measured_hz();
  const struct {
    const char* name;
    uint64_t hz;
  } kRows[] = {
      {"OneHz", 1},
      {"HalfTheRate", measured / 2},
      {"TwiceTheRate", measured * 2},
      {"BeyondAnyCounter", 17'000'000'000},
      {"HighBit", uint64_t{1} << 63},
      {"AllOnes", UINT64_MAX},
  };
  for (const auto& row : kRows) {
    MakePage(ConfigOf(row.hz));
    ChildProcess child([&] {
      const std::unique_ptr<Updater> updater = MakeUpdater();
      for (int i = 0; i < 20; ++i) {
        while (updater->Tick() == PublishStatus::kTooEarly) {
        }
        const NsReading reading = reader().Now(ClockId::kMonotonic);
        const int64_t error_ns =
            static_cast<int64_t>(reading.ns) - KernelNs(ClockId::kMonotonic);
        if (!reading.ok() || error_ns < -100'000 || error_ns > 1000) return 1;
      }
      return 0;
    });
    EXPECT_EQ(child.Wait(), 0) << row.name << " (1: wrong time; 136: SIGFPE)";
  }
}

// Trap: T115
TEST_F(UpdaterTest, SecondUpdaterIsRefused) {
  const std::string path =
      absl::StrCat(::testing::TempDir(), "/second_updater.", getpid());
  unlink(path.c_str());
  {
    absl::StatusOr<WritablePage> page = WritablePage::Open(path, ConfigOf());
    ASSERT_TRUE(page.ok()) << page.status();
    const Updater updater(page->bytes(), counter_,
                          std::make_unique<KernelReference>(counter_.clock),
                          UpdaterOptions());
    EXPECT_TRUE(
        absl::IsAlreadyExists(WritablePage::Open(path, ConfigOf()).status()));
  }
  EXPECT_TRUE(WritablePage::Open(path, ConfigOf()).ok());
  unlink(path.c_str());
}

// Lets the process make no system call but the one that ends it. Not
// SECCOMP_MODE_STRICT, which takes the counter away on x86.
bool ForbidSystemCalls() {
  sock_filter filter[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_exit_group, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
  };
  const sock_fprog program = {sizeof(filter) / sizeof(filter[0]), filter};
  return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
         prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

// Trap: T107
TEST_F(UpdaterTest, ReadersNeverCalibrate) {
  ChildProcess unfiltered([] { return ForbidSystemCalls() ? 0 : 1; });
  if (unfiltered.Wait() != 0) GTEST_SKIP() << "no seccomp filters here";
  ChildProcess filtered([] {
    if (!ForbidSystemCalls()) return 1;
    return static_cast<int>(syscall(SYS_getppid));
  });
  ASSERT_EQ(filtered.Wait(), 128 + SIGSYS) << "the filter lets calls through";

  const std::unique_ptr<Updater> updater = MakeUpdater();
  struct Report {
    std::atomic<bool> began;
    std::atomic<uint64_t> ok;
    std::atomic<uint32_t> publications;
  };
  SharedWithChildren<Report> report;
  constexpr uint64_t kReads = 1'000'000;
  ChildProcess child([&] {
    const Reader<NativeClock> shared = reader();
    const uint32_t before = shared.Publications();
    report->began = true;
    if (!ForbidSystemCalls()) return 1;
    uint64_t ok = 0;
    SnapshotReading snapshot;
    for (uint64_t i = 0; i < kReads || shared.Publications() == before; ++i) {
      ok += shared.Now(ClockId::kMonotonic).ok();
      if (i % 16 != 0) continue;
      // All ways to read.
      ok -= !shared.NowUnordered(ClockId::kBoottime).ok();
      ok -= !shared.Now(ClockId::kRealtimeCoarse).ok();
      ok -= !shared.NowTimespec(ClockId::kTai).ok();
      ok -= !shared.Interval(ClockId::kRealtime).ok();
      ok -= shared.Snapshot(&snapshot) != ReadStatus::kOk;
      ok -= shared.Age().status != ReadStatus::kOk;
    }
    report->ok = ok;
    report->publications = shared.Publications() - before;
    return 0;
  });
  EXPECT_TRUE(WaitUntil([&] {
    updater->Tick();
    return report->ok.load() != 0;
  }));
  EXPECT_EQ(child.Wait(), 0) << 128 + SIGSYS << ": it made a system call";
  EXPECT_GE(report->ok.load(), kReads);
  EXPECT_GE(report->publications.load(), 1u);
}

class TickLoopTest : public UpdaterTest {};

TEST_F(TickLoopTest, TicksUntilItIsStopped) {
  const std::unique_ptr<Updater> updater = MakeUpdater();
  const absl::StatusOr<std::unique_ptr<TickLoop>> loop =
      TickLoop::Create(updater->tick_ns());
  ASSERT_TRUE(loop.ok()) << loop.status();
  const uint32_t before = reader().Publications();
  std::thread thread([&] { (*loop)->Run(*updater); });
  EXPECT_TRUE(WaitUntil([&] { return reader().Publications() > before + 10; }));
  (*loop)->Stop();
  thread.join();
  const uint32_t after = reader().Publications();
  for (int i = 0; i < 1000; ++i) {
    ASSERT_EQ(reader().Publications(), after) << "somebody still publishes";
  }
}

TEST_F(TickLoopTest, StoppedBeforeItRunsItReturnsAtOnce) {
  const std::unique_ptr<Updater> updater = MakeUpdater();
  const absl::StatusOr<std::unique_ptr<TickLoop>> loop =
      TickLoop::Create(updater->tick_ns());
  ASSERT_TRUE(loop.ok()) << loop.status();
  (*loop)->Stop();
  (*loop)->Stop();
  const uint32_t before = reader().Publications();
  (*loop)->Run(*updater);
  EXPECT_EQ(reader().Publications(), before);
}

TEST_F(TickLoopTest, StopsAtOnceHoweverLongItsTick) {
  const std::unique_ptr<Updater> updater = MakeUpdater();
  for (int i = 0; i < 100; ++i) {
    // The deadline of the test's target is shorter.
    const absl::StatusOr<std::unique_ptr<TickLoop>> loop =
        TickLoop::Create(3'600'000'000'000);
    ASSERT_TRUE(loop.ok()) << loop.status();
    std::thread thread([&] { (*loop)->Run(*updater); });
    // At some of these, also just before it waits.
    if (i % 2 == 0) {
      EXPECT_TRUE(WaitUntil([] { return is_waiting.load(); }));
    }
    (*loop)->Stop();
    thread.join();
  }
}

TEST_F(TickLoopTest, SurvivesASignal) {
  const std::unique_ptr<Updater> updater = MakeUpdater();
  const absl::StatusOr<std::unique_ptr<TickLoop>> loop =
      TickLoop::Create(updater->tick_ns());
  ASSERT_TRUE(loop.ok()) << loop.status();
  struct sigaction interrupting = {};
  interrupting.sa_handler = [](int) {};
  struct sigaction old = {};
  ASSERT_EQ(sigaction(SIGUSR1, &interrupting, &old), 0);
  std::thread thread([&] { (*loop)->Run(*updater); });
  uint32_t before = reader().Publications();
  for (int i = 0; i < 10; ++i) {
    pthread_kill(thread.native_handle(), SIGUSR1);
    EXPECT_TRUE(WaitUntil([&] { return reader().Publications() != before; }));
    before = reader().Publications();
  }
  (*loop)->Stop();
  thread.join();
  sigaction(SIGUSR1, &old, nullptr);
}

// Trap: T105 (of the loop; DisciplineTest has the step itself)
TEST_F(TickLoopTest, ClockThatIsSetIsAnUpdateAtOnceHoweverLongItsTick) {
  const std::unique_ptr<Updater> updater = MakeUpdater();
  const absl::StatusOr<std::unique_ptr<TickLoop>> loop =
      TickLoop::Create(3'600'000'000'000);
  ASSERT_TRUE(loop.ok()) << loop.status();
  std::thread thread([&] { (*loop)->Run(*updater); });
  bool updates = true;
  for (int i = 0; i < 5; ++i) {
    const uint32_t before = reader().Publications();
    updates = updates && WaitUntil([&] {
                // Again, lest one falls into the lead of the last update.
                set_while_waiting = true;
                return reader().Publications() != before;
              });
  }
  (*loop)->Stop();
  thread.join();
  set_while_waiting = false;
  EXPECT_TRUE(updates);
}

// The clock may be set between any two instructions, also while the loop tells
// the kernel to watch it: that is no reason to stop for ever.
TEST_F(TickLoopTest, ClockThatIsSetWhileTheTimerIsArmedIsNoFailure) {
  const std::unique_ptr<Updater> updater = MakeUpdater();
  for (int times = 1; times <= 3; ++times) {
    set_while_arming = times;
    const absl::StatusOr<std::unique_ptr<TickLoop>> loop =
        TickLoop::Create(updater->tick_ns());
    set_while_arming = 0;
    ASSERT_TRUE(loop.ok()) << loop.status();
    const uint32_t before = reader().Publications();
    std::thread thread([&] { (*loop)->Run(*updater); });
    const bool ticks =
        WaitUntil([&] { return reader().Publications() > before + 3; });
    (*loop)->Stop();
    thread.join();
    ASSERT_TRUE(ticks) << "the timer stands where the clock was before: "
                       << "an hour away";
  }
}

// Writers that are other processes, on a page that has a name.
class WriterProcessTest : public UpdaterTest {
 protected:
  void SetUp() override {
    UpdaterTest::SetUp();
    path_ = absl::StrCat(
        ::testing::TempDir(), "/",
        ::testing::UnitTest::GetInstance()->current_test_info()->name(), ".",
        getpid());
    unlink(path_.c_str());
  }
  void TearDown() override { unlink(path_.c_str()); }

  std::unique_ptr<ChildProcess> StartWriter(const UpdaterOptions& options) {
    return std::make_unique<ChildProcess>([this, options] {
      absl::StatusOr<WritablePage> page =
          WritablePage::Open(path_, ConfigOf(counter_.hz));
      if (!page.ok()) return 1;
      Updater updater(page->bytes(), counter_,
                      std::make_unique<KernelReference>(counter_.clock),
                      options);
      const absl::StatusOr<std::unique_ptr<TickLoop>> loop =
          TickLoop::Create(updater.tick_ns());
      if (!loop.ok()) return 2;
      (*loop)->Run(updater);
      return 3;
    });
  }
  // Attaches as soon as there is something to attach to.
  bool AttachReader() {
    return WaitUntil([this] {
      absl::StatusOr<AttachedPage> page = AttachedPage::Attach(path_);
      if (!page.ok()) return false;
      attached_ = std::make_unique<AttachedPage>(*std::move(page));
      shared_ = attached_->MakeReader(counter_.clock);
      return shared_.Now(ClockId::kMonotonic).ok();
    });
  }

  std::string path_;
  std::unique_ptr<AttachedPage> attached_;
  SharedReader shared_;
};

TEST_F(WriterProcessTest, StoppedWriterIsReadOnUntilItsAgeThenStale) {
  constexpr uint64_t kMaxAgeNs = 100'000'000;
  const std::unique_ptr<ChildProcess> writer =
      StartWriter({.max_age = absl::Nanoseconds(kMaxAgeNs)});
  ASSERT_TRUE(AttachReader());

  // A machine that is busy enough may hold the writer up for that long itself:
  // then once more.
  uint64_t read_on = 0;
  for (int i = 0; i < 20 && read_on == 0; ++i) {
    ASSERT_TRUE(
        WaitUntil([&] { return shared_.Now(ClockId::kMonotonic).ok(); }));
    ASSERT_TRUE(writer->Stop());
    const uint32_t publications = shared_.Publications();
    uint64_t last_ns = 0;
    ASSERT_TRUE(WaitUntil([&] {
      const NsReading reading = shared_.Now(ClockId::kMonotonic);
      if (reading.status == ReadStatus::kStale) return true;
      EXPECT_EQ(reading.status, ReadStatus::kOk);
      EXPECT_GE(reading.ns, last_ns);
      last_ns = reading.ns;
      ++read_on;
      return false;
    }));
    for (int n = 0; n < 1000; ++n) {
      const AgeReading age = shared_.Age();
      ASSERT_EQ(age.status, ReadStatus::kStale);
      ASSERT_GE(age.age_ns, kMaxAgeNs - kMaxAgeNs / 1000);
      ASSERT_EQ(shared_.Now(ClockId::kRealtime).status, ReadStatus::kStale);
      ASSERT_EQ(shared_.Interval(ClockId::kTai).status, ReadStatus::kStale);
    }
    EXPECT_EQ(shared_.Publications(), publications);
    writer->Send(SIGCONT);
    EXPECT_TRUE(WaitUntil([&] {
      const NsReading reading = shared_.Now(ClockId::kMonotonic);
      return reading.ok() && reading.ns >= last_ns;
    })) << "after SIGCONT all is well";
    EXPECT_NE(shared_.Publications(), publications);
  }
  EXPECT_GT(read_on, 0u) << "every read beside a stopped writer was refused";
}

TEST_F(WriterProcessTest, KilledWriterIsReplacedWithoutAStepBack) {
  constexpr int kWriters = 8;
  constexpr ClockId kSteady[] = {ClockId::kMonotonic, ClockId::kMonotonicRaw,
                                 ClockId::kBoottime};
  std::unique_ptr<ChildProcess> writer = StartWriter({});
  ASSERT_TRUE(AttachReader());
  const vvar_timeline& live = attached_->bytes().timeline[0];

  uint64_t last_ns[3] = {};
  uint64_t reads = 0;
  uint64_t refused = 0;
  uint64_t backwards = 0;
  uint64_t rewinds = 0;
  uint32_t last_seq = PageMemory::Load(live.seq);
  const auto look = [&] {
    for (int i = 0; i < 3; ++i) {
      const NsReading reading = shared_.Now(kSteady[i]);
      ++reads;
      refused += !reading.ok();
      if (!reading.ok()) continue;
      backwards += reading.ns < last_ns[i];
      last_ns[i] = reading.ns;
    }
    const uint32_t seq = PageMemory::Load(live.seq);
    rewinds += static_cast<int32_t>(seq - last_seq) < 0;
    last_seq = seq;
  };
  for (int i = 0; i < kWriters; ++i) {
    // Long enough to be found at any instruction of its life.
    const uint32_t before = shared_.Publications();
    const uint32_t enough = static_cast<uint32_t>(1 + i * 7);
    ASSERT_TRUE(WaitUntil([&] {
      for (int n = 0; n < 100; ++n) look();
      return shared_.Publications() - before >= enough;
    }));
    ASSERT_TRUE(writer->Kill());
    for (int n = 0; n < 1000; ++n) look();
    writer = StartWriter({});
  }
  EXPECT_GT(reads, 10'000u);
  EXPECT_EQ(rewinds, 0u);
  EXPECT_EQ(PageMemory::Load(live.stats.writer_id) != 0, true);
  // A line that a preempted writer publishes late may cost a step back, of
  // nanoseconds, and is counted.
  EXPECT_LE(backwards, PageMemory::Load(live.stats.late_publications));
  EXPECT_LE(refused, reads / 100);
}

}  // namespace
}  // namespace vvar::hosted
