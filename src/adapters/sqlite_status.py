"""`StatusView` on SQLite: the groups' own tables, and the log's rows that no group has noted yet.

Nothing is written for it when a message is taken. What a group has noted is found by the ledger's index on
request_id. The rest is looked for in the values of what is unfinished: rows at or above the lowest position
of the topic's groups, and what is put off.
"""

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from adapters.message_sighting import sighting_of
from adapters.sqlite_file import faults_of, open_to_read
from adapters.sqlite_schema import GROUP, LOG, group_path, offset_of, row_id, unpack_headers
from adapters.sqlite_thread import SqliteThread
from domain.channels import reach_every_message
from domain.ledger import LedgerRecord, State
from domain.log import Record, Shard
from domain.ports import Clock
from domain.status import GroupNotes, MessageStatus, Sighting
from domain.status_fold import fold_status, newest_of, notes_of
from domain.topic import Topic

# A statement looks at so many rows: no reader keeps a checkpoint waiting for long.
_SLICE_ROWS = 5_000
# Where a message may have been passed over by every group, none has noted it: so many are looked at.
_NEWEST_ROWS = 100_000

_SHARDS = "SELECT id, topic, partition, next_offset FROM shards"
_FIRST = "SELECT min(id) FROM records WHERE id >= ? AND id < ?"
_RECORD = "SELECT id, time, key, value, headers FROM records WHERE id = ?"
_HOLDS = "(instr(value, ?) OR instr(headers, ?))"
_TAIL = f"SELECT id, time, key, value, headers FROM records WHERE id >= ? AND id < ? AND {_HOLDS}"  # noqa: S608
_NOTES = """SELECT topic, partition, log_offset, digest, state, attempts, uncertain, reason, provider_id, low,
    at FROM ledger WHERE request_id = ? ORDER BY topic, partition, position"""
_POSITIONS = "SELECT topic, partition, next_offset FROM positions"
_DEFERRED = "SELECT topic, partition, log_offset, time, key, value, headers FROM deferred"
_PUT_OFF = f"{_DEFERRED} WHERE topic = ? AND partition = ? AND log_offset = ?"
_DUE = "SELECT due FROM deferred WHERE topic = ? AND partition = ? AND log_offset = ?"
_ANY_PUT_OFF = f"{_DEFERRED} WHERE topic = ? AND {_HOLDS}"


class SqliteStatusView:
    """Reads the log's file and the groups' files; another process may write them meanwhile."""

    def __init__(self, log_path: Path, topics: Sequence[Topic], clock: Clock) -> None:
        self._path = log_path
        self._topics = tuple(topics)
        self._clock = clock
        self._thread = SqliteThread("status")

    async def find(self, request_id: str, topics: AbstractSet[str]) -> MessageStatus | None:
        asked = [topic for topic in self._topics if topic.name in topics]
        return await self._thread.call(lambda: self._find(request_id, asked))

    def _find(self, request_id: str, topics: Sequence[Topic]) -> MessageStatus | None:
        as_of = self._clock.now()
        with ExitStack() as files, faults_of(self._path):
            log = open_to_read(self._path, LOG, least=1)
            if log is None:
                return None
            files.enter_context(closing(log))
            names = {group for topic in topics for group in topic.groups}
            groups = [_Group(name, files, self._path, request_id) for name in sorted(names)]
            search = _Search(request_id, topics, {group.name: group for group in groups}, log)
            return newest_of(search.stories(as_of))

    async def __aenter__(self) -> Self:
        self._thread.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._thread.end(lambda: None)


class _Group:
    """What one group's file says of one id, all from the same moment."""

    def __init__(self, name: str, files: ExitStack, log_path: Path, request_id: str) -> None:
        self.name = name
        self._connection = open_to_read(group_path(log_path, name), GROUP)
        self.notes: dict[Shard, list[LedgerRecord]] = {}
        self.positions: dict[Shard, int] = {}
        if self._connection is not None:
            files.enter_context(closing(self._connection))
            # Until it is closed: a message's end and the position that passed it belong together.
            self._connection.execute("BEGIN")
            for topic, partition, *row in self._connection.execute(_NOTES, (request_id,)):
                self.notes.setdefault(Shard(topic, partition), []).append(_note(request_id, row))
            for topic, partition, offset in self._connection.execute(_POSITIONS):
                self.positions[Shard(topic, partition)] = offset

    def put_off(self, shard: Shard, offset: int) -> Record | None:
        place = (shard.topic, shard.partition, offset)
        return next(self._deferred(_PUT_OFF, place), None)

    def any_put_off(self, topic: str, holding: tuple[bytes, bytes]) -> Iterator[Record]:
        return self._deferred(_ANY_PUT_OFF, (topic, *holding))

    def _deferred(self, query: str, arguments: tuple[object, ...]) -> Iterator[Record]:
        rows = self._connection.execute(query, arguments) if self._connection is not None else ()
        for topic, partition, offset, time, key, value, headers in rows:
            yield Record(Shard(topic, partition), offset, key, value, unpack_headers(headers), time)

    def notes_of(self, shard: Shard, sightings: Sequence[Sighting]) -> GroupNotes:
        found = {sighting.offset: self._due(shard, sighting.offset) for sighting in sightings}
        deferred = {offset: due for offset, due in found.items() if due is not None}
        return notes_of(self.notes.get(shard, ()), deferred, self.positions.get(shard, 0))

    def _due(self, shard: Shard, offset: int) -> float | None:
        """When the one that is put off at this offset is tried again; None: none is."""
        if self._connection is None:
            return None
        row = self._connection.execute(_DUE, (shard.topic, shard.partition, offset)).fetchone()
        return None if row is None else float(row[0])


@dataclass(frozen=True, slots=True)
class _Place:
    """A shard in the log's file."""

    shard: Shard
    number: int
    end: int


class _Search:
    """One id, in some topics."""

    def __init__(
        self, request_id: str, topics: Sequence[Topic], groups: Mapping[str, _Group], log: sqlite3.Connection
    ) -> None:
        self._id = request_id
        self._topics = {topic.name: topic for topic in topics}
        self._groups = groups
        self._log = log
        # In a value the id stands in quotes, and no character of an id is ever escaped.
        self._holding = (f'"{request_id}"'.encode(), request_id.encode())
        rows = log.execute(_SHARDS).fetchall()
        places = [_Place(Shard(topic, partition), number, end) for number, topic, partition, end in rows]
        self._places = {place.shard: place for place in places if place.shard.topic in self._topics}

    def stories(self, as_of: float) -> list[MessageStatus]:
        """What became of the id in each shard where it is found."""
        found = self._noted()
        for shard, place in self._places.items():
            # Also where it was noted: a later one of its id may wait in another topic or partition.
            if seen := self._between(place, self._unfinished_from(place), place.end):
                found[shard] = found.get(shard, {}) | seen
        found = found or self._waiting() or self._passed_over()
        return [self._story(shard, list(seen.values()), as_of) for shard, seen in found.items()]

    def _story(self, shard: Shard, sightings: Sequence[Sighting], as_of: float) -> MessageStatus:
        groups = self._topics[shard.topic].groups
        notes = {name: self._groups[name].notes_of(shard, sightings) for name in groups}
        return fold_status(sightings, notes, as_of)

    def _noted(self) -> dict[Shard, dict[int, Sighting]]:
        """By the ledgers."""
        found: dict[Shard, dict[int, Sighting]] = {}
        for shard in sorted({shard for group in self._groups.values() for shard in group.notes}):
            if shard not in self._places:
                continue
            notes = [note for group in self._groups.values() for note in group.notes.get(shard, ())]
            records = [self._record(shard, offset) for offset in sorted({note.offset for note in notes})]
            if seen := self._own(record for record in records if record is not None):
                found[shard] = seen
        return found

    def _waiting(self) -> dict[Shard, dict[int, Sighting]]:
        """Put off without a try, behind an earlier one of its key: the position has passed it."""
        found: dict[Shard, dict[int, Sighting]] = {}
        for topic in self._topics.values():
            for name in topic.groups:
                records = self._groups[name].any_put_off(topic.name, self._holding)
                for offset_seen in self._own(records).values():
                    found.setdefault(offset_seen.shard, {})[offset_seen.offset] = offset_seen
        return found

    def _record(self, shard: Shard, offset: int) -> Record | None:
        """The log's, or where retention took it the copy that a group put off."""
        row = self._log.execute(_RECORD, (row_id(self._places[shard].number, offset),)).fetchone()
        if row is not None:
            return _record(shard, row)
        kept = (group.put_off(shard, offset) for group in self._groups.values())
        return next((record for record in kept if record is not None), None)

    def _passed_over(self) -> dict[Shard, dict[int, Sighting]]:
        """Where a topic lacks a channel a message may have been passed over by all its groups."""
        found: dict[Shard, dict[int, Sighting]] = {}
        for shard, place in self._places.items():
            if not reach_every_message(self._topics[shard.topic].groups):
                newest = max(0, place.end - _NEWEST_ROWS)
                if seen := self._between(place, newest, self._unfinished_from(place)):
                    found[shard] = seen
        return found

    def _between(self, place: _Place, first: int, end: int) -> dict[int, Sighting]:
        seen: dict[int, Sighting] = {}
        for offset in range(self._first_row(place, first), end, _SLICE_ROWS):
            span = (row_id(place.number, offset), row_id(place.number, min(offset + _SLICE_ROWS, end)))
            rows = self._log.execute(_TAIL, (*span, *self._holding)).fetchall()
            seen |= self._own(_record(place.shard, row) for row in rows)
        return seen

    def _unfinished_from(self, place: _Place) -> int:
        groups = self._topics[place.shard.topic].groups
        return min((self._groups[name].positions.get(place.shard, 0) for name in groups), default=place.end)

    def _first_row(self, place: _Place, offset: int) -> int:
        """At or above this offset: below, retention may have left millions of offsets without a row."""
        span = (row_id(place.number, offset), row_id(place.number + 1, 0))
        (first,) = self._log.execute(_FIRST, span).fetchone()
        return place.end if first is None else offset_of(first)

    def _own(self, records: Iterator[Record]) -> dict[int, Sighting]:
        seen = map(sighting_of, records)
        return {sighting.offset: sighting for sighting in seen if sighting.request_id == self._id}


def _record(shard: Shard, row: Any) -> Record:
    number, time, key, value, headers = row
    return Record(shard, offset_of(number), key, value, unpack_headers(headers), time)


def _note(request_id: str, row: Sequence[Any]) -> LedgerRecord:
    offset, digest, state, attempts, uncertain, reason, provider_id, low, at = row
    return LedgerRecord(
        offset=offset,
        request_id=request_id,
        digest=digest % 2**64,
        state=State(state),
        attempts=attempts,
        uncertain=uncertain,
        reason=reason,
        provider_id=provider_id,
        low=low,
        at=at,
    )
