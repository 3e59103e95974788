// SPDX-License-Identifier: MIT
//
// Bytes as the choices of a simulation (tests/support/simulation.h): what is
// asked of a timekeeper, when it publishes, at which store its writer dies and
// is replaced, who reads meanwhile, where the counter goes. Every read has to
// be, to the bit, what the exact timeline says; no clock goes back.
//
// What this could miss: as tests/vvar/simulation_test.cc.
#include <stdint.h>
#include <stdio.h>

#include <algorithm>
#include <iterator>
#include <string>
#include <vector>

#include "tests/fuzz/fuzz_target.h"
#include "tests/support/machines.h"
#include "tests/support/oracle.h"
#include "tests/support/simulation.h"

namespace vvar::fuzz {
namespace {

using support::kMachines;
using support::MachineRow;
using support::Simulation;

constexpr uint32_t kFirstSeqs[] = {0, 1, (1u << 31) - 2, UINT32_MAX - 1};
constexpr uint64_t kMostUpdates = 400;

template <uint32_t kBits>
std::string Run(const MachineRow& row, uint8_t seed, uint32_t first_seq,
                const uint8_t* bytes, size_t size) {
  Simulation<kBits> simulation(row, seed, support::EdgyRandom(bytes, size),
                               first_seq);
  return simulation.Run(kMostUpdates);
}

}  // namespace

std::vector<Bytes> Seeds() {
  std::vector<Bytes> seeds;
  for (uint8_t machine = 0; machine < std::size(kMachines); ++machine) {
    for (uint8_t first = 0; first < std::size(kFirstSeqs); ++first) {
      support::EdgyRandom random(machine * 16u + first);
      Bytes seed = {machine, first, machine};
      for (int i = 0; i < 400; ++i) {
        seed.push_back(static_cast<uint8_t>(random.Any()));
      }
      seeds.push_back(seed);
    }
    for (const uint8_t fill : Bytes{0x00, 0x01, 0xff}) {
      Bytes seed(64, fill);
      seed[0] = machine;
      seeds.push_back(seed);
    }
  }
  return seeds;
}

}  // namespace vvar::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  using namespace vvar::fuzz;
  if (size < 4) return 0;
  const MachineRow& row = kMachines[bytes[0] % std::size(kMachines)];
  const uint32_t first_seq = kFirstSeqs[bytes[1] % std::size(kFirstSeqs)];
  const auto run = row.bits == 32   ? Run<32>
                   : row.bits == 40 ? Run<40>
                   : row.bits == 56 ? Run<56>
                                    : Run<64>;
  const std::string failure =
      run(row, bytes[2], first_seq, bytes + 3, size - 3);
  if (!failure.empty()) {
    fprintf(stderr, "%s: %s\n", row.name, failure.c_str());
    FUZZ_CHECK(failure.empty());
  }
  return 0;
}
