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
/// Small offsets are averaged over a window, against the counter's grain and
/// the noise of brackets; one beyond kLargeNs is no noise, and is a window of
/// its own. At a window's end, with its mean offset and its length,
///   integral += kIntegral * mean / length
///   correction = integral + kProportional * mean / length
/// so that an offset shrinks by kProportional each window, and the integral
/// learns what slope error is left. Damping 0.87: it hardly overshoots.
class Servo {
 public:
  static constexpr double kProportional = 0.3;  ///< Of an offset, a window.
  static constexpr double kIntegral = 0.03;     ///< Likewise.
  /// Well above the noise of brackets.
  static constexpr double kLargeNs = 100;
  /// Range of the correction, at which the integral stands still. Units: ppb.
  static constexpr double kMaxPpb = 1'000'000;

  /// Range: window_ns > 0.
  explicit Servo(double window_ns) : window_ns_(window_ns) {}

  /// Takes one offset, measured `elapsed_ns` after the one before. Returns
  /// whether correction_ppb() changed.
  bool Add(double offset_ns, double elapsed_ns) {
    if (std::abs(offset_ns) > kLargeNs) {
      Forget();
      was_large_ = true;
      Correct(offset_ns, elapsed_ns);
      return true;
    }
    sum_ns_ += offset_ns;
    ++count_;
    elapsed_ns_ += elapsed_ns;
    if (elapsed_ns_ >= window_ns_) {
      Correct(sum_ns_ / count_, elapsed_ns_);
      Forget();
      was_large_ = false;
      return true;
    }
    // What was right for one tick is not for a window.
    if (!was_large_) return false;
    was_large_ = false;
    correction_ppb_ = integral_ppb_;
    return true;
  }

  /// What to add to the frequency that was fed forward. Units: ppb.
  double correction_ppb() const { return correction_ppb_; }
  /// The part of it that is not about the last window's offset.
  double integral_ppb() const { return integral_ppb_; }

 private:
  void Correct(double offset_ns, double length_ns) {
    const double slope_ppb = offset_ns / length_ns * 1e9;
    const double integral_ppb = integral_ppb_ + kIntegral * slope_ppb;
    const double wanted_ppb = integral_ppb + kProportional * slope_ppb;
    correction_ppb_ = std::clamp(wanted_ppb, -kMaxPpb, kMaxPpb);
    if (correction_ppb_ == wanted_ppb) integral_ppb_ = integral_ppb;
  }

  void Forget() {
    sum_ns_ = 0;
    count_ = 0;
    elapsed_ns_ = 0;
  }

  double window_ns_;
  double sum_ns_ = 0;
  int count_ = 0;
  double elapsed_ns_ = 0;
  bool was_large_ = false;
  double integral_ppb_ = 0;
  double correction_ppb_ = 0;
};

}  // namespace vvar::hosted

#endif  // VVAR_HOSTED_SERVO_H_
