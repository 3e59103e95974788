"""Every image that can be built here, by each compiler and linker."""

load("//vdso:image.bzl", "vdso_image")

def all_images():
    """Makes them, and returns their names."""
    images = []
    for target in ["x86_64", "aarch64", "riscv64"]:
        linkers = ["ld.lld-19"] + (["ld.bfd"] if target == "x86_64" else [])
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
                if not missing:
                    images.append(name)
    return images
