"""vDSO images, from the sources of this folder."""

load("@rules_cc//cc:defs.bzl", "cc_library")
load("//tests/build:freestanding.bzl", "can_link", "embedding", "freestanding_image")

# Of image.h.
IMAGE_DEPS = [
    "//clocks:cpu_id",
    "//clocks:native",
    "//fallback:syscall",
    "//vvar:clock_table",
    "//vvar:header",
    "//vvar:offset",
    "//vvar:page",
    "//vvar:reader",
    "//vvar:seqcount",
    "//vvar:timebase",
]

# Landing pads, for kernels that ask for them of whatever is mapped. (Linux asks
# no program of 32 bits.)
_LANDING_PADS = {
    "aarch64": ["-mbranch-protection=bti"],
    "i386": ["-fcf-protection=none"],
    "riscv64": [],
    "x86_64": ["-fcf-protection=branch"],
}

# What Linux's own is called.
_SONAMES = {"i386": "linux-gate.so.1"}

# Of a linker that would make the machine's own format of bytes that are none.
_EMULATIONS = {"i386": ["-m", "elf_i386"]}

def vdso_image(name, target, family, linker, **kwargs):
    """An image. Returns the command that is missing for it, or None.

    Args:
      name: the image's name.
      target: a key of freestanding.bzl's TARGETS.
      family: "gcc" or "clang".
      linker: "ld.lld-19", or "ld.bfd", which knows x86-64 and i386 only.
      **kwargs: passed to the image.
    """
    missing = can_link(target, family, linker)
    if missing:
        return missing
    freestanding_image(
        name = name,
        srcs = ["//vdso:%s.cc" % target],
        hdrs = ["//vdso:image.h"],
        copts = [
            "-fPIC",
            "-fvisibility=hidden",
            # A table of jumps is a table of addresses.
            "-fno-jump-tables",
            # For debuggers that stop anywhere in it.
            "-fasynchronous-unwind-tables",
        ] + _LANDING_PADS[target],
        script = "//vdso:image.ld",
        target = target,
        family = family,
        linker = linker,
        linkopts = [
            "-shared",
            "-soname",
            _SONAMES.get(target, "linux-vdso.so.1"),
            "-Bsymbolic",
            # musl and Go look for DT_HASH; with the other one alone they would
            # make system calls and never say so.
            "--hash-style=both",
            "-zmax-page-size=4096",
            "-znoexecstack",
            "--no-undefined",
            "--eh-frame-hdr",
            # Of the contents: the bytes stay the same from build to build.
            "--build-id=sha1",
        ] + _EMULATIONS.get(target, []),
        version_script = "//vdso:%s.map" % target,
        deps = IMAGE_DEPS,
        **kwargs
    )
    return None

def image_array(name, image, **kwargs):
    """The file <name>.inc: an image's bytes, each followed by a comma.

    Args:
      name: the rule's name.
      image: an image.
      **kwargs: passed to the rule.
    """
    native.genrule(
        name = name,
        srcs = [image],
        outs = [name + ".inc"],
        cmd = "od -An -v -tu1 $< | sed 's/[0-9][0-9]*/&,/g' >$@",
        **kwargs
    )

def embedded_images(name, symbols, family, linker, **kwargs):
    """Images, TARGET_image, and a library with their bytes: embedded_image.h.

    Args:
      name: the library's name.
      symbols: {target: where its bytes begin}; target as vdso_image()'s.
      family: as vdso_image()'s.
      linker: as vdso_image()'s.
      **kwargs: passed to all.
    """
    missing = None
    sources = []
    images = []
    for target, symbol in symbols.items():
        image = target + "_image"
        missing = vdso_image(
            name = image,
            target = target,
            family = family,
            linker = linker,
            testonly = False,
            **kwargs
        ) or missing
        if not missing:
            images.append(image)
            sources.append(image + "_bytes")
            embedding(
                name = sources[-1],
                image = image,
                symbol = symbol,
            )
    cc_library(
        name = name,
        srcs = [] if missing else sources,
        hdrs = ["embedded_image.h"],
        # What the sources take in.
        textual_hdrs = [] if missing else images,
        defines = ["VVAR_IMAGE_NEEDS='\"%s\"'" % missing] if missing else [],
        **kwargs
    )
