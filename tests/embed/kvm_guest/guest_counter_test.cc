// SPDX-License-Identifier: MIT
//
// Lines in a guest's counter units, for offsets and rates that this machine's
// KVM may not give: a host writes through a GuestCounter, a guest reads its own
// counter, which a test moves as the hardware would.
#include "embed/kvm_guest/guest_counter.h"

#include <gtest/gtest.h>
#include <stdint.h>

#include "tests/support/manual_clock.h"
#include "tests/support/oracle.h"
#include "tests/support/test_page.h"
#include "vvar/reader.h"
#include "vvar/writer.h"

namespace vvar::kvm_guest {
namespace {

using support::ClockRow;
using support::kClockRows;
using support::ManualClock;
using support::ManualCounter;
using support::UnsignedWide;

const struct {
  const char* name;
  CounterScaling scaling;
} kRows[] = {
    {"as the host's", {}},
    {"a new vCPU's, from 0 on", {CounterScaling::kOne, 0 - uint64_t{5'000}}},
    {"an offset ahead", {CounterScaling::kOne, uint64_t{1} << 62}},
    {"bit 63 is set", {CounterScaling::kOne, uint64_t{1} << 63}},
    {"about to wrap", {CounterScaling::kOne, 0 - uint64_t{1'000'000'000}}},
    {"slower", {CounterScaling::kOne / 4 * 3, 0 - uint64_t{12'345}}},
    {"faster", {CounterScaling::kOne / 3 * 7, 987'654'321}},
};

TEST(GuestCounterTest, ScalesAsTheHardwareDoes) {
  support::EdgyRandom random(48);
  for (int i = 0; i < 100'000; ++i) {
    const CounterScaling scaling = {random.Edgy(), random.Edgy()};
    const uint64_t host = random.Edgy();
    const UnsignedWide product =
        UnsignedWide(host) * UnsignedWide(scaling.multiplier);
    EXPECT_EQ(scaling.FromHost(host),
              static_cast<uint64_t>(product >> 48) + scaling.offset)
        << host << " * " << scaling.multiplier << " + " << scaling.offset;
  }
}

TEST(GuestCounterTest, IsThatOfACounterWithAnOffset) {
  support::EdgyRandom random(49);
  for (int i = 0; i < 100'000; ++i) {
    const uint64_t host = uint64_t{1} << 61 | random.Edgy(61);
    const int64_t ahead = random.EdgySigned(60);
    for (const auto& row : kRows) {
      const uint64_t direct =
          row.scaling.FromHost(host + static_cast<uint64_t>(ahead));
      const auto off =
          static_cast<int64_t>(row.scaling.Of(ahead).FromHost(host) - direct);
      ASSERT_LE(off < 0 ? -off : off, 1)
          << row.name << ": " << host << " + " << ahead;
    }
  }
}

// Trap: T33
TEST(GuestCounterTest, LinesAreInGuestUnits) {
  for (const auto& row : kRows) {
    SCOPED_TRACE(row.name);
    ManualCounter host;
    ManualCounter guest;
    const auto pass = [&](uint64_t cycles) {
      host.value += cycles;
      guest.value = row.scaling.FromHost(host.value);
    };
    pass(1'000'000);
    using HostsClock = GuestCounter<ManualClock<>>;
    const HostsClock clock(ManualClock<>(&host), row.scaling);
    TimekeeperConfig config = support::kTestConfig;
    config.counter_hz =
        row.scaling.FromHost(config.counter_hz) - row.scaling.FromHost(0);
    alignas(4096) vvar_page page = {};
    FormatPage(page, support::PageConfigOf(config));
    Timekeeper timekeeper(config);
    Writer<HostsClock> writer(&page.timeline[0], clock);
    timekeeper.Start(clock.Read(), support::kTestTimes);
    writer.PublishLine(timekeeper.line());
    EXPECT_EQ(page.timeline[0].slot[1].cycle_start, guest.value);

    const Reader<ManualClock<>> reader(&page.timeline[0],
                                       ManualClock<>(&guest));
    const uint64_t begin_ns = TimespecToNs(support::kTestTimes.monotonic);
    uint64_t host_ns = 0;
    for (int i = 0; i < 1'000; ++i) {
      pass(1'234'567);
      host_ns += 1'234'567;  // The host runs at 1 GHz.
      const NsReading now = reader.Now(ClockId::kMonotonic);
      ASSERT_EQ(now.status, ReadStatus::kOk);
      // A cycle of the guest's, and what rounding its rate makes in a second.
      EXPECT_NEAR(static_cast<double>(now.ns - begin_ns),
                  static_cast<double>(host_ns), 4.0);
      ASSERT_EQ(writer.Publish(timekeeper), PublishStatus::kPublished);
    }
  }
}

}  // namespace
}  // namespace vvar::kvm_guest
