// SPDX-License-Identifier: MIT
//
// What the VMM and its guest agree on: where things are in guest memory, and
// what one exchange asks and answers. Freestanding; plain bytes. The guest runs
// only inside the VMM's call, so nobody else touches them meanwhile.
#ifndef VVAR_EMBED_KVM_GUEST_EXCHANGE_H_
#define VVAR_EMBED_KVM_GUEST_EXCHANGE_H_

#include <stdint.h>

namespace vvar::kvm_guest {

// Guest physical addresses; all is mapped one to one. RAM is [0, kRamSize).
inline constexpr uint64_t kRamSize = 0x20'0000;
inline constexpr uint64_t kPageTables = 0x1000;  ///< Three pages.
inline constexpr uint64_t kExchangePage = 0x4000;
inline constexpr uint64_t kPvclockPage = 0x5000;  ///< kvmclock's record.
inline constexpr uint64_t kWallClockPage = 0x6000;
inline constexpr uint64_t kHypervPage = 0x7000;
inline constexpr uint64_t kOwnPage = 0x8000;  ///< One that the guest writes.
inline constexpr uint64_t kImage = 0x10'0000;
inline constexpr uint64_t kStackTop = 0x1f'0000;
// Read-only slots, outside of RAM.
inline constexpr uint64_t kTimePage = 0x1000'0000;
inline constexpr uint64_t kVmclockPage = 0x1000'1000;

/// The port whose OUT ends an exchange.
inline constexpr uint16_t kDonePort = 0xe0;

enum class Command : uint32_t {
  kReadClocks,    ///< REALTIME, MONOTONIC, BOOTTIME and the marker.
  kReadMany,      ///< `argument` reads of MONOTONIC.
  kStore,         ///< Stores 32 bits of `argument` at `address`.
  kSpin,          ///< Runs until the host changes `argument`.
  kWriteMsr,      ///< Ring 0: WRMSR `address`, `argument`.
  kReadPvclock,   ///< kvmclock into `ns`.
  kReadWall,      ///< kvmclock's wall time, asked for at kvmclock `argument`.
  kReadHyperv,    ///< Reference time; `argument` 1: ring 0, may ask the MSR.
  kReadVmclock,   ///< UTC and its error.
  kStartOwnPage,  ///< Starts a page on kvmclock; REALTIME is `argument`.
  kReadOwnPage,   ///< Updates that page, and reads it as kReadClocks.
};

/// Exchange::status besides: with a PageStatus below it, and alone.
inline constexpr uint32_t kAttach = 0x100;
inline constexpr uint32_t kNoSuchCommand = 0x200;

/// One exchange.
struct Exchange {
  Command command;
  uint32_t status;  ///< 0: done; else the reader's own status, or as below.
  uint64_t address;
  uint64_t argument;
  // What TSC scaling the guest has to apply by itself (guest_counter.h).
  uint64_t multiplier;
  uint64_t offset;

  uint64_t ns;
  uint64_t realtime_ns;
  uint64_t monotonic_ns;
  uint64_t boottime_ns;
  uint64_t error_ns;
  uint64_t ticks;  ///< Of 100 ns.
  uint64_t disruption_marker;
  uint64_t publications;
  uint64_t reads;
  uint64_t refusals;    ///< Reads that gave a status and no time.
  uint64_t steps_back;  ///< Of MONOTONIC, over all exchanges of this guest.
};

}  // namespace vvar::kvm_guest

#endif  // VVAR_EMBED_KVM_GUEST_EXCHANGE_H_
