#!/usr/bin/python3
"""What others see of a program under `vvar exec`: strace, gdb, the dynamic
linker; and what programs see that bring neither.

Prints `CASE name PASSED|FAILED|SKIPPED reason` for each case."""

import os
import re
import shutil
import struct
import subprocess
import sys
import time

from programs import (DEADLINE_S, DENY_SOURCE, VVAR, YEARS, YEARS_NS, Server,
                      SkipCase, build, can_trace, rows_of, run, run_cases,
                      script, vvar_exec)

THREADS_SOURCE, WITHOUT_VDSO, *EARLY_PROGRAM = sys.argv[4:]


class ClockThreads:
    """clock_threads.c, started by some command, waiting to be let go."""

    def __init__(self, folder, *before, threads=3, turns=500):
        program = build(folder, "clock_threads", "gcc", "-g", "-pthread",
                        source=THREADS_SOURCE)
        # Without rseq, as glibc asks nobody for the CPU where it has that.
        env = dict(os.environ, GLIBC_TUNABLES="glibc.pthread.rseq=0")
        self.calls = (threads + 1) * turns
        self.process = subprocess.Popen(
            [*before, program, str(threads), str(turns)], env=env, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        word, pid = self.process.stdout.readline().split()
        assert word == "ready"
        self.pid = int(pid)

    def finish(self):
        out, _ = self.process.communicate("\n", timeout=DEADLINE_S)
        assert (self.process.returncode, out) == (0, "done\n"), out

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.communicate()


# --- strace ------------------------------------------------------------------

TIME_CALLS = ["clock_gettime", "clock_getres", "gettimeofday", "time", "getcpu"]


def counted_by_strace(folder, *before):
    """{system call: how often it was made} by the program's threads."""
    if not shutil.which("strace"):
        raise SkipCase("no strace")
    table = os.path.join(folder, "table")
    with ClockThreads(folder, *before) as program:
        strace = subprocess.Popen(
            ["strace", "-f", "-c", "-o", table, "-p", str(program.pid), "-e",
             "trace=" + ",".join(TIME_CALLS + ["futex", "clone3", "clone"])],
            stderr=subprocess.PIPE, text=True)
        # "Process 1 attached", said when it has been.
        said = strace.stderr.readline()
        if "attached" not in said:
            raise SkipCase("strace: " + said)
        program.finish()
        calls = program.calls
        strace.communicate(timeout=DEADLINE_S)
    counts = dict.fromkeys(TIME_CALLS, 0)
    with open(table) as file:
        for line in file:
            words = line.split()
            if len(words) >= 5 and words[3].isdigit():
                counts[words[-1]] = int(words[3])
    # It saw the threads.
    assert counts.get("clone3", 0) + counts.get("clone", 0) >= 3, counts
    return {name: counts[name] for name in TIME_CALLS}, calls


def strace_sees_no_call_for_the_time(folder, _):
    """Nor does the same program make all of them where it has no vDSO, if that
    is what takes them away."""
    counts, _ = counted_by_strace(folder, VVAR, "exec", "--")
    print("  under vvar exec:", counts)
    assert set(counts.values()) == {0}, counts
    counts, calls = counted_by_strace(folder, WITHOUT_VDSO)
    print("  without a vDSO:", counts)
    assert all(count >= calls for count in counts.values()), (counts, calls)


def strace_of_the_launcher_sees_the_launcher(folder, _):
    """Two tracers exclude each other: strace without -f leaves the program to
    the launcher, with -f the launcher is refused."""
    if not shutil.which("strace"):
        raise SkipCase("no strace")
    trace = os.path.join(folder, "trace")
    probe = build(folder, "probe", "gcc")
    words = [VVAR, "exec", "--offset=" + YEARS, "--", probe]
    # A sanitizer's look for leaks is a tracer, too.
    env = dict(os.environ, ASAN_OPTIONS="detect_leaks=0")
    done = run(["strace", "-o", trace, *words], env=env)
    _, ns, in_image = rows_of(done)["clock_gettime"]
    assert in_image == 1, done
    assert abs(ns - YEARS_NS - time.time_ns()) < DEADLINE_S * 10**9, done
    done = run(["strace", "-f", "-o", trace, *words], env=env)
    assert done.returncode == 9 and "PTRACE_SEIZE" in done.stderr, done


# --- gdb ---------------------------------------------------------------------

# docs/exec.md has these two. The address is that of the program's own vector:
# /proc/PID/auxv, where gdb looks by itself, names the kernel's vDSO still.
SYMBOLS = ["add-symbol-file-from-memory (unsigned long)getauxval(33)",
           "break __vdso_clock_gettime"]
STEPS = 30


def gdb(pid, *commands):
    if not shutil.which("gdb"):
        raise SkipCase("no gdb")
    words = ["gdb", "-nx", "-batch", "-p", str(pid)]
    for command in commands:
        words += ["-ex", command]
    done = run(words, stdin=subprocess.DEVNULL)
    if "Operation not permitted" in done.stderr:
        raise SkipCase("gdb: " + done.stderr)
    return done


def stopped_in_image(folder, find_entry, *commands):
    """What gdb says of a program that it stops where find_entry(the image's
    begin) has it set a breakpoint. Returns the image's begin, too."""
    with ClockThreads(folder, VVAR, "exec", "--", threads=0) as program:
        with open("/proc/%d/maps" % program.pid) as file:
            begin = next(int(line.split("-")[0], 16) for line in file
                         if "memfd:vvar-image" in line)
        # The breakpoint is there before the program has its line.
        done = gdb(program.pid, *find_entry(begin),
                   "shell echo > /proc/%d/fd/0" % program.pid, "continue",
                   *commands, "delete", "detach")
    return done.stdout, begin


# Trap: T101 (by a debugger, besides the run time's own unwinder)
def gdb_unwinds_through_the_image(folder, _):
    out, begin = stopped_in_image(folder, lambda _: SYMBOLS,
                                  *["stepi", "bt"] * STEPS)
    traces = re.split("^#0 ", out, flags=re.MULTILINE)[1:]
    assert len(traces) == STEPS, out
    for trace in traces:
        assert 0 <= int(trace.split()[0], 16) - begin < 8192, trace
        frames = trace.splitlines()[:4]
        functions = [line.split(" in ")[1].split()[0] for line in frames]
        assert functions == ["clock_gettime", "__GI___clock_gettime",
                             "AskForTheTime", "main"], trace
    # By itself it knows nothing of the image.
    entry = int(re.search("Breakpoint 1 at (0x[0-9a-f]+)", out)[1], 16) - begin
    assert 0 < entry < 8192, out
    out, begin = stopped_in_image(
        folder, lambda begin: ["break *0x%x" % (begin + entry)], "bt")
    assert "#0  0x%016x in ?? ()" % (begin + entry) in out, out


# --- the dynamic linker, and who has none ------------------------------------

LOADED = """
import ctypes, os
image = ctypes.CDLL("linux-vdso.so.1", mode=os.RTLD_NOLOAD | os.RTLD_LAZY)
for name in ("clock_gettime", "clock_getres", "gettimeofday", "time", "getcpu"):
    for symbol in ("__vdso_" + name, name):
        print(ctypes.cast(getattr(image, symbol), ctypes.c_void_p).value)
for line in open("/proc/self/maps"):
    if line.rstrip().endswith(("memfd:vvar-image (deleted)", "[vdso]")):
        print(line.rstrip())
"""


def the_image_is_a_loaded_object(_, __):
    """By the name of the kernel's, which is loaded no more."""
    words = ["/usr/bin/python3", "-c", LOADED]
    for done, name in [(vvar_exec("--", *words), "vvar-image"),
                       (run(words), "[vdso]")]:
        assert done.returncode == 0, done
        lines = done.stdout.splitlines()
        addresses = [int(line) for line in lines[:10]]
        begin, end = next(
            tuple(int(word, 16) for word in line.split()[0].split("-"))
            for line in lines[10:] if name in line)
        assert all(begin <= address < end for address in addresses), done


def a_program_without_a_libc_finds_and_calls_it(folder, _):
    if not EARLY_PROGRAM:
        raise SkipCase("built without a linker for it")
    deny = build(folder, "deny_time", "gcc", source=DENY_SOURCE)
    done = vvar_exec("-f", "--offset=" + YEARS, "--", deny, *EARLY_PROGRAM)
    rows = rows_of(done)
    assert len(rows) == 5, rows
    assert all(result == 0 for result, _, _ in rows.values()), rows
    for name in ("clock_gettime", "gettimeofday", "time"):
        ns = rows[name][1]
        assert abs(ns - YEARS_NS - time.time_ns()) < DEADLINE_S * 10**9, rows
    # Finds none where there is none: what it told was not from elsewhere.
    assert run([WITHOUT_VDSO, *EARLY_PROGRAM]).returncode == 1


# --- Go ----------------------------------------------------------------------

# Go asks for both clocks at each time.Now(), on the stack of the thread that
# runs goroutines. Its MONOTONIC has no name in public.
GO = """
package main

import ("fmt"; "sync"; "time"; _ "unsafe")

//go:linkname nanotime runtime.nanotime
func nanotime() int64

func main() {
  var group sync.WaitGroup
  for i := 0; i < 100; i++ {
    group.Add(1)
    go func() {
      defer group.Done()
      begin := time.Now()
      for time.Since(begin) <= 0 {}
    }()
  }
  group.Wait()
  fmt.Println("monotonic 0", nanotime())
}
"""
MONOTONIC_SEC_OFFSETS = (368, 624)  # docs/abi.md: slot[0, 1].base[1].sec.


def go_has_its_monotonic_from_the_image(folder, page):
    if not shutil.which("go"):
        raise SkipCase("no go")
    script(folder, "probe.go", GO)
    script(folder, "empty.s", "")  # For a function that is not in Go.
    done = run(["go", "build", "-o", "probe", "."], cwd=folder, env=dict(
        os.environ, CGO_ENABLED="0", GO111MODULE="off", HOME=folder))
    assert done.returncode == 0, done
    deny = build(folder, "deny_time", "gcc", source=DENY_SOURCE)
    with Server(page, "--max_age=1h") as server, open(page, "r+b") as file:
        def seconds():
            words = os.pread(file.fileno(), 4096, 0)
            return [struct.unpack_from("=q", words, offset)[0]
                    for offset in MONOTONIC_SEC_OFFSETS]
        end = time.monotonic() + DEADLINE_S
        while 0 in seconds():  # A slot that is not published yet.
            assert time.monotonic() < end
        server.kill()
        # Nobody writes the page now: its MONOTONIC is years ahead from here on.
        for offset, sec in zip(MONOTONIC_SEC_OFFSETS, seconds()):
            assert abs(sec - time.monotonic()) < DEADLINE_S, sec
            file.seek(offset)
            file.write(struct.pack("=q", sec + YEARS_NS // 10**9))
    done = vvar_exec("-f", "--page=" + page, "--", deny,
                     os.path.join(folder, "probe"))
    ahead = rows_of(done)["monotonic"][1] - time.monotonic_ns()
    assert abs(ahead - YEARS_NS) < DEADLINE_S * 10**9, done


CASES = [
    strace_sees_no_call_for_the_time,
    strace_of_the_launcher_sees_the_launcher,
    gdb_unwinds_through_the_image,
    the_image_is_a_loaded_object,
    a_program_without_a_libc_finds_and_calls_it,
    go_has_its_monotonic_from_the_image,
]

if __name__ == "__main__":
    sys.exit(run_cases(CASES, lambda case: can_trace()))
