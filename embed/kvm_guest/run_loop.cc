// SPDX-License-Identifier: MIT
//
// See vmm.h. Runs a vCPU: its registers, its exits, and a watchdog.
// Source: Linux Documentation/virt/kvm/api.rst; Intel SDM vol. 3A, "Paging" and
// "Control Registers", vol. 3C, "Guest Register State".
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/time.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "embed/kvm_guest/vmm.h"

namespace vvar::kvm_guest {
namespace {

// Interrupts KVM_RUN after `limit`, again and again: a signal that comes just
// before KVM_RUN does nothing.
class Watchdog {
 public:
  explicit Watchdog(absl::Duration limit) : until_(absl::Now() + limit) {
    struct sigaction action = {};
    action.sa_handler = [](int) {};
    sigaction(SIGALRM, &action, nullptr);
    Set(limit, absl::Milliseconds(20));
  }
  ~Watchdog() { Set(absl::ZeroDuration(), absl::ZeroDuration()); }
  bool expired() const { return absl::Now() >= until_; }

 private:
  static void Set(absl::Duration first, absl::Duration again) {
    itimerval timer = {};
    timer.it_value = absl::ToTimeval(first);
    timer.it_interval = absl::ToTimeval(again);
    setitimer(ITIMER_REAL, &timer, nullptr);
  }
  absl::Time until_;
};

// A flat segment of 64-bit mode.
kvm_segment Segment(uint16_t selector, uint8_t type, Ring ring) {
  kvm_segment segment = {};
  segment.limit = 0xffff'ffff;
  segment.selector = static_cast<uint16_t>(selector | static_cast<int>(ring));
  segment.type = type;
  segment.present = 1;
  segment.dpl = static_cast<uint8_t>(ring);
  segment.s = 1;
  segment.l = (type & 8) != 0;
  segment.db = (type & 8) == 0;
  segment.g = 1;
  return segment;
}

void SetSegments(Ring ring, kvm_sregs& sregs) {
  constexpr uint8_t kCode = 11;  // Readable, accessed.
  constexpr uint8_t kData = 3;   // Writable, accessed.
  // ud2 and int 0x80 lead nowhere: there is no table to look them up in.
  sregs.cs = Segment(ring == Ring::kUser ? 0x18 : 0x08, kCode, ring);
  const kvm_segment data =
      Segment(ring == Ring::kUser ? 0x20 : 0x10, kData, ring);
  sregs.ds = sregs.es = sregs.fs = sregs.gs = sregs.ss = data;
}

}  // namespace

absl::Status Vm::SetRegisters() {
  VcpuState state = {};
  if (ioctl(vcpu_.get(), KVM_GET_SREGS, &state.sregs) < 0) {
    return Failed("KVM_GET_SREGS");
  }
  SetSegments(ring_, state.sregs);
  state.sregs.cr0 = 0x8000'0033;  // PG, NE, ET, MP, PE
  state.sregs.cr3 = kPageTables;
  state.sregs.cr4 = 0x620;   // OSXMMEXCPT, OSFXSR, PAE
  state.sregs.efer = 0x500;  // LMA, LME
  state.regs.rip = kImage;
  // As a call leaves it: 8 below a multiple of 16.
  state.regs.rsp = kStackTop - 8;
  state.regs.rflags = 0x3002;  // IOPL 3: OUT is for ring 3, too.
  return Restore(state);
}

absl::StatusOr<VcpuState> Vm::Save() {
  if (absl::Status status = FinishExit(); !status.ok()) return status;
  VcpuState state = {};
  if (ioctl(vcpu_.get(), KVM_GET_REGS, &state.regs) < 0) {
    return Failed("KVM_GET_REGS");
  }
  if (ioctl(vcpu_.get(), KVM_GET_SREGS, &state.sregs) < 0) {
    return Failed("KVM_GET_SREGS");
  }
  return state;
}

absl::Status Vm::Restore(const VcpuState& state) {
  if (ioctl(vcpu_.get(), KVM_SET_SREGS, &state.sregs) < 0) {
    return Failed("KVM_SET_SREGS");
  }
  return ioctl(vcpu_.get(), KVM_SET_REGS, &state.regs) < 0
             ? Failed("KVM_SET_REGS")
             : absl::OkStatus();
}

// The instruction of the last exit is complete only after another KVM_RUN.
absl::Status Vm::FinishExit() {
  run_->immediate_exit = 1;
  const int result = ioctl(vcpu_.get(), KVM_RUN, 0);
  run_->immediate_exit = 0;
  return result < 0 && errno == EINTR ? absl::OkStatus() : Failed("KVM_RUN");
}

absl::Status Vm::Enter(Ring ring) {
  if (ring == ring_) return absl::OkStatus();
  absl::StatusOr<VcpuState> state = Save();
  if (!state.ok()) return state.status();
  SetSegments(ring, state->sregs);
  ring_ = ring;
  return Restore(*state);
}

void Vm::AnswerMsr(MsrAccess::Kind kind) {
  MsrAccess access = {kind, run_->msr.index, run_->msr.data};
  // An error is #GP in the guest.
  run_->msr.error = msr_handler_ == nullptr || !msr_handler_(access);
  run_->msr.data = access.value;
}

// Returns whether the guest is done.
absl::StatusOr<bool> Vm::HandleExit() {
  switch (run_->exit_reason) {
    case KVM_EXIT_IO:
      if (run_->io.port == kDonePort) return true;
      break;
    case KVM_EXIT_MMIO:
      if (run_->mmio.is_write == 0) break;
      stores_.push_back({run_->mmio.phys_addr, run_->mmio.len, 0});
      memcpy(&stores_.back().value, run_->mmio.data, run_->mmio.len);
      return false;
    case KVM_EXIT_X86_RDMSR:
      AnswerMsr(MsrAccess::Kind::kRead);
      return false;
    case KVM_EXIT_X86_WRMSR:
      AnswerMsr(MsrAccess::Kind::kWrite);
      return false;
    case KVM_EXIT_INTR:
      return false;
    default:
      break;
  }
  kvm_regs regs = {};
  ioctl(vcpu_.get(), KVM_GET_REGS, &regs);
  return absl::InternalError(absl::StrCat(
      "guest: exit ", run_->exit_reason, " at 0x", absl::Hex(regs.rip),
      "; expected OUT to port 0x", absl::Hex(kDonePort)));
}

absl::Status Vm::Call(Ring ring, Command command, absl::Duration limit) {
  if (absl::Status status = Enter(ring); !status.ok()) return status;
  exchange().command = command;
  const Watchdog watchdog(limit);
  for (;;) {
    if (ioctl(vcpu_.get(), KVM_RUN, 0) < 0) {
      if (errno != EINTR) return Failed("KVM_RUN");
      if (!watchdog.expired()) continue;
      return absl::DeadlineExceededError(
          absl::StrCat("guest: no OUT within ", absl::FormatDuration(limit)));
    }
    const absl::StatusOr<bool> done = HandleExit();
    if (!done.ok()) return done.status();
    if (*done) return absl::OkStatus();
  }
}

}  // namespace vvar::kvm_guest
