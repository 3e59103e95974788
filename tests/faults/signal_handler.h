// SPDX-License-Identifier: MIT
//
// A signal handler that reads every clock on top of whatever it interrupted,
// and what it shares with the code that it interrupts.
#ifndef VVAR_TESTS_FAULTS_SIGNAL_HANDLER_H_
#define VVAR_TESTS_FAULTS_SIGNAL_HANDLER_H_

#include <stdint.h>

#include "vvar/page.h"

extern "C" {

/// The page's counter is a word, which stands while a line is published. So a
/// clock of a line has one value meanwhile.
struct HandlerState {
  vvar_page page;
  volatile uint64_t counter;
  /// The values of the line that is valid, and of the one being published.
  volatile uint64_t expected_ns[2][VVAR_BASES];
  volatile uint32_t allowed;  ///< Bit i: expected_ns[i] may be read.

  volatile uint64_t handled;
  volatile uint64_t refused;
  volatile uint64_t torn;
  volatile uint64_t retries;
};
extern struct HandlerState vvar_handler_state;

/// The handler. Async-signal-safe: it calls nothing.
void vvar_handler_read_all(int signal);
}

#endif  // VVAR_TESTS_FAULTS_SIGNAL_HANDLER_H_
