#!/bin/bash
# Runs the whole suite under each sanitizer, and prints a line for each:
# test cases passed, failed, skipped.
#
#   tests/sanitizers.sh [--only=CONFIG[,CONFIG]] [bazel options]
#
# CONFIG: asan, ubsan, tsan or wrap, as in .bazelrc. A test that cannot run
# under one has the tag no-CONFIG, with its reason above it in its BUILD file,
# and counts as skipped. Tests that compile for themselves, or read the tree (tag
# external), have nothing to do with it. Bazel's start-up options come from
# VVAR_BAZEL_STARTUP, if set. Exits with 1 if a case failed.
set -euo pipefail
cd "$(dirname "$0")/.."

configs=(asan ubsan tsan wrap)
options=()
for argument in "$@"; do
  case $argument in
    --only=*) IFS=, read -ra configs <<<"${argument#*=}" ;;
    *) options+=("$argument") ;;
  esac
done
startup=()
read -ra startup <<<"${VVAR_BAZEL_STARTUP-}"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# wrap is for code that says where it wraps: what is freestanding. Models are not
# compiled by Bazel.
targets_of() {
  if [[ $1 == wrap ]]; then
    echo //tests/vvar/... //tests/clocks/... //tests/fallback/... \
      //tests/fuzz/...
  else
    echo //... -//models/...
  fi
}

# The tests that the tag excludes.
excluded_by() {
  bazel ${startup[@]+"${startup[@]}"} query \
    "attr(tags, '\\bno-$1\\b', tests(//...))" 2>/dev/null
}

status=0
for config in "${configs[@]}"; do
  read -ra targets <<<"$(targets_of "$config")"
  excluded=$(excluded_by "$config")
  bazel ${startup[@]+"${startup[@]}"} test --symlink_prefix=/ --keep_going \
    --config="$config" --test_tag_filters="-no-$config,-external" \
    --build_event_json_file="$work/events" \
    ${options[@]+"${options[@]}"} -- "${targets[@]}" >"$work/log" 2>&1 || true
  python3 tests/summary.py "$work/events" >"$work/summary" || status=1
  grep '^FAILED' "$work/summary" || true
  for label in $excluded; do echo "SKIPPED $label: no-$config"; done
  printf '%-6s %s' "$config" "$(tail -n 1 "$work/summary")"
  [[ -z $excluded ]] || printf ', %d targets excluded' "$(wc -l <<<"$excluded")"
  printf '\n'
done
exit "$status"
