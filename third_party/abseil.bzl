"""Why: Debian ships Abseil as built libraries with one pkg-config file per
target and no BUILD files. Same labels as upstream, for the targets used here.

The headers are on the default include path, so a target is nothing but its
link options.
"""

# {package: {target: pkg-config name}}. To use another target, add its line.
_TARGETS = {
    "base": {
        "config": "absl_config",
        "core_headers": "absl_core_headers",
    },
    "cleanup": {"cleanup": "absl_cleanup"},
    "container": {
        "flat_hash_map": "absl_flat_hash_map",
        "flat_hash_set": "absl_flat_hash_set",
    },
    "debugging": {
        "failure_signal_handler": "absl_failure_signal_handler",
        "symbolize": "absl_symbolize",
    },
    "flags": {
        "config": "absl_flags_config",
        "flag": "absl_flags",
        "marshalling": "absl_flags_marshalling",
        "parse": "absl_flags_parse",
        "reflection": "absl_flags_reflection",
        "usage": "absl_flags_usage",
    },
    "functional": {
        "any_invocable": "absl_any_invocable",
        "function_ref": "absl_function_ref",
    },
    "numeric": {
        "bits": "absl_bits",
        "int128": "absl_int128",
    },
    "random": {
        "bit_gen_ref": "absl_random_bit_gen_ref",
        "distributions": "absl_random_distributions",
        "random": "absl_random_random",
    },
    "status": {
        "status": "absl_status",
        "statusor": "absl_statusor",
    },
    "strings": {
        "str_format": "absl_str_format",
        "strings": "absl_strings",
    },
    "synchronization": {"synchronization": "absl_synchronization"},
    "time": {"time": "absl_time"},
    "types": {
        "optional": "absl_optional",
        "span": "absl_span",
    },
}

_BUILD_HEADER = """\
load("@rules_cc//cc:defs.bzl", "cc_library")

package(default_visibility = ["//visibility:public"])
"""

_BUILD_TARGET = """
cc_library(
    name = "{name}",
    linkopts = {linkopts},
)
"""

def _linkopts(repository_ctx, pkg_config_name):
    result = repository_ctx.execute(["pkg-config", "--libs", pkg_config_name])
    if result.return_code:
        fail(result.stderr + "third_party/setup.sh installs what is missing.")
    libraries = [word.strip() for word in result.stdout.split(" ")]
    libraries = [word for word in libraries if word]
    if not libraries:
        return []  # A target of headers only.

    # Static: a tool that prints the time should not load sixty shared objects
    # first. A group: pkg-config's order does not satisfy every linker.
    return (
        ["-Wl,--push-state,-Bstatic,--start-group"] +
        libraries +
        ["-Wl,--end-group,--pop-state", "-pthread"]
    )

def _abseil_from_debian_impl(repository_ctx):
    for package, targets in _TARGETS.items():
        content = _BUILD_HEADER
        for name, pkg_config_name in targets.items():
            content += _BUILD_TARGET.format(
                name = name,
                linkopts = repr(_linkopts(repository_ctx, pkg_config_name)),
            )
        repository_ctx.file("absl/%s/BUILD" % package, content)

abseil_from_debian = repository_rule(
    implementation = _abseil_from_debian_impl,
    local = True,  # What it finds depends on the machine: look anew.
)
