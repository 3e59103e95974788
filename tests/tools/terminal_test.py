#!/usr/bin/python3
"""What `vvar watch` and `vvar system` draw on terminals of some widths, and what
they leave behind.

Prints `CASE name PASSED|FAILED|SKIPPED reason` for each case."""

import fcntl
import os
import pty
import re
import select
import signal
import struct
import sys
import termios
import time

import programs
from programs import DEADLINE_S, VVAR, Server, run

WIDTHS = [40, 60, 80, 120]
ESCAPE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
# To where the last drawing began: its first line, or the terminal's.
FRAME = re.compile(r"\x1b\[\d+A\r|\x1b\[H\x1b\[J")


class Terminal:
    """A program on a terminal of its own."""

    def __init__(self, words, columns, rows=30, **env):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            fcntl.ioctl(0, termios.TIOCSWINSZ, self.size(columns, rows))
            base = {"PATH": os.environ["PATH"], "TERM": "xterm"}
            os.execve(words[0], words, {**base, "LC_ALL": "C.UTF-8", **env})
        self.text = ""

    @staticmethod
    def size(columns, rows):
        return struct.pack("HHHH", rows, columns, 0, 0)

    def resize(self, columns, rows=30):
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, self.size(columns, rows))

    def read(self):
        """Reads what there is; False at the end."""
        ready, _, _ = select.select([self.fd], [], [], DEADLINE_S)
        assert ready, "silent: " + self.text
        try:
            data = os.read(self.fd, 65536)
        except OSError:  # The other side is closed.
            return False
        self.text += data.decode()
        return bool(data)

    def read_frames(self, count):
        """Reads until that many more drawings are complete."""
        end = time.monotonic() + DEADLINE_S
        wanted = len(self.frames()) + count
        while len(self.frames()) < wanted:
            assert time.monotonic() < end and self.read(), self.text

    def frames(self):
        """Each drawing that is complete, as lines without escapes."""
        frames = FRAME.split(self.text.replace("^C", ""))
        whole = [frame for frame in frames if frame.endswith("\x1b[J")]
        return [ESCAPE.sub("", frame).splitlines() for frame in whole]

    def interrupt(self):
        os.write(self.fd, b"\x03")
        return self.wait()

    def wait(self):
        while self.read():
            pass
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])

    def __enter__(self):
        return self

    def __exit__(self, *_):
        try:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        except (ProcessLookupError, ChildProcessError):
            pass
        os.close(self.fd)


def watch(page, columns, rows=30, **env):
    return Terminal([VVAR, "watch", "--page=" + page, "--seconds=0"], columns,
                    rows, **env)


# --- cases -------------------------------------------------------------------


def no_line_of_watch_is_wider_than_the_terminal(_, page):
    with Server(page):
        for columns in WIDTHS:
            with watch(page, columns) as terminal:
                terminal.read_frames(2)
                assert terminal.interrupt() == 0
                frames = terminal.frames()
            assert len(frames) >= 3, terminal.text
            for lines in frames:
                assert lines[0].startswith("clock "), lines
                assert "|offset|" in lines[0] and "ns/read" in lines[0], lines
                assert any(line.startswith("monotonic_coarse ")
                           for line in lines), lines
                for line in lines:
                    assert len(line) < columns, (columns, line)
            assert ("samples" in frames[-1][0]) == (columns >= 80), frames[-1]
            assert any("█" in line for line in frames[-1]), frames[-1]


def a_terminal_of_few_rows_is_not_overrun(_, page):
    with Server(page), watch(page, 40, rows=6) as terminal:
        terminal.read_frames(2)
        assert terminal.interrupt() == 0
        assert all(len(lines) == 5 for lines in terminal.frames())


def what_is_resized_is_drawn_anew_in_the_new_width(_, page):
    with Server(page), watch(page, 120) as terminal:
        terminal.read_frames(1)
        assert "status" in terminal.frames()[-1][0]
        terminal.resize(40)
        terminal.read_frames(2)
        assert "\x1b[H\x1b[J" in terminal.text
        assert terminal.interrupt() == 0
        assert all(len(line) < 40 for line in terminal.frames()[-1])


def who_was_stopped_draws_below_what_the_shell_wrote(_, page):
    with Server(page), watch(page, 60) as terminal:
        terminal.read_frames(2)
        seen = len(terminal.text)
        os.kill(terminal.pid, signal.SIGSTOP)
        os.waitpid(terminal.pid, os.WUNTRACED)
        os.kill(terminal.pid, signal.SIGCONT)
        # A drawing that goes up to nothing.
        while "\x1b[J\x1b[2K" not in terminal.text[seen - 3:]:
            assert terminal.read(), terminal.text
        assert terminal.interrupt() == 0


def nothing_is_left_on_the_terminal_but_the_last_table(_, page):
    """Neither a colour, nor a hidden cursor, nor another screen, nor the ^C."""
    with Server(page), watch(page, 80) as terminal:
        before = termios.tcgetattr(terminal.fd)
        terminal.read_frames(1)
        assert termios.tcgetattr(terminal.fd) == before
        assert terminal.interrupt() == 0
        text = terminal.text
        assert text.endswith("\r\n\x1b[J"), repr(text[-40:])
        # Switches of modes, all of which begin with a question mark.
        assert "\x1b[?" not in text
        assert text.count("\x1b[0m") == text.count("\x1b[1m") + text.count(
            "\x1b[1;31m"), repr(text)


def no_color_and_ascii_are_honoured(_, page):
    with Server(page):
        with watch(page, 80) as coloured:
            coloured.read_frames(1)
        assert re.search(r"\x1b\[[0-9;]*m", coloured.text)
        with watch(page, 80, NO_COLOR="1", LC_ALL="C") as plain:
            plain.read_frames(1)
        assert not re.search(r"\x1b\[[0-9;]*m", plain.text)
        assert plain.text.isascii(), plain.text


def what_is_piped_or_dumb_has_no_escapes_and_the_lines_of_scripts(_, page):
    with Server(page):
        piped = run([VVAR, "watch", "--page=" + page, "--seconds=0.1"]).stdout
        with Terminal([VVAR, "watch", "--page=" + page, "--seconds=0.1"], 40,
                      TERM="dumb") as dumb:
            assert dumb.wait() == 0
    for text in (piped, dumb.text.replace("\r\n", "\n")):
        assert "\x1b" not in text and text.isascii(), text
        lines = text.splitlines()
        assert len(lines) == 9, text
        assert lines[0].split() == ["clock", "ns/read", "|offset|", "p99",
                                    "max", "backward", "samples", "status"]
        assert lines[8].startswith("t=0s  answered by page (page ok), age ")


def system_fits_the_terminal_too(_, __):
    for columns in WIDTHS:
        with Terminal([VVAR, "system"], columns) as terminal:
            assert terminal.wait() == 0
            for line in ESCAPE.sub("", terminal.text).splitlines():
                assert len(line) < columns, (columns, line)
            assert "\x1b[" in terminal.text


sys.exit(programs.run_cases([
    no_line_of_watch_is_wider_than_the_terminal,
    a_terminal_of_few_rows_is_not_overrun,
    what_is_resized_is_drawn_anew_in_the_new_width,
    who_was_stopped_draws_below_what_the_shell_wrote,
    nothing_is_left_on_the_terminal_but_the_last_table,
    no_color_and_ascii_are_honoured,
    what_is_piped_or_dumb_has_no_escapes_and_the_lines_of_scripts,
    system_fits_the_terminal_too,
]))
