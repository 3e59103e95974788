// SPDX-License-Identifier: MIT
//
// A logger that stamps its lines with REALTIME from a page that another process
// keeps:
//
//   vvar serve --page=demo &
//   logger_timestamps demo
//
// Without that page, or once its writer is dead, the system's clock stamps
// them.
#include <stdio.h>
#include <time.h>

#include "absl/strings/str_format.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "fallback/chain.h"
#include "hosted/clock.h"

namespace {

class Logger {
 public:
  explicit Logger(const vvar::hosted::AttachedClock& clock) : clock_(clock) {}

  void Log(absl::string_view text) const {
    // The chain says who answered; Now() would be enough for the time alone.
    const vvar::fallback::ChainReading now = clock_.chain().Now(CLOCK_REALTIME);
    if (!now.ok()) {  // Neither the page nor the system has this clock.
      absl::PrintF("(no time: error %d) %s\n", now.error, text);
      return;
    }
    const absl::Time time =
        absl::FromUnixSeconds(now.sec) + absl::Nanoseconds(now.nsec);
    absl::PrintF(
        "%s %s %s\n",
        absl::FormatTime("%Y-%m-%dT%H:%M:%E9SZ", time, absl::UTCTimeZone()),
        now.leg == vvar::fallback::Leg::kPage ? "page  " : "system", text);
  }

 private:
  const vvar::hosted::AttachedClock& clock_;
};

}  // namespace

int main(int argc, char** argv) {
  const vvar::hosted::AttachedClock clock(argc > 1 ? argv[1] : "demo");
  if (!clock.status().ok()) {
    absl::FPrintF(stderr, "no page, so the system's clock: %s\n",
                  clock.status().ToString());
  }
  const Logger logger(clock);
  logger.Log("starting");
  for (int request = 1; request <= 3; ++request) {
    logger.Log(absl::StrFormat("request %d done", request));
  }
  logger.Log("stopping");
}
