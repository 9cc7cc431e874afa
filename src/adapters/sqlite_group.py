"""A group's own SQLite file, written by the group's one active process.

Active is who holds the lock on `{name}.{group}.lock`. The kernel frees it when its holder dies, however
it dies, and never before: a frozen process stays the active one.
"""

import asyncio
import fcntl
import os
import sqlite3
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, TypeVar

from adapters.sqlite_file import faults_of, faults_of_opening, open_file, prove, transaction
from adapters.sqlite_locks import lock_file
from adapters.sqlite_presence import Presence
from adapters.sqlite_schema import GROUP, group_path
from adapters.sqlite_thread import SqliteThread, tell
from domain.errors import LogUnavailable

T = TypeVar("T")
_ANSWER_SECONDS = 10.0


@dataclass(slots=True, eq=False)
class _Write:
    job: Callable[[sqlite3.Connection], Any]
    answered: asyncio.Future[Any]


class SqliteGroupFile:
    """One process's hold on its group's file, shared by all stores of the group in this process."""

    def __init__(self, log_path: Path, group: str) -> None:
        self.log_path = log_path
        self.group = group
        self.path = group_path(log_path, group)
        self._lock_path = group_path(log_path, group, "lock")
        self._thread = SqliteThread(f"{group}-file")
        self._connection: sqlite3.Connection | None = None
        self._presences: tuple[Presence, ...] = ()
        self._lock: int | None = None
        self._users = 0
        self._writes: deque[_Write] = deque()

    @property
    def is_active(self) -> bool:
        return self._connection is not None

    async def take_over(self) -> bool:
        """Whether this process is the active one; becomes it where nobody is.

        Raises `StorageBroken` and `UnknownVersion` where the file cannot be used, `LogUnavailable` where it
        cannot be written for now.
        """
        return self.is_active or await self._thread.call(self._take_over)

    async def write(self, job: Callable[[sqlite3.Connection], T]) -> T:
        """Runs the job in a transaction; on return the disk has it. All of it or nothing.

        What waits at the same moment shares one commit; where that fails, each job is run again in one of
        its own, so that no job fails for another. Raises `LogUnavailable` where it is not confirmed in time
        or another process is the active one, `StorageBroken` where only a person can help.
        """
        write = _Write(job, asyncio.get_running_loop().create_future())
        self._writes.append(write)
        # A call each: the first one's writes all that wait, the others then find nothing to do.
        self._thread.post(self._write_waiting)
        result: T = await self._bounded(write.answered)
        return result

    async def read(self, job: Callable[[sqlite3.Connection], T]) -> T:
        """Raises as `write`."""
        return await self._bounded(self._thread.call(lambda: self._run(job)))

    async def _bounded(self, answer: Awaitable[T]) -> T:
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                return await answer
        except TimeoutError as error:
            raise LogUnavailable(f"{self.path} did not answer within {_ANSWER_SECONDS:g} s") from error

    def _take_over(self) -> bool:
        if self._connection is None and self._is_locked():
            self._connection = self._open()
        return self.is_active

    def _open(self) -> sqlite3.Connection:
        """Open, and proven: whoever reads and cannot write would send the same again after each restart."""
        connection = open_file(self.path, GROUP, nullcontext())
        try:
            with faults_of(self.path):
                prove(connection)
        except BaseException:
            connection.close()
            raise
        self._presences = (Presence(self.path), *self._presences)
        return connection

    def _is_locked(self) -> bool:
        with faults_of_opening(self.path):
            if self._lock is None:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                self._lock = lock_file(self._lock_path)
            try:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            # Who deletes a lock file, thinking it stale, lets a second process become active.
            there = Presence(self._lock_path)
            if not there.is_of(self._lock):
                os.close(self._lock)
                self._lock = None
                return False
        self._presences = (there,)
        return True

    def _write_waiting(self) -> None:
        """In the file's thread."""
        taken = [self._writes.popleft() for _ in range(len(self._writes))]
        # Who has given up gets nothing written: it was told that it is not confirmed.
        writes = [write for write in taken if not write.answered.done()]
        for write, answer in zip(writes, self._together(writes), strict=True):
            tell(write.answered.get_loop(), _settle, write.answered, answer)

    def _together(self, writes: Sequence[_Write]) -> Sequence[Any]:
        """A job's answer, or its error, for each."""
        if not writes:
            return []
        try:
            connection = self._active()
            with faults_of(self.path), transaction(connection):
                return [write.job(connection) for write in writes]
        except Exception as error:  # noqa: BLE001 - whatever it is, the callers get it
            if len(writes) == 1:
                return [error]
        return [answer for write in writes for answer in self._together([write])]

    def _run(self, job: Callable[[sqlite3.Connection], T]) -> T:
        connection = self._active()
        with faults_of(self.path):
            return job(connection)

    def _active(self) -> sqlite3.Connection:
        if self._connection is None:
            raise LogUnavailable(f"another process of the group {self.group} is the active one")
        for presence in self._presences:
            presence.check()
        return self._connection

    def _close(self) -> None:
        """The lock goes last: whoever gets it finds everything written."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    async def __aenter__(self) -> Self:
        """Once for each store that uses it."""
        self._users += 1
        if self._users == 1:
            self._thread.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._users -= 1
        if self._users == 0:
            await self._thread.end(self._close)


def _settle(answered: asyncio.Future[Any], answer: Any) -> None:
    if answered.done():
        return
    if isinstance(answer, Exception):
        answered.set_exception(answer)
    else:
        answered.set_result(answer)
