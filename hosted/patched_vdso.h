// SPDX-License-Identifier: MIT
//
// The kernel's vDSO in another process, whose functions are made to lead to an
// image: for pointers that a program resolved long ago. The pages become the
// process's own copy. Linux on x86-64, user space; on stopped_process.h.
#ifndef VVAR_HOSTED_PATCHED_VDSO_H_
#define VVAR_HOSTED_PATCHED_VDSO_H_

#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "fallback/syscall.h"
#include "fallback/vdso_symbol.h"
#include "hosted/memory_map.h"
#include "hosted/stopped_process.h"
#include "hosted/traced_thread.h"
#include "vdso/loader.h"

namespace vvar::hosted {

/// The vDSO of a stopped process. Error, of every function: StoppedProcess's.
class PatchedVdso {
 public:
  /// Looks at it. Error: also FailedPrecondition, if it is not the one that
  /// this process has too, but for jumps where the functions begin.
  static absl::StatusOr<PatchedVdso> Of(const StoppedProcess& process,
                                        const MemoryMap& map) {
    const absl::StatusOr<MemoryMap> own_map = ReadMemoryMap();
    if (!own_map.ok()) return own_map.status();
    const Mapping* own = FindMapping(*own_map, "[vdso]");
    const Mapping* its = FindMapping(map, "[vdso]");
    if (own == nullptr || its == nullptr) {
      return absl::FailedPreconditionError(
          absl::StrCat("process ", own == nullptr ? getpid() : process.pid(),
                       ": no [vdso] is mapped; expected the kernel's"));
    }
    PatchedVdso vdso(process.threads().front(), its->range.begin);
    vdso.original_.assign(reinterpret_cast<const char*>(own->range.begin),
                          own->range.end - own->range.begin);
    absl::Status status = vdso.FindFunctions();
    std::string bytes(its->range.end - its->range.begin, 0);
    if (status.ok()) {
      status = process.ReadMemory(vdso.base_, bytes.data(), bytes.size());
    }
    if (!status.ok()) return status;
    for (Function& function : vdso.functions_) {
      if (bytes.size() != vdso.original_.size()) break;
      const std::string original =
          vdso.original_.substr(function.offset, kJumpSize);
      function.is_patched =
          bytes[function.offset] == kJump &&
          bytes.compare(function.offset, kJumpSize, original) != 0;
      if (function.is_patched) {
        bytes.replace(function.offset, kJumpSize, original);
      }
    }
    if (bytes == vdso.original_) return vdso;
    return absl::FailedPreconditionError(absl::StrCat(
        "process ", process.pid(), ": its vDSO at 0x", absl::Hex(vdso.base_),
        " is not this process's; expected that of a 64-bit program, changed by "
        "nobody else"));
  }

  /// Where it begins. An image must lie within 2 GiB.
  uint64_t base() const { return base_; }

  /// Whether one of its functions jumps to an image.
  bool is_patched() const {
    return std::any_of(
        functions_.begin(), functions_.end(),
        [](const Function& function) { return function.is_patched; });
  }
  /// Of clock_gettime and its like: all that Patch() redirects.
  size_t function_count() const { return functions_.size(); }

  /// Where no thread may stand, nor return to, when Patch() is called: within
  /// the bytes of a jump, but at its begin.
  std::vector<MemoryRange> Jumps() const {
    std::vector<MemoryRange> ranges;
    for (const Function& function : functions_) {
      const uint64_t begin = base_ + function.offset;
      ranges.push_back({begin + 1, begin + kJumpSize});
    }
    return ranges;
  }

  /// Makes each function lead to that of the image. Error: the functions may be
  /// changed in part; Restore().
  absl::Status Patch(const vdso::LoadableImage& image,
                     const vdso::ImageLayout& layout) {
    for (Function& function : functions_) {
      const uint64_t begin = base_ + function.offset;
      const auto distance = static_cast<int64_t>(
          image.AddressOf(function.name, layout) - (begin + kJumpSize));
      const auto relative = static_cast<int32_t>(distance);
      if (relative != distance) {
        return absl::InternalError(absl::StrCat(
            "process ", thread_.tid(), ": the image at 0x",
            absl::Hex(layout.image), " is not within 2 GiB of the vDSO at 0x",
            absl::Hex(base_)));
      }
      std::array<char, kJumpSize> jump = {kJump};
      memcpy(&jump[1], &relative, sizeof(relative));
      function.is_patched = true;
      const absl::Status status =
          thread_.Write(begin, jump.data(), jump.size());
      if (!status.ok()) return status;
    }
    return absl::OkStatus();
  }

  /// Puts the functions back as the kernel has them.
  absl::Status Restore() {
    for (Function& function : functions_) {
      if (!function.is_patched) continue;
      const absl::Status status = thread_.Write(
          base_ + function.offset, &original_[function.offset], kJumpSize);
      if (!status.ok()) return status;
      function.is_patched = false;
    }
    return absl::OkStatus();
  }

 private:
  struct Function {
    const char* name;
    uint64_t offset;
    bool is_patched = false;
  };
  /// Source: Intel SDM volume 2, JMP rel32: e9 and a distance from its end.
  static constexpr char kJump = '\xe9';
  static constexpr size_t kJumpSize = 5;

  PatchedVdso(TracedThread thread, uint64_t base)
      : thread_(thread), base_(base) {}

  /// Those of the kernel's that an image has too. Error: FailedPrecondition, of
  /// one that is too short to hold a jump, as far as symbols tell.
  absl::Status FindFunctions() {
    const fallback::VdsoImage image(original_.data(), original_.size());
    const auto begin = reinterpret_cast<uintptr_t>(original_.data());
    for (const char* name :
         {"clock_gettime", "gettimeofday", "time", "clock_getres", "getcpu"}) {
      const uintptr_t address = fallback::FindVdsoFunction(image, name).address;
      if (address == 0) continue;
      bool has_room = address - begin + kJumpSize <= original_.size();
      image.ForEachSymbol([&](const fallback::VdsoSymbol& symbol) {
        has_room &=
            symbol.address <= address || symbol.address >= address + kJumpSize;
      });
      if (!has_room) {
        return absl::FailedPreconditionError(
            absl::StrCat("[vdso]: ", name, " has less than ", kJumpSize,
                         " bytes; expected room for a jump"));
      }
      functions_.push_back({name, address - begin});
    }
    if (!functions_.empty()) return absl::OkStatus();
    return absl::FailedPreconditionError(
        "[vdso]: no function that is known; expected clock_gettime");
  }

  TracedThread thread_;
  uint64_t base_;
  std::string original_;
  std::vector<Function> functions_;
};

}  // namespace vvar::hosted

#endif  // VVAR_HOSTED_PATCHED_VDSO_H_
