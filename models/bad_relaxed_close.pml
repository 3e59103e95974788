/* SPDX-License-Identifier: MIT
 *
 * Requirement: one_publication. An accepted read uses the words of one
 * publication.
 *
 * The plausible idea: The words were stored before seq becomes even: that is
 * program order.
 *
 * What happens:
 *   writer   wait, date  0: line 1 begins at 1
 *   writer   [W:open]    seq = 1
 *   writer   [W:line]    slot 1: the rest of line 1
 *   writer   [W:close]   seq = 2
 *   reader   [R:begin]   seq is 2
 *   reader   [R:count]   0
 *   reader   [R:line]    slot 1: start is 0
 *   reader   [R:line]    slot 1: the rest is of line 1
 *   reader   [R:end]     seq is 2
 *   reader   accepts     current line: time 2 at 0
 *   violated one_publication
 *
 * Key point: Relaxed stores become visible in any order. Who sees the even
 * value goes to the new slot, and finds what was there two publications ago.
 *
 * The fix: WriteClose() is a release store: every [W:line] before [W:close].
 *
 * Trap: T09
 */
#define REQUIRED one_publication
#define BEFORE_CLOSE (W_OPEN | W_LOOK)

#include "dated_latch.pml"
