// SPDX-License-Identifier: MIT
//
// chronyd as the source of the error bound: a scripted one, in simulated time,
// for what goes wrong; and two real ones on loopback, which do not touch the
// system clock. The one serves the clock that the other tracks, so that the
// truth is the system clock itself.
#include "hosted/chrony_reference.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "clocks/native.h"
#include "hosted/chrony_tracking.h"
#include "hosted/counter.h"
#include "hosted/reference.h"
#include "hosted/shared_page.h"
#include "hosted/updater.h"
#include "tests/hosted/child_process.h"
#include "tests/hosted/chronyd.h"
#include "tests/support/scripted_reference.h"
#include "tests/support/temporary_folder.h"
#include "vvar/page.h"
#include "vvar/reader.h"

namespace vvar::hosted {
namespace {

using support::ScriptedReference;
using ::testing::AllOf;
using ::testing::HasSubstr;

TEST(ChronyAddressTest, IsAPortOrAPath) {
  struct Row {
    const char* text;
    const char* name;
  };
  const Row kRows[] = {
      {"", "127.0.0.1:323"},
      {"1", "127.0.0.1:1"},
      {"65535", "127.0.0.1:65535"},
      {"/run/chrony/chronyd.sock", "/run/chrony/chronyd.sock"},
  };
  for (const Row& row : kRows) {
    const absl::StatusOr<ChronyAddress> address = ParseChronyAddress(row.text);
    ASSERT_TRUE(address.ok()) << address.status();
    EXPECT_EQ(address->Name(), row.name);
  }
  for (const std::string text :
       {"0", "65536", "-1", "chronyd.sock", "localhost", " 323x"}) {
    const absl::Status status = ParseChronyAddress(text).status();
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << text;
    EXPECT_THAT(std::string(status.message()),
                AllOf(HasSubstr("'" + text + "'"), HasSubstr("1 to 65535")));
  }
  EXPECT_FALSE(ParseChronyAddress("/" + std::string(107, 'x')).ok());
}

// --- a scripted chronyd, in simulated time -----------------------------------

// The socket of one: a port, or a path. The test looks at what came and
// answers, or does not.
class ScriptedChronyd {
 public:
  ScriptedChronyd() : fd_(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof(address);
    bind(fd_, reinterpret_cast<const sockaddr*>(&address), size);
    getsockname(fd_, reinterpret_cast<sockaddr*>(&address), &size);
    address_.port = ntohs(address.sin_port);
  }
  explicit ScriptedChronyd(const std::string& path)
      : fd_(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)) {
    address_.path = path;
    sockaddr_un address = {};
    address.sun_family = AF_UNIX;
    path.copy(address.sun_path, sizeof(address.sun_path) - 1);
    unlink(path.c_str());
    bind(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof(address));
  }
  ~ScriptedChronyd() { Die(); }
  ScriptedChronyd(const ScriptedChronyd&) = delete;
  ScriptedChronyd& operator=(const ScriptedChronyd&) = delete;

  const ChronyAddress& address() const { return address_; }
  void Die() {
    if (fd_ >= 0) close(fd_);
    fd_ = -1;
  }

  // Whether it was asked since the last time.
  bool WasAsked() {
    char request[1024];
    client_size_ = sizeof(client_);
    const ssize_t got =
        recvfrom(fd_, request, sizeof(request), MSG_DONTWAIT,
                 reinterpret_cast<sockaddr*>(&client_), &client_size_);
    if (got != static_cast<ssize_t>(kChronyTrackingBytes)) return false;
    std::copy(request + 8, request + 12, sequence_);
    return true;
  }
  // Stratum 2, and a root dispersion of 2^-20 s, else zeros.
  void Answer(uint8_t version = kChronyVersion, char leap_status = 0) {
    char reply[kChronyTrackingBytes] = {};
    reply[0] = static_cast<char>(version);
    reply[1] = 2;
    reply[5] = 33;
    reply[7] = 5;
    std::copy(sequence_, sequence_ + 4, reply + 16);
    reply[28] = 10;
    reply[53] = 2;
    reply[55] = leap_status;
    reply[96] = 0x0a;  // Exponent 5, coefficient 1: 2^(5 - 25).
    reply[99] = 1;
    sendto(fd_, reply, sizeof(reply), 0,
           reinterpret_cast<const sockaddr*>(&client_), client_size_);
  }

 private:
  int fd_;
  ChronyAddress address_;
  sockaddr_storage client_ = {};
  socklen_t client_size_ = 0;
  char sequence_[4] = {};
};

constexpr uint64_t kDispersionNs = 954;  // 2^-20 s.

// Clocks of a machine whose time a test keeps.
class ScriptedChronyTest : public ::testing::Test {
 protected:
  class Borrowed : public Reference {
   public:
    explicit Borrowed(Reference& lender) : lender_(lender) {}
    Bracket Read(ClockId clock) override { return lender_.Read(clock); }
    ReferenceQuality Quality() override { return lender_.Quality(); }

   private:
    Reference& lender_;
  };

  void SetUp() override { machine_.SetQuality(false, kUnknownErrorNs, 37); }
  ChronyReference MakeReference() {
    return ChronyReference(std::make_unique<Borrowed>(machine_),
                           chronyd_.address());
  }

  ScriptedReference machine_;
  ScriptedChronyd chronyd_;
};

TEST_F(ScriptedChronyTest, AnswersReplaceTheKernelsBoundAndNothingElse) {
  machine_.SetFrequency(12'000);
  ChronyReference reference = MakeReference();
  EXPECT_FALSE(reference.status().ok());
  EXPECT_FALSE(reference.Quality().synchronised);
  ASSERT_TRUE(chronyd_.WasAsked());
  chronyd_.Answer();
  const ReferenceQuality quality = reference.Quality();
  EXPECT_TRUE(reference.status().ok()) << reference.status();
  EXPECT_TRUE(quality.synchronised);
  EXPECT_GE(quality.max_error_ns, kDispersionNs);
  EXPECT_LE(quality.max_error_ns, kDispersionNs + 2);
  EXPECT_EQ(quality.frequency_ppb, 12'000);
  EXPECT_EQ(quality.tai_offset_sec, 37);
}

TEST_F(ScriptedChronyTest, AsksOnceASecondAndAgesTheAnswerMeanwhile) {
  ChronyReference reference = MakeReference();
  ASSERT_TRUE(chronyd_.WasAsked());
  chronyd_.Answer();
  for (int second = 0; second < 5; ++second) {
    uint64_t last_ns = 0;
    for (int i = 0; i < 9; ++i) {
      const ReferenceQuality quality = reference.Quality();
      EXPECT_GE(quality.max_error_ns, last_ns);
      last_ns = quality.max_error_ns;
      EXPECT_FALSE(chronyd_.WasAsked());
      machine_.AdvanceNs(0.1e9);
    }
    // 1 ppm for 0.8 s, at least.
    EXPECT_GE(last_ns, kDispersionNs + 800);
    machine_.AdvanceNs(0.2e9);
    reference.Quality();
    EXPECT_TRUE(chronyd_.WasAsked());
    chronyd_.Answer();
  }
}

// Trap: T112 (nobody renews the bound: it grows, then is nobody's word)
TEST_F(ScriptedChronyTest, SilenceLeavesTheKernelsWordAfterSeconds) {
  ChronyReference reference = MakeReference();
  ASSERT_TRUE(chronyd_.WasAsked());
  chronyd_.Answer();
  EXPECT_TRUE(reference.Quality().synchronised);
  machine_.AdvanceNs(3.9e9);
  EXPECT_TRUE(reference.Quality().synchronised);
  EXPECT_GE(reference.Quality().max_error_ns, kDispersionNs + 3900);
  machine_.AdvanceNs(0.2e9);
  EXPECT_FALSE(reference.Quality().synchronised);
  EXPECT_EQ(reference.Quality().max_error_ns, kUnknownErrorNs);
  machine_.AdvanceNs(1e9);
  reference.Quality();
  EXPECT_THAT(
      std::string(reference.status().message()),
      AllOf(HasSubstr(chronyd_.address().Name()), HasSubstr("no reply")));
  // It speaks again, to the last question.
  while (chronyd_.WasAsked()) {
  }
  chronyd_.Answer();
  EXPECT_TRUE(reference.Quality().synchronised) << reference.status();
}

TEST_F(ScriptedChronyTest, AnUnsynchronisedChronydMakesNoBound) {
  ChronyReference reference = MakeReference();
  ASSERT_TRUE(chronyd_.WasAsked());
  machine_.SetQuality(true, 1000, 37);
  chronyd_.Answer(kChronyVersion, /*leap_status=*/3);
  EXPECT_FALSE(reference.Quality().synchronised);
  EXPECT_TRUE(reference.status().ok());
}

TEST_F(ScriptedChronyTest, AnotherVersionIsNamed) {
  ChronyReference reference = MakeReference();
  ASSERT_TRUE(chronyd_.WasAsked());
  chronyd_.Answer(/*version=*/7);
  EXPECT_FALSE(reference.Quality().synchronised);
  EXPECT_TRUE(absl::IsUnimplemented(reference.status()));
  EXPECT_THAT(std::string(reference.status().message()),
              AllOf(HasSubstr(chronyd_.address().Name()),
                    HasSubstr("protocol version 7; expected 6")));
}

TEST_F(ScriptedChronyTest, WithoutAChronydTheKernelsWordHolds) {
  chronyd_.Die();
  machine_.SetQuality(true, 4321, 37);
  ChronyReference reference = MakeReference();
  EXPECT_TRUE(reference.Quality().synchronised);
  EXPECT_EQ(reference.Quality().max_error_ns, 4321u);
  EXPECT_TRUE(absl::IsUnavailable(reference.status()));
  EXPECT_THAT(std::string(reference.status().message()),
              AllOf(HasSubstr(chronyd_.address().Name()),
                    HasSubstr("Connection refused")));
}

TEST_F(ScriptedChronyTest, ARestartedOneIsFoundAtItsSocketsPath) {
  const support::TemporaryFolder folder;
  const std::string path = absl::StrCat(folder.path(), "/sock");
  std::optional<ScriptedChronyd> chronyd(path);
  {
    ChronyReference reference(std::make_unique<Borrowed>(machine_),
                              chronyd->address());
    ASSERT_TRUE(chronyd->WasAsked());
    chronyd->Answer();
    EXPECT_TRUE(reference.Quality().synchronised);
    chronyd->Die();
    chronyd.emplace(path);
    bool was_asked = false;
    for (int second = 0; second < 3 && !was_asked; ++second) {
      machine_.AdvanceNs(1e9);
      reference.Quality();
      was_asked = chronyd->WasAsked();
    }
    ASSERT_TRUE(was_asked) << reference.status();
    chronyd->Answer();
    EXPECT_LE(reference.Quality().max_error_ns, kDispersionNs + 2);
  }
  // It leaves no name of its own behind.
  chronyd.reset();
  unlink(path.c_str());
  EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
}

TEST_F(ScriptedChronyTest, ASocketThatIsNotThereIsNamed) {
  ChronyReference reference(std::make_unique<Borrowed>(machine_),
                            {.path = "/nonexistent/chronyd.sock"});
  reference.Quality();
  EXPECT_THAT(std::string(reference.status().message()),
              AllOf(HasSubstr("/nonexistent/chronyd.sock"),
                    HasSubstr("No such file or directory")));
}

// --- real ones
// -----------------------------------------------------------------

class ChronyReferenceTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (FindChronyd().empty()) {
      GTEST_SKIP() << "no chronyd; third_party/setup.sh tests unpacks one";
    }
    const absl::StatusOr<CounterInfo<NativeClock>> counter = FindCounter();
    if (!counter.ok()) GTEST_SKIP() << counter.status();
    counter_ = *counter;
    server_.emplace(
        absl::StrCat("local stratum 1\nallow 127.0.0.1\nbindaddress 127.0.0.1",
                     "\nport ", ntp_port_),
        /*command_port=*/0);
    if (!WaitUntil(
            [&] { return Tracking(server_->SocketPath()).has_value(); })) {
      GTEST_SKIP() << "chronyd cannot run here: " << server_->Log();
    }
    StartClient();
  }

  void StartClient() {
    client_.emplace(absl::StrCat("server 127.0.0.1 port ", ntp_port_,
                                 " iburst minpoll -6 maxpoll -4\nport 0"),
                    client_port_);
    ASSERT_TRUE(WaitUntil([&] {
      const std::optional<ChronyTracking> tracking =
          Tracking(client_->SocketPath());
      return tracking.has_value() && tracking->synchronised() &&
             tracking->root_dispersion_sec < 1e-3;
    })) << client_->Log();
  }

  // What a chronyd tells, if it does.
  static std::optional<ChronyTracking> Tracking(const std::string& path) {
    absl::StatusOr<ChronySocket> socket = ChronySocket::Connect({.path = path});
    if (!socket.ok() || !socket->Ask(7).ok()) return {};
    socket->Wait(/*timeout_ms=*/1000);
    const absl::StatusOr<ChronyTracking> tracking = socket->Take(7);
    if (!tracking.ok()) return {};
    return *tracking;
  }

  std::unique_ptr<ChronyReference> MakeReference(ChronyAddress address) {
    return std::make_unique<ChronyReference>(
        std::make_unique<KernelReference>(counter_.clock), std::move(address));
  }

  CounterInfo<NativeClock> counter_ = {};
  const uint16_t ntp_port_ = FreePort();
  const uint16_t client_port_ = FreePort();
  std::optional<Chronyd> server_;
  std::optional<Chronyd> client_;
};

uint64_t KernelRealtimeNs() {
  timespec time = {};
  clock_gettime(CLOCK_REALTIME, &time);
  return static_cast<uint64_t>(time.tv_sec) * 1'000'000'000 +
         static_cast<uint64_t>(time.tv_nsec);
}

TEST_F(ChronyReferenceTest, AServerOnItsOwnClockBoundsNothing) {
  const std::unique_ptr<ChronyReference> server =
      MakeReference({.path = server_->SocketPath()});
  EXPECT_TRUE(server->status().ok()) << server->status();
  EXPECT_FALSE(server->Quality().synchronised);
}

TEST_F(ChronyReferenceTest, AnswersByPortAndBySocketAlike) {
  const std::unique_ptr<ChronyReference> by_port =
      MakeReference({.port = client_port_});
  const std::unique_ptr<ChronyReference> by_path =
      MakeReference({.path = client_->SocketPath()});
  for (ChronyReference* reference : {by_port.get(), by_path.get()}) {
    EXPECT_TRUE(reference->status().ok()) << reference->status();
    EXPECT_TRUE(reference->Quality().synchronised);
    EXPECT_LT(reference->Quality().max_error_ns, 10'000'000u);
    ASSERT_TRUE(reference->tracking().has_value());
    EXPECT_EQ(reference->tracking()->stratum, 2);
    EXPECT_EQ(reference->tracking()->reference_id, 0x7f000001u);
  }
}

TEST_F(ChronyReferenceTest, IntervalsHoldTheTrueTimeAndFollowChronyd) {
  const UpdaterOptions options;
  absl::StatusOr<WritablePage> page = WritablePage::CreateAnonymous(
      {NativeClock::kCounterId, NativeClock::kCounterBits, counter_.hz,
       NewInstanceId(), VVAR_FEATURE_USER_COUNTER, /*timeline_count=*/1,
       /*resolution_ns=*/1, /*coarse_resolution_ns=*/1'000'000});
  ASSERT_TRUE(page.ok()) << page.status();
  std::unique_ptr<ChronyReference> owned =
      MakeReference({.port = client_port_});
  const ChronyReference& reference = *owned;
  Updater updater(page->bytes(), counter_, std::move(owned), options);
  const Reader<NativeClock> reader(&page->bytes().timeline[0], counter_.clock);

  // The truth: both chronyds know the system clock and no other.
  uint64_t narrowest_ns = UINT64_MAX;
  uint64_t least_ns = UINT64_MAX;
  uint64_t most_ns = 0;
  int readings = 0;
  const uint64_t began_ns = KernelRealtimeNs();
  // chronyd is asked again meanwhile.
  while (KernelRealtimeNs() - began_ns < 2'500'000'000) {
    (void)updater.Tick();
    const uint64_t earliest_ns = KernelRealtimeNs();
    const IntervalReading now = reader.Interval(ClockId::kRealtime);
    const uint64_t latest_ns = KernelRealtimeNs();
    if (now.status == ReadStatus::kStale) continue;  // Stopped for 2 s?
    ++readings;
    ASSERT_TRUE(now.ok());
    ASSERT_LE(now.earliest_ns, latest_ns);
    ASSERT_GE(now.latest_ns, earliest_ns);
    ASSERT_EQ(now.clock_status, ClockStatus::kSynchronised)
        << reference.status();
    narrowest_ns =
        std::min(narrowest_ns, (now.latest_ns - now.earliest_ns) / 2);
    ASSERT_TRUE(reference.tracking().has_value()) << reference.status();
    const double kernel_ppb = updater.discipline().quality().frequency_ppb;
    least_ns = std::min(least_ns, reference.tracking()->MaxErrorNs(0, 0));
    most_ns = std::max(
        most_ns, reference.tracking()->MaxErrorNs(4'000'000'000, kernel_ppb));
  }
  EXPECT_GT(readings, 0);
  // What chronyd tells, and not much of our own: 50 ns, half a bracket, the
  // last offset, 500 ppm for 4 ms and a tick.
  EXPECT_GE(narrowest_ns, least_ns);
  EXPECT_LE(narrowest_ns, most_ns + 20'000);

  // Nobody watches the clock any more.
  ASSERT_TRUE(client_->Kill());
  EXPECT_TRUE(WaitUntil([&] {
    (void)updater.Tick();
    return !reference.tracking().has_value();
  }));
  EXPECT_THAT(std::string(reference.status().message()),
              HasSubstr(absl::StrCat("127.0.0.1:", client_port_)));
  const ReferenceQuality kernels = KernelReference(counter_.clock).Quality();
  ASSERT_TRUE(
      WaitUntil([&] { return updater.Tick() == PublishStatus::kPublished; }));
  // The next line begins after its lead.
  EXPECT_TRUE(WaitUntil([&] {
    (void)updater.Tick();
    const IntervalReading now = reader.Interval(ClockId::kRealtime);
    return now.clock_status == (kernels.synchronised
                                    ? ClockStatus::kSynchronised
                                    : ClockStatus::kUnsynchronised);
  }));
  const IntervalReading after = reader.Interval(ClockId::kRealtime);
  EXPECT_GT((after.latest_ns - after.earliest_ns) / 2, narrowest_ns);

  // A new one is found by itself.
  StartClient();
  EXPECT_TRUE(WaitUntil([&] {
    (void)updater.Tick();
    return reader.Interval(ClockId::kRealtime).clock_status ==
           ClockStatus::kSynchronised;
  })) << reference.status();
}

}  // namespace
}  // namespace vvar::hosted
