/* SPDX-License-Identifier: MIT
 *
 * Shows: a reader that sleeps while seq goes round (here: two publications)
 * accepts no mixture, for the date is loaded again at the end of [R:line]. Not
 * claimed: that the line is still the right one for its counter value, and
 * what happens if it wakes inside an update (bad_sequence_wraps_into_update).
 *
 * Never: nothing.
 */
#define REQUIRED one_publication
#ifdef THOROUGH
#define UPDATES 5
#else
#define UPDATES 3
#endif
#define SEQ_MASK 3
#define RECHECKS_DATE
#define BEFORE_DATE R_COUNT
#define BEFORE_START_LOAD R_DATE
#define BEFORE_REST_LOAD R_START
#define BEFORE_AGAIN_LOAD R_REST
#define AWAKE ((seq & 1) == 0)

#include "dated_latch.pml"
