// SPDX-License-Identifier: MIT
//
// What a machine supplies to kernel.h, and each folder beside this one defines.
// The rest of a kernel calls Kernel's On...() from its trap handler.
#ifndef VVAR_EMBED_KERNEL_MACHINE_H_
#define VVAR_EMBED_KERNEL_MACHINE_H_

#include <stdint.h>

#include "clocks/native.h"

namespace vvar::embed {

struct Machine {
  /// The counter, as kernel and user mode read it, and its frequency.
  static NativeClock Counter();
  static uint64_t CounterHz();
  /// Lets user mode read the counter, or not, on the CPU that calls.
  static void GrantCounter();
  static void WithholdCounter();
  /// Whether a counter read that is not allowed reaches the kernel.
  static bool DenialIsSeen();
  /// Has the next timer interrupt come in `ns`.
  static void ArmTick(uint64_t ns);
  /// Raises an exception that nothing masks; its handler calls OnProbe().
  static void Probe();
  static uint32_t Cpus();
  /// Has the second CPU enter user mode, as the first one did.
  static void StartSecondCpu();
  static void Put(char c);
  /// Ends the emulator with exit status `status`, in [0, 127].
  [[noreturn]] static void PowerOff(uint32_t status);
};

}  // namespace vvar::embed

#endif  // VVAR_EMBED_KERNEL_MACHINE_H_
