"""A receipt is given only after the disk has the record.

SIGKILL cannot tell a synchronous commit from one that only reached the kernel, so the order of system calls
is looked at: between the write to the WAL and the receipt there has to be an fdatasync.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.integration import sqlite_process

RECEIPTS = 20
# Descriptor, path (-y), and for calls that another thread interrupted the two halves (-f).
_WAL_WRITE = re.compile(r"(?:pwrite64|write)\(\d+<[^>]*-wal>")
_WAL_SYNC = re.compile(r"(?:fdatasync|fsync)\(\d+<[^>]*-wal>(.*)$")
_SYNC_RESUMED = re.compile(r"<\.\.\. (?:fdatasync|fsync) resumed>")
_RECEIPT = re.compile(r'write\(1<[^>]*>, "receipt \d+')


def receipts_before_the_disk(trace: Iterable[str]) -> tuple[int, int]:
    """How many receipts there were, and how many of them came before their record was on the disk."""
    receipts = early = 0
    written = synced = False
    for line in trace:
        if _RECEIPT.search(line):
            receipts += 1
            early += not (written and synced)
            written = synced = False
        elif _WAL_WRITE.search(line):
            written, synced = True, False
        elif _SYNC_RESUMED.search(line) or ((sync := _WAL_SYNC.search(line)) and "unfinished" not in sync[1]):
            synced = True
    return receipts, early


def strace_or_not_run() -> str:
    strace = shutil.which("strace")
    works = (
        strace is not None
        and subprocess.run([strace, "true"], capture_output=True, check=False).returncode == 0
    )
    if strace is None or not works:
        reason = "strace is missing or may not trace here: that commits reach the disk was not tested"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    return strace


def traced(path: Path, synchronous: str) -> list[str]:
    log = path.with_suffix(".strace")
    strace = [strace_or_not_run(), "-f", "-y", "-e", "trace=fdatasync,fsync,write,pwrite64", "-o", str(log)]
    program = [sys.executable, sqlite_process.__file__, "one-by-one", str(path), synchronous, str(RECEIPTS)]
    subprocess.run([*strace, *program], check=True, capture_output=True, timeout=60)
    return log.read_text(errors="replace").splitlines()


def test_every_receipt_comes_after_its_records_fdatasync(tmp_path: Path) -> None:
    trace = traced(tmp_path / "herald.db", "FULL")

    assert receipts_before_the_disk(trace) == (RECEIPTS, 0)


def test_the_same_check_finds_a_log_that_does_not_wait_for_the_disk(tmp_path: Path) -> None:
    trace = traced(tmp_path / "herald.db", "NORMAL")
    receipts, early = receipts_before_the_disk(trace)

    assert receipts == RECEIPTS
    assert early >= RECEIPTS - 1
