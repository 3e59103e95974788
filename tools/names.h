// SPDX-License-Identifier: MIT
//
// What the library's numbers are called in reports.
#ifndef VVAR_TOOLS_NAMES_H_
#define VVAR_TOOLS_NAMES_H_

#include <stdint.h>

#include <string>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "fallback/chain.h"
#include "fallback/vdso_symbol.h"
#include "vvar/clocksource.h"
#include "vvar/page.h"

namespace vvar::tools {

/// A clock of the page and its name, as --clock and reports have it.
struct NamedClock {
  ClockId id;
  const char* name;
  bool coarse;
};

inline constexpr NamedClock kNamedClocks[] = {
    {ClockId::kRealtime, "realtime", false},
    {ClockId::kMonotonic, "monotonic", false},
    {ClockId::kMonotonicRaw, "monotonic_raw", false},
    {ClockId::kBoottime, "boottime", false},
    {ClockId::kTai, "tai", false},
    {ClockId::kRealtimeCoarse, "realtime_coarse", true},
    {ClockId::kMonotonicCoarse, "monotonic_coarse", true},
};

constexpr absl::string_view NameOf(ReadStatus status) {
  switch (status) {
    case ReadStatus::kOk:
      return "ok";
    case ReadStatus::kBusy:
      return "busy";
    case ReadStatus::kStale:
      return "stale";
    case ReadStatus::kNotReady:
      return "not ready";
    case ReadStatus::kUnknownClock:
      return "unknown clock";
    case ReadStatus::kWrongCounter:
      return "wrong counter";
    case ReadStatus::kNoCounter:
      return "counter withdrawn";
    case ReadStatus::kUnreadableCounter:
      return "counter not readable";
  }
  return "?";
}

constexpr absl::string_view NameOf(ClockStatus status) {
  switch (status) {
    case ClockStatus::kNone:
      return "none";
    case ClockStatus::kUnsynchronised:
      return "unsynchronised";
    case ClockStatus::kSynchronised:
      return "synchronised";
    case ClockStatus::kFreeRunning:
      return "free-running";
    case ClockStatus::kUnreliable:
      return "unreliable";
  }
  return "?";
}

/// Of a VVAR_LEAP_*.
constexpr absl::string_view LeapName(uint32_t leap_state) {
  switch (leap_state) {
    case VVAR_LEAP_NONE:
      return "none";
    case VVAR_LEAP_INSERT:
      return "to be inserted";
    case VVAR_LEAP_DELETE:
      return "to be deleted";
    case VVAR_LEAP_INSERTED:
      return "inserted, under way";
    case VVAR_LEAP_DONE:
      return "done";
    case VVAR_LEAP_SMEAR_INSERT:
      return "to be smeared, inserted";
    case VVAR_LEAP_SMEAR_DELETE:
      return "to be smeared, deleted";
    case VVAR_LEAP_SMEARING_INSERT:
      return "being smeared, inserted";
    case VVAR_LEAP_SMEARING_DELETE:
      return "being smeared, deleted";
    default:
      return "?";
  }
}

constexpr absl::string_view NameOf(fallback::Leg leg) {
  switch (leg) {
    case fallback::Leg::kPage:
      return "page";
    case fallback::Leg::kVdso:
      return "vdso";
    case fallback::Leg::kSyscall:
      return "syscall";
  }
  return "?";
}

constexpr absl::string_view NameOf(HzSource source) {
  switch (source) {
    case HzSource::kUnknown:
      return "unknown";
    case HzSource::kCpuidCrystal:
      return "CPUID leaf 15h";
    case HzSource::kCpuidBase:
      return "CPUID leaf 16h";
    case HzSource::kHypervisorLeaf:
      return "hypervisor's CPUID leaf";
    case HzSource::kCounterRegister:
      return "counter frequency register";
    case HzSource::kPlatform:
      return "platform";
    case HzSource::kCalibrated:
      return "calibration";
  }
  return "?";
}

constexpr absl::string_view NameOf(fallback::VdsoStatus status) {
  using fallback::VdsoStatus;
  switch (status) {
    case VdsoStatus::kFound:
      return "found";
    case VdsoStatus::kNotElf:
      return "not an ELF image, or none mapped";
    case VdsoStatus::kWrongClass:
      return "of another word size";
    case VdsoStatus::kWrongEndian:
      return "of the other byte order";
    case VdsoStatus::kWrongMachine:
      return "of an unknown machine";
    case VdsoStatus::kTruncated:
      return "truncated";
    case VdsoStatus::kNoDynamic:
      return "without a dynamic section";
    case VdsoStatus::kNoSymbolTable:
      return "without a symbol table";
    case VdsoStatus::kNoHash:
      return "without a hash table";
    case VdsoStatus::kCorrupt:
      return "corrupt";
    case VdsoStatus::kNoSuchSymbol:
      return "without the symbol";
    case VdsoStatus::kNoSuchVersion:
      return "without the version";
  }
  return "?";
}

constexpr absl::string_view CounterName(uint32_t counter_id) {
  switch (counter_id) {
    case VVAR_COUNTER_NONE:
      return "none";
    case VVAR_COUNTER_X86_TSC:
      return "x86 TSC";
    case VVAR_COUNTER_ARM_CNTVCT:
      return "Arm virtual counter";
    case VVAR_COUNTER_RISCV_TIME:
      return "RISC-V time";
  }
  return (counter_id & VVAR_COUNTER_PRIVATE) != 0 ? "private" : "unknown";
}

/// A length of time for people; "inf" for what is beyond reckoning.
inline std::string FormatNs(uint64_t ns) {
  return absl::FormatDuration(
      ns > INT64_MAX ? absl::InfiniteDuration()
                     : absl::Nanoseconds(static_cast<int64_t>(ns)));
}

}  // namespace vvar::tools

#endif  // VVAR_TOOLS_NAMES_H_
