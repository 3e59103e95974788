// SPDX-License-Identifier: MIT
//
// The symbol lookup against the dynamic linker on the live vDSO, and on
// synthetic, truncated and corrupted images whose last byte is followed by a
// page that nobody may touch. Corruption is random with fixed seeds: it could
// miss a combination of fields that no single test below names.
#include "fallback/vdso_symbol.h"

#include <dlfcn.h>
#include <gtest/gtest.h>
#include <link.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <fstream>
#include <functional>
#include <iterator>
#include <ostream>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "fallback/syscall.h"
#include "tests/support/elf_builder.h"

namespace vvar::fallback {

// What GoogleTest prints instead of a bare number.
void PrintTo(VdsoStatus status, std::ostream* out) {
  static const char* const kNames[] = {
      "kFound",        "kNotElf",    "kWrongClass",   "kWrongEndian",
      "kWrongMachine", "kTruncated", "kNoDynamic",    "kNoSymbolTable",
      "kNoHash",       "kCorrupt",   "kNoSuchSymbol", "kNoSuchVersion"};
  *out << kNames[static_cast<size_t>(status)];
}

namespace {

using ::vvar::testing::BuildElf;
using ::vvar::testing::ElfImage;
using ::vvar::testing::ElfSpec;
using ::vvar::testing::ElfSymbol;

// Memory that ends at a page which faults when it is touched.
class GuardedMemory {
 public:
  explicit GuardedMemory(size_t largest)
      : page_(static_cast<size_t>(getpagesize())),
        room_((largest + page_ - 1) / page_ * page_) {
    void* all = mmap(nullptr, room_ + page_, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (all == MAP_FAILED) abort();
    start_ = static_cast<uint8_t*>(all);
    if (mprotect(start_ + room_, page_, PROT_NONE) != 0) abort();
  }
  ~GuardedMemory() { munmap(start_, room_ + page_); }
  GuardedMemory(const GuardedMemory&) = delete;
  GuardedMemory& operator=(const GuardedMemory&) = delete;

  // Copies the first `size` bytes so that they end at the page.
  const uint8_t* Hold(const std::vector<uint8_t>& bytes, size_t size) {
    uint8_t* copy = start_ + room_ - size;
    if (size != 0) memcpy(copy, bytes.data(), size);
    return copy;
  }

 private:
  size_t page_;
  size_t room_;
  uint8_t* start_;
};

VdsoImage Parse(const ElfImage& elf) {
  return VdsoImage(elf.bytes.data(), elf.bytes.size());
}

std::string String(VdsoText text) {
  return text.size == 0 ? "" : std::string(text.data, text.size);
}

std::set<std::string> NamesOf(const VdsoImage& image) {
  std::set<std::string> names;
  image.ForEachSymbol([&](const VdsoSymbol& symbol) {
    names.insert(String(symbol.name) + "@" + String(symbol.version));
  });
  return names;
}

uintptr_t LiveEhdr() { return getauxval(AT_SYSINFO_EHDR); }

// The live image's bytes; its size by the system's own ELF structures.
std::vector<uint8_t> LiveBytes() {
  const auto* start = reinterpret_cast<const uint8_t*>(LiveEhdr());
  const auto* ehdr = reinterpret_cast<const ElfW(Ehdr)*>(start);
  const auto* phdr = reinterpret_cast<const ElfW(Phdr)*>(start + ehdr->e_phoff);
  size_t end = 0;
  for (int i = 0; i < ehdr->e_phnum; ++i) {
    if (phdr[i].p_type == PT_LOAD) end = phdr[i].p_offset + phdr[i].p_filesz;
  }
  return std::vector<uint8_t>(start, start + end);
}

#define SKIP_WITHOUT_VDSO()                                       \
  if (LiveEhdr() == 0) {                                          \
    GTEST_SKIP() << "no AT_SYSINFO_EHDR: this kernel or emulator" \
                    " gives its programs no vDSO";                \
  }                                                               \
  static_assert(true, "")

// Four functions as x86-64 has them, one of another version, one hidden.
ElfSpec Typical(size_t word = sizeof(void*)) {
  ElfSpec spec;
  spec.word = word;
  spec.symbols = {
      {.name = "__vdso_clock_gettime", .version = "LINUX_2.6", .value = 0x50},
      {.name = "__vdso_gettimeofday", .version = "LINUX_2.6", .value = 0x60},
      {.name = "__vdso_time", .version = "LINUX_2.6", .value = 0x70},
      {.name = "time", .version = "LINUX_2.6", .info = 0x22, .value = 0x70},
      {.name = "__kernel_vsyscall", .version = "LINUX_2.5", .value = 0x80},
      {.name = "old", .version = "LINUX_2.5", .hidden = true, .value = 0x90},
      {.name = "bare", .value = 0xa0},
  };
  return spec;
}

const std::set<std::string> kTypicalNames = {"__vdso_clock_gettime@LINUX_2.6",
                                             "__vdso_gettimeofday@LINUX_2.6",
                                             "__vdso_time@LINUX_2.6",
                                             "time@LINUX_2.6",
                                             "__kernel_vsyscall@LINUX_2.5",
                                             "old@LINUX_2.5",
                                             "bare@"};

// Does with an image, whatever it holds, all that can be done, and checks what
// must be true of any image: answers are inside it.
void Exercise(const uint8_t* bytes, size_t size) {
  const VdsoImage image(bytes, size);
  const auto start = reinterpret_cast<uintptr_t>(bytes);
  size_t symbols = 0;
  image.ForEachSymbol([&](const VdsoSymbol& symbol) {
    ++symbols;
    ASSERT_GE(symbol.address, start);
    ASSERT_LT(symbol.address, start + size);
    for (VdsoText text : {symbol.name, symbol.version}) {
      if (text.size == 0) continue;
      const auto at = reinterpret_cast<uintptr_t>(text.data);
      ASSERT_LE(text.size, VdsoImage::kLongestName);
      ASSERT_GE(at, start);
      ASSERT_LE(at + text.size, start + size);
      ASSERT_EQ(memchr(text.data, 0, text.size), nullptr);
    }
  });
  ASSERT_LE(symbols, size / 16);
  ASSERT_TRUE(symbols == 0 || image.status() == VdsoStatus::kFound);
  for (const char* version :
       {"LINUX_2.6", "LINUX_2.5", "", static_cast<const char*>(nullptr)}) {
    const VdsoLookup found = image.Find("clock_gettime", version, "__vdso_");
    ASSERT_EQ(found.address != 0, found.status == VdsoStatus::kFound);
  }
  const VdsoFunctions functions = FindVdsoFunctions(image);
  if (functions.time != nullptr) {
    ASSERT_LT(reinterpret_cast<uintptr_t>(functions.time), start + size);
  }
}

// --- The live image ---------------------------------------------------------

TEST(VdsoSymbolTest, AgreesWithTheDynamicLinkerOnTheLiveImage) {
  SKIP_WITHOUT_VDSO();
  void* linker = nullptr;
  for (const char* name :
       {"linux-vdso.so.1", "linux-gate.so.1", "linux-vdso64.so.1"}) {
    if (linker == nullptr) linker = dlopen(name, RTLD_LAZY | RTLD_NOLOAD);
  }
  if (linker == nullptr) GTEST_SKIP() << "the dynamic linker lists no vDSO";
  const VdsoImage image = VdsoImage::FromMappedByKernel(LiveEhdr());
  ASSERT_EQ(image.status(), VdsoStatus::kFound);
  size_t symbols = 0;
  image.ForEachSymbol([&](const VdsoSymbol& symbol) {
    ++symbols;
    const std::string name = String(symbol.name);
    const std::string version = String(symbol.version);
    const auto expected = reinterpret_cast<uintptr_t>(
        dlvsym(linker, name.c_str(), version.c_str()));
    EXPECT_EQ(symbol.address, expected) << name << "@" << version;
    const VdsoLookup found = image.Find(name.c_str(), version.c_str());
    EXPECT_EQ(found.address, expected) << name << "@" << version;
  });
  EXPECT_GE(symbols, 3u);
  for (const std::string prefix : {"", "__vdso_", "__kernel_"}) {
    for (const std::string stem :
         {"clock_gettime", "clock_gettime64", "gettimeofday", "time", "getcpu",
          "clock_getres", "getrandom", "vsyscall", "rt_sigreturn", "nothing",
          "clock_gettim", "clock_gettime6"}) {
      const std::string name = prefix + stem;
      const auto expected =
          reinterpret_cast<uintptr_t>(dlsym(linker, name.c_str()));
      EXPECT_EQ(image.Find(name.c_str(), nullptr).address, expected) << name;
      EXPECT_EQ(image.Find(stem.c_str(), nullptr, prefix.c_str()).address,
                expected)
          << name;
    }
  }
}

TEST(VdsoSymbolTest, LiveImageIsTheSameThroughEitherDoor) {
  SKIP_WITHOUT_VDSO();
  const std::vector<uint8_t> bytes = LiveBytes();
  const VdsoImage copy(bytes.data(), bytes.size());
  const VdsoImage live = VdsoImage::FromMappedByKernel(LiveEhdr());
  EXPECT_EQ(live.status(), VdsoStatus::kFound);
  EXPECT_EQ(copy.status(), VdsoStatus::kFound);
  EXPECT_EQ(NamesOf(live), NamesOf(copy));
  EXPECT_GE(NamesOf(live).size(), 3u);
  EXPECT_EQ(live.word_bytes(), sizeof(void*));
}

TEST(VdsoSymbolTest, AuxiliaryVectorLeadsToTheLiveImage) {
  std::ifstream file("/proc/self/auxv", std::ios::binary);
  const std::string raw{std::istreambuf_iterator<char>(file), {}};
  std::vector<uintptr_t> auxv(raw.size() / sizeof(uintptr_t) + 2);
  memcpy(auxv.data(), raw.data(), raw.size());
  EXPECT_EQ(FindVdsoInAuxv(auxv.data()), LiveEhdr());
  const uintptr_t without[] = {6, 4096, 0, 7, 33, 1};
  EXPECT_EQ(FindVdsoInAuxv(without), 0u);
}

TEST(VdsoSymbolTest, LiveImageMayBeCutAnywhere) {
  SKIP_WITHOUT_VDSO();
  const std::vector<uint8_t> bytes = LiveBytes();
  GuardedMemory memory(bytes.size());
  for (size_t size = 0; size <= bytes.size(); ++size) {
    const uint8_t* copy = memory.Hold(bytes, size);
    const VdsoImage image(copy, size);
    ASSERT_EQ(image.status(), size < 4              ? VdsoStatus::kNotElf
                              : size == 4           ? VdsoStatus::kWrongClass
                              : size == 5           ? VdsoStatus::kWrongEndian
                              : size < bytes.size() ? VdsoStatus::kTruncated
                                                    : VdsoStatus::kFound)
        << "of size " << size;
    ASSERT_NO_FATAL_FAILURE(Exercise(copy, size)) << "of size " << size;
  }
}

// As above, but the segment says that it is no longer than that: so the cut
// goes through every table in turn.
void CutEveryTable(const ElfImage& elf, size_t filesz_at) {
  GuardedMemory memory(elf.bytes.size());
  size_t usable = 0;
  for (size_t size = elf.at.at("first"); size <= elf.bytes.size(); ++size) {
    ElfImage cut = elf;
    elf.bytes[4] == 1 ? cut.Poke(filesz_at, static_cast<uint32_t>(size))
                      : cut.Poke(filesz_at, uint64_t{size});
    const uint8_t* copy = memory.Hold(cut.bytes, size);
    ASSERT_NO_FATAL_FAILURE(Exercise(copy, size)) << "of size " << size;
    const VdsoStatus status = VdsoImage(copy, size).status();
    ASSERT_NE(status, VdsoStatus::kTruncated);
    usable += status == VdsoStatus::kFound;
  }
  EXPECT_GE(usable, 1u);
  EXPECT_LT(usable, elf.bytes.size() - elf.at.at("first"));
}

TEST(VdsoSymbolTest, EveryTableMayBeCutAnywhere) {
  for (size_t word : {size_t{4}, size_t{8}}) {
    for (int tables = 1; tables <= 3; ++tables) {
      ElfSpec spec = Typical(word);
      spec.hash = (tables & 1) != 0;
      spec.gnu_hash = (tables & 2) != 0;
      ElfImage elf = BuildElf(spec);
      elf.at["first"] = elf.at["dynamic_header"] + 8 + 6 * word;
      CutEveryTable(elf, elf.at["load"] + 4 * word);
    }
  }
}

TEST(VdsoSymbolTest, EveryTableOfTheLiveImageMayBeCutAnywhere) {
  SKIP_WITHOUT_VDSO();
  ElfImage live = {.bytes = LiveBytes()};
  const auto* ehdr = reinterpret_cast<const ElfW(Ehdr)*>(live.bytes.data());
  const size_t phdrs = ehdr->e_phnum * sizeof(ElfW(Phdr));
  live.at["first"] = ehdr->e_phoff + phdrs;
  const auto* phdr =
      reinterpret_cast<const ElfW(Phdr)*>(&live.bytes[ehdr->e_phoff]);
  size_t load = 0;
  while (phdr[load].p_type != PT_LOAD) ++load;
  CutEveryTable(live, ehdr->e_phoff + load * sizeof(ElfW(Phdr)) +
                          offsetof(ElfW(Phdr), p_filesz));
}

// --- Which symbols ----------------------------------------------------------

TEST(VdsoSymbolTest, EitherHashTableOfEitherClassWillDo) {
  const struct {
    const char* name;
    bool hash, gnu_hash;
    size_t word, hash_word;
    uint16_t machine;
  } kRows[] = {
      {"both, 64", true, true, 8, 4, 62},
      {"DT_HASH only, 64", true, false, 8, 4, 62},
      {"DT_GNU_HASH only, 64", false, true, 8, 4, 62},
      {"both, 32", true, true, 4, 4, 3},
      {"DT_HASH only, 32", true, false, 4, 4, 3},
      {"DT_GNU_HASH only, 32", false, true, 4, 4, 3},
      {"DT_HASH of 64-bit words, s390x", true, false, 8, 8, 22},
      {"DT_HASH of 32-bit words, s390", true, false, 4, 4, 22},
  };
  for (const auto& row : kRows) {
    SCOPED_TRACE(row.name);
    ElfSpec spec = Typical(row.word);
    spec.machine = row.machine;
    spec.hash = row.hash;
    spec.gnu_hash = row.gnu_hash;
    spec.hash_word = row.hash_word;
    const ElfImage elf = BuildElf(spec);
    const VdsoImage image = Parse(elf);
    EXPECT_EQ(image.status(), VdsoStatus::kFound);
    EXPECT_EQ(image.machine(), row.machine);
    EXPECT_EQ(image.word_bytes(), row.word);
    EXPECT_EQ(NamesOf(image), kTypicalNames);
    const VdsoLookup found = image.Find("__vdso_time", "LINUX_2.6");
    EXPECT_EQ(found.status, VdsoStatus::kFound);
    EXPECT_EQ(found.address,
              reinterpret_cast<uintptr_t>(elf.bytes.data()) + 0x70);
  }
}

TEST(VdsoSymbolTest, ImageMayBeLinkedAnywhere) {
  for (uint64_t link_address :
       {uint64_t{0x1000}, uint64_t{0xffffe000}, ~uint64_t{0} << 20}) {
    for (size_t word : {size_t{4}, size_t{8}}) {
      ElfSpec spec = Typical(word);
      spec.link_address =
          word == 4 ? static_cast<uint32_t>(link_address) : link_address;
      const ElfImage elf = BuildElf(spec);
      const VdsoImage image = Parse(elf);
      EXPECT_EQ(NamesOf(image), kTypicalNames);
      EXPECT_EQ(image.Find("bare", nullptr).address,
                reinterpret_cast<uintptr_t>(elf.bytes.data()) + 0xa0);
      image.ForEachSymbol([&](const VdsoSymbol& symbol) {
        EXPECT_GE(symbol.value, spec.link_address);
      });
    }
  }
}

// Trap: T91
TEST(VdsoSymbolTest, AbsentSymbolIsAStatus) {
  const ElfImage elf = BuildElf(Typical());
  const VdsoImage image = Parse(elf);
  for (const char* name : {"", "__vdso_getcpu", "__kernel_time", "__vdso_tim",
                           "__vdso_timer", "Old", "LINUX_2.6"}) {
    const VdsoLookup found = image.Find(name, "LINUX_2.6");
    EXPECT_EQ(found.status, VdsoStatus::kNoSuchSymbol) << name;
    EXPECT_EQ(found.address, 0u) << name;
  }
  const VdsoImage none = VdsoImage::FromMappedByKernel(0);
  EXPECT_EQ(none.status(), VdsoStatus::kNotElf);
  EXPECT_EQ(none.Find("time", nullptr).status, VdsoStatus::kNotElf);
  EXPECT_EQ(none.Find("time", nullptr).address, 0u);
  EXPECT_TRUE(NamesOf(none).empty());
  EXPECT_EQ(FindVdsoFunctions(none).clock_gettime, nullptr);
}

TEST(VdsoSymbolTest, PrefixAndNameAreOneName) {
  const ElfImage elf = BuildElf(Typical());
  const VdsoImage image = Parse(elf);
  const uintptr_t address = image.Find("__vdso_time", "LINUX_2.6").address;
  EXPECT_NE(address, 0u);
  for (size_t cut = 0; cut <= strlen("__vdso_time"); ++cut) {
    const std::string prefix = std::string("__vdso_time").substr(0, cut);
    const char* rest = &"__vdso_time"[cut];
    EXPECT_EQ(image.Find(rest, "LINUX_2.6", prefix.c_str()).address, address);
  }
  EXPECT_EQ(image.Find("__vdso_time", "LINUX_2.6", "_").address, 0u);
}

TEST(VdsoSymbolTest, VersionMustBeTheOneAskedFor) {
  const ElfImage elf = BuildElf(Typical());
  const VdsoImage image = Parse(elf);
  const struct {
    const char* name;
    const char* version;
    VdsoStatus status;
  } kRows[] = {
      {"__vdso_time", "LINUX_2.6", VdsoStatus::kFound},
      {"__vdso_time", "LINUX_2.5", VdsoStatus::kNoSuchVersion},
      {"__vdso_time", "LINUX_2.6.39", VdsoStatus::kNoSuchVersion},
      {"__vdso_time", "LINUX_2.", VdsoStatus::kNoSuchVersion},
      {"__vdso_time", "linux-vdso.so.1", VdsoStatus::kNoSuchVersion},
      {"__vdso_time", "", VdsoStatus::kNoSuchVersion},
      {"__vdso_time", nullptr, VdsoStatus::kFound},
      {"old", "LINUX_2.5", VdsoStatus::kFound},
      {"old", nullptr, VdsoStatus::kNoSuchVersion},  // hidden
      {"bare", nullptr, VdsoStatus::kFound},
      {"bare", "", VdsoStatus::kFound},
      {"bare", "LINUX_2.6", VdsoStatus::kNoSuchVersion},
  };
  for (const auto& row : kRows) {
    EXPECT_EQ(image.Find(row.name, row.version).status, row.status)
        << row.name << "@" << (row.version ? row.version : "(any)");
  }
}

TEST(VdsoSymbolTest, TwoVersionsOfANameAreTwoSymbols) {
  ElfSpec spec = Typical();
  spec.symbols = {
      {.name = "f", .version = "LINUX_1", .hidden = true, .value = 0x50},
      {.name = "f", .version = "LINUX_2", .value = 0x60},
  };
  const ElfImage elf = BuildElf(spec);
  const VdsoImage image = Parse(elf);
  const auto base = reinterpret_cast<uintptr_t>(elf.bytes.data());
  EXPECT_EQ(image.Find("f", "LINUX_1").address, base + 0x50);
  EXPECT_EQ(image.Find("f", "LINUX_2").address, base + 0x60);
  EXPECT_EQ(image.Find("f", nullptr).address, base + 0x60);
  EXPECT_EQ(image.Find("f", "LINUX_3").status, VdsoStatus::kNoSuchVersion);
}

TEST(VdsoSymbolTest, AnyVersionWillDoWhereNoneIsDefined) {
  ElfSpec spec = Typical();
  spec.versions = false;
  const ElfImage elf = BuildElf(spec);
  const VdsoImage image = Parse(elf);
  EXPECT_EQ(image.Find("bare", "LINUX_2.6").status, VdsoStatus::kFound);
  EXPECT_EQ(image.Find("__vdso_time", nullptr).status, VdsoStatus::kFound);
  EXPECT_EQ(NamesOf(image).count("__vdso_time@"), 1u);
}

TEST(VdsoSymbolTest, OnlyDefinedFunctionsAreExported) {
  const struct {
    const char* name;
    uint8_t info;
    uint16_t section;
    uint64_t value;
    bool exported;
  } kRows[] = {
      {"global_function", 0x12, 1, 0x50, true},
      {"weak_function", 0x22, 1, 0x50, true},
      {"global_notype", 0x10, 1, 0x50, true},
      {"last_section", 0x12, 0xfeff, 0x50, true},
      {"local_function", 0x02, 1, 0x50, false},
      {"unique_function", 0xa2, 1, 0x50, false},
      {"object", 0x11, 1, 0x50, false},
      {"tls", 0x16, 1, 0x50, false},
      {"ifunc", 0x1a, 1, 0x50, false},
      {"undefined", 0x12, 0, 0x50, false},
      {"absolute", 0x12, 0xfff1, 0x50, false},
      {"outside", 0x12, 1, 0x100000, false},
      {"far_outside", 0x12, 1, ~uint64_t{0}, false},
  };
  ElfSpec spec;
  for (const auto& row : kRows) {
    spec.symbols.push_back({.name = row.name,
                            .version = "LINUX_2.6",
                            .info = row.info,
                            .section = row.section,
                            .value = row.value});
  }
  const ElfImage elf = BuildElf(spec);
  const VdsoImage image = Parse(elf);
  for (const auto& row : kRows) {
    EXPECT_EQ(image.Find(row.name, "LINUX_2.6").status,
              row.exported ? VdsoStatus::kFound : VdsoStatus::kNoSuchSymbol)
        << row.name;
  }
}

TEST(VdsoSymbolTest, NamesBeyondTheLimitAreLeftOut) {
  const std::string longest(VdsoImage::kLongestName, 'a');
  ElfSpec spec;
  spec.symbols = {{.name = longest, .value = 0x50},
                  {.name = longest + "b", .value = 0x50}};
  const ElfImage elf = BuildElf(spec);
  EXPECT_EQ(NamesOf(Parse(elf)), std::set<std::string>{longest + "@"});
}

// --- What the functions are called ------------------------------------------

// Trap: T91
TEST(VdsoSymbolTest, EachMachineHasItsNames) {
  const struct {
    uint16_t machine;
    std::string prefix, version;
  } kRows[] = {
      {EM_X86_64, "__vdso_", "LINUX_2.6"},
      {EM_386, "__vdso_", "LINUX_2.6"},
      {EM_AARCH64, "__kernel_", "LINUX_2.6.39"},
      {EM_ARM, "__vdso_", "LINUX_2.6"},
      {EM_RISCV, "__vdso_", "LINUX_4.15"},
      {258, "__vdso_", "LINUX_5.10"},  // EM_LOONGARCH
      {EM_S390, "__kernel_", "LINUX_2.6.29"},
  };
  for (const auto& row : kRows) {
    ElfSpec spec;
    spec.machine = row.machine;
    for (const char* stem :
         {"clock_gettime", "clock_gettime64", "clock_getres",
          "clock_getres_time64", "gettimeofday", "time", "getcpu"}) {
      const uint64_t value = 0x50 + 8 * spec.symbols.size();
      spec.symbols.push_back(
          {row.prefix + stem, row.version, false, 0x12, 1, value});
    }
    const ElfImage elf = BuildElf(spec);
    const VdsoFunctions found = FindVdsoFunctions(Parse(elf));
    EXPECT_EQ(found.status, VdsoStatus::kFound) << row.machine;
    const auto value = [&](auto* function) {
      return reinterpret_cast<uintptr_t>(function) -
             reinterpret_cast<uintptr_t>(elf.bytes.data());
    };
    EXPECT_EQ(value(found.clock_gettime), 0x50u) << row.machine;
    EXPECT_EQ(value(found.clock_gettime64), 0x58u) << row.machine;
    EXPECT_EQ(value(found.clock_getres), 0x60u) << row.machine;
    EXPECT_EQ(value(found.clock_getres_time64), 0x68u) << row.machine;
    EXPECT_EQ(value(found.gettimeofday), 0x70u) << row.machine;
    EXPECT_EQ(value(found.time), 0x78u) << row.machine;
    EXPECT_EQ(value(found.getcpu), 0x80u) << row.machine;
  }
}

TEST(VdsoSymbolTest, PartOfTheFunctionsIsWorthHaving) {
  const ElfImage elf = BuildElf(Typical());  // without getcpu, getres, time64
  const VdsoFunctions found = FindVdsoFunctions(Parse(elf));
  EXPECT_EQ(found.status, VdsoStatus::kFound);
  EXPECT_NE(found.clock_gettime, nullptr);
  EXPECT_NE(found.gettimeofday, nullptr);
  EXPECT_NE(found.time, nullptr);
  EXPECT_EQ(found.clock_gettime64, nullptr);
  EXPECT_EQ(found.clock_getres, nullptr);
  EXPECT_EQ(found.clock_getres_time64, nullptr);
  EXPECT_EQ(found.getcpu, nullptr);

  ElfSpec spec;  // a kernel without 32-bit time
  spec.symbols = {{.name = "__vdso_clock_gettime64",
                   .version = "LINUX_2.6",
                   .value = 0x50}};
  const ElfImage time64 = BuildElf(spec);
  EXPECT_EQ(FindVdsoFunctions(Parse(time64)).status, VdsoStatus::kFound);
  EXPECT_NE(FindVdsoFunctions(Parse(time64)).clock_gettime64, nullptr);
  EXPECT_EQ(FindVdsoFunctions(Parse(time64)).clock_gettime, nullptr);
}

TEST(VdsoSymbolTest, FunctionsOfAStrangeImageAreNull) {
  const size_t other_word = sizeof(void*) == 8 ? 4 : 8;
  const ElfImage other_class = BuildElf(Typical(other_word));
  EXPECT_EQ(FindVdsoFunctions(Parse(other_class)).status,
            VdsoStatus::kWrongClass);
  EXPECT_EQ(FindVdsoFunctions(Parse(other_class)).time, nullptr);
  ElfSpec spec = Typical();
  spec.machine = EM_PPC64;  // see VdsoNamingOf
  const ElfImage power = BuildElf(spec);
  EXPECT_EQ(FindVdsoFunctions(Parse(power)).status, VdsoStatus::kWrongMachine);
  EXPECT_EQ(FindVdsoFunctions(Parse(power)).time, nullptr);
  spec.machine = EM_RISCV;  // has the prefix, but another version
  const ElfImage renamed = BuildElf(spec);
  EXPECT_EQ(FindVdsoFunctions(Parse(renamed)).status,
            VdsoStatus::kNoSuchVersion);
  EXPECT_EQ(FindVdsoFunctions(Parse(renamed)).time, nullptr);
}

TEST(VdsoSymbolTest, FunctionsAreNullUntilFound) {
  const VdsoFunctions functions;
  EXPECT_NE(functions.status, VdsoStatus::kFound);
  EXPECT_EQ(functions.clock_gettime, nullptr);
  EXPECT_EQ(functions.getcpu, nullptr);
}

// --- Images that lie --------------------------------------------------------

// Ways to spoil an image of this process's class.
using Spoil = std::function<void(ElfImage&)>;

template <typename Field>
Spoil Poke(const char* table, size_t offset, Field value) {
  return [=](ElfImage& elf) { elf.Poke(elf.at[table] + offset, value); };
}
Spoil PokeSize(const char* segment, uintptr_t bytes) {
  return Poke(segment, offsetof(ElfW(Phdr), p_filesz), bytes);
}
Spoil SetTag(uint64_t tag, uintptr_t value) {
  return [=](ElfImage& elf) {
    elf.Poke(elf.tag_at.at(tag) + sizeof(uintptr_t), value);
  };
}
Spoil DropTag(uint64_t tag) {
  return [=](ElfImage& elf) {
    elf.Poke(elf.tag_at.at(tag), uintptr_t{0x70000001});
  };
}
Spoil Resize(size_t bytes) {
  return [=](ElfImage& elf) { elf.bytes.resize(bytes); };
}
Spoil Both(Spoil first, Spoil second) {
  return [=](ElfImage& elf) {
    first(elf);
    second(elf);
  };
}
Spoil InTheSysvHash(Spoil spoil) { return Both(DropTag(DT_GNU_HASH), spoil); }

TEST(VdsoSymbolTest, EachDefectHasItsStatus) {
  using Ehdr = ElfW(Ehdr);
  const uintptr_t kHuge = ~uintptr_t{0};
  const uint32_t kHuge32 = ~uint32_t{0};
  const struct {
    const char* name;
    Spoil spoil;
    VdsoStatus status;
  } kRows[] = {
      {"intact", [](ElfImage&) {}, VdsoStatus::kFound},
      {"empty", Resize(0), VdsoStatus::kNotElf},
      {"magic", Poke("", 3, 'f'), VdsoStatus::kNotElf},
      {"not shared", Poke("", 16, uint16_t{ET_EXEC}), VdsoStatus::kNotElf},
      {"class 0", Poke("", 4, '\0'), VdsoStatus::kWrongClass},
      {"class 3", Poke("", 4, '\3'), VdsoStatus::kWrongClass},
      {"byte order", [](ElfImage& elf) { elf.bytes[5] ^= 3; },
       VdsoStatus::kWrongEndian},
      {"half a header", Resize(sizeof(Ehdr) / 2), VdsoStatus::kTruncated},
      {"program headers far away", Poke("", offsetof(Ehdr, e_phoff), kHuge),
       VdsoStatus::kTruncated},
      {"65535 program headers",
       Poke("", offsetof(Ehdr, e_phnum), uint16_t{0xffff}),
       VdsoStatus::kTruncated},
      {"program headers of no size",
       Poke("", offsetof(Ehdr, e_phentsize), uint16_t{0}),
       VdsoStatus::kCorrupt},
      {"no PT_LOAD", Poke("load", 0, PT_NOTE), VdsoStatus::kNoDynamic},
      {"no PT_DYNAMIC", Poke("dynamic_header", 0, PT_NOTE),
       VdsoStatus::kNoDynamic},
      {"segment too long", PokeSize("load", kHuge), VdsoStatus::kTruncated},
      {"empty segment", PokeSize("load", 0), VdsoStatus::kCorrupt},
      {"dynamic section too long", PokeSize("dynamic_header", kHuge / 2),
       VdsoStatus::kCorrupt},
      {"dynamic section too short",
       PokeSize("dynamic_header", 2 * sizeof(uintptr_t)),
       VdsoStatus::kNoSymbolTable},
      {"DT_NULL before all", Poke("dynamic", 0, uintptr_t{DT_NULL}),
       VdsoStatus::kNoSymbolTable},
      {"symbols in the header", SetTag(DT_SYMTAB, 0),
       VdsoStatus::kNoSymbolTable},
      {"no DT_SYMTAB", DropTag(DT_SYMTAB), VdsoStatus::kNoSymbolTable},
      {"no DT_STRTAB", DropTag(DT_STRTAB), VdsoStatus::kNoSymbolTable},
      {"no hash", InTheSysvHash(DropTag(DT_HASH)), VdsoStatus::kNoHash},
      {"symbols far away", SetTag(DT_SYMTAB, kHuge), VdsoStatus::kCorrupt},
      {"strings far away", SetTag(DT_STRTAB, kHuge), VdsoStatus::kCorrupt},
      {"strings beyond the segment", Both(Resize(9000), SetTag(DT_STRSZ, 8000)),
       VdsoStatus::kCorrupt},
      {"versions far away", SetTag(DT_VERSYM, kHuge), VdsoStatus::kCorrupt},
      {"definitions far away", SetTag(DT_VERDEF, kHuge), VdsoStatus::kCorrupt},
      {"GNU hash far away", SetTag(DT_GNU_HASH, kHuge), VdsoStatus::kCorrupt},
      {"endless GNU buckets", Poke("gnu_hash", 0, kHuge32),
       VdsoStatus::kCorrupt},
      {"endless Bloom filter", Poke("gnu_hash", 8, kHuge32),
       VdsoStatus::kCorrupt},
      {"GNU symbols before the first", Poke("gnu_hash", 4, uint32_t{8}),
       VdsoStatus::kCorrupt},
      {"GNU symbols far before the first", Poke("gnu_hash", 4, kHuge32),
       VdsoStatus::kCorrupt},
      {"GNU chain far away", Poke("gnu_chains", size_t(-4), kHuge32),
       VdsoStatus::kCorrupt},
      {"hash far away", InTheSysvHash(SetTag(DT_HASH, kHuge)),
       VdsoStatus::kCorrupt},
      {"endless buckets", InTheSysvHash(Poke("hash", 0, kHuge32)),
       VdsoStatus::kCorrupt},
      {"endless chains", InTheSysvHash(Poke("hash", 4, kHuge32)),
       VdsoStatus::kCorrupt},
  };
  for (const auto& row : kRows) {
    SCOPED_TRACE(row.name);
    ElfImage elf = BuildElf(Typical());
    row.spoil(elf);
    GuardedMemory memory(elf.bytes.size());
    const uint8_t* copy = memory.Hold(elf.bytes, elf.bytes.size());
    const VdsoImage image(copy, elf.bytes.size());
    EXPECT_EQ(image.status(), row.status);
    if (row.status != VdsoStatus::kFound) {
      EXPECT_EQ(image.Find("bare", nullptr).status, row.status);
      EXPECT_EQ(FindVdsoFunctions(image).status, row.status);
    }
    Exercise(copy, elf.bytes.size());
  }
}

TEST(VdsoSymbolTest, NamesEndInsideTheStringTable) {
  ElfImage elf = BuildElf(Typical());  // a version's NUL is its last byte
  const size_t bytes = elf.at["strings_end"] - elf.at["strings"];
  EXPECT_EQ(NamesOf(Parse(elf)), kTypicalNames);
  SetTag(DT_STRSZ, bytes - 1)(elf);
  EXPECT_EQ(Parse(elf).status(), VdsoStatus::kFound);
  EXPECT_NE(NamesOf(Parse(elf)), kTypicalNames);
}

TEST(VdsoSymbolTest, TheFirstSegmentCountsWhereverItBegins) {
  ElfSpec spec = Typical();
  spec.second_load = true;
  ElfImage elf = BuildElf(spec);
  EXPECT_EQ(NamesOf(Parse(elf)), kTypicalNames);
  // Without the first bytes; then linked elsewhere than its tables say.
  const uintptr_t skipped = 0x30, up = 0x10000;
  Poke("load", offsetof(ElfW(Phdr), p_offset), skipped)(elf);
  Poke("load", offsetof(ElfW(Phdr), p_vaddr), skipped)(elf);
  PokeSize("load", elf.bytes.size() - skipped)(elf);
  EXPECT_EQ(NamesOf(Parse(elf)), kTypicalNames);
  EXPECT_EQ(Parse(elf).Find("bare", nullptr).status, VdsoStatus::kFound);
  Poke("load", offsetof(ElfW(Phdr), p_vaddr), skipped + up)(elf);
  EXPECT_NE(Parse(elf).status(), VdsoStatus::kFound);
}

TEST(VdsoSymbolTest, AnImageMayExportNothing) {
  for (bool gnu_hash : {false, true}) {
    ElfSpec spec;
    spec.hash = !gnu_hash;
    spec.gnu_hash = gnu_hash;
    const ElfImage elf = BuildElf(spec);
    EXPECT_EQ(Parse(elf).status(), VdsoStatus::kFound);
    EXPECT_EQ(Parse(elf).Find("time", nullptr).status,
              VdsoStatus::kNoSuchSymbol);
  }
}

TEST(VdsoSymbolTest, CountsThatWrapAreCorrupt) {
  ElfSpec spec = Typical(8);
  spec.machine = EM_S390;  // 64-bit words: (2 + buckets + chains) * 8 is 2^64
  spec.gnu_hash = false;
  spec.hash_word = 8;
  ElfImage elf = BuildElf(spec);
  elf.Poke(elf.at["hash"], (uint64_t{1} << 61) - 2 - 8);
  elf.Poke(elf.at["hash"] + 8, uint64_t{8});
  EXPECT_EQ(Parse(elf).status(), VdsoStatus::kCorrupt);
}

TEST(VdsoSymbolTest, HashTableMustFit) {
  ElfSpec spec = Typical();
  spec.gnu_hash = false;
  ElfImage elf = BuildElf(spec);
  const size_t at = elf.at["end"] - 16;
  SetTag(DT_HASH, at)(elf);
  elf.Poke(at, uint32_t{1});
  elf.Poke(at + 4, uint32_t{1});
  EXPECT_EQ(Parse(elf).status(), VdsoStatus::kFound);
  elf.Poke(at + 4, uint32_t{2});
  EXPECT_EQ(Parse(elf).status(), VdsoStatus::kCorrupt);
}

TEST(VdsoSymbolTest, VersionIsWhatTheTablesSay) {
  ElfImage elf = BuildElf(Typical());
  Parse(elf).ForEachSymbol([&](const VdsoSymbol& symbol) {
    EXPECT_EQ(symbol.hidden, String(symbol.name) == "old");
  });
  // The second definition borrows the third one's name.
  elf.Poke(elf.at["verdef"] + 28 + 12, uint32_t{28 + 20});
  std::set<std::string> versions;
  Parse(elf).ForEachSymbol([&](const VdsoSymbol& symbol) {
    versions.insert(String(symbol.version));
  });
  EXPECT_EQ(versions.size(), 2u) << "one, and none";
  // Version 0: local.
  for (size_t i = 0; i <= Typical().symbols.size(); ++i) {
    elf.Poke(elf.at["versym"] + 2 * i, uint16_t{0x8000});
  }
  EXPECT_TRUE(NamesOf(Parse(elf)).empty());
}

TEST(VdsoSymbolTest, CyclesInHashChainsDoNoHarm) {
  ElfSpec spec = Typical();
  spec.gnu_hash = false;
  ElfImage elf = BuildElf(spec);
  for (size_t i = 0; i <= spec.symbols.size(); ++i) {
    elf.Poke(elf.at["hash_chains"] + 4 * i, static_cast<uint32_t>(i));
  }
  EXPECT_EQ(NamesOf(Parse(elf)), kTypicalNames);
  EXPECT_EQ(Parse(elf).Find("x", nullptr).status, VdsoStatus::kNoSuchSymbol);
}

TEST(VdsoSymbolTest, GnuChainWithoutAnEndIsCorrupt) {
  ElfSpec spec = Typical();
  spec.hash = false;
  ElfImage elf = BuildElf(spec);
  for (size_t at = elf.at["gnu_chains"]; at < elf.at["dynamic"]; at += 4) {
    elf.Poke(at, uint32_t{2});  // an end would be odd
  }
  EXPECT_EQ(Parse(elf).status(), VdsoStatus::kCorrupt);
}

TEST(VdsoSymbolTest, VersionDefinitionsThatMakeNoProgressEnd) {
  for (uint32_t next : {1u, 19u, 20u, 0x7fffffffu, ~0u}) {
    ElfImage elf = BuildElf(Typical());
    elf.Poke(elf.at["verdef"] + 16, next);  // the base version's vd_next
    EXPECT_EQ(Parse(elf).Find("__vdso_time", "LINUX_2.6").status,
              VdsoStatus::kNoSuchVersion)
        << next;
    EXPECT_EQ(Parse(elf).Find("bare", nullptr).status, VdsoStatus::kFound);
  }
}

TEST(VdsoSymbolTest, AnyAlignmentWillDo) {
  const ElfImage elf = BuildElf(Typical());
  for (size_t shift = 0; shift < 16; ++shift) {
    std::vector<uint8_t> bytes(shift);
    bytes.insert(bytes.end(), elf.bytes.begin(), elf.bytes.end());
    EXPECT_EQ(NamesOf(VdsoImage(bytes.data() + shift, elf.bytes.size())),
              kTypicalNames);
  }
}

TEST(VdsoSymbolTest, OnlyTheFirst64KiBAreRead) {
  ElfImage elf = BuildElf(Typical());
  const size_t filesz = elf.at["load"] + offsetof(ElfW(Phdr), p_filesz);
  elf.bytes.resize(2 * VdsoImage::kLargestBytes);
  EXPECT_EQ(NamesOf(Parse(elf)), kTypicalNames);
  elf.Poke(filesz, uintptr_t{VdsoImage::kLargestBytes});
  EXPECT_EQ(Parse(elf).status(), VdsoStatus::kFound);
  elf.Poke(filesz, uintptr_t{VdsoImage::kLargestBytes + 1});
  EXPECT_EQ(Parse(elf).status(), VdsoStatus::kTruncated);
}

TEST(VdsoSymbolTest, VersionsBeyondTheLimitAreNotLookedUp) {
  ElfSpec spec;
  for (size_t i = 100; i < 400; ++i) {
    spec.symbols.push_back({.name = "f", .version = std::to_string(i)});
  }
  const ElfImage elf = BuildElf(spec);
  const VdsoImage image = Parse(elf);
  const auto status_of = [&](size_t version) {
    return image.Find("f", std::to_string(version).c_str()).status;
  };
  const size_t last = 100 + VdsoImage::kMostVersions - 2;  // after the base's
  EXPECT_EQ(status_of(100), VdsoStatus::kFound);
  EXPECT_EQ(status_of(last), VdsoStatus::kFound);
  EXPECT_EQ(status_of(last + 1), VdsoStatus::kNoSuchVersion);
}

// Half of the defects fall among the headers and tables, where they matter.
void Corrupt(const ElfImage& intact, size_t tables, size_t images,
             uint64_t seed) {
  std::mt19937_64 random(seed);
  GuardedMemory memory(intact.bytes.size());
  const auto below = [&](size_t bound) {
    return static_cast<size_t>(random() % bound);
  };
  size_t usable = 0;
  for (size_t i = 0; i < images; ++i) {
    std::vector<uint8_t> bytes = intact.bytes;
    const size_t defects = i % 2 == 0 ? 1 : 1 + below(8);
    for (size_t n = 0; n < defects; ++n) {
      const size_t at = below(below(2) == 0 ? tables : bytes.size());
      const uint8_t kinds[] = {0,
                               0xff,
                               0x7f,
                               0x80,
                               static_cast<uint8_t>(bytes[at] ^ 1u << below(8)),
                               static_cast<uint8_t>(random())};
      bytes[at] = kinds[below(std::size(kinds))];
    }
    const uint8_t* copy = memory.Hold(bytes, bytes.size());
    ASSERT_NO_FATAL_FAILURE(Exercise(copy, bytes.size())) << "image " << i;
    usable += VdsoImage(copy, bytes.size()).status() == VdsoStatus::kFound;
  }
  EXPECT_GT(usable, images / 10) << "too few images got past the header";
  EXPECT_LT(usable, images) << "no image was corrupted enough to be refused";
}

TEST(VdsoSymbolTest, CorruptLiveImagesAreHarmless) {
  SKIP_WITHOUT_VDSO();
  const ElfImage live = {.bytes = LiveBytes()};
  Corrupt(live, 0x600, 40'000, 1);
}

TEST(VdsoSymbolTest, CorruptSyntheticImagesAreHarmless) {
  for (size_t word : {size_t{4}, size_t{8}}) {
    for (int tables = 1; tables <= 3; ++tables) {
      ElfSpec spec = Typical(word);
      spec.hash = (tables & 1) != 0;
      spec.gnu_hash = (tables & 2) != 0;
      const ElfImage elf = BuildElf(spec);
      Corrupt(elf, elf.bytes.size(), 20'000, word);
    }
  }
}

}  // namespace
}  // namespace vvar::fallback
