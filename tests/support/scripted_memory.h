// SPDX-License-Identifier: MIT
//
// A Memory policy (seqcount.h) for fault injection: it counts and records each
// access to page words, calls hooks at loads and stores, and can return other
// values than the page holds. The hooks may change the page, run a reader, or
// kill a writer by throwing.
#ifndef VVAR_TESTS_SUPPORT_SCRIPTED_MEMORY_H_
#define VVAR_TESTS_SUPPORT_SCRIPTED_MEMORY_H_

#include <stdint.h>

#include <functional>
#include <map>
#include <vector>

#include "vvar/seqcount.h"

namespace vvar::support {

enum class MemoryOp {
  kLoad,
  kLoadAcquire,
  kStore,
  kStoreRelease,
  kFenceAcquire,
  kFenceRelease,
  kCounterRead,  // Put in by tests, from a counter's hook.
};

struct MemoryEvent {
  MemoryOp op;
  const void* word;  // Null for fences and counter reads.
  uint64_t value;    // Loaded or stored; 0 for fences.
  uint32_t bytes;    // The access's width; 0 for fences.
};

/// Thrown by a hook to end a writer where it stands.
struct WriterKilled {};

/// What ScriptedMemory does while this object lives (the youngest one rules).
/// Not for threads.
class MemoryScript {
 public:
  MemoryScript() : outer_(active_) { active_ = this; }
  ~MemoryScript() { active_ = outer_; }
  MemoryScript(const MemoryScript&) = delete;
  MemoryScript& operator=(const MemoryScript&) = delete;

  // A hook must not replace itself while it runs.

  /// Called before the load of `word`, the nth of that word, from 1.
  std::function<void(const void* word, uint32_t nth)> on_load;
  /// Returns what that load gives; `value` is what the page holds.
  std::function<uint64_t(const void* word, uint32_t nth, uint64_t value)>
      value_of;
  /// Called before each store, the nth of all, from 1.
  std::function<void(const void* word, uint32_t nth)> on_store;

  std::vector<MemoryEvent> events;
  std::map<const void*, uint32_t> loads;  // Of each word.
  uint32_t stores = 0;

  void Forget() {
    events.clear();
    loads.clear();
    stores = 0;
  }
  uint32_t LoadsOf(const void* word) const {
    const auto found = loads.find(word);
    return found == loads.end() ? 0 : found->second;
  }
  uint32_t LoadsInAll() const {
    uint32_t sum = 0;
    for (const auto& [word, count] : loads) sum += count;
    return sum;
  }
  void NoteCounterRead() {
    events.push_back({MemoryOp::kCounterRead, nullptr, 0, 0});
  }

  static MemoryScript* active() { return active_; }

 private:
  static inline MemoryScript* active_ = nullptr;
  MemoryScript* outer_;
};

struct ScriptedMemory {
  template <class Word>
  static Word Load(const Word& word) {
    return LoadAs(word, MemoryOp::kLoad);
  }
  static uint32_t LoadAcquire(const uint32_t& word) {
    return LoadAs(word, MemoryOp::kLoadAcquire);
  }
  template <class Word>
  static void Store(Word& word, Word value) {
    BeforeStore(word, static_cast<uint64_t>(value), MemoryOp::kStore);
    PageMemory::Store(word, value);
  }
  static void StoreRelease(uint32_t& word, uint32_t value) {
    BeforeStore(word, value, MemoryOp::kStoreRelease);
    PageMemory::StoreRelease(word, value);
  }
  static void FenceAcquire() { Fence(MemoryOp::kFenceAcquire); }
  static void FenceRelease() { Fence(MemoryOp::kFenceRelease); }

 private:
  template <class Word>
  static Word LoadAs(const Word& word, MemoryOp op) {
    MemoryScript* script = MemoryScript::active();
    if (script == nullptr) return PageMemory::Load(word);
    const uint32_t nth = ++script->loads[&word];
    if (script->on_load) script->on_load(&word, nth);
    Word value = PageMemory::Load(word);
    if (script->value_of) {
      value = static_cast<Word>(
          script->value_of(&word, nth, static_cast<uint64_t>(value)));
    }
    script->events.push_back(
        {op, &word, static_cast<uint64_t>(value), sizeof(Word)});
    return value;
  }
  template <class Word>
  static void BeforeStore(const Word& word, uint64_t value, MemoryOp op) {
    MemoryScript* script = MemoryScript::active();
    if (script == nullptr) return;
    const uint32_t nth = ++script->stores;
    if (script->on_store) script->on_store(&word, nth);
    script->events.push_back({op, &word, value, sizeof(Word)});
  }
  static void Fence(MemoryOp op) {
    MemoryScript* script = MemoryScript::active();
    if (script != nullptr) script->events.push_back({op, nullptr, 0, 0});
  }
};

}  // namespace vvar::support

#endif  // VVAR_TESTS_SUPPORT_SCRIPTED_MEMORY_H_
