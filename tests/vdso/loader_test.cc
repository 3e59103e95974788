// SPDX-License-Identifier: MIT
//
// What kernels load an image by, and the forms in which programs hold one: all
// are the file's bytes. Short and damaged images are refused, or at least never
// read outside of: each is put right before memory that cannot be touched.
#include "vdso/loader.h"

#include <gtest/gtest.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <algorithm>
#include <fstream>
#include <iterator>
#include <vector>

#include "fallback/vdso_symbol.h"
#include "tests/support/elf_builder.h"
#include "tests/vdso/test_image.h"
#include "vdso/embedded_image.h"

namespace vvar::vdso {
namespace {

using fallback::VdsoStatus;

constexpr unsigned char kArray[] = {
#include "vdso/x86_64_image_array.inc"
};

// As a program holds it.
const unsigned char* Bytes() {
  return reinterpret_cast<const unsigned char*>(EmbeddedImage().data());
}
const size_t kSize = EmbeddedImage().size();

std::vector<unsigned char> FileBytes() {
  std::ifstream file(getenv("VVAR_IMAGE"), std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

/// Bytes that end where an inaccessible page begins.
class AtTheEdge {
 public:
  static constexpr size_t kRoom = 1 << 16;
  AtTheEdge()
      : room_(static_cast<unsigned char*>(
            mmap(nullptr, kRoom + 4096, PROT_READ | PROT_WRITE,
                 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0))) {
    mprotect(room_ + kRoom, 4096, PROT_NONE);
  }
  ~AtTheEdge() { munmap(room_, kRoom + 4096); }
  unsigned char* Put(const void* bytes, size_t size) {
    return static_cast<unsigned char*>(
        memcpy(room_ + kRoom - size, bytes, size));
  }

 private:
  unsigned char* room_;
};

TEST(EmbeddedImageTest, EveryFormIsTheFilesBytes) {
  const std::vector<unsigned char> file = FileBytes();
  ASSERT_GT(file.size(), 4096u);
  EXPECT_TRUE(std::equal(file.begin(), file.end(), Bytes(), Bytes() + kSize));
  EXPECT_TRUE(std::equal(file.begin(), file.end(), std::begin(kArray),
                         std::end(kArray)));
}

// Nothing of the program that holds it is on its pages.
TEST(EmbeddedImageTest, AnObjectHasItsPagesToItself) {
  const auto begin = reinterpret_cast<uintptr_t>(Bytes());
  EXPECT_EQ(begin % 4096, 0u);
  const uintptr_t end = (begin + kSize + 4095) / 4096 * 4096;
  const unsigned char* rest = Bytes() + kSize;
  for (; reinterpret_cast<uintptr_t>(rest) < end; ++rest) EXPECT_EQ(*rest, 0);
}

TEST(LoadableImageTest, LaysOutPageOffsetsAndImage) {
  const LoadableImage image(Bytes(), kSize);
  ASSERT_EQ(image.status(), VdsoStatus::kFound);
  const ImageLayout at = image.LayoutAt(0x7fff'f000'0000);
  EXPECT_EQ(at.page, 0x7fff'f000'0000u);
  EXPECT_EQ(at.offsets, 0x7fff'f000'1000u);
  EXPECT_EQ(at.image, 0x7fff'f000'2000u);
  EXPECT_EQ(at.end - at.image, (kSize + 4095) / 4096 * 4096);
}

TEST(LoadableImageTest, TellsWhereFunctionsWillBe) {
  const LoadableImage image(Bytes(), kSize);
  const hosted::MappedImage mapped = MapImage(-1);
  const fallback::VdsoFunctions functions = mapped.functions();
  const auto at = [&](const char* name) {
    return image.AddressOf(name, mapped.layout());
  };
  EXPECT_EQ(at("clock_gettime"),
            reinterpret_cast<uint64_t>(functions.clock_gettime));
  EXPECT_EQ(at("getcpu"), reinterpret_cast<uint64_t>(functions.getcpu));
  EXPECT_EQ(at("getrandom"), 0u);
  EXPECT_EQ(at(""), 0u);
}

TEST(LoadableImageTest, RefusesWhatIsNoImage) {
  const auto status = [](const void* bytes, size_t size) {
    return LoadableImage(bytes, size).status();
  };
  EXPECT_EQ(status(nullptr, 0), VdsoStatus::kNotElf);
  EXPECT_EQ(status("VVAR", 4), VdsoStatus::kNotElf);
  const auto built = [&](const testing::ElfSpec& spec) {
    const testing::ElfImage image = testing::ElfBuilder(spec).Build();
    return status(image.bytes.data(), image.bytes.size());
  };
  EXPECT_EQ(built({.symbols = {{"__vdso_clock_gettime", "LINUX_2.6"}}}),
            VdsoStatus::kFound);
  EXPECT_EQ(built({.symbols = {{"__vdso_time", "LINUX_2.6"}}}),
            VdsoStatus::kNoSuchSymbol);
  EXPECT_EQ(built({.word = 4,
                   .machine = 3,
                   .symbols = {{"__vdso_clock_gettime", "LINUX_2.6"}}}),
            VdsoStatus::kWrongClass);
  EXPECT_EQ(built({.machine = 21,
                   .symbols = {{"__kernel_clock_gettime", "LINUX_2.6.15"}}}),
            VdsoStatus::kWrongMachine);
}

TEST(LoadableImageTest, RefusesAnImageThatIsCutOff) {
  AtTheEdge edge;
  size_t taken = 0;
  for (size_t size = 0; size < kSize; size += 7) {
    const LoadableImage image(edge.Put(Bytes(), size), size);
    // Sections and the symbols of debuggers may be missing.
    taken += image.status() == VdsoStatus::kFound;
    if (image.status() != VdsoStatus::kFound) {
      EXPECT_EQ(image.AddressOf("clock_gettime", image.LayoutAt(0)), 0u);
      EXPECT_EQ(taken, 0u) << size;
    }
  }
  EXPECT_GT(taken, 0u);
  EXPECT_LT(taken, kSize / 7 / 2);
}

TEST(LoadableImageTest, StaysInsideOfADamagedImage) {
  AtTheEdge edge;
  uint32_t random = 1;
  size_t refused = 0;
  for (int i = 0; i < 20'000; ++i) {
    unsigned char* bytes = edge.Put(Bytes(), kSize);
    for (int change = 0; change < 3; ++change) {
      random = random * 1'664'525 + 1'013'904'223;
      bytes[(random >> 8) % 0x500] = static_cast<unsigned char>(random);
    }
    const LoadableImage image(bytes, kSize);
    const ImageLayout at = image.LayoutAt(0x10000);
    const uint64_t address = image.AddressOf("clock_gettime", at);
    refused += address == 0;
    if (address != 0) {
      ASSERT_GE(address, at.image);
      ASSERT_LT(address, at.end);
    }
  }
  EXPECT_GT(refused, 1'000u);
  EXPECT_LT(refused, 20'000u);
}

}  // namespace
}  // namespace vvar::vdso
