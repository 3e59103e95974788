// SPDX-License-Identifier: MIT
//
// What an operator is told of invented machines.
#include "tools/diagnosis.h"

#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "tests/tools/invented_machines.h"

namespace vvar::tools {
namespace {

TEST(DiagnosisTest, TellsOfEachMachineWhatIsToBeDoneAndNoMore) {
  for (const Machine& machine : Machines()) {
    SCOPED_TRACE(machine.name);
    TimeFacts facts = AllWell();
    machine.make(&facts);
    std::vector<std::string> told;
    std::string text;
    for (const Finding& finding : Diagnose(facts)) {
      if (finding.severity == Severity::kOk) continue;
      told.push_back(
          absl::StrCat(NameOf(finding.severity), " ", finding.topic));
      absl::StrAppend(&text, finding.what, " ", finding.why, " ", finding.help,
                      "\n");
    }
    EXPECT_EQ(told, machine.told);
    for (const std::string& word : machine.words) {
      EXPECT_TRUE(absl::StrContains(text, word)) << word << " not in:\n"
                                                 << text;
    }
    for (const std::string& word : machine.never) {
      EXPECT_FALSE(absl::StrContains(text, word)) << word << " in:\n" << text;
    }
  }
}

TEST(DiagnosisTest, ComesInOrderOfImportanceWithATopicOnce) {
  for (const Machine& machine : Machines()) {
    SCOPED_TRACE(machine.name);
    TimeFacts facts = AllWell();
    machine.make(&facts);
    const std::vector<Finding> findings = Diagnose(facts);
    ASSERT_FALSE(findings.empty());
    for (size_t i = 0; i < findings.size(); ++i) {
      EXPECT_FALSE(findings[i].what.empty());
      if (findings[i].severity != Severity::kOk) {
        EXPECT_FALSE(findings[i].why.empty()) << findings[i].topic;
      }
      for (size_t j = 0; j < i; ++j) {
        EXPECT_GE(findings[j].severity, findings[i].severity);
        EXPECT_NE(findings[j].topic, findings[i].topic);
      }
    }
  }
}

// Whatever ends a check of the kernel's, or overrides its choice, has its risk
// beside it.
TEST(DiagnosisTest, NoDangerIsAdvisedWithoutItsRisk) {
  int dangers = 0;
  for (const Machine& machine : Machines()) {
    SCOPED_TRACE(machine.name);
    TimeFacts facts = AllWell();
    machine.make(&facts);
    for (const Finding& finding : Diagnose(facts)) {
      const std::string& help = finding.help;
      if (absl::StrContains(help, "tsc=reliable") ||
          absl::StrContains(help, "echo tsc")) {
        ++dangers;
        EXPECT_TRUE(absl::StrContains(help, "risk") ||
                    absl::StrContains(help, "only if"))
            << help;
        EXPECT_TRUE(absl::StrContains(help, "jump") ||
                    absl::StrContains(help, "runs wrong"))
            << help;
      }
      if (absl::StrContains(help, "vvar exec -- PROGRAM")) {
        EXPECT_TRUE(absl::StrContains(help, "needs ptrace")) << help;
      }
    }
  }
  EXPECT_GE(dangers, 5);
}

TEST(DiagnosisTest, SummaryCountsAndNamesTheCost) {
  TimeFacts facts = AllWell();
  EXPECT_EQ(Summary(facts, Diagnose(facts)),
            "Time on this machine: 0 wrong, 0 slow, 0 to note. MONOTONIC costs "
            "25 ns a read, 1.2 times the bare counter's 20 ns.");
  facts.clocksource = "hpet";
  facts.tai_offset_sec = 0;
  MakeSlow(&facts, 1000);
  EXPECT_EQ(Summary(facts, Diagnose(facts)),
            "Time on this machine: 0 wrong, 1 slow, 1 to note. MONOTONIC costs "
            "1000 ns a read, 50.0 times the bare counter's 20 ns.");
}

TEST(DiagnosisTest, FactsThatNobodyToldAreNoCrashAndNoFigure) {
  for (const Finding& finding : Diagnose(TimeFacts())) {
    EXPECT_FALSE(absl::StrContains(finding.why, "nan")) << finding.why;
    EXPECT_FALSE(absl::StrContains(finding.why, "inf ")) << finding.why;
  }
}

}  // namespace
}  // namespace vvar::tools
