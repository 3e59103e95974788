// SPDX-License-Identifier: MIT
//
// The rules of tools/diagnosis.h about who keeps the time of day, and how well.
#ifndef VVAR_TOOLS_DISCIPLINE_RULES_H_
#define VVAR_TOOLS_DISCIPLINE_RULES_H_

#include <vector>

#include "tools/diagnosis.h"

namespace vvar::tools {

void DiagnoseSynchronisation(const TimeFacts& facts,
                             std::vector<Finding>* findings);
void DiagnoseLeap(const TimeFacts& facts, std::vector<Finding>* findings);
void DiagnoseTai(const TimeFacts& facts, std::vector<Finding>* findings);

}  // namespace vvar::tools

#endif  // VVAR_TOOLS_DISCIPLINE_RULES_H_
