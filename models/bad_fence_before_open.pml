/* SPDX-License-Identifier: MIT
 *
 * Requirement: one_publication. An accepted read uses the words of one
 * publication.
 *
 * The plausible idea: There has to be a release fence at [W:open]; it stands
 * before the store, like a lock's.
 *
 * What happens:
 *   writer   wait, date  0: line 1 begins at 1
 *   writer   [W:open]    seq = 1
 *   writer   [W:line]    slot 1: start = 1
 *   writer   [W:line]    slot 1: the rest of line 1
 *   writer   [W:close]   seq = 2
 *   reader   [R:begin]   seq is 2
 *   reader   [R:count]   0
 *   reader   [R:line]    slot 1: start is 1
 *   reader   [R:line]    slot 0: start is 0
 *   counter  1
 *   writer   wait, date  1: line 2 begins at 2
 *   writer   [W:line]    slot 0: the rest of line 2
 *   reader   [R:line]    slot 0: the rest is of line 2
 *   reader   [R:end]     seq is 2
 *   reader   accepts     previous line: time 3 at 0
 *   violated one_publication
 *
 * Key point: A fence orders what is before it against what is after it. The
 * odd value and the words are both after this one. Who reads the previous line
 * takes an even seq for the promise that nobody is rewriting that slot. A word
 * that overtakes the odd value breaks it without a trace.
 *
 * The fix: WriteOpen() stores odd, then a release fence, then the words are
 * stored: [W:open] before every [W:line].
 *
 * Trap: T10
 */
#define REQUIRED one_publication
#define BEFORE_START W_WAIT
#define BEFORE_REST W_WAIT

#include "dated_latch.pml"
