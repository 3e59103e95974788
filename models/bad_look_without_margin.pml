/* SPDX-License-Identifier: MIT
 *
 * Requirement: exact. An accepted read is what was published for its counter
 * value.
 *
 * The plausible idea: Before [W:close] the writer looks again: the line has
 * not begun, so it is in time.
 *
 * What happens:
 *   reader   [R:begin]   seq is 0
 *   reader   [R:line]    slot 0: start is 0
 *   reader   [R:line]    slot 0: the rest is of line 0
 *   writer   wait, date  0: line 1 begins at 2
 *   writer   [W:open]    seq = 1
 *   writer   [W:line]    slot 1: start = 2
 *   writer   [W:line]    slot 1: the rest of line 1
 *   counter  1
 *   writer   ahead?      yes, at 1
 *   counter  2
 *   counter  3
 *   reader   [R:count]   3
 *   reader   [R:end]     seq is 1
 *   reader   accepts     current line: time 6 at 3
 *   writer   [W:close]   seq = 2
 *   violated exact
 *
 * Key point: It looked one tick before the start, and then took two to
 * [W:close]. A look must leave as much time as closing takes: with MARGIN 2
 * this is good_dated_latch_redating.
 *
 * The fix: A line that begins in less than the margin is dated anew.
 */
#define REQUIRED exact
#define UPDATES 1
#define LEAD 2
#define LOOKS_AGAIN
#define MARGIN 1
#define HOLD_UP 2

#include "dated_latch.pml"
