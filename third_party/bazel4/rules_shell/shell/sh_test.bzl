"""Why: in Bazel 4.2 sh_test is still a native rule."""

sh_test = native.sh_test
