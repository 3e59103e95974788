// SPDX-License-Identifier: MIT
//
// Tells the supervisor that started this process, such as systemd, what it
// wants to know, by the protocol of sd_notify(3). Without one that asks nothing
// happens; what cannot be told is said on stderr, once, and stops nobody.
#ifndef VVAR_TOOLS_SUPERVISOR_H_
#define VVAR_TOOLS_SUPERVISOR_H_

#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <string>

#include "absl/strings/string_view.h"

namespace vvar::tools {

/// The supervisor that NOTIFY_SOCKET and WATCHDOG_USEC tell of. Context: one
/// thread. Source: sd_notify(3), "Notes"; sd_watchdog_enabled(3),
/// "Environment".
class Supervisor {
 public:
  Supervisor();
  ~Supervisor();
  Supervisor(const Supervisor&) = delete;
  Supervisor& operator=(const Supervisor&) = delete;

  /// Sends lines such as "READY=1\nSTATUS=...". Waits up to a second for a
  /// supervisor that does not read.
  void Tell(absl::string_view lines) { Send(lines, 0); }

  /// Tells that this process lives, if the supervisor waits for that and has
  /// not been told for half the time it allows. Never waits.
  void Ping();

 private:
  void Open();
  void Send(absl::string_view lines, int flags);
  void Complain(absl::string_view variable, absl::string_view value,
                absl::string_view what);

  std::string name_;
  sockaddr_un address_ = {};
  socklen_t address_size_ = 0;
  int fd_ = -1;
  uint64_t ping_interval_ns_ = 0;  ///< 0: nobody waits.
  uint64_t last_ping_ns_ = 0;
  bool has_complained_ = false;
};

}  // namespace vvar::tools

#endif  // VVAR_TOOLS_SUPERVISOR_H_
