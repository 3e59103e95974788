"""Why: in Bazel 4.2 sh_binary is still a native rule."""

sh_binary = native.sh_binary
