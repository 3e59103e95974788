// SPDX-License-Identifier: MIT
//
// The only file with memory ordering: word access to a live page, the four
// steps of a sequence counter, and Seqlock<T>, the plain one-slot seqlock.
// Freestanding core. It knows no time and no counter; the counter's place in
// the order is clocks/*'s. Proof obligations: docs/memory_model.md.
#ifndef VVAR_SEQCOUNT_H_
#define VVAR_SEQCOUNT_H_

#include <stddef.h>
#include <stdint.h>

namespace vvar {

/// A value of a sequence counter: exactly its width, end to end. seq >> 1
/// counts publications; odd while one is under way; wraps harmlessly.
using SeqToken = uint32_t;

/// Access to the words of a live page: each load and store happens once, whole
/// per word, and is a data race for nobody. 64-bit words are two halves where
/// pointers have 32 bits; the sequence holds them together. Readers only load,
/// so a read-only mapping serves them. Tests and models supply their own.
struct PageMemory {
  /// @{
  /// Loads one word. Ordering: relaxed.
  static uint8_t Load(const uint8_t& word) {
    return __atomic_load_n(&word, __ATOMIC_RELAXED);
  }
  static uint16_t Load(const uint16_t& word) {
    return __atomic_load_n(&word, __ATOMIC_RELAXED);
  }
  static uint32_t Load(const uint32_t& word) {
    return __atomic_load_n(&word, __ATOMIC_RELAXED);
  }
  static int32_t Load(const int32_t& word) {
    return __atomic_load_n(&word, __ATOMIC_RELAXED);
  }
  static uint64_t Load(const uint64_t& word) {
    if constexpr (sizeof(void*) == 8) {
      return __atomic_load_n(&word, __ATOMIC_RELAXED);
    } else {
      const auto* half = reinterpret_cast<const HalfWord*>(&word);
      const uint64_t first = __atomic_load_n(&half[0], __ATOMIC_RELAXED);
      const uint64_t second = __atomic_load_n(&half[1], __ATOMIC_RELAXED);
      return kLittleEndian ? first | second << 32 : first << 32 | second;
    }
  }
  static int64_t Load(const int64_t& word) {
    return static_cast<int64_t>(Load(reinterpret_cast<const uint64_t&>(word)));
  }
  /// @}

  /// @{
  /// Stores one word. Ordering: relaxed.
  static void Store(uint8_t& word, uint8_t value) {
    __atomic_store_n(&word, value, __ATOMIC_RELAXED);
  }
  static void Store(uint16_t& word, uint16_t value) {
    __atomic_store_n(&word, value, __ATOMIC_RELAXED);
  }
  static void Store(uint32_t& word, uint32_t value) {
    __atomic_store_n(&word, value, __ATOMIC_RELAXED);
  }
  static void Store(int32_t& word, int32_t value) {
    __atomic_store_n(&word, value, __ATOMIC_RELAXED);
  }
  static void Store(uint64_t& word, uint64_t value) {
    if constexpr (sizeof(void*) == 8) {
      __atomic_store_n(&word, value, __ATOMIC_RELAXED);
    } else {
      auto* half = reinterpret_cast<HalfWord*>(&word);
      const auto low = static_cast<uint32_t>(value);
      const auto high = static_cast<uint32_t>(value >> 32);
      __atomic_store_n(&half[0], kLittleEndian ? low : high, __ATOMIC_RELAXED);
      __atomic_store_n(&half[1], kLittleEndian ? high : low, __ATOMIC_RELAXED);
    }
  }
  static void Store(int64_t& word, int64_t value) {
    Store(reinterpret_cast<uint64_t&>(word), static_cast<uint64_t>(value));
  }
  /// @}

  /// Ordering: later loads may not pass this load.
  static uint32_t LoadAcquire(const uint32_t& word) {
    return __atomic_load_n(&word, __ATOMIC_ACQUIRE);
  }
  /// Ordering: earlier loads and stores may not pass this store.
  static void StoreRelease(uint32_t& word, uint32_t value) {
    __atomic_store_n(&word, value, __ATOMIC_RELEASE);
  }
  /// Ordering: loads before it may not pass loads and stores after it.
  static void FenceAcquire() { __atomic_thread_fence(__ATOMIC_ACQUIRE); }
  /// Ordering: loads and stores before it may not pass stores after it.
  static void FenceRelease() { __atomic_thread_fence(__ATOMIC_RELEASE); }

 private:
  using HalfWord [[gnu::may_alias]] = uint32_t;
  static constexpr bool kLittleEndian =
      __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__;
};

/// [R:begin] Starts a read.
/// Ordering: no later load of the page may pass this one, so the line and the
/// counter belong to the publication `seq >> 1` or a later one.
template <class Memory>
SeqToken ReadBegin(const uint32_t& seq) {
  return Memory::LoadAcquire(seq);
}

/// [R:end] Ends a read; compare the result with ReadBegin()'s.
/// Ordering: the fence keeps the loads before it from sinking below the
/// re-load. An acquire *load* here would not: it orders only what follows.
template <class Memory>
SeqToken ReadEnd(const uint32_t& seq) {
  Memory::FenceAcquire();
  return Memory::Load(seq);
}

/// [W:open] Announces that words are about to change; returns the odd value.
/// From an odd value, which a dead writer left, it stays there: counting on
/// would make seq even during the rewrite.
/// Ordering: the fence stands after the odd store and before the first word,
/// so whoever sees a new word sees odd. A release store alone would not do: it
/// orders only what precedes it. It is one for readers that begin on odd, and
/// use the line before: since C++20 this store ends the release sequence of the
/// last [W:close] (coherence keeps it on every CPU).
/// Context: the one writer.
template <class Memory>
SeqToken WriteOpen(uint32_t& seq) {
  const SeqToken odd = Memory::Load(seq) | 1;
  Memory::StoreRelease(seq, odd);
  Memory::FenceRelease();
  return odd;
}

/// [W:close] Publishes the words stored since WriteOpen() returned `odd`.
/// Ordering: release; whoever sees even sees all the words.
/// Context: the one writer.
template <class Memory>
void WriteClose(uint32_t& seq, SeqToken odd) {
  Memory::StoreRelease(seq, odd + 1);
}

/// The plain one-slot seqlock, for an embedder's own payloads, and the baseline
/// of every benchmark. Sound on every ISA and race-free in C++.
///
/// What it cannot promise: a reader that meets an update under way has to come
/// back later (TryLoad() gives up after `tries`), for ever if the writer was
/// killed there; and time computed from it may step back when a slope drops and
/// the counter was sampled before the update. The dated latch (vvar/latch.h)
/// has neither defect.
template <class T, class Memory = PageMemory>
class Seqlock {
  static_assert(__is_trivially_copyable(T), "copied word by word");
  static_assert(sizeof(T) % 4 == 0 && alignof(T) >= 4,
                "made of 32-bit words: pad it");

 public:
  /// Replaces the payload. Context: one writer at a time.
  void Store(const T& value) {
    const auto* from = reinterpret_cast<const Word*>(&value);
    const SeqToken odd = WriteOpen<Memory>(seq_);
    for (size_t i = 0; i < kWords; ++i) Memory::Store(words_[i], from[i]);
    WriteClose<Memory>(seq_, odd);
  }

  /// Copies the payload to `*value`. Error: false, and `*value` is a mixture,
  /// if each of `tries` tries met an update.
  /// Progress: bounded by `tries`. Context: any; never writes the lock.
  [[nodiscard]] bool TryLoad(T* value, uint32_t tries) const {
    auto* to = reinterpret_cast<Word*>(value);
    for (; tries != 0; --tries) {
      const SeqToken seq = ReadBegin<Memory>(seq_);
      for (size_t i = 0; i < kWords; ++i) to[i] = Memory::Load(words_[i]);
      if (ReadEnd<Memory>(seq_) == seq && (seq & 1) == 0) return true;
    }
    return false;
  }

 private:
  using Word [[gnu::may_alias]] = uint32_t;
  static constexpr size_t kWords = sizeof(T) / 4;
  uint32_t seq_ = 0;
  uint32_t words_[kWords] = {};
};

}  // namespace vvar

#endif  // VVAR_SEQCOUNT_H_
