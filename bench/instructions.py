"""Counts the instructions of a read and the cache lines it touches, in what
bench/instruction_trace printed. Deterministic: no time is in it."""

import collections
import json
import re
import statistics
import subprocess
import tempfile

LINE_BYTES = 64
# Bytes of an instruction in the file for objdump: its longest, then NOPs, so
# that whatever garbage comes of the rest is over where the next begins.
_LONGEST, _SPACE = 15, 32

_MEMORY = re.compile(
    r"(?:%(?P<segment>[fg]s):)?(?P<offset>-?0x[0-9a-f]+)?"
    r"\((?P<base>%\w+)?(?:,(?P<index>%\w+)(?:,(?P<scale>\d))?)?\)")
_SEGMENT = re.compile(r"%fs:(?P<offset>0x[0-9a-f]+)(?!\()")
# Their operands are addresses that nobody goes to.
_NO_ACCESS = re.compile(r"lea|nop|data16|cs nop")
_PUSHES = re.compile(r"push|call")
_POPS = re.compile(r"pop|ret|leave")

# page: lines of the page (or the lock, or the kernel's page); stack; other:
# what leads there. code: lines of instructions.
Cost = collections.namedtuple("Cost", "name instructions code page stack other")


def _disassemble(code):
  """Returns {address: (instruction, its length)} of {address: bytes}."""
  addresses = sorted(code)
  with tempfile.NamedTemporaryFile() as file:
    for address in addresses:
      file.write(code[address][:_LONGEST].ljust(_SPACE, b"\x90"))
    file.flush()
    listing = subprocess.run(
        ["objdump", "-D", "-b", "binary", "-m", "i386:x86-64",
         "--no-show-raw-insn", "-w", file.name],
        stdout=subprocess.PIPE, text=True, check=True).stdout
  found = [(int(place, 16), text.split("#")[0].strip()) for place, text in
           re.findall(r"^\s*([0-9a-f]+):\s+(.*)$", listing, re.MULTILINE)]
  following = dict(zip((place for place, _ in found),
                       (place for place, _ in found[1:])))
  return {addresses[place // _SPACE]: (text, following[place] - place)
          for place, text in found if place % _SPACE == 0}


def accesses(instruction, length, registers, fs_base):
  """Returns the addresses that one instruction reads or writes."""
  found = []
  if _PUSHES.match(instruction):
    found.append(registers["rsp"] - 8)
  elif _POPS.match(instruction):
    found.append(registers["rsp"])
  if _NO_ACCESS.match(instruction):
    return found
  for operand in _MEMORY.finditer(instruction):
    address = int(operand["offset"] or "0", 16)
    for name, scale in ((operand["base"], 1),
                        (operand["index"], int(operand["scale"] or 1))):
      if name == "%rip":
        address += registers["rip"] + length
      elif name is not None:
        address += registers[name[1:]] * scale
    address += fs_base if operand["segment"] == "fs" else 0
    found.append(address % 2**64)
  found += [int(operand["offset"], 16) + fs_base
            for operand in _SEGMENT.finditer(instruction)]
  return found


def _cost(name, steps, names, instructions, trace):
  lines = collections.defaultdict(set)
  stack = steps[0][names.index("rsp")]
  for step in steps:
    registers = dict(zip(names, step))
    instruction, length = instructions[registers["rip"]]
    for byte in registers["rip"], registers["rip"] + length - 1:
      lines["code"].add(byte // LINE_BYTES)
    for address in accesses(instruction, length, registers, trace["fs_base"]):
      kind = next((kind for kind, start, end in trace["regions"]
                   if start <= address < end), "other")
      if abs(address - stack) < 1 << 16:
        kind = "stack"
      lines["other" if kind == "reader" else kind].add(address // LINE_BYTES)
  return Cost(name, len(steps), *(len(lines[kind]) for kind in
                                  ("code", "page", "stack", "other")))


def costs(path):
  """Returns a Cost of each subject of a trace: of its usual run."""
  with open(path) as file:
    trace = json.load(file)
  instructions = _disassemble({int(address): bytes.fromhex(text)
                               for address, text in trace["code"].items()})
  names = trace["registers"]
  found = []
  for subject in trace["subjects"]:
    usual = statistics.mode(len(run) for run in subject["runs"])
    if usual:  # 0: it cannot be stepped here.
      run = next(run for run in subject["runs"] if len(run) == usual)
      found.append(_cost(subject["name"], run, names, instructions, trace))
  return found
