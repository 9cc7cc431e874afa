"""The process that keeps the view of what became of messages: where the system forbids it something."""

import platform
import subprocess
import sys

import pytest

_SETPRIORITY = {"x86_64": 141, "aarch64": 140}
# As a unit with `SystemCallFilter=~@resources` has it: a filter that answers nice() with "not permitted".
_CONFINED = """
import ctypes, os, struct
libc = ctypes.CDLL(None, use_errno=True)
steps = [(0x20, 0, 0, 0), (0x15, 0, 1, NUMBER), (0x06, 0, 0, 0x00050001), (0x06, 0, 0, 0x7FFF0000)]
code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *step) for step in steps))
program = ctypes.create_string_buffer(struct.pack("@HP", len(steps), ctypes.addressof(code)))
assert libc.prctl(38, 1, 0, 0, 0) == 0
assert libc.prctl(22, 2, program, 0, 0) == 0, os.strerror(ctypes.get_errno())
try:
    os.nice(1)
except PermissionError:
    from entrypoints.status_process import give_way
    give_way()
    print("gave way")
"""


@pytest.mark.skipif(
    sys.platform != "linux" or platform.machine() not in _SETPRIORITY,
    reason="a filter of Linux's system calls",
)
def test_where_it_may_not_give_way_it_works_all_the_same() -> None:
    code = _CONFINED.replace("NUMBER", str(_SETPRIORITY[platform.machine()]))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert (done.returncode, done.stdout, done.stderr) == (0, "gave way\n", "")
