#!/usr/bin/env python3
"""`vvar serve` as a service: what it tells the manager, what the unit allows it,
and what readers see when it is killed and restarted.

    VVAR=<the binary> STEADY_READER=<the other> tests/packaging/service_test.py
"""

import contextlib
import os
import pathlib
import re
import signal
import socket
import struct
import subprocess
import tempfile

import packages
from packages import house, run

UNIT = house.read("packaging/vvar@.service")
# In a test's own folder: no name in /dev/shm that somebody else could have.
_folder = tempfile.TemporaryDirectory(dir="/dev/shm")
FOLDER = pathlib.Path(_folder.name)


class Manager:
  """Who listens on a NOTIFY_SOCKET."""

  def __init__(self, address):
    self.address = str(address)
    self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
    self.socket.settimeout(packages.DEADLINE_S)
    self.socket.bind("\0" + self.address[1:] if self.address[0] == "@" else
                     self.address)

  def next(self):
    """Returns (pid, {key: value}) of the next datagram."""
    text, extra, _, _ = self.socket.recvmsg(4096, socket.CMSG_SPACE(12))
    pid = struct.unpack("iII", extra[0][2])[0]
    return pid, dict(line.split("=", 1) for line in text.decode().split("\n"))

  def until(self, key):
    """Returns the datagrams up to the one with a key, and that one's pid."""
    seen = []
    while not seen or key not in seen[-1]:
      pid, message = self.next()
      seen.append(message)
    return seen, pid


@contextlib.contextmanager
def serving(page, env, before=()):
  """A server, which a case may end by itself."""
  process = subprocess.Popen(
      [*before, str(packages.vvar()), "serve", "--page=%s" % page],
      stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
      env={**{name: value for name, value in os.environ.items()
              if not re.match("NOTIFY_|WATCHDOG_", name)}, **env})
  try:
    yield process
  finally:
    process.kill()
    process.communicate()


def ended(process):
  """Returns what a server that is told to stop has said on stderr."""
  process.send_signal(signal.SIGTERM)
  _, stderr = process.communicate(timeout=packages.DEADLINE_S)
  if process.returncode != 0:
    raise RuntimeError("exit %d: %s" % (process.returncode, stderr))
  return stderr


def await_page(page):
  """Returns when a page can be read."""
  while subprocess.run([packages.vvar(), "now", "--page=%s" % page],
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                       check=False).returncode != 0:
    pass


@house.case
def readiness_is_told(look):
  """On a socket with a path and on one without; ready is who can be read."""
  for number, address in look.at(enumerate(
      (FOLDER / "notify", "@%s/notify" % FOLDER)), "sockets"):
    manager, page = Manager(address), FOLDER / ("ready%d" % number)
    with serving(page, {"NOTIFY_SOCKET": manager.address}) as server:
      seen, pid = manager.until("READY")
      run(packages.vvar(), "now", "--page=%s" % page)
      stderr = ended(server)
      seen += manager.until("STOPPING")[0]
    if (pid != server.pid or seen[0]["READY"] != "1" or
        str(page) not in seen[0]["STATUS"] or seen[-1]["STOPPING"] != "1" or
        len(seen) != 2 or stderr):
      look.problem(address, "%s of %s, %s" % (seen, pid, stderr))


@house.case
def without_a_manager_nothing_is_told(look):
  packages.need("strace")
  trace = packages.folder("silent")
  with serving(FOLDER / "silent", {},
               ("strace", "-D", "-o", str(trace), "-e", "network")) as server:
    await_page(FOLDER / "silent")
    stderr = ended(server)
  for text in look.at([trace.read_text()], "traces"):
    if "socket(" in text or "+++ exited" not in text or stderr:
      look.problem("strace", text + stderr)


@house.case
def a_bad_socket_stops_nobody(look):
  full = Manager(FOLDER / "full")
  full.socket.setblocking(False)
  with contextlib.suppress(BlockingIOError):
    filler = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    filler.setblocking(False)
    while True:
      filler.sendto(b"x", full.address)
  long = "/" + "x" * 108
  for number, (address, words) in look.at(enumerate((
      (str(FOLDER / "none"), "No such file"),
      (str(house.ROOT / "LICENSE"), "Connection refused"),
      ("notify", "expected a path or @name"),
      ("@", "expected a path or @name"),
      (long, "expected a path or @name of less than 108 bytes"),
      (full.address, "somebody reads"))), "sockets"):
    page = FOLDER / ("bad%d" % number)
    with serving(page, {"NOTIFY_SOCKET": address}) as server:
      line = server.stderr.readline()
      await_page(page)
      line += ended(server)
    if line.count("\n") != 1 or "NOTIFY_SOCKET=" + address not in line or \
        words not in line:
      look.problem(address, "said " + line)


@house.case
def the_watchdog_is_fed_by_ticks(look):
  manager = Manager(FOLDER / "watchdog")
  env = {"NOTIFY_SOCKET": manager.address, "WATCHDOG_USEC": "2"}
  with serving(FOLDER / "fed", env) as server:
    manager.until("READY")
    for _ in range(5):
      manager.until("WATCHDOG")
    # Another process's, and none that is a time.
  for more, words in look.at((({"WATCHDOG_PID": "1"}, ""),
                              ({"WATCHDOG_USEC": "soon"}, "soon"),
                              ({"WATCHDOG_USEC": "0"}, "WATCHDOG_USEC=0"),
                              ({"WATCHDOG_USEC": str(2**60)}, "expected")),
                             "environments"):
    with serving(FOLDER / "unfed", {**env, **more}) as server:
      manager.until("READY")
      await_page(FOLDER / "unfed")
      stderr = ended(server)
      seen, _ = manager.until("STOPPING")
    if len(seen) != 1 or words not in stderr or bool(words) != bool(stderr):
      look.problem(more, "%s, %s" % (seen, stderr))


@house.case
def readers_notice_no_restart(look):
  """A plain supervisor, a server that is killed five times, and a reader of one
  page: no read goes back, and none is answered by somebody else."""
  page, manager = FOLDER / "supervised", Manager(FOLDER / "supervisor")
  # What is old depends on how busy this machine is.
  loop = 'until "$@"; do :; done'
  supervisor = subprocess.Popen(
      ["bash", "-c", loop, "supervisor", packages.vvar(), "serve",
       "--page=%s" % page, "--max_age=1h"],
      stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
      env={**os.environ, "NOTIFY_SOCKET": manager.address})
  pid = manager.until("READY")[1]
  file = page.stat().st_ino
  reader = subprocess.Popen([os.environ["STEADY_READER"], str(page)], text=True,
                            stdin=subprocess.PIPE, stdout=subprocess.PIPE)

  def counts():
    reader.stdin.write("\n")
    reader.stdin.flush()
    return list(map(int, reader.stdout.readline().split()))

  def await_reads():
    """Returns when there have been reads since the call."""
    before = counts()[0]
    while counts()[0] < before + 1000:
      pass

  await_reads()
  for _ in look.at(range(5), "kills"):
    os.kill(pid, signal.SIGKILL)
    await_reads()
    last, (_, pid) = pid, manager.until("READY")
    if pid == last:
      raise RuntimeError("nobody was killed")
    await_reads()
  reads, *wrong = counts()
  os.kill(pid, signal.SIGTERM)
  supervisor.wait(packages.DEADLINE_S)
  reader.communicate(timeout=packages.DEADLINE_S)
  print("  %d reads" % reads)
  if page.stat().st_ino != file:
    look.problem(page, "another file than the reader has")
  if wrong != [0, 0, 0] or supervisor.returncode or reader.returncode:
    look.problem("reader", "MONOTONIC back, REALTIME back, not the page's: %s "
                           "of %d reads" % (wrong, reads))


# --- the unit ----------------------------------------------------------------


def unit_of_this_binary():
  path = packages.folder("units")
  path.mkdir(exist_ok=True)
  unit = path / "vvar@demo.service"
  text = UNIT.replace("/usr/bin/vvar", str(packages.vvar()))
  if text == UNIT:
    raise RuntimeError("vvar@.service starts no /usr/bin/vvar")
  unit.write_text(text, encoding="utf-8")
  return unit


@house.case
def systemd_takes_the_unit(look):
  packages.need("systemd-analyze")
  unit = unit_of_this_binary()
  for said in look.at([run("systemd-analyze", "verify", "--man=no", unit)],
                      "units"):
    if said:
      look.problem("systemd-analyze verify", said)


@house.case
def the_unit_is_hardened(look):
  packages.need("systemd-analyze")
  said = run("systemd-analyze", "security", "--offline=true", "--no-pager",
             unit_of_this_binary())
  for level in look.at(re.findall(r"Overall exposure level .*: ([\d.]+)", said),
                       "levels"):
    print("  exposure level", level)
    # 0.9 in systemd 252; a later one may ask for more.
    if float(level) > 1.5:
      look.problem("vvar@.service", "exposure level %s, at most 1.5" % level)


def calls_of(sets):
  """Returns the system calls of filters such as {"@system-service"}."""
  calls = set()
  for name in sets:
    if not name.startswith("@"):
      calls.add(name)
      continue
    lines = [line.strip() for line in
             run("systemd-analyze", "syscall-filter", name).split("\n")]
    calls |= calls_of({line for line in lines
                       if re.fullmatch(r"@?[a-z0-9_-]+", line)
                       and line != name})
  return calls


@house.case
def the_filter_allows_what_serve_calls(look):
  packages.need("strace", "systemd-analyze")
  allowed = set()
  for line in re.findall(r"^SystemCallFilter=(.*)", UNIT, re.MULTILINE):
    if line.startswith("~"):
      allowed -= calls_of(line[1:].split())
    else:
      allowed |= calls_of(line.split())
  trace, manager = packages.folder("trace"), Manager(FOLDER / "traced")
  with serving(FOLDER / "filtered", {"NOTIFY_SOCKET": manager.address,
                                     "WATCHDOG_USEC": "1"},
               ("strace", "-D", "-f", "-o", str(trace))) as server:
    manager.until("WATCHDOG")
    ended(server)
    manager.until("STOPPING")
  calls = set(re.findall(r"^\d+ +(\w+)\(", trace.read_text(), re.MULTILINE))
  for call in look.at(sorted(calls), "system calls"):
    if call not in allowed:
      look.problem("SystemCallFilter", "denies " + call)
  if not {"sendto", "clock_adjtime"} <= calls:
    look.problem("strace", "saw only %s" % sorted(calls))


house.run()
