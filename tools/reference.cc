// SPDX-License-Identifier: MIT
//
// vvar serve --reference --max_error_from.
#include "tools/reference.h"

#include <stdint.h>

#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/flags/flag.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "hosted/chrony_reference.h"
#include "hosted/kernel_vvar_reference.h"
#include "hosted/ptp_reference.h"
#include "hosted/reference.h"
#include "hosted/time_namespace.h"
#include "tools/command.h"
#include "vvar/offset.h"

namespace vvar::tools {
namespace {

/// The kernel's clock, in the time of the initial namespace.
absl::StatusOr<std::unique_ptr<hosted::KernelReference>> MakeKernelClock(
    NativeClock clock) {
  const absl::StatusOr<ClockOffsets> own = hosted::TimeNamespaceOffsets();
  if (!own.ok()) return own.status();
  return std::make_unique<hosted::KernelReference>(clock, *own);
}

absl::StatusOr<NamedReference> MakeKernel(NativeClock clock) {
  absl::StatusOr<std::unique_ptr<hosted::KernelReference>> kernel =
      MakeKernelClock(clock);
  if (!kernel.ok()) return kernel.status();
  return NamedReference{*std::move(kernel), "kernel clock", "",
                        "kernel (adjtimex)", ""};
}

absl::StatusOr<NamedReference> MakeKernelVvar(NativeClock clock) {
  absl::StatusOr<NamedReference> named = MakeKernel(clock);
  if (!named.ok()) return named;
  absl::StatusOr<std::unique_ptr<hosted::KernelVvarReference>> vvar =
      hosted::KernelVvarReference::Attach(clock);
  if (vvar.ok()) {
    named->reference = *std::move(vvar);
    named->name = "kernel vvar";
  } else {
    named->name_note = std::string(vvar.status().message());
  }
  return named;
}

absl::string_view NameOf(hosted::PtpComparator::Way way) {
  using Way = hosted::PtpComparator::Way;
  switch (way) {
    case Way::kPrecise:
      return "PTP_SYS_OFFSET_PRECISE";
    case Way::kExtended:
      return "PTP_SYS_OFFSET_EXTENDED";
    case Way::kBasic:
      return "PTP_SYS_OFFSET";
  }
  return "?";
}

absl::StatusOr<NamedReference> MakePtp(NativeClock clock,
                                       const std::string& path) {
  const auto out_of_range = [](const absl::Status& status) {
    return absl::OutOfRangeError(absl::StrCat("--reference: ", status.message(),
                                              "; expected a PTP device"));
  };
  absl::StatusOr<std::unique_ptr<hosted::PtpDevice>> device =
      hosted::PtpFile::Open(path);
  if (absl::IsPermissionDenied(device.status())) return device.status();
  if (!device.ok()) return out_of_range(device.status());
  absl::StatusOr<hosted::PtpComparator> comparator =
      hosted::PtpComparator::Create(*std::move(device), path);
  if (!comparator.ok()) return out_of_range(comparator.status());
  const absl::string_view way = NameOf(comparator->way());
  absl::StatusOr<std::unique_ptr<hosted::KernelReference>> kernel =
      MakeKernelClock(clock);
  if (!kernel.ok()) return kernel.status();
  hosted::PtpOptions options;
  // The kernel's, where somebody has told it one.
  const int32_t tai_offset_sec = (*kernel)->Quality().tai_offset_sec;
  if (tai_offset_sec != 0) options.tai_offset_sec = tai_offset_sec;
  absl::StatusOr<std::unique_ptr<hosted::PtpReference>> ptp =
      hosted::PtpReference::Create(*std::move(comparator), *std::move(kernel),
                                   options);
  if (!ptp.ok()) return out_of_range(ptp.status());
  return NamedReference{*std::move(ptp), absl::StrCat(path, " by ", way), "",
                        "nobody", "a PTP device does not tell its error"};
}

absl::StatusOr<NamedReference> MakeClocks(NativeClock clock) {
  const std::string reference = absl::GetFlag(FLAGS_reference);
  if (reference == "kernel") return MakeKernel(clock);
  if (reference == "kernel-vvar") return MakeKernelVvar(clock);
  if (absl::StartsWith(reference, "/dev/")) return MakePtp(clock, reference);
  return absl::OutOfRangeError(
      absl::StrCat("--reference=", reference,
                   "; expected kernel, kernel-vvar or /dev/ptpN"));
}

/// Returns ADDRESS of chrony[:ADDRESS]; nothing if that is not its form.
std::optional<absl::string_view> ChronyIn(absl::string_view flag) {
  if (!absl::ConsumePrefix(&flag, "chrony")) return std::nullopt;
  if (flag.empty() || absl::ConsumePrefix(&flag, ":")) return flag;
  return std::nullopt;
}

/// Gives `named` chronyd's error bound.
absl::Status UseChrony(absl::string_view address_text, NamedReference& named) {
  absl::StatusOr<hosted::ChronyAddress> address =
      hosted::ParseChronyAddress(address_text);
  if (!address.ok()) {
    return absl::OutOfRangeError(
        absl::StrCat("--max_error_from: ", address.status().message()));
  }
  auto chrony = std::make_unique<hosted::ChronyReference>(
      std::move(named.reference), *std::move(address));
  named.max_error_from = absl::StrCat("chronyd at ", chrony->address().Name());
  if (!chrony->status().ok()) {
    named.max_error_note = absl::StrCat("the kernel's until it answers: ",
                                        chrony->status().message());
  }
  named.reference = std::move(chrony);
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<NamedReference> MakeReference(NativeClock clock) {
  const std::string flag = absl::GetFlag(FLAGS_max_error_from);
  const std::optional<absl::string_view> chrony = ChronyIn(flag);
  if (!chrony.has_value() && flag != "kernel") {
    return absl::OutOfRangeError(absl::StrCat(
        "--max_error_from=", flag,
        "; expected kernel, chrony, chrony:PORT or chrony:/SOCKET"));
  }
  if (chrony.has_value() &&
      absl::StartsWith(absl::GetFlag(FLAGS_reference), "/")) {
    return absl::OutOfRangeError(absl::StrCat(
        "--max_error_from=", flag, ": chronyd tracks the system clock; ",
        "expected --reference=kernel or kernel-vvar"));
  }
  absl::StatusOr<NamedReference> named = MakeClocks(clock);
  if (!named.ok() || !chrony.has_value()) return named;
  const absl::Status used = UseChrony(*chrony, *named);
  if (!used.ok()) return used;
  return named;
}

}  // namespace vvar::tools
