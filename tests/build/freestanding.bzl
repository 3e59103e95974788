"""Compiles a source for the machines a kernel may run on, with nothing but the
compiler, and tests that the object needs nothing at run time either.

    load("//tests/build:freestanding.bzl", "freestanding_matrix")

    freestanding_matrix(
        name = "reader_freestanding_test",
        src = "reader_freestanding.cc",
        deps = ["//vvar:reader"],
    )

makes reader_freestanding_test_x86_64_gcc, ..._riscv32_clang and so on, and a
test_suite of them all. freestanding_image() links such objects to a program for
a machine without an operating system.
"""

load("@rules_cc//cc/common:cc_info.bzl", "CcInfo")
load("@rules_shell//shell:sh_test.bzl", "sh_test")
load("@vvar_compilers//:compilers.bzl", "COMPILERS")

# No run time, no libc, no libstdc++, and what a careful embedder warns about.
_FLAGS = [
    "-std=c++20",
    "-O2",
    "-ffreestanding",
    "-nostdinc++",
    "-fno-exceptions",
    "-fno-rtti",
    "-fno-stack-protector",
    "-fno-threadsafe-statics",
    "-Wall",
    "-Wextra",
    "-Wconversion",
    "-Wshadow",
    "-Werror",
]

# One linker for every machine.
_LINKER = "ld.lld-19"

# A bare target: without an operating system clang knows no libc. (Its C
# headers it finds by itself.)
def _clang(triple, flags = []):
    return struct(
        command = "clang++-19",
        flags = ["--target=" + triple, "-nostdlibinc"] + flags,
    )

def _gcc(command, flags = []):
    return struct(command = command, flags = flags)

# {target: struct(flags for both compilers, gcc, clang)}
TARGETS = {
    "x86_64": struct(
        flags = [
            "-mno-red-zone",  # An interrupt would overwrite it.
            "-mgeneral-regs-only",
            "-fcf-protection=none",
            "-fno-pic",
            "-fno-pie",
        ],
        gcc = _gcc("x86_64-linux-gnu-g++"),
        clang = _clang("x86_64-unknown-elf"),
    ),
    "i386": struct(
        flags = [
            "-mgeneral-regs-only",
            # Debian's default, PIE, needs _GLOBAL_OFFSET_TABLE_.
            "-fno-pic",
            "-fno-pie",
        ],
        gcc = _gcc("x86_64-linux-gnu-g++", ["-m32"]),
        clang = _clang("i386-unknown-elf"),
    ),
    "aarch64": struct(
        flags = [
            "-mgeneral-regs-only",
            "-mstrict-align",
            # The outlined ones are calls into libgcc.
            "-mno-outline-atomics",
        ],
        gcc = _gcc("aarch64-linux-gnu-g++"),
        clang = _clang("aarch64-unknown-elf"),
    ),
    "armv7": struct(
        flags = [
            "-march=armv7-a",
            "-fno-pie",  # Debian's default would need a GOT
            # Debian's compiler would pass floats in the registers that the
            # flags below take away; each compiler has its own for that.
            "-mfloat-abi=soft",
        ],
        gcc = _gcc("arm-linux-gnueabihf-g++", ["-mgeneral-regs-only"]),
        clang = _clang("armv7a-none-eabi", ["-mfpu=none"]),
    ),
    "riscv64": struct(
        flags = [
            # Zicsr by name: rdtime is in no base set since binutils 2.38.
            "-march=rv64imac_zicsr",
            "-mabi=lp64",
            "-mcmodel=medany",
        ],
        gcc = _gcc("riscv64-linux-gnu-g++"),
        clang = _clang("riscv64-unknown-elf"),
    ),
    "riscv32": struct(
        flags = [
            "-march=rv32imac_zicsr",
            "-mabi=ilp32",
        ],
        gcc = _gcc("riscv64-linux-gnu-g++"),
        clang = _clang("riscv32-unknown-elf"),
    ),
}

def _compiler_flags(target, family):
    """Returns the struct(command, flags) of one cell of the matrix."""
    cell = getattr(TARGETS[target], family)
    flags = _FLAGS + cell.flags + TARGETS[target].flags
    if family == "gcc" and cell.command in COMPILERS:
        # The compiler's own stdint.h and stddef.h, and no libc's.
        flags = flags + [
            "-nostdinc",
            "-isystem",
            COMPILERS[cell.command].builtin_include,
        ]
    return struct(command = cell.command, flags = flags)

def _cross_object_impl(ctx):
    compiler = COMPILERS[ctx.attr.compiler]
    object = ctx.actions.declare_file(ctx.label.name + ".o")
    headers = [dep[CcInfo].compilation_context for dep in ctx.attr.deps]
    args = ctx.actions.args()
    args.add_all(ctx.attr.flags)
    args.add_all(
        depset(transitive = [h.quote_includes for h in headers]),
        before_each = "-iquote",
    )
    args.add("-c", ctx.file.src)
    args.add("-o", object)
    ctx.actions.run(
        executable = compiler.path,
        arguments = [args],
        inputs = depset(
            [ctx.file.src] + ctx.files.hdrs,
            transitive = [h.headers for h in headers],
        ),
        outputs = [object],
        env = {
            "PATH": "/usr/bin:/bin",
            # Read by nobody: a new compiler makes a new action.
            "COMPILER_VERSION": compiler.version,
        },
        mnemonic = "CrossCompile",
        progress_message = "Compiling %s with %s" % (
            ctx.label,
            ctx.attr.compiler,
        ),
    )
    return [DefaultInfo(
        files = depset([object]),
        runfiles = ctx.runfiles([object]),
    )]

cross_object = rule(
    implementation = _cross_object_impl,
    doc = "One object file, made by a compiler of @vvar_compilers.",
    attrs = {
        "compiler": attr.string(mandatory = True),
        "deps": attr.label_list(providers = [CcInfo]),
        "flags": attr.string_list(),
        "hdrs": attr.label_list(allow_files = True),
        "src": attr.label(allow_single_file = [".cc", ".S"], mandatory = True),
    },
)

def _linked_image_impl(ctx):
    image = ctx.actions.declare_file(ctx.label.name)
    args = ctx.actions.args()
    linker = COMPILERS[ctx.attr.linker]
    scripts = [ctx.file.script]
    args.add("-T", ctx.file.script)
    args.add_all(["-nostdlib", "--gc-sections", "--fatal-warnings"])
    args.add_all(ctx.attr.linkopts)
    if ctx.file.version_script:
        args.add(ctx.file.version_script, format = "--version-script=%s")
        scripts.append(ctx.file.version_script)
    args.add_all(ctx.files.objects)
    args.add("-o", image)
    ctx.actions.run(
        executable = linker.path,
        arguments = [args],
        inputs = ctx.files.objects + scripts,
        outputs = [image],
        env = {"LINKER_VERSION": linker.version},
        mnemonic = "LinkImage",
    )
    return [DefaultInfo(
        files = depset([image]),
        runfiles = ctx.runfiles([image]),
    )]

linked_image = rule(
    implementation = _linked_image_impl,
    doc = "Objects of cross_object, linked as a linker script says.",
    attrs = {
        "linker": attr.string(mandatory = True),
        "linkopts": attr.string_list(),
        "objects": attr.label_list(mandatory = True),
        "script": attr.label(allow_single_file = [".ld"], mandatory = True),
        "version_script": attr.label(allow_single_file = [".map"]),
    },
)

def _embedding_impl(ctx):
    source = ctx.actions.declare_file(ctx.label.name + ".S")

    # The sum is read by nobody: cc_library drops what the compiler does not
    # report to have read, and no compiler reports .incbin. So the source must
    # change with the image, or another image would keep the old one's object.
    ctx.actions.run_shell(
        command = 'printf "%s/* %s */\\n" "$1" "$(cksum <"$2")" >"$3"',
        arguments = [
            _EMBEDDING.format(
                symbol = ctx.attr.symbol,
                path = ctx.file.image.path,
            ),
            ctx.file.image.path,
            source.path,
        ],
        inputs = [ctx.file.image],
        outputs = [source],
        mnemonic = "EmbedImage",
    )
    return [DefaultInfo(files = depset([source]))]

# %progbits, because @ begins a comment for Arm.
_EMBEDDING = """\
  .section .note.GNU-stack, "", %progbits
  .section .rodata.{symbol}, "a", %progbits
  .balign 4096
  .globl {symbol}, {symbol}_end
{symbol}:
  .incbin "{path}"
{symbol}_end:
  .balign 4096
"""

embedding = rule(
    implementation = _embedding_impl,
    doc = "A source with an image's bytes between `symbol` and `symbol`_end, on pages of its own.",
    attrs = {
        "image": attr.label(allow_single_file = True, mandatory = True),
        "symbol": attr.string(mandatory = True),
    },
)

def can_link(target, family, linker = _LINKER):
    """Returns the command that is missing for such an image, or None."""
    for command in [getattr(TARGETS[target], family).command, linker]:
        if command not in COMPILERS:
            return command
    return None

def embedded_object(name, image, symbol, target, family = "gcc", **kwargs):
    """An object that holds an image's bytes.

    Args:
      name: the object's name.
      image: what is embedded.
      symbol: its first byte's; `symbol`_end follows its last.
      target: a key of TARGETS.
      family: "gcc" or "clang".
      **kwargs: passed to the object.
    """
    compiler = _compiler_flags(target, family)
    source = name + "_source"
    embedding(
        name = source,
        image = image,
        symbol = symbol,
        testonly = kwargs.get("testonly", False),
    )
    cross_object(
        name = name,
        src = source,
        hdrs = [image],
        compiler = compiler.command,
        flags = compiler.flags,
        **kwargs
    )

def freestanding_image(
        name,
        srcs,
        script,
        target,
        family = "gcc",
        deps = [],
        hdrs = [],
        copts = [],
        embeds = {},
        linkopts = ["-static"],
        linker = _LINKER,
        version_script = None,
        testonly = True,
        **kwargs):
    """A program for a bare machine. Range: can_link(target, family) is None.

    Args:
      name: the image's name.
      srcs: .cc and .S files.
      script: the linker script.
      target: a key of TARGETS.
      family: "gcc" or "clang".
      deps: the libraries of the headers that srcs include.
      hdrs: headers that srcs include and that are no library's.
      copts: more flags.
      embeds: {image: symbol}, other images whose bytes this one holds.
      linkopts: more of the linker's.
      linker: a key of COMPILERS.
      version_script: which symbols it exports, and as what version.
      testonly: whether only tests may use it.
      **kwargs: passed to the image.
    """
    compiler = _compiler_flags(target, family)
    objects = []
    for image, symbol in embeds.items():
        objects.append("%s_%s_object" % (name, symbol))
        embedded_object(
            name = objects[-1],
            image = image,
            symbol = symbol,
            target = target,
            family = family,
            testonly = testonly,
        )
    for source in srcs:
        objects.append("%s_%s_object" % (name, source.split(":")[-1].replace(".", "_")))
        cross_object(
            name = objects[-1],
            testonly = testonly,
            src = source,
            hdrs = hdrs,
            compiler = compiler.command,
            flags = compiler.flags + copts,
            deps = deps,
        )
    linked_image(
        name = name,
        testonly = testonly,
        linker = linker,
        linkopts = linkopts,
        objects = objects,
        script = script,
        version_script = version_script,
        **kwargs
    )

def freestanding_object_test(name, src, target, family, deps = [], **kwargs):
    """Tests that a source becomes an object without undefined symbols.

    Args:
      name: the test's name.
      src: the source; it must define a function.
      target: a key of TARGETS.
      family: "gcc" or "clang".
      deps: the libraries of the headers it includes.
      **kwargs: passed to the test.
    """
    compiler = _compiler_flags(target, family)
    if compiler.command not in COMPILERS:
        args = ["skip", compiler.command]
        data = []
    else:
        cross_object(
            name = name + "_object",
            testonly = True,
            src = src,
            compiler = compiler.command,
            flags = compiler.flags,
            deps = deps,
        )
        args = ["check", "$(rootpath %s_object)" % name]
        data = [name + "_object"]
    sh_test(
        name = name,
        size = "small",
        srcs = ["//tests/build:freestanding_object_test.sh"],
        args = args,
        data = data,
        **kwargs
    )

def freestanding_matrix(name, src, deps = [], **kwargs):
    """A freestanding_object_test for every target and compiler.

    Args:
      name: the test suite's name, and the tests' prefix.
      src: the source; it must define a function.
      deps: the libraries of the headers it includes.
      **kwargs: passed to each test.
    """
    tests = []
    for target in TARGETS:
        for family in ["gcc", "clang"]:
            test = "%s_%s_%s" % (name, target, family)
            tests.append(test)
            freestanding_object_test(
                name = test,
                src = src,
                target = target,
                family = family,
                deps = deps,
                **kwargs
            )
    native.test_suite(
        name = name,
        tests = tests,
    )
