"""A view of what became of messages that is kept apart from the log, with all that keeps it."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from collections.abc import Set as AbstractSet
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Self

from adapters.memory_broker import MemoryBroker
from adapters.message_sighting import sighting_of
from adapters.sqlite_status_store import SqliteStatusStore
from adapters.sqlite_stored_status import SqliteStoredStatus
from adapters.system_clock import SystemClock
from application.build_status import BuildStatus
from domain.ledger import Deferral, LedgerRecord, Note
from domain.log import Shard
from domain.status import DeferralChange, MessageStatus, Noted, StatusEvent
from domain.topic import Topic
from domain.view_ports import StatusFeed


class ImpatientClock(SystemClock):
    """Nobody waits longer than for other tasks to get on."""

    async def sleep(self, seconds: float) -> None:
        await super().sleep(min(seconds, 0.01))


class BuiltView:
    """A `StatusView`: what reads the file, and beside it what a process of its own does.

    `patience`: seconds for a view that is late, as it is on a busy machine.
    """

    def __init__(
        self,
        path: Path,
        topics: Sequence[Topic],
        feed: StatusFeed,
        messages: int = 1000,
        patience: float = 2.0,
    ) -> None:
        clock = ImpatientClock()
        self.store = SqliteStatusStore(path)
        self.view = SqliteStoredStatus(path, topics, clock, patience)
        self._feed = feed
        self._build = BuildStatus(feed, self.store, clock, 24.0, messages)
        self._stack = AsyncExitStack()

    async def find(self, request_id: str, topics: AbstractSet[str]) -> MessageStatus | None:
        return await self.view.find(request_id, topics)

    async def __aenter__(self) -> Self:
        for part in (self.store, self._feed, self.view):
            await self._stack.enter_async_context(part)
        building = asyncio.create_task(self._build.run())
        self._stack.push_async_callback(_end, building)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()


async def _end(building: asyncio.Task[None]) -> None:
    building.cancel()
    await asyncio.gather(building, return_exceptions=True)


class MemoryStatusFeed:
    """A `StatusFeed` that gives the whole log in memory each time."""

    def __init__(self, broker: MemoryBroker) -> None:
        self._broker = broker

    async def rest(self) -> AsyncGenerator[Sequence[StatusEvent], None]:
        self._broker.answer()
        for shard in self._broker.shards(self._broker.topics):
            bounds = self._broker.bounds(shard)
            yield [sighting_of(one) for one in self._broker.read(shard, bounds.first, bounds.end)]
        for logs in (self._broker.ledgers, self._broker.deferrals):
            for (group, shard), log in logs.items():
                yield [_event(shard, group, note) for note in log.notes]

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        return None


def _event(shard: Shard, group: str, note: Note) -> StatusEvent:
    if isinstance(note, LedgerRecord):
        return Noted(shard, group, note)
    if isinstance(note, Deferral):
        return DeferralChange(shard, group, note.record.offset, note.due)
    return DeferralChange(shard, group, note.offset, None)
