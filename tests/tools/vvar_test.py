#!/usr/bin/python3
"""Runs the `vvar` binary as a person or a script would: exit codes, messages,
JSON reports, and a page whose server is stopped, continued, killed, replaced.

Prints `CASE name PASSED|FAILED reason` for each case."""

import json
import os
import pathlib
import re
import signal
import socket
import struct
import subprocess
import sys
import time

sys.path.insert(1, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import refused_counter  # pylint: disable=wrong-import-position
import programs  # pylint: disable=wrong-import-position
from programs import DEADLINE_S, VVAR, Server, SkipCase

CLOCKS = ["realtime", "monotonic", "monotonic_raw", "boottime", "tai",
          "realtime_coarse", "monotonic_coarse"]


def run(*words, within=()):
    """`within`: a command that runs another, such as unshare."""
    return programs.run([*within, VVAR, *words])


def report(*words, within=()):
    done = run(*words, "--format=json", within=within)
    return done.returncode, json.loads(done.stdout)


def wait_for(condition, what):
    """Polls until condition() holds; each poll starts a process, so this is no
    busy loop."""
    end = time.monotonic() + DEADLINE_S
    while time.monotonic() < end:
        if condition():
            return
    raise AssertionError("never happened: " + what)


def check_error(done, code, *words):
    assert done.returncode == code, (done.returncode, code, done.stderr)
    for word in words:
        assert word in done.stderr, (word, done.stderr)


# --- cases -------------------------------------------------------------------


def help_names_every_command_and_exit_code(_, __):
    done = run("--help")
    assert done.returncode == 0
    for word in ["serve", "now", "watch", "dump", "system", "--page", "--tick",
                 "--format", "--clock", "--seconds", "--max_age",
                 "--reference", "--max_error_from", "--fail_on"] + CLOCKS:
        assert word in done.stdout, word
    for code in range(13):
        assert " %d  " % code in done.stdout, code


def version_is_told_with_the_pages(_, __):
    done = run("serve", "--version")
    assert done.returncode == 0 and not done.stderr
    assert re.fullmatch(r"vvar \d+\.\d+\.\d+, page ABI 2\.0\n", done.stdout), done


def wrong_usage_is_told_with_the_value_and_what_was_expected(_, page):
    check_error(run(), 2, "no command", "serve")
    check_error(run("sing"), 2, "sing", "serve")
    check_error(run("now", "extra"), 2, "extra")
    check_error(run("now", "--format=xml"), 2, "xml", "json")
    check_error(run("now", "--clock=sundial"), 2, "sundial", "realtime")
    check_error(run("serve"), 2, "--page")
    check_error(run("watch"), 2, "--page")
    check_error(run("dump"), 2, "--page")
    check_error(run("serve", "--page=" + page, "--tick=1us"), 2, "tick", "1us",
                "100us")
    check_error(run("serve", "--page=" + page, "--max_age=1ms"), 2, "max_age",
                "4 ticks")
    check_error(run("watch", "--page=" + page, "--seconds=-1"), 2, "-1")
    check_error(run("system", "--fail_on=all"), 2, "all", "slow")
    serve = ("serve", "--page=" + page)
    check_error(run(*serve, "--reference=sundial"), 2, "sundial", "kernel-vvar",
                "/dev/ptpN")
    check_error(run(*serve, "--reference=/dev/ptp-none"), 2, "/dev/ptp-none",
                "No such file")
    check_error(run(*serve, "--reference=/dev/null"), 2, "/dev/null",
                "PTP_SYS_OFFSET_PRECISE", "Inappropriate ioctl")
    check_error(run(*serve, "--on_step=ignore"), 2, "ignore", "refuse")
    check_error(run(*serve, "--on_leap=skip"), 2, "skip", "smear")
    check_error(run(*serve, "--max_error_from=ntp"), 2, "ntp", "chrony:PORT")
    check_error(run(*serve, "--max_error_from=chronyd"), 2, "chronyd", "chrony")
    check_error(run(*serve, "--max_error_from=chrony:65536"), 2, "65536",
                "1 to 65535")
    check_error(run(*serve, "--max_error_from=chrony",
                    "--reference=/dev/ptp0"), 2, "system clock", "kernel-vvar")
    assert not os.path.exists(page)


def six_pages_that_cannot_be_read_give_six_errors_and_exit_codes(_, page):
    with Server(page) as server:
        server.send(signal.SIGTERM)
        assert server.process.wait(DEADLINE_S) == 0
    good = open(page, "rb").read()

    def written(data):
        with open(page, "wb") as file:
            file.write(data)
        return run("now", "--page=" + page)

    def with_word(offset, value):
        return written(good[:offset] + struct.pack("=I", value) +
                       good[offset + 4:])

    assert written(good).returncode in (0, 10)
    missing = run("now", "--page=" + page + ".none")
    check_error(missing, 3, page + ".none", "No such file")
    check_error(written(b""), 4, page, "empty")
    check_error(written(bytes(4096)), 4, page, "empty")
    check_error(written(good[:100]), 5, page, "truncated", "100", "4096")
    check_error(written(b"\x7fELF" * 1024), 6, page, "foreign", "0x464c457f",
                "0x52415656")
    check_error(with_word(8, 3), 7, page, "ABI major 3", "expected 2")
    check_error(with_word(20, 77), 8, page, "counter 77")


def a_reader_without_permission_is_told_so(_, page):
    if os.geteuid() != 0:
        raise SkipCase("needs root, to become somebody else")
    with Server(page):
        os.chmod(page, 0o600)
        pid = os.fork()
        if pid == 0:
            # Through a descriptor: the binary's folder may be closed to others.
            binary = os.open(VVAR, os.O_RDONLY)
            output = os.open(page + ".err", os.O_WRONLY | os.O_CREAT, 0o600)
            os.dup2(output, 2)
            try:
                os.setuid(65534)
            except OSError:
                os._exit(99)
            os.execve(binary, [VVAR, "now", "--page=" + page], {})
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if status == 99:
        raise SkipCase("this sandbox has no other user to become")
    done = subprocess.CompletedProcess([], status, "",
                                       open(page + ".err").read())
    check_error(done, 9, page, "Permission denied")


def now_without_a_page_is_answered_by_the_system(_, __):
    code, now = report("now")
    assert code == 0
    assert [clock["id"] for clock in now["clocks"]] == CLOCKS
    assert all(clock["leg"] in ("vdso", "syscall") for clock in now["clocks"])
    before = time.time_ns()
    _, now = report("now", "--clock=realtime")
    realtime = now["clocks"][0]
    assert before <= realtime["sec"] * 10**9 + realtime["nsec"]
    assert realtime["sec"] * 10**9 + realtime["nsec"] <= time.time_ns()


def now_tells_the_time_where_the_counter_is_refused(_, page):
    if not refused_counter.can_be_refused():
        raise SkipCase("no PR_SET_TSC on this architecture or kernel")
    folder = os.path.dirname(page)
    done = subprocess.run([VVAR, "now", "--format=json"], capture_output=True,
                          text=True, timeout=DEADLINE_S,
                          env=refused_counter.environment(folder))
    assert done.returncode == 0, (done.returncode, done.stderr)
    for row in json.loads(done.stdout)["clocks"]:
        assert row["leg"] == "syscall" and row["error"] == 0, row


def now_with_a_page_is_answered_by_the_page_and_lies_in_the_bracket(_, page):
    with Server(page) as server:
        assert server.start["page"] == page
        assert server.start["counter_hz"] > 0
        for name, clock_id in [("realtime", time.CLOCK_REALTIME),
                               ("monotonic", time.CLOCK_MONOTONIC),
                               ("boottime", time.CLOCK_BOOTTIME)]:
            before = time.clock_gettime_ns(clock_id)
            code, now = report("now", "--page=" + page, "--clock=" + name)
            after = time.clock_gettime_ns(clock_id)
            assert code == 0
            clock = now["clocks"][0]
            assert clock["leg"] == "page", clock
            assert before <= clock["sec"] * 10**9 + clock["nsec"] <= after
            assert clock["bound_ns"] > 0
            assert clock["status"] in ("synchronised", "unsynchronised")


def the_kernels_parameters_are_followed_or_refused_with_the_reason(_, page):
    with Server(page, "--reference=kernel-vvar") as server:
        name, why = (server.start[key] for key in ("reference",
                                                   "reference_note"))
        assert (name, why) == ("kernel vvar", "") or (
            name == "kernel clock" and why), (name, why)
        code, seen = report("watch", "--page=" + page, "--seconds=1")
    assert code == 0
    for clock in seen["clocks"]:
        assert clock["backward_steps"] == 0, clock


def without_chronyd_the_kernel_bounds_the_error(_, page):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with Server(page, "--max_error_from=chrony:%d" % port) as server:
        assert server.start["max_error_from"].endswith("127.0.0.1:%d" % port)
        assert "Connection refused" in server.start["max_error_note"]
        assert report("now", "--page=" + page)[0] == 0


def watch_reports_every_clock_without_backward_steps(_, page):
    with Server(page):
        code, seen = report("watch", "--page=" + page, "--seconds=1")
    assert code == 0
    assert [clock["id"] for clock in seen["clocks"]] == CLOCKS
    for clock in seen["clocks"]:
        assert clock["backward_steps"] == 0, clock
        assert clock["samples"] > 0 and clock["ns_per_read"] > 0, clock
        assert clock["offset_p50_ns"] <= clock["offset_p99_ns"], clock
        assert clock["offset_p99_ns"] <= clock["offset_max_ns"], clock
        assert clock["status"] == "ok", clock
    assert seen["leg"] == "page" and seen["bound_ns"] > 0
    assert seen["seconds"] >= 1 and seen["age_ns"] >= 0


def a_page_agrees_with_the_kernel_of_each_time_namespace(_, page):
    away = ["unshare", "--time", "--monotonic", "1000000", "--boottime", "5"]
    second = 10**9
    probe = subprocess.run([*away, "true"], capture_output=True, text=True)
    if probe.returncode != 0:
        raise SkipCase("no time namespace here: " + probe.stderr.strip())

    def check(within, ahead_s):
        for name, clock_id in [("monotonic", time.CLOCK_MONOTONIC),
                               ("monotonic_raw", time.CLOCK_MONOTONIC_RAW),
                               ("boottime", time.CLOCK_BOOTTIME),
                               ("tai", time.CLOCK_TAI)]:
            ahead_ns = ahead_s.get(name, 0) * second
            before = time.clock_gettime_ns(clock_id) + ahead_ns
            code, now = report("now", "--page=" + page, "--clock=" + name,
                               within=within)
            after = time.clock_gettime_ns(clock_id) + ahead_ns
            clock = now["clocks"][0]
            assert code == 0 and clock["leg"] == "page", clock
            assert before <= clock["sec"] * second + clock["nsec"] <= after
        code, seen = report("watch", "--page=" + page, "--seconds=0.2",
                            within=within)
        assert code == 0 and seen["leg"] == "page"
        for clock in seen["clocks"]:
            assert clock["status"] == "ok", clock
            # Of a coarse one, its lag. An offset is 5 s at least.
            assert clock["offset_max_ns"] < 4 * second, clock

    inside = {"monotonic": 10**6, "monotonic_raw": 10**6, "boottime": 5}
    with Server(page):
        check([], {})
        check(away, inside)
    with Server(page, within=away):
        check([], {})
        check(away, inside)


def dump_shows_every_field(_, page):
    with Server(page):
        code, dump = report("dump", "--page=" + page)
        assert run("dump", "--page=" + page).returncode == 0
    assert code == 0
    assert dump["header"]["magic"] == "0x52415656"
    assert dump["header"]["timeline_count"] == len(dump["timeline"]) == 1
    timeline = dump["timeline"][0]
    assert timeline["seq"] % 2 == 0 and len(timeline["slot"]) == 2
    slot = timeline["slot"][timeline["current_slot"]]
    assert slot["mult"] > 0 and slot["shift"] <= 34
    assert 0 <= slot["realtime"]["nsec"] < 10**9


def system_says_what_each_clock_costs_and_who_answers(_, __):
    code, system = report("system")
    assert code == 0
    assert run("system").returncode == 0
    names = [clock["name"] for clock in system["clocks"]]
    assert "REALTIME" in names and "MONOTONIC" in names
    for clock in system["clocks"]:
        assert "error" in clock or clock["libc_ns"] > 0, clock
    if system["vdso"]["status"] == "found":
        assert any("clock_gettime" in symbol["name"]
                   for symbol in system["vdso"]["symbols"])


def sigterm_leaves_a_clean_page(_, page):
    with Server(page) as server:
        server.send(signal.SIGTERM)
        end = server.read_object()
        assert server.process.wait(DEADLINE_S) == 0
    assert end["ticks"] >= 0
    _, dump = report("dump", "--page=" + page)
    timeline = dump["timeline"][0]
    assert timeline["writer_id"] == 0 and not timeline["update_under_way"]


def a_second_live_server_is_refused(_, page):
    with Server(page):
        check_error(run("serve", "--page=" + page), 11, page, "another writer")


def a_foreign_file_is_refused_and_left_alone(_, page):
    with open(page, "wb") as file:
        file.write(b"precious" * 512)
    check_error(run("serve", "--page=" + page), 6, page, "foreign")
    assert open(page, "rb").read() == b"precious" * 512


def a_stopped_server_goes_stale_and_comes_back(_, page):
    with Server(page, "--max_age=200ms") as server:
        server.send(signal.SIGSTOP)
        wait_for(lambda: report("now", "--page=" + page)[0] == 10, "stale")
        done = run("now", "--page=" + page, "--format=json")
        assert "stale, age" in done.stderr, done.stderr
        clock = json.loads(done.stdout)["clocks"][0]
        assert clock["leg"] in ("vdso", "syscall"), clock
        assert clock["page_status"] == "stale", clock
        server.send(signal.SIGCONT)
        wait_for(lambda: report("now", "--page=" + page)[0] == 0, "back")


def readers_go_on_across_a_killed_and_a_new_server(_, page):
    first = Server(page)
    watcher = subprocess.Popen(
        [VVAR, "watch", "--page=" + page, "--seconds=4", "--format=json"],
        stdout=subprocess.PIPE, text=True)
    _, before = report("dump", "--page=" + page)
    for _ in range(3):
        first.send(signal.SIGKILL)
        first.process.wait()
        first.process.stdout.close()
        first = Server(page)
        assert first.start["continued"]
    with first:
        text, _ = watcher.communicate(timeout=DEADLINE_S)
        _, after = report("dump", "--page=" + page)
    seen = json.loads(text)
    assert watcher.returncode == 0
    for clock in seen["clocks"]:
        assert clock["backward_steps"] == 0, clock
    assert before["header"]["instance_id"] == after["header"]["instance_id"]
    old, new = before["timeline"][0]["seq"], after["timeline"][0]["seq"]
    assert 0 < (new - old) % 2**32 < 2**31, (old, new)


CASES = [
    help_names_every_command_and_exit_code,
    version_is_told_with_the_pages,
    wrong_usage_is_told_with_the_value_and_what_was_expected,
    six_pages_that_cannot_be_read_give_six_errors_and_exit_codes,
    a_reader_without_permission_is_told_so,
    now_without_a_page_is_answered_by_the_system,
    now_tells_the_time_where_the_counter_is_refused,
    now_with_a_page_is_answered_by_the_page_and_lies_in_the_bracket,
    the_kernels_parameters_are_followed_or_refused_with_the_reason,
    without_chronyd_the_kernel_bounds_the_error,
    watch_reports_every_clock_without_backward_steps,
    a_page_agrees_with_the_kernel_of_each_time_namespace,
    dump_shows_every_field,
    system_says_what_each_clock_costs_and_who_answers,
    sigterm_leaves_a_clean_page,
    a_second_live_server_is_refused,
    a_foreign_file_is_refused_and_left_alone,
    a_stopped_server_goes_stale_and_comes_back,
    readers_go_on_across_a_killed_and_a_new_server,
]


if __name__ == "__main__":
    sys.exit(programs.run_cases(CASES))
