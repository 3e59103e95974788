// SPDX-License-Identifier: MIT
//
// What the image does when its page cannot answer, and what its mappings
// forbid. Who answers is told by the time itself: the page's clocks begin in
// the year 2096.
#include <gtest/gtest.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>

#include <fstream>
#include <string>

#include "clocks/native.h"
#include "fallback/syscall.h"
#include "hosted/counter.h"
#include "hosted/mapped_image.h"
#include "tests/hosted/child_process.h"
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
using fallback::VdsoFunctions;
using hosted::ChildProcess;
using hosted::MappedImage;

class ImageTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (const int signal = hosted::SignalOfCounterRead(); signal != 0) {
      GTEST_SKIP() << "reading the counter raises signal " << signal;
    }
  }
};

/// Whether the page answers for a clock; false where the kernel does, and then
/// rightly: between two system calls.
bool PageAnswers(const VdsoFunctions& image, int32_t id) {
  KernelTimespec before = {}, after = {};
  KernelOldTimespec now = {-1, -1};
  EXPECT_EQ(fallback::ClockGettime(id, &before), 0) << id;
  EXPECT_EQ(image.clock_gettime(id, &now), 0) << id;
  EXPECT_EQ(fallback::ClockGettime(id, &after), 0) << id;
  if (FarPage::IsFar(now.tv_sec)) return true;
  EXPECT_LE(Ns(before), Ns(now)) << id;
  EXPECT_LE(Ns(now), Ns(after)) << id;
  return false;
}

void ExpectPageAnswers(const VdsoFunctions& image, bool precise, bool coarse) {
  for (const int32_t id : kPrecise) {
    EXPECT_EQ(PageAnswers(image, id), precise) << id;
  }
  for (const int32_t id : kCoarse) {
    EXPECT_EQ(PageAnswers(image, id), coarse) << id;
  }
  KernelTimeval now = {-1, -1};
  KernelTimezone zone = {-1, -1};
  EXPECT_EQ(image.gettimeofday(&now, &zone), 0);
  EXPECT_EQ(FarPage::IsFar(now.tv_sec), precise);
  EXPECT_NE(zone.tz_dsttime, -1);
  intptr_t stored = -1;
  EXPECT_EQ(FarPage::IsFar(image.time(&stored)), coarse);
  EXPECT_EQ(FarPage::IsFar(stored), coarse);
}

void ExpectResolutionsOfTheKernel(const VdsoFunctions& image) {
  for (const int32_t id : EveryKindOfId()) {
    KernelTimespec system = {};
    KernelOldTimespec step = {};
    const int32_t error = fallback::ClockGetres(id, &system);
    EXPECT_EQ(image.clock_getres(id, &step), error) << id;
    EXPECT_EQ(Ns(step), Ns(system)) << id;
  }
}

TEST_F(ImageTest, ALivePageAnswersForAllItsClocks) {
  FarPage page;
  ExpectPageAnswers(MapImage(page.fd()).functions(), true, true);
}

TEST_F(ImageTest, WithoutAPageTheKernelAnswers) {
  const MappedImage image = MapImage(-1);
  ExpectPageAnswers(image.functions(), false, false);
  ExpectResolutionsOfTheKernel(image.functions());
}

TEST_F(ImageTest, APageThatNobodyPublishedOnAnswersNothing) {
  const hosted::WritablePage page = Got(hosted::WritablePage::CreateAnonymous(
      {NativeClock::kCounterId, NativeClock::kCounterBits, 0, 1,
       VVAR_FEATURE_USER_COUNTER, 1, 1, 1}));
  ExpectPageAnswers(MapImage(page.fd()).functions(), false, false);
}

TEST_F(ImageTest, APageOfAnotherCounterAnswersNothing) {
  FarPage page;
  for (vvar_slot& slot : page.bytes().timeline[0].slot) {
    PageMemory::Store(slot.counter_id, VVAR_COUNTER_PRIVATE);
  }
  ExpectPageAnswers(MapImage(page.fd()).functions(), false, false);
}

TEST_F(ImageTest, AWithheldCounterLeavesTheCoarseClocks) {
  FarPage page(/*features=*/0);
  ExpectPageAnswers(MapImage(page.fd()).functions(), false, true);
}

// The bit may change while programs run.
TEST_F(ImageTest, FollowsTheFeatureBit) {
  FarPage page;
  const MappedImage image = MapImage(page.fd());
  PageMemory::Store(page.bytes().header.features, 0u);
  ExpectPageAnswers(image.functions(), false, true);
  PageMemory::Store(page.bytes().header.features, VVAR_FEATURE_USER_COUNTER);
  ExpectPageAnswers(image.functions(), true, true);
}

// Coarse clocks too, which would go on for ever by themselves.
TEST_F(ImageTest, ADeadWritersPageAnswersNothing) {
  FarPage page(VVAR_FEATURE_USER_COUNTER, /*age_bits=*/20);
  const MappedImage image = MapImage(page.fd());
  const Reader<NativeClock> reader(&page.bytes().timeline[0], NativeClock());
  ASSERT_TRUE(hosted::WaitUntil(
      [&] { return reader.Age().status == ReadStatus::kStale; }));
  ExpectPageAnswers(image.functions(), false, false);
}

// A kernel's page, whose coarse clocks need no counter to be believed.
TEST_F(ImageTest, ASystemsCoarseClocksHaveNoAgeLimit) {
  FarPage page(VVAR_FEATURE_USER_COUNTER | VVAR_FEATURE_SYSTEM_WRITER,
               /*age_bits=*/20);
  const MappedImage image = MapImage(page.fd());
  const Reader<NativeClock> reader(&page.bytes().timeline[0], NativeClock());
  ASSERT_TRUE(hosted::WaitUntil(
      [&] { return reader.Age().status == ReadStatus::kStale; }));
  ExpectPageAnswers(image.functions(), false, true);
}

TEST_F(ImageTest, AStoppedWriterLeavesTheLineBefore) {
  FarPage page;
  page.bytes().timeline[0].seq |= 1;
  ExpectPageAnswers(MapImage(page.fd()).functions(), true, true);
}

TEST_F(ImageTest, HonoursItsOffsetsPage) {
  FarPage page;
  const MappedImage home = MapImage(page.fd());
  const MappedImage away = MapImage(
      page.fd(), {.monotonic = {1'000'000, 999'999'999}, .boottime = {-5, 1}});
  const auto read = [](const MappedImage& image, int32_t id) {
    KernelOldTimespec now = {};
    EXPECT_EQ(image.functions().clock_gettime(id, &now), 0);
    EXPECT_LT(now.tv_nsec, 1'000'000'000);
    return Ns(now);
  };
  constexpr int64_t kMonotonicNs = 1'000'000'999'999'999,
                    kBoottimeNs = -4'999'999'999;
  const struct {
    int32_t id;
    int64_t offset_ns;
  } rows[] = {{CLOCK_REALTIME, 0},
              {CLOCK_TAI, 0},
              {CLOCK_REALTIME_COARSE, 0},
              {CLOCK_MONOTONIC, kMonotonicNs},
              {CLOCK_MONOTONIC_RAW, kMonotonicNs},
              {CLOCK_MONOTONIC_COARSE, kMonotonicNs},
              {CLOCK_BOOTTIME, kBoottimeNs}};
  for (const auto& row : rows) {
    const int64_t before = read(home, row.id);
    const int64_t moved = read(away, row.id) - row.offset_ns;
    EXPECT_LE(before, moved) << row.id;
    EXPECT_LE(moved, read(home, row.id)) << row.id;
  }
}

// --- In processes that may not read the counter ------------------------------

constexpr int kNoSuchControl = 77;

TEST_F(ImageTest, DoesNotTouchAWithheldCounter) {
  FarPage page(/*features=*/0);
  const MappedImage image = MapImage(page.fd());
  const auto without_tsc = [](auto body) {
    return ChildProcess([&] {
             if (prctl(PR_SET_TSC, PR_TSC_SIGSEGV) != 0) return kNoSuchControl;
             return body() ? 0 : 1;
           })
        .Wait();
  };
  const int code = without_tsc([&] {
    const VdsoFunctions functions = image.functions();
    bool good = true;
    for (const int32_t id : EveryKindOfId()) {
      KernelTimespec system;
      KernelOldTimespec now;
      good &= functions.clock_gettime(id, &now) ==
              fallback::ClockGettime(id, &system);
      good &= functions.clock_getres(id, &now) ==
              fallback::ClockGetres(id, &system);
    }
    KernelTimeval now;
    KernelTimezone zone;
    return good && functions.gettimeofday(&now, &zone) == 0 &&
           functions.time(nullptr) > 0 &&
           functions.getcpu(nullptr, nullptr, nullptr) == 0;
  });
  if (code == kNoSuchControl) GTEST_SKIP() << "no PR_SET_TSC here";
  EXPECT_EQ(code, 0);
  // Of the page's bit nothing is known to whoever reads it nevertheless.
  EXPECT_EQ(without_tsc([] { return NativeClock().ReadUnordered() != 0; }),
            128 + SIGSEGV);
}

// --- Mappings ----------------------------------------------------------------

/// The permissions of this process's mapping at an address: "r-xp".
std::string PermissionsAt(uint64_t address) {
  std::ifstream maps("/proc/self/maps");
  std::string line;
  while (std::getline(maps, line)) {
    unsigned long from = 0, to = 0;
    char permissions[5] = "";
    if (sscanf(line.c_str(), "%lx-%lx %4s", &from, &to, permissions) == 3 &&
        from <= address && address < to) {
      return permissions;
    }
  }
  return "not mapped";
}

// Trap: T84
TEST_F(ImageTest, DataIsReadOnlyAndCodeIsNotWritable) {
  FarPage page;
  const MappedImage image = MapImage(page.fd());
  const ImageLayout& at = image.layout();
  EXPECT_EQ(PermissionsAt(at.page), "r--s");
  EXPECT_EQ(PermissionsAt(at.offsets), "r--p");
  for (uint64_t address = at.image; address < at.end; address += 4096) {
    EXPECT_EQ(PermissionsAt(address), "r-xp");
  }
  EXPECT_EQ(at.offsets - at.page, 4096u);
  EXPECT_EQ(at.image - at.page, 8192u);
  const int kFault = 128 + SIGSEGV;
  for (const uint64_t address : {at.page, at.offsets, at.image, at.end - 8}) {
    EXPECT_EQ(ChildProcess([&] {
                *reinterpret_cast<volatile uint32_t*>(address) = 0;
                return 0;
              }).Wait(),
              kFault)
        << "stored to " << address - at.page;
  }
  for (const uint64_t address : {at.page, at.offsets}) {
    EXPECT_EQ(ChildProcess([&] {
                reinterpret_cast<void (*)()>(address)();
                return 0;
              }).Wait(),
              kFault)
        << "executed " << address - at.page;
  }
}

// T102's other half: what the system call refuses with EFAULT is a fault here,
// as in Linux's own image.
TEST_F(ImageTest, ABadPointerFaultsWhereThePageAnswers) {
  FarPage page;
  const MappedImage image = MapImage(page.fd());
  EXPECT_EQ(ChildProcess([&] {
              return image.functions().clock_gettime(CLOCK_MONOTONIC, nullptr);
            }).Wait(),
            128 + SIGSEGV);
}

}  // namespace
}  // namespace vvar::vdso
