// SPDX-License-Identifier: MIT
//
// The symbol lookup on hostile images, each in memory that ends where the image
// does: it reads nothing outside, ends, and what it finds lies inside. Begins
// with images of either class and with this machine's own vDSO.
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/auxv.h>

#include <string>
#include <vector>

#include "fallback/vdso_symbol.h"
#include "tests/fuzz/fuzz_target.h"
#include "tests/support/elf_builder.h"

namespace vvar::fuzz {
namespace {

using fallback::VdsoImage;
using fallback::VdsoLookup;
using fallback::VdsoStatus;
using fallback::VdsoSymbol;
using fallback::VdsoText;

constexpr uint64_t kSmallestSymbolBytes = 16;

class Checker {
 public:
  Checker(const uint8_t* image, size_t size)
      : base_(reinterpret_cast<uintptr_t>(image)),
        size_(size),
        image_(image, size) {}

  void Check() {
    FUZZ_CHECK(image_.word_bytes() == 0 || image_.word_bytes() == 4 ||
               image_.word_bytes() == 8);
    image_.ForEachSymbol([&](const VdsoSymbol& symbol) { CheckOne(symbol); });
    FUZZ_CHECK(count_ <= VdsoImage::kLargestBytes / kSmallestSymbolBytes);
    if (image_.status() != VdsoStatus::kFound) FUZZ_CHECK(count_ == 0);
    for (const char* name : {"clock_gettime", "getcpu", "", "a"}) {
      CheckFind(name, "LINUX_2.6");
      CheckFind(name, nullptr);
    }
  }

 private:
  bool IsInside(uintptr_t at, size_t bytes) const {
    const uintptr_t offset = at - base_;
    return offset <= size_ && bytes <= size_ - offset;
  }
  void CheckText(VdsoText text) const {
    if (text.size == 0) return;
    FUZZ_CHECK(text.size <= VdsoImage::kLongestName);
    // And the NUL that ends it.
    FUZZ_CHECK(IsInside(reinterpret_cast<uintptr_t>(text.data), text.size + 1));
    FUZZ_CHECK(memchr(text.data, 0, text.size) == nullptr);
    FUZZ_CHECK(text.data[text.size] == 0);
  }
  void CheckOne(const VdsoSymbol& symbol) {
    ++count_;
    FUZZ_CHECK(symbol.name.size != 0);
    CheckText(symbol.name);
    CheckText(symbol.version);
    FUZZ_CHECK(IsInside(symbol.address, 1));
    // What is listed can be found, at the first place that is listed so.
    const std::string name(symbol.name.data, symbol.name.size);
    if (!symbol.hidden && count_ <= 8) {
      const VdsoLookup found = image_.Find(name.c_str(), nullptr);
      FUZZ_CHECK(found.status == VdsoStatus::kFound);
      FUZZ_CHECK(IsInside(found.address, 1));
    }
  }
  void CheckFind(const char* name, const char* version) const {
    const VdsoLookup found = image_.Find(name, version, "__vdso_");
    FUZZ_CHECK((found.address != 0) == (found.status == VdsoStatus::kFound));
    if (found.address != 0) FUZZ_CHECK(IsInside(found.address, 1));
    if (image_.status() != VdsoStatus::kFound) {
      FUZZ_CHECK(found.status == image_.status());
    }
  }

  uintptr_t base_;
  size_t size_;
  VdsoImage image_;
  uint64_t count_ = 0;
};

Bytes LiveImage() {
  const uintptr_t ehdr = getauxval(AT_SYSINFO_EHDR);
  if (ehdr == 0) return {};
  // One page is mapped at least; the rest of an image holds its code.
  const auto* start = reinterpret_cast<const uint8_t*>(ehdr);
  return Bytes(start, start + 4096);
}

}  // namespace

std::vector<Bytes> Seeds() {
  std::vector<Bytes> seeds = {{}, Bytes(64, 0), Bytes(64, 0xff), LiveImage()};
  const std::vector<testing::ElfSymbol> symbols = {
      {.name = "__vdso_clock_gettime", .version = "LINUX_2.6", .value = 8},
      {.name = "clock_gettime", .version = "LINUX_2.6", .value = 8},
      {.name = "__vdso_getcpu", .version = "LINUX_4.15", .hidden = true},
      {.name = "__vdso_a"},
      {.name = "local", .info = 0x02},
  };
  for (const size_t word : {size_t{4}, size_t{8}}) {
    for (const uint64_t link_address : {uint64_t{0}, uint64_t{0xffff0000}}) {
      for (uint32_t tables = 1; tables < 8; ++tables) {
        testing::ElfSpec spec = {.word = word, .symbols = symbols};
        spec.link_address = link_address;
        spec.hash = (tables & 1) != 0;
        spec.gnu_hash = (tables & 2) != 0;
        spec.versions = (tables & 4) != 0;
        spec.second_load = tables == 7;
        seeds.push_back(testing::BuildElf(spec).bytes);
      }
    }
    testing::ElfSpec s390 = {.word = word, .machine = 22, .symbols = symbols};
    s390.hash_word = word;
    s390.gnu_hash = false;
    seeds.push_back(testing::BuildElf(s390).bytes);
    seeds.push_back(testing::BuildElf({.word = word}).bytes);
  }
  return seeds;
}

}  // namespace vvar::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  vvar::fuzz::ExactCopy image(bytes, size, size);
  vvar::fuzz::Checker(image.data(), size).Check();
  return 0;
}
