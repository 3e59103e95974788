// SPDX-License-Identifier: MIT
//
// Runs a fuzz target without a fuzzer: its seeds, its corpus, and mutations of
// both, the same each time. Or writes the seeds into a folder, for libFuzzer.
//
//   <target>_test CORPUS_FOLDER | --write_seeds=FOLDER
#include <dirent.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <algorithm>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "tests/fuzz/fuzz_target.h"
#include "tests/support/oracle.h"

namespace vvar::fuzz {
namespace {

using support::EdgyRandom;

constexpr uint64_t kMutations = 4'000;
constexpr uint64_t kThoroughMutations = 400'000;
constexpr size_t kLongest = 16'384;

// What is being run, for whoever has to find out why it failed.
const Bytes* running = nullptr;

void PrintInput(int signal_number) {
  fputs("the input, in hex: ", stderr);
  for (const uint8_t byte : *running) fprintf(stderr, "%02x", byte);
  fputs("\n", stderr);
  signal(signal_number, SIG_DFL);
  raise(signal_number);
}

void Run(const Bytes& input) {
  running = &input;
  LLVMFuzzerTestOneInput(input.data(), input.size());
}

std::vector<Bytes> FilesIn(const char* folder) {
  std::vector<std::string> names;
  DIR* listing = opendir(folder);
  if (listing == nullptr) return {};
  while (const dirent* entry = readdir(listing)) {
    if (entry->d_name[0] != '.') names.push_back(entry->d_name);
  }
  closedir(listing);
  std::sort(names.begin(), names.end());
  std::vector<Bytes> files;
  for (const std::string& name : names) {
    std::ifstream file(std::string(folder) + "/" + name, std::ios::binary);
    files.emplace_back(std::istreambuf_iterator<char>(file),
                       std::istreambuf_iterator<char>());
  }
  return files;
}

// Writes an edgy value of 1, 2, 4 or 8 bytes somewhere.
void Overwrite(EdgyRandom& random, Bytes& input) {
  const size_t width = size_t{1} << random.Below(4);
  if (input.size() < width) return;
  const uint64_t value = random.Edgy();
  memcpy(input.data() + random.Below(input.size() - width + 1), &value, width);
}

// Continues with the end of another input.
void Splice(EdgyRandom& random, const Bytes& other, Bytes& input) {
  const size_t from = random.Below(other.size() + 1);
  input.resize(random.Below(input.size() + 1));
  input.insert(input.end(), other.begin() + static_cast<ptrdiff_t>(from),
               other.end());
  if (input.size() > kLongest) input.resize(kLongest);
}

Bytes Mutated(EdgyRandom& random, const std::vector<Bytes>& inputs) {
  Bytes input = inputs[random.Below(inputs.size())];
  for (uint64_t n = 1 + random.Below(6); n != 0; --n) {
    switch (random.Below(8)) {
      case 0:
        Splice(random, inputs[random.Below(inputs.size())], input);
        break;
      case 1:
        input.resize(random.Below(input.size() + 1));
        break;
      case 2:
        for (uint64_t more = random.Below(32); more != 0; --more) {
          input.push_back(static_cast<uint8_t>(random.Any()));
        }
        break;
      default:
        Overwrite(random, input);
        break;
    }
  }
  return input;
}

int RunAll(const char* folder) {
  signal(SIGABRT, PrintInput);
  std::vector<Bytes> inputs = Seeds();
  for (const Bytes& input : inputs) Run(input);
  printf("CASE seeds PASSED %zu\n", inputs.size());
  const std::vector<Bytes> corpus = FilesIn(folder);
  if (inputs.empty() || corpus.empty()) {
    printf("CASE corpus FAILED no input in %s, or no seed\n", folder);
    return 1;
  }
  for (const Bytes& input : corpus) Run(input);
  printf("CASE corpus PASSED %zu\n", corpus.size());
  inputs.insert(inputs.end(), corpus.begin(), corpus.end());
  const bool thorough = getenv("VVAR_THOROUGH") != nullptr;
  const uint64_t mutations = thorough ? kThoroughMutations : kMutations;
  EdgyRandom random(1);
  for (uint64_t i = 0; i < mutations; ++i) Run(Mutated(random, inputs));
  printf("CASE mutations PASSED %.0f\n", static_cast<double>(mutations));
  return 0;
}

int WriteSeeds(const std::string& folder) {
  const std::vector<Bytes> seeds = Seeds();
  for (size_t i = 0; i < seeds.size(); ++i) {
    std::ofstream file(folder + "/seed_" + std::to_string(i), std::ios::binary);
    file.write(reinterpret_cast<const char*>(seeds[i].data()),
               static_cast<std::streamsize>(seeds[i].size()));
    if (!file) return 1;
  }
  return 0;
}

}  // namespace
}  // namespace vvar::fuzz

int main(int argc, char** argv) {
  constexpr char kWriteSeeds[] = "--write_seeds=";
  if (argc != 2) {
    fprintf(stderr, "usage: %s CORPUS_FOLDER | --write_seeds=FOLDER\n",
            argv[0]);
    return 2;
  }
  if (strncmp(argv[1], kWriteSeeds, strlen(kWriteSeeds)) == 0) {
    return vvar::fuzz::WriteSeeds(argv[1] + strlen(kWriteSeeds));
  }
  return vvar::fuzz::RunAll(argv[1]);
}
