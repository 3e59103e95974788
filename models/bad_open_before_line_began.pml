/* SPDX-License-Identifier: MIT
 *
 * Requirement: exact. An accepted read is what was published for its counter
 * value.
 *
 * The plausible idea: The new line is ready; publish it, also if the current
 * one has not begun yet.
 *
 * What happens:
 *   writer   wait, date  0: line 1 begins at 1
 *   writer   [W:open]    seq = 1
 *   writer   [W:line]    slot 1: start = 1
 *   writer   [W:line]    slot 1: the rest of line 1
 *   writer   [W:close]   seq = 2
 *   writer   wait, date  0: line 2 begins at 1
 *   writer   [W:open]    seq = 3
 *   reader   [R:begin]   seq is 3
 *   reader   [R:count]   0
 *   reader   [R:line]    slot 1: start is 1
 *   reader   [R:line]    slot 1: the rest is of line 1
 *   reader   [R:end]     seq is 3
 *   reader   accepts     current line, held: time 2 at 0
 *   violated exact
 *
 * Key point: Whose counter is before the current line needs the previous one,
 * and that is being rewritten.
 *
 * The fix: Publish() refuses (kTooEarly) until the counter has reached the
 * current line: the wait before [W:open].
 *
 * Trap: T21
 */
#define REQUIRED exact
#define BEFORE_WAIT(start) true

#include "dated_latch.pml"
