// SPDX-License-Identifier: MIT
//
// System calls that another process makes for us: its own memory is mapped, its
// own descriptors are opened. Linux on x86-64, user space; on traced_thread.h.
#ifndef VVAR_HOSTED_INJECTED_CALLS_H_
#define VVAR_HOSTED_INJECTED_CALLS_H_

#include <stddef.h>
#include <stdint.h>
#include <sys/ptrace.h>
#include <sys/user.h>

#include <array>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "hosted/traced_thread.h"

namespace vvar::hosted {

/// System calls that a stopped thread makes for us, where it stands. Between
/// Begin() and End() it takes no signal, and dies if this process does: it
/// would go on with registers that are not its own.
///
/// It makes them by an instruction that is written over its own and put back,
/// so the others of its process have to be stopped too. The way back is a stop
/// of PTRACE_INTERRUPT: only there does the kernel restart a system call that
/// the first stop had interrupted.
class InjectedCalls {
 public:
  /// Range: the thread stands in a stop of any kind but in or at the entry to a
  /// system call; after PTRACE_EVENT_EXEC that takes RunToSystemCallStop():
  /// before, the kernel has yet to store what execve() returns, over the
  /// registers it would find.
  static absl::StatusOr<InjectedCalls> Begin(TracedThread thread) {
    InjectedCalls calls(thread);
    const absl::StatusOr<user_regs_struct> registers = thread.Registers();
    if (!registers.ok()) return registers.status();
    calls.registers_ = *registers;
    absl::Status status =
        thread.Read(registers->rip, calls.code_.data(), calls.code_.size());
    if (!status.ok()) return status;
    status = thread.SetOptions(PTRACE_O_EXITKILL);
    if (!status.ok()) return status;
    // A filter of the program's is for what the program does. Only where we
    // may: without it the calls are the filter's to allow.
    (void)thread.SetOptions(PTRACE_O_EXITKILL | PTRACE_O_SUSPEND_SECCOMP);
    const absl::StatusOr<uint64_t> mask = thread.BlockSignals();
    if (!mask.ok()) return mask.status();
    calls.mask_ = *mask;
    status =
        thread.Write(registers->rip, kSystemCall.data(), kSystemCall.size());
    if (!status.ok()) return status;
    return calls;
  }

  /// The registers the thread goes on with.
  const user_regs_struct& registers() const { return registers_; }

  /// Returns what the kernel did: a value, or -errno.
  absl::StatusOr<int64_t> Call(long number,
                               const std::array<uint64_t, 6>& arguments) const {
    user_regs_struct call = registers_;
    call.rax = static_cast<uint64_t>(number);
    call.orig_rax = ~uint64_t{0};  // Nothing to restart.
    call.rdi = arguments[0];
    call.rsi = arguments[1];
    call.rdx = arguments[2];
    call.r10 = arguments[3];
    call.r8 = arguments[4];
    call.r9 = arguments[5];
    absl::Status status = thread_.SetRegisters(call);
    for (int stops = 0; status.ok() && stops < 2; ++stops) {
      status = thread_.RunToSystemCallStop();  // Entry, exit.
    }
    if (!status.ok()) return status;
    const absl::StatusOr<user_regs_struct> after = thread_.Registers();
    if (!after.ok()) return after.status();
    if (after->rip != call.rip + kSystemCall.size()) {
      return absl::InternalError(absl::StrCat(
          "process ", thread_.tid(), ": stands at 0x", absl::Hex(after->rip),
          " after a system call; expected 0x",
          absl::Hex(call.rip + kSystemCall.size())));
    }
    return static_cast<int64_t>(after->rax);
  }

  /// Where arguments may be written: below the stack, and what a function may
  /// use there without saying so. Range: kScratchSize bytes.
  /// Source: System V ABI for x86-64, 3.2.2, the red zone.
  uint64_t scratch() const {
    return (registers_.rsp - 128 - kScratchSize) & ~uint64_t{15};
  }
  static constexpr size_t kScratchSize = 256;

  /// Puts the thread back as it was; it is stopped still.
  absl::Status End() const {
    absl::Status status =
        thread_.Write(registers_.rip, code_.data(), code_.size());
    if (status.ok()) status = thread_.SetRegisters(registers_);
    if (status.ok()) status = thread_.RunToInterruptStop();
    if (status.ok()) status = thread_.SetSignalMask(mask_);
    if (status.ok()) status = thread_.SetOptions(0);
    return status;
  }

 private:
  explicit InjectedCalls(TracedThread thread) : thread_(thread) {}

  /// Source: Intel SDM volume 2, SYSCALL: 0f 05.
  static constexpr std::array<char, 2> kSystemCall = {0x0f, 0x05};

  TracedThread thread_;
  user_regs_struct registers_ = {};
  std::array<char, 2> code_ = {};
  uint64_t mask_ = 0;
};

}  // namespace vvar::hosted

#endif  // VVAR_HOSTED_INJECTED_CALLS_H_
