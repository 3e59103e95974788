// SPDX-License-Identifier: MIT
//
// A program without a C library: what its first instructions see of the vDSO
// that the auxiliary vector names, one line for each function: the name, what
// it returned, the time it gave. x86-64.
#include <stdint.h>

#include "embed/kernel/text.h"
#include "fallback/syscall.h"
#include "fallback/vdso_symbol.h"

// The kernel enters a program with the stack pointer at argc.
// Source: System V ABI for x86-64, 3.4.1.
asm(".globl _start\n"
    "_start:\n"
    "  mov %rsp, %rdi\n"
    "  call EarlyMain\n"
    "  hlt\n");

namespace vvar::tools {
namespace {

using fallback::VdsoFunctions;
using fallback::VdsoImage;

constexpr int32_t kWrite = 1, kExitGroup = 231;
constexpr int64_t kNsPerSec = 1'000'000'000;

void Print(const char* name, intptr_t result, int64_t ns) {
  embed::Text line;
  line.Add(name).Add(result < 0 ? " -1 " : " 0 ");
  line.Add(static_cast<uint64_t>(ns)).Add("\n");
  fallback::EnterKernel(kWrite, 1, reinterpret_cast<intptr_t>(line.data()),
                        static_cast<intptr_t>(line.size()));
}

/// Returns the auxiliary vector, which is after the environment's end.
const uintptr_t* VectorOf(const uintptr_t* stack) {
  const uintptr_t* at = stack + 1 + stack[0] + 1;
  while (*at != 0) ++at;
  return at + 1;
}

int32_t Run(const uintptr_t* stack) {
  const VdsoFunctions vdso = fallback::FindVdsoFunctions(
      VdsoImage::FromMappedByKernel(fallback::FindVdsoInAuxv(VectorOf(stack))));
  if (vdso.clock_gettime == nullptr || vdso.clock_getres == nullptr ||
      vdso.gettimeofday == nullptr || vdso.time == nullptr ||
      vdso.getcpu == nullptr) {
    return 1;
  }
  fallback::KernelOldTimespec now = {};
  int32_t result = vdso.clock_gettime(0, &now);
  Print("clock_gettime", result, now.tv_sec * kNsPerSec + now.tv_nsec);
  result = vdso.clock_getres(0, &now);
  Print("clock_getres", result, now.tv_nsec);
  fallback::KernelTimeval timeval = {};
  result = vdso.gettimeofday(&timeval, nullptr);
  Print("gettimeofday", result,
        timeval.tv_sec * kNsPerSec + timeval.tv_usec * 1'000);
  const intptr_t sec = vdso.time(nullptr);
  Print("time", sec, sec * kNsPerSec);
  Print("getcpu", vdso.getcpu(nullptr, nullptr, nullptr), 0);
  return 0;
}

}  // namespace
}  // namespace vvar::tools

extern "C" [[gnu::used, noreturn]] void EarlyMain(const uintptr_t* stack) {
  const int32_t status = vvar::tools::Run(stack);
  for (;;) {
    vvar::fallback::EnterKernel(vvar::tools::kExitGroup, status, 0, 0);
  }
}
