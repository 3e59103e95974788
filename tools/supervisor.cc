// SPDX-License-Identifier: MIT
//
// The datagrams of a service, and when to send one.
#include "tools/supervisor.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace vvar::tools {
namespace {

std::string FromEnvironment(const char* name) {
  const char* value = getenv(name);
  return value != nullptr ? value : "";
}

uint64_t CoarseNs() {
  timespec now = {};
  clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000 +
         static_cast<uint64_t>(now.tv_nsec);
}

}  // namespace

Supervisor::Supervisor() : name_(FromEnvironment("NOTIFY_SOCKET")) {
  if (name_.empty()) return;
  Open();
  const std::string pid = FromEnvironment("WATCHDOG_PID");
  const std::string usec = FromEnvironment("WATCHDOG_USEC");
  if (usec.empty() || (!pid.empty() && pid != absl::StrCat(getpid()))) return;
  // Bound: 2^54 us, some 570 years, by 500 ns is below 2^63.
  uint64_t allowed_us = 0;
  if (!absl::SimpleAtoi(usec, &allowed_us) || allowed_us == 0 ||
      allowed_us >> 54 != 0) {
    Complain("WATCHDOG_USEC", usec, "expected microseconds");
    return;
  }
  ping_interval_ns_ = allowed_us * 500;
}

Supervisor::~Supervisor() {
  if (fd_ >= 0) close(fd_);
}

void Supervisor::Open() {
  const bool is_abstract = name_[0] == '@';
  // A path ends with a zero, which is none of its bytes; a name has no end.
  if ((!is_abstract && name_[0] != '/') || name_.size() < 2 ||
      name_.size() + (is_abstract ? 0 : 1) > sizeof(address_.sun_path)) {
    Complain("NOTIFY_SOCKET", name_,
             absl::StrCat("expected a path or @name of less than ",
                          sizeof(address_.sun_path), " bytes"));
    return;
  }
  address_.sun_family = AF_UNIX;
  memcpy(address_.sun_path, name_.data(), name_.size());
  if (is_abstract) address_.sun_path[0] = '\0';
  address_size_ = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) +
                                         name_.size() + (is_abstract ? 0 : 1));
  fd_ = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  const timeval patience = {1, 0};
  if (fd_ < 0 || setsockopt(fd_, SOL_SOCKET, SO_SNDTIMEO, &patience,
                            sizeof(patience)) != 0) {
    Complain("NOTIFY_SOCKET", name_, strerror(errno));
  }
}

void Supervisor::Ping() {
  if (ping_interval_ns_ == 0) return;
  const uint64_t now_ns = CoarseNs();
  if (now_ns - last_ping_ns_ < ping_interval_ns_) return;
  last_ping_ns_ = now_ns;
  Send("WATCHDOG=1", MSG_DONTWAIT);
}

void Supervisor::Send(absl::string_view lines, int flags) {
  if (fd_ < 0) return;
  if (sendto(fd_, lines.data(), lines.size(), flags | MSG_NOSIGNAL,
             reinterpret_cast<const sockaddr*>(&address_), address_size_) < 0) {
    Complain("NOTIFY_SOCKET", name_,
             absl::StrCat(strerror(errno),
                          "; expected a datagram socket that "
                          "somebody reads"));
  }
}

void Supervisor::Complain(absl::string_view variable, absl::string_view value,
                          absl::string_view what) {
  if (has_complained_) return;
  has_complained_ = true;
  fprintf(stderr, "vvar: %s\n",
          absl::StrCat(variable, "=", value, ": ", what).c_str());
}

}  // namespace vvar::tools
