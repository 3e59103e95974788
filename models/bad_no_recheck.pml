/* SPDX-License-Identifier: MIT
 *
 * Requirement: one_publication. An accepted read uses the words of one
 * publication.
 *
 * The plausible idea: seq said which slot was whole; a read takes nanoseconds,
 * an update comes every millisecond.
 *
 * What happens:
 *   reader   [R:begin]   seq is 0
 *   reader   [R:count]   0
 *   reader   [R:line]    slot 0: start is 0
 *   writer   wait, date  0: line 1 begins at 1
 *   writer   [W:open]    seq = 1
 *   writer   [W:line]    slot 1: start = 1
 *   writer   [W:line]    slot 1: the rest of line 1
 *   writer   [W:close]   seq = 2
 *   counter  1
 *   writer   wait, date  1: line 2 begins at 2
 *   writer   [W:open]    seq = 3
 *   writer   [W:line]    slot 0: the rest of line 2
 *   reader   [R:line]    slot 0: the rest is of line 2
 *   reader   [R:end]     seq is 3
 *   reader   accepts     current line: time 3 at 0
 *   violated one_publication
 *
 * Key point: A reader is preempted, an interrupt comes, a virtual CPU is
 * descheduled: in the middle of [R:line], for as long as it likes.
 *
 * The fix: Accepts(begin, end, side) after [R:end].
 *
 * Trap: T01
 */
#define REQUIRED one_publication
#define ACCEPTS_CURRENT(begin, end) true
#define ACCEPTS_PREVIOUS(begin, end) true

#include "dated_latch.pml"
