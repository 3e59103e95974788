"""Why: Bazel 9 has no built-in CcInfo; our .bzl files load it from here."""

load(":native_cc_info.bzl", "native_cc_info")

CcInfo = native_cc_info
