// SPDX-License-Identifier: MIT
//
// One process keeps a page, as `vvar serve` does, another reads it. Then the
// writer is killed: its last line answers for max_age more, in which a new
// writer may take over; after that the system answers.
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/str_format.h"
#include "fallback/chain.h"
#include "hosted/clock.h"
#include "hosted/counter.h"
#include "hosted/page_keeper.h"
#include "hosted/reference.h"
#include "hosted/shared_page.h"
#include "hosted/time_namespace.h"
#include "hosted/updater.h"

namespace hosted = vvar::hosted;

/// The writer. Says on `ready` that the page is there, then keeps it.
absl::Status Keep(const std::string& name, int ready) {
  const hosted::UpdaterOptions options = {.max_age = absl::Seconds(1)};
  const auto counter = hosted::FindCounter();
  if (!counter.ok()) return counter.status();
  // A page between processes is in the terms of the initial time namespace.
  const auto own_offsets = hosted::TimeNamespaceOffsets();
  if (!own_offsets.ok()) return own_offsets.status();
  const auto page =
      hosted::WritablePage::Open(name, hosted::ConfigFor(*counter, options));
  if (!page.ok()) return page.status();
  hosted::Updater updater(
      page->bytes(), *counter,
      std::make_unique<hosted::KernelReference>(counter->clock, *own_offsets),
      options);
  const auto loop = hosted::TickLoop::Create(updater.tick_ns());
  if (!loop.ok()) return loop.status();
  if (write(ready, "", 1) == 1) (*loop)->Run(updater);
  return absl::AbortedError("the loop ended");
}

/// Prints the time and who gave it; returns whether that was the page.
bool Show(const char* when, const hosted::AttachedClock& clock) {
  const vvar::fallback::ChainReading now = clock.chain().Now(CLOCK_MONOTONIC);
  const bool by_page = now.leg == vvar::fallback::Leg::kPage;
  absl::PrintF("%-22s %d.%09d by the %s\n", when, now.sec, now.nsec,
               by_page ? "page" : "system");
  return by_page;
}

int main(int argc, char** argv) {
  const std::string name = argc > 1 ? argv[1] : "two_processes";
  int ready[2];
  if (pipe(ready) != 0) return 1;
  const pid_t writer = fork();
  if (writer == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    absl::FPrintF(stderr, "writer: %s\n", Keep(name, ready[1]).ToString());
    return 1;
  }
  close(ready[1]);
  char byte;
  if (read(ready[0], &byte, 1) != 1) return 1;  // The writer has said why.

  const hosted::AttachedClock clock(name);
  if (!clock.status().ok()) return 1;
  Show("the writer lives:", clock);
  kill(writer, SIGKILL);
  while (Show("the writer is dead:", clock)) {
    usleep(300'000);
  }
  unlink(hosted::PagePath(name).c_str());  // It would wait for the next writer.
}
