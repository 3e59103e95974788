"""Three instruction sets: how an instruction touches memory, the counter and
other registers, and which pairs of events each architecture keeps in program
order (x86-TSO, ARMv8, RVWMO; all multi-copy atomic).

Only what is certain is kept: a rule that is missing here can make the explorer
see a reordering that no machine does, never the reverse.

Source: Intel SDM vol. 3A 9.2 (ordering), vol. 2 LFENCE, MFENCE, RDTSC, RDTSCP;
Arm ARM DDI 0487 B2.3 (ordered-before), D11.2 and the examples of its barrier
appendix (counter); RISC-V unprivileged ISA, RVWMO and Zicsr.
"""

import collections
import re

# One executed instruction that matters. `kind` is load, store, counter or
# fence. What it depends on (addr, data, ctrl) are sets of events' numbers.
Event = collections.namedtuple(
    "Event", "kind address size acquire release fence addr data ctrl pc text",
    defaults=[None, 0, False, False, None, frozenset(), frozenset(),
              frozenset(), 0, ""])

# What an instruction does. `kind` may also be update, a load and a store, and
# unknown. `memory` is (registers, address function); `result`
# are the registers that a counter's value goes to.
Decoded = collections.namedtuple(
    "Decoded", "kind memory size acquire release fence sources targets branch "
    "result", defaults=[None, None, 0, False, False, None, (), (), False, ()])


class Undecodable(Exception):
  """An access to the page by an instruction that this file does not know."""


def _number(text):
  return int(text, 0)


# --- x86-64 ------------------------------------------------------------------


class X86:
  name = "x86_64"
  emulator = ["qemu-x86_64-static", "-cpu", "max"]
  registers = [(name, 8) for name in (
      "rax rbx rcx rdx rsi rdi rbp rsp r8 r9 r10 r11 r12 r13 r14 r15 rip"
  ).split()]
  pc, arguments = "rip", ("rdi", "rsi")
  objdump = ["x86_64-linux-gnu-objdump", "-M", "intel"]
  # Later loads may execute before the counter is read.
  window = 1

  _SIZES = {"BYTE": 1, "WORD": 2, "DWORD": 4, "QWORD": 8, "XMMWORD": 16,
            "YMMWORD": 32}
  _MEMORY = re.compile(r"(\w+) PTR (?:\w\w:)?\[([^]]*)\]")
  _LOADS = re.compile(r"(movzx|movsxd?|mov|cmp|test|add|sub|and|or|xor|imul|"
                      r"cmov\w+)$")

  @classmethod
  def decode(cls, text, next_pc):
    mnemonic, _, operands = text.partition(" ")
    if mnemonic in ("lfence", "mfence", "sfence"):
      return Decoded("fence", fence=mnemonic)
    if mnemonic in ("rdtsc", "rdtscp"):
      return Decoded("counter", fence=mnemonic, result=("rax", "rdx"))
    memory = cls._MEMORY.search(operands)
    if not memory or mnemonic in ("lea", "nop"):
      return Decoded()
    access = cls._address(memory[2], next_pc)
    size = cls._SIZES[memory[1]]
    if operands.lstrip().startswith(memory[0]):
      kind = ("store" if mnemonic == "mov" else
              "load" if mnemonic in ("cmp", "test", "mul") else
              "update" if mnemonic in ("inc", "add", "or") else "unknown")
    else:
      kind = "load" if cls._LOADS.match(mnemonic) else "unknown"
    return Decoded(kind, access, size)

  @staticmethod
  def _address(text, next_pc):
    terms = re.findall(r"([+-]?)([^+-]+)", text)

    def address(registers):
      total = 0
      for sign, term in terms:
        factor = 1
        if "*" in term:
          term, factor = term.split("*")
        if term == "rip":
          value = next_pc
        elif term in registers:
          value = registers[term]
        else:
          value = _number(term)
        total += (-1 if sign == "-" else 1) * value * int(factor)
      return total % 2**64

    return (), address

  @staticmethod
  def counter_value(decoded, value):
    return {"rax": value & 0xffffffff, "rdx": value >> 32,
            **({"rcx": 0} if decoded.fence == "rdtscp" else {})}

  @staticmethod
  def in_order(number, a, b):
    """TSO: only a store and a later load may change places."""
    del number
    if a.kind == "fence" or b.kind == "fence":
      if b.kind == "fence" and b.fence == "lfence":
        # Waits for what is before it to complete; stores may still be buffered.
        return a.kind in ("load", "counter", "fence")
      if a.kind == "fence" and a.fence == "lfence":
        return True
      if "sfence" in (a.fence, b.fence):
        return False
      return "counter" not in (a.kind, b.kind)
    if b.kind == "counter":
      # RDTSCP waits for earlier instructions and loads, RDTSC for nothing.
      return b.fence == "rdtscp" and a.kind in ("load", "counter")
    if a.kind == "counter":
      # A store becomes visible after it has retired, in order.
      return b.kind == "store"
    return not (a.kind == "store" and b.kind == "load")


# --- What Arm and RISC-V share -----------------------------------------------


def _in_order_by_dependency(number, a, b):
  """a's value is needed for b's address, or for b to happen at all."""
  if number in b.addr:
    return True
  return b.kind == "store" and (number in b.data or number in b.ctrl)


def _same_word(a, b):
  return (a.address is not None and a.address == b.address and
          not (a.kind == "store" and b.kind == "load"))


# --- AArch64 -----------------------------------------------------------------


class Arm64:
  name = "aarch64"
  emulator = ["qemu-aarch64-static", "-cpu", "max"]
  registers = [("x%d" % i, 8) for i in range(31)] + [("sp", 8), ("pc", 8)]
  pc, arguments = "pc", ("x0", "x1")
  objdump = ["aarch64-linux-gnu-objdump"]
  window = 0

  _LOADS = re.compile(r"(ldr|ldur|ldar|ldapr|ldapur|ldp)(b|h|sb|sh|sw)?$")
  _STORES = re.compile(r"(str|stur|stlr|stp)(b|h)?$")
  _WIDTH = {"b": 1, "h": 2, "w": 4, "x": 8, "s": 4, "d": 8, "q": 16}

  @classmethod
  def decode(cls, text, next_pc):
    del next_pc
    mnemonic, _, operands = text.partition(" ")
    operands = operands.strip()
    if mnemonic in ("dmb", "dsb"):
      return Decoded("fence", fence="%s %s" % (mnemonic, operands))
    if mnemonic == "isb":
      return Decoded("fence", fence="isb")
    if mnemonic == "mrs" and re.search("cntvct|s3_3_c14_c0_[26]", operands):
      register = cls._register(operands.split(",")[0])
      return Decoded("counter", targets=(register,), result=(register,),
                     fence="self" if re.search("cntvctss|c0_6", operands)
                     else None)
    names = [cls._register(name) for name in
             re.findall(r"\b(?:[wx]\d+|sp|wsp|[wx]zr)\b", operands)]
    memory = re.search(r"\[([^]]*)\](!?)(?:, #(-?\w+))?", operands)
    if memory:
      return cls._access(mnemonic, operands, names, memory)
    if mnemonic in ("cbz", "cbnz", "tbz", "tbnz"):
      return Decoded(sources=names, branch=True)
    if mnemonic.startswith("b."):
      return Decoded(sources=("flags",), branch=True)
    if mnemonic in ("cmp", "cmn", "tst", "ccmp", "ccmn"):
      flags = ("flags",) if mnemonic.startswith("cc") else ()
      return Decoded(sources=(*names, *flags), targets=("flags",))
    if mnemonic in ("b", "bl", "blr", "br", "ret", "nop", "yield") or not names:
      return Decoded()
    sources = names[1:]
    if mnemonic in ("movk", "bfi", "bfxil", "bfm"):
      sources = names
    if mnemonic.startswith(("cs", "cinc", "cset", "cneg", "cinv")):
      sources = [*sources, "flags"]
    targets = names[:1]
    if mnemonic in ("adds", "subs", "ands", "bics", "negs"):
      targets = [*targets, "flags"]
    return Decoded(sources=sources, targets=targets)

  @staticmethod
  def _register(name):
    name = name.strip()
    if name in ("wzr", "xzr"):
      return "zero"
    return "sp" if name == "wsp" else "x" + name[1:] if name != "sp" else name

  @classmethod
  def _access(cls, mnemonic, operands, names, memory):
    inside = memory[1].split(", ")
    registers = [cls._register(part) for part in inside
                 if re.fullmatch(r"[wx]\d+|sp|[wx]zr", part)]
    shift = re.search(r"(lsl|uxtw|sxtw|sxtx)(?: #(\d+))?", memory[1])
    offset = re.search(r"#(-?\w+)$", memory[1]) if not shift else None

    def address(values):
      total = values[registers[0]] + (_number(offset[1]) if offset else 0)
      if len(registers) > 1:
        index = values.get(registers[1], 0)
        if shift and shift[1] in ("uxtw", "sxtw"):
          index &= 0xffffffff
          if shift[1] == "sxtw" and index >> 31:
            index -= 2**32
        total += index << int(shift[2] or 0 if shift else 0)
      return total % 2**64

    first = operands.split(",")[0].strip()
    base = (tuple(registers), address)
    writeback = registers[:1] if memory[2] or memory[3] else []
    data = names[:len(names) - len(registers)]
    load, store = cls._LOADS.match(mnemonic), cls._STORES.match(mnemonic)
    if load or store:
      suffix = (load or store)[2]
      size = {None: cls._WIDTH[first[0]], "b": 1, "h": 2, "sb": 1, "sh": 2,
              "sw": 4}[suffix] * (2 if (load or store)[1] in ("ldp", "stp")
                                  else 1)
      if load:
        return Decoded("load", base, size, acquire=load[1].startswith("lda"),
                       targets=[*data, *writeback])
      return Decoded("store", base, size, release=store[1] == "stlr",
                     sources=data, targets=writeback)
    if mnemonic.startswith("prf"):
      return Decoded()
    return Decoded("unknown", base, 0)

  @staticmethod
  def counter_value(decoded, value):
    return {decoded.result[0]: value}

  @staticmethod
  def in_order(number, a, b):
    memory = ("load", "store")
    if b.kind == "fence" or (b.kind == "counter" and b.fence == "self"):
      if b.fence in ("isb", "self"):
        # After a branch that needs a's value, an acquire load, or a barrier.
        return a.kind == "fence" or a.acquire or number in b.ctrl
      if b.fence.endswith("ishld"):
        return a.kind == "load"
      if b.fence.endswith("ishst"):
        return a.kind == "store"
      return a.kind in memory
    if a.kind == "fence":
      if a.fence == "isb":
        return b.kind in ("load", "counter")
      if a.fence.endswith("ishst"):
        return b.kind == "store"
      return b.kind in memory
    if b.kind == "counter":
      return False
    if a.kind == "counter":
      return _in_order_by_dependency(number, a, b)
    return (a.acquire or b.release or _same_word(a, b) or
            _in_order_by_dependency(number, a, b))


# --- RISC-V, 64 bits ---------------------------------------------------------


class RiscV:
  name = "riscv64"
  emulator = ["qemu-riscv64-static"]
  registers = [("x%d" % i, 8) for i in range(32)] + [("pc", 8)]
  pc, arguments = "pc", ("x10", "x11")
  objdump = ["riscv64-linux-gnu-objdump", "-M", "no-aliases"]
  window = 0

  _NAMES = {name: "x%d" % i for i, name in enumerate(
      ("zero ra sp gp tp t0 t1 t2 s0 s1 a0 a1 a2 a3 a4 a5 a6 a7 s2 s3 s4 s5 s6 "
       "s7 s8 s9 s10 s11 t3 t4 t5 t6").split())}
  _SIZES = {"b": 1, "h": 2, "w": 4, "d": 8}
  _MEMORY = re.compile(r"(-?\w*)\((\w+)\)")

  @classmethod
  def decode(cls, text, next_pc):
    del next_pc
    mnemonic, _, operands = text.partition(" ")
    operands = operands.strip()
    compressed = mnemonic.startswith("c.")
    mnemonic = mnemonic.removeprefix("c.")
    if mnemonic == "fence":
      return Decoded("fence", fence=operands)
    names = [cls._NAMES[word] for word in re.findall(r"\w+", operands)
             if word in cls._NAMES]
    if mnemonic == "csrrs" and re.search(r"\btime\b|0xc01", operands):
      return Decoded("counter", targets=names[:1], result=names[:1])
    memory = cls._MEMORY.search(operands)
    if memory:
      return cls._access(mnemonic, names, memory)
    if re.fullmatch(r"b(eq|ne|lt|ge)u?z?|beqz|bnez", mnemonic):
      return Decoded(sources=names, branch=True)
    if mnemonic in ("j", "jal", "jr", "jalr", "nop", ".word") or not names:
      return Decoded()
    keeps_target = compressed and mnemonic not in ("mv", "li", "lui")
    return Decoded(sources=names if keeps_target else names[1:],
                   targets=names[:1])

  @classmethod
  def _access(cls, mnemonic, names, memory):
    base = cls._NAMES[memory[2]]
    offset = _number(memory[1] or "0")
    access = ((base,), lambda values: (values[base] + offset) % 2**64)
    plain = re.fullmatch(r"(l|s|fl|fs)([bhwd])u?(sp)?", mnemonic)
    if plain:
      size = cls._SIZES[plain[2]]
      if plain[1].endswith("l"):
        return Decoded("load", access, size, targets=names[:-1])
      return Decoded("store", access, size, sources=names[:-1])
    # What gcc makes of an atomic store.
    swap = re.fullmatch(r"amoswap\.([wd])(\.aq)?(\.?rl)?", mnemonic)
    if swap and names[0] == "x0":
      return Decoded("store", access, cls._SIZES[swap[1]],
                     release=bool(swap[3]), sources=names[1:-1])
    return Decoded("unknown", access, 0)

  @staticmethod
  def counter_value(decoded, value):
    return {decoded.result[0]: value}

  _CLASS = {"load": "r", "store": "w", "counter": "i"}

  @classmethod
  def in_order(cls, number, a, b):
    if a.kind == "fence" and b.kind == "fence":
      return False
    if b.kind == "fence":
      return cls._CLASS[a.kind] in b.fence.split(",")[0]
    if a.kind == "fence":
      return cls._CLASS[b.kind] in a.fence.split(",")[1]
    if "counter" in (a.kind, b.kind):
      # A CSR is ordered by FENCE alone.
      return False
    return (a.acquire or b.release or _same_word(a, b) or
            _in_order_by_dependency(number, a, b))


BY_NAME = {each.name: each for each in (X86, Arm64, RiscV)}
