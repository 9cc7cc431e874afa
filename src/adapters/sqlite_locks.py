"""Locks between processes, by the kernel: it frees them when their holder ends, however it ends."""

import fcntl
import os
from pathlib import Path

from adapters.sqlite_file import faults_of_opening


class WriteLock:
    """Writers of one file, in any process, take turns.

    SQLite's own waiting is polling without order: under load some writer meets "database is locked".
    The kernel wakes those who wait here. Who has just written cannot overtake who waits: to get in
    line it must pass `turn`, which the next one holds until it may write.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptors: tuple[int, int] | None = None

    def __enter__(self) -> None:
        turn, write = self._open()
        fcntl.flock(turn, fcntl.LOCK_EX)
        try:
            fcntl.flock(write, fcntl.LOCK_EX)
        finally:
            fcntl.flock(turn, fcntl.LOCK_UN)

    def __exit__(self, *_: object) -> None:
        fcntl.flock(self._open()[1], fcntl.LOCK_UN)

    def _open(self) -> tuple[int, int]:
        if self._descriptors is None:
            with faults_of_opening(self._path):
                turn = lock_file(self._path.with_name(f"{self._path.name}.turn-lock"))
                write = lock_file(self._path.with_name(f"{self._path.name}.write-lock"))
            self._descriptors = (turn, write)
        return self._descriptors

    def close(self) -> None:
        held = self._descriptors
        self._descriptors = None
        for descriptor in held or ():
            os.close(descriptor)


def lock_file(path: Path) -> int:
    """A descriptor to lock with `flock`: the kernel frees it when its process ends, however it ends."""
    return os.open(path, os.O_CREAT | os.O_RDWR, 0o600)
