// SPDX-License-Identifier: MIT
//
// The latch's [W:close] -> [R:begin] edge, as ThreadSanitizer sees it: what the
// writer wrote plainly before [W:open] of a publication, who validated that
// publication reads plainly. A race, if an edge is missing; and one has to be
// reported for each latch that lacks one.
//
// What TSan cannot show, and this does not: torn lines and missing fences. It
// models no fence, every word of a line is atomic, and it runs on this CPU's
// order alone. Those are for tests/vvar/latch_test.cc and models/.
#include <gtest/gtest.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include "vvar/latch.h"
#include "vvar/page.h"
#include "vvar/reader.h"
#include "vvar/timebase.h"
#include "vvar/writer.h"

#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define VVAR_UNDER_TSAN 1
#endif
#endif
#ifdef __SANITIZE_THREAD__
#define VVAR_UNDER_TSAN 1
#endif

namespace vvar {
namespace {

constexpr uint32_t kId = VVAR_COUNTER_PRIVATE | 3;
constexpr uint32_t kPublications = 20'000;
constexpr int64_t kSecPerLine = 1'000;

// The orders of a latch's accesses. No fences: TSan would not see them.
template <int kBegin, int kClose, int kWordLoad, int kWordStore>
struct OrderedMemory {
  template <class Word>
  static Word Load(const Word& word) {
    return __atomic_load_n(&word, kWordLoad);
  }
  template <class Word>
  static void Store(Word& word, Word value) {
    __atomic_store_n(&word, value, kWordStore);
  }
  static uint32_t LoadAcquire(const uint32_t& word) {
    return __atomic_load_n(&word, kBegin);
  }
  static void StoreRelease(uint32_t& word, uint32_t value) {
    __atomic_store_n(&word, value, kClose);
  }
  static void FenceAcquire() {}
  static void FenceRelease() {}
};

// The words of a line order nothing: the edge is begin's and close's alone.
using Right = OrderedMemory<__ATOMIC_ACQUIRE, __ATOMIC_RELEASE,
                            __ATOMIC_RELAXED, __ATOMIC_RELAXED>;
using RelaxedClose = OrderedMemory<__ATOMIC_ACQUIRE, __ATOMIC_RELAXED,
                                   __ATOMIC_RELAXED, __ATOMIC_RELAXED>;
using RelaxedBegin = OrderedMemory<__ATOMIC_RELAXED, __ATOMIC_RELEASE,
                                   __ATOMIC_RELAXED, __ATOMIC_RELAXED>;
// Sound without a fence: each word carries the order.
using FenceFree = OrderedMemory<__ATOMIC_ACQUIRE, __ATOMIC_RELEASE,
                                __ATOMIC_ACQUIRE, __ATOMIC_RELEASE>;

// A counter that orders nothing either.
struct RelaxedClock {
  static constexpr uint32_t kCounterId = kId;
  static constexpr uint32_t kCounterBits = 64;
  const std::atomic<uint64_t>* word = nullptr;

  uint64_t Read(uint32_t /*after*/) const { return Now(); }
  uint64_t ReadUnordered() const { return Now(); }
  uint64_t ReadBeforeStores() const { return Now(); }
  uint64_t ReadAfterStores() const { return Now(); }
  void Relax() const {}
  uint64_t Now() const { return word->load(std::memory_order_relaxed); }
};

// Line n shows kSecPerLine * n seconds, and begins one cycle after its
// publication.
Line LineOf(uint32_t n) {
  Line line = {};
  line.cycle_start = 2 * uint64_t{n};
  line.max_cycles = 1'000'000;
  line.scale = {1, 0};
  line.realtime_mult = line.raw_mult = 1;
  line.counter_id = kId;
  for (Timebase& base : line.base) base.sec = n * kSecPerLine;
  return line;
}

uint64_t SideOf(uint32_t n) { return n * 0x9e3779b97f4a7c15u + 1; }

struct Outcome {
  uint64_t read = 0;
  uint64_t wrong = 0;
};

template <class Memory>
Outcome RunLatch() {
  vvar_timeline timeline = {};
  std::atomic<uint64_t> counter{0};
  std::vector<uint64_t> side(kPublications + 1);
  Writer<RelaxedClock, Memory> writer(&timeline, {&counter});
  const Reader<RelaxedClock, Memory> reader(&timeline, {&counter});
  Outcome outcome;
  std::thread reading([&] {
    for (uint32_t last = 0; last < kPublications;) {
      const TimespecReading reading = reader.NowTimespec(ClockId::kMonotonic);
      if (!reading.ok()) continue;
      last = static_cast<uint32_t>(reading.sec / kSecPerLine);
      if (side[last] != SideOf(last)) ++outcome.wrong;
      ++outcome.read;
    }
  });
  for (uint32_t n = 1; n <= kPublications; ++n) {
    side[n] = SideOf(n);
    counter.store(2 * uint64_t{n} - 1, std::memory_order_relaxed);
    writer.PublishLine(LineOf(n));
    counter.store(2 * uint64_t{n}, std::memory_order_relaxed);
  }
  reading.join();
  return outcome;
}

struct Variant {
  const char* name;
  Outcome (*run)();
  bool has_race;
};
const Variant kVariants[] = {
    {"right", RunLatch<Right>, false},
    {"fence_free", RunLatch<FenceFree>, false},
    {"relaxed_close", RunLatch<RelaxedClose>, true},
    {"relaxed_begin", RunLatch<RelaxedBegin>, true},
};
constexpr char kOption[] = "--variant=";

struct Report {
  bool failed;
  std::string text;
};

// Runs one variant in a process of its own, which TSan ends as it likes.
Report RunInChild(const Variant& variant) {
  char self[4096] = {};
  if (readlink("/proc/self/exe", self, sizeof self - 1) <= 0) return {true, ""};
  const std::string command =
      "'" + std::string(self) + "' " + kOption + variant.name + " 2>&1";
  FILE* output = popen(command.c_str(), "r");
  if (output == nullptr) return {true, ""};
  std::string text;
  char part[4096];
  while (const size_t size = fread(part, 1, sizeof part, output)) {
    text.append(part, size);
  }
  return {pclose(output) != 0, text};
}

TEST(LatchRaceTest, WhoValidatedAPublicationSeesWhatCameBeforeIt) {
  for (const Variant& variant : kVariants) {
    if (variant.has_race) continue;
    const Report report = RunInChild(variant);
    EXPECT_FALSE(report.failed) << variant.name << ":\n" << report.text;
  }
}

TEST(LatchRaceTest, AMissingEdgeIsReported) {
#ifndef VVAR_UNDER_TSAN
  GTEST_SKIP() << "only ThreadSanitizer can tell: --config=tsan";
#endif
  for (const Variant& variant : kVariants) {
    if (!variant.has_race) continue;
    const Report report = RunInChild(variant);
    EXPECT_TRUE(report.failed) << variant.name;
    EXPECT_NE(report.text.find("WARNING: ThreadSanitizer: data race"),
              std::string::npos)
        << variant.name << ":\n"
        << report.text;
  }
}

int RunVariant(const char* name) {
  for (const Variant& variant : kVariants) {
    if (strcmp(name, variant.name) != 0) continue;
    const Outcome outcome = variant.run();
    printf("%.0f reads, %.0f wrong\n", static_cast<double>(outcome.read),
           static_cast<double>(outcome.wrong));
    return outcome.read != 0 && outcome.wrong == 0 ? 0 : 1;
  }
  return 2;
}

}  // namespace
}  // namespace vvar

int main(int argc, char** argv) {
  if (argc == 2 &&
      strncmp(argv[1], vvar::kOption, strlen(vvar::kOption)) == 0) {
    return vvar::RunVariant(argv[1] + strlen(vvar::kOption));
  }
  testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
