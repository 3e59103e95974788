/* SPDX-License-Identifier: MIT
 *
 * Requirement: exact. An accepted read is what was published for its counter
 * value.
 *
 * The plausible idea: On x86 nothing keeps [R:end] behind RDTSCP; the lead
 * covers it: a line changes only a lead after [W:close].
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
 *   reader   [R:end]     seq is 1
 *   writer   [W:close]   seq = 2
 *   counter  3
 *   reader   [R:count]   3
 *   reader   accepts     current line: time 6 at 3
 *   violated exact
 *
 * Key point: A lead after [W:close], if nothing held the writer up. It may
 * close in the very tick before the start; then a counter that is read one
 * tick after [R:end] is past it.
 *
 * The fix: The last look leaves a margin: good_counter_within_window.
 */
#define REQUIRED exact
#define UPDATES 1
#define LEAD 2
#define LOOKS_AGAIN
#define MARGIN 1
#define HOLD_UP 1
#define WINDOW 1
#define BEFORE_END (R_BEGIN | R_DATE | R_START | R_REST)

#include "dated_latch.pml"
