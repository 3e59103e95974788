// SPDX-License-Identifier: MIT
//
// The whole time model on simulated machines: years of random operations,
// counters that drift, wrap, stop and jump, CPUs that read a little apart, and
// every read compared with an exact timeline of what was asked for.
//
// What this could miss: memory is sequentially consistent, and a publication is
// interleaved with reads at its stores and at their loads only (orderings are
// for models/ and tests/clocks/causality_test.cc). No publication is late
// (writer_test.cc has those), and no skew is longer than the lead. Operations
// come in the mix and the ranges below. A line's slope may be off by what its
// contract leaves open: a step of mult, 1 ppb of a slew's rate.
#include "tests/support/simulation.h"

#include <gtest/gtest.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <algorithm>
#include <string>
#include <utility>

#include "tests/support/machines.h"
#include "tests/support/timeline_oracle.h"

namespace vvar {
namespace {

using support::kMachines;
using support::kOperationNames;
using support::MachineRow;
using support::Operation;
using support::Simulation;
using support::Tally;
using support::TimelineOracle;

struct Outcome {
  std::string failure;
  Tally tally;
  TimelineOracle::Deviation deviation;
};

template <uint32_t kBits>
Outcome RunMachine(const MachineRow& row, uint64_t seed, uint64_t updates) {
  Simulation<kBits> simulation(row, seed);
  std::string failure = simulation.Run(updates);
  return {std::move(failure), simulation.tally(),
          simulation.oracle().deviation()};
}

Outcome RunMachine(const MachineRow& row, uint64_t seed, uint64_t updates) {
  switch (row.bits) {
    case 32:
      return RunMachine<32>(row, seed, updates);
    case 40:
      return RunMachine<40>(row, seed, updates);
    case 56:
      return RunMachine<56>(row, seed, updates);
    default:
      return RunMachine<64>(row, seed, updates);
  }
}

void Print(const char* what, uint64_t count) {
  printf("  %-28s %12.0f\n", what, static_cast<double>(count));
}
void Print(const Tally& tally) {
  for (uint32_t i = 0; i < Operation::kKinds; ++i) {
    Print(kOperationNames[i], tally.operations[i]);
  }
  Print("updates", tally.updates);
  Print("  late", tally.late_updates);
  Print("  too early", tally.too_early);
  Print("  that changed a leap state", tally.leaps);
  Print("suspends", tally.suspends);
  Print("counter switches", tally.switches);
  Print("migrations", tally.migrations);
  Print("takeovers", tally.takeovers);
  Print("  of writers killed midway", tally.killed);
  Print("operations in all", tally.Operations());
  Print("twins updated more often", tally.twins);
  Print("reads", tally.reads);
  Print("  values checked", tally.values);
  Print("  while an update was on", tally.overlapped);
  Print("  of the previous line", tally.on_previous);
  Print("  held at a line's start", tally.held_at_start);
  Print("  stale", tally.stale);
  Print("  counter withdrawn", tally.no_counter);
  Print("  intervals", tally.intervals);
}

// VVAR_THOROUGH makes it an hour's worth; VVAR_SEED replays one seed, and
// VVAR_MACHINE one machine, by its number.
//
// Trap: T30, T32, T34, T35 and T65
TEST(SimulationTest, EveryReadIsOnTheExactTimelineForYears) {
  const char* const seed_text = getenv("VVAR_SEED");
  const char* const machine_text = getenv("VVAR_MACHINE");
  const bool thorough = getenv("VVAR_THOROUGH") != nullptr;
  const uint64_t first =
      seed_text == nullptr ? 1 : strtoull(seed_text, nullptr, 0);
  const uint64_t seeds = seed_text != nullptr ? 1 : thorough ? 200 : 2;
  Tally all;
  uint64_t number = 0;
  for (const MachineRow& row : kMachines) {
    ++number;
    if (machine_text != nullptr &&
        strtoull(machine_text, nullptr, 0) != number) {
      continue;
    }
    Tally tally;
    TimelineOracle::Deviation worst;
    for (uint64_t seed = first; seed < first + seeds; ++seed) {
      const Outcome outcome = RunMachine(row, seed, row.updates);
      ASSERT_TRUE(outcome.failure.empty())
          << outcome.failure << "replay: VVAR_MACHINE=" << number
          << " VVAR_SEED=" << seed << ", the machine: " << row.name;
      tally.Add(outcome.tally);
      worst.ns = std::max(worst.ns, outcome.deviation.ns);
      worst.ppb = std::max(worst.ppb, outcome.deviation.ppb);
      worst.of_bound = std::max(worst.of_bound, outcome.deviation.of_bound);
    }
    printf(
        "%s\n  %.0f operations, %.0f reads, %.3f years; worst deviation from "
        "the rational line %.3f ppb, %.0f %% of its bound\n",
        row.name, static_cast<double>(tally.Operations()),
        static_cast<double>(tally.reads), tally.years, worst.ppb,
        worst.of_bound * 100);
    all.Add(tally);
  }
  printf("all machines: %.1f years, no clock went back\n", all.years);
  Print(all);
  if (seed_text != nullptr || machine_text != nullptr) return;
  EXPECT_GE(all.Operations(), 1'000'000u);
  EXPECT_GE(all.years, 100);
  // What must have come about for the run to mean anything.
  for (const uint64_t count :
       {all.too_early, all.leaps, all.suspends, all.switches, all.migrations,
        all.takeovers, all.killed, all.twins, all.overlapped, all.on_previous,
        all.held_at_start, all.stale, all.no_counter, all.intervals}) {
    EXPECT_GT(count, 100u);
  }
}

}  // namespace
}  // namespace vvar
