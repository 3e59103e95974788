// SPDX-License-Identifier: MIT
//
// The kernel's own parameters as a reference: on this machine's kernel, where
// its layout is known, against its clocks; and on copies that each lack one
// thing the self-check is for. What it could miss: an update of the kernel's
// within the few instructions of a read.
#include "hosted/kernel_vvar_reference.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <memory>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "clocks/native.h"
#include "hosted/counter.h"
#include "hosted/reference.h"
#include "tests/hosted/child_process.h"
#include "vvar/page.h"

namespace vvar::hosted {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr ClockId kClocks[] = {ClockId::kRealtime, ClockId::kMonotonic,
                               ClockId::kBoottime, ClockId::kTai,
                               ClockId::kMonotonicRaw};

int64_t KernelNs(ClockId id) {
  timespec time = {};
  clock_gettime(static_cast<clockid_t>(id), &time);
  return int64_t{time.tv_sec} * 1'000'000'000 + int64_t{time.tv_nsec};
}

// A page of parameters that tests change. Not the kernel's: it stands still, as
// the kernel's does between updates.
class KernelVvarReferenceTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const absl::StatusOr<CounterInfo<NativeClock>> counter = FindCounter();
    if (!counter.ok()) GTEST_SKIP() << counter.status();
    clock_ = counter->clock;
    absl::StatusOr<std::unique_ptr<KernelVvarReference>> kernel =
        KernelVvarReference::Attach(clock_);
    if (!kernel.ok()) GTEST_SKIP() << kernel.status();
    kernel_ = *std::move(kernel);
    Copy();
  }

  // A copy that is right, but for an update just under way.
  void Copy() { memcpy(&copy_, FindKernelVvar(), sizeof(copy_)); }

  absl::Status AttachStatus() {
    return KernelVvarReference::Attach(clock_, &copy_).status();
  }

  NativeClock clock_;
  std::unique_ptr<KernelVvarReference> kernel_;
  KernelVvar copy_ = {};
};

// Trap: T76 (a private layout is guessed: here it is refused or proven)
TEST_F(KernelVvarReferenceTest, EveryReadingLiesBetweenTheKernelsOwn) {
  for (int i = 0; i < 100'000; ++i) {
    const ClockId id = kClocks[i % 5];
    const int64_t earliest = KernelNs(id);
    const Bracket bracket = kernel_->Read(id);
    const int64_t latest = KernelNs(id);
    ASSERT_LE(earliest, bracket.ns) << "clock " << static_cast<int>(id);
    ASSERT_LE(bracket.ns, latest) << "clock " << static_cast<int>(id);
    // Who notices one in the middle of the changes of another has a fallback.
    if (kernel_->status().ok()) {
      ASSERT_EQ(bracket.width(), 0u);
    } else {
      kernel_->Quality();
    }
  }
}

TEST_F(KernelVvarReferenceTest, QualityIsTheKernels) {
  const ReferenceQuality ours = kernel_->Quality();
  const ReferenceQuality kernels = KernelReference(clock_).Quality();
  EXPECT_EQ(ours.synchronised, kernels.synchronised);
  EXPECT_EQ(ours.frequency_ppb, kernels.frequency_ppb);
  EXPECT_EQ(ours.tai_offset_sec, kernels.tai_offset_sec);
}

TEST_F(KernelVvarReferenceTest, SelfCheckRefusesWithTheReason) {
  struct Row {
    const char* name;
    void (*damage)(KernelVvar&);
    const char* message;
  };
  const Row kRows[] = {
      {"NoVdsoClock", [](KernelVvar& v) { v.disciplined.mode = 0; },
       "mode 0; expected 1, TSC"},
      {"Pvclock", [](KernelVvar& v) { v.disciplined.mode = 2; },
       "mode 2; expected 1, TSC"},
      // seq is 1 for good there: mode has to be looked at first.
      {"TimeNamespace",
       [](KernelVvar& v) {
         v.disciplined.mode = INT32_MAX;
         v.disciplined.seq = 1;
       },
       "time namespace"},
      {"UpdateThatNeverEnds", [](KernelVvar& v) { v.disciplined.seq |= 1; },
       "expected an even number in time"},
      {"UpdateOfRawThatNeverEnds", [](KernelVvar& v) { v.raw.seq |= 1; },
       "expected an even number in time"},
      {"NoMult", [](KernelVvar& v) { v.disciplined.mult = 0; }, "mult 0"},
      {"LargeShift", [](KernelVvar& v) { v.disciplined.shift = 33; },
       "shift 33; expected at most 32"},
      {"HugeShift", [](KernelVvar& v) { v.raw.shift = 0xffff'ffff; },
       "shift 4294967295"},
      {"NarrowMask",
       [](KernelVvar& v) { v.disciplined.mask = 0xff'ffff'ffff'ffff; },
       "mask 72057594037927935; expected -1"},
      {"OtherBase",
       [](KernelVvar& v) { v.disciplined.base[CLOCK_BOOTTIME].sec += 1; },
       "clock 7 is"},
      {"OtherRaw",
       [](KernelVvar& v) { v.raw.base[CLOCK_MONOTONIC_RAW].sec -= 1; },
       "clock 4 is"},
      {"OtherSlope",
       [](KernelVvar& v) { v.disciplined.cycle_last -= uint64_t{1} << 32; },
       "clock 0 is"},
      {"ElementsWithoutMaxCycles",
       [](KernelVvar& v) {
         auto* bytes = reinterpret_cast<char*>(&v);
         memmove(bytes + 16, bytes + 24, sizeof(v) - 24);
       },
       "expected"},
      {"ArrayAt128",
       [](KernelVvar& v) {
         auto* bytes = reinterpret_cast<char*>(&v);
         memmove(bytes + 128, bytes, sizeof(v) - 128);
         memset(bytes, 0, 128);
       },
       "expected"},
      {"Zero", [](KernelVvar& v) { v = {}; }, "mode 0"},
      {"Ones", [](KernelVvar& v) { memset(&v, 0xff, sizeof(v)); }, "mode -1"},
  };
  for (const Row& row : kRows) {
    SCOPED_TRACE(row.name);
    Copy();
    row.damage(copy_);
    const absl::Status status = AttachStatus();
    EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
    EXPECT_THAT(std::string(status.message()),
                AllOf(HasSubstr("[vvar]: "), HasSubstr(row.message)));
  }
}

TEST_F(KernelVvarReferenceTest, MemoryThatFaultsIsRefusedNotTouched) {
  const auto page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  const auto attach = [&](const void* at) {
    return std::string(
        KernelVvarReference::Attach(clock_, static_cast<const KernelVvar*>(at))
            .status()
            .message());
  };
  EXPECT_THAT(attach(nullptr), HasSubstr("no mapping [vvar]"));
  // SIGSEGV, if it were touched.
  void* none = mmap(nullptr, page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
                    /*offset=*/0);
  ASSERT_NE(none, MAP_FAILED);
  EXPECT_THAT(attach(none), HasSubstr("cannot be read: Bad address"));
  munmap(none, page);
  // SIGBUS, if it were touched: a file without this page.
  const int file = memfd_create("empty", MFD_CLOEXEC);
  void* beyond = mmap(nullptr, page, PROT_READ, MAP_SHARED, file, 0);
  ASSERT_NE(beyond, MAP_FAILED);
  EXPECT_THAT(attach(beyond), HasSubstr("cannot be read: Bad address"));
  munmap(beyond, page);
  close(file);
}

// The kernel's own page of a time namespace, where this process may make one.
TEST_F(KernelVvarReferenceTest, IsRefusedInATimeNamespace) {
  constexpr int kRefusedRightly = 0;
  constexpr int kNoNamespace = 77;
  ChildProcess outside([&] {
    if (unshare(CLONE_NEWTIME) != 0 &&
        unshare(CLONE_NEWUSER | CLONE_NEWTIME) != 0) {
      return kNoNamespace;
    }
    // Only children enter it.
    ChildProcess inside([&] {
      const absl::Status status = KernelVvarReference::Attach(clock_).status();
      return absl::StrContains(status.message(), "time namespace")
                 ? kRefusedRightly
                 : 1;
    });
    return inside.Wait();
  });
  const int result = outside.Wait();
  if (result == kNoNamespace) GTEST_SKIP() << "may not unshare(CLONE_NEWTIME)";
  EXPECT_EQ(result, kRefusedRightly);
}

// Trap: T108 (the mode of the clock changes without notice)
TEST_F(KernelVvarReferenceTest, FallsBackWhileItsModeIsAnotherAndComesBack) {
  absl::StatusOr<std::unique_ptr<KernelVvarReference>> reference =
      KernelVvarReference::Attach(clock_, &copy_);
  if (!reference.ok())
    GTEST_SKIP() << "the copy is old: " << reference.status();
  EXPECT_EQ((*reference)->Read(ClockId::kMonotonicRaw).width(), 0u);
  copy_.raw.mode = 2;
  const int64_t earliest = KernelNs(ClockId::kMonotonicRaw);
  const Bracket bracket = (*reference)->Read(ClockId::kMonotonicRaw);
  EXPECT_GT(bracket.width(), 0u);
  EXPECT_GE(bracket.ns, earliest);
  EXPECT_LE(bracket.ns, KernelNs(ClockId::kMonotonicRaw));
  EXPECT_THAT(std::string((*reference)->status().message()),
              HasSubstr("mode 2"));
  (*reference)->Quality();
  EXPECT_FALSE((*reference)->status().ok()) << "still of another mode";
  // As the kernel has it now; this copy's clocks agree with it for a while.
  for (int i = 0; i < 100 && !(*reference)->status().ok(); ++i) {
    Copy();
    (*reference)->Quality();
  }
  EXPECT_TRUE((*reference)->status().ok()) << (*reference)->status();
  EXPECT_EQ((*reference)->Read(ClockId::kMonotonicRaw).width(), 0u);
}

TEST_F(KernelVvarReferenceTest, AChangedSlopeIsHeldAgainstTheKernel) {
  absl::StatusOr<std::unique_ptr<KernelVvarReference>> reference =
      KernelVvarReference::Attach(clock_, &copy_);
  if (!reference.ok())
    GTEST_SKIP() << "the copy is old: " << reference.status();
  (*reference)->Read(ClockId::kMonotonicRaw);
  // What an update of another layout would look like.
  copy_.raw.mult += copy_.raw.mult / 2;
  copy_.raw.cycle_last -= uint64_t{1} << 40;
  const int64_t earliest = KernelNs(ClockId::kMonotonicRaw);
  const Bracket bracket = (*reference)->Read(ClockId::kMonotonicRaw);
  EXPECT_GE(bracket.ns, earliest);
  EXPECT_LE(bracket.ns, KernelNs(ClockId::kMonotonicRaw));
  EXPECT_THAT(std::string((*reference)->status().message()),
              HasSubstr("clock 4 is"));
}

}  // namespace
}  // namespace vvar::hosted
