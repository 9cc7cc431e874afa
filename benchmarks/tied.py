"""Becomes a program that ends with whoever started it: `python tied.py COMMAND...`.

The kernel kills it when its starter dies, however that dies, so a run that was killed leaves no server.
The process keeps its number and what it inherited. Only Linux can do that; elsewhere the program just runs.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1

if __name__ == "__main__":
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    os.execvp(sys.argv[1], sys.argv[1:])
