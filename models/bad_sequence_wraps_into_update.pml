/* SPDX-License-Identifier: MIT
 *
 * Requirement: one_publication. An accepted read uses the words of one
 * publication.
 *
 * The plausible idea: The date is loaded first and last, so it extends seq to
 * the width of the counter.
 *
 * What happens:
 *   reader   [R:begin]   seq is 0
 *   reader   [R:count]   0
 *   reader   [R:line]    slot 0: start is 0
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
 *   reader   [R:line]    slot 0: start is 0
 *   writer   [W:line]    slot 0: start = 2
 *   writer   [W:close]   seq = 0
 *   reader   [R:end]     seq is 0
 *   reader   accepts     current line: time 3 at 0
 *   violated one_publication
 *
 * Key point: Only for words that are at rest. A reader that wakes in the very
 * update in which seq comes round again may find the old date twice, and a
 * word of the new line that overtook the new date. (With the stores in order,
 * the new date twice and an old word.)
 *
 * The fix: none: it takes a sleep of 2^31 publications that ends inside one
 * [W:line]. docs/memory_model.md must not promise more.
 *
 * Trap: T20
 */
#define REQUIRED one_publication
#define UPDATES 3
#define SEQ_MASK 3
#define RECHECKS_DATE
#define BEFORE_DATE R_COUNT
#define BEFORE_START_LOAD R_DATE
#define BEFORE_REST_LOAD R_START
#define BEFORE_AGAIN_LOAD R_REST

#include "dated_latch.pml"
