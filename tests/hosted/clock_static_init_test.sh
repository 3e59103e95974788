#!/bin/bash
# Tests that an object does no work before main(): its static constructors, if
# any, construct <iostream> alone, which Abseil's status.h includes.
# Trap: T110
#
#   clock_static_init_test.sh <object or archive>
set -euo pipefail
readonly object=$1

# No pipes into grep -q, which would end what it reads from.
code=$(objdump --disassemble --reloc "$object")
if ! grep -q '<.*UseSteady.*>:$' <<<"$code"; then
  echo "FAILED: $object does not use the clock, so nothing was tested"
  exit 1
fi
if grep -qE '__(asan|tsan|msan)_init' <<<"$code"; then
  echo "SKIPPED: a sanitizer has constructors of its own"
  exit 0
fi

# What constructors refer to: the relocations inside them.
used=$(awk '
  /^[0-9a-f]+ <.*>:$/ {
    inside = /_GLOBAL__sub_I|__static_initialization_and_destr|__cxx_global_var/
  }
  inside && / R_[A-Z]/ { sub(/[+-]0x.*/, "", $3); print $3 }
' <<<"$code" | sort -u)
# std::ios_base::Init::Init() and ~Init(); the object itself, local to the file;
# how a destructor is registered; what GCC and clang call between them.
readonly allowed='^(_ZNSt8ios_base4Init[CD]1Ev|_ZStL8__ioinit|\.bss.*|\.text.*|__dso_handle|__cxa_atexit|_Z41__static_initialization_and_destruction_0ii|__cxx_global_var_init)$'
work=$(grep --invert-match --extended-regexp "$allowed" <<<"$used" || true)
if [[ -n $work ]]; then
  echo "FAILED: constructors of $object refer to" $work
  exit 1
fi
