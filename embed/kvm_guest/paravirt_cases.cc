// SPDX-License-Identifier: MIT
//
// A guest that reads the pages of other hypervisors: KVM's own kvmclock, and
// Hyper-V's and VMClock's as this VMM serves them from the guest's line.
#include <stdint.h>

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "clocks/native.h"
#include "embed/kvm_guest/cases.h"
#include "embed/kvm_guest/foreign_faces.h"
#include "paravirt/foreign_page.h"
#include "vvar/scale.h"

namespace vvar::kvm_guest {
namespace {

constexpr int kExchanges = 2'000;
// How often an exchange may meet an update: of a writer that is preempted.
constexpr int kMostRepeats = 100'000;

// Source: Linux Documentation/virt/kvm/x86/msr.rst.
constexpr uint32_t kMsrWallClock = 0x4b56'4d00;
constexpr uint32_t kMsrSystemTime = 0x4b56'4d01;

absl::Status WriteMsr(Machine& machine, uint32_t index, uint64_t value) {
  machine.vm->exchange().address = index;
  machine.vm->exchange().argument = value;
  return machine.Ask(Command::kWriteMsr, Ring::kKernel);
}

// Asks for a time that a foreign page tells, again while it is being updated;
// `*before_ns` is the host's clock before the guest was asked last.
absl::Status AskBetweenUpdates(Machine& machine, Command command, Ring ring,
                               clockid_t clock, uint64_t* before_ns) {
  absl::Status asked;
  for (int repeats = 0; repeats < kMostRepeats; ++repeats) {
    *before_ns = HostNs(clock);
    asked = machine.Ask(command, ring);
    const ForeignStatus status{machine.vm->exchange().status};
    if (status != ForeignStatus::kBusy && status != ForeignStatus::kWithdrawn) {
      return asked;
    }
  }
  return asked;
}

// A guest that has asked for kvmclock.
absl::StatusOr<Machine> CreateWithKvmclock() {
  absl::StatusOr<Machine> machine = Machine::Create();
  if (!machine.ok()) return machine;
  if (!machine->vm->offers_kvmclock()) {
    return absl::UnavailableError("KVM offers no kvmclock (CPUID 4000_0001h)");
  }
  constexpr uint64_t kEnable = 1;
  absl::Status enabled =
      WriteMsr(*machine, kMsrSystemTime, kPvclockPage | kEnable);
  if (!enabled.ok()) return enabled;
  return machine;
}

// Has the guest read kvmclock into `ns` of its exchange, or of a clock of its
// own that is one, between two of KVM's.
absl::Status BracketKvmclock(Machine& machine, Command command,
                             uint64_t Exchange::*ns, Brackets* brackets) {
  for (int i = 0; i < kExchanges; ++i) {
    const absl::StatusOr<uint64_t> before = machine.vm->KvmClockNs();
    if (!before.ok()) return before.status();
    absl::Status asked = machine.Ask(command);
    if (!asked.ok()) return asked;
    const absl::StatusOr<uint64_t> after = machine.vm->KvmClockNs();
    if (!after.ok()) return after.status();
    brackets->Add(*before, machine.vm->exchange().*ns, *after);
  }
  return absl::OkStatus();
}

CaseResult KvmclockIsInsideKvmsBracket() {
  absl::StatusOr<Machine> machine = CreateWithKvmclock();
  if (!machine.ok()) return machine.status();
  Brackets brackets;
  absl::Status status = BracketKvmclock(*machine, Command::kReadPvclock,
                                        &Exchange::ns, &brackets);
  if (!status.ok()) return status;
  return Judge(brackets.all_inside(), brackets.Describe());
}

// KVM writes the wall clock when it is asked to; from then on kvmclock carries
// it, which nobody steers as the host's REALTIME is: so, soon after.
CaseResult KvmsWallClockIsInsideTheHostsBracket() {
  constexpr int kSoon = 100;
  absl::StatusOr<Machine> machine = CreateWithKvmclock();
  if (!machine.ok()) return machine.status();
  const absl::StatusOr<uint64_t> asked_ns = machine->vm->KvmClockNs();
  if (!asked_ns.ok()) return asked_ns.status();
  absl::Status status = WriteMsr(*machine, kMsrWallClock, kWallClockPage);
  if (!status.ok()) return status;
  Exchange& guest = machine->vm->exchange();
  guest.argument = *asked_ns;
  Brackets brackets;
  for (int i = 0; i < kSoon; ++i) {
    const uint64_t before_ns = HostNs(CLOCK_REALTIME);
    status = machine->Ask(Command::kReadWall);
    if (!status.ok()) return status;
    brackets.Add(before_ns, guest.realtime_ns, HostNs(CLOCK_REALTIME));
  }
  return Judge(
      brackets.all_inside(),
      absl::StrCat(brackets.Describe(), ", asked for ", guest.ns, " ns ago"));
}

CaseResult HypervTimeIsInsideTheHostsBracket() {
  HypervFace hyperv;
  absl::StatusOr<Machine> machine = Machine::Create(
      {}, [&hyperv](const Line& line) { hyperv.Publish(line); });
  if (!machine.ok()) return machine.status();
  absl::Status status = hyperv.Serve(*machine);
  if (!status.ok()) return status;
  machine->time->Start();
  status = WriteMsr(*machine, kMsrHypervGuestOsId, 1);
  if (!status.ok()) return status;
  status = WriteMsr(*machine, kMsrHypervReferenceTsc, kHypervPage | 1);
  if (!status.ok()) return status;

  Exchange& guest = machine->vm->exchange();
  const auto bracket = [&](int exchanges, Ring ring, Brackets* brackets) {
    guest.argument = ring == Ring::kKernel;
    for (int i = 0; i < exchanges; ++i) {
      uint64_t before_ns = 0;
      absl::Status asked = AskBetweenUpdates(*machine, Command::kReadHyperv,
                                             ring, CLOCK_MONOTONIC, &before_ns);
      if (!asked.ok()) return asked;
      brackets->Add(before_ns, hyperv.TicksToMonotonicNs(guest.ticks),
                    HostNs(CLOCK_MONOTONIC));
    }
    return absl::OkStatus();
  };
  Brackets page;
  status = bracket(kExchanges, Ring::kUser, &page);
  if (!status.ok()) return status;
  const uint64_t refused_before = guest.refusals;
  const uint64_t publications = hyperv.publications();
  hyperv.Withdraw();
  constexpr int kFallbacks = 200;
  Brackets msr;
  status = bracket(kFallbacks, Ring::kKernel, &msr);
  if (!status.ok()) return status;
  return Judge(
      page.all_inside() && msr.all_inside() && refused_before == 0 &&
          guest.refusals == kFallbacks && hyperv.msr_reads() == kFallbacks,
      absl::StrCat("page: ", page.Describe(), ", ", publications,
                   " publications; sequence 0: ", hyperv.msr_reads(),
                   " reads of the MSR in ", kFallbacks, ", ", msr.Describe()));
}

CaseResult VmclockIsInsideItsOwnBound() {
  VmclockFace vmclock;
  absl::StatusOr<Machine> machine = Machine::Create(
      {}, [&vmclock](const Line& line) { vmclock.Publish(line); });
  if (!machine.ok()) return machine.status();
  absl::Status status = vmclock.Serve(*machine);
  if (!status.ok()) return status;
  machine->time->Start();
  const Exchange& guest = machine->vm->exchange();
  Brackets time;
  int covered = 0;
  for (int i = 0; i < kExchanges; ++i) {
    uint64_t before_ns = 0;
    status = AskBetweenUpdates(*machine, Command::kReadVmclock, Ring::kUser,
                               CLOCK_REALTIME, &before_ns);
    if (!status.ok()) return status;
    const uint64_t after_ns = HostNs(CLOCK_REALTIME);
    time.Add(before_ns, guest.realtime_ns, after_ns);
    covered += guest.error_ns != UINT64_MAX &&
               guest.realtime_ns + guest.error_ns >= before_ns &&
               guest.realtime_ns - guest.error_ns <= after_ns;
  }
  return Judge(time.all_inside() && covered == kExchanges,
               absl::StrCat("UTC ", time.Describe(), "; ", covered, " within ",
                            "its own bound, ", guest.error_ns, " ns at last"));
}

CaseResult AGuestsOwnPageOnKvmclockIsInsideKvmsBracket() {
  absl::StatusOr<Machine> machine = CreateWithKvmclock();
  if (!machine.ok()) return machine.status();
  Exchange& guest = machine->vm->exchange();
  guest.argument = HostNs(CLOCK_REALTIME);
  absl::Status status = machine->Ask(Command::kStartOwnPage);
  if (!status.ok()) return status;
  Brackets brackets;
  status = BracketKvmclock(*machine, Command::kReadOwnPage,
                           &Exchange::monotonic_ns, &brackets);
  if (!status.ok()) return status;
  return Judge(
      brackets.all_inside() && guest.publications > 0 && guest.steps_back == 0,
      absl::StrCat("MONOTONIC ", brackets.Describe(), ", ", guest.publications,
                   " publications, ", guest.steps_back, " steps back"));
}

}  // namespace

std::vector<Case> ParavirtCases() {
  return {
      {"kvmclock_is_inside_kvms_bracket", KvmclockIsInsideKvmsBracket},
      {"kvms_wall_clock_is_inside_the_hosts_bracket",
       KvmsWallClockIsInsideTheHostsBracket},
      {"hyperv_time_is_inside_the_hosts_bracket",
       HypervTimeIsInsideTheHostsBracket},
      {"vmclock_is_inside_its_own_bound", VmclockIsInsideItsOwnBound},
      {"a_guests_own_page_on_kvmclock_is_inside_kvms_bracket",
       AGuestsOwnPageOnKvmclockIsInsideKvmsBracket},
  };
}

}  // namespace vvar::kvm_guest
