// SPDX-License-Identifier: MIT
//
// The image's instructions, one at a time: how much stack they use, and that
// the C++ run time's own unwinder finds the caller from each of them by the
// image's .eh_frame. Sees the paths that are run: page, kernel, and refusals.
#include <gtest/gtest.h>
#include <stdint.h>
#include <string.h>
#include <time.h>
#include <unwind.h>

#include <algorithm>
#include <set>
#include <vector>

#include "fallback/syscall.h"
#include "hosted/counter.h"
#include "hosted/mapped_image.h"
#include "tests/support/single_step.h"
#include "tests/vdso/test_image.h"

extern "C" void __register_frame(void* eh_frame);
extern "C" void __deregister_frame(void* eh_frame);

namespace vvar::vdso {
namespace {

using fallback::VdsoFunctions;
using hosted::MappedImage;

/// What the hook has seen; it runs in a signal handler.
struct Seen {
  uint64_t from, to;  // The image.
  uint64_t instructions, lost;
  uint64_t entry, caller, stack, deepest;  // Of the call that is under way.
  bool inside;
  uint64_t first_lost;
};
Seen seen;

// A walk up from the hook, through the signal's frame, to the image and beyond.
struct Walk {
  bool in_image, found;
};

_Unwind_Reason_Code OnFrame(_Unwind_Context* context, void* data) {
  auto& walk = *static_cast<Walk*>(data);
  const uint64_t pc = _Unwind_GetIP(context);
  if (walk.in_image) {
    // The image calls itself at most.
    if (pc >= seen.from && pc < seen.to) return _URC_NO_REASON;
    // Where it returns to, and with the stack as it was at the call.
    walk.found = pc == seen.caller;
    return _URC_END_OF_STACK;
  }
  walk.in_image = pc >= seen.from && pc < seen.to;
  return _URC_NO_REASON;
}

void OnInstruction(uint64_t /*instruction*/) {
  const uint64_t pc = support::StoppedRegister(REG_RIP);
  const uint64_t sp = support::StoppedRegister(REG_RSP);
  if (pc < seen.from || pc >= seen.to) {
    seen.inside = false;
    return;
  }
  if (!seen.inside) {  // Nothing has been executed yet.
    seen.inside = true;
    seen.entry = pc;
    seen.stack = sp;
    memcpy(&seen.caller, reinterpret_cast<const void*>(sp), 8);
  }
  ++seen.instructions;
  seen.deepest = std::max(seen.deepest, seen.stack + 8 - sp);
  Walk walk = {};
  _Unwind_Backtrace(OnFrame, &walk);
  if (!walk.found && seen.lost++ == 0) seen.first_lost = pc - seen.from;
}

/// Where the image's .eh_frame is, by the pointer in .eh_frame_hdr: at the
/// address that its program header names.
void* EhFrame(const MappedImage& image) {
  const auto* bytes = reinterpret_cast<const char*>(image.layout().image);
  uint64_t headers;
  uint16_t count;
  memcpy(&headers, bytes + 32, 8);
  memcpy(&count, bytes + 56, 2);
  for (uint16_t i = 0; i < count; ++i) {
    const char* header = bytes + headers + 56 * i;
    uint32_t type, begin;
    memcpy(&type, header, 4);
    memcpy(&begin, header + 8, 4);
    if (type != 0x6474e550) continue;  // PT_GNU_EH_FRAME
    int32_t distance;
    memcpy(&distance, bytes + begin + 4, 4);
    return const_cast<char*>(bytes) + begin + 4 + distance;
  }
  return nullptr;
}

/// Calls every function in every way that takes a path of its own.
void CallEverything(const VdsoFunctions& image) {
  fallback::KernelOldTimespec time = {};
  fallback::KernelTimeval timeval = {};
  fallback::KernelTimezone zone = {};
  uint32_t cpu = 0, node = 0;
  for (const int32_t id : {0, 1, 2, 4, 5, 6, 7, 11, 12, -1}) {
    (void)image.clock_gettime(id, &time);
    (void)image.clock_getres(id, &time);
    (void)image.clock_getres(id, nullptr);
  }
  (void)image.gettimeofday(&timeval, &zone);
  (void)image.gettimeofday(nullptr, &zone);
  (void)image.gettimeofday(&timeval, nullptr);
  (void)image.time(nullptr);
  (void)image.time(&timeval.tv_sec);
  (void)image.getcpu(&cpu, &node, nullptr);
  (void)image.getcpu(nullptr, nullptr, nullptr);
}

/// Steps through everything, on a page that answers and on none.
Seen StepThroughEverything(bool registered) {
  FarPage page;
  page.timekeeper().StepRealtime(1);
  (void)page.Publish();  // Both slots hold lines.
  Seen total = {};
  for (const int page_fd : {page.fd(), -1}) {
    const MappedImage image = MapImage(page_fd);
    const VdsoFunctions functions = image.functions();
    void* frames = EhFrame(image);
    if (registered) __register_frame(frames);
    seen = {};
    seen.from = image.layout().image;
    seen.to = image.layout().end;
    seen.deepest = total.deepest;
    support::SingleStep([&] { CallEverything(functions); }, OnInstruction);
    if (registered) __deregister_frame(frames);
    total.instructions += seen.instructions;
    total.lost += seen.lost;
    total.deepest = seen.deepest;
    if (total.first_lost == 0) total.first_lost = seen.first_lost;
  }
  return total;
}

class ImageTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (hosted::SignalOfCounterRead() != 0) GTEST_SKIP() << "no counter here";
    if (support::SingleStep([] {}, [](uint64_t) {}) == 0) {
      GTEST_SKIP() << "this machine cannot single-step itself";
    }
  }
};

// Trap: T101
TEST_F(ImageTest, UnwindsFromEveryInstruction) {
  const Seen with = StepThroughEverything(/*registered=*/true);
  printf("  %lu instructions executed\n", with.instructions);
  EXPECT_GT(with.instructions, 1'000u);
  EXPECT_EQ(with.lost, 0u) << "first at offset " << with.first_lost;
  // The unwinder knows nothing of the image by itself.
  const Seen without = StepThroughEverything(/*registered=*/false);
  EXPECT_EQ(without.lost, without.instructions);
}

TEST_F(ImageTest, UsesLittleStack) {
  const Seen all = StepThroughEverything(/*registered=*/true);
  printf("  %lu bytes at most\n", all.deepest);
  EXPECT_GT(all.deepest, 0u);
  EXPECT_LE(all.deepest, 256u);
}

}  // namespace
}  // namespace vvar::vdso
