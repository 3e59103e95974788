// SPDX-License-Identifier: MIT
//
// Runs guests on /dev/kvm and prints a line for each case, with its figures. A
// case that this machine's KVM does not allow is skipped with the reason.
#include <stdio.h>

#include <algorithm>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/flags/parse.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "embed/kvm_guest/cases.h"

ABSL_FLAG(std::string, image, "", "the guest's flat image");
ABSL_FLAG(std::string, missing, "", "a tool without which there is no image");

namespace vvar::kvm_guest {
namespace {

absl::StatusOr<std::string> GuestImage() {
  if (const std::string tool = absl::GetFlag(FLAGS_missing); !tool.empty()) {
    return absl::UnavailableError(tool + " is not installed");
  }
  const std::string path = absl::GetFlag(FLAGS_image);
  std::ifstream file(path, std::ios::binary);
  std::string bytes((std::istreambuf_iterator<char>(file)), {});
  if (!bytes.empty()) return bytes;
  return absl::NotFoundError(
      absl::StrCat("--image: \"", path, "\"; expected a file with bytes"));
}

}  // namespace

absl::StatusOr<Machine> Machine::Create(
    const CounterScaling& scaling, const GuestTime::AfterWrite& after_write) {
  const absl::StatusOr<std::string> image = GuestImage();
  if (!image.ok()) return image.status();
  absl::StatusOr<std::unique_ptr<Vm>> vm = Vm::Create(*image);
  if (!vm.ok()) return vm.status();
  absl::StatusOr<uint64_t> offset = (*vm)->TscOffset();
  if (!offset.ok()) return offset.status();
  absl::StatusOr<hosted::WritablePage> page =
      hosted::WritablePage::CreateAnonymous(
          {.counter_id = GuestTime::Clock::kCounterId,
           .counter_bits = GuestTime::Clock::kCounterBits,
           .counter_hz = 0,
           .instance_id = hosted::NewInstanceId(),
           .features = VVAR_FEATURE_USER_COUNTER,
           .timeline_count = 1,
           .resolution_ns = 1,
           .coarse_resolution_ns = 1'000'000});
  if (!page.ok()) return page.status();
  absl::Status mapped = (*vm)->MapReadOnly(kTimePage, page->fd());
  if (!mapped.ok()) return mapped;
  (*vm)->exchange().multiplier = scaling.multiplier;
  (*vm)->exchange().offset = scaling.offset;
  Machine machine;
  machine.vm = *std::move(vm);
  machine.page = *std::move(page);
  // What KVM made of it, and what the guest does with that.
  const CounterScaling from_host = scaling.Of(static_cast<int64_t>(*offset));
  machine.time = std::make_unique<GuestTime>(
      machine.page.bytes(), NativeClock(), from_host, after_write);
  return machine;
}

absl::Status Machine::Ask(Command command, Ring ring) {
  absl::Status status = vm->Call(ring, command);
  if (!status.ok()) return status;
  const uint32_t said = vm->exchange().status;
  return said == 0 ? absl::OkStatus()
                   : absl::InternalError(absl::StrCat(
                         "guest: command ", static_cast<uint32_t>(command),
                         ": status ", said, "; expected 0"));
}

uint64_t HostNs(clockid_t clock) {
  timespec now = {};
  clock_gettime(clock, &now);
  return TimespecToNs({now.tv_sec, static_cast<uint32_t>(now.tv_nsec)});
}

void Brackets::Add(uint64_t before_ns, uint64_t guest_ns, uint64_t after_ns) {
  const auto since_ns = static_cast<int64_t>(guest_ns - before_ns);
  const auto until_ns = static_cast<int64_t>(after_ns - guest_ns);
  const int64_t nearer_ns = std::min(since_ns, until_ns);
  ++count_;
  inside_ += nearer_ns >= 0;
  nearest_ns_ = std::min(nearest_ns_, nearer_ns);
}

std::string Brackets::Describe() const {
  return absl::StrCat(inside_, " of ", count_, " inside, nearest ", nearest_ns_,
                      " ns from an end");
}

CaseResult Judge(bool good, const std::string& figures) {
  if (good) return figures;
  return absl::InternalError(figures);
}

namespace {

// Returns whether no case failed.
bool RunAll(const std::vector<Case>& cases) {
  bool good = true;
  for (const Case& each : cases) {
    const CaseResult result = each.run();
    const bool skipped = absl::IsUnavailable(result.status());
    const char* outcome = result.ok() ? "PASSED"
                          : skipped   ? "SKIPPED"
                                      : "FAILED";
    const std::string text =
        result.ok() ? *result : std::string(result.status().message());
    printf("CASE %s %s %s\n", each.name, outcome, text.c_str());
    fflush(stdout);
    good = good && (result.ok() || skipped);
  }
  return good;
}

}  // namespace
}  // namespace vvar::kvm_guest

int main(int argc, char** argv) {
  using namespace vvar::kvm_guest;
  absl::ParseCommandLine(argc, argv);
  const bool time_is_good = RunAll(TimeCases());
  return RunAll(ParavirtCases()) && time_is_good ? 0 : 1;
}
