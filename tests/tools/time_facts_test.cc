// SPDX-License-Identifier: MIT
#include "tools/time_facts.h"

#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "gtest/gtest.h"
#include "hosted/memory_map.h"
#include "tools/diagnosis.h"
#include "tools/machine.h"

namespace vvar::tools {
namespace {

TEST(TimeFactsTest, BootParametersAboutTimeArePicked) {
  EXPECT_EQ(TimeParameters("ro quiet tsc=reliable vdso=0 root=/dev/x notsc "
                           "clocksource=hpet tscfoo=1 nohz_full=1"),
            (std::vector<std::string>{"tsc=reliable", "vdso=0", "notsc",
                                      "clocksource=hpet"}));
  EXPECT_TRUE(TimeParameters("").empty());
}

TEST(TimeFactsTest, AnInterposerIsALibraryThatIsNotTheCLibrary) {
  struct Row {
    const char* file;
    const char* told;
  };
  const Row kRows[] = {
      {"/usr/lib/x86_64-linux-gnu/libc.so.6", ""},
      {"/lib/libc-2.31.so", ""},
      {"/lib/ld-musl-x86_64.so.1", ""},
      {"/bin/vvar", ""},
      {"[vdso]", ""},
      {"", ""},
      {"/memfd:vvar-image (deleted)", ""},
      {"/usr/lib/libfaketime.so.1", "/usr/lib/libfaketime.so.1"},
      {"/home/libc/mine.so", "/home/libc/mine.so"},
  };
  for (const Row& row : kRows) {
    const hosted::MemoryMap map = {{{0x1000, 0x2000}, "/lib/other.so"},
                                   {{0x2000, 0x3000}, row.file}};
    EXPECT_EQ(InterposerAt(map, 0x2800, "/bin/vvar"), row.told) << row.file;
    EXPECT_EQ(InterposerAt(map, 0x9000, "/bin/vvar"), "") << row.file;
  }
}

TEST(TimeFactsTest, WhatOthersWroteCannotControlATerminal) {
  EXPECT_EQ(Printable("a\033[2Jb\nc\x7f"), "a?[2Jb?c?");
  EXPECT_EQ(Printable("é"), "é");
}

TEST(TimeFactsTest, HypervisorsHaveNames) {
  EXPECT_EQ(HypervisorName(absl::string_view("KVMKVMKVM\0\0\0", 12)), "KVM");
  EXPECT_EQ(HypervisorName("Microsoft Hv"), "Hyper-V");
  EXPECT_EQ(HypervisorName("SomebodyElse"),
            "a hypervisor that signs 'SomebodyElse'");
}

TEST(TimeFactsTest, ThisMachineIsDescribedWithoutContradiction) {
  const TimeFacts facts = GatherTimeFacts();
  EXPECT_FALSE(facts.counter_name.empty());
  ASSERT_GE(facts.clocks.size(), 7U);
  for (const ClockFacts& clock : facts.clocks) {
    EXPECT_EQ(clock.answer == Answer::kError, !clock.error.empty())
        << clock.name;
    EXPECT_GE(clock.libc_ns, 0) << clock.name;
  }
  EXPECT_FALSE(facts.counter_denied && facts.counter_readable);
  EXPECT_FALSE(Diagnose(facts).empty());
}

// A process that starts like this seldom gets far: the dynamic linker of glibc
// reads the counter, too.
TEST(TimeFactsTest, ACounterThatIsTakenAwayIsToldAndKillsNobody) {
  constexpr int kNoSuchControl = 99;
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    if (prctl(PR_SET_TSC, PR_TSC_SIGSEGV) != 0) _exit(kNoSuchControl);
    const TimeFacts facts = GatherTimeFacts();
    const Finding first = Diagnose(facts).front();
    if (first.topic != "counter" || first.severity != Severity::kWrong)
      _exit(1);
    _exit(facts.counter_denied && !facts.counter_readable &&
                  facts.ordered_ns == 0
              ? 0
              : 2);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFEXITED(status)) << "signal " << WTERMSIG(status);
  if (WEXITSTATUS(status) == kNoSuchControl) GTEST_SKIP() << "no PR_SET_TSC";
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

}  // namespace
}  // namespace vvar::tools
