// SPDX-License-Identifier: MIT
//
// chronyd's packets: a reply of a real one, decoded as its own client shows it,
// replies that are none, and the bound that follows from the numbers.
#include "hosted/chrony_tracking.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdint.h>

#include <cmath>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/escaping.h"
#include "absl/strings/string_view.h"
#include "hosted/reference.h"

namespace vvar::hosted {
namespace {

using ::testing::HasSubstr;

constexpr uint32_t kSequence = 0x12345678;

// Of chronyd 4.3 (-x) on loopback, to the request with kSequence.
std::string RealReply() {
  return absl::HexStringToBytes(
      "060200000021000500000000000000001234567800000000000000007f000001"
      "7f0000010000000000000000000000000001000000020000000000006b021fe2"
      "08e97ddadb114cc4cc8b4dcbd6a28f0cfb10f77ee6ae1e0dfcd0c272e0ad9c52"
      "dae25513fc80cd00");
}

TEST(ChronyFloatTest, IsCoefficientTimesPowerOfTwo) {
  struct Row {
    const char* name;
    uint32_t bits;
    double value;
  };
  const Row kRows[] = {
      {"Zero", 0, 0},
      {"Quarter", 0x0080'0000, 0.25},
      {"SmallestStep", 1, std::ldexp(1, -25)},
      {"LargestCoefficient", 0x00ff'ffff, std::ldexp(0xff'ffff, -25)},
      {"NegativeCoefficient", 0x01ff'ffff, -std::ldexp(1, -25)},
      {"LowestCoefficient", 0x0100'0000, -0.5},
      {"LargestExponent", uint32_t{63} << 25 | 1, std::ldexp(1, 63 - 25)},
      {"LowestExponent", uint32_t{64} << 25 | 1, std::ldexp(1, -64 - 25)},
      {"NegativeExponent", uint32_t{127} << 25 | 1, std::ldexp(1, -1 - 25)},
      {"AllOnes", 0xffff'ffff, -std::ldexp(1, -1 - 25)},
  };
  for (const Row& row : kRows) {
    EXPECT_EQ(ChronyFloat(row.bits), row.value) << row.name;
  }
}

TEST(ChronyTrackingTest, RequestIsPaddedToTheReplysLength) {
  const ChronyPacket request = ChronyTrackingRequest(kSequence);
  EXPECT_EQ(request.size(), RealReply().size());
  EXPECT_EQ(absl::BytesToHexString(absl::string_view(
                reinterpret_cast<const char*>(request.data()), 20)),
            "0601000000210000123456780000000000000000");
  for (size_t i = 20; i < request.size(); ++i) EXPECT_EQ(request[i], 0) << i;
}

TEST(ChronyTrackingTest, DecodesARealReplyAsChronycShowsIt) {
  const absl::StatusOr<ChronyTracking> tracking =
      ParseChronyTracking(RealReply(), kSequence);
  ASSERT_TRUE(tracking.ok()) << tracking.status();
  EXPECT_EQ(tracking->reference_id, 0x7f000001u);
  EXPECT_EQ(tracking->stratum, 2);
  EXPECT_EQ(tracking->leap_status, 0);
  // chronyc: 0.000000889 seconds fast, 0.058 ppm slow, residual +0.000, skew
  // 0.102, root delay 0.000005174, root dispersion 0.000000855.
  EXPECT_NEAR(tracking->correction_sec, -0.889e-6, 1e-9);
  EXPECT_NEAR(tracking->frequency_ppm, -0.058, 1e-3);
  EXPECT_NEAR(tracking->residual_frequency_ppm, 0, 1e-3);
  EXPECT_NEAR(tracking->skew_ppm, 0.102, 1e-3);
  EXPECT_NEAR(tracking->root_delay_sec, 5.174e-6, 1e-9);
  EXPECT_NEAR(tracking->root_dispersion_sec, 0.855e-6, 2e-8);
  EXPECT_TRUE(tracking->synchronised());
}

TEST(ChronyTrackingTest, WhatIsNoReplyIsRefusedByFieldValueAndExpectation) {
  const auto with = [](size_t at, char value) {
    std::string reply = RealReply();
    reply[at] = value;
    return reply;
  };
  using absl::StatusCode;
  struct Row {
    const char* name;
    std::string reply;
    StatusCode code;
    const char* message;
  };
  const Row kRows[] = {
      {"Empty", "", StatusCode::kInvalidArgument, "0 bytes; expected 104"},
      {"HeaderCut", RealReply().substr(0, 27), StatusCode::kInvalidArgument,
       "27 bytes; expected 104"},
      {"DataCut", RealReply().substr(0, 103), StatusCode::kInvalidArgument,
       "reply type 5 of 103 bytes; expected type 5 of 104"},
      {"Request", with(1, 1), StatusCode::kInvalidArgument,
       "packet type 1; expected 2"},
      {"NextVersion", with(0, 7), StatusCode::kUnimplemented,
       "protocol version 7; expected 6"},
      {"OtherCommand", with(5, 34), StatusCode::kInvalidArgument,
       "reply to command 34"},
      {"OtherSequence", with(19, 0x79), StatusCode::kInvalidArgument,
       "expected command 33, sequence 305419896"},
      {"OtherType", with(7, 6), StatusCode::kInvalidArgument, "reply type 6"},
      {"BadVersionToldByChronyd", with(9, 18), StatusCode::kFailedPrecondition,
       "status 18; expected 0, success"},
  };
  for (const Row& row : kRows) {
    const absl::Status status =
        ParseChronyTracking(row.reply, kSequence).status();
    EXPECT_EQ(status.code(), row.code) << row.name << ": " << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr(row.message))
        << row.name;
  }
}

TEST(ChronyTrackingTest, NoBytesOfAReplyAreUndefined) {
  for (size_t at = 28; at < RealReply().size(); ++at) {
    for (const int value : {0x00, 0x7f, 0x80, 0xff}) {
      std::string reply = RealReply();
      reply[at] = static_cast<char>(value);
      const absl::StatusOr<ChronyTracking> tracking =
          ParseChronyTracking(reply, kSequence);
      ASSERT_TRUE(tracking.ok()) << at;
      for (const int64_t age_ns : {int64_t{0}, INT64_MAX}) {
        EXPECT_LE(tracking->MaxErrorNs(age_ns, -1e300), kUnknownErrorNs) << at;
      }
    }
  }
}

// Trap: T112 (a bound that nobody renews does not stand still)
TEST(ChronyTrackingTest, BoundIsOffsetDispersionAndHalfTheDelayAndGrows) {
  struct Row {
    const char* name;
    ChronyTracking tracking;
    int64_t age_ns;
    double kernel_ppb;
    uint64_t bound_ns;
  };
  constexpr int64_t kSecNs = 1'000'000'000;
  const Row kRows[] = {
      {"Now", {1, 2, 0, -3e-6, 0, 0, 0, 8e-6, 5e-6}, 0, 0, 12'000},
      {"SlowOrFast", {1, 2, 0, 3e-6, 0, 0, 0, 8e-6, 5e-6}, 0, 0, 12'000},
      // 1 ppm of the clock itself, what chronyd is unsure of, and no more.
      {"Later", {1, 2, 0, 0, 0, 0, 0, 0, 0}, kSecNs, 0, 1000},
      {"Unsure", {1, 2, 0, 0, 0, -2, 3, 0, 0}, kSecNs, 0, 6000},
      {"SteeredRight", {1, 2, 0, 0, 40, 0, 0, 0, 0}, kSecNs, -40'000, 1000},
      {"NotSteered", {1, 2, 0, 0, 40, 0, 0, 0, 0}, kSecNs, 0, 41'000},
      {"Slewed", {1, 2, 0, 0, 40, 0, 0, 0, 0}, kSecNs, 60'000, 101'000},
      {"Limit", {1, 2, 0, 20, 0, 0, 0, 0, 0}, 0, 0, kUnknownErrorNs},
  };
  for (const Row& row : kRows) {
    EXPECT_NEAR(static_cast<double>(
                    row.tracking.MaxErrorNs(row.age_ns, row.kernel_ppb)),
                static_cast<double>(row.bound_ns), 1)
        << row.name;
  }
}

TEST(ChronyTrackingTest, OnlyASourceSynchronises) {
  struct Row {
    const char* name;
    uint32_t reference_id;
    uint16_t stratum;
    uint16_t leap_status;
    bool synchronised;
  };
  const Row kRows[] = {
      {"Server", 0x0a000001, 3, 0, true},
      {"LeapSecondAhead", 0x0a000001, 3, 1, true},
      {"LeapSecondAheadDeleted", 0x0a000001, 3, 2, true},
      {"LastStratum", 0x0a000001, 15, 0, true},
      {"NotSynchronised", 0, 0, 3, false},
      {"NoStratum", 0x0a000001, 0, 0, false},
      {"BeyondTheLastStratum", 0x0a000001, 16, 0, false},
      {"ItsOwnClock", 0x7f7f0101, 1, 0, false},
      {"UnknownLeap", 0x0a000001, 3, 4, false},
  };
  for (const Row& row : kRows) {
    const ChronyTracking tracking = {
        row.reference_id, row.stratum, row.leap_status, 0, 0, 0, 0, 0, 0};
    EXPECT_EQ(tracking.synchronised(), row.synchronised) << row.name;
  }
}

}  // namespace
}  // namespace vvar::hosted
