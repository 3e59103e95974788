// SPDX-License-Identifier: MIT
#include "paravirt/vmclock.h"

#include <gtest/gtest.h>
#include <stdint.h>
#include <string.h>

#include "tests/support/manual_clock.h"
#include "tests/support/oracle.h"
#include "tests/support/scripted_memory.h"

namespace vvar {
namespace {

using support::EdgyRandom;
using support::ManualClock;
using support::ManualCounter;
using support::MemoryScript;
using support::ScriptedMemory;
using support::UnsignedWide;
using support::Wide;

using Clock = ManualClock<64, VVAR_COUNTER_X86_TSC>;
using Reader = VmclockReader<Clock>;
using enum VmclockTimeType;

VmclockLine TestLine() {
  VmclockLine line = {};
  line.line = {1'000, {1'700'000'037, 0}, FracPeriodFromHz(2'000'000'000)};
  line.flags = kVmclockTaiOffsetValid | kVmclockPeriodMaxerrorValid |
               kVmclockTimeMaxerrorValid | kVmclockGenerationPresent;
  line.period_maxerror = line.line.period.frac_sec / 1'000'000;  // 1 ppm
  line.time_maxerror_ns = 250;
  line.disruption_marker = 0x0102030405060708;
  line.generation = 0x1112131415161718;
  line.tai_offset_sec = 37;
  line.time_type = kTai;
  line.clock_status = VmclockClockStatus::kSynchronised;
  line.leap = VmclockLeap::kPreInsert;
  return line;
}

struct Region {
  explicit Region(const VmclockLine& line = TestLine(),
                  VmclockTaiSign sign = VmclockTaiSign::kUtcMinusTai)
      : writer(&abi, sign) {
    writer.Format(4096);
    writer.Publish(VVAR_COUNTER_X86_TSC, line);
    counter.value = 1'000'001'000;  // Half a second on.
  }
  PageStatus Attach(size_t size, Reader* reader) {
    return Reader::Attach(&abi, size, Clock(&counter), reader);
  }
  Reader MakeReader(size_t size = sizeof(vmclock_abi)) {
    Reader reader;
    EXPECT_EQ(Attach(size, &reader), PageStatus::kOk);
    return reader;
  }
  ForeignStatus StatusOf(VmclockTimeType type) {
    return MakeReader().Now(type).status;
  }

  vmclock_abi abi = {};
  VmclockWriter<> writer;
  ManualCounter counter;
};

TEST(VmclockTest, TimeComesWithItsError) {
  Region page;
  const VmclockReading tai = page.MakeReader().Now(kTai);
  ASSERT_EQ(tai.status, ForeignStatus::kOk);
  // The period is truncated, and so is the time.
  EXPECT_EQ(tai.time, (Timespec{1'700'000'037, 499'999'999}));
  // 1 ppm of half a second, rounded up.
  EXPECT_EQ(tai.error_ns, 250u + 500);
  EXPECT_EQ(tai.leap, VmclockLeap::kPreInsert);
  EXPECT_EQ(tai.clock_status, VmclockClockStatus::kSynchronised);
  const VmclockReading utc = page.MakeReader().Now(kUtc);
  ASSERT_EQ(utc.status, ForeignStatus::kOk);
  EXPECT_EQ(utc.time, (Timespec{1'700'000'000, 499'999'999}));
  EXPECT_EQ(page.StatusOf(kMonotonic), ForeignStatus::kNoSuchTime);
}

// Trap: T80
TEST(VmclockTest, BothTaiSignsAreRead) {
  for (const VmclockTaiSign sign :
       {VmclockTaiSign::kUtcMinusTai, VmclockTaiSign::kTaiMinusUtc}) {
    for (const VmclockTimeType type : {kTai, kUtc}) {
      VmclockLine line = TestLine();
      line.time_type = type;
      Region page(line, sign);
      EXPECT_EQ(static_cast<int16_t>(page.abi.tai_offset_sec),
                sign == VmclockTaiSign::kUtcMinusTai ? -37 : 37);
      const VmclockReading tai = page.MakeReader().Now(kTai);
      const VmclockReading utc = page.MakeReader().Now(kUtc);
      ASSERT_TRUE(tai.ok() && utc.ok());
      EXPECT_EQ(tai.time.sec - utc.time.sec, 37);
    }
  }
  // No offset of this world; or one that nobody vouches for.
  Region page;
  page.abi.tai_offset_sec = 101;
  EXPECT_EQ(page.StatusOf(kTai), ForeignStatus::kOk);
  EXPECT_EQ(page.StatusOf(kUtc), ForeignStatus::kNoSuchTime);
  page.abi.tai_offset_sec = 0x8000;
  EXPECT_EQ(page.StatusOf(kUtc), ForeignStatus::kNoSuchTime);
  page.abi.tai_offset_sec = 100;
  EXPECT_EQ(page.StatusOf(kUtc), ForeignStatus::kOk);
  page.abi.flags &= ~kVmclockTaiOffsetValid;
  EXPECT_EQ(page.StatusOf(kUtc), ForeignStatus::kNoSuchTime);
}

TEST(VmclockTest, BytesAreWhereLinuxHasThem) {
  VmclockLine line = TestLine();
  line.line = {0x2122232425262728,
               {0x3132333435363738, 0x4142434445464748},
               {0x5152535455565758, 0x1f}};
  line.period_esterror = 0x6162636465666768;
  line.period_maxerror = 0x7172737475767778;
  line.time_esterror_ns = 0x8182838485868788;
  line.time_maxerror_ns = 0x9192939495969798;
  const Region page(line);
  const uint8_t expected[] = {
      // magic, size, version, counter_id, time_type, seq_count
      'V', 'C', 'L', 'K', 0x00, 0x10, 0, 0, 1, 0, 1, 1, 4, 0, 0, 0,
      // disruption_marker, flags
      8, 7, 6, 5, 4, 3, 2, 1, 0x51, 0x01, 0, 0, 0, 0, 0, 0,
      // pad, clock_status, smearing hint, tai_offset_sec, leap_indicator,
      // counter_period_shift, counter_value
      0, 0, 2, 0, 0xdb, 0xff, 1, 0x1f,  //
      0x28, 0x27, 0x26, 0x25, 0x24, 0x23, 0x22, 0x21,
      // counter_period_frac_sec, its estimated and its maximum error
      0x58, 0x57, 0x56, 0x55, 0x54, 0x53, 0x52, 0x51,  //
      0x68, 0x67, 0x66, 0x65, 0x64, 0x63, 0x62, 0x61,  //
      0x78, 0x77, 0x76, 0x75, 0x74, 0x73, 0x72, 0x71,
      // time_sec, time_frac_sec, its estimated and its maximum error
      0x38, 0x37, 0x36, 0x35, 0x34, 0x33, 0x32, 0x31,  //
      0x48, 0x47, 0x46, 0x45, 0x44, 0x43, 0x42, 0x41,  //
      0x88, 0x87, 0x86, 0x85, 0x84, 0x83, 0x82, 0x81,  //
      0x98, 0x97, 0x96, 0x95, 0x94, 0x93, 0x92, 0x91,
      // vm_generation_counter
      0x18, 0x17, 0x16, 0x15, 0x14, 0x13, 0x12, 0x11};
  uint8_t bytes[sizeof(vmclock_abi)];
  memcpy(bytes, &page.abi, sizeof bytes);
  ASSERT_EQ(sizeof expected, sizeof bytes);
  for (size_t i = 0; i < sizeof bytes; ++i) {
    EXPECT_EQ(bytes[i], expected[i]) << "byte " << i;
  }
}

TEST(VmclockTest, WhatIsReadIsWhatWasPublished) {
  EdgyRandom random(2);
  for (int i = 0; i < 20'000; ++i) {
    VmclockLine line = TestLine();
    line.line = {random.Edgy(),
                 {random.Edgy(), random.Edgy()},
                 {random.Edgy() | 1, static_cast<uint32_t>(random.Below(64))}};
    line.period_esterror = random.Edgy();
    line.period_maxerror = random.Edgy();
    line.time_esterror_ns = random.Edgy();
    line.time_maxerror_ns = random.Edgy();
    line.flags =
        (random.Edgy(10) & ~kVmclockTaiOffsetValid) | kVmclockGenerationPresent;
    line.tai_offset_sec = 0;
    Region page(line);
    page.counter.value = line.line.counter_value + random.Edgy(63);
    VmclockLine read;
    uint64_t cycles;
    ASSERT_EQ(page.MakeReader().ReadLine(&read, &cycles), ForeignStatus::kOk);
    ASSERT_EQ(read, line);
    ASSERT_EQ(cycles, page.counter.value);
    const UnsignedWide run = (UnsignedWide(cycles - line.line.counter_value) *
                              UnsignedWide(line.line.period.frac_sec)) >>
                             line.line.period.shift;
    const UnsignedWide now = (UnsignedWide(line.line.time.sec) << 64) +
                             UnsignedWide(line.line.time.frac_sec) + run;
    const FracTime time = read.line.At(cycles);
    ASSERT_EQ(time.sec, static_cast<uint64_t>(now >> 64));
    ASSERT_EQ(time.frac_sec, static_cast<uint64_t>(now));
  }
}

TEST(VmclockTest, ErrorsAreThereOnlyIfBothTheirFlagsAre) {
  VmclockLine line = TestLine();
  const uint64_t at = line.line.counter_value;
  EXPECT_EQ(line.MaxErrorNsAt(at), 250u);
  EXPECT_EQ(line.EstErrorNsAt(at), UINT64_MAX);
  line.flags &= ~kVmclockPeriodMaxerrorValid;
  EXPECT_EQ(line.MaxErrorNsAt(at), UINT64_MAX);
  line.flags |= kVmclockPeriodMaxerrorValid;
  line.flags &= ~kVmclockTimeMaxerrorValid;
  EXPECT_EQ(line.MaxErrorNsAt(at), UINT64_MAX);
  line.flags |= kVmclockTimeEsterrorValid | kVmclockPeriodEsterrorValid;
  line.time_esterror_ns = 9;
  EXPECT_EQ(line.EstErrorNsAt(at), 9u);
  line.time_esterror_ns = UINT64_MAX - 1;
  line.period_esterror = UINT64_MAX;
  EXPECT_EQ(line.EstErrorNsAt(at + 1'000'000), UINT64_MAX);
  EXPECT_EQ(FracToNsUp({0, 1}), 1u);
  EXPECT_EQ(FracToNsUp({3, 0}), 3'000'000'000u);
  EXPECT_EQ(FracToNsUp({UINT64_MAX, 0}), UINT64_MAX);
}

TEST(VmclockTest, FieldIsPresentIfTheSizeCoversIt) {
  const auto line_of = [](Region& page, size_t mapped, ForeignStatus* status) {
    VmclockLine line = {};
    uint64_t cycles = 0;
    *status = page.MakeReader(mapped).ReadLine(&line, &cycles);
    return line;
  };
  for (const bool claimed : {false, true}) {
    for (size_t size = kVmclockMarkerSize; size <= sizeof(vmclock_abi);
         ++size) {
      VmclockLine told = TestLine();
      told.flags |= kVmclockTimeEsterrorValid | kVmclockPeriodEsterrorValid;
      Region page(told);
      // As the region says, or as much as is mapped: the less counts.
      if (claimed) page.abi.size = static_cast<uint32_t>(size);
      ForeignStatus status;
      const VmclockLine line =
          line_of(page, claimed ? sizeof(vmclock_abi) : size, &status);
      EXPECT_EQ(line.disruption_marker, TestLine().disruption_marker);
      ASSERT_EQ(status,
                size >= 0x58 ? ForeignStatus::kOk : ForeignStatus::kNotReady)
          << size;
      EXPECT_EQ(line.generation, size >= 0x70 ? TestLine().generation : 0);
      if (size < 0x58) continue;
      EXPECT_EQ((line.flags & kVmclockTimeEsterrorValid) != 0, size >= 0x60);
      EXPECT_EQ((line.flags & kVmclockTimeMaxerrorValid) != 0, size >= 0x68);
      EXPECT_EQ(line.MaxErrorNsAt(line.line.counter_value),
                size >= 0x68 ? 250 : UINT64_MAX);
    }
  }
  // One without its flag is none.
  Region page;
  page.abi.flags &= ~kVmclockGenerationPresent;
  ForeignStatus status;
  EXPECT_EQ(line_of(page, sizeof(vmclock_abi), &status).generation, 0u);
}

TEST(VmclockTest, RegionIsCheckedBeforeItIsUsed) {
  Region page;
  Reader reader;
  alignas(8) uint8_t bytes[sizeof(vmclock_abi) + 8] = {};
  memcpy(bytes + 4, &page.abi, sizeof page.abi);
  EXPECT_EQ(
      Reader::Attach(bytes + 4, sizeof page.abi, Clock(&page.counter), &reader),
      PageStatus::kBadLayout);
  page.abi.version = 2;
  EXPECT_EQ(page.Attach(4096, &reader), PageStatus::kWrongMajor);
  page.abi.version = 1;
  page.abi.size = kVmclockMarkerSize - 1;
  EXPECT_EQ(page.Attach(4096, &reader), PageStatus::kTooSmall);
  page.abi.magic ^= 1;
  EXPECT_EQ(page.Attach(4096, &reader), PageStatus::kBadMagic);
  EXPECT_EQ(reader.Now(kTai).status, ForeignStatus::kAbsent);
}

TEST(VmclockTest, RefusesWhatItCannotTell) {
  Region page;
  page.abi.time_type = 3;  // Smeared.
  EXPECT_EQ(page.StatusOf(kUtc), ForeignStatus::kNoSuchTime);
  page.abi.time_type = 4;
  EXPECT_EQ(page.StatusOf(kUtc), ForeignStatus::kNoSuchTime);
  page.abi.time_type = 2;
  EXPECT_EQ(page.StatusOf(kMonotonic), ForeignStatus::kOk);
  EXPECT_EQ(page.StatusOf(kUtc), ForeignStatus::kNoSuchTime);
  page.abi.time_type = 1;
  page.abi.clock_status = 4;
  EXPECT_EQ(page.StatusOf(kTai), ForeignStatus::kUnreliable);
  page.abi.clock_status = 3;
  EXPECT_EQ(page.StatusOf(kTai), ForeignStatus::kOk);
  page.abi.counter_id = kVmclockArmCounter;
  EXPECT_EQ(page.StatusOf(kTai), ForeignStatus::kWrongCounter);
  page.abi.counter_id = kVmclockX86Tsc;
  page.abi.counter_period_shift = 64;
  EXPECT_EQ(page.StatusOf(kTai), ForeignStatus::kMalformed);
  page.abi.counter_period_shift = 63;
  EXPECT_EQ(page.StatusOf(kTai), ForeignStatus::kOk);
  page.abi.counter_period_frac_sec = 0;
  EXPECT_EQ(page.StatusOf(kTai), ForeignStatus::kNotReady);
}

TEST(VmclockTest, MarkerIsToldWithoutACounter) {
  // As hosts do that tell of snapshots only.
  Region page;
  VmclockLine line = TestLine();
  line.generation = 99;
  line.disruption_marker = 100;
  page.writer.Withdraw(line);
  EXPECT_EQ(page.abi.counter_id, kVmclockNoCounter);
  VmclockLine read = {};
  uint64_t cycles;
  EXPECT_EQ(page.MakeReader().ReadLine(&read, &cycles),
            ForeignStatus::kWithdrawn);
  EXPECT_EQ(read.generation, 99u);
  EXPECT_EQ(read.disruption_marker, 100u);
}

TEST(VmclockTest, NarrowCounterGoesOnFromTheLine) {
  // Arm's, of which 56 bits are vouched for: it wrapped since.
  using Arm = ManualClock<56, VVAR_COUNTER_ARM_CNTVCT>;
  Region page;
  VmclockLine line = TestLine();
  line.line.counter_value = (uint64_t{5} << 56) - 400;
  page.writer.Publish(VVAR_COUNTER_ARM_CNTVCT, line);
  EXPECT_EQ(page.abi.counter_id, kVmclockArmCounter);
  page.counter.value = (uint64_t{5} << 56) + 600;
  VmclockReader<Arm> reader;
  ASSERT_EQ(VmclockReader<Arm>::Attach(&page.abi, sizeof page.abi,
                                       Arm(&page.counter), &reader),
            PageStatus::kOk);
  VmclockLine read;
  uint64_t cycles;
  ASSERT_EQ(reader.ReadLine(&read, &cycles), ForeignStatus::kOk);
  EXPECT_EQ(cycles, page.counter.value);
}

TEST(VmclockTest, MonotonicTimeDoesNotGoBackWhereItIsPublished) {
  Region page;
  VmclockLine next = TestLine();
  next.line.time.sec -= 1;
  page.counter.on_read = [&](support::CounterRead kind) {
    EXPECT_EQ(kind, support::CounterRead::kAfterStores);
    EXPECT_EQ(page.abi.seq_count % 2, 1u);
  };
  page.writer.PublishAfter(TestLine(), &next, Clock(&page.counter));
  page.counter.on_read = nullptr;
  EXPECT_EQ(next.flags, TestLine().flags | kVmclockTimeMonotonic);
  EXPECT_EQ(next.line, TestLine().line);
  EXPECT_EQ(page.abi.time_sec, TestLine().line.time.sec);
  // The second that it was moved by is an error of it.
  ASSERT_NE(next.flags & kVmclockTimeMaxerrorValid, 0u);
  EXPECT_EQ(next.time_maxerror_ns, TestLine().time_maxerror_ns + kNsPerSec);
  EXPECT_EQ(page.abi.time_maxerror_nanosec, next.time_maxerror_ns);
  // One that is ahead stays.
  const FracLine ahead = {1'000, {2'000'000'000, 5}, next.line.period};
  EXPECT_EQ(NotBefore(ahead, 5'000, next.line.At(5'000)), ahead);
}

TEST(VmclockTest, UtcIsNoCounter) {
  // It steps; with the offset it is TAI, which does not.
  VmclockLine line = TestLine();
  line.time_type = kUtc;
  line.flags &= ~kVmclockTaiOffsetValid;
  Region page(line);
  EXPECT_EQ(page.MakeReader().Count<CounterOrder::kOrdered>().status,
            ForeignStatus::kNoSuchTime);
  line.flags |= kVmclockTaiOffsetValid;
  page.writer.Publish(VVAR_COUNTER_X86_TSC, line);
  const ForeignCount now = page.MakeReader().Count<CounterOrder::kOrdered>();
  ASSERT_TRUE(now.ok());
  EXPECT_EQ(now.count, 1'700'000'074'499'999'999u);
}

}  // namespace
}  // namespace vvar
