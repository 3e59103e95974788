"""explored.cc as a compiler made it, and what its functions do: the events of
one execution, in program order, with what the architecture keeps of it."""

import collections
import re
import shutil
import subprocess

import isa
import machine

FLAGS = ["-std=c++20", "-O2", "-ffreestanding", "-fno-exceptions", "-fno-rtti",
         "-fno-stack-protector", "-fno-threadsafe-statics", "-fno-pic",
         "-fno-pie"]

# {name: (architecture, compiler, its flags, more flags)}
Build = collections.namedtuple("Build", "isa compiler flags")

_COMPILERS = {
    ("x86_64", "gcc"): (["x86_64-linux-gnu-g++"], ["-fcf-protection=none"]),
    ("x86_64", "clang"): (["clang++-19", "--target=x86_64-unknown-elf"], []),
    ("aarch64", "gcc"): (["aarch64-linux-gnu-g++"], ["-mno-outline-atomics"]),
    ("aarch64", "clang"): (["clang++-19", "--target=aarch64-unknown-elf"], []),
    ("riscv64", "gcc"): (["riscv64-linux-gnu-g++"], ["-march=rv64gc"]),
    ("riscv64", "clang"): (["clang++-19", "--target=riscv64-unknown-elf"],
                           ["-march=rv64gc", "-mabi=lp64d", "-mcmodel=medany"]),
}
# The ways to read the counter: the default, and the other one.
_WAYS = {"x86_64": ("lfence", "rdtscp"), "aarch64": ("isb", "ecv"),
         "riscv64": ("time",)}


def _builds():
  for (name, family), (compiler, flags) in _COMPILERS.items():
    for i, way in enumerate(_WAYS[name]):
      other = ["-DVVAR_EXPLORED_OTHER_WAY"] * i
      yield ("%s-%s-%s" % (name, family, way),
             Build(isa.BY_NAME[name], compiler, flags + other))


BUILDS = dict(_builds())

HZ = 1_000_000_000
_STEPS = 20_000  # More than any function has.


class Missing(Exception):
  """A tool that is not installed."""


def run(*command):
  if not shutil.which(command[0]):
    raise Missing("%s is not installed" % command[0])
  result = subprocess.run(command, capture_output=True, text=True, check=False)
  if result.returncode != 0:
    raise RuntimeError("%s: %s" % (command[0], result.stderr[:2000]))
  return result.stdout


class Program:
  """One build of explored.cc of the tree at `root`."""

  def __init__(self, name, root, folder):
    self.name, self.build = name, BUILDS[name]
    self.isa = self.build.isa
    self._path = str(folder / name)
    if not shutil.which(self.isa.emulator[0]):
      raise Missing("%s is not installed" % self.isa.emulator[0])
    compiler = self.build.compiler
    compile_only = [*compiler, *FLAGS, *self.build.flags, "-I", str(root),
                    str(root / "tests/explorer/explored.cc"), "-c", "-o",
                    self._path + ".o"]
    run(*compile_only)
    run("ld.lld-19", "-e", "_start", self._path + ".o", "-o", self._path)
    self._read_listing()

  def _read_listing(self):
    self.code = {}  # {address: (text, address of the next)}
    self.symbols = {}
    last = None
    for line in run(*self.isa.objdump, "-d", "-t", "--no-show-raw-insn",
                    self._path).split("\n"):
      symbol = re.match(r"([0-9a-f]{16}) .{7} \S+\s+[0-9a-f]{16} (?:\.hidden )?"
                        r"(\S+)$", line)
      if symbol:
        self.symbols[symbol[2]] = int(symbol[1], 16)
      instruction = re.match(r"\s*([0-9a-f]+):\s+(.*)", line)
      if instruction:
        address = int(instruction[1], 16)
        text = re.split(r"\s+(?://|#) ", instruction[2])[0]
        text = " ".join(text.split())
        self.code[address] = (text, None)
        if last is not None:
          self.code[last] = (self.code[last][0], address)
        last = address
    if not self.code or "explored_page" not in self.symbols:
      raise RuntimeError("%s: nothing to explore" % self.name)

  def machine(self):
    return machine.Machine(self.isa.emulator, self._path, self.isa.registers)


class Run:
  """A program under the emulator, with a page of its own."""

  def __init__(self, program, stub, lead_ns):
    self._program, self._stub = program, stub
    self._isa = program.isa
    self.page = program.symbols["explored_page"]
    self.timeline = self.page + TIMELINE
    self._call("explored_start", [HZ, lead_ns], [])

  def publish(self, *publications):
    """Publishes a line for each list of the counter's values; returns a Tracer
    of them all."""
    tracer = None
    for looks in publications:
      tracer = self._call("explored_publish", [self.timeline], looks, tracer)
    return tracer

  def read(self, kind, seq, cycles):
    """Returns a Tracer of one try of a read that finds `seq`."""
    self._stub.write(self.timeline, seq.to_bytes(4, "little"))
    return self._call("explored_" + kind, [self.timeline], [cycles] * 64)

  def _call(self, function, arguments, looks, tracer=None):
    stub, symbols, arch = self._stub, self._program.symbols, self._isa
    done = symbols["explored_done"]
    changes = dict(zip(arch.arguments, arguments))
    changes[arch.pc] = symbols[function]
    if arch is isa.X86:
      stack = stub.registers()["rsp"] // 4096 * 4096 - 4096 - 8
      stub.write(stack, done.to_bytes(8, "little"))
      changes["rsp"] = stack
    else:
      changes["x30" if arch is isa.Arm64 else "x1"] = done
    stub.set_registers(changes)
    tracer = tracer or Tracer(arch, self.page)
    looks = list(looks)
    for _ in range(_STEPS):
      registers = stub.registers()
      pc = registers[arch.pc]
      if pc == done:
        return tracer
      text, next_pc = self._program.code[pc]
      decoded = arch.decode(text, next_pc)
      tracer.add(decoded, registers, pc, text)
      if decoded.kind == "counter":
        value = arch.counter_value(decoded, looks.pop(0))
        stub.set_registers({**value, arch.pc: next_pc})
      else:
        stub.step()
    raise RuntimeError("%s does not end" % function)


PAGE_SIZE = 4096
TIMELINE = 256  # Of the page. Held against the source's own accesses.


class Tracer:
  """Follows which events each register's value came from."""

  def __init__(self, arch, page):
    self.events = []
    self.executed = []  # (text, offset in the page or None)
    self._isa, self._page = arch, page
    self._from = collections.defaultdict(frozenset)  # registers, and the stack
    self._control = frozenset()

  def _sources(self, names):
    return frozenset().union(*(self._from[name] for name in names
                               if name not in ("zero", "x0_zero")))

  def add(self, decoded, registers, pc, text):
    where = None
    if decoded.memory:
      where = decoded.memory[1](registers) - self._page
    self.executed.append(
        (text, where if where is not None and 0 <= where < PAGE_SIZE else None))
    data = self._sources(decoded.sources)
    if decoded.branch:
      self._control |= data
    value = data
    if decoded.memory:
      value = self._access(decoded, data, registers, pc, text)
    elif decoded.kind in ("fence", "counter"):
      value = frozenset([len(self.events)])
      self._event(decoded, pc, text)
    for target in decoded.targets:
      self._from[target] = value
    for zero in ("zero",) + (("x0",) if self._isa is isa.RiscV else ()):
      self._from[zero] = frozenset()

  def _access(self, decoded, data, registers, pc, text):
    names, address_of = decoded.memory
    address = address_of(registers)
    addr = self._sources(names)
    on_page = self._page <= address < self._page + PAGE_SIZE
    if decoded.kind == "unknown":
      if on_page:
        raise isa.Undecodable("%#x: %s" % (pc, text))
      return frozenset()
    # What is not on the page matters only as a link of a chain.
    if on_page or (decoded.kind == "load" and any(
        self.events[i].kind == "counter" for i in addr)):
      kinds = ("load", "store") if decoded.kind == "update" else (decoded.kind,)
      for kind in kinds:
        self._event(decoded._replace(kind=kind), pc, text,
                    address - self._page if on_page else None, addr, data)
      return frozenset([len(self.events) - 1])
    if decoded.kind == "store":
      self._from[address] = data
      return frozenset()
    return self._from[address]

  def _event(self, decoded, pc, text, address=None, addr=frozenset(),
             data=frozenset()):
    self.events.append(isa.Event(
        decoded.kind, address, decoded.size, decoded.acquire, decoded.release,
        decoded.fence, addr, data, self._control, pc, text))


def order(arch, events):
  """Returns for each event the set of earlier ones that always come first."""
  before = []
  for n, event in enumerate(events):
    found = set()
    for i in range(n - 1, -1, -1):
      if i not in found and arch.in_order(i, events[i], event):
        found |= before[i] | {i}
    before.append(frozenset(found))
  return before
