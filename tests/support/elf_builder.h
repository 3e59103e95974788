// SPDX-License-Identifier: MIT
//
// Builds small vDSO-like ELF images, of either class, in memory: for tests of
// fallback/vdso_symbol.h only. Everything it builds is valid; tests spoil the
// bytes themselves, at the offsets it reports. It shares nothing with the
// parser it tests.
#ifndef VVAR_TESTS_SUPPORT_ELF_BUILDER_H_
#define VVAR_TESTS_SUPPORT_ELF_BUILDER_H_

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <algorithm>
#include <map>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

namespace vvar::testing {

struct ElfSymbol {
  std::string name;
  std::string version = "";  // empty: unversioned
  bool hidden = false;
  uint8_t info = 0x12;  // GLOBAL FUNC
  uint16_t section = 1;
  uint64_t value = 0;  // offset from the link address
};

struct ElfSpec {
  size_t word = sizeof(void*);
  uint16_t machine = 62;
  uint64_t link_address = 0;
  bool hash = true;
  bool gnu_hash = true;
  bool versions = true;
  bool second_load = false;  // a PT_LOAD more, that holds nothing
  size_t hash_word = 4;      // 8 on s390x
  std::vector<ElfSymbol> symbols = {};
};

struct ElfImage {
  std::vector<uint8_t> bytes;
  std::map<std::string, size_t> at =
      {};  // each table's offset; "end": its size
  std::map<uint64_t, size_t> tag_at = {};  // each dynamic entry's offset

  // Overwrites a native-endian field.
  template <typename Field>
  void Poke(size_t offset, Field value) {
    memcpy(bytes.data() + offset, &value, sizeof(value));
  }
};

class ElfBuilder {
 public:
  explicit ElfBuilder(const ElfSpec& spec) : spec_(spec) {}

  ElfImage Build() {
    SortByBucket();
    const size_t ehdr = spec_.word == 8 ? 64 : 52;
    const size_t phdr = spec_.word == 8 ? 56 : 32;
    const uint16_t phdrs = spec_.second_load ? 3 : 2;
    image_.bytes.resize(ehdr + phdrs * phdr);
    if (spec_.hash) EmitHash();
    if (spec_.gnu_hash) EmitGnuHash();
    EmitSymbols();
    if (spec_.versions) EmitVersions();
    Begin("strings");
    for (char c : strings_) Put(c);
    image_.at["strings_end"] = image_.bytes.size();
    EmitDynamic();
    Begin("text");
    image_.bytes.resize(image_.bytes.size() + 64, 0xcc);
    image_.at["end"] = image_.bytes.size();
    EmitHeaders(ehdr, phdr, phdrs);
    return std::move(image_);
  }

 private:
  static constexpr uint32_t kBuckets = 3;

  void Begin(const std::string& name) {
    while (image_.bytes.size() % 8 != 0) image_.bytes.push_back(0);
    image_.at[name] = image_.bytes.size();
  }
  template <typename Field>
  void Put(Field value) {
    const size_t at = image_.bytes.size();
    image_.bytes.resize(at + sizeof(value));
    image_.Poke(at, value);
  }
  void PutWord(uint64_t value, size_t word) {
    word == 8 ? Put(value) : Put(static_cast<uint32_t>(value));
  }
  uint32_t String(const std::string& text) {
    const size_t at = strings_.size();
    strings_ += text;
    strings_ += '\0';
    return static_cast<uint32_t>(at);
  }

  // Source: System V gABI, "Hash Table"; binutils' description of DT_GNU_HASH.
  static uint32_t SysvHash(const std::string& name) {
    uint32_t hash = 0;
    for (char c : name) {
      hash = (hash << 4) + static_cast<uint8_t>(c);
      hash = (hash ^ ((hash & 0xf0000000) >> 24)) & 0x0fffffff;
    }
    return hash;
  }
  static uint32_t GnuHash(const std::string& name) {
    uint32_t hash = 5381;
    for (char c : name) hash = hash * 33 + static_cast<uint8_t>(c);
    return hash;
  }

  void SortByBucket() {
    const auto key = [](const ElfSymbol& symbol) {
      return std::make_tuple(GnuHash(symbol.name) % kBuckets, symbol.name,
                             symbol.version);
    };
    std::sort(spec_.symbols.begin(), spec_.symbols.end(),
              [&](const ElfSymbol& a, const ElfSymbol& b) {
                return key(a) < key(b);
              });
  }

  void EmitHash() {
    Begin("hash");
    const size_t count = spec_.symbols.size() + 1;
    std::vector<uint64_t> buckets(kBuckets), chains(count);
    for (size_t i = 1; i < count; ++i) {
      uint64_t& bucket =
          buckets[SysvHash(spec_.symbols[i - 1].name) % kBuckets];
      chains[i] = std::exchange(bucket, i);
    }
    PutWord(kBuckets, spec_.hash_word);
    PutWord(count, spec_.hash_word);
    for (uint64_t bucket : buckets) PutWord(bucket, spec_.hash_word);
    image_.at["hash_chains"] = image_.bytes.size();
    for (uint64_t chain : chains) PutWord(chain, spec_.hash_word);
  }

  void EmitGnuHash() {
    Begin("gnu_hash");
    Put(kBuckets);
    Put(uint32_t{1});  // first symbol
    Put(uint32_t{1});  // Bloom words
    Put(uint32_t{6});
    PutWord(~uint64_t{0}, spec_.word);
    std::vector<uint32_t> buckets(kBuckets), chains;
    for (size_t i = 0; i < spec_.symbols.size(); ++i) {
      const uint32_t hash = GnuHash(spec_.symbols[i].name);
      uint32_t& bucket = buckets[hash % kBuckets];
      if (bucket == 0) {
        bucket = static_cast<uint32_t>(i + 1);
        if (!chains.empty()) chains.back() |= 1;
      }
      chains.push_back(hash & ~1u);
    }
    if (!chains.empty()) chains.back() |= 1;
    for (uint32_t bucket : buckets) Put(bucket);
    image_.at["gnu_chains"] = image_.bytes.size();
    for (uint32_t chain : chains) Put(chain);
  }

  void EmitSymbols() {
    Begin("symbols");
    PutSymbol(0, {.name = "", .info = 0, .section = 0}, 0);
    for (const ElfSymbol& symbol : spec_.symbols) {
      PutSymbol(String(symbol.name), symbol, spec_.link_address + symbol.value);
    }
  }
  void PutSymbol(uint32_t name, const ElfSymbol& symbol, uint64_t value) {
    Put(name);
    if (spec_.word == 4) {
      PutWord(value, 4);
      Put(uint32_t{16});  // size
    }
    Put(symbol.info);
    Put(uint8_t{0});
    Put(symbol.section);
    if (spec_.word == 8) {
      Put(value);
      Put(uint64_t{16});
    }
  }

  void EmitVersions() {
    std::vector<std::string> nodes = {"linux-vdso.so.1"};  // 1: the base
    Begin("versym");
    Put(uint16_t{0});
    for (const ElfSymbol& symbol : spec_.symbols) {
      auto node = nodes.begin();
      if (!symbol.version.empty()) {
        node = std::find(nodes.begin(), nodes.end(), symbol.version);
        if (node == nodes.end()) node = nodes.insert(node, symbol.version);
      }
      const auto index = static_cast<unsigned>(node - nodes.begin() + 1);
      Put(static_cast<uint16_t>(index | (symbol.hidden ? 0x8000u : 0u)));
    }
    Begin("verdef");
    for (size_t i = 0; i < nodes.size(); ++i) {
      Put(uint16_t{1});
      Put(static_cast<uint16_t>(i == 0));  // VER_FLG_BASE
      Put(static_cast<uint16_t>(i + 1));
      Put(uint16_t{1});
      Put(SysvHash(nodes[i]));
      Put(uint32_t{20});
      Put(uint32_t{i + 1 == nodes.size() ? 0u : 28u});
      Put(String(nodes[i]));
      Put(uint32_t{0});
    }
    version_nodes_ = nodes.size();
  }

  void EmitDynamic() {
    Begin("dynamic");
    const std::pair<const char*, uint64_t> tables[] = {
        {"hash", 4},    {"gnu_hash", 0x6ffffef5}, {"strings", 5},
        {"symbols", 6}, {"versym", 0x6ffffff0},   {"verdef", 0x6ffffffc}};
    for (const auto& [name, tag] : tables) {
      if (image_.at.count(name) == 0) continue;
      PutDynamic(tag, spec_.link_address + image_.at[name]);
    }
    PutDynamic(10, strings_.size());
    PutDynamic(11, spec_.word == 8 ? 24 : 16);
    if (version_nodes_ != 0) PutDynamic(0x6ffffffd, version_nodes_);
    PutDynamic(0, 0);
    dynamic_bytes_ = image_.bytes.size() - image_.at["dynamic"];
  }
  void PutDynamic(uint64_t tag, uint64_t value) {
    image_.tag_at[tag] = image_.bytes.size();
    PutWord(tag, spec_.word);
    PutWord(value, spec_.word);
  }

  void EmitHeaders(size_t ehdr, size_t phdr, uint16_t phdrs) {
    const std::vector<uint8_t> rest(image_.bytes.data() + ehdr + phdrs * phdr,
                                    image_.bytes.data() + image_.bytes.size());
    image_.bytes.clear();
    const uint16_t one = 1;
    uint8_t little;
    memcpy(&little, &one, 1);
    for (char c : {'\x7f', 'E', 'L', 'F'}) Put(c);
    Put(static_cast<uint8_t>(spec_.word / 4));
    Put(static_cast<uint8_t>(little == 1 ? 1 : 2));
    Put(uint8_t{1});
    image_.bytes.resize(16);
    Put(uint16_t{3});  // ET_DYN
    Put(spec_.machine);
    Put(uint32_t{1});
    PutWord(0, spec_.word);     // entry
    PutWord(ehdr, spec_.word);  // program headers
    PutWord(0, spec_.word);     // section headers
    Put(uint32_t{0});
    Put(static_cast<uint16_t>(ehdr));
    Put(static_cast<uint16_t>(phdr));
    Put(phdrs);
    image_.bytes.resize(ehdr);
    PutSegment("load", 1, 0, image_.at["end"]);
    PutSegment("dynamic_header", 2, image_.at["dynamic"], dynamic_bytes_);
    if (spec_.second_load) PutSegment("second_load", 1, 0, 1);
    image_.bytes.insert(image_.bytes.end(), rest.begin(), rest.end());
  }
  void PutSegment(const char* name, uint32_t type, uint64_t offset,
                  uint64_t bytes) {
    image_.at[name] = image_.bytes.size();
    Put(type);
    if (spec_.word == 8) Put(uint32_t{5});  // r-x
    PutWord(offset, spec_.word);
    PutWord(spec_.link_address + offset, spec_.word);
    PutWord(spec_.link_address + offset, spec_.word);
    PutWord(bytes, spec_.word);
    PutWord(bytes, spec_.word);
    if (spec_.word == 4) Put(uint32_t{5});
    PutWord(8, spec_.word);
  }

  ElfSpec spec_;
  ElfImage image_;
  std::string strings_ = std::string(1, '\0');
  size_t version_nodes_ = 0;
  uint64_t dynamic_bytes_ = 0;
};

inline ElfImage BuildElf(const ElfSpec& spec) {
  return ElfBuilder(spec).Build();
}

}  // namespace vvar::testing

#endif  // VVAR_TESTS_SUPPORT_ELF_BUILDER_H_
