// SPDX-License-Identifier: MIT
//
// A cache whose entries live for 20 ms by the coarse clock: the time of the
// page's last tick, read without a counter, for a nanosecond. An entry lives up
// to a tick and a half (of 1 ms here) longer or shorter than it should.
#include <stdint.h>
#include <stdio.h>

#include <string>
#include <unordered_map>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "hosted/clock.h"
#include "vvar/page.h"
#include "vvar/reading.h"

namespace {

constexpr uint64_t kTimeToLiveNs = 20'000'000;

class Cache {
 public:
  explicit Cache(const vvar::hosted::InProcessClock& clock) : clock_(clock) {}

  const std::string& Get(const std::string& key) {
    const uint64_t now_ns = CoarseNs();
    Entry& entry = entries_[key];
    if (entry.value.empty() || now_ns - entry.fetched_ns >= kTimeToLiveNs) {
      ++fetches_;
      entry = {absl::StrCat(key, " as fetched at ", now_ns, " ns"), now_ns};
    }
    return entry.value;
  }
  int fetches() const { return fetches_; }

 private:
  struct Entry {
    std::string value;
    uint64_t fetched_ns = 0;
  };

  /// The reader itself, not clock_.Now(): that also looks at the counter, to
  /// see that the page's writer lives. This one is a thread of this process.
  uint64_t CoarseNs() const {
    constexpr auto kId = vvar::ClockId::kMonotonicCoarse;
    const vvar::NsReading page = clock_.reader().NowCoarse(kId);
    return page.ok() ? page.ns : clock_.Now(kId);
  }

  const vvar::hosted::InProcessClock& clock_;
  std::unordered_map<std::string, Entry> entries_;
  int fetches_ = 0;
};

}  // namespace

int main() {
  const vvar::hosted::InProcessClock clock;
  if (!clock.status().ok()) {
    absl::FPrintF(stderr, "no page, so the system's clock: %s\n",
                  clock.status().ToString());
  }
  Cache cache(clock);
  std::string last;
  for (int lookups = 0; cache.fetches() < 4; ++lookups) {
    const std::string& value = cache.Get("answer");
    if (value != last) absl::PrintF("lookup %7d: %s\n", lookups, value);
    last = value;
  }
}
