// SPDX-License-Identifier: MIT
//
// A program in a child process, as a shell runs it: started when we say so,
// with our signals handed on, and its end made ours.
#ifndef VVAR_TOOLS_LAUNCH_H_
#define VVAR_TOOLS_LAUNCH_H_

#include <sys/types.h>

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace vvar::tools {

/// Returns the file that execvp() would run: the name itself if it holds a
/// slash, else from PATH; "" if there is none.
std::string FindProgram(const std::string& name);

/// A child that is to become a program.
class LaunchedProgram {
 public:
  /// Forks; the child waits for Go(), and ends if this process does.
  static absl::StatusOr<LaunchedProgram> Fork(const std::vector<char*>& words);

  pid_t pid() const { return pid_; }

  /// Lets the child go on to its exec.
  void Go();
  /// Ends a child that has not been let go, or that must not run.
  void Abandon();
  /// Returns what its exec failed by, an errno, or 0. Range: once the child has
  /// either ended or become the program.
  int ExecError() const;

  /// From here on signals that a process sends to this one are the program's.
  /// Those of a terminal it gets itself: it is of the same process group.
  void ForwardSignals() const;

 private:
  pid_t pid_ = -1;
  int go_fd_ = -1;
  int error_fd_ = -1;
};

/// Ends this process as the program ended: by the same signal, or returns its
/// exit status. `status`: waitpid()'s.
int EndAs(int status);

}  // namespace vvar::tools

#endif  // VVAR_TOOLS_LAUNCH_H_
