/* SPDX-License-Identifier: MIT
 *
 * Shows: on x86 the counter may be read up to a CPU's window (1) after
 * [R:end]. The margin of the writer's last look (2) less what it is held up
 * afterwards (1) covers it: still exact. Not claimed: inside.
 *
 * Never:
 *   current line, held
 *   previous line, held
 *   three times
 */
#define REQUIRED exact
#define UPDATES 1
#define LEAD 2
#define LOOKS_AGAIN
#define MARGIN 2
#define HOLD_UP 1
#define WINDOW 1
#define BEFORE_END (R_BEGIN | R_DATE | R_START | R_REST)
#ifdef THOROUGH
#define READS 2
#endif

#include "dated_latch.pml"
