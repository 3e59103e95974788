// SPDX-License-Identifier: MIT
//
// The stack of a program that has not begun: a child is traced through its
// exec, an entry of its vector is taken away there and given back, and it tells
// what it has found.
#include "hosted/initial_stack.h"

#include <elf.h>
#include <gtest/gtest.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/personality.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <unistd.h>

#include <algorithm>
#include <functional>
#include <sstream>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "hosted/traced_thread.h"
#include "tests/hosted/child_process.h"

namespace vvar::hosted {
namespace {

using Words = std::vector<std::string>;
using Prepare = std::function<void(TracedThread)>;

class InitialStackTest : public ::testing::TestWithParam<Words> {
 protected:
  void SetUp() override {
    if (absl::IsPermissionDenied(tracing_)) GTEST_SKIP() << tracing_;
    ASSERT_EQ(tracing_, absl::OkStatus());
    ASSERT_NE(untouched_, "");
  }

  /// Returns the lines that the probe prints, sorted, if `prepare` gets hold of
  /// it before its first instruction.
  std::string Run(const Prepare& prepare) {
    int go[2], out[2];
    EXPECT_EQ(pipe(go) + pipe(out), 0);
    ChildProcess child([&] { return Become(go[0], out[1]); });
    close(go[0]);
    close(out[1]);
    const absl::StatusOr<TracedThread> thread =
        TracedThread::Seize(child.pid(), PTRACE_O_TRACEEXEC);
    tracing_ = thread.status();
    if (thread.ok() && write(go[1], "g", 1) == 1) {
      const absl::StatusOr<TraceStop> stop = thread->Wait();
      EXPECT_TRUE(stop.ok() && stop->value == PTRACE_EVENT_EXEC);
      EXPECT_EQ(thread->RunToSystemCallStop(), absl::OkStatus());
      prepare(*thread);
      EXPECT_EQ(thread->Detach(), absl::OkStatus());
    }
    close(go[1]);
    const std::string text = Sorted(out[0]);
    close(out[0]);
    if (thread.ok()) {
      EXPECT_EQ(child.Wait(), 0);
    }
    return text;
  }

  absl::Status tracing_;
  const std::string untouched_ = Run([](TracedThread) {});

 private:
  static int Become(int go_fd, int out_fd) {
    char go;
    if (read(go_fd, &go, 1) != 1) return 1;
    dup2(out_fd, STDOUT_FILENO);
    // Each time it has its stack at the same place.
    personality(ADDR_NO_RANDOMIZE);
    Words words = GetParam();
    std::string environment = "NAME=its value";
    std::vector<char*> argv = {getenv("VVAR_PROBE")};
    for (std::string& word : words) argv.push_back(word.data());
    argv.push_back(nullptr);
    char* envp[] = {words.empty() ? nullptr : environment.data(), nullptr};
    execve(argv[0], argv.data(), envp);
    return 2;
  }

  static std::string Sorted(int fd) {
    std::string text;
    char bytes[4096];
    for (ssize_t got; (got = read(fd, bytes, sizeof(bytes))) > 0;) {
      text.append(bytes, static_cast<size_t>(got));
    }
    std::istringstream lines(text);
    Words sorted;
    for (std::string line; std::getline(lines, line);) sorted.push_back(line);
    std::sort(sorted.begin(), sorted.end());
    text.clear();
    for (const std::string& line : sorted) text += line + "\n";
    return text;
  }
};

/// Where the vector has the entry that leads to the vDSO, found without the
/// code that is tested.
struct Entry {
  uint64_t address = 0;
  uint64_t value = 0;

  static Entry Find(TracedThread thread) {
    uint64_t at = thread.Registers()->rsp;
    const auto next = [&] {
      uint64_t word = 0;
      EXPECT_EQ(thread.Read(at, &word, sizeof(word)), absl::OkStatus());
      at += sizeof(word);
      return word;
    };
    at += 8 * (next() + 1);
    while (next() != 0) {
    }
    for (uint64_t type; (type = next()) != AT_NULL;) {
      const uint64_t value = next();
      if (type == AT_SYSINFO_EHDR) return {at - 16, value};
    }
    return {};
  }
};

/// As a kernel lays out the stack that knows of no vDSO.
void CloseTheGap(TracedThread thread, const Entry& entry) {
  user_regs_struct registers = thread.Registers().value();
  std::vector<char> below(entry.address - registers.rsp);
  ASSERT_EQ(thread.Read(registers.rsp, below.data(), below.size()),
            absl::OkStatus());
  registers.rsp += 16;
  ASSERT_EQ(thread.Write(registers.rsp, below.data(), below.size()),
            absl::OkStatus());
  ASSERT_EQ(thread.SetRegisters(registers), absl::OkStatus());
}

void MakeItMeanNothing(TracedThread thread, const Entry& entry) {
  constexpr uint64_t kType = AT_IGNORE;
  ASSERT_EQ(thread.Write(entry.address, &kType, sizeof(kType)),
            absl::OkStatus());
}

/// Takes the entry away, and gives it back if asked to.
Prepare Without(void (*take_away)(TracedThread, const Entry&), bool* had_one,
                bool is_given_back) {
  return [=](TracedThread thread) {
    const Entry entry = Entry::Find(thread);
    *had_one = entry.value != 0;
    if (!*had_one) return;
    take_away(thread, entry);
    absl::StatusOr<InitialStack> stack = InitialStack::Read(thread);
    ASSERT_TRUE(stack.ok()) << stack.status();
    EXPECT_FALSE(stack->HasEntry(AT_SYSINFO_EHDR));
    EXPECT_TRUE(stack->HasEntry(AT_ENTRY));
    if (!is_given_back) return;
    EXPECT_EQ(stack->SetEntry(AT_SYSINFO_EHDR, entry.value), absl::OkStatus());
  };
}

TEST_P(InitialStackTest, AnEntryThatTheKernelDidNotMakeIsAdded) {
  bool had_one = false;
  const std::string without = Run(Without(&CloseTheGap, &had_one, false));
  if (!had_one) GTEST_SKIP() << "this kernel gives programs no vDSO";
  EXPECT_NE(without.find("vdso 0x0\n"), std::string::npos) << without;
  EXPECT_EQ(Run(Without(&CloseTheGap, &had_one, true)), untouched_);
}

TEST_P(InitialStackTest, AnEntryThatMeansNothingIsUsed) {
  bool had_one = false;
  const std::string without = Run(Without(&MakeItMeanNothing, &had_one, false));
  if (!had_one) GTEST_SKIP() << "this kernel gives programs no vDSO";
  EXPECT_NE(without.find("vdso 0x0\n"), std::string::npos) << without;
  EXPECT_EQ(Run(Without(&MakeItMeanNothing, &had_one, true)), untouched_);
}

TEST_P(InitialStackTest, AnEntryThatIsThereIsOverwritten) {
  constexpr uint64_t kValue = 0x123456;
  uint64_t seen = 0;
  const std::string text = Run([&](TracedThread thread) {
    absl::StatusOr<InitialStack> stack = InitialStack::Read(thread);
    ASSERT_TRUE(stack.ok()) << stack.status();
    // One that the program's start does not need.
    EXPECT_EQ(stack->SetEntry(AT_CLKTCK, kValue), absl::OkStatus());
    EXPECT_EQ(stack->SetEntry(AT_NULL + 4095, 1), absl::OkStatus());
    EXPECT_EQ(stack->SetEntry(AT_NULL + 4095, 2), absl::OkStatus());
    seen = thread.Registers()->rsp;
  });
  EXPECT_EQ(seen % 16, 0u);
  EXPECT_NE(text.find("auxv 17 0x123456\n"), std::string::npos) << text;
  EXPECT_EQ(text.find("auxv 4095 0x1\n"), std::string::npos) << text;
  EXPECT_NE(text.find("auxv 4095 0x2\n"), std::string::npos) << text;
}

INSTANTIATE_TEST_SUITE_P(Arguments, InitialStackTest,
                         ::testing::Values(Words{}, Words{"one"},
                                           Words{"", "a b", "c"}),
                         [](const auto& row) {
                           return std::to_string(row.param.size());
                         });

}  // namespace
}  // namespace vvar::hosted
