/* SPDX-License-Identifier: MIT
 *
 * Requirement: exact. An accepted read is what was published for its counter
 * value.
 *
 * The plausible idea: A new writer begins with an empty page: seq = 0, then
 * the first line.
 *
 * What happens:
 *   reader   [R:begin]   seq is 0
 *   reader   [R:line]    slot 0: start is 0
 *   reader   [R:line]    slot 0: the rest is of line 0
 *   writer   wait, date  0: line 1 begins at 1
 *   writer   [W:open]    seq = 1
 *   writer   [W:line]    slot 1: start = 1
 *   writer   [W:line]    slot 1: the rest of line 1
 *   writer   [W:close]   seq = 2
 *   writer   is killed   a new one goes on from line 1
 *   counter  1
 *   counter  2
 *   reader   [R:count]   2
 *   reader   [R:end]     seq is 0
 *   reader   accepts     current line: time 4 at 2
 *   violated exact
 *
 * Key point: A reader that began at 0, one publication ago, ends at 0: its
 * line is over, and nothing tells it.
 *
 * The fix: seq goes on from where it stood. A page that is created anew is
 * another file with another instance id.
 *
 * Trap: T19
 */
#define REQUIRED exact
#define UPDATES 1
#define DEATHS 1
#define RECOVER seq = 0

#include "dated_latch.pml"
