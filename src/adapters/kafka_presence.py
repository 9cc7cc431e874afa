"""`Presence` on Kafka: a topic of one partition, of which only the last moments matter.

The log stamps the records (`message.timestamp.type`), so the consumers' machines may have any time: only the
reader's clock is held against the brokers', and what is newest shows that theirs is at least there.
"""

import asyncio
import contextlib
import logging
from collections.abc import Sequence
from typing import Any, Self

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from adapters.kafka_batches import Backlog
from adapters.kafka_connection import KafkaConnection
from adapters.kafka_consumer import ConsumerClass
from adapters.kafka_letters import LetterRecord
from adapters.kafka_publisher import ProducerClass, WritingClient
from adapters.kafka_reader import KafkaReader
from adapters.presence_json import decode_report, encode_report, in_order
from domain.errors import LogUnavailable
from domain.log import Bounds, Shard, Unconfirmed
from domain.ports import Clock
from domain.presence import USUAL_TIMES, PresenceTimes, ProcessReport

# The first look goes so much further back than it must: the brokers' clocks may be behind.
_SLACK_SECONDS = 60.0
# A process that ends does not wait for long for what it has to tell of itself.
_STOP_SECONDS = 0.5
# Longer than the step of who looks again and again: a new client each time is most of what a look costs.
_LINGER_SECONDS = 30.0


class KafkaPresence:
    """`topic`: the installation's. It connects when there is something to tell, or to see.

    A process that left has a record without a value. What was read once is remembered, so that a look reads
    what is new alone.
    """

    def __init__(
        self,
        connection: KafkaConnection,
        topic: str,
        clock: Clock,
        times: PresenceTimes = USUAL_TIMES,
        *,
        timeout_seconds: float = 5.0,
        producer_class: ProducerClass = AIOKafkaProducer,
        consumer_class: ConsumerClass = AIOKafkaConsumer,
    ) -> None:
        self._shard = Shard(topic, 0)
        self._clock = clock
        self._times = times
        self._writing = WritingClient(
            connection,
            timeout_seconds,
            0.0,
            Backlog(100, 1 << 20),
            producer_class,
            failure_level=logging.DEBUG,  # who tells says so, once
            stop_seconds=_STOP_SECONDS,
        )
        self._reader = KafkaReader(
            connection,
            answer_seconds=timeout_seconds,
            linger_seconds=_LINGER_SECONDS,
            consumer_class=consumer_class,
        )
        self._turn = asyncio.Lock()
        self._next: int | None = None
        self._looked_at = 0.0
        # By process, with the log's time.
        self._reports: dict[bytes | None, tuple[float, ProcessReport]] = {}
        self._newest = 0.0

    async def tell(self, report: ProcessReport) -> None:
        await self._write(report.process, encode_report(report))

    async def leave(self, process: str) -> None:
        await self._write(process, None)

    async def seen(self) -> Sequence[ProcessReport]:
        async with self._turn:
            await self._read_on()
        now = max(self._clock.now(), self._newest)
        self._reports = {
            key: told for key, told in self._reports.items() if self._times.is_there(told[0], now)
        }
        return in_order([report for _, report in self._reports.values()])

    async def _write(self, process: str, value: bytes | None) -> None:
        record = LetterRecord(self._shard, process.encode(), value, ())
        [answer] = await self._writing.write([record])
        if isinstance(answer, Unconfirmed):
            raise LogUnavailable(f"{self._shard.topic} did not take a report: {answer.reason}")

    async def _read_on(self) -> None:
        partition = TopicPartition(self._shard.topic, 0)
        if self._next is None and await self._reader.missing({self._shard.topic}):
            raise LogUnavailable(f"Kafka has no topic {self._shard.topic}: run 'herald topics apply'")
        now = self._clock.monotonic()
        bounds = await self._bounds(partition, now)
        async with contextlib.aclosing(self._reader.read(partition, bounds.first, bounds.end)) as slices:
            async for records in slices:
                for record in records:
                    self._take(record)
        self._next, self._looked_at = bounds.end, now

    async def _bounds(self, partition: TopicPartition, now: float) -> Bounds:
        """What is to be read now: what is new; the last moments where nobody looked lately."""
        if self._next is not None and now - self._looked_at < self._times.gone:
            bounds = (await self._reader.bounds([partition]))[partition]
            if bounds.first <= self._next <= bounds.end:
                return Bounds(self._next, bounds.end)
        # Also where the topic was made anew meanwhile.
        self._newest = 0.0
        since = self._clock.now() - self._times.gone - _SLACK_SECONDS
        return (await self._reader.since([partition], since))[partition]

    def _take(self, record: Any) -> None:
        stamped_at = record.timestamp / 1000
        self._newest = max(self._newest, stamped_at)
        report = None if record.value is None else decode_report(record.value)
        if report is None:
            self._reports.pop(record.key, None)
        else:
            self._reports[record.key] = (stamped_at, report)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._reader.close()
        await self._writing.close()
