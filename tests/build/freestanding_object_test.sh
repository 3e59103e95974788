#!/bin/bash
# Tests one object file of the freestanding matrix: it must need nothing from
# anybody (no libc, libgcc, libatomic, GOT) and must define a function, or the
# test has looked at nothing.
#
#   freestanding_object_test.sh check <object>
#   freestanding_object_test.sh skip <missing compiler>
set -euo pipefail

if [[ $1 == skip ]]; then
  echo "SKIPPED: $2 is not installed"
  exit 0
fi
readonly object=$2

undefined=$(nm --undefined-only "$object" | awk '{ print $NF }' | xargs)
if [[ -n $undefined ]]; then
  echo "FAILED: $object needs $undefined"
  exit 1
fi
# T, t: a function; W: an inline one. Not $t, $x, .L0: assembler's marks.
defined=$(nm --defined-only "$object")
if ! grep -q ' [TtW] [^$.]' <<<"$defined"; then
  echo "FAILED: $object defines no function, so nothing was tested"
  exit 1
fi
