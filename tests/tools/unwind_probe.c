// SPDX-License-Identifier: MIT
//
// Steps through its vDSO's functions, and says from how many instructions in it
// a backtrace leads out to the program's own. Compiled by exec_test.py.
#define _GNU_SOURCE
#include <execinfo.h>
#include <signal.h>
#include <stdio.h>
#include <sys/auxv.h>
#include <sys/time.h>
#include <time.h>
#include <ucontext.h>

#ifdef REG_RIP
enum { kProgramCounter = REG_RIP };
#else
enum { kProgramCounter = REG_EIP };
#endif

enum { kImageSize = 8192, kTrapFlag = 0x100, kDeepest = 32 };

static volatile sig_atomic_t stepping;
static void* volatile after_calls;
static int instructions, not_unwound;

static void OnTrap(int signal, siginfo_t* info, void* context) {
  (void)signal;
  (void)info;
  greg_t* registers = ((ucontext_t*)context)->uc_mcontext.gregs;
  if (stepping) {
    registers[REG_EFL] |= kTrapFlag;
  } else {
    registers[REG_EFL] &= ~(greg_t)kTrapFlag;
  }
  const unsigned long image = getauxval(AT_SYSINFO_EHDR);
  if ((unsigned long)registers[kProgramCounter] - image >= kImageSize) return;
  void* frames[kDeepest];
  int left = backtrace(frames, kDeepest);
  while (left > 0 && frames[left - 1] != after_calls) --left;
  ++instructions;
  not_unwound += left == 0;
}

__attribute__((noinline)) static void CallThemAll(void) {
  struct timespec t;
  struct timeval v;
  after_calls = __builtin_return_address(0);
  stepping = 1;
  raise(SIGTRAP);
  clock_gettime(CLOCK_MONOTONIC, &t);
  clock_gettime(CLOCK_MONOTONIC_COARSE, &t);
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  gettimeofday(&v, NULL);
  time(NULL);
  stepping = 0;
}

int main(void) {
  void* frame;
  backtrace(&frame, 1);  // Loads what it needs, outside of a signal handler.
  struct sigaction action = {0};
  action.sa_flags = SA_SIGINFO;
  action.sa_sigaction = OnTrap;
  sigaction(SIGTRAP, &action, NULL);
  CallThemAll();
  printf("%d %d\n", instructions, not_unwound);
  return 0;
}
