"""`DeliveryLedger` on Kafka: two topics beside each source, partition for partition."""

import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, Self

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from adapters.kafka_batches import Backlog
from adapters.kafka_connection import KafkaConnection
from adapters.kafka_consumer import ConsumerClass
from adapters.kafka_notes import deferral_of, entry_of, record_of_note
from adapters.kafka_publisher import ProducerClass, WritingClient
from adapters.kafka_reader import KafkaReader
from domain.errors import LogUnavailable
from domain.ledger import Extent, Note, Places, Written, deferred_topic, ledger_topic
from domain.log import Receipt, Shard

WAITING_RECORDS = 50_000
WAITING_BYTES = 64 << 20


class KafkaLedger:
    """Positions are Kafka's offsets in `{topic}.{group}.ledger` and `{topic}.{group}.deferred`.

    `timeout_seconds`: the longest that a write takes, and that a reading waits without getting on.
    """

    def __init__(
        self,
        connection: KafkaConnection,
        group: str,
        *,
        timeout_seconds: float = 10.0,
        producer_class: ProducerClass = AIOKafkaProducer,
        consumer_class: ConsumerClass = AIOKafkaConsumer,
    ) -> None:
        self._group = group
        backlog = Backlog(WAITING_RECORDS, WAITING_BYTES)
        self._client = WritingClient(connection, timeout_seconds, 0.0, backlog, producer_class)
        self._reader = KafkaReader(connection, answer_seconds=timeout_seconds, consumer_class=consumer_class)

    async def __aenter__(self) -> Self:
        self._client.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._reader.close()
        await self._client.close()

    async def write(self, shard: Shard, notes: Sequence[Note]) -> Sequence[int]:
        """See the port."""
        records = [record_of_note(shard, self._group, note) for note in notes]
        answers = await self._client.writer.write(records)
        positions = [answer.offset for answer in answers if isinstance(answer, Receipt)]
        if len(positions) < len(answers):
            reason = next(answer.reason for answer in answers if not isinstance(answer, Receipt))
            raise LogUnavailable(f"notes of {shard.topic}-{shard.partition} were not confirmed: {reason}")
        return positions

    async def extent(self, shard: Shard) -> Extent:
        """See the port."""
        ledger, deferred = _partitions(self._group, shard)
        bounds = await self._reader.bounds([ledger, deferred])
        return Extent(bounds[ledger], bounds[deferred])

    async def recall(self, shard: Shard, since: Places) -> AsyncIterator[Sequence[Written]]:
        """See the port."""
        async for some in recall_notes(self._reader, self._group, shard, since):
            yield some


async def recall_notes(
    reader: KafkaReader, group: str, shard: Shard, since: Places
) -> AsyncIterator[Sequence[Written]]:
    """What `DeliveryLedger.recall` gives, for anybody."""
    ledger, deferred = _partitions(group, shard)
    bounds = await reader.bounds([ledger, deferred])
    stretches: list[tuple[TopicPartition, int, Callable[[Shard, Any], Written]]] = [
        (ledger, since.ledger, entry_of),
        (deferred, since.deferred, deferral_of),
    ]
    for partition, start, written_of in stretches:
        first, end = max(start, bounds[partition].first), bounds[partition].end
        async with contextlib.aclosing(reader.read(partition, first, end)) as slices:
            async for some in slices:
                yield [written_of(shard, record) for record in some]


def _partitions(group: str, shard: Shard) -> tuple[TopicPartition, TopicPartition]:
    ledger, deferred = (name(shard.topic, group) for name in (ledger_topic, deferred_topic))
    return TopicPartition(ledger, shard.partition), TopicPartition(deferred, shard.partition)
