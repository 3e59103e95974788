// SPDX-License-Identifier: MIT
//
// System calls that another process makes for us: its own memory is mapped, its
// own descriptors are opened. Linux on x86-64, user space, programs of 64 and
// of 32 bits; on traced_thread.h.
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

/// The numbers of calls that map a file, of a program's own table; `mmap`
/// counts its offset in bytes or in pages: 0 is both.
struct MapCalls {
  long openat;
  long mmap;
  long munmap;
  long close;
};

/// Source: Linux, arch/x86/entry/syscalls/syscall_64.tbl and syscall_32.tbl,
/// where the fourth of six arguments in registers is mmap2's.
constexpr MapCalls MapCallsOf(ProgramClass program) {
  return program == ProgramClass::k64
             ? MapCalls{.openat = 257, .mmap = 9, .munmap = 11, .close = 3}
             : MapCalls{.openat = 295, .mmap = 192, .munmap = 91, .close = 6};
}

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
    const absl::StatusOr<user_regs_struct> registers = thread.Registers();
    if (!registers.ok()) return registers.status();
    InjectedCalls calls(thread, *registers);
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
    const Code& code =
        calls.program() == ProgramClass::k64 ? kSystemCall : kSystemCall32;
    status = thread.Write(registers->rip, code.data(), code.size());
    if (!status.ok()) return status;
    return calls;
  }

  /// The registers the thread goes on with.
  const user_regs_struct& registers() const { return registers_; }
  /// Whose table of calls it is that Call() takes a number of.
  ProgramClass program() const { return ClassOf(registers_); }

  /// Returns what the kernel did: a value, or -errno. Of a program of 32 bits
  /// each argument is its lower half.
  absl::StatusOr<int64_t> Call(long number,
                               const std::array<uint64_t, 6>& arguments) const {
    user_regs_struct call = registers_;
    call.rax = static_cast<uint64_t>(number);
    call.orig_rax = ~uint64_t{0};  // Nothing to restart.
    SetArguments(call, arguments);
    absl::Status status = thread_.SetRegisters(call);
    for (int stops = 0; status.ok() && stops < 2; ++stops) {
      status = thread_.RunToSystemCallStop();  // Entry, exit.
    }
    if (!status.ok()) return status;
    const absl::StatusOr<user_regs_struct> after = thread_.Registers();
    if (!after.ok()) return after.status();
    if (after->rip != call.rip + sizeof(Code)) {
      return absl::InternalError(absl::StrCat(
          "process ", thread_.tid(), ": stands at 0x", absl::Hex(after->rip),
          " after a system call; expected 0x",
          absl::Hex(call.rip + sizeof(Code))));
    }
    return ResultOf(*after);
  }

  /// Where arguments may be written: below the stack, and what a function may
  /// use there without saying so. Range: kScratchSize bytes.
  /// Source: System V ABI for x86-64, 3.2.2, the red zone.
  uint64_t scratch() const {
    return (registers_.rsp - 128 - kScratchSize) & ~uint64_t{15};
  }
  /// Enough for the path of a descriptor in /proc.
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
  using Code = std::array<char, 2>;
  /// Source: Intel SDM volume 2, SYSCALL: 0f 05; INT n: cd n. Linux enters a
  /// call of i386's table by int $0x80.
  static constexpr Code kSystemCall = {0x0f, 0x05};
  static constexpr Code kSystemCall32 = {static_cast<char>(0xcd),
                                         static_cast<char>(0x80)};

  InjectedCalls(TracedThread thread, const user_regs_struct& registers)
      : thread_(thread), registers_(registers) {}

  /// Source: System V ABI for x86-64, A.2.1; Linux, arch/x86/entry/entry_32.S.
  static void SetArguments(user_regs_struct& call,
                           const std::array<uint64_t, 6>& arguments) {
    if (ClassOf(call) == ProgramClass::k64) {
      call.rdi = arguments[0];
      call.rsi = arguments[1];
      call.rdx = arguments[2];
      call.r10 = arguments[3];
      call.r8 = arguments[4];
      call.r9 = arguments[5];
    } else {
      call.rbx = arguments[0];
      call.rcx = arguments[1];
      call.rdx = arguments[2];
      call.rsi = arguments[3];
      call.rdi = arguments[4];
      call.rbp = arguments[5];
    }
  }

  /// Of 32 bits an address may be above 2 GiB, which is no error.
  static int64_t ResultOf(const user_regs_struct& registers) {
    constexpr uint32_t kLowestError = ~uint32_t{0} - 4094;
    const auto low = static_cast<uint32_t>(registers.rax);
    if (ClassOf(registers) == ProgramClass::k64) {
      return static_cast<int64_t>(registers.rax);
    }
    return low >= kLowestError ? static_cast<int32_t>(low) : int64_t{low};
  }

  TracedThread thread_;
  user_regs_struct registers_ = {};
  Code code_ = {};
  uint64_t mask_ = 0;
};

}  // namespace vvar::hosted

#endif  // VVAR_HOSTED_INJECTED_CALLS_H_
