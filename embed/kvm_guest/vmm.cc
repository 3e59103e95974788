// SPDX-License-Identifier: MIT
//
// See vmm.h. Makes a VM; run_loop.cc runs it.
// Source: Linux Documentation/virt/kvm/api.rst.
#include "embed/kvm_guest/vmm.h"

#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include <iterator>

#include "absl/strings/str_cat.h"

namespace vvar::kvm_guest {
namespace {

constexpr size_t kPageSize = 4096;

// kvm_cpuid2 of <linux/kvm.h> ends with an array without a length, which has an
// empty struct before it: in C++ that takes 4 bytes, and the size is part of
// the ioctls' numbers.
struct Cpuid {
  uint32_t count;
  uint32_t padding;
  kvm_cpuid_entry2 entries[256];
};
constexpr unsigned long kGetSupportedCpuid =
    _IOC(_IOC_READ | _IOC_WRITE, KVMIO, 0x05, 8);
constexpr unsigned long kSetCpuid = _IOC(_IOC_WRITE, KVMIO, 0x90, 8);

}  // namespace

absl::StatusOr<std::unique_ptr<Vm>> Vm::Create(std::string_view image) {
  if (image.size() > kStackTop - kImage) {
    return absl::InvalidArgumentError(
        absl::StrCat("guest image: ", image.size(), " bytes; expected at most ",
                     kStackTop - kImage));
  }
  auto vm = std::unique_ptr<Vm>(new Vm);
  if (absl::Status status = vm->MakeVm(); !status.ok()) return status;
  if (absl::Status status = vm->MakeVcpu(); !status.ok()) return status;
  vm->FillPageTables();
  memcpy(vm->At<char>(kImage), image.data(), image.size());
  if (absl::Status status = vm->SetRegisters(); !status.ok()) return status;
  return vm;
}

absl::Status Vm::MakeVm() {
  kvm_ = Descriptor(open("/dev/kvm", O_RDWR | O_CLOEXEC));
  if (kvm_.get() < 0) return Unusable("/dev/kvm");
  vm_ = Descriptor(ioctl(kvm_.get(), KVM_CREATE_VM, 0));
  if (vm_.get() < 0) return Unusable("KVM_CREATE_VM");
  if (ioctl(vm_.get(), KVM_CHECK_EXTENSION, KVM_CAP_READONLY_MEM) <= 0) {
    return absl::UnavailableError("KVM_CAP_READONLY_MEM is 0");
  }
  // Intel without "unrestricted guest" wants three pages for itself.
  constexpr unsigned long kTssAddress = 0xfffb'd000;
  if (ioctl(vm_.get(), KVM_SET_TSS_ADDR, kTssAddress) < 0) {
    return Failed("KVM_SET_TSS_ADDR");
  }
  absl::StatusOr<Mapping> ram =
      Mapping::Map(kRamSize, PROT_READ | PROT_WRITE, -1, "guest RAM");
  if (!ram.ok()) return ram.status();
  ram_ = *std::move(ram);
  return AddSlot(0, kRamSize, 0, ram_.address());
}

absl::Status Vm::MakeVcpu() {
  vcpu_ = Descriptor(ioctl(vm_.get(), KVM_CREATE_VCPU, 0));
  if (vcpu_.get() < 0) return Unusable("KVM_CREATE_VCPU");
  const int size = ioctl(kvm_.get(), KVM_GET_VCPU_MMAP_SIZE, 0);
  if (size < 0) return Failed("KVM_GET_VCPU_MMAP_SIZE");
  absl::StatusOr<Mapping> run =
      Mapping::Map(static_cast<size_t>(size), PROT_READ | PROT_WRITE,
                   vcpu_.get(), "kvm_run");
  if (!run.ok()) return run.status();
  run_mapping_ = *std::move(run);
  run_ = static_cast<kvm_run*>(run_mapping_.address());
  if (absl::Status status = SetCpuid(); !status.ok()) return status;
  return SetTscOffset();
}

absl::Status Vm::SetCpuid() {
  Cpuid cpuid = {};
  cpuid.count = std::size(cpuid.entries);
  if (ioctl(kvm_.get(), kGetSupportedCpuid, &cpuid) < 0) {
    return Failed("KVM_GET_SUPPORTED_CPUID");
  }
  for (uint32_t i = 0; i < cpuid.count; ++i) {
    // Source: Linux Documentation/virt/kvm/x86/cpuid.rst: CLOCKSOURCE2.
    if (cpuid.entries[i].function == 0x4000'0001) {
      offers_kvmclock_ = (cpuid.entries[i].eax >> 3 & 1) != 0;
    }
  }
  return ioctl(vcpu_.get(), kSetCpuid, &cpuid) < 0 ? Failed("KVM_SET_CPUID2")
                                                   : absl::OkStatus();
}

// Asks for the host's own counter. Whether the vCPU gets it, or keeps another
// offset, is TscOffset()'s to say: KVM may accept the call and do nothing.
absl::Status Vm::SetTscOffset() {
  uint64_t zero = 0;
  kvm_device_attr attribute = {};
  attribute.group = KVM_VCPU_TSC_CTRL;
  attribute.attr = KVM_VCPU_TSC_OFFSET;
  attribute.addr = reinterpret_cast<uintptr_t>(&zero);
  (void)ioctl(vcpu_.get(), KVM_SET_DEVICE_ATTR, &attribute);
  return absl::OkStatus();
}

absl::StatusOr<uint64_t> Vm::TscOffset() const {
  uint64_t offset = 0;
  kvm_device_attr attribute = {};
  attribute.group = KVM_VCPU_TSC_CTRL;
  attribute.attr = KVM_VCPU_TSC_OFFSET;
  attribute.addr = reinterpret_cast<uintptr_t>(&offset);
  if (ioctl(vcpu_.get(), KVM_GET_DEVICE_ATTR, &attribute) < 0) {
    return Unusable("KVM_VCPU_TSC_OFFSET");
  }
  return offset;
}

absl::StatusOr<uint64_t> Vm::KvmClockNs() const {
  kvm_clock_data data = {};
  if (ioctl(vm_.get(), KVM_GET_CLOCK, &data) < 0) {
    return Unusable("KVM_GET_CLOCK");
  }
  return uint64_t{data.clock};
}

absl::Status Vm::AddSlot(uint64_t guest_address, size_t size, uint32_t flags,
                         const void* memory) {
  kvm_userspace_memory_region region = {};
  region.slot = static_cast<uint32_t>(read_only_.size());
  region.flags = flags;
  region.guest_phys_addr = guest_address;
  region.memory_size = size;
  region.userspace_addr = reinterpret_cast<uintptr_t>(memory);
  return ioctl(vm_.get(), KVM_SET_USER_MEMORY_REGION, &region) < 0
             ? Failed("KVM_SET_USER_MEMORY_REGION")
             : absl::OkStatus();
}

absl::Status Vm::MapReadOnly(uint64_t guest_address, int fd) {
  // Not even this process's own mapping for the guest could be written.
  absl::StatusOr<Mapping> page =
      Mapping::Map(kPageSize, PROT_READ, fd, "read-only slot");
  if (!page.ok()) return page.status();
  read_only_.push_back(*std::move(page));
  return AddSlot(guest_address, kPageSize, KVM_MEM_READONLY,
                 read_only_.back().address());
}

// The first GiB one to one, in pages of 2 MiB, for both rings.
void Vm::FillPageTables() {
  constexpr uint64_t kPresentWritableUser = 7;
  constexpr uint64_t kLarge = 0x80;
  constexpr uint64_t kLargePage = 0x20'0000;
  auto* level4 = At<uint64_t>(kPageTables);
  auto* level3 = At<uint64_t>(kPageTables + kPageSize);
  auto* level2 = At<uint64_t>(kPageTables + 2 * kPageSize);
  level4[0] = (kPageTables + kPageSize) | kPresentWritableUser;
  level3[0] = (kPageTables + 2 * kPageSize) | kPresentWritableUser;
  for (uint64_t i = 0; i < 512; ++i) {
    level2[i] = i * kLargePage | kPresentWritableUser | kLarge;
  }
}

absl::Status Vm::HandleMsrs(std::function<bool(MsrAccess&)> handler) {
  kvm_enable_cap capability = {};
  capability.cap = KVM_CAP_X86_USER_SPACE_MSR;
  capability.args[0] = KVM_MSR_EXIT_REASON_INVAL | KVM_MSR_EXIT_REASON_UNKNOWN |
                       KVM_MSR_EXIT_REASON_FILTER;
  if (ioctl(vm_.get(), KVM_ENABLE_CAP, &capability) < 0) {
    return Unusable("KVM_CAP_X86_USER_SPACE_MSR");
  }
  msr_handler_ = std::move(handler);
  return absl::OkStatus();
}

}  // namespace vvar::kvm_guest
