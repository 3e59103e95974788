/* SPDX-License-Identifier: MIT
 *
 * Shows: every obligation, for two updates with changing slopes and two reads
 * in a row. Reads that do not overlap are in order whichever thread they are
 * in: one here is as good as two that hand the time over.
 *
 * Never:
 *   current line, held
 *   previous line, held
 */
#define READS 2
#ifdef THOROUGH
#define UPDATES 3
#endif

#include "dated_latch.pml"
