#!/bin/bash
# Runs the main job on this machine's own counter, a writer process and reader
# processes, then the benchmarks; holds both against the bars of the design.
#
#   bench/run.sh [--quick]
#
# --quick: under a minute once built, instead of four. Plots and data:
# bench/out/. The last line is `N bars met, N missed`. Exits with other than 0
# when something could not be run, not when a bar is missed.
set -euo pipefail
cd "$(dirname "$0")/.."

watch_seconds=60
in_process_seconds=30
repetitions=501
case $* in
  "") ;;
  --quick)
    watch_seconds=8
    in_process_seconds=5
    repetitions=101
    ;;
  *)
    echo "usage: bench/run.sh [--quick]" >&2
    exit 2
    ;;
esac

readonly out=bench/out
readonly page=bench.$$

phase() { printf '\n== %s\n' "$*"; }

# Whatever ends this script ends its processes, and removes its page.
# shellcheck disable=SC2317  # The trap calls it.
clean_up() {
  local job
  for job in $(jobs -p); do kill "$job" 2>/dev/null || true; done
  wait
  rm -f "/dev/shm/vvar.$page"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# A shell obeys a signal at once while it waits, not while a command runs.
run() {
  "$@" &
  wait $!
}

describe_machine() {
  local system=/sys/devices/system
  echo "$(lscpu | sed -n 's/^Model name: *//p'), $(nproc) CPUs," \
    "Linux $(uname -r)," \
    "clocksource $(cat $system/clocksource/clocksource0/current_clocksource)," \
    "governor $(cat $system/cpu/cpu0/cpufreq/scaling_governor 2>/dev/null ||
      echo none)," \
    "$(gcc --version | sed -n '1s/.* /gcc /p') -c opt"
}

# Short repetitions in random order: what disturbs one benchmark disturbs all.
run_benchmarks() {
  if ! run "$bin/bench/$1" --benchmark_min_time=0.001 \
    --benchmark_repetitions="$repetitions" \
    --benchmark_enable_random_interleaving=true \
    --benchmark_out="$out/$1.json" --benchmark_out_format=json \
    >"$out/$1.log" 2>&1; then
    cat "$out/$1.log" >&2
    return 1
  fi
}

phase "Build"
third_party/setup.sh bench
build=(--config=bench --symlink_prefix=/)
bazel build "${build[@]}" //bench/... //tools:vvar
bin=$(bazel info "${build[@]}" bazel-bin)
readonly bin
mkdir -p "$out"
machine=$(describe_machine)

phase "Machine: $machine"

phase "Main job, $watch_seconds s: a writer process, three reader processes"
"$bin/tools/vvar" serve --page="$page" &
server=$!
until "$bin/tools/vvar" now --page="$page" >/dev/null 2>&1; do
  kill -0 "$server" # it has said why it ended
  sleep 0.01
done
read -r before_ns _ <"/proc/$server/schedstat"
before_s=$(date +%s.%N)
"$bin/tools/vvar" watch --page="$page" --seconds="$watch_seconds" \
  --format=json >"$out/watch.json" &
watcher=$!
"$bin/bench/offset_trace" --page="$page" --seconds="$watch_seconds" \
  >"$out/offset_shared_page.csv" &
tracer=$!
run "$bin/tools/vvar" watch --page="$page" --seconds="$watch_seconds"
wait "$watcher"
wait "$tracer"
# Its time on a CPU in ns, the time that passed in s, its memory in KiB.
awk -v before_ns="$before_ns" -v before_s="$before_s" -v now_s="$(date +%s.%N)" \
  'FNR == 1 && NR == 1 { cpu_ns = $1 - before_ns }
   $1 == "VmHWM:" { print cpu_ns, now_s - before_s, $2 }' \
  "/proc/$server/schedstat" "/proc/$server/status" >"$out/server.txt"
kill "$server"
wait "$server"

phase "Clock of one process, $in_process_seconds s"
run "$bin/bench/offset_trace" --seconds="$in_process_seconds" \
  >"$out/offset_in_process.csv"

phase "Cost of reads and publications, $repetitions repetitions"
run_benchmarks reader_bench

phase "Cost beside a writer, $repetitions repetitions"
run_benchmarks contention_bench

phase "Cost of conversions, $repetitions repetitions"
run_benchmarks conversion_bench
rm -f "$out/conversion_bench_avx512.json" # of another run
if grep -qw avx512dq /proc/cpuinfo; then
  run_benchmarks conversion_bench_avx512
else
  echo "SKIPPED conversion_bench_avx512: this CPU has no AVX-512"
fi

phase "$machine"
status=0
python3 bench/report.py "$out" >"$out/report.txt" || status=$?
gnuplot -c bench/plots.gp "$out" "$machine"
echo "Plots: $out/ns_per_read.png $out/offset.png (and .svg)"
cat "$out/report.txt"
exit "$status"
