"""`GroupLags` on Kafka: ends, committed positions and what is put off, asked of the brokers by anybody."""

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import AsyncIterator, Coroutine, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, Self, TypeVar

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from adapters.kafka_admin import AdminClass, KeptAdmin
from adapters.kafka_connection import KafkaConnection
from adapters.kafka_consumer import ConsumerClass, partition_of
from adapters.kafka_notes import deferral_of
from adapters.kafka_positions import position_of
from adapters.kafka_put_off import PutOffSoFar
from adapters.kafka_reader import KafkaReader
from domain.errors import LogUnavailable
from domain.lag import PutOff, Standing
from domain.ledger import deferred_topic
from domain.log import Bounds, Position, Shard

Told = TypeVar("Told")

_PAUSE_SECONDS = 0.2
# Longer than the step of the board: what a look costs is mostly a new client.
_LINGER_SECONDS = 30.0


class KafkaGroupLags:
    """A group's `group.id` is `group_prefix` and its name. `timeout_seconds`: for each answer of Kafka's."""

    def __init__(
        self,
        connection: KafkaConnection,
        group_prefix: str,
        *,
        timeout_seconds: float = 10.0,
        admin_class: AdminClass = AIOKafkaAdminClient,
        consumer_class: ConsumerClass = AIOKafkaConsumer,
    ) -> None:
        self._prefix = group_prefix
        self._timeout = timeout_seconds
        self._admin = KeptAdmin(connection, admin_class, timeout_seconds)
        self._reader = KafkaReader(
            connection,
            answer_seconds=timeout_seconds,
            linger_seconds=_LINGER_SECONDS,
            consumer_class=consumer_class,
        )
        self._found: set[str] = set()
        self._put_off_so_far: defaultdict[TopicPartition, PutOffSoFar] = defaultdict(PutOffSoFar)
        # Where a group stood, and since when the record there waits: while the group does not move it is not
        # read again, for Kafka sends many for one.
        self._waits: dict[tuple[str, TopicPartition], tuple[int, float]] = {}
        # The reader reads a partition once at a time.
        self._turn = asyncio.Lock()

    async def standings(self, group: str, shards: Sequence[Shard]) -> Sequence[Standing]:
        await self._need({shard.topic for shard in shards})
        # The positions first: one that is asked for later may be beyond the ends.
        positions = await self._positions(group, shards)
        async with self._reading():
            bounds = await self._reader.bounds([partition_of(shard) for shard in shards])
            return await _all(
                [
                    self._standing(group, shard, bounds[partition_of(shard)], positions[shard])
                    for shard in shards
                ]
            )

    async def put_off(self, group: str, since: Mapping[Shard, int]) -> Mapping[Shard, PutOff]:
        partitions = {
            shard: TopicPartition(deferred_topic(shard.topic, group), shard.partition) for shard in since
        }
        await self._need({partition.topic for partition in partitions.values()})
        async with self._reading():
            bounds = await self._reader.bounds(list(partitions.values()))
            found = await _all(
                [
                    self._put_off(shard, partition, bounds[partition], since[shard])
                    for shard, partition in partitions.items()
                ]
            )
        return dict(zip(partitions, found, strict=True))

    async def _put_off(self, shard: Shard, partition: TopicPartition, bounds: Bounds, since: int) -> PutOff:
        so_far = self._put_off_so_far[partition]
        unread = so_far.begin(bounds, since)
        async with contextlib.aclosing(self._reader.read(partition, unread.first, unread.end)) as slices:
            async for some in slices:
                so_far.take(deferral_of(shard, record) for record in some)
        return so_far.end(bounds)

    async def _need(self, topics: AbstractSet[str]) -> None:
        """Asked once, for Kafka answers with all the topics it has, also those of others."""
        if not (unknown := topics - self._found):
            return
        if missing := await self._reader.missing(unknown):
            raise LogUnavailable(f"Kafka has no topic {', '.join(missing)}: run 'herald topics apply'")
        self._found |= topics

    @contextlib.asynccontextmanager
    async def _reading(self) -> AsyncIterator[None]:
        async with self._turn:
            try:
                yield
            except BaseException:
                self._found.clear()  # perhaps a topic is gone, and the next one is to be told so
                raise

    async def _positions(self, group: str, shards: Sequence[Shard]) -> Mapping[Shard, Position | None]:
        """A coordinator that is only just being made, or moves, is waited for."""
        end = asyncio.get_running_loop().time() + self._timeout
        while True:
            try:
                return await self._ask_positions(group, shards)
            except LogUnavailable:
                if asyncio.get_running_loop().time() >= end:
                    raise
            await asyncio.sleep(_PAUSE_SECONDS)

    async def _ask_positions(self, group: str, shards: Sequence[Shard]) -> dict[Shard, Position | None]:
        asked = [partition_of(shard) for shard in shards]
        async with self._admin.conversation() as admin:
            answer = await admin.list_consumer_group_offsets(f"{self._prefix}{group}", partitions=asked)
        return {shard: position_of(answer, shard) for shard in shards}

    async def _standing(
        self, group: str, shard: Shard, bounds: Bounds, position: Position | None
    ) -> Standing:
        first = max(bounds.first, position.offset if position else 0)
        waits_since = await self._waits_since(group, partition_of(shard), first, bounds.end)
        return Standing(shard=shard, bounds=bounds, position=position, waits_since=waits_since)

    async def _waits_since(self, group: str, partition: TopicPartition, first: int, end: int) -> float | None:
        place = (group, partition)
        offset, time = self._waits.pop(place, (-1, 0.0))
        if first >= end:
            return None
        if offset != first:
            taken_at = await self._taken_at(partition, first, end)
            if taken_at is None:
                return None
            time = taken_at
        self._waits[place] = (first, time)
        return time

    async def _taken_at(self, partition: TopicPartition, first: int, end: int) -> float | None:
        async with contextlib.aclosing(self._reader.read(partition, first, end)) as slices:
            async for some in slices:
                return float(some[0].timestamp) / 1000
        return None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._reader.close()
        await self._admin.close()


async def _all(works: Sequence[Coroutine[Any, Any, Told]]) -> list[Told]:
    """Side by side. The first that fails ends the others; its error is raised as it is, in no group."""
    tasks = [asyncio.create_task(work) for work in works]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
