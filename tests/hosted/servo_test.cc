// SPDX-License-Identifier: MIT
//
// The servo alone, closed into a loop over a line whose error is known: what it
// learns, how fast, and that it does not oscillate.
#include "hosted/servo.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <vector>

namespace vvar::hosted {
namespace {

constexpr double kTickNs = 1e6;
constexpr int kTicksPerWindow = 16;
constexpr double kWindowNs = kTicksPerWindow * kTickNs;

// A line that starts `offset_ns` behind its reference and is `slope_ppb` too
// slow, measured each tick with a uniform error of up to `noise_ns`.
class Loop {
 public:
  Loop(double offset_ns, double slope_ppb, double noise_ns = 0)
      : offset_ns_(offset_ns),
        slope_ppb_(slope_ppb),
        noise_(-noise_ns, noise_ns) {}

  // Runs one window; returns the offset at its end.
  double RunWindow() {
    for (int i = 0; i < kTicksPerWindow; ++i) {
      offset_ns_ += (slope_ppb_ - servo_.correction_ppb()) * 1e-9 * kTickNs;
      servo_.Add(offset_ns_ + noise_(random_), kTickNs);
    }
    return offset_ns_;
  }
  std::vector<double> RunWindows(int windows) {
    std::vector<double> offsets;
    for (int i = 0; i < windows; ++i) offsets.push_back(RunWindow());
    return offsets;
  }
  const Servo& servo() const { return servo_; }

 private:
  Servo servo_{kWindowNs};
  double offset_ns_;
  double slope_ppb_;
  std::uniform_real_distribution<double> noise_;
  std::mt19937_64 random_{1};
};

int SignChanges(const std::vector<double>& values) {
  int changes = 0;
  for (size_t i = 1; i < values.size(); ++i) {
    changes += (values[i] < 0) != (values[i - 1] < 0);
  }
  return changes;
}

TEST(ServoTest, CorrectsNothingBeforeItsWindowIsFull) {
  Servo servo(kWindowNs);
  for (int i = 1; i < kTicksPerWindow; ++i) {
    EXPECT_FALSE(servo.Add(100, kTickNs));
    EXPECT_EQ(servo.correction_ppb(), 0);
  }
  EXPECT_TRUE(servo.Add(100, kTickNs));
  EXPECT_GT(servo.correction_ppb(), 0) << "a line that is behind runs faster";
}

TEST(ServoTest, CorrectionRemovesTheProportionalPartInOneWindow) {
  Servo servo(kWindowNs);
  for (int i = 0; i < kTicksPerWindow; ++i) servo.Add(100, kTickNs);
  const double removed_ns = servo.correction_ppb() * 1e-9 * kWindowNs;
  EXPECT_NEAR(removed_ns, 100 * (Servo::kProportional + Servo::kIntegral),
              1e-9);
  EXPECT_NEAR(servo.integral_ppb() * 1e-9 * kWindowNs, 100 * Servo::kIntegral,
              1e-9);
}

TEST(ServoTest, LongWindowDividesByWhatReallyPassed) {
  Servo servo(kWindowNs);
  EXPECT_TRUE(servo.Add(100, 10 * kWindowNs));  // One tick, very late.
  EXPECT_NEAR(servo.correction_ppb() * 1e-9 * 10 * kWindowNs,
              100 * (Servo::kProportional + Servo::kIntegral), 1e-9);
}

// The step response: the offset falls below zero once, by less than a quarter
// of the step, and comes back from there without crossing again.
TEST(ServoTest, StepOfTheOffsetDoesNotOscillate) {
  for (const double step_ns : {90.0, -90.0, 10.0}) {
    Loop loop(step_ns, 0);
    const std::vector<double> offsets = loop.RunWindows(400);
    EXPECT_LE(SignChanges(offsets), 1) << step_ns;
    double worst = 0;  // On the other side of zero.
    for (const double offset : offsets) {
      worst = std::max(worst, -offset / step_ns);
    }
    EXPECT_LT(worst, 0.25) << step_ns;
    EXPECT_LT(std::abs(offsets[100] / step_ns), 0.01);
    EXPECT_LT(std::abs(offsets[399] / step_ns), 1e-6);
  }
}

// A large offset is taken for a slope that changed, which it nearly always is;
// where it is not, what the integral took from it is given back.
TEST(ServoTest, LargeStepOvershootsByLessThanHalfAndSettles) {
  for (const double step_ns : {200.0, -1000.0, 1e5}) {
    Loop loop(step_ns, 0);
    const std::vector<double> offsets = loop.RunWindows(400);
    double worst = 0;
    for (const double offset : offsets) {
      worst = std::max(worst, -offset / step_ns);
    }
    EXPECT_LT(worst, 0.5) << step_ns;
    EXPECT_LT(std::abs(offsets[399] / step_ns), 1e-6);
  }
}

TEST(ServoTest, StepResponseDecaysWindowByWindow) {
  Loop loop(90, 0);
  std::vector<double> offsets = loop.RunWindows(400);
  // After its extreme on the far side, monotone.
  size_t extreme = 0;
  for (size_t i = 0; i < offsets.size(); ++i) {
    if (offsets[i] < offsets[extreme]) extreme = i;
  }
  for (size_t i = 1; i <= extreme; ++i) {
    EXPECT_LE(offsets[i], offsets[i - 1]) << "window " << i;
  }
  for (size_t i = extreme + 1; i < offsets.size(); ++i) {
    EXPECT_LE(std::abs(offsets[i]), std::abs(offsets[i - 1]) + 1e-12)
        << "window " << i;
  }
}

TEST(ServoTest, StepOfTheSlopeIsLearnedByTheIntegral) {
  for (const double slope_ppb : {5'000.0, -5'000.0, 100'000.0}) {
    Loop loop(0, slope_ppb);
    const std::vector<double> offsets = loop.RunWindows(400);
    EXPECT_NEAR(loop.servo().integral_ppb() / slope_ppb, 1, 1e-6);
    EXPECT_NEAR(loop.servo().correction_ppb() / slope_ppb, 1, 1e-6);
    EXPECT_LT(std::abs(offsets.back()), 1e-3);
    EXPECT_LE(SignChanges(offsets), 1) << "it oscillates";
  }
}

// What the noise of brackets does to the slope, and hence to time between two
// updates: little, or the servo would be worse than none.
TEST(ServoTest, NoiseIsAveragedAway) {
  constexpr double kNoiseNs = 5;
  Loop loop(0, 0, kNoiseNs);
  double sum_of_squares = 0;
  double worst_ppb = 0;
  constexpr int kWindows = 2000;
  for (int i = 0; i < kWindows; ++i) {
    const double offset = loop.RunWindow();
    sum_of_squares += offset * offset;
    worst_ppb = std::max(worst_ppb, std::abs(loop.servo().correction_ppb()));
  }
  EXPECT_LT(std::sqrt(sum_of_squares / kWindows), kNoiseNs / 5);
  EXPECT_LT(worst_ppb * 1e-9 * kTickNs, kNoiseNs / 50) << "in one tick";
}

TEST(ServoTest, LargeOffsetIsAWindowOfItsOwnAndIsForgottenAfterIt) {
  Loop loop(0, 5000);
  loop.RunWindows(400);
  Servo servo = loop.servo();
  const double learned_ppb = servo.integral_ppb();
  EXPECT_TRUE(servo.Add(2 * Servo::kLargeNs, kTickNs));
  const double now_ppb = servo.correction_ppb();
  EXPECT_NEAR((now_ppb - servo.integral_ppb()) * 1e-9 * kTickNs,
              2 * Servo::kLargeNs * Servo::kProportional, 1e-9);
  EXPECT_TRUE(servo.Add(0, kTickNs)) << "right for one tick, not for a window";
  EXPECT_EQ(servo.correction_ppb(), servo.integral_ppb());
  EXPECT_NEAR((servo.integral_ppb() - learned_ppb) * 1e-9 * kTickNs,
              2 * Servo::kLargeNs * Servo::kIntegral, 1e-9);
}

TEST(ServoTest, CorrectionStaysInItsRangeWhateverItIsFed) {
  for (const double offset_ns : {1e18, -1e18}) {
    Servo servo(kWindowNs);
    for (int i = 0; i < 100; ++i) servo.Add(offset_ns, kWindowNs);
    EXPECT_EQ(std::abs(servo.correction_ppb()), Servo::kMaxPpb);
    EXPECT_LE(std::abs(servo.integral_ppb()), Servo::kMaxPpb);
    // Not wound up: as soon as the offset turns, so does the correction.
    servo.Add(-offset_ns, kWindowNs);
    EXPECT_LE(servo.correction_ppb() * offset_ns, 0);
  }
}

}  // namespace
}  // namespace vvar::hosted
