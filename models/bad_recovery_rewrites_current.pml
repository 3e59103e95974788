/* SPDX-License-Identifier: MIT
 *
 * Requirement: one_publication. An accepted read uses the words of one
 * publication.
 *
 * The plausible idea: A new writer does not trust what it finds, and first of
 * all mends the slot that readers are on.
 *
 * What happens:
 *   reader   [R:begin]   seq is 0
 *   reader   [R:count]   0
 *   reader   [R:line]    slot 0: start is 0
 *   writer   is killed   a new one goes on from line 0
 *   writer   wait, date  0: line 1 begins at 1
 *   writer   [W:open]    seq = 1
 *   writer   [W:line]    slot 0: the rest of line 1
 *   reader   [R:line]    slot 0: the rest is of line 1
 *   reader   [R:end]     seq is 1
 *   reader   accepts     current line: time 2 at 0
 *   violated one_publication
 *
 * Key point: That slot is whole, whatever the dead one was doing; it is the
 * other that may not be. Readers do not look at seq between begin and end.
 *
 * The fix: Recovery is an update: into the idle slot of seq | 1.
 *
 * Trap: T18
 */
#define REQUIRED one_publication
#define UPDATES 1
#define DEATHS 1
#define IDLE_SLOT(s) ((((s) >> 1) & 1) ^ (deaths == 0))

#include "dated_latch.pml"
