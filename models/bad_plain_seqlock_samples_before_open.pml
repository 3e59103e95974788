/* SPDX-License-Identifier: MIT
 *
 * Requirement: monotone. A read that begins after another has ended is not
 * earlier.
 *
 * The plausible idea: The writer samples the counter, computes the line, and
 * then publishes it: the odd window stays short. (Linux's order, and every
 * plain seqlock's.)
 *
 * What happens:
 *   reader   [R:begin]   seq is 0
 *   reader   [R:line]    start is 0
 *   reader   [R:line]    the rest is of line 0
 *   writer   samples     0: line 1 begins there
 *   counter  1
 *   reader   [R:count]   1
 *   reader   [R:end]     seq is 0
 *   reader   accepts     line 0: time 2 at 1
 *   writer   [W:open]    seq = 1
 *   writer   [W:line]    start = 0
 *   writer   [W:line]    the rest of line 1
 *   writer   [W:close]   seq = 2
 *   reader   [R:begin]   seq is 2
 *   reader   [R:count]   1
 *   reader   [R:line]    start is 0
 *   reader   [R:line]    the rest is of line 1
 *   reader   [R:end]     seq is 2
 *   reader   accepts     line 1: time 1 at 1
 *   violated monotone
 *
 * Key point: Between the sample and [W:open] the old line is followed beyond
 * the new one's start. It was steeper.
 *
 * The fix: The seqlock's: sample behind [W:open] and a full barrier,
 * good_plain_seqlock. The dated latch's: begin in the future.
 *
 * Trap: T21
 */
#define REQUIRED monotone
#define UPDATES 1
#define READS 2
#define BEFORE_SAMPLE 0
#define BEFORE_OPEN W_SAMPLE

#include "seqlock.pml"
