/* SPDX-License-Identifier: MIT
 *
 * Requirement: one_publication. An accepted read uses the words of one
 * publication.
 *
 * The plausible idea: Each writer leaves seq even when it has done.
 *
 * What happens:
 *   writer 2 wait, date  0: line 1 begins at 1
 *   writer 2 [W:open]    seq = 1
 *   writer 2 [W:line]    slot 1: start = 1
 *   writer 2 [W:line]    slot 1: the rest of line 1
 *   counter  1
 *   writer 1 wait, date  1: line 2 begins at 2
 *   writer 1 [W:open]    seq = 1
 *   writer 2 [W:close]   seq = 2
 *   reader   [R:begin]   seq is 2
 *   reader   [R:count]   1
 *   reader   [R:line]    slot 1: start is 1
 *   writer 1 [W:line]    slot 1: the rest of line 2
 *   reader   [R:line]    slot 1: the rest is of line 2
 *   reader   [R:end]     seq is 2
 *   reader   accepts     current line: time 4 at 1
 *   violated one_publication
 *
 * Key point: Both begin from the same value, and rewrite the same slot. The
 * first to finish clears the mark of the other.
 *
 * The fix: One writer to a timeline; a lock on the page's file that the kernel
 * lets go when it dies.
 *
 * Trap: T02
 */
#define REQUIRED one_publication
#define WRITERS 2
#define UPDATES 1

#include "dated_latch.pml"
