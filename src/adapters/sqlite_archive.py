"""`DeadLetterArchive` on SQLite: letters lie in the groups' files, what was put back in the log's.

The groups' active processes go on writing meanwhile. A letter's original and the note that it was put back
are one transaction in the log's file, so a command that is killed has done both or neither.
"""

import math
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from heapq import merge
from itertools import islice
from pathlib import Path
from typing import Any, Self

from adapters.sqlite_archive_queries import (
    FIND,
    GET,
    IS_NOTED,
    NEW_RECORD,
    NO_REPLAYS,
    NOTE,
    REPLAYS,
    REPLAYS_OF,
    TALLY,
    arguments_of,
    letter_of,
)
from adapters.sqlite_file import faults_of, not_made_yet, open_file, open_to_read, transaction
from adapters.sqlite_locks import WriteLock
from adapters.sqlite_presence import Presence
from adapters.sqlite_schema import GROUP, LOG, group_path, pack_headers, row_id, unpack_headers
from adapters.sqlite_thread import SqliteThread
from domain.dead_letter import (
    MOST_REPLAYS,
    KeptLetter,
    LetterFilter,
    LetterPage,
    LetterPlace,
    LetterTally,
    Replay,
    kept_letter,
    parse_id,
    replays_before,
    returned_headers,
)
from domain.errors import HeraldError, LogUnavailable
from domain.log import Record
from domain.ports import Clock
from domain.topic import Topic


class SqliteDeadLetterArchive:
    """Works whether or not the group's process runs. Nothing is created or changed by looking.

    Raises `LogUnavailable` where neither the log nor the group has a file: "none" would be a lie.
    """

    def __init__(
        self,
        log_path: Path,
        topics: Sequence[Topic],
        clock: Clock,
        request_id_of: Callable[[Record], str],
    ) -> None:
        self._path = log_path
        self._subscribed = {(topic.name, group) for topic in topics for group in topic.groups}
        self._groups = sorted({group for _, group in self._subscribed})
        self._clock = clock
        self._request_id_of = request_id_of
        self._thread = SqliteThread("dead-letters")
        self._lock = WriteLock(log_path)
        self._connection: sqlite3.Connection | None = None
        self._presence: Presence | None = None

    async def find(
        self, wanted: LetterFilter, *, after: LetterPlace | None = None, limit: int = 100
    ) -> LetterPage:
        return await self._thread.call(lambda: self._find(wanted, after, limit))

    async def get(self, letter_id: str) -> KeptLetter | None:
        place = parse_id(letter_id)
        if place is None or place.group not in self._groups:
            return None
        return await self._thread.call(lambda: self._get(place))

    async def tally(self, until: float = math.inf) -> list[LetterTally]:
        return await self._thread.call(lambda: self._tally(until))

    async def put_back(self, kept: KeptLetter, *, by: str) -> None:
        await self._thread.call(lambda: self._put_back(kept, by))

    # In the thread ----------------------------------------------------------------------------

    def _find(self, wanted: LetterFilter, after: LetterPlace | None, limit: int) -> LetterPage:
        """Of each group no more than a page is read."""
        asked = [group for group in self._groups if wanted.group in {"", group}]
        pages = [self._of_group(group, wanted, after, limit + 1) for group in asked]
        some = list(islice(merge(*pages, key=lambda kept: kept.place), limit + 1))
        return LetterPage(some[:limit], some[limit - 1].place if len(some) > limit else None)

    def _of_group(
        self, group: str, wanted: LetterFilter, after: LetterPlace | None, limit: int
    ) -> list[KeptLetter]:
        with self._reading(group) as read:
            return [] if read is None else read.all(FIND, arguments_of(group, wanted, after, limit))

    def _tally(self, until: float) -> list[LetterTally]:
        found: list[LetterTally] = []
        for group in self._groups:
            with self._reading(group) as read:
                found += [] if read is None else read.tally(until)
        return sorted(found)

    def _get(self, place: LetterPlace) -> KeptLetter | None:
        with self._reading(place.group) as read:
            source = {"topic": place.topic, "partition": place.partition, "offset": place.offset}
            return None if read is None else next(iter(read.all(GET, source)), None)

    @contextmanager
    def _reading(self, group: str) -> Iterator["_GroupReader | None"]:
        path = group_path(self._path, group)
        connection = open_to_read(path, GROUP, least=1)
        if connection is None:
            self._check_log()
            yield None
            return
        with closing(connection), faults_of(path):
            replays = self._attach(connection)
            yield _GroupReader(connection, group, replays, self._request_id_of)

    def _check_log(self) -> None:
        """A group without a file has no letters only if the log is there: it may be the wrong folder."""
        with faults_of(self._path):
            log = open_to_read(self._path, LOG, least=1)
            if log is None:
                raise not_made_yet(self._path)
            log.close()

    def _attach(self, connection: sqlite3.Connection) -> str:
        """Puts the log's file beside the group's; where what was put back is found."""
        log = open_to_read(self._path, LOG, least=1)
        if log is None:
            return NO_REPLAYS
        log.close()  # it is one of ours, and can be read
        connection.execute("ATTACH DATABASE ? AS log", (f"{self._path.absolute().as_uri()}?mode=rw",))
        found = connection.execute("SELECT 1 FROM log.sqlite_schema WHERE name = 'replays'").fetchone()
        return REPLAYS if found else NO_REPLAYS

    def _put_back(self, kept: KeptLetter, by: str) -> None:
        if kept.letter.record.value is None:
            raise HeraldError(f"{kept.id} has no value, and the SQLite log takes none without: leave it")
        place = kept.place
        if (place.topic, place.group) not in self._subscribed:
            raise HeraldError(
                f"the group {place.group} takes no messages of {place.topic}: add it to the topic's groups"
            )
        connection = self._to_write()
        with faults_of(self._path), self._lock, transaction(connection):
            named = (place.topic, place.group, place.partition, place.offset, place.failed_at)
            if connection.execute(IS_NOTED, named).fetchone() is None:
                self._append(connection, kept)
                connection.execute(NOTE, (*named, self._clock.now(), by))

    def _append(self, connection: sqlite3.Connection, kept: KeptLetter) -> None:
        record = kept.letter.record
        shard = (record.shard.topic, record.shard.partition)
        query = "SELECT id, next_offset FROM shards WHERE topic = ? AND partition = ?"
        found = connection.execute(query, shard).fetchone()
        if found is None:
            raise LogUnavailable(f"the log has no partition {record.shard.partition} of {record.shard.topic}")
        number, offset = found
        headers = pack_headers(returned_headers(kept))
        row = (row_id(number, offset), self._clock.now(), record.key, record.value, headers)
        connection.execute(NEW_RECORD, row)
        connection.execute("UPDATE shards SET next_offset = ? WHERE id = ?", (offset + 1, number))

    def _to_write(self) -> sqlite3.Connection:
        if self._connection is None:
            self._connection = open_file(self._path, LOG, self._lock)
            self._presence = Presence(self._path)
        if self._presence is not None:
            self._presence.check()
        return self._connection

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        self._lock.close()

    async def __aenter__(self) -> Self:
        self._thread.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._thread.end(self._close)


class _GroupReader:
    """One look at a group's file with the log's file beside it."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        group: str,
        replays: str,
        request_id_of: Callable[[Record], str],
    ) -> None:
        self._connection = connection
        self._group = group
        self._replays = replays
        self._request_id_of = request_id_of

    def all(self, query: str, arguments: dict[str, Any]) -> list[KeptLetter]:
        named = {"group": self._group, **arguments}
        rows = self._connection.execute(query.format(replays=self._replays), named).fetchall()
        return [self._kept(row) for row in rows]

    def tally(self, until: float) -> list[LetterTally]:
        named = {"group": self._group, "until": until}
        counts: Counter[tuple[str, str, bool]] = Counter()
        for topic, reason, times, returned, count in self._connection.execute(
            TALLY.format(replays=self._replays), named
        ):
            is_parked = replays_before(unpack_headers(returned)) + times >= MOST_REPLAYS
            counts[topic, reason, is_parked] += count
        return [
            LetterTally(topic, self._group, reason, counts[topic, reason, False], counts[topic, reason, True])
            for topic, reason in {(topic, reason) for topic, reason, _ in counts}
        ]

    def _kept(self, row: Sequence[Any]) -> KeptLetter:
        letter = letter_of(self._group, row)
        shard = letter.record.shard
        source = {"topic": shard.topic, "partition": shard.partition, "offset": letter.record.offset}
        query = REPLAYS_OF.format(replays=self._replays)
        replays = self._connection.execute(query, {"group": self._group, **source})
        request_id = self._request_id_of(letter.record)
        return kept_letter(letter, request_id, [Replay(*replay) for replay in replays])
