// SPDX-License-Identifier: MIT
//
// What would help a machine whose time is slow or wrong, by its facts. Nothing
// that is a danger is advised without its risk.
#ifndef VVAR_TOOLS_REMEDIES_H_
#define VVAR_TOOLS_REMEDIES_H_

#include <stdint.h>

#include <string>

#include "absl/strings/string_view.h"
#include "tools/diagnosis.h"

namespace vvar::tools {

/// A length of time for people, in four digits.
std::string RoundedNs(int64_t ns);

/// Whether vDSOs read a clocksource of this name, where it is stable.
bool IsReadByVdso(absl::string_view clocksource);

/// What this clocksource is, and why the kernel has it, if that is known.
std::string WhyOfClocksource(const TimeFacts& facts);

/// What `vvar exec` would do for single programs, to be appended; "" where it
/// would do nothing.
std::string ExecAdvice(const TimeFacts& facts);

std::string HelpForClocksource(const TimeFacts& facts);
std::string HelpForVaryingCounter(const TimeFacts& facts);
std::string HelpForNoVdso(const TimeFacts& facts);
std::string HelpForPartialVdso(const TimeFacts& facts);
std::string HelpForUnsynchronised(const TimeFacts& facts);

}  // namespace vvar::tools

#endif  // VVAR_TOOLS_REMEDIES_H_
