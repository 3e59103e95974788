// SPDX-License-Identifier: MIT
//
// Foreign clock pages, written and read: their bytes, which are little-endian
// on every machine, and what the readers say of them, as digests. As answers.cc
// is for vvar's own page; run by matrix_test.py.
#include <stddef.h>
#include <stdint.h>

#include "embed/matrix/answer_digest.h"
#include "embed/matrix/bare_linux.h"
#include "embed/matrix/corpus.h"
#include "paravirt/foreign_page.h"
#include "paravirt/hyperv_tsc.h"
#include "paravirt/pvclock.h"
#include "paravirt/vmclock.h"
#include "paravirt/vmclock_abi.h"
#include "vvar/abi.h"
#include "vvar/seqcount.h"

namespace vvar::matrix {
namespace {

constexpr uint32_t kPages = 2000;  // Of each format, written and hostile.

struct Tsc : WordClock<64> {
  using WordClock::WordClock;
  static constexpr uint32_t kCounterId = VVAR_COUNTER_X86_TSC;
};

// Each in a page of its own, with nothing behind it.
template <class Record>
struct alignas(4096) Alone {
  Record record;
};
Alone<pvclock_vcpu_time_info> pvclock_page;
Alone<hv_reference_tsc_page> hyperv_page;
Alone<vmclock_abi> vmclock_page;
pvclock_vcpu_time_info& pvclock = pvclock_page.record;
hv_reference_tsc_page& hyperv = hyperv_page.record;
vmclock_abi& vmclock = vmclock_page.record;

enum class Bytes { kWritten, kHostile };

/// Makes each byte of a page random.
template <class Page>
void Scribble(Random& random, Page& page) {
  auto* bytes = reinterpret_cast<unsigned char*>(&page);
  for (size_t i = 0; i < sizeof page; ++i) {
    PageMemory::Store(bytes[i], static_cast<unsigned char>(random.Any()));
  }
}

/// The first `count` bytes of a page, as they lie there.
template <class Page>
void AddBytes(Answers& answers, const Page& page, size_t count) {
  const auto* bytes = reinterpret_cast<const unsigned char*>(&page);
  for (size_t i = 0; i < count; ++i) {
    answers.Add(PageMemory::Load(bytes[i]));
  }
}

void AnswerPvclock(Bytes bytes) {
  Random random(3);
  Answers answers;
  pvclock_vcpu_time_info* const records[] = {&pvclock};
  PvclockWriter<> writer(records, 1);
  for (uint32_t n = 0; n < kPages; ++n) {
    uint64_t counter = random.Edgy();
    if (bytes == Bytes::kHostile) {
      Scribble(random, pvclock);
    } else {
      PvclockLine line;
      line.tsc_timestamp = counter - random.Edgy(48);
      line.system_time_ns = random.Edgy();
      line.rate = PvclockRateFromHz(random.Edgy(40) | 1);
      line.flags = static_cast<uint8_t>(random.Any());
      writer.Publish(line);
    }
    AddBytes(answers, pvclock, sizeof pvclock);
    Protect(&pvclock, Access::kRead);
    constexpr PvclockUse kUses[] = {PvclockUse::kOwnCpu, PvclockUse::kEveryCpu};
    for (const PvclockUse use : kUses) {
      const PvclockReader<Tsc> reader(&pvclock, Tsc(&counter), use);
      const ForeignCount now = reader.Now();
      answers.AddReading(now, now.count);
    }
    Protect(&pvclock, Access::kReadWrite);
  }
  answers.Print("pvclock", 64, static_cast<uint32_t>(bytes));
}

void AnswerHyperv(Bytes bytes) {
  Random random(4);
  Answers answers;
  HypervTscWriter<> writer(&hyperv);
  writer.Format();
  for (uint32_t n = 0; n < kPages; ++n) {
    const uint64_t counter = random.Edgy();
    if (bytes == Bytes::kHostile) {
      Scribble(random, hyperv);
    } else {
      HypervTscLine line;
      if (!HypervScaleFromHz(random.Edgy(36), &line.scale)) line.scale = 1;
      line.offset = random.Edgy();
      writer.Publish(line);
    }
    AddBytes(answers, hyperv, 64);
    Protect(&hyperv, Access::kRead);
    const HypervTscReader<Tsc> reader(&hyperv, Tsc(&counter));
    const ForeignCount now = reader.Now();
    answers.AddReading(now, now.count);
    Protect(&hyperv, Access::kReadWrite);
  }
  answers.Print("hyperv", 64, static_cast<uint32_t>(bytes));
}

void WriteVmclock(Random& random, uint64_t counter) {
  static VmclockLine line;
  line.line.counter_value = counter - random.Edgy(40);
  line.line.time.sec = random.Edgy(40);
  line.line.time.frac_sec = random.Any();
  line.line.period.frac_sec = random.Edgy();
  line.line.period.shift = random.Below(65);
  line.flags = random.Any();
  line.period_maxerror = random.Edgy();
  line.time_maxerror_ns = random.Edgy();
  line.disruption_marker = random.Any();
  line.tai_offset_sec = static_cast<int16_t>(random.Below(200)) - 100;
  line.time_type = static_cast<VmclockTimeType>(random.Below(3));
  line.clock_status = static_cast<VmclockClockStatus>(random.Below(5));
  line.leap = static_cast<VmclockLeap>(random.Below(6));
  VmclockWriter<>(&vmclock, VmclockTaiSign::kUtcMinusTai)
      .Publish(Tsc::kCounterId, line);
}

void AnswerVmclock(Bytes bytes) {
  Random random(5);
  Answers answers;
  VmclockWriter<>(&vmclock, VmclockTaiSign::kUtcMinusTai).Format(4096);
  for (uint32_t n = 0; n < kPages; ++n) {
    uint64_t counter = random.Edgy();
    if (bytes == Bytes::kHostile) {
      Scribble(random, vmclock);
      if (!random.OneIn(8)) {
        using Words = LittleEndian<PageMemory>;
        Words::Store(vmclock.magic, kVmclockMagic);
        Words::Store(vmclock.version, kVmclockVersion);
        Words::Store(vmclock.counter_id, kVmclockX86Tsc);
        Words::Store(vmclock.time_type, static_cast<uint8_t>(random.Below(4)));
        Words::Store(vmclock.clock_status,
                     static_cast<uint8_t>(random.Below(6)));
        Words::Store(vmclock.counter_period_shift,
                     static_cast<uint8_t>(random.Below(72)));
      }
    } else {
      WriteVmclock(random, counter);
    }
    AddBytes(answers, vmclock, sizeof vmclock);
    Protect(&vmclock, Access::kRead);
    VmclockReader<Tsc> reader;
    answers.Add(VmclockReader<Tsc>::Attach(&vmclock, sizeof vmclock,
                                           Tsc(&counter), &reader));
    for (uint8_t type = 0; type < 3; ++type) {
      const VmclockReading now = reader.Now(static_cast<VmclockTimeType>(type));
      answers.AddReading(now, now.time.sec, now.time.nsec, now.error_ns,
                         now.leap, now.clock_status);
    }
    Protect(&vmclock, Access::kReadWrite);
  }
  answers.Print("vmclock", 64, static_cast<uint32_t>(bytes));
}

}  // namespace
}  // namespace vvar::matrix

extern "C" [[noreturn]] void BareMain() {
  using namespace vvar::matrix;
  if (ReadByte() == 'w') {
    Protect(&pvclock, Access::kRead);
    vvar::PageMemory::Store(pvclock.version, 1);
    Exit(0);
  }
  AnswerPvclock(Bytes::kWritten);
  AnswerPvclock(Bytes::kHostile);
  AnswerHyperv(Bytes::kWritten);
  AnswerHyperv(Bytes::kHostile);
  AnswerVmclock(Bytes::kWritten);
  AnswerVmclock(Bytes::kHostile);
  Exit(0);
}
