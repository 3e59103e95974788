/* SPDX-License-Identifier: MIT
 *
 * Requirement: one_publication. An accepted read uses the words of one
 * publication.
 *
 * The plausible idea: seq has 32 bits: nobody sleeps through 2^31
 * publications. (In the model it has two bits; the reader runs in program
 * order, as a thread that sleeps does.)
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
 *   writer   [W:line]    slot 0: start = 2
 *   writer   [W:line]    slot 0: the rest of line 2
 *   writer   [W:close]   seq = 0
 *   reader   [R:line]    slot 0: the rest is of line 2
 *   reader   [R:line]    slot 0: start is 2
 *   reader   [R:end]     seq is 0
 *   reader   accepts     current line: time 3 at 0
 *   violated one_publication
 *
 * Key point: At 1 MHz they take 36 minutes: a suspended process, a debugger.
 * The sequence is what it was, half of the words are not.
 *
 * The fix: The date is loaded again at the end of [R:line]:
 * good_sequence_wraps.
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
#define AWAKE ((seq & 1) == 0)
#define KEEPS_DATE(start, again) true

#include "dated_latch.pml"
