/* SPDX-License-Identifier: MIT
 *
 * Requirement: monotone. A read that begins after another has ended is not
 * earlier.
 *
 * The plausible idea: The next line begins at the counter value of which it
 * was computed: now.
 *
 * What happens:
 *   reader   [R:begin]   seq is 0
 *   reader   [R:line]    slot 0: start is 0
 *   reader   [R:line]    slot 0: the rest is of line 0
 *   writer   wait, date  0: line 1 begins at 0
 *   writer   [W:open]    seq = 1
 *   writer   [W:line]    slot 1: start = 0
 *   writer   [W:line]    slot 1: the rest of line 1
 *   counter  1
 *   reader   [R:count]   1
 *   reader   [R:end]     seq is 1
 *   reader   accepts     current line: time 2 at 1
 *   writer   [W:close]   seq = 2
 *   reader   [R:begin]   seq is 2
 *   reader   [R:count]   1
 *   reader   [R:line]    slot 1: start is 0
 *   reader   [R:line]    slot 1: the rest is of line 1
 *   reader   [R:end]     seq is 2
 *   reader   accepts     current line: time 1 at 1
 *   violated monotone
 *
 * Key point: Until [W:close] readers go on with the old line. It was steeper:
 * on the new one, the same counter value is an earlier time.
 *
 * The fix: The date: a line begins a lead after now, and readers change over
 * by the counter.
 *
 * Trap: T21
 */
#define REQUIRED monotone
#define UPDATES 1
#define LEAD 0
#define READS 2

#include "dated_latch.pml"
