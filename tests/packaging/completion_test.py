#!/usr/bin/env python3
"""packaging/vvar.bash, asked as bash asks it, and at a terminal.

    VVAR=<the binary> tests/packaging/completion_test.py [root of a tree]
"""

import os
import pty
import re
import select
import signal
import tempfile

import packages
from packages import house, run

SCRIPT = house.ROOT / "packaging/vvar.bash"
# What is said of `vvar $line` with the cursor at its end. As bash splits it:
# words end at each of COMP_WORDBREAKS, which are words of their own.
ASK = r"""
source "$1"
line="vvar $2"
if [[ $3 == whole ]]; then COMP_WORDBREAKS=$' \t\n'; fi
COMP_LINE=$line COMP_POINT=${#line}
_vvar
printf '%s\n' "${COMPREPLY[@]}"
"""


def completions(line, words="broken"):
  return set(run("bash", "-c", ASK, "bash", SCRIPT, line, words).split())


ROWS = [
    ("", {"serve", "exec", "help", "--help", "--version"}, {"--page="}),
    ("se", {"serve"}, {"exec"}),
    ("serve ", {"--page=", "--tick=", "--on_leap="}, {"serve", "--clock="}),
    ("serve --on", {"--on_step=", "--on_leap="}, {"--page="}),
    ("serve --page=now --t", {"--tick="}, {"--clock="}),
    ("--format=json now --c", {"--clock="}, {"--format="}),
    ("now --clock=mono", {"monotonic", "monotonic_raw", "monotonic_coarse"},
     {"realtime"}),
    ("now --format=", {"text", "json"}, {"kernel"}),
    ("serve --reference=kernel", {"kernel", "kernel-vvar"}, {"chrony"}),
    ("serve --max_error_from=chrony:", {"/run/chrony/chronyd.sock"},
     {"kernel", "chrony:"}),
    ("serve --on_step=", {"follow", "slew", "refuse"}, {"smear"}),
    ("serve --on_leap=", {"step", "smear"}, {"slew"}),
    ("attach ", {"--pid=", "--detach"}, {"--tick="}),
    ("attach --pid=", {str(os.getpid())}, {"self"}),
    ("exec ", {"-f", "--offset=", "--rate=", "--"}, {"--clock="}),
    ("exec -f -- ba", {"bash"}, {"--page="}),
    ("help ", {"exec", "attach"}, {"serve"}),
    ("sing ", {"serve"}, {"--page="}),
]


@house.case
def completes(look):
  for line, wanted, unwanted in look.at(ROWS, "lines"):
    got = completions(line)
    if not wanted <= got or unwanted & got:
      look.problem("vvar " + line, "got %s" % sorted(got))


@house.case
def completes_where_words_do_not_break(look):
  """Some have taken `=` and `:` out of COMP_WORDBREAKS."""
  for line, wanted in look.at((
      ("now --format=j", {"--format=json"}),
      ("serve --max_error_from=chrony:/",
       {"--max_error_from=chrony:/run/chrony/chronyd.sock"})), "lines"):
    if completions(line, "whole") != wanted:
      look.problem("vvar " + line, sorted(completions(line, "whole")))


@house.case
def completes_pages(look):
  with tempfile.NamedTemporaryFile(dir="/dev/shm",
                                   prefix="vvar.completion-") as page:
    name = os.path.basename(page.name)[len("vvar."):]
    for command in look.at(("now", "serve", "watch", "dump", "exec", "attach"),
                           "commands"):
      if completions("%s --page=%s" % (command, name[:-2])) != {name}:
        look.problem(command, "no page " + name)


@house.case
def expands_nothing(look):
  """A page's name is anybody's to choose. (A file's has no slash of its own.)"""
  with tempfile.TemporaryDirectory() as folder:
    proof = os.path.join(folder, "proof")
    name = "completion-$(touch ${TMPDIR}${PWD::1}proof)"
    with open("/dev/shm/vvar." + name, "wb"):
      pass
    try:
      got = run("bash", "-c", ASK, "bash", SCRIPT, "now --page=completion-$",
                "broken", env={"TMPDIR": folder})
    finally:
      os.remove("/dev/shm/vvar." + name)
    for text in look.at([got], "lists"):
      if os.path.exists(proof) or "touch" in text:
        look.problem(name, "is expanded, or offered: %s" % text)


@house.case
def completes_all_that_help_names(look):
  """And nothing else."""
  known = packages.help_of_vvar()
  commands = {word for word in completions("") if not word.startswith("-")}
  flags = {"--version"}
  for command in commands:
    flags |= {word.rstrip("=") for word in completions(command + " -")}
  flags.discard("--")
  for what, got, wanted in look.at((
      ("commands", commands, known.commands | {"help"}),
      ("flags", flags, known.flags)), "lists"):
    if got != wanted:
      look.problem(what, "differ by %s" % sorted(got ^ wanted))


@house.case
def completes_at_a_terminal(look):
  """What readline makes of it."""
  pid, terminal = pty.fork()
  if pid == 0:
    os.execvp("bash", ["bash", "--norc", "--noprofile", "-i"])
  try:
    os.write(terminal, b"PS1=; bind 'set enable-bracketed-paste off'\n"
                       b"source '%s'; echo rea''dy\n" % os.fsencode(SCRIPT))
    await_output(terminal, rb"ready\r\n")
    os.write(terminal, b"vvar se\t--on_l\tsm\t")
    await_output(terminal, rb"vvar serve --on_leap=smear ")
    look.count = 1
  finally:
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    os.close(terminal)


def await_output(terminal, pattern):
  text = b""
  while not re.search(pattern, text):
    if not select.select([terminal], [], [], 60)[0]:
      raise RuntimeError("the terminal shows only %s" % text)
    text += os.read(terminal, 4096)


house.run()
