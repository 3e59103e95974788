// SPDX-License-Identifier: MIT
//
// See foreign_faces.h.
#include "embed/kvm_guest/foreign_faces.h"

#include <stddef.h>
#include <sys/mman.h>
#include <unistd.h>

#include <utility>

#include "absl/status/statusor.h"
#include "paravirt/conversion.h"
#include "paravirt/vmclock_line.h"
#include "vvar/abi.h"
#include "vvar/reader.h"
#include "vvar/scale.h"
#include "vvar/seqcount.h"

namespace vvar::kvm_guest {

absl::Status HypervFace::Serve(Machine& machine) {
  machine_ = &machine;
  made_ns_ = HostNs(CLOCK_MONOTONIC);
  return machine.vm->HandleMsrs(
      [this](MsrAccess& access) { return Answer(access); });
}

bool HypervFace::Answer(MsrAccess& access) {
  const bool writes = access.kind == MsrAccess::Kind::kWrite;
  switch (access.index) {
    case kMsrHypervGuestOsId:
      if (writes) guest_os_id_ = access.value;
      access.value = guest_os_id_;
      return true;
    case kMsrHypervReferenceTsc:
      if (writes) return MovePage(access.value);
      access.value = reference_tsc_;
      return true;
    case kMsrHypervTimeRefCount: {
      const Reader<GuestTime::Clock> reader(&machine_->page.bytes().timeline[0],
                                            machine_->time->clock());
      const NsReading now = reader.Now(ClockId::kMonotonic);
      if (writes || !now.ok()) return false;
      ++msr_reads_;
      access.value = DivideU64(now.ns - made_ns_, kNsPerHypervTick);
      return true;
    }
    default:
      return false;
  }
}

// Bits 63:12: the page's number; bit 0: enable.
bool HypervFace::MovePage(uint64_t value) {
  const uint64_t address = value & ~uint64_t{0xfff};
  const bool enable = (value & 1) != 0;
  if (enable && (address >= kRamSize || guest_os_id_ == 0)) return false;
  reference_tsc_ = value;
  const std::lock_guard<std::mutex> lock(mutex_);
  writer_.reset();
  if (!enable) return true;
  writer_.emplace(machine_->vm->At<hv_reference_tsc_page>(address));
  writer_->Format();
  if (last_.has_value()) {
    writer_->Publish(*last_);
    ++publications_;
  }
  return true;
}

// MONOTONIC since the partition was made. The absolute counter is scaled, so a
// line that begins in the future is one already.
void HypervFace::Publish(const Line& line) {
  ClockLine since = ClockLineOf(line, VVAR_BASE_MONOTONIC);
  const Timespec made = NsToTimespec(static_cast<int64_t>(made_ns_));
  since.base = Subtract(since.base, TimespecToTimebase(made, line.scale.shift),
                        line.scale.shift);
  HypervTscLine next;
  LineError error;
  const bool fits = ToHyperv(since, line.cycle_start, &next, &error);
  const std::lock_guard<std::mutex> lock(mutex_);
  if (!fits) {
    if (writer_.has_value()) writer_->Withdraw();
  } else if (!writer_.has_value() || !last_.has_value()) {
    last_ = next;
  } else {
    last_ = writer_->PublishAfter(*last_, next, machine_->time->clock());
    ++publications_;
  }
}

void HypervFace::Withdraw() {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (writer_.has_value()) writer_->Withdraw();
  writer_.reset();
}

uint64_t HypervFace::publications() {
  const std::lock_guard<std::mutex> lock(mutex_);
  return publications_;
}

absl::Status VmclockFace::Serve(Machine& machine) {
  machine_ = &machine;
  fd_ = Descriptor(memfd_create("vmclock", MFD_CLOEXEC));
  if (fd_.get() < 0 || ftruncate(fd_.get(), VVAR_PAGE_SIZE) != 0) {
    return absl::InternalError("memfd_create: vmclock");
  }
  absl::StatusOr<Mapping> mapping = Mapping::Map(
      VVAR_PAGE_SIZE, PROT_READ | PROT_WRITE, fd_.get(), "vmclock");
  if (!mapping.ok()) return mapping.status();
  mapping_ = *std::move(mapping);
  writer_.emplace(static_cast<vmclock_abi*>(mapping_.address()),
                  VmclockTaiSign::kUtcMinusTai);
  writer_->Format(VVAR_PAGE_SIZE);
  machine.time->TrustHost();
  return machine.vm->MapReadOnly(kVmclockPage, fd_.get());
}

void VmclockFace::Publish(const Line& line) {
  const GuestTime::Clock clock = machine_->time->clock();
  VmclockLine next = {};
  // From now on: readers have no line before it. What the guest's clocks do
  // until the line begins differs by the lead * the change of slope.
  if (!ToVmclock(line, clock.Read(), &next)) return;
  next.disruption_marker =
      PageMemory::Load(machine_->page.bytes().header.disruption_marker);
  if (last_.has_value()) {
    writer_->PublishAfter(*last_, &next, clock);
  } else {
    writer_->Publish(GuestTime::Clock::kCounterId, next);
  }
  last_ = next;
}

}  // namespace vvar::kvm_guest
