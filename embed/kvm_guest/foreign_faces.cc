// SPDX-License-Identifier: MIT
//
// See foreign_faces.h.
#include "embed/kvm_guest/foreign_faces.h"

#include <stddef.h>
#include <sys/mman.h>
#include <unistd.h>

#include <utility>

#include "absl/status/statusor.h"
#include "vvar/abi.h"
#include "vvar/reader.h"
#include "vvar/scale.h"
#include "vvar/seqcount.h"
#include "vvar/wide.h"

namespace vvar::kvm_guest {
namespace {

// What one part of the line's resolution is of a second. Bound: 10^9 << 34.
uint64_t PartsPerSec(const Line& line) { return kNsPerSec << line.scale.shift; }

// The line from `now` on, which is before it begins: VMClock's has no line
// before it, and its readers take a counter before it as at it. What the
// guest's clock does in between differs by the lead * the change of slope.
FracLine ToFracLine(const Line& line, uint32_t base, uint64_t now) {
  const uint64_t parts = PartsPerSec(line);
  const uint32_t mult = line.ScaleOf(base).mult;
  // As many bits as fit: mult * 2^shift < parts.
  uint32_t shift = 0;
  while (uint64_t{mult} << (shift + 1) < parts) ++shift;
  const Timebase& at = line.base[base];
  FracLine frac = {
      now,
      {static_cast<uint64_t>(at.sec),
       QuotientWide({at.nsec_shifted, 0}, parts).low},
      {QuotientWide({uint64_t{mult} << shift, 0}, parts).low, shift}};
  const Uint128 ahead = frac.Span(line.cycle_start, frac.period.frac_sec);
  const Uint128 time = SubtractWide({frac.time.sec, frac.time.frac_sec}, ahead);
  frac.time = {time.high, time.low};
  return frac;
}

}  // namespace

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

// Error: below a tick, towards the past.
HypervTscLine HypervFace::Convert(const Line& line) const {
  const Timebase& base = line.base[VVAR_BASE_MONOTONIC];
  const uint64_t since_ns =
      TimespecToNs(TimebaseToTimespec(base, line.scale.shift)) - made_ns_;
  HypervTscLine hyperv;
  // Bound: mult < 2^32, so that the quotient is below 2^64 above 10 MHz.
  hyperv.scale =
      QuotientWide({line.scale.mult, 0}, kNsPerHypervTick << line.scale.shift)
          .low;
  hyperv.offset = 0;
  hyperv.offset =
      DivideU64(since_ns, kNsPerHypervTick) - hyperv.TicksAt(line.cycle_start);
  return hyperv;
}

void HypervFace::Publish(const Line& line) {
  const HypervTscLine next = Convert(line);
  const std::lock_guard<std::mutex> lock(mutex_);
  if (!writer_.has_value() || !last_.has_value()) {
    last_ = next;
    return;
  }
  last_ = writer_->PublishAfter(*last_, next, machine_->time->clock());
  ++publications_;
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
  return machine.vm->MapReadOnly(kVmclockPage, fd_.get());
}

void VmclockFace::Publish(const Line& line) {
  VmclockLine next = {};
  next.line = ToFracLine(line, VVAR_BASE_TAI, machine_->time->clock().Read());
  next.time_type = VmclockTimeType::kTai;
  next.tai_offset_sec = line.tai_offset_sec;
  next.time_maxerror_ns = line.error_ns;
  next.period_maxerror = QuotientWide(MultiplyWide(next.line.period.frac_sec,
                                                   line.error_growth_ppb),
                                      kNsPerSec)
                             .low +
                         1;
  next.flags = kVmclockTaiOffsetValid | kVmclockTimeMaxerrorValid |
               kVmclockPeriodMaxerrorValid;
  next.clock_status = line.status == ClockStatus::kSynchronised
                          ? VmclockClockStatus::kSynchronised
                          : VmclockClockStatus::kFreeRunning;
  next.disruption_marker =
      PageMemory::Load(machine_->page.bytes().header.disruption_marker);
  if (last_.has_value()) {
    last_ = writer_->PublishAfter(*last_, next, machine_->time->clock());
  } else {
    writer_->Publish(GuestTime::Clock::kCounterId, next);
    last_ = next;
  }
}

}  // namespace vvar::kvm_guest
