/* SPDX-License-Identifier: MIT
 *
 * Shows: a writer that is held up for any time between its last look and
 * [W:close] may be overtaken by reads on the old line. Each such publication
 * is counted by "timely?". All other obligations hold; monotone is not
 * claimed.
 *
 * Never:
 *   current line, held
 *   previous line, held
 */
#define MAY_BE_LATE
#define HOLD_UP 250
#ifdef THOROUGH
#define LEAD 2
#endif

#include "dated_latch.pml"
