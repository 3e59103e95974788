/* SPDX-License-Identifier: MIT
 *
 * Requirement: one_publication. An accepted read uses the words of one
 * publication.
 *
 * The plausible idea: [R:end] is an acquire load of seq: an acquire at each
 * end.
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
 * Key point: An acquire load holds back what comes after it. The words come
 * before it, and may be loaded after seq was.
 *
 * The fix: ReadEnd() is an acquire fence and then a relaxed load: every
 * [R:line] before [R:end].
 *
 * Trap: T05
 */
#define REQUIRED one_publication
#define BEFORE_END (R_BEGIN | R_COUNT)

#include "dated_latch.pml"
