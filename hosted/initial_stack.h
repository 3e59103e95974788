// SPDX-License-Identifier: MIT
//
// What the kernel tells a program that has not begun: argc, argv, envp and the
// auxiliary vector, on the stack of a traced thread; read, and added to. Linux
// on x86-64, user space, for programs of 64 and of 32 bits.
#ifndef VVAR_HOSTED_INITIAL_STACK_H_
#define VVAR_HOSTED_INITIAL_STACK_H_

#include <elf.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/user.h>

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "hosted/traced_thread.h"

namespace vvar::hosted {

/// The stack's top, to the end of the auxiliary vector: a copy. The strings
/// that it points to lie above it.
/// Source: System V ABI for x86-64, 3.4.1, and for i386, 2.3.1: argc, argv, 0,
/// envp, 0, pairs of a type and a value up to AT_NULL, each of them a word; the
/// stack pointer is a multiple of 16.
class InitialStack {
 public:
  /// Range: the thread has come out of its exec, and run none of the program's
  /// instructions. Error: TracedThread's.
  static absl::StatusOr<InitialStack> Read(TracedThread thread) {
    const absl::StatusOr<user_regs_struct> registers = thread.Registers();
    if (!registers.ok()) return registers.status();
    InitialStack stack(thread, *registers);
    absl::Status status = stack.ReadWord();  // argc
    // What has no end ends where nothing can be read any more.
    for (uint64_t left = stack.words_.back() + 1; status.ok() && left > 0;) {
      status = stack.ReadWord();  // argv, and its 0
      --left;
    }
    do {  // envp, and its 0
      if (status.ok()) status = stack.ReadWord();
    } while (status.ok() && stack.words_.back() != 0);
    stack.vector_ = stack.words_.size();
    do {
      if (status.ok()) status = stack.ReadWord();
      if (status.ok()) status = stack.ReadWord();
    } while (status.ok() && stack.words_.end()[-2] != AT_NULL);
    if (!status.ok()) return status;
    return stack;
  }

  /// Whose words these are: how wide.
  ProgramClass program() const { return ClassOf(registers_); }

  /// Returns whether the vector has an entry of this type.
  bool HasEntry(uint64_t type) const { return IndexOf(type) != words_.size(); }

  /// Has the program find `value` by `type`: in its entry, else in one that
  /// means nothing, else in one more, for which all that lies below the
  /// vector's end moves down; the strings and what points to them do not.
  /// Range: as Read(), and no call is being injected: that one would put the
  /// old stack pointer back. The entry of a program of 32 bits has to be there:
  /// of those one more is no multiple of 16 bytes. Error: TracedThread's.
  absl::Status SetEntry(uint64_t type, uint64_t value) {
    size_t at = IndexOf(type);
    if (at == words_.size()) at = IndexOf(AT_IGNORE);
    if (at == words_.size()) return AddEntry(type, value);
    words_[at] = type;
    words_[at + 1] = value;
    return Write(at, at + 2);
  }

 private:
  InitialStack(TracedThread thread, const user_regs_struct& registers)
      : thread_(thread),
        registers_(registers),
        word_bytes_(program() == ProgramClass::k64 ? 8 : 4) {}

  absl::Status ReadWord() {
    words_.push_back(0);
    return thread_.Read(registers_.rsp + (words_.size() - 1) * word_bytes_,
                        &words_.back(), word_bytes_);
  }

  /// The entry's, or words_.size().
  size_t IndexOf(uint64_t type) const {
    size_t at = vector_;
    while (at < words_.size() && words_[at] != type) at += 2;
    return at;
  }

  absl::Status Write(size_t from, size_t to) const {
    std::string bytes;
    for (size_t i = from; i < to; ++i) {
      bytes.append(reinterpret_cast<const char*>(&words_[i]), word_bytes_);
    }
    return thread_.Write(registers_.rsp + from * word_bytes_, bytes.data(),
                         bytes.size());
  }

  absl::Status AddEntry(uint64_t type, uint64_t value) {
    words_.insert(words_.end() - 2, {type, value});
    registers_.rsp -= 2 * word_bytes_;
    const absl::Status status = Write(0, words_.size());
    return status.ok() ? thread_.SetRegisters(registers_) : status;
  }

  TracedThread thread_;
  user_regs_struct registers_;
  size_t word_bytes_;
  std::vector<uint64_t> words_;
  size_t vector_ = 0;  ///< The vector's first word.
};

}  // namespace vvar::hosted

#endif  // VVAR_HOSTED_INITIAL_STACK_H_
