/* SPDX-License-Identifier: MIT
 *
 * Requirement: counted. A line that a read has overtaken is counted as late.
 *
 * The plausible idea: After [W:close] the counter is read once more: past the
 * start, the line was late.
 *
 * What happens:
 *   reader   [R:begin]   seq is 0
 *   reader   [R:line]    slot 0: start is 0
 *   reader   [R:line]    slot 0: the rest is of line 0
 *   writer   wait, date  0: line 1 begins at 1
 *   writer   [W:open]    seq = 1
 *   writer   [W:line]    slot 1: start = 1
 *   writer   [W:line]    slot 1: the rest of line 1
 *   writer   timely?     0: 1
 *   counter  1
 *   counter  2
 *   reader   [R:count]   2
 *   reader   [R:end]     seq is 1
 *   reader   accepts     current line: time 4 at 2
 *   writer   [W:close]   seq = 2
 *   writer   was overtaken by a read
 *   violated counted
 *
 * Key point: In program order only. A store may become visible after a counter
 * was read that follows it: the check found nothing, and the read that saw the
 * old line came in between.
 *
 * The fix: ReadAfterStores(): a full barrier between [W:close] and "timely?"
 * (mfence; lfence, dsb ish; isb, fence w,i).
 */
#define REQUIRED counted
#define UPDATES 1
#define MAY_BE_LATE
#define HOLD_UP 250
#define BEFORE_TIMELY W_WAIT

#include "dated_latch.pml"
