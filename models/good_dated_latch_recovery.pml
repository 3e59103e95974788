/* SPDX-License-Identifier: MIT
 *
 * Shows: the writer may be killed at any step; the next one takes the current
 * line over, rewrites the idle slot first, and counts on from seq | 1. Every
 * obligation holds throughout.
 *
 * Never:
 *   current line, held
 *   previous line, held
 */
#define DEATHS 1
#ifdef THOROUGH
#define LOOKS_AGAIN
#endif

#include "dated_latch.pml"
