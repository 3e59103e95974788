// SPDX-License-Identifier: MIT
//
// F5: a handler reads every clock on top of a thread that publishes, at the
// mercy of a timer and at every instruction; on the thread's stack and on one
// of its own. That it is async-signal-safe is its object's business: see
// signal_handler_object_test_* in BUILD.
//
// What the timer could miss: an instruction that none of its signals happened
// to interrupt. The single-stepped test takes each in turn.
#include "tests/faults/signal_handler.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/time.h>

#include <memory>

#include "tests/support/manual_clock.h"
#include "tests/support/single_step.h"
#include "tests/support/test_page.h"
#include "vvar/timekeeper.h"
#include "vvar/writer.h"

namespace vvar::faults {
namespace {

using support::WordClock;

class SignalHandlerTest : public testing::Test {
 protected:
  SignalHandlerTest() {
    HandlerState& state = vvar_handler_state;
    state.page = {};
    state.counter = 1'000'000;
    state.handled = 0;
    state.refused = 0;
    state.torn = 0;
    state.retries = 0;
    timekeeper_.Start(state.counter, support::kTestTimes);
    writer_.PublishLine(timekeeper_.line());
    Expect(0, timekeeper_.line());
    state.allowed = 1;
  }

  // What a line says now may be read, from here on.
  static void Expect(uint32_t slot, const Line& line) {
    HandlerState& state = vvar_handler_state;
    state.allowed = state.allowed & ~(1u << slot);
    for (const support::ClockRow& clock : support::kClockRows) {
      if (clock.coarse) continue;
      state.expected_ns[slot][clock.index] =
          support::ExpectedNs(line, clock, state.counter, 64);
    }
    state.allowed = state.allowed | 1u << slot;
  }

  // The counter moves on to where the current line has begun.
  void MoveOn() {
    HandlerState& state = vvar_handler_state;
    state.allowed = 0;
    state.counter = state.counter + 2'000;
    Expect(0, timekeeper_.line());
    timekeeper_.SetFrequency(++round_ % 2 == 0 ? 50'000'000 : -50'000'000);
    timekeeper_.StepRealtime(round_ % 3 == 0 ? 1'000'000 : -1'000'000);
    Expect(1, timekeeper_.Plan(state.counter));
  }
  void Publish() {
    ASSERT_EQ(writer_.Publish(timekeeper_), PublishStatus::kPublished);
  }

  static void ExpectNothingWrong() {
    const HandlerState& state = vvar_handler_state;
    printf("%.0f handlers\n", static_cast<double>(state.handled));
    EXPECT_EQ(state.refused, 0u);
    EXPECT_EQ(state.torn, 0u);
    EXPECT_EQ(state.retries, 0u) << "on top of the writer nothing moves";
    EXPECT_GT(state.handled, 0u);
  }

  Writer<WordClock> writer_{&vvar_handler_state.page.timeline[0],
                            WordClock(&vvar_handler_state.counter)};
  Timekeeper timekeeper_{support::kTestConfig};
  uint64_t round_ = 0;
};

// Publishes beside a timer whose handler has `flags`.
class TimedSignalHandlerTest : public SignalHandlerTest {
 protected:
  void PublishBesideTimer(int flags, uint64_t publications) {
    struct sigaction action = {};
    struct sigaction before = {};
    action.sa_handler = vvar_handler_read_all;
    action.sa_flags = flags;
    ASSERT_EQ(sigaction(SIGALRM, &action, &before), 0);
    // Between 50 and 500 us, so that the rhythms never agree for long.
    for (uint64_t i = 0; i < publications; ++i) {
      if (i % 4'096 == 0) Every(50 + i / 4'096 * 37 % 450);
      Block(SIG_BLOCK);
      MoveOn();
      Block(SIG_UNBLOCK);
      Publish();
      if (HasFatalFailure()) break;
    }
    Every(0);
    sigaction(SIGALRM, &before, nullptr);
    ExpectNothingWrong();
  }
  static void Every(uint64_t us) {
    const itimerval every = {{0, static_cast<suseconds_t>(us)},
                             {0, static_cast<suseconds_t>(us)}};
    setitimer(ITIMER_REAL, &every, nullptr);
  }
  // The test moves the counter and what it expects; that is no part of a
  // writer.
  static void Block(int how) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGALRM);
    sigprocmask(how, &set, nullptr);
  }
  // One time on the usual stack, one on another.
  static uint64_t Publications() {
    return getenv("VVAR_THOROUGH") != nullptr ? 5'000'000 : 500'000;
  }
};

// Trap: T17
TEST_F(TimedSignalHandlerTest, ReadsOnTopOfAPublication) {
  PublishBesideTimer(0, Publications());
}

TEST_F(TimedSignalHandlerTest, ReadsOnAStackOfItsOwn) {
  const size_t size = 64 * 1024;
  const auto memory = std::make_unique<char[]>(size);
  stack_t stack = {};
  stack.ss_sp = memory.get();
  stack.ss_size = size;
  stack_t before = {};
  ASSERT_EQ(sigaltstack(&stack, &before), 0);
  PublishBesideTimer(SA_ONSTACK, Publications());
  sigaltstack(&before, nullptr);
}

// Trap: T16
TEST_F(SignalHandlerTest, ReadsOnTopOfEveryInstruction) {
  uint64_t instructions = 0;
  for (int i = 0; i < 4; ++i) {
    MoveOn();
    instructions +=
        support::SingleStep([&] { (void)writer_.Publish(timekeeper_); },
                            [](uint64_t) { vvar_handler_read_all(0); });
  }
  if (instructions == 0) {
    GTEST_SKIP() << "this machine cannot single-step itself";
  }
  EXPECT_GT(instructions, 4 * 200u);
  EXPECT_EQ(vvar_handler_state.handled, instructions);
  ExpectNothingWrong();
}

}  // namespace
}  // namespace vvar::faults
