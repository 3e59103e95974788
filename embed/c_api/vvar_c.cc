// SPDX-License-Identifier: MIT
//
// The functions of vvar_c.h over the C++ reader and writer, on the native
// counter. Compile it once, freestanding or not, and link it to C. Nothing but
// the crossing is here: types, sizes, and refusal of what the C++ side takes
// for granted; the retry loop and the protocol stay where they are.
#include "embed/c_api/vvar_c.h"

#include "clocks/native.h"
#include "vvar/header.h"
#include "vvar/leap.h"
#include "vvar/offset.h"
#include "vvar/reader.h"
#include "vvar/scale.h"
#include "vvar/timekeeper.h"
#include "vvar/writer.h"

namespace {

using vvar::NativeClock;
using vvar::PageStatus;
using vvar::PublishStatus;
using vvar::ReadStatus;

// One reader for all: without a namespace its offsets are of a page of zeros.
using Offsets = vvar::OffsetPage<>;
using Reader = vvar::Reader<NativeClock, vvar::PageMemory, Offsets>;
using PageWriter = vvar::Writer<NativeClock>;

struct Writer {
  Writer(const vvar::TimekeeperConfig& config, vvar_timeline* timeline,
         NativeClock clock)
      : timekeeper(config), page(timeline, clock) {}
  vvar::Timekeeper timekeeper;
  PageWriter page;
};

// --- What C sees is what C++ means -------------------------------------------

template <class Enum>
constexpr bool Is(Enum value, uint32_t constant) {
  return static_cast<uint32_t>(value) == constant;
}
static_assert(Is(PageStatus::kOk, VVAR_ATTACH_OK));
static_assert(Is(PageStatus::kTooSmall, VVAR_ATTACH_TOO_SMALL));
static_assert(Is(PageStatus::kBadMagic, VVAR_ATTACH_BAD_MAGIC));
static_assert(Is(PageStatus::kWrongEndian, VVAR_ATTACH_WRONG_ENDIAN));
static_assert(Is(PageStatus::kWrongMajor, VVAR_ATTACH_WRONG_MAJOR));
static_assert(Is(PageStatus::kBadLayout, VVAR_ATTACH_BAD_LAYOUT));
static_assert(Is(PageStatus::kWrongCounter, VVAR_ATTACH_WRONG_COUNTER));
static_assert(Is(ReadStatus::kOk, VVAR_READ_OK));
static_assert(Is(ReadStatus::kBusy, VVAR_READ_BUSY));
static_assert(Is(ReadStatus::kStale, VVAR_READ_STALE));
static_assert(Is(ReadStatus::kNotReady, VVAR_READ_NOT_READY));
static_assert(Is(ReadStatus::kUnknownClock, VVAR_READ_UNKNOWN_CLOCK));
static_assert(Is(ReadStatus::kWrongCounter, VVAR_READ_WRONG_COUNTER));
static_assert(Is(ReadStatus::kNoCounter, VVAR_READ_NO_COUNTER));
static_assert(Is(ReadStatus::kUnreadableCounter, VVAR_READ_UNREADABLE_COUNTER));
static_assert(Is(PublishStatus::kPublished, VVAR_PUBLISH_OK));
static_assert(Is(PublishStatus::kTooEarly, VVAR_PUBLISH_TOO_EARLY));
static_assert(Is(PublishStatus::kLate, VVAR_PUBLISH_LATE));
static_assert(Is(vvar::HzSource::kUnknown, VVAR_HZ_UNKNOWN));
static_assert(Is(vvar::HzSource::kCpuidCrystal, VVAR_HZ_CPUID_CRYSTAL));
static_assert(Is(vvar::HzSource::kCpuidBase, VVAR_HZ_CPUID_BASE));
static_assert(Is(vvar::HzSource::kHypervisorLeaf, VVAR_HZ_HYPERVISOR_LEAF));
static_assert(Is(vvar::HzSource::kCounterRegister, VVAR_HZ_COUNTER_REGISTER));
static_assert(Is(vvar::HzSource::kPlatform, VVAR_HZ_PLATFORM));
static_assert(Is(vvar::HzSource::kCalibrated, VVAR_HZ_CALIBRATED));

/// The C++ object that lives in the storage of a C struct.
template <class Object, class Storage>
constexpr bool kHolds = sizeof(Object) <= sizeof(Storage::opaque) &&
                        alignof(Object) <= alignof(Storage) &&
                        __is_trivially_copyable(Object);
static_assert(kHolds<NativeClock, vvar_counter>);
static_assert(kHolds<Reader, vvar_reader>);
static_assert(kHolds<Writer, vvar_writer>);

// What <new> would declare, and a kernel may lack.
struct InPlace {
  void* at;
};

template <class Object, class Storage>
Object& In(Storage* storage) {
  return *__builtin_launder(reinterpret_cast<Object*>(storage->opaque));
}
template <class Object, class Storage>
const Object& In(const Storage* storage) {
  return *__builtin_launder(reinterpret_cast<const Object*>(storage->opaque));
}

NativeClock ClockOf(const vvar_counter* counter) {
  return In<NativeClock>(counter);
}

bool IsTime(const vvar_time& time) { return time.nsec < vvar::kNsPerSec; }

vvar::Timespec TimespecOf(const vvar_time& time) {
  return {time.sec, time.nsec};
}

bool IsUsable(const vvar_writer_config& config) {
  return config.counter_hz >= vvar::kMinHz &&
         config.counter_hz <= vvar::kMaxHz && config.interval_ns != 0;
}

vvar::TimekeeperConfig ConfigOf(const vvar_writer_config& config) {
  return {NativeClock::kCounterId, NativeClock::kCounterBits,
          config.counter_hz,       config.lead_ns,
          config.interval_ns,      config.max_age_ns};
}

uint32_t Give(const vvar::NsReading& reading, uint64_t* ns) {
  if (reading.ok()) *ns = reading.ns;
  return static_cast<uint32_t>(reading.status);
}

}  // namespace

void* operator new(size_t, InPlace place) noexcept { return place.at; }

// --- The counter -------------------------------------------------------------

void vvar_query_counter(vvar_counter* counter) {
  const auto info = vvar::QueryCounter(NativeClock());
  counter->hz = info.hz;
  counter->hz_source = static_cast<uint32_t>(info.hz_source);
  counter->id = NativeClock::kCounterId;
  counter->bits = NativeClock::kCounterBits;
  counter->constant_rate = info.constant_rate ? 1 : 0;
  new (InPlace{counter->opaque}) NativeClock(info.clock);
}

uint64_t vvar_read_counter(const vvar_counter* counter) {
  return ClockOf(counter).Read();
}

// --- Reading -----------------------------------------------------------------

void vvar_detach(vvar_reader* reader) {
  new (InPlace{reader->opaque}) Reader();
}

// Not Reader::Attach(): for the copy of a reader, whose padding is at an odd
// address, clang calls memcpy where -mstrict-align forbids it a word.
static uint32_t Attach(vvar_reader* reader, const vvar_counter* counter,
                       const void* bytes, size_t size, uint32_t timeline,
                       Offsets offsets) {
  const vvar_timeline* found = nullptr;
  const PageStatus status =
      vvar::FindTimeline(bytes, size, NativeClock::kCounterId,
                         NativeClock::kCounterBits, timeline, &found);
  if (status == PageStatus::kOk) {
    new (InPlace{reader->opaque}) Reader(found, ClockOf(counter), offsets);
  }
  return static_cast<uint32_t>(status);
}

uint32_t vvar_attach(vvar_reader* reader, const vvar_counter* counter,
                     const void* bytes, size_t size, uint32_t timeline) {
  return Attach(reader, counter, bytes, size, timeline, Offsets());
}

uint32_t vvar_attach_in_namespace(vvar_reader* reader,
                                  const vvar_counter* counter,
                                  const void* bytes, size_t size,
                                  uint32_t timeline, const void* offsets,
                                  size_t offsets_size) {
  Offsets own;
  const PageStatus status = Offsets::Attach(offsets, offsets_size, &own);
  return status == PageStatus::kOk
             ? Attach(reader, counter, bytes, size, timeline, own)
             : static_cast<uint32_t>(status);
}

uint32_t vvar_now(const vvar_reader* reader, int32_t clock, uint64_t* ns) {
  return Give(In<Reader>(reader).Now(static_cast<vvar::ClockId>(clock)), ns);
}

uint32_t vvar_now_timespec(const vvar_reader* reader, int32_t clock,
                           vvar_time* time) {
  const vvar::TimespecReading reading =
      In<Reader>(reader).NowTimespec(static_cast<vvar::ClockId>(clock));
  if (reading.ok()) *time = {reading.sec, reading.nsec};
  return static_cast<uint32_t>(reading.status);
}

uint32_t vvar_now_unordered(const vvar_reader* reader, int32_t clock,
                            uint64_t* ns) {
  return Give(
      In<Reader>(reader).NowUnordered(static_cast<vvar::ClockId>(clock)), ns);
}

uint32_t vvar_now_coarse(const vvar_reader* reader, int32_t clock,
                         uint64_t* ns) {
  return Give(In<Reader>(reader).NowCoarse(static_cast<vvar::ClockId>(clock)),
              ns);
}

uint32_t vvar_read_interval(const vvar_reader* reader, int32_t clock,
                            vvar_interval* interval) {
  const vvar::IntervalReading reading =
      In<Reader>(reader).Interval(static_cast<vvar::ClockId>(clock));
  if (reading.ok()) {
    *interval = {reading.earliest_ns, reading.latest_ns,
                 static_cast<uint32_t>(reading.clock_status)};
  }
  return static_cast<uint32_t>(reading.status);
}

uint32_t vvar_read_snapshot(const vvar_reader* reader,
                            vvar_snapshot* snapshot) {
  vvar::SnapshotReading reading;
  const ReadStatus status = In<Reader>(reader).Snapshot(&reading);
  if (status == ReadStatus::kOk) {
    snapshot->cycles = reading.cycles;
    snapshot->realtime_ns = reading.realtime_ns;
    snapshot->monotonic_ns = reading.monotonic_ns;
    snapshot->monotonic_raw_ns = reading.monotonic_raw_ns;
    snapshot->boottime_ns = reading.boottime_ns;
    snapshot->tai_ns = reading.tai_ns;
    snapshot->realtime_coarse_ns = reading.realtime_coarse_ns;
    snapshot->monotonic_coarse_ns = reading.monotonic_coarse_ns;
    snapshot->error_ns = reading.error_ns;
    snapshot->leap_state = reading.leap_state;
    snapshot->tai_offset_sec = reading.tai_offset_sec;
    snapshot->clock_status = static_cast<uint32_t>(reading.clock_status);
  }
  return static_cast<uint32_t>(status);
}

uint32_t vvar_read_age(const vvar_reader* reader, vvar_age* age) {
  const vvar::AgeReading reading = In<Reader>(reader).Age();
  if (reading.status == ReadStatus::kOk ||
      reading.status == ReadStatus::kStale) {
    *age = {reading.age_ns, static_cast<uint32_t>(reading.clock_status)};
  }
  return static_cast<uint32_t>(reading.status);
}

uint32_t vvar_read_statistics(const vvar_counter* counter, const void* bytes,
                              size_t size, uint32_t timeline,
                              vvar_statistics* statistics) {
  const vvar_timeline* found = nullptr;
  const PageStatus status = vvar::FindTimeline(bytes, size, counter->id,
                                               counter->bits, timeline, &found);
  if (status == PageStatus::kOk) {
    using Memory = vvar::PageMemory;
    const vvar_writer_stats& stats = found->stats;
    statistics->publications = Memory::Load(found->seq) >> 1;
    statistics->writer_id = Memory::Load(stats.writer_id);
    statistics->late_publications = Memory::Load(stats.late_publications);
    statistics->max_lateness_cycles = Memory::Load(stats.max_lateness_cycles);
    statistics->redated_lines = Memory::Load(stats.redated_lines);
  }
  return static_cast<uint32_t>(status);
}

// --- Writing -----------------------------------------------------------------

static Writer& Construct(vvar_writer* storage, const vvar_writer_config& config,
                         vvar_timeline* timeline, const vvar_counter* counter) {
  return *new (InPlace{storage->opaque})
      Writer(ConfigOf(config), timeline, ClockOf(counter));
}

uint32_t vvar_format_page(vvar_page* page, const vvar_counter* counter,
                          const vvar_page_config* config) {
  if (config->timeline_count == 0 ||
      config->timeline_count > VVAR_MAX_TIMELINES) {
    return VVAR_REFUSED;
  }
  vvar::FormatPage(
      *page, {counter->id, counter->bits, config->counter_hz,
              config->instance_id, config->features, config->timeline_count,
              config->resolution_ns, config->coarse_resolution_ns});
  return VVAR_DONE;
}

uint32_t vvar_format_offsets(vvar_offsets* page, const vvar_time* monotonic,
                             const vvar_time* boottime) {
  if (!IsTime(*monotonic) || !IsTime(*boottime)) return VVAR_REFUSED;
  vvar::FormatOffsets(*page, {TimespecOf(*monotonic), TimespecOf(*boottime)});
  return VVAR_DONE;
}

uint32_t vvar_start(vvar_writer* writer, const vvar_counter* counter,
                    vvar_timeline* timeline, const vvar_writer_config* config,
                    const vvar_start_times* times) {
  if (!IsUsable(*config) || !IsTime(times->realtime) ||
      !IsTime(times->monotonic) || !IsTime(times->monotonic_raw) ||
      !IsTime(times->boottime)) {
    return VVAR_REFUSED;
  }
  Writer& own = Construct(writer, *config, timeline, counter);
  own.timekeeper.Start(
      own.page.clock().Read(),
      {TimespecOf(times->realtime), TimespecOf(times->monotonic),
       TimespecOf(times->monotonic_raw), TimespecOf(times->boottime),
       times->tai_offset_sec});
  own.page.PublishLine(own.timekeeper.line());
  return VVAR_DONE;
}

uint32_t vvar_take_over(vvar_writer* writer, const vvar_counter* counter,
                        vvar_timeline* timeline,
                        const vvar_writer_config* config) {
  if (!IsUsable(*config)) return VVAR_REFUSED;
  Writer& own = Construct(writer, *config, timeline, counter);
  vvar::Line line;
  own.page.LoadCurrentLine(&line);
  const bool taken =
      own.timekeeper.Continue(line) || own.timekeeper.Import(line);
  return taken ? VVAR_DONE : VVAR_REFUSED;
}

void vvar_set_writer_id(vvar_writer* writer, uint32_t id) {
  In<Writer>(writer).page.SetWriterId(id);
}

uint32_t vvar_publish(vvar_writer* writer) {
  Writer& own = In<Writer>(writer);
  return static_cast<uint32_t>(own.page.Publish(own.timekeeper));
}

uint64_t vvar_next_deadline(const vvar_writer* writer) {
  return In<Writer>(writer).timekeeper.next_deadline();
}

void vvar_set_frequency(vvar_writer* writer, int64_t ppb) {
  In<Writer>(writer).timekeeper.SetFrequency(ppb);
}

void vvar_set_raw_frequency(vvar_writer* writer, int64_t ppb) {
  In<Writer>(writer).timekeeper.SetRawFrequency(ppb);
}

void vvar_slew(vvar_writer* writer, int64_t offset_ns, int64_t max_rate_ppb) {
  In<Writer>(writer).timekeeper.Slew(offset_ns, max_rate_ppb);
}

void vvar_slew_realtime(vvar_writer* writer, int64_t offset_ns,
                        int64_t max_rate_ppb) {
  In<Writer>(writer).timekeeper.SlewRealtime(offset_ns, max_rate_ppb);
}

int64_t vvar_slew_remaining_ns(const vvar_writer* writer) {
  return In<Writer>(writer).timekeeper.slew_remaining_ns();
}

void vvar_step_realtime(vvar_writer* writer, int64_t delta_ns) {
  In<Writer>(writer).timekeeper.StepRealtime(delta_ns);
}

void vvar_set_tai_offset(vvar_writer* writer, int32_t sec) {
  In<Writer>(writer).timekeeper.SetTaiOffset(sec);
}

uint32_t vvar_plan_leap(vvar_writer* writer, uint32_t state, int64_t date_sec,
                        uint32_t smear_sec) {
  vvar::Timekeeper& timekeeper = In<Writer>(writer).timekeeper;
  if (state == VVAR_LEAP_NONE) {
    timekeeper.CancelLeap();
    return VVAR_DONE;
  }
  return timekeeper.ScheduleLeap({state, smear_sec, date_sec}) ? VVAR_DONE
                                                               : VVAR_REFUSED;
}

void vvar_set_status(vvar_writer* writer, uint32_t clock_status) {
  In<Writer>(writer).timekeeper.SetStatus(
      static_cast<vvar::ClockStatus>(clock_status));
}

void vvar_set_error_bound(vvar_writer* writer, uint64_t error_ns,
                          uint32_t growth_ppb) {
  In<Writer>(writer).timekeeper.SetErrorBound(error_ns, growth_ppb);
}

void vvar_hold(vvar_writer* writer) { In<Writer>(writer).timekeeper.Hold(); }

void vvar_hold_at(vvar_writer* writer, uint64_t cycles) {
  In<Writer>(writer).timekeeper.HoldAt(cycles);
}

void vvar_resume(vvar_writer* writer, uint64_t cycles, const vvar_gap* gap) {
  In<Writer>(writer).timekeeper.Resume(
      cycles, {gap->realtime_ns, gap->monotonic_ns, gap->monotonic_raw_ns,
               gap->boottime_ns});
}
