/* SPDX-License-Identifier: MIT
 *
 * Requirement: exact. An accepted read is what was published for a counter
 * value between its own and the writer's.
 *
 * The plausible idea: The counter has reached the line: the writer has seen to
 * it. So counter - cycle_start is not negative.
 *
 * What happens:
 *   writer   wait, date  1: line 1 begins at 2
 *   writer   [W:open]    seq = 1
 *   writer   [W:line]    slot 1: start = 2
 *   writer   [W:line]    slot 1: the rest of line 1
 *   writer   [W:close]   seq = 2
 *   counter  2
 *   writer   wait, date  2: line 2 begins at 3
 *   writer   [W:open]    seq = 3
 *   reader   [R:begin]   seq is 3
 *   reader   [R:count]   1
 *   reader   [R:line]    slot 1: start is 2
 *   reader   [R:line]    slot 1: the rest is of line 1
 *   reader   [R:end]     seq is 3
 *   reader   accepts     current line, held: time 67 at 1
 *   violated exact
 *
 * Key point: The writer looked at its own CPU's counter. This one is behind by
 * one tick (SKEW), and the difference is unsigned: the counter of the model
 * has 6 bits, the jump would be hours.
 *
 * The fix: The delta is signed; a counter before the line counts as at its
 * start.
 *
 * Trap: T23 and T31
 */
#define REQUIRED exact
#define SKEW 1
#define AGE(start, cycles) (((cycles) - (start)) & 63)

#include "dated_latch.pml"
