// SPDX-License-Identifier: MIT
//
// Foreign clock pages whose bytes are hostile and change before any load: every
// reader of every format. A read ends, stays inside, loads each field once a
// try, and refuses a try only for a reason. What is read is converted to every
// format and back: whatever was accepted, that is defined.
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <algorithm>
#include <map>
#include <vector>

#include "paravirt/conversion.h"
#include "paravirt/wall_clock.h"
#include "tests/fuzz/fuzz_memory.h"
#include "tests/fuzz/fuzz_target.h"
#include "tests/paravirt/foreign_pages.h"
#include "vvar/abi.h"
#include "vvar/page.h"

namespace vvar::fuzz {
namespace {

// Of an input: the format, how much of a region is mapped, the counter; then
// the page's bytes, and what changes.
constexpr size_t kHeadBytes = 18;
constexpr size_t kPageBytes = 112;
constexpr uint32_t kFormats = 4;

// The counter of the active page, as the TSC.
struct Tsc : FuzzClock<64> {
  static constexpr uint32_t kCounterId = VVAR_COUNTER_X86_TSC;
};

// What a read loaded, each word once a try but the sequence.
void CheckLoads(const FuzzedPage& page, const void* sequence) {
  FUZZ_CHECK(page.tries.size() <= kForeignTries);
  for (size_t n = 0; n < page.tries.size(); ++n) {
    std::map<const void*, int> loads;
    for (const LoadedWord& load : page.LoadsOfTry(n)) ++loads[load.word];
    for (const auto& [word, count] : loads) {
      FUZZ_CHECK(count <= (word == sequence ? 2 : 1));
    }
  }
}

// Any line, to every format and on from there.
template <class Line>
void ConvertToAll(const Line& line, uint64_t at) {
  LineError error;
  FracLine frac;
  if (ToFrac(line, at, &frac, &error)) {
    FUZZ_CHECK(frac.period.shift <= kMaxFracShift);
    FUZZ_CHECK(frac.At(at) == frac.time);
    (void)error.AgeNsUntil(error.NsAfter(at));
  }
  ClockLine clock;
  if (ToClockLine(line, at, &clock, &error)) {
    FUZZ_CHECK(clock.scale.shift <= kMaxShift);
    FUZZ_CHECK(clock.base.nsec_shifted < kNsPerSec << clock.scale.shift);
    // Unless it was rounded up to a period of a second.
    FUZZ_CHECK(ToFrac(clock, at, &frac, &error) ||
               clock.NsAt(at + 1) - clock.NsAt(at) >= kNsPerSec);
  }
  PvclockLine pvclock;
  if (ToPvclock(line, at, kPvclockTscStable, &pvclock, &error)) {
    FUZZ_CHECK(pvclock.rate.mul >> 31 == 1);
    (void)PvclockRateToHz(pvclock.rate);
    HypervTscLine hyperv;
    (void)ToHyperv(pvclock, at, &hyperv, &error);
  }
  HypervTscLine hyperv;
  if (ToHyperv(line, at, &hyperv, &error)) {
    (void)ToFrac(hyperv, at, &frac, &error);
  }
}

void FuzzPvclock(FuzzedPage& page, const void* bytes) {
  const auto* record = static_cast<const pvclock_vcpu_time_info*>(bytes);
  for (const PvclockUse use : {PvclockUse::kOwnCpu, PvclockUse::kEveryCpu}) {
    page.Rewind();
    const PvclockReader<Tsc, FuzzMemory> reader(record, Tsc(), use);
    PvclockLine line;
    uint64_t tsc;
    const ForeignStatus status = reader.ReadLine(&line, &tsc);
    CheckLoads(page, &record->version);
    FUZZ_CHECK(status <= ForeignStatus::kMalformed);
    if (status != ForeignStatus::kOk) continue;
    FUZZ_CHECK(line.rate.mul != 0 && line.rate.shift <= kMaxPvclockShift &&
               line.rate.shift >= -kMaxPvclockShift);
    FUZZ_CHECK(use == PvclockUse::kOwnCpu || line.IsStable());
    const uint64_t now = line.NsAt(tsc);
    FUZZ_CHECK(static_cast<int64_t>(
                   now - NotBefore(line, tsc, now + 1).NsAt(tsc)) == -1);
    ConvertToAll(line, tsc);
  }
}

void FuzzHyperv(FuzzedPage& page, const void* bytes) {
  const auto* hyperv = static_cast<const hv_reference_tsc_page*>(bytes);
  page.Rewind();
  const HypervTscReader<Tsc, FuzzMemory> reader(hyperv, Tsc());
  HypervTscLine line;
  uint64_t tsc;
  const ForeignStatus status = reader.ReadLine(&line, &tsc);
  CheckLoads(page, &hyperv->tsc_sequence);
  if (status == ForeignStatus::kWithdrawn) {
    const uint64_t sequence = page.loads.back().value;
    FUZZ_CHECK(sequence == 0 || sequence == UINT32_MAX);
  }
  if (status != ForeignStatus::kOk) return;
  FUZZ_CHECK(line.scale != 0);
  ConvertToAll(line, tsc);
}

void FuzzVmclock(FuzzedPage& page, const void* bytes, size_t size) {
  using Reader = VmclockReader<Tsc, FuzzMemory>;
  const auto* region = static_cast<const vmclock_abi*>(bytes);
  page.Rewind();
  Reader reader;
  const PageStatus attached = Reader::Attach(bytes, size, Tsc(), &reader);
  FUZZ_CHECK(attached == PageStatus::kOk ||
             reader.Now(VmclockTimeType::kTai).status ==
                 ForeignStatus::kAbsent);
  if (attached != PageStatus::kOk) return;
  page.Rewind();
  VmclockLine line;
  uint64_t cycles;
  const ForeignStatus status = reader.ReadLine(&line, &cycles);
  CheckLoads(page, &region->seq_count);
  if (status == ForeignStatus::kOk) {
    FUZZ_CHECK(line.tai_offset_sec >= 0 &&
               line.tai_offset_sec <= kMaxVmclockTaiOffsetSec);
    (void)line.MaxErrorNsAt(cycles);
    (void)line.EstErrorNsAt(cycles);
    ConvertToAll(line.line, cycles);
  }
  for (const VmclockTimeType type :
       {VmclockTimeType::kUtc, VmclockTimeType::kTai,
        VmclockTimeType::kMonotonic}) {
    page.Rewind();
    const VmclockReading now = reader.Now(type);
    FUZZ_CHECK(!now.ok() || now.time.nsec < kNsPerSec);
  }
  page.Rewind();
  (void)VmclockClock<Tsc, FuzzMemory>(reader).Read(0);
}

void FuzzWallClock(FuzzedPage& page, const void* bytes, uint64_t now_ns) {
  const auto* wall = static_cast<const pvclock_wall_clock*>(bytes);
  page.Rewind();
  const WallClockReader<Tsc, FuzzMemory> reader(
      wall, static_cast<const uint32_t*>(bytes) + 3, now_ns / 2, Tsc());
  const WallClockReading now = reader.At(now_ns);
  CheckLoads(page, &wall->version);
  FUZZ_CHECK(!now.ok() || now.realtime.nsec < kNsPerSec);
}

template <class Page>
Bytes SeedOf(uint8_t format, const Page& page, uint64_t count) {
  Bytes seed = {format, kPageBytes - 1};
  Append(seed, count);
  Append(seed, count + 1);
  Bytes bytes;
  Append(bytes, page);
  bytes.resize(kPageBytes);
  seed.insert(seed.end(), bytes.begin(), bytes.end());
  return seed;
}

}  // namespace

std::vector<Bytes> Seeds() {
  std::vector<Bytes> seeds;
  uint8_t format = 0;
  support::ForEachForeignPage([&](auto& page) {
    Bytes seed = SeedOf(format++, page.page, support::kForeignTsc);
    seeds.push_back(seed);
    // The sequence changes before the third load.
    Append(seed, uint16_t{3});
    Append(seed, static_cast<uint16_t>(format == 3 ? 12 : 0));
    Append(seed, uint64_t{6});
    seeds.push_back(seed);
  });
  pvclock_wall_clock wall = {};
  PublishWallClock(wall, nullptr, {1'700'000'000, 5});
  seeds.push_back(SeedOf(format, wall, 1'000'000'007));
  return seeds;
}

}  // namespace vvar::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  using namespace vvar::fuzz;
  if (size < kHeadBytes + kPageBytes) return 0;
  uint64_t counts[2];
  memcpy(counts, bytes + 2, sizeof counts);
  const bool is_vmclock = bytes[0] % kFormats == 2;
  const size_t mapped = is_vmclock ? 1 + bytes[1] % kPageBytes : kPageBytes;
  ExactCopy copy(bytes + kHeadBytes, kPageBytes, mapped);
  FuzzedPage page({{copy.data(), mapped}});
  page.SetCounts({counts[0], counts[1]});
  page.SetChanges(bytes + kHeadBytes + kPageBytes,
                  size - kHeadBytes - kPageBytes);
  switch (bytes[0] % kFormats) {
    case 0:
      FuzzPvclock(page, copy.data());
      break;
    case 1:
      FuzzHyperv(page, copy.data());
      break;
    case 2:
      FuzzVmclock(page, copy.data(), mapped);
      break;
    default:
      FuzzWallClock(page, copy.data(), counts[0]);
  }
  return 0;
}
