// SPDX-License-Identifier: MIT
//
// Descriptors of this process where another process may open them: in the /proc
// directory of this one; or, where that one may not look there or does not see
// it, of one of its user and namespaces, which is forked and does nothing else.
// Linux, user space.
#ifndef VVAR_HOSTED_DESCRIPTOR_LENDER_H_
#define VVAR_HOSTED_DESCRIPTOR_LENDER_H_

#include <errno.h>
#include <linux/capability.h>
#include <sched.h>
#include <stdint.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "hosted/process_status.h"

namespace vvar::hosted {

/// Holds the descriptors that are open when it starts, until it goes or this
/// process ends. Move-only.
class DescriptorLender {
 public:
  /// Error: PermissionDenied, the borrower is another user's and this process
  /// may not become that one; else Internal; naming the call that failed.
  static absl::StatusOr<DescriptorLender> Start(pid_t borrower) {
    DescriptorLender lender;
    lender.pid_ = getpid();
    if (!IsForeign(borrower)) return lender;
    int to_child[2];
    int from_child[2];
    if (pipe(to_child) != 0 || pipe(from_child) != 0) {
      return absl::InternalError(absl::StrCat("pipe: ", strerror(errno)));
    }
    const pid_t child = fork();
    if (child == 0) {
      close(to_child[1]);
      close(from_child[0]);
      Become(borrower, to_child[0], from_child[1]);
    }
    close(to_child[0]);
    close(from_child[1]);
    lender.child_ = child;
    lender.hold_ = to_child[1];
    Answer answer = {0, EIO, "fork"};
    if (child > 0) (void)!read(from_child[0], &answer, sizeof(answer));
    close(from_child[0]);
    lender.pid_ = answer.pid;
    if (answer.pid > 0) return lender;
    const std::string text =
        absl::StrCat("process ", borrower,
                     ": becoming one that it may borrow from: ", answer.what,
                     ": ", strerror(answer.error));
    return answer.error == EPERM ? absl::PermissionDeniedError(text)
                                 : absl::InternalError(text);
  }

  DescriptorLender(DescriptorLender&& other) noexcept
      : pid_(other.pid_),
        child_(std::exchange(other.child_, -1)),
        hold_(std::exchange(other.hold_, -1)) {}
  DescriptorLender& operator=(DescriptorLender&& other) noexcept {
    std::swap(pid_, other.pid_);
    std::swap(child_, other.child_);
    std::swap(hold_, other.hold_);
    return *this;
  }
  ~DescriptorLender() {
    if (hold_ >= 0) close(hold_);
    if (child_ > 0) waitpid(child_, nullptr, 0);
  }

  /// The number it has where the borrower looks it up.
  pid_t pid() const { return pid_; }

 private:
  struct Answer {
    pid_t pid;  ///< 0: failed.
    int error;
    char what[32];
  };

  DescriptorLender() = default;

  [[noreturn]] static void End(int to, const char* what) {
    Answer answer = {0, errno, ""};
    strncpy(answer.what, what, sizeof(answer.what) - 1);
    (void)!write(to, &answer, sizeof(answer));
    _exit(1);
  }

  static bool HasOther(pid_t borrower, const char* space) {
    return ReadLink(absl::StrCat("/proc/", borrower, "/ns/", space)) !=
           ReadLink(absl::StrCat("/proc/self/ns/", space));
  }

  /// Whether it is another user, has other rights, or sees other processes.
  static bool IsForeign(pid_t borrower) {
    for (const char* line : {"Uid", "Gid", "CapPrm"}) {
      if (StatusLine(borrower, line) != StatusLine(getpid(), line)) return true;
    }
    return HasOther(borrower, "user") || HasOther(borrower, "pid");
  }

  /// In the child: joins the namespaces; in a child of that one, which alone is
  /// in the PID namespace, becomes the user, and waits for the end.
  [[noreturn]] static void Become(pid_t borrower, int hold, int answer_to) {
    const int pidfd = static_cast<int>(syscall(SYS_pidfd_open, borrower, 0));
    if (pidfd < 0) End(answer_to, "pidfd_open");
    if (HasOther(borrower, "user") && setns(pidfd, CLONE_NEWUSER) != 0) {
      End(answer_to, "setns(CLONE_NEWUSER)");
    }
    if (HasOther(borrower, "pid") && setns(pidfd, CLONE_NEWPID) != 0) {
      End(answer_to, "setns(CLONE_NEWPID)");
    }
    const pid_t child = fork();
    if (child < 0) End(answer_to, "fork");
    if (child > 0) {
      close(answer_to);
      waitpid(child, nullptr, 0);  // Not every init does it.
      _exit(0);
    }
    TakeUser(borrower, answer_to);
    const Answer answer = {getpid(), 0, ""};
    (void)!write(answer_to, &answer, sizeof(answer));
    char byte = 0;
    (void)!read(hold, &byte, 1);
    _exit(0);
  }

  /// Source: Linux kernel/ptrace.c, __ptrace_may_access(), and
  /// security/commoncap.c, cap_ptrace_access_check(): who opens another one's
  /// descriptors has its user and group, and each of its capabilities.
  static void TakeUser(pid_t borrower, int answer_to) {
    uint32_t uid = 0;
    uint32_t gid = 0;
    // Of the namespace that this process is in by now.
    if (!LastNumber(StatusLine(borrower, "Uid"), &uid) ||
        !LastNumber(StatusLine(borrower, "Gid"), &gid)) {
      End(answer_to, "reading its user");
    }
    if ((getgid() != gid || getegid() != gid) &&
        syscall(SYS_setresgid, gid, gid, gid) != 0) {
      End(answer_to, "setresgid");
    }
    if ((getuid() != uid || geteuid() != uid) &&
        syscall(SYS_setresuid, uid, uid, uid) != 0) {
      End(answer_to, "setresuid");
    }
    __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    const std::array<__user_cap_data_struct, 2> none = {};
    if (syscall(SYS_capset, &header, none.data()) != 0) {
      End(answer_to, "capset");
    }
    // A change of user took that away.
    if (prctl(PR_SET_DUMPABLE, 1) != 0) End(answer_to, "PR_SET_DUMPABLE");
  }

  /// The last one of a line is what files are opened by.
  /// Source: proc_pid_status(5): real, effective, saved, filesystem.
  static bool LastNumber(const std::string& line, uint32_t* number) {
    const std::vector<std::string> words =
        absl::StrSplit(line, '\t', absl::SkipEmpty());
    return !words.empty() && absl::SimpleAtoi(words.back(), number);
  }

  pid_t pid_ = 0;
  pid_t child_ = -1;  ///< Its parent, outside the PID namespace.
  int hold_ = -1;
};

}  // namespace vvar::hosted

#endif  // VVAR_HOSTED_DESCRIPTOR_LENDER_H_
