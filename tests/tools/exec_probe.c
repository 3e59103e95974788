// SPDX-License-Identifier: MIT
//
// What a C program sees of its clocks, one line each: the name, what the
// function returned, the time it gave, and whether it ran through an image that
// `vvar attach` mapped, else the vDSO that the auxiliary vector names. With
// --each-line, for each line of input, and a dot; with --maps, what is mapped.
// Compiled by programs.py, with each C library and way to link. x86-64 and
// i386.
#define _GNU_SOURCE
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/time.h>
#include <time.h>
#include <ucontext.h>

#ifdef REG_RIP
enum { kProgramCounter = REG_RIP };
#else
enum { kProgramCounter = REG_EIP };
#endif

// The image's two pages, more than the kernel's vDSO has symbols in.
enum { kImageSize = 8192, kTrapFlag = 0x100 };

static volatile sig_atomic_t stepping, seen_in_image;
static unsigned long image;

// With the trap flag set, called after each instruction.
static void OnTrap(int signal, siginfo_t* info, void* context) {
  (void)signal;
  (void)info;
  greg_t* registers = ((ucontext_t*)context)->uc_mcontext.gregs;
  if ((unsigned long)registers[kProgramCounter] - image < kImageSize) {
    seen_in_image = 1;
  }
  if (stepping) {
    registers[REG_EFL] |= kTrapFlag;
  } else {
    registers[REG_EFL] &= ~(greg_t)kTrapFlag;
  }
}

// Steps through `call`, after which the next trap is the last. It may take so
// long that the page is busy: what it returns says nothing.
#define STEP(call)     \
  do {                 \
    seen_in_image = 0; \
    stepping = 1;      \
    raise(SIGTRAP);    \
    call;              \
    stepping = 0;      \
  } while (0)

// A call as programs make it, and stepped through.
#define SHOW(name, call, ns)                                       \
  do {                                                             \
    const long long result = (long long)(call);                    \
    const long long shown_ns = (ns);                               \
    STEP(call);                                                    \
    printf("%s %d %lld %d\n", name, result < 0 ? -1 : 0, shown_ns, \
           seen_in_image);                                         \
  } while (0)

static long long Ns(struct timespec t) {
  return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static int PrintMaps(void) {
  char line[512];
  FILE* maps = fopen("/proc/self/maps", "r");
  printf("vdso %lx %zu\n", getauxval(AT_SYSINFO_EHDR), sizeof(long));
  while (fgets(line, sizeof(line), maps) != NULL) fputs(line, stdout);
  return 0;
}

static unsigned long FindImage(void) {
  unsigned long found = getauxval(AT_SYSINFO_EHDR);
  char line[512];
  FILE* maps = fopen("/proc/self/maps", "r");
  while (maps != NULL && fgets(line, sizeof(line), maps) != NULL) {
    if (strstr(line, "vvar-attached-image")) sscanf(line, "%lx", &found);
  }
  if (maps != NULL) fclose(maps);
  return found;
}

static void PrintClocks(void) {
  image = FindImage();
  struct timespec t = {0, 0};
  struct timeval v = {0, 0};
  SHOW("clock_gettime", clock_gettime(CLOCK_REALTIME, &t), Ns(t));
  SHOW("gettimeofday", gettimeofday(&v, NULL),
       v.tv_sec * 1000000000LL + v.tv_usec * 1000LL);
  SHOW("time", time(&t.tv_sec), t.tv_sec * 1000000000LL);
  SHOW("clock_getres", clock_getres(CLOCK_REALTIME, &t), Ns(t));
  SHOW("getcpu", sched_getcpu(), 0);
  SHOW("monotonic", clock_gettime(CLOCK_MONOTONIC, &t), Ns(t));
  SHOW("boottime", clock_gettime(CLOCK_BOOTTIME, &t), Ns(t));
}

int main(int argc, char** argv) {
  if (argc > 1 && strcmp(argv[1], "--maps") == 0) return PrintMaps();
  struct sigaction action = {0};
  action.sa_flags = SA_SIGINFO;
  action.sa_sigaction = OnTrap;
  sigaction(SIGTRAP, &action, NULL);

  if (argc > 1 && strcmp(argv[1], "--each-line") == 0) {
    char line[16];
    while (fgets(line, sizeof(line), stdin) != NULL) {
      PrintClocks();
      puts(".");
      fflush(stdout);
    }
    return 0;
  }
  PrintClocks();
  return 0;
}
