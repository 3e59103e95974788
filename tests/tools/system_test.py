#!/usr/bin/python3
"""`vvar system` as a doctor: what it finds where the vDSO, system calls or the
counter are taken away, or somebody else answers.

Prints `CASE name PASSED|FAILED|SKIPPED reason` for each case."""

import json
import os
import shutil
import sys

import programs
from programs import DENY_SOURCE, VVAR, SkipCase, build, can_trace, run

FAKE_CLOCK_SOURCE = sys.argv[4]
WITHOUT_VDSO = sys.argv[5] if len(sys.argv) > 5 else None
SEVERITIES = ["ok", "note", "slow", "wrong"]
DAY_NS = 86400 * 10**9


def system(*within, flags=(), **kwargs):
    """Returns the report, and {topic: finding}."""
    done = run([*within, VVAR, "system", "--format=json", *flags], **kwargs)
    assert done.returncode == 0, (done.returncode, done.stdout, done.stderr)
    report = json.loads(done.stdout)
    return report, {finding["topic"]: finding for finding in report["findings"]}


def clock(report, name):
    return next(row for row in report["clocks"] if row["name"] == name)


def vdso_answers(report):
    """Whether MONOTONIC is read here without a system call."""
    return clock(report, "MONOTONIC")["answered_by"] == "no system call"


def need_vdso():
    if not vdso_answers(system()[0]):
        raise SkipCase("no vDSO that answers here")


# --- cases -------------------------------------------------------------------


def findings_come_most_important_first_each_with_its_reason(_, __):
    report, topics = system()
    found = report["findings"]
    ranks = [SEVERITIES.index(finding["severity"]) for finding in found]
    assert ranks == sorted(ranks, reverse=True), ranks
    assert len(topics) == len(found) >= 3
    for finding in found:
        assert finding["what"], finding
        assert finding["severity"] == "ok" or finding["why"], finding
    assert "%d wrong" % ranks.count(3) in report["summary"], report["summary"]


def text_says_what_json_says(_, __):
    report, _ = system()
    done = run([VVAR, "system"])
    assert done.returncode == 0 and "\033" not in done.stdout
    text = " ".join(done.stdout.split())
    for finding in report["findings"]:
        # Costs are measured anew.
        if not any(digit in finding["what"] for digit in "0123456789"):
            assert finding["what"] in text, (finding["what"], text)
    for line in done.stdout.splitlines():
        assert len(line) < 80, line


def the_exit_status_is_0_unless_asked_for(_, __):
    report, _ = system()
    worst = SEVERITIES.index(report["findings"][0]["severity"])
    for rank, severity in enumerate(SEVERITIES[1:], 1):
        done = run([VVAR, "system", "--fail_on=" + severity])
        assert done.returncode == (12 if worst >= rank else 0), severity
        assert done.stdout
    done = run([VVAR, "system", "--fail_on=ok"])
    assert done.returncode == 2 and "note, slow or wrong" in done.stderr


def without_a_vdso_each_clock_is_slow_and_the_cost_is_told(_, __):
    if WITHOUT_VDSO is None:
        raise SkipCase("made for x86-64")
    can_trace()
    report, topics = system(WITHOUT_VDSO)
    assert topics["vdso"]["severity"] == "slow", topics["vdso"]
    for word in ("MONOTONIC", "times the bare counter"):
        assert word in topics["vdso"]["why"], topics["vdso"]
    if report["counter"]["usable"]:
        assert "vvar exec" in topics["vdso"]["help"], topics["vdso"]
    assert clock(report, "MONOTONIC")["answered_by"] == "system call"


def calls_that_are_refused_are_told_and_nothing_fails(folder, _):
    need_vdso()
    deny = build(folder, "deny", "gcc", source=DENY_SOURCE)
    report, topics = system(deny)
    assert vdso_answers(report)
    assert topics["seccomp"]["severity"] == "note", topics["seccomp"]
    assert "Operation not permitted" in topics["seccomp"]["why"]
    assert report["process"]["clock_gettime_by_syscall"] == "fails"
    assert clock(report, "THREAD_CPUTIME")["error"] == "Operation not permitted"


def clocks_that_cannot_be_read_at_all_are_wrong(folder, _):
    if WITHOUT_VDSO is None:
        raise SkipCase("made for x86-64")
    can_trace()
    deny = build(folder, "deny", "gcc", source=DENY_SOURCE)
    report, topics = system(deny, WITHOUT_VDSO)
    assert topics["seccomp"]["severity"] == "wrong", topics["seccomp"]
    assert topics["vdso"]["severity"] == "slow", topics["vdso"]
    assert "error" in clock(report, "MONOTONIC")


def calls_that_kill_are_told_and_kill_nobody(folder, _):
    need_vdso()
    deny = build(folder, "kill", "gcc", "-DVERDICT=SECCOMP_RET_KILL_PROCESS",
                 source=DENY_SOURCE)
    report, topics = system(deny)
    assert vdso_answers(report)
    assert clock(report, "MONOTONIC")["libc_ns"] > 0
    assert "kills" in topics["seccomp"]["why"], topics["seccomp"]
    assert "kills" in clock(report, "THREAD_CPUTIME")["error"]


def somebody_elses_clock_is_named_and_its_distance_told(folder, _):
    library = build(folder, "fake_clock.so", "gcc", "-shared", "-fPIC",
                    source=FAKE_CLOCK_SOURCE)
    report, topics = system(env=dict(os.environ, LD_PRELOAD=library))
    if "interposer" not in topics:
        raise SkipCase("a static vvar")
    assert topics["interposer"]["severity"] == "slow", topics
    assert library in topics["interposer"]["what"]
    assert topics["agreement"]["severity"] == "wrong", topics
    assert "24h" in topics["agreement"]["what"]
    ahead_ns = report["process"]["realtime_ahead_ns"]
    assert abs(ahead_ns - DAY_NS) < DAY_NS / 24, ahead_ns


def under_exec_the_page_is_named_and_another_time_is_no_error(_, __):
    can_trace()
    report, topics = system(VVAR, "exec", "--")
    assert topics["image"]["severity"] == "ok", topics
    assert report["process"]["image"] == "exec"
    assert vdso_answers(report) and "agreement" not in topics
    _, topics = system(VVAR, "exec", "--offset=24h", "--")
    assert topics["agreement"]["severity"] == "note", topics
    assert "ahead of" in topics["agreement"]["what"]


def a_time_namespace_is_told_with_its_offsets(_, __):
    away = ["unshare", "--time", "--monotonic", "1000000", "--boottime", "5"]
    probe = run([*away, "true"])
    if probe.returncode != 0:
        raise SkipCase("no time namespace here: " + probe.stderr.strip())
    report, topics = system(*away)
    assert "277h46m40s" in topics["time_namespace"]["what"], topics
    assert report["process"]["boottime_offset_ns"] == 5 * 10**9


def a_tracer_is_named(_, __):
    if not shutil.which("strace"):
        raise SkipCase("no strace")
    can_trace()
    _, topics = system("strace", "-o", "/dev/null")
    assert "traced by strace" in topics["tracer"]["what"], topics


sys.exit(programs.run_cases([
    findings_come_most_important_first_each_with_its_reason,
    text_says_what_json_says,
    the_exit_status_is_0_unless_asked_for,
    without_a_vdso_each_clock_is_slow_and_the_cost_is_told,
    calls_that_are_refused_are_told_and_nothing_fails,
    clocks_that_cannot_be_read_at_all_are_wrong,
    calls_that_kill_are_told_and_kill_nobody,
    somebody_elses_clock_is_named_and_its_distance_told,
    under_exec_the_page_is_named_and_another_time_is_no_error,
    a_time_namespace_is_told_with_its_offsets,
    a_tracer_is_named,
]))
