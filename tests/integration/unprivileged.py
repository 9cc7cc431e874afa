"""Runs a program as one whom file rights bind, also where the tests run as root: `unprivileged.py PROGRAM …`.

Root passes over the rights of files by two capabilities. Without them in its bounding set a program that is
started gets neither, and the owner's rights hold for root as for anybody. Only Linux has these; elsewhere,
and for other users, there is nothing to drop.
"""

import ctypes
import os
import sys

_PR_CAPBSET_DROP = 24
_CAP_DAC_OVERRIDE, _CAP_DAC_READ_SEARCH = 1, 2


def main(program: list[str]) -> None:
    if sys.platform == "linux":
        libc = ctypes.CDLL(None)
        for capability in (_CAP_DAC_OVERRIDE, _CAP_DAC_READ_SEARCH):
            libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0)
    os.execv(program[0], program)  # noqa: S606 - the tests' own programs


if __name__ == "__main__":
    main(sys.argv[1:])
