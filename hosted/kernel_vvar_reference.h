// SPDX-License-Identifier: MIT
//
// The kernel's clocks, computed from the parameters the kernel publishes for
// its own vDSO: the exact value at a counter value, without a bracket. Their
// layout is private to the kernel: recognised by a self-check, held against
// the kernel's clock whenever it changes, and never the only leg. User space,
// writer side only; x86 with Linux 6.15 or later, elsewhere refused.
#ifndef VVAR_HOSTED_KERNEL_VVAR_REFERENCE_H_
#define VVAR_HOSTED_KERNEL_VVAR_REFERENCE_H_

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "clocks/native.h"
#include "hosted/memory_map.h"
#include "hosted/reference.h"
#include "vvar/page.h"
#include "vvar/scale.h"
#include "vvar/seqcount.h"

namespace vvar::hosted {

/// One set of the kernel's parameters: a line under a sequence counter.
/// Source: Linux 6.15 to 6.18, x86: [vvar] page 0, from its begin; found by
/// comparing readings with clock_gettime(2).
struct KernelVvarClock {
  uint32_t seq;
  int32_t mode;         ///< Of the counter; see KernelVvarReference.
  uint64_t cycle_last;  ///< Where the line begins.
  uint64_t max_cycles;
  uint64_t mask;
  uint32_t mult;
  uint32_t shift;
  struct {
    uint64_t sec;
    uint64_t nsec_shifted;
  } base[12];  ///< By POSIX clock id.
};
static_assert(offsetof(KernelVvarClock, mask) == 24 &&
              offsetof(KernelVvarClock, base) == 40 &&
              sizeof(KernelVvarClock) == 232);

/// The begin of the kernel's [vvar] mapping.
struct KernelVvar {
  KernelVvarClock disciplined;  ///< REALTIME, MONOTONIC, BOOTTIME, TAI.
  KernelVvarClock raw;          ///< MONOTONIC_RAW.
};

/// Returns where the kernel has mapped its parameters into this process; null
/// if nowhere that /proc/self/maps tells.
inline const KernelVvar* FindKernelVvar() {
  const absl::StatusOr<MemoryMap> map = ReadMemoryMap();
  const Mapping* found = map.ok() ? FindMapping(*map, "[vvar]") : nullptr;
  if (found == nullptr) return nullptr;
  return reinterpret_cast<const KernelVvar*>(found->range.begin);
}

/// The kernel's clocks from its own parameters. Zero-width brackets while
/// status() is ok, the kernel's clock in brackets while it is not. A self-check
/// that failed is tried again by Quality().
///
/// Not guarded after Attach(): who unmaps [vvar] under this process, as CRIU
/// does, also takes its vDSO away.
class KernelVvarReference : public Reference {
 public:
  /// Takes the parameters at `vvar` after a self-check.
  /// Error: FailedPrecondition, naming what differs from what was expected.
  static absl::StatusOr<std::unique_ptr<KernelVvarReference>> Attach(
      NativeClock clock, const KernelVvar* vvar = FindKernelVvar()) {
    if (NativeClock::kCounterId != VVAR_COUNTER_X86_TSC) {
      return absl::FailedPreconditionError(
          "[vvar]: its layout is known for x86 only");
    }
    if (vvar == nullptr) {
      return absl::FailedPreconditionError(
          "/proc/self/maps: no mapping [vvar]; expected one");
    }
    const absl::Status readable = CheckReadable(*vvar);
    if (!readable.ok()) return readable;
    auto reference = std::unique_ptr<KernelVvarReference>(
        new KernelVvarReference(clock, *vvar));
    if (!reference->status_.ok()) return reference->status_;
    return reference;
  }

  Bracket Read(ClockId clock) override {
    if (status_.ok()) {
      Slope& known = clock == ClockId::kMonotonicRaw ? raw_ : disciplined_;
      Reading reading;
      absl::Status read = TryRead(clock, &reading);
      if (read.ok() && reading.slope != known) {
        read = CheckAgainstKernel(clock);
        known = reading.slope;
      }
      if (read.ok()) return reading.bracket;
      status_ = read;
    }
    return kernel_.Read(clock);
  }

  ReferenceQuality Quality() override {
    if (!status_.ok()) status_ = Check();
    return kernel_.Quality();
  }

  /// Ok, or why reads are the kernel's clock now.
  const absl::Status& status() const { return status_; }

 private:
  /// Source: Linux, include/vdso/clocksource.h and arch/x86/include/asm/vdso/
  /// clocksource.h: the modes, in their order; the last is that of the page
  /// which stands here inside a time namespace, whose seq is 1 for good.
  static constexpr int32_t kModeTsc = 1;
  static constexpr int32_t kModeTimeNamespace = INT32_MAX;
  /// Past a writer that was interrupted in its update; it has interrupts off,
  /// so only a hypervisor may do that.
  static constexpr int kTries = 1000;

  struct Slope {
    uint32_t mult = 0;
    uint32_t shift = 0;
    bool operator==(const Slope&) const = default;
  };
  struct Reading {
    Bracket bracket;
    Slope slope;  ///< With which it was computed.
  };

  KernelVvarReference(NativeClock clock, const KernelVvar& vvar)
      : clock_(clock), vvar_(vvar), kernel_(clock), status_(Check()) {}

  /// A system call that copies from an address says whether it can be read,
  /// where a load would raise SIGSEGV or SIGBUS.
  static absl::Status CheckReadable(const KernelVvar& vvar) {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0) {
      return absl::FailedPreconditionError(
          absl::StrCat("[vvar]: pipe2: ", strerror(errno)));
    }
    const ssize_t copied = write(ends[1], &vvar, sizeof(vvar));
    const int error = errno;
    close(ends[0]);
    close(ends[1]);
    if (copied == static_cast<ssize_t>(sizeof(vvar))) return absl::OkStatus();
    return absl::FailedPreconditionError(absl::StrCat(
        "[vvar]: cannot be read: ", copied < 0 ? strerror(error) : "its end",
        "; expected ", sizeof(vvar), " readable bytes"));
  }

  static absl::Status Differs(const char* field, int64_t value,
                              const char* expected) {
    return absl::FailedPreconditionError(
        absl::StrCat("[vvar]: ", field, " ", value, "; expected ", expected));
  }

  /// Reads a clock once, as the vDSO does.
  /// Error: FailedPrecondition: no such layout, or not the TSC any more; or the
  /// update under way never ended.
  /// Progress: bounded by kTries.
  absl::Status TryRead(ClockId clock, Reading* reading) const {
    const KernelVvarClock& from =
        clock == ClockId::kMonotonicRaw ? vvar_.raw : vvar_.disciplined;
    const auto& base = from.base[static_cast<int32_t>(clock)];
    for (int i = 0; i < kTries; ++i) {
      const SeqToken seq = ReadBegin<PageMemory>(from.seq);
      // Before seq: in a time namespace that stays odd.
      const int32_t mode = PageMemory::Load(from.mode);
      if (mode != kModeTsc) {
        return Differs("mode", mode,
                       mode == kModeTimeNamespace
                           ? "1, TSC: this process is in a time namespace"
                           : "1, TSC");
      }
      const uint64_t cycles = clock_.Read(seq);
      const uint64_t cycle_last = PageMemory::Load(from.cycle_last);
      const uint64_t mask = PageMemory::Load(from.mask);
      const Slope slope = {PageMemory::Load(from.mult),
                           PageMemory::Load(from.shift)};
      const uint64_t sec = PageMemory::Load(base.sec);
      const uint64_t nsec_shifted = PageMemory::Load(base.nsec_shifted);
      if ((seq & 1) != 0 || ReadEnd<PageMemory>(from.seq) != seq) {
        clock_.Relax();
        continue;
      }
      if (slope.mult == 0) return Differs("mult", 0, "more than 0");
      if (slope.shift > 32) return Differs("shift", slope.shift, "at most 32");
      if (mask != UINT64_MAX) {
        return Differs("mask", static_cast<int64_t>(mask), "-1, all ones");
      }
      // A counter slightly behind is clamped, as the vDSO does.
      const auto delta = static_cast<int64_t>(cycles - cycle_last);
      const uint64_t ns =
          CyclesToNs(static_cast<uint64_t>(std::max<int64_t>(delta, 0)),
                     {slope.mult, slope.shift}, nsec_shifted);
      reading->slope = slope;
      reading->bracket = {cycles, cycles,
                          static_cast<int64_t>(sec * kNsPerSec + ns)};
      return absl::OkStatus();
    }
    return Differs("seq", PageMemory::Load(from.seq), "an even number in time");
  }

  /// Holds a reading against the kernel's clock before and after.
  absl::Status CheckAgainstKernel(ClockId clock) {
    const int64_t earliest = kernel_.Read(clock).ns;
    Reading reading;
    absl::Status read = TryRead(clock, &reading);
    if (!read.ok()) return read;
    const int64_t latest = kernel_.Read(clock).ns;
    const int64_t ns = reading.bracket.ns;
    if (earliest <= ns && ns <= latest) return absl::OkStatus();
    return absl::FailedPreconditionError(absl::StrCat(
        "[vvar]: clock ", static_cast<int32_t>(clock), " is ", ns,
        " ns; expected ", earliest, " to ", latest, ", as the kernel says"));
  }

  /// The self-check: all of the clocks, often enough for an accident not to
  /// pass.
  absl::Status Check() {
    constexpr int kRounds = 16;
    for (int i = 0; i < kRounds; ++i) {
      for (const ClockId clock :
           {ClockId::kRealtime, ClockId::kMonotonic, ClockId::kBoottime,
            ClockId::kTai, ClockId::kMonotonicRaw}) {
        absl::Status agrees = CheckAgainstKernel(clock);
        if (!agrees.ok()) return agrees;
      }
    }
    return absl::OkStatus();
  }

  NativeClock clock_;
  const KernelVvar& vvar_;
  KernelReference kernel_;
  // For which readings have been found right.
  Slope disciplined_;
  Slope raw_;
  absl::Status status_;
};

}  // namespace vvar::hosted

#endif  // VVAR_HOSTED_KERNEL_VVAR_REFERENCE_H_
