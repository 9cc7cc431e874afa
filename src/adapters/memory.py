"""The log in memory, for tests and simulations: it keeps every promise of the ports but durability."""

import asyncio
from collections import deque
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Self

from adapters.memory_broker import SILENT, MemoryBroker
from domain.dead_letter import DeadLetter
from domain.log import (
    Assigned,
    Bounds,
    Fetched,
    LogEvent,
    Lost,
    NewRecord,
    Overtaken,
    Position,
    Receipt,
    Record,
    Revoking,
    Shard,
    Unconfirmed,
)
from domain.topic import FoundTopic, TopicPlan

__all__ = ["MemoryBroker", "MemoryDeadLetters", "MemoryLog", "MemoryPublisher", "MemoryTopicCatalog"]


class MemoryPublisher:
    """A `MessagePublisher`."""

    def __init__(self, broker: MemoryBroker) -> None:
        self._broker = broker

    async def publish(self, records: Sequence[NewRecord]) -> Sequence[Receipt | Unconfirmed]:
        if self._broker.down:
            return [Unconfirmed(SILENT)] * len(records)
        return [self._broker.append(record) for record in records]

    async def unready(self) -> str | None:
        return SILENT if self._broker.down else None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        return None


class MemoryLog:
    """A `MessageLog`: one process of a group."""

    def __init__(self, broker: MemoryBroker, group: str, topics: Sequence[str]) -> None:
        self.group = group
        self.topics = tuple(topics)
        self.held: AbstractSet[Shard] = frozenset()
        self._broker = broker
        self._revoking: set[Shard] = set()
        self._next: dict[Shard, int] = {}
        self._events: deque[LogEvent] = deque()
        self._turn = 0

    def assign(self, shards: Sequence[Shard]) -> None:
        self.held = frozenset(shards)
        if shards:
            self._events.append(Assigned(frozenset(shards)))

    def revoke(self, seconds: float) -> None:
        fresh = self.held - self._revoking
        self._revoking |= fresh
        self._next.clear()
        if fresh:
            self._events.append(Revoking(frozenset(fresh), seconds))
            self._broker.wake()

    def lose(self) -> None:
        if self.held:
            self._events.append(Lost(frozenset(self.held)))
        self._drop(self.held)
        self._broker.wake()

    async def next_event(self, wanted: AbstractSet[Shard], limit: int, seconds: float) -> LogEvent | None:
        clock = self._broker.clock
        end = clock.monotonic() + seconds
        membership = self._broker.group(self.group)
        await asyncio.sleep(0)  # a full log must not keep every other task from its turn
        while True:
            membership.deal()
            event = None if self._broker.down else self._event(wanted, limit)
            left = min(end, membership.deadline) - clock.monotonic()
            if event is not None or clock.monotonic() >= end:
                return event
            await self._broker.wait(left)

    def _event(self, wanted: AbstractSet[Shard], limit: int) -> LogEvent | None:
        if self._events:
            return self._events.popleft()
        return self._overtaken(wanted) or self._fetched(wanted, limit)

    def _overtaken(self, wanted: AbstractSet[Shard]) -> LogEvent | None:
        for shard in sorted(self._next.keys() & wanted):
            first = self._broker.bounds(shard).first
            if self._next[shard] < first:
                self._next[shard] = first
                return Overtaken(shard, first)
        return None

    def _fetched(self, wanted: AbstractSet[Shard], limit: int) -> LogEvent | None:
        begun = sorted(self._next.keys() & wanted)
        # A busy shard must not starve the others: each time another one comes first.
        self._turn = (self._turn + 1) % max(len(begun), 1)
        records: list[Record] = []
        for shard in begun[self._turn :] + begun[: self._turn]:
            place, left = self._next[shard], limit - len(records)
            records += self._broker.read(shard, place, left)
            self._next[shard] = self._broker.past(shard, place, left)
        return Fetched(records) if records else None

    async def committed(self, shard: Shard) -> Position | None:
        while self._broker.down:
            await self._broker.wait(1.0)
        return self._broker.positions.get((self.group, shard))

    async def bounds(self, shards: AbstractSet[Shard]) -> Mapping[Shard, Bounds]:
        self._broker.answer()
        return {shard: self._broker.bounds(shard) for shard in shards}

    def begin(self, shard: Shard, offset: int) -> None:
        if shard in self.held - self._revoking:
            self._next[shard] = offset
            self._broker.wake()

    async def peek(self, shard: Shard, offset: int) -> Record | None:
        self._broker.answer()
        found = self._broker.read(shard, offset, 1) if self._broker.has(shard, offset) else []
        return found[0] if found else None

    def reached(self, shard: Shard) -> int | None:
        return self._next.get(shard)

    async def commit(self, positions: Mapping[Shard, Position]) -> None:
        self._broker.answer()
        ours = {(self.group, shard): positions[shard] for shard in positions.keys() & self.held}
        self._broker.positions.update(ours)
        self._broker.confirm()

    async def release(self, shards: AbstractSet[Shard]) -> None:
        self._drop(shards & self._revoking)
        self._broker.group(self.group).deal()

    def _drop(self, shards: AbstractSet[Shard]) -> None:
        gone = frozenset(shards)
        self.held -= gone
        self._revoking -= gone
        self._next = {shard: offset for shard, offset in self._next.items() if shard not in gone}

    async def unready(self) -> str | None:
        return SILENT if self._broker.down else None

    async def __aenter__(self) -> Self:
        self._broker.group(self.group).join(self)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._drop(self.held)
        self._broker.group(self.group).leave(self)


class MemoryDeadLetters:
    """`DeadLetters`, to be read at the broker's `letters`."""

    def __init__(self, broker: MemoryBroker) -> None:
        self._broker = broker

    @property
    def letters(self) -> Sequence[DeadLetter]:
        return self._broker.letters

    async def keep(self, letter: DeadLetter) -> None:
        self._broker.answer()
        self._broker.letters.append(letter)
        self._broker.confirm()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        return None


class MemoryTopicCatalog:
    """A `TopicCatalog`."""

    def __init__(self, broker: MemoryBroker) -> None:
        self._broker = broker

    async def find(self, names: AbstractSet[str]) -> Mapping[str, FoundTopic]:
        self._broker.answer()
        return {name: _found(plan) for name, plan in self._broker.topics.items() if name in names}

    async def create(self, plans: Sequence[TopicPlan]) -> None:
        self._broker.answer()
        self._broker.create(plans)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        return None


def _found(plan: TopicPlan) -> FoundTopic:
    return FoundTopic(
        name=plan.name,
        partitions=plan.partitions,
        replication_factor=plan.replication_factor or 1,
        retention_ms=plan.retention_ms,
        cleanup=plan.cleanup,
    )
