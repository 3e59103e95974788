"""Why: the cross compilers are the machine's own, and any may be missing. This
repository says which are there, so that a test can be skipped with a reason
instead of failing to build.

It defines COMPILERS in @vvar_compilers//:compilers.bzl:
  {command name: struct(path, version, builtin_include)}
"""

_COMMANDS = [
    "aarch64-linux-gnu-g++",
    "arm-linux-gnueabihf-g++",
    "clang++-19",
    "ld.bfd",
    "ld.lld-19",
    "riscv64-linux-gnu-g++",
    "x86_64-linux-gnu-g++",
]

def _ask(repository_ctx, command):
    return repository_ctx.execute(command).stdout.strip()

def _system_compilers_impl(repository_ctx):
    content = "COMPILERS = {\n"
    entry = '    "%s": struct(path = "%s", version = "%s", builtin_include = "%s"),\n'
    for command in _COMMANDS:
        path = repository_ctx.which(command)
        if not path:
            continue
        content += entry % (
            command,
            path,
            _ask(repository_ctx, [path, "-dumpfullversion", "-dumpversion"]),
            _ask(repository_ctx, [path, "-print-file-name=include"]),
        )
    repository_ctx.file("compilers.bzl", content + "}\n")
    repository_ctx.file("BUILD")

system_compilers = repository_rule(
    implementation = _system_compilers_impl,
    configure = True,
    local = True,  # What it finds depends on the machine: look anew.
)
