"""The freestanding core as packaging/vendor.sh copies it."""

load("@rules_cc//cc/common:cc_info.bzl", "CcInfo")

def _vendored_core_impl(ctx):
    folder = ctx.actions.declare_directory(ctx.label.name)
    headers = [dep[CcInfo].compilation_context.headers for dep in ctx.attr.deps]
    ctx.actions.run(
        executable = ctx.file._script,
        arguments = [folder.path],
        inputs = depset(
            [ctx.file._script] + ctx.files._read,
            transitive = headers,
        ),
        outputs = [folder],
        env = {"PATH": "/usr/bin:/bin"},
        mnemonic = "Vendor",
    )
    return [CcInfo(compilation_context = cc_common.create_compilation_context(
        headers = depset([folder]),
        quote_includes = depset([folder.path]),
    ))]

vendored_core = rule(
    implementation = _vendored_core_impl,
    doc = "A library of nothing but the copy: an include that leads out of it fails.",
    attrs = {
        "deps": attr.label_list(
            doc = "Libraries that reach every header to be copied.",
            providers = [CcInfo],
        ),
        "_read": attr.label_list(
            default = ["//:LICENSE", "//:MODULE.bazel"],
            allow_files = True,
        ),
        "_script": attr.label(
            default = "//packaging:vendor.sh",
            allow_single_file = True,
        ),
    },
)
