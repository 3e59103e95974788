// SPDX-License-Identifier: MIT
//
// What the foreign clock pages have in common: words that are little-endian on
// every machine, the one loop that reads under a sequence, what a read comes
// to, and a page as a ClockSource. Freestanding; knows no format. Such a page
// is hostile: whatever its bytes, a read ends and each field is loaded once.
#ifndef VVAR_PARAVIRT_FOREIGN_PAGE_H_
#define VVAR_PARAVIRT_FOREIGN_PAGE_H_

#include <stdint.h>

#include "vvar/clocksource.h"
#include "vvar/seqcount.h"

namespace vvar {

/// The outcome of one read of a foreign page. Only kOk comes with a time.
enum class ForeignStatus : uint32_t {
  kOk = 0,
  kBusy,          ///< Every try met an update; ask again or fall back.
  kAbsent,        ///< There is no page.
  kNotReady,      ///< Nothing has been published yet.
  kWithdrawn,     ///< Whoever writes it does not, or no longer, vouch for it.
  kUnreliable,    ///< Its time is not to be used.
  kMalformed,     ///< A field is outside its range.
  kWrongCounter,  ///< The page is for another counter than the reader's.
  kNoSuchTime,    ///< The page does not tell this kind of time.
};

/// A count in a page's unit: ns, or 100 ns. Holds only if ok().
struct ForeignCount {
  uint64_t count;  ///< Modulo 2^64.
  ForeignStatus status;
  /// False: `status` says why there is no count.
  constexpr bool ok() const { return status == ForeignStatus::kOk; }
};

/// Returns `word` with its bytes in the other order.
template <class Word>
constexpr Word ReverseBytes(Word word) {
  Word reversed = 0;
  for (uint32_t i = 0; i < sizeof(Word); ++i) {
    reversed = static_cast<Word>(reversed << 8 | (word & 0xff));
    word = static_cast<Word>(word >> 8);
  }
  return reversed;
}

/// A Memory policy (seqcount.h) for words that are little-endian whatever the
/// machine is: the one place that knows.
template <class Memory, uint32_t kByteOrder = __BYTE_ORDER__>
struct LittleEndian {
  /// From the machine's order to the page's, or back.
  template <class Word>
  static constexpr Word Swap(Word word) {
    static_assert(kByteOrder == __ORDER_LITTLE_ENDIAN__ ||
                  kByteOrder == __ORDER_BIG_ENDIAN__);
    if constexpr (kByteOrder == __ORDER_LITTLE_ENDIAN__ || sizeof(Word) == 1) {
      return word;
    } else {
      return ReverseBytes(word);
    }
  }
  /// As Memory's, in the machine's order.
  template <class Word>
  static Word Load(const Word& word) {
    return Swap(Memory::Load(word));
  }
  /// As Memory's, in the machine's order.
  template <class Word>
  static void Store(Word& word, Word value) {
    Memory::Store(word, Swap(value));
  }
  /// Ordering: Memory's, of the same name.
  static uint32_t LoadAcquire(const uint32_t& word) {
    return Swap(Memory::LoadAcquire(word));
  }
  /// Ordering: Memory's, of the same name.
  static void StoreRelease(uint32_t& word, uint32_t value) {
    Memory::StoreRelease(word, Swap(value));
  }
  /// Ordering: Memory's, of the same name.
  static void FenceAcquire() { Memory::FenceAcquire(); }
  /// Ordering: Memory's, of the same name.
  static void FenceRelease() { Memory::FenceRelease(); }
};

/// What a page's sequence says besides "this publication".
enum class SequenceRule : uint32_t {
  kOddIsBusy,      ///< pvclock, VMClock: odd while an update is under way.
  kZeroIsInvalid,  ///< Hyper-V: 0 and all ones say that there is no time.
};

/// How often a reader tries.
inline constexpr uint32_t kForeignTries = 64;

/// Calls `load(seq)`, which loads fields and reads the counter, until the
/// sequence has stood still meanwhile; returns what it said then.
/// Ordering: what `load` does is between the two loads of the sequence.
/// Progress: bounded by kForeignTries. Context: any, NMI included.
template <SequenceRule kRule, class Memory, class Clock, class Load>
[[nodiscard, gnu::always_inline]] inline ForeignStatus ReadForeign(
    const uint32_t& sequence, const Clock& clock, Load load) {
  for (uint32_t tries = kForeignTries; tries != 0; --tries) {
    const SeqToken seq = ReadBegin<Memory>(sequence);
    if constexpr (kRule == SequenceRule::kZeroIsInvalid) {
      // Nobody promises that this ends: it is an answer, not a state.
      if (seq == 0 || seq == UINT32_MAX) return ForeignStatus::kWithdrawn;
    }
    if (kRule != SequenceRule::kOddIsBusy || (seq & 1) == 0) {
      const ForeignStatus status = load(seq);
      if (ReadEnd<Memory>(sequence) == seq) [[likely]]
        return status;
    }
    clock.Relax();
  }
  return ForeignStatus::kBusy;
}

/// The ways in which a ClockSource is read.
enum class CounterOrder : uint32_t {
  kOrdered,
  kUnordered,
  kBeforeStores,
  kAfterStores,
};

/// Reads a counter in one of the ways; `after` as in clocksource.h.
template <CounterOrder kOrder, ClockSource Clock>
[[gnu::always_inline]] inline uint64_t ReadCounter(const Clock& clock,
                                                   uint32_t after) {
  if constexpr (kOrder == CounterOrder::kUnordered) {
    return clock.ReadUnordered();
  } else if constexpr (kOrder == CounterOrder::kBeforeStores) {
    return clock.ReadBeforeStores();
  } else if constexpr (kOrder == CounterOrder::kAfterStores) {
    return clock.ReadAfterStores();
  } else {
    return clock.Read(after);
  }
}

/// What a ForeignClock counts while its page gives no time: so far behind every
/// line that vvar's readers say kStale, and its writers kTooEarly. (A value far
/// ahead would do for readers; a writer would publish time that far ahead.)
/// Range: counts and spans of lines (max_cycles) below 2^62: 146 years of ns.
inline constexpr uint64_t kNoCount = uint64_t{3} << 62;

/// A foreign page as a counter, so that a guest's own page can stand on it: of
/// the unit that its reader counts in, at the host's rate. Its type says that a
/// read cannot fail; one that does gives kNoCount.
/// Ordering: the counter is read inside the page's protocol, in the way that is
/// asked for; the fences of the protocol are on top.
template <class Reader>
class ForeignClock {
 public:
  static constexpr uint32_t kCounterId = Reader::kCounterId;
  static constexpr uint32_t kCounterBits = 64;
  static constexpr uint64_t kHz = Reader::kHz;

  /// Of no page: counts kNoCount.
  constexpr ForeignClock() = default;
  /// Of the page of `reader`, which must stay mapped.
  constexpr explicit ForeignClock(Reader reader) : reader_(reader) {}

  /// @{
  /// Reads the page once, as ClockSource asks. Progress: the reader's.
  uint64_t Read(uint32_t /*after*/) const {
    return Count<CounterOrder::kOrdered>();
  }
  uint64_t ReadUnordered() const { return Count<CounterOrder::kUnordered>(); }
  uint64_t ReadBeforeStores() const {
    return Count<CounterOrder::kBeforeStores>();
  }
  uint64_t ReadAfterStores() const {
    return Count<CounterOrder::kAfterStores>();
  }
  /// @}
  /// As the counter does which the page scales.
  void Relax() const { reader_.clock().Relax(); }

  /// For the status, which a count cannot tell.
  constexpr const Reader& reader() const { return reader_; }

 private:
  template <CounterOrder kOrder>
  uint64_t Count() const {
    const ForeignCount now = reader_.template Count<kOrder>();
    return now.ok() ? now.count : kNoCount;
  }

  Reader reader_;
};

}  // namespace vvar

#endif  // VVAR_PARAVIRT_FOREIGN_PAGE_H_
