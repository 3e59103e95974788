/* SPDX-License-Identifier: MIT
 *
 * Shows: with counters that agree, a reader that sees odd has a counter past
 * the current line: the wait before [W:open]. So it makes no difference if it
 * would read the previous slot then. See bad_latch_previous_read_while_odd.
 *
 * Never:
 *   current line, held
 *   previous line, held
 */
#define PREVIOUS_IS_READABLE(s) true
#ifdef THOROUGH
#define LEAD 2
#endif

#include "dated_latch.pml"
