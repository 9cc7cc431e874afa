"""A producer that is there whenever the brokers are: built when they answer, built anew when it broke.

aiokafka's producer can end for good while its process lives on: its sender task dies of an unexpected
error, or all brokers it ever knew have moved to other addresses (it never asks the bootstrap servers
again). Then every send fails. So somebody has to watch and to build another one.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from aiokafka import errors

from adapters.kafka_connection import ends_in_time, explain, has_stopped_refreshing, start_whole, stop_in_time

log = logging.getLogger("herald.kafka")

BuildProducer = Callable[[], Any]

_FATAL = (
    errors.ProducerFenced,
    errors.ProducerClosed,
    errors.OutOfOrderSequenceNumber,
    errors.UnknownProducerId,
)


def is_fatal(error: BaseException) -> bool:
    """Whether the producer that raised this will never send again.

    A plain `KafkaError` is what aiokafka raises when its sender task has died.
    """
    return isinstance(error, _FATAL) or type(error) is errors.KafkaError


class LiveProducer:
    """Keeps one working producer. All times are in seconds.

    `failures_to_rebuild`: so many batches in a row that failed, whatever the reason, and a new producer
    takes over: it asks the bootstrap servers again. `failure_level`: of the log's lines
    about that and about brokers that are away.
    """

    def __init__(
        self,
        build: BuildProducer,
        *,
        start_seconds: float = 30.0,
        stop_seconds: float = 3.0,
        answer_seconds: float = 3.0,
        first_pause: float = 0.2,
        longest_pause: float = 5.0,
        failures_to_rebuild: int = 3,
        failure_level: int = logging.WARNING,
    ) -> None:
        self._build = build
        self._start_seconds = start_seconds
        self._stop_seconds = stop_seconds
        self._answer_seconds = answer_seconds
        self._first_pause = first_pause
        self._longest_pause = longest_pause
        self._failures_to_rebuild = failures_to_rebuild
        self._failure_level = failure_level
        self._producer: Any = None
        self._there = asyncio.Event()
        self._broken = asyncio.Event()
        self._failures = 0
        self._reason = "not connected to Kafka yet"
        self._keeper: asyncio.Task[None] | None = None
        self._leavers: set[asyncio.Task[None]] = set()

    def open(self) -> None:
        """Begins to connect, without waiting."""
        self._keeper = asyncio.create_task(self._keep(), name="kafka-producer")

    async def close(self) -> None:
        """Ends the producer within `stop_seconds`; what is on its way is given that time."""
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)
        if self._producer is not None:
            self._retire()
        await asyncio.gather(*self._leavers)

    async def get(self) -> Any:
        """The producer; waits until there is one."""
        while self._producer is None:
            await self._there.wait()
        return self._producer

    def worked(self) -> None:
        """A batch was confirmed."""
        self._failures = 0

    def failed(self, producer: Any, error: BaseException) -> None:
        """A batch of this producer was not confirmed."""
        if producer is not self._producer:
            return
        self._failures += 1
        is_lost = is_fatal(error) or has_stopped_refreshing(producer.client)
        if is_lost or self._failures >= self._failures_to_rebuild:
            self._reason = explain(error)
            log.log(
                self._failure_level,
                "The Kafka producer is replaced",
                extra={"action": "kafka_producer_replaced", "reason": self._reason},
            )
            self._retire()
            self._broken.set()

    def why_away(self) -> str | None:
        """Why there is no producer now; None when there is one."""
        return self._reason if self._producer is None else None

    async def unready(self) -> str | None:
        """None when a broker answers a request for metadata now; otherwise why not."""
        if (reason := self.why_away()) is not None:
            return reason
        try:
            async with asyncio.timeout(self._answer_seconds):
                answered = await self._producer.client.force_metadata_update()
        except TimeoutError as error:
            return explain(error)
        return None if answered else "no Kafka broker answers"

    async def _keep(self) -> None:
        while True:
            self._producer = await self._started()
            self._failures = 0
            self._broken.clear()
            self._there.set()
            log.log(
                min(logging.INFO, self._failure_level),
                "Connected to Kafka for writing",
                extra={"action": "kafka_producer_connected"},
            )
            await self._broken.wait()
            # What the old one still has on its way must not come after what the next one writes.
            await asyncio.gather(*self._leavers)

    async def _started(self) -> Any:
        pause = self._first_pause
        while True:
            producer = None
            try:
                producer = self._build()
                async with asyncio.timeout(self._start_seconds):
                    await start_whole(producer)
            except Exception as error:  # noqa: BLE001 - whatever it is, writing must go on once it is gone
                self._note_failed_start(error)
                await self._discard(producer)
            except asyncio.CancelledError:
                await self._discard(producer)
                raise
            else:
                return producer
            await asyncio.sleep(pause)
            pause = min(2 * pause, self._longest_pause)

    async def _discard(self, producer: Any) -> None:
        if producer is not None:
            await stop_in_time(producer, self._stop_seconds)

    def _note_failed_start(self, error: Exception) -> None:
        reason = explain(error)
        if reason != self._reason:
            log.log(
                self._failure_level,
                "Kafka cannot be reached for writing; trying again",
                extra={"action": "kafka_producer_waits", "reason": reason},
            )
        self._reason = reason

    def _retire(self) -> None:
        producer, self._producer = self._producer, None
        self._there.clear()
        leaver = asyncio.create_task(self._leave(producer), name="kafka-producer-leaves")
        self._leavers.add(leaver)
        leaver.add_done_callback(self._leavers.discard)

    async def _leave(self, producer: Any) -> None:
        """Lets go of a producer. `stop` first waits for batches that may never be taken."""
        if await stop_in_time(producer, self._stop_seconds):
            return
        # Not offered in public: without it a producer that cannot stop would go on trying for ever.
        sender = producer._sender.sender_task  # noqa: SLF001
        if sender is not None:
            sender.cancel()
        await ends_in_time(producer.client.close(), self._stop_seconds)
