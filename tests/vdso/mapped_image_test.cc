// SPDX-License-Identifier: MIT
//
// The image on a live page, against the system it stands for: every function,
// every id, both results of each. The page follows the kernel's clock, so a
// bracket has to hold within what the page may be away from it. Could miss an
// error smaller than that.
#include "hosted/mapped_image.h"

#include <gtest/gtest.h>
#include <sched.h>
#include <stdint.h>
#include <sys/time.h>
#include <time.h>

#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include "clocks/cpu_id.h"
#include "fallback/syscall.h"
#include "fallback/vdso_symbol.h"
#include "hosted/clock.h"
#include "tests/vdso/live_image.h"
#include "tests/vdso/test_image.h"
#include "vvar/page.h"
#include "vvar/reader.h"
#include "vvar/seqcount.h"

namespace vvar::vdso {
namespace {

using fallback::KernelOldTimespec;
using fallback::KernelTimespec;
using fallback::KernelTimeval;
using fallback::KernelTimezone;
using hosted::ProcessClock;

using ImageTest = LiveImageTest;

// --- What it exports ---------------------------------------------------------

TEST_F(ImageTest, ExportsTheSystemsNamesAndVersions) {
  std::map<std::string, uint64_t> found;
  image_.tables().ForEachSymbol([&](const fallback::VdsoSymbol& symbol) {
    const std::string version(symbol.version.data, symbol.version.size);
    found[std::string(symbol.name.data, symbol.name.size) + "@" + version] =
        symbol.address;
  });
  EXPECT_EQ(found.size(), 10u);
  for (const std::string name :
       {"clock_gettime", "clock_getres", "gettimeofday", "time", "getcpu"}) {
    const uint64_t address = found["__vdso_" + name + "@LINUX_2.6"];
    EXPECT_GE(address, image_.layout().image) << name;
    EXPECT_LT(address, image_.layout().end) << name;
    EXPECT_EQ(found[name + "@LINUX_2.6"], address);
    EXPECT_EQ(image_.tables().Find(name.c_str(), "LINUX_2.6").address, address);
  }
}

TEST_F(ImageTest, EveryFunctionReturnsZero) {
  KernelOldTimespec time;
  KernelTimeval timeval;
  EXPECT_EQ(image_functions_.clock_gettime(CLOCK_MONOTONIC, &time), 0);
  EXPECT_EQ(image_functions_.clock_getres(CLOCK_MONOTONIC, &time), 0);
  EXPECT_EQ(image_functions_.gettimeofday(&timeval, nullptr), 0);
  EXPECT_GT(image_functions_.time(nullptr), 0);
  EXPECT_EQ(image_functions_.getcpu(nullptr, nullptr, nullptr), 0);
}

// --- clock_gettime -----------------------------------------------------------

TEST_F(ImageTest, PreciseClocksAreBetweenTwoSystemCalls) {
  for (const int32_t id : kPrecise) {
    int strictly = 0;
    int64_t worst_ns = 0;
    constexpr int kRounds = 3'000;
    for (int i = 0; i < kRounds; ++i) {
      const int64_t before = KernelNs(id);
      const int64_t now = ImageNs(id);
      const int64_t after = KernelNs(id);
      const int64_t outside_ns = std::max({before - now, now - after, 0l});
      strictly += outside_ns == 0;
      worst_ns = std::max(worst_ns, outside_ns);
      ASSERT_LE(outside_ns, ErrorNs()) << id;
    }
    printf("  clock %d: %d of %d strictly between, worst %ld ns outside\n", id,
           strictly, kRounds, worst_ns);
    EXPECT_GT(strictly, kRounds / 2) << id;
  }
}

TEST_F(ImageTest, CoarseClocksAreThePagesAndNeverAbovePrecise) {
  const Reader<NativeClock>& reader = ProcessClock().reader();
  for (const int32_t id : kCoarse) {
    const auto clock = static_cast<ClockId>(id);
    for (int i = 0; i < 3'000; ++i) {
      const auto before = static_cast<int64_t>(reader.NowCoarse(clock).ns);
      const int64_t now = ImageNs(id);
      const auto after = static_cast<int64_t>(reader.NowCoarse(clock).ns);
      ASSERT_LE(before, now) << id;
      ASSERT_LE(now, after) << id;
      ASSERT_LE(now, ImageNs(id == CLOCK_REALTIME_COARSE ? CLOCK_REALTIME
                                                         : CLOCK_MONOTONIC));
    }
  }
}

TEST_F(ImageTest, OtherIdsAreTheKernels) {
  for (const int32_t id : EveryKindOfId()) {
    KernelTimespec before, after;
    KernelOldTimespec now = {-1, -1};
    const int32_t error = fallback::ClockGettime(id, &before);
    ASSERT_EQ(image_functions_.clock_gettime(id, &now), error) << id;
    ASSERT_EQ(fallback::ClockGettime(id, &after), error) << id;
    if (error != 0) {
      EXPECT_EQ(now.tv_nsec, -1) << id;
    } else if (!std::count(kPrecise, kPrecise + 5, id) &&
               !std::count(kCoarse, kCoarse + 2, id)) {
      EXPECT_LE(Ns(before), Ns(now)) << id;
      EXPECT_LE(Ns(now), Ns(after)) << id;
    }
  }
}

TEST_F(ImageTest, ConsecutiveReadsNeverDecrease) {
  std::vector<int32_t> ids(kPrecise, kPrecise + 5);
  ids.insert(ids.end(), kCoarse, kCoarse + 2);
  for (const int32_t id : ids) {
    int64_t last = 0;
    for (int i = 0; i < 64 * 2'000; ++i) {
      const int64_t now = ImageNs(id);
      ASSERT_LE(last, now) << id;
      last = now;
    }
  }
}

// A clock and what a source of it truncates to.
struct Source {
  const char* name;
  int64_t (*ns)();
  int64_t resolution_ns;
};
const fallback::VdsoFunctions* live_image;

int64_t OfTimeval(int64_t sec, int64_t usec) {
  return sec * 1'000'000'000 + usec * 1'000;
}
constexpr Source kSources[] = {
    {"libc",
     [] {
       timespec now;
       clock_gettime(CLOCK_REALTIME, &now);
       return int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
     },
     1},
    {"system call", [] { return KernelNs(CLOCK_REALTIME); }, 1},
    {"image",
     [] {
       KernelOldTimespec now;
       (void)live_image->clock_gettime(CLOCK_REALTIME, &now);
       return Ns(now);
     },
     1},
    {"gettimeofday",
     [] {
       timeval now;
       gettimeofday(&now, nullptr);
       return OfTimeval(now.tv_sec, now.tv_usec);
     },
     1'000},
    {"image's gettimeofday",
     [] {
       KernelTimeval now;
       (void)live_image->gettimeofday(&now, nullptr);
       return OfTimeval(now.tv_sec, now.tv_usec);
     },
     1'000},
};

TEST_F(ImageTest, InterleavedSourcesNeverStepBack) {
  live_image = &image_functions_;
  uint32_t random = 1;
  int64_t latest = 0;
  const Source* of_latest = &kSources[0];
  for (int i = 0; i < 100'000; ++i) {
    random = random * 1'664'525 + 1'013'904'223;
    const Source& source = kSources[(random >> 16) % std::size(kSources)];
    const int64_t now = source.ns();
    // The last instant that it may stand for.
    ASSERT_LE(latest, now + source.resolution_ns - 1 + ErrorNs())
        << of_latest->name << ", then " << source.name;
    if (now > latest) {
      latest = now;
      of_latest = &source;
    }
  }
}

// --- clock_getres ------------------------------------------------------------

TEST_F(ImageTest, ResolutionsAreThePagesElseTheKernels) {
  for (const int32_t id : EveryKindOfId()) {
    KernelTimespec system = {-1, -1};
    KernelOldTimespec image = {-1, -1};
    const int32_t error = fallback::ClockGetres(id, &system);
    ASSERT_EQ(image_functions_.clock_getres(id, &image), error) << id;
    ASSERT_EQ(image_functions_.clock_getres(id, nullptr), error) << id;
    if (std::count(kCoarse, kCoarse + 2, id)) {
      EXPECT_EQ(Ns(image),
                PageMemory::Load(bytes_->header.coarse_resolution_ns));
    } else if (std::count(kPrecise, kPrecise + 5, id)) {
      EXPECT_EQ(Ns(image), PageMemory::Load(bytes_->header.resolution_ns));
    } else {
      EXPECT_EQ(Ns(image), Ns(system)) << id;
    }
  }
}

// --- gettimeofday, time ------------------------------------------------------

TEST_F(ImageTest, GettimeofdayIsRealtimeTruncated) {
  for (int i = 0; i < 10'000; ++i) {
    KernelTimeval now = {-1, -1};
    const int64_t before = ImageNs(CLOCK_REALTIME);
    ASSERT_EQ(image_functions_.gettimeofday(&now, nullptr), 0);
    const int64_t after = ImageNs(CLOCK_REALTIME);
    ASSERT_LT(now.tv_usec, 1'000'000);
    const int64_t us = int64_t{now.tv_sec} * 1'000'000 + now.tv_usec;
    ASSERT_LE(before / 1'000, us);
    ASSERT_LE(us, after / 1'000);
  }
}

TEST_F(ImageTest, GettimeofdayTellsTheSystemsTimeZone) {
  KernelTimezone system = {-1, -1}, image = {-1, -1};
  ASSERT_EQ(fallback::Gettimeofday(nullptr, &system), 0);
  ASSERT_EQ(image_functions_.gettimeofday(nullptr, &image), 0);
  EXPECT_EQ(image.tz_minuteswest, system.tz_minuteswest);
  EXPECT_EQ(image.tz_dsttime, system.tz_dsttime);
}

TEST_F(ImageTest, TimeIsTheCoarseClocksSecond) {
  for (int i = 0; i < 10'000; ++i) {
    intptr_t stored = -1;
    const int64_t before = ImageNs(CLOCK_REALTIME_COARSE);
    const intptr_t now = image_functions_.time(&stored);
    const int64_t after = ImageNs(CLOCK_REALTIME_COARSE);
    KernelTimeval precise;
    ASSERT_EQ(image_functions_.gettimeofday(&precise, nullptr), 0);
    ASSERT_EQ(now, stored);
    ASSERT_LE(before / 1'000'000'000, now);
    ASSERT_LE(now, after / 1'000'000'000);
    ASSERT_LE(now, precise.tv_sec);
  }
}

// --- Pointers that may be null -----------------------------------------------

// Trap: T102
TEST_F(ImageTest, NullResultPointerWhereAllowed) {
  for (const int32_t id : EveryKindOfId()) {
    EXPECT_EQ(image_functions_.clock_getres(id, nullptr),
              fallback::ClockGetres(id, nullptr));
  }
  KernelTimeval now = {-1, -1};
  KernelTimezone zone = {-1, -1};
  uint32_t cpu = ~0u, node = ~0u;
  EXPECT_EQ(image_functions_.gettimeofday(nullptr, nullptr), 0);
  EXPECT_EQ(image_functions_.gettimeofday(&now, nullptr), 0);
  EXPECT_NE(now.tv_usec, -1);
  EXPECT_EQ(image_functions_.gettimeofday(nullptr, &zone), 0);
  EXPECT_NE(zone.tz_dsttime, -1);
  EXPECT_GT(image_functions_.time(nullptr), 0);
  EXPECT_EQ(image_functions_.getcpu(nullptr, nullptr, nullptr), 0);
  EXPECT_EQ(image_functions_.getcpu(&cpu, nullptr, nullptr), 0);
  EXPECT_NE(cpu, ~0u);
  EXPECT_EQ(image_functions_.getcpu(nullptr, &node, nullptr), 0);
  EXPECT_NE(node, ~0u);
  // A clock that only the kernel has: it says EFAULT, as it does to anybody.
  EXPECT_EQ(image_functions_.clock_gettime(CLOCK_PROCESS_CPUTIME_ID, nullptr),
            -14);
  EXPECT_EQ(image_functions_.clock_gettime(99, nullptr), -22);
}

// --- getcpu ------------------------------------------------------------------

/// On each CPU that this process may use.
void ExpectTheCpu(const fallback::VdsoFunctions& image) {
  cpu_set_t allowed;
  ASSERT_EQ(sched_getaffinity(0, sizeof(allowed), &allowed), 0);
  for (uint32_t cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (!CPU_ISSET(cpu, &allowed)) continue;
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    ASSERT_EQ(sched_setaffinity(0, sizeof(one), &one), 0);
    uint32_t system = ~0u, system_node = ~0u, ours = ~0u, node = ~0u;
    ASSERT_EQ(fallback::GetCpu(&system, &system_node), 0);
    if (system != cpu) GTEST_SKIP() << "CPU affinity has no effect here";
    EXPECT_EQ(image.getcpu(&ours, &node, nullptr), 0);
    EXPECT_EQ(ours, cpu);
    EXPECT_EQ(node, system_node);
  }
  ASSERT_EQ(sched_setaffinity(0, sizeof(allowed), &allowed), 0);
}

TEST_F(ImageTest, GetcpuTellsTheCpuThatTheThreadIsPinnedTo) {
  ExpectTheCpu(image_functions_);
  // Each way of its own: by the segment, and as the page says.
  const hosted::MappedImage by_segment = MapImage(-1);
  ExpectTheCpu(by_segment.functions());
  if (!HasRdpid()) GTEST_SKIP() << "this CPU has no RDPID";
  FarPage page(VVAR_FEATURE_RDPID);
  const hosted::MappedImage by_rdpid = MapImage(page.fd());
  ExpectTheCpu(by_rdpid.functions());
}

}  // namespace
}  // namespace vvar::vdso
