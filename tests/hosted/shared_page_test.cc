// SPDX-License-Identifier: MIT
//
// Pages between processes: what may be attached to and what is refused, with
// which words; who may write; what cannot be done to a page that others read.
#include "hosted/shared_page.h"

#include <dirent.h>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/capability.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <fstream>
#include <functional>
#include <iterator>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "clocks/native.h"
#include "hosted/counter.h"
#include "tests/hosted/child_process.h"
#include "vvar/header.h"
#include "vvar/page.h"
#include "vvar/reader.h"
#include "vvar/timekeeper.h"
#include "vvar/writer.h"

namespace vvar::hosted {
namespace {

using ::testing::HasSubstr;

constexpr uint64_t kHz = 2'596'152'000;

PageConfig ConfigOf(uint64_t instance_id) {
  return {NativeClock::kCounterId,
          NativeClock::kCounterBits,
          kHz,
          instance_id,
          VVAR_FEATURE_USER_COUNTER,
          /*timeline_count=*/1,
          /*resolution_ns=*/1,
          /*coarse_resolution_ns=*/1'000'000};
}

// A name of its own for each test. It holds a slash, so it is a path.
class PageFile {
 public:
  PageFile()
      : path_(absl::StrCat(
            ::testing::TempDir(), "/",
            ::testing::UnitTest::GetInstance()->current_test_info()->name(),
            ".", getpid())) {
    unlink(path_.c_str());
  }
  ~PageFile() { unlink(path_.c_str()); }
  PageFile(const PageFile&) = delete;
  PageFile& operator=(const PageFile&) = delete;

  const std::string& path() const { return path_; }
  void Write(const std::string& bytes) const {
    std::ofstream(path_, std::ios::binary | std::ios::trunc) << bytes;
  }
  std::string Read() const {
    std::ifstream file(path_, std::ios::binary);
    return std::string(std::istreambuf_iterator<char>(file), {});
  }
  ino_t Inode() const {
    struct stat info = {};
    EXPECT_EQ(stat(path_.c_str(), &info), 0);
    return info.st_ino;
  }

 private:
  std::string path_;
};

// The bytes of a formatted page, changed by `change`.
std::string PageBytes(const std::function<void(vvar_page&)>& change = {}) {
  vvar_page page = {};
  FormatPage(page, ConfigOf(1));
  if (change) change(page);
  return std::string(reinterpret_cast<const char*>(&page), sizeof(page));
}

std::string RandomBytes(size_t size) {
  std::mt19937_64 random(20240229);
  std::string bytes;
  while (bytes.size() < size) bytes += static_cast<char>(random());
  return bytes;
}

std::set<std::string> OpenDescriptors() {
  std::set<std::string> names;
  DIR* const directory = opendir("/proc/self/fd");
  while (const dirent* entry = readdir(directory)) {
    names.insert(entry->d_name);
  }
  closedir(directory);
  return names;
}

TEST(PagePathTest, NameIsAFileInShmAndASlashMakesAPath) {
  struct Row {
    const char* name;
    const char* path;
  };
  const Row kRows[] = {
      {"system", "/dev/shm/vvar.system"},
      {"a.b", "/dev/shm/vvar.a.b"},
      {"/run/vvar/page", "/run/vvar/page"},
      {"./page", "./page"},
      {"relative/page", "relative/page"},
      {"..", "/dev/shm/vvar..."},  // No way out of the directory.
  };
  for (const Row& row : kRows) EXPECT_EQ(PagePath(row.name), row.path);
}

TEST(SharedPageTest, NameIsFoundUnderDevShm) {
  const std::string name = absl::StrCat("test.", getpid());
  const std::string path = PagePath(name);
  absl::StatusOr<WritablePage> writer = WritablePage::Open(name, ConfigOf(7));
  if (absl::IsNotFound(writer.status()) ||
      absl::IsPermissionDenied(writer.status())) {
    GTEST_SKIP() << "no /dev/shm that can be written: " << writer.status();
  }
  ASSERT_TRUE(writer.ok()) << writer.status();
  const absl::StatusOr<AttachedPage> reader = AttachedPage::Attach(name);
  unlink(path.c_str());
  ASSERT_TRUE(reader.ok()) << reader.status();
  EXPECT_EQ(reader->bytes().header.instance_id, 7u);
}

// What attaching to a file gives, whatever its bytes. `words`: the value that
// was found and what was expected.
struct AttachRow {
  const char* name;
  std::function<void(const PageFile&)> make;
  absl::StatusCode code;
  std::vector<std::string> words;
};

auto Holding(const std::string& bytes) {
  return [bytes](const PageFile& file) { file.Write(bytes); };
}
auto Page(const std::function<void(vvar_page&)>& change) {
  return Holding(PageBytes(change));
}

// Trap: T87 (the size table: nothing shorter than a page is ever mapped)
const AttachRow kAttachRows[] = {
    {"Missing",
     [](const PageFile&) {},
     absl::StatusCode::kNotFound,
     {"No such file"}},
    {"Empty", Holding(""), absl::StatusCode::kUnavailable, {"no writer"}},
    {"NotBegun",
     Holding(std::string(4096, '\0')),
     absl::StatusCode::kUnavailable,
     {"no writer"}},
    {"OneByte",
     Holding("V"),
     absl::StatusCode::kDataLoss,
     {"1 bytes", "expected 4096"}},
    {"HeaderLessOne",
     Holding(PageBytes().substr(0, 255)),
     absl::StatusCode::kDataLoss,
     {"255 bytes", "expected 4096"}},
    {"HeaderOnly",
     Holding(PageBytes().substr(0, 256)),
     absl::StatusCode::kDataLoss,
     {"256 bytes", "expected 4096"}},
    {"HeaderAndTimeline",
     Holding(PageBytes().substr(0, 896)),
     absl::StatusCode::kDataLoss,
     {"896 bytes", "expected 4096"}},
    {"PageLessOne",
     Holding(PageBytes().substr(0, 4095)),
     absl::StatusCode::kDataLoss,
     {"4095 bytes", "expected 4096"}},
    {"ClaimsMoreThanAPage",
     Page([](vvar_page& page) { page.header.size = 4097; }),
     absl::StatusCode::kDataLoss,
     {"4097 bytes", "expected at most 4096"}},
    {"ForeignMagic",
     Page([](vvar_page& page) { page.header.magic = 0xcafe; }),
     absl::StatusCode::kInvalidArgument,
     {"0xcafe", "expected 0x52415656"}},
    {"Text",
     Holding(std::string(4096, 'a')),
     absl::StatusCode::kInvalidArgument,
     {"0x61616161", "expected 0x52415656"}},
    {"OtherEndian",
     Page([](vvar_page& page) {
       page.header.magic = __builtin_bswap32(VVAR_MAGIC);
       page.header.endian_tag = __builtin_bswap32(VVAR_ENDIAN_TAG);
     }),
     absl::StatusCode::kInvalidArgument,
     {"0x4030201", "expected 0x1020304"}},
    {"MixedEndian",
     Page([](vvar_page& page) { page.header.endian_tag = 0x02010403; }),
     absl::StatusCode::kInvalidArgument,
     {"0x2010403", "expected 0x1020304"}},
    {"NewerMajor",
     Page([](vvar_page& page) { page.header.abi_major = VVAR_ABI_MAJOR + 1; }),
     absl::StatusCode::kUnimplemented,
     {"major 3", "expected 2"}},
    {"MajorZero",
     Page([](vvar_page& page) { page.header.abi_major = 0; }),
     absl::StatusCode::kUnimplemented,
     {"major 0", "expected 2"}},
    {"NoTimeline",
     Page([](vvar_page& page) { page.header.timeline_count = 0; }),
     absl::StatusCode::kInvalidArgument,
     {"0 timelines at offset 256, stride 640", "do not fit 4096"}},
    {"TimelinesPastTheEnd",
     Page([](vvar_page& page) { page.header.timeline_count = 7; }),
     absl::StatusCode::kInvalidArgument,
     {"7 timelines"}},
    {"TimelineOffsetPastTheEnd",
     Page([](vvar_page& page) { page.header.timeline_offset = 3464; }),
     absl::StatusCode::kInvalidArgument,
     {"offset 3464"}},
    {"TimelineOffsetHuge",
     Page([](vvar_page& page) { page.header.timeline_offset = 0xfffffff8; }),
     absl::StatusCode::kInvalidArgument,
     {"offset 4294967288"}},
    {"TimelineInsideTheHeader",
     Page([](vvar_page& page) { page.header.timeline_offset = 248; }),
     absl::StatusCode::kInvalidArgument,
     {"offset 248"}},
    {"TimelineMisaligned",
     Page([](vvar_page& page) { page.header.timeline_offset = 260; }),
     absl::StatusCode::kInvalidArgument,
     {"offset 260"}},
    {"StrideOfNothing",
     Page([](vvar_page& page) { page.header.timeline_stride = 0; }),
     absl::StatusCode::kInvalidArgument,
     {"stride 0"}},
    {"PageSmallerThanItsTimelines",
     Page([](vvar_page& page) { page.header.size = 895; }),
     absl::StatusCode::kInvalidArgument,
     {"do not fit 895"}},
    {"OtherCounter",
     Page([](vvar_page& page) { page.header.counter_id = 77; }),
     absl::StatusCode::kFailedPrecondition,
     {"counter 77", absl::StrCat("expected ", NativeClock::kCounterId)}},
    {"NoCounter",
     Page([](vvar_page& page) { page.header.counter_id = VVAR_COUNTER_NONE; }),
     absl::StatusCode::kFailedPrecondition,
     {"counter 0", absl::StrCat("expected ", NativeClock::kCounterId)}},
    {"ThisVersion", Page([](vvar_page&) {}), absl::StatusCode::kOk, {}},
    {"NewerMinor",
     Page([](vvar_page& page) { page.header.abi_minor = 99; }),
     absl::StatusCode::kOk,
     {}},
    {"FileLongerThanItsPage",
     Holding(PageBytes() + std::string(70000, 'x')),
     absl::StatusCode::kOk,
     {}},
};

TEST(SharedPageTest, AttachSaysWhatIsWrongWithAFile) {
  const std::set<std::string> descriptors = OpenDescriptors();
  for (const AttachRow& row : kAttachRows) {
    SCOPED_TRACE(row.name);
    const PageFile file;
    row.make(file);
    const absl::Status status = AttachedPage::Attach(file.path()).status();
    EXPECT_EQ(status.code(), row.code) << status;
    if (!status.ok()) {
      EXPECT_THAT(std::string(status.message()), HasSubstr(file.path()));
    }
    for (const std::string& words : row.words) {
      EXPECT_THAT(std::string(status.message()), HasSubstr(words));
    }
  }
  EXPECT_EQ(OpenDescriptors(), descriptors) << "a descriptor was left open";
}

TEST(SharedPageTest, AttachToWhatIsNoFileIsAStatus) {
  EXPECT_FALSE(AttachedPage::Attach(::testing::TempDir()).ok());
  EXPECT_EQ(AttachedPage::Attach("/dev/null").status().code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_FALSE(AttachedPage::AttachFd(-1).ok());
}

TEST(SharedPageTest, AttachDoesNotWaitForAPipesOtherEnd) {
  const PageFile file;
  ASSERT_EQ(mkfifo(file.path().c_str(), 0644), 0);
  ChildProcess child([&] {
    alarm(2);  // Ends what would wait for ever.
    return AttachedPage::Attach(file.path()).ok() ? 1 : 0;
  });
  EXPECT_EQ(child.Wait(), 0) << 128 + SIGALRM << ": it waited in open()";
}

TEST(SharedPageTest, AttachReportsMissingPermission) {
  const PageFile file;
  file.Write(PageBytes());
  ASSERT_EQ(chmod(file.path().c_str(), 0), 0);
  SharedWithChildren<int> code;
  SharedWithChildren<int> writer_code;
  ChildProcess child([&] {
    // root may open everything, unless it gives that up.
    __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    const __user_cap_data_struct none[2] = {};
    if (syscall(SYS_capset, &header, none) != 0) return 1;
    *code = static_cast<int>(AttachedPage::Attach(file.path()).status().code());
    *writer_code = static_cast<int>(
        WritablePage::Open(file.path(), ConfigOf(1)).status().code());
    return 0;
  });
  ASSERT_EQ(child.Wait(), 0);
  EXPECT_EQ(*code, static_cast<int>(absl::StatusCode::kPermissionDenied));
  EXPECT_EQ(*writer_code,
            static_cast<int>(absl::StatusCode::kPermissionDenied));
}

TEST(SharedPageTest, ReaderOfAMissingTimelineIsNotReady) {
  const PageFile file;
  file.Write(PageBytes());
  const absl::StatusOr<AttachedPage> page = AttachedPage::Attach(file.path());
  ASSERT_TRUE(page.ok()) << page.status();
  for (const uint32_t index : {0u, 1u, 6u, UINT32_MAX}) {
    EXPECT_EQ(page->MakeReader(NativeClock(), index)
                  .NowUnordered(ClockId::kMonotonic)
                  .status,
              ReadStatus::kNotReady)
        << "timeline " << index;
  }
}

TEST(SharedPageTest, NewPageIsFormattedAndNotContinued) {
  const PageFile file;
  const absl::StatusOr<WritablePage> page =
      WritablePage::Open(file.path(), ConfigOf(42));
  ASSERT_TRUE(page.ok()) << page.status();
  EXPECT_FALSE(page->continued());
  const vvar_header& header = page->bytes().header;
  EXPECT_EQ(header.magic, VVAR_MAGIC);
  EXPECT_EQ(header.instance_id, 42u);
  EXPECT_EQ(header.counter_id, NativeClock::kCounterId);
  EXPECT_EQ(header.counter_hz, kHz);
  EXPECT_EQ(file.Read().size(), size_t{VVAR_PAGE_SIZE});
}

TEST(SharedPageTest, NewPageCanBeReadByAllAndWrittenByItsOwner) {
  const PageFile file;
  const mode_t old_mask = umask(0);
  const absl::StatusOr<WritablePage> page =
      WritablePage::Open(file.path(), ConfigOf(1));
  umask(old_mask);
  ASSERT_TRUE(page.ok()) << page.status();
  struct stat info = {};
  ASSERT_EQ(fstat(page->fd(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, mode_t{0644});
}

TEST(SharedPageTest, ReopeningKeepsThePage) {
  const PageFile file;
  absl::StatusOr<WritablePage> page =
      WritablePage::Open(file.path(), ConfigOf(42));
  ASSERT_TRUE(page.ok()) << page.status();
  page->bytes().timeline[0].seq = 1234;
  page->bytes().timeline[0].slot[1].cycle_start = 5678;
  const std::string left = file.Read();
  *page = WritablePage();

  const absl::StatusOr<WritablePage> again =
      WritablePage::Open(file.path(), ConfigOf(43));
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_TRUE(again->continued());
  EXPECT_EQ(file.Read(), left) << "also the instance id: it is the same page";
}

// Trap: T19
TEST(SharedPageTest, RecreatedPageHasNewInstanceId) {
  const PageFile file;
  absl::StatusOr<WritablePage> first =
      WritablePage::Open(file.path(), ConfigOf(NewInstanceId()));
  ASSERT_TRUE(first.ok()) << first.status();
  const absl::StatusOr<AttachedPage> old_reader =
      AttachedPage::Attach(file.path());
  ASSERT_TRUE(old_reader.ok()) << old_reader.status();
  const uint64_t old_id = first->bytes().header.instance_id;
  const ino_t old_inode = file.Inode();
  unlink(file.path().c_str());

  const absl::StatusOr<WritablePage> second =
      WritablePage::Open(file.path(), ConfigOf(NewInstanceId()));
  ASSERT_TRUE(second.ok()) << "the first one's lock is on another file: "
                           << second.status();
  EXPECT_FALSE(second->continued());
  EXPECT_NE(file.Inode(), old_inode);
  EXPECT_NE(second->bytes().header.instance_id, old_id);
  EXPECT_EQ(old_reader->bytes().header.instance_id, old_id)
      << "readers of the old page keep the old page";
}

TEST(SharedPageTest, InstanceIdsAreAllDifferent) {
  std::set<uint64_t> ids;
  for (int i = 0; i < 1000; ++i) ids.insert(NewInstanceId());
  EXPECT_EQ(ids.size(), 1000u);
  // Nor in a child, which has the state of its parent's generators.
  SharedWithChildren<uint64_t> of_child;
  ChildProcess child([&] {
    *of_child = NewInstanceId();
    return 0;
  });
  ASSERT_EQ(child.Wait(), 0);
  EXPECT_TRUE(ids.insert(*of_child).second);
  EXPECT_TRUE(ids.insert(NewInstanceId()).second);
}

// What a writer may take for a page that it has to begin.
TEST(SharedPageTest, PageThatNobodyBeganIsBegun) {
  struct Row {
    const char* name;
    std::string bytes;
  };
  const Row kRows[] = {
      {"Empty", ""},
      {"KilledBeforeFormatting", std::string(4096, '\0')},
      {"KilledBeforeTheMagic",
       PageBytes([](vvar_page& page) { page.header.magic = 0; })},
      {"KilledAfterTheFirstWord", PageBytes([](vvar_page& page) {
         const uint32_t tag = page.header.endian_tag;
         page = {};
         page.header.endian_tag = tag;
       })},
  };
  for (const Row& row : kRows) {
    SCOPED_TRACE(row.name);
    const PageFile file;
    file.Write(row.bytes);
    const absl::StatusOr<WritablePage> page =
        WritablePage::Open(file.path(), ConfigOf(1));
    ASSERT_TRUE(page.ok()) << page.status();
    EXPECT_FALSE(page->continued());
    EXPECT_EQ(file.Read(), PageBytes());
  }
}

TEST(SharedPageTest, ForeignFileIsRefusedAndLeftAlone) {
  struct Row {
    const char* name;
    std::string bytes;
  };
  const Row kRows[] = {
      {"Text", "hello\n"},
      {"OneByte", std::string(1, '\0')},
      {"PageLessOne", PageBytes().substr(0, 4095)},
      {"LongText", std::string(9000, 'a')},
      {"Random", RandomBytes(4096)},
      {"NewerMajor", PageBytes([](vvar_page& page) {
         page.header.abi_major = VVAR_ABI_MAJOR + 1;
       })},
      {"OtherEndian", PageBytes([](vvar_page& page) {
         page.header.magic = __builtin_bswap32(VVAR_MAGIC);
         page.header.endian_tag = __builtin_bswap32(VVAR_ENDIAN_TAG);
       })},
      {"OtherCounter",
       PageBytes([](vvar_page& page) { page.header.counter_id = 77; })},
      {"BadLayout",
       PageBytes([](vvar_page& page) { page.header.timeline_offset = 1; })},
      // Many formats begin with four zero bytes: images of disks, MP4, ...
      {"ZeroesThenText", std::string(4, '\0') + std::string(4092, 'a')},
      {"ZeroesThenRandom", std::string(4096, '\0') + RandomBytes(4096)},
      {"OneByteAtTheEnd", std::string(4095, '\0') + "x"},
  };
  const std::set<std::string> descriptors = OpenDescriptors();
  for (const Row& row : kRows) {
    SCOPED_TRACE(row.name);
    const PageFile file;
    file.Write(row.bytes);
    const absl::Status status =
        WritablePage::Open(file.path(), ConfigOf(1)).status();
    EXPECT_FALSE(status.ok());
    EXPECT_THAT(std::string(status.message()), HasSubstr(file.path()));
    EXPECT_TRUE(file.Read() == row.bytes) << "the file has changed";
  }
  EXPECT_EQ(OpenDescriptors(), descriptors) << "a descriptor was left open";
}

TEST(SharedPageTest, OpenSaysWhichDirectoryIsMissing) {
  const absl::Status status =
      WritablePage::Open("/no/such/directory/page", ConfigOf(1)).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(status.message()),
              HasSubstr("/no/such/directory/page"));
}

TEST(SharedPageTest, SecondWriterIsRefusedWhileTheFirstLives) {
  const PageFile file;
  absl::StatusOr<WritablePage> first =
      WritablePage::Open(file.path(), ConfigOf(1));
  ASSERT_TRUE(first.ok()) << first.status();
  const absl::Status second =
      WritablePage::Open(file.path(), ConfigOf(2)).status();
  EXPECT_EQ(second.code(), absl::StatusCode::kAlreadyExists);
  EXPECT_THAT(std::string(second.message()), HasSubstr(file.path()));
  EXPECT_THAT(std::string(second.message()), HasSubstr("expected at most one"));
  // Closing another descriptor of the file does not release it, as it would
  // with a lock of POSIX's.
  EXPECT_EQ(WritablePage::Open(file.path(), ConfigOf(2)).status().code(),
            absl::StatusCode::kAlreadyExists);
  EXPECT_EQ(first->bytes().header.instance_id, 1u);

  *first = WritablePage();
  EXPECT_TRUE(WritablePage::Open(file.path(), ConfigOf(2)).ok());
}

TEST(SharedPageTest, WriterOfAnotherProcessIsRefused) {
  const PageFile file;
  const absl::StatusOr<WritablePage> first =
      WritablePage::Open(file.path(), ConfigOf(1));
  ASSERT_TRUE(first.ok()) << first.status();
  ChildProcess child([&] {
    return absl::IsAlreadyExists(
               WritablePage::Open(file.path(), ConfigOf(2)).status())
               ? 0
               : 1;
  });
  EXPECT_EQ(child.Wait(), 0);
}

TEST(SharedPageTest, KilledWriterMakesRoom) {
  const PageFile file;
  SharedWithChildren<std::atomic<bool>> opened;
  ChildProcess child([&] {
    const absl::StatusOr<WritablePage> page =
        WritablePage::Open(file.path(), ConfigOf(1));
    if (!page.ok()) return 1;
    *opened = true;
    for (;;) sched_yield();
  });
  ASSERT_TRUE(WaitUntil([&] { return opened->load(); }));
  EXPECT_TRUE(absl::IsAlreadyExists(
      WritablePage::Open(file.path(), ConfigOf(2)).status()));
  ASSERT_TRUE(child.Kill());
  const absl::StatusOr<WritablePage> page =
      WritablePage::Open(file.path(), ConfigOf(2));
  ASSERT_TRUE(page.ok()) << page.status();
  EXPECT_TRUE(page->continued());
  EXPECT_EQ(page->bytes().header.instance_id, 1u);
}

TEST(SharedPageTest, ReadersKeepNoWriterOut) {
  const PageFile file;
  file.Write(PageBytes());
  const absl::StatusOr<AttachedPage> reader = AttachedPage::Attach(file.path());
  ASSERT_TRUE(reader.ok()) << reader.status();
  EXPECT_TRUE(WritablePage::Open(file.path(), ConfigOf(1)).ok());
}

// An anonymous page and a second descriptor of it, which a reader was handed.
class SealedPageTest : public ::testing::Test {
 protected:
  void SetUp() override {
    absl::StatusOr<WritablePage> page =
        WritablePage::CreateAnonymous(ConfigOf(9));
    ASSERT_TRUE(page.ok()) << page.status();
    page_ = *std::move(page);
  }
  // Whether this kernel has the seal, on whatever page.
  static bool KernelSealsFutureWrites() {
    const int fd = memfd_create("probe", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    const bool sealed = fcntl(fd, F_ADD_SEALS, F_SEAL_FUTURE_WRITE) == 0;
    close(fd);
    return sealed;
  }

  WritablePage page_;
};

// Trap: T87
TEST_F(SealedPageTest, CannotBeShrunk) {
  for (const off_t size : {0, 1, 4095, 4097, 8192}) {
    EXPECT_EQ(ftruncate(page_.fd(), size), -1) << size;
    EXPECT_EQ(errno, EPERM) << size;
  }
  struct stat info = {};
  ASSERT_EQ(fstat(page_.fd(), &info), 0);
  EXPECT_EQ(info.st_size, off_t{VVAR_PAGE_SIZE});
  EXPECT_EQ(page_.bytes().header.instance_id, 9u) << "no SIGBUS";
}

TEST_F(SealedPageTest, HoleCannotBePunched) {
  if (!KernelSealsFutureWrites()) {
    GTEST_SKIP() << "no F_SEAL_FUTURE_WRITE in this kernel (before 5.1)";
  }
  EXPECT_EQ(fallocate(page_.fd(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0,
                      VVAR_PAGE_SIZE),
            -1);
  EXPECT_EQ(page_.bytes().header.instance_id, 9u);
}

TEST_F(SealedPageTest, CannotBeSealedFurther) {
  EXPECT_EQ(fcntl(page_.fd(), F_ADD_SEALS, F_SEAL_WRITE), -1);
  EXPECT_EQ(errno, EPERM) << "a reader could seal the writer out";
}

TEST_F(SealedPageTest, NobodyMapsItForWritingAgain) {
  if (!KernelSealsFutureWrites()) {
    GTEST_SKIP() << "no F_SEAL_FUTURE_WRITE in this kernel (before 5.1)";
  }
  const std::string path = absl::StrCat("/proc/self/fd/", page_.fd());
  const int fd = open(path.c_str(), O_RDWR | O_CLOEXEC);
  ASSERT_GE(fd, 0) << strerror(errno);
  EXPECT_EQ(
      mmap(nullptr, VVAR_PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0),
      MAP_FAILED);
  EXPECT_EQ(errno, EPERM);
  EXPECT_EQ(pwrite(fd, "x", 1, 0), -1);
  EXPECT_EQ(errno, EPERM);
  void* const readable =
      mmap(nullptr, VVAR_PAGE_SIZE, PROT_READ, MAP_SHARED, fd, 0);
  ASSERT_NE(readable, MAP_FAILED) << strerror(errno);
  EXPECT_EQ(mprotect(readable, VVAR_PAGE_SIZE, PROT_READ | PROT_WRITE), -1);
  munmap(readable, VVAR_PAGE_SIZE);
  close(fd);
  // Its writer still writes.
  page_.bytes().timeline[0].seq = 2;
  EXPECT_EQ(page_.bytes().timeline[0].seq, 2u);
}

TEST_F(SealedPageTest, StoreByAReaderIsItsDeath) {
  ChildProcess child([&] {
    const absl::StatusOr<AttachedPage> page =
        AttachedPage::AttachFd(dup(page_.fd()));
    if (!page.ok()) return 1;
    signal(SIGSEGV, SIG_DFL);  // A sanitizer would exit instead.
    const_cast<vvar_page&>(page->bytes()).timeline[0].seq = 99;
    return 2;
  });
  EXPECT_EQ(child.Wait(), 128 + SIGSEGV);
  EXPECT_EQ(page_.bytes().timeline[0].seq, 0u);
}

// Trap: T15
// Trap: T82 (of 64-bit programs; 32-bit ones: the freestanding matrix has no
// compare-and-swap in its objects)
TEST_F(SealedPageTest, ReaderRunsOnReadOnlyMapping) {
  const absl::StatusOr<CounterInfo<NativeClock>> counter = FindCounter();
  if (!counter.ok()) GTEST_SKIP() << counter.status();
  struct Report {
    std::atomic<bool> began;
    std::atomic<bool> done;
    uint32_t ok;
    uint32_t refused;
    uint32_t backwards;
    uint32_t publications;
  };
  SharedWithChildren<Report> report;
  constexpr uint32_t kReads = 200'000;
  vvar_timeline& timeline = page_.bytes().timeline[0];
  Writer<NativeClock> writer(&timeline, counter->clock);
  Timekeeper timekeeper({NativeClock::kCounterId, NativeClock::kCounterBits,
                         kHz, /*lead_ns=*/2000, /*interval_ns=*/10'000,
                         /*max_age_ns=*/60'000'000'000});
  timekeeper.Start(writer.clock().Read(),
                   {{100, 0}, {200, 0}, {300, 0}, {400, 0}, 37});
  writer.PublishLine(timekeeper.line());

  ChildProcess child([&] {
    const absl::StatusOr<AttachedPage> page =
        AttachedPage::AttachFd(dup(page_.fd()));
    if (!page.ok()) return 1;
    const SharedReader reader = page->MakeReader(counter->clock);
    const uint32_t before = reader.Publications();
    report->began = true;
    uint64_t last_ns = 0;
    SnapshotReading snapshot;
    while (report->ok < kReads || reader.Publications() - before < 100) {
      const NsReading reading = reader.Now(ClockId::kMonotonic);
      const bool all = reader.Now(ClockId::kRealtimeCoarse).ok() &&
                       reader.NowTimespecUnordered(ClockId::kTai).ok() &&
                       reader.Interval(ClockId::kBoottime).ok() &&
                       reader.Snapshot(&snapshot) == ReadStatus::kOk;
      if (!reading.ok() || !all) {
        ++report->refused;
        continue;
      }
      ++report->ok;
      if (reading.ns < last_ns) ++report->backwards;
      last_ns = reading.ns;
    }
    report->publications = reader.Publications() - before;
    report->done = true;
    return 0;
  });
  EXPECT_TRUE(WaitUntil([&] {
    for (int i = 0; i < 100; ++i) {
      // Each line of another slope.
      timekeeper.SetFrequency(i % 2 == 0 ? 400'000 : -400'000);
      writer.Publish(timekeeper);
    }
    return report->done.load();
  }));
  EXPECT_EQ(child.Wait(), 0);
  EXPECT_GE(report->ok, kReads);
  EXPECT_GE(report->publications, 100u) << "nothing was published meanwhile";
  EXPECT_LE(report->refused, report->ok / 100) << "busy too often";
  // A publication that a preempted writer made late may cost a step back of
  // its lateness times the slope's change, and is counted.
  EXPECT_LE(report->backwards, timeline.stats.late_publications);
}

}  // namespace
}  // namespace vvar::hosted
