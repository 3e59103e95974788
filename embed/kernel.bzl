"""A kernel for a bare machine with a user program inside, and the test that
runs it in an emulator."""

load("@rules_shell//shell:sh_test.bzl", "sh_test")
load("//tests/build:freestanding.bzl", "can_link", "freestanding_image")
load("//vdso:image.bzl", "vdso_image")

_DEPS = [
    "//clocks:native",
    "//fallback:syscall",
    "//fallback:vdso_symbol",
    "//vdso:loader",
    "//vvar:header",
    "//vvar:page",
    "//vvar:reader",
    "//vvar:scale",
    "//vvar:seqcount",
    "//vvar:slot",
    "//vvar:timebase",
    "//vvar:timekeeper",
    "//vvar:writer",
]

def _kernel(name, srcs, hdrs, script, target, family, image, user_start, user_copts):
    freestanding_image(
        name = name + "_user",
        srcs = [
            user_start,
            "//embed/kernel:memset.cc",
            "//embed/kernel:user_program.cc",
        ],
        hdrs = ["//embed/kernel:headers"],
        # Above 2 GiB x86 needs addresses relative to the program counter.
        copts = ["-fpie", "-fvisibility=hidden"] + user_copts,
        script = "//embed/kernel:user.ld",
        target = target,
        family = family,
        linkopts = ["-static", "--oformat=binary"],
        deps = _DEPS,
    )
    freestanding_image(
        name = name,
        srcs = srcs + ["//embed/kernel:memset.cc"],
        hdrs = hdrs + ["//embed/kernel:headers"],
        script = script,
        target = target,
        family = family,
        embeds = {name + "_user": "user_program", image: "vvar_image"},
        deps = _DEPS,
    )

def kernel_test(name, srcs, script, target, user_start, hdrs = []):
    """Makes <name>_gcc and <name>_clang, and <name>_<compiler>_test for each.

    Args:
      name: of the kernel; the emulator is told by ../qemu_test.py.
      srcs: .cc and .S files of the kernel.
      script: its linker script.
      target: a key of TARGETS.
      user_start: the .S file of the user program.
      hdrs: headers of the kernel.
    """
    for family in ["gcc", "clang"]:
        kernel = "%s_%s" % (name, family)
        missing = can_link(target, family)
        if missing:
            args = ["skip", missing]
            data = []
        else:
            args = [name, "$(rootpath %s)" % kernel, "$(rootpath %s_no_recheck)" % kernel]
            data = [kernel, kernel + "_no_recheck"]
            image = kernel + "_image"
            vdso_image(image, target, family, "ld.lld-19", testonly = True)
            _kernel(kernel, srcs, hdrs, script, target, family, image, user_start, [])
            _kernel(kernel + "_no_recheck", srcs, hdrs, script, target, family, image, user_start, ["-DVVAR_EMBED_NO_RECHECK"])
        sh_test(
            name = kernel + "_test",
            size = "medium",
            srcs = ["//embed:qemu_test.py"],
            args = args,
            data = data,
            # Emulators of two CPUs race: not beside everything else.
            tags = ["exclusive"],
        )
