"""A fuzz target, as a fuzzer and as a test of the normal suite."""

load("@rules_cc//cc:defs.bzl", "cc_binary", "cc_test")

def fuzz_target(name, deps, size = "small"):
    """Makes `<name>` and `<name>_test` of `<name>.cc`.

    `<name>` is libFuzzer's, and links in --config=fuzz alone. `<name>_test`
    runs the seeds, corpus/<name>/ and mutations of both, with any compiler.

    Args:
      name: the target's.
      deps: what its source includes, but for what all of them do.
      size: of the test.
    """
    deps = deps + [
        ":fuzz_target",
        "//tests/support:oracle",
    ]
    cc_binary(
        name = name,
        testonly = True,
        srcs = [name + ".cc"],
        linkopts = ["-fsanitize=fuzzer"],
        # Only clang has a libFuzzer.
        tags = ["manual"],
        deps = deps,
    )
    cc_test(
        name = name + "_test",
        size = size,
        srcs = [
            name + ".cc",
            "corpus_main.cc",
        ],
        args = ["tests/fuzz/corpus/" + name],
        # Thousands of inputs, each of them many reads.
        copts = ["-O2"],
        data = native.glob(["corpus/%s/*" % name]),
        deps = deps,
    )
