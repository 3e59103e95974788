/* SPDX-License-Identifier: MIT
 *
 * Shows: a writer that was held up dates its line anew, while seq is odd, and
 * stores its words again. The margin of its last look (2) is what it may be
 * held up afterwards. It may be killed, too.
 *
 * Never:
 *   current line, held
 *   previous line, held
 *   three times
 */
#define UPDATES 1
#define LEAD 2
#define LOOKS_AGAIN
#define MARGIN 2
#define HOLD_UP 2
#define DEATHS 1
#ifdef THOROUGH
#define READS 2
#endif

#include "dated_latch.pml"
