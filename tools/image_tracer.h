// SPDX-License-Identifier: MIT
//
// Gives a program another vDSO as the kernel starts it, and those of its
// children, if asked to. Linux on x86-64.
#ifndef VVAR_TOOLS_IMAGE_TRACER_H_
#define VVAR_TOOLS_IMAGE_TRACER_H_

#include <stdint.h>
#include <sys/types.h>

#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "hosted/injected_image.h"
#include "hosted/traced_thread.h"
#include "vvar/offset.h"

namespace vvar::tools {

/// What is mapped, by the program's kind: ELF files.
struct Images {
  std::string_view x86_64;
  std::string_view i386;
};

enum class Follow { kProgram, kChildrenToo };

/// The tracer of a program that has not begun.
class ImageTracer {
 public:
  /// `page_fd`: of the page to be mapped.
  static absl::StatusOr<ImageTracer> Make(int page_fd, const Images& images,
                                          Follow follow);

  /// Attaches to a child that waits to be let go. Error: TracedThread's.
  absl::Status Attach(pid_t program);

  /// Runs until the program has ended; returns its status, as waitpid() does.
  /// Error: the program is not one that can have the image; it stands before
  /// its first instruction.
  absl::StatusOr<int> Run();

  /// Whether the program was begun at all.
  bool has_begun() const { return has_begun_; }

 private:
  ImageTracer(int page_fd, hosted::SealedFile image,
              hosted::SealedFile i386_image, Follow follow);

  uint32_t Options() const;
  absl::Status OnStop(hosted::TracedThread thread,
                      const hosted::TraceStop& stop);
  absl::Status OnExec(hosted::TracedThread thread);
  absl::Status GiveImage(hosted::TracedThread thread);
  absl::Status MakeOffsets(pid_t pid);
  void StopAsProgram(int signal) const;

  int page_fd_;
  hosted::SealedFile image_;
  hosted::SealedFile i386_image_;
  Follow follow_;
  hosted::SealedFile offsets_file_;
  ClockOffsets offsets_;
  pid_t program_ = -1;
  bool has_begun_ = false;
};

}  // namespace vvar::tools

#endif  // VVAR_TOOLS_IMAGE_TRACER_H_
