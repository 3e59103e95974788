/* SPDX-License-Identifier: MIT
 *
 * Requirement: exact. An accepted read is what was published for its counter
 * value.
 *
 * The plausible idea: The counter first, then the line: what is in between is
 * a few nanoseconds.
 *
 * What happens:
 *   reader   [R:count]   0
 *   writer   wait, date  0: line 1 begins at 1
 *   writer   [W:open]    seq = 1
 *   writer   [W:line]    slot 1: start = 1
 *   writer   [W:line]    slot 1: the rest of line 1
 *   writer   [W:close]   seq = 2
 *   counter  1
 *   writer   wait, date  1: line 2 begins at 2
 *   writer   [W:open]    seq = 3
 *   reader   [R:begin]   seq is 3
 *   reader   [R:line]    slot 1: start is 1
 *   reader   [R:line]    slot 1: the rest is of line 1
 *   reader   [R:end]     seq is 3
 *   reader   accepts     current line, held: time 2 at 0
 *   violated exact
 *
 * Key point: In between two lines may come. The reader is given one that had
 * not begun at its counter value; a plain seqlock would subtract, and
 * underflow. (RDTSC without LFENCE, CNTVCT without ISB, rdtime without fence
 * r,i do the same, whatever the program's order is.)
 *
 * The fix: Clock::Read(after): not before the load of [R:begin].
 *
 * Trap: T47 and T52
 */
#define REQUIRED exact
#define BEFORE_COUNT 0

#include "dated_latch.pml"
