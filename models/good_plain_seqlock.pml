/* SPDX-License-Identifier: MIT
 *
 * Shows: the seqlock, and that a clock on it is monotone if the counter is
 * sampled behind [W:open] and a full barrier. It is not bounded:
 * bad_plain_seqlock_writer_dies.
 *
 * Never: nothing.
 */
#define READS 2
#ifdef THOROUGH
#define UPDATES 3
#endif

#include "seqlock.pml"
