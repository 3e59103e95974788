// SPDX-License-Identifier: MIT
//
// Asks this machine, its kernel and this process what tools/diagnosis.h is to
// know. Linux.
#ifndef VVAR_TOOLS_TIME_FACTS_H_
#define VVAR_TOOLS_TIME_FACTS_H_

#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "hosted/memory_map.h"
#include "tools/diagnosis.h"

namespace vvar::tools {

/// Takes a second or so. What nobody tells stays empty.
/// Context: one thread; it forks, and touches nothing but this process.
TimeFacts GatherTimeFacts();

/// The words of a kernel's command line that are about time.
std::vector<std::string> TimeParameters(absl::string_view command_line);

/// The file that has the function at `address`, if it is neither a C library's
/// nor of `program`'s own: "" otherwise.
std::string InterposerAt(const hosted::MemoryMap& map, uint64_t address,
                         absl::string_view program);

/// What others wrote, as it may be shown on a terminal: '?' for control
/// characters.
std::string Printable(absl::string_view text);

}  // namespace vvar::tools

#endif  // VVAR_TOOLS_TIME_FACTS_H_
