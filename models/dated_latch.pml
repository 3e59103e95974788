/* SPDX-License-Identifier: MIT
 *
 * The dated two-slot latch as vvar/latch.h, writer.h and reader.h have it, once.
 * A good_ model sets bounds; a bad_ one changes an edge, a rule or a step.
 */

/* Bounds. */
#ifndef UPDATES
#define UPDATES 2
#endif
#ifndef WRITERS
#define WRITERS 1
#endif
#ifndef READERS
#define READERS 1
#endif
#ifndef READS
#define READS 1 /* Accepted reads of each reader. */
#endif
#ifdef LOOKS_AGAIN /* Before [W:close], and may date a line anew, once. */
#define DATINGS 2
#else
#define DATINGS 1
#endif
#ifndef DEATHS
#define DEATHS 0
#endif
#ifndef LEAD
#define LEAD 1
#endif
#ifndef MARGIN
#define MARGIN 1 /* A line that begins sooner than this is dated anew. */
#endif
#ifndef HOLD_UP
#define HOLD_UP 1 /* Ticks from the last look at the counter to [W:close]. */
#endif
#ifndef SKEW
#define SKEW 0 /* Ticks that a reader's counter may be behind the writer's. */
#endif
#ifndef WINDOW
#define WINDOW 0 /* Ticks by which [R:count] may come after [R:end]. */
#endif
#ifndef SEQ_MASK
#define SEQ_MASK 255 /* The width of seq. */
#endif
#define FIRST_COUNT SKEW
#define LAST_COUNT (FIRST_COUNT + UPDATES * LEAD + 1)
#define LINES (WRITERS + (UPDATES + DEATHS) * DATINGS)
#include "steps.pml"

/* The writer's steps, and what each needs. */
#define W_WAIT 1
#define W_OPEN 2
#define W_START 4
#define W_REST 8
#define W_LOOK 16
#define W_CLOSE 32
#ifndef BEFORE_WAIT
#define BEFORE_WAIT(start) (counter >= (start))
#endif
#ifndef BEFORE_OPEN
#define BEFORE_OPEN W_WAIT /* The counter is read before stores. */
#endif
#ifndef BEFORE_START
#define BEFORE_START (W_WAIT | W_OPEN) /* The release fence. */
#endif
#ifndef BEFORE_REST
#define BEFORE_REST (W_WAIT | W_OPEN)
#endif
#ifndef BEFORE_LOOK
#define BEFORE_LOOK W_WAIT /* Unordered; it looks at a date. */
#endif
#ifndef BEFORE_CLOSE
#define BEFORE_CLOSE (W_OPEN | W_START | W_REST | W_LOOK) /* Release. */
#endif
#ifndef BEFORE_TIMELY
#define BEFORE_TIMELY W_CLOSE /* The full barrier. */
#endif

#define W_TIMELY 64
#define W_ALL 127

/* The reader's. */
#define R_BEGIN 1
#define R_COUNT 2
#define R_DATE 4   /* The current slot's cycle_start: which slot to use? */
#define R_START 8  /* The used slot's; the same load if that is the current. */
#define R_REST 16  /* The used slot's other words. */
#define R_END 32
#ifdef RECHECKS_DATE
#define R_AGAIN 64 /* The used slot's cycle_start again. */
#else
#define R_AGAIN 0 /* Redundant while seq does not go round. */
#endif
#ifdef GUESSES_EARLY
#define R_GUESS 128 /* The slot is guessed before [R:begin]. */
#else
#define R_GUESS 0
#endif
#define R_ALL (63 | R_AGAIN | R_GUESS)
#ifndef BEFORE_COUNT
#define BEFORE_COUNT R_BEGIN /* Clock::Read(after). */
#endif
#ifndef BEFORE_DATE
#define BEFORE_DATE R_BEGIN /* Acquire. */
#endif
#ifndef BEFORE_START_LOAD
#define BEFORE_START_LOAD R_BEGIN
#endif
#ifndef BEFORE_REST_LOAD
#define BEFORE_REST_LOAD R_BEGIN
#endif
#ifndef BEFORE_END
#define BEFORE_END (R_BEGIN | R_COUNT | R_DATE | R_START | R_REST | R_AGAIN)
#endif

#define TOO_LATE ((done & R_END) != 0 && counter > until + WINDOW)

#ifndef AWAKE
#define AWAKE true /* When the reader may load words of a slot. */
#endif

/* The rules of vvar/latch.h. */
#ifndef CURRENT_SLOT
#define CURRENT_SLOT(s) (((s) >> 1) & 1)
#endif
#ifndef IDLE_SLOT
#define IDLE_SLOT(s) ((((s) >> 1) & 1) ^ 1)
#endif
#ifndef OPENED
#define OPENED(s) ((s) | 1)
#endif
#ifndef PREVIOUS_IS_READABLE
#define PREVIOUS_IS_READABLE(s) (((s) & 1) == 0)
#endif
#ifndef ACCEPTS_CURRENT
#define ACCEPTS_CURRENT(begin, end) (((end) | 1) == ((begin) | 1))
#endif
#ifndef KEEPS_DATE
#define KEEPS_DATE(start, again) ((again) == (start))
#endif
#ifndef ACCEPTS_PREVIOUS
#define ACCEPTS_PREVIOUS(begin, end) ((end) == (begin))
#endif

/* The timeline. */
typedef Slot {
  byte start;
  byte rest
};
byte seq;
Slot slot[2];
byte updates; /* Closed so far, by whichever writer. */

#define TOO_NEAR (counter + MARGIN > line[next].start)

/* After its last look at the counter a writer is quick. */
inline LookedLast() {
  done = done | W_LOOK;
  deadline = counter + HOLD_UP
}

inline ForgetUpdate() {
  done = 0;
  odd = 0;
  next = 0;
  overtaken = false
}

active [WRITERS] proctype Writer() {
  byte done, odd, current, next, deaths;
  bool overtaken, timely;
end:
  do
  :: atomic {
      updates < UPDATES && BEFORE_WAIT(line[current].start) &&
      TAKE(W_WAIT, 0) ->
      odd = OPENED(seq);
      PlanLine(next, current, counter + LEAD);
#ifndef LOOKS_AGAIN
      LookedLast();
#endif
      printf("writer   wait, date  %d: line %d begins at %d\n", counter,
             next, line[next].start)
    }
  :: atomic {
      TAKE(W_OPEN, BEFORE_OPEN) ->
      seq = odd;
      printf("writer   [W:open]    seq = %d\n", seq)
    }
  :: atomic {
      TAKE(W_START, BEFORE_START) ->
      slot[IDLE_SLOT(odd)].start = line[next].start;
      printf("writer   [W:line]    slot %d: start = %d\n", IDLE_SLOT(odd),
             line[next].start)
    }
  :: atomic {
      TAKE(W_REST, BEFORE_REST) ->
      slot[IDLE_SLOT(odd)].rest = next;
      printf("writer   [W:line]    slot %d: the rest of line %d\n",
             IDLE_SLOT(odd), next)
    }
#ifdef LOOKS_AGAIN
  :: atomic {
      !TOO_NEAR && TAKE(W_LOOK, BEFORE_LOOK) ->
      LookedLast();
      printf("writer   ahead?      yes, at %d\n", counter)
    }
  :: atomic {
      /* Stores to the same words stay in order. */
      TOO_NEAR && TAKE(W_LOOK, BEFORE_LOOK | W_START | W_REST) ->
      line[next].start = NEVER;
      PlanLine(next, current, counter + LEAD);
      done = done & ~(W_START | W_REST);
      LookedLast();
      printf("writer   ahead?      no, at %d: line %d begins at %d\n",
             counter, next, line[next].start)
    }
#endif
  :: atomic {
      TAKE(W_CLOSE, BEFORE_CLOSE) ->
      seq = (odd + 1) & SEQ_MASK;
      printf("writer   [W:close]   seq = %d\n", seq);
      deadline = NEVER;
      published = next;
      current = next;
      updates++;
      /* Somebody read past its start when it was not there. */
      overtaken = latest > line[current].start;
#ifndef MAY_BE_LATE
      REQUIRE(exact, !overtaken);
      ForgetUpdate()
    }
#else
    }
  :: atomic {
      TAKE(W_TIMELY, BEFORE_TIMELY) ->
      timely = counter <= line[next].start;
      printf("writer   timely?     %d: %d\n", counter, timely)
    }
  :: atomic {
      done == W_ALL ->
      if
      :: overtaken -> printf("writer   was overtaken by a read\n")
      :: else
      fi;
      REQUIRE(counted, !overtaken || !timely);
      ForgetUpdate()
    }
#endif
#if DEATHS
  :: atomic {
      deaths < DEATHS -> /* At any step. */
      deaths++;
      if
      :: next > published -> line[next].start = NEVER
      :: else
      fi;
      ForgetUpdate();
      deadline = NEVER;
      current = slot[CURRENT_SLOT(seq)].rest;
#ifdef RECOVER
      RECOVER;
#endif
      printf("writer   is killed   a new one goes on from line %d\n", current)
    }
#endif
#ifdef STOPS
  :: atomic {
      deadline = NEVER;
      printf("writer   is stopped for ever\n");
      break
    }
#endif
  od
}

/* A CPU loads ahead of the branch in [R:line]: it guesses the slot. A path on
 * which it guessed wrong ends there: the CPU throws those loads away.
 */
inline GuessSide() {
  if
  :: previous = false
  :: PREVIOUS_IS_READABLE(begin) -> previous = true
  fi
}
#define USED_SLOT (current ^ previous)
#define GUESSED_RIGHT                   \
  (current == CURRENT_SLOT(begin) &&    \
   previous == (cycles < date && PREVIOUS_IS_READABLE(begin)))

active [READERS] proctype Reader() {
  byte done, begin, current, cycles, date, start, rest, again, end;
  bool previous, accepted;
  byte from, until, since, time, truth, least, most, tries, first, reads;
#if SKEW
  byte skew;
  select (skew : 0 .. SKEW);
#else
#define skew 0
#endif

  do
  :: atomic {
      if
#ifdef GUESSES_EARLY
      :: TAKE(R_GUESS, 0) ->
         select (current : 0 .. 1);
         GuessSide()
#endif
      :: TAKE(R_BEGIN, 0) ->
         begin = seq;
         from = counter;
         since = floor;
         if
         :: tries == 0 -> first = begin
         :: tries > 0
         fi;
         printf("reader   [R:begin]   seq is %d\n", begin);
#ifndef GUESSES_EARLY
         current = CURRENT_SLOT(begin);
         GuessSide()
#endif
      :: TAKE(R_COUNT, BEFORE_COUNT) ->
         if
         :: TOO_LATE -> goto thrown_away /* No CPU is that late. */
         :: !TOO_LATE
         fi;
         cycles = counter - skew;
         printf("reader   [R:count]   %d\n", cycles)
      :: AWAKE && TAKE(R_DATE, BEFORE_DATE) ->
         date = slot[current].start;
         if
         :: previous
         :: else ->
            done = done | R_START;
            start = date
         fi;
         printf("reader   [R:line]    slot %d: start is %d\n", current, date)
      :: previous && AWAKE && TAKE(R_START, BEFORE_START_LOAD) ->
         start = slot[USED_SLOT].start;
         printf("reader   [R:line]    slot %d: start is %d\n", USED_SLOT, start)
      :: AWAKE && TAKE(R_REST, BEFORE_REST_LOAD) ->
         rest = slot[USED_SLOT].rest;
         printf("reader   [R:line]    slot %d: the rest is of line %d\n",
                USED_SLOT, rest)
#ifdef RECHECKS_DATE
      :: AWAKE && TAKE(R_AGAIN, BEFORE_AGAIN_LOAD) ->
         again = slot[USED_SLOT].start;
         printf("reader   [R:line]    slot %d: start is %d\n", USED_SLOT, again)
#endif
      :: TAKE(R_END, BEFORE_END) ->
         end = seq;
         until = counter;
         printf("reader   [R:end]     seq is %d\n", end)
      fi;

      /* Anything left to do? Was it the right slot? Is it accepted? */
      if
      :: done != R_ALL -> goto next_step
      :: done == R_ALL && !GUESSED_RIGHT -> goto thrown_away
      :: done == R_ALL && GUESSED_RIGHT
      fi;
      if
      :: previous -> accepted = ACCEPTS_PREVIOUS(begin, end)
      :: else -> accepted = ACCEPTS_CURRENT(begin, end)
      fi;
#ifdef RECHECKS_DATE
      accepted = accepted && KEEPS_DATE(start, again);
#endif
      tries++;
      if
      :: !accepted ->
         printf("reader   tries again\n");
#ifndef RECHECKS_DATE
         /* Only for a [W:close] inside, or any store of seq. */
         REQUIRE(bounded, (end | !previous) != (begin | !previous));
#endif
         goto next_try
      :: accepted && tries > 2 -> printf("reader   tried three times\n")
      :: accepted && tries <= 2
      fi;

      time = TIME(start, rest, cycles);
      if
      :: previous && cycles >= start ->
         printf("reader   accepts     previous line: time %d at %d\n", time,
                cycles)
      :: previous && cycles < start ->
         printf("reader   accepts     previous line, held: time %d at %d\n",
                time, cycles)
      :: !previous && cycles >= start ->
         printf("reader   accepts     current line: time %d at %d\n", time,
                cycles)
      :: !previous && cycles < start ->
         printf("reader   accepts     current line, held: time %d at %d\n",
                time, cycles)
      fi;
      REQUIRE(one_publication, start == line[rest].start);
      Truth(least, cycles);
      Truth(most, cycles + skew);
      REQUIRE(exact, least <= time && time <= most);
      REQUIRE(inside, from <= cycles + skew && cycles <= until);
#ifndef MAY_BE_LATE
      REQUIRE(monotone, time >= since);
#endif
#ifndef RECHECKS_DATE
      /* Two more tries for each publication inside the call, at most. */
      REQUIRE(bounded, tries - 1 <= end - first);
#endif
      if
      :: time > floor -> floor = time
      :: else
      fi;
      if
      :: cycles > latest -> latest = cycles
      :: else
      fi;
      reads++;
      tries = 0;
next_try:
      done = 0;
      begin = 0;
      current = 0;
      cycles = 0;
      date = 0;
      start = 0;
      rest = 0;
      again = 0;
      end = 0;
      previous = false;
      accepted = false;
      from = 0;
      until = 0;
      since = 0;
      time = 0;
      truth = 0;
      least = 0;
      most = 0;
      if
      :: reads == READS -> goto thrown_away
      :: reads < READS
      fi;
next_step:
      skip
    }
  od;
thrown_away:
  skip
}
