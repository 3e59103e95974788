"""Why: a file cannot export a built-in name under that same name, so that
cc_info.bzl needs this detour."""

native_cc_info = CcInfo
