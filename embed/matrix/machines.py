"""The machines that programs of embed/ are compiled for, and run on: natively
or under an emulator of user mode."""

import collections
import shutil
import subprocess

import house

# `prefix` of GNU's compilers; clang's `triple` is a bare one. `flags` are both
# compilers', for programs without a libc.
Machine = collections.namedtuple("Machine",
                                 "emulator prefix gcc_flags triple flags")

MACHINES = {
    "x86_64": Machine([], "x86_64-linux-gnu-", [], "x86_64-unknown-elf", []),
    "i386": Machine([], "x86_64-linux-gnu-", ["-m32"], "i386-unknown-elf", []),
    "aarch64": Machine(["qemu-aarch64-static"], "aarch64-linux-gnu-", [],
                       "aarch64-unknown-elf", ["-mno-outline-atomics"]),
    "armv7": Machine(["qemu-arm-static"], "arm-linux-gnueabihf-", [],
                     "armv7a-none-eabi",
                     ["-march=armv7-a", "-marm", "-mfloat-abi=soft"]),
    "riscv64": Machine(["qemu-riscv64-static"], "riscv64-linux-gnu-", [],
                       "riscv64-unknown-elf",
                       ["-march=rv64imac_zicsr", "-mabi=lp64",
                        "-mcmodel=medany"]),
    "riscv32": Machine(["qemu-riscv32-static"], "riscv64-linux-gnu-", [],
                       "riscv32-unknown-elf",
                       ["-march=rv32imac_zicsr", "-mabi=ilp32"]),
    # Big-endian, of 64 and of 32 bits.
    "s390x": Machine(["qemu-s390x-static"], "s390x-linux-gnu-", [],
                     "s390x-unknown-linux-gnu", []),
    "powerpc": Machine(["qemu-ppc-static"], "powerpc-linux-gnu-", [],
                       "powerpc-unknown-elf", []),
}

_BARE = ["-std=c++20", "-O2", "-ffreestanding", "-fno-exceptions", "-fno-rtti",
         "-fno-stack-protector", "-fno-threadsafe-statics", "-fno-pic",
         "-fno-pie", "-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Werror"]


def run(*command):
  """Runs a tool; raises house.Skip if it is not installed."""
  if not shutil.which(command[0]):
    raise house.Skip("%s is not installed" % command[0])
  result = subprocess.run(command, capture_output=True, text=True, check=False)
  if result.returncode != 0:
    raise RuntimeError("%s: %s" % (command[0], result.stderr[:2000]))
  return result.stdout


def bare_program(name, family, source, path):
  """Compiles a source and links it with nothing: what the compiler calls and
  the source has not is an error."""
  machine = MACHINES[name]
  compiler = ([machine.prefix + "g++", *machine.gcc_flags] if family == "gcc"
              else ["clang++-19", "--target=" + machine.triple, "-nostdlibinc"])
  run(*compiler, *_BARE, *machine.flags, "-I", str(house.ROOT), "-c",
      str(house.ROOT / source), "-o", path + ".o")
  run("ld.lld-19", "-e", "_start", path + ".o", "-o", path)
  return [*machine.emulator, path]


def start(command, stdin=""):
  """Runs a program to its end; raises house.Skip if there is no emulator."""
  if not shutil.which(command[0]):
    raise house.Skip("%s is not installed" % command[0])
  return subprocess.run(command, input=stdin, capture_output=True, text=True,
                        check=False, timeout=240)
