// SPDX-License-Identifier: MIT
//
// A PTP device as a reference: what one answered, replayed call by call; one
// that is simulated together with its machine, followed by a discipline; and,
// where there is one, a real one. What this cannot show: a driver's own errors.
#include "hosted/ptp_reference.h"

#include <errno.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/ptp_clock.h>
#include <stdint.h>

#include <algorithm>
#include <cmath>
#include <deque>
#include <fstream>
#include <memory>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "hosted/discipline.h"
#include "hosted/reference.h"
#include "tests/support/scripted_reference.h"
#include "vvar/page.h"
#include "vvar/timebase.h"
#include "vvar/timekeeper.h"

namespace vvar::hosted {
namespace {

using support::ScriptedReference;
using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr int64_t kSecNs = 1'000'000'000;

ptp_clock_time ToPtp(int64_t ns) {
  return {ns / kSecNs, static_cast<uint32_t>(ns % kSecNs), 0};
}

// --- what a device answered --------------------------------------------------

// The lines of a recording, taken from its begin.
class Recording {
 public:
  explicit Recording(const std::string& path) {
    std::ifstream file(path);
    std::string line;
    while (std::getline(file, line)) {
      if (line.empty() || line[0] == '#') continue;
      std::istringstream words(line);
      std::string first;
      words >> first;
      if (first == "instant") {
        words >> instants_.emplace_back();
      } else {
        lines_.push_back(line);
      }
    }
  }

  // The words after the first, which is to be `first`.
  std::vector<std::string> Take(const std::string& first) {
    if (lines_.empty()) {
      ADD_FAILURE() << "asked for " << first << " after the end";
      return {"0", "0", "0", "0"};
    }
    std::istringstream words(lines_.front());
    std::string word;
    words >> word;
    EXPECT_EQ(word, first) << "in " << lines_.front();
    lines_.pop_front();
    std::vector<std::string> rest;
    while (words >> word) rest.push_back(word);
    return rest;
  }
  size_t size() const { return lines_.size(); }
  const std::vector<uint64_t>& instants() const { return instants_; }

 private:
  std::deque<std::string> lines_;
  std::vector<uint64_t> instants_;
};

class RecordedKernel : public Reference {
 public:
  explicit RecordedKernel(Recording& recording) : recording_(recording) {}
  Bracket Read(ClockId clock) override {
    const char* name = clock == ClockId::kRealtime    ? "realtime"
                       : clock == ClockId::kMonotonic ? "monotonic"
                       : clock == ClockId::kBoottime  ? "boottime"
                                                      : "monotonic_raw";
    const std::vector<std::string> words = recording_.Take(name);
    return {std::stoull(words.at(0)), std::stoull(words.at(1)),
            std::stoll(words.at(2))};
  }
  ReferenceQuality Quality() override { return {}; }

 private:
  Recording& recording_;
};

class RecordedDevice : public PtpDevice {
 public:
  explicit RecordedDevice(Recording& recording) : recording_(recording) {}
  int Ioctl(unsigned long request, void* argument) override {
    if (request == PTP_SYS_OFFSET_PRECISE) {
      auto& answer = *static_cast<ptp_sys_offset_precise*>(argument);
      return Replay("precise", {&answer.device, &answer.sys_realtime,
                                &answer.sys_monoraw});
    }
    if (request == PTP_SYS_OFFSET_EXTENDED) {
      auto& answer = *static_cast<ptp_sys_offset_extended*>(argument);
      EXPECT_EQ(answer.n_samples, 1u);
      return Replay("extended",
                    {&answer.ts[0][0], &answer.ts[0][1], &answer.ts[0][2]});
    }
    EXPECT_EQ(request, static_cast<unsigned long>(PTP_SYS_OFFSET));
    auto& answer = *static_cast<ptp_sys_offset*>(argument);
    EXPECT_EQ(answer.n_samples, 1u);
    return Replay("basic", {&answer.ts[0], &answer.ts[1], &answer.ts[2]});
  }

 private:
  int Replay(const char* name, std::vector<ptp_clock_time*> times) {
    const std::vector<std::string> words = recording_.Take(name);
    for (size_t i = 0; i < times.size() && i + 1 < words.size(); ++i) {
      const size_t point = words[i + 1].find('.');
      *times[i] = {
          std::stoll(words[i + 1].substr(0, point)),
          static_cast<uint32_t>(std::stoul(words[i + 1].substr(point + 1))), 0};
    }
    return std::stoi(words.at(0));
  }
  Recording& recording_;
};

// Trap: T106 (a device's time belongs to its instant, not to the call's begin)
TEST(PtpReferenceTest, BracketsOfARecordedSequenceHoldTheDevicesInstants) {
  Recording recording("tests/hosted/ptp_recording.txt");
  ASSERT_GT(recording.instants().size(), 4u);
  absl::StatusOr<PtpComparator> comparator = PtpComparator::Create(
      std::make_unique<RecordedDevice>(recording), "/dev/ptp0");
  ASSERT_TRUE(comparator.ok()) << comparator.status();
  EXPECT_EQ(comparator->way(), PtpComparator::Way::kExtended);
  absl::StatusOr<std::unique_ptr<PtpReference>> reference =
      PtpReference::Create(*std::move(comparator),
                           std::make_unique<RecordedKernel>(recording), {});
  ASSERT_TRUE(reference.ok()) << reference.status();

  const double kHz = 2.5e9;
  const double kDeviceNsPerCycle = (1 + 12.5e-6) * 1e9 / kHz;
  Bracket first = {};
  uint64_t first_instant = 0;
  for (size_t i = 2; i < recording.instants().size(); ++i) {
    SCOPED_TRACE(i);
    const uint64_t instant = recording.instants()[i];
    const Bracket bracket = (*reference)->Read(ClockId::kMonotonic);
    EXPECT_LE(bracket.before, instant);
    EXPECT_GE(bracket.after, instant);
    // Between its stamps are 0.8 to 1.4 us; the call took half as long again.
    EXPECT_LE(bracket.width(), static_cast<uint64_t>(1500e-9 * kHz));
    if (i == 2) {
      first = bracket;
      first_instant = instant;
      // Where the kernel's was, about.
      EXPECT_NEAR(static_cast<double>(bracket.ns), 5.0e12 + 1.0e6, 1e4);
      continue;
    }
    EXPECT_NEAR(
        static_cast<double>(bracket.ns - first.ns),
        static_cast<double>(instant - first_instant) * kDeviceNsPerCycle, 2);
  }
  EXPECT_FALSE((*reference)->Quality().synchronised);

  // The device is gone.
  const Bracket carried_on = (*reference)->Read(ClockId::kMonotonic);
  EXPECT_NEAR(
      static_cast<double>(carried_on.ns - first.ns),
      static_cast<double>(carried_on.midpoint() - first_instant) * 1e9 / kHz,
      1500);
  EXPECT_THAT(
      std::string((*reference)->status().message()),
      AllOf(HasSubstr("/dev/ptp0"), HasSubstr("PTP_SYS_OFFSET_EXTENDED"),
            HasSubstr("No such device")));
  EXPECT_EQ(recording.size(), 0u);
}

// --- a device in a simulated machine -----------------------------------------

// A line over the machine's counter that a test sets. Each call takes a while.
class SimulatedDevice : public PtpDevice {
 public:
  explicit SimulatedDevice(ScriptedReference& machine) : machine_(machine) {}

  double fast_ppb = 12'500;
  int64_t ahead_ns = 0;
  // What the driver has.
  bool has_precise = false;
  bool has_extended = true;
  bool has_basic = true;
  bool is_gone = false;

  // Its time now, less `base_ns`.
  long double NsAfter(int64_t base_ns) const {
    const long double raw_ns =
        machine_.NsAfter(ClockId::kMonotonicRaw, kBeganNs);
    return raw_ns * (1 + static_cast<long double>(fast_ppb) * 1e-9L) +
           static_cast<long double>(kEpochNs + ahead_ns - base_ns);
  }

  // The counter when it last looked at its time.
  uint64_t last_instant() const { return last_instant_; }

  int Ioctl(unsigned long request, void* argument) override {
    if (is_gone) return ENODEV;
    constexpr double kOverheadNs = 200;
    constexpr double kRegisterNs = 400;
    machine_.AdvanceNs(kOverheadNs);
    int error = ENOTTY;
    if (request == PTP_SYS_OFFSET_PRECISE) {
      auto& answer = *static_cast<ptp_sys_offset_precise*>(argument);
      answer.device = ToPtp(DeviceNs());
      answer.sys_realtime = ToPtp(KernelNs(ClockId::kRealtime));
      answer.sys_monoraw = ToPtp(KernelNs(ClockId::kMonotonicRaw));
      error = has_precise ? 0 : EOPNOTSUPP;
    } else {
      ptp_clock_time stamps[3];
      stamps[0] = ToPtp(KernelNs(ClockId::kRealtime));
      machine_.AdvanceNs(kRegisterNs);
      stamps[1] = ToPtp(DeviceNs());
      machine_.AdvanceNs(kRegisterNs);
      stamps[2] = ToPtp(KernelNs(ClockId::kRealtime));
      if (request == PTP_SYS_OFFSET_EXTENDED && has_extended) {
        auto& answer = *static_cast<ptp_sys_offset_extended*>(argument);
        std::copy(stamps, stamps + 3, answer.ts[0]);
        error = 0;
      } else if (request == PTP_SYS_OFFSET && has_basic) {
        auto& answer = *static_cast<ptp_sys_offset*>(argument);
        std::copy(stamps, stamps + 3, answer.ts);
        error = 0;
      }
    }
    machine_.AdvanceNs(kOverheadNs);
    return error;
  }

 private:
  static constexpr int64_t kBeganNs = 1'000'000'000'000;
  static constexpr int64_t kEpochNs = 1'763'764'837'000'000'000;

  int64_t DeviceNs() {
    last_instant_ = machine_.Counter();
    return static_cast<int64_t>(std::floor(NsAfter(0)));
  }
  int64_t KernelNs(ClockId clock) const {
    return static_cast<int64_t>(std::floor(machine_.NsAfter(clock, 0)));
  }
  ScriptedReference& machine_;
  uint64_t last_instant_ = 0;
};

// The machine is the test's; a reference wants one of its own.
class BorrowedReference : public Reference {
 public:
  explicit BorrowedReference(Reference& lender) : lender_(lender) {}
  Bracket Read(ClockId clock) override { return lender_.Read(clock); }
  ReferenceQuality Quality() override { return lender_.Quality(); }

 private:
  Reference& lender_;
};

class SimulatedPtpTest : public ::testing::Test {
 protected:
  SimulatedPtpTest() {
    auto device = std::make_unique<SimulatedDevice>(machine_);
    device_ = device.get();
    owned_ = std::move(device);
  }
  absl::StatusOr<PtpComparator> MakeComparator() {
    return PtpComparator::Create(std::move(owned_), "/dev/ptp7");
  }
  std::unique_ptr<PtpReference> MakeReference(const PtpOptions& options = {}) {
    absl::StatusOr<std::unique_ptr<PtpReference>> reference =
        PtpReference::Create(MakeComparator().value(),
                             std::make_unique<BorrowedReference>(machine_),
                             options);
    EXPECT_TRUE(reference.ok()) << reference.status();
    return *std::move(reference);
  }

  ScriptedReference machine_;
  SimulatedDevice* device_;

 private:
  std::unique_ptr<PtpDevice> owned_;
};

using Way = PtpComparator::Way;

TEST_F(SimulatedPtpTest, TakesTheBestWayTheDeviceHas) {
  struct Row {
    const char* name;
    bool has_precise;
    bool has_extended;
    Way way;
    ClockId stamps;
  };
  const Row kRows[] = {
      {"All", true, true, Way::kPrecise, ClockId::kMonotonicRaw},
      {"NotPrecise", false, true, Way::kExtended, ClockId::kRealtime},
      {"BasicOnly", false, false, Way::kBasic, ClockId::kRealtime},
  };
  for (const Row& row : kRows) {
    SCOPED_TRACE(row.name);
    auto device = std::make_unique<SimulatedDevice>(machine_);
    device->has_precise = row.has_precise;
    device->has_extended = row.has_extended;
    const absl::StatusOr<PtpComparator> comparator =
        PtpComparator::Create(std::move(device), "/dev/ptp7");
    ASSERT_TRUE(comparator.ok()) << comparator.status();
    EXPECT_EQ(comparator->way(), row.way);
    EXPECT_EQ(comparator->stamps(), row.stamps);
  }
}

TEST_F(SimulatedPtpTest, ADeviceWithoutAWayIsRefusedNamingItAndEachIoctl) {
  device_->has_extended = device_->has_basic = false;
  const absl::Status status = MakeComparator().status();
  EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
  EXPECT_THAT(
      std::string(status.message()),
      AllOf(HasSubstr("/dev/ptp7: PTP_SYS_OFFSET_PRECISE: Operation not supp"),
            HasSubstr("PTP_SYS_OFFSET_EXTENDED: Inappropriate ioctl"),
            HasSubstr("PTP_SYS_OFFSET: Inappropriate ioctl")));
}

// Trap: T106 (whichever way: the device's instant is in the bracket)
TEST_F(SimulatedPtpTest, BracketsHoldTheDevicesInstantEachWay) {
  struct Row {
    const char* name;
    bool has_precise;
    bool has_extended;
    // What the stamps leave open, and two readings of the kernel's clock.
    uint64_t largest_width;
  };
  const Row kRows[] = {
      {"Precise", true, true, 300},
      {"Extended", false, true, 2400},
      {"Basic", false, false, 2400},
  };
  for (const Row& row : kRows) {
    SCOPED_TRACE(row.name);
    auto device = std::make_unique<SimulatedDevice>(machine_);
    const SimulatedDevice& simulated = *device;
    device->has_precise = row.has_precise;
    device->has_extended = row.has_extended;
    const std::unique_ptr<PtpReference> reference =
        PtpReference::Create(
            PtpComparator::Create(std::move(device), "/dev/ptp7").value(),
            std::make_unique<BorrowedReference>(machine_), {})
            .value();
    for (int i = 0; i < 10'000; ++i) {
      machine_.AdvanceCycles(2'500'000 + 7919 * static_cast<uint64_t>(i) % 97);
      const Bracket bracket = reference->Read(ClockId::kRealtime);
      ASSERT_LE(bracket.before, simulated.last_instant());
      ASSERT_GE(bracket.after, simulated.last_instant());
      ASSERT_LE(bracket.width(), row.largest_width);
    }
  }
}

TEST_F(SimulatedPtpTest, RealtimeIsTheDevicesLessTheTaiOffset) {
  const std::unique_ptr<PtpReference> reference = MakeReference();
  const Bracket real = reference->Read(ClockId::kRealtime);
  EXPECT_NEAR(static_cast<double>(device_->NsAfter(real.ns)), 37e9, 2000);
  EXPECT_EQ(reference->Quality().tai_offset_sec, 37);
  const Bracket boot = reference->Read(ClockId::kBoottime);
  EXPECT_NEAR(
      static_cast<double>(machine_.NsAfter(ClockId::kBoottime, boot.ns)), 0,
      10'000);
}

TEST_F(SimulatedPtpTest, ADeviceThatWasSetStepsRealtimeOnly) {
  const std::unique_ptr<PtpReference> reference = MakeReference();
  struct Row {
    const char* name;
    int64_t step_ns;
    int64_t monotonic_ns;
  };
  const Row kRows[] = {
      {"HourForward", 3600 * kSecNs, 0},
      {"HourBack", -3600 * kSecNs, 0},
      {"BeyondTheLimit", 1'100'000, 0},
      {"WithinTheLimit", 900'000, 900'000},
  };
  for (const Row& row : kRows) {
    SCOPED_TRACE(row.name);
    const int64_t real = reference->Read(ClockId::kRealtime).ns;
    const int64_t mono = reference->Read(ClockId::kMonotonic).ns;
    device_->ahead_ns += row.step_ns;
    EXPECT_NEAR(static_cast<double>(reference->Read(ClockId::kRealtime).ns -
                                    real - row.step_ns),
                0, 10'000);
    EXPECT_NEAR(static_cast<double>(reference->Read(ClockId::kMonotonic).ns -
                                    mono - row.monotonic_ns),
                0, 10'000);
  }
}

TEST_F(SimulatedPtpTest, OnlyTheCallersWordMakesItSynchronised) {
  const std::unique_ptr<PtpReference> reference =
      MakeReference({.max_error_ns = 500});
  EXPECT_TRUE(reference->Quality().synchronised);
  EXPECT_EQ(reference->Quality().max_error_ns, 500u);
  device_->is_gone = true;
  reference->Read(ClockId::kRealtime);
  EXPECT_FALSE(reference->Quality().synchronised);
  EXPECT_EQ(reference->Quality().max_error_ns, kUnknownErrorNs);
  // It comes back.
  device_->is_gone = false;
  reference->Read(ClockId::kRealtime);
  EXPECT_TRUE(reference->Quality().synchronised);
}

TEST_F(SimulatedPtpTest, AKernelClockSetDuringTheCallGivesTheWholeCall) {
  const std::unique_ptr<PtpReference> reference = MakeReference();
  // A stamp from before the readings: the clock was set forward after it.
  class Setting : public PtpDevice {
   public:
    explicit Setting(ScriptedReference& machine)
        : device_(machine), machine_(machine) {}
    int Ioctl(unsigned long request, void* argument) override {
      machine_.StepRealtime(-kSecNs);
      return device_.Ioctl(request, argument);
    }

   private:
    SimulatedDevice device_;
    ScriptedReference& machine_;
  };
  PtpComparator comparator =
      PtpComparator::Create(std::make_unique<Setting>(machine_), "/dev/ptp7")
          .value();
  const std::unique_ptr<PtpReference> setting =
      PtpReference::Create(std::move(comparator),
                           std::make_unique<BorrowedReference>(machine_), {})
          .value();
  const uint64_t before = machine_.Counter();
  const Bracket bracket = setting->Read(ClockId::kRealtime);
  EXPECT_GE(bracket.before, before);
  EXPECT_GT(bracket.width(), reference->Read(ClockId::kRealtime).width());
  EXPECT_LE(bracket.after, machine_.Counter());
}

TEST_F(SimulatedPtpTest, ADisciplineFollowsTheDevicesRateAndTime) {
  constexpr double kHz = 2'596'152'000;
  constexpr uint64_t kTickNs = 1'000'000;
  const std::unique_ptr<PtpReference> reference = MakeReference();
  Discipline discipline(*reference, 12'000'000, kTickNs);
  Timekeeper timekeeper({VVAR_COUNTER_X86_TSC, 64, static_cast<uint64_t>(kHz),
                         500'000, kTickNs, 2'000'000'000});
  discipline.Start(timekeeper, machine_.Counter());
  // Device - REALTIME of the line, less what is between TAI and UTC.
  const auto offset_ns = [&] {
    const Timespec real = TimebaseToTimespec(
        timekeeper.line().At(VVAR_BASE_REALTIME, machine_.Counter(), 64),
        timekeeper.line().scale.shift);
    return static_cast<double>(device_->NsAfter(
        static_cast<int64_t>(TimespecToNs(real)) + 37 * kSecNs));
  };
  double largest_ns = 0;
  for (int tick = 0; tick < 4000; ++tick) {
    machine_.AdvanceNs(1e6);
    discipline.Steer(timekeeper);
    timekeeper.Plan(machine_.Counter());
    timekeeper.Commit();
    machine_.AdvanceNs(1e6);
    if (tick > 2000) largest_ns = std::max(largest_ns, std::abs(offset_ns()));
  }
  // The register's two halves are alike here.
  EXPECT_LT(largest_ns, 100);
  EXPECT_NEAR(discipline.health().frequency_ppb, 12'500, 100);
}

TEST(PtpFileTest, WhatIsNoDeviceIsRefusedByName) {
  const absl::Status missing = PtpFile::Open("/dev/ptp-none").status();
  EXPECT_TRUE(absl::IsNotFound(missing)) << missing;
  EXPECT_THAT(std::string(missing.message()), HasSubstr("/dev/ptp-none"));
  absl::StatusOr<std::unique_ptr<PtpDevice>> file = PtpFile::Open("/dev/null");
  ASSERT_TRUE(file.ok()) << file.status();
  const absl::Status none =
      PtpComparator::Create(*std::move(file), "/dev/null").status();
  EXPECT_TRUE(absl::IsFailedPrecondition(none)) << none;
  EXPECT_THAT(std::string(none.message()), HasSubstr("/dev/null: PTP_SYS"));
}

TEST(PtpFileTest, ARealDeviceRunsNearTheKernelsRate) {
  absl::StatusOr<std::unique_ptr<PtpDevice>> file = PtpFile::Open("/dev/ptp0");
  if (!file.ok()) GTEST_SKIP() << file.status();
  absl::StatusOr<PtpComparator> comparator =
      PtpComparator::Create(*std::move(file), "/dev/ptp0");
  if (!comparator.ok()) GTEST_SKIP() << comparator.status();
  const PtpSample first = comparator->Compare().value();
  PtpSample last = first;
  while (last.before_ns - first.before_ns < 100'000'000) {
    last = comparator->Compare().value();
    ASSERT_LE(last.before_ns, last.after_ns);
  }
  EXPECT_NEAR(static_cast<double>(last.device_ns - first.device_ns) /
                  static_cast<double>(last.before_ns - first.before_ns),
              1, 1e-2);
}

}  // namespace
}  // namespace vvar::hosted
