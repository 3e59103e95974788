/* SPDX-License-Identifier: MIT
 *
 * Requirement: one_publication. An accepted read uses the words of one
 * publication.
 *
 * The plausible idea: A counter before the current line needs the previous
 * one, and seq is checked at the end anyway.
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
 *   reader   [R:line]    slot 0: start is 0
 *   writer   [W:line]    slot 0: the rest of line 2
 *   reader   [R:line]    slot 0: the rest is of line 2
 *   reader   [R:end]     seq is 3
 *   reader   accepts     previous line: time 7 at 1
 *   violated one_publication
 *
 * Key point: While seq is odd that slot is being rewritten, and stays odd
 * meanwhile. It takes a counter that is behind the writer's (SKEW): with
 * counters that agree nobody is ever early while seq is odd, see
 * good_odd_is_never_early.
 *
 * The fix: PreviousIsReadable(seq): only while it is even.
 *
 * Trap: T23
 */
#define REQUIRED one_publication
#define SKEW 1
#define PREVIOUS_IS_READABLE(s) true

#include "dated_latch.pml"
