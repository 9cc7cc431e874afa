"""Reads the log file. It is used by one thread."""

import sqlite3
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path

from adapters.sqlite_file import faults_of, open_file
from adapters.sqlite_locks import WriteLock
from adapters.sqlite_presence import Presence
from adapters.sqlite_schema import LOG, offset_of, row_id, unpack_headers
from domain.errors import LogUnavailable
from domain.log import Bounds, Overtaken, Record, Shard

_RECORDS = "SELECT id, time, key, value, headers FROM records WHERE id >= ? AND id < ? ORDER BY id LIMIT ?"
_RECORD = "SELECT id, time, key, value, headers FROM records WHERE id = ?"
_FIRST = "SELECT min(id) FROM records WHERE id >= ? AND id < ?"


@dataclass(frozen=True, slots=True)
class Look:
    """What one look at the log saw. `is_all`: nothing more until somebody commits to the log."""

    shards: AbstractSet[Shard]
    overtaken: Overtaken | None
    records: Sequence[Record]
    is_all: bool


class LogReader:
    """The reading side of the log file, for some topics."""

    def __init__(self, path: Path, topics: Sequence[str]) -> None:
        self._path = path
        self._topics = frozenset(topics)
        self._lock = WriteLock(path)
        self._connection: sqlite3.Connection | None = None
        self._presence: Presence | None = None
        self._version: int | None = None
        self._shards: dict[Shard, tuple[int, int]] = {}
        self._turn = 0

    def open(self) -> None:
        """Raises `StorageBroken` and `UnknownVersion`."""
        self._connection = open_file(self._path, LOG, self._lock)
        self._presence = Presence(self._path)
        self._lock.close()

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        self._lock.close()

    def look(self, cursors: Mapping[Shard, int], limit: int) -> Look:
        """At most `limit` records from the shards' next offsets on. Raises `HeraldError`."""
        with faults_of(self._path):
            connection = self._usable()
            self._look_for_commits(connection)
            return self._read(connection, cursors, limit)

    def bounds(self, shards: AbstractSet[Shard]) -> dict[Shard, Bounds]:
        """Raises `HeraldError`."""
        with faults_of(self._path):
            connection = self._usable()
            self._look_for_commits(connection)
            return {shard: self._bounds(connection, shard) for shard in shards}

    def peek(self, shard: Shard, offset: int) -> Record | None:
        """Raises `HeraldError`."""
        with faults_of(self._path):
            connection = self._usable()
            self._look_for_commits(connection)
            number, end = self._known(shard)
            if not 0 <= offset < end:
                return None
            row = connection.execute(_RECORD, (row_id(number, offset),)).fetchone()
        return None if row is None else _record(shard, row)

    def _usable(self) -> sqlite3.Connection:
        if self._connection is None or self._presence is None:
            raise LogUnavailable(f"{self._path} is not open")
        self._presence.check()
        return self._connection

    def _look_for_commits(self, connection: sqlite3.Connection) -> None:
        """Cheap when there were none: no page of the file is read."""
        (version,) = connection.execute("PRAGMA data_version").fetchone()
        if version != self._version:
            rows = connection.execute("SELECT id, topic, partition, next_offset FROM shards").fetchall()
            self._shards = {
                Shard(topic, partition): (number, end)
                for number, topic, partition, end in rows
                if topic in self._topics
            }
            self._version = version

    def _read(self, connection: sqlite3.Connection, cursors: Mapping[Shard, int], limit: int) -> Look:
        records: list[Record] = []
        is_all = True
        for shard in self._in_turn(cursors):
            number, end = self._shards[shard]
            offset = cursors[shard]
            room = limit - len(records)
            if offset >= end or room <= 0:
                is_all = is_all and offset >= end
                continue
            rows = connection.execute(
                _RECORDS, (row_id(number, offset), row_id(number + 1, 0), room)
            ).fetchall()
            first = offset_of(rows[0][0]) if rows else end
            if first > offset:
                return Look(self._shards.keys(), Overtaken(shard, first), [], is_all=False)
            records += [_record(shard, row) for row in rows]
            is_all = is_all and offset_of(rows[-1][0]) + 1 >= end
        return Look(self._shards.keys(), None, records, is_all)

    def _in_turn(self, cursors: Mapping[Shard, int]) -> list[Shard]:
        """Each time another shard comes first: a busy one must not starve the others."""
        known = sorted(shard for shard in cursors if shard in self._shards)
        self._turn = (self._turn + 1) % max(len(known), 1)
        return known[self._turn :] + known[: self._turn]

    def _known(self, shard: Shard) -> tuple[int, int]:
        """The shard's number and end."""
        if shard not in self._shards:
            raise LogUnavailable(f"the log has no partition {shard.partition} of {shard.topic}")
        return self._shards[shard]

    def _bounds(self, connection: sqlite3.Connection, shard: Shard) -> Bounds:
        number, end = self._known(shard)
        (first,) = connection.execute(_FIRST, (row_id(number, 0), row_id(number + 1, 0))).fetchone()
        return Bounds(end if first is None else offset_of(first), end)


def _record(shard: Shard, row: tuple[int, float, bytes | None, bytes, bytes | None]) -> Record:
    number, time, key, value, headers = row
    return Record(shard, offset_of(number), key, value, unpack_headers(headers), time)
