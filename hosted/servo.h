// SPDX-License-Identifier: MIT
//
// The PI servo that steers a line to its reference: pure arithmetic over
// measured offsets; no clock, no page. Writer side only.
#ifndef VVAR_HOSTED_SERVO_H_
#define VVAR_HOSTED_SERVO_H_

#include <stdint.h>

#include <algorithm>
#include <cmath>

namespace vvar::hosted {

/// Turns offsets (reference - line) into a frequency correction.
///
/// Offsets are averaged over a window, against the counter's grain and the
/// noise of brackets; at its end
///   correction = integral + kProportional * mean / window
/// so that a constant offset shrinks by kProportional each window, and the
/// integral learns what slope error is left. Both poles are real and inside
/// the unit circle: no overshoot beyond the first window's.
class Servo {
 public:
  static constexpr double kProportional = 0.3;
  static constexpr double kIntegral = 0.03;
  /// Range of the correction. Units: ppb.
  static constexpr double kMaxPpb = 1'000'000;

  explicit Servo(double window_ns) : window_ns_(window_ns) {}

  /// Takes one offset, measured `elapsed_ns` after the one before. Returns
  /// whether correction_ppb() changed.
  bool Add(double offset_ns, double elapsed_ns) {
    sum_ns_ += offset_ns;
    ++count_;
    elapsed_ns_ += elapsed_ns;
    if (elapsed_ns_ < window_ns_) return false;
    const double slope_ppb = sum_ns_ / count_ / elapsed_ns_ * 1e9;
    integral_ppb_ = Clamp(integral_ppb_ + kIntegral * slope_ppb);
    correction_ppb_ = Clamp(integral_ppb_ + kProportional * slope_ppb);
    Forget();
    return true;
  }

  /// Begins a new window: the line has just been moved by other means.
  void Forget() {
    sum_ns_ = 0;
    count_ = 0;
    elapsed_ns_ = 0;
  }

  /// What to add to the frequency that was fed forward. Units: ppb.
  double correction_ppb() const { return correction_ppb_; }
  /// The part of it that is not about the last window's offset.
  double integral_ppb() const { return integral_ppb_; }

 private:
  static double Clamp(double ppb) { return std::clamp(ppb, -kMaxPpb, kMaxPpb); }

  double window_ns_;
  double sum_ns_ = 0;
  int count_ = 0;
  double elapsed_ns_ = 0;
  double integral_ppb_ = 0;
  double correction_ppb_ = 0;
};

}  // namespace vvar::hosted

#endif  // VVAR_HOSTED_SERVO_H_
