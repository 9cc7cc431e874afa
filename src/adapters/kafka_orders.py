"""`DiscardOrders` on Kafka: a topic of one partition for each topic and group."""

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Self

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from adapters.kafka_batches import Backlog
from adapters.kafka_connection import KafkaConnection
from adapters.kafka_consumer import ConsumerClass
from adapters.kafka_control import end_of_order, order_of, record_of_order
from adapters.kafka_publisher import ProducerClass, WritingClient
from adapters.kafka_reader import KafkaReader
from domain.discard import Discard, control_topic
from domain.errors import LogUnavailable
from domain.log import Unconfirmed

_Name = tuple[str, str]  # topic and group


@dataclass(slots=True, eq=False)
class _Read:
    """What was read of one control topic."""

    next: int = 0
    orders: dict[bytes, Discard] = field(default_factory=dict)


class KafkaDiscardOrders:
    """What was once read is not read again: to ask once more costs a question for the topic's bounds.

    `timeout_seconds`: the longest that a write takes, and that a reading waits without getting on.
    """

    def __init__(
        self,
        connection: KafkaConnection,
        *,
        timeout_seconds: float = 10.0,
        producer_class: ProducerClass = AIOKafkaProducer,
        consumer_class: ConsumerClass = AIOKafkaConsumer,
    ) -> None:
        backlog = Backlog(10_000, 64 << 20)
        self._client = WritingClient(connection, timeout_seconds, 0.0, backlog, producer_class)
        self._reader = KafkaReader(connection, answer_seconds=timeout_seconds, consumer_class=consumer_class)
        self._one_at_a_time = asyncio.Lock()
        self._read: defaultdict[_Name, _Read] = defaultdict(_Read)
        self._existing: set[str] = set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._reader.close()
        await self._client.close()

    async def in_force(self, topic: str, group: str) -> Sequence[Discard]:
        """See the port."""
        async with self._one_at_a_time:
            return tuple((await self._catch_up(topic, group)).values())

    async def give(self, order: Discard) -> None:
        """See the port. A command that is killed behind the order leaves what that includes: no harm."""
        async with self._one_at_a_time:
            earlier = await self._catch_up(order.topic, order.group)
            included = [key for key, known in earlier.items() if order.includes(known)]
            ends = [end_of_order(order.topic, order.group, key) for key in included]
            answers = await self._client.write([record_of_order(order), *ends])
        if isinstance(answers[0], Unconfirmed):
            raise LogUnavailable(f"the order was not confirmed: {answers[0].reason}")

    async def _catch_up(self, topic: str, group: str) -> dict[bytes, Discard]:
        partition = TopicPartition(control_topic(topic, group), 0)
        await self._need(partition.topic)
        read = self._read[topic, group]
        bounds = (await self._reader.bounds([partition]))[partition]
        if bounds.end < read.next:  # it was made anew
            read = self._read[topic, group] = _Read()
        first = max(read.next, bounds.first)
        async with contextlib.aclosing(self._reader.read(partition, first, bounds.end)) as slices:
            async for some in slices:
                for record in some:
                    _take(read, record.key, order_of(topic, group, record))
                    read.next = record.offset + 1
        read.next = bounds.end
        return read.orders

    async def _need(self, topic: str) -> None:
        """Asking for the bounds of what does not exist would wait, and let some brokers create it."""
        if topic not in self._existing:
            if await self._reader.missing({topic}):
                raise LogUnavailable(f"Kafka has no topic {topic}: run 'herald topics apply'")
            self._existing.add(topic)


def _take(read: _Read, key: bytes, order: Discard | None) -> None:
    if order is None:
        read.orders.pop(key, None)
    else:
        read.orders[key] = order
