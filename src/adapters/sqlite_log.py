"""`MessageLog` on SQLite: one process of a group works, the others stand by."""

import asyncio
import logging
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import suppress
from time import monotonic
from typing import Self, TypeVar

from adapters.sqlite_group import SqliteGroupFile
from adapters.sqlite_reader import LogReader, Look
from adapters.sqlite_thread import SqliteThread
from domain.errors import HeraldError, LogUnavailable, StorageBroken
from domain.log import Assigned, Bounds, Fetched, LogEvent, Position, Record, Shard

T = TypeVar("T")

logger = logging.getLogger("herald.log")

_COMMIT = """INSERT INTO positions (topic, partition, next_offset, metadata) VALUES (?, ?, ?, ?)
    ON CONFLICT (topic, partition) DO UPDATE
    SET next_offset = excluded.next_offset, metadata = excluded.metadata"""
_COMMITTED = "SELECT next_offset, metadata FROM positions WHERE topic = ? AND partition = ?"
_ANSWER_SECONDS = 5.0
_AGAIN_SECONDS = 1.0


class SqliteLog:
    """Reads `topics` for the file's group.

    SQLite tells nobody of a commit, so the file is asked each `poll_seconds`; who stands by tries to take
    over each `standby_seconds`. Nothing is ever revoked: the active process stays it until it ends.
    """

    def __init__(
        self,
        group_file: SqliteGroupFile,
        topics: Sequence[str],
        *,
        poll_seconds: float = 0.05,
        standby_seconds: float = 0.25,
    ) -> None:
        self._file = group_file
        self._poll_seconds = poll_seconds
        self._standby_seconds = standby_seconds
        self._reader = LogReader(group_file.log_path, topics)
        self._thread = SqliteThread(f"{group_file.group}-reader")
        self._held: AbstractSet[Shard] = frozenset()
        self._next: dict[Shard, int] = {}
        self._look_at = 0.0
        self._nudge = asyncio.Event()
        self._joined = False
        self._trouble = ""

    async def next_event(self, wanted: AbstractSet[Shard], limit: int, seconds: float) -> LogEvent | None:
        end = monotonic() + seconds
        while True:
            self._nudge.clear()
            if monotonic() >= self._look_at and (event := await self._look(wanted, limit)) is not None:
                return event
            if monotonic() >= end:
                return None
            await self._pause(min(self._look_at, end) - monotonic())

    async def _look(self, wanted: AbstractSet[Shard], limit: int) -> LogEvent | None:
        try:
            if not await self._is_active():
                self._note_trouble("")
                return None
            cursors = {shard: self._next[shard] for shard in self._next.keys() & wanted}
            look = await self._thread.call(lambda: self._reader.look(cursors, limit))
        except LogUnavailable as error:
            self._look_at = monotonic() + _AGAIN_SECONDS
            self._note_trouble(str(error))
            return None
        self._note_trouble("")
        return self._event(look, cursors)

    def _note_trouble(self, reason: str) -> None:
        """A line for each change, not for each look."""
        if reason and reason != self._trouble:
            logger.warning("The log does not answer", extra={"action": "log_away", "reason": reason})
        elif self._trouble and not reason:
            logger.info("The log answers again", extra={"action": "log_back"})
        self._trouble = reason

    async def _is_active(self) -> bool:
        active = await self._file.take_over()
        if not active:
            self._look_at = monotonic() + self._standby_seconds
            if not self._joined:
                extra = {"action": "stands_by", "group": self._file.group}
                logger.info("Standing by: another process of the group is active", extra=extra)
        self._joined = True
        return active

    def _event(self, look: Look, cursors: Mapping[Shard, int]) -> LogEvent | None:
        """Nothing is awaited from here to the caller: what the cursors pass is surely handed out."""
        if fresh := frozenset(look.shards - self._held):
            self._held |= fresh
            return Assigned(fresh)
        # Where `begin` was called meanwhile, what was read is not what is wanted any more.
        asked = {shard for shard, offset in cursors.items() if self._next[shard] == offset}
        if look.overtaken is not None and look.overtaken.shard in asked:
            self._next[look.overtaken.shard] = look.overtaken.first
            return look.overtaken
        if look.is_all and not self._nudge.is_set():
            self._look_at = monotonic() + self._poll_seconds
        records = [record for record in look.records if record.shard in asked]
        self._next.update({record.shard: record.offset + 1 for record in records})
        return Fetched(records) if records else None

    async def _pause(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._nudge.wait()

    async def committed(self, shard: Shard) -> Position | None:
        place = (shard.topic, shard.partition)
        while True:
            try:
                row = await self._file.read(
                    lambda connection: connection.execute(_COMMITTED, place).fetchone()
                )
            except LogUnavailable:
                await asyncio.sleep(_AGAIN_SECONDS)
            else:
                return None if row is None else Position(*row)

    async def bounds(self, shards: AbstractSet[Shard]) -> Mapping[Shard, Bounds]:
        return await self._bounded(lambda: self._reader.bounds(shards))

    async def _bounded(self, job: Callable[[], T]) -> T:
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                return await self._thread.call(job)
        except TimeoutError as error:
            raise LogUnavailable(f"{self._file.log_path} does not answer") from error

    def begin(self, shard: Shard, offset: int) -> None:
        if shard in self._held:
            self._next[shard] = offset
            self._look_at = 0.0
            self._nudge.set()

    async def peek(self, shard: Shard, offset: int) -> Record | None:
        return await self._bounded(lambda: self._reader.peek(shard, offset))

    def reached(self, shard: Shard) -> int | None:
        return self._next.get(shard)

    async def commit(self, positions: Mapping[Shard, Position]) -> None:
        rows = [
            (shard.topic, shard.partition, position.offset, position.metadata)
            for shard, position in positions.items()
            if shard in self._held
        ]

        def write(connection: sqlite3.Connection) -> None:
            connection.executemany(_COMMIT, rows)

        if rows:
            await self._file.write(write)

    async def release(self, shards: AbstractSet[Shard]) -> None:
        """Nothing is ever revoked here."""

    async def unready(self) -> str | None:
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                await self._thread.call(lambda: self._reader.look({}, 0))
        except TimeoutError:
            return f"{self._file.log_path} does not answer"
        except HeraldError as error:
            return str(error)
        if self._trouble:
            return self._trouble
        return None if self._joined else "has not joined its group yet"

    async def __aenter__(self) -> Self:
        """Raises `StorageBroken` and `UnknownVersion` where the log's file cannot be used."""
        await self._file.__aenter__()
        self._thread.start()
        try:
            await self._open()
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def _open(self) -> None:
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                await self._thread.call(self._reader.open)
        except TimeoutError as error:
            raise StorageBroken(f"{self._file.log_path} does not answer: look for what holds it") from error

    async def __aexit__(self, *details: object) -> None:
        await self._thread.end(self._reader.close)
        await self._file.__aexit__(*details)
