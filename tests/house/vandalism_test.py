#!/usr/bin/env python3
"""The house checks can fail: each row breaks one promise in a copy of the tree,
and the case that keeps it must notice. On an empty tree every check fails."""

import collections
import functools
import os
import subprocess
import sys
import tempfile

import house

CHECKS = ("abi_doc_test", "api_doc_test", "comments_test", "faults_check",
          "format_test", "include_graph_test", "labels_test", "objects_test",
          "references_test", "single_home_test", "traps_check")

# `old` becomes `new` wherever it is; where it is "", the file is a new one.
Row = collections.namedtuple("Row", "name check case path old new")
ROWS = [
    # Dependencies.
    Row("include_upward", "include_graph_test", "includes_obey_the_table",
        "vvar/timebase.h", '#include "vvar/scale.h"\n',
        '#include "vvar/reader.h"\n#include "vvar/scale.h"\n'),
    Row("tool_in_an_example", "include_graph_test", "includes_obey_the_table",
        "examples/coarse_cache.cc", '#include "hosted/clock.h"\n',
        '#include "hosted/clock.h"\n#include "tools/compare.h"\n'),
    Row("include_a_library", "include_graph_test",
        "freestanding_headers_need_no_library", "vvar/scale.h", "<stddef.h>",
        "<string.h>"),
    Row("include_in_a_circle", "include_graph_test", "includes_have_no_cycle",
        "vvar/page.h", '#include "vvar/abi.h"', '#include "vvar/timebase.h"'),
    Row("file_without_a_row", "include_graph_test", "every_file_has_a_row",
        "vvar/extra.h", "", "#include <stdint.h>\n"),
    Row("table_points_upward", "include_graph_test", "the_table_descends",
        "CONVENTIONS.md", "| 2 | `vvar/latch.h` | `vvar/seqcount.h`",
        "| 2 | `vvar/latch.h` | `vvar/slot.h`"),
    Row("dependency_not_in_build", "include_graph_test",
        "build_files_say_the_same", "vvar/BUILD", '        ":scale",\n', ""),
    # One home for each danger.
    Row("fence_in_the_writer", "single_home_test", "ordering_only_in_seqcount",
        "vvar/writer.h", "timekeeper.Commit();",
        "__atomic_thread_fence(__ATOMIC_SEQ_CST);"),
    Row("plain_load_of_the_page", "single_home_test",
        "page_words_only_through_memory", "vvar/slot.h",
        "Memory::Load(slot.mult)", "(slot.mult)"),
    Row("asm_in_the_reader", "single_home_test",
        "asm_only_in_clocks_and_syscall", "vvar/reader.h", "clock_.Relax();",
        'asm volatile("pause");'),
    Row("clobber_left_out", "single_home_test",
        "ordered_counter_reads_clobber_memory", "clocks/x86_tsc.h",
        '"ecx", "memory"', '"ecx"'),
    Row("architecture_in_the_core", "single_home_test",
        "architecture_if_only_in_two_files", "vvar/scale.h",
        "namespace vvar {", "#ifdef __x86_64__\n#endif\nnamespace vvar {"),
    Row("double_in_the_core", "single_home_test", "no_floating_point",
        "vvar/timebase.h", "namespace vvar {",
        "namespace vvar {\ninline double half = .5;"),
    Row("second_retry_loop", "single_home_test", "one_retry_loop",
        "fallback/chain.h", "return AskSystem(id, page.status);",
        "while (ReadBegin<PageMemory>(seq) & 1) {}"),
    Row("long_retry_loop", "single_home_test", "retry_loop_fits_a_glance",
        "vvar/reader.h", "clock_.Relax();", "clock_.Relax();" + "\n" * 9),
    Row("long_function", "single_home_test", "functions_fit_a_screen",
        "vvar/line_planner.h", "PlanBases(line, run, next);",
        "PlanBases(line, run, next);" + "\n" * 40),
    Row("long_header", "single_home_test", "core_stays_small", "vvar/latch.h",
        "namespace vvar {", "\n" * 360 + "namespace vvar {"),
    Row("core_that_grows", "single_home_test", "core_pulls_in_little",
        "vvar/page.h", "enum class ReadStatus",
        "int unused;\n" * 700 + "enum class ReadStatus"),
    Row("file_called_utils", "single_home_test", "no_grab_bags",
        "hosted/time_utils.h", "", "\n"),
    # The protocol's names.
    Row("renamed_label", "labels_test", "steps_name_their_function",
        "vvar/seqcount.h", "/// [R:end]", "/// [R:finish]"),
    Row("label_gone", "labels_test", "code_has_every_step", "vvar/reader.h",
        "// [R:count]", "//"),
    Row("steps_swapped", "labels_test", "steps_are_taken_in_order",
        "vvar/reader.h", "// [R:begin]", "// [R:line]"),
    Row("label_only_in_docs", "labels_test", "labels_elsewhere_exist",
        "docs/abi.md", "[R:count]", "[R:counter]"),
    Row("step_gone_from_the_model", "labels_test", "models_take_every_step",
        "models/dated_latch.pml", "[W:close]", "[W:line]"),
    Row("label_only_in_a_model", "labels_test", "labels_elsewhere_exist",
        "models/dated_latch.pml", "[R:count]", "[R:counter]"),
    Row("step_by_number", "labels_test", "no_step_by_number", "vvar/writer.h",
        "/// The writer of one timeline.", "/// As in step 3."),
    # What prose names.
    Row("file_that_is_not", "references_test", "named_files_exist",
        "vvar/abi.h", "docs/abi.md", "docs/page.md"),
    Row("link_to_nowhere", "references_test", "links_lead_somewhere",
        "docs/abi.md", "../vvar/abi.h", "../vvar/page.c"),
    Row("test_that_is_not", "references_test", "named_tests_exist",
        "vvar/latch.h", "namespace vvar {", "// LatchTest.Sings\nnamespace {"),
    Row("check_that_is_not", "references_test", "named_checks_exist",
        "CONVENTIONS.md", "[labels_test]", "[label_test]"),
    Row("term_nobody_uses", "references_test", "glossary_terms_are_used",
        "docs/glossary.md", "| torn |", "| frobnicated |"),
    # The document of the page.
    Row("offset_in_the_document", "abi_doc_test", "rows_agree_with_the_header",
        "docs/abi.md", "| `mult` | 16 |", "| `mult` | 20 |"),
    Row("type_in_the_header", "abi_doc_test", "rows_agree_with_the_header",
        "vvar/abi.h", "VVAR_S64 sec;", "VVAR_U64 sec;"),
    Row("fields_swapped", "abi_doc_test", "rows_agree_with_the_header",
        "vvar/abi.h", "uint32_t endian_tag;\n  uint32_t abi_major;",
        "uint32_t abi_major;\n  uint32_t endian_tag;"),
    Row("field_without_a_row", "abi_doc_test", "every_field_has_a_row",
        "vvar/abi.h", "uint32_t leap_smear_sec;", "uint32_t epoch;"),
    Row("constant_in_the_document", "abi_doc_test",
        "constants_agree_with_the_header", "docs/abi.md",
        "| `VVAR_CLOCK_TAI` | 11 |", "| `VVAR_CLOCK_TAI` | 10 |"),
    Row("unit_in_the_document", "abi_doc_test", "names_say_their_units",
        "docs/abi.md", "| 120 | 8 | u64 | ns |", "| 120 | 8 | u64 | cycles |"),
    Row("sign_in_the_document", "abi_doc_test",
        "page_is_decoded_by_the_document", "docs/abi.md",
        "| `sec` | 0 | 8 |", "| `sec` | 8 | 8 |"),
    Row("diagram", "abi_doc_test", "diagram_agrees_with_the_rows",
        "docs/abi.md", " 832 +", " 836 +"),
    # The API reference.
    Row("function_without_words", "api_doc_test",
        "public_symbols_are_documented", "vvar/reader.h",
        "  /// The same as a timespec.\n", ""),
    Row("field_without_words", "api_doc_test", "fields_are_documented_or_speak",
        "vvar/slot.h", "  ///< Normalised.", ""),
    Row("reference_to_nothing", "api_doc_test", "doxygen_has_no_complaint",
        "vvar/latch.h", "namespace vvar {",
        "/// As \\ref Nothing.\nnamespace vvar {"),
    # What the compiler makes of it.
    Row("division_in_the_reader", "objects_test",
        "no_division_in_reader.x86_64", "vvar/slot.h",
        "return NsAfter(base, scale, delta);",
        "return NsAfter(base, scale, delta) / scale.mult;"),
    Row("float_in_the_reader", "objects_test", "no_float.x86_64",
        "vvar/slot.h", "return NsAfter(base, scale, delta);",
        "return (uint64_t)((double)delta * scale.mult);"),
    Row("rmw_in_the_reader", "objects_test", "no_rmw_in_reader.x86_64",
        "vvar/seqcount.h", "return __atomic_load_n(&word, __ATOMIC_ACQUIRE);",
        "return __atomic_fetch_add((uint32_t*)&word, 0, __ATOMIC_ACQUIRE);"),
    Row("store_in_the_reader", "objects_test", "no_store_in_reader.x86_64",
        "vvar/reader.h", "clock_.Relax();",
        "Memory::Store((uint32_t&)timeline_->reserved[0], seq);"),
    Row("counter_not_masked", "objects_test", "arm_counter_is_masked.aarch64",
        "clocks/arm_cntvct.h", "return counter & kMask;", "return counter;"),
    Row("static_constructor", "objects_test", "no_static_init.x86_64",
        "vvar/writer.h", "namespace vvar {",
        "namespace vvar {\ninline const uint64_t kT = __builtin_ia32_rdtsc();"),
    Row("work_before_main", "objects_test", "no_static_init.hosted",
        "hosted/updater.h", "namespace vvar::hosted {",
        "namespace vvar::hosted {\ninline const int kStarter = getpid();"),
    # Comments and format.
    Row("asm_without_its_order", "comments_test", "orderings_say_why",
        "clocks/x86_tsc.h", "/// Ordering: MFENCE", "/// MFENCE"),
    Row("counter_without_source", "comments_test",
        "counters_name_their_sources", "clocks/x86_tsc.h", "Source:", ""),
    Row("todo_without_issue", "comments_test", "todos_name_an_issue",
        "vvar/latch.h", "namespace vvar {", "// TODO(): more\nnamespace vvar {"),
    Row("file_without_licence", "comments_test",
        "files_begin_with_licence_and_purpose", "fallback/chain.h",
        "// SPDX-License-Identifier: MIT\n", ""),
    Row("foreign_guard", "comments_test", "headers_have_guards_of_their_path",
        "hosted/servo.h", "#ifndef VVAR_HOSTED_SERVO_H_", "#ifndef SERVO_H"),
    Row("two_spaces", "format_test", "format.vvar", "vvar/latch.h",
        "constexpr uint32_t", "constexpr  uint32_t"),
    Row("lenient_script", "format_test", "shell_is_strict",
        "third_party/setup.sh", "set -euo pipefail", "set -e"),
    # Faults.
    Row("fault_left_out", "faults_check", "every_fault_has_its_row",
        "tests/faults/README.md", "| F7 |", "| F77 |"),
    Row("fault_test_that_is_not", "faults_check",
        "tests_in_the_fault_table_exist", "tests/faults/README.md",
        "`LatchStressTest.Torn", "`LatchStressTest.Worn"),
    Row("fault_test_nobody_names", "faults_check",
        "every_fault_test_has_a_row", "tests/faults/torn_lines_test.cc",
        "TEST_F(TornLinesTest, Starved", "TEST_F(TornLinesTest, Hungry"),
    # Traps.
    Row("trap_nobody_knows", "traps_check", "marks_name_known_traps",
        "tests/vvar/scale_test.cc", "Trap: T36", "Trap: T360"),
    Row("trap_of_a_model_nobody_knows", "traps_check",
        "marks_name_known_traps", "models/bad_two_writers.pml", "Trap: T02",
        "Trap: T020"),
    Row("trap_left_out", "traps_check", "catalogue_is_complete",
        "tests/house/traps.txt", "T77 ", "#"),
]


def run(check, root, *arguments):
  """Returns the exit code of a check on a tree, its cases as {name: outcome},
  and its lines."""
  script = str(house.ROOT / "tests" / "house" / check) + ".py"
  result = subprocess.run([sys.executable, script, root, *arguments],
                          capture_output=True, text=True, check=False)
  lines = result.stdout.split("\n")
  cases = dict(line.split()[1:3] for line in lines if line.startswith("CASE "))
  return result.returncode, cases, lines


@functools.lru_cache
def copied_tree():
  folder = tempfile.TemporaryDirectory()
  root = os.path.join(folder.name, "tree")
  house.copy_tree(root)
  return folder, root


@functools.lru_cache
def run_on_whole_tree(check, *arguments):
  return run(check, copied_tree()[1], *arguments)


def row_case(row):
  def one(look):
    path = os.path.join(copied_tree()[1], row.path)
    whole = house.read(row.path) if row.old else None
    if whole is not None and row.old not in whole:
      look.problem(row.path, "nothing to break: no '%s'" % row.old)
    # Of the objects' cases, one target's.
    arguments = (row.case.split(".")[1:] if row.check == "objects_test" else [])
    before = run_on_whole_tree(row.check, *arguments)[2]
    with open(path, "w", encoding="utf-8") as file:
      file.write(whole.replace(row.old, row.new) if row.old else row.new)
    code, cases, lines = run(row.check, copied_tree()[1], *arguments)
    if whole is None:
      os.remove(path)
    else:
      with open(path, "w", encoding="utf-8") as file:
        file.write(whole)
    outcome = cases.get(row.case, "missing")
    if outcome == "SKIPPED":
      raise house.Skip(row.case + " is")
    # What failed before is no answer to this.
    new = [line for line in look.at(lines, "lines of output")
           if line not in before]
    if code == 0 or outcome != "FAILED" or not new:
      look.problem(row.path, "%s did not notice" % row.case)
  one.__name__ = row.name
  house.case(one)


def empty_case(check):
  def one(look):
    with tempfile.TemporaryDirectory() as root:
      code, cases, _ = run(check, root)
    for name, outcome in look.at(cases.items(), "cases"):
      if outcome == "PASSED":
        look.problem(check, "%s finds nothing wrong in an empty tree" % name)
    if code == 0:
      look.problem(check, "passes in an empty tree")
  one.__name__ = "empty_tree." + check
  house.case(one)


@house.case
def every_case_has_a_row(look):
  """A case of several targets or folders needs one for one of them."""
  broken = {row.case.split(".")[0] for row in ROWS}
  for check in CHECKS:
    targets = ["x86_64"] if check == "objects_test" else []
    for name in look.at(run_on_whole_tree(check, *targets)[1], "cases"):
      if name.split(".")[0] not in broken:
        look.problem(check, "no row breaks " + name)


for each in ROWS:
  row_case(each)
for each in CHECKS:
  empty_case(each)
house.run()
