/* SPDX-License-Identifier: MIT
 *
 * Requirement: one_publication. An accepted read uses the words of one
 * publication.
 *
 * The plausible idea: A new writer begins like any other: seq + 1 opens.
 *
 * What happens:
 *   writer   wait, date  0: line 1 begins at 1
 *   writer   [W:open]    seq = 1
 *   writer   [W:line]    slot 1: the rest of line 1
 *   writer   is killed   a new one goes on from line 0
 *   writer   wait, date  0: line 2 begins at 1
 *   writer   [W:open]    seq = 2
 *   reader   [R:begin]   seq is 2
 *   reader   [R:count]   0
 *   reader   [R:line]    slot 1: start is 0
 *   reader   [R:line]    slot 1: the rest is of line 1
 *   reader   [R:end]     seq is 2
 *   reader   accepts     current line: time 2 at 0
 *   violated one_publication
 *
 * Key point: The dead one had opened. Counting on makes seq even, and the slot
 * that he left half written current.
 *
 * The fix: WriteOpen() stores seq | 1: from odd it stays there.
 *
 * Trap: T18
 */
#define REQUIRED one_publication
#define UPDATES 1
#define DEATHS 1
#define OPENED(s) ((s) + 1)

#include "dated_latch.pml"
