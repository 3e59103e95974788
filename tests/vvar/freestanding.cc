// SPDX-License-Identifier: MIT
//
// Everything of the freestanding core, instantiated on the native counter, as
// a kernel would use it. Its object must need nothing from outside (the
// freestanding matrix runs nm -u on it, for each ISA and compiler).
#include "clocks/native.h"
#include "vvar/history.h"
#include "vvar/offset.h"
#include "vvar/reader.h"
#include "vvar/writer.h"

namespace {

using KernelReader = vvar::Reader<vvar::NativeClock>;
using KernelHistory = vvar::History<vvar::NativeClock>;
using ContainerReader =
    vvar::Reader<vvar::NativeClock, vvar::PageMemory, vvar::OffsetPage<>>;
using KernelWriter = vvar::Writer<vvar::NativeClock>;

// What <new> would declare: a kernel constructs its objects in place.
struct InPlace {
  void* at;
};

struct Payload {
  uint64_t words[5];
};

}  // namespace

void* operator new(size_t, InPlace place) noexcept { return place.at; }

extern "C" {

vvar::PageStatus attach(const void* page, size_t size, KernelReader* reader) {
  return KernelReader::Attach(page, size, 0, vvar::NativeClock(), reader);
}
vvar::NsReading now(const KernelReader* reader, vvar::ClockId id) {
  return reader->Now(id);
}
vvar::NsReading now_unordered(const KernelReader* reader, vvar::ClockId id) {
  return reader->NowUnordered(id);
}
vvar::NsReading now_coarse(const KernelReader* reader, vvar::ClockId id) {
  return reader->NowCoarse(id);
}
vvar::TimespecReading now_timespec(const KernelReader* reader,
                                   vvar::ClockId id) {
  return reader->NowTimespec(id);
}
vvar::IntervalReading interval(const KernelReader* reader, vvar::ClockId id) {
  return reader->Interval(id);
}
vvar::ReadStatus snapshot(const KernelReader* reader,
                          vvar::SnapshotReading* out) {
  return reader->Snapshot(out);
}
uint64_t age(const KernelReader* reader) { return reader->Age().age_ns; }

void make_namespace(vvar_offsets* page, const vvar::ClockOffsets* offsets) {
  vvar::FormatOffsets(*page, *offsets);
}
vvar::PageStatus enter_namespace(const void* page, size_t size,
                                 const void* offsets, size_t offsets_size,
                                 ContainerReader* reader) {
  vvar::OffsetPage<> own;
  const vvar::PageStatus status =
      vvar::OffsetPage<>::Attach(offsets, offsets_size, &own);
  if (status != vvar::PageStatus::kOk) return status;
  return ContainerReader::Attach(page, size, 0, vvar::NativeClock(), reader,
                                 own);
}
vvar::NsReading now_in_namespace(const ContainerReader* reader,
                                 vvar::ClockId id) {
  return reader->Now(id);
}
vvar::TimespecReading now_timespec_in_namespace(const ContainerReader* reader,
                                                vvar::ClockId id) {
  return reader->NowTimespec(id);
}
vvar::ReadStatus snapshot_in_namespace(const ContainerReader* reader,
                                       vvar::SnapshotReading* out) {
  return reader->Snapshot(out);
}
vvar::ReadStatus capture(KernelHistory* history, const KernelReader* reader) {
  return history->Capture(*reader);
}
uint64_t convert(const KernelHistory* history, vvar::ClockId id,
                 uint64_t cycles) {
  return history->NsAt(id, cycles).ns;
}
uint64_t convert_all(const KernelHistory* history, vvar::ClockId id,
                     const uint64_t* cycles, uint64_t* ns, size_t count) {
  return history->NsAt(id, cycles, ns, count).error_ns;
}
uint64_t cross_timestamp(const KernelHistory* history, uint64_t cycles,
                         vvar::SnapshotReading* out) {
  return history->SnapshotAt(cycles, out).error_ns;
}
uint64_t arm(const KernelHistory* history, vvar::ClockId id, uint64_t ns) {
  return history->CyclesAt(id, ns).cycles;
}

void format(vvar_page* page, const vvar::PageConfig* config) {
  vvar::FormatPage(*page, *config);
}
void configure(vvar::Timekeeper* timekeeper,
               const vvar::TimekeeperConfig* config) {
  new (InPlace{timekeeper}) vvar::Timekeeper(*config);
}
void start(KernelWriter* writer, vvar::Timekeeper* timekeeper,
           const vvar::StartTimes* times) {
  timekeeper->Start(writer->clock().Read(), *times);
  writer->PublishLine(timekeeper->line());
}
bool take_over(KernelWriter* writer, vvar::Timekeeper* timekeeper) {
  vvar::Line line;
  writer->LoadCurrentLine(&line);
  return timekeeper->Continue(line);
}
vvar::PublishStatus tick(KernelWriter* writer, vvar::Timekeeper* timekeeper) {
  return writer->Publish(*timekeeper);
}
void set(vvar::Timekeeper* timekeeper, int64_t ns, int64_t ppb) {
  timekeeper->SetFrequency(ppb);
  timekeeper->SetRawFrequency(ppb);
  timekeeper->Slew(ns, ppb);
  timekeeper->StepRealtime(ns);
  timekeeper->SetTaiOffset(37);
  timekeeper->SetStatus(vvar::ClockStatus::kSynchronised);
  timekeeper->SetErrorBound(1, 1);
}
void store_payload(vvar::Seqlock<Payload>* lock, const Payload* payload) {
  lock->Store(*payload);
}
bool load_payload(const vvar::Seqlock<Payload>* lock, Payload* payload) {
  return lock->TryLoad(payload, 8);
}

}  // extern "C"
