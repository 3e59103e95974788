#!/usr/bin/python3
"""The first C++ block of README.md is the program that the suite compiles and
runs, to the letter; and every path the README names is there."""

import os
import re
import sys

readme, example = open(sys.argv[1]).read(), sys.argv[2]
root = os.path.dirname(os.path.realpath(sys.argv[1]))
failed = False


def case(name, passed, reason):
    global failed
    failed |= not passed
    print("CASE", name, "PASSED" if passed else "FAILED " + reason)


blocks = re.findall(r"```cpp\n(.*?)```", readme, re.DOTALL)
case("readme_example_is_the_compiled_one",
     bool(blocks) and blocks[0] == open(example).read(),
     "differs from " + example)

paths = set(re.findall(
    r"`((?:vvar|clocks|fallback|hosted|tools|bench|tests|docs|third_party)/"
    r"[\w./*]*)`", readme))
missing = sorted(path for path in paths if "*" not in path
                 and not os.path.exists(os.path.join(root, path)))
case("readme_names_%d_paths_that_exist" % len(paths),
     bool(paths) and not missing, "missing: %s" % missing)
sys.exit(failed)
