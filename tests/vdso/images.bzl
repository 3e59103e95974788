"""Every image that can be built here, by each compiler and linker, and for each
a program that calls it."""

load("//tests/build:freestanding.bzl", "can_link", "freestanding_image")
load("//vdso:image.bzl", "vdso_image")

_PROGRAM_DEPS = [
    "//clocks:native",
    "//fallback:syscall",
    "//fallback:vdso_symbol",
    "//vvar:header",
    "//vvar:offset",
    "//vvar:page",
    "//vvar:reader",
    "//vvar:scale",
    "//vvar:seqcount",
    "//vvar:timebase",
    "//vvar:timekeeper",
    "//vvar:writer",
]

def _program(image, target, family):
    freestanding_image(
        name = image + "_program",
        srcs = [
            "image_program.cc",
            "//embed/kernel:memset.cc",
        ] + (["wide_division.cc"] if target == "i386" else []),
        hdrs = ["//embed/kernel:headers"],
        embeds = {image: "vvar_image"},
        script = "image_program.ld",
        target = target,
        family = family,
        linkopts = [
            "-static",
            "-zmax-page-size=4096",
        ],
        deps = _PROGRAM_DEPS,
    )

def all_images():
    """Makes them, and <name>_program. Returns the names of the images."""
    images = []
    for target in ["x86_64", "i386", "aarch64", "riscv64"]:
        linkers = ["ld.lld-19"]
        if target in ["x86_64", "i386"]:
            linkers.append("ld.bfd")
        for family in ["gcc", "clang"]:
            for linker in linkers:
                name = "%s_%s_%s" % (target, family, linker[3:6])
                missing = vdso_image(
                    name = name,
                    family = family,
                    linker = linker,
                    target = target,
                    testonly = True,
                )
                if missing or can_link(target, family):
                    continue
                images.append(name)
                _program(name, target, family)
    return images
