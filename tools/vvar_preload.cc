// SPDX-License-Identifier: MIT
//
// The library for LD_PRELOAD: what programs ask libc's clocks, from a page. One
// file for any libc, so it needs none: raw system calls, and of libc what is
// there when it is (weak). It never makes a program fail: whatever is amiss,
// the kernel's vDSO answers. It attaches once, before the program's first
// constructor; after that nobody waits, locks, opens or allocates anything.
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "clocks/native.h"
#include "fallback/syscall.h"
#include "fallback/vdso_symbol.h"
#include "hosted/page_path.h"
#include "hosted/timens_offsets.h"
#include "vdso/image.h"
#include "vvar/header.h"
#include "vvar/offset.h"
#include "vvar/page.h"
#include "vvar/seqcount.h"

namespace fallback = vvar::fallback;

// Null where there is no such thing, and as long as this library has not been
// relocated: resolvers of other libraries may call it before.
extern "C" {
[[gnu::weak]] unsigned long getauxval(unsigned long type);
[[gnu::weak]] int* __errno_location();
[[gnu::weak]] void* dlsym(void* handle, const char* name);
[[gnu::weak]] const char* gnu_get_libc_version();
[[gnu::weak]] extern char** environ;
}

namespace {

static_assert(sizeof(void*) == 8, "libc's structures are not the kernel's");

/// All that this library knows. Nothing of it changes once `ready` is 1:
/// before, there is no page and no vDSO. Zero needs no relocation.
struct State {
  uint32_t ready;
  const vvar_page* page;  ///< Null: none.
  vvar_offsets offsets;   ///< Of the process's time namespace.
  fallback::VdsoFunctions vdso;
};
constinit State state = {};
constinit vvar_page no_page = {};

// Ordering: with StoreRelease in Begin(): who sees 1 sees the rest.
[[gnu::always_inline]] inline bool IsReady() {
  return vvar::PageMemory::LoadAcquire(state.ready) != 0;
}

/// The page that was attached, or one that answers nothing; and the kernel's
/// vDSO, or the kernel.
struct PreloadSurroundings {
  static const vvar_page& Page() {
    return IsReady() && state.page != nullptr ? *state.page : no_page;
  }
  static const vvar_offsets& Offsets() { return state.offsets; }

  static int32_t ClockGettime(int32_t id, fallback::KernelOldTimespec* now) {
    const auto ask = IsReady() ? state.vdso.clock_gettime : nullptr;
    return ask != nullptr
               ? ask(id, now)
               : vvar::vdso::ImageSurroundings::ClockGettime(id, now);
  }
  static int32_t ClockGetres(int32_t id, fallback::KernelOldTimespec* step) {
    const auto ask = IsReady() ? state.vdso.clock_getres : nullptr;
    return ask != nullptr
               ? ask(id, step)
               : vvar::vdso::ImageSurroundings::ClockGetres(id, step);
  }
  static int32_t Gettimeofday(fallback::KernelTimeval* now,
                              fallback::KernelTimezone* zone) {
    const auto ask = IsReady() ? state.vdso.gettimeofday : nullptr;
    return ask != nullptr
               ? ask(now, zone)
               : vvar::vdso::ImageSurroundings::Gettimeofday(now, zone);
  }
  static intptr_t Time(intptr_t* now) {
    const auto ask = IsReady() ? state.vdso.time : nullptr;
    return ask != nullptr ? ask(now) : vvar::vdso::ImageSurroundings::Time(now);
  }
};

// --- Attaching -------------------------------------------------------------

/// -errno, as the kernel returns it.
constexpr bool IsError(intptr_t result) {
  return result < 0 && result >= -4095;
}
intptr_t AddressOf(const void* bytes) {
  return reinterpret_cast<intptr_t>(bytes);
}

intptr_t Open(const char* path) {
  // O_NONBLOCK: what is not a file may not make us wait either.
  return fallback::EnterKernel(SYS_openat, AT_FDCWD, AddressOf(path),
                               O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0,
                               0, 0);
}
void Close(intptr_t fd) { fallback::EnterKernel(SYS_close, fd, 0, 0); }

/// Reads up to `size` bytes of a file. Error: -errno.
intptr_t ReadFile(const char* path, void* bytes, intptr_t size) {
  const intptr_t fd = Open(path);
  if (IsError(fd)) return fd;
  const intptr_t got =
      fallback::EnterKernel(SYS_read, fd, AddressOf(bytes), size);
  Close(fd);
  return got;
}

/// With its NUL. Source: Linux, PATH_MAX in include/uapi/linux/limits.h.
constexpr size_t kLongestPath = 4096;

/// A text on the stack; what does not fit is cut off.
template <size_t kRoom>
struct Text {
  char bytes[kRoom];
  size_t size = 0;

  /// Returns whether it fitted, with a NUL to follow.
  bool Add(const char* more) {
    while (*more != 0 && size < kRoom - 1) bytes[size++] = *more++;
    bytes[size] = 0;
    return *more == 0;
  }
};

bool Same(const char* a, const char* b) {
  while (*a != 0 && *a == *b) {
    ++a;
    ++b;
  }
  return *a == *b;
}

/// Reads a link; returns whether that is possible and it is not cut off.
bool ReadLink(const char* path, Text<64>* target) {
  const intptr_t size =
      fallback::EnterKernel(SYS_readlinkat, AT_FDCWD, AddressOf(path),
                            AddressOf(target->bytes), 63, 0, 0);
  if (size <= 0 || size >= 63) return false;
  target->size = static_cast<size_t>(size);
  target->bytes[size] = 0;
  return true;
}

/// Finds the offsets of this process's time namespace. Error: why not, or null.
/// As hosted::TimeNamespaceOffsets(), but who cannot tell has no page: it is
/// not known that it needs none.
const char* FindOffsets(vvar::ClockOffsets* offsets) {
  Text<64> own, children;
  if (!ReadLink("/proc/self/ns/time", &own)) {
    // A kernel without time namespaces has others.
    return ReadLink("/proc/self/ns/mnt", &own)
               ? nullptr
               : "/proc/self/ns/time cannot be read";
  }
  if (Same(own.bytes, vvar::hosted::kInitialTimeNamespace)) return nullptr;
  if (!ReadLink("/proc/self/ns/time_for_children", &children) ||
      !Same(own.bytes, children.bytes)) {
    return "the kernel tells the offsets of the children's time namespace only";
  }
  char text[256];
  const intptr_t size =
      ReadFile("/proc/self/timens_offsets", text, sizeof(text));
  if (IsError(size)) return "/proc/self/timens_offsets cannot be read";
  const vvar::hosted::TimensOffsets read =
      vvar::hosted::ReadTimensOffsets(text, static_cast<size_t>(size));
  if (!read.ok()) return "/proc/self/timens_offsets is not understood";
  *offsets = read.offsets;
  return nullptr;
}

/// Returns why these bytes are no page for this process, or null.
const char* CheckPage(const vvar_page& page) {
  const vvar_timeline* timeline = nullptr;
  switch (vvar::FindTimeline(&page, VVAR_PAGE_SIZE,
                             vvar::NativeClock::kCounterId,
                             vvar::NativeClock::kCounterBits, 0, &timeline)) {
    case vvar::PageStatus::kOk:
      // The functions take it from where this ABI has it.
      return timeline == &page.timeline[0] ? nullptr : "of another layout";
    case vvar::PageStatus::kTooSmall:
      return "truncated";
    case vvar::PageStatus::kBadMagic:
      return "not a page, or not begun";
    case vvar::PageStatus::kWrongEndian:
      return "of another byte order";
    case vvar::PageStatus::kWrongMajor:
      return "of another ABI major";
    case vvar::PageStatus::kBadLayout:
      return "damaged: its timelines do not fit";
    case vvar::PageStatus::kWrongCounter:
      return "for another counter";
  }
  return "damaged";
}

/// Maps the page and finds the offsets for it. Error: why not, or null.
const char* Attach(const char* path) {
  const intptr_t fd = Open(path);
  if (fd == -ENOENT) return "no such file";
  if (fd == -EACCES) return "permission denied";
  if (IsError(fd)) return "cannot be opened";
  // Read first: what is shorter than its mapping would raise SIGBUS.
  alignas(vvar_page) char bytes[VVAR_PAGE_SIZE];
  const intptr_t size =
      fallback::EnterKernel(SYS_read, fd, AddressOf(bytes), sizeof(bytes));
  const char* problem =
      size == sizeof(bytes)
          ? CheckPage(*reinterpret_cast<const vvar_page*>(bytes))
          : "truncated, or not a file";
  vvar::ClockOffsets offsets;
  if (problem == nullptr) problem = FindOffsets(&offsets);
  if (problem == nullptr) {
    const intptr_t address = fallback::EnterKernel(
        SYS_mmap, 0, VVAR_PAGE_SIZE, PROT_READ, MAP_SHARED, fd, 0);
    if (IsError(address)) {
      problem = "cannot be mapped";
    } else {
      vvar::FormatOffsets(state.offsets, offsets);
      state.page = reinterpret_cast<const vvar_page*>(address);
    }
  }
  Close(fd);
  return problem;
}

/// Returns a variable's value, "" if it is not there.
const char* Variable(char** variables, const char* name) {
  for (; variables != nullptr && *variables != nullptr; ++variables) {
    const char* at = *variables;
    const char* wanted = name;
    while (*wanted != 0 && *at == *wanted) {
      ++at;
      ++wanted;
    }
    if (*wanted == 0 && *at == '=') return at + 1;
  }
  return "";
}

/// One write(): lines of several processes do not mix.
void Tell(const char* path, const char* problem) {
  Text<kLongestPath + 128> line;
  line.Add("vvar_preload: ");
  line.Add(path);
  line.Add(problem == nullptr ? ": attached" : ": ");
  line.Add(problem == nullptr ? "" : problem);
  line.Add(problem == nullptr ? "" : "; the system answers");
  line.Add("\n");
  fallback::EnterKernel(SYS_write, 2, AddressOf(line.bytes),
                        static_cast<intptr_t>(line.size));
}

/// Attaches to the page that the environment names, and tells it if asked to.
void AttachAsTold(char** variables) {
  const char* name = Variable(variables, "VVAR_PAGE");
  size_t length = 0;
  while (name[length] != 0) ++length;
  Text<kLongestPath> path;
  const bool fits =
      path.Add(vvar::hosted::PagePathPrefix(name, length)) && path.Add(name);
  const char* problem = nullptr;
  if (length == 0) {
    problem = "VVAR_PAGE names none";
  } else if (!fits) {
    problem = "too long for a path";
  } else if (getauxval == nullptr || getauxval(AT_SECURE) != 0) {
    problem = "the program has more rights than who started it";
  } else {
    problem = Attach(path.bytes);
  }
  if (*Variable(variables, "VVAR_PRELOAD_DEBUG") != 0) {
    Tell(length == 0 ? "no page" : path.bytes, problem);
  }
}

/// Source: ld.so and musl's ldso: glibc calls constructors with main()'s
/// arguments, maybe before `environ` is set; musl with none, and after.
[[gnu::constructor]] void Begin(int /*argc*/, char** /*argv*/,
                                char** main_variables) {
  if (getauxval != nullptr) {
    // It sets errno if there is none, and programs begin with 0.
    const int error = __errno_location != nullptr ? *__errno_location() : 0;
    state.vdso = fallback::FindVdsoFunctions(
        fallback::VdsoImage::FromMappedByKernel(getauxval(AT_SYSINFO_EHDR)));
    if (__errno_location != nullptr) *__errno_location() = error;
  }
  char** variables = &environ != nullptr ? environ : nullptr;
  if (variables == nullptr && gnu_get_libc_version != nullptr) {
    variables = main_variables;
  }
  AttachAsTold(variables);
  // Ordering: the page, the offsets and the vDSO before who sees this.
  vvar::PageMemory::StoreRelease(state.ready, 1);
}

// --- What programs call ----------------------------------------------------

/// Turns -errno into libc's convention.
template <class Result>
[[gnu::always_inline]] inline Result Return(Result result) {
  if (!IsError(result)) [[likely]]
    return result;
  if (__errno_location != nullptr) {
    *__errno_location() = static_cast<int>(-result);
  }
  return -1;
}

}  // namespace

extern "C" {

VVAR_EXPORTED int clock_gettime(int32_t id, fallback::KernelOldTimespec* now) {
  return Return(vvar::vdso::ClockGettime<PreloadSurroundings>(id, now));
}

VVAR_EXPORTED int clock_getres(int32_t id, fallback::KernelOldTimespec* step) {
  return Return(vvar::vdso::ClockGetres<PreloadSurroundings>(id, step));
}

VVAR_EXPORTED int gettimeofday(fallback::KernelTimeval* now,
                               fallback::KernelTimezone* zone) {
  return Return(vvar::vdso::Gettimeofday<PreloadSurroundings>(now, zone));
}

VVAR_EXPORTED intptr_t time(intptr_t* now) {
  return Return(vvar::vdso::Time<PreloadSurroundings>(now));
}

/// Other bases than UTC are libc's, where it has any.
VVAR_EXPORTED int timespec_get(fallback::KernelOldTimespec* now, int base) {
  constexpr int kUtc = 1;
  if (base == kUtc) {
    const int32_t error = vvar::vdso::ClockGettime<PreloadSurroundings>(
        static_cast<int32_t>(vvar::ClockId::kRealtime), now);
    return Return(error) == 0 ? base : 0;
  }
  const auto next =
      reinterpret_cast<int (*)(fallback::KernelOldTimespec*, int)>(
          dlsym != nullptr
              ? dlsym(reinterpret_cast<void*>(intptr_t{-1}), "timespec_get")
              : nullptr);
  return next != nullptr ? next(now, base) : 0;
}

}  // extern "C"
