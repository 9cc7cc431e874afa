"""`DeliveryLedger` on SQLite: tables in the group's own file."""

import sqlite3
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import closing
from typing import Any, Self, TypeVar

from adapters.sqlite_file import damaged
from adapters.sqlite_group import SqliteGroupFile
from adapters.sqlite_schema import pack_headers, unpack_headers
from domain.errors import LogUnavailable
from domain.ledger import (
    Deferral,
    Extent,
    LedgerRecord,
    Note,
    Places,
    State,
    Tombstone,
    Written,
    note_bytes,
)
from domain.log import Bounds, Record, Shard

T = TypeVar("T")

_SLICE_NOTES = 500
_SLICE_BYTES = 1024 * 1024

_ENDS = "SELECT ledger, deferred FROM ledger_ends WHERE topic = ? AND partition = ?"
_MOVE_ENDS = "INSERT OR REPLACE INTO ledger_ends (topic, partition, ledger, deferred) VALUES (?, ?, ?, ?)"
_FIRST = "SELECT min(position) FROM {table} WHERE topic = ? AND partition = ?"
_ENTER = """INSERT INTO ledger (topic, partition, position, log_offset, request_id, digest, state, attempts,
    uncertain, reason, provider_id, low, at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"""
_PUT_OFF = """INSERT OR REPLACE INTO deferred (topic, partition, log_offset, position, time, key, value,
    headers, attempts, uncertain, due) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"""
_END_DEFERRAL = "DELETE FROM deferred WHERE topic = ? AND partition = ? AND log_offset = ?"
_ENTRIES = """SELECT position, log_offset, request_id, digest, state, attempts, uncertain, reason,
    provider_id, low, at FROM ledger
    WHERE topic = ? AND partition = ? AND position >= ? ORDER BY position LIMIT ?"""
_DEFERRALS = """SELECT position, log_offset, time, key, value, headers, attempts, uncertain, due FROM deferred
    WHERE topic = ? AND partition = ? AND position >= ? ORDER BY position LIMIT ?"""


class SqliteLedger:
    """Written by the group's active process. What waits at the same moment is written in one commit.

    Of an offset only its last put is kept, and nothing once it is done: there are no tombstones to recall.
    """

    def __init__(self, group_file: SqliteGroupFile) -> None:
        self._file = group_file

    async def write(self, shard: Shard, notes: Sequence[Note]) -> Sequence[int]:
        await self._take_over()
        return await self._file.write(lambda connection: _write(connection, shard, notes)) if notes else ()

    async def extent(self, shard: Shard) -> Extent:
        return await self._read(lambda connection: _extent(connection, shard))

    async def recall(self, shard: Shard, since: Places) -> AsyncIterator[Sequence[Written]]:
        for slice_from, start in ((entries_from, since.ledger), (deferrals_from, since.deferred)):
            position = start
            while some := await self._read(slice_from(shard, position)):
                yield some
                position = some[-1].position + 1

    async def _read(self, job: Callable[[sqlite3.Connection], T]) -> T:
        await self._take_over()
        return await self._file.read(job)

    async def _take_over(self) -> None:
        if not await self._file.take_over():
            raise LogUnavailable(f"another process of the group {self._file.group} is the active one")

    async def __aenter__(self) -> Self:
        await self._file.__aenter__()
        return self

    async def __aexit__(self, *details: object) -> None:
        await self._file.__aexit__(*details)


def _write(connection: sqlite3.Connection, shard: Shard, notes: Sequence[Note]) -> list[int]:
    place = (shard.topic, shard.partition)
    ledger, deferred = connection.execute(_ENDS, place).fetchone() or (0, 0)
    entries: list[tuple[object, ...]] = []
    positions: list[int] = []
    for note in notes:
        if isinstance(note, LedgerRecord):
            positions.append(ledger)
            entries.append((*place, ledger, *_entry_row(note)))
            ledger += 1
        else:
            positions.append(deferred)
            _change_deferral(connection, place, deferred, note)
            deferred += 1
    connection.executemany(_ENTER, entries)
    connection.execute(_MOVE_ENDS, (*place, ledger, deferred))
    return positions


def _change_deferral(
    connection: sqlite3.Connection, place: tuple[str, int], position: int, note: Deferral | Tombstone
) -> None:
    if isinstance(note, Tombstone):
        connection.execute(_END_DEFERRAL, (*place, note.offset))
    else:
        record = note.record
        where = (*place, record.offset, position)
        what = (record.timestamp, record.key, record.value, pack_headers(record.headers))
        connection.execute(_PUT_OFF, (*where, *what, note.attempts, note.uncertain, note.due))


def _entry_row(note: LedgerRecord) -> tuple[object, ...]:
    told = (note.attempts, note.uncertain, note.reason, note.provider_id, note.low, note.at)
    return (note.offset, note.request_id, _signed(note.digest), note.state.value, *told)


def _signed(digest: int) -> int:
    return digest - 2**64 if digest >= 2**63 else digest


def _extent(connection: sqlite3.Connection, shard: Shard) -> Extent:
    place = (shard.topic, shard.partition)
    ends = connection.execute(_ENDS, place).fetchone() or (0, 0)
    ledger, deferred = (
        _bounds(connection.execute(_FIRST.format(table=table), place).fetchone()[0], end)
        for table, end in zip(("ledger", "deferred"), ends, strict=True)
    )
    return Extent(ledger, deferred)


def _bounds(first: int | None, end: int) -> Bounds:
    return Bounds(end if first is None else first, end)


Slice = Callable[[sqlite3.Connection], list[Written]]


def entries_from(shard: Shard, position: int) -> Slice:
    """Reads the next ledger records of a shard, as many as go together."""
    return _slice_of(_ENTRIES, shard, position, _entry_of)


def deferrals_from(shard: Shard, position: int) -> Slice:
    """Reads the next deferrals of a shard, as many as go together."""
    return _slice_of(_DEFERRALS, shard, position, _deferral_of)


def _slice_of(query: str, shard: Shard, position: int, written_of: Callable[[Shard, Any], Written]) -> Slice:
    def read(connection: sqlite3.Connection) -> list[Written]:
        place = (shard.topic, shard.partition, position, _SLICE_NOTES)
        with closing(connection.execute(query, place)) as rows:
            return list(_within_bytes(written_of(shard, row) for row in rows))

    return read


def _within_bytes(found: Iterable[Written]) -> Iterator[Written]:
    """At least one, however large it is."""
    size = 0
    for written in found:
        yield written
        size += note_bytes(written.note)
        if size >= _SLICE_BYTES:
            return


def _entry_of(_: Shard, row: Any) -> Written:
    position, offset, request_id, digest, state, attempts, uncertain, reason, provider_id, low, at = row
    note = LedgerRecord(
        offset=offset,
        request_id=request_id,
        digest=digest % 2**64,
        state=_state_of(state),
        attempts=attempts,
        uncertain=uncertain,
        reason=reason,
        provider_id=provider_id,
        low=low,
        at=at,
    )
    return Written(position, note)


def _state_of(name: str) -> State:
    try:
        return State(name)
    except ValueError as error:
        raise damaged(error) from error


def _deferral_of(shard: Shard, row: Any) -> Written:
    position, offset, time, key, value, headers, attempts, uncertain, due = row
    record = Record(shard, offset, key, value, unpack_headers(headers), time)
    return Written(position, Deferral(record=record, attempts=attempts, uncertain=uncertain, due=due))
