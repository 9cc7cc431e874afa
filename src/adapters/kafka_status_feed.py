"""`StatusFeed` on Kafka: the sources, and each group's ledger and deferrals beside them.

Dead-letter topics are not read: the ledger says that a message is dead, and a replay stands in the source.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from aiokafka import AIOKafkaConsumer, TopicPartition

from adapters.kafka_connection import KafkaConnection
from adapters.kafka_consumer import ConsumerClass, partition_of
from adapters.kafka_notes import due_of, ledger_record_of
from adapters.kafka_reader import KafkaReader
from adapters.kafka_reading import record_of
from adapters.message_sighting import sighting_of
from domain.errors import LogUnavailable, StorageBroken
from domain.ledger import deferred_topic, ledger_topic
from domain.log import Bounds, Shard
from domain.ports import Clock
from domain.status import DeferralChange, Noted, StatusEvent
from domain.topic import Topic

_HOUR = 3600.0
# Partitions that are read side by side, and slices that wait for whoever stores them.
_READERS = 16
_SLICES = 32


@dataclass(frozen=True, slots=True)
class _Source:
    """A partition that is read, and what its records tell."""

    partition: TopicPartition
    event_of: Callable[[Any], StatusEvent]
    holds_messages: bool = False


_AllBounds = Mapping[TopicPartition, Bounds]
# What was read, or why no more is; None: that is all.
_Slices = asyncio.Queue[Sequence[StatusEvent] | Exception | None]


class KafkaStatusFeed:
    """Begins `hours` ago, or so many `messages` before the end where that is later."""

    def __init__(
        self,
        connection: KafkaConnection,
        topics: Sequence[Topic],
        clock: Clock,
        hours: float,
        messages: int,
        *,
        timeout_seconds: float = 10.0,
        consumer_class: ConsumerClass = AIOKafkaConsumer,
    ) -> None:
        self._sources = tuple(_sources(topics))
        self._clock = clock
        self._hours = hours
        self._messages = messages
        self._next: dict[TopicPartition, int] = {}
        self._reader = KafkaReader(connection, answer_seconds=timeout_seconds, consumer_class=consumer_class)

    async def rest(self) -> AsyncGenerator[Sequence[StatusEvent], None]:
        """See the port."""
        await self._need_topics()
        bounds = await self._reader.bounds([source.partition for source in self._sources])
        if not self._next:
            await self._begin()
        todo = [source for source in self._sources if self._is_behind(source, bounds[source.partition])]
        slices: _Slices = asyncio.Queue(_SLICES)
        reading = asyncio.create_task(self._read_all(todo, bounds, slices))
        try:
            while (some := await slices.get()) is not None:
                if isinstance(some, Exception):
                    raise some
                yield some
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)

    async def _need_topics(self) -> None:
        """Asking for the bounds of what does not exist lets a broker make it, with numbers of its own."""
        if self._next:
            return
        if missing := await self._reader.missing({source.partition.topic for source in self._sources}):
            raise LogUnavailable(f"Kafka has no topic {', '.join(missing)} yet")

    async def _begin(self) -> None:
        since = self._clock.now() - _HOUR * self._hours
        found = await self._reader.since([source.partition for source in self._sources], since)
        for source in self._sources:
            first, end = found[source.partition].first, found[source.partition].end
            newest = end - self._messages if source.holds_messages else 0
            self._next[source.partition] = max(first, newest)

    def _is_behind(self, source: _Source, bounds: Bounds) -> bool:
        partition = source.partition
        if bounds.end < self._next[partition]:
            raise StorageBroken(
                f"{partition.topic}-{partition.partition} was made anew: the status view begins anew"
            )
        return self._next[partition] < bounds.end

    async def _read_all(self, todo: Sequence[_Source], bounds: _AllBounds, slices: _Slices) -> None:
        waiting = iter(todo)
        failure: Exception | None = None
        try:
            async with asyncio.TaskGroup() as readers:
                for _ in range(min(_READERS, len(todo))):
                    readers.create_task(self._read_in_turn(waiting, bounds, slices))
        except ExceptionGroup as failures:
            failure = failures.exceptions[0]
        await slices.put(failure)

    async def _read_in_turn(self, waiting: Iterator[_Source], bounds: _AllBounds, slices: _Slices) -> None:
        for source in waiting:
            partition = source.partition
            first, end = self._next[partition], bounds[partition].end
            async with contextlib.aclosing(self._reader.read(partition, first, end)) as some:
                async for records in some:
                    await slices.put([source.event_of(record) for record in records])
                    self._next[partition] = records[-1].offset + 1
            self._next[partition] = end

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._reader.close()


def _sources(topics: Sequence[Topic]) -> Iterator[_Source]:
    for topic in topics:
        for number in range(topic.partitions):
            yield from _sources_of(Shard(topic.name, number), topic.groups)


def _sources_of(shard: Shard, groups: Sequence[str]) -> Iterator[_Source]:
    def seen(record: Any) -> StatusEvent:
        return sighting_of(record_of(shard, record))

    yield _Source(partition_of(shard), seen, holds_messages=True)
    for group in groups:
        ledger, deferred = ledger_topic(shard.topic, group), deferred_topic(shard.topic, group)
        yield _Source(TopicPartition(ledger, shard.partition), _noted_by(shard, group))
        yield _Source(TopicPartition(deferred, shard.partition), _put_off_by(shard, group))


def _noted_by(shard: Shard, group: str) -> Callable[[Any], StatusEvent]:
    def noted(record: Any) -> StatusEvent:
        return Noted(shard, group, ledger_record_of(record))

    return noted


def _put_off_by(shard: Shard, group: str) -> Callable[[Any], StatusEvent]:
    def put_off(record: Any) -> StatusEvent:
        due = None if record.value is None else due_of(record)
        return DeferralChange(shard, group, int(record.key), due)

    return put_off
