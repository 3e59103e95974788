// SPDX-License-Identifier: MIT
//
// A program that asks for the time, and knows nothing of vvar. Prints its pid
// and waits for a line, so that it can be attached to; then prints what a call
// of clock_gettime() costs it, in ns, as the median of many batches.
// program_bench.py runs it in each way that a program can be run.
#define _GNU_SOURCE
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum { kCalls = 1000, kBatches = 301 };

static double Ns(struct timespec t) {
  return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

/// Who keeps the page is on another CPU, where there is one.
static void PinToLastCpu(void) {
  cpu_set_t allowed, one;
  if (sched_getaffinity(0, sizeof(allowed), &allowed) != 0) return;
  size_t last = CPU_SETSIZE - 1;
  while (last > 0 && !CPU_ISSET(last, &allowed)) --last;
  CPU_ZERO(&one);
  CPU_SET(last, &one);
  sched_setaffinity(0, sizeof(one), &one);
}

static int Compare(const void* left, const void* right) {
  const double a = *(const double*)left, b = *(const double*)right;
  return (a > b) - (a < b);
}

int main(void) {
  static double batches[kBatches];
  printf("%d\n", getpid());
  fflush(stdout);
  if (getchar() == EOF) return 1;
  PinToLastCpu();
  for (int batch = 0; batch < kBatches; ++batch) {
    struct timespec begin, end;
    clock_gettime(CLOCK_MONOTONIC, &begin);
    for (int i = 0; i < kCalls; ++i) clock_gettime(CLOCK_MONOTONIC, &end);
    batches[batch] = (Ns(end) - Ns(begin)) / (double)kCalls;
  }
  qsort(batches, kBatches, sizeof(*batches), Compare);
  printf("%.3f\n", batches[kBatches / 2]);
  return 0;
}
