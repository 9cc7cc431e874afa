"""Asks the consumer for records, one question at a time, and loses none of the answers."""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from typing import Any

from aiokafka import TopicPartition, errors

from adapters.kafka_connection import explain, has_stopped_refreshing
from adapters.kafka_consumer import (
    NOBODY,
    has_stopped_coordinating,
    has_stopped_fetching,
    partition_of,
    position_in,
)
from adapters.kafka_reading import Polled, Reading, Readings
from domain.errors import HeraldError
from domain.log import Shard

log = logging.getLogger("herald.kafka")

# Seconds. A change of what is wanted waits until the running question is over, so it is short.
POLL_SECONDS = 0.05
IDLE_SECONDS = 0.2
TROUBLE_SECONDS = 1.0


class KafkaPoller:
    """The running question and what came of it.

    It runs as a task of its own, so that nobody's cancellation can drop a finished answer.
    `doubt`: called with a shard whose position Kafka has nothing at.
    """

    def __init__(self, consumer: Any, readings: Readings, doubt: Callable[[Shard, Reading], None]) -> None:
        self.trouble: str | None = None
        self._consumer = consumer
        self._readings = readings
        self._doubt = doubt
        self._polled: Polled = {}
        self._poll: asyncio.Task[Any] | None = None
        self._not_before = 0.0
        self._not_idly_before = 0.0

    def ask(self, wanted: AbstractSet[Shard], limit: int) -> None:
        """Starts a question unless one is running or the last one failed just now."""
        now = asyncio.get_running_loop().time()
        polled = self._readings.to_poll(wanted)
        if self._poll is not None or now < self._not_before or (not polled and now < self._not_idly_before):
            return
        self._not_idly_before = now + IDLE_SECONDS
        self._polled = polled
        question = self._consumer.getmany(
            *(polled or [NOBODY]), timeout_ms=int(1000 * POLL_SECONDS) if polled else 0, max_records=limit
        )
        self._poll = asyncio.create_task(question, name="kafka-poll")

    def running(self) -> tuple[set[asyncio.Future[Any]], float]:
        """What to wait for, and for how many seconds at the most before `ask` is due again."""
        if self._poll is not None:
            return {self._poll}, IDLE_SECONDS
        left = max(self._not_before, self._not_idly_before) - asyncio.get_running_loop().time()
        return set(), max(left, 0.001)

    def collect(self) -> None:
        """Takes a finished answer in. Raises `HeraldError` when this consumer will never answer again."""
        poll = self._poll
        if poll is None or not poll.done():
            return
        self._poll = None
        if not poll.cancelled():
            poll.exception()  # or asyncio complains at the end that nobody has seen it
        self._check_alive()
        try:
            answer = poll.result()
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - see `_failed`
            self._failed(error)
        else:
            self.trouble = None
            self._readings.accept(self._polled, answer)
            self._readings.pass_over(self._polled, self._positions())
            self._go_back(self._readings.begun_anew(self._polled, answer))

    def _check_alive(self) -> None:
        if has_stopped_fetching(self._consumer):
            raise HeraldError("the Kafka client has stopped fetching; this process must be started anew")
        if has_stopped_refreshing(self._consumer._client):  # noqa: SLF001 - given out nowhere
            raise HeraldError(
                "the Kafka client does not hear of new leaders any more; this process must be started anew"
            )
        if has_stopped_coordinating(self._consumer):
            raise HeraldError(
                "the Kafka client has left its group for good; this process must be started anew"
            )

    def _positions(self) -> dict[TopicPartition, int]:
        """Only after an answer: an error may have moved them past records that it dropped."""
        positions = {partition: position_in(self._consumer, partition) for partition in self._polled}
        return {partition: at for partition, at in positions.items() if at is not None}

    async def close(self) -> None:
        """Ends the running question. Records of it are read again by whoever gets the shard."""
        if self._poll is not None:
            self._poll.cancel()
            await asyncio.gather(self._poll, return_exceptions=True)

    def _failed(self, error: BaseException) -> None:
        """Whatever it was: aiokafka may have moved on past records that it then dropped. So go back."""
        self._go_back(self._readings.offsets())
        if isinstance(error, errors.OffsetOutOfRangeError):
            for shard, reading in self._readings.doubt(self._polled, error.args[0]):
                self._doubt(shard, reading)
        elif not isinstance(error, errors.NoOffsetForPartitionError):  # that comes before `begin` only
            self._note(explain(error))

    def _go_back(self, offsets: Mapping[Shard, int]) -> None:
        for shard, offset in offsets.items():
            with contextlib.suppress(errors.IllegalStateError, AssertionError):  # taken away meanwhile
                self._consumer.seek(partition_of(shard), offset)

    def _note(self, reason: str) -> None:
        self._not_before = asyncio.get_running_loop().time() + TROUBLE_SECONDS
        if reason != self.trouble:
            log.warning(
                "Reading from Kafka failed; trying again",
                extra={"action": "kafka_poll_failed", "reason": reason},
            )
        self.trouble = reason
