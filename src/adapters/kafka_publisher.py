"""`MessagePublisher` and `DeadLetters` over Kafka: `acks=all`, in order, within a limit of time."""

import logging
from collections.abc import Callable, Sequence
from typing import Any, Self

from aiokafka import AIOKafkaProducer

from adapters.kafka_batches import Backlog, Writable
from adapters.kafka_connection import KafkaConnection
from adapters.kafka_letters import record_of_letter
from adapters.kafka_producer import LiveProducer
from adapters.kafka_writer import KafkaWriter
from domain.dead_letter import DeadLetter
from domain.errors import LogUnavailable
from domain.log import NewRecord, Receipt, Unconfirmed

# Below a topic's usual max.message.bytes (1 MiB): the broker refuses a batch that is larger, whole.
BATCH_BYTES = 262_144
METADATA_AGE_MS = 60_000

ProducerClass = Callable[..., Any]


class WritingClient:
    """What all share that write: a producer that is kept alive, and its writer."""

    def __init__(
        self,
        connection: KafkaConnection,
        limit_seconds: float,
        gather_seconds: float,
        backlog: Backlog,
        producer_class: ProducerClass,
        *,
        failure_level: int = logging.WARNING,
        stop_seconds: float = 3.0,
    ) -> None:
        self._connection = connection
        # One try must fit into the limit of a call. aiokafka gives a batch up after at most two.
        self._request_ms = int(1000 * min(max(limit_seconds, 1.0), 10.0))
        self._producer_class = producer_class
        self._options: dict[str, Any] = {}
        self._is_open = self._is_closed = False
        self.live = LiveProducer(
            self._build,
            answer_seconds=min(limit_seconds, 3.0),
            stop_seconds=stop_seconds,
            failure_level=failure_level,
        )
        self.writer = KafkaWriter(
            self.live,
            limit_seconds=limit_seconds,
            flight_seconds=3 * self._request_ms / 1000,
            gather_seconds=gather_seconds,
            backlog=backlog,
            failure_level=failure_level,
        )

    def open(self) -> None:
        """Begins to connect, without waiting. Raises `HeraldError` when a certificate file cannot be used."""
        self._options = self._connection.client_options()
        self.live.open()
        self._is_open = True

    async def write(self, records: Sequence[Writable]) -> Sequence[Receipt | Unconfirmed]:
        """As `KafkaWriter.write`, for those who seldom write: opened with the first records."""
        if not (self._is_open or self._is_closed):
            self.open()
        return await self.writer.write(records)

    async def close(self) -> None:
        """Also of one that was never opened; it is not opened any more."""
        self._is_closed = True
        await self.writer.close()
        await self.live.close()

    def _build(self) -> Any:
        return self._producer_class(
            **self._options,
            acks="all",
            # Why not idempotent: docs/decisions/0004.
            enable_idempotence=False,
            request_timeout_ms=self._request_ms,
            max_batch_size=BATCH_BYTES,
            metadata_max_age_ms=METADATA_AGE_MS,
        )


class KafkaPublisher:
    """Puts records into Kafka. A record above `BATCH_BYTES` travels alone.

    `publish_timeout_seconds`: the longest that a call takes. `gather_seconds`: how long a batch waits
    for company. `waiting_records`, `waiting_bytes`: beyond them a record is `Unconfirmed` at once.
    Entering raises `HeraldError` when a certificate file cannot be used.
    """

    def __init__(
        self,
        connection: KafkaConnection,
        publish_timeout_seconds: float = 8.0,
        *,
        gather_seconds: float = 0.002,
        waiting_records: int = 50_000,
        waiting_bytes: int = 64 << 20,
        producer_class: ProducerClass = AIOKafkaProducer,
    ) -> None:
        backlog = Backlog(waiting_records, waiting_bytes)
        self._client = WritingClient(
            connection, publish_timeout_seconds, gather_seconds, backlog, producer_class
        )

    async def __aenter__(self) -> Self:
        self._client.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.close()

    async def publish(self, records: Sequence[NewRecord]) -> Sequence[Receipt | Unconfirmed]:
        """See the port. A batch that was given up may still be written a little later."""
        return await self._client.writer.write(records)

    async def unready(self) -> str | None:
        """See the port."""
        return await self._client.live.unready()


class KafkaDeadLetters:
    """Keeps dead letters in partition 0 of the topic `{topic}.{group}.dead-letters`."""

    def __init__(
        self,
        connection: KafkaConnection,
        *,
        timeout_seconds: float = 10.0,
        producer_class: ProducerClass = AIOKafkaProducer,
    ) -> None:
        backlog = Backlog(10_000, 64 << 20)
        self._client = WritingClient(connection, timeout_seconds, 0.0, backlog, producer_class)

    async def __aenter__(self) -> Self:
        self._client.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.close()

    async def keep(self, letter: DeadLetter) -> None:
        """See the port."""
        record = record_of_letter(letter)
        [answer] = await self._client.writer.write([record])
        if isinstance(answer, Unconfirmed):
            raise LogUnavailable(
                f"the dead letter was not confirmed in {record.shard.topic}: {answer.reason}"
            )
