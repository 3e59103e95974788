// SPDX-License-Identifier: MIT
//
// A PTP device (/dev/ptpN) as a reference: a clock domain of its own, whose
// REALTIME and MONOTONIC both run at the device's rate. The device is asked
// through one virtual call, so that tests replay what one answered. User space,
// writer side only.
#ifndef VVAR_HOSTED_PTP_REFERENCE_H_
#define VVAR_HOSTED_PTP_REFERENCE_H_

#include <errno.h>
#include <fcntl.h>
#include <linux/ptp_clock.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "hosted/reference.h"
#include "vvar/page.h"

namespace vvar::hosted {

/// The ioctls of a PTP device.
class PtpDevice {
 public:
  virtual ~PtpDevice() = default;
  /// As ioctl(2); returns 0 or the errno.
  virtual int Ioctl(unsigned long request, void* argument) = 0;
};

/// A device of this machine. RAII.
class PtpFile : public PtpDevice {
 public:
  /// Error: NotFound or PermissionDenied or another, naming the path.
  static absl::StatusOr<std::unique_ptr<PtpDevice>> Open(
      const std::string& path) {
    const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
      return absl::ErrnoToStatus(errno, absl::StrCat(path, ": open"));
    }
    return std::unique_ptr<PtpDevice>(new PtpFile(fd));
  }
  ~PtpFile() override { close(fd_); }
  PtpFile(const PtpFile&) = delete;
  PtpFile& operator=(const PtpFile&) = delete;

  int Ioctl(unsigned long request, void* argument) override {
    return ioctl(fd_, request, argument) == 0 ? 0 : errno;
  }

 private:
  explicit PtpFile(int fd) : fd_(fd) {}
  int fd_;
};

/// The device's time between two readings of a kernel clock. Units: ns.
struct PtpSample {
  int64_t device_ns;
  int64_t before_ns;
  int64_t after_ns;
};

/// A device with the best way it has of comparing its time with the kernel's.
/// Source: Linux, include/uapi/linux/ptp_clock.h, and
/// drivers/ptp/ptp_chardev.c.
class PtpComparator {
 public:
  /// In the order of preference.
  enum class Way {
    kPrecise,   ///< Both clocks at one instant, by hardware.
    kExtended,  ///< The kernel's just before and after the device's register.
    kBasic,     ///< The kernel's before and after the driver's whole call.
  };

  /// Takes the first way that the device has. `name` is for errors.
  /// Error: FailedPrecondition, naming the device, and each ioctl's errno.
  static absl::StatusOr<PtpComparator> Create(std::unique_ptr<PtpDevice> device,
                                              std::string name) {
    PtpComparator comparator(std::move(device), std::move(name));
    std::string errors;
    for (const Way way : {Way::kPrecise, Way::kExtended, Way::kBasic}) {
      comparator.way_ = way;
      const absl::Status status = comparator.Compare().status();
      if (status.ok()) return comparator;
      absl::StrAppend(&errors, errors.empty() ? "" : "; ", status.message());
    }
    return absl::FailedPreconditionError(errors);
  }

  /// Asks the device once.
  /// Error: Unavailable, naming the device, the ioctl and its errno.
  absl::StatusOr<PtpSample> Compare() {
    switch (way_) {
      case Way::kPrecise: {
        ptp_sys_offset_precise answer = {};
        const int error = device_->Ioctl(PTP_SYS_OFFSET_PRECISE, &answer);
        if (error != 0) return Failed("PTP_SYS_OFFSET_PRECISE", error);
        const int64_t raw_ns = Ns(answer.sys_monoraw);
        return PtpSample{Ns(answer.device), raw_ns, raw_ns};
      }
      case Way::kExtended: {
        ptp_sys_offset_extended answer = {};
        answer.n_samples = 1;
        const int error = device_->Ioctl(PTP_SYS_OFFSET_EXTENDED, &answer);
        if (error != 0) return Failed("PTP_SYS_OFFSET_EXTENDED", error);
        const ptp_clock_time* stamps = answer.ts[0];
        return PtpSample{Ns(stamps[1]), Ns(stamps[0]), Ns(stamps[2])};
      }
      case Way::kBasic: {
        ptp_sys_offset answer = {};
        answer.n_samples = 1;
        const int error = device_->Ioctl(PTP_SYS_OFFSET, &answer);
        if (error != 0) return Failed("PTP_SYS_OFFSET", error);
        const ptp_clock_time* stamps = answer.ts;
        return PtpSample{Ns(stamps[1]), Ns(stamps[0]), Ns(stamps[2])};
      }
    }
    return absl::InternalError("no such way");
  }

  /// The one that Create() took, for good.
  Way way() const { return way_; }
  /// The kernel clock that its samples are stamped with.
  ClockId stamps() const {
    return way_ == Way::kPrecise ? ClockId::kMonotonicRaw : ClockId::kRealtime;
  }
  /// What errors call the device.
  const std::string& name() const { return name_; }

 private:
  PtpComparator(std::unique_ptr<PtpDevice> device, std::string name)
      : device_(std::move(device)), name_(std::move(name)) {}

  static int64_t Ns(const ptp_clock_time& time) {
    return time.sec * 1'000'000'000 + int64_t{time.nsec};
  }
  absl::Status Failed(const char* ioctl_name, int error) const {
    return absl::UnavailableError(
        absl::StrCat(name_, ": ", ioctl_name, ": ", strerror(error)));
  }

  std::unique_ptr<PtpDevice> device_;
  std::string name_;
  Way way_ = Way::kPrecise;
};

/// What the device does not tell.
struct PtpOptions {
  /// How far its time is ahead of UTC: 37 s since 2017 for the TAI that PTP
  /// domains keep by default, 0 for a device that ptp4l or phc2sys keeps on
  /// UTC.
  int32_t tai_offset_sec = 37;
  /// A bound of its error, in the caller's word; without one the reference is
  /// not synchronised: only ptp4l knows whether it is.
  uint64_t max_error_ns = kUnknownErrorNs;
};

/// A PTP device as the time of a page. MONOTONIC and BOOTTIME begin at the
/// kernel's and run at the device's rate; REALTIME is the device's less the TAI
/// offset; MONOTONIC_RAW stays the kernel's.
///
/// How a device's time comes to a counter value: the kernel stamps it with its
/// own clock, on both sides; that clock is read between two counter readings
/// just before and just after the ioctl, which makes a line from it to the
/// counter; the stamps are looked up on that line, and the bracket they make is
/// widened by half of the wider of the two readings. So the device's instant
/// lies in the bracket; what is assumed beyond the kernel's rounding is that
/// its clock's slope does not change within the ioctl: 100 ppm within 10 us
/// would be 1 ns. A stamp off the line (the clock was set) gives the bracket
/// of the whole ioctl.
///
/// A device that is set by more than kStepNs steps REALTIME, not MONOTONIC.
/// One that fails is carried on at MONOTONIC_RAW's rate, unsynchronised.
class PtpReference : public Reference {
 public:
  /// A device that is off by more has been set.
  static constexpr int64_t kStepNs = 1'000'000;

  /// Error: Unavailable, naming the device and the ioctl.
  static absl::StatusOr<std::unique_ptr<PtpReference>> Create(
      PtpComparator comparator, std::unique_ptr<Reference> kernel,
      const PtpOptions& options) {
    auto reference = std::unique_ptr<PtpReference>(
        new PtpReference(std::move(comparator), std::move(kernel), options));
    reference->Measure();
    if (!reference->status_.ok()) return reference->status_;
    reference->monotonic_origin_ns_ =
        reference->device_ns_ -
        reference->kernel_->Read(ClockId::kMonotonic).ns;
    reference->boottime_origin_ns_ =
        reference->device_ns_ - reference->kernel_->Read(ClockId::kBoottime).ns;
    return reference;
  }

  Bracket Read(ClockId clock) override {
    if (clock == ClockId::kMonotonicRaw) return kernel_->Read(clock);
    Bracket bracket = Measure();
    bracket.ns -= clock == ClockId::kRealtime   ? TaiOffsetNs()
                  : clock == ClockId::kBoottime ? boottime_origin_ns_
                                                : monotonic_origin_ns_;
    return bracket;
  }

  /// Its frequency against MONOTONIC_RAW is for a servo to find.
  ReferenceQuality Quality() override {
    const bool known = status_.ok() && options_.max_error_ns < kUnknownErrorNs;
    return {known, 0.0, known ? options_.max_error_ns : kUnknownErrorNs,
            options_.tai_offset_sec};
  }

  /// Ok, or why the device's last measurement failed.
  const absl::Status& status() const { return status_; }
  /// The device, and how it is compared.
  const PtpComparator& comparator() const { return comparator_; }

 private:
  PtpReference(PtpComparator comparator, std::unique_ptr<Reference> kernel,
               const PtpOptions& options)
      : comparator_(std::move(comparator)),
        kernel_(std::move(kernel)),
        options_(options) {}

  int64_t TaiOffsetNs() const {
    return int64_t{options_.tai_offset_sec} * 1'000'000'000;
  }

  /// Measures once: the device's time, and the counter around it.
  Bracket Measure() {
    const Bracket first = kernel_->Read(comparator_.stamps());
    const absl::StatusOr<PtpSample> sample = comparator_.Compare();
    const Bracket last = kernel_->Read(comparator_.stamps());
    const Bracket raw = kernel_->Read(ClockId::kMonotonicRaw);
    status_ = sample.status();
    if (!sample.ok()) {
      return {raw.before, raw.after, device_ns_ + raw.ns - raw_ns_};
    }
    NoticeStep(sample->device_ns, raw.ns);
    device_ns_ = sample->device_ns;
    raw_ns_ = raw.ns;
    return ToCounter(*sample, first, last);
  }

  static Bracket ToCounter(const PtpSample& sample, const Bracket& first,
                           const Bracket& last) {
    if (first.ns > sample.before_ns || sample.before_ns > sample.after_ns ||
        sample.after_ns > last.ns || first.ns == last.ns) {
      return {first.before, last.after, sample.device_ns};
    }
    const double cycles_per_ns =
        static_cast<double>(last.midpoint() - first.midpoint()) /
        static_cast<double>(last.ns - first.ns);
    const auto cycles_at = [&](int64_t ns) {
      return first.midpoint() +
             static_cast<uint64_t>(static_cast<double>(ns - first.ns) *
                                   cycles_per_ns);
    };
    const uint64_t margin = std::max(first.width(), last.width()) / 2 +
                            static_cast<uint64_t>(cycles_per_ns) + 1;
    return {cycles_at(sample.before_ns) - margin,
            cycles_at(sample.after_ns) + margin, sample.device_ns};
  }

  /// Moves the origins with a device that was set, so that only REALTIME steps.
  void NoticeStep(int64_t device_ns, int64_t raw_ns) {
    const int64_t elapsed_ns = raw_ns - raw_ns_;
    const int64_t step_ns = device_ns - device_ns_ - elapsed_ns;
    // No device runs 1000 ppm off.
    if (raw_ns_ == 0 || std::abs(step_ns) <= kStepNs + elapsed_ns / 1000) {
      return;
    }
    monotonic_origin_ns_ += step_ns;
    boottime_origin_ns_ += step_ns;
  }

  PtpComparator comparator_;
  std::unique_ptr<Reference> kernel_;
  PtpOptions options_;
  absl::Status status_;
  // The last measurement.
  int64_t device_ns_ = 0;
  int64_t raw_ns_ = 0;
  int64_t monotonic_origin_ns_ = 0;
  int64_t boottime_origin_ns_ = 0;
};

}  // namespace vvar::hosted

#endif  // VVAR_HOSTED_PTP_REFERENCE_H_
