// SPDX-License-Identifier: MIT
//
// clock_threads THREADS TURNS: a program that asks for the time, each function
// in each turn, from THREADS threads and then from main(). Says "ready" and its
// pid, and waits for a line, so that somebody can attach to it before. Compiled
// by observed_test.py.
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static int turns;

static void* AskForTheTime(void* unused) {
  struct timespec t;
  struct timeval v;
  for (int turn = 0; turn < turns; ++turn) {
    clock_gettime(CLOCK_MONOTONIC, &t);
    clock_getres(CLOCK_MONOTONIC, &t);
    gettimeofday(&v, NULL);
    time(NULL);
    sched_getcpu();
  }
  return unused;
}

int main(int argc, char** argv) {
  enum { kMostThreads = 64 };
  pthread_t threads[kMostThreads];
  const int count = argc == 3 ? atoi(argv[1]) : 0;
  if (argc != 3 || count > kMostThreads) return 2;
  turns = atoi(argv[2]);
  printf("ready %d\n", getpid());
  fflush(stdout);
  if (getchar() == EOF) return 3;
  for (int i = 0; i < count; ++i) {
    if (pthread_create(&threads[i], NULL, AskForTheTime, NULL) != 0) return 4;
  }
  for (int i = 0; i < count; ++i) pthread_join(threads[i], NULL);
  AskForTheTime(NULL);
  puts("done");
  return 0;
}
