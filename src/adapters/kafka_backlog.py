"""`GroupBacklog` on Kafka: a group's notes and its topics' records, read without any group."""

import contextlib
from collections.abc import AsyncIterator, Sequence
from typing import Self

from aiokafka import AIOKafkaConsumer

from adapters.kafka_connection import KafkaConnection
from adapters.kafka_consumer import ConsumerClass, partition_of
from adapters.kafka_ledger import recall_notes
from adapters.kafka_reader import KafkaReader
from adapters.kafka_reading import record_of
from domain.ledger import Places, Written
from domain.log import Record, Shard


class KafkaGroupBacklog:
    """`timeout_seconds`: so long a reading waits without getting on."""

    def __init__(
        self,
        connection: KafkaConnection,
        *,
        timeout_seconds: float = 10.0,
        consumer_class: ConsumerClass = AIOKafkaConsumer,
    ) -> None:
        self._reader = KafkaReader(connection, answer_seconds=timeout_seconds, consumer_class=consumer_class)

    async def notes(self, group: str, shard: Shard, since: Places) -> AsyncIterator[Sequence[Written]]:
        async for some in recall_notes(self._reader, group, shard, since):
            yield some

    async def records(self, shard: Shard, first: int, end: int) -> AsyncIterator[Sequence[Record]]:
        partition = partition_of(shard)
        bounds = (await self._reader.bounds([partition]))[partition]
        stretch = (max(first, bounds.first), min(end, bounds.end))
        async with contextlib.aclosing(self._reader.read(partition, *stretch)) as slices:
            async for some in slices:
                yield [record_of(shard, record) for record in some]

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._reader.close()
