// SPDX-License-Identifier: MIT
//
// What is mapped, and where there is room.
#include "hosted/memory_map.h"

#include <gtest/gtest.h>
#include <stdint.h>
#include <unistd.h>

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace vvar::hosted {
namespace {

constexpr uint64_t kPage = 4096;

TEST(MemoryMapTest, ShowsWhatThisProcessHas) {
  const absl::StatusOr<MemoryMap> map = ReadMemoryMap();
  ASSERT_TRUE(map.ok()) << map.status();
  const Mapping* stack = FindMapping(*map, "[stack]");
  ASSERT_NE(stack, nullptr);
  EXPECT_TRUE(stack->range.Has(reinterpret_cast<uintptr_t>(&map)));
  EXPECT_FALSE(stack->range.Has(stack->range.end));
  EXPECT_EQ(FindMapping(*map, "[nothing]"), nullptr);
  for (size_t i = 0; i < map->size(); ++i) {
    EXPECT_LT((*map)[i].range.begin, (*map)[i].range.end);
    if (i == 0) continue;
    EXPECT_GE((*map)[i].range.begin, (*map)[i - 1].range.end);
  }
}

TEST(MemoryMapTest, OfNobodySaysSo) {
  const absl::StatusOr<MemoryMap> map = ReadMemoryMap("/proc/0");
  EXPECT_TRUE(absl::IsNotFound(map.status())) << map.status();
  EXPECT_NE(map.status().message().find("/proc/0/maps"), std::string::npos);
}

TEST(MemoryMapTest, FindsTheNearestRoomWithPagesAround) {
  const MemoryMap map = {
      {{0x10000, 0x20000}, "program"},  // 0x10000 free.
      {{0x30000, 0x40000}, "library"},  // 0x3000 free: too little.
      {{0x43000, 0x44000}, "[vdso]"},   // 0x4000 free.
      {{0x48000, 0x50000}, "[stack]"},
  };
  EXPECT_EQ(FindRoomNear(map, 0x43000, 2 * kPage, kPage), 0x45000u);
  EXPECT_EQ(FindRoomNear(map, 0x43000, 3 * kPage, kPage), 0x21000u);
  EXPECT_EQ(FindRoomNear(map, 0, 2 * kPage, kPage), 0x21000u);
  EXPECT_EQ(FindRoomNear(map, 0x43000, 14 * kPage, kPage), 0x21000u);
  EXPECT_EQ(FindRoomNear(map, 0x43000, 15 * kPage, kPage), 0u);
  EXPECT_EQ(FindRoomNear({}, 0, kPage, kPage), 0u);
}

TEST(MemoryMapTest, LeavesTheHeapItsRoom) {
  const MemoryMap map = {
      {{0x10000, 0x20000}, "[heap]"},
      {{0x90000, 0xa0000}, "library"},
      {{0xb0000, 0xc0000}, "[stack]"},
  };
  EXPECT_EQ(FindRoomNear(map, 0x20000, kPage, kPage), 0xa1000u);
}

}  // namespace
}  // namespace vvar::hosted
