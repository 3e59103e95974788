#!/bin/bash
# Installs what is missing, then builds and runs the whole suite. The last line
# is `N passed, N failed, N skipped`, in test cases.
#
#   tests/run.sh [--thorough] [bazel options, such as --config=asan]
#
# --thorough: sets VVAR_THOROUGH=1, for which stress tests, models, the explorer
# and all mutants run up to an hour each instead of seconds; then the suite under
# each sanitizer, and the fuzzers for 30 CPU-minutes each. Some five hours.
set -euo pipefail
cd "$(dirname "$0")/.."

options=()
thorough=0
for option in "$@"; do
  if [[ $option == --thorough ]]; then
    thorough=1
    option=--config=thorough
  fi
  options+=("$option")
done

third_party/setup.sh tests

# Bazel 4 takes its own links for packages of ours when they lead into another
# user's, or another HOME's, output. Each build makes them anew.
find . -maxdepth 1 -type l -name 'bazel-*' -delete

events=$(mktemp)
trap 'rm -f "$events"' EXIT
# --keep_going: what does not build is a failed case, and the rest still runs.
# The summary below knows Bazel's exit status from the events.
bazel test --keep_going --build_event_json_file="$events" \
  "${options[@]}" //... || true
failed=0
if [[ $thorough == 1 ]]; then
  tests/sanitizers.sh || failed=1
  tests/fuzz/run.sh || failed=1
fi
python3 tests/summary.py "$events" || failed=1
exit "$failed"
