// SPDX-License-Identifier: MIT
//
// A library for LD_PRELOAD, as there are: its clock_gettime() enters the
// kernel, and its REALTIME is a day ahead.
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int clock_gettime(clockid_t id, struct timespec* now) {
  const long result = syscall(SYS_clock_gettime, id, now);
  if (result == 0 && id == CLOCK_REALTIME) now->tv_sec += 86400;
  return (int)result;
}
