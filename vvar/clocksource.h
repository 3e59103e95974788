// SPDX-License-Identifier: MIT
//
// What a hardware counter must supply, and the order its reads promise. A port
// is this list. Freestanding core; no instruction of any ISA appears here (see
// clocks/), so the core compiles on an ISA nobody has ported.
#ifndef VVAR_CLOCKSOURCE_H_
#define VVAR_CLOCKSOURCE_H_

#include <stdint.h>

namespace vvar {

namespace clocksource_internal {
template <class A, class B>
inline constexpr bool kSame = false;
template <class A>
inline constexpr bool kSame<A, A> = true;
}  // namespace clocksource_internal

/// Where a frequency comes from.
enum class HzSource : uint32_t {
  kUnknown,          ///< Nobody says: calibrate.
  kCpuidCrystal,     ///< Leaf 15h: exact ratio to the crystal.
  kCpuidBase,        ///< Leaf 16h: nominal MHz, off by up to some 1000 ppm.
  kHypervisorLeaf,   ///< Leaf 4000_0010h: what the hypervisor measured, kHz.
  kCounterRegister,  ///< Arm CNTFRQ_EL0.
  kPlatform,         ///< Device tree, firmware, the caller.
  kCalibrated,       ///< Measured against the reference clock.
};

/// A counter that ticks at a constant rate, read alike on every CPU.
///
/// The contract, the same for all: *a read behaves like a load of a global word
/// that an imaginary CPU keeps incrementing.* What may not pass what:
///
///   kCounterId           VVAR_COUNTER_* of the page.
///   kCounterBits         width, 2..64. The value is modulo 2^kCounterBits; the
///                        bits above are zero.
///   Read(after)          not before the load that gave `after`, not after
///                        loads that follow. Reader, [R:count].
///   ReadUnordered()      no order at all, except that it does not move past a
///                        publication by more than the writer's lead.
///   ReadBeforeStores()   not before earlier loads, not after stores that
///                        follow. Writer, the wait before [W:open].
///   ReadAfterStores()    not before earlier stores are visible. Writer, the
///                        lateness check after [W:close].
///   Relax()              the pause hint of a retry loop.
///
/// Not promised by any counter: that it counts CPU cycles, that it starts at
/// zero, that two reads in a row differ.
template <class C>
concept ClockSource = requires(const C& counter, uint32_t after) {
  requires clocksource_internal::kSame<decltype(C::kCounterId), const uint32_t>;
  requires C::kCounterBits >= 2 && C::kCounterBits <= 64;
  requires clocksource_internal::kSame<decltype(counter.Read(after)), uint64_t>;
  requires clocksource_internal::kSame<decltype(counter.ReadUnordered()),
                                       uint64_t>;
  requires clocksource_internal::kSame<decltype(counter.ReadBeforeStores()),
                                       uint64_t>;
  requires clocksource_internal::kSame<decltype(counter.ReadAfterStores()),
                                       uint64_t>;
  counter.Relax();
};

/// What is known of a machine's counter, whatever its kind.
template <ClockSource Clock>
struct CounterInfo {
  Clock clock;         ///< With the cheapest right read this CPU has.
  bool constant_rate;  ///< The same in all power states, on all CPUs.
  bool hypervisor;     ///< Somebody may move this machine to another counter.
  HzSource hz_source;  ///< Who says `hz`.
  uint64_t hz;         ///< Nominal; 0 if unknown.
};

}  // namespace vvar

#endif  // VVAR_CLOCKSOURCE_H_
