/* SPDX-License-Identifier: MIT
 *
 * Requirement: one_publication. An accepted read uses the words of one
 * publication.
 *
 * The plausible idea: Every access to seq is seq_cst, on both sides; the words
 * may then be relaxed.
 *
 * What happens:
 *   reader   [R:begin]   seq is 0
 *   reader   [R:count]   0
 *   reader   [R:line]    slot 0: start is 0
 *   reader   [R:end]     seq is 0
 *   writer   wait, date  0: line 1 begins at 1
 *   writer   [W:open]    seq = 1
 *   writer   [W:line]    slot 1: start = 1
 *   writer   [W:line]    slot 1: the rest of line 1
 *   writer   [W:close]   seq = 2
 *   counter  1
 *   writer   wait, date  1: line 2 begins at 2
 *   writer   [W:line]    slot 0: the rest of line 2
 *   reader   [R:line]    slot 0: the rest is of line 2
 *   reader   accepts     current line: time 3 at 0
 *   violated one_publication
 *
 * Key point: seq_cst orders the accesses to seq among themselves. A store that
 * is seq_cst is a release: later words may overtake it. A load that is seq_cst
 * is an acquire: earlier words may be loaded after it.
 *
 * The fix: The release fence behind [W:open], the acquire fence before
 * [R:end].
 *
 * Trap: T07
 */
#define REQUIRED one_publication
#define BEFORE_START W_WAIT
#define BEFORE_REST W_WAIT
#define BEFORE_END (R_BEGIN | R_COUNT)

#include "dated_latch.pml"
