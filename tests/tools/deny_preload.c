// SPDX-License-Identifier: MIT
//
// deny_preload CALL ERRNO PROGRAM ARGS: runs a program in which a system call
// fails as vvar_preload makes it, and nobody else: openat() with O_NONBLOCK,
// mmap() of a file shared and only to read, a read() of a page, readlinkat().
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

// Of the low half of an argument: this machine is little-endian.
#define ARGUMENT(n) \
  BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[n]))

int main(int argc, char** argv) {
  const struct {
    const char* name;
    unsigned number, argument, mask, value;
  } rows[] = {
      {"openat", SYS_openat, 2, O_NONBLOCK, O_NONBLOCK},
      {"mmap", SYS_mmap, 3, MAP_SHARED, MAP_SHARED},
      {"read", SYS_read, 2, ~0u, 4096},
      {"readlinkat", SYS_readlinkat, 0, 0, 0},
  };
  for (size_t i = 0; argc > 3 && i < sizeof(rows) / sizeof(*rows); ++i) {
    if (strcmp(argv[1], rows[i].name) != 0) continue;
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, rows[i].number, 0, 4),
        ARGUMENT(rows[i].argument),
        BPF_STMT(BPF_ALU | BPF_AND | BPF_K, rows[i].mask),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, rows[i].value, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (unsigned)atoi(argv[2])),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog filter = {sizeof(code) / sizeof(*code), code};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) != 0) {
      perror("deny_preload");
      return 99;
    }
    execvp(argv[3], argv + 3);
    perror(argv[3]);
    return 98;
  }
  fprintf(stderr, "deny_preload: openat, mmap, read or readlinkat\n");
  return 97;
}
