// SPDX-License-Identifier: MIT
//
// The chain and what it stands on, instantiated on the native counter, as a
// program without a C library would use them. Its object must need nothing from
// outside (the freestanding matrix runs nm -u on it, for each ISA and
// compiler).
#include <stddef.h>
#include <stdint.h>

#include "fallback/chain.h"
#include "fallback/syscall.h"
#include "fallback/vdso_symbol.h"

using vvar::NativeClock;
using vvar::Reader;
using vvar::fallback::Chain;
using vvar::fallback::ChainReading;
using vvar::fallback::VdsoFunctions;
using vvar::fallback::VdsoImage;
using vvar::fallback::VdsoLookup;

// What <new> would declare: such a program constructs its objects in place.
struct InPlace {
  void* at;
};
void* operator new(size_t, InPlace place) noexcept { return place.at; }

extern "C" {

void find_vdso(const uintptr_t* auxv, VdsoFunctions* functions) {
  new (InPlace{functions}) VdsoFunctions(vvar::fallback::FindVdsoFunctions(
      VdsoImage::FromMappedByKernel(vvar::fallback::FindVdsoInAuxv(auxv))));
}
VdsoLookup find_symbol(const void* image, uint64_t size, const char* name) {
  return VdsoImage(image, size).Find(name, "LINUX_2.6", "__vdso_");
}
void make_without_page(Chain<>* chain) { new (InPlace{chain}) Chain<>(); }
void make(Chain<>* chain, const Reader<NativeClock>* page,
          const VdsoFunctions* vdso) {
  new (InPlace{chain}) Chain<>(*page, *vdso);
}
void now(const Chain<>* chain, int32_t id, ChainReading* reading) {
  new (InPlace{reading}) ChainReading(chain->Now(id));
}
void now_unordered(const Chain<>* chain, int32_t id, ChainReading* reading) {
  new (InPlace{reading}) ChainReading(chain->NowUnordered(id));
}
uint64_t now_ns(const Chain<>* chain, int32_t id) {
  return chain->Now(id).ns();
}

}  // extern "C"
