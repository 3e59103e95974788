/* SPDX-License-Identifier: MIT
 *
 * Requirement: one_publication. An accepted read uses the words of one
 * publication.
 *
 * The plausible idea: One more word is needed, rarely: load it when the read
 * is nearly done, behind the acquire fence.
 *
 * What happens:
 *   reader   [R:begin]   seq is 0
 *   reader   [R:count]   0
 *   reader   [R:line]    slot 0: start is 0
 *   reader   [R:end]     seq is 0
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
 *   reader   accepts     current line: time 3 at 0
 *   violated one_publication
 *
 * Key point: The fence orders the loads before it against [R:end]. This one is
 * not among them.
 *
 * The fix: All of [R:line] stands before ReadEnd().
 *
 * Trap: T12
 */
#define REQUIRED one_publication
#define BEFORE_END (R_BEGIN | R_COUNT | R_DATE | R_START)

#include "dated_latch.pml"
