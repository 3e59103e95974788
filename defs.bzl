"""The shape of a header target. See tests/build/freestanding.bzl for the
macros that compile headers for other machines."""

load("@rules_cc//cc:defs.bzl", "cc_library")

def _include_twice_impl(ctx):
    source = ctx.actions.declare_file(ctx.label.name + ".cc")
    ctx.actions.write(source, '#include "%s"\n' % ctx.file.header.short_path * 2)
    return [DefaultInfo(files = depset([source]))]

_include_twice = rule(
    implementation = _include_twice_impl,
    doc = "A source file that includes one header, twice, and nothing else.",
    attrs = {"header": attr.label(allow_single_file = [".h"], mandatory = True)},
)

def vvar_header(name, hdr, deps = [], **kwargs):
    """A library of one header, and the proof that it can be included alone.

    `<name>_self_contained` compiles the header with nothing before it, under
    the warnings of .bazelrc, and has an include guard to pass.

    Args:
      name: the library's name; the header's without ".h".
      hdr: the header.
      deps: the libraries of the headers it includes.
      **kwargs: passed to the library, such as visibility.
    """
    cc_library(
        name = name,
        hdrs = [hdr],
        deps = deps,
        **kwargs
    )
    _include_twice(
        name = name + "_included_twice",
        testonly = True,
        header = hdr,
        visibility = ["//visibility:private"],
    )
    cc_library(
        name = name + "_self_contained",
        testonly = True,
        srcs = [name + "_included_twice"],
        visibility = ["//visibility:private"],
        deps = [name],
    )
