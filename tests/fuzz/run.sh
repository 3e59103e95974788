#!/bin/bash
# Runs libFuzzer on the targets of this folder for some CPU-minutes each, then
# prints what of the code they are for they have reached.
#
#   tests/fuzz/run.sh [--cpu_minutes=N] [--work=FOLDER] [target...]
#
# N: of user time that each target's process has used, 30 by default: on a
# shared machine that takes longer. FOLDER: where corpora, logs and findings
# are kept, and gone on from (/tmp/vvar_fuzz by default). Bazel's start-up
# options come from VVAR_BAZEL_STARTUP, if set. Exits with 1 on a finding.
set -euo pipefail
cd "$(dirname "$0")/../.."

readonly ALL_TARGETS=(
  arithmetic_fuzz attach_fuzz paravirt_fuzz reader_fuzz stateful_fuzz
  vdso_symbol_fuzz
)
# The files whose coverage is told.
readonly COVERED=(
  vvar/reader.h vvar/header.h vvar/latch.h vvar/slot.h vvar/offset.h
  fallback/vdso_symbol.h paravirt/foreign_page.h paravirt/pvclock.h
  paravirt/hyperv_tsc.h paravirt/vmclock.h paravirt/wall_clock.h
)
readonly LONGEST_INPUT=4096
# An input takes milliseconds; but a shared machine may leave it standing.
readonly TOO_LONG_SEC=300

cpu_minutes=30
work=/tmp/vvar_fuzz
targets=()
for argument in "$@"; do
  case $argument in
    --cpu_minutes=*) cpu_minutes=${argument#*=} ;;
    --work=*) work=${argument#*=} ;;
    -*)
      sed -n '2,/^set/s/^# \{0,1\}//p' "$0" >&2
      exit 2
      ;;
    *) targets+=("$argument") ;;
  esac
done
[[ ${#targets[@]} -gt 0 ]] || targets=("${ALL_TARGETS[@]}")

build() {
  local startup=()
  read -ra startup <<<"${VVAR_BAZEL_STARTUP-}"
  local labels=("${targets[@]/#///tests/fuzz:}")
  bazel ${startup[@]+"${startup[@]}"} build --symlink_prefix=/ "$@" \
    "${labels[@]}" "${labels[@]/%/_test}" >&2
  bazel ${startup[@]+"${startup[@]}"} info bazel-bin "$@" 2>/dev/null
}

# Adds the user time that a finished libFuzzer took, in seconds, to $used.
used=0
run_once() {
  local target=$1 seconds=$2 status=0
  local log=$work/$target.log
  local TIMEFORMAT=%U
  { time nice -n 19 "$work/bin/$target" -max_total_time="$seconds" \
    -max_len="$LONGEST_INPUT" -rss_limit_mb=4096 \
    -timeout="$TOO_LONG_SEC" -report_slow_units="$TOO_LONG_SEC" \
    -print_final_stats=1 -artifact_prefix="$work/findings/$target." \
    "$work/corpus/$target" >>"$log" 2>&1; } \
    2>"$work/$target.time" || status=$?
  used=$(awk -v used="$used" '{ used += $1 } END { print used }' \
    "$work/$target.time")
  return "$status"
}

# Runs a target until it has used its time. A finding ends it.
fuzz() {
  local target=$1 wanted left status=0
  wanted=$(awk -v n="$cpu_minutes" 'BEGIN { print n * 60 }')
  used=0
  : >"$work/$target.log"
  mkdir -p "$work/corpus/$target"
  "$work/bin/${target}_test" --write_seeds="$work/corpus/$target"
  cp -f "tests/fuzz/corpus/$target"/* "$work/corpus/$target/"
  while [[ $status -eq 0 ]]; do
    left=$(awk -v a="$wanted" -v b="$used" 'BEGIN { print int(a - b + 0.99) }')
    [[ $left -gt 0 ]] || break
    run_once "$target" "$left" || status=$?
  done
  local executions inputs findings
  executions=$(awk '/number_of_executed_units/ { n += $2 } END { print n + 0 }' \
    "$work/$target.log")
  inputs=$(find "$work/corpus/$target" -type f | wc -l)
  findings=$(find "$work/findings" -name "$target.*" | wc -l)
  printf '%-18s %12.1f %14s %8s %9s\n' "$target" \
    "$(awk -v n="$used" 'BEGIN { print n / 60 }')" "$executions" "$inputs" \
    "$findings"
  if [[ $status -ne 0 || $findings -ne 0 ]]; then
    failed+=("$target")
  fi
}

# Runs the corpora once more on a build that counts, and says what they reach.
coverage() {
  local bin=$1 target program options exports=()
  for target in "${targets[@]}"; do
    program=$bin/tests/fuzz/${target}_test
    LLVM_PROFILE_FILE=$work/$target.profraw \
      "$program" "$work/corpus/$target" >/dev/null
    llvm-profdata-19 merge -o "$work/$target.profile" "$work/$target.profraw"
    options=(-instr-profile="$work/$target.profile" "$program")
    llvm-cov-19 export -format=lcov "${options[@]}" >"$work/$target.lcov"
    llvm-cov-19 export -format=text "${options[@]}" >"$work/$target.json"
    exports+=("$work/$target")
  done
  python3 tests/fuzz/coverage.py "${COVERED[@]}" -- "${exports[@]}"
}

failed=()
mkdir -p "$work/bin" "$work/findings"
bin=$(build --config=fuzz)
for target in "${targets[@]}"; do
  cp -f "$bin/tests/fuzz/$target" "$bin/tests/fuzz/${target}_test" "$work/bin/"
done
printf '%-18s %12s %14s %8s %9s\n' target CPU-minutes executions corpus findings
for target in "${targets[@]}"; do fuzz "$target"; done
echo
coverage "$(build --config=fuzz_coverage)"
if [[ ${#failed[@]} -ne 0 ]]; then
  echo "FAILED: ${failed[*]}: see $work/findings and $work/*.log"
  exit 1
fi
