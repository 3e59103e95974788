#!/bin/bash
# Lets a writer process and two reader processes run beside loads that keep every
# core busy: no clock may step back, and no process may grow.
#
#   bench/soak.sh [SECONDS]     (600)
#
# Prints each clock's offsets and each process's memory, at the start and at the
# end; data: bench/out/soak_*. Exits with 1 for a backward step or growth.
set -euo pipefail
cd "$(dirname "$0")/.."

readonly seconds=${1:-600}
readonly out=bench/out
readonly page=soak.$$
# What a histogram may still touch for the first time.
readonly growth_kib=256

third_party/setup.sh bench
bazel build --config=bench //tools:vvar
# A later build of something else must not replace it meanwhile.
bin=$(mktemp -d)
cp bazel-bin/tools/vvar "$bin/vvar"
mkdir -p "$out"

pids=()
finish() {
  kill "${pids[@]}" 2>/dev/null || true
  rm -rf "$bin" "/dev/shm/vvar.$page"
}
trap finish EXIT

for _ in $(seq "$(nproc)"); do
  while :; do :; done &
  pids+=($!)
done
"$bin/vvar" serve --page="$page" >"$out/soak_serve.txt" &
server=$!
pids+=("$server")
until grep -q '^tick' "$out/soak_serve.txt"; do
  kill -0 "$server"
  sleep 0.1
done
readers=()
for i in 1 2; do
  "$bin/vvar" watch --page="$page" --seconds="$seconds" --format=json \
    >"$out/soak_watch$i.json" &
  readers+=($!)
done
pids+=("${readers[@]}")

memory() {
  awk '/VmRSS/ { print $2 }' "/proc/$1/status"
}
# The first tenth fills what is filled once.
sleep $((seconds / 10))
before=()
for pid in "$server" "${readers[@]}"; do before+=("$(memory "$pid")"); done
sleep $((seconds - seconds / 5))
after=()
for pid in "$server" "${readers[@]}"; do after+=("$(memory "$pid")"); done
wait "${readers[@]}"
kill "$server"
wait "$server" || true
grep '^stopped' "$out/soak_serve.txt"

printf '%s\n' "${before[*]}" "${after[*]}" >"$out/soak_memory.txt"
python3 - "$out" "$growth_kib" <<'EOF'
import json
import sys

out, limit = sys.argv[1], int(sys.argv[2])
failures = 0
for i in 1, 2:
  with open("%s/soak_watch%d.json" % (out, i)) as file:
    report = json.load(file)
  for clock in report["clocks"]:
    print("reader %d  %-16s |offset| p50 %6d ns, p99 %9d ns, max %9d ns; "
          "%d samples, %d backward" %
          (i, clock["id"], clock["offset_p50_ns"], clock["offset_p99_ns"],
           clock["offset_max_ns"], clock["samples"], clock["backward_steps"]))
    failures += clock["backward_steps"]
with open(out + "/soak_memory.txt") as file:
  before, after = (list(map(int, line.split())) for line in file)
for name, first, last in zip(("serve", "reader 1", "reader 2"), before, after):
  print("%-9s %d KiB, then %d KiB" % (name, first, last))
  failures += last - first > limit
print("soak: %d failures" % failures)
sys.exit(failures != 0)
EOF
