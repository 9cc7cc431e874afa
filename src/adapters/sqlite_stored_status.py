"""`StatusView` of a file that another process keeps: see `sqlite_status_store`."""

import asyncio
import sqlite3
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from adapters.sqlite_file import faults_of, open_to_read
from adapters.sqlite_schema import offset_of, row_id
from adapters.sqlite_status_store import STATUS_VIEW
from adapters.sqlite_thread import SqliteThread
from domain.errors import LogUnavailable
from domain.ledger import LedgerRecord, State
from domain.log import Shard
from domain.ports import Clock
from domain.status import GroupNotes, MessageStatus, Sighting
from domain.status_fold import fold_status, newest_of, tries_told
from domain.topic import Topic

LATEST_SECONDS = 2.0
_POLL_SECONDS = 0.1
_CATCHING_UP = "the view of what became of messages is catching up with the log: ask again in a moment"


class SqliteStoredStatus:
    """A `StatusView` of the file. `wait_seconds`: so long it waits for a view that is late."""

    def __init__(
        self, path: Path, topics: Sequence[Topic], clock: Clock, wait_seconds: float = LATEST_SECONDS
    ) -> None:
        self._path = path
        self._topics = {topic.name: topic for topic in topics}
        self._clock = clock
        self._wait_seconds = wait_seconds
        self._thread = SqliteThread("status")

    async def find(self, request_id: str, topics: AbstractSet[str]) -> MessageStatus | None:
        asked = topics & self._topics.keys()
        try:
            async with asyncio.timeout(self._wait_seconds):
                while True:
                    answer = await self._thread.call(lambda: self._find(request_id, asked))
                    if answer is not None:
                        return answer.message
                    await asyncio.sleep(_POLL_SECONDS)
        except TimeoutError:
            raise LogUnavailable(_CATCHING_UP) from None

    def _find(self, request_id: str, topics: AbstractSet[str]) -> "_Answer | None":
        """None where the view is too far behind."""
        with faults_of(self._path):
            connection = open_to_read(self._path, STATUS_VIEW)
            if connection is None:
                return None
            with closing(connection):
                connection.execute("BEGIN")  # all from the same moment
                row = connection.execute("SELECT as_of FROM freshness").fetchone()
                if row is None or self._clock.now() - row[0] > LATEST_SECONDS:
                    return None
                return _Answer(newest_of(self._stories(connection, request_id, topics, row[0])))

    def _stories(
        self, connection: sqlite3.Connection, request_id: str, topics: AbstractSet[str], as_of: float
    ) -> list[MessageStatus]:
        query = """SELECT shards.id, topic, partition, sightings.id, at, channels, for_group
            FROM sightings JOIN shards ON shards.id = sightings.id >> 40 WHERE request_id = ?"""
        seen: dict[int, list[Sighting]] = {}
        for number, topic, partition, row, at, channels, for_group in connection.execute(
            query, (request_id,)
        ):
            if topic in topics:
                sighting = Sighting(
                    shard=Shard(topic, partition),
                    offset=offset_of(row),
                    request_id=request_id,
                    accepted_at=at,
                    channels=frozenset(channels.split(",")),
                    for_group=for_group,
                )
                seen.setdefault(number, []).append(sighting)
        return [self._story(connection, number, sightings, as_of) for number, sightings in seen.items()]

    def _story(
        self, connection: sqlite3.Connection, number: int, sightings: Sequence[Sighting], as_of: float
    ) -> MessageStatus:
        groups = self._topics[sightings[0].shard.topic].groups
        notes = {group: _notes(connection, number, group, sightings) for group in groups}
        return fold_status(sightings, notes, as_of)

    async def __aenter__(self) -> Self:
        self._thread.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._thread.end(lambda: None)


@dataclass(frozen=True, slots=True)
class _Answer:
    """What a view that is near enough has of an id."""

    message: MessageStatus | None


class StatusIsOff:
    """A `StatusView` where nobody builds one."""

    async def find(self, request_id: str, topics: AbstractSet[str]) -> MessageStatus | None:  # noqa: ARG002
        raise LogUnavailable("the status of messages is off here: set status.hours above 0")

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        return None


def _notes(
    connection: sqlite3.Connection, number: int, group: str, sightings: Sequence[Sighting]
) -> GroupNotes:
    records: dict[int, LedgerRecord] = {}
    tries: dict[int, list[LedgerRecord]] = {}
    deferred: dict[int, float] = {}
    for sighting in sightings:
        place = (row_id(number, sighting.offset), group)
        row = connection.execute(_OF_NOTES, place).fetchone()
        if row is not None:
            records[sighting.offset] = _record(sighting, row)
        if rows := connection.execute(_OF_TRIES, place).fetchall():
            tries[sighting.offset] = tries_told(_record(sighting, row) for row in rows)
        if put_off := connection.execute(_OF_DEFERRED, place).fetchone():
            deferred[sighting.offset] = put_off[0]
    low = connection.execute("SELECT low FROM passed WHERE shard = ? AND for_group = ?", (number, group))
    (passed,) = low.fetchone() or (0,)
    return GroupNotes(records=records, tries=tries, deferred=deferred, passed=passed)


_OF_NOTES = """SELECT state, attempts, uncertain, reason, provider_id, at FROM notes
    WHERE id = ? AND for_group = ?"""
_OF_TRIES = """SELECT state, number - uncertain, uncertain, reason, '', at FROM tries
    WHERE id = ? AND for_group = ?"""
_OF_DEFERRED = "SELECT due FROM deferred WHERE id = ? AND for_group = ?"


def _record(sighting: Sighting, row: Any) -> LedgerRecord:
    state, attempts, uncertain, reason, provider_id, at = row
    return LedgerRecord(
        offset=sighting.offset,
        request_id=sighting.request_id,
        digest=0,  # nobody asks the view for it
        state=State(state),
        attempts=attempts,
        uncertain=uncertain,
        reason=reason,
        provider_id=provider_id,
        low=0,
        at=at,
    )
