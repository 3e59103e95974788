#!/usr/bin/python3
"""Runs programs with vvar_preload in LD_PRELOAD, with a page and with whatever
is not one: they have the page's time, or notice nothing at all.

Prints `CASE name PASSED|FAILED|SKIPPED reason` for each case."""

import os
import shutil
import struct
import subprocess
import sys
import time

from programs import (DEADLINE_S, DENY_SOURCE, PROGRAMS, VVAR, WATCHER,
                      YEARS_NS, Server, SkipCase, build, rows_of, run,
                      run_cases, script)

LIBRARY, PROBE_SOURCE, DENY_PRELOAD_SOURCE = sys.argv[4:7]
LIBRARY = os.path.abspath(LIBRARY)
EXPORTED = ["clock_getres", "clock_gettime", "gettimeofday", "time",
            "timespec_get"]
LARGEST_BYTES = 10 * 4096  # In memory, with gaps and a page of zeroes.
RESOLUTION_NS = 77
# docs/abi.md
RESOLUTION, SLOTS, SLOT_BYTES = 64, (320, 576), 256
REALTIME_SEC, COARSE_REALTIME_NS, COARSE_REALTIME_SEC = 32, 128, 136
PAGE_BYTES = 4096


def preload(words, page=None, library=LIBRARY, within=(), env=(), **kwargs):
    """within: a command before it, which is not preloaded."""
    variables = dict(env, LD_PRELOAD=library, VVAR_PRELOAD_DEBUG="1")
    if page is not None:
        variables["VVAR_PAGE"] = page
    settings = ["%s=%s" % pair for pair in variables.items()]
    return run([*within, "env", *settings, *words], **kwargs)


def told(done):
    """What the library said, and the rest of stderr."""
    lines = done.stderr.splitlines()
    return ([line for line in lines if line.startswith("vvar_preload: ")],
            [line for line in lines if not line.startswith("vvar_preload: ")])


def await_page(page, code):
    """Until `vvar now` ends so: 0, the page gives time; 10, it does not."""
    end = time.monotonic() + DEADLINE_S
    while run([VVAR, "now", "--page=" + page]).returncode != code:
        assert time.monotonic() < end


def patch(page, at, layout, *values):
    with open(page, "r+b") as file:
        file.seek(at)
        file.write(struct.pack("=" + layout, *values))


def word(page, at, layout):
    with open(page, "rb") as file:
        file.seek(at)
        return struct.unpack("=" + layout, file.read(8))[0]


def make_page_ahead(page):
    """A page that gives times years ahead, and a resolution of 77 ns. Nobody
    writes it any more: it runs on for an hour."""
    with Server(page, "--max_age=1h"):
        await_page(page, 0)
    patch(page, RESOLUTION, "I", RESOLUTION_NS)
    for slot in SLOTS:
        for at in (REALTIME_SEC, COARSE_REALTIME_SEC):
            sec = word(page, slot + at, "q")
            patch(page, slot + at, "q", sec + YEARS_NS // 10**9)
        ns = word(page, slot + COARSE_REALTIME_NS, "Q")
        patch(page, slot + COARSE_REALTIME_NS, "Q", ns + YEARS_NS)


def is_ahead(ns):
    return abs(ns - YEARS_NS - time.time_ns()) < 3600 * 10**9


def is_now(ns):
    return abs(ns - time.time_ns()) < DEADLINE_S * 10**9


def need_strace(folder):
    done = run(["strace", "-o", folder + "/trace", "true"]) if shutil.which(
        "strace") else None
    if done is None or done.returncode != 0:
        raise SkipCase("no strace here: %s" % (done and done.stderr))


def time_calls(folder, words, env=()):
    """How often a program and its threads entered the kernel for the time."""
    calls = ["clock_gettime", "clock_getres", "gettimeofday", "time"]
    path = os.path.join(folder, "trace")
    settings = [flag for pair in dict(env).items()
                for flag in ("-E", "%s=%s" % pair)]
    done = run(["strace", "-f", "-c", "-U", "name,calls", "-o", path, "-e",
                "trace=" + ",".join(calls), *settings, *words])
    assert done.returncode == 0, done
    with open(path) as file:
        rows = [line.split() for line in file]
    return {row[0]: int(row[1]) for row in rows
            if len(row) == 2 and row[0] in calls}


# --- the file ----------------------------------------------------------------


def it_exports_what_it_replaces_and_needs_nothing(_, __):
    symbols = run(["nm", "-D", LIBRARY])
    if symbols.returncode != 0:
        raise SkipCase("no nm: " + symbols.stderr)
    rows = [line.split() for line in symbols.stdout.splitlines()]
    assert sorted(row[2] for row in rows if len(row) == 3) == EXPORTED, rows
    # Weak: a libc may be without.
    assert all(row[0] == "w" for row in rows if len(row) == 2), rows
    dynamic = run(["readelf", "-dlW", LIBRARY]).stdout
    assert "INIT_ARRAY" in dynamic and "INITFIRST" in dynamic, dynamic
    for tag in ("NEEDED", "VERNEED", "TEXTREL", "JMPREL", "TLS"):
        assert tag not in dynamic, dynamic
    # Of the segments: offset, address, address, bytes of the file, of memory.
    loads = [[int(word, 16) for word in line.split()[1:6]]
             for line in dynamic.splitlines() if line.split()[:1] == ["LOAD"]]
    assert max(load[1] + load[4] for load in loads) < LARGEST_BYTES, dynamic


# --- the matrix --------------------------------------------------------------

STATIC = ("glibc static", "glibc static-pie", "musl static", "Go static")
COLUMNS = ["clock_gettime", "gettimeofday", "time", "clock_getres"]


def each_dynamic_program_has_its_time_from_the_page(folder, page):
    deny = build(folder, "deny_time", "gcc", source=DENY_SOURCE)
    make_page_ahead(page)
    wrong = []
    print("%-20s" % "" + "".join("%-15s" % name for name in COLUMNS))
    for name, make in PROGRAMS.items():
        try:
            words, env = make(folder)
        except SkipCase as skip:
            print("%-20sskipped: %s" % (name, skip))
            continue
        done = preload([deny, *words], page, env=env)
        rows = rows_of(done)
        got = {}
        for column in COLUMNS:
            if column not in rows:
                continue
            result, ns, in_vdso = rows[column]
            if result != 0:
                got[column] = "syscall"
            elif ns == RESOLUTION_NS if column == "clock_getres" else is_ahead(
                    ns):
                assert not in_vdso, (name, column)
                got[column] = "page"
            else:
                got[column] = "system"
        print("%-20s" % name +
              "".join("%-15s" % got.get(column, "-") for column in COLUMNS))
        wanted = {"system", "syscall"} if name in STATIC else {"page"}
        lines, _ = told(done)
        # One for each program that began: deny_time, too.
        attached = "vvar_preload: %s: attached" % page
        if not set(got.values()) <= wanted or not got or len(lines) < (
                1 if name in STATIC else 2) or set(lines) != {attached}:
            wrong.append((name, got, lines))
    assert not wrong, wrong


def no_call_enters_the_kernel_in_any_thread(folder, page):
    need_strace(folder)
    with Server(page):
        await_page(page, 0)
        for compiler in ("gcc", "musl-gcc"):
            try:
                probe = build(folder, "probe", compiler, "-pthread",
                              source=PROBE_SOURCE)
            except SkipCase as skip:
                print("skipped:", skip)
                continue
            # That one is CPU time, made to be counted.
            for env in ({"VVAR_PAGE": page}, {"VVAR_PAGE": page + "none"}, {}):
                got = time_calls(folder, [probe, "threads"],
                                 dict(env, LD_PRELOAD=LIBRARY))
                assert got == {"clock_gettime": 1}, (compiler, env, got)


# --- moments -----------------------------------------------------------------


def early_probe(folder, compiler):
    """Also, with glibc, with libraries that are relocated before ours."""
    shared = [compiler, "-shared", "-fPIC", "-Wl,-rpath," + folder,
              "-Wl,--no-as-needed"]
    libraries = [build(folder, "early.so", *shared, "-DLIBRARY",
                       source=PROBE_SOURCE)]
    if compiler == "gcc":
        libraries.insert(0, build(folder, "user.so", *shared, "-DUSER",
                                  libraries[0], source=PROBE_SOURCE))
    return build(folder, "early_probe", compiler, "-DWITH_LIBRARY", "-pthread",
                 "-Wl,--no-as-needed", *libraries, "-Wl,-rpath," + folder,
                 source=PROBE_SOURCE)


def constructors_signal_handlers_and_children_have_the_page(folder, page):
    make_page_ahead(page)
    nobodys_page = os.path.join(folder, "none")
    for compiler in ("gcc", "musl-gcc"):
        try:
            probe = early_probe(folder, compiler)
        except SkipCase as skip:
            print("skipped:", skip)
            continue
        names = {"main", "timespec_get", "constructor",
                 "constructor_of_library", "signal", "fork", "vfork",
                 "all_closed", "exec"}
        rows = rows_of(preload([probe, "moments"], page))
        resolver = rows.pop("resolver", None)
        assert set(rows) == names, rows
        for name, (_, ns, _) in rows.items():
            assert is_ahead(ns), (compiler, name, ns)
        # Nobody has begun yet; the system answers.
        assert compiler != "gcc" or is_now(resolver[1]), resolver
        done = preload([probe, "moments"], nobodys_page)
        for name, (_, ns, _) in rows_of(done).items():
            assert is_now(ns), (compiler, name, ns)


def no_descriptor_stays_open(folder, page):
    probe = build(folder, "probe", "gcc", "-pthread", source=PROBE_SOURCE)
    make_page_ahead(page)
    wanted = run([probe, "descriptors"])
    damaged = os.path.join(folder, "damaged")
    with open(damaged, "wb") as file:
        file.write(b"x" * PAGE_BYTES)
    for name in (page, damaged, folder):
        assert preload([probe, "descriptors"], name).stdout == wanted.stdout


# --- as without --------------------------------------------------------------


def errors_null_and_bad_ids_are_as_without(folder, page):
    make_page_ahead(page)
    for compiler in ("gcc", "musl-gcc"):
        try:
            probe = build(folder, "probe", compiler, "-pthread",
                          source=PROBE_SOURCE)
        except SkipCase as skip:
            print("skipped:", skip)
            continue
        wanted = run([probe, "oddities"])
        assert "errno 22" in wanted.stdout and "signal 11" in wanted.stdout
        for name in (page, None):
            got = preload([probe, "oddities"], name)
            assert (got.returncode, got.stdout) == (0, wanted.stdout), (
                compiler, name, got.stdout, wanted.stdout)


def damages(page):
    """{what was done to a page: (how, what is said of it)}"""
    return {
        "magic": (lambda: patch(page, 0, "I", 0x1234), "not a page"),
        "byte order": (lambda: patch(page, 0, "8s", bytes(
            reversed(struct.pack("=Q", word(page, 0, "Q"))))),
            "not a page"),
        "major": (lambda: patch(page, 8, "I", 99), "another ABI major"),
        "size": (lambda: patch(page, 16, "I", 8192), "truncated"),
        "counter": (lambda: patch(page, 20, "I", 77), "another counter"),
        "no timeline": (lambda: patch(page, 52, "I", 0), "do not fit"),
        "timelines": (lambda: patch(page, 52, "I", 7), "do not fit"),
        "layout": (lambda: patch(page, 52, "II", 1, 320), "another layout"),
        "short": (lambda: os.truncate(page, PAGE_BYTES - 1), "truncated"),
        "empty": (lambda: os.truncate(page, 0), "truncated"),
        # Attached, and answers nothing.
        "zeroed": (lambda: patch(page, 256, "3840s", b""), "attached"),
        "random": (lambda: patch(page, 256, "3840s", b"\xa5" * 3840),
                   "attached"),
    }


def what_is_no_page_leaves_the_program_as_it_was(folder, page):
    probe = build(folder, "probe", "gcc", "-pthread", source=PROBE_SOURCE)
    wanted = run([probe, "oddities"])

    def check(name, page, said, within=()):
        done = preload([probe, "oddities"], page, within=within)
        lines, rest = told(done)
        assert (done.returncode, done.stdout, rest) == (
            0, wanted.stdout, []), (name, done, wanted.stdout)
        assert len(lines) == 1 and said in lines[0], (name, lines)
        now = preload([probe, "main"], page, within=within)
        assert is_now(rows_of(now)["exec"][1]), (name, now)

    make_page_ahead(page)
    with open(page, "rb") as file:
        good = file.read()
    for name, (damage, said) in damages(page).items():
        damage()
        check(name, page, said)
        with open(page, "wb") as file:
            file.write(good)
    fifo = os.path.join(folder, "fifo")
    os.mkfifo(fifo)
    for name, said in ((None, "names none"), ("", "names none"),
                       (folder + "/none", "no such file"),
                       ("no page of this name", "/dev/shm/vvar.no page of"),
                       (folder, "not a file"), (fifo, "not a file"),
                       ("/dev/null", "not a file"), ("/dev/zero", "not a page"),
                       ("/" + "a" * 5000, "too long")):
        check(name, name, said)
    deny = build(folder, "deny_preload", "gcc", source=DENY_PRELOAD_SOURCE)
    # EPERM of a filter; EMFILE; ENOMEM of RLIMIT_AS; EIO; ENOSYS.
    for call, error, said in (("openat", 1, "cannot be opened"),
                              ("openat", 24, "cannot be opened"),
                              ("openat", 38, "cannot be opened"),
                              ("openat", 13, "permission denied"),
                              ("mmap", 12, "cannot be mapped"),
                              ("mmap", 1, "cannot be mapped"),
                              ("read", 5, "not a file"),
                              ("readlinkat", 1, "ns/time")):
        check((call, error), page, said, within=[deny, call, str(error)])


def another_users_page_leaves_the_program_as_it_was(folder, page):
    if os.geteuid() != 0:
        raise SkipCase("needs root, to become somebody else")
    probe = build(folder, "probe", "gcc", "-pthread", source=PROBE_SOURCE)
    library = shutil.copy(LIBRARY, os.path.join(folder, "preload.so"))
    os.chmod(library, 0o755)
    make_page_ahead(page)
    nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    if run([*nobody, "true"]).returncode != 0:
        raise SkipCase("no other user here")
    for mode, said, check in ((0o644, "attached", is_ahead),
                              (0o600, "permission denied", is_now)):
        os.chmod(page, mode)
        done = preload([probe, "main"], page, library=library, within=nobody)
        assert check(rows_of(done)["exec"][1]), done
        assert said in told(done)[0][0], done


def a_chroot_without_proc_has_no_page(folder, page):
    if os.geteuid() != 0:
        raise SkipCase("needs root, for chroot")
    build(folder, "probe", "musl-gcc", "-pthread", source=PROBE_SOURCE)
    libc = "/lib/ld-musl-x86_64.so.1"
    os.mkdir(folder + "/lib")
    shutil.copy(os.path.realpath(libc), folder + libc)
    shutil.copy(LIBRARY, folder + "/lib/preload.so")
    make_page_ahead(page)
    done = run(["/usr/sbin/chroot", folder, "/probe", "main"], env={
        "LD_PRELOAD": "/lib/preload.so", "VVAR_PAGE": "/page",
        "VVAR_PRELOAD_DEBUG": "1", "PATH": os.environ["PATH"]})
    assert is_now(rows_of(done)["exec"][1]), done
    # chroot itself, outside, sees neither the library nor the page there.
    lines, _ = told(done)
    assert len(lines) == 1 and "/proc/self/ns/time" in lines[0], done


TIME_SOURCE = """
#include <stdio.h>
long time(long*);
int main(void) { return printf("time 0 %ld000000000\\n", time(NULL)) < 0; }
"""


def programs_that_are_not_for_it_run_as_they_were(folder, page):
    make_page_ahead(page)
    # Source: ld.so(8): a library of another class is named and left out; one
    # with a slash is left out of programs that are setuid.
    try:
        probe = build(folder, "probe32", "gcc", "-m32",
                      source=script(folder, "time.c", TIME_SOURCE))
        done = preload([probe], page)
        assert is_now(rows_of(done)["time"][1]), done
        assert "wrong ELF class" in done.stderr, done
    except SkipCase as skip:
        print("skipped:", skip)
    if os.geteuid() != 0:
        raise SkipCase("needs root, to make a setuid program")
    probe = build(folder, "probe", "gcc", "-pthread", source=PROBE_SOURCE)
    os.chmod(probe, 0o4755)
    done = run(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups",
                "env", "LD_PRELOAD=" + LIBRARY, "VVAR_PAGE=" + page,
                "VVAR_PRELOAD_DEBUG=1", probe, "main"])
    assert is_now(rows_of(done)["exec"][1]), done


def a_setuid_program_that_has_it_all_the_same_has_no_page(folder, page):
    # Source: ld.so(8): such a program takes what is in a standard folder and
    # setuid itself.
    if os.geteuid() != 0:
        raise SkipCase("needs root, for a root of its own")
    probe = build(folder, "probe", "gcc", "-pthread", source=PROBE_SOURCE)
    loader, libc = (os.path.realpath(path) for path in (
        "/lib64/ld-linux-x86-64.so.2", "/lib/x86_64-linux-gnu/libc.so.6"))
    if not (os.path.exists(loader) and os.path.exists(libc)):
        raise SkipCase("libc is elsewhere")
    os.makedirs(folder + "/lib64")
    os.makedirs(folder + "/lib/x86_64-linux-gnu")
    shutil.copy(loader, folder + "/lib64/ld-linux-x86-64.so.2")
    shutil.copy(libc, folder + "/lib/x86_64-linux-gnu/libc.so.6")
    library = shutil.copy(LIBRARY, folder + "/lib/x86_64-linux-gnu/preload.so")
    make_page_ahead(page)
    os.chmod(library, 0o4755)
    for mode, said in ((0o755, "/proc/self/ns/time"), (0o4755, "more rights")):
        os.chmod(probe, mode)
        done = run(["/usr/sbin/chroot", "--userspec=65534:65534", folder,
                    "/probe", "main"], env={"LD_PRELOAD": "preload.so",
                                  "VVAR_PAGE": "/page",
                                  "VVAR_PRELOAD_DEBUG": "1",
                                  "PATH": os.environ["PATH"]})
        assert is_now(rows_of(done)["exec"][1]), done
        lines, _ = told(done)
        assert len(lines) == 1 and said in lines[0], (mode, done)


def nothing_is_said_unless_asked(folder, page):
    probe = build(folder, "probe", "gcc", "-pthread", source=PROBE_SOURCE)
    make_page_ahead(page)
    for name in (page, page + "none", ""):
        for debug in ({}, {"VVAR_PRELOAD_DEBUG": ""}):
            done = run([probe, "main"],
                       env={"LD_PRELOAD": LIBRARY, "VVAR_PAGE": name, **debug})
            assert done.returncode == 0 and not done.stderr, done


# --- time --------------------------------------------------------------------


# Trap: T100
def offsets_of_time_namespaces_are_honoured(folder, page):
    away = ["unshare", "--time", "--monotonic", "1000000", "--boottime", "5"]
    namespace = run([*away, "true"])
    if namespace.returncode != 0:
        raise SkipCase("no time namespace here: " + namespace.stderr.strip())
    (probe,), _ = PROGRAMS["glibc dynamic"](folder)
    clocks = {"monotonic": time.CLOCK_MONOTONIC,
              "boottime": time.CLOCK_BOOTTIME,
              "clock_gettime": time.CLOCK_REALTIME}

    def check(ahead, within=()):
        before = {name: time.clock_gettime_ns(clocks[name]) for name in clocks}
        done = preload([probe], page, within=within)
        after = {name: time.clock_gettime_ns(clocks[name]) for name in clocks}
        assert told(done)[0] == ["vvar_preload: %s: attached" % page], done
        for name in clocks:
            _, ns, in_vdso = rows_of(done)[name]
            assert in_vdso == 0, name
            ns -= ahead.get(name, 0) * 10**9
            assert before[name] <= ns <= after[name], (name, ns, before, after)

    with Server(page):
        await_page(page, 0)
        check({})
        check({"monotonic": 10**6, "boottime": 5}, within=away)


def a_killed_server_has_the_program_fall_back(_, page):
    program = WATCHER + """
print("ready", flush=True)
import select
watch(lambda a, b: select.select([sys.stdin], [], [], 0)[0])
print(*worst)
"""
    with Server(page, "--max_age=200ms") as server:
        await_page(page, 0)
        watcher = subprocess.Popen(
            ["/usr/bin/python3", "-c", program], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, text=True,
            env=dict(os.environ, LD_PRELOAD=LIBRARY, VVAR_PAGE=page))
        assert watcher.stdout.readline() == "ready\n"
        with open("/proc/%d/maps" % watcher.pid) as maps:
            assert " r--s " in next(line for line in maps if page in line)
        server.kill()
        await_page(page, 10)
        for _ in range(20):
            assert run([VVAR, "now", "--page=" + page]).returncode == 10
    out, _ = watcher.communicate("\n", timeout=DEADLINE_S)
    assert watcher.returncode == 0
    # 500 ppm, the most that the kernel steers by, of max_age; and the page's
    # own error.
    assert all(int(step) <= 200_000 for step in out.split()), out


def a_page_that_is_stale_leaves_the_kernels_time(folder, page):
    need_strace(folder)
    probe = build(folder, "probe", "gcc", "-pthread", source=PROBE_SOURCE)
    with Server(page, "--max_age=50ms"):
        await_page(page, 0)
    await_page(page, 10)
    done = preload([probe, "main"], page)
    assert is_now(rows_of(done)["exec"][1]), done
    assert "attached" in told(done)[0][0], done
    got = time_calls(folder, [probe, "threads"],
                     {"VVAR_PAGE": page, "LD_PRELOAD": LIBRARY})
    assert got == {"clock_gettime": 1}, got


def a_page_that_comes_back_is_read_again(folder, page):
    back = os.path.join(folder, "back")
    make_page_ahead(back)
    with Server(page, "--max_age=50ms"):
        await_page(page, 0)
    await_page(page, 10)
    program = subprocess.Popen(
        ["/usr/bin/python3", "-c", "import sys, time\n"
         "for _ in sys.stdin: print(time.time_ns(), flush=True)"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        env=dict(os.environ, LD_PRELOAD=LIBRARY, VVAR_PAGE=page))

    def ask():
        program.stdin.write("\n")
        program.stdin.flush()
        return int(program.stdout.readline())

    assert is_now(ask())
    with open(back, "rb") as file:
        patch(page, 0, "%ds" % PAGE_BYTES, file.read())
    assert is_ahead(ask())
    patch(page, 256, "3840s", b"")
    assert is_now(ask())
    program.communicate()


CASES = [
    it_exports_what_it_replaces_and_needs_nothing,
    each_dynamic_program_has_its_time_from_the_page,
    no_call_enters_the_kernel_in_any_thread,
    constructors_signal_handlers_and_children_have_the_page,
    no_descriptor_stays_open,
    errors_null_and_bad_ids_are_as_without,
    what_is_no_page_leaves_the_program_as_it_was,
    another_users_page_leaves_the_program_as_it_was,
    a_chroot_without_proc_has_no_page,
    programs_that_are_not_for_it_run_as_they_were,
    a_setuid_program_that_has_it_all_the_same_has_no_page,
    nothing_is_said_unless_asked,
    offsets_of_time_namespaces_are_honoured,
    a_killed_server_has_the_program_fall_back,
    a_page_that_is_stale_leaves_the_kernels_time,
    a_page_that_comes_back_is_read_again,
]

if __name__ == "__main__":
    sys.exit(run_cases(CASES))
