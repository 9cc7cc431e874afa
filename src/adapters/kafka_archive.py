"""`DeadLetterArchive` on Kafka: reads the groups' dead-letter topics, and writes back into the sources."""

import asyncio
import contextlib
import logging
import math
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Self

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from adapters.kafka_admin import AdminClass
from adapters.kafka_batches import Backlog, Writable
from adapters.kafka_connection import KafkaConnection
from adapters.kafka_consumer import ConsumerClass
from adapters.kafka_letters import ReplayNote, read_letter, record_of_note
from adapters.kafka_publisher import ProducerClass, WritingClient
from adapters.kafka_reader import KafkaReader
from adapters.kafka_reading import record_of
from adapters.kafka_topics import KafkaTopicCatalog
from adapters.letter_index import Found, LetterIndex, find_in
from domain.dead_letter import (
    DeadLetter,
    KeptLetter,
    LetterFilter,
    LetterPage,
    LetterPlace,
    LetterTally,
    Replay,
    kept_letter,
    parse_id,
    returned_headers,
)
from domain.errors import LogUnavailable
from domain.log import Bounds, Record, ReturnedRecord, Shard, Unconfirmed
from domain.ports import Clock
from domain.topic import Topic, dead_letter_topic

log = logging.getLogger("herald.kafka")

# What lies so near together is read in one go.
_GAP = 200


@dataclass(slots=True)
class _LetterLog:
    """A dead-letter topic's one partition, and how far it has been read."""

    index: LetterIndex
    first: int = 0
    next: int = 0
    partition: TopicPartition = field(init=False)

    def __post_init__(self) -> None:
        self.partition = TopicPartition(dead_letter_topic(self.index.topic, self.index.group), 0)

    def begin(self, bounds: Bounds) -> None:
        """Forgets what the topic does not have any more: retention took it, or the topic was made anew."""
        if bounds.end < self.next:
            self.index = LetterIndex(self.index.topic, self.index.group)
            self.first = self.next = 0
        if bounds.first > self.first:
            self.index.forget(bounds.first)
            self.first = bounds.first
        self.next = max(self.next, bounds.first)

    def take(self, record: Record) -> None:
        read = read_letter(record, self.index.group)
        if isinstance(read, DeadLetter):
            self.index.add(read, record.offset)
        elif isinstance(read, ReplayNote):
            self.index.note((read.partition, read.offset), read.replay)
        else:
            extra = {"action": "no_dead_letter", "topic": record.shard.topic, "offset": record.offset}
            log.warning("A record among the dead letters is none of Herald's; it is passed over", extra=extra)
        self.next = record.offset + 1


class KafkaDeadLetterArchive:
    """What was once read is not read again, but for the letters that are shown.

    `timeout_seconds`: the longest that a write takes, and that a reading waits without getting on.
    """

    def __init__(
        self,
        connection: KafkaConnection,
        topics: Sequence[Topic],
        clock: Clock,
        request_id_of: Callable[[Record], str],
        *,
        timeout_seconds: float = 10.0,
        producer_class: ProducerClass = AIOKafkaProducer,
        consumer_class: ConsumerClass = AIOKafkaConsumer,
        admin_class: AdminClass = AIOKafkaAdminClient,
    ) -> None:
        self._clock = clock
        self._request_id_of = request_id_of
        self._logs = [
            _LetterLog(LetterIndex(topic.name, group)) for topic in topics for group in topic.groups
        ]
        self._existing: set[str] = set()
        self._one_at_a_time = asyncio.Lock()
        self._catalog = KafkaTopicCatalog(
            connection, timeout_seconds=timeout_seconds, admin_class=admin_class
        )
        self._reader = KafkaReader(connection, answer_seconds=timeout_seconds, consumer_class=consumer_class)
        backlog = Backlog(10_000, 64 << 20)
        self._client = WritingClient(connection, timeout_seconds, 0.0, backlog, producer_class)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._reader.close()
        await self._client.close()

    async def find(
        self, wanted: LetterFilter, *, after: LetterPlace | None = None, limit: int = 100
    ) -> LetterPage:
        """See the port."""
        asked = [one for one in self._logs if wanted.looks_at(one.index.topic, one.index.group)]
        async with self._one_at_a_time:
            await self._catch_up(asked)
            found, following = find_in([one.index for one in asked], wanted, after, limit)
            return LetterPage(await self._read(asked, found), following)

    async def get(self, letter_id: str) -> KeptLetter | None:
        """See the port."""
        place = parse_id(letter_id)
        asked = [
            one
            for one in self._logs
            if place is not None and (one.index.topic, one.index.group) == (place.topic, place.group)
        ]
        if place is None or not asked:
            return None
        async with self._one_at_a_time:
            await self._catch_up(asked)
            found = asked[0].index.get((place.partition, place.offset))
            return None if found is None else next(iter(await self._read(asked, [found])), None)

    async def tally(self, until: float = math.inf) -> list[LetterTally]:
        """See the port."""
        async with self._one_at_a_time:
            await self._catch_up(self._logs)
            return sorted(tally for one in self._logs for tally in one.index.tally(until))

    async def put_back(self, kept: KeptLetter, *, by: str) -> None:
        """See the port. A command that is killed between the two writes is told from its outcome."""
        original = kept.letter.record
        returned = ReturnedRecord(original.shard, original.key, original.value, returned_headers(kept))
        await self._write(returned)
        await self._write(record_of_note(kept, Replay(kept.letter.failed_at, self._clock.now(), by)))

    async def _write(self, record: Writable) -> None:
        [answer] = await self._client.write([record])
        if isinstance(answer, Unconfirmed):
            raise LogUnavailable(f"a replay was not confirmed in {record.shard.topic}: {answer.reason}")

    async def _catch_up(self, asked: Sequence[_LetterLog]) -> None:
        names = {one.partition.topic for one in asked}
        if missing := names - self._existing:
            # Asking for the bounds of what does not exist lets a broker that creates topics create it.
            self._existing |= (await self._catalog.find(missing)).keys()
        there = [one for one in asked if one.partition.topic in self._existing]
        if not there:
            return
        bounds = await self._reader.bounds([one.partition for one in there])
        for one in there:
            one.begin(bounds[one.partition])
            async for record in self._records(one.partition, one.next, bounds[one.partition].end):
                one.take(record)

    async def _read(self, asked: Sequence[_LetterLog], found: Sequence[Found]) -> list[KeptLetter]:
        """Those found, in their order; what retention took since then is left out."""
        letters: dict[LetterPlace, KeptLetter] = {}
        for one in asked:
            mine = {
                each.position: each
                for each in found
                if (each.place.topic, each.place.group) == (one.index.topic, one.index.group)
            }
            for first, last in _stretches(sorted(mine)):
                async for record in self._records(one.partition, first, last + 1):
                    if each := mine.get(record.offset):
                        letters[each.place] = self._kept(record, each)
        return [letters[each.place] for each in found if each.place in letters]

    async def _records(self, partition: TopicPartition, first: int, end: int) -> AsyncIterator[Record]:
        shard = Shard(partition.topic, partition.partition)
        async with contextlib.aclosing(self._reader.read(partition, first, end)) as slices:
            async for some in slices:
                for record in some:
                    yield record_of(shard, record)

    def _kept(self, record: Record, found: Found) -> KeptLetter:
        letter = read_letter(record, found.place.group)
        if not isinstance(letter, DeadLetter):
            raise LogUnavailable(f"{record.shard.topic} was made anew meanwhile; ask again")
        return kept_letter(letter, self._request_id_of(letter.record), found.replays)


def _stretches(positions: Sequence[int]) -> Iterator[tuple[int, int]]:
    """First and last of what is read in one go."""
    start = 0
    for at in range(1, len(positions) + 1):
        if at == len(positions) or positions[at] - positions[at - 1] > _GAP:
            yield positions[start], positions[at - 1]
            start = at
