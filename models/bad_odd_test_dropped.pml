/* SPDX-License-Identifier: MIT
 *
 * Requirement: one_publication. An accepted read uses the words of one
 * publication.
 *
 * The plausible idea: The sequence did not change during the read: nothing was
 * written. (Of the seqlock, which foreign pages are.)
 *
 * What happens:
 *   writer   [W:open]    seq = 1
 *   reader   [R:begin]   seq is 1
 *   reader   [R:count]   0
 *   reader   [R:line]    start is 0
 *   counter  1
 *   writer   samples     1: line 1 begins there
 *   writer   [W:line]    the rest of line 1
 *   reader   [R:line]    the rest is of line 1
 *   reader   [R:end]     seq is 1
 *   reader   accepts     line 1: time 2 at 0
 *   violated one_publication
 *
 * Key point: It was odd all the time.
 *
 * The fix: TryLoad() accepts only an even sequence that did not change.
 *
 * Trap: T14
 */
#define REQUIRED one_publication
#define UPDATES 1
#define ACCEPTS(begin, end) ((end) == (begin))

#include "seqlock.pml"
