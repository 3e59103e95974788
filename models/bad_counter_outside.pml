/* SPDX-License-Identifier: MIT
 *
 * Requirement: exact. An accepted read is what was published for its counter
 * value.
 *
 * The plausible idea: Arithmetic belongs behind the loop, and so does the
 * counter: read it when the line is known to be good.
 *
 * What happens:
 *   reader   [R:begin]   seq is 0
 *   reader   [R:line]    slot 0: start is 0
 *   reader   [R:line]    slot 0: the rest is of line 0
 *   reader   [R:end]     seq is 0
 *   writer   wait, date  0: line 1 begins at 1
 *   writer   [W:open]    seq = 1
 *   writer   [W:line]    slot 1: start = 1
 *   writer   [W:line]    slot 1: the rest of line 1
 *   writer   [W:close]   seq = 2
 *   counter  1
 *   counter  2
 *   reader   [R:count]   2
 *   reader   accepts     current line: time 4 at 2
 *   violated exact
 *
 * Key point: The line was good up to [R:end]. The counter says how far to
 * follow it, and by then another line had begun.
 *
 * The fix: Clock::Read() stands between [R:begin] and [R:end].
 *
 * Trap: T12
 */
#define REQUIRED exact
#define UPDATES 1
#define BEFORE_COUNT R_END
#define BEFORE_END (R_BEGIN | R_DATE | R_START | R_REST)
#define WINDOW NEVER

#include "dated_latch.pml"
