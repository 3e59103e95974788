/* SPDX-License-Identifier: MIT
 *
 * Shows: beside a writer that stops for ever at any step every read ends, and
 * is refused at most twice for each publication inside it: never without a
 * store of seq.
 *
 * Never:
 *   current line, held
 *   previous line, held
 */
#define STOPS
#ifdef THOROUGH
#define READS 2
#endif

#include "dated_latch.pml"
