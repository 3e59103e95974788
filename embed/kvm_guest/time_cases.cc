// SPDX-License-Identifier: MIT
//
// A guest that reads its host's page: in time, fast, unable to write it, and
// over a move to another host.
#include <stdint.h>
#include <string.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "embed/kvm_guest/cases.h"
#include "vvar/seqcount.h"

namespace vvar::kvm_guest {
namespace {

constexpr int kExchanges = 2'000;
// How long a moving guest is on neither host, at least.
constexpr absl::Duration kAway = absl::Milliseconds(50);

struct Clocks {
  Brackets realtime;
  Brackets monotonic;
  Brackets boottime;
};

// Exchanges in which the guest's clocks ought to lie between the host's.
absl::Status BracketExchanges(Machine& machine, Clocks* clocks) {
  for (int i = 0; i < kExchanges; ++i) {
    const uint64_t realtime_ns = HostNs(CLOCK_REALTIME);
    const uint64_t monotonic_ns = HostNs(CLOCK_MONOTONIC);
    const uint64_t boottime_ns = HostNs(CLOCK_BOOTTIME);
    absl::Status asked = machine.Ask(Command::kReadClocks);
    if (!asked.ok()) return asked;
    const Exchange& guest = machine.vm->exchange();
    clocks->boottime.Add(boottime_ns, guest.boottime_ns,
                         HostNs(CLOCK_BOOTTIME));
    clocks->monotonic.Add(monotonic_ns, guest.monotonic_ns,
                          HostNs(CLOCK_MONOTONIC));
    clocks->realtime.Add(realtime_ns, guest.realtime_ns,
                         HostNs(CLOCK_REALTIME));
  }
  return absl::OkStatus();
}

CaseResult ExpectInside(Machine& machine) {
  machine.time->Start();
  Clocks clocks;
  absl::Status status = BracketExchanges(machine, &clocks);
  if (!status.ok()) return status;
  const absl::StatusOr<uint64_t> offset = machine.vm->TscOffset();
  if (!offset.ok()) return offset.status();
  return Judge(
      clocks.realtime.all_inside() && clocks.monotonic.all_inside() &&
          clocks.boottime.all_inside() &&
          machine.vm->exchange().steps_back == 0,
      absl::StrCat("REALTIME ", clocks.realtime.Describe(), "; MONOTONIC ",
                   clocks.monotonic.Describe(), "; BOOTTIME ",
                   clocks.boottime.Describe(), "; TSC offset ", *offset, ", ",
                   machine.time->counter_hz(), " Hz, ", machine.time->updates(),
                   " updates"));
}

CaseResult TimeIsInsideTheHostsBracket() {
  absl::StatusOr<Machine> machine = Machine::Create();
  if (!machine.ok()) return machine.status();
  return ExpectInside(*machine);
}

CaseResult AScaledCounterIsInsideTheHostsBracket() {
  absl::StatusOr<Machine> machine = Machine::Create(
      {CounterScaling::kOne / 4 * 3, uint64_t{0} - 123'456'789'000'000});
  if (!machine.ok()) return machine.status();
  return ExpectInside(*machine);
}

CaseResult ReadsNeverGoBack() {
  constexpr int kRounds = 20;
  constexpr uint64_t kReads = 1'000'000;
  absl::StatusOr<Machine> machine = Machine::Create();
  if (!machine.ok()) return machine.status();
  machine->time->Start();
  Exchange& guest = machine->vm->exchange();
  guest.argument = kReads;
  const absl::Time begin = absl::Now();
  for (int i = 0; i < kRounds; ++i) {
    absl::Status asked = machine->Ask(Command::kReadMany);
    if (!asked.ok()) return asked;
  }
  const double seconds = absl::ToDoubleSeconds(absl::Now() - begin);
  return Judge(
      guest.reads == kRounds * kReads && guest.refusals == 0 &&
          guest.steps_back == 0,
      absl::StrCat(
          guest.reads, " reads in ring 3, ",
          static_cast<uint64_t>(static_cast<double>(guest.reads) / seconds),
          " a second, beside ", machine->time->updates(), " updates; ",
          guest.steps_back, " steps back, ", guest.refusals, " refused"));
}

CaseResult AStoreReachesTheVmmOnly() {
  absl::StatusOr<Machine> machine = Machine::Create();
  if (!machine.ok()) return machine.status();
  machine->time->Start();
  const auto& reserved =
      reinterpret_cast<const uint32_t&>(machine->page.bytes().header.reserved);
  const uint64_t at = offsetof(vvar_header, reserved);
  Exchange& guest = machine->vm->exchange();
  guest.address = kTimePage + at;
  guest.argument = 0xdead'beef;
  absl::Status asked = machine->Ask(Command::kStore);
  if (!asked.ok()) return asked;
  const auto& stores = machine->vm->refused_stores();
  const bool told = stores.size() == 1 && stores[0].address == kTimePage + at &&
                    stores[0].bytes == 4 && stores[0].value == 0xdead'beef;
  const uint32_t word = PageMemory::Load(reserved);
  // The guest has gone on behind the store, and reads as before.
  absl::Status reads = machine->Ask(Command::kReadClocks);
  if (!reads.ok()) return reads;
  return Judge(
      told && word == 0,
      absl::StrCat(stores.size(), " KVM_EXIT_MMIO with is_write",
                   told ? " as stored" : ", another", "; the page's word is ",
                   word, "; the guest reads on"));
}

// Stops guest and clocks, and carries both over to `to`.
absl::Status Move(Machine& from, Machine& to) {
  from.time->Freeze();
  const absl::StatusOr<VcpuState> state = from.vm->Save();
  if (!state.ok()) return state.status();
  const CounterScaling scaling = {to.vm->exchange().multiplier,
                                  to.vm->exchange().offset};
  memcpy(to.vm->At<char>(0), from.vm->At<char>(0), kRamSize);
  memcpy(&to.page.bytes(), &from.page.bytes(), VVAR_PAGE_SIZE);
  to.vm->exchange().multiplier = scaling.multiplier;
  to.vm->exchange().offset = scaling.offset;
  return to.vm->Restore(*state);
}

// The status that a guest without a counter is given, on either host.
absl::Status ExpectNoCounter(Machine& machine) {
  absl::Status called = machine.vm->Call(Ring::kUser, Command::kReadClocks);
  if (!called.ok()) return called;
  const uint32_t status = machine.vm->exchange().status;
  if (status == static_cast<uint32_t>(ReadStatus::kNoCounter)) return called;
  return absl::InternalError(
      absl::StrCat("frozen: status ", status, "; expected kNoCounter"));
}

CaseResult AMoveToAnotherCounterIsSeamless() {
  absl::StatusOr<Machine> from = Machine::Create();
  if (!from.ok()) return from.status();
  // Three quarters of the rate, and near the end of its range.
  absl::StatusOr<Machine> to = Machine::Create(
      {CounterScaling::kOne / 4 * 3, uint64_t{0} - 1'000'000'000'000'000});
  if (!to.ok()) return to.status();
  from->time->Start();
  absl::Status status = from->Ask(Command::kReadClocks);
  if (!status.ok()) return status;
  const Exchange before = from->vm->exchange();
  const uint64_t leaving_ns = HostNs(CLOCK_BOOTTIME);
  status = Move(*from, *to);
  if (status.ok()) status = ExpectNoCounter(*from);
  if (status.ok()) status = ExpectNoCounter(*to);
  if (!status.ok()) return status;
  absl::SleepFor(kAway);
  if (!to->time->Resume()) return absl::InternalError("nothing to resume");
  const auto longest_ns =
      static_cast<int64_t>(HostNs(CLOCK_BOOTTIME) - leaving_ns);
  // The first line begins half a tick ahead; until then no counter tells.
  uint32_t refused = 0;
  while (!(status = to->Ask(Command::kReadClocks)).ok()) {
    if (++refused > 10'000) return status;
  }
  const Exchange after = to->vm->exchange();
  Clocks clocks;
  status = BracketExchanges(*to, &clocks);
  if (!status.ok()) return status;
  // By how much more BOOTTIME went on than MONOTONIC.
  const auto away_ns =
      static_cast<int64_t>((after.boottime_ns - after.monotonic_ns) -
                           (before.boottime_ns - before.monotonic_ns));
  return Judge(
      after.disruption_marker != before.disruption_marker &&
          after.monotonic_ns > before.monotonic_ns &&
          to->vm->exchange().steps_back == 0 &&
          away_ns >= absl::ToInt64Nanoseconds(kAway) && away_ns <= longest_ns &&
          clocks.realtime.all_inside() && clocks.boottime.all_inside(),
      absl::StrCat("marker ", before.disruption_marker, " to ",
                   after.disruption_marker, ", ", from->time->counter_hz(),
                   " Hz to ", to->time->counter_hz(), "; BOOTTIME counts ",
                   away_ns, " ns away, MONOTONIC none and ", after.steps_back,
                   " steps back; kNoCounter while frozen and ", refused,
                   " times before the first line; then REALTIME ",
                   clocks.realtime.Describe(), ", BOOTTIME ",
                   clocks.boottime.Describe()));
}

CaseResult AGuestThatSpinsIsStopped() {
  absl::StatusOr<Machine> machine = Machine::Create();
  if (!machine.ok()) return machine.status();
  machine->time->Start();
  const absl::Status stopped =
      machine->vm->Call(Ring::kUser, Command::kSpin, absl::Milliseconds(50));
  if (!absl::IsDeadlineExceeded(stopped)) {
    return absl::InternalError(absl::StrCat("spinning: ", stopped.ToString(),
                                            "; expected a deadline"));
  }
  ++machine->vm->exchange().argument;
  absl::Status asked = machine->Ask(Command::kReadClocks);
  if (!asked.ok()) return asked;
  return Judge(true, std::string(stopped.message()) + "; then it goes on");
}

}  // namespace

std::vector<Case> TimeCases() {
  return {
      {"time_is_inside_the_hosts_bracket", TimeIsInsideTheHostsBracket},
      {"a_scaled_counter_is_inside_the_hosts_bracket",
       AScaledCounterIsInsideTheHostsBracket},
      {"reads_never_go_back", ReadsNeverGoBack},
      {"a_store_reaches_the_vmm_only", AStoreReachesTheVmmOnly},
      {"a_move_to_another_counter_is_seamless",
       AMoveToAnotherCounterIsSeamless},
      {"a_guest_that_spins_is_stopped", AGuestThatSpinsIsStopped},
  };
}

}  // namespace vvar::kvm_guest
