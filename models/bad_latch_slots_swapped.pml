/* SPDX-License-Identifier: MIT
 *
 * Requirement: one_publication. An accepted read uses the words of one
 * publication.
 *
 * The plausible idea: The reader takes slot (seq >> 1) & 1, the writer the
 * other; or was it the other way round?
 *
 * What happens:
 *   reader   [R:begin]   seq is 0
 *   reader   [R:count]   0
 *   reader   [R:line]    slot 1: start is 0
 *   writer   wait, date  0: line 1 begins at 1
 *   writer   [W:open]    seq = 1
 *   writer   [W:line]    slot 1: the rest of line 1
 *   reader   [R:line]    slot 1: the rest is of line 1
 *   reader   [R:end]     seq is 1
 *   reader   accepts     current line: time 2 at 0
 *   violated one_publication
 *
 * Key point: A reader on the slot that the writer believes idle is accepted
 * all the time that it is being rewritten.
 *
 * The fix: CurrentSlot() and IdleSlot() are one another's complement, for
 * both.
 *
 * Trap: T23
 */
#define REQUIRED one_publication
#define UPDATES 1
#define CURRENT_SLOT(s) ((((s) >> 1) & 1) ^ 1)

#include "dated_latch.pml"
