// SPDX-License-Identifier: MIT
//
// Reads the time one instruction at a time and prints each instruction, with
// the registers that it found, as JSON; bench/instructions.py counts them and
// the cache lines. Nothing is timed: a busy machine gives the same figures.
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <ucontext.h>

#include <chrono>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "bench/beside.h"
#include "bench/comparisons.h"
#include "bench/measure.h"
#include "clocks/native.h"
#include "fallback/syscall.h"
#include "hosted/clock.h"
#include "tests/support/single_step.h"
#include "vvar/page.h"
#include "vvar/reader.h"
#include "vvar/reading.h"
#include "vvar/seqcount.h"

namespace vvar::bench {
namespace {

/// What is read. Nobody writes to it meanwhile: each read takes one try.
struct Pages {
  std::optional<Domain> current;
  std::optional<Domain> dated;
  Reader<NativeClock> reader;
  Reader<NativeClock> reader_of_dated;
  NativeClock counter = Counter();
  Seqlock<PlainLine> seqlock;
  PlainLatch<PlainLine> latch;
  fallback::VdsoFunctions vdso = hosted::SystemVdso();

  /// Makes every line anew: products of young ones are short.
  void Refresh() {
    reader = current.emplace(/*lead_ns=*/0).MakeReader();
    dated.emplace(/*lead_ns=*/80'000'000).Publish();
    reader_of_dated = dated->MakeReader();  // Of its previous line.
    seqlock.Store(LineFromNow());
    latch.Store(LineFromNow());
  }
};
// Made by main(). A pointer, as what a program passes on.
Pages* pages;

constexpr ClockId kId = ClockId::kMonotonic;

struct Subject {
  const char* name;
  void (*read)();
};
constexpr Subject kSubjects[] = {
    {"counter, ordered", [] { Keep(pages->counter.Read()); }},
    {"counter, unordered", [] { Keep(pages->counter.ReadUnordered()); }},
    {"vvar ordered", [] { KeepTime(pages->reader.Now(kId)); }},
    {"vvar ordered, previous line",
     [] { KeepTime(pages->reader_of_dated.Now(kId)); }},
    {"vvar unordered", [] { KeepTime(pages->reader.NowUnordered(kId)); }},
    {"vvar timespec", [] { KeepTime(pages->reader.NowTimespec(kId)); }},
    {"vvar interval", [] { KeepTime(pages->reader.Interval(kId)); }},
    {"vvar coarse",
     [] { KeepTime(pages->reader.NowCoarse(ClockId::kMonotonicCoarse)); }},
    {"vvar snapshot, all clocks",
     [] {
       SnapshotReading all;
       Keep(pages->reader.Snapshot(&all), &all);
     }},
    {"plain seqlock, ordered",
     [] { KeepTime(NowOf(pages->seqlock, pages->counter)); }},
    {"plain latch, ordered",
     [] { KeepTime(NowOf(pages->latch, pages->counter)); }},
    {"vDSO by pointer",
     [] {
       fallback::KernelOldTimespec now;
       pages->vdso.clock_gettime(CLOCK_MONOTONIC, &now);
       Keep(now.tv_sec, now.tv_nsec);
     }},
    {"clock_gettime",
     [] {
       timespec now;
       clock_gettime(CLOCK_MONOTONIC, &now);
       Keep(now.tv_sec, now.tv_nsec);
     }},
    {"std::chrono::steady_clock",
     [] { Keep(std::chrono::steady_clock::now().time_since_epoch().count()); }},
    // Not Abseil's: it takes samples until one was quick, and none is here.
};

// --- One instruction at a time -----------------------------------------------

constexpr int kRegisters[] = {REG_RIP, REG_RAX, REG_RBX, REG_RCX, REG_RDX,
                              REG_RSI, REG_RDI, REG_RBP, REG_RSP, REG_R8,
                              REG_R9,  REG_R10, REG_R11, REG_R12, REG_R13,
                              REG_R14, REG_R15};
constexpr const char* kRegisterNames =
    R"(["rip","rax","rbx","rcx","rdx","rsi","rdi","rbp","rsp","r8",)"
    R"("r9","r10","r11","r12","r13","r14","r15"])";

struct Step {
  uint64_t registers[std::size(kRegisters)];
};
struct Trace {
  uint64_t entry;
  uint64_t caller_rsp;  ///< 0: not there yet.
  bool is_over;
  size_t length;
  Step steps[4096];
};
Trace trace;

/// Notes what is about to be executed, from the entry to the return.
void OnInstruction(uint64_t /*instruction*/) {
  const uint64_t rip = support::StoppedRegister(REG_RIP);
  const uint64_t rsp = support::StoppedRegister(REG_RSP);
  if (trace.caller_rsp == 0 && rip == trace.entry) trace.caller_rsp = rsp + 8;
  if (trace.caller_rsp == 0 || trace.is_over) return;
  if (rsp == trace.caller_rsp || trace.length == std::size(trace.steps)) {
    trace.is_over = true;
    return;
  }
  Step& step = trace.steps[trace.length++];
  for (size_t i = 0; i < std::size(kRegisters); ++i) {
    step.registers[i] = support::StoppedRegister(kRegisters[i]);
  }
}

std::string ToHex(const uint8_t* bytes, size_t count) {
  std::string text;
  char two[3];
  for (size_t i = 0; i < count; ++i) {
    snprintf(two, sizeof two, "%02x", bytes[i]);
    text += two;
  }
  return text;
}

// The bytes of each instruction, by its address: no longer than these.
constexpr size_t kLongest = 15;
std::map<uint64_t, std::string> code;

/// Prints [[register, ...], ...], one for each instruction of one read.
void PrintTrace(void (*read)()) {
  pages->Refresh();
  trace = {};
  trace.entry = reinterpret_cast<uint64_t>(read);
  support::SingleStep([read] { read(); }, OnInstruction);
  printf("[");
  for (size_t i = 0; i < trace.length; ++i) {
    const Step& step = trace.steps[i];
    printf("%s[", i == 0 ? "" : ",");
    for (size_t j = 0; j < std::size(kRegisters); ++j) {
      printf("%s%ju", j == 0 ? "" : ",", uintmax_t{step.registers[j]});
    }
    printf("]");
    const uint64_t rip = step.registers[0];
    code[rip] = ToHex(reinterpret_cast<const uint8_t*>(rip), kLongest);
  }
  printf("]");
}

/// Prints {name: [from, to], ...}: whose lines the pages' are.
template <class Object>
void PrintRegion(const char* name, const Object& object) {
  const auto from = reinterpret_cast<uintptr_t>(&object);
  printf("[\"%s\",%ju,%ju],\n", name, uintmax_t{from},
         uintmax_t{from + sizeof object});
}
void PrintRegions() {
  PrintRegion("page", pages->current->timeline());
  PrintRegion("page", pages->dated->timeline());
  PrintRegion("page", pages->seqlock);
  PrintRegion("page", pages->latch);
  FILE* const maps = fopen("/proc/self/maps", "r");
  char line[512];
  while (maps != nullptr && fgets(line, sizeof line, maps) != nullptr) {
    uintmax_t from = 0;
    uintmax_t to = 0;
    if (strstr(line, "[vvar") != nullptr &&
        sscanf(line, "%jx-%jx", &from, &to) == 2) {
      printf("[\"page\",%ju,%ju],\n", from, to);
    }
  }
  if (maps != nullptr) fclose(maps);
  PrintRegion("reader", *pages);  // What is left of it.
}

int Run() {
  // The kernel's own page may be rewritten meanwhile: the usual one counts.
  constexpr int kRuns = 9;
  static Pages the_pages;
  pages = &the_pages;
  pages->Refresh();
  printf("{\"registers\":%s,\n\"fs_base\":%ju,\n\"subjects\":[\n",
         kRegisterNames,
         uintmax_t{reinterpret_cast<uintptr_t>(__builtin_thread_pointer())});
  for (const Subject& subject : kSubjects) {
    if (subject.name != kSubjects[0].name) printf(",\n");
    printf("{\"name\":\"%s\",\"runs\":[", subject.name);
    subject.read();  // What is done once is done: PLT, calibration.
    for (int run = 0; run < kRuns; ++run) {
      if (run != 0) printf(",\n");
      PrintTrace(subject.read);
    }
    printf("]}");
  }
  printf("],\n\"regions\":[\n");
  PrintRegions();
  printf("[\"\",0,0]],\n\"code\":{\n");
  for (const auto& [rip, bytes] : code) {
    printf("%s\"%ju\":\"%s\"", rip == code.begin()->first ? "" : ",\n",
           uintmax_t{rip}, bytes.c_str());
  }
  printf("}}\n");
  return 0;
}

}  // namespace
}  // namespace vvar::bench

int main() { return vvar::bench::Run(); }
