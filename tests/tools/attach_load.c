// SPDX-License-Identifier: MIT
//
// A program that reads time all the while: four threads, each of which a
// timer's signal interrupts, wherever it is, to read once more. Each reading
// has to lie between two of the kernel's own, by system calls, and none below
// the one before. Says "up", works until its input ends, then prints "N
// readings", or at once what went wrong. Built by attach_test.py.
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

// A page's MONOTONIC may be that far from the kernel's (docs/exec.md), and the
// kernel's, on its way through a slew, from the page's line.
enum { kThreads = 4 };
static const long long kLeeway = 1000000;

static atomic_llong readings;
static _Thread_local long long last;

static long long Ns(struct timespec t) {
  return t.tv_sec * 1000000000LL + t.tv_nsec;
}
static long long Kernels(void) {
  struct timespec t;
  syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &t);
  return Ns(t);
}
static long long Own(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return Ns(t);
}

static void Check(void) {
  const long long before = Kernels();
  const long long now = Own();
  const long long after = Kernels();
  if (now < before - kLeeway || now > after + kLeeway || now < last) {
    fprintf(stderr, "%lld, after %lld; the kernel's %lld to %lld\n", now, last,
            before, after);
    _exit(1);
  }
  last = now;
  struct timeval v;
  unsigned cpu;
  if (gettimeofday(&v, NULL) != 0 || v.tv_sec < time(NULL) - 1 ||
      syscall(SYS_getcpu, &cpu, NULL, NULL) != 0 || sched_getcpu() < 0) {
    fputs("gettimeofday, time or getcpu\n", stderr);
    _exit(1);
  }
  atomic_fetch_add(&readings, 1);
}

static void OnTimer(int signal) {
  (void)signal;
  // Of one time with what it interrupted, which may be between its readings.
  const long long before = Kernels();
  const long long now = Own();
  if (now < before - kLeeway || now > Kernels() + kLeeway) _exit(2);
}

static void* Work(void* unused) {
  struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID,
                           .sigev_signo = SIGUSR1};
  event._sigev_un._tid = gettid();
  timer_t timer;
  const struct itimerspec often = {{0, 100000}, {0, 100000}};
  if (timer_create(CLOCK_MONOTONIC, &event, &timer) != 0 ||
      timer_settime(timer, 0, &often, NULL) != 0) {
    _exit(3);
  }
  for (;;) Check();
  return unused;
}

// A thread that has ended stays in no list.
static void* Come(void* unused) {
  Check();
  return unused;
}

int main(void) {
  struct sigaction action = {.sa_handler = OnTimer, .sa_flags = SA_RESTART};
  sigaction(SIGUSR1, &action, NULL);
  pthread_t threads[kThreads];
  for (int i = 0; i < kThreads; ++i) {
    if (pthread_create(&threads[i], NULL, Work, NULL) != 0) return 4;
  }
  puts("up");
  fflush(stdout);
  fd_set input;
  for (;;) {  // Threads come and go meanwhile.
    FD_ZERO(&input);
    FD_SET(0, &input);
    struct timeval none = {0, 0};
    if (select(1, &input, NULL, NULL, &none) != 0 && getchar() == EOF) break;
    pthread_t thread;
    if (pthread_create(&thread, NULL, Come, NULL) != 0) return 5;
    pthread_join(thread, NULL);
  }
  printf("%lld readings\n", (long long)readings);
  return 0;
}
