"""Programs run where the counter is refused: by x86's PR_SET_TSC, which a
preloaded library sets before main(). Earlier, the dynamic linker itself would
read the counter; so only dynamic programs can be run so."""

import ctypes
import os
import subprocess

_PR_GET_TSC = 25
_LIBRARY = """
#include <sys/prctl.h>
__attribute__((constructor)) static void refuse(void) {
  prctl(PR_SET_TSC, PR_TSC_SIGSEGV, 0, 0, 0);
}
"""


def can_be_refused():
  """Whether this machine and kernel can withhold the counter."""
  answer = ctypes.c_int()
  return ctypes.CDLL(None).prctl(_PR_GET_TSC, ctypes.byref(answer), 0, 0,
                                 0) == 0


def environment(folder):
  """Returns the environment of a program without the counter; `folder` takes
  the library, and outlives the program."""
  library = os.path.join(folder, "refused_counter.so")
  subprocess.run(["gcc", "-shared", "-fPIC", "-x", "c", "-", "-o", library],
                 input=_LIBRARY, text=True, check=True)
  return {**os.environ, "LD_PRELOAD": library}
