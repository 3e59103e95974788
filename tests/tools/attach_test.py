#!/usr/bin/python3
"""Puts running programs on a page by `vvar attach` and takes them off again,
and asks where their time came from and whether they notice anything else.

Prints `CASE name PASSED|FAILED|SKIPPED reason` for each case."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time

LOAD_SOURCE = sys.argv[4]
from programs import (DEADLINE_S, DENY_SOURCE, PROGRAMS, VVAR, YEARS, YEARS_NS,
                      Server, SkipCase, build, rows_of, run, run_cases)

IMAGE = "vvar-attached-image"
COLUMNS = ["clock_gettime", "gettimeofday", "time", "clock_getres", "getcpu"]


def attach(pid, *flags, within=()):
    return run([*within, VVAR, "attach", "--pid=%d" % pid, *flags])


def put_on(pid, page, within=()):
    done = attach(pid, "--page=" + page, within=within)
    assert done.returncode == 0, (done.returncode, done.stderr)
    return done


def take_off(pid, within=()):
    done = attach(pid, "--detach", "--format=json", within=within)
    assert done.returncode == 0, (done.returncode, done.stderr)
    return json.loads(done.stdout)


def refused(done, status, text):
    assert done.returncode == status and text in done.stderr, (
        done.returncode, done.stderr)


def maps_of(pid):
    with open("/proc/%d/maps" % pid) as file:
        return file.read()


def as_nobody():
    if os.geteuid() != 0:
        raise SkipCase("not root, who alone may become another user")
    return ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]


def await_that(condition):
    end = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < end, "nothing by the deadline"
        os.sched_yield()


class Program:
    """A program that answers lines."""

    def __init__(self, *words, **kwargs):
        self.process = subprocess.Popen(words, stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True,
                                        **kwargs)
        self.pid = self.process.pid

    def tell(self, line=""):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def ask(self, line=""):
        self.tell(line)
        return self.process.stdout.readline().strip()

    def end(self):
        rest, _ = self.process.communicate(timeout=DEADLINE_S)
        assert self.process.returncode == 0, self.process.returncode
        return rest

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
            self.process.communicate()


# Says what each line of its input evaluates to.
EVALUATE = """
import os, sys, time
print("up", flush=True)
for line in sys.stdin:
    print(eval(line), flush=True)
"""


def python(*within, **kwargs):
    """within: a command before it."""
    program = Program(*within, "/usr/bin/python3", "-c", EVALUATE, **kwargs)
    assert program.process.stdout.readline() == "up\n"
    return program


class Ahead:
    """A page whose REALTIME is years ahead: a launcher's own."""

    def __enter__(self):
        self.launcher = subprocess.Popen(
            [VVAR, "exec", "--offset=" + YEARS, "--max_age=1h", "--", "cat"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL, text=True)
        self.launcher.stdin.write("up\n")
        self.launcher.stdin.flush()
        if self.launcher.stdout.readline() != "up\n":
            raise SkipCase("vvar exec does not run here")
        folder = "/proc/%d/fd/" % self.launcher.pid
        return next(folder + fd for fd in os.listdir(folder)
                    if os.readlink(folder + fd) == "/memfd:vvar (deleted)")

    def __exit__(self, *_):
        self.launcher.communicate()


def is_ahead(ns):
    return abs(int(ns) - YEARS_NS - time.time_ns()) < 10**9 * DEADLINE_S


def is_now(ns):
    return abs(int(ns) - time.time_ns()) < 10**9 * DEADLINE_S


def can_trace():
    with python() as program:
        done = attach(program.pid, "--detach")
        if done.returncode == 9:
            raise SkipCase("ptrace denied: " + done.stderr)
        refused(done, 125, "is on no page")


# --- where their time is from ------------------------------------------------


def rows_until_dot(program):
    program.tell()
    rows = {}
    for line in iter(program.process.stdout.readline, ".\n"):
        name, result, ns, in_image = line.split()
        assert result == "0", line
        rows[name] = (int(ns), in_image == "1")
    return rows


def each_function_leads_to_the_image_and_back(folder, _):
    with Ahead() as page:
        for name, expected in [("glibc dynamic", COLUMNS[:4]),
                               ("glibc static", COLUMNS[:4]),
                               ("glibc static-pie", COLUMNS[:4]),
                               ("glibc without rseq", COLUMNS),
                               ("musl dynamic", COLUMNS[:3] + COLUMNS[4:]),
                               ("musl static", COLUMNS[:3] + COLUMNS[4:])]:
            words, env = PROGRAMS[name](folder)
            with Program(*words, "--each-line",
                         env=dict(os.environ, **env)) as probe:
                assert is_now(rows_until_dot(probe)["clock_gettime"][0])
                put_on(probe.pid, page)
                rows = rows_until_dot(probe)
                got = [column for column in COLUMNS if rows[column][1]]
                print("%-20s%s" % (name, " ".join(got)))
                assert got == expected, (name, rows)
                for column in COLUMNS[:3]:
                    assert is_ahead(rows[column][0]), (name, rows)
                take_off(probe.pid)
                rows = rows_until_dot(probe)
                for column in COLUMNS[:3]:
                    assert is_now(rows[column][0]), (name, rows)
                probe.end()


def runtimes_that_have_run_for_long_are_reached(_, __):
    programs = {
        "python3": ["/usr/bin/python3", "-c", EVALUATE, "time.time_ns()"],
        "perl": ["perl", "-ne",
                 "BEGIN { $| = 1; print qq(up\\n) } print time, qq(0" +
                 "00000000\\n)", ""],
        "bash": ["bash", "-c", "echo up; while read -r _; do"
                 " echo ${EPOCHREALTIME/./}000; done", ""],
        "node": ["node", "-e", "console.log('up');"
                 "process.stdin.on('data', () =>"
                 "  console.log(Date.now() + '000000'))", ""],
    }
    with Ahead() as page:
        for name, (*words, line) in programs.items():
            if not shutil.which(words[0]):
                print("%s: not installed" % name)
                continue
            with Program(*words) as program:
                assert program.process.stdout.readline() == "up\n"
                assert is_now(program.ask(line)), name
                put_on(program.pid, page)
                assert is_ahead(program.ask(line)), name
                take_off(program.pid)
                assert is_now(program.ask(line)), name
                program.end()


def no_system_call_is_left(folder, page):
    if not shutil.which("strace"):
        raise SkipCase("no strace")
    calls = "clock_gettime,gettimeofday,time,clock_getres,getcpu"
    with Server(page), python() as program:
        put_on(program.pid, page)
        report = os.path.join(folder, "report")
        strace = subprocess.Popen(
            ["strace", "-f", "-o", report, "-e",
             "trace=%s,write" % calls, "-p", str(program.pid)],
            stderr=subprocess.PIPE, text=True)
        assert "attached" in strace.stderr.readline()
        program.ask("[time.time() and time.monotonic() for _ in range(10000)]"
                    " and 0")
        # What the page does not have, to see that it would be seen.
        program.ask("time.clock_gettime(time.CLOCK_PROCESS_CPUTIME_ID)")
        program.end()
        strace.communicate(timeout=DEADLINE_S)
        with open(report) as file:
            seen = re.findall(r" (%s)\((\w*)" % calls.replace(",", "|"),
                              file.read())
        assert seen == [("clock_gettime", "CLOCK_PROCESS_CPUTIME_ID")], seen


# --- nothing else is noticed -------------------------------------------------


def put_on_and_off(pid, page, times):
    kept = 0
    for _ in range(times):
        put_on(pid, page)
        assert IMAGE in maps_of(pid)
        kept += take_off(pid)["images_kept"]
    # What a thread stood on stays until the next time.
    await_that(lambda: not (IMAGE in maps_of(pid) and
                            (put_on(pid, page), take_off(pid))))
    print("%d times; an image was in use still %d times" % (times, kept))


def threads_that_read_all_the_while_go_on(folder, page):
    load = build(folder, "load", "gcc", "-pthread", source=LOAD_SOURCE)
    with Server(page), Program(load) as program:
        assert program.process.stdout.readline() == "up\n"
        put_on_and_off(program.pid, page, 30)
        said = program.end()
        assert re.fullmatch(r"\d+ readings\n", said), said
        print(said.strip())


THREADS = """
import sys, threading, time
wrong = []
stopping = threading.Event()
def work():
    last = 0
    while not stopping.is_set():
        real, now = time.time_ns(), time.monotonic_ns()
        if now < last or abs(real - now - difference) > 10_000_000_000:
            wrong.append((real, now, last))
        last = now
difference = time.time_ns() - time.monotonic_ns()
threads = [threading.Thread(target=work) for _ in range(4)]
for thread in threads: thread.start()
print("up", flush=True)
sys.stdin.read()
stopping.set()
for thread in threads: thread.join()
print(wrong)
"""


def a_python_of_four_threads_a_hundred_times(_, page):
    with Server(page), Program("/usr/bin/python3", "-c", THREADS) as program:
        assert program.process.stdout.readline() == "up\n"
        put_on_and_off(program.pid, page, 100)
        assert program.end() == "[]\n"


def a_stopped_process_stays_so(_, page):
    def state():
        with open("/proc/%d/stat" % program.pid) as file:
            return file.read().rpartition(")")[2].split()[0]
    with Ahead() as ahead, python() as program:
        os.kill(program.pid, signal.SIGSTOP)
        await_that(lambda: state() == "T")
        put_on(program.pid, ahead)
        await_that(lambda: state() == "T")
        os.kill(program.pid, signal.SIGCONT)
        assert is_ahead(program.ask("time.time_ns()"))
        program.end()


def waits_are_not_cut_short(_, page):
    # A wait with an end, which the kernel has to restart: not by Python, which
    # would do it again itself. It ends by what is said to it.
    wait = ("(lambda c: c.CDLL(None).poll((c.c_int * 2)(0, 1), 1, 3600000))"
            "(__import__('ctypes'))")

    def call():
        with open("/proc/%d/syscall" % program.pid) as file:
            return file.read().split()[0]

    with Server(page), python() as program:
        program.tell(wait)
        await_that(lambda: call() == "7")  # poll
        put_on(program.pid, page)
        take_off(program.pid)
        await_that(lambda: call() in ("7", "219"))  # Or restart_syscall.
        assert program.ask("0") == "1"
        assert program.process.stdout.readline() == "0\n"
        program.end()


def children_inherit_it_until_they_exec(_, __):
    with Ahead() as page, python() as program:
        put_on(program.pid, page)
        child = ("(lambda r, w: (os.write(w, b'%d' % time.time_ns()),"
                 " os._exit(0)) if os.fork() == 0 else"
                 " (os.wait(), os.read(r, 99).decode())[1])(*os.pipe())")
        assert is_ahead(program.ask(child))
        assert is_now(program.ask("os.popen('date +%s%N').read().strip()"))
        program.end()


def whoever_keeps_no_page_any_more_has_readers_fall_back(_, page):
    with Server(page) as server, python() as program:
        put_on(program.pid, page)
        first = int(program.ask("time.monotonic_ns()"))
        server.kill()
        last = first
        while last - first < 4 * 10**9:  # Beyond --max_age.
            now = int(program.ask("time.monotonic_ns()"))
            assert now > last - 1_000_000, (now, last)  # docs/exec.md
            last = now
        take_off(program.pid)
        program.end()


# --- other users and namespaces ----------------------------------------------


def others_are_reached_by_root(_, __):
    unshare = ["unshare", "--user", "--map-root-user", "--pid", "--fork",
               "--mount-proc", "--kill-child"]
    nobody = as_nobody()
    for within in [nobody, ["setpriv", "--bounding-set=-all"], unshare,
                   nobody + unshare]:
        try:
            program = python(*within)
        except AssertionError:
            print("denied here: " + " ".join(within))
            continue
        with Ahead() as page, program:
            children = run(["pgrep", "-P", str(program.pid)]).stdout.split()
            pid = int(children[0]) if children else program.pid
            put_on(pid, page)
            assert is_ahead(program.ask("time.time_ns()")), within
            take_off(pid)
            assert is_now(program.ask("time.time_ns()")), within
            program.end()


def a_time_namespace_keeps_its_offsets(_, page):
    if run(["unshare", "-T", "true"]).returncode != 0:
        raise SkipCase("no time namespaces here")
    with Server(page), python("unshare", "-T", "--monotonic=1000000") as program:
        before = int(program.ask("time.monotonic_ns()"))
        assert before - time.monotonic_ns() > 900_000 * 10**9
        put_on(program.pid, page)
        assert IMAGE in maps_of(program.pid)
        now = int(program.ask("time.monotonic_ns()"))
        assert before < now < before + DEADLINE_S * 10**9, (before, now)
        program.end()


# --- what is refused ---------------------------------------------------------


def what_cannot_be_is_refused_and_left_as_it_was(folder, page):
    gone = subprocess.Popen(["true"])
    gone.wait()
    with Server(page), python() as program:
        flags = ["--page=" + page]
        refused(attach(gone.pid, *flags), 125, "process %d: none" % gone.pid)
        refused(attach(0, *flags), 2, "--pid=0; expected a process")
        refused(attach(program.pid), 2, "expected either --page=NAME")
        refused(attach(program.pid, "--detach", *flags), 2, "expected either")
        refused(attach(program.pid, "--page=" + page + "-none"), 3, "page")
        refused(attach(program.pid, "--detach"), 125, "is on no page")
        refused(attach(os.getpid(), "--page=/dev/null"), 6, "/dev/null")
        put_on(program.pid, page)
        refused(attach(program.pid, *flags), 125, "--detach before")
        take_off(program.pid)
        assert is_now(program.ask("time.time_ns()"))
        with python(VVAR, "exec", "--") as other:
            (child,) = run(["pgrep", "-P", str(other.pid)]).stdout.split()
            refused(attach(int(child), *flags), 125, "`vvar exec`")
            other.end()
        program.end()


def a_32_bit_process_is_refused(folder, page):
    source = os.path.join(folder, "wait.c")
    with open(source, "w") as file:
        file.write("#include <unistd.h>\n"
                   "int main(void) { char c; return read(0, &c, 1) != 1; }")
    wait = build(folder, "wait", "gcc", "-m32", source=source)
    with Server(page), Program(wait) as program:
        refused(attach(program.pid, "--page=" + page), 125,
                "expected that of a 64-bit program")
        program.tell()
        program.end()


def a_traced_process_is_refused(_, page):
    if not shutil.which("strace"):
        raise SkipCase("no strace")
    with Server(page), python() as program:
        strace = subprocess.Popen(["strace", "-p", str(program.pid)],
                                  stderr=subprocess.PIPE, text=True)
        assert "attached" in strace.stderr.readline()
        refused(attach(program.pid, "--page=" + page), 9,
                "process %d traces it" % strace.pid)
        program.end()
        strace.communicate(timeout=DEADLINE_S)


def a_process_with_a_filter_is_left_to_who_may_suspend_it(folder, page):
    deny = build(folder, "deny_time", "gcc", source=DENY_SOURCE)
    nobody = as_nobody()
    with Server(page), python(*nobody, deny) as program:
        refused(attach(program.pid, "--page=" + page, within=nobody), 125,
                "seccomp")
        assert IMAGE not in maps_of(program.pid)
        put_on(program.pid, page)
        assert is_now(program.ask("time.time_ns()"))
        take_off(program.pid)
        program.end()


CASES = [
    each_function_leads_to_the_image_and_back,
    runtimes_that_have_run_for_long_are_reached,
    no_system_call_is_left,
    threads_that_read_all_the_while_go_on,
    a_python_of_four_threads_a_hundred_times,
    a_stopped_process_stays_so,
    waits_are_not_cut_short,
    children_inherit_it_until_they_exec,
    whoever_keeps_no_page_any_more_has_readers_fall_back,
    others_are_reached_by_root,
    a_time_namespace_keeps_its_offsets,
    what_cannot_be_is_refused_and_left_as_it_was,
    a_32_bit_process_is_refused,
    a_traced_process_is_refused,
    a_process_with_a_filter_is_left_to_who_may_suspend_it,
]

if __name__ == "__main__":
    sys.exit(run_cases(CASES, before=lambda _: can_trace()))
