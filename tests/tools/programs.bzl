"""Tests on programs.py."""

load("@rules_shell//shell:sh_test.bzl", "sh_test")

def programs_test(name, args = [], data = [], **kwargs):
    """A test <name>.py on programs.py, which wants three arguments.

    Never in the sandbox: that has no second user, no terminal, and a /proc of
    its own.

    Args:
      name: the test's name.
      args: further arguments.
      data: what else it takes.
      **kwargs: passed to the test.
    """
    sh_test(
        name = name,
        size = "medium",
        srcs = [name + ".py"],
        args = [
            "$(location //tools:vvar)",
            "$(location exec_probe.c)",
            "$(location deny_time.c)",
        ] + args,
        data = [
            "deny_time.c",
            "exec_probe.c",
            "programs.py",
            "//tools:vvar",
        ] + data,
        tags = ["no-sandbox"],
        **kwargs
    )
