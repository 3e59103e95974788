// SPDX-License-Identifier: MIT
//
// What Linux itself answers, without libc: raw system calls per ISA, and the
// functions of its vDSO by name. Freestanding; for user mode: the clock chain,
// vDSO images, tests. Must never contain a choice of one over another (that is
// chain.h's), errno, or asm for anything but entering the kernel.
#ifndef VVAR_FALLBACK_SYSCALL_H_
#define VVAR_FALLBACK_SYSCALL_H_

#include <stdint.h>

#include "fallback/vdso_symbol.h"

namespace vvar::fallback {

/// The kernel's result structures; old ones have the width of a pointer.
// Source: Linux, include/uapi/linux/time_types.h and time.h.
template <typename Int>
struct KernelTimespecOf {
  Int tv_sec, tv_nsec;
};
using KernelTimespec = KernelTimespecOf<int64_t>;      ///< On each ISA.
using KernelTimespec32 = KernelTimespecOf<int32_t>;    ///< Ends in 2038.
using KernelOldTimespec = KernelTimespecOf<intptr_t>;  ///< One of these two.
/// What gettimeofday() gives.
struct KernelTimeval {
  intptr_t tv_sec, tv_usec;
};
/// Its time zone, as settimeofday() set it.
struct KernelTimezone {
  int32_t tz_minuteswest, tz_dsttime;
};

inline constexpr int32_t kNoSyscall = -1;  ///< The ISA never had this call.
/// Of one ISA. Seconds have 64 bits where a name does not say 32.
struct SyscallNumbers {
  int32_t clock_gettime = kNoSyscall, clock_getres = kNoSyscall;
  int32_t clock_gettime_time32 = kNoSyscall, clock_getres_time32 = kNoSyscall;
  int32_t gettimeofday = kNoSyscall;
  int32_t time = kNoSyscall;  ///< Of x86.
  int32_t getcpu = kNoSyscall;
};

/// @{
/// One block per ISA: its numbers, and EnterKernel, its asm, which gives what
/// the kernel does: a result or -errno.
/// Ordering: the compiler must not swap the entry with loads and stores around
/// it, since results arrive in memory: "memory". Among CPUs it orders nothing.
#define VVAR_SYSCALL_CLOBBERS "memory"

#if defined(__x86_64__) && !defined(__ILP32__)

// Source: Linux, arch/x86/entry/syscalls/syscall_64.tbl; System V AMD64 psABI,
// A.2.1 (number in rax; arguments in rdi, rsi, rdx; rcx and r11 are lost).
inline constexpr SyscallNumbers kSyscalls = {.clock_gettime = 228,
                                             .clock_getres = 229,
                                             .gettimeofday = 96,
                                             .time = 201,
                                             .getcpu = 309};

inline intptr_t EnterKernel(int32_t call, intptr_t a, intptr_t b, intptr_t c) {
  intptr_t result;
  asm volatile("syscall"
               : "=a"(result)
               : "a"(intptr_t{call}), "D"(a), "S"(b), "d"(c)
               : "rcx", "r11", VVAR_SYSCALL_CLOBBERS);
  return result;
}

// What maps a file takes six arguments: r10, r8 and r9 besides.
inline intptr_t EnterKernel(int32_t call, intptr_t a, intptr_t b, intptr_t c,
                            intptr_t d, intptr_t e, intptr_t f) {
  register intptr_t r10 asm("r10") = d;
  register intptr_t r8 asm("r8") = e;
  register intptr_t r9 asm("r9") = f;
  intptr_t result;
  asm volatile("syscall"
               : "=a"(result)
               : "a"(intptr_t{call}), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8),
                 "r"(r9)
               : "rcx", "r11", VVAR_SYSCALL_CLOBBERS);
  return result;
}

#elif defined(__i386__)

// Source: Linux, arch/x86/entry/syscalls/syscall_32.tbl; entry_32.S (number in
// eax; arguments in ebx, ecx, edx). int $0x80 needs no vDSO, unlike sysenter.
inline constexpr SyscallNumbers kSyscalls = {.clock_gettime = 403,
                                             .clock_getres = 406,
                                             .clock_gettime_time32 = 265,
                                             .clock_getres_time32 = 266,
                                             .gettimeofday = 78,
                                             .time = 13,
                                             .getcpu = 318};

inline intptr_t EnterKernel(int32_t call, intptr_t a, intptr_t b, intptr_t c) {
  intptr_t result;
  asm volatile("int $0x80"
               : "=a"(result)
               : "a"(call), "b"(a), "c"(b), "d"(c)
               : VVAR_SYSCALL_CLOBBERS);
  return result;
}

#elif defined(__aarch64__) && !defined(__ILP32__)

// Source: Linux, include/uapi/asm-generic/unistd.h; arch/arm64/kernel/entry.S
// (number in x8; arguments and result in x0 to x2).
inline constexpr SyscallNumbers kSyscalls = {.clock_gettime = 113,
                                             .clock_getres = 114,
                                             .gettimeofday = 169,
                                             .getcpu = 168};

#if defined(__ARM_FEATURE_SVE)
// Source: Linux, Documentation/arch/arm64/sve.rst, 3: cleared, but for v0-v31.
#undef VVAR_SYSCALL_CLOBBERS
#define VVAR_SYSCALL_CLOBBERS                                                  \
  "memory", "p0", "p1", "p2", "p3", "p4", "p5", "p6", "p7", "p8", "p9", "p10", \
      "p11", "p12", "p13", "p14", "p15", "z0", "z1", "z2", "z3", "z4", "z5",   \
      "z6", "z7", "z8", "z9", "z10", "z11", "z12", "z13", "z14", "z15", "z16", \
      "z17", "z18", "z19", "z20", "z21", "z22", "z23", "z24", "z25", "z26",    \
      "z27", "z28", "z29", "z30", "z31"
#endif

inline intptr_t EnterKernel(int32_t call, intptr_t a, intptr_t b, intptr_t c) {
  register intptr_t x8 asm("x8") = call;
  register intptr_t x0 asm("x0") = a;
  register intptr_t x1 asm("x1") = b;
  register intptr_t x2 asm("x2") = c;
  asm volatile("svc #0"
               : "+r"(x0)
               : "r"(x8), "r"(x1), "r"(x2)
               : VVAR_SYSCALL_CLOBBERS);
  return x0;
}

#elif defined(__arm__) && defined(__ARM_EABI__)

// Source: Linux, arch/arm/tools/syscall.tbl (rows "common" and "eabi");
// entry-common.S (number in r7; arguments and result in r0 to r2).
inline constexpr SyscallNumbers kSyscalls = {.clock_gettime = 403,
                                             .clock_getres = 406,
                                             .clock_gettime_time32 = 263,
                                             .clock_getres_time32 = 264,
                                             .gettimeofday = 78,
                                             .getcpu = 345};

// r7 is the frame pointer of Thumb code, where no operand may be in it.
inline intptr_t EnterKernel(int32_t call, intptr_t a, intptr_t b, intptr_t c) {
  register intptr_t r0 asm("r0") = a;
  register intptr_t r1 asm("r1") = b;
  register intptr_t r2 asm("r2") = c;
  intptr_t r7_kept;
  asm volatile("mov %1, r7\n\tmov r7, %2\n\tsvc #0\n\tmov r7, %1"
               : "+r"(r0), "=&r"(r7_kept)
               : "r"(call), "r"(r1), "r"(r2)
               : VVAR_SYSCALL_CLOBBERS);
  return r0;
}

#elif defined(__riscv)

// Source: Linux, include/uapi/asm-generic/unistd.h (riscv32: 64-bit time only);
// arch/riscv/kernel/entry.S (number in a7; arguments and result in a0 to a2).
inline constexpr SyscallNumbers kSyscalls = {
    .clock_gettime = __riscv_xlen == 64 ? 113 : 403,
    .clock_getres = __riscv_xlen == 64 ? 114 : 406,
    .gettimeofday = __riscv_xlen == 64 ? 169 : kNoSyscall,
    .getcpu = 168};

#if defined(__riscv_vector)
// Source: Linux, Documentation/arch/riscv/vector.rst, 3: all of it is lost.
#undef VVAR_SYSCALL_CLOBBERS
#define VVAR_SYSCALL_CLOBBERS                                               \
  "memory", "vl", "vtype", "v0", "v1", "v2", "v3", "v4", "v5", "v6", "v7",  \
      "v8", "v9", "v10", "v11", "v12", "v13", "v14", "v15", "v16", "v17",   \
      "v18", "v19", "v20", "v21", "v22", "v23", "v24", "v25", "v26", "v27", \
      "v28", "v29", "v30", "v31"
#endif

inline intptr_t EnterKernel(int32_t call, intptr_t a, intptr_t b, intptr_t c) {
  register intptr_t a7 asm("a7") = call;
  register intptr_t a0 asm("a0") = a;
  register intptr_t a1 asm("a1") = b;
  register intptr_t a2 asm("a2") = c;
  asm volatile("ecall"
               : "+r"(a0)
               : "r"(a7), "r"(a1), "r"(a2)
               : VVAR_SYSCALL_CLOBBERS);
  return a0;
}

#else
#error "fallback/syscall.h: unknown ISA: give it SyscallNumbers and EnterKernel"
#endif
#undef VVAR_SYSCALL_CLOBBERS
/// @}

/// Gives the kernel's own -ENOSYS where there is no such call to enter it for.
inline int32_t CallKernel(int32_t call, intptr_t a, const void* b) {
  if (call == kNoSyscall) return -38;
  return static_cast<int32_t>(
      EnterKernel(call, a, reinterpret_cast<intptr_t>(b), 0));
}

/// Reads a clock with 64-bit seconds, whatever the ISA.
/// Error, of all these calls: 0 or -errno: -EFAULT for a bad pointer, -EINVAL
/// for an unknown clock, -ENOSYS where the ISA or the kernel is without, -EPERM
/// from a filter. Progress: the kernel's. Context: user mode, signal handlers.
[[nodiscard]] inline int32_t ClockGettime(int32_t id, KernelTimespec* now) {
  return CallKernel(kSyscalls.clock_gettime, id, now);
}
/// Reads a clock's resolution, likewise. `step` may be null.
[[nodiscard]] inline int32_t ClockGetres(int32_t id, KernelTimespec* step) {
  return CallKernel(kSyscalls.clock_getres, id, step);
}

/// Reads a clock with 32-bit seconds: i386 and arm only. For whoever was asked
/// for those: a filter of system calls may be as old (Linux c60a32ea4f45).
[[nodiscard]] inline int32_t ClockGettimeTime32(int32_t id,
                                                KernelTimespec32* now) {
  return CallKernel(kSyscalls.clock_gettime_time32, id, now);
}
/// Reads its resolution, likewise. `step` may be null.
[[nodiscard]] inline int32_t ClockGetresTime32(int32_t id,
                                               KernelTimespec32* step) {
  return CallKernel(kSyscalls.clock_getres_time32, id, step);
}

/// Reads REALTIME in microseconds: all but riscv32. Each pointer may be null.
[[nodiscard]] inline int32_t Gettimeofday(KernelTimeval* now,
                                          KernelTimezone* zone) {
  return CallKernel(kSyscalls.gettimeofday, reinterpret_cast<intptr_t>(now),
                    zone);
}

/// Returns REALTIME's seconds, or -errno: x86 only. `now` may be null.
[[nodiscard]] inline intptr_t Time(intptr_t* now) {
  if (kSyscalls.time == kNoSyscall) return -38;
  return EnterKernel(kSyscalls.time, reinterpret_cast<intptr_t>(now), 0, 0);
}

/// Says where it ran; it may be elsewhere by then. Each pointer may be null.
[[nodiscard]] inline int32_t GetCpu(uint32_t* cpu, uint32_t* node) {
  return CallKernel(kSyscalls.getcpu, reinterpret_cast<intptr_t>(cpu), node);
}

/// A function is exported as prefix + name, of this version.
struct VdsoNaming {
  const char* prefix;   ///< Null: unknown.
  const char* version;  ///< Likewise.
};

/// Tells how Linux names a vDSO's functions, by ELF's e_machine.
/// Source: vdso.lds.S of each arch. Not PowerPC: there a condition bit tells
/// errors from results, which C cannot see (cvdso_call in gettimeofday.S).
constexpr VdsoNaming VdsoNamingOf(uint64_t machine) {
  switch (machine) {
    case 3:   // i386
    case 40:  // arm
    case 62:  // x86-64
      return {"__vdso_", "LINUX_2.6"};
    case 22:  // s390x
      return {"__kernel_", "LINUX_2.6.29"};
    case 183:  // arm64
      return {"__kernel_", "LINUX_2.6.39"};
    case 243:  // riscv
      return {"__vdso_", "LINUX_4.15"};
    case 258:  // loongarch
      return {"__vdso_", "LINUX_5.10"};
  }
  return {nullptr, nullptr};
}

/// Finds a function, such as "getcpu", in an image of this process's class.
inline VdsoLookup FindVdsoFunction(const VdsoImage& image, const char* name) {
  if (image.status() != VdsoStatus::kFound) return {image.status(), 0};
  if (image.word_bytes() != sizeof(void*)) return {VdsoStatus::kWrongClass, 0};
  const VdsoNaming naming = VdsoNamingOf(image.machine());
  if (naming.prefix == nullptr) return {VdsoStatus::kWrongMachine, 0};
  return image.Find(name, naming.version, naming.prefix);
}

/// What a vDSO offers; null is absent, and a part of it is worth having. These
/// return as the calls above do, which they make where they know no answer:
/// pair each with the call of its width. Only the live image's can be called.
struct VdsoFunctions {
  VdsoStatus status = VdsoStatus::kNotElf;  ///< clock_gettime's, either width.
  int32_t (*clock_gettime)(int32_t id, KernelOldTimespec* now) = nullptr;
  int32_t (*clock_gettime64)(int32_t id, KernelTimespec* now) = nullptr;
  int32_t (*clock_getres)(int32_t id, KernelOldTimespec* step) = nullptr;
  int32_t (*clock_getres_time64)(int32_t id, KernelTimespec* step) = nullptr;
  int32_t (*gettimeofday)(KernelTimeval* now, KernelTimezone* zone) = nullptr;
  intptr_t (*time)(intptr_t* now) = nullptr;  ///< Returns the seconds.
  int32_t (*getcpu)(uint32_t* cpu, uint32_t* node, void* unused) = nullptr;
};

/// Finds them, each by itself, in an image of this process's class.
[[nodiscard]] inline VdsoFunctions FindVdsoFunctions(const VdsoImage& image) {
  const auto find = [&]<typename Fn>(const char* name, Fn* VdsoFunctions::*) {
    return reinterpret_cast<Fn*>(FindVdsoFunction(image, name).address);
  };
  const VdsoLookup either = FindVdsoFunction(image, "clock_gettime64");
  return {either.status == VdsoStatus::kFound
              ? either.status
              : FindVdsoFunction(image, "clock_gettime").status,
          find("clock_gettime", &VdsoFunctions::clock_gettime),
          find("clock_gettime64", &VdsoFunctions::clock_gettime64),
          find("clock_getres", &VdsoFunctions::clock_getres),
          find("clock_getres_time64", &VdsoFunctions::clock_getres_time64),
          find("gettimeofday", &VdsoFunctions::gettimeofday),
          find("time", &VdsoFunctions::time),
          find("getcpu", &VdsoFunctions::getcpu)};
}

/// Returns AT_SYSINFO_EHDR's value from an auxiliary vector, {type, value}
/// pairs up to AT_NULL; 0 if absent. Source: Linux,
/// include/uapi/linux/auxvec.h.
[[nodiscard]] inline uintptr_t FindVdsoInAuxv(const uintptr_t* auxv) {
  while (auxv[0] != 0 && auxv[0] != 33) auxv += 2;
  return auxv[0] == 0 ? 0 : auxv[1];
}

}  // namespace vvar::fallback

#endif  // VVAR_FALLBACK_SYSCALL_H_
