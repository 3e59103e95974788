// SPDX-License-Identifier: MIT
//
// A Linux program without a libc, on each machine of the matrix: its entry, and
// the four system calls it needs. For embed/matrix only; included once. Asm and
// architecture #if; nothing of time.
#ifndef VVAR_EMBED_MATRIX_BARE_LINUX_H_
#define VVAR_EMBED_MATRIX_BARE_LINUX_H_

#include <stddef.h>
#include <stdint.h>

// Called by _start, which the compiler does not look into.
extern "C" [[noreturn, gnu::used]] void BareMain();

namespace vvar::matrix {

// Source: Linux's syscall(2) and its tables: numbers, registers, instruction.
// In the order read, write, mprotect, exit. The System V ABIs: how a stack is
// aligned, and what a caller leaves there.
#if defined(__x86_64__)
enum : long { kRead = 0, kWrite = 1, kMprotect = 10, kExit = 60 };
asm(".globl _start\n_start: and $-16, %rsp\n call BareMain");
inline long Call(long number, long a, long b, long c) {
  asm volatile("syscall"
               : "+a"(number)
               : "D"(a), "S"(b), "d"(c)
               : "rcx", "r11", "memory");
  return number;
}
#elif defined(__i386__)
enum : long { kRead = 3, kWrite = 4, kMprotect = 125, kExit = 1 };
asm(".globl _start\n_start: and $-16, %esp\n call BareMain");
inline long Call(long number, long a, long b, long c) {
  asm volatile("int $0x80" : "+a"(number) : "b"(a), "c"(b), "d"(c) : "memory");
  return number;
}
#elif defined(__aarch64__)
enum : long { kRead = 63, kWrite = 64, kMprotect = 226, kExit = 93 };
asm(".globl _start\n_start: bl BareMain");
inline long Call(long number, long a, long b, long c) {
  register long x8 asm("x8") = number;
  register long x0 asm("x0") = a;
  register long x1 asm("x1") = b;
  register long x2 asm("x2") = c;
  asm volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2) : "memory");
  return x0;
}
#elif defined(__arm__)
enum : long { kRead = 3, kWrite = 4, kMprotect = 125, kExit = 1 };
asm(".globl _start\n_start: bl BareMain");
inline long Call(long number, long a, long b, long c) {
  register long r7 asm("r7") = number;
  register long r0 asm("r0") = a;
  register long r1 asm("r1") = b;
  register long r2 asm("r2") = c;
  asm volatile("svc 0" : "+r"(r0) : "r"(r7), "r"(r1), "r"(r2) : "memory");
  return r0;
}
#elif defined(__riscv)
enum : long { kRead = 63, kWrite = 64, kMprotect = 226, kExit = 93 };
asm(".globl _start\n_start: call BareMain");
inline long Call(long number, long a, long b, long c) {
  register long a7 asm("a7") = number;
  register long a0 asm("a0") = a;
  register long a1 asm("a1") = b;
  register long a2 asm("a2") = c;
  asm volatile("ecall" : "+r"(a0) : "r"(a7), "r"(a1), "r"(a2) : "memory");
  return a0;
}
#elif defined(__s390x__)
enum : long { kRead = 3, kWrite = 4, kMprotect = 125, kExit = 1 };
asm(".globl _start\n_start: aghi %r15, -160\n brasl %r14, BareMain");
inline long Call(long number, long a, long b, long c) {
  register long r1 asm("r1") = number;
  register long r2 asm("r2") = a;
  register long r3 asm("r3") = b;
  register long r4 asm("r4") = c;
  asm volatile("svc 0" : "+r"(r2) : "r"(r1), "r"(r3), "r"(r4) : "memory");
  return r2;
}
#elif defined(__powerpc__)
enum : long { kRead = 3, kWrite = 4, kMprotect = 125, kExit = 1 };
asm(".globl _start\n_start: stwu 1, -16(1)\n bl BareMain");
inline long Call(long number, long a, long b, long c) {
  register long r0 asm("r0") = number;
  register long r3 asm("r3") = a;
  register long r4 asm("r4") = b;
  register long r5 asm("r5") = c;
  asm volatile("sc"
               : "+r"(r0), "+r"(r3), "+r"(r4), "+r"(r5)
               :
               : "r6", "r7", "r8", "r9", "r10", "r11", "r12", "ctr", "cr0",
                 "memory");
  return r3;
}
#else
#error "no system calls for this architecture: add them here"
#endif

inline long AddressOf(const void* pointer) {
  return static_cast<long>(reinterpret_cast<uintptr_t>(pointer));
}

[[noreturn]] inline void Exit(int code) {
  for (;;) Call(kExit, code, 0, 0);
}

/// Writes text to stdout. Error: ends the program with 3.
inline void Write(const char* text, size_t size) {
  while (size != 0) {
    const long done = Call(kWrite, 1, AddressOf(text), static_cast<long>(size));
    if (done <= 0) Exit(3);
    text += done;
    size -= static_cast<size_t>(done);
  }
}

/// Returns the next byte of stdin, or 0 at its end.
inline char ReadByte() {
  char byte = 0;
  return Call(kRead, 0, AddressOf(&byte), 1) == 1 ? byte : '\0';
}

/// Lets `page`, 4096 bytes, be read only, or written too.
/// Error: ends the program with 3.
enum class Access : long { kRead = 1, kReadWrite = 3 };
inline void Protect(void* page, Access access) {
  if (Call(kMprotect, AddressOf(page), 4096, static_cast<long>(access)) != 0) {
    Exit(3);
  }
}

}  // namespace vvar::matrix

#endif  // VVAR_EMBED_MATRIX_BARE_LINUX_H_
