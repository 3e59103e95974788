// SPDX-License-Identifier: MIT
//
// Real chronyds for tests: each in a folder of its own, on ports of the
// loopback, and with -x, so that none touches the system clock. Tests only.
#ifndef VVAR_TESTS_HOSTED_CHRONYD_H_
#define VVAR_TESTS_HOSTED_CHRONYD_H_

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pwd.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <fstream>
#include <memory>
#include <sstream>
#include <string>

#include "tests/hosted/child_process.h"
#include "tests/support/temporary_folder.h"

namespace vvar::hosted {

/// Returns the path of a chronyd, unpacked by third_party/setup.sh or
/// installed; empty if there is none.
inline std::string FindChronyd() {
  for (const char* path :
       {"/opt/vvar-tests/chrony/usr/sbin/chronyd", "/usr/sbin/chronyd"}) {
    if (access(path, X_OK) == 0) return path;
  }
  return "";
}

/// Returns a UDP port of 127.0.0.1 that nobody has, just now.
inline uint16_t FreePort() {
  const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  bind(fd, reinterpret_cast<const sockaddr*>(&address), size);
  getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size);
  close(fd);
  return ntohs(address.sin_port);
}

/// A chronyd process. RAII: killed, its folder removed.
class Chronyd {
 public:
  /// `config`: the lines of chrony.conf(5) that differ from test to test.
  /// `command_port`: 0 for its Unix socket alone.
  Chronyd(const std::string& config, uint16_t command_port) {
    const passwd* user = getpwuid(geteuid());
    std::ofstream(folder_.path() + "/conf")
        << config << "\nuser " << (user == nullptr ? "root" : user->pw_name)
        << "\npidfile " << folder_.path() << "/pid"
        << "\nbindcmdaddress " << SocketPath()
        << "\nbindcmdaddress 127.0.0.1\ncmdport " << command_port << "\n";
    process_ = std::make_unique<ChildProcess>([this] { return Execute(); });
  }
  std::string SocketPath() const { return folder_.path() + "/sock"; }
  bool Kill() { return process_->Kill(); }
  /// What it had to say.
  std::string Log() const {
    std::ostringstream text;
    text << std::ifstream(folder_.path() + "/log").rdbuf();
    return text.str();
  }

 private:
  int Execute() const {
    const std::string log = folder_.path() + "/log";
    const std::string conf = folder_.path() + "/conf";
    const int fd = open(log.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    dup2(fd, STDOUT_FILENO);
    dup2(fd, STDERR_FILENO);
    // -x: no control of the system clock. -U: as anybody. -d: no daemon.
    execl(FindChronyd().c_str(), "chronyd", "-x", "-U", "-d", "-f",
          conf.c_str(), nullptr);
    return 127;
  }

  support::TemporaryFolder folder_;
  std::unique_ptr<ChildProcess> process_;  // Killed before its folder goes.
};

}  // namespace vvar::hosted

#endif  // VVAR_TESTS_HOSTED_CHRONYD_H_
