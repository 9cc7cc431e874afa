"""Appends records to the log file, many in one commit. It is used by one thread."""

import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from adapters.sqlite_file import faults_of, open_file, prove, transaction
from adapters.sqlite_locks import WriteLock
from adapters.sqlite_presence import Presence
from adapters.sqlite_schema import LOG, pack_headers, row_id
from domain.errors import LogUnavailable
from domain.log import NewRecord, Receipt, Shard, Unconfirmed

Answer = Receipt | Unconfirmed

_COLUMNS = 5
# Python hands its lock around at each step of a statement. Many rows a statement are few steps, so
# that the writer does not queue for the lock behind a busy event loop once a row.
_ROWS_A_STATEMENT = (256, 64, 16, 4, 1)
_INSERT = "INSERT INTO records (id, time, key, value, headers) VALUES "
_INSERTS = {rows: _INSERT + ", ".join(["(?, ?, ?, ?, ?)"] * rows) for rows in _ROWS_A_STATEMENT}


@dataclass(slots=True)
class _End:
    """Where a shard's next record goes."""

    shard_id: int
    offset: int


class Appender:
    """The writing side of the log file."""

    def __init__(self, path: Path, synchronous: str = "FULL") -> None:
        self._path = path
        self._synchronous = synchronous
        self._lock = WriteLock(path)
        self._connection: sqlite3.Connection | None = None
        self._presence: Presence | None = None
        self._ends: dict[Shard, _End] = {}
        self._version: int | None = None
        self._is_proven = False

    def open(self) -> None:
        """Raises `StorageBroken` and `UnknownVersion`."""
        if self._connection is None:
            self._connection = open_file(self._path, LOG, self._lock, self._synchronous)
            self._presence = Presence(self._path)

    def append(self, batches: Sequence[Sequence[NewRecord]], now: float) -> list[list[Answer]]:
        """All or nothing of all batches; on return the disk has them. Raises `HeraldError`."""
        try:
            connection = self._usable()
            with faults_of(self._path), self._lock, transaction(connection):
                self._look_for_others(connection)
                answers = self._insert(connection, batches, now)
        except BaseException:
            self._version = None  # the offsets counted in memory are not those of the file any more
            self._is_proven = False
            raise
        self._is_proven = True
        return answers

    def check(self) -> None:
        """Raises `HeraldError` when the file does not take records.

        At first and after a failure it tries by writing: a file may be open and not let this user write.
        """
        connection = self._usable()
        if not self._is_proven:
            with faults_of(self._path), self._lock:
                prove(connection)
            self._is_proven = True

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        self._lock.close()

    def _usable(self) -> sqlite3.Connection:
        self.open()
        if self._connection is None or self._presence is None:
            raise LogUnavailable(f"{self._path} is not open")
        self._presence.check()
        return self._connection

    def _look_for_others(self, connection: sqlite3.Connection) -> None:
        """Another process's commit may have moved the ends or added topics."""
        (version,) = connection.execute("PRAGMA data_version").fetchone()
        if version == self._version:
            return
        rows = connection.execute("SELECT id, topic, partition, next_offset FROM shards")
        self._ends = {Shard(topic, partition): _End(number, end) for number, topic, partition, end in rows}
        self._version = version

    def _insert(
        self, connection: sqlite3.Connection, batches: Sequence[Sequence[NewRecord]], now: float
    ) -> list[list[Answer]]:
        row_values: list[object] = []
        moved: dict[int, int] = {}
        answers = [[self._place(record, now, row_values, moved) for record in batch] for batch in batches]
        for rows, values in _statements(row_values):
            connection.execute(_INSERTS[rows], values)
        ends = [(end, shard_id) for shard_id, end in moved.items()]
        connection.executemany("UPDATE shards SET next_offset = ? WHERE id = ?", ends)
        return answers

    def _place(
        self, record: NewRecord, now: float, row_values: list[object], moved: dict[int, int]
    ) -> Answer:
        end = self._ends.get(record.shard)
        if end is None:
            return Unconfirmed(f"the log has no partition {record.shard.partition} of {record.shard.topic}")
        offset = end.offset
        end.offset = moved[end.shard_id] = offset + 1
        row = row_id(end.shard_id, offset)
        row_values += (row, now, record.key, record.value, pack_headers(record.headers))
        return Receipt(offset)


def _statements(row_values: list[object]) -> Iterator[tuple[int, list[object]]]:
    at = 0
    for rows in _ROWS_A_STATEMENT:
        width = rows * _COLUMNS
        while len(row_values) - at >= width:
            yield rows, row_values[at : at + width]
            at += width
