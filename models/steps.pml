/* SPDX-License-Identifier: MIT
 *
 * What the models share. A thread is a set of steps with explicit edges over
 * one memory: a step may be taken as soon as those it needs have been, so what
 * no fence, acquire, release or dependency orders is really reordered. A store
 * is seen by all at once (multi-copy atomic, as x86, ARMv8 and RISC-V are).
 */
#define TAKE(step, needs) \
  (done & (step)) == 0 && (done & (needs)) == (needs) -> done = done | (step)

/* The obligations of README.md. A bad model names the one it is about. */
mtype = { one_publication, exact, inside, monotone, bounded, counted };
#ifndef REQUIRED
#define REQUIRED 0 /* All of them. */
#endif
#define REQUIRE(obligation, holds)                            \
  if                                                          \
  :: (REQUIRED == 0 || REQUIRED == obligation) && !(holds) -> \
     printf("violated %e\n", obligation);                     \
     assert(false)                                            \
  :: else                                                     \
  fi

#define NEVER 255

/* The machine's counter goes on by itself. It waits for a writer only where the
 * lead is taken to be enough: from its last look at the counter to [W:close].
 */
byte counter = FIRST_COUNT;
byte deadline = NEVER;

active proctype Counter() {
end:
  do
  :: atomic {
      counter < LAST_COUNT && counter < deadline ->
      counter++;
      printf("counter  %d\n", counter)
    }
  od
}

/* Lines, by number: the first one runs from 0 with slope 2, then flat (1) and
 * steep (2) take turns. A slot has two words: a line's date, and its number,
 * which stands for all its other words.
 */
typedef Line {
  byte start;
  byte base;
  bool flat
};
Line line[LINES];
byte last_line = 0; /* The last number given away. */

/* The arithmetic of a read. Before its start a line stands still. */
#ifndef AGE
#define AGE(start, cycles) ((cycles) > (start) -> (cycles) - (start) : 0)
#endif
#define TIME(start, number, cycles) \
  (line[number].base + (2 - line[number].flat) * AGE(start, cycles))

inline PlanLine(number, from, at) {
  last_line++;
  number = last_line;
  line[number].start = at;
  line[number].base = TIME(line[from].start, from, at);
  line[number].flat = !line[from].flat
}

/* What was published, and what has been read of it. */
byte published = 0; /* The newest line that was closed. */
byte latest = 0;    /* The greatest counter value of an accepted read. */
byte floor = 0;     /* The greatest time that was read. */

/* The published function: the newest line that has begun at `cycles`. */
inline Truth(time, cycles) {
  truth = published;
  do
  :: line[truth].start > cycles && truth > 0 -> truth--
  :: else -> break
  od;
  time = TIME(line[truth].start, truth, cycles)
}
