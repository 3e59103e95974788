#!/usr/bin/python3
"""Runs programs under `vvar exec`, as a person would, and asks where their time
came from, where the image is, and whether they notice anything else.

Prints `CASE name PASSED|FAILED|SKIPPED reason` for each case."""

import os
import pty
import re
import select
import shutil
import signal
import struct
import subprocess
import sys
import time

from programs import (DEADLINE_S, DENY_SOURCE, I386_PROGRAMS, PROGRAMS, VVAR,
                      WATCHER, YEARS, YEARS_NS, Server, SkipCase, build,
                      can_trace, rows_of, run, run_cases, script, vvar_exec)

RESOLUTION_OFFSET = 64  # docs/abi.md, vvar_header.resolution_ns.


def warned(done):
    """What is on stderr but for the one line that --offset costs."""
    lines = done.stderr.splitlines()
    assert sum("vvar help exec" in line for line in lines) == 1, done.stderr
    return [line for line in lines if "vvar help exec" not in line]


def probes_of_both_kinds(folder, source=None):
    yield build(folder, "probe", "gcc", source=source)
    try:
        yield build(folder, "probe32", "gcc", "-m32", source=source)
    except SkipCase as skip:
        print("without 32 bits: %s" % skip)


# --- the matrix --------------------------------------------------------------

COLUMNS = ["clock_gettime", "gettimeofday", "time", "clock_getres", "getcpu"]
GLIBC = dict.fromkeys(COLUMNS, "image")
# Source: glibc 2.35 on reads the cpu that rseq keeps in memory.
GLIBC["getcpu"] = "no call"
MUSL = dict.fromkeys(COLUMNS, "image")
MUSL["clock_getres"] = "syscall"
# Source: glibc 2.36 looks for no clock_getres_time64 in a vDSO.
GLIBC_I386 = dict(GLIBC, clock_getres="syscall")

EXPECTED = {
    "glibc dynamic": GLIBC,
    "glibc static": GLIBC,
    "glibc static-pie": GLIBC,
    "glibc without rseq": dict(GLIBC, getcpu="image"),
    "glibc i386 dynamic": GLIBC_I386,
    "glibc i386 static": GLIBC_I386,
    "glibc i386 time64": GLIBC_I386,
    "musl dynamic": MUSL,
    "musl static": MUSL,
    "Go static": {"clock_gettime": "image"},
    "python3": {"clock_gettime": "image", "clock_getres": "image"},
    "java": {"clock_gettime": "image"},
    "perl": {"gettimeofday": "image", "time": "image"},
    "node": {"gettimeofday": "image"},
    "date": {"clock_gettime": "image"},
    "bash": {"gettimeofday": "image"},
}


def cell(name, shifted, coarse):
    """Where one function's answer is from. shifted: seen with REALTIME years
    ahead; coarse: with a page that claims a resolution of 77 ns. Both with the
    system calls denied."""
    result, ns, in_image = (coarse if name == "clock_getres" else shifted)[name]
    if result != 0:
        return "syscall"
    if name == "clock_getres":
        from_page = ns == 77
    elif name == "getcpu":
        from_page = bool(in_image)
    else:
        from_page = abs(ns - YEARS_NS - time.time_ns()) < 10**9 * DEADLINE_S
    if in_image is not None:
        assert from_page == bool(in_image), (name, ns, in_image)
    if from_page:
        return "image"
    return "no call" if name == "getcpu" else "elsewhere"


# Trap: T99 (interposition reaches none of the static ones)
def each_program_has_its_time_from_the_image(folder, page):
    deny = build(folder, "deny_time", "gcc", source=DENY_SOURCE)
    wrong = []
    print("%-20s" % "" + "".join("%-15s" % name for name in COLUMNS))
    with Server(page, "--max_age=1h") as _:
        with open(page, "r+b") as file:
            file.seek(RESOLUTION_OFFSET)
            assert struct.unpack("=I", file.read(4))[0] == 1
            file.seek(RESOLUTION_OFFSET)
            file.write(struct.pack("=I", 77))
        for name, make in [*PROGRAMS.items(), *I386_PROGRAMS.items()]:
            try:
                words, env = make(folder)
            except SkipCase as skip:
                print("%-20sskipped: %s" % (name, skip))
                continue
            env = dict(os.environ, **env)
            shifted = rows_of(vvar_exec("-f", "--offset=" + YEARS, "--", deny,
                                        *words, env=env))
            coarse = rows_of(vvar_exec("-f", "--page=" + page, "--", deny,
                                       *words, env=env))
            got = {column: cell(column, shifted, coarse)
                   for column in COLUMNS if column in shifted}
            print("%-20s" % name +
                  "".join("%-15s" % got.get(column, "-") for column in COLUMNS))
            if got != EXPECTED[name]:
                wrong.append((name, got, EXPECTED[name]))
    assert not wrong, wrong


# --- where it is -------------------------------------------------------------


def check_maps(text):
    """The parts lie where the image expects them, and can do no more than they
    have to."""
    lines = text.splitlines()
    vdso = int(lines[0].split()[1], 16)
    parts = {}
    for line in lines[1:]:
        span, rights, _, _, _, *name = line.split()
        begin, end = (int(word, 16) for word in span.split("-"))
        assert not ("w" in rights and "x" in rights), line
        if name and name[0].startswith("/memfd:vvar"):
            assert name[0] not in parts, line
            parts[name[0][7:]] = (begin, end, rights)
    assert set(parts) == {"vvar", "vvar-offsets", "vvar-image"}, lines
    page, offsets, image = (parts[name] for name in
                            ("vvar", "vvar-offsets", "vvar-image"))
    assert image[0] == vdso, (image, vdso)
    assert page[1] - page[0] == offsets[1] - offsets[0] == 4096
    assert page[1] == offsets[0] and offsets[1] == image[0], parts
    assert page[0] >= 65536, page
    # A word of the program's leads there.
    assert image[1] <= 2**(8 * int(lines[0].split()[2])), image
    assert (page[2], offsets[2], image[2]) == ("r--s", "r--s", "r-xp"), parts


def check_maps_of(probe):
    for follow in [[], ["-f"]]:
        done = vvar_exec(*follow, "--", probe, "--maps")
        assert done.returncode == 0 and not done.stderr, done.stderr
        check_maps(done.stdout)


# Trap: T84 (a data page that is mapped executable)
def page_offsets_and_image_are_mapped_in_a_row_and_read_only(folder, _):
    for flags in [[], ["-static"], ["-static-pie"]]:
        check_maps_of(build(folder, "probe", "gcc", *flags))


def the_kernels_vdso_stays_for_whoever_unwinds_through_it(folder, _):
    probe = build(folder, "probe", "gcc")
    assert "[vdso]" in vvar_exec("--", probe, "--maps").stdout


# Trap: T101
def a_backtrace_leads_out_of_every_instruction(folder, _):
    source = os.path.join(os.path.dirname(DENY_SOURCE), "unwind_probe.c")
    for probe in probes_of_both_kinds(folder, source):
        done = vvar_exec("--", probe)
        assert done.returncode == 0, done
        instructions, not_unwound = (int(word) for word in done.stdout.split())
        assert instructions > 200 and not_unwound == 0, (probe, done.stdout)


# --- as without --------------------------------------------------------------

# A parent that stops and continues its child.
STOPPER = """
import os, signal
pid = os.fork()
if pid == 0:
    os.kill(os.getpid(), signal.SIGSTOP)
    os._exit(7)
_, status = os.waitpid(pid, os.WUNTRACED)
print(os.WIFSTOPPED(status) and os.WSTOPSIG(status))
os.kill(pid, signal.SIGCONT)
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""

SAME = [
    "exit 0",
    "exit 77",
    "echo out; echo err >&2; exit 3",
    "cat",  # The input is the program's.
    "kill -TERM $$",
    "kill -SEGV $$",
    "kill -KILL $$",
    "trap 'echo got' USR1; kill -USR1 $$; exit 5",
    "echo one | cat | tr o O; false | true; exit 6",
    "(exit 4); echo $?; bash -c 'exit 9'; echo $?",
    "sleep 0 & wait $!; echo waited $?",
    "/usr/bin/python3 -c '%s'; echo $?" % STOPPER,
    "exec bash -c 'echo again; exit 8'",
    "(sleep 0.1; bash -c 'echo late') & exit 2",  # Outlives the program.
    "ulimit -c 0; bash -c 'kill -ABRT $$'; echo $?",
    "ls /proc/self/fd | wc -l",
    "echo $0 $@ $PWD",
    # Less 32 and 33, which the C library's threads have for themselves.
    "while read -r name mask; do case $name in SigIgn:|SigBlk:)"
    " echo $name $((16#$mask & 0x7fffffff)); esac; done < /proc/$$/status",
]


def status_output_and_input_are_as_without(_, __):
    for command in SAME:
        words = ["bash", "-c", command, "name", "a b"]
        wanted = run(words, input="line\n")
        for flags in [[], ["-f"]]:
            got = vvar_exec(*flags, "--", *words, input="line\n")
            for field in ("returncode", "stdout", "stderr"):
                left, right = getattr(got, field), getattr(wanted, field)
                # bash names the process in what it says of signals.
                left, right = (re.sub(r"\b\d{2,}\b", "N", str(text))
                               if field == "stderr" else text
                               for text in (left, right))
                assert left == right, (command, flags, field, left, right)


def state_of(pid):
    with open("/proc/%d/stat" % pid) as file:
        return file.read().rpartition(")")[2].split()[0]


def await_state(pid, states):
    end = time.monotonic() + DEADLINE_S
    while state_of(pid) not in states:
        assert time.monotonic() < end, (state_of(pid), states)
        os.sched_yield()


def child_of(pid):
    end = time.monotonic() + DEADLINE_S
    while time.monotonic() < end:
        with open("/proc/%d/task/%d/children" % (pid, pid)) as file:
            children = file.read().split()
        if children:
            return int(children[0])
    raise AssertionError("no child")


def started(*flags, **kwargs):
    """A launcher, and the pid of its program, which says "ready" and then reads
    lines and says "line" to each."""
    launcher = subprocess.Popen(
        [VVAR, "exec", *flags, "--", "bash", "-c",
         "trap 'echo caught; exit 12' TERM; echo ready;"
         "while read -r _ || (($? > 128)); do echo line; done"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, **kwargs)
    assert launcher.stdout.readline() == "ready\n"
    return launcher, child_of(launcher.pid)


def a_program_stops_and_goes_on_when_told(_, __):
    for flags in [[], ["-f"]]:
        launcher, program = started(*flags)
        for _ in range(3):
            os.kill(program, signal.SIGSTOP)
            await_state(program, "Tt")
            launcher.stdin.write("\n")
            launcher.stdin.flush()
            assert not select.select([launcher.stdout], [], [], 0)[0]
            os.kill(program, signal.SIGCONT)
            assert launcher.stdout.readline() == "line\n"
        launcher.communicate()
        assert launcher.returncode == 0, launcher.returncode


def who_signals_the_launcher_means_the_program(_, __):
    for flags in [[], ["-f"]]:
        launcher, _ = started(*flags)
        launcher.terminate()
        # A signal that comes as bash begins to read waits for a line.
        said = "line\n"
        while said == "line\n":
            try:
                launcher.stdin.write("\n")
                launcher.stdin.flush()
            except BrokenPipeError:
                pass
            said = launcher.stdout.readline()
        assert said == "caught\n", said
        launcher.wait(timeout=DEADLINE_S)
        assert launcher.returncode == 12, launcher.returncode


def a_program_lives_on_without_its_launcher(_, __):
    for flags in [[], ["-f"]]:
        launcher, _ = started(*flags)
        launcher.kill()
        launcher.wait()
        launcher.stdin.write("\n")
        launcher.stdin.flush()
        assert launcher.stdout.readline() == "line\n"
        launcher.stdin.close()
        assert launcher.stdout.read() == ""
        launcher.stdout.close()


def a_terminal_stops_continues_and_interrupts_the_job(folder, _):
    loop = script(folder, "loop", "#!/bin/sh\necho ready\n"
                                  "while read -r line; do echo \"=$line\"; done")
    for flags in [[], ["-f"]]:
        pid, terminal = pty.fork()
        if pid == 0:
            # As a job of a shell: in an orphaned group nobody is stopped.
            job = os.fork()
            if job == 0:
                os.setpgid(0, 0)
                signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTTOU])
                os.tcsetpgrp(0, os.getpid())
                signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTTOU])
                os.execv(VVAR, [VVAR, "exec", *flags, "--", loop])
            _, status = os.waitpid(job, os.WUNTRACED)
            print("stopped", os.WIFSTOPPED(status), flush=True)
            os.killpg(job, signal.SIGCONT)
            _, status = os.waitpid(job, os.WUNTRACED)
            print("ended by", os.WTERMSIG(status), flush=True)
            os._exit(0)
        text = ""

        def expect(word):
            nonlocal text
            while word not in text:
                assert select.select([terminal], [], [], DEADLINE_S)[0], text
                text += os.read(terminal, 4096).decode()
            text = text.partition(word)[2]

        expect("ready")
        os.write(terminal, b"\x1a")  # ^Z
        expect("stopped True")
        os.write(terminal, b"word\n")
        expect("=word")
        os.write(terminal, b"\x03")  # ^C
        expect("ended by 2")
        os.waitpid(pid, 0)
        os.close(terminal)


# --- children ----------------------------------------------------------------


def year_of(text):
    return int(text.strip().splitlines()[-1])


def with_f_children_have_the_image_however_they_were_made(folder, _):
    now = time.gmtime().tm_year
    inner = script(folder, "script", "#!/bin/sh\nexec date +%Y\n")
    for words in [
            ["date", "+%Y"],
            [inner],
            ["bash", "-c", "date +%Y | cat"],
            ["bash", "-c", "bash -c \"%s\"; exit 0" % inner],
            ["bash", "-c", "(date +%Y >&3 &) 3>&1 | cat"],
            ["/usr/bin/python3", "-c", "import subprocess, os\n"
             "subprocess.run(['date', '+%Y'])\n"
             "os.waitpid(os.posix_spawn('/bin/date', ['date', '+%Y'], {}), 0)"],
            ["env", "-i", "/bin/date", "+%Y"],
    ]:
        done = vvar_exec("-f", "--offset=" + YEARS, "--", *words)
        assert done.returncode == 0 and not warned(done), done
        for line in done.stdout.split():
            assert int(line) in (now + 9, now + 10), (words, done.stdout)
        assert done.stdout, words


def without_f_forks_keep_the_image_and_execs_lose_it(_, __):
    now = time.gmtime().tm_year
    done = vvar_exec("--offset=" + YEARS, "--", "bash", "-c",
                     "(printf '%(%Y)T\\n'); date +%Y")
    forked, execed = (int(line) for line in done.stdout.split())
    assert forked in (now + 9, now + 10) and execed in (now, now + 1), done


# --- who may -----------------------------------------------------------------


def as_nobody(*words, **kwargs):
    if os.geteuid() != 0:
        raise SkipCase("needs root, to become somebody else")
    # Through a descriptor: the binary's folder may be closed to others.
    binary = os.open(VVAR, os.O_RDONLY)
    done = run(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups",
                "/proc/self/fd/%d" % binary, *words], pass_fds=[binary],
               **kwargs)
    os.close(binary)
    if "setresuid" in done.stderr or "setpriv" in done.stderr:
        raise SkipCase("no other user here: " + done.stderr)
    return done


def anybody_may_run_his_own_programs(folder, _):
    probe = build(folder, "probe", "gcc")
    done = as_nobody("exec", "--", probe, "--maps")
    assert done.returncode == 0, done.stderr
    check_maps(done.stdout)
    # Under a filter that it cannot suspend, as a root tracer does.
    deny = build(folder, "deny_time", "gcc", source=DENY_SOURCE)
    done = as_nobody("exec", "-f", "--", deny, probe)
    assert rows_of(done)["clock_gettime"][2] == 1, done


def setuid_programs_are_refused_but_for_root(folder, _):
    if os.geteuid() != 0:
        raise SkipCase("needs root, to make one")
    identity = os.path.join(folder, "id")
    shutil.copy(shutil.which("id"), identity)
    os.chown(identity, 1234, 1234)
    os.chmod(identity, 0o4755)
    done = as_nobody("exec", "--", identity, "-u")
    assert done.returncode == 125, done
    assert "setuid" in done.stderr and identity in done.stderr, done
    # Root's tracer leaves the rights.
    for user in [1234, 0]:
        os.chown(identity, user, 0)
        os.chmod(identity, 0o4755)
        done = vvar_exec("--", identity, "-u")
        assert (done.stdout, done.returncode, done.stderr) == (
            "%d\n" % user, 0, ""), done


def children_of_another_user_and_namespace_have_the_image_too(folder, _):
    if os.geteuid() != 0:
        raise SkipCase("needs root, to become somebody else")
    nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    for within in [nobody, ["unshare", "-Urpf", "--mount-proc"]]:
        for probe in probes_of_both_kinds(folder):
            done = vvar_exec("-f", "--", *within, probe, "--maps")
            if "unshare failed" in done.stderr:
                print("denied here: " + done.stderr)
                continue
            assert done.returncode == 0 and not done.stderr, done
            check_maps(done.stdout)


# --- refused -----------------------------------------------------------------


def what_cannot_be_done_is_refused_with_the_reason(folder, page):
    def check(done, code, *words):
        assert done.returncode == code, (done.returncode, code, done.stderr)
        assert not done.stdout, done.stdout
        for word in words:
            assert word in done.stderr, (word, done.stderr)

    check(vvar_exec("--", "no-such-program"), 127, "no-such-program",
          "No such file")
    check(vvar_exec("--", folder + "/none"), 127, "No such file")
    plain = script(folder, "plain", "echo no", mode=0o644)
    check(vvar_exec("--", plain), 126, plain, "Permission denied")
    check(vvar_exec("--", folder), 126, "Permission denied")
    check(vvar_exec(), 2, "--")
    check(vvar_exec("--"), 2, "no program")
    check(vvar_exec("true"), 2, "`--`")
    check(vvar_exec("--rate=2", "--", "true"), 2, "--rate=2", "0.95", "1.05")
    check(vvar_exec("--rate=nan", "--", "true"), 2, "nan", "0.95")
    check(vvar_exec("--offset=inf", "--", "true"), 2, "inf", "1970")
    check(vvar_exec("--offset=-876000h", "--", "true"), 2, "1970")
    check(vvar_exec("--tick=1us", "--", "true"), 2, "tick", "100us")
    check(vvar_exec("--page=" + page, "--", "true"), 3, page, "No such file")
    with open(page, "wb") as file:
        file.write(b"precious" * 512)
    check(vvar_exec("--page=" + page, "--", "true"), 6, page, "foreign")
    check(vvar_exec("--page=" + page, "--offset=1s", "--", "true"), 2,
          "--offset", "--page")
    with Server(folder + "/other"):
        with open(folder + "/other", "rb") as file:
            moved = bytearray(file.read())
    # docs/abi.md: timeline_count, timeline_offset.
    struct.pack_into("=II", moved, 52, 1, 320)
    with open(page, "wb") as file:
        file.write(moved)
    check(vvar_exec("--page=" + page, "--", "true"), 7, page, "320", "256")


# --- 32 bits -----------------------------------------------------------------


def programs_of_32_bits_have_an_image_of_theirs(folder, _):
    flags = ["gcc", "-m32"]
    for more in [[], ["-static"], ["-static-pie"]]:
        check_maps_of(build(folder, "probe32", *flags, *more))


def children_have_the_image_of_their_own_kind(folder, _):
    # Each becomes one of the other kind, whose system calls it denies, too. The
    # kernel's headers are the same for both.
    deny32 = build(folder, "deny32", "gcc", "-m32", "-idirafter",
                   "/usr/include/x86_64-linux-gnu", source=DENY_SOURCE)
    pairs = [(deny32, build(folder, "probe", "gcc")),
             (build(folder, "deny", "gcc", source=DENY_SOURCE),
              build(folder, "probe32", "gcc", "-m32"))]
    for deny, probe in pairs:
        done = vvar_exec("-f", "--", deny, probe, "--maps")
        assert done.returncode == 0 and not done.stderr, done.stderr
        check_maps(done.stdout)
        rows = rows_of(vvar_exec("-f", "--", deny, probe))
        assert rows["clock_gettime"][::2] == (0, 1), rows


def a_call_that_fails_in_a_child_is_told(folder, _):
    for probe in probes_of_both_kinds(folder):
        done = vvar_exec("-f", "--", "unshare", "--mount", "sh", "-c",
                         "umount -l /proc && exec %s" % probe)
        if "unshare failed" in done.stderr:
            raise SkipCase("no mount namespace here: " + done.stderr)
        assert rows_of(done)["clock_gettime"][0] == 0, done
        assert "keeps the kernel's vDSO" in done.stderr, done.stderr
        assert probe in done.stderr and "No such file" in done.stderr


def times_beyond_2038_reach_who_has_the_bits(folder, _):
    ahead_ns = 2 * YEARS_NS
    wide = build(folder, "wide", "gcc", "-m32", "-D_TIME_BITS=64",
                 "-D_FILE_OFFSET_BITS=64")
    rows = rows_of(vvar_exec("--offset=%ds" % (ahead_ns // 10**9), "--", wide))
    for name in ("clock_gettime", "gettimeofday", "time"):
        result, ns, in_image = rows[name]
        assert (result, in_image) == (0, 1), rows
        assert abs(ns - ahead_ns - time.time_ns()) < DEADLINE_S * 10**9, rows
    narrow = build(folder, "narrow", "gcc", "-m32")
    done = vvar_exec("--offset=%ds" % (ahead_ns // 10**9), "--", narrow)
    # glibc's word on what does not fit.
    assert rows_of(done)["clock_gettime"][::2] == (-1, 1), done


def help_says_what_exec_does_and_does_not(_, __):
    for words in (["help", "exec"], ["exec", "--help"]):
        done = run([VVAR, *words])
        assert done.returncode == 0
        for word in ["--page", "-f", "--offset", "--rate", "MONOTONIC", "sleep",
                     "setuid", "32-bit", "max_age"]:
            assert word in done.stdout, word
    help_of_all = run([VVAR, "--help"]).stdout
    for word in ["exec", " 125  ", " 126  ", " 127  "]:
        assert word in help_of_all, word


# --- time --------------------------------------------------------------------

# Trap: T100
def offsets_of_time_namespaces_are_honoured(folder, _):
    away = ["unshare", "--time", "--monotonic", "1000000", "--boottime", "5"]
    probe = run([*away, "true"])
    if probe.returncode != 0:
        raise SkipCase("no time namespace here: " + probe.stderr.strip())
    probe = build(folder, "probe", "gcc")
    second = 10**9

    def check(done, ahead):
        after = {name: time.clock_gettime_ns(clock) for name, clock in clocks}
        assert not done.stderr, done.stderr
        rows = rows_of(done)
        for name, _ in clocks:
            _, ns, in_image = rows[name]
            assert in_image == 1, name
            ns -= ahead.get(name, 0) * second
            assert before[name] <= ns <= after[name], (name, ns, before, after)

    clocks = [("monotonic", time.CLOCK_MONOTONIC),
              ("boottime", time.CLOCK_BOOTTIME),
              ("clock_gettime", time.CLOCK_REALTIME)]
    inside = {"monotonic": 10**6, "boottime": 5}
    before = {name: time.clock_gettime_ns(clock) for name, clock in clocks}
    check(vvar_exec("--", probe), {})
    check(vvar_exec("--", probe, within=away), inside)
    check(vvar_exec("-f", "--", *away, probe), inside)
    check(vvar_exec("-f", "--", "bash", "-c", "%s %s >/dev/null; %s" % (
        " ".join(away), probe, probe)), {})


def a_rate_holds_between_updates_too(_, __):
    for rate in (0.95, 0.999, 1.0005, 1.05):
        program = WATCHER + """
first, last = watch(lambda a, b: b[1] - a[1] > 700_000_000)
print(last[0] - first[0], last[1] - first[1], *worst)
"""
        done = vvar_exec("--rate=%s" % rate, "--", "/usr/bin/python3", "-c",
                         program)
        assert done.returncode == 0 and not warned(done), done
        real, mono, real_back, mono_back = (
            int(word) for word in done.stdout.split())
        assert abs(real - rate * mono) < 0.0003 * mono, (rate, real, mono)
        assert mono_back <= 0, done.stdout
        assert real_back <= 1000, done.stdout


def an_offset_moves_realtime_alone(folder, _):
    probe = build(folder, "probe", "gcc")
    for offset in ("-87600h", "-1.5s", "90s"):
        before = time.monotonic_ns()
        done = vvar_exec("--offset=" + offset, "--", probe)
        after = time.monotonic_ns()
        rows = rows_of(done)
        assert before <= rows["monotonic"][1] <= after
        ahead = (rows["clock_gettime"][1] - rows["monotonic"][1]) - (
            time.time_ns() - time.monotonic_ns())
        wanted = {"-87600h": -YEARS_NS, "-1.5s": -1.5e9, "90s": 90e9}[offset]
        assert abs(ahead - wanted) < 0.5e9, (offset, ahead)


def a_killed_server_has_the_program_fall_back(_, page):
    program = WATCHER + """
print("ready", flush=True)
import select
watch(lambda a, b: select.select([sys.stdin], [], [], 0)[0])
print(*worst)
"""
    with Server(page, "--max_age=200ms") as server:
        launcher = subprocess.Popen(
            [VVAR, "exec", "--page=" + page, "--", "/usr/bin/python3", "-c",
             program],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert launcher.stdout.readline() == "ready\n"
        server.kill()

        def is_stale():
            return run([VVAR, "now", "--page=" + page]).returncode == 10
        end = time.monotonic() + DEADLINE_S
        while not is_stale():
            assert time.monotonic() < end
        for _ in range(20):
            assert is_stale()
    out, _ = launcher.communicate("\n", timeout=DEADLINE_S)
    assert launcher.returncode == 0
    # 500 ppm, the most that the kernel steers by, of max_age; and the page's
    # own error.
    assert all(int(word) <= 200_000 for word in out.split()), out


def a_page_that_is_stale_is_told_and_the_kernel_answers(folder, page):
    probe = build(folder, "probe", "gcc")
    deny = build(folder, "deny_time", "gcc", source=DENY_SOURCE)
    with Server(page, "--max_age=50ms") as server:
        server.kill()
        end = time.monotonic() + DEADLINE_S
        while run([VVAR, "now", "--page=" + page]).returncode != 10:
            assert time.monotonic() < end
        done = vvar_exec("--page=" + page, "--", probe)
        denied = vvar_exec("-f", "--page=" + page, "--", deny, probe)
    assert "stale" in done.stderr and page in done.stderr, done
    result, ns, in_image = rows_of(done)["clock_gettime"]
    assert (result, in_image) == (0, 1)
    assert abs(ns - time.time_ns()) < DEADLINE_S * 10**9
    assert rows_of(denied)["clock_gettime"][0] == -1, denied


CASES = [
    each_program_has_its_time_from_the_image,
    page_offsets_and_image_are_mapped_in_a_row_and_read_only,
    the_kernels_vdso_stays_for_whoever_unwinds_through_it,
    a_backtrace_leads_out_of_every_instruction,
    status_output_and_input_are_as_without,
    a_program_stops_and_goes_on_when_told,
    who_signals_the_launcher_means_the_program,
    a_program_lives_on_without_its_launcher,
    a_terminal_stops_continues_and_interrupts_the_job,
    with_f_children_have_the_image_however_they_were_made,
    without_f_forks_keep_the_image_and_execs_lose_it,
    anybody_may_run_his_own_programs,
    setuid_programs_are_refused_but_for_root,
    children_of_another_user_and_namespace_have_the_image_too,
    what_cannot_be_done_is_refused_with_the_reason,
    programs_of_32_bits_have_an_image_of_theirs,
    children_have_the_image_of_their_own_kind,
    a_call_that_fails_in_a_child_is_told,
    times_beyond_2038_reach_who_has_the_bits,
    help_says_what_exec_does_and_does_not,
    offsets_of_time_namespaces_are_honoured,
    a_rate_holds_between_updates_too,
    an_offset_moves_realtime_alone,
    a_killed_server_has_the_program_fall_back,
    a_page_that_is_stale_is_told_and_the_kernel_answers,
]


def trace_unless_needless(case):
    if case not in (what_cannot_be_done_is_refused_with_the_reason,
                    help_says_what_exec_does_and_does_not):
        can_trace()


if __name__ == "__main__":
    sys.exit(run_cases(CASES, before=trace_unless_needless))
