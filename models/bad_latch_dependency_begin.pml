/* SPDX-License-Identifier: MIT
 *
 * Requirement: one_publication. An accepted read uses the words of one
 * publication.
 *
 * The plausible idea: The slot's address depends on seq, and a dependency
 * orders: [R:begin] may be relaxed, as in Linux's seqcount_latch.
 *
 * What happens:
 *   reader   [R:line]    slot 1: start is 0
 *   writer   wait, date  0: line 1 begins at 1
 *   writer   [W:open]    seq = 1
 *   writer   [W:line]    slot 1: start = 1
 *   writer   [W:line]    slot 1: the rest of line 1
 *   reader   [R:line]    slot 1: the rest is of line 1
 *   writer   [W:close]   seq = 2
 *   reader   [R:begin]   seq is 2
 *   reader   [R:count]   0
 *   reader   [R:end]     seq is 2
 *   reader   accepts     current line: time 2 at 0
 *   violated one_publication
 *
 * Key point: It does on every CPU that Linux runs on. C++ does not know it:
 * seq & 2 has two values, a compiler may load the words of a guessed slot
 * first and compare later. The model guesses so.
 *
 * The fix: ReadBegin() is an acquire load: it comes before every [R:line].
 *
 * Trap: T22
 */
#define REQUIRED one_publication
#define GUESSES_EARLY
#define BEFORE_DATE R_GUESS
#define BEFORE_START_LOAD R_GUESS
#define BEFORE_REST_LOAD R_GUESS

#include "dated_latch.pml"
