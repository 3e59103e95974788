/* SPDX-License-Identifier: MIT
 *
 * A clock on the plain seqlock of vvar/seqcount.h: one slot, which readers may
 * not use while seq is odd. For what goes wrong there only.
 */

/* Bounds. */
#ifndef UPDATES
#define UPDATES 2
#endif
#ifndef READS
#define READS 1
#endif
#define FIRST_COUNT 0
#define LAST_COUNT (UPDATES + 1)
#define LINES (1 + UPDATES)
#include "steps.pml"

/* The writer's steps, and what each needs. The line begins at the counter value
 * of W_SAMPLE, which a full barrier keeps behind [W:open].
 */
#define W_OPEN 1
#define W_SAMPLE 2
#define W_START 4
#define W_REST 8
#define W_CLOSE 16
#define W_ALL 31
#ifndef BEFORE_OPEN
#define BEFORE_OPEN 0 /* Nothing. */
#endif
#ifndef BEFORE_SAMPLE
#define BEFORE_SAMPLE W_OPEN
#endif
#ifndef BEFORE_WORDS
#define BEFORE_WORDS (W_SAMPLE | W_OPEN) /* The release fence. */
#endif
#ifndef BEFORE_CLOSE
#define BEFORE_CLOSE (W_OPEN | W_START | W_REST) /* Release. */
#endif

/* The reader's. */
#define R_BEGIN 1
#define R_COUNT 2
#define R_START 4
#define R_REST 8
#define R_END 16
#define R_ALL 31
#ifndef BEFORE_COUNT
#define BEFORE_COUNT R_BEGIN /* Clock::Read(after). */
#endif
#ifndef BEFORE_WORD_LOADS
#define BEFORE_WORD_LOADS R_BEGIN /* Acquire. */
#endif
#ifndef BEFORE_END
#define BEFORE_END (R_BEGIN | R_COUNT | R_START | R_REST)
#endif

#ifndef ACCEPTS
#define ACCEPTS(begin, end) ((end) == (begin) && ((begin) & 1) == 0)
#endif

byte seq;
byte start; /* The payload: a line's date, */
byte rest;  /* and its number, for all its other words. */

active proctype Writer() {
  byte done, updates, next;
end:
  do
  :: atomic {
      updates < UPDATES && TAKE(W_OPEN, BEFORE_OPEN) ->
      seq = seq + 1;
      printf("writer   [W:open]    seq = %d\n", seq)
    }
  :: atomic {
      updates < UPDATES && TAKE(W_SAMPLE, BEFORE_SAMPLE) ->
      PlanLine(next, published, counter);
      printf("writer   samples     %d: line %d begins there\n", counter, next)
    }
  :: atomic {
      TAKE(W_START, BEFORE_WORDS) ->
      start = line[next].start;
      printf("writer   [W:line]    start = %d\n", start)
    }
  :: atomic {
      TAKE(W_REST, BEFORE_WORDS) ->
      rest = next;
      printf("writer   [W:line]    the rest of line %d\n", rest)
    }
  :: atomic {
      TAKE(W_CLOSE, BEFORE_CLOSE) ->
      seq = seq + 1;
      printf("writer   [W:close]   seq = %d\n", seq)
    }
  :: atomic {
      done == W_ALL ->
      published = next;
      updates++;
      done = 0;
      next = 0
    }
  od
}

active proctype Reader() {
  byte done, begin, cycles, date, number, end, from, since, time, reads;

  do
  :: atomic {
      if
      :: TAKE(R_BEGIN, 0) ->
         begin = seq;
         from = counter;
         since = floor;
         printf("reader   [R:begin]   seq is %d\n", begin)
      :: TAKE(R_COUNT, BEFORE_COUNT) ->
         cycles = counter;
         printf("reader   [R:count]   %d\n", cycles)
      :: TAKE(R_START, BEFORE_WORD_LOADS) ->
         date = start;
         printf("reader   [R:line]    start is %d\n", date)
      :: TAKE(R_REST, BEFORE_WORD_LOADS) ->
         number = rest;
         printf("reader   [R:line]    the rest is of line %d\n", number)
      :: TAKE(R_END, BEFORE_END) ->
         end = seq;
         printf("reader   [R:end]     seq is %d\n", end)
      fi;
      if
      :: done != R_ALL -> goto next_step
      :: done == R_ALL && !ACCEPTS(begin, end) ->
         printf("reader   tries again\n");
         /* Not promised: REQUIRED must ask for it. */
         if
         :: REQUIRED == bounded -> REQUIRE(bounded, end != begin)
         :: REQUIRED != bounded
         fi;
         goto next_try
      :: done == R_ALL && ACCEPTS(begin, end)
      fi;
      time = TIME(date, number, cycles);
      printf("reader   accepts     line %d: time %d at %d\n", number, time,
             cycles);
      REQUIRE(one_publication, date == line[number].start);
      REQUIRE(inside, from <= cycles && cycles <= counter);
      REQUIRE(monotone, time >= since);
      if
      :: time > floor -> floor = time
      :: time <= floor
      fi;
      reads++;
next_try:
      done = 0;
      begin = 0;
      cycles = 0;
      date = 0;
      number = 0;
      end = 0;
      from = 0;
      since = 0;
      time = 0;
      if
      :: reads == READS -> goto finished
      :: reads < READS
      fi;
next_step:
      skip
    }
  od;
finished:
  skip
}
