// SPDX-License-Identifier: MIT
//
// The functions of our vDSO image next to those of the kernel's and to the
// system calls behind both, each called through a pointer, as a C library does.
// The image's page is the live one of the process's own clock.
#include <stdint.h>
#include <time.h>

#include <deque>

#include "absl/status/statusor.h"
#include "bench/live_page.h"
#include "bench/measure.h"
#include "benchmark/benchmark.h"
#include "clocks/native.h"
#include "fallback/syscall.h"
#include "hosted/clock.h"
#include "hosted/mapped_image.h"
#include "hosted/rseq_cpu.h"
#include "hosted/shared_page.h"
#include "vdso/embedded_image.h"
#include "vvar/page.h"
#include "vvar/timekeeper.h"
#include "vvar/writer.h"

namespace vvar::bench {
namespace {

using benchmark::State;
using fallback::VdsoFunctions;

VdsoFunctions OnPage(int page_fd) {
  // For ever, as those of programs.
  static auto* const images =
      new std::deque<absl::StatusOr<hosted::MappedImage>>();
  return images
      ->emplace_back(hosted::MappedImage::Map(
          vdso::EmbeddedImage().data(), vdso::EmbeddedImage().size(), page_fd))
      ->functions();
}
const VdsoFunctions& Ours() {
  static const VdsoFunctions functions =
      OnPage(hosted::ProcessClock().page_fd());
  return functions;
}
/// On a page as a kernel has it, whose writer does not die. Nobody updates it:
/// for coarse clocks only.
const VdsoFunctions& OursInAKernel() {
  static const VdsoFunctions functions = [] {
    static auto* const page = new absl::StatusOr<hosted::WritablePage>(
        hosted::WritablePage::CreateAnonymous(
            {NativeClock::kCounterId, NativeClock::kCounterBits, CounterHz(), 1,
             VVAR_FEATURE_USER_COUNTER | VVAR_FEATURE_SYSTEM_WRITER, 1, 1,
             1'000'000}));
    Timekeeper timekeeper({NativeClock::kCounterId, NativeClock::kCounterBits,
                           CounterHz(), 1'000, 1'000'000, 1'000'000'000});
    timekeeper.Start(Counter().Read(), {});
    Writer<NativeClock>(&(*page)->bytes().timeline[0], Counter())
        .PublishLine(timekeeper.line());
    return OnPage((*page)->fd());
  }();
  return functions;
}
const VdsoFunctions& Kernels() {
  static const VdsoFunctions functions = hosted::SystemVdso();
  return functions;
}
const VdsoFunctions& Syscalls() {
  static const VdsoFunctions functions = {
      .clock_gettime =
          [](int32_t id, fallback::KernelOldTimespec* now) {
            return fallback::CallKernel(fallback::kSyscalls.clock_gettime, id,
                                        now);
          },
      .clock_getres =
          [](int32_t id, fallback::KernelOldTimespec* step) {
            return fallback::CallKernel(fallback::kSyscalls.clock_getres, id,
                                        step);
          },
      .gettimeofday =
          [](fallback::KernelTimeval* now, fallback::KernelTimezone* zone) {
            return fallback::Gettimeofday(now, zone);
          },
      .time = [](intptr_t* now) { return fallback::Time(now); },
      .getcpu = [](uint32_t* cpu, uint32_t* node,
                   void*) { return fallback::GetCpu(cpu, node); }};
  return functions;
}

using Functions = const VdsoFunctions& (*)();

void ClockGettime(State& state, Functions functions, int32_t id) {
  const auto clock_gettime = functions().clock_gettime;
  fallback::KernelOldTimespec now;
  Measure(state, [&] {
    Keep(clock_gettime(id, &now));
    Keep(now.tv_sec, now.tv_nsec);
  });
}
void ClockGetres(State& state, Functions functions) {
  const auto clock_getres = functions().clock_getres;
  fallback::KernelOldTimespec step;
  Measure(state, [&] {
    Keep(clock_getres(CLOCK_MONOTONIC, &step));
    Keep(step.tv_nsec);
  });
}
void Gettimeofday(State& state, Functions functions) {
  const auto gettimeofday = functions().gettimeofday;
  fallback::KernelTimeval now;
  Measure(state, [&] {
    Keep(gettimeofday(&now, nullptr));
    Keep(now.tv_sec, now.tv_usec);
  });
}
void Time(State& state, Functions functions) {
  const auto time = functions().time;
  Measure(state, [&] { Keep(time(nullptr)); });
}
void GetCpu(State& state, Functions functions) {
  const auto getcpu = functions().getcpu;
  uint32_t cpu;
  Measure(state, [&] {
    Keep(getcpu(&cpu, nullptr, nullptr));
    Keep(cpu);
  });
}
/// The hosted side's, which needs no image. Inlined, as its callers have it.
template <class Current>
void CurrentCpu(State& state, Current current) {
  Measure(state, [&] { Keep(current().cpu); });
}

#define VVAR_OF_EACH(name, function, ...)                              \
  BENCHMARK_CAPTURE(function, Image_##name, Ours, ##__VA_ARGS__)       \
      ->Name("BM_Image_" #name);                                       \
  BENCHMARK_CAPTURE(function, Vdso_##name, Kernels, ##__VA_ARGS__)     \
      ->Name("BM_Baseline_Vdso_" #name);                               \
  BENCHMARK_CAPTURE(function, Syscall_##name, Syscalls, ##__VA_ARGS__) \
      ->Name("BM_Baseline_Syscall_" #name)

VVAR_OF_EACH(Monotonic, ClockGettime, CLOCK_MONOTONIC);
VVAR_OF_EACH(Realtime, ClockGettime, CLOCK_REALTIME);
VVAR_OF_EACH(MonotonicRaw, ClockGettime, CLOCK_MONOTONIC_RAW);
VVAR_OF_EACH(Boottime, ClockGettime, CLOCK_BOOTTIME);
VVAR_OF_EACH(Tai, ClockGettime, CLOCK_TAI);
VVAR_OF_EACH(MonotonicCoarse, ClockGettime, CLOCK_MONOTONIC_COARSE);
BENCHMARK_CAPTURE(ClockGettime, Kernel_MonotonicCoarse, OursInAKernel,
                  CLOCK_MONOTONIC_COARSE)
    ->Name("BM_Image_MonotonicCoarse_SystemWriter");
VVAR_OF_EACH(Getres, ClockGetres);
VVAR_OF_EACH(Gettimeofday, Gettimeofday);
BENCHMARK_CAPTURE(Time, Kernel_Time, OursInAKernel)
    ->Name("BM_Image_Time_SystemWriter");
VVAR_OF_EACH(Time, Time);
VVAR_OF_EACH(Getcpu, GetCpu);
BENCHMARK_CAPTURE(CurrentCpu, Rseq, [] {
  return hosted::CurrentCpu();
})->Name("BM_Hosted_CurrentCpu_Rseq");
BENCHMARK_CAPTURE(CurrentCpu, WithoutRseq, hosted::CurrentCpuWithoutRseq)
    ->Name("BM_Hosted_CurrentCpu_WithoutRseq");

}  // namespace
}  // namespace vvar::bench

int main(int argc, char** argv) {
  return vvar::bench::RunOnLivePage(argc, argv);
}
