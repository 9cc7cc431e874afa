"""`StatusView` that looks through Kafka for one id when it is asked, and keeps nothing."""

import contextlib
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, Self

from aiokafka import AIOKafkaConsumer, TopicPartition

from adapters.kafka_connection import KafkaConnection
from adapters.kafka_consumer import ConsumerClass, partition_of
from adapters.kafka_notes import due_of, ledger_record_of
from adapters.kafka_reader import KafkaReader
from adapters.kafka_reading import record_of
from adapters.message_sighting import sighting_of
from domain.dead_letter import REQUEST_ID
from domain.ledger import LedgerRecord, deferred_topic, ledger_topic
from domain.log import Bounds, Shard
from domain.ports import Clock
from domain.status import GroupNotes, MessageStatus, Sighting
from domain.status_fold import fold_status, likely_shards, newest_of, notes_of
from domain.topic import Topic

Ends = Mapping[TopicPartition, Bounds]
_HOUR = 3600.0


class KafkaStatusScan:
    """Reads a message's partition from `hours` ago on; 0: from its beginning.

    An id without a key is in one partition of a topic. If it is not there `show` is told, in a line, that all
    others are looked through.
    """

    def __init__(
        self,
        connection: KafkaConnection,
        topics: Sequence[Topic],
        clock: Clock,
        hours: float,
        show: Callable[[str], None],
        *,
        timeout_seconds: float = 10.0,
        consumer_class: ConsumerClass = AIOKafkaConsumer,
    ) -> None:
        self._topics = tuple(topics)
        self._clock = clock
        self._hours = hours
        self._show = show
        self._missing: frozenset[str] = frozenset()
        self._reader = KafkaReader(connection, answer_seconds=timeout_seconds, consumer_class=consumer_class)

    async def find(self, request_id: str, topics: AbstractSet[str]) -> MessageStatus | None:
        asked = [topic for topic in self._topics if topic.name in topics]
        # Asking for the bounds of what does not exist lets a broker make it, with numbers of its own.
        self._missing = frozenset(await self._reader.missing(_names(asked)))
        asked = [topic for topic in asked if topic.name not in self._missing]
        likely = likely_shards(request_id, asked)
        if found := await self._look(request_id, likely):
            return found
        shards = [Shard(topic.name, partition) for topic in asked for partition in range(topic.partitions)]
        others = [shard for shard in shards if shard not in likely]
        if others:
            self._show(f"not where it is without a key; looking through {len(others)} more partitions …")
        return await self._look(request_id, others)

    async def _look(self, request_id: str, shards: Sequence[Shard]) -> MessageStatus | None:
        as_of = self._clock.now()
        groups = {topic.name: topic.groups for topic in self._topics}
        places = [one for shard in shards for one in _places(shard, groups[shard.topic])]
        if not places:
            return None
        there = [place for place in places if place.topic not in self._missing]
        nothing = dict.fromkeys(places, Bounds(0, 0))
        since = as_of - _HOUR * self._hours if self._hours else 0.0
        ends = nothing | dict(await self._reader.since(there, since))
        stories = [await self._story(request_id, shard, groups[shard.topic], ends, as_of) for shard in shards]
        return newest_of(story for story in stories if story is not None)

    async def _story(
        self, request_id: str, shard: Shard, groups: Sequence[str], ends: Ends, as_of: float
    ) -> MessageStatus | None:
        sightings = await self._sightings(request_id, shard, ends)
        if not sightings:
            return None
        offsets = {sighting.offset for sighting in sightings}
        notes = {group: await self._notes(request_id, shard, group, offsets, ends) for group in groups}
        return fold_status(sightings, notes, as_of)

    async def _sightings(self, request_id: str, shard: Shard, ends: Ends) -> list[Sighting]:
        is_it = _looks_like(request_id, shard)
        found: list[Sighting] = []
        async with contextlib.aclosing(self._read(partition_of(shard), ends)) as slices:
            async for some in slices:
                seen = (sighting_of(record_of(shard, record)) for record in some if is_it(record))
                found += [sighting for sighting in seen if sighting.request_id == request_id]
        return found

    async def _notes(
        self, request_id: str, shard: Shard, group: str, offsets: AbstractSet[int], ends: Ends
    ) -> GroupNotes:
        ledger, deferred = _beside(shard, group)
        passed = 0
        entries: list[LedgerRecord] = []
        async with contextlib.aclosing(self._read(ledger, ends)) as slices:
            async for some in slices:
                passed = max(passed, ledger_record_of(some[-1]).low)
                own = [ledger_record_of(one) for one in some if request_id.encode() in (one.value or b"")]
                entries += [entry for entry in own if entry.request_id == request_id]
        return notes_of(entries, await self._put_off(deferred, offsets, ends), passed)

    async def _put_off(
        self, deferred: TopicPartition, offsets: AbstractSet[int], ends: Ends
    ) -> dict[int, float]:
        left: dict[int, float] = {}
        async with contextlib.aclosing(self._read(deferred, ends)) as slices:
            async for some in slices:
                for record in some:
                    if (offset := int(record.key)) not in offsets:
                        continue
                    if record.value is None:
                        left.pop(offset, None)
                    else:
                        left[offset] = due_of(record)
        return left

    def _read(self, partition: TopicPartition, ends: Ends) -> AsyncGenerator[Sequence[Any]]:
        bounds = ends[partition]
        return self._reader.read(partition, bounds.first, bounds.end)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._reader.close()


def _names(topics: Sequence[Topic]) -> set[str]:
    """The topics with those that stand beside them; of a group that has not begun there may be none."""
    beside = {
        name(topic.name, group)
        for topic in topics
        for group in topic.groups
        for name in (ledger_topic, deferred_topic)
    }
    return {topic.name for topic in topics} | beside


def _places(shard: Shard, groups: Sequence[str]) -> list[TopicPartition]:
    return [partition_of(shard), *(place for group in groups for place in _beside(shard, group))]


def _beside(shard: Shard, group: str) -> tuple[TopicPartition, TopicPartition]:
    """The group's ledger and deferrals of a shard."""
    names = (ledger_topic(shard.topic, group), deferred_topic(shard.topic, group))
    ledger, deferred = (TopicPartition(name, shard.partition) for name in names)
    return ledger, deferred


def _looks_like(request_id: str, shard: Shard) -> Callable[[Any], bool]:
    """A quick look at a record, before its value is read as JSON."""
    needle = request_id.encode()

    def is_it(record: Any) -> bool:
        return (
            needle in (record.value or b"")
            or any(name == REQUEST_ID for name, _ in record.headers)
            or f"{shard.topic}-{shard.partition}-{record.offset}" == request_id
        )

    return is_it
