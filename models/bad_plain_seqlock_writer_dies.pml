/* SPDX-License-Identifier: MIT
 *
 * Requirement: bounded. A read is refused only when a store of seq falls
 * inside it.
 *
 * The plausible idea: The odd window is some ten nanoseconds.
 *
 * What happens:
 *   writer   [W:open]    seq = 1
 *   reader   [R:begin]   seq is 1
 *   reader   [R:count]   0
 *   reader   [R:line]    start is 0
 *   reader   [R:line]    the rest is of line 0
 *   reader   [R:end]     seq is 1
 *   reader   tries again
 *   violated bounded
 *
 * Key point: A writer is preempted, stopped, killed, or is what the reader's
 * own signal handler interrupted: the reader tries again for ever. Nothing is
 * wrong with the steps; one slot is too few.
 *
 * The fix: The second slot: good_progress.
 *
 * Trap: T16 and T17
 */
#define REQUIRED bounded
#define UPDATES 1

#include "seqlock.pml"
