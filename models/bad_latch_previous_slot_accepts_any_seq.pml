/* SPDX-License-Identifier: MIT
 *
 * Requirement: one_publication. An accepted read uses the words of one
 * publication.
 *
 * The plausible idea: One rule for both slots: (end | 1) == (begin | 1).
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
 *   writer   [W:open]    seq = 3
 *   writer   [W:line]    slot 0: the rest of line 2
 *   reader   [R:line]    slot 0: the rest is of line 2
 *   reader   [R:end]     seq is 3
 *   reader   accepts     previous line: time 3 at 0
 *   violated one_publication
 *
 * Key point: The current slot is not rewritten until seq has moved by two, the
 * previous one from the next odd value on.
 *
 * The fix: Accepts(): on the previous slot end == begin.
 *
 * Trap: T23
 */
#define REQUIRED one_publication
#define ACCEPTS_PREVIOUS(begin, end) (((end) | 1) == ((begin) | 1))

#include "dated_latch.pml"
