"""What the tests that run programs share: the programs, one for each way to a
clock, a server to keep a page, and how a case reports.

A test's first three arguments are the binary `vvar`, exec_probe.c and
deny_time.c. Prints `CASE name PASSED|FAILED|SKIPPED reason` for each case."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import traceback

VVAR, PROBE_SOURCE, DENY_SOURCE = sys.argv[1:4]
DEADLINE_S = 60  # Gives up only; no case depends on how long anything takes.
YEARS = "87600h"
YEARS_NS = 87600 * 3600 * 10**9


class SkipCase(Exception):
    pass


def run(words, **kwargs):
    return subprocess.run(words, capture_output=True, text=True,
                          timeout=DEADLINE_S, **kwargs)


def vvar_exec(*words, within=(), **kwargs):
    """words: flags, "--" and the program. within: a command before it."""
    return run([*within, VVAR, "exec", *words], **kwargs)


def can_trace():
    done = vvar_exec("--", "true")
    if done.returncode == 9:
        raise SkipCase("ptrace denied: " + done.stderr)
    assert done.returncode == 0, (done.returncode, done.stderr)


def build(folder, name, *compiler, source=None):
    if not shutil.which(compiler[0]):
        raise SkipCase("no " + compiler[0])
    path = os.path.join(folder, name)
    done = run([*compiler, "-O1", "-w", source or PROBE_SOURCE, "-o", path])
    if done.returncode != 0:
        raise SkipCase("%s: %s" % (" ".join(compiler), done.stderr[-200:]))
    return path


def script(folder, name, text, mode=0o755):
    path = os.path.join(folder, name)
    with open(path, "w") as file:
        file.write(text)
    os.chmod(path, mode)
    return path


def rows_of(done):
    """{name: (result, ns, in image or None)} of what a probe printed."""
    assert done.returncode == 0, (done.returncode, done.stdout, done.stderr)
    rows = {}
    for line in done.stdout.splitlines():
        name, result, ns, *image = line.split()
        rows[name] = (int(result), int(ns), int(image[0]) if image else None)
    return rows


class Server:
    """A `vvar serve`, ready when it has said so."""

    def __init__(self, page, *flags, within=()):
        """within: a command that runs another, such as unshare."""
        self.process = subprocess.Popen(
            [*within, VVAR, "serve", "--page=" + page, "--format=json", *flags],
            stdout=subprocess.PIPE, text=True)
        self.start = self.read_object()

    def read_object(self):
        text = ""
        while not text.rstrip().endswith("\n}"):
            line = self.process.stdout.readline()
            assert line, "server said only: " + text
            text += line
        return json.loads(text)

    def send(self, number):
        self.process.send_signal(number)

    def kill(self):
        self.process.kill()
        self.process.wait()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.kill()
        self.process.stdout.close()


JAVA = """
public class Probe {
  public static void main(String[] words) {
    System.out.println("clock_gettime 0 " +
                       System.currentTimeMillis() * 1000000);
  }
}
"""
GO = """
package main

import ("fmt"; "time")

func main() { fmt.Println("clock_gettime 0", time.Now().UnixNano()) }
"""
PYTHON = """
import time
print("clock_gettime 0", time.time_ns())
print("clock_getres 0", int(time.clock_getres(time.CLOCK_REALTIME) * 1e9))
"""


# Reads REALTIME and MONOTONIC together, and keeps how far each went back.
WATCHER = """
import sys, time
worst, last = [0, 0], [0, 0]
def clock(i):
    now = time.clock_gettime_ns((time.CLOCK_REALTIME, time.CLOCK_MONOTONIC)[i])
    worst[i] = max(worst[i], last[i] - now)
    last[i] = now
    return now
def read():
    while True:
        before, real, after = clock(1), clock(0), clock(1)
        if after - before < 50_000:  # Not torn apart by a preemption.
            return real, before
def watch(until):
    last = first = read()
    while not until(first, last):
        last = read()
    return first, last
"""


def c_program(*compiler, env=()):
    return lambda folder: ([build(folder, "probe", *compiler)], dict(env))


def runtime(command):
    def make(folder):
        words = command(folder)
        if not shutil.which(words[0]):
            raise SkipCase("no " + words[0])
        return words, {}
    return make


def go_program(folder):
    if not shutil.which("go"):
        return ["go"]
    source = script(folder, "probe.go", GO)
    binary = os.path.join(folder, "probe_go")
    run(["go", "build", "-o", binary, source],
        env=dict(os.environ, CGO_ENABLED="0", HOME=folder))
    return [binary]


# {name: make(folder) -> its words and what its environment has besides}
PROGRAMS = {
    "glibc dynamic": c_program("gcc"),
    "glibc static": c_program("gcc", "-static"),
    "glibc static-pie": c_program("gcc", "-static-pie"),
    "glibc without rseq":
        c_program("gcc", env={"GLIBC_TUNABLES": "glibc.pthread.rseq=0"}),
    "musl dynamic": c_program("musl-gcc"),
    "musl static": c_program("musl-gcc", "-static"),
    "Go static": runtime(go_program),
    "python3": runtime(lambda _: ["/usr/bin/python3", "-c", PYTHON]),
    "java": runtime(lambda folder: [
        "java", script(folder, "Probe.java", JAVA)]),
    "perl": runtime(lambda _: [
        "perl", "-MTime::HiRes=gettimeofday", "-e",
        'printf "time 0 %d000000000\\n", time; my ($s, $us) = gettimeofday;'
        'printf "gettimeofday 0 %d%06d000\\n", $s, $us']),
    "node": runtime(lambda _: [
        "node", "-e", 'console.log("gettimeofday 0 " + Date.now() + "000000")'
    ]),
    "date": runtime(lambda _: ["date", "+clock_gettime 0 %s%N"]),
    "bash": runtime(lambda _: [
        "bash", "-c", "printf 'gettimeofday 0 %s000\\n' ${EPOCHREALTIME/./}"]),
}

# The same of those that the kernel runs beside its own.
I386_PROGRAMS = {
    "glibc i386 dynamic": c_program("gcc", "-m32"),
    "glibc i386 static": c_program("gcc", "-m32", "-static"),
    "glibc i386 time64": c_program("gcc", "-m32", "-D_TIME_BITS=64",
                                   "-D_FILE_OFFSET_BITS=64"),
}


def run_cases(cases, before=lambda case: None):
    """Runs case(folder, page) for each, after before(case), in a folder of its
    own in memory, which every user may enter, with the path of a page to be made
    there. Returns the exit status."""
    failed = 0
    for case in cases:
        with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
            os.chmod(folder, 0o755)
            try:
                before(case)
                case(folder, os.path.join(folder, "page"))
                verdict = "PASSED"
            except SkipCase as skip:
                verdict = "SKIPPED %s" % skip
            except Exception:  # One case's failure, of whatever kind.
                failed += 1
                traceback.print_exc()
                verdict = "FAILED see the trace above"
        print("CASE", case.__name__, verdict, flush=True)
    return 1 if failed else 0
