// SPDX-License-Identifier: MIT
//
// What a program finds on the stack it begins with, one thing a line: of
// initial_stack_test.cc.
#include <elf.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/auxv.h>

int main(int argc, char** argv, char** envp) {
  // The stack pointer was a word below argv.
  printf("argc %d, argv at %p, stack %d beyond a multiple of 16\n", argc,
         (void*)argv, (int)(((uintptr_t)argv - sizeof(void*)) % 16));
  for (int i = 0; i < argc; ++i) printf("argv %s\n", argv[i]);
  if (argv[argc] != NULL) printf("argv has no end\n");
  for (; *envp != NULL; ++envp) printf("envp %s\n", *envp);
  const unsigned long* entry = (const unsigned long*)(envp + 1);
  for (; entry[0] != AT_NULL; entry += 2) {
    printf("auxv %lu 0x%lx\n", entry[0], entry[1]);
  }
  printf("execfn %s\n", (const char*)getauxval(AT_EXECFN));
  printf("vdso 0x%lx\n", getauxval(AT_SYSINFO_EHDR));
  return 0;
}
