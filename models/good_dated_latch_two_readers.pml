/* SPDX-License-Identifier: MIT
 *
 * Shows: every obligation, with two readers at a time: none that begins when
 * another has ended is earlier.
 *
 * Never:
 *   current line, held
 *   previous line, held
 *   three times
 */
#define READERS 2
#define UPDATES 1
#ifdef THOROUGH
#define LEAD 2
#endif

#include "dated_latch.pml"
