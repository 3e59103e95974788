"""A program of another machine, run one instruction at a time: a minimal client
of the gdb stub that qemu's user-mode emulators have."""

import os
import re
import socket
import subprocess
import tempfile


class Machine:
  """A stopped process under qemu. `registers` is the order and the size in
  bytes of the stub's registers."""

  def __init__(self, emulator, program, registers):
    self._folder = tempfile.TemporaryDirectory()
    path = os.path.join(self._folder.name, "gdb")
    self._process = subprocess.Popen(
        [*emulator, "-g", path, program], stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    self._socket = socket.socket(socket.AF_UNIX)
    while True:
      try:
        self._socket.connect(path)
        break
      except (FileNotFoundError, ConnectionRefusedError):
        try:
          self._process.wait(timeout=0.01)
        except subprocess.TimeoutExpired:
          continue  # It lives, and will listen.
        raise RuntimeError("%s: %s" % (
            emulator[0], self._process.stderr.read())) from None
    self._received = b""
    self._registers = registers
    self._ask("?")

  def __enter__(self):
    return self

  def __exit__(self, *unused):
    self._process.kill()
    self._process.wait()
    self._process.stderr.close()
    self._socket.close()
    self._folder.cleanup()

  def step(self):
    """Executes one instruction."""
    reply = self._ask("s")
    # T05: stopped by SIGTRAP.
    if not reply.startswith(("T05", "S05")):
      raise RuntimeError("the program stopped with %s" % reply)

  def registers(self):
    """Returns {name: value}."""
    reply = bytes.fromhex(self._ask("g").replace("x", "0"))
    values, at = {}, 0
    for name, size in self._registers:
      values[name] = int.from_bytes(reply[at:at + size], "little")
      at += size
    self._rest = reply[at:]
    return values

  def set_registers(self, changes):
    values = self.registers()
    values.update(changes)
    data = b"".join(
        (values[name] & ((1 << 8 * size) - 1)).to_bytes(size, "little")
        for name, size in self._registers)
    self._expect_ok("G" + (data + self._rest).hex())

  def write(self, address, data):
    self._expect_ok("M%x,%x:%s" % (address, len(data), data.hex()))

  def read(self, address, size):
    return bytes.fromhex(self._ask("m%x,%x" % (address, size)))

  def _expect_ok(self, packet):
    reply = self._ask(packet)
    if reply != "OK":
      raise RuntimeError("qemu says %r to %s" % (reply, packet[:40]))

  def _ask(self, packet):
    checksum = sum(packet.encode()) & 0xff
    self._socket.sendall(b"$%s#%02x" % (packet.encode(), checksum))
    while True:
      match = re.search(rb"\$([^#]*)#..", self._received)
      if match:
        self._received = self._received[match.end():]
        self._socket.sendall(b"+")
        return match[1].decode()
      more = self._socket.recv(65536)
      if not more:
        raise RuntimeError("qemu went away: %s" % self._process.stderr.read())
      self._received += more
