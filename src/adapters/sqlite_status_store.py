"""A view of what became of messages in a SQLite file of its own, for a log that cannot be asked for one.

One process writes it, any number read it. It is made anew at each start, so a power cut may take it.
"""

import sqlite3
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Self

from adapters.sqlite_file import Schema, faults_of, faults_of_opening, open_file, transaction
from adapters.sqlite_schema import row_id
from adapters.sqlite_thread import SqliteThread
from domain.errors import LogUnavailable
from domain.ledger import LedgerRecord
from domain.log import Shard
from domain.status import DeferralChange, Noted, Sighting, StatusEvent
from domain.status_fold import FIRST_TRIES, NEWEST_TRIES

_FORGET_SLICE = 10_000

# A row id is a shard's number and an offset, as in the log's own file.
STATUS_VIEW = Schema(
    kind="status view of Herald",
    application_id=0x48524C53,  # "HRLS"
    version=2,
    statements=(
        """CREATE TABLE shards (
            id INTEGER PRIMARY KEY, topic TEXT NOT NULL, partition INTEGER NOT NULL, UNIQUE (topic, partition)
        )""",
        """CREATE TABLE sightings (
            id INTEGER PRIMARY KEY, request_id TEXT NOT NULL, at REAL NOT NULL, channels TEXT NOT NULL,
            for_group TEXT NOT NULL
        )""",
        "CREATE INDEX sightings_of_request ON sightings (request_id)",
        "CREATE INDEX sightings_in_time ON sightings (at)",
        """CREATE TABLE notes (
            id INTEGER NOT NULL, for_group TEXT NOT NULL, state TEXT NOT NULL, attempts INTEGER NOT NULL,
            uncertain INTEGER NOT NULL, reason TEXT NOT NULL, provider_id TEXT NOT NULL, at REAL NOT NULL,
            PRIMARY KEY (id, for_group)
        ) WITHOUT ROWID""",
        # Of those that were tried and stay open, which are few: what ends at once has no row here. `number`:
        # the how manieth try.
        """CREATE TABLE tries (
            id INTEGER NOT NULL, for_group TEXT NOT NULL, number INTEGER NOT NULL, at REAL NOT NULL,
            uncertain INTEGER NOT NULL, state TEXT NOT NULL, reason TEXT NOT NULL,
            PRIMARY KEY (id, for_group, number, at, uncertain)
        ) WITHOUT ROWID""",
        """CREATE TABLE deferred (
            id INTEGER NOT NULL, for_group TEXT NOT NULL, due REAL NOT NULL, PRIMARY KEY (id, for_group)
        ) WITHOUT ROWID""",
        """CREATE TABLE passed (
            shard INTEGER NOT NULL, for_group TEXT NOT NULL, low INTEGER NOT NULL,
            PRIMARY KEY (shard, for_group)
        ) WITHOUT ROWID""",
        "CREATE TABLE freshness (id INTEGER PRIMARY KEY CHECK (id = 0), as_of REAL NOT NULL)",
    ),
)

_SEE = "INSERT OR REPLACE INTO sightings (id, request_id, at, channels, for_group) VALUES (?, ?, ?, ?, ?)"
# An end is never taken back.
_NOTE = """INSERT INTO notes (id, for_group, state, attempts, uncertain, reason, provider_id, at)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET state = excluded.state,
    attempts = excluded.attempts, uncertain = excluded.uncertain, reason = excluded.reason,
    provider_id = excluded.provider_id, at = excluded.at
    WHERE excluded.state NOT IN ('retrying', 'uncertain') OR notes.state IN ('retrying', 'uncertain')"""
_MOVE_LOW = """INSERT INTO passed (shard, for_group, low) VALUES (?, ?, ?)
    ON CONFLICT DO UPDATE SET low = max(low, excluded.low)"""
_TRY = """INSERT OR REPLACE INTO tries (id, for_group, number, at, uncertain, state, reason)
    VALUES (?, ?, ?, ?, ?, ?, ?)"""
_TRIES_BETWEEN = "DELETE FROM tries WHERE id = ? AND for_group = ? AND number > ? AND number <= ?"
_PUT_OFF = "INSERT OR REPLACE INTO deferred (id, for_group, due) VALUES (?, ?, ?)"
_DONE = "DELETE FROM deferred WHERE id = ? AND for_group = ?"
_AS_OF = "INSERT OR REPLACE INTO freshness (id, as_of) VALUES (0, ?)"
_OLD = "DELETE FROM sightings WHERE id IN (SELECT id FROM sightings WHERE at < ? ORDER BY at LIMIT ?)"
_NEWEST = "SELECT at FROM sightings ORDER BY at DESC LIMIT 1 OFFSET ?"
_FIRST = "SELECT min(id) FROM sightings WHERE id >= ? AND id < ?"


class SqliteStatusStore:
    """The writing side. What an earlier process left in the file is deleted."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._thread = SqliteThread("status-store")
        self._connection: sqlite3.Connection | None = None
        self._numbers: dict[Shard, int] = {}

    async def add(self, events: Sequence[StatusEvent]) -> None:
        await self._thread.call(lambda: self._add(events))

    async def is_as_of(self, moment: float) -> None:
        await self._thread.call(lambda: self._do(_AS_OF, [(moment,)]))

    async def forget(self, before: float, most: int) -> None:
        while await self._thread.call(lambda: self._forget(before, most)):
            pass

    def _add(self, events: Sequence[StatusEvent]) -> None:
        connection = self._usable()
        with faults_of(self._path), transaction(connection):
            for event in events:
                self._apply(connection, event)

    def _apply(self, connection: sqlite3.Connection, event: StatusEvent) -> None:
        shard = self._number(connection, event.shard)
        match event:
            case Sighting():
                channels = ",".join(sorted(event.channels))
                told = (event.request_id, event.accepted_at, channels, event.for_group)
                connection.execute(_SEE, (row_id(shard, event.offset), *told))
            case Noted(_, group, record):
                told_of = (record.state.value, record.attempts, record.uncertain, record.reason)
                row = (row_id(shard, record.offset), group, *told_of, record.provider_id, record.at)
                connection.execute(_NOTE, row)
                connection.execute(_MOVE_LOW, (shard, group, record.low))
                if not record.state.is_end:
                    _add_try(connection, row_id(shard, record.offset), group, record)
            case DeferralChange(_, group, offset, None):
                connection.execute(_DONE, (row_id(shard, offset), group))
            case DeferralChange(_, group, offset, due):
                connection.execute(_PUT_OFF, (row_id(shard, offset), group, due))

    def _number(self, connection: sqlite3.Connection, shard: Shard) -> int:
        if shard not in self._numbers:
            place = (shard.topic, shard.partition)
            row = connection.execute("INSERT INTO shards (topic, partition) VALUES (?, ?)", place)
            self._numbers[shard] = int(row.lastrowid or 0)
        return self._numbers[shard]

    def _forget(self, before: float, most: int) -> bool:
        """One slice; whether there may be more."""
        connection = self._usable()
        with faults_of(self._path), transaction(connection):
            oldest = connection.execute(_NEWEST, (most - 1,)).fetchone()
            moment = max(before, oldest[0]) if oldest is not None else before
            gone = connection.execute(_OLD, (moment, _FORGET_SLICE)).rowcount
            if gone:
                self._forget_notes(connection)
        return gone >= _FORGET_SLICE

    def _forget_notes(self, connection: sqlite3.Connection) -> None:
        """Those of messages that are not known any more, or never were."""
        for number in self._numbers.values():
            (first,) = connection.execute(_FIRST, (row_id(number, 0), row_id(number + 1, 0))).fetchone()
            if first is not None:
                for table in ("notes", "tries", "deferred"):
                    query = f"DELETE FROM {table} WHERE id >= ? AND id < ?"  # noqa: S608 - our own names
                    connection.execute(query, (row_id(number, 0), first))

    def _do(self, query: str, rows: Sequence[tuple[object, ...]]) -> None:
        connection = self._usable()
        with faults_of(self._path), transaction(connection):
            connection.executemany(query, rows)

    def _usable(self) -> sqlite3.Connection:
        if self._connection is None:
            raise LogUnavailable(f"{self._path} is not open")
        return self._connection

    def _open(self) -> None:
        self._delete()
        self._connection = open_file(self._path, STATUS_VIEW, nullcontext(), "OFF")

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        self._delete()

    def _delete(self) -> None:
        with faults_of_opening(self._path):
            for suffix in ("", "-wal", "-shm"):
                self._path.with_name(f"{self._path.name}{suffix}").unlink(missing_ok=True)

    async def __aenter__(self) -> Self:
        """Raises `StorageBroken` where the file cannot be made."""
        self._thread.start()
        try:
            await self._thread.call(self._open)
        except BaseException:
            await self._thread.end(self._close)
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._thread.end(self._close)


def _add_try(connection: sqlite3.Connection, row: int, group: str, record: LedgerRecord) -> None:
    """Between the first and the newest tries all are left out, as `tries_told` does."""
    number = record.attempts + record.uncertain
    told = (record.at, record.uncertain, record.state.value, record.reason)
    connection.execute(_TRY, (row, group, number, *told))
    if number > FIRST_TRIES + NEWEST_TRIES:
        connection.execute(_TRIES_BETWEEN, (row, group, FIRST_TRIES, number - NEWEST_TRIES))
