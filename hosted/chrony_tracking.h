// SPDX-License-Identifier: MIT
//
// What chronyd says of the system clock: one request and one reply of its
// command protocol, as bytes. Pure; sockets are hosted/chrony_reference.h's.
// User space, writer side only.
#ifndef VVAR_HOSTED_CHRONY_TRACKING_H_
#define VVAR_HOSTED_CHRONY_TRACKING_H_

#include <stddef.h>
#include <stdint.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "hosted/reference.h"

namespace vvar::hosted {

/// The protocol's version.
/// Source: chrony 4.3, candm.h: all fields in network byte order; a request is
/// padded to the length of its reply.
inline constexpr uint8_t kChronyVersion = 6;
/// Of a request for tracking data, padded, and of its reply.
inline constexpr size_t kChronyTrackingBytes = 104;
/// Either of them.
using ChronyPacket = std::array<uint8_t, kChronyTrackingBytes>;

namespace chrony_internal {

inline constexpr uint8_t kPacketRequest = 1;
inline constexpr uint8_t kPacketReply = 2;
inline constexpr uint16_t kCommandTracking = 33;
inline constexpr uint16_t kReplyTracking = 5;

// Where the fields are.
inline constexpr size_t kVersion = 0;
inline constexpr size_t kPacketType = 1;
inline constexpr size_t kCommand = 4;
inline constexpr size_t kRequestSequence = 8;
inline constexpr size_t kReplyType = 6;
inline constexpr size_t kReplyStatus = 8;
inline constexpr size_t kReplySequence = 16;
inline constexpr size_t kReplyHeaderBytes = 28;
inline constexpr size_t kReferenceId = 28;
inline constexpr size_t kStratum = 52;
inline constexpr size_t kLeapStatus = 54;
inline constexpr size_t kCorrection = 68;
inline constexpr size_t kFrequency = 80;
inline constexpr size_t kResidualFrequency = 84;
inline constexpr size_t kSkew = 88;
inline constexpr size_t kRootDelay = 92;
inline constexpr size_t kRootDispersion = 96;

inline uint8_t Byte(absl::string_view bytes, size_t at) {
  return static_cast<uint8_t>(bytes[at]);
}
inline uint16_t Load16(absl::string_view bytes, size_t at) {
  return static_cast<uint16_t>(Byte(bytes, at) << 8 | Byte(bytes, at + 1));
}
inline uint32_t Load32(absl::string_view bytes, size_t at) {
  return uint32_t{Load16(bytes, at)} << 16 | Load16(bytes, at + 2);
}
inline void Store16(ChronyPacket& packet, size_t at, uint16_t value) {
  packet[at] = static_cast<uint8_t>(value >> 8);
  packet[at + 1] = static_cast<uint8_t>(value);
}
inline void Store32(ChronyPacket& packet, size_t at, uint32_t value) {
  Store16(packet, at, static_cast<uint16_t>(value >> 16));
  Store16(packet, at + 2, static_cast<uint16_t>(value));
}

}  // namespace chrony_internal

/// Returns the value of chrony's 32-bit floating-point format: a signed 7-bit
/// exponent, a signed 25-bit coefficient below it, no hidden bit; coefficient *
/// 2^(exponent - 25).
/// Source: chrony 4.3, candm.h, Float.
inline double ChronyFloat(uint32_t bits) {
  const int32_t exponent = static_cast<int32_t>(bits) >> 25;
  const int32_t coefficient = static_cast<int32_t>(bits << 7) >> 7;
  return std::ldexp(coefficient, exponent - 25);
}

/// The system clock as chronyd tracks it.
struct ChronyTracking {
  uint32_t reference_id;  ///< Of its source: an address, or a hash of one.
  uint16_t stratum;       ///< 0: none.
  uint16_t leap_status;   ///< 0 none, 1 insert, 2 delete, 3 not synchronised.
  double correction_sec;  ///< What the system clock is behind chronyd's.
  double frequency_ppm;   ///< What it would gain if nobody steered it.
  /// What its source's measurements say against what is in use.
  double residual_frequency_ppm;
  double skew_ppm;  ///< The error bound of the frequency.
  double root_delay_sec;
  double root_dispersion_sec;

  /// Whether chronyd follows a source. Its own clock (`local`) is none: the
  /// dispersion of 0 that it then tells bounds nothing.
  bool synchronised() const {
    return leap_status <= kLeapDelete && stratum >= 1 && stratum <= 15 &&
           reference_id != kLocalReference;
  }

  /// Returns a bound of the system clock's error against UTC, `age_ns` after
  /// chronyd told, when the kernel runs at `kernel_ppb` against its raw clock.
  /// The bound grows at the rate chronyd knows that it does not know, and at
  /// what the kernel is steered by beyond the frequency that chronyd found
  /// right: a slew, or all of it where chronyd must not steer (-x).
  /// Range: at most kUnknownErrorNs.
  /// Source: chronyc(1), tracking: an absolute bound is the system time's
  /// offset + root dispersion + root delay / 2; chrony.conf(5), maxclockerror:
  /// 1 ppm.
  uint64_t MaxErrorNs(int64_t age_ns, double kernel_ppb) const {
    const double now_sec = std::abs(correction_sec) + root_dispersion_sec +
                           std::abs(root_delay_sec) / 2;
    const double growth_ppm = std::abs(kernel_ppb / 1000 + frequency_ppm) +
                              std::abs(residual_frequency_ppm) + skew_ppm +
                              kMaxClockErrorPpm;
    const double ns =
        now_sec * 1e9 + static_cast<double>(age_ns) * growth_ppm * 1e-6;
    const auto limit = static_cast<double>(kUnknownErrorNs);
    return static_cast<uint64_t>(std::ceil(std::clamp(ns, 0.0, limit)));
  }

 private:
  static constexpr uint16_t kLeapDelete = 2;
  static constexpr uint32_t kLocalReference = 0x7f7f0101;  // 127.127.1.1
  static constexpr double kMaxClockErrorPpm = 1;
};

/// Returns the packet that asks for tracking data.
inline ChronyPacket ChronyTrackingRequest(uint32_t sequence) {
  namespace field = chrony_internal;
  ChronyPacket packet = {};
  packet[field::kVersion] = kChronyVersion;
  packet[field::kPacketType] = field::kPacketRequest;
  field::Store16(packet, field::kCommand, field::kCommandTracking);
  field::Store32(packet, field::kRequestSequence, sequence);
  return packet;
}

/// Whether `reply` is one to the request with `sequence`, and holds what that
/// asked for. Errors: ParseChronyTracking()'s.
inline absl::Status CheckChronyReply(absl::string_view reply,
                                     uint32_t sequence) {
  namespace field = chrony_internal;
  if (reply.size() < field::kReplyHeaderBytes) {
    return absl::InvalidArgumentError(absl::StrCat(
        "reply of ", reply.size(), " bytes; expected ", kChronyTrackingBytes));
  }
  if (const uint8_t type = field::Byte(reply, field::kPacketType);
      type != field::kPacketReply) {
    return absl::InvalidArgumentError(
        absl::StrCat("packet type ", type, "; expected ", field::kPacketReply));
  }
  if (const uint8_t version = field::Byte(reply, field::kVersion);
      version != kChronyVersion) {
    return absl::UnimplementedError(absl::StrCat(
        "protocol version ", version, "; expected ", kChronyVersion));
  }
  const uint16_t command = field::Load16(reply, field::kCommand);
  const uint32_t answered = field::Load32(reply, field::kReplySequence);
  if (command != field::kCommandTracking || answered != sequence) {
    return absl::InvalidArgumentError(
        absl::StrCat("reply to command ", command, ", sequence ", answered,
                     "; expected command ", field::kCommandTracking,
                     ", sequence ", sequence));
  }
  if (const uint16_t status = field::Load16(reply, field::kReplyStatus);
      status != 0) {
    return absl::FailedPreconditionError(
        absl::StrCat("status ", status, "; expected 0, success"));
  }
  const uint16_t type = field::Load16(reply, field::kReplyType);
  if (type != field::kReplyTracking || reply.size() < kChronyTrackingBytes) {
    return absl::InvalidArgumentError(absl::StrCat(
        "reply type ", type, " of ", reply.size(), " bytes; expected type ",
        field::kReplyTracking, " of ", kChronyTrackingBytes));
  }
  return absl::OkStatus();
}

/// Decodes the reply to the request with `sequence`.
/// Error: InvalidArgument: no reply of this protocol, or another request's.
/// Unimplemented: another version of it. FailedPrecondition: refused by
/// chronyd, with its status code. Each names the field, its value and what was
/// expected.
inline absl::StatusOr<ChronyTracking> ParseChronyTracking(
    absl::string_view reply, uint32_t sequence) {
  namespace field = chrony_internal;
  const absl::Status checked = CheckChronyReply(reply, sequence);
  if (!checked.ok()) return checked;
  const auto number = [&](size_t at) {
    return ChronyFloat(field::Load32(reply, at));
  };
  return ChronyTracking{field::Load32(reply, field::kReferenceId),
                        field::Load16(reply, field::kStratum),
                        field::Load16(reply, field::kLeapStatus),
                        number(field::kCorrection),
                        number(field::kFrequency),
                        number(field::kResidualFrequency),
                        number(field::kSkew),
                        number(field::kRootDelay),
                        number(field::kRootDispersion)};
}

}  // namespace vvar::hosted

#endif  // VVAR_HOSTED_CHRONY_TRACKING_H_
