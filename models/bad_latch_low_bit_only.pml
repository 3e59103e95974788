/* SPDX-License-Identifier: MIT
 *
 * Requirement: one_publication. An accepted read uses the words of one
 * publication.
 *
 * The plausible idea: Which slot is current is one bit of seq, and whether it
 * is being written another: compare the low ones.
 *
 * What happens:
 *   writer   wait, date  0: line 1 begins at 1
 *   writer   [W:open]    seq = 1
 *   reader   [R:begin]   seq is 1
 *   reader   [R:count]   0
 *   reader   [R:line]    slot 0: start is 0
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
 * Key point: seq counts. Two steps on, the low bit is the same, and the slot
 * that was current is being rewritten.
 *
 * The fix: Accepts() compares all the bits but the lowest.
 *
 * Trap: T23
 */
#define REQUIRED one_publication
#define ACCEPTS_CURRENT(begin, end) ((((end) ^ (begin)) & 1) == 0)

#include "dated_latch.pml"
