#!/bin/bash
# Runs the main job on this machine's own counter, a writer process and reader
# processes, then the benchmarks; holds both against the bars of the design.
#
#   bench/run.sh [--quick | --long]
#
# Some 8 minutes once built; --quick: 2, with fewer repetitions; --long: 25, with
# ten times the reads of the tails. Report, plots and data: bench/out/, from
# report.md on. The last line is `N bars met, N missed`. Exits with other than 0
# when something could not be run, not when a bar is missed.
set -euo pipefail
cd "$(dirname "$0")/.."

watch_seconds=60
in_process_seconds=30
repetitions=501
image_repetitions=51
program_rounds=21
tail_reads=100000000
tail_rounds=100
counted_reads=5000000
case $* in
  "") ;;
  --quick)
    watch_seconds=8
    in_process_seconds=5
    repetitions=51
    image_repetitions=11
    program_rounds=5
    tail_reads=5000000
    tail_rounds=25 # A round's 99.99th percentile takes many reads.
    counted_reads=1000000
    ;;
  --long) tail_reads=1000000000 ;;
  *)
    echo "usage: bench/run.sh [--quick | --long]" >&2
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

# What the report begins with.
describe_run() {
  echo "Machine: $machine"
  echo "Load before: $load_before; after: $(cut -d ' ' -f 1-3 /proc/loadavg)"
  echo "Tree: $(git rev-parse --short HEAD 2>/dev/null || echo unknown)$(
    git diff --quiet HEAD 2>/dev/null || echo " and changes")," \
    "$(date -u +%Y-%m-%dT%H:%MZ)"
  echo "Command: bench/run.sh $*"
}

# Short repetitions in random order: what disturbs one benchmark disturbs all.
run_benchmarks() {
  if ! run "$bin/bench/$1" --benchmark_min_time=0.001 \
    --benchmark_repetitions="${2-$repetitions}" \
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
bazel build "${build[@]}" //bench/... //tools:vvar //tests/hosted:discipline_test
bin=$(bazel info "${build[@]}" bazel-bin)
readonly bin
mkdir -p "$out"
# What another run has left, so that nothing of it is taken for this one's.
find "$out" -maxdepth 1 -type f ! -name 'soak_*' -delete
machine=$(describe_machine)
load_before=$(cut -d ' ' -f 1-3 /proc/loadavg)

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

phase "A slew of 500 ppm, simulated"
run "$bin/tests/hosted/discipline_test" \
  --gtest_filter=DisciplineTest.FollowsFullSlew >"$out/slew.log"
grep '^unannounced' "$out/slew.log"

phase "Benchmarks, $repetitions repetitions"
for benchmark in reader context contention writer conversion; do
  echo "${benchmark}_bench"
  run_benchmarks "${benchmark}_bench"
done
if grep -qw avx512dq /proc/cpuinfo; then
  run_benchmarks conversion_bench_avx512
else
  echo "SKIPPED conversion_bench_avx512: this CPU has no AVX-512"
fi
if [[ $(uname -m) == x86_64 ]]; then
  run_benchmarks image_bench "$image_repetitions"
  run "$bin/bench/instruction_trace" >"$out/instruction_trace.json"
else
  echo "SKIPPED image_bench, instruction_trace: x86-64 only"
fi

if (($(nproc) > 1)); then
  phase "Tails, $tail_reads reads of each reader beside each writer"
  run "$bin/bench/tail_bench" --reads="$tail_reads" \
    --rounds="$tail_rounds" --counted_reads="$counted_reads" \
    >"$out/tail_bench.json"
else
  echo "SKIPPED tail_bench: needs two CPUs"
fi

if [[ $(uname -m) == x86_64 ]]; then
  phase "Unmodified programs, $program_rounds rounds"
  run bazel run "${build[@]}" //bench:program_bench -- \
    --rounds="$program_rounds" >"$out/program.txt" 2>"$out/program.log" ||
    { cat "$out/program.log" >&2 && false; }
  cat "$out/program.txt"
fi

phase "$machine"
describe_run "$@" >"$out/about.txt"
status=0
python3 bench/report.py "$out" >"$out/report.txt" || status=$?
gnuplot -c bench/plots.gp "$out" "$machine"
echo "Report, with plots: $out/report.md"
cat "$out/report.txt"
exit "$status"
