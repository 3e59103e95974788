/* SPDX-License-Identifier: MIT
 *
 * Requirement: one_publication. An accepted read uses the words of one
 * publication.
 *
 * The plausible idea: The last word is one that few readers need; store it
 * after [W:close].
 *
 * What happens:
 *   writer   wait, date  0: line 1 begins at 1
 *   writer   [W:open]    seq = 1
 *   writer   [W:line]    slot 1: start = 1
 *   writer   [W:close]   seq = 2
 *   reader   [R:begin]   seq is 2
 *   reader   [R:line]    slot 1: start is 1
 *   reader   [R:line]    slot 1: the rest is of line 0
 *   counter  1
 *   reader   [R:count]   1
 *   reader   [R:end]     seq is 2
 *   reader   accepts     current line: time 0 at 1
 *   violated one_publication
 *
 * Key point: seq speaks of all the words of a slot. One that comes later
 * belongs to no publication.
 *
 * The fix: All of StoreLine() stands between WriteOpen() and WriteClose().
 *
 * Trap: T23
 */
#define REQUIRED one_publication
#define BEFORE_CLOSE (W_OPEN | W_START | W_LOOK)

#include "dated_latch.pml"
