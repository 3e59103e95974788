// SPDX-License-Identifier: MIT
//
// deny_time PROGRAM ARGS: runs a program that gets EPERM from every system call
// that its vDSO would have answered, of 64 bits or of 32: what it still reads,
// it reads without. Another VERDICT: that, instead of EPERM.
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <unistd.h>

#ifndef VERDICT
#define VERDICT (SECCOMP_RET_ERRNO | EPERM)
#endif
#define DENY(number)                                   \
  BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (number), 0, 1), \
      BPF_STMT(BPF_RET | BPF_K, VERDICT)

// Instructions to skip for another ISA than i386.
enum { kI386Filter = 1 + 7 * 2 + 1 };

int main(int argc, char** argv) {
  struct sock_filter code[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_I386, 0, kI386Filter),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
      DENY(13),   // time
      DENY(78),   // gettimeofday
      DENY(265),  // clock_gettime
      DENY(266),  // clock_getres
      DENY(318),  // getcpu
      DENY(403),  // clock_gettime64
      DENY(406),  // clock_getres_time64
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
      DENY(96),   // gettimeofday
      DENY(201),  // time
      DENY(228),  // clock_gettime
      DENY(229),  // clock_getres
      DENY(309),  // getcpu
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  struct sock_fprog filter = {sizeof(code) / sizeof(*code), code};
  if (argc < 2 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
      prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) != 0) {
    perror("deny_time");
    return 99;
  }
  execvp(argv[1], argv + 1);
  perror(argv[1]);
  return 98;
}
