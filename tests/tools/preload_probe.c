// SPDX-License-Identifier: MIT
//
// What preload_test.py asks of a C program, by its first argument: see main().
// With -DLIBRARY, a shared library that asks before main() does, or with
// -DUSER. Compiled with each C library.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static long long Now(void) {
  struct timespec t = {0, 0};
  if (clock_gettime(CLOCK_REALTIME, &t) != 0) return -1;
  return t.tv_sec * 1000000000LL + t.tv_nsec;
}

#ifdef LIBRARY

long long constructed_ns;
__attribute__((constructor)) static void Construct(void) {
  constructed_ns = Now();
}

#ifdef __GLIBC__
// Runs when a library is relocated that uses it, -DUSER: others may not be, and
// nobody's constructor has run.
static long long resolved_ns;
static long long Resolved(void) { return resolved_ns; }
static void* Resolve(void) {
  resolved_ns = Now();
  return (void*)Resolved;
}
long long ResolvedNs(void) __attribute__((ifunc("Resolve")));
#endif

#elif defined(USER)

long long ResolvedNs(void);
long long (*resolved_ns_function)(void) = ResolvedNs;

#else

static void Show(const char* name, long long ns) {
  printf("%s 0 %lld\n", name, ns);
  fflush(stdout);
}

#ifdef WITH_LIBRARY
extern long long constructed_ns;
#ifdef __GLIBC__
extern long long (*resolved_ns_function)(void);
#endif
static long long own_constructed_ns;
__attribute__((constructor)) static void Construct(void) {
  own_constructed_ns = Now();
}
#endif

static volatile long long signalled_ns;
static void OnSignal(int signal) {
  (void)signal;
  errno = 77;
  signalled_ns = Now();
  if (errno != 77) signalled_ns = -1;
}

// Whoever may ask, and when.
static int Moments(const char* self) {
  struct timespec t = {0, 0};
  Show("main", Now());
  Show("timespec_get", timespec_get(&t, TIME_UTC) == TIME_UTC
                           ? t.tv_sec * 1000000000LL + t.tv_nsec
                           : -1);
#ifdef WITH_LIBRARY
  Show("constructor", own_constructed_ns);
  Show("constructor_of_library", constructed_ns);
#ifdef __GLIBC__
  Show("resolver", resolved_ns_function());
#endif
#endif
  signal(SIGUSR1, OnSignal);
  raise(SIGUSR1);
  Show("signal", signalled_ns);
  if (fork() == 0) {
    Show("fork", Now());
    _exit(0);
  }
  wait(NULL);
  static volatile long long in_vfork_ns;
  if (vfork() == 0) {
    in_vfork_ns = Now();
    _exit(0);
  }
  wait(NULL);
  Show("vfork", in_vfork_ns);
  for (int fd = 3; fd < 1024; ++fd) close(fd);
  Show("all_closed", Now());
  execl(self, self, "main", NULL);
  return 1;
}

// What each call returns that nobody should make; 128 + the signal that it
// ends in. With errno, which success leaves alone.
#define ASK(call)                                                             \
  do {                                                                        \
    fflush(stdout);                                                           \
    const pid_t child = fork();                                               \
    if (child == 0) {                                                         \
      errno = 0;                                                              \
      const long result = (long)(call);                                       \
      printf("%s = %ld, errno %d\n", #call, result > 0 ? 1L : result, errno); \
      fflush(stdout);                                                         \
      _exit(0);                                                               \
    }                                                                         \
    int status = 0;                                                           \
    waitpid(child, &status, 0);                                               \
    if (WIFSIGNALED(status)) {                                                \
      printf("%s ends by signal %d\n", #call, WTERMSIG(status));              \
    }                                                                         \
  } while (0)

static int Oddities(void) {
  struct timespec t = {0, 0};
  struct timeval v = {0, 0};
  struct timezone z = {1234, 5678};
  void* bad = (void*)16;
  // Not 16 to 23: of those, clocks that are rarely there, a kernel's vDSO tells
  // a resolution that its system call, which is all that musl asks, does not.
  const int ids[] = {-1, INT_MIN, INT_MAX, 12, 24, 1000, -8, 8, 9, 10};
  printf("errno %d\n", errno);
  for (size_t i = 0; i < sizeof(ids) / sizeof(*ids); ++i) {
    printf("id %d: ", ids[i]);
    ASK(clock_gettime(ids[i], &t));
    ASK(clock_gettime(ids[i], NULL));
    ASK(clock_getres(ids[i], &t));
    ASK(clock_getres(ids[i], NULL));
  }
  for (int id = 0; id < 12; ++id) {
    printf("id %d: ", id);
    ASK(clock_gettime(id, &t));
    ASK(clock_getres(id, &t));
    ASK(clock_getres(id, NULL));
  }
  ASK(clock_gettime(CLOCK_REALTIME, NULL));
  ASK(clock_gettime(CLOCK_MONOTONIC_COARSE, bad));
  ASK(gettimeofday(&v, NULL));
  ASK(gettimeofday(NULL, NULL));
  ASK(gettimeofday(NULL, &z));
  ASK(gettimeofday(bad, NULL));
  ASK(time(NULL));
  ASK(time(bad));
  ASK(timespec_get(&t, TIME_UTC));
  ASK(timespec_get(&t, 0));
  ASK(timespec_get(&t, 77));
  ASK(timespec_get(NULL, 77));
  ASK(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t));
  return 0;
}

enum { kThreads = 4, kCalls = 20000 };
static void* Ask(void* unused) {
  struct timespec t;
  struct timeval v;
  for (int i = 0; i < kCalls; ++i) {
    clock_gettime(i % 2 == 0 ? CLOCK_REALTIME : CLOCK_MONOTONIC, &t);
    clock_gettime(CLOCK_BOOTTIME, &t);
    clock_gettime(CLOCK_REALTIME_COARSE, &t);
    gettimeofday(&v, NULL);
    time(NULL);
    timespec_get(&t, TIME_UTC);
    clock_getres(CLOCK_REALTIME, &t);
  }
  return unused;
}

// All threads ask at once; then one system call, to be counted.
static int Threads(void) {
  pthread_t threads[kThreads];
  struct timespec t;
  for (int i = 0; i < kThreads; ++i) {
    pthread_create(&threads[i], NULL, Ask, NULL);
  }
  for (int i = 0; i < kThreads; ++i) pthread_join(threads[i], NULL);
  return clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
}

static int Descriptors(void) {
  for (int fd = 0; fd < 64; ++fd) {
    if (fcntl(fd, F_GETFD) >= 0) printf("%d\n", fd);
  }
  return 0;
}

int main(int argc, char** argv) {
  const char* what = argc > 1 ? argv[1] : "";
  if (strcmp(what, "main") == 0) {
    Show("exec", Now());
    return 0;
  }
  if (strcmp(what, "moments") == 0) return Moments(argv[0]);
  if (strcmp(what, "oddities") == 0) return Oddities();
  if (strcmp(what, "threads") == 0) return Threads();
  if (strcmp(what, "descriptors") == 0) return Descriptors();
  return 2;
}

#endif  // LIBRARY
