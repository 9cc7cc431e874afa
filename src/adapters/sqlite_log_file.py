"""The log file as those open it who only now and then write to it: a connection on a thread of its own."""

import sqlite3
from pathlib import Path
from typing import Self

from adapters.sqlite_file import open_file
from adapters.sqlite_locks import WriteLock
from adapters.sqlite_schema import LOG
from adapters.sqlite_thread import SqliteThread
from domain.errors import LogUnavailable


class SqliteLogFile:
    """Open between entering and leaving. What touches the connection runs by `thread.call`.

    `makes_it`: entering makes a file that is missing; else only `make` does. `opens_it`: entering opens the
    file, and so brings that of an older Herald up to date; else only `make` does.
    """

    def __init__(self, path: Path, thread_name: str, *, makes_it: bool = True, opens_it: bool = True) -> None:
        self.path = path
        self._makes_it = makes_it
        self._opens_it = opens_it
        self.lock = WriteLock(path)
        self.thread = SqliteThread(thread_name)
        self._connection: sqlite3.Connection | None = None
        self._is_entered = False

    def connection(self) -> sqlite3.Connection:
        """Raises `LogUnavailable` while the file is not open."""
        if self._connection is None:
            raise LogUnavailable(f"{self.path} is not open")
        return self._connection

    @property
    def is_missing(self) -> bool:
        """Whether nobody has made the file yet."""
        return self._connection is None and not self.path.exists()

    def make(self) -> None:
        """Opens the file if it is not open, and makes it if it is missing."""
        if self._connection is None and self._is_entered:
            self._connection = open_file(self.path, LOG, self.lock)

    def _open(self) -> None:
        self._is_entered = True
        if self._opens_it and (self._makes_it or self.path.exists()):
            self.make()

    def _close(self) -> None:
        self._is_entered = False
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        self.lock.close()

    async def __aenter__(self) -> Self:
        """Raises `StorageBroken` and `UnknownVersion` where the file cannot be used."""
        self.thread.start()
        try:
            await self.thread.call(self._open)
        except BaseException:
            await self.thread.end(self._close)
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.thread.end(self._close)
