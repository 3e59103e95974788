/* SPDX-License-Identifier: MIT
 *
 * Requirement: one_publication. An accepted read uses the words of one
 * publication.
 *
 * The plausible idea: The check at [R:end] finds out whatever went wrong;
 * [R:begin] may be relaxed. (Of the seqlock; for the latch see
 * bad_latch_dependency_begin.)
 *
 * What happens:
 *   reader   [R:line]    start is 0
 *   writer   [W:open]    seq = 1
 *   counter  1
 *   writer   samples     1: line 1 begins there
 *   writer   [W:line]    start = 1
 *   writer   [W:line]    the rest of line 1
 *   reader   [R:line]    the rest is of line 1
 *   writer   [W:close]   seq = 2
 *   reader   [R:begin]   seq is 2
 *   reader   [R:count]   1
 *   reader   [R:end]     seq is 2
 *   reader   accepts     line 1: time 3 at 1
 *   violated one_publication
 *
 * Key point: The words may have been loaded before [R:begin]. The sequence
 * that was compared is that of a later time than the words.
 *
 * The fix: ReadBegin() is an acquire load: it comes before every [R:line].
 *
 * Trap: T11
 */
#define REQUIRED one_publication
#define UPDATES 1
#define BEFORE_WORD_LOADS 0

#include "seqlock.pml"
