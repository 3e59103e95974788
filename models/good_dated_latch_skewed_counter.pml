/* SPDX-License-Identifier: MIT
 *
 * Shows: a reader whose counter is behind the writer's is answered from the
 * previous line, or held at a line's start: with what was published for a
 * counter value between its own and the writer's, and never backwards on that
 * CPU.
 *
 * Never: nothing.
 */
#define SKEW 1
#define READS 2
#ifdef THOROUGH
#define LEAD 2
#endif

#include "dated_latch.pml"
