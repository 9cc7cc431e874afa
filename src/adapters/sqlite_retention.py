"""Deletes what is old from the SQLite files, in small slices, so that the writer hardly waits.

Freed pages are used again: under steady load a file stops growing once its oldest rows go.
"""

import logging
import sqlite3
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import closing
from itertools import takewhile
from pathlib import Path
from typing import Self

from adapters.sqlite_file import faults_of, open_to_read, transaction
from adapters.sqlite_group import SqliteGroupFile
from adapters.sqlite_log_file import SqliteLogFile
from adapters.sqlite_schema import GROUP, group_path, row_id
from domain.errors import HeraldError
from domain.log import Shard
from domain.ports import Clock
from domain.topic import Topic

logger = logging.getLogger("herald.log")

_SLICE_ROWS = 500
_SLICE_PAUSE_SECONDS = 0.01
_INTERVAL_SECONDS = 60.0
_HOUR = 3600.0
_DAY = 86_400.0

_COMMITTED = "SELECT metadata FROM positions WHERE topic = ? AND partition = ?"
_ENTRIES = """SELECT position, at FROM ledger WHERE topic = ? AND partition = ? AND position < ?
    ORDER BY position LIMIT ?"""
_OLD_REPLAYS = "SELECT 1 FROM replays WHERE replayed_at < ? LIMIT 1"
_DELETE_ENTRIES = "DELETE FROM ledger WHERE topic = ? AND partition = ? AND position <= ?"


class SqliteRetention:
    """Deletes the messages older than their topic's `retention_hours` that every subscribed group finished.

    A group that never committed in a shard has finished nothing of it. Notes of dead letters that were put
    back go a day after their letters. One process of the API does this.
    """

    def __init__(self, path: Path, topics: Sequence[Topic], clock: Clock, dead_letter_days: float) -> None:
        self._topics = tuple(topics)
        self._clock = clock
        self._dead_letter_days = dead_letter_days
        self._file = SqliteLogFile(path, "retention")

    async def run(self) -> None:
        """Prunes about once a minute, for ever."""
        await _prune_for_ever(self.prune_once, self._clock, "messages")

    async def prune_once(self) -> int:
        """How many messages were deleted. Raises `HeraldError`."""
        finished = await self._file.thread.call(self._finished)
        deleted = 0
        for topic in self._topics:
            cutoff = self._clock.now() - topic.retention_hours * _HOUR
            for partition in range(topic.partitions):
                shard = Shard(topic.name, partition)
                deleted += await self._prune(shard, finished.get(shard, 0), cutoff)
        await self._file.thread.call(self._delete_replays)
        return deleted

    def _delete_replays(self) -> None:
        # A letter failed before it was put back, so it is gone by then.
        cutoff = self._clock.now() - (self._dead_letter_days + 1) * _DAY
        connection = self._file.connection()
        with faults_of(self._file.path):
            if connection.execute(_OLD_REPLAYS, (cutoff,)).fetchone():
                with self._file.lock, transaction(connection):
                    connection.execute("DELETE FROM replays WHERE replayed_at < ?", (cutoff,))

    async def _prune(self, shard: Shard, below: int, cutoff: float) -> int:
        deleted = 0
        while below:
            gone = await self._file.thread.call(lambda: self._delete_slice(shard, below, cutoff))
            deleted += gone
            if gone < _SLICE_ROWS:
                break
            await self._clock.sleep(_SLICE_PAUSE_SECONDS)
        return deleted

    def _finished(self) -> dict[Shard, int]:
        """Of each shard the offset below which all its groups have finished everything."""
        names = sorted({group for topic in self._topics for group in topic.groups})
        positions = {group: self._positions(group) for group in names}
        with faults_of(self._file.path):
            rows = (
                self._file.connection().execute("SELECT topic, partition, next_offset FROM shards").fetchall()
            )
        ends = {Shard(topic, partition): end for topic, partition, end in rows}
        groups = {topic.name: topic.groups for topic in self._topics}
        return {
            shard: min([end, *(positions[group].get(shard, 0) for group in groups[shard.topic])])
            for shard, end in ends.items()
            if shard.topic in groups
        }

    def _positions(self, group: str) -> Mapping[Shard, int]:
        path = group_path(self._file.path, group)
        connection = open_to_read(path, GROUP, least=1)
        if connection is None:
            return {}
        with faults_of(path), closing(connection):
            rows = connection.execute("SELECT topic, partition, next_offset FROM positions").fetchall()
        return {Shard(topic, partition): offset for topic, partition, offset in rows}

    def _delete_slice(self, shard: Shard, below: int, cutoff: float) -> int:
        connection = self._file.connection()
        with faults_of(self._file.path):
            number = connection.execute(
                "SELECT id FROM shards WHERE topic = ? AND partition = ?", (shard.topic, shard.partition)
            ).fetchone()[0]
            rows = connection.execute(
                "SELECT id, time FROM records WHERE id >= ? AND id < ? ORDER BY id LIMIT ?",
                (row_id(number, 0), row_id(number, below), _SLICE_ROWS),
            ).fetchall()
            old = _old(rows, cutoff)
            if old:
                with self._file.lock, transaction(connection):
                    connection.execute("DELETE FROM records WHERE id >= ? AND id <= ?", (old[0], old[-1]))
        return len(old)

    async def __aenter__(self) -> Self:
        """Raises `StorageBroken` and `UnknownVersion` where the log's file cannot be used."""
        await self._file.__aenter__()
        return self

    async def __aexit__(self, *details: object) -> None:
        await self._file.__aexit__(*details)


class SqliteDeadLetterRetention:
    """Deletes a group's dead letters that failed more than `days` ago. Only the active process does."""

    def __init__(self, group_file: SqliteGroupFile, days: float, clock: Clock) -> None:
        self._file = group_file
        self._days = days
        self._clock = clock

    async def run(self) -> None:
        """Prunes about once a minute, for ever."""
        await _prune_for_ever(self.prune_once, self._clock, "dead letters")

    async def prune_once(self) -> int:
        """How many dead letters were deleted. Raises `HeraldError`."""
        deleted = 0
        cutoff = self._clock.now() - self._days * _DAY
        while self._file.is_active:
            gone = await self._file.write(lambda connection: _delete_letters(connection, cutoff))
            deleted += gone
            if gone < _SLICE_ROWS:
                break
            await self._clock.sleep(_SLICE_PAUSE_SECONDS)
        return deleted

    async def __aenter__(self) -> Self:
        await self._file.__aenter__()
        return self

    async def __aexit__(self, *details: object) -> None:
        await self._file.__aexit__(*details)


class SqliteLedgerRetention:
    """Deletes a group's ledger records that are a day older than their topic's messages may be.

    So a finished record never outlives its end. What is read back after a restart stays however old it is.
    Only the active process does this.
    """

    def __init__(self, group_file: SqliteGroupFile, topics: Sequence[Topic], clock: Clock) -> None:
        self._file = group_file
        self._topics = tuple(topics)
        self._clock = clock

    async def run(self) -> None:
        """Prunes about once a minute, for ever."""
        await _prune_for_ever(self.prune_once, self._clock, "ledger records")

    async def prune_once(self) -> int:
        """How many records were deleted. Raises `HeraldError`."""
        deleted = 0
        for topic in self._topics:
            cutoff = self._clock.now() - topic.retention_hours * _HOUR - _DAY
            for partition in range(topic.partitions):
                deleted += await self._prune(Shard(topic.name, partition), cutoff)
        return deleted

    async def _prune(self, shard: Shard, cutoff: float) -> int:
        deleted = 0
        while self._file.is_active:
            gone = await self._file.write(lambda connection: _delete_entries(connection, shard, cutoff))
            deleted += gone
            if gone < _SLICE_ROWS:
                break
            await self._clock.sleep(_SLICE_PAUSE_SECONDS)
        return deleted

    async def __aenter__(self) -> Self:
        await self._file.__aenter__()
        return self

    async def __aexit__(self, *details: object) -> None:
        await self._file.__aexit__(*details)


def _delete_entries(connection: sqlite3.Connection, shard: Shard, cutoff: float) -> int:
    """The committed position is looked at in the same transaction: what it needs stays."""
    place = (shard.topic, shard.partition)
    position = connection.execute(_COMMITTED, place).fetchone()
    below = _read_back_from(position[0]) if position else 0
    rows = connection.execute(_ENTRIES, (*place, below, _SLICE_ROWS)).fetchall()
    old = _old(rows, cutoff)
    if old:
        connection.execute(_DELETE_ENTRIES, (*place, old[-1]))
    return len(old)


def _read_back_from(metadata: str) -> int:
    """L of a commit's metadata `1 L D`: the ledger is read back from there. 0: from its beginning."""
    match metadata.split():
        case ["1", ledger, _] if ledger.isdecimal():
            return int(ledger)
        case _:
            return 0


def _delete_letters(connection: sqlite3.Connection, cutoff: float) -> int:
    query = "SELECT id, failed_at FROM dead_letters ORDER BY id LIMIT ?"
    old = _old(connection.execute(query, (_SLICE_ROWS,)).fetchall(), cutoff)
    if old:
        connection.execute("DELETE FROM dead_letters WHERE id <= ?", (old[-1],))
    return len(old)


def _old(rows: Sequence[tuple[int, float]], cutoff: float) -> list[int]:
    """Only from the front: a row in the middle would leave a gap when the machine's time was set back."""
    return [number for number, _ in takewhile(lambda row: row[1] < cutoff, rows)]


async def _prune_for_ever(prune_once: Callable[[], Awaitable[int]], clock: Clock, what: str) -> None:
    while True:
        try:
            deleted = await prune_once()
        except HeraldError as error:
            extra = {"action": "retention_failed", "what": what, "reason": str(error)}
            logger.warning("Old rows could not be deleted", extra=extra)
        else:
            if deleted:
                logger.info("Old rows deleted", extra={"action": "retention", "what": what, "rows": deleted})
        await clock.sleep(_INTERVAL_SECONDS)
