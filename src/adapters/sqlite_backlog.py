"""`GroupBacklog` on SQLite: the log's file and a group's file, read while others may write them."""

import sqlite3
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Self, TypeVar

from adapters.sqlite_file import Schema, faults_of, open_to_read
from adapters.sqlite_ledger import deferrals_from, entries_from
from adapters.sqlite_schema import GROUP, LOG, group_path, offset_of, row_id, unpack_headers
from adapters.sqlite_thread import SqliteThread
from domain.ledger import Places, Written
from domain.log import Record, Shard

T = TypeVar("T")

# A statement looks at so many rows: no reader keeps a checkpoint waiting for long.
_SLICE_ROWS = 500
# The oldest versions of the files that have what is read.
_LEDGERS, _MESSAGES = (GROUP, 2), (LOG, 1)
_SHARD = "SELECT id FROM shards WHERE topic = ? AND partition = ?"
_RECORDS = """SELECT id, time, key, value, headers FROM records WHERE id >= ? AND id < ?
    ORDER BY id LIMIT ?"""


class SqliteGroupBacklog:
    """Nothing is made or changed by it: where a file is missing, nobody has written there yet."""

    def __init__(self, log_path: Path) -> None:
        self._path = log_path
        self._thread = SqliteThread("backlog")

    async def notes(self, group: str, shard: Shard, since: Places) -> AsyncIterator[Sequence[Written]]:
        path = group_path(self._path, group)
        for slice_from, start in ((entries_from, since.ledger), (deferrals_from, since.deferred)):
            position = start
            while some := await self._read(path, _LEDGERS, slice_from(shard, position)):
                yield some
                position = some[-1].position + 1

    async def records(self, shard: Shard, first: int, end: int) -> AsyncIterator[Sequence[Record]]:
        while some := await self._read(self._path, _MESSAGES, _records_from(shard, first, end)):
            yield some
            first = some[-1].offset + 1

    async def _read(
        self, path: Path, kind: tuple[Schema, int], job: Callable[[sqlite3.Connection], list[T]]
    ) -> list[T]:
        def read() -> list[T]:
            with faults_of(path):
                file = open_to_read(path, *kind)
                if file is None:
                    return []
                with closing(file):
                    return job(file)

        return await self._thread.call(read)

    async def __aenter__(self) -> Self:
        self._thread.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._thread.end(lambda: None)


def _records_from(shard: Shard, first: int, end: int) -> Callable[[sqlite3.Connection], list[Record]]:
    def read(file: sqlite3.Connection) -> list[Record]:
        found = file.execute(_SHARD, (shard.topic, shard.partition)).fetchone()
        if found is None:
            return []
        span = (row_id(found[0], first), row_id(found[0], end), _SLICE_ROWS)
        rows = file.execute(_RECORDS, span).fetchall()
        return [
            Record(shard, offset_of(row), key, value, unpack_headers(headers), time)
            for row, time, key, value, headers in rows
        ]

    return read
