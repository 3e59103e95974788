/* SPDX-License-Identifier: MIT
 *
 * Requirement: one_publication. An accepted read uses the words of one
 * publication.
 *
 * The plausible idea: [W:open] is a release store, so the words that follow
 * are ordered behind it.
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
 * Key point: A release store holds back what comes before it. What follows may
 * overtake it: here a word of line 2 is in the slot while seq still says that
 * the slot is at rest.
 *
 * The fix: WriteOpen() stores odd, then a release fence, then the words are
 * stored: [W:open] before every [W:line].
 *
 * Trap: T06
 */
#define REQUIRED one_publication
#define BEFORE_START W_WAIT
#define BEFORE_REST W_WAIT

#include "dated_latch.pml"
