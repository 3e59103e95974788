// SPDX-License-Identifier: MIT
//
// Launching a program: fork, exec, signals, exit status.
#include "tools/launch.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"

namespace vvar::tools {
namespace {

/// Whom OnSignal() hands signals on to.
volatile sig_atomic_t program_pid = 0;

/// Who asks to end or to wake the launcher means the program.
constexpr int kForwarded[] = {SIGINT,  SIGQUIT, SIGTERM, SIGHUP,  SIGUSR1,
                              SIGUSR2, SIGTSTP, SIGTTIN, SIGTTOU, SIGWINCH};

void OnSignal(int signal, siginfo_t* info, void* /*context*/) {
  const int error = errno;
  // Above 0: by the kernel, that is a terminal, which told the program, too.
  if (info->si_code <= 0 && info->si_pid != program_pid) {
    kill(program_pid, signal);
  }
  errno = error;
}

[[noreturn]] void RunChild(int go_fd, int error_fd, char* const* words) {
  char go = 0;
  ssize_t got;
  while ((got = read(go_fd, &go, 1)) < 0 && errno == EINTR) {
  }
  if (got == 1) {
    execvp(words[0], words);
    const int error = errno;
    // Nobody to tell if this fails.
    if (write(error_fd, &error, sizeof(error)) < 0) _exit(127);
  }
  _exit(127);
}

}  // namespace

std::string FindProgram(const std::string& name) {
  if (name.find('/') != std::string::npos) return name;
  const char* path = getenv("PATH");
  for (const absl::string_view folder :
       absl::StrSplit(path == nullptr ? "/bin:/usr/bin" : path, ':')) {
    const std::string file =
        absl::StrCat(folder.empty() ? "." : folder, "/", name);
    if (access(file.c_str(), X_OK) == 0) return file;
  }
  return "";
}

absl::StatusOr<LaunchedProgram> LaunchedProgram::Fork(
    const std::vector<char*>& words) {
  int go[2];
  int error[2];
  if (pipe2(go, O_CLOEXEC) != 0 || pipe2(error, O_CLOEXEC) != 0) {
    return absl::InternalError(absl::StrCat("pipe2: ", strerror(errno)));
  }
  std::vector<char*> with_end = words;
  with_end.push_back(nullptr);
  const pid_t pid = fork();
  if (pid < 0) {
    return absl::InternalError(absl::StrCat("fork: ", strerror(errno)));
  }
  if (pid == 0) {
    // Its own copy would keep it waiting after we are gone.
    close(go[1]);
    RunChild(go[0], error[1], with_end.data());
  }
  close(go[0]);
  close(error[1]);
  LaunchedProgram program;
  program.pid_ = pid;
  program.go_fd_ = go[1];
  program.error_fd_ = error[0];
  return program;
}

void LaunchedProgram::Go() {
  // Fails if the child was killed; who waits for it sees that.
  if (write(go_fd_, "g", 1) != 1) kill(pid_, SIGKILL);
  close(go_fd_);
  go_fd_ = -1;
}

void LaunchedProgram::Abandon() {
  kill(pid_, SIGKILL);
  while (waitpid(pid_, nullptr, __WALL) < 0 && errno == EINTR) {
  }
}

int LaunchedProgram::ExecError() const {
  int error = 0;
  return read(error_fd_, &error, sizeof(error)) == sizeof(error) ? error : 0;
}

void LaunchedProgram::ForwardSignals() const {
  program_pid = pid_;
  for (const int signal : kForwarded) {
    struct sigaction action = {};
    sigaction(signal, nullptr, &action);
    // Ignored by whoever started us: by the program, too.
    if (action.sa_handler == SIG_IGN) continue;
    action = {};
    action.sa_flags = SA_SIGINFO;
    action.sa_sigaction = &OnSignal;
    sigaction(signal, &action, nullptr);
  }
}

int EndAs(int status) {
  if (!WIFSIGNALED(status)) return WEXITSTATUS(status);
  const int signal = WTERMSIG(status);
  // The program's core is the one that is wanted.
  const rlimit no_core = {0, 0};
  setrlimit(RLIMIT_CORE, &no_core);
  ::signal(signal, SIG_DFL);
  sigset_t only;
  sigemptyset(&only);
  sigaddset(&only, signal);
  sigprocmask(SIG_UNBLOCK, &only, nullptr);
  raise(signal);
  return 128 + signal;
}

}  // namespace vvar::tools
