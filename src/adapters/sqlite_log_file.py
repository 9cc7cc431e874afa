"""The log file as those open it who only now and then write to it: a connection on a thread of its own."""

import sqlite3
from pathlib import Path
from typing import Self

from adapters.sqlite_file import WriteLock, open_file
from adapters.sqlite_schema import LOG
from adapters.sqlite_thread import SqliteThread
from domain.errors import LogUnavailable


class SqliteLogFile:
    """Open between entering and leaving. What touches the connection runs by `thread.call`."""

    def __init__(self, path: Path, thread_name: str) -> None:
        self.path = path
        self.lock = WriteLock(path)
        self.thread = SqliteThread(thread_name)
        self._connection: sqlite3.Connection | None = None

    def connection(self) -> sqlite3.Connection:
        """Raises `LogUnavailable` while the file is not open."""
        if self._connection is None:
            raise LogUnavailable(f"{self.path} is not open")
        return self._connection

    def _open(self) -> None:
        self._connection = open_file(self.path, LOG, self.lock)

    def _close(self) -> None:
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
