/* SPDX-License-Identifier: MIT
 *
 * Requirement: exact. An accepted read is what was published for its counter
 * value.
 *
 * The plausible idea: The counter is read before [R:end], in program order;
 * nothing else is needed.
 *
 * What happens:
 *   reader   [R:begin]   seq is 0
 *   reader   [R:line]    slot 0: start is 0
 *   reader   [R:line]    slot 0: the rest is of line 0
 *   reader   [R:end]     seq is 0
 *   writer   wait, date  0: line 1 begins at 1
 *   writer   [W:open]    seq = 1
 *   writer   [W:line]    slot 1: start = 1
 *   writer   [W:line]    slot 1: the rest of line 1
 *   writer   [W:close]   seq = 2
 *   counter  1
 *   counter  2
 *   reader   [R:count]   2
 *   reader   accepts     current line: time 4 at 2
 *   violated exact
 *
 * Key point: A counter is no memory: no fence of C++ orders it. Without its
 * own order (AArch64: a load that depends on it; RISC-V: fence i,r) the CPU
 * takes its value when it likes. On x86 that is bounded by the CPU's window:
 * good_counter_within_window.
 *
 * The fix: Clock::Read() is not satisfied after loads that follow it.
 *
 * Trap: T47
 */
#define REQUIRED exact
#define UPDATES 1
#define BEFORE_END (R_BEGIN | R_DATE | R_START | R_REST)
#define WINDOW NEVER

#include "dated_latch.pml"
