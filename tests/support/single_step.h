// SPDX-License-Identifier: MIT
//
// Runs a function one instruction at a time inside this process, with a hook
// after each: the processor's own trap flag, x86 only. The hook runs in a
// signal handler (SIGTRAP) on top of the interrupted function.
#ifndef VVAR_TESTS_SUPPORT_SINGLE_STEP_H_
#define VVAR_TESTS_SUPPORT_SINGLE_STEP_H_

#include <signal.h>
#include <stdint.h>
#include <ucontext.h>

namespace vvar::support {

using StepHook = void (*)(uint64_t instruction);

namespace single_step_internal {
inline StepHook hook;
inline uint64_t steps;

inline const ucontext_t* stopped;

inline void OnTrap(int /*signal*/, siginfo_t* /*info*/, void* context) {
  stopped = static_cast<const ucontext_t*>(context);
  hook(++steps);
}

[[gnu::always_inline]] inline void SetTrapFlag() {
#if defined(__x86_64__)
  asm volatile(
      "lea -128(%%rsp), %%rsp\n\t"  // Below the red zone.
      "pushfq\n\t"
      "orq $0x100, (%%rsp)\n\t"
      "popfq\n\t"
      "lea 128(%%rsp), %%rsp" ::
          : "cc", "memory");
#elif defined(__i386__)
  asm volatile("pushfl\n\torl $0x100, (%%esp)\n\tpopfl" ::: "cc", "memory");
#endif
}

[[gnu::always_inline]] inline void ClearTrapFlag() {
#if defined(__x86_64__)
  asm volatile(
      "lea -128(%%rsp), %%rsp\n\t"
      "pushfq\n\t"
      "andq $~0x100, (%%rsp)\n\t"
      "popfq\n\t"
      "lea 128(%%rsp), %%rsp" ::
          : "cc", "memory");
#elif defined(__i386__)
  asm volatile("pushfl\n\tandl $~0x100, (%%esp)\n\tpopfl" ::: "cc", "memory");
#endif
}
}  // namespace single_step_internal

#if defined(__x86_64__) || defined(__i386__)
/// Returns a register of the function that is stopped, such as REG_RIP.
/// Context: the hook.
inline uint64_t StoppedRegister(int index) {
  return static_cast<uint64_t>(
      single_step_internal::stopped->uc_mcontext.gregs[index]);
}
#endif

/// Runs `function`, calling `hook` after each of its instructions. Returns how
/// many there were: 0 where the machine cannot single-step itself.
/// Context: one thread at a time; async-signal-safe hooks.
template <class Function>
[[gnu::noinline]] uint64_t SingleStep(Function function, StepHook hook) {
  single_step_internal::hook = hook;
  single_step_internal::steps = 0;
  struct sigaction action = {};
  struct sigaction before = {};
  action.sa_sigaction = single_step_internal::OnTrap;
  action.sa_flags = SA_SIGINFO;
  sigaction(SIGTRAP, &action, &before);
  single_step_internal::SetTrapFlag();
  function();
  single_step_internal::ClearTrapFlag();
  sigaction(SIGTRAP, &before, nullptr);
  return single_step_internal::steps;
}

}  // namespace vvar::support

#endif  // VVAR_TESTS_SUPPORT_SINGLE_STEP_H_
