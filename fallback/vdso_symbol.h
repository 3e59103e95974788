// SPDX-License-Identifier: MIT
//
// Versioned symbol lookup in a vDSO image, from its bytes alone: ELF32 and
// ELF64, with DT_HASH, DT_GNU_HASH or both. Freestanding; anyone may include
// it. No byte is trusted: an image can make the answer wrong, never make the
// lookup crash, hang or read outside. Must never contain a libc call, an
// allocation, an architecture #if, or a structure laid over the image.
#ifndef VVAR_FALLBACK_VDSO_SYMBOL_H_
#define VVAR_FALLBACK_VDSO_SYMBOL_H_

#include <stddef.h>
#include <stdint.h>

namespace vvar::fallback {

/// Why a name has an address or has none.
enum class VdsoStatus : uint8_t {
  kFound,          ///< Also: the image as a whole is usable.
  kNotElf,         ///< No image, no ELF magic, or not a shared object.
  kWrongClass,     ///< Neither ELF32 nor ELF64; or not this process's class.
  kWrongEndian,    ///< Not this process's byte order.
  kWrongMachine,   ///< A machine that VdsoNamingOf() does not know.
  kTruncated,      ///< The headers or the segment end past the size limit.
  kNoDynamic,      ///< No PT_LOAD or no PT_DYNAMIC: nothing to look up by.
  kNoSymbolTable,  ///< DT_SYMTAB or DT_STRTAB is absent.
  kNoHash,         ///< DT_HASH and DT_GNU_HASH are both absent.
  kCorrupt,        ///< A table is not inside the segment, or has no end.
  kNoSuchSymbol,   ///< Not exported, or undefined here, or not a function.
  kNoSuchVersion,  ///< Exported, but not with this version.
};

/// Where a function is.
struct [[nodiscard]] VdsoLookup {
  VdsoStatus status;
  uintptr_t address;  ///< In this process's memory; 0 unless found.
};

/// Characters inside the image; do not count on a NUL after them.
struct VdsoText {
  const char* data;  ///< Lives as long as the image.
  size_t size;
};

/// A function that an image exports.
struct VdsoSymbol {
  VdsoText name;      ///< Without the version.
  VdsoText version;   ///< Empty: unversioned.
  bool hidden;        ///< To be had by naming its version only.
  uint64_t value;     ///< st_value, as linked.
  uintptr_t address;  ///< In this process's memory.
};

/// An image's tables, found and checked once. It refers to the image's bytes.
/// Source: System V gABI, chapters 4 and 5; LSB Core, "Symbol Versioning". The
/// offset of a field is written a + b * word_: a bytes of fixed width and b
/// addresses (of 4 bytes in ELF32, 8 in ELF64) are before it.
class VdsoImage {
 public:
  /// @{
  /// No Linux vDSO has more; these bound the work a hostile image can cause.
  static constexpr uint64_t kLargestBytes = 64 * 1024;
  static constexpr size_t kLongestName = 255, kMostVersions = 64;
  /// @}

  /// Reads the image in [base, base + size_limit), at most kLargestBytes of it,
  /// at any alignment. Not promised: that functions in a copy can be called.
  /// Progress: bounded by kLargestBytes. Context: any.
  VdsoImage(const void* base, uint64_t size_limit)
      : bytes_(static_cast<const unsigned char*>(base)),
        size_(size_limit < kLargestBytes ? size_limit : kLargestBytes),
        status_(ReadHeader()) {}

  /// Reads the live image at AT_SYSINFO_EHDR's value, where 0 means none.
  /// Trust: memory does not tell an image's size, so the end of PT_LOAD, found
  /// in the first page, is believed to be mapped. Only a kernel's word deserves
  /// that.
  [[nodiscard]] static VdsoImage FromMappedByKernel(uintptr_t ehdr) {
    const void* base = reinterpret_cast<const void*>(ehdr);
    const uint64_t page = ehdr == 0 ? 0 : 4096;  // the smallest there is
    const uint64_t end = VdsoImage(base, page).SegmentEnd();
    return VdsoImage(base, end > page ? end : page);
  }

  /// kFound, or why Find() finds nothing.
  [[nodiscard]] VdsoStatus status() const { return status_; }
  /// ELF's e_machine; 0 if unreadable.
  [[nodiscard]] uint64_t machine() const { return machine_; }
  /// Those of an address, 4 or 8; 0 if unreadable.
  [[nodiscard]] uint64_t word_bytes() const { return word_; }

  /// Finds the exported function whose name is `prefix` followed by `name`.
  /// With a version it must have just that one, unless the image defines no
  /// versions; with nullptr, any version but a hidden one will do.
  /// Progress: bounded by kLargestBytes / 16 symbols. Context: any.
  [[nodiscard]] VdsoLookup Find(const char* name, const char* version,
                                const char* prefix = "") const {
    VdsoLookup found = {status_, 0};
    if (status_ == VdsoStatus::kFound) found.status = VdsoStatus::kNoSuchSymbol;
    ForEachSymbol([&](const VdsoSymbol& symbol) {
      if (found.address != 0 || !TextIs(symbol.name, prefix, name)) return;
      const bool any = version == nullptr ? !symbol.hidden : definitions_ == 0;
      const bool same = version != nullptr && TextIs(symbol.version, version);
      found.status = VdsoStatus::kNoSuchVersion;
      if (any || same) found = {VdsoStatus::kFound, symbol.address};
    });
    return found;
  }

  /// Calls visit(const VdsoSymbol&) for each exported function, in table order.
  /// Progress: as Find. Context: any that `visit` allows.
  template <typename Visitor>
  void ForEachSymbol(Visitor&& visit) const {
    for (uint64_t i = 0; i < symbol_count_; ++i) {
      VdsoSymbol symbol;
      if (ReadExported(i, &symbol)) visit(symbol);
    }
  }

 private:
  static constexpr uint64_t kNowhere = ~uint64_t{0}, kVerdefBytes = 20;
  static constexpr bool kLittle = __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__;
  bool Inside(uint64_t at, uint64_t bytes) const {
    return at <= size_ && bytes <= size_ - at;
  }

  // Reads a native-endian field, byte by byte. One that is not wholly inside
  // the image reads as 0, which every ELF field used here takes for "nothing".
  uint64_t Read(uint64_t at, uint64_t bytes) const {
    if (!Inside(at, bytes)) return 0;
    uint64_t value = 0;
    for (uint64_t i = 0; i < bytes; ++i) {
      // Bound: bytes <= 8, hence at most 8 shifts by 8 of what began as 0.
      value = value << 8 | bytes_[at + (kLittle ? bytes - 1 - i : i)];
    }
    return value;
  }

  // The image may be linked anywhere. kNowhere: not an address inside it.
  uint64_t OffsetOf(uint64_t vaddr) const {
    const uint64_t distance = vaddr - segment_vaddr_;  // huge when below
    return distance < segment_bytes_ ? segment_offset_ + distance : kNowhere;
  }
  uint64_t SegmentEnd() const { return segment_offset_ + segment_bytes_; }

  VdsoStatus ReadHeader() {
    const uint64_t magic = kLittle ? 0x464c457f : 0x7f454c46;  // 0x7f "ELF"
    if (Read(0, 4) != magic) return VdsoStatus::kNotElf;
    const uint64_t elf_class = Read(4, 1);
    if (elf_class != 1 && elf_class != 2) return VdsoStatus::kWrongClass;
    if (Read(5, 1) != (kLittle ? 1 : 2)) return VdsoStatus::kWrongEndian;
    word_ = elf_class * 4;
    if (!Inside(0, 40 + 3 * word_)) return VdsoStatus::kTruncated;
    if (Read(16, 2) != 3) return VdsoStatus::kNotElf;  // e_type: not ET_DYN
    machine_ = Read(18, 2);
    return ReadSegments();
  }

  // Takes the first PT_LOAD: a vDSO has one, as it is mapped and not loaded.
  VdsoStatus ReadSegments() {
    const uint64_t table = Read(24 + word_, word_);   // e_phoff
    const uint64_t count = Read(32 + 3 * word_, 2);   // e_phnum
    const uint64_t header = Read(30 + 3 * word_, 2);  // e_phentsize
    if (header != 8 + 6 * word_) return VdsoStatus::kCorrupt;
    // Bound: count * header < 2^16 * 56.
    if (!Inside(table, count * header)) return VdsoStatus::kTruncated;
    uint64_t load = 0, dynamic = 0;
    for (uint64_t at = table; at < table + count * header; at += header) {
      const uint64_t type = Read(at, 4);
      if (type == 1 && load == 0) load = at;  // PT_LOAD
      if (type == 2) dynamic = at;            // PT_DYNAMIC
    }
    if (load == 0 || dynamic == 0) return VdsoStatus::kNoDynamic;
    segment_offset_ = Read(load + word_, word_);
    segment_vaddr_ = Read(load + 2 * word_, word_);
    segment_bytes_ = Read(load + 4 * word_, word_);  // p_filesz
    if (!Inside(segment_offset_, segment_bytes_)) return VdsoStatus::kTruncated;
    size_ = SegmentEnd();
    return ReadDynamic(OffsetOf(Read(dynamic + 2 * word_, word_)),
                       Read(dynamic + 4 * word_, word_));
  }

  VdsoStatus ReadDynamic(uint64_t at, uint64_t bytes) {
    uint64_t hash = 0, gnu = 0;
    if (!Inside(at, bytes)) return VdsoStatus::kCorrupt;
    for (; bytes >= 2 * word_; at += 2 * word_, bytes -= 2 * word_) {
      const uint64_t tag = Read(at, word_), value = Read(at + word_, word_);
      if (tag == 0) break;                                    // DT_NULL
      if (tag == 4) hash = OffsetOf(value);                   // DT_HASH
      if (tag == 5) strings_ = OffsetOf(value);               // DT_STRTAB
      if (tag == 6) symbols_ = OffsetOf(value);               // DT_SYMTAB
      if (tag == 10) strings_bytes_ = value;                  // DT_STRSZ
      if (tag == 0x6ffffef5) gnu = OffsetOf(value);           // DT_GNU_HASH
      if (tag == 0x6ffffff0) versions_ = OffsetOf(value);     // DT_VERSYM
      if (tag == 0x6ffffffc) definitions_ = OffsetOf(value);  // DT_VERDEF
    }
    if (symbols_ == 0 || strings_ == 0) return VdsoStatus::kNoSymbolTable;
    if (hash == 0 && gnu == 0) return VdsoStatus::kNoHash;
    const uint64_t count = gnu != 0 ? CountByGnuHash(gnu) : CountByHash(hash);
    // Bound: count is kNowhere or < 2^33. Absent version tables, at 0, pass.
    if (count == kNowhere || !Inside(symbols_, count * (8 + 2 * word_)) ||
        !Inside(strings_, strings_bytes_) || !Inside(versions_, count * 2) ||
        !Inside(definitions_, kVerdefBytes)) {
      return VdsoStatus::kCorrupt;
    }
    symbol_count_ = count;
    return VdsoStatus::kFound;
  }

  // The hash tables only tell how many symbols there are: for a dozen names a
  // linear search will do, and then no hash chain can be a cycle.
  uint64_t CountByHash(uint64_t at) const {
    // Source: glibc, sysdeps/s390/s390-64/bits/elfclass.h: in s390x images
    // (machine 22) these are 64-bit words.
    const uint64_t word = machine_ == 22 ? word_ : 4;
    const uint64_t buckets = Read(at, word), chains = Read(at + word, word);
    if (chains > size_ || buckets > size_) return kNowhere;
    // Bound: (2 + 2^17) * 8.
    return Inside(at, (2 + buckets + chains) * word) ? chains : kNowhere;
  }

  // Header {buckets, first symbol, Bloom words, Bloom shift}, Bloom filter,
  // buckets, chains; the last symbol ends the chain of the highest bucket.
  uint64_t CountByGnuHash(uint64_t at) const {
    const uint64_t bucket_count = Read(at, 4), first = Read(at + 4, 4);
    // Bound: 16 + 2^32 * 8 + 2^32 * 4 < 2^36.
    const uint64_t buckets = 16 + Read(at + 8, 4) * word_;
    const uint64_t chains = buckets + bucket_count * 4;
    if (!Inside(at, chains)) return kNowhere;
    uint64_t last = 0;
    for (uint64_t i = 0; i < bucket_count; ++i) {
      const uint64_t symbol = Read(at + buckets + i * 4, 4);
      if (symbol > last) last = symbol;
    }
    if (last < first) return last == 0 ? 0 : kNowhere;
    uint64_t chain = at + chains + (last - first) * 4;
    for (; Inside(chain, 4); chain += 4, ++last) {
      if ((Read(chain, 4) & 1) != 0) return last + 1;
    }
    return kNowhere;
  }

  // Exported: a function (FUNC, or a hand-written NOTYPE), GLOBAL or WEAK, in a
  // section (not SHN_UNDEF, not SHN_ABS), not of version 0 (local), named.
  bool ReadExported(uint64_t index, VdsoSymbol* symbol) const {
    const uint64_t at = symbols_ + index * (8 + 2 * word_);
    const uint64_t info_at = at + (word_ == 8 ? 4 : 12);  // after st_size in 32
    const uint64_t info = Read(info_at, 1), section = Read(info_at + 2, 2);
    const uint64_t type = info & 15, binding = info >> 4;
    const uint64_t versym = versions_ == 0 ? 1 : Read(versions_ + index * 2, 2);
    symbol->value = Read(at + word_, word_);
    const uint64_t offset = OffsetOf(symbol->value);
    if ((type != 0 && type != 2) || (binding != 1 && binding != 2) ||
        section == 0 || section == 0xfff1 || (versym & 0x7fff) == 0 ||
        offset == kNowhere) {
      return false;
    }
    symbol->name = Text(Read(at, 4));
    symbol->version = VersionName(versym & 0x7fff);
    symbol->hidden = (versym & 0x8000) != 0;
    symbol->address = reinterpret_cast<uintptr_t>(bytes_ + offset);
    return symbol->name.size != 0;
  }

  // Empty for 1 (global), and for an index that no definition has.
  VdsoText VersionName(uint64_t index) const {
    uint64_t at = index < 2 || definitions_ == 0 ? kNowhere : definitions_;
    for (size_t n = 0; n < kMostVersions && Inside(at, kVerdefBytes); ++n) {
      if (Read(at + 4, 2) == index) {                 // vd_ndx
        return Text(Read(at + Read(at + 12, 4), 4));  // vd_aux -> vda_name
      }
      const uint64_t next = Read(at + 16, 4);  // vd_next
      at = next == 0 ? kNowhere : at + next;
    }
    return {};
  }

  // Empty unless a NUL ends it within kLongestName.
  VdsoText Text(uint64_t at) const {
    for (size_t n = 0; n <= kLongestName && at + n < strings_bytes_; ++n) {
      if (Read(strings_ + at + n, 1) != 0) continue;
      return {reinterpret_cast<const char*>(bytes_ + strings_ + at), n};
    }
    return {};
  }

  static bool TextIs(VdsoText text, const char* head, const char* tail = "") {
    for (size_t i = 0; i < text.size; ++i) {
      const char*& expected = *head != 0 ? head : tail;
      if (text.data[i] != *expected) return false;
      ++expected;
    }
    return *head == 0 && *tail == 0;
  }

  const unsigned char* bytes_;
  uint64_t size_;  // as given; then the end of PT_LOAD
  uint64_t word_ = 0, machine_ = 0;
  uint64_t segment_vaddr_ = 0, segment_offset_ = 0, segment_bytes_ = 0;
  uint64_t strings_ = 0, strings_bytes_ = 0, symbols_ = 0, symbol_count_ = 0;
  uint64_t versions_ = 0, definitions_ = 0;  // 0: absent
  VdsoStatus status_;                        // last: its initialiser sets those
};

}  // namespace vvar::fallback

#endif  // VVAR_FALLBACK_VDSO_SYMBOL_H_
