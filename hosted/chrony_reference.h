// SPDX-License-Identifier: MIT
//
// A reference whose error bound is chronyd's: the clocks of another one, and
// what chronyd's tracking says of the system clock. A chronyd that must not
// steer (-x) tells the kernel nothing, so adjtimex cannot give this bound. User
// space, writer side only.
#ifndef VVAR_HOSTED_CHRONY_REFERENCE_H_
#define VVAR_HOSTED_CHRONY_REFERENCE_H_

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdint.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "hosted/chrony_tracking.h"
#include "hosted/reference.h"
#include "vvar/page.h"

namespace vvar::hosted {

/// Where chronyd takes commands: `path`, its Unix socket, or, when that is
/// empty, a UDP port of 127.0.0.1. Anybody may ask there for tracking data; the
/// socket's folder is open to root and chronyd only.
/// Source: chrony.conf(5), cmdport and bindcmdaddress: 323,
/// /run/chrony/chronyd.sock.
struct ChronyAddress {
  uint16_t port = 323;    ///< Of 127.0.0.1.
  std::string path = {};  ///< Absolute; empty: the port.

  /// For messages; a port comes with its host.
  std::string Name() const {
    return path.empty() ? absl::StrCat("127.0.0.1:", port) : path;
  }
};

/// Reads PORT or /PATH; empty is the default port.
/// Error: InvalidArgument, with the text and what was expected.
inline absl::StatusOr<ChronyAddress> ParseChronyAddress(
    absl::string_view text) {
  ChronyAddress address;
  if (text.empty()) return address;
  uint32_t port = 0;
  if (text[0] == '/' && text.size() < sizeof(sockaddr_un{}.sun_path)) {
    address.path = std::string(text);
  } else if (absl::SimpleAtoi(text, &port) && port >= 1 && port <= 65535) {
    address.port = static_cast<uint16_t>(port);
  } else {
    return absl::InvalidArgumentError(
        absl::StrCat("chronyd's address '", text,
                     "'; expected a port, 1 to 65535, or the absolute path of "
                     "its socket, 107 bytes at most"));
  }
  return address;
}

/// A datagram socket connected to chronyd. RAII.
class ChronySocket {
 public:
  /// Error: Unavailable, naming chronyd's address, the call and its reason.
  static absl::StatusOr<ChronySocket> Connect(const ChronyAddress& address) {
    ChronySocket chrony(address.Name());
    const absl::Status status = address.path.empty()
                                    ? chrony.ConnectUdp(address.port)
                                    : chrony.ConnectUnix(address.path);
    if (!status.ok()) return status;
    return chrony;
  }
  ~ChronySocket() {
    if (fd_ >= 0) close(fd_);
    if (!own_path_.empty()) unlink(own_path_.c_str());
  }
  ChronySocket(ChronySocket&& other) noexcept
      : name_(std::move(other.name_)),
        fd_(std::exchange(other.fd_, -1)),
        own_path_(std::exchange(other.own_path_, {})) {}
  ChronySocket& operator=(ChronySocket&& other) noexcept {
    std::swap(name_, other.name_);
    std::swap(fd_, other.fd_);
    std::swap(own_path_, other.own_path_);
    return *this;
  }

  /// Asks for tracking data. Does not wait.
  absl::Status Ask(uint32_t sequence) {
    const ChronyPacket packet = ChronyTrackingRequest(sequence);
    const ssize_t sent =
        send(fd_, packet.data(), packet.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    return sent >= 0 ? absl::OkStatus() : Failed("send");
  }

  /// Takes the reply to the request with `sequence`, if it is here.
  /// Error: NotFound while there is none; else as ParseChronyTracking().
  absl::StatusOr<ChronyTracking> Take(uint32_t sequence) {
    char reply[2 * kChronyTrackingBytes];
    const ssize_t size = recv(fd_, reply, sizeof(reply), MSG_DONTWAIT);
    if (size < 0 && errno == EAGAIN) return absl::NotFoundError("no reply yet");
    if (size < 0) return Failed("recv");
    absl::StatusOr<ChronyTracking> tracking = ParseChronyTracking(
        absl::string_view(reply, static_cast<size_t>(size)), sequence);
    if (tracking.ok()) return tracking;
    return absl::Status(
        tracking.status().code(),
        absl::StrCat("chronyd at ", name_, ": ", tracking.status().message()));
  }

  /// Waits until a reply is here, or `timeout_ms` have passed.
  void Wait(int timeout_ms) {
    pollfd readable = {fd_, POLLIN, 0};
    poll(&readable, 1, timeout_ms);
  }

 private:
  explicit ChronySocket(std::string name) : name_(std::move(name)) {}

  absl::Status ConnectUdp(uint16_t port) {
    fd_ = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd_ < 0) return Failed("socket");
    sockaddr_in chronyd = {};
    chronyd.sin_family = AF_INET;
    chronyd.sin_port = htons(port);
    chronyd.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return ConnectTo(&chronyd, sizeof(chronyd));
  }

  /// chronyd replies to a socket that has a name, which it finds in a folder of
  /// its own and may write to.
  absl::Status ConnectUnix(const std::string& path) {
    fd_ = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd_ < 0) return Failed("socket");
    sockaddr_un own = {};
    own.sun_family = AF_UNIX;
    const std::string own_path = absl::StrCat(
        path.substr(0, path.rfind('/')), "/vvar.", getpid(), ".", fd_, ".sock");
    if (own_path.size() >= sizeof(own.sun_path)) {
      return absl::UnavailableError(absl::StrCat(
          "chronyd at ", name_, ": no room for '", own_path, "'; expected ",
          sizeof(own.sun_path) - 1, " bytes at most"));
    }
    memcpy(own.sun_path, own_path.data(), own_path.size());
    // One of an earlier process of this number that was killed.
    unlink(own_path.c_str());
    if (bind(fd_, reinterpret_cast<const sockaddr*>(&own), sizeof(own)) != 0) {
      return Failed(absl::StrCat("bind ", own_path));
    }
    own_path_ = own_path;
    if (chmod(own_path_.c_str(), 0666) != 0) return Failed("chmod");
    sockaddr_un chronyd = {};
    chronyd.sun_family = AF_UNIX;
    memcpy(chronyd.sun_path, path.data(), path.size());
    return ConnectTo(&chronyd, sizeof(chronyd));
  }

  absl::Status ConnectTo(const void* address, socklen_t size) {
    const auto* chronyd = static_cast<const sockaddr*>(address);
    return connect(fd_, chronyd, size) == 0 ? absl::OkStatus()
                                            : Failed("connect");
  }

  absl::Status Failed(absl::string_view call) const {
    return absl::UnavailableError(
        absl::StrCat("chronyd at ", name_, ": ", call, ": ", strerror(errno)));
  }

  std::string name_;
  int fd_ = -1;
  std::string own_path_;
};

/// The clocks of `clocks`, which are the kernel's, with chronyd's error bound.
///
/// Asked once a second and never waited for after the start, so that no tick is
/// held up; between answers the last one ages. While there is none that is
/// young enough, what `clocks` says of itself holds, and status() says why.
class ChronyReference : public Reference {
 public:
  /// Waits for a first answer, a moment.
  ChronyReference(std::unique_ptr<Reference> clocks, ChronyAddress address)
      : clocks_(std::move(clocks)), address_(std::move(address)) {
    if (getrandom(&sequence_, sizeof(sequence_), 0) < 0) sequence_ = 0;
    Ask(NowNs());
    if (!socket_.has_value()) return;
    constexpr int kFirstAnswerMs = 200;
    socket_->Wait(kFirstAnswerMs);
    Listen();
  }

  Bracket Read(ClockId clock) override { return clocks_->Read(clock); }

  ReferenceQuality Quality() override {
    ReferenceQuality quality = clocks_->Quality();
    const int64_t now_ns = NowNs();
    Listen();
    if (now_ns - asked_at_ns_ >= kAskEveryNs) Ask(now_ns);
    if (!tracking_.has_value()) return quality;
    const int64_t age_ns = now_ns - tracking_at_ns_;
    if (age_ns > kAnswerLifetimeNs) {
      tracking_.reset();
      return quality;
    }
    quality.synchronised = tracking_->synchronised();
    if (quality.synchronised) {
      quality.max_error_ns =
          tracking_->MaxErrorNs(age_ns, quality.frequency_ppb);
    }
    return quality;
  }

  /// Ok while chronyd's answers are what Quality() tells, else why not.
  absl::Status status() const {
    return tracking_.has_value() ? absl::OkStatus() : failure_;
  }
  /// Where it asks.
  const ChronyAddress& address() const { return address_; }
  /// The last answer, while it is young enough.
  const std::optional<ChronyTracking>& tracking() const { return tracking_; }

 private:
  static constexpr int64_t kAskEveryNs = 1'000'000'000;
  /// Three unanswered questions.
  static constexpr int64_t kAnswerLifetimeNs = 4'000'000'000;

  int64_t NowNs() { return clocks_->Read(ClockId::kMonotonicRaw).ns; }

  /// Connects anew when it has to: a chronyd that was restarted has another
  /// socket.
  void Ask(int64_t now_ns) {
    if (is_waiting_) {
      Fail(absl::DeadlineExceededError(
          absl::StrCat("chronyd at ", address_.Name(), ": no reply")));
    }
    asked_at_ns_ = now_ns;
    if (!socket_.has_value()) {
      absl::StatusOr<ChronySocket> socket = ChronySocket::Connect(address_);
      if (!socket.ok()) return Fail(socket.status());
      socket_ = *std::move(socket);
    }
    const absl::Status asked = socket_->Ask(++sequence_);
    if (!asked.ok()) return Fail(asked);
    is_waiting_ = true;
  }

  void Listen() {
    if (!is_waiting_) return;
    const absl::StatusOr<ChronyTracking> tracking = socket_->Take(sequence_);
    if (absl::IsNotFound(tracking.status())) return;
    // A reply that comes after its time is to an earlier question.
    if (absl::IsInvalidArgument(tracking.status())) {
      failure_ = tracking.status();
      return;
    }
    if (!tracking.ok()) return Fail(tracking.status());
    is_waiting_ = false;
    tracking_ = *tracking;
    // It is as old as the question, at most.
    tracking_at_ns_ = asked_at_ns_;
  }

  void Fail(absl::Status status) {
    failure_ = std::move(status);
    is_waiting_ = false;
    socket_.reset();
  }

  std::unique_ptr<Reference> clocks_;
  ChronyAddress address_;
  std::optional<ChronySocket> socket_;
  uint32_t sequence_ = 0;
  bool is_waiting_ = false;
  int64_t asked_at_ns_ = 0;
  std::optional<ChronyTracking> tracking_;
  int64_t tracking_at_ns_ = 0;
  absl::Status failure_ = absl::UnavailableError("chronyd: not asked yet");
};

}  // namespace vvar::hosted

#endif  // VVAR_HOSTED_CHRONY_REFERENCE_H_
